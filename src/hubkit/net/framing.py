"""The plain road through WebSocket framing (RFC 6455, 5.2): whole binary frames, which is nearly all that links carry.

Law of this room: a frame is taken here only if the protocol engine (wsproto) would take it, and as the same bytes. All else
goes to the engine as it is: control frames, text, fragments, frames beyond the limit, and whatever breaks the standard; so
the engine alone says what is wrong. All that takes is to know where each frame ends. The head of a frame waits here until it
is whole; one that comes in several reads is put together where it will stay, in room that is taken when its head has come:
no more than the limit.

The engine is exact and general. It costs as much for a small frame as all the rest of a link does, and copies a large one
five times.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.net.masking import mask_all, masked

__all__ = ["PLAIN", "Sieve", "frame_of"]

#: The longest frame, in bytes, that is made by joining, and taken by cutting; of a longer one each copy counts.
PLAIN = 16 * 1024

_BINARY = 0x82  # final, no reserved bits, binary
_MASKED = 0x80
_SHORT = 126  # lengths below stand in the second byte; this one means: in two more bytes
_LONG = 127  # in eight more
_MOST_SHORT = (1 << 16) - 1
_FINAL, _OPCODE, _CONTROL = 0x80, 0x0F, 0x08


def frame_of(data: bytes, mask: bytes | None) -> bytes | bytearray:
    """The WebSocket frame of these data; ``mask``: four bytes, for a client."""
    size = len(data)
    flag = 0 if mask is None else _MASKED
    if size < _SHORT:
        head = bytes((_BINARY, flag | size))
    elif size <= _MOST_SHORT:
        head = bytes((_BINARY, flag | _SHORT, size >> 8, size & 0xFF))
    else:
        head = bytes((_BINARY, flag | _LONG)) + size.to_bytes(8, "big")
    if mask is None:
        return head + data
    if size <= PLAIN:
        return head + mask + masked(data, mask)
    frame = bytearray().join((head, mask, data))
    mask_all(frame, len(head) + len(mask), mask)
    return frame


class Sieve:
    """Takes what was read from a connection apart: whole plain frames, and what is for the engine.

    ``masked``: the frames of the peer are, because it is the client. ``limit``: the longest frame for this room, in bytes.
    """

    __slots__ = ("_fragmented", "_have", "_mask", "_masked", "_open", "_rest", "_skip", "limit")

    def __init__(self, *, masked: bool, limit: int) -> None:
        self.limit: int = limit
        self._masked = masked
        self._rest = b""  # the begin of a head
        self._skip = 0  # bytes to come of a frame that is the engine's
        self._fragmented = False  # the engine is in the middle of a message
        self._open: bytearray | None = None  # a plain frame that comes in several reads, or is large
        self._have, self._mask = 0, b""  # how much of it has come; its mask

    def feed(self, data: bytes) -> Iterator[tuple[bool, bytes | bytearray]]:
        """Pairs in their order: `True` and the data of a frame, or `False` and bytes for the engine.

        Between two of them the engine must have been given what came before. A `bytearray` is the taker's.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._open is not None:
                at = self._fill(self._open, data, at)
                if self._have == len(self._open):
                    frame, self._open = self._open, None
                    if self._masked:
                        mask_all(frame, 0, self._mask)
                    yield True, frame
                continue
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
            if not plain:
                self._skip = start + size - at
            elif size <= PLAIN and start + size <= end:
                payload = data[start : start + size]
                yield True, masked(payload, data[start - 4 : start]) if self._masked else payload
                at = start + size
            else:
                self._open, self._have, self._mask = bytearray(size), 0, data[start - 4 : start]
                at = start

    def _fill(self, frame: bytearray, data: bytes, at: int) -> int:
        """Put into the open frame what there is of it from ``at`` on; where the rest begins."""
        taken = min(len(frame) - self._have, len(data) - at)
        # From view to view: a slice of a bytearray makes a copy of what it is given first.
        memoryview(frame)[self._have : self._have + taken] = memoryview(data)[at : at + taken]
        self._have += taken
        return at + taken

    def _head(self, data: bytes, at: int) -> tuple[int, int, bool] | None:
        """Where the payload of the frame at ``at`` starts, its length, and whether it is plain; `None`: not enough is there."""
        have = len(data) - at
        if have < 2:
            return None
        first, second = data[at], data[at + 1]
        is_masked, size = second >= _MASKED, second & 0x7F
        start, least = at + 2, True
        if size == _SHORT:
            size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            least = size >= _SHORT
        elif size == _LONG:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            least = size > _MOST_SHORT
        if is_masked:
            start += 4
        if start > len(data):
            return None
        # Of a length only its least form is valid.
        plain = first == _BINARY and is_masked is self._masked and least and size <= self.limit and not self._fragmented
        if not plain and not first & _CONTROL:
            self._fragmented = not first & _FINAL
        return start, size, plain
