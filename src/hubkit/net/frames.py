"""One WebSocket connection as a `Link`: frames over a trio stream, by way of wsproto's connection object.

Nearly all frames take the plain road of `hubkit.net.framing`; and a TCP socket of a system where that is
possible is read and written without trio's detours: there a write that does not have to wait does not, and a read waits first.

Law of this room: after every await, whatever ended it, the link is intact or closed. So a send that did not finish closes
the link (half a frame may be on the wire), while a receive may be given up at any time. And a close is bounded,
whatever the peer does: it says so, waits a second for the peer's word, and drops the connection.

Pings are answered as the standard wants, with the next frame if one is on its way; hubkit itself sends none, because they
measure the peer's kernel and WebSocket library rather than its node.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator

import trio
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Message, Ping

from hubkit.environment import Environment
from hubkit.errors import LinkClosed, LinkError, ProtocolViolation
from hubkit.net.certificates import Secured
from hubkit.net.framing import PLAIN, Sieve, frame_of
from hubkit.net.masking import Masks
from hubkit.net.secure import SecureStream
from hubkit.net.transport import MAX_GREETING

__all__ = ["RECEIVE_BUFFER", "WebSocketLink"]

#: Bytes asked of the stream at once. Small buffers cost several times the throughput of large messages.
RECEIVE_BUFFER = 64 * 1024
#: The same, when the last time there was more than that.
LARGE_BUFFER = 512 * 1024

_CLOSE_WITHIN = 1.0  # seconds for the peer to answer our close
_STRANGE = 64  # WebSocket frames, of whatever kind, from a peer that has not proved the secret: a handshake has three
_SLICE = 256  # ... that are taken apart before others have their turn
_PIECE = 1024  # bytes that the engine, which takes apart all that it has, is given at once

# WebSocket's close codes.
_GOING = 1000
_PROTOCOL_ERROR = 1002
_TOO_BIG = 1009


def _nothing() -> None:
    return None


def _pieces(data: bytes) -> Iterator[tuple[bool, bytes | bytearray]]:
    """All of it for the engine, a little at a time; and whatever it has already."""
    for at in range(0, len(data) or 1, _PIECE):
        yield False, data[at : at + _PIECE]


class WebSocketLink:
    """See `hubkit.net.transport.Link`. ``rest``: something came with the end of the opening, and is in the engine already.

    ``proved()`` is called when the peer may send more than a greeting.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        engine: Connection,
        remote: str,
        tls: Secured | None = None,
        *,
        rest: bool = False,
    ) -> None:
        self.remote = remote
        self.tls: Secured | None = tls
        self._stream = stream
        self._engine = engine
        self._secure = stream if isinstance(stream, SecureStream) else None
        self._under = stream if self._secure is None else self._secure.under
        self._socket = self._under.socket if type(self._under) is trio.SocketStream and os.name == "posix" else None
        self._masks = Masks(Environment().token) if engine.client else None
        self._sieve = None if rest else Sieve(masked=not engine.client, limit=MAX_GREETING)
        self._limit = MAX_GREETING
        self._ask = RECEIVE_BUFFER
        self.proved: Callable[[], object] = _nothing
        self._strange = 0  # frames of a peer that has not proved the secret
        # What has come, and is not taken yet.
        self._coming: Iterator[tuple[bool, bytes | bytearray]] | None = _pieces(b"")
        self._frames: deque[bytes | bytearray] = deque()
        self._parts = bytearray()  # of a frame that comes in pieces
        self._size = 0
        self._pong: Ping | None = None  # the latest ping that is not answered yet
        self._lock = trio.StrictFIFOLock()  # held while bytes go out
        self._left: bytes | bytearray = b""  # what the system had no room for: it goes before all else
        self._begun = False  # a frame that `send_now` could not send whole is in it
        self._receiving = False
        self._end: LinkError | None = None  # why the link has ended
        self._ended = trio.Event()
        self._code = _GOING
        self._closing = False
        self._drain()

    def allow(self, max_frame: int) -> None:
        """Accept frames of up to ``max_frame`` bytes from now on."""
        self._limit = max_frame
        if self._sieve is not None:
            self._sieve.limit = max_frame
        if max_frame > MAX_GREETING:
            self.proved()

    # -- sending

    def send_now(self, frame: bytes) -> bool:
        """Send one frame, if that takes no waiting. See `hubkit.net.transport.at_once`."""
        if (
            self._socket is None
            or len(frame) > PLAIN
            or self._end is not None
            or self._closing
            or self._pong is not None
            or self._left
            or self._lock.locked()
        ):
            return False
        try:
            data = self._wire(self._frame_of(frame))
        except trio.BrokenResourceError:
            return False
        self._left = data[self._write(data) :]
        self._begun = bool(self._left)
        return not self._begun

    def _frame_of(self, frame: bytes) -> bytes | bytearray:
        return frame_of(frame, None if self._masks is None else self._masks.next())

    def _wire(self, data: bytes | bytearray) -> bytes | bytearray:
        """What goes out on the socket for these bytes of WebSocket. It must, in this order."""
        return data if self._secure is None else self._secure.encrypt(data)

    def _write(self, data: bytes | bytearray) -> int:
        """How many of the bytes the system has taken; an error is told to whoever waits for one."""
        assert self._socket is not None
        try:
            return os.write(self._socket.fileno(), data)
        except OSError:
            return 0

    async def send(self, frame: bytes) -> None:
        """Send one frame; if cancelled, the link has ended."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            if self._end is not None or self._closing:
                raise LinkClosed(*self._closed().args)
            if not self._begun:  # else it must not be left half sent
                await trio.lowlevel.checkpoint_if_cancelled()
            data = b"" if self._begun else self._frame_of(frame)
            await self._transmit(data if self._pong is None else self._take_pong() + data)
        finally:
            self._lock.release()

    async def _transmit(self, data: bytes | bytearray) -> None:
        """Send what is left, and then this."""
        finished = False
        try:
            data = self._wire(data)
            if self._left:
                data, self._left, self._begun = self._left + data, b"", False
            if self._socket is not None and len(data) <= 2 * PLAIN:
                data = data[self._write(data) :]
            if data:
                await self._under.send_all(data)
            finished = True
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._broke(error)
            raise self._closed() from None
        finally:
            if not finished:
                # Half a frame may be on the wire: nothing that follows it would be understood.
                self._finish(LinkClosed("a frame was given up half sent"))
                await trio.aclose_forcefully(self._stream)

    def _take_pong(self) -> bytes:
        assert self._pong is not None
        data = self._engine.send(self._pong.response())
        self._pong = None
        return data

    async def _answer(self) -> None:
        """Send the pong that is due, or what TLS has to say, unless something is on its way out: then it goes with that.

        So does what a socket has no room for: whoever receives neither waits for that, nor harms the link by giving up.
        """
        if self._left:
            return
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            pong = b"" if self._pong is None else self._take_pong()
            if self._socket is None:
                await self._transmit(pong)
            else:
                data = self._wire(pong)
                self._left = data[self._write(data) :]
        except trio.BrokenResourceError as error:
            self._broke(error)
        except LinkClosed:
            pass  # receive() tells
        finally:
            self._lock.release()

    # -- receiving

    async def receive(self) -> bytes:
        """The next frame; giving up waiting loses nothing."""
        return bytes(await self.receive_buffer())

    async def receive_buffer(self) -> bytes | bytearray:
        """The same. See `hubkit.net.transport.buffers`."""
        frames = self._frames
        while not frames or self._closing:
            if self._end is not None:
                raise self._closed()
            if self._closing and self._receiving:  # whoever closes it reads
                await self._ended.wait()
            else:
                await self._fill()
        return frames.popleft()

    async def _fill(self) -> None:
        """Read once from the stream, and take apart what came.

        Of a stranger little is read at once, and of anybody's frames only so many are taken apart in one go: ten thousand
        empty ones fit into a large buffer, and would hold up everybody else.
        """
        self._receiving = True
        try:
            if self._coming is not None:
                await trio.lowlevel.checkpoint()
                self._drain()
            else:
                asked = min(self._ask, self._limit)
                data = await self._read(asked)
                if not data:
                    self._finish(LinkClosed("the connection ended"))
                    return
                self._ask = LARGE_BUFFER if len(data) == asked else RECEIVE_BUFFER
                self._take(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._broke(error)
            return
        finally:
            self._receiving = False
        if self._closing:
            self._frames.clear()  # nobody is handed them any more, and the peer may go on
        owes = self._pong is not None or (self._secure is not None and self._secure.owes)
        if owes and self._end is None and not self._closing:
            await self._answer()

    async def _read(self, most: int) -> bytes:
        """At most so many bytes of WebSocket; none at the end."""
        secure, socket = self._secure, self._socket
        if socket is None:
            return bytes(await self._stream.receive_some(most))
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if secure is not None and (data := secure.take(most)) is not None:
                return data
            if socket.fileno() < 0:
                msg = "the connection was closed here"
                raise trio.ClosedResourceError(msg)
            await trio.lowlevel.wait_readable(socket)
            try:
                data = os.read(socket.fileno(), most)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            if secure is None:
                return data
            secure.feed(data)

    def _take(self, data: bytes) -> None:
        self._coming = _pieces(data) if self._sieve is None else self._sieve.feed(data)
        self._drain()

    def _drain(self) -> None:
        """Take what comes next."""
        assert self._coming is not None
        frames, limit, count = self._frames, self._limit, 0
        strange = limit <= MAX_GREETING
        for plain, piece in self._coming:
            if not plain:
                count += self._engine_takes(piece)
            elif len(piece) <= limit:
                frames.append(piece)
                count += 1
            else:
                self._violated(f"a frame exceeds {limit:,} bytes", _TOO_BIG)
            if strange:
                self._met(plain)
            if self._end is not None:
                break
            if count >= _SLICE:
                return
        self._coming = None

    def _met(self, plain: bool) -> None:
        """A frame of a stranger has come, or part of one."""
        self._strange += plain
        if self._strange > _STRANGE:
            self._violated(f"more than {_STRANGE} frames before the handshake is done", _PROTOCOL_ERROR)

    def _engine_takes(self, piece: bytes | bytearray) -> int:
        """Let the engine take this; how many frames, and parts of frames, it made of it."""
        self._engine.receive_data(bytes(piece))
        count = 0
        for event in self._engine.events():
            count += 1
            if type(event) is BytesMessage:
                self._add(event)
            elif type(event) is CloseConnection:
                self._close_came(event)
            elif type(event) is Ping:
                self._pong = event
            elif isinstance(event, Message):
                self._violated("a text message, where only binary ones are expected", _PROTOCOL_ERROR)
            self._strange += getattr(event, "frame_finished", True)
            if self._end is not None:
                break
        return count

    def _close_came(self, event: CloseConnection) -> None:
        """The peer has closed, or its bytes were none of WebSocket."""
        if self._engine.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
            why = f": {event.reason}" if event.reason else ""
            self._finish(LinkClosed(f"closed by the peer{why}"))
        else:
            self._violated(f"broken WebSocket framing: {event.reason}", _PROTOCOL_ERROR)

    def _add(self, event: BytesMessage) -> None:
        """One piece of a frame; most frames come in one."""
        self._size += len(event.data)
        if self._size > self._limit:
            self._violated(f"a frame exceeds {self._limit:,} bytes", _TOO_BIG)
            return
        if not self._parts and event.message_finished:
            self._frames.append(bytes(event.data))
        else:  # a piece weighs what it holds, however many there are
            self._parts += event.data
            if not event.message_finished:
                return
            self._frames.append(bytes(self._parts))
            self._parts.clear()
        self._size = 0

    # -- the end

    async def aclose(self) -> None:
        """End the link within about a second; at once if cancelled."""
        self._closing = True
        try:
            with trio.move_on_after(_CLOSE_WITHIN):
                await self._part()
        except (LinkClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._finish(LinkClosed("closed here"))
            await trio.aclose_forcefully(self._stream)

    async def _part(self) -> None:
        """Tell the peer, and read on until it answers: a socket closed with unread data would drop what we said last."""
        peer_began = self._engine.state is ConnectionState.REMOTE_CLOSING
        violated = isinstance(self._end, ProtocolViolation)
        if self._end is not None and not (peer_began or violated):
            return
        async with self._lock:
            if self._engine.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                return
            reason = str(self._end) if violated else None
            await self._transmit(self._engine.send(CloseConnection(code=self._code, reason=reason)))
        if peer_began:
            return
        if violated:
            # Its bytes make no sense any more; wait for it to hang up.
            while await self._stream.receive_some(RECEIVE_BUFFER):
                pass
        while self._end is None:
            if self._receiving:
                await self._ended.wait()
            else:
                await self._fill()

    def _violated(self, what: str, code: int) -> None:
        self._code = code
        self._finish(ProtocolViolation(what))

    def _broke(self, error: Exception) -> None:
        self._finish(LinkClosed(f"the connection broke: {error.__cause__ or error}"))

    def _finish(self, end: LinkError) -> None:
        if self._end is None:
            self._end = end
            self._ended.set()

    def _closed(self) -> LinkError:
        """A fresh exception that says why the link has ended."""
        end = self._end or LinkClosed("closed here")
        return type(end)(*end.args)
