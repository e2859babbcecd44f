"""The plain road through WebSocket framing (RFC 6455, 5.2): whole binary frames, which is nearly all that links carry.

Law of this room: a frame is taken here only if the protocol engine (wsproto) would take it, and as the same bytes. All else
goes to the engine as it is: control frames, text, fragments, frames of more than `PLAIN` bytes or that come in several reads,
and whatever breaks the standard; so the engine alone says what is wrong. All that takes is to know where each frame ends. The
head of a frame waits here until it is whole.

The engine is exact and general, and costs as much for a small frame as all the rest of a link does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["PLAIN", "Masks", "Sieve", "frame_of"]

#: The longest frame for this room, in bytes; the engine masks longer ones faster.
PLAIN = 16 * 1024

_BINARY = 0x82  # final, no reserved bits, binary
_MASKED = 0x80
_SHORT = 126  # lengths below stand in the second byte; this one means: in two more bytes
_LONG = 127  # in eight more
_FINAL, _OPCODE, _CONTROL = 0x80, 0x0F, 0x08
_HEAD = 14  # bytes at most

_STOCK = 1024  # masks drawn at once


def frame_of(data: bytes, mask: bytes | None) -> bytes:
    """The WebSocket frame of at most `PLAIN` bytes of data; ``mask``: four bytes, for a client."""
    size = len(data)
    flag = 0 if mask is None else _MASKED
    head = bytes((_BINARY, flag | size)) if size < _SHORT else bytes((_BINARY, flag | _SHORT, size >> 8, size & 0xFF))
    return head + data if mask is None else head + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


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


class Sieve:
    """Takes what was read from a connection apart: whole plain frames, and what is for the engine.

    ``masked``: the frames of the peer are, because it is the client.
    """

    __slots__ = ("_fragmented", "_masked", "_rest", "_skip")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._rest = b""  # the begin of a head
        self._skip = 0  # bytes to come of a frame that is the engine's
        self._fragmented = False  # the engine is in the middle of a message

    def feed(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Pairs in their order: `True` and the data of a frame, or `False` and bytes for the engine.

        Between two of them the engine must have been given what came before.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                taken = min(self._skip, end - at)
                self._skip -= taken
                yield False, data[at : at + taken]
                at += taken
                continue
            head = self._head(data, at)
            if head is None:
                self._rest = data[at:]
                return
            start, size, plain = head
            if plain and start + size <= end:
                payload = data[start : start + size]
                yield True, _masked(payload, data[start - 4 : start]) if self._masked else payload
                at = start + size
            else:
                self._skip = start + size - at

    def _head(self, data: bytes, at: int) -> tuple[int, int, bool] | None:
        """Where the payload of the frame at ``at`` starts, its length, and whether it is plain; `None`: not enough is there."""
        have = len(data) - at
        if have < 2:
            return None
        first, second = data[at], data[at + 1]
        masked, size = second >= _MASKED, second & 0x7F
        start, least = at + 2, size < _LONG
        if size == _SHORT:
            size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            least = size >= _SHORT
        elif size == _LONG:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        if masked:
            start += 4
        if start > len(data):
            return None
        # Of a length only its least form is valid.
        plain = first == _BINARY and masked is self._masked and least and size <= PLAIN and not self._fragmented
        if not plain and not first & _CONTROL:
            self._fragmented = not first & _FINAL
        return start, size, plain
