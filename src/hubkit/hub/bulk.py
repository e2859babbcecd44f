"""What a process does without while very many children change at once: cyclic garbage collection.

Law of this room: never for long, and never left behind. Starting ten thousand children makes hundreds of thousands of objects
that stay; the collector looks through all of them again and again as they grow, and took half of the time. So it rests
while more than `MANY` children of a hub are on their way, for `SECONDS` at the most, if it was on in the first place.

Refused: other thresholds for good (they are the program's to choose), and `gc.freeze` (it would keep garbage for ever).
"""

from __future__ import annotations

import gc

__all__ = ["MANY", "SECONDS", "Bulk"]

MANY = 500
SECONDS = 10.0

_resting: set[int] = set()  # the hubs of this process for whose sake the collector rests


class Bulk:
    """One hub's part in it."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, pending: int, now: float) -> None:
        """So many children are on their way."""
        if pending <= MANY:
            self.end()
        elif self._since is None:
            self._since = now
            if _resting or gc.isenabled():
                _resting.add(id(self))
                gc.disable()
        elif now - self._since > SECONDS:
            self._wake()

    def end(self) -> None:
        """Nothing is on its way any more."""
        self._since = None
        self._wake()

    def _wake(self) -> None:
        if id(self) in _resting:
            _resting.remove(id(self))
            if not _resting:
                gc.enable()
