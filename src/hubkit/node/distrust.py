"""Who was found to lie: not let in for a while, and told of once in a while.

Law of this room: a name is remembered, not a process, for a new boot number is soon made up. And not for long, for a clock
that was set wrong is set right again. Of no more than `MOST` names anything is remembered.
"""

from __future__ import annotations

import math

from hubkit.pids import NodeId, name_of

__all__ = ["BARRED", "MOST", "QUIET", "Distrust"]

#: Seconds for which one that has lied is not let in again.
BARRED = 5.0
#: Seconds in which nothing is said twice of one name.
QUIET = 60.0
MOST = 1000


class Distrust:
    """What one node has found out about others."""

    __slots__ = ("_found", "_said")

    def __init__(self) -> None:
        self._found: dict[str, float] = {}  # name -> when it last lied
        self._said: dict[str, float] = {}  # ... and when that was last told

    def found(self, peer: NodeId, now: float) -> bool:
        """It has lied. Whether that is to be told."""
        name = name_of(peer)
        _put(self._found, name, now)
        if now - self._said.get(name, -math.inf) < QUIET:
            return False
        _put(self._said, name, now)
        return True

    def bars(self, peer: NodeId, now: float) -> bool:
        """Whether it has lied a moment ago."""
        return now - self._found.get(name_of(peer), -math.inf) < BARRED


def _put(table: dict[str, float], name: str, now: float) -> None:
    """Note it as the latest; the earliest goes."""
    table.pop(name, None)
    table[name] = now
    if len(table) > MOST:
        del table[next(iter(table))]
