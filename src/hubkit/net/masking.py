"""WebSocket masking (RFC 6455, 5.3): all that a client sends is combined, bit by bit, with four bytes that nobody can foresee.

Law of this room: each way gives the same bytes, and each frame has a mask of its own.

For a large frame this is most of what there is to do, at both ends. The fastest way in Python is to look up every fourth byte
in a table; a short one is combined as one number. A function in C of the library ``websockets`` does it fifty times as fast,
and is taken wherever it is there: not every Python can have it.

Refused: to leave the masks out between nodes, or to make them simple. Whatever is on the way may insist on the standard, and
they keep what a program sends from looking like something else to it. And C of our own.
"""

from __future__ import annotations

from collections.abc import Callable

try:
    from websockets import speedups
except ImportError:
    _in_c: Callable[[bytes | memoryview, bytes], bytes] | None = None
else:
    _in_c = speedups.apply_mask

__all__ = ["Masks", "mask_all", "masked"]

_NUMBER = 600  # bytes up to which it is quicker to make one number of them
_STOCK = 1024  # masks drawn at once

#: For each byte of a mask, what it makes of each byte.
_TABLES = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))


class Masks:
    """Masks for a client's frames: as unpredictable as ``draw(number of bytes)`` is, but drawn many at once."""

    __slots__ = ("_at", "_draw", "_stock")

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._stock, self._at = b"", 0

    def next(self) -> bytes:
        """Four bytes that were not used before."""
        at = self._at
        if at >= len(self._stock):
            self._stock, at = self._draw(4 * _STOCK), 0
        self._at = at + 4
        return self._stock[at : at + 4]


def masked(data: bytes, mask: bytes) -> bytes:
    """Data combined with a mask. Done twice, it is what it was."""
    if _in_c is not None:
        return _in_c(data, mask)
    if len(data) <= _NUMBER:
        return _as_number(data, mask)
    copy = bytearray(data)
    _by_tables(copy, 0, mask)
    return bytes(copy)


def mask_all(data: bytearray, start: int, mask: bytes) -> None:
    """The same, with all from ``start`` on, where it stands."""
    if _in_c is None:
        _by_tables(data, start, mask)
    else:
        with memoryview(data) as view, view[start:] as part:
            part[:] = _in_c(part, mask)


def _as_number(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def _by_tables(data: bytearray, start: int, mask: bytes) -> None:
    for at, key in enumerate(mask, start):
        data[at::4] = data[at::4].translate(_TABLES[key])
