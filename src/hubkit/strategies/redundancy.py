"""How many copies of each child there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubkit.errors import ConfigurationError
from hubkit.specs import check_count, check_seconds

__all__ = ["Replication", "Singularity"]

_MODELS = ("active_passive", "active_active")


@dataclass(frozen=True, slots=True)
class Singularity:
    """One copy of each child, wherever it belongs."""

    def copies(self, nodes: int) -> int:
        """One."""
        return 1


@dataclass(frozen=True, slots=True)
class Replication:
    """Several copies of each child, on nodes of their own.

    ``factor``: how many, or ``"all"``: one on every node that is ready. With fewer nodes there are as many as there can be.

    ``model="active_passive"``: one copy is active and handles messages; the others stand by with the newest state that
    they were given, and handle nothing. When the active one dies the copy with the newest state takes over. Each is
    told of every change by ``on_role`` and ``context.role``. A ref reaches the active one.
    ``model="active_active"``: all copies are active, each with a state of its own. A ref reaches the nearest one, and
    ``hub.pids`` names all. ``context.term`` is no fencing token then.

    ``checkpoint``: when the passive copies are given the state (``handover_state``): ``"manual"``, by
    ``await context.checkpoint()`` alone, or every so many seconds besides, if a message was handled meanwhile. In quiet the
    death of the active node loses nothing that was in a checkpoint; an actor that was restarted on the spot goes on from
    the last one, too.

    Raises `ConfigurationError` for a factor that is neither ``"all"`` nor a number of at least 1, an unknown model, or a
    ``checkpoint`` that is neither ``"manual"`` nor a number of seconds above 0.
    """

    factor: int | Literal["all"] = 2
    model: Literal["active_passive", "active_active"] = "active_passive"
    checkpoint: float | Literal["manual"] = "manual"

    def __post_init__(self) -> None:
        if isinstance(self.factor, str) and self.factor != "all":
            msg = f"Replication.factor must be a number of copies, or 'all', not {self.factor!r:.80}"
            raise ConfigurationError(msg)
        if not isinstance(self.factor, str):
            check_count(self.factor, "Replication.factor", least=1)
        if self.model not in _MODELS:
            msg = f"Replication.model must be 'active_passive' or 'active_active', not {self.model!r:.80}"
            raise ConfigurationError(msg)
        if self.checkpoint != "manual":
            check_seconds(self.checkpoint, "Replication.checkpoint", zero=False)

    @property
    def active(self) -> Literal["one", "all"]:
        """Which of the copies handle messages."""
        return "all" if self.model == "active_active" else "one"

    def copies(self, nodes: int) -> int:
        """The factor, or the number of ready nodes."""
        return max(1, nodes) if isinstance(self.factor, str) else self.factor
