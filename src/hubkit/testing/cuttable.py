"""A real link that can be cut: what lies between a socket and the node that uses it.

Law of this room: what the kernel has delivered is not believed before the way is free. While the way towards this end is cut
or held, nothing is read from its socket (so senders come to feel it, as they do when packets get lost), and no news of
the link's end comes through: what is sent into a connection that has ended meanwhile is taken, and lost. Afterwards all comes
in its order.

Refused: a relay between the two sockets. It would be a third party with buffers of its own, whose sockets outlive those of a
process that dies; two ends of one link that know each other need none.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

import trio

from hubkit.errors import LinkClosed, LinkError
from hubkit.net.transport import Link

__all__ = ["CuttableLink", "Surroundings", "Wire", "reset"]

#: SO_LINGER with no time to linger: whoever closes such a socket drops what is under way, and resets the connection
_ABRUPT = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def reset(one: trio.socket.SocketType) -> None:
    """Close a socket without a goodbye: its peer gets a reset. Whoever waits for it is told. May be done again."""
    if one.fileno() >= 0:
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT)
        except OSError:
            pass  # the peer was faster
        finally:
            one.close()


class Surroundings(Protocol):
    """What the ends of links need of the network."""

    observe: Callable[[str, str, str, str], None]

    def reaches(self, a: str, b: str) -> bool:
        """Whether what ``a`` sends arrives at ``b``."""
        ...

    def delay(self, a: str, b: str) -> float:
        """For how many seconds a frame is to be on its way; drawn anew for each."""
        ...

    def ended(self, wire: Wire) -> None:
        """An end of this wire is no more."""


class Wire:
    """One dial, and the link that comes of it: ``number``, who dials whom, and its ends, as far as they are up."""

    def __init__(self, number: int, dialer: str, acceptor: str) -> None:
        self.number: int = number
        self.dialer: str = dialer
        self.acceptor: str = acceptor
        #: the dialer waits for its answer
        self.is_dialling: bool = True
        #: the dialer's sockets: by their names the acceptor knows who it is
        self.sockets: list[trio.socket.SocketType] = []
        self.near: CuttableLink | None = None
        self.far: CuttableLink | None = None
        #: when the frames on their way were sent: the dialer's, and the acceptor's
        self.sent: tuple[deque[float], deque[float]] = (deque(), deque())

    @property
    def ends(self) -> list[CuttableLink]:
        """Those that there are, or were."""
        return [end for end in (self.near, self.far) if end is not None]

    def is_dialled_from(self, name: object) -> bool:
        """Whether the socket of this name, an address and a port, is the dialer's."""
        return any(one.fileno() >= 0 and one.getsockname() == name for one in self.sockets)


class CuttableLink:
    """See `hubkit.net.transport.Link`. ``host``: where this end is; ``peer``: where the other is; ``own``: its socket."""

    def __init__(
        self, inner: Link, wire: Wire, surroundings: Surroundings, own: trio.socket.SocketType, *, dialing: bool
    ) -> None:
        self.remote: str = inner.remote
        self.wire: Wire = wire
        self.host: str = wire.dialer if dialing else wire.acceptor
        self.peer: str = wire.acceptor if dialing else wire.dialer
        self._inner, self._surroundings, self._socket = inner, surroundings, own
        self._sent, self._coming = wire.sent if dialing else wire.sent[::-1]
        self._kept: tuple[float, bytes | LinkError] | None = None  # what was read: when it is due, and what it is
        self._due = 0.0
        self._stirred = trio.lowlevel.ParkingLot()
        self._half_open = False  # the other end is gone, and nothing has told this one
        self._closing = False
        self._end: LinkError | None = None  # why it has ended, as far as this end has learnt
        self._over = False  # and nothing more is to be read

    def __repr__(self) -> str:
        return f"<CuttableLink {self.wire.number} of {self.host} to {self.peer}>"

    @property
    def has_ended(self) -> bool:
        """Whether it has for this end, which has read all that there was."""
        return self._over

    @property
    def _is_deaf(self) -> bool:
        """Whether what the kernel knows is unknown here."""
        return not self._closing and (self._half_open or not self._surroundings.reaches(self.peer, self.host))

    def allow(self, max_frame: int) -> None:
        """Accept frames of up to ``max_frame`` bytes from now on."""
        self._inner.allow(max_frame)

    # -- sending

    async def send(self, frame: bytes) -> None:
        """Send one frame. What is given up, or fails, in the middle ends the link."""
        if self._end is not None or self._closing:
            await trio.lowlevel.checkpoint()
            raise LinkClosed(*self._closed().args)
        self._surroundings.observe("send", self.host, self.peer, self._text(frame))
        if self._half_open:
            await trio.lowlevel.checkpoint()
            self._answered()
            return
        self._sent.append(trio.current_time())
        try:
            await self._inner.send(frame)
        except LinkError as error:
            if not self._is_deaf:
                self._learn(error)  # what has come before can still be read
                raise
            self._answered()
        except BaseException:
            if self._sent:
                self._sent.pop()
            raise

    def _answered(self) -> None:
        """What was sent into a void has been answered with a reset; it comes through when the way is free."""
        if self._half_open:
            self._half_open = False
            self.stir()

    def _text(self, frame: bytes) -> str:
        return f"{self.wire.number} {len(frame)} {blake2b(frame, digest_size=8).hexdigest()}"

    # -- receiving

    async def receive(self) -> bytes:
        """The next frame that has come through; giving up waiting loses nothing."""
        while not self._over:
            if self._is_deaf:
                await self._stirred.park()
                continue
            if self._kept is None:
                self._kept = await self._take()
                continue  # much may have happened meanwhile
            due, item = self._kept
            if (wait := due - trio.current_time()) > 0 and not self._closing:
                with trio.move_on_after(wait):
                    await self._stirred.park()
                continue
            self._kept = None
            if isinstance(item, LinkError):
                self._finish(item)
            elif not self._closing:
                self._surroundings.observe("deliver", self.host, self.peer, self._text(item))
                return item
        raise self._closed()

    async def _take(self) -> tuple[float, bytes | LinkError]:
        """What the socket gives next, and when it is due."""
        try:
            frame = await self._inner.receive()
        except LinkError as error:
            return self._due, error
        sent = self._coming.popleft() if self._coming else trio.current_time()
        self._due = max(self._due, sent + self._surroundings.delay(self.peer, self.host))
        return self._due, frame

    def stir(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._stirred.unpark_all()

    # -- the end

    async def aclose(self) -> None:
        """End the link within about a second; at once if cancelled."""
        self._closing = True
        self.stir()
        try:
            await self._inner.aclose()
        finally:
            self._finish(LinkClosed("closed here"))

    def snap(self, why: str, *, half: bool = False) -> None:
        """The connection breaks, for real, and both ends learn it now; with ``half`` the other one when it next sends."""
        other = self.wire.far if self is self.wire.near else self.wire.near
        if half and other is not None and not other.has_ended:
            other._half_open = True
        for end in (self, None if half else other):
            if end is not None:
                reset(end._socket)
                end._finish(LinkClosed(why))

    def abandon(self) -> None:
        """The process of this end is no more: nothing is told to anybody here."""
        self._end = self._end or LinkClosed("this host has crashed")
        self._finish(self._end)

    def _finish(self, end: LinkError) -> None:
        self._learn(end)
        if not self._over:
            self._over = True
            self._surroundings.ended(self.wire)
            self.stir()

    def _learn(self, end: LinkError) -> None:
        if self._end is None:
            self._end = end
            self._surroundings.observe("break", self.host, self.peer, f"link {self.wire.number}: {end}")

    def _closed(self) -> LinkError:
        """A fresh exception that says why the link has ended."""
        end = self._end or LinkClosed("closed here")
        return type(end)(*end.args)
