"""How many children may be on the move from here: limits of the migration strategy, and its veto.

Law of this room: a child that may not move yet stays where it is, and waits in line; whoever is done lets the next one
look again. A node that leaves keeps to the limits, but no veto holds it.
"""

from __future__ import annotations

from hubkit.cluster.policy import Migration
from hubkit.pids import NodeId, name_of

__all__ = ["Moves"]


class Moves:
    """Moves from one node. ``waiting``: children that would move if they might."""

    __slots__ = ("_filled", "_me", "_migration", "_most", "_moving", "_rate", "_room", "waiting")

    def __init__(self, me: NodeId, migration: Migration) -> None:
        self._me = me
        self._migration = migration
        self._most: int | None = getattr(migration, "max_moves", None)
        self._rate: float | None = getattr(migration, "max_rate", None)
        self._moving: set[str] = set()
        self._room = max(1.0, self._rate or 0.0)  # so many may begin at once
        self._filled = 0.0
        self.waiting: set[str] = set()

    def objects(self, child: str, heir: NodeId, *, leaving: bool) -> bool:
        """Whether the strategy has a veto against this move."""
        veto = getattr(self._migration, "veto", None)
        return veto is not None and not leaving and bool(veto(child, name_of(self._me), name_of(heir)))

    def may_begin(self, child: str, now: float) -> bool:
        """Whether this child may begin to move now; if not, it waits."""
        if child in self._moving:
            return True
        if self._most is not None and len(self._moving) >= self._most:
            self.waiting.add(child)
            return False
        if self._rate is not None:
            self._room = min(max(1.0, self._rate), self._room + (now - self._filled) * self._rate)
            self._filled = now
            if self._room < 1.0:
                self.waiting.add(child)
                return False
        return True

    def begun(self, child: str) -> None:
        """This child moves."""
        if child not in self._moving:
            self._moving.add(child)
            self.waiting.discard(child)
            if self._rate is not None:
                self._room -= 1.0

    def over(self, child: str) -> bool:
        """This child moves no more; whether it did, so that those that wait should look again."""
        if child not in self._moving:
            return False
        self._moving.discard(child)
        return bool(self.waiting)
