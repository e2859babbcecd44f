"""The strict half of CBOR: what may be written, and what is read without fear.

Law of this room: bytes from a peer become plain values (None, bool, int of 64 bits, float, str, bytes, list, dict with text
or byte keys) or a `ProtocolViolation`; never another exception, never more work than their length deserves, never
a class of anybody's choosing. So every tag is refused, those that the decoder knows included: they carry big numbers,
regular expressions and mail, make cycles, or read a thousand copies out of one. Maps with number keys are refused, as
colliding ones make a dict quadratic (text and byte keys are hashed with a secret of the process). Indefinite lengths and
duplicate keys are refused, because one value should have one reading.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, NoReturn

import cbor2

from hubkit.errors import ProtocolViolation

__all__ = ["MAX_DEPTH", "Sequence", "array_head", "decode", "decode_ending", "encode", "encode_ending"]

#: How deep containers may be nested in what is read.
MAX_DEPTH = 80

# Every tag for which the decoder has a meaning of its own; all others reach the tag hook.
_KNOWN_TAGS = (*range(6), 25, 28, 29, 30, *range(35, 38), 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


def _refuse(value: object, immutable: bool = False) -> NoReturn:
    msg = "tags are not part of this protocol"
    raise ValueError(msg)


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


def decode(data: bytes | BytesIO) -> Any:
    """The one value in ``data``. Raises `ProtocolViolation` if it is not exactly one plain value."""
    decoder = cbor2.CBORDecoder(BytesIO(data) if isinstance(data, bytes) else data, **_OPTIONS)
    value = _next(decoder)
    _end(decoder)
    return value


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


class Sequence:
    """Values one after the other. ``stream``: their bytes."""

    def __init__(self, stream: BytesIO) -> None:
        self._decoder = cbor2.CBORDecoder(stream, **_OPTIONS)

    def next(self) -> Any:
        """The next value. Raises `ProtocolViolation` if there is none, or it is not plain."""
        return _next(self._decoder)

    def end(self) -> None:
        """Raises `ProtocolViolation` if there is one more."""
        _end(self._decoder)


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


def decode_ending(data: bytes) -> Any:
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
                inner[-1] = data[start:]
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
