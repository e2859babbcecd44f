"""Many seeds of ``hubkit sim``: handed out in order, run in several processes, counted.

Law of this room: the first failing seed is the first by number, however many processes there are and whichever is
the fastest: seeds are handed out in their order, and after a failure all smaller ones are waited for. A process that dies
is the failure of its seed. When this is over, or broken off, none of its processes is left.

Refused: a pool of the standard library. It runs the next seed before it tells of a failure, forgets which seed a dead
process had, and cannot be broken off while it works.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from typing import Any

from hubkit.cli.failure import WrongUsage
from hubkit.cli.scenario import Outcome, Scenario, Stage

__all__ = ["Seeds", "Tally", "campaign", "cores"]

#: Seconds between two looks at the clock, at most.
TICK = 0.1
#: Of so many failures the details are kept; the others are counted.
KEPT = 100


@dataclass(frozen=True, slots=True)
class Seeds:
    """A range of seeds, both ends included; `None`: it has no end."""

    first: int
    last: int | None

    @staticmethod
    def parse(text: str) -> Seeds:
        """``A..B`` (both included), ``A..`` (no end), or a number: so many, from 0. Raises `WrongUsage`."""
        first, dots, last = (part.strip() for part in text.partition(".."))
        try:
            seeds = Seeds(int(first), int(last) if last else None) if dots else Seeds(0, int(first) - 1)
        except ValueError:
            msg = f"{text!r} is no range of seeds: write 1..100 (both included), 1.. (no end), or 100 (the seeds 0..99)"
            raise WrongUsage(msg) from None
        if seeds.last is not None and seeds.last < seeds.first:
            msg = f"{text!r} is an empty range: there is no seed in it"
            raise WrongUsage(msg)
        return seeds

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.first}..{'' if self.last is None else self.last}"

    def __iter__(self) -> Iterator[int]:
        return iter(count(self.first) if self.last is None else range(self.first, self.last + 1))

    @property
    def number(self) -> int | None:
        """How many there are."""
        return None if self.last is None else self.last - self.first + 1


@dataclass(slots=True)
class Tally:
    """What became of many seeds: ``failures`` by their seeds, the first `KEPT` of them; ``elapsed`` in virtual seconds."""

    ran: int = 0
    failed: int = 0
    failures: list[Outcome] = field(default_factory=list)
    elapsed: float = 0.0
    steps: int = 0
    overlap: float = 0.0
    worst: int | None = None

    @property
    def clean(self) -> int:
        """How many had no failure."""
        return self.ran - self.failed

    @property
    def first_failure(self) -> Outcome | None:
        """The failing seed with the smallest number."""
        return self.failures[0] if self.failures else None

    def add(self, outcome: Outcome) -> None:
        """One more seed is done."""
        self.ran += 1
        self.elapsed += outcome.elapsed
        self.steps += outcome.steps
        if (outcome.overlap, -outcome.seed) > (self.overlap, -(outcome.seed if self.worst is None else self.worst)):
            self.overlap, self.worst = outcome.overlap, outcome.seed
        if outcome.error:
            self.failed += 1
            insort(self.failures, outcome, key=lambda failure: failure.seed)
            del self.failures[KEPT:]


def cores() -> int:
    """How many processes can run at a time on this machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def campaign(
    scenario: Scenario,
    seeds: Seeds,
    tally: Tally,
    *,
    jobs: int,
    keep_going: bool = False,
    is_time_up: Callable[[], bool] = lambda: False,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Run a scenario with all these seeds, in ``jobs`` processes, and count into ``tally``.

    It ends early after a failure (not with ``keep_going``), and when ``is_time_up``: then what has begun is run to its end.
    ``look`` is called now and then.
    """
    todo = iter(seeds)
    crew: list[_Hand] = []
    try:
        crew.extend(_Hand(scenario) for _ in range(jobs if seeds.number is None else min(jobs, seeds.number)))
        while True:
            look()
            first = tally.first_failure
            is_over = first is not None and not keep_going
            if not is_over and not is_time_up():
                for hand in crew:
                    if hand.seed is None and (seed := next(todo, None)) is not None:
                        hand.give(seed)
            busy = [hand for hand in crew if hand.seed is not None]
            if first is not None and is_over:
                busy = [hand for hand in busy if hand.seed is not None and hand.seed < first.seed]
            if not busy:
                break
            ready = wait([hand.pipe for hand in busy], TICK)
            for hand in busy:
                if hand.pipe in ready:
                    tally.add(hand.take())
        for hand in crew:
            hand.dismiss()
    finally:
        for hand in crew:
            hand.kill()


class _Hand:
    """A process that runs one seed after another."""

    pipe: Connection
    process: Any

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.seed: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self._scenario), daemon=True)
        # Ctrl-C reaches every process of the terminal: this one ends the others, which are born deaf to it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()

    def give(self, seed: int) -> None:
        """Have this seed run."""
        self.seed = seed
        with suppress(OSError):  # it is dead, and will be found so
            self.pipe.send(seed)

    def take(self) -> Outcome:
        """What became of it. If the process is dead, another one takes its place."""
        assert self.seed is not None
        seed, self.seed = self.seed, None
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            self.kill()
            self._start()
            return Outcome(seed, error=f"the process in which it ran ended {how}")
        return outcome

    def dismiss(self) -> None:
        """Let the process end by itself, if it has nothing to do."""
        if self.seed is None:
            self.pipe.close()
            self.process.join(1.0)

    def kill(self) -> None:
        """End the process on the spot."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, scenario: Scenario) -> None:
    """What such a process does. Nobody sees what it prints: the failing seed can be run alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    logging.disable()
    stage = Stage(scenario)
    while True:
        try:
            seed = pipe.recv()
        except EOFError:
            return
        pipe.send(stage.play(seed).outcome)
