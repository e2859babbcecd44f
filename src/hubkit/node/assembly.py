"""Large values that come in pieces: put together, counted, and kept within their bounds.

Law of this room: it is pure: moments are given, and what is to be said comes back as messages. Memory is taken for what has
come, never for what was announced; but what is announced counts, so what has begun has room to end. Who finds no room waits,
in the order in which it came: no error, and nothing lost. A peer that announces much and sends nothing keeps others of its own
link from theirs, and for `IDLE` seconds at most.

What had come when a link broke is kept for `KEEP` seconds, if nobody needs the room: a sender that comes back goes on from
there. Refused: to keep it longer, or on disk; and hashes of the pieces (a link lets nothing through that was altered).

On the wire: ``[BEGIN, number, sizes]``, the parts of a cargo; ``[GRANT, number, come, until]``, so much is here, and you may
send on up to there; ``[PIECE, number, offset, bytes]``; ``[ABANDON, number]``, its sender gives up; ``[REFUSE, number, text]``,
nobody takes it. Numbers are the sender's. A value of many parts (`hubkit.net.lengthy`) is read before its message comes:
``[READ, number]`` says that it has been.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from hubkit.errors import ProtocolViolation
from hubkit.net.cargo import BLOB, MOST, Cargo
from hubkit.net.lengthy import is_long
from hubkit.pids import NodeId

__all__ = ["ABANDON", "BEGIN", "GRANT", "LINK", "NODE", "OPEN", "PIECE", "READ", "REFUSE", "Assembly"]

BEGIN, GRANT, PIECE, ABANDON, REFUSE = range(17, 22)
READ = 23  # 22 is the message itself

#: Bytes of values that may be in assembly at a time: of one peer, and of all together. One of the largest always finds room.
LINK, NODE = MOST, 2 * MOST
#: Values that one peer may have begun, those that wait for room included.
OPEN = 64
#: Bytes that may be under way on one link without an answer, and what one value is granted at least. What is under way is
#: before each heartbeat: more would be faster over oceans, and later everywhere else.
WINDOW, LEAST = 4 << 20, 512 * 1024
#: Seconds: without a piece, until a value is given up; without a link, until what has come of it is forgotten.
IDLE, KEEP = 60.0, 30.0
_MOST_PARTS, _HUGE = MOST // BLOB + 1, 1 << 32

Says = list[tuple[NodeId, list[Any]]]


@dataclass(slots=True, eq=False)
class _Parcel:
    """One value. ``come``: how much of it is here; ``until``: how much its sender may send; ``granted``: it has room.

    ``is_read``: it has many parts, and they
    have been read. ``parts``: those that are whole; ``open``: the one that is not, of which ``left`` bytes are still to come.
    """

    sizes: array[int]
    total: int
    touched: float
    granted: bool = False
    parted: bool = False
    is_read: bool = False
    come: int = 0
    until: int = 0
    parts: list[bytes] = field(default_factory=list)
    open: BytesIO = field(default_factory=BytesIO)
    left: int = 0
    whole: Cargo | None = None

    @property
    def is_long(self) -> bool:
        """Whether it has many parts: they are read a slice at a time, before the message of the value comes."""
        return bool(self.parts) and is_long(self.parts[0])

    @property
    def is_busy(self) -> bool:
        """Whether it is being read."""
        return self.come == self.total and self.is_long and not self.is_read

    @property
    def cargo(self) -> Cargo:
        """All of it; the same one always."""
        if self.whole is None:
            self.whole = Cargo(self.parts[0], tuple(self.parts[1:]))
        return self.whole

    def add(self, data: bytes) -> None:
        """More has come."""
        self.come += len(data)
        start = 0
        while start < len(data):
            size = self.sizes[len(self.parts)]
            if not self.left and len(data) - start >= size:  # a whole part
                self.parts.append(data[start : start + size])
                start += size
                continue
            self.left = self.left or size
            stop = min(len(data), start + self.left)
            self.open.write(data[start:stop])
            self.left -= stop - start
            start = stop
            if not self.left:
                self.parts.append(self.open.getvalue())  # without a copy: it is the buffer itself
                self.open = BytesIO()


class Assembly:
    """What comes to one node. ``link``, ``node``: see `LINK` and `NODE`."""

    def __init__(self, link: int = LINK, node: int = NODE) -> None:
        self._link, self._node = link, node
        self._parcels: dict[tuple[NodeId, int], _Parcel] = {}  # in the order in which they began

    def begin(self, peer: NodeId, number: int, sizes: Sequence[Any], now: float) -> Says:
        """A value of these parts is announced, or announced again on a new link."""
        sound = 0 < len(sizes) <= _MOST_PARTS and all(type(size) is int and 0 < size < _HUGE for size in sizes)
        if not sound or not all(size >= BLOB for size in sizes[1:]):
            msg = "a large value of parts that make no sense"
            raise ProtocolViolation(msg)
        parts, total = array("I", sizes), sum(sizes)  # four bytes each: hardly more than what was sent
        if total > min(self._link, self._node):
            return [(peer, [REFUSE, number, f"it has {total:,} bytes: at most {self._link:,} can come here"])]
        parcel = self._parcels.get((peer, number))
        if parcel is not None and (parcel.sizes != parts or not parcel.parted):
            msg = "a large value that has begun begins again"
            raise ProtocolViolation(msg)
        if parcel is not None:
            parcel.parted, parcel.touched = False, now
            return [self._grant(peer, number, parcel), *([(peer, [READ, number])] if parcel.is_read else ())]
        if sum(of == peer and not one.parted for (of, _), one in self._parcels.items()) >= OPEN:
            return [(peer, [REFUSE, number, f"{OPEN} others of your node have begun: let some of them end first"])]
        self._parcels[peer, number] = _Parcel(parts, total, now)
        return self._admit(now)

    def piece(self, peer: NodeId, number: int, offset: int, data: object, now: float) -> Says:
        """A piece has come. Of a value that is not expected (any more) it is dropped."""
        parcel = self._parcels.get((peer, number))
        if parcel is None:
            return []
        if type(data) is not bytes or not data or parcel.parted or offset != parcel.come:
            msg = "a piece of a large value that makes no sense"
            raise ProtocolViolation(msg)
        if offset + len(data) > parcel.until:
            msg = "more of a large value has come than was granted"
            raise ProtocolViolation(msg)
        parcel.add(data)
        parcel.touched = now
        if parcel.come == parcel.total or parcel.until - parcel.come > self._window(peer) * 3 // 4:
            return []
        return [self._grant(peer, number, parcel)]

    def take(self, peer: NodeId, number: int) -> Cargo:
        """The message that a value belongs to has come: the value."""
        parcel = self._parcels.get((peer, number))
        if parcel is None or parcel.come < parcel.total or (parcel.is_long and not parcel.is_read):
            msg = "a message has come before the large value in it"
            raise ProtocolViolation(msg)
        del self._parcels[peer, number]
        return parcel.cargo

    def unread(self, peer: NodeId, number: int) -> Cargo | None:
        """The value, if all of it is here, and it is to be read before its message comes."""
        parcel = self._parcels.get((peer, number))
        return parcel.cargo if parcel is not None and parcel.come == parcel.total and parcel.is_long else None

    def has_read(self, peer: NodeId, number: int, cargo: Cargo) -> Says:
        """It has been read."""
        parcel = self._parcels.get((peer, number))
        if parcel is None or parcel.come < parcel.total or parcel.cargo is not cargo:
            return []
        parcel.is_read = True
        return [] if parcel.parted else [(peer, [READ, number])]

    def drop(self, peer: NodeId, number: int) -> None:
        """The sender of a value has given up."""
        self._parcels.pop((peer, number), None)

    def link_down(self, peer: NodeId, now: float) -> None:
        """The link to this peer has ended: keep what has come, for a while."""
        for key in [key for key in self._parcels if key[0] == peer]:
            parcel = self._parcels[key]
            if parcel.come:
                parcel.parted, parcel.touched = True, now
            else:
                del self._parcels[key]

    def look(self, now: float) -> Says:
        """Time has passed, or there is room again: what is to be said."""
        says: Says = []
        stuck: set[NodeId] = set()
        for (peer, number), parcel in list(self._parcels.items()):
            if parcel.parted and now - parcel.touched > KEEP:
                del self._parcels[peer, number]
            elif parcel.granted and not parcel.parted and not parcel.is_busy and now - parcel.touched > IDLE:
                del self._parcels[peer, number]
                says.append((peer, [REFUSE, number, f"nothing more of it has come for {IDLE:g} s"]))
                stuck.add(peer)
        for (peer, number), parcel in list(self._parcels.items()):
            if peer in stuck and not parcel.granted:  # or each would have its turn to stand still
                del self._parcels[peer, number]
                says.append((peer, [REFUSE, number, f"nothing more of the one before it has come for {IDLE:g} s"]))
        return says + self._admit(now)

    def figures(self, peer: NodeId) -> tuple[int, int, int]:
        """Of the values that come from this peer: how many they are, their bytes, and how many of those are here."""
        found = [parcel for (of, _), parcel in self._parcels.items() if of == peer and parcel.granted]
        return len(found), sum(parcel.total for parcel in found), sum(parcel.come for parcel in found)

    # -- room ----------------------------------------------------------------------------------------------------------

    def _admit(self, now: float) -> Says:
        """Let those begin for which there is room, in their order."""
        says: Says = []
        full: set[NodeId] = set()
        for (peer, number), parcel in list(self._parcels.items()):
            if parcel.granted or peer in full:
                continue
            if not self._room(peer, parcel.total):
                full.add(peer)
                continue
            if not self._room(None, parcel.total):
                break  # whoever comes later waits as well: or the largest would wait for ever
            parcel.granted, parcel.touched = True, now
            says.append(self._grant(peer, number, parcel))
        return says

    def _room(self, peer: NodeId | None, size: int) -> bool:
        """Whether there is room for so much more, of this peer or of all; what only waits for a link makes some."""
        limit = self._node if peer is None else self._link
        taken = {
            key: parcel for key, parcel in self._parcels.items() if parcel.granted and (peer is None or key[0] == peer)
        }
        used = sum(parcel.total for parcel in taken.values())
        parted = [key for key, parcel in taken.items() if parcel.parted]
        if used - sum(taken[key].total for key in parted) + size > limit:
            return False
        while used + size > limit:
            key = parted.pop(0)
            used -= self._parcels.pop(key).total
        return True

    def _window(self, peer: NodeId) -> int:
        busy = sum(
            of == peer and one.granted and one.come < one.total and not one.parted
            for (of, _), one in self._parcels.items()
        )
        return max(LEAST, WINDOW // max(1, busy))

    def _grant(self, peer: NodeId, number: int, parcel: _Parcel) -> tuple[NodeId, list[Any]]:
        parcel.until = max(parcel.until, min(parcel.total, parcel.come + self._window(peer)))
        return peer, [GRANT, number, parcel.come, parcel.until]
