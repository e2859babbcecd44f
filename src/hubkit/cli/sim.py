"""``hubkit sim``: a scenario with one seed, or with many, until one fails.

Law of this room: what is on stdout is the result, and can be read by a program with ``--json``; how far it is goes to
stderr, as a bar on a terminal and as a line now and then elsewhere. Exit codes: 0 all was clean, 1 a seed has failed, 2 the
arguments make no sense. A seed that failed is told so that it can be run again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from hubkit.cli.campaign import Seeds, Tally, campaign, cores
from hubkit.cli.demo.screen import Part, Screen
from hubkit.cli.failure import Failure, WrongUsage
from hubkit.cli.scenario import Outcome, Played, Scenario, Stage
from hubkit.cli.table import printable
from hubkit.environment import Environment
from hubkit.testing import timeline

__all__ = ["Progress", "SimOptions", "sim"]

#: Real seconds between two lines about how far it is, where there is no terminal.
NOW_AND_THEN = 10.0
#: Real seconds between two pictures of the bar.
BLINK = 0.1
#: How many of the other failing seeds are named.
NAMED = 20


@dataclass(frozen=True, slots=True)
class SimOptions:
    """The arguments of ``hubkit sim``."""

    target: str
    seed: int | None = None
    seeds: str | None = None
    seconds: float | None = None
    jobs: int | None = None
    trace: str | None = None
    plan: str | None = None
    network: str | None = None
    limit: float | None = None
    checkers: Sequence[str] = ()
    check: bool = False
    keep_going: bool = False
    as_json: bool = False


def sim(options: SimOptions) -> int:
    """Run it, print what became of it, and return the exit code. Raises `Failure`."""
    seeds = _seeds(options)
    _check_options(options)
    stage = Stage(
        Scenario(
            options.target,
            plan=options.plan,
            network=options.network,
            check=options.check,
            limit=options.limit,
            checkers=tuple(options.checkers),
        )
    )
    if seeds is None:
        return _one(options, stage, options.seed or 0)
    return _many(options, stage, seeds)


# -- what was typed ---------------------------------------------------------------------------------------------------------


def _seeds(options: SimOptions) -> Seeds | None:
    """The range of seeds; `None`: it is one."""
    if options.seed is not None and (options.seeds is not None or options.seconds is not None):
        other = "--seeds" if options.seeds is not None else "--seconds"
        msg = f"--seed is for one seed and {other} for many: give one of them (--seeds 7.. begins with seed 7)"
        raise WrongUsage(msg)
    if options.seeds is not None:
        return Seeds.parse(options.seeds)
    return Seeds(0, None) if options.seconds is not None else None


def _check_options(options: SimOptions) -> None:
    if options.jobs is not None and options.jobs < 1:
        msg = f"--jobs must be at least 1, not {options.jobs}"
        raise WrongUsage(msg)
    if options.seconds is not None and not (0 < options.seconds < math.inf):
        msg = f"--seconds must be a number above 0, not {options.seconds:g}"
        raise WrongUsage(msg)
    if options.check and options.network == "websocket":
        msg = "--check compares two runs, and only simulated ones can be the same: leave out --network"
        raise WrongUsage(msg)
    if options.trace is not None:
        path = Path(options.trace)
        if path.is_dir() or not path.parent.is_dir():
            problem = "that is a directory" if path.is_dir() else f"there is no directory {path.parent}"
            msg = f"--trace {options.trace}: {problem}"
            raise WrongUsage(msg)


# -- one seed ---------------------------------------------------------------------------------------------------------------


def _one(options: SimOptions, stage: Stage, seed: int) -> int:
    with redirect_stdout(sys.stderr) if options.as_json else nullcontext():
        played = stage.play(seed)
    outcome = played.outcome
    if options.as_json:
        print(json.dumps({**_said(options, stage), **_plain(outcome)}, indent=2))
    else:
        _say(*_told(outcome, "clean, and the same when run twice" if options.check else "clean"))
    if options.trace is not None:
        _write(options, played)
    return 1 if outcome.error else 0


def _said(options: SimOptions, stage: Stage) -> dict[str, Any]:
    """What is run, and how, for programs."""
    return {
        "target": options.target,
        "plan": options.plan,
        "network": stage.network if isinstance(stage.network, str) else dict(stage.network),
        "limit": stage.limit if math.isfinite(stage.limit) else None,
        "checkers": [repr(checker) for checker in stage.checkers],
    }


def _write(options: SimOptions, played: Played) -> None:
    """Write the timeline of a run."""
    assert options.trace is not None
    if played.report is None:
        _remark(f"no timeline of seed {played.outcome.seed}: it failed before it began")
        return
    try:
        timeline.write(played.report, options.trace, title=options.target, error=played.error)
    except OSError as error:
        msg = f"the timeline cannot be written to {options.trace}: {error.strerror or error}"
        raise Failure(msg) from error
    _remark(f"the timeline of seed {played.outcome.seed} is in {options.trace}")


# -- many seeds -------------------------------------------------------------------------------------------------------------


def _many(options: SimOptions, stage: Stage, seeds: Seeds) -> int:
    tally = Tally()
    progress = Progress(tally, seeds.number, options.seconds, sys.stderr)
    try:
        with progress.shown():
            campaign(
                stage.scenario,
                seeds,
                tally,
                jobs=options.jobs or cores(),
                keep_going=options.keep_going,
                is_time_up=progress.is_time_up,
                look=progress.look,
            )
    except KeyboardInterrupt:
        _report(options, stage, seeds, tally, progress.seconds, interrupted=True)
        raise
    _report(options, stage, seeds, tally, progress.seconds)
    first = tally.first_failure
    if first is None:
        return 0
    if options.trace is not None:
        _write_failure(options, stage, first)
    return 1


def _write_failure(options: SimOptions, stage: Stage, first: Outcome) -> None:
    """Run the first failing seed once more, here, for its timeline."""
    if not first.details:
        _remark(f"no timeline of seed {first.seed}: it takes its process with it")
        return
    with redirect_stdout(sys.stderr):
        played = stage.play(first.seed)
    if not played.outcome.error:
        _remark(f"seed {first.seed} has failed, but is clean when it is run again: see --check")
    _write(options, played)


def _report(
    options: SimOptions, stage: Stage, seeds: Seeds, tally: Tally, seconds: float, *, interrupted: bool = False
) -> None:
    """Print what became of them all."""
    pace = tally.ran / seconds if seconds else 0.0
    speed = tally.elapsed / seconds if seconds else 0.0
    if options.as_json:
        first = tally.first_failure
        answer = {
            **_said(options, stage),
            "seeds": str(seeds),
            "interrupted": interrupted,
            "ran": tally.ran,
            "clean": tally.clean,
            "failed": tally.failed,
            "first_failure": None if first is None else first.seed,
            "failures": [_plain(failure) for failure in tally.failures],
            "worst_overlap": {"seconds": tally.overlap, "seed": tally.worst},
            "virtual_seconds": tally.elapsed,
            "steps": tally.steps,
            "seconds": seconds,
            "seeds_per_second": pace,
            "virtual_seconds_per_second": speed,
        }
        print(json.dumps(answer, indent=2))
        return
    lines = _failures(tally)
    if interrupted:
        lines.append("broken off")
    verdict = f"{tally.clean:,} of {tally.ran:,} seeds clean" if tally.failed else f"{_count(tally.ran, 'seed')} clean"
    lines.append(
        f"{verdict} (of {seeds}) in {_time(seconds)}: {pace:.3g} seeds a second, {speed:,.0f} virtual seconds a second"
    )
    lines.append(
        "no overlap" if tally.worst is None else f"worst overlap {tally.overlap:.6f} s, with seed {tally.worst}"
    )
    _say(*lines)


def _failures(tally: Tally) -> list[str]:
    if not tally.failures:
        return []
    first, *others = tally.failures
    lines = _told(first)
    if others:
        named = [str(failure.seed) for failure in others[:NAMED]]
        more = tally.failed - 1 - len(named)
        lines += ["", f"failed, too: {', '.join(named)}{f' and {more:,} more' if more else ''}"]
    return [*lines, ""]


# -- how far it is ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Progress:
    """How far a campaign is: a bar where ``out`` is a terminal, else a line now and then.

    ``number``: how many seeds there are, if that is known; ``limit``: real seconds after which no other begins.
    """

    tally: Tally
    number: int | None
    limit: float | None
    out: TextIO
    environment: Environment = field(default_factory=Environment)
    began: float = 0.0
    told: float = 0.0
    screen: Screen = field(init=False)

    def __post_init__(self) -> None:
        self.screen = Screen(self.out)
        self.began = self.told = self.environment.now()

    @property
    def seconds(self) -> float:
        """Real seconds since the beginning."""
        return self.environment.now() - self.began

    def is_time_up(self) -> bool:
        """Whether no other seed is to begin."""
        return self.limit is not None and self.seconds >= self.limit

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While this is open, `look` shows something."""
        with self.screen.stage():
            try:
                yield
            finally:
                self.screen.update([])

    def look(self) -> None:
        """Show how far it is, if it is time to."""
        now = self.environment.now()
        if now - self.told < (BLINK if self.screen.is_live else NOW_AND_THEN):
            return
        self.told = now
        if self.screen.is_live:
            self.screen.update([self.bar()])
        else:
            self.screen.say("".join(part.text for part in self.words()))

    def bar(self) -> Sequence[Part]:
        """The line for a terminal."""
        words = self.words()
        done = self.share()
        room = min(24, self.screen.width - sum(len(part.text) for part in words) - 3)
        if done is None or room < 8:
            return words
        full, empty = ("█", "░") if self.screen.is_unicode else ("#", "-")
        cells = min(room, int(done * room))
        look = "red" if self.tally.failed else "green"
        return [Part(full * cells, look), Part(empty * (room - cells), "dim"), Part("  "), *words]

    def words(self) -> list[Part]:
        """How many seeds are done, how fast, how many failed, and how long it will take."""
        tally, seconds = self.tally, max(self.seconds, 1e-9)
        of = f" of {self.number:,}" if self.number is not None else ""
        parts = [Part(f"{tally.ran:,}{of} seeds", "bold"), Part(f", {tally.ran / seconds:.3g} a second")]
        parts.append(Part(f", {tally.failed:,} failed", "red" if tally.failed else ""))
        if tally.worst is not None:
            parts.append(Part(f", worst overlap {tally.overlap:.3g} s"))
        done = self.share()
        if done:
            parts.append(Part(f", {_time(seconds / done - seconds)} to go", "dim"))
        return parts

    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; `None`: it has no end."""
        shares = []
        if self.number is not None:
            shares.append(self.tally.ran / self.number)
        if self.limit is not None:
            shares.append(min(1.0, self.seconds / self.limit))
        return max(shares, default=None)


# -- words ------------------------------------------------------------------------------------------------------------------


def _told(outcome: Outcome, clean: str = "clean") -> list[str]:
    """One seed in words."""
    figures = (
        f"{outcome.elapsed:,.3f} virtual seconds in {_time(outcome.seconds)}, {outcome.steps:,} steps, "
        f"{'no overlap' if not outcome.overlap else f'worst overlap {outcome.overlap:.6f} s'}, trace {outcome.trace_hash}"
    )
    if not outcome.error:
        return [f"seed {outcome.seed} is {clean}: {figures}"]
    lines = [f"seed {outcome.seed} failed: {outcome.error}"]
    if outcome.details:
        lines += ["", *outcome.details.split("\n")]
    return [*lines, "", figures] if outcome.trace_hash else lines


def _plain(outcome: Outcome) -> dict[str, Any]:
    values = asdict(outcome)
    return {"seed": values.pop("seed"), "ok": not outcome.error, **values}


def _time(seconds: float) -> str:
    """A real time, as people say it."""
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _say(*lines: str) -> None:
    print("\n".join(printable(line) for line in lines))


def _remark(text: str) -> None:
    """Say something that is not the result."""
    sys.stdout.flush()
    sys.stderr.write(f"{printable(text)}\n")
