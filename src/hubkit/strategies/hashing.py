"""Rendezvous hashing: every pair of a child and a node has a number, and the greatest wins.

Law of this room: `rank` is the definition, and `Field` answers the same, faster. A field does the arithmetic of all its nodes
at once, in the lanes of one large integer, and looks at the first bytes before it compares whole numbers: 50 nodes cost a
quarter of what they cost one by one, and 10,000 children that are compared with a newcomer a tenth.

Nodes of different weights: the number, read as a fraction u of 1, counts as ``weight / -log(u)``, so that each node wins in
proportion to its weight, and a change of one weight moves children only to or from that node. Where all weights are equal
the order is that of the numbers themselves.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log

from hubkit.cluster.policy import NodeView

__all__ = ["Field", "rank"]

_MASK = (1 << 64) - 1
_UNIT = 2.0**-52
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
#: children that are compared at once: more would not be faster, and takes memory
_BATCH = 4096


@lru_cache(maxsize=1 << 17)
def digest(text: str) -> int:
    """64 bits of a name."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def number(node: int, child: int) -> int:
    """64 bits of a pair, given by their digests."""
    # A finalizer as of splitmix: each bit of the difference reaches all bits of the number.
    mixed = ((node ^ child) * _FIRST) & _MASK
    mixed = ((mixed ^ mixed >> 32) * _SECOND) & _MASK
    return mixed ^ mixed >> 29


def score(number: int, weight: float) -> float:
    """What a number counts with a weight. (52 bits of it are a float that is never 0 or 1.)"""
    return -weight / log(((number >> 12) + 0.5) * _UNIT)


def _scores(numbers: Sequence[int], weights: Sequence[float]) -> list[float]:
    """`score` of many: a call for each would take as long again."""
    return [-weight / log(((number >> 12) + 0.5) * _UNIT) for number, weight in zip(numbers, weights, strict=True)]


def rank(child: str, nodes: Iterable[NodeView], pins: Sequence[str] = ()) -> list[str]:
    """The names of all nodes, best first: those where the child was put by hand, in that order, and then by number."""
    views = list(nodes)
    weighted = len({view.weight for view in views}) > 1
    own = digest(child)

    def key(view: NodeView) -> tuple[int, float, int]:
        pinned = len(pins) - pins.index(view.name) if view.name in pins else 0
        drawn = number(digest(view.name), own)
        return (pinned, score(drawn, view.weight) if weighted else 0.0, drawn)

    return [view.name for view in sorted(views, key=key, reverse=True)]


# -- many at once: each number in the lower half of a lane of 16 bytes, with room for its product with 8 more -------------

_LANE = 16
_BITS = 8 * _LANE


def _pack(numbers: Sequence[int]) -> int:
    return int.from_bytes(b"".join([number.to_bytes(_LANE, "little") for number in numbers]), "little")


def _ones(count: int) -> int:
    return int.from_bytes((b"\1" + bytes(_LANE - 1)) * count, "little")


def _mix(pairs: int, ones: int, low: int) -> int:
    """`number` of each lane: of the exclusive or of two digests. ``ones``: 1 in each lane, ``low``: 64 bits in each."""
    mixed = (pairs * _FIRST) & low
    mixed = ((mixed ^ (mixed >> 32 & low)) * _SECOND) & low
    return mixed ^ (mixed >> 29)  # what comes from the next lane ends above the 64 bits


def _numbers(pairs: int, count: int) -> list[int]:
    """The same, lane by lane."""
    ones = _ones(count)
    lanes = array("Q", _mix(pairs, ones, ones * _MASK).to_bytes(_LANE * count, "little"))
    if sys.byteorder != "little":  # pragma: no cover  # few machines are
        lanes.byteswap()
    return lanes[::2].tolist()


def _greatest(numbers: bytes, firsts: bytes) -> int:
    """Which lane has the greatest number. ``firsts``: the most significant byte of each."""
    most = max(firsts)
    if firsts.count(most) == 1:
        return firsts.index(most)
    rivals = [lane for lane, first in enumerate(firsts) if first == most]
    return max(rivals, key=lambda lane: numbers[_LANE * lane : _LANE * lane + 8][::-1])


class Field:
    """Nodes, made ready to be asked about many children."""

    __slots__ = ("_classes", "_lanes", "_low", "_names", "_nodes", "_ones", "_size", "_weights")

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self._nodes = tuple(nodes)
        ordered = sorted(self._nodes, key=lambda view: view.weight)  # nodes of one weight stand side by side
        self._names = [view.name for view in ordered]
        self._weights: Mapping[str, float] = {view.name: view.weight for view in ordered}
        self._size = _LANE * len(ordered)
        self._ones = _ones(len(ordered))
        self._low = self._ones * _MASK
        self._lanes = _pack([digest(name) for name in self._names])
        self._classes: list[tuple[float, int, int]] = []  # weight, where its nodes begin, where they end
        for end, view in enumerate(ordered, 1):
            if self._classes and self._classes[-1][0] == view.weight:
                self._classes[-1] = (view.weight, self._classes[-1][1], end)
            else:
                self._classes.append((view.weight, end - 1, end))

    def best(self, child: str) -> str:
        """The first of `rank`, without pins. There must be a node."""
        pairs = self._lanes ^ (digest(child) * self._ones)
        numbers = _mix(pairs, self._ones, self._low).to_bytes(self._size, "little")
        firsts = numbers[7::_LANE]
        if len(self._classes) == 1:
            return self._names[_greatest(numbers, firsts)]
        winner, greatest = 0, (-1.0, -1)
        for weight, begin, end in self._classes:  # within a class the greatest number wins
            at = begin + _greatest(numbers[_LANE * begin :], firsts[begin:end])
            drawn = int.from_bytes(numbers[_LANE * at : _LANE * at + 8], "little")
            found = (score(drawn, weight), drawn)
            if found > greatest:
                winner, greatest = at, found
        return self._names[winner]

    def rank(self, child: str, pins: Sequence[str] = ()) -> list[str]:
        """The same as the function `rank`."""
        return rank(child, self._nodes, pins)

    def overtaken(self, children: Sequence[str], lasts: Sequence[str], joined: Sequence[str]) -> list[int]:
        """Positions of the children for whom one of ``joined`` counts more than the last of their owners."""
        found: set[int] = set()
        weighted = len(self._classes) > 1
        packed = {name: digest(name).to_bytes(_LANE, "little") for name in self._names}
        for begin in range(0, len(children), _BATCH):
            own = [digest(child) for child in children[begin : begin + _BATCH]]
            count, lanes = len(own), _pack(own)
            owners = lasts[begin : begin + _BATCH]
            mine = _numbers(lanes ^ int.from_bytes(b"".join([packed[owner] for owner in owners]), "little"), count)
            scores = _scores(mine, [self._weights[owner] for owner in owners]) if weighted else mine
            for name in joined:
                theirs = _numbers(lanes ^ int.from_bytes(packed[name] * count, "little"), count)
                rivals = _scores(theirs, [self._weights[name]] * count) if weighted else theirs
                found.update(
                    [begin + at for at, (new, old) in enumerate(zip(rivals, scores, strict=True)) if new >= old]
                )
        return sorted(found)
