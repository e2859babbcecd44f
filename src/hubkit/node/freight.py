"""Freight: values that are too large for one message, sent beside the messages they belong to, in pieces.

Law of this room: a message never waits for a large value of another. What is large goes ahead of its own message, a piece
at a time, as much as the other node has granted (`hubkit.node.assembly`) and as long as little waits on the link;
the message follows on its heels, and is read as if it had held the value: ``[LADEN, number, path, message]``, where ``path``
says which item of it the value is. Whoever gives up says so, and both sides forget at once.

When the link ends in the middle, nothing is lost but time: announced again on the next link, the value goes on from what the
other node still has. Whether anybody wants that is for the sender to say: a request that was not sent yet does, an
answer does not, as nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.cargo import Cargo, Cutter
from hubkit.net.lengthy import is_long
from hubkit.net.payload import Payloads
from hubkit.net.session import ROOM
from hubkit.net.wire import CHUNK
from hubkit.node.assembly import ABANDON, BEGIN, GRANT, KEEP, PIECE, READ, REFUSE, Assembly
from hubkit.node.packing import slowly
from hubkit.pids import NodeId, name_of

__all__ = ["CAPABILITY", "LADEN", "SHAPES", "Freight", "Lot", "Turns", "Wagons"]

log: Log = Log("hubkit.node")

#: The word of who takes large values so.
CAPABILITY = "large.1"
#: The kind of a message whose value has gone ahead.
LADEN = 22
#: Values that are sent to one node at a time; others wait for their turn.
SLOTS = 8
#: Bytes of one piece: with what is around it, a message that is not cut again.
SIZE = CHUNK - 256
#: Seconds after which a transfer is worth a line in the log, and until the next.
LONG, AGAIN = 5.0, 10.0
_DEEPEST = 4  # items of a path


class Wagons(Protocol):
    """What this room needs of its node."""

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send to a linked node; `False`: there is no link."""
        ...

    def backlog(self, peer: NodeId) -> int:
        """How many bytes wait to be sent to a linked node."""
        ...

    async def wait_room(self, peer: NodeId) -> None:
        """Return once few do, or there is no link."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Figures:
    """How far the large values on one link are: how many, their bytes, and how many of these have been sent (or are here)."""

    sending: int = 0
    sending_bytes: int = 0
    sent_bytes: int = 0
    receiving: int = 0
    receiving_bytes: int = 0
    received_bytes: int = 0


class Lot:
    """One large value that goes to one node. ``number``: by which it is called. ``is_sent``: its message is, too.

    ``progress`` is called when some more of it is on its way.
    """

    def __init__(self, freight: Freight, peer: NodeId, number: int, cargo: Cargo) -> None:
        self.peer: NodeId = peer
        self.number: int = number
        self.is_sent: bool = False
        self.progress: Callable[[], None] | None = None
        self.size: int = cargo.size
        self.sent: int = 0  # how much of it has been put on the link
        self.until: int | None = None  # how much may be; `None`: not announced
        self.refusal: str | None = None
        self.began: float | None = None
        self.told: float | None = None
        self.is_read: bool = not is_long(cargo.head)  # or need not be, before its message comes
        self._long = is_long(cargo.head)
        self._sizes = cargo.sizes
        self._cutter = Cutter(cargo)
        self._freight = freight
        self._changed = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        """Something has changed."""
        self._changed.unpark_all()

    async def ship(self) -> bool:
        """Send all of it that is not there. `True`: its message is to follow now, before anything is waited for.

        `False`: there is no link (any more): once there is one, this may be called again. Raises `NotSerializable` if the other
        node does not take it.
        """
        await trio.lowlevel.checkpoint()
        async with self._freight.slot(self.peer):
            wagons = self._freight.wagons
            if not self._freight.carries(self.peer) or not wagons.send(self.peer, [BEGIN, self.number, self._sizes]):
                return False
            self.until, self.is_read = 0, not self._long
            self.began = wagons.now() if self.began is None else self.began
            while (until := self.until) is not None:
                if self.refusal is not None:
                    msg = f"node {name_of(self.peer)!r} does not take a value of {self.size:,} bytes: {self.refusal}"
                    raise NotSerializable(msg)
                if until and self.sent >= self.size and self.is_read:
                    return True
                if self.sent >= until:
                    await self._changed.park()
                elif wagons.backlog(self.peer) > ROOM:
                    await wagons.wait_room(self.peer)
                else:
                    data = self._cutter.piece(self.sent, min(SIZE, until - self.sent))
                    if not wagons.send(self.peer, [PIECE, self.number, self.sent, data]):
                        break
                    self.sent += len(data)
                    if self.progress is not None:
                        self.progress()
                    await trio.lowlevel.checkpoint()
            self.until = None
            return False

    def granted(self, come: int, until: int) -> None:
        """The other node has so much of it, and takes it up to there."""
        if self.until is None:
            return
        if not 0 <= come <= until <= self.size or until < max(self.until, 1):
            msg = "a grant for a large value that makes no sense"
            raise ProtocolViolation(msg)
        if not self.until:  # the first on this link
            self.sent = come
        self.until = until
        self.wake()


class Turns(dict[tuple[NodeId, int], trio.StrictFIFOLock]):
    """Actors that large requests are on their way to: what is asked of them meanwhile waits, so that none overtakes."""

    @asynccontextmanager
    async def take(self, peer: NodeId, serial: int) -> AsyncIterator[None]:
        """Wait until all that came before has been sent, and let nothing else be sent until the end of the block."""
        key = (peer, serial)
        lock = self.get(key)
        if lock is None:
            lock = self[key] = trio.StrictFIFOLock()
        async with lock:
            try:
                yield
            finally:
                if not lock.statistics().tasks_waiting:
                    del self[key]


class Freight:
    """The large values of one node, to and from all others.

    ``nursery``: for what nobody waits for. ``deliver``: takes a message whose value has come.
    """

    nursery: trio.Nursery
    deliver: Callable[[NodeId, list[Any]], None]

    def __init__(self, wagons: Wagons, payloads: Payloads) -> None:
        self.wagons: Wagons = wagons
        self._payloads = payloads
        self.turns: Turns = Turns()
        self._assembly = Assembly()
        self._able: set[NodeId] = set()
        self._unable: set[NodeId] = set()
        self._lots: dict[int, Lot] = {}
        self._slots: dict[NodeId, trio.Semaphore] = {}
        self._number = 0
        self._linked = trio.Event()
        self._ended = trio.Event()
        self.takers: dict[int, Callable[..., None]] = {
            BEGIN: self._take_begin,
            GRANT: self._take_grant,
            PIECE: self._take_piece,
            ABANDON: self._take_abandon,
            REFUSE: self._take_refuse,
            READ: self._take_read,
            LADEN: self._take_laden,
        }

    # -- links ---------------------------------------------------------------------------------------------------------

    def carries(self, peer: NodeId) -> bool:
        """Whether there is a link to this node, and it takes large values."""
        return peer in self._able

    def lacks(self, peer: NodeId) -> bool:
        """Whether there is a link to this node, and it is of the release before."""
        return peer in self._unable

    def link_up(self, peer: NodeId, capabilities: Collection[str]) -> None:
        """A link is ready."""
        self.link_down(peer)
        (self._able if CAPABILITY in capabilities else self._unable).add(peer)
        self._linked.set()
        self._linked = trio.Event()

    def link_down(self, peer: NodeId) -> None:
        """A link has ended: what is on its way stands still."""
        self._able.discard(peer)
        self._unable.discard(peer)
        self._assembly.link_down(peer, self.wagons.now())
        for lot in self._lots.values():
            if lot.peer == peer:
                lot.until = None
                lot.wake()

    def look(self) -> None:
        """Time has passed."""
        now = self.wagons.now()
        self._say(self._assembly.look(now))
        for lot in self._lots.values():
            if lot.began is None or now - lot.began < LONG:
                continue
            if lot.told is None or now - lot.told >= AGAIN:
                lot.told = now
                log.info("to %s: %s", name_of(lot.peer), _told(lot, now))

    def figures(self, peer: NodeId) -> Figures:
        """How far what is under way with this node is."""
        lots = [lot for lot in self._lots.values() if lot.peer == peer]
        out = len(lots), sum(lot.size for lot in lots), sum(lot.sent for lot in lots)
        return Figures(*out, *self._assembly.figures(peer))

    # -- sending -------------------------------------------------------------------------------------------------------

    async def finish(self, within: float) -> None:
        """This node leaves: let what is being sent come to its end, if it does so within so many seconds."""
        with trio.move_on_after(within):
            while any(lot.peer in self._able for lot in self._lots.values()):
                await self._ended.wait()

    def number(self) -> int:
        """A number for a value."""
        self._number += 1
        return self._number

    @contextmanager
    def consign(self, peer: NodeId, cargo: Cargo, number: int | None = None) -> Iterator[Lot]:
        """A value that is to be sent within the block: `Lot.ship`, then its message. At the end it is forgotten, there, too."""
        lot = Lot(self, peer, self.number() if number is None else number, cargo)
        self._lots[lot.number] = lot
        try:
            yield lot
        finally:
            del self._lots[lot.number]
            self._ended.set()
            self._ended = trio.Event()
            if not lot.is_sent and peer in self._able and lot.refusal is None:
                self.wagons.send(peer, [ABANDON, lot.number])
            now = self.wagons.now()
            if lot.told is not None:
                log.info("to %s: %s: %s", name_of(peer), _told(lot, now), "all of it" if lot.is_sent else "given up")

    async def send(
        self,
        peer: NodeId,
        cargo: Cargo,
        message: list[Any],
        path: list[int],
        *,
        number: int | None = None,
        again: bool = True,
        progress: Callable[[], None] | None = None,
    ) -> bool:
        """Send a message with this value at ``path``; ``again``: on another link, too, if it comes soon.

        `False`: it was not sent. Raises `NotSerializable` if the other node does not take it.
        """
        with self.consign(peer, cargo, number) as lot:
            lot.progress = progress
            while not await lot.ship():
                if not again or not await self._until_linked(peer):
                    return False
            lot.is_sent = self.wagons.send(peer, [LADEN, lot.number, path, message])
            return lot.is_sent

    async def _until_linked(self, peer: NodeId) -> bool:
        with trio.move_on_after(KEEP):
            while peer not in self._able:
                await self._linked.wait()
            return True
        return False

    @asynccontextmanager
    async def slot(self, peer: NodeId) -> AsyncIterator[None]:
        """One of the places of those that are sent to this node."""
        slots = self._slots.get(peer)
        if slots is None:
            slots = self._slots[peer] = trio.Semaphore(SLOTS)
        async with slots:
            try:
                yield
            finally:
                if slots.value == SLOTS - 1 and not slots.statistics().tasks_waiting:
                    del self._slots[peer]

    # -- what arrives --------------------------------------------------------------------------------------------------

    def _take_laden(self, peer: NodeId, number: int, path: list[Any], message: list[Any]) -> None:
        """A message whose value has gone ahead: put the value in its place."""
        cargo = self._assembly.take(peer, number)
        self._say(self._assembly.look(self.wagons.now()))  # there is room now
        place: Any = message
        *way, last = path if 0 < len(path) <= _DEEPEST else [None]
        for index in way:
            place = place[index] if _leads(place, index) else None
        if not _leads(place, last) or place[last] is not None or message[0] == LADEN:
            msg = "a large value for no place in its message"
            raise ProtocolViolation(msg)
        place[last] = cargo
        self.deliver(peer, message)

    def _take_begin(self, peer: NodeId, number: int, sizes: list[Any]) -> None:
        self._say(self._assembly.begin(peer, number, sizes, self.wagons.now()))

    def _take_piece(self, peer: NodeId, number: int, offset: int, data: Any) -> None:
        self._say(self._assembly.piece(peer, number, offset, data, self.wagons.now()))
        cargo = self._assembly.unread(peer, number)
        if cargo is not None:
            self.nursery.start_soon(self._read, peer, number, cargo)

    async def _read(self, peer: NodeId, number: int, cargo: Cargo) -> None:
        """Read a value of many parts: in one go that would hold up everybody."""
        try:
            cargo.ready.append(await slowly(self._payloads.load_slowly(cargo)))
        except ProtocolViolation as error:
            self._assembly.drop(peer, number)
            self.wagons.send(peer, [REFUSE, number, f"it cannot be read there: {error}"[:500]])
            self._say(self._assembly.look(self.wagons.now()))
        else:
            self._say(self._assembly.has_read(peer, number, cargo))

    def _take_abandon(self, peer: NodeId, number: int) -> None:
        self._assembly.drop(peer, number)
        self._say(self._assembly.look(self.wagons.now()))

    def _take_grant(self, peer: NodeId, number: int, come: int, until: int) -> None:
        lot = self._lots.get(number)
        if lot is not None and lot.peer == peer:
            lot.granted(come, until)

    def _take_refuse(self, peer: NodeId, number: int, text: str) -> None:
        lot = self._lots.get(number)
        if lot is not None and lot.peer == peer:
            lot.refusal = text[:500]
            lot.wake()

    def _take_read(self, peer: NodeId, number: int) -> None:
        lot = self._lots.get(number)
        if lot is not None and lot.peer == peer:
            lot.is_read = True
            lot.wake()

    def _say(self, says: list[tuple[NodeId, list[Any]]]) -> None:
        for peer, message in says:
            self.wagons.send(peer, message)


def _leads(place: object, index: object) -> bool:
    return type(place) is list and type(index) is int and 0 <= index < len(place)


def _told(lot: Lot, now: float) -> str:
    """How far it is, in words."""
    seconds = now - (lot.began or now)
    sent, size = lot.sent / (1 << 20), lot.size / (1 << 20)
    return f"{sent:,.1f} of {size:,.1f} MiB of a large value sent in {seconds:.0f} s"


SHAPES: dict[int, tuple[int, tuple[type, ...]]] = {
    BEGIN: (3, (int, int, list)),
    GRANT: (4, (int, int, int, int)),
    PIECE: (4, (int, int, int)),
    ABANDON: (2, (int, int)),
    REFUSE: (3, (int, int, str)),
    READ: (2, (int, int)),
    LADEN: (4, (int, int, list, list)),
}
