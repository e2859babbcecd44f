"""How a person sees a run again: the command that replays it.

Law of this room: the command works as it stands, in the directory in which the run was made: the same trace, the same failure.
A scenario that has a name can be run by it, if all that was said to the run can be said to the command; one that is a part
of a test is replayed with the test. What Hypothesis has drawn is dictated to it then.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hubkit.testing.dictated import drawn_plans, is_drawing
from hubkit.testing.marks import Filled, Simulated
from hubkit.testing.naming import directory, root_directory, target_of
from hubkit.testing.plans import FaultPlan
from hubkit.testing.watching import Checker
from hubkit.testing.written import checker_text, network_text

__all__ = ["LIMIT", "from_here", "pytest_options", "replay_command"]

#: the limit of `Simulation.run`, in virtual seconds, if none is given
LIMIT: Final = 3_600.0

Network = str | Mapping[str, Any]


def replay_command(
    main: Callable[..., object] | None,
    seed: int,
    plan: FaultPlan | None,
    *,
    network: Network = "simulated",
    checkers: Sequence[Checker] = (),
    limit: float = LIMIT,
    played: FaultPlan | None = None,
) -> str:
    """What a person types to see this run again.

    All but ``played`` is what the run was given; ``main`` is `None` for a `Stepper`. ``played``: the plan that it played.
    """
    network = "simulated" if network == "websocket" else network  # what was real is simulated: only that repeats itself
    test = _current_test()
    if not (test and _is_of_test(main, plan, played)):
        target = target_of(main)
        options = None if target is None else _sim_options(target.settings, network, checkers, limit)
        if target is not None and options is not None:
            given = "" if plan is None else f" --plan {_quoted(repr(plan))}"
            return f"hubkit sim {shlex.quote(target.text)} --seed {seed}{given}{options}"
    if test:
        return f"pytest {shlex.quote(from_here(test))}{pytest_options(seed, plan or played)}"
    call, usual = ("Stepper(", math.inf) if main is None else ("Simulation.run(main, ", LIMIT)
    return f"{call}seed={seed}{_arguments(plan, network, checkers, limit, usual)})"


def _arguments(
    plan: FaultPlan | None, network: Network, checkers: Sequence[Checker], limit: float, usual: float
) -> str:
    """What is not usual of it, as arguments of a call."""
    return "".join(
        [
            f", plan={plan!r}" if plan is not None else "",
            f", network={network!r}" if _plain(network) else "",
            f", checkers=[{', '.join(map(_shown, checkers))}]" if checkers else "",
            f", limit={limit!r}" if limit != usual else "",
        ]
    )


def pytest_options(seed: int, plan: FaultPlan | None) -> str:
    """What pytest must be told, besides the name of the test, so that this run comes again."""
    if not is_drawing():
        # The plugin makes the tests with these ids; of others the seed is written in the test.
        return f" --hubkit-seed {seed}" if re.search(rf"[\[-]seed{seed}[]-]", _current_test()) else ""
    drawn = drawn_plans()
    if drawn and plan not in drawn:
        plan = drawn[-1]  # the test has made another one of it
    return f" --hubkit-seed {seed}" + ("" if plan is None else f" --hubkit-plan {_quoted(repr(plan))}")


def _current_test() -> str:
    """The id of the test that pytest is running; empty: there is none."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


def from_here(test: str) -> str:
    """The id of a test, as pytest finds it from the directory in which it was started."""
    file, colons, rest = test.partition("::")
    here, root = directory(), root_directory()
    for place in (here, *here.parents) if root is None else (root,):
        if os.path.isfile(place / file):  # (`Path` raises for names that cannot be)
            return f"{os.path.relpath(place / file, here)}{colons}{rest}"
    return test


def _is_of_test(main: object, plan: FaultPlan | None, played: FaultPlan | None) -> bool:
    """Whether a part of the run is known to the test alone that is running."""
    if isinstance(main, Filled):
        return not main.target
    return plan is None and played is not None and is_drawing()  # it may have been drawn


def _sim_options(settings: Simulated | None, network: Network, checkers: Sequence[Checker], limit: float) -> str | None:
    """What ``hubkit sim`` must be told besides: what it does not know by itself. `None`: it cannot be told."""
    options = ""
    if _plain(network) != _plain("simulated" if settings is None else settings.network):
        text = network_text(network)
        if text is None:
            return None
        options += f" --network {text}"
    if tuple(checkers) != (() if settings is None else settings.checkers):
        texts = [checker_text(checker) for checker in checkers]
        if not texts or None in texts:
            return None
        options += "".join(f" --checker {_quoted(text)}" for text in texts if text is not None)
    return (
        options if limit == (LIMIT if settings is None else settings.limit) else f"{options} --limit {float(limit)!r}"
    )


def _plain(network: Network) -> object:
    """The same for networks that are the same."""
    if isinstance(network, str):
        return {} if network == "simulated" else network
    return dict(network)


def _shown(checker: Checker) -> str:
    """A checker, or its class if it cannot be printed."""
    try:
        return repr(checker)
    except Exception:
        return f"<{type(checker).__name__}>"


def _quoted(text: str) -> str:
    """A text with single quotes in it, for a shell."""
    return shlex.quote(text) if any(c in text for c in '"$`\\!') else f'"{text}"'
