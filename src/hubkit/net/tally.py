"""Lines about strangers: some are told, the others are counted, and the count is told.

Law of this room: who knocks does not fill the disk. Of one subject so many lines are told within a period, and then one a
period that says how many there were; of too many subjects, all others together are one. The room is pure: moments are given.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PERIOD", "Tally"]

#: Seconds after which what was counted is told.
PERIOD = 60.0
#: Subjects that are told apart.
MOST = 256

#: Whom it is about, and what happens to it.
Subject = tuple[str, str]


@dataclass(slots=True)
class _Count:
    began: float
    told: int = 0
    untold: int = 0


class Tally:
    """What has been told, and how much has not."""

    def __init__(self, period: float = PERIOD) -> None:
        self.period: float = period
        self._counts: dict[Subject, _Count] = {}  # in the order in which they began

    def __len__(self) -> int:
        return len(self._counts)

    def may_tell(self, who: str, what: str, now: float, *, most: int = 1) -> bool:
        """Whether a line is to be told; otherwise it is counted."""
        count = self._counts.get((who, what))
        if count is None:
            subject = (who, what) if len(self._counts) < MOST else ("others", what)
            count = self._counts.setdefault(subject, _Count(now))
        if count.told < most:
            count.told += 1
            return True
        count.untold += 1
        return False

    def due(self, now: float) -> list[tuple[str, str, int]]:
        """What is to be told now: of whom, what, and how often it was not told."""
        over = [subject for subject, count in self._counts.items() if now - count.began >= self.period]
        found = []
        for subject in over:
            count = self._counts.pop(subject)
            if count.untold:
                found.append((*subject, count.untold))
                self._counts[subject] = _Count(now, count.told)  # as long as it goes on, one line a period
        return found
