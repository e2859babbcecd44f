"""One seed of ``hubkit sim``: a scenario, named so that any process can find it, and what became of one run of it.

Law of this room: whatever a scenario does, its run has an `Outcome`, in plain values that another process can be told. Its
traceback shows the scenario's own lines; those of hubkit and trio are left out where they are not at fault.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import outcome as outcomes
import trio

import hubkit
from hubkit.cli.failure import WrongUsage
from hubkit.cli.run import load
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HubkitError
from hubkit.testing.plans import FaultPlan
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Report

__all__ = ["NETWORKS", "Outcome", "Played", "Scenario", "Stage"]

NETWORKS = ("simulated", "websocket")

CONTRACT = "async def main(sim: hubkit.testing.Simulation) -> None"

#: Where code lives that is nobody's scenario.
_INNER = tuple(str(Path(str(package.__file__)).parent) for package in (hubkit, trio, outcomes))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run: ``module:function``, the repr of a plan for it, the network, and whether each seed is run twice."""

    target: str
    plan: str | None = None
    network: str = "simulated"
    check: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed. ``seconds`` are real, ``elapsed`` and ``overlap`` are virtual.

    ``error``: what went wrong, on one line; empty if nothing did. ``details``: all that is known of it, notes included.
    """

    seed: int
    elapsed: float = 0.0
    steps: int = 0
    overlap: float = 0.0
    trace_hash: str = ""
    seconds: float = 0.0
    error: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Played:
    """An outcome with what it was made of, for this process alone. ``error``: the error with its notes, without places."""

    outcome: Outcome
    report: Report | None
    error: str


class Stage:
    """A scenario that was found, and can be run. Making one raises `WrongUsage`."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario: Scenario = scenario
        self._main: Any = load(scenario.target, CONTRACT, "the simulation")
        self._plan: FaultPlan | None = None
        self._environment = Environment()
        if scenario.plan is not None:
            try:
                self._plan = FaultPlan.parse(scenario.plan)
            except ConfigurationError as error:
                msg = f"--plan: {error}"
                raise WrongUsage(msg) from error

    def play(self, seed: int) -> Played:
        """Run it with this seed; twice, if that is to be compared."""
        began = self._environment.now()
        report, error = self._run(seed)
        difference = None
        if self.scenario.check:
            difference = _difference(report, error, *self._run(seed))
        took = self._environment.now() - began
        if difference is not None:
            line, details = "two runs with this seed are not the same", difference
            said = f"{line}\n{details}"
            if error is not None:
                details += f"\n\nand the first of them failed:\n\n{_traceback(_bare(error))}"
        elif error is not None:
            bare = _bare(error)
            line, details, said = _line(bare), _traceback(bare), _text(bare)
        else:
            line = details = said = ""
        if report is None:
            outcome = Outcome(seed, seconds=took, error=line, details=details)
        else:
            figures = (report.elapsed, report.steps, report.overlap, report.trace_hash)
            outcome = Outcome(seed, *figures, seconds=took, error=line, details=details)
        return Played(outcome, report, said)

    def _run(self, seed: int) -> tuple[Report | None, BaseException | None]:
        try:
            return Simulation.run(self._main, seed, network=self.scenario.network, plan=self._plan), None
        except (Exception, SystemExit) as error:
            return getattr(error, "__hubkit_report__", None), error
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from None
            raise


def _difference(
    report: Report | None, error: BaseException | None, again: Report | None, other: BaseException | None
) -> str | None:
    """How the second run is not as the first was."""
    if report is not None and again is not None:
        difference = report.divergence(again)
        if difference is not None:
            return difference
        if report.elapsed != again.elapsed:
            return f"their traces are the same, but they took {report.elapsed} and {again.elapsed} virtual seconds"
    one, two = (f"failed with {_line(_bare(it))}" if it is not None else "was clean" for it in (error, other))
    if one != two:
        return f"their traces are the same, but the first {one}, and the second {two}"
    return None


# -- an error in words -----------------------------------------------------------------------------------------------------


def _bare(error: BaseException) -> BaseException:
    """The one error of a group of one, and so on; the notes of the group are its own then."""
    notes: list[str] = []
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        notes = [*getattr(error, "__notes__", ()), *notes]
        error = error.exceptions[0]
    for note in notes:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    return error


def _line(error: BaseException) -> str:
    """An error on one line."""
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _text(error: BaseException) -> str:
    """An error with its notes."""
    words = str(error).strip()
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    return "\n".join([f"{type(error).__name__}: {words}" if words else type(error).__name__, *notes])


def _traceback(error: BaseException) -> str:
    """An error with its notes, and where it came from."""
    found = traceback.TracebackException.from_exception(error)
    _shorten(found, isinstance(error, HubkitError | AssertionError))
    return "".join(found.format()).rstrip()


def _shorten(found: traceback.TracebackException, is_said: bool) -> None:
    """Leave out the places in hubkit and trio: but not where the error came up there, unless it is one that says all."""
    places = [frame for frame in found.stack if not frame.filename.startswith(_INNER)]
    if places and (is_said or found.exceptions is not None or places[-1] is found.stack[-1]):
        found.stack[:] = places
    for inner in (found.__cause__, found.__context__, *(found.exceptions or ())):
        if inner is not None:
            _shorten(inner, is_said)
