"""One link between two nodes that have met: its writer, its reader, its outbox.

Law of this room: one task writes, and is cancelled only together with closing the link, because a frame given up half way
ends it anyway; one task reads, and always reads on: what holds senders back are outboxes and credits, never a
socket that nobody empties. Messages are handed over in the reader's task, at once; whoever takes them must not wait.

The writer sleeps when the outbox is empty and is woken by the first message put into it. By the time it runs, all that
this turn of the scheduler has produced has joined the outbox, and goes out as one frame. One economy: where a message has
come alone, the next one that is sent is likely to be its answer, alone as well, or the next request of a lone caller. It goes
out on the spot, if the link can do that, and spares the writer's turn. (One that counts for many has not come alone.) And a
second one: as soon as many have been produced, they do not wait for the rest of the turn, so that the two ends of a link
work at the same time. Both only while the link is not in the middle of another frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from hubkit.environment import Environment
from hubkit.errors import LinkError, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.handshake import Identity
from hubkit.net.lines import one_line
from hubkit.net.outbox import Growing, Outbox
from hubkit.net.pulse import CAPABILITY, Past, Pulse, RoundTrip
from hubkit.net.transport import Link, at_once, buffers
from hubkit.net.wire import COUNTED, Assembler, Kind, decode_frame, encode, encode_frame
from hubkit.pids import NodeId

__all__ = ["ROOM", "LinkStatistics", "Session"]

logger: Log = Log("hubkit.net")

_APP, _CHUNK, _PING, _PONG = int(Kind.APP), int(Kind.CHUNK), int(Kind.PING), int(Kind.PONG)
_SLICE = 0.00025  # seconds for which the messages of one frame may keep everybody else from running
_LOOK = 8  # messages from one look at the clock to the next
_HEAVY = 512  # bytes of a message on average, from which on the clock is looked at after each
_LONG_SLICE = 0.02  # seconds for which such messages may keep everybody else from running
#: Bytes that wait to be sent, below which senders of bulk go on.
ROOM = 1 << 20
_ALONE = 2  # items of a message that counts for no others
_LIGHT = 4096  # bytes of a message that may go out on the spot
_EAGER, _MOST_WORTH = 64, 1024  # messages that do not wait for the turn's end; each time twice as many
_AT_ONCE = 256  # of them go on after a frame; the others when they have sent theirs
_PING_EVERY = 4  # beats
_PONGS = 256  # pings that are answered in a beat
_TURN = 32  # frames after which others have theirs, however small
_CLOSE_WITHIN = 1.0  # seconds for a close with a reason


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """A snapshot of one link. Sizes in bytes, times in seconds; counted since the link came up.

    ``state``: ``"up"``, or ``"closing"``. ``reconnects``: how often a link to this peer (or to an earlier boot of it) has come
    up again; ``last_error``: why the one before ended. ``held``: requests that wait here for a full mailbox there.
    ``sending``: how many values that are too large for one message are on their way to the peer (or wait for their turn),
    ``sending_bytes``: how many bytes they have, ``sent_bytes``: how many of those have been sent; ``receiving`` and so on:
    the same of those that come from the peer.
    """

    peer: NodeId
    remote: str
    dialed: bool
    since: float  #: `Environment.now` when it came up
    silent: float  #: how long nothing has come from the peer
    state: str
    age: float
    round_trip: RoundTrip | None  #: `None`: nothing measured yet, or the peer is of a release that does not answer
    reconnects: int
    last_error: str | None
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    waiting: int  #: messages in the outbox; many calls, answers or casts that go as one are one here
    waiting_bytes: int
    protocol: int  #: the version that it speaks; the frames of version 1 are guarded by TLS or not at all
    held: int = 0
    sending: int = 0
    sending_bytes: int = 0
    sent_bytes: int = 0
    receiving: int = 0
    receiving_bytes: int = 0
    received_bytes: int = 0

    @property
    def messages_per_frame(self) -> float:
        """How many messages went out in one frame, on average: many of them is what makes small messages cheap."""
        return self.messages_out / self.frames_out if self.frames_out else 0.0


class Session:
    """One link in use. ``message`` and ``control`` take what arrives, ``control`` all but messages of the floor above."""

    def __init__(
        self,
        link: Link,
        peer: Identity,
        *,
        dialed: bool,
        version: int,
        environment: Environment,
        message: Callable[[NodeId, list[Any]], None],
        control: Callable[[Session, list[Any]], None],
        max_outbox: int,
    ) -> None:
        self.peer = peer
        self.dialed = dialed
        self.version = version
        self.ending: bool = False  # takes no more messages
        self.said_goodbye = False
        self.parted: bool = False  # one side closed it on purpose: its end is no sign of death
        self.up = True  # the owner has not been told of its end
        self.heard: float = environment.now()
        self.gone: trio.Event = trio.Event()
        self._since = self.heard
        self._link = link
        self._at_once = at_once(link)
        self._now = environment.now
        self._message = message
        self._control = control
        self._pulse, self._pings, self._pongs = Pulse(), 0, 0
        self._moved, self._gone_out = self.heard, 0  # when a frame was last seen to have gone out, and how many had
        self._outbox = Outbox(max_outbox)
        self._assembler = Assembler()
        self._writer: trio.lowlevel.Task | None = None  # when it sleeps
        self._room = trio.lowlevel.ParkingLot()
        self._draining = False
        self._last_frame: bytes | None = None
        self._lone = False  # a message has come alone, and nothing was sent since
        self._worth = _EAGER  # messages that are worth a frame before the writer's turn
        self._held: tuple[bytes, int] | None = None  # a frame that could not go out on the spot
        self._sending = False  # the writer has given a frame to the link, which has not taken all of it yet
        self._scope = trio.CancelScope()
        self._end: str | None = None
        self._hard = False
        self._frames_in = self._frames_out = self._bytes_in = self._bytes_out = 0
        self._messages_in = self._messages_out = 0

    @property
    def age(self) -> float:
        """Seconds since it was ready."""
        return self._now() - self._since

    # -- sending

    def put(self, message: bytes, *, urgent: bool = False) -> bool:
        """Send an encoded message soon. `False`: it will not be; if the outbox was full, the link ends."""
        if self.ending:
            return False
        if self._lone and self._writer is not None and self._at_once is not None:
            self._lone = False
            if len(message) <= _LIGHT:
                self._send_now(self._at_once, encode_frame([message]), 1)
                return True
        if not self._outbox.put(message, urgent=urgent):
            self.abort(f"its outbox is full ({self._outbox.size:,} bytes): the peer does not keep up")
            return False
        self._wake()
        return True

    def grow(self, message: Growing) -> bool:
        """Send a message soon that may grow until then. `False`: not here, or not now: what `put` would send goes at once."""
        if self.ending or (self._lone and self._writer is not None and self._at_once is not None):
            return False
        waiting, is_free = self._outbox.settle(), not self._sending and self._held is None
        if waiting >= self._worth and is_free and self._at_once is not None:
            self._worth = min(2 * self._worth, _MOST_WORTH)
            taken = self._outbox.take()
            assert taken is not None
            self._send_now(self._at_once, *taken)
        if not self._outbox.grow(message):
            return False
        self._wake()
        return True

    def _send_now(self, at_once: Callable[[bytes], bool], frame: bytes, messages: int) -> None:
        """Send a frame before the writer has a turn, if possible."""
        if at_once(frame):
            self._sent(frame, messages)
        else:
            self._held = frame, messages
            self._wake()

    async def _send(self, frame: bytes, messages: int) -> None:
        """Send a frame in the writer's turn: until the link has taken it, nothing may go out on the spot."""
        self._sending = True
        await self._link.send(frame)
        self._sending = False  # else the link has ended
        self._sent(frame, messages)

    def _sent(self, frame: bytes, messages: int) -> None:
        self._frames_out += 1
        self._bytes_out += len(frame)
        self._messages_out += messages

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self.ending else self._outbox.size

    def ping(self) -> None:
        """Measure the way there and back, if the peer answers to that: at the first of these calls, and every fourth."""
        self._pings += 1
        self._pongs = 0
        if self._pings % _PING_EVERY != 1 or CAPABILITY not in self.peer.capabilities:
            return
        number = self._pulse.ask(self._now())
        if number is not None:
            self.put(encode(Kind.PING, number), urgent=True)

    def _measure(self, message: list[Any]) -> None:
        match message:
            case [Kind.PING, int(number), *_]:
                self._pongs += 1
                if self._pongs <= _PONGS:  # who asks more often does not measure
                    self.put(encode(Kind.PONG, number), urgent=True)
            case [Kind.PONG, int(number), *_]:
                self._pulse.answered(number, self._now())
            case _:
                msg = "a message that measures the round trip is malformed"
                raise ProtocolViolation(msg)

    def _wake(self) -> None:
        writer = self._writer
        if writer is not None:
            self._writer = None
            trio.lowlevel.reschedule(writer)

    async def wait_room(self) -> None:
        """Return once little waits to be sent, or the link ends."""
        while self._outbox.size > ROOM and not self.ending:
            await self._room.park()

    async def _write(self) -> None:
        outbox, link = self._outbox, self._link

        def abort(_: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            self._worth = _EAGER
            if self._held is not None:
                held, self._held = self._held, None
                await self._send(*held)
            if self._last_frame is not None:
                await link.send(self._last_frame)
                return
            taken = outbox.take()
            if taken is None:
                if self._draining:
                    return
                self._room.unpark_all()
                self._writer = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(abort)
                continue
            await self._send(*taken)
            if self._room and outbox.size <= ROOM:
                self._room.unpark(count=_AT_ONCE)

    # -- receiving

    async def _read(self) -> None:
        receive, peer, deliver = buffers(self._link), self.peer.node, self._message
        while True:
            frame = await receive()
            self.heard = self._now()
            self._frames_in += 1
            if self._frames_in % _TURN == 0:  # many may have come at once, and are there without waiting
                await trio.lowlevel.checkpoint()
            self._bytes_in += len(frame)
            began = self._now()
            messages = decode_frame(frame)
            self._lone = len(messages) == 1 and len(messages[0]) <= _ALONE
            look, most = (_LOOK, _SLICE) if len(frame) < _HEAVY * len(messages) else (0, _LONG_SLICE)
            due = 0
            for message in messages:
                due -= 1
                if due < 0:
                    due = look
                    if self._now() - began > most:
                        # Others are served meanwhile, and answer: so the two ends of a link work at the same time.
                        await trio.lowlevel.checkpoint()
                        began = self._now()
                if message[0] == _CHUNK:
                    whole = self._assembler.add(message)
                    if whole is None:
                        continue
                    message = whole
                    await trio.lowlevel.checkpoint()  # to take it apart took long, and to look into it will
                self._messages_in += 1
                if not self.up:
                    return
                if message[0] == _APP:
                    if len(message) < 2 or type(message[1]) is not list:
                        msg = "a message of the floor above is malformed"
                        raise ProtocolViolation(msg)
                    deliver(peer, message[1])
                    if len(message) > 2:
                        due -= self._counts_for(message[2])
                elif message[0] in (_PING, _PONG):
                    self._measure(message)
                else:
                    self._control(self, message)
                    if self.said_goodbye or self.parted:
                        return

    def _counts_for(self, count: object) -> int:
        """A message says that it counts for so many."""
        if type(count) is not int or not 0 < count <= COUNTED:
            msg = "a message counts for a number of messages that makes no sense"
            raise ProtocolViolation(msg)
        self._messages_in += count - 1
        return count

    # -- whether it lives

    def look(self, now: float, down_after: float) -> bool:
        """Once a beat: end the link if the peer is silent, or takes nothing; returns whether it goes on.

        Half a frame is no sign of life, however it grows: nobody can tell whether there will ever be a whole one. And a
        frame goes out at each beat, so if none has for twice ``down_after``, the peer does not read, whatever it says.
        """
        if self._frames_out != self._gone_out:
            self._gone_out, self._moved = self._frames_out, now
        if now - self.heard > down_after:
            self.abort(f"silent for {now - self.heard:.1f} s")
        elif now - self._moved > 2 * down_after:
            self.abort(f"it reads nothing, or too slowly: no frame could be sent for {now - self._moved:.1f} s")
        else:
            return True
        return False

    def slept(self, late: float) -> None:
        """It was this process that slept: what the peer said meanwhile waits in the socket, unread."""
        self.heard += late
        self._moved += late

    # -- the end

    async def run(self) -> str:
        """Carry messages until the link ends; returns why it did. Close it then with `aclose`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._until_end, self._write)
                    await self._until_end(self._read)
                    nursery.cancel_scope.cancel()
        finally:
            self.ending = True
            self._room.unpark_all()
        return self._end or "it was closed"

    async def aclose(self) -> None:
        """Close the link: politely, unless the peer is not expected to listen."""
        try:
            with trio.CancelScope() as scope:
                if self._hard:
                    scope.cancel()
                await self._link.aclose()
        finally:
            self.gone.set()  # also when this is cancelled: whoever leaves waits for it, shielded

    async def _until_end(self, work: Callable[[], Any]) -> None:
        try:
            await work()
            return
        except ProtocolViolation as error:
            logger.warning("link to %s (%s): closed: %s", self.peer.node, self._link.remote, one_line(error))
            end = str(error)
        except LinkError as error:
            end = str(error)
        except Exception:
            logger.exception("link to %s (%s): closed, because of an error here", self.peer.node, self._link.remote)
            end = "an error here"
        self._ended(end)
        self._scope.cancel()

    def _ended(self, why: str) -> None:
        self.ending = True
        if self._end is None:
            self._end = why

    def abort(self, reason: str, *, hard: bool = True) -> None:
        """End the link at once; ``hard``: without a word, as the peer does not listen, or is gone."""
        self._hard = self._hard or hard
        self._ended(reason)
        self._scope.cancel()

    def close(self, reason: str) -> None:
        """End the link on purpose, and tell the peer why; what waits in the outbox is not sent."""
        self.parted = True
        self._leave(reason, _CLOSE_WITHIN)
        self._last_frame = encode_frame([encode(Kind.CLOSE, reason[:500])])
        self._wake()

    def finish(self, within: float) -> None:
        """Send what waits, say goodbye, and end when the peer has hung up, or ``within`` seconds have passed."""
        if self.ending:
            return
        self._outbox.put(encode(Kind.GOODBYE))
        self._draining = True
        self._leave("this node leaves", within)
        self._wake()

    def _leave(self, reason: str, within: float) -> None:
        self._ended(reason)
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + within)

    # -- figures

    def statistics(self, past: Past) -> LinkStatistics:
        """A snapshot. ``past``: that of the links to this peer."""
        return LinkStatistics(
            peer=self.peer.node,
            remote=self._link.remote,
            dialed=self.dialed,
            since=self._since,
            silent=max(0.0, self._now() - self.heard),
            state="closing" if self.ending else "up",
            age=max(0.0, self.age),
            round_trip=self._pulse.figures(),
            reconnects=max(0, past.ups - 1),
            last_error=past.last_error,
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            messages_in=self._messages_in,
            messages_out=self._messages_out,
            waiting=len(self._outbox),
            waiting_bytes=self._outbox.size,
            protocol=self.version,
        )
