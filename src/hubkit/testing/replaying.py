"""How a person sees a run again: the command that replays it.

Law of this room: the command works as it stands, in the directory in which the run was made. A scenario that has a name can
be run by it; one that is a part of a test is replayed with the test.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from hubkit.testing.plans import FaultPlan

__all__ = ["replay_command"]


def replay_command(main: Callable[..., object] | None, seed: int, plan: FaultPlan | None) -> str:
    """What a person types to see this run again."""
    given = "" if plan is None else f" --plan {_quoted(repr(plan))}"
    name, module = getattr(main, "__qualname__", "<"), sys.modules.get(getattr(main, "__module__", None) or "")
    if name.isidentifier() and module is not None and getattr(module, name, None) is main:
        where, spec = module.__name__, getattr(module, "__spec__", None)
        if where == "__main__":
            where = spec.name if spec is not None else Path(getattr(module, "__file__", None) or "main").stem
        return f"hubkit sim {where}:{name} --seed {seed}{given}"
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test:
        return f"pytest {shlex.quote(test)}{getattr(main, 'hubkit_replay', '')}"
    return f"Simulation.run(main, seed={seed}{'' if plan is None else f', plan={plan!r}'})"


def _quoted(text: str) -> str:
    """A text with single quotes in it, for a shell."""
    return shlex.quote(text) if any(c in text for c in '"$`\\!') else f'"{text}"'
