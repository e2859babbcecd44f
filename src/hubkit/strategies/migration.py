"""How a child changes nodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hubkit.errors import ConfigurationError
from hubkit.specs import check_count, check_seconds

__all__ = ["ColdSwap", "HotSwap"]


Veto = Callable[[str, str, str], bool]


def _check_limits(migration: ColdSwap | HotSwap) -> None:
    name = type(migration).__name__
    if migration.max_moves is not None:
        check_count(migration.max_moves, f"{name}.max_moves", least=1)
    rate = migration.max_rate
    if rate is not None and (
        isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0
    ):
        msg = f"{name}.max_rate must be moves a second, more than 0, or None; not {rate!r:.80}"
        raise ConfigurationError(msg)
    if migration.veto is not None and not callable(migration.veto):
        msg = f"{name}.veto must be a function of (child, source, target), or None; not {migration.veto!r:.80}"
        raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class ColdSwap:
    """Stop here, then start there: never two at once, a short gap, and no state carried along.

    ``max_moves``: how many children may be on their way from one node at a time. ``max_rate``: how many may begin to move
    from one node in a second. ``veto``: a pure function ``veto(child, source, target)``; where it is true the child stays, as
    long as its node does not leave. `None`: no limit, no veto.

    Raises `ConfigurationError` for limits that are not above 0, and a veto that cannot be called.
    """

    max_moves: int | None = None
    max_rate: float | None = None
    veto: Veto | None = None

    def __post_init__(self) -> None:
        _check_limits(self)

    @property
    def warm(self) -> bool:
        """The new copy is not prepared beforehand."""
        return False


@dataclass(frozen=True, slots=True)
class HotSwap:
    """Start there, then stop here: the child goes on where it was until the new copy is ready, and takes its state along.

    ``handover``: the old copy takes no more messages, its ``handover_state()`` goes to ``accept_handover`` of the new
    one. Without, the new copy begins as it is made. The messages that wait follow it. ``retention``: seconds for which
    what still arrives at the old place is passed on. ``max_moves``, ``max_rate``, ``veto``: as of `ColdSwap`.

    If anything fails (a state that cannot travel, a handover that raises, a target that dies) the old copy goes on,
    `MoveFailed` says why, and the move is tried again after 1 s, 2 s, 4 s and so on, at most 15 s. A crash, and a node that
    dies, still lose the state: see `Replication`.

    Raises `ConfigurationError` for a ``handover`` that is no bool, and a ``retention`` below 0.
    """

    handover: bool = True
    retention: float = 5.0
    max_moves: int | None = None
    max_rate: float | None = None
    veto: Veto | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.handover, bool):
            msg = f"HotSwap.handover must be True or False, not {self.handover!r:.80}"
            raise ConfigurationError(msg)
        check_seconds(self.retention, "HotSwap.retention", zero=True)
        _check_limits(self)

    @property
    def warm(self) -> bool:
        """The new copy is prepared before the old one stops."""
        return True
