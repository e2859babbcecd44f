"""What is dictated to a Hypothesis test that is replayed: the plan and the seed that it would have drawn.

Law of this room: Hypothesis is asked, never imported: where nobody has loaded it, nothing is drawn. pytest's plugin leaves what
its options say in the environment, for the plugin knows nothing of hubkit. An explicit ``@example`` is left alone: it says
itself what it is.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

from hubkit.errors import ConfigurationError
from hubkit.testing.plans import FaultPlan

__all__ = ["PLAN", "SEED", "drawn_plans", "is_drawing", "plan_to_draw", "remember_drawn", "seed_to_run"]

#: the environment variables that pytest's plugin sets
PLAN = "HUBKIT_REPLAY_PLAN"
SEED = "HUBKIT_REPLAY_SEED"

#: the function of Hypothesis in which explicit examples run
_EXPLICIT = "execute_explicit_examples"


def is_drawing() -> bool:
    """Whether this is a test for which Hypothesis has drawn what it is given."""
    if _context() is None:
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == _EXPLICIT:
            return False
    return True


def seed_to_run(seed: int) -> int:
    """The seed of a simulation that is to be run with ``seed``: in a Hypothesis test, that of ``--hubkit-seed``."""
    dictated = os.environ.get(SEED)
    return int(dictated) if dictated and is_drawing() else seed


def plan_to_draw() -> FaultPlan | None:
    """The plan of ``--hubkit-plan``, to be drawn instead of any other; `None`: there is none. Raises `ConfigurationError`."""
    text = os.environ.get(PLAN)
    return _parsed(text) if text and _context() is not None else None


@lru_cache(maxsize=1)
def _parsed(text: str) -> FaultPlan:
    try:
        return FaultPlan.parse(text)
    except ConfigurationError as error:
        msg = f"--hubkit-plan: {error}"
        raise ConfigurationError(msg) from error


def remember_drawn(plan: FaultPlan) -> None:
    """Keep in mind, for as long as Hypothesis is at this example, that this plan was drawn."""
    context = _context()
    if context is not None:
        vars(context).setdefault("hubkit_plans", []).append(plan)


def drawn_plans() -> tuple[FaultPlan, ...]:
    """The plans that were drawn for this example."""
    return tuple(getattr(_context(), "hubkit_plans", ()))


def _context() -> Any:
    """What Hypothesis has for the example at which it is; `None` outside of its tests."""
    hypothesis = sys.modules.get("hypothesis")
    asked = getattr(hypothesis, "currently_in_test_context", None)
    return sys.modules["hypothesis.control"].current_build_context() if asked is not None and asked() else None
