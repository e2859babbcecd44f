"""How a child changes nodes."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.errors import ConfigurationError
from hubkit.specs import check_seconds

__all__ = ["ColdSwap", "HotSwap"]


@dataclass(frozen=True, slots=True)
class ColdSwap:
    """Stop here, then start there: never two at once, a short gap, and no state carried along."""

    @property
    def warm(self) -> bool:
        """The new copy is not prepared beforehand."""
        return False


@dataclass(frozen=True, slots=True)
class HotSwap:
    """Start there, then stop here: the child goes on where it was until the new copy is ready, and takes its state along.

    ``handover``: the old copy takes no more messages, its ``handover_state()`` goes to ``accept_handover`` of the new
    one, and the messages that wait follow it. Without, the new copy begins as it is made. ``retention``: seconds for which
    what still arrives at the old place is passed on.

    If anything fails (a state that cannot travel, a handover that raises, a target that dies) the old copy goes on,
    `MoveFailed` says why, and the move is tried again after 1 s, 2 s, 4 s and so on, at most 15 s. A crash, and a node that
    dies, still lose the state: see `Replication`.

    Raises `ConfigurationError` for a ``handover`` that is no bool, and a ``retention`` below 0.
    """

    handover: bool = True
    retention: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.handover, bool):
            msg = f"HotSwap.handover must be True or False, not {self.handover!r:.80}"
            raise ConfigurationError(msg)
        check_seconds(self.retention, "HotSwap.retention", zero=True)

    @property
    def warm(self) -> bool:
        """The new copy is prepared before the old one stops."""
        return True
