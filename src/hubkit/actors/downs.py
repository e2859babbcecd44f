"""Which `Down` waits in an actor's mailbox, so that any of them can be forgotten at once.

Law of this room: what is forgotten stays where it is until its turn, is not handled then, and takes no room meanwhile. To
look for it among all that waits was refused: whoever stops watching thousands that have ended would do so for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.actors.messages import Down

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["Downs"]


class Downs:
    """Those of one actor. ``forgotten``: how many wait in vain."""

    __slots__ = ("_cell", "_waiting", "forgotten")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._waiting: set[int] = set()  # by the numbers of their monitors
        self.forgotten: int = 0

    def __contains__(self, down: Down) -> bool:
        return down.monitor.number in self._waiting

    def add(self, down: Down) -> None:
        """It is put into the mailbox."""
        self._waiting.add(down.monitor.number)

    def forget(self, number: int) -> None:
        """If it waits, it is not to be handled."""
        if number in self._waiting:
            self._waiting.discard(number)
            self.forgotten += 1
            self._cell.capacity += 1
            self._cell.admit()

    def take(self, down: Down) -> bool:
        """Its turn has come. Returns whether it is to be handled."""
        if down in self:
            self._waiting.discard(down.monitor.number)
            return True
        self.forgotten -= 1
        self._cell.capacity -= 1
        self._cell.handled -= 1
        return False
