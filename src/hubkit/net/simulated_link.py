"""One end of a link of a simulated network.

Law of this room: an end behaves as a WebSocket over TCP does, in what it tells and in what it hides. What was sent before a
close or a reset arrives before it; who does not read is not told; who sends into a void learns it from the answer.

An end has two lives. As a `Link` it ends when its program is told so, or closes it. As the kernel's half of a connection it
goes on until it is ``gone``; whatever comes for it then is answered with a reset.

Refused: a window update that travels. Room for the sender is known at once at both ends; no program can tell the difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

import trio

from hubkit.errors import DialFailed, DialRefused, LinkClosed, LinkError, ProtocolViolation
from hubkit.net.lanes import ACK, FIN, REFUSED, RST, SYN, Lane
from hubkit.net.transport import MAX_GREETING

__all__ = ["Figures", "Office", "SimulatedLink"]

_WINDOW = 1 << 20  # bytes on their way or unread from which on a sender waits
_CLOSE_WITHIN = 1.0  # seconds for the peer to answer a close


class Figures:
    """What is counted."""

    __slots__ = ("breaks", "bytes", "dials", "frames")

    def __init__(self) -> None:
        self.frames: int = 0
        self.bytes: int = 0
        self.dials: int = 0
        self.breaks: int = 0


class Office(Protocol):
    """The network, as an end of a link sees it."""

    figures: Figures
    observe: Callable[[str, str, str, str], None] | None

    def knocked(self, end: SimulatedLink) -> bool:
        """A dial has reached the host of ``end``. `False`: the host does not answer now."""
        ...

    def established(self, end: SimulatedLink) -> None:
        """The dialer ``end`` has had its answer."""

    def gone(self, end: SimulatedLink) -> None:
        """The kernel of its host knows ``end`` no more."""


class SimulatedLink:
    """See `hubkit.net.transport.Link`. ``host``: where this end is; ``number``: the same at both ends.

    ``is_known``: the kernel of its host has heard of it; ``is_open``: the dial has been answered; ``is_gone``: the kernel knows
    it no more.
    """

    def __init__(self, office: Office, host: str, number: int, remote: str, *, dialing: bool) -> None:
        self.remote: str = remote
        self.host = host
        self.number = number
        self.dialing = dialing
        self.is_known: bool = dialing
        self.is_open: bool = False
        self.is_gone: bool = False
        self.peer: SimulatedLink
        self.out: Lane  # to the peer
        self.ticket: int = 0
        self._office = office
        self._limit = MAX_GREETING
        self._inbox: deque[bytes] = deque()
        self._reader: trio.lowlevel.Task | None = None  # when it waits: for a frame, or for the answer to its dial
        self._writers = trio.lowlevel.ParkingLot()
        self._closing = False
        self._peer_closed = False  # its close has come, after all its frames
        self._over: trio.Event | None = None  # the peer has closed, or the kernel has given the connection up
        self._end: LinkError | None = None  # why the link has ended

    def __repr__(self) -> str:
        return f"<SimulatedLink {self.number} of {self.host} to {self.remote}>"

    def allow(self, max_frame: int) -> None:
        """Accept frames of up to ``max_frame`` bytes from now on."""
        self._limit = max_frame

    # -- sending

    async def send(self, frame: bytes) -> None:
        """Send one frame. Given up before its turn, nothing was sent; given up while it waits for room, the link has ended."""
        await trio.lowlevel.checkpoint()
        out = self.out
        if out.load >= _WINDOW:
            await self._wait_room()
        if self._end is not None or self._closing:
            raise LinkClosed(*self._closed().args)
        self._put(frame)

    def send_now(self, frame: bytes) -> bool:
        """Send one frame, if there is room for it. See `hubkit.net.transport.at_once`."""
        if self.out.load >= _WINDOW or self._end is not None or self._closing:
            return False
        self._put(frame)
        return True

    def _put(self, frame: bytes) -> None:
        out = self.out
        if type(frame) is not bytes:
            frame = bytes(frame)
        office = self._office
        figures = office.figures
        figures.frames += 1
        figures.bytes += len(frame)
        if office.observe is None:
            out.put(frame)
        else:
            text = f"{self.number} {len(frame)} {blake2b(frame, digest_size=8).hexdigest()}"
            out.put(frame, text)
            office.observe("send", self.host, self.peer.host, text)

    async def _wait_room(self) -> None:
        while self.out.load >= _WINDOW and self._end is None and not self._closing:
            woken = False
            try:
                await self._writers.park()
                woken = True
            finally:
                if not woken:
                    # As on a socket: a part of the frame is on the wire, and nothing that followed would be understood.
                    self._part()
                    self._finish(LinkClosed("a frame was given up half sent"))
                    self._forget()

    # -- receiving

    async def receive(self) -> bytes:
        """The next frame; giving up waiting loses nothing."""
        while True:
            if self._inbox:
                frame = self._inbox.popleft()
                self._taken(len(frame))
                if len(frame) > self._limit:
                    self._discard()
                    self._finish(ProtocolViolation(f"a frame exceeds {self._limit:,} bytes"))
                    raise self._closed()
                return frame
            if self._peer_closed:
                self._finish(LinkClosed("closed by the peer"))
            if self._end is not None:
                raise self._closed()
            await self._wait()

    async def _wait(self) -> None:
        """Until something has changed. One task at a time."""
        if self._reader is not None:
            msg = "another task receives on this link already"
            raise trio.BusyResourceError(msg)
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        reader = self._reader
        if reader is not None:
            self._reader = None
            trio.lowlevel.reschedule(reader)

    def _taken(self, size: int) -> None:
        lane = self.peer.out
        lane.load -= size
        if lane.load < _WINDOW and self.peer._writers and not self.peer.is_gone:
            self.peer._writers.unpark_all()

    def _discard(self) -> None:
        """What was not read is of no interest any more, but must not hold up the peer, which may wait to close."""
        size = sum(map(len, self._inbox))
        self._inbox.clear()
        self._taken(size)

    # -- opening

    async def opened(self) -> None:
        """Return once the peer has answered the dial. Raises `DialFailed` or `DialRefused`."""
        while not self.is_open:
            if self._end is not None:
                raise self._closed()
            await self._wait()

    def accept(self) -> None:
        """Answer the dial: there is a link."""
        self.is_open = True
        self.out.put(ACK)

    def decline(self, answer: int) -> None:
        """Answer the dial: there is none."""
        self.out.put(answer)
        self._forget()

    # -- what comes from the network

    def arrive(self, item: bytes | int, text: str) -> bool:
        """One frame, or word of the network, from the peer."""
        if type(item) is bytes:
            if self.is_gone:
                self.out.put(RST)
                return True
            if self._office.observe is not None:
                self._office.observe("deliver", self.host, self.peer.host, text)
            if self._end is not None or self._closing:
                self._taken(len(item))
            else:
                self._inbox.append(item)
                if self._reader is not None:
                    self._wake()
        elif self.is_gone:
            if item != RST:
                self.out.put(RST)
        elif item == SYN:
            self.is_known = self._office.knocked(self)
            return self.is_known
        elif item == ACK:
            self.is_open = True
            self._office.established(self)
            self._wake()
        elif item == FIN:
            self._peer_closed = True
            self._wake()
            self._set_over()
        elif item == RST:
            self.reset("the connection was reset by the peer")
        elif item == REFUSED:
            self._fail(DialRefused(f"no link to {self.remote}: nobody listens there"))
        else:
            self._fail(DialFailed(f"no link to {self.remote}: it speaks another protocol"))
        return True

    def due(self, now: float) -> None:
        """The time has come at which this link breaks."""
        self.snap("the connection broke")

    # -- the end

    async def aclose(self) -> None:
        """End the link, within a second if the peer does not answer; at once if cancelled."""
        if not self._closing:
            self._closing = True
            self._discard()
            self._part()
        try:
            with trio.move_on_after(_CLOSE_WITHIN):
                if self._peer_closed or self.is_gone:
                    await trio.lowlevel.checkpoint()
                else:
                    self._over = self._over or trio.Event()
                    await self._over.wait()
        finally:
            self._finish(LinkClosed("closed here"))
            self._forget()

    def reset(self, why: str) -> None:
        """The kernel gives the connection up; what has come can still be read."""
        self.out.drop(all_of_it=True)
        if self.is_open:
            self._finish(LinkClosed(why))
            self._forget()
        else:
            self._fail(DialFailed(f"no link to {self.remote}: {why}"))

    def snap(self, why: str, *, half: bool = False) -> None:
        """The connection breaks: both ends learn it now; with ``half`` only this one, and the peer when it next sends."""
        self._office.figures.breaks += 1
        for end in (self,) if half else (self, self.peer):
            end._say_broken(why)

    def _say_broken(self, why: str) -> None:
        if not self.is_gone:
            self.reset(why)

    def abandon(self) -> None:
        """The dialer does not wait any longer."""
        if not self.is_gone:
            self._hang_up()
            self._finish(LinkClosed("the dial was given up"))
            self._forget()

    def crash(self, *, silent: bool) -> None:
        """The host of this end dies. What waits on this end waits on; all else is told that the link has ended."""
        if not self.is_known:
            return
        if not self.is_gone:
            self._hang_up(silent=silent)
        self._end = LinkClosed("this host has crashed")
        self._inbox.clear()
        self.ticket = 0
        self.is_gone = True

    def _hang_up(self, *, silent: bool = False) -> None:
        dropped = self.out.drop()
        if dropped and self.dialing and not self.is_open:
            self.peer.is_gone = True  # it never heard of the dial
        elif not silent:
            self.out.put(RST)

    def _part(self) -> None:
        if not self.is_gone:
            self.out.put(FIN)

    def _fail(self, why: LinkError) -> None:
        self._end = why
        self._forget()
        self._wake()

    def _finish(self, end: LinkError) -> None:
        if self._end is not None:
            return
        self._end = end
        if self.is_open and self._office.observe is not None:
            self._office.observe("break", self.host, self.peer.host, f"link {self.number}: {end}")
        self._wake()
        self._writers.unpark_all()

    def _forget(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.ticket = 0
            self._set_over()
            self._office.gone(self)

    def _set_over(self) -> None:
        if self._over is not None:
            self._over.set()

    def _closed(self) -> LinkError:
        """A fresh exception that says why the link has ended."""
        end = self._end or LinkClosed("closed here")
        return type(end)(*end.args)
