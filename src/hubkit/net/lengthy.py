"""Values of very many parts, written and read a slice at a time.

Law of this room: no slice is longer than some thousand parts, whatever the value is like. So these are generators, which
yield where somebody else may run; what they have in hand in between is theirs alone. A value is taken down as it is when its
turn comes: who changes it meanwhile sends what it was at no single moment.

The form is a sequence of CBOR arrays: ``[-1, code, count]`` opens a value of so many parts (`hubkit.net.payload` has the
codes; 16 is a text in pieces), ``[0, part, ...]`` holds the next parts of the innermost one that is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

from hubkit.errors import ProtocolViolation
from hubkit.messages import message_type
from hubkit.net import cbor

__all__ = ["COLLISIONS", "LONG_TEXT", "MANY", "Heavy", "Slices", "exhaust", "is_long", "opens", "read", "write"]

#: Parts from which on a value is written so, and about so many characters of text for each.
MANY, LONG_TEXT = 20_000, 1000
#: Keys that may have one hash; honest values have a handful.
COLLISIONS = 32
_SLICE = 2000  # parts that are written or read in one go
_TEXT = 1 << 18  # characters of one piece of a long text
_LIST, _TUPLE, _DICT, _MESSAGE, _LONG = 0, 1, 2, 14, 16
_OPEN, _NEXT = -1, 0
_START = b"\x83\x20"  # what each opening begins with
_DEEPEST = 64

Slices = Generator[None, None, Any]


class Heavy(Exception):
    """There are too many parts to write them in one go."""


class Writer(Protocol):
    """What this room needs of `hubkit.net.payload.Payloads`."""

    def light(self, value: object, depth: int, most: int) -> Any:
        """The plain value, and how many parts it has. Raises `Heavy`."""
        ...

    def assemble(self, code: int, parts: list[Any]) -> Any:
        """A value of these parts, which have been read."""
        ...

    def part(self, plain: Any, depth: int) -> Any:
        """The value of a plain one, so deep in another one."""
        ...


def is_long(head: bytes) -> bool:
    """Whether a head is of this form: no value begins like it."""
    return head.startswith(_START)


def exhaust(slices: Slices) -> Any:
    """All slices in one go."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value


# -- writing


class _Pairs(Sequence[Any]):
    """The keys and values of a dict, in turn, as they are now."""

    def __init__(self, value: dict[Any, Any]) -> None:
        self._columns = (list(value), list(value.values()))

    def __len__(self) -> int:
        return 2 * len(self._columns[0])

    def __getitem__(self, index: Any) -> Any:
        return self._columns[index % 2][index // 2]


class _Pieces(Sequence[Any]):
    """A text, cut where it is needed."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __len__(self) -> int:
        return (len(self._value) + _TEXT - 1) // _TEXT

    def __getitem__(self, index: Any) -> str:
        return self._value[index * _TEXT : (index + 1) * _TEXT]


def _parts(value: Any) -> tuple[int, Sequence[Any]] | None:
    """The code and the parts of what can be opened."""
    kind = type(value)
    if kind is list or kind is tuple:
        return (_LIST if kind is list else _TUPLE), list(value)
    if kind is dict:
        return _DICT, _Pairs(value)
    if kind is str:
        return _LONG, _Pieces(value)
    entry = message_type(kind)
    if entry is None or entry.name is None:
        return None
    return _MESSAGE, [entry.name, *(part for name in entry.fields for part in (name, getattr(value, name)))]


def opens(value: object) -> bool:
    """Whether a value can be written so. (A set cannot: it is sorted as a whole, so that equal ones are equal bytes.)"""
    return _parts(value) is not None


def write(writer: Writer, value: object) -> Slices:
    """The head of a value that `opens`."""
    out = BytesIO()  # whose buffer is the result: to join pieces in the end would hold up everybody
    batch: list[Any] = []
    stack: list[tuple[Sequence[Any], int]] = [([value], 0)]  # parts that are still to be written, and from where on
    room = _SLICE
    while stack:
        parts, index = stack.pop()
        while index < len(parts):
            part, index = parts[index], index + 1
            weight, opened = -1, None
            try:
                if stack:
                    plain, weight = writer.light(part, len(stack), _SLICE)
            except Heavy:
                pass
            if weight < 0 and (opened := _parts(part)) is None:
                plain, weight = writer.light(part, len(stack), 1 << 62)
            if opened is not None:
                _flush(out, batch)
                out.write(cbor.encode([_OPEN, opened[0], len(opened[1])]))
                stack.append((parts, index))
                parts, index, room = opened[1], 0, 0
            else:
                batch.append(plain)
                room -= weight
            if room <= 0:
                _flush(out, batch)
                room = _SLICE
                yield
        _flush(out, batch)
    return out.getvalue()


def _flush(out: BytesIO, batch: list[Any]) -> None:
    if batch:
        out.write(cbor.encode([_NEXT, *batch]))
        batch.clear()


# -- reading


@dataclass(slots=True)
class _Opened:
    code: int
    count: int
    parts: list[Any] = field(default_factory=list)


def read(writer: Writer, head: bytes) -> Slices:
    """The value of such a head. Raises `ProtocolViolation`."""
    stream = cbor.Sequence(BytesIO(head))
    stack: list[_Opened] = []
    while True:
        match stream.next():
            case [-1, int(code), int(count)] if (
                type(count) is int and count >= 0 and len(stack) <= _DEEPEST + (code == _LONG)  # a text is no level
            ):
                stack.append(_Opened(code, count))
            case [0, _, *_] as plain if stack:
                top = stack[-1]
                for start in range(1, len(plain), _SLICE):
                    top.parts += [writer.part(part, len(stack)) for part in plain[start : start + _SLICE]]
                    yield
            case _:
                msg = "not a value: a long one that is malformed"
                raise ProtocolViolation(msg)
        yield
        while stack and len(stack[-1].parts) >= stack[-1].count:
            opened = stack.pop()
            if len(opened.parts) > opened.count:
                msg = "not a value: a long one with a part too many"
                raise ProtocolViolation(msg)
            value = yield from _close(writer, opened)
            if not stack:
                stream.end()
                return value
            stack[-1].parts.append(value)


def _close(writer: Writer, opened: _Opened) -> Slices:
    code, parts = opened.code, opened.parts
    if code == _LONG:
        if not parts or not all(type(part) is str for part in parts):
            msg = "not a value: a text of something else"
            raise ProtocolViolation(msg)
        return "".join(parts)
    if code != _DICT:
        return writer.assemble(code, parts)
    if len(parts) % 2:
        msg = "not a value: a dict with a key too many"
        raise ProtocolViolation(msg)
    made: dict[Any, Any] = {}
    counts: Counter[int] = Counter()
    for start in range(0, len(parts), 2 * _SLICE):
        _count(counts, parts[start : start + 2 * _SLICE : 2])
        yield
    for start in range(0, len(parts), 2 * _SLICE):
        chunk = parts[start : start + 2 * _SLICE]
        made.update(zip(chunk[::2], chunk[1::2], strict=True))
        yield
    if 2 * len(made) != len(parts):
        msg = "not a value: a key twice"
        raise ProtocolViolation(msg)
    return made


def _count(counts: Counter[int], keys: list[Any]) -> None:
    try:
        hashes = [hash(key) for key in keys]
    except TypeError as error:
        msg = f"not a value: {error}"
        raise ProtocolViolation(msg) from error
    counts.update(hashes)
    if max(counts[number] for number in hashes) > COLLISIONS:
        msg = "not a value: too many keys with one hash"
        raise ProtocolViolation(msg)
