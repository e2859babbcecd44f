"""One seed of ``hubkit sim``: a scenario, named so that any process can find it, and what became of one run of it.

Law of this room: whatever a scenario does, its run has an `Outcome`, in plain values that another process can be told. Its
traceback shows the scenario's own lines; those of hubkit and trio are left out where they are not at fault.

A scenario may be a test that `simulated` has made, also with ``@given`` above it. Then it is run as the test would run it;
what was typed goes before what the test says.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import outcome as outcomes
import trio

import hubkit
from hubkit.cli.failure import WrongUsage
from hubkit.cli.targets import locate
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HubkitError
from hubkit.testing.marks import Filled, scenario_of
from hubkit.testing.plans import FaultPlan
from hubkit.testing.replaying import LIMIT
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker
from hubkit.testing.written import read_checker, read_network

__all__ = ["Outcome", "Played", "Scenario", "Stage"]

T = TypeVar("T")

CONTRACT = "async def main(sim: hubkit.testing.Simulation) -> None"

#: Where code lives that is nobody's scenario.
_INNER = tuple(str(Path(str(package.__file__)).parent) for package in (hubkit, trio, outcomes))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run, as it was typed.

    ``target``: ``module:function`` or ``file.py:function``. ``plan``, ``network`` and ``checkers`` are texts, ``limit`` is in
    virtual seconds; what is not given (`None`, no checkers) is what the simulated test says, or the usual.
    ``check``: run each seed twice.
    """

    target: str
    plan: str | None = None
    network: str | None = None
    check: bool = False
    limit: float | None = None
    checkers: tuple[str, ...] = ()


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
        plan = None if scenario.plan is None else _read("--plan", FaultPlan.parse, scenario.plan)
        network = None if scenario.network is None else _read("--network", read_network, scenario.network)
        checkers = tuple(_read("--checker", read_checker, text) for text in scenario.checkers)
        if scenario.limit is not None and not scenario.limit > 0:
            msg = f"--limit must be a number of seconds above 0, not {scenario.limit:g}"
            raise WrongUsage(msg)
        main, settings = scenario_of(locate(scenario.target, CONTRACT))
        self._main = Filled(main, (), _arguments(main, plan, scenario.target), settings, scenario.target)
        self._plan: FaultPlan | None = plan
        self.network: str | Mapping[str, float] = network or ("simulated" if settings is None else settings.network)
        self.checkers: tuple[Checker, ...] = checkers or (() if settings is None else settings.checkers)
        self.limit: float = scenario.limit or (LIMIT if settings is None else settings.limit)
        if scenario.check and self.network == "websocket":
            msg = "--check compares two runs, and only simulated ones can be the same: say --network simulated"
            raise WrongUsage(msg)
        self._environment = Environment()

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
            options: dict[str, Any] = {"network": self.network, "checkers": self.checkers, "limit": self.limit}
            return Simulation.run(self._main, seed, plan=self._plan, **options), None
        except (Exception, SystemExit) as error:
            return getattr(error, "__hubkit_report__", None), error
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from None
            raise


def _read(option: str, read: Callable[[str], T], text: str) -> T:
    """What this text stands for."""
    try:
        return read(text)
    except ConfigurationError as error:
        msg = f"{option}: {error}"
        raise WrongUsage(msg) from error


def _arguments(main: Any, plan: FaultPlan | None, target: str) -> dict[str, Any]:
    """What the scenario is given besides its simulation: the plan, if it takes one."""
    if not inspect.iscoroutinefunction(main):
        msg = f"{target} is no async function; it is given the simulation: {CONTRACT}"
        raise WrongUsage(msg)
    signature = inspect.signature(main)
    taken = _plan_parameter(list(signature.parameters.values())[1:])
    given = {} if taken is None or plan is None else {taken: plan}
    try:
        signature.bind(None, **given)
    except TypeError:
        more = "" if taken is None else f", and with --plan a plan as {taken!r}"
        msg = f"{target} cannot be called with one argument; it is given the simulation{more}: {CONTRACT}"
        if target.rpartition(":")[2].rpartition(".")[2].startswith("test"):
            msg += "; a test that is given more, a method or a parametrised one, is played by pytest with --hubkit-seed"
        raise WrongUsage(msg) from None
    return given


def _plan_parameter(others: list[inspect.Parameter]) -> str | None:
    """Which of the parameters after the simulation is the plan: the one that says so, or the only one that must be given."""
    others = [one for one in others if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    plans = [one.name for one in others if re.search(r"\bFaultPlan\b", repr(one.annotation))]
    needed = [one.name for one in others if one.default is one.empty]
    return plans[0] if plans else needed[0] if len(needed) == 1 else None


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
