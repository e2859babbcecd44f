"""What is made of an answer: at most so many proper URLs, and a word on the rest.

Law of this room: it is pure, and it believes nothing. An answer may be no list, hold things that are no URLs, this node's own
address, or ten thousand others; it may have no end. What remains is bounded, and does not depend on the order in which a
server happens to list the same addresses: what was used before stays, so that links are not dropped for others as good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from hubkit.discovery.protocol import Pace
from hubkit.errors import ConfigurationError
from hubkit.net.address import parse
from hubkit.net.lines import one_line

__all__ = ["MOST", "READ", "Complaints", "Sifted", "patience", "sift"]

#: URLs of one discovery that are used. One that answers is enough; the rest is learnt from it.
MOST: Final = 256
#: Items of one answer that are looked at.
READ: Final = 4096
#: Good answers in a row after which what was told is told anew, should it happen again.
FORGIVEN: Final = 12


@dataclass(frozen=True, slots=True)
class Sifted:
    """The URLs to use, sorted, and what is wrong with the answer: a word for its kind, and a sentence."""

    urls: tuple[str, ...]
    complaints: tuple[tuple[str, str], ...] = ()


def sift(answer: Iterable[object], own: str | None, before: Collection[str] = ()) -> Sifted:
    """What to use of ``answer``. ``own``: this node's URL in its normal form; it is left out.

    ``before``: what was used till now, and is preferred.
    Raises `TypeError` if the answer is no iterable of items, and whatever iterating over it raises.
    """
    if isinstance(answer, str | bytes):
        msg = f"an answer must be an iterable of URLs, not {answer!r:.80}"
        raise TypeError(msg)
    read = list(islice(answer, READ + 1))
    found: dict[str, None] = {}
    wrong: list[str] = []
    for item in read[:READ]:
        try:
            found[str(parse(item, "it"))] = None
        except ConfigurationError as error:
            wrong.append(one_line(error))
    if own is not None:
        found.pop(own.rstrip("/"), None)
    complaints = []
    if wrong:
        complaints.append(("garbage", f"{len(wrong)} of {len(read)} answers are no addresses; the first: {wrong[0]}"))
    if len(found) > MOST or len(read) > READ:
        several = f"more than {READ}" if len(read) > READ else len(found)
        complaints.append(("many", f"of {several} addresses only {MOST} are used"))
    kept = [url for url in found if url in before]
    kept += [url for url in found if url not in before]
    return Sifted(tuple(sorted(kept[:MOST])), tuple(complaints))


def patience(pace: Pace, failures: int) -> float:
    """Seconds to wait after so many failures in a row (0: the answer was good)."""
    if not failures:
        return pace.every
    doubled: float = pace.first * 2.0 ** min(failures - 1, 16)
    return min(pace.most, doubled)


@dataclass(slots=True)
class Complaints:
    """What has been told of one discovery: each kind of trouble once, until it has long been good again."""

    _told: set[str] = field(default_factory=set)
    _good: int = 0

    def news(self, kind: str) -> bool:
        """There is trouble of this kind: is it to be told?"""
        self._good = 0
        if kind in self._told or len(self._told) >= MOST:
            return False
        self._told.add(kind)
        return True

    def good(self) -> None:
        """An answer was good."""
        self._good += 1
        if self._good >= FORGIVEN:
            self._told.clear()
