"""What waits to be sent on one link.

Law of this room: urgent messages before bulk; within each of the two, first in, first out; and no more than the limit, and
the one message that reached it (or a million messages, if they are tiny).
`take` joins as many as fit into one frame, which is what makes small messages cheap. Nothing here waits: the link's
writer does.

The last of them may still grow, until something else is put behind it or it goes out: so what is said a hundred times in a
row is written in one go. It weighs nothing until then; how long it may become is for its owner to bound.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from hubkit.net.wire import BULK, CHUNK, URGENT, chunk, encode_frame

__all__ = ["Growing", "Outbox"]

_MOST = 10_000  # messages in one frame
_WAITING = 1 << 20  # messages in one lane: each takes more memory than it weighs


class Growing(Protocol):
    """A message to which more may be added while it is the last that waits."""

    def close(self) -> tuple[bytes, int]:
        """Nothing is added any more: its bytes, and how many messages it counts for."""
        ...


class Outbox:
    """Encoded messages on their way out, in two lanes. ``size`` is what they weigh together, in bytes."""

    __slots__ = ("_growing", "_lanes", "_limit", "_more", "_sent", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._sent = [0, 0]  # how much of the first message of each lane has been taken, in pieces
        self.size: int = 0
        self._growing: Growing | None = None
        self._more = 0  # for how many more than one each the messages count that have grown since the last frame

    def __len__(self) -> int:
        return len(self._lanes[URGENT]) + len(self._lanes[BULK]) + (self._growing is not None)

    def put(self, message: bytes, *, urgent: bool = False) -> bool:
        """Add a message, unless the limit is reached: a large message is no reason to refuse it behind a small one."""
        lane = self._lanes[URGENT if urgent else BULK]
        if self._growing is not None and not urgent:
            self._close()
        if self.size >= self._limit or len(lane) >= _WAITING:
            return False
        self.size += len(message)
        lane.append(message)
        return True

    def settle(self) -> int:
        """Let nothing be added to the last any more; returns how many messages wait, with all that each counts for."""
        if self._growing is not None:
            self._close()
        return len(self._lanes[URGENT]) + len(self._lanes[BULK]) + self._more

    def grow(self, message: Growing) -> bool:
        """Add a message that may grow, unless the limit is reached."""
        if self._growing is not None:
            self._close()
        if self.size >= self._limit or len(self._lanes[BULK]) >= _WAITING:
            return False
        self._growing = message
        return True

    def _close(self) -> None:
        assert self._growing is not None
        message, count = self._growing.close()
        self._growing = None
        self.size += len(message)
        self._more += count - 1
        self._lanes[BULK].append(message)

    def take(self) -> tuple[bytes, int] | None:
        """The next frame and how many messages end in it; `None` if nothing waits.

        Those for which one message counts are told with the frame that is taken next, if that one does not fit into it.
        """
        if self._growing is not None:
            self._close()
        if not self.size:
            return None
        messages: list[bytes] = []
        room = CHUNK
        ended = 0
        for lane, waiting in enumerate(self._lanes):
            while waiting and len(messages) < _MOST:
                message = waiting[0]
                if len(message) > CHUNK:
                    if messages and room < CHUNK // 2:
                        break
                    messages.append(self._piece(lane, message))
                    ended += not self._sent[lane]
                    room = 0
                    break
                if len(message) > room and messages:
                    break
                waiting.popleft()
                room -= len(message)
                self.size -= len(message)
                messages.append(message)
                ended += 1
        ended, self._more = ended + self._more, 0
        return encode_frame(messages), ended

    def _piece(self, lane: int, message: bytes) -> bytes:
        start = self._sent[lane]
        data = message[start : start + CHUNK]
        last = start + CHUNK >= len(message)
        self.size -= len(data)
        if last:
            self._lanes[lane].popleft()
            self._sent[lane] = 0
        else:
            self._sent[lane] = start + CHUNK
        return chunk(lane, data, last=last)
