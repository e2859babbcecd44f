"""A large value on its way: the bytes that must be looked at, and the large ones in it that need not be.

Law of this room: large bytes are never copied as a whole where they are sent, and joined once where they arrive. A value is
written as a *head*, in which a number stands for each large piece of bytes; these follow as they are. So what is sent is cut
out of them, piece by piece, and what comes is put together piece by piece; no step takes longer than one piece does.

Only `bytes` are treated so: they cannot change while they are being sent, and to read them is to have them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from hubkit.errors import NotSerializable

__all__ = ["BLOB", "INLINE", "MAX_CARGO", "MAX_HEAD", "MOST", "Cargo", "Cutter", "packed"]

#: A value of up to so many bytes travels within its message.
INLINE = 1 << 20
#: Bytes from so many on are kept out of the head of a larger one.
BLOB = 16 * 1024
#: The largest value, in bytes: what is around its large bytes counts only beyond `INLINE`; so many may come in all.
MAX_CARGO = 1 << 30
MOST = MAX_CARGO + INLINE
#: The most of it that may be something else than large bytes: it is written, and read, in one go.
MAX_HEAD = (64 << 20) - 65_536


@dataclass(frozen=True, slots=True)
class Cargo:
    """A value as bytes. ``blobs``: what is kept out of the ``head``, in the order of its numbers.

    ``ready``: the value, if it has been read already; for the first who asks, as it may change then.
    """

    head: bytes
    blobs: tuple[bytes, ...] = ()
    ready: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def sizes(self) -> list[int]:
        """How many bytes each part has, the head first."""
        return [len(self.head), *map(len, self.blobs)]

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(self.sizes)


def packed(head: bytes, blobs: Sequence[bytes], *, long: bool = False) -> bytes | Cargo:
    """What has been written (``long``: in slices), as it travels. Raises `NotSerializable` if it is too large."""
    if not blobs and not long and len(head) <= INLINE:
        return head
    cargo = Cargo(head, tuple(blobs))
    if cargo.size - min(len(head), INLINE) > MAX_CARGO:
        msg = (
            f"a value of {cargo.size:,} bytes is too large to travel: at most {MAX_CARGO:,} bytes can; send it in several "
            "messages, or leave it where both can read it and send its name"
        )
        raise NotSerializable(msg)
    if len(head) > MAX_HEAD and not long:
        msg = (
            f"a value with {len(head):,} bytes beside its large ones cannot travel: of everything but `bytes` objects of "
            f"{BLOB:,} bytes and more, at most {MAX_HEAD:,} bytes can; send it in several messages, or make bytes of it"
        )
        raise NotSerializable(msg)
    return cargo


class Cutter:
    """Cuts a cargo into pieces, across the borders of its parts."""

    __slots__ = ("_ends", "_parts", "size")

    def __init__(self, cargo: Cargo) -> None:
        self._parts = (cargo.head, *cargo.blobs)
        self._ends = list(accumulate(map(len, self._parts)))
        self.size: int = self._ends[-1]

    def piece(self, start: int, most: int) -> bytes:
        """The bytes from ``start`` on, at most so many; fewer at the end."""
        found: list[bytes] = []
        index = bisect_right(self._ends, start)
        stop = min(start + most, self.size)
        while start < stop:
            part, end = self._parts[index], self._ends[index]
            begin = end - len(part)
            found.append(part[start - begin : stop - begin])
            start = min(end, stop)
            index += 1
        return found[0] if len(found) == 1 else b"".join(found)
