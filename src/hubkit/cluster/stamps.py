"""Stamps: the one clock of the replicated map.

Law of this room: every write has its own stamp; the stamps of one writer only grow; and a write is stamped later than
everything its writer had seen. So a stamp is both *order* (the greater one wins) and *dot* (it names one write), and the
newest stamp seen per writer, a `Version`, says exactly which writes somebody has seen.

The clock is a hybrid logical one: wall-clock milliseconds, and a tick where those do not suffice. Wall time only makes the
order plausible to people; nothing depends on clocks that agree. One bad clock could win for ever, though, so stamps from
too far ahead are refused at the door (`hubkit.cluster.credence`), and nobody's drag this clock beyond its ``limit``: only what
is to be replaced by a later write does.

Refused: a vector clock per row (costs a vector per row and leaves the conflicts to the caller).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from hubkit.pids import NodeId

__all__ = ["NEVER", "TICKS", "HybridClock", "Moment", "Stamp", "Version", "covers", "includes"]

#: When, by one writer's clock: milliseconds, and a tick within them.
Moment: TypeAlias = tuple[int, int]

#: So many ticks fit into a millisecond; then the next one has begun.
TICKS = 1 << 31

#: Before the first moment.
NEVER: Moment = (-1, -1)

#: The newest moment seen of each writer.
Version: TypeAlias = Mapping[NodeId, Moment]


class Stamp(NamedTuple):
    """When and by whom a row was written. Stamps are ordered, and no two writes share one.

    (A named tuple, as rows are: they are made and compared by the ten thousand.)
    """

    time_ms: int
    tick: int
    node: NodeId


def covers(version: Version, stamp: Stamp) -> bool:
    """Whether somebody with this version has seen the write of this stamp."""
    seen = version.get(stamp[2])
    return seen is not None and seen >= stamp[:2]


def includes(version: Version, other: Version) -> bool:
    """Whether ``version`` has seen everything that ``other`` has."""
    get = version.get
    return all(get(writer, NEVER) >= moment for writer, moment in other.items())


class HybridClock:
    """Makes the stamps of one node."""

    __slots__ = ("last", "limit", "node", "offset")

    def __init__(self, node: NodeId, offset: float = 0.0) -> None:
        self.node: NodeId = node
        self.offset: float = offset
        self.last: Moment = NEVER
        self.limit: Moment = (1 << 62, 0)

    def wall_ms(self, now: float) -> int:
        """Wall-clock milliseconds at the monotonic time ``now``."""
        return int((now + self.offset) * 1000)

    def next(self, now: float) -> Stamp:
        """A stamp later than every one made or witnessed before."""
        wall = self.wall_ms(now)
        time_ms, tick = self.last
        if wall > time_ms:
            self.last = (wall, 0)
        else:
            self.last = (time_ms, tick + 1) if tick + 1 < TICKS else (time_ms + 1, 0)
        return Stamp(*self.last, self.node)

    def witness(self, moment: Moment) -> None:
        """Somebody's write of this moment has been seen: what is written here from now on is later, as far as that goes."""
        if moment > self.last:
            self.last = moment if moment <= self.limit else max(self.last, self.limit)

    def outdo(self, moment: Moment) -> None:
        """What is written here next is later than this, however far ahead that is: it replaces it."""
        self.last = max(moment, self.last)
