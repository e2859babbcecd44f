"""Long runs: plans of disasters from plain seeds. ``python -m tests.sim.soak --seconds 600``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter as Tally
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from random import Random

from tests.sim.dice import MIXES, draw_plan
from tests.sim.parted import Parted, tame
from tests.sim.story import CHECKERS, Story

from hubkit.errors import ConfigurationError
from hubkit.testing import FaultPlan, Simulation, single_owner

__all__ = ["Result", "main", "play"]

#: failures that are shown; the others are counted
SHOWN = 5


@dataclass(frozen=True)
class Result:
    """What became of one seed of one mix."""

    mix: str
    seed: int
    seconds: float = 0.0  # real
    virtual: float = 0.0
    overlap: float = 0.0
    took: float = 0.0
    failure: str = ""
    plan: str = ""


def play(mix: str, seed: int, plan: FaultPlan | None = None) -> Result:
    """Play one seed. Raises nothing: a failure is in the result."""
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    plan = plan or plan_of(mix, seed)
    story = story_of(mix, Random(f"story {mix} {seed}"))
    checkers = [*CHECKERS, single_owner(0.0)] if mix == "members" else CHECKERS
    if isinstance(story, Parted):
        checkers = [single_owner(0.0)]
    try:
        report = Simulation.run(
            story, seed, plan=plan, network=MIXES[mix].network or "simulated", checkers=checkers, limit=20_000.0
        )
    except Exception as error:
        text = f"{_chain(error)}\n  {[*getattr(error, '__notes__', ()), ''][0]}"
        return Result(mix, seed, time.perf_counter() - began, failure=text, plan=repr(plan))
    return Result(mix, seed, time.perf_counter() - began, report.elapsed, report.overlap, story.took)


def _chain(error: BaseException) -> str:
    """An error, and what has caused it."""
    text, cause = f"{type(error).__name__}: {error}", error.__cause__
    while cause is not None:
        text, cause = f"{text}\n  because of {type(cause).__name__}: {cause}", cause.__cause__
    return text


def plan_of(mix: str, seed: int) -> FaultPlan:
    """The plan that belongs to a seed."""
    plan = draw_plan(Random(f"plan {mix} {seed}"), MIXES[mix])
    return tame(plan) if MIXES[mix].quorum else plan


def story_of(mix: str, random: Random) -> Story | Parted:
    """The story in which a plan of this mix is played."""
    terms = MIXES[mix]
    if terms.quorum:
        return Parted(terms.quorum, children=random.choice(terms.children))
    return Story(
        children=random.choice(terms.children),
        clients=random.choice((0, 2, 4)),
        pace=random.choice((0.2, 1.0)),
        together=random.random() < 0.7,
        down_after=terms.down_after,
        second=random.random() < 0.2,
    )


def shrink(mix: str, seed: int, plan: FaultPlan) -> Result:
    """Take out faults, as long as the story ends in the same kind of failure. Greedy, and good enough."""
    worst = play(mix, seed, plan)
    size = max(1, len(plan.faults) // 2)
    while worst.failure and size:
        at = 0
        while at < len(plan.faults):
            try:
                smaller = replace(plan, faults=plan.faults[:at] + plan.faults[at + size :])
            except ConfigurationError:
                at += size
                continue
            result = play(mix, seed, smaller)
            if result.failure[:40] == worst.failure[:40]:
                plan, worst = smaller, result
            else:
                at += size
        size //= 2
    return worst


def _results(mixes: list[str], start: int, seconds: float, jobs: int) -> Iterator[Result]:
    """Results as they come, until the time is over."""
    end, numbers = time.monotonic() + seconds, ((mix, seed) for seed in range(start, sys.maxsize) for mix in mixes)
    if jobs == 1:
        for mix, seed in numbers:
            yield play(mix, seed)
            if time.monotonic() > end:
                return
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Result]] = set()
        while running or time.monotonic() < end:
            while len(running) < 2 * jobs and time.monotonic() < end:
                running.add(pool.submit(play, *next(numbers)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


class Summary:
    """What has become of all seeds so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.virtual = 0.0
        self.count: Tally[str] = Tally()
        self.failures: list[Result] = []
        self.overlap: dict[str, tuple[float, int]] = {}
        self.slowest: dict[str, tuple[float, int]] = {}

    def add(self, result: Result) -> None:
        """One more."""
        mix, seed = result.mix, result.seed
        self.count[mix] += 1
        self.virtual += result.virtual
        self.overlap[mix] = max(self.overlap.get(mix, (0.0, seed)), (result.overlap, seed))
        self.slowest[mix] = max(self.slowest.get(mix, (0.0, seed)), (result.took, seed))
        if result.failure:
            self.failures.append(result)

    def __str__(self) -> str:
        elapsed, total = time.monotonic() - self.began, self.count.total()
        speed = f"{total / elapsed:.1f} a second, {self.virtual / elapsed:.0f} times as fast as time"
        lines = [f"{total:,} seeds, {len(self.failures)} failed; {speed}"]
        for mix, number in self.count.items():
            bad = sum(failure.mix == mix for failure in self.failures)
            (overlap, one), (slowest, other) = self.overlap[mix], self.slowest[mix]
            lines.append(
                f"  {mix:<9} {number:>7,} seeds, {bad} failed; longest overlap {overlap:.3f} s (seed {one}), "
                f"slowest convergence {slowest:.1f} s (seed {other})"
            )
        return "\n".join(lines)


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201


def _show(failure: Result) -> None:
    replay = f"python -m tests.sim.soak --mix {failure.mix} --seed {failure.seed}"
    _say(f"\nFAILED: {failure.failure}\n  {failure.plan}\n  replay: {replay}\n  a smaller plan: {replay} --shrink\n")


def main() -> int:
    """Play for so long; 1 if any seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="real seconds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; by default one for each core")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--mix", choices=MIXES, action="append", help="one mix, or several; by default all")
    parser.add_argument("--seed", type=int, help="play this one seed, and show its failure")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for a smaller plan")
    options = parser.parse_args()
    mixes, summary = options.mix or list(MIXES), Summary()
    if options.seed is None:
        results = _results(mixes, options.start, options.seconds, options.jobs)
    elif options.shrink:
        results = (shrink(mix, options.seed, plan_of(mix, options.seed)) for mix in mixes)
    else:
        results = (play(mix, options.seed) for mix in mixes)
    said = time.monotonic()
    try:
        for result in results:
            summary.add(result)
            if result.failure and len(summary.failures) <= SHOWN:
                _show(result)
            if time.monotonic() > said + 60:
                said = time.monotonic()
                _say(str(summary).partition("\n")[0])
    finally:
        _say(summary)
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
