"""The strict half of CBOR: what may be written, and what is read without fear.

Law of this room: bytes from a peer become plain values (None, bool, int of 64 bits, float, str, bytes, list, dict with text
or byte keys) or a `ProtocolViolation`; never another exception, never more work than their length deserves, never
a class of anybody's choosing. So every tag is refused, those that the decoder knows included: they carry big numbers,
regular expressions and mail, make cycles, or read a thousand copies out of one. Maps with number keys are refused, as
colliding ones make a dict quadratic (text and byte keys are hashed with a secret of the process). Indefinite lengths and
duplicate keys are refused, because one value should have one reading. Simple values without a meaning ("undefined" is one)
are refused, too; the decoder makes objects of its own of them, so they are looked for afterwards, where bytes occur that
may be one.

An empty list is one byte here and seventy in memory. So of what is long the items are counted before it is decoded: large
bytes and texts are passed over at once, the rest at the speed of a regular expression, which is about that of the decoder, and
up to the limit only.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from typing import Any, NoReturn

import cbor2

from hubkit.errors import ProtocolViolation

__all__ = [
    "ITEMS",
    "MAX_DEPTH",
    "Sequence",
    "array_head",
    "decode",
    "decode_ending",
    "encode",
    "encode_ending",
    "is_too_much",
]

#: How deep containers may be nested in what is read.
MAX_DEPTH = 80
#: How many items what is read in one go may have. (The greatest roster of groups has three quarters of that.)
ITEMS = 1 << 21

# Every tag for which the decoder has a meaning of its own; all others reach the tag hook.
_KNOWN_TAGS = (*range(6), 25, 28, 29, 30, *range(35, 38), 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


def _refuse(value: object, immutable: bool = False) -> NoReturn:
    msg = "tags are not part of this protocol"
    raise ValueError(msg)


#: How one begins; the same bytes also stand in texts and numbers. (Taken out of them, which is ten times as fast as a search.)
_SIMPLE = bytes((*range(0xE0, 0xF4), 0xF7, 0xF8))
_SEARCHED = 1 << 16  # bytes that are searched, and so copied, at a time
_NOT_PLAIN = frozenset({cbor2.CBORSimpleValue, type(cbor2.undefined)})

_OPTIONS: dict[str, Any] = {
    "max_depth": MAX_DEPTH,
    "allow_indefinite": False,
    "allow_duplicate_keys": False,
    "strict_hashable_types": True,
    "tag_hook": _refuse,
    "semantic_decoders": dict.fromkeys(_KNOWN_TAGS, _refuse),
}

# Most of what travels is lists, and to look for how one is written costs the encoder as much as writing it: it is told.
_ENCODERS: dict[type, Any] = {list: cbor2.CBOREncoder.encode_array}
#: Values to bytes. The caller vouches that they are plain, of at most 64 bits, and not nested deeper than `MAX_DEPTH`.
encode: Callable[[object], bytes] = partial(cbor2.dumps, encoders=_ENCODERS)


def decode(data: bytes | bytearray | BytesIO) -> Any:
    """The one value in ``data``. Raises `ProtocolViolation` if it is not exactly one plain value."""
    if is_too_much(data):
        msg = f"it has more than {ITEMS:,} items"
        raise ProtocolViolation(msg)
    decoder = cbor2.CBORDecoder(data if isinstance(data, BytesIO) else BytesIO(data), **_OPTIONS)
    value = _next(decoder)
    _end(decoder)
    if _may_hold_simple(data):
        _check_plain(value, copied=not isinstance(data, BytesIO))
    return value


def _may_hold_simple(data: bytes | bytearray | BytesIO) -> bool:
    if not isinstance(data, BytesIO) and len(data) <= _SEARCHED:
        return len(data.translate(None, _SIMPLE)) != len(data)
    view = data.getbuffer() if isinstance(data, BytesIO) else memoryview(data)
    for start in range(0, len(view), _SEARCHED):
        part = bytes(view[start : start + _SEARCHED])
        if len(part.translate(None, _SIMPLE)) != len(part):
            return True
    return False


def _next(decoder: cbor2.CBORDecoder) -> Any:
    try:
        return decoder.decode()
    except Exception as error:
        # The decoder raises its own errors, and a few others on odd input (UnicodeDecodeError, OverflowError, MemoryError).
        msg = f"not valid here: {error}"
        raise ProtocolViolation(msg) from None


def _end(decoder: cbor2.CBORDecoder) -> None:
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return
    msg = "bytes follow the value"
    raise ProtocolViolation(msg)


def _check_plain(value: Any, *, copied: bool) -> None:
    """Raise `ProtocolViolation` for simple values. ``copied``: at the price of a copy, which is a tenth of that of a look."""
    todo: list[Any] = [value]
    if copied:
        try:
            marshal.dumps(value)  # it knows plain values only, and says so of others
        except ValueError:
            pass
        else:
            return
    while todo:
        part = todo.pop()
        kind = type(part)
        if kind is list:
            todo += part
        elif kind is dict:
            todo += part.values()
        elif kind in _NOT_PLAIN:
            msg = f"a simple value without a meaning: {part!r}"
            raise ProtocolViolation(msg)


class Sequence:
    """Values one after the other. ``stream``: their bytes."""

    def __init__(self, stream: BytesIO) -> None:
        self._decoder = cbor2.CBORDecoder(stream, **_OPTIONS)

    def next(self) -> Any:
        """The next value. Raises `ProtocolViolation` if there is none, or it is not plain."""
        value = _next(self._decoder)
        _check_plain(value, copied=False)
        return value

    def end(self) -> None:
        """Raises `ProtocolViolation` if there is one more."""
        _end(self._decoder)


# -- how much it is


def _any_of(firsts: Iterable[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % first for first in firsts) + b"]"


def _heads() -> list[bytes]:
    """What each item begins with, as patterns: all but bytes and texts of `_SHORT` or more have their content in it."""
    majors = [major << 5 for major in range(8) if major not in (2, 3)]
    heads = [_any_of([major + low for major in majors for low in range(24)] + [0x40, 0x60])]
    heads += [_any_of(major + 24 + power for major in majors) + b".{%d}" % (1 << power) for power in range(4)]
    heads += [_any_of((0x40 + size, 0x60 + size)) + b".{%d}" % size for size in range(1, 24)]
    sizes = b"|".join(b"\\x%02x.{%d}" % (size, size) for size in range(24, _SHORT))
    return [*heads, b"[\x58\x78](?:" + sizes + b")"]


_SHORT = 96
_ITEM = b"(?:" + b"|".join(_heads()) + b")"
_RUN = 1000
_ITEMS, _ONE = re.compile(_ITEM + b"{1,%d}" % _RUN, re.DOTALL), re.compile(_ITEM, re.DOTALL)
_SIZES = {0x58 + kind + power: 1 << power for kind in (0, 0x20) for power in range(4)}


def is_too_much(data: bytes | bytearray | BytesIO) -> bool:
    """Whether there are more than `ITEMS` items; up to where it makes no sense."""
    size = data.getbuffer().nbytes if isinstance(data, BytesIO) else len(data)
    if size <= ITEMS:  # as nearly always
        return False
    view = data.getbuffer() if isinstance(data, BytesIO) else memoryview(data)
    at = count = 0
    while at < size and count <= ITEMS:
        found = _ITEMS.match(view, at)
        if found is None:
            width = _SIZES.get(view[at])
            if width is None:
                break
            at += 1 + width + int.from_bytes(view[at + 1 : at + 1 + width], "big")
            count += 1
        else:
            count += _counted(view, at, found.end())
            at = found.end()
    return count > ITEMS


def _counted(view: memoryview, start: int, end: int) -> int:
    """How many items are there, all of which are known: it is a run, which may be a full one."""
    return len(_ONE.findall(view, start, end))


# -- large bytes at the end


_LONG = 1 << 16  # bytes that are worth it; fewer have a shorter head
_HEAD = b"\x5a"  # of bytes whose length takes four more
_NEAR = 96  # bytes in which that head is looked for


def encode_ending(value: list[Any]) -> bytes:
    """The same as `encode`. Large bytes at the very end are put there as they are: the library takes forty times as long."""
    inner = value
    while inner and type(inner[-1]) is list:
        inner = inner[-1]
    data = inner[-1] if inner else None
    if type(data) is not bytes or not _LONG <= len(data) < 1 << 32:
        return encode(value)
    inner[-1] = b""
    try:
        return b"".join((encode(value)[:-1], _HEAD, len(data).to_bytes(4, "big"), data))
    finally:
        inner[-1] = data


def decode_ending(data: bytes | bytearray) -> Any:
    """The same as `decode`, and quick where the value is a list that ends with large bytes.

    Where they seem to begin, empty ones are put in their place. That can be read only if it is where an item begins:
    within any other, something would be missing.
    """
    place = data.find(_HEAD, 0, _NEAR) if len(data) > _LONG else -1
    while place >= 0:
        start = place + 5
        if int.from_bytes(data[place + 1 : start], "big") == len(data) - start:
            try:
                value = inner = decode(data[:place] + b"\x40")
            except ProtocolViolation:
                return decode(data)
            while type(inner) is list and inner and type(inner[-1]) is list:
                inner = inner[-1]
            if type(inner) is list and inner and inner[-1] == b"":
                inner[-1] = bytes(memoryview(data)[start:])
                return value
            break
        place = data.find(_HEAD, place + 1, _NEAR)
    return decode(data)


def array_head(count: int) -> bytes:
    """The first bytes of an array of ``count`` items, which follow."""
    if count < 24:
        return bytes((0x80 | count,))
    if count < 256:
        return bytes((0x98, count))
    return b"\x99" + count.to_bytes(2, "big")
