"""How long the way to a peer and back takes, and how the links to it have fared so far.

Law of this room: a question on the way carries a number and nothing else; when it was asked is known here, by this node's
own clock, so no two clocks are compared. The room is pure: moments are given. The peer answers at once, before whatever
waits, so what is measured is the network and how busy the two processes are, and not how much is being sent.

Refused: the heartbeats themselves as a measure. They are not answered, and their sender's clock is not ours.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hubkit.pids import NodeId, name_of

__all__ = ["CAPABILITY", "Past", "Pasts", "Pulse", "RoundTrip"]

#: The word of who answers.
CAPABILITY = "ping.1"
_KEPT = 256  # measurements that figures are made of
_ASKED = 8  # questions under way at a time
_NAMES = 4096  # peers whose past is remembered


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Seconds to a peer and back, of the latest ``count`` measurements (at most 256)."""

    least: float
    median: float
    p99: float  #: 99 % took no longer
    count: int


class Pulse:
    """The measurements of one link."""

    __slots__ = ("_asked", "_kept", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._asked: dict[int, float] = {}
        self._kept: deque[float] = deque(maxlen=_KEPT)

    def ask(self, now: float) -> int | None:
        """The number of a new question; `None` if enough of them are under way."""
        if len(self._asked) >= _ASKED:
            return None
        self._number += 1
        self._asked[self._number] = now
        return self._number

    def answered(self, number: int, now: float) -> None:
        """An answer has come. One that nobody asked for says nothing."""
        asked = self._asked.pop(number, None)
        if asked is not None:
            self._kept.append(max(0.0, now - asked))

    def figures(self) -> RoundTrip | None:
        """What has been measured; `None`: nothing yet."""
        kept = sorted(self._kept)
        if not kept:
            return None
        last = len(kept) - 1
        return RoundTrip(kept[0], kept[last // 2], kept[-(-99 * len(kept) // 100) - 1], len(kept))


@dataclass(slots=True)
class Past:
    """What became of the links to one peer. ``ups``: how many there were. ``last_error``: why the latest ended."""

    ups: int = 0
    last_error: str | None = None


class Pasts:
    """The past of every peer, by its name: a new boot has that of the old one. The longest forgotten go first."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Past] = {}

    def of(self, peer: NodeId) -> Past:
        """The past of this peer."""
        name = name_of(peer)
        past = self._known.get(name)
        if past is None:
            if len(self._known) >= _NAMES:
                del self._known[next(iter(self._known))]
            past = self._known[name] = Past()
        return past
