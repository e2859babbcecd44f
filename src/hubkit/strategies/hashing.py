"""Rendezvous hashing: every pair of a child and a node has a number, and the greatest wins.

Law of this room: `rank` is the definition, and `Field` answers the same, faster. A field does the arithmetic of all its nodes
at once, in the lanes of one large integer: 50 nodes cost half of what they cost one by one, and 10,000 children that are
compared with a newcomer a tenth.

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
    return weight / -log(((number >> 12) + 0.5) * 2.0**-52)


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


# -- many at once: each number in the lower half of a lane of 128 bits, room for its product with 64 more ---------------


def _pack(numbers: Sequence[int]) -> int:
    lanes = array("Q", bytes(16 * len(numbers)))
    lanes[::2] = array("Q", numbers)
    return int.from_bytes(lanes.tobytes(), sys.byteorder) if sys.byteorder == "little" else _pack_slowly(numbers)


def _pack_slowly(numbers: Sequence[int]) -> int:
    return int.from_bytes(b"".join(number.to_bytes(16, "little") for number in numbers), "little")


def _numbers(pairs: int, ones: int) -> list[int]:
    """`number` of each lane of ``pairs``, the exclusive or of two digests; ``ones`` has a 1 in each lane."""
    low = ones * _MASK
    mixed = (pairs * _FIRST) & low
    mixed = ((mixed ^ (mixed >> 32 & low)) * _SECOND) & low
    count = (ones.bit_length() + 127) // 128
    lanes = array("Q", (mixed ^ (mixed >> 29)).to_bytes(16 * count, "little"))
    if sys.byteorder != "little":  # pragma: no cover  # few machines are
        lanes.byteswap()
    return lanes[::2].tolist()


def _ones(count: int) -> int:
    return _pack([1] * count)


class Field:
    """Nodes, made ready to be asked about many children."""

    __slots__ = ("_classes", "_lanes", "_names", "_nodes", "_ones", "_weights")

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self._nodes = tuple(nodes)
        ordered = sorted(self._nodes, key=lambda view: view.weight)  # nodes of one weight stand side by side
        self._names = [view.name for view in ordered]
        self._weights: Mapping[str, float] = {view.name: view.weight for view in ordered}
        self._ones = _ones(len(ordered))
        self._lanes = _pack([digest(name) for name in self._names])
        self._classes: list[tuple[float, int, int]] = []  # weight, where its nodes begin, where they end
        for end, view in enumerate(ordered, 1):
            weight, begin, _ = self._classes[-1] if self._classes else (0.0, 0, 0)
            if weight == view.weight:
                self._classes[-1] = (weight, begin, end)
            else:
                self._classes.append((view.weight, end - 1, end))

    def best(self, child: str) -> str:
        """The first of `rank`, without pins. There must be a node."""
        numbers = _numbers(self._lanes ^ (digest(child) * self._ones), self._ones)
        if len(self._classes) == 1:
            return self._names[numbers.index(max(numbers))]
        greatest: tuple[float, int] = (-1.0, -1)
        for weight, begin, end in self._classes:
            drawn = max(numbers[begin:end])
            found = (score(drawn, weight), drawn)
            if found > greatest:
                greatest, at, until = found, begin, end
        return self._names[numbers.index(greatest[1], at, until)]

    def rank(self, child: str, pins: Sequence[str] = ()) -> list[str]:
        """The same as the function `rank`."""
        return rank(child, self._nodes, pins)

    def overtaken(self, children: Sequence[str], lasts: Sequence[str], joined: Sequence[str]) -> list[int]:
        """Positions of the children for whom one of ``joined`` counts more than the last of their owners."""
        found: set[int] = set()
        for begin in range(0, len(children), _BATCH):
            own = [digest(child) for child in children[begin : begin + _BATCH]]
            lanes, ones = _pack(own), _ones(len(own))
            last = lasts[begin : begin + _BATCH]
            mine = _numbers(lanes ^ _pack([digest(name) for name in last]), ones)
            for name in joined:
                drawn = _numbers(lanes ^ (digest(name) * ones), ones)
                if len(self._classes) == 1:
                    wins = [at for at, (new, old) in enumerate(zip(drawn, mine, strict=True)) if new > old]
                else:
                    weight = self._weights[name]
                    wins = [
                        at
                        for at, (new, old, owner) in enumerate(zip(drawn, mine, last, strict=True))
                        if (score(new, weight), new) > (score(old, self._weights[owner]), old)
                    ]
                found.update(begin + at for at in wins)
        return sorted(found)
