"""Runs: calls, answers and casts of one kind that follow each other on a link, as one message in columns.

Law of this room: a run says what its messages would say one after the other, and stands where they would stand. It grows only
as long as it is the last that waits on its link, so nothing overtakes anything. What is in it is light values, so that it
can be written whenever the link wants it, and nobody can change it until then.

The CBOR library writes and reads a run in one go, and its values are checked in one go: a request of a run takes half of the
time that it takes alone. Refused: runs over several kinds or methods, which would need a row for each, and save nothing.

On the wire, each with the number of messages that it counts for behind it; numbers and serials are bytes, eight for each:

* ``[CALLS, method, numbers, serials, [argument, ...], [seconds left or null, ...] or null, [chain, ...] or null]``:
  calls with as many arguments each, which stand one after the other; null where none has a deadline, or callers of its own;
* ``[REPLIES, numbers, [result, ...]]``: the answers of calls that went well;
* ``[CASTS, serial, method, count, [argument, ...]]``: casts to one actor that nobody waits for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from struct import pack, unpack
from typing import Any

from hubkit.errors import ProtocolViolation
from hubkit.net.cbor import encode
from hubkit.net.scalars import text
from hubkit.net.wire import COUNTED, Kind
from hubkit.node.packing import are_light
from hubkit.node.refs import plain_chain
from hubkit.node.relays import CALL, CAST
from hubkit.node.shapes import CALLS, CASTS, REPLIES, REPLY
from hubkit.pids import Pid

__all__ = [
    "CAPABILITY",
    "HEAVY",
    "MOST",
    "MOST_BARE",
    "MOST_CASTS",
    "Calls",
    "Casts",
    "Replies",
    "check_calls",
    "check_casts",
    "check_replies",
    "pack_numbers",
    "read_numbers",
    "weigh",
    "weigh_chain",
]

#: The word of who reads runs.
CAPABILITY = "runs.1"
#: Calls or answers in one run: so many are worth a frame, and the other side has something to do early. Casts: nobody waits.
MOST, MOST_CASTS = 64, 256
#: Bytes of values in one run, and of those of one message in it.
_ROOM, HEAVY = 1 << 16, 4096
#: Casts without arguments in one run, of whomever: they add nothing to it, and must not cost much more than it.
MOST_BARE = 16

_APP = int(Kind.APP)
_INT = 1 << 63
_NUMBER = 9  # bytes, at most
_PID = 32  # bytes, at most, and its node's name
_TIMES: frozenset[type] = frozenset({float, int, type(None)})
_PLAIN = frozenset({float, bool, type(None)})
_LIGHT = _PLAIN | {str}


def weigh(values: Iterable[Any]) -> int:
    """How many bytes these values have at most; -1: they are not all light."""
    weight = 0
    for value in values:
        kind = type(value)
        if kind is int:
            if not -_INT <= value < _INT:
                return -1
        elif kind is str:
            if value.isascii():
                weight += len(value)
            elif text(value) is None:  # half a surrogate pair
                return -1
            else:
                weight += 4 * len(value)
        elif kind not in _PLAIN:
            return -1
        weight += _NUMBER
    return weight


def weigh_chain(chain: tuple[Pid, ...]) -> int:
    """The same for the callers of a call, who may come from others, and have any names."""
    return sum(_PID + 4 * len(pid.node) for pid in chain)


def pack_numbers(numbers: list[int]) -> bytes:
    """Numbers from 0 to 2**64 - 1, in a tenth of the time that the library takes."""
    return pack(f">{len(numbers)}Q", *numbers)


def read_numbers(data: bytes) -> tuple[int, ...]:
    """What `pack_numbers` has written. Raises `ProtocolViolation`."""
    count = len(data) // 8
    if len(data) % 8 or not 0 < count <= COUNTED:
        msg = "the numbers of a run make no sense"
        raise ProtocolViolation(msg)
    return unpack(f">{count}Q", data)


# Its heirs say the types again because they set them, too: a type checker would take them to be narrower.
class _Run:
    """``is_open``: it can be added to. ``room``: how many bytes, about."""

    __slots__ = ("is_open", "room")

    def __init__(self) -> None:
        self.is_open: bool = True
        self.room: int = _ROOM


class Calls(_Run):
    """Calls of one method, with ``width`` arguments each."""

    __slots__ = ("_args", "_chains", "_left", "_numbers", "_serials", "method", "width")

    is_open: bool
    room: int

    def __init__(self, method: str, width: int) -> None:
        super().__init__()
        self.method: str = method
        self.width: int = width
        self._numbers: list[int] = []
        self._serials: list[int] = []
        self._args: list[Any] = []
        self._left: list[float | None] | None = None
        self._chains: list[list[Any]] | None = None

    def add(
        self, number: int, serial: int, args: tuple[Any, ...], left: float | None, chain: tuple[Pid, ...], weight: int
    ) -> None:
        """One more, to an actor of the node that it goes to; ``left``: the seconds that it has, if it has not all of them.

        ``weight``: that of its arguments and its chain.
        """
        numbers = self._numbers
        if left is not None or self._left is not None:
            if self._left is None:
                self._left = [None] * len(numbers)
            self._left.append(left)
        if chain or self._chains is not None:
            if self._chains is None:
                self._chains = [[] for _ in numbers]
            self._chains.append(plain_chain(chain))
        numbers.append(number)
        self._serials.append(serial)
        self._args += args
        self.room -= weight
        if self.room <= 0 or len(numbers) >= MOST:
            self.is_open = False

    def close(self) -> tuple[bytes, int]:
        """See `hubkit.net.outbox.Growing`."""
        self.is_open = False
        numbers, left, chains = self._numbers, self._left, self._chains
        if len(numbers) == 1:
            end = [[] if chains is None else chains[0], self._args, None if left is None else left[0]]
            return encode([_APP, [CALL, numbers[0], self._serials[0], self.method, *end]]), 1
        run = [CALLS, self.method, pack_numbers(numbers), pack_numbers(self._serials), self._args, left, chains]
        return encode([_APP, run, len(numbers)]), len(numbers)


class Replies(_Run):
    """Results of calls that went well."""

    __slots__ = ("_numbers", "_results")

    is_open: bool
    room: int

    def __init__(self) -> None:
        super().__init__()
        self._numbers: list[int] = []
        self._results: list[Any] = []

    def add(self, number: int, result: Any) -> bool:
        """One more. `False`: nothing was done, it does not go with the others."""
        weight = _NUMBER if type(result) is int and -_INT <= result < _INT else weigh((result,))
        if not 0 <= weight <= HEAVY:
            return False
        numbers = self._numbers
        numbers.append(number)
        self._results.append(result)
        self.room -= weight
        if self.room <= 0 or len(numbers) >= MOST:
            self.is_open = False
        return True

    def close(self) -> tuple[bytes, int]:
        """See `hubkit.net.outbox.Growing`."""
        self.is_open = False
        numbers = self._numbers
        if len(numbers) == 1:
            return encode([_APP, [REPLY, numbers[0], 0, self._results[0]]]), 1
        return encode([_APP, [REPLIES, pack_numbers(numbers), self._results], len(numbers)]), len(numbers)


class Casts(_Run):
    """Casts to one actor, of one method, with as many arguments each. ``given``: the method as their sender wrote it."""

    __slots__ = ("args", "count", "given", "heard", "is_written", "method", "pid", "width")

    is_open: bool
    room: int

    def __init__(self, pid: Pid, given: object, method: str, width: int) -> None:
        super().__init__()
        self.pid: Pid = pid
        self.given: object = given
        self.method: str = method
        self.width: int = width
        self.args: list[Any] = []
        self.count: int = 0
        self.heard: int = 0  # how many of them are known to have come
        self.is_written: bool = False

    def add(self, args: tuple[Any, ...]) -> bool:
        """One more. `False`: nothing was done, they do not go with the others."""
        if len(args) != self.width:
            return False
        short = len(args) == 1 and type(args[0]) is str and args[0].isascii()
        weight = len(args[0]) + _NUMBER if short else weigh(args)
        if not 0 <= weight <= HEAVY:
            return False
        self.args += args
        count = self.count = self.count + 1
        self.room -= weight
        if self.room <= 0 or count >= (MOST_CASTS if self.width else MOST_BARE):
            self.is_open = False
        return True

    def close(self) -> tuple[bytes, int]:
        """See `hubkit.net.outbox.Growing`."""
        self.is_open, self.is_written = False, True
        if self.count == 1:
            return encode([_APP, [CAST, 0, self.pid.serial, self.method, [], self.args]]), 1
        return encode([_APP, [CASTS, self.pid.serial, self.method, self.count, self.args], self.count]), self.count

    def hear(self, count: int) -> None:
        """So many more have come. When all have, they are kept no longer: the ref that has sent them may keep this."""
        self.heard += count
        if self.is_written and self.heard == self.count:
            self.args = []

    def messages(self) -> list[tuple[Pid, Any]]:
        """Those of which it is not known that they have come."""
        width = self.width
        each = [tuple(self.args[at * width : (at + 1) * width]) for at in range(self.heard, self.count)]
        return [(self.pid, (self.method, args)) for args in each]


# -- what arrives


def _is_light_column(values: list[Any]) -> bool:
    """The same as `are_light`, and quick where they are many and of one type."""
    kinds = set(map(type, values))
    if kinds == {int}:
        numbers: list[int] = values
        return min(numbers) >= -_INT and max(numbers) < _INT
    return are_light(values) if int in kinds else _LIGHT.issuperset(kinds)


def _require(makes_sense: bool, what: str) -> None:
    if not makes_sense:
        msg = f"a run of {what} that makes no sense"
        raise ProtocolViolation(msg)


def check_calls(count: int, serials: Sized, args: list[Any], left: Any, chains: Any) -> None:
    """Raise `ProtocolViolation` if they do not belong together."""
    _require(len(serials) == count and not len(args) % count and _is_light_column(args), "calls")
    if left is not None:
        _require(type(left) is list and len(left) == count and _TIMES.issuperset(map(type, left)), "calls")
        _require(all(seconds is None or math.isfinite(seconds) for seconds in left), "calls")
    if chains is not None:
        _require(type(chains) is list and len(chains) == count and {list}.issuperset(map(type, chains)), "calls")


def check_replies(count: int, results: list[Any]) -> None:
    """Raise `ProtocolViolation` if they do not belong together."""
    _require(len(results) == count and _is_light_column(results), "answers")


def check_casts(count: int, args: list[Any]) -> None:
    """Raise `ProtocolViolation` if they do not belong together."""
    _require(
        0 < count <= (COUNTED if args else MOST_BARE) and not len(args) % count and _is_light_column(args), "casts"
    )
