"""Light values as bytes, written by hand: what `hubkit.net.cbor.encode` would write, at a quarter of the price.

Law of this room: byte for byte what the library writes; what is no light value is left to it. Light are `None`, `bool`,
`float`, `str` and `int` of 63 bits, of exactly these types. Most messages are a few of them, and for so few the library
takes longer to begin than to write.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from struct import Struct
from typing import Any

__all__ = ["array", "integer", "real", "text"]

_SHORT = 24  # numbers and lengths below it are part of the first byte
_SMALL = tuple(bytes((number,)) for number in range(_SHORT)) + tuple(bytes((0x18, number)) for number in range(24, 256))
_MINUS = tuple(bytes((0x20 | number,)) for number in range(_SHORT))
_TEXTS = tuple(bytes((0x60 | length,)) for length in range(_SHORT)) + tuple(
    bytes((0x78, size)) for size in range(24, 256)
)
_LISTS = tuple(bytes((0x80 | length,)) for length in range(_SHORT))
_TWO, _FOUR, _EIGHT = Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack
_FLOAT = Struct(">Bd").pack
_NONE, _TRUE, _FALSE = b"\xf6", b"\xf5", b"\xf4"
_NAN, _INFINITE = b"\xf9\x7e\x00", {math.inf: b"\xf9\x7c\x00", -math.inf: b"\xf9\xfc\x00"}
_MOST = 1 << 63


def integer(number: int) -> bytes:
    """A number from -2**63 to 2**63 - 1."""
    if number >= 0:
        if number < 256:
            return _SMALL[number]
        return _sized(0, number)
    return _MINUS[-1 - number] if number >= -_SHORT else _sized(0x20, -1 - number)


def _sized(major: int, number: int) -> bytes:
    if number < 0x100:
        return bytes((major | 0x18, number))
    if number < 0x10000:
        return _TWO(major | 0x19, number)
    return _FOUR(major | 0x1A, number) if number < 1 << 32 else _EIGHT(major | 0x1B, number)


def text(value: str) -> bytes | None:
    """A text; `None`: it holds half a surrogate pair, and cannot be written."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        return None
    return (_TEXTS[len(data)] if len(data) < 256 else _sized(0x60, len(data))) + data


def real(value: float) -> bytes:
    """A floating-point number."""
    return _FLOAT(0xFB, value) if math.isfinite(value) else _INFINITE.get(value, _NAN)


def array(values: Iterable[Any]) -> bytes | None:
    """A list of light values; `None`: there are others among them, or too many."""
    parts = [b""]
    for value in values:
        kind = type(value)
        if kind is str:
            part = text(value)
            if part is None:
                return None
        elif kind is int:
            if not -_MOST <= value < _MOST:
                return None
            part = integer(value)
        elif value is None:
            part = _NONE
        elif kind is float:
            part = real(value)
        elif kind is bool:
            part = _TRUE if value else _FALSE
        else:
            return None
        parts.append(part)
    if len(parts) > _SHORT:
        return None
    parts[0] = _LISTS[len(parts) - 1]
    return b"".join(parts)
