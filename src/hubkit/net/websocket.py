"""The real network: `WebSocketTransport`, WebSocket (RFC 6455) over TCP or TLS.

Law of this room: nothing that a stranger sends, or fails to send, costs more than its own connection. Every wait for one is
bounded; connections are counted, by address, and those beyond the limits are closed before anything is read
(`hubkit.net.gate`); and what goes wrong with one is logged in one line, or, if it is one of many, counted in one
(`hubkit.net.tally`).

Only peers that ask for the subprotocol `SUBPROTOCOL` are served, and none that names an ``Origin``: browsers always do,
and no web page shall reach a node that listens on its reader's machine.

Refused: a client library's connection object. Its reader hands messages over through a channel and its close waits for the
peer without a bound; driving the protocol engine itself (wsproto, sans-IO) on a trio stream saves a third of each
round trip, and leaves every cancellation in one hand. See `hubkit.net.frames` for that hand.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from hubkit.errors import ConfigurationError, DialFailed, HandshakeRefused, LinkError, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.address import Address, parse
from hubkit.net.certificates import Secured, names_in
from hubkit.net.frames import WebSocketLink
from hubkit.net.gate import Gate, Visit, origin_of
from hubkit.net.lines import one_line
from hubkit.net.secure import SecureStream
from hubkit.net.sockets import Patient, connect, listen, reason, remote_name
from hubkit.net.tally import Tally
from hubkit.net.transport import Link

__all__ = ["PER_ADDRESS", "SUBPROTOCOL", "TLS", "WebSocketTransport"]

#: What both ends of a link speak; a WebSocket without it is not for us.
SUBPROTOCOL = "hubkit.v1"

#: Connections that one remote address may have.
PER_ADDRESS = 256

logger: Log = Log("hubkit.net")

_MAX_OPENING = 16 * 1024  # bytes of an opening handshake, either way
_AT_ONCE = 4096  # ... that are read at once: what follows the opening in the same piece is taken apart in one go
_LINES = 10  # a period, about connections of one address that failed, each in its own way


@dataclass(frozen=True, slots=True)
class TLS:
    """The `ssl.SSLContext` for ``wss://``: ``server`` for the port that a node listens at, ``client`` for those it dials.

    Without ``client``, the system's certificate authorities are trusted. For mutual TLS, let ``server`` require
    certificates (``verify_mode = ssl.CERT_REQUIRED``) and load one into ``client``. Then a node's name must stand in its
    certificate (as common name or alternative name; of a name like ``host:port`` the host is enough), unless
    ``check_names=False``: for clusters whose nodes share one.
    """

    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None
    check_names: bool = True


class WebSocketTransport:
    """Links over WebSocket. ``listen`` is the URL to listen at (port 0: any free one), `None` to dial only.

    ``opening``: seconds that connecting, TLS and the WebSocket opening may take together.
    ``max_opening``: how many connections may be there at once whose peer has not proved the secret yet, of one address half of
    them. When there are more, the oldest of the address that has most of them is closed.
    ``per_address``: how many connections one remote address may have. So many may also come at once, and a quarter of them a
    second from then on. Those beyond are closed before anything is read. See `hubkit.net.gate` for what an address is.
    """

    def __init__(
        self,
        listen: str | None = None,
        *,
        tls: TLS | None = None,
        opening: float = 5.0,
        max_opening: int = 128,
        per_address: int = PER_ADDRESS,
    ) -> None:
        self._tls = tls or TLS()
        self._listen = None if listen is None else parse(listen, "listen", zero_port=True)
        if self._listen is not None and self._listen.secure and self._tls.server is None:
            msg = f"to listen at {listen} a certificate is needed: tls=TLS(server=SSLContext)"
            raise ConfigurationError(msg)
        self._limit = opening
        self._gate = Gate(per_address=per_address, strangers=max_opening)
        self._tally = Tally()
        self._scopes: dict[Visit, trio.CancelScope] = {}
        self._listeners: list[trio.SocketListener] | None = None
        self._url: str | None = None

    # -- listening

    async def open(self) -> str | None:
        """Take the port, and return the URL with the real one. See `Transport.open`."""
        if self._listen is None or self._listeners is not None:
            return self._url
        address = self._listen
        try:
            listeners = await listen(address)
        except (OSError, UnicodeError) as error:
            msg = f"cannot listen at {address}: {reason(error) if isinstance(error, OSError) else error}"
            raise ConfigurationError(msg) from error
        port = listeners[0].socket.getsockname()[1]
        self._listeners = listeners
        self._url = str(Address(address.secure, address.host, port, address.path))
        return self._url

    async def serve(
        self,
        accept: Callable[[Link], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; the port is free again afterwards. See `Transport.serve`."""
        url = await self.open()
        if self._listeners is None:
            task_status.started(None)
            await trio.sleep_forever()
        assert self._listeners is not None
        listeners = self._listeners
        try:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(self._take_in, listener, accept, nursery)
                nursery.start_soon(self._sum_up)
                task_status.started(url)
        finally:
            self._listeners = None
            with trio.CancelScope(shield=True):
                for listener in listeners:
                    await listener.aclose()

    async def _take_in(
        self, listener: trio.SocketListener, accept: Callable[[Link], Awaitable[None]], nursery: trio.Nursery
    ) -> None:
        patient = Patient(listener)
        async with listener:  # the port is free as soon as nobody serves any more
            while True:
                stream = await patient.accept()
                try:
                    host, remote = remote_name(stream)
                except OSError:
                    stream.socket.close()  # it has hung up already
                    continue
                visit = self._gate.enter(host, trio.current_time())
                if isinstance(visit, str):
                    self._turn_away(stream, host, visit)
                    continue
                self._scopes[visit] = trio.CancelScope()
                out = self._gate.crowded_out(visit)
                if out is not None:
                    self._scopes[out].cancel()
                nursery.start_soon(self._handle, stream, remote, visit, accept)

    def _turn_away(self, stream: trio.SocketStream, host: str, why: str) -> None:
        """Close a connection at the least cost, here and in the kernel: with a reset, which leaves nothing behind."""
        with suppress(OSError):  # it has hung up already
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
        self._tell(origin_of(host), "turned away", f"{host}: a connection was turned away: {why}", 1)

    async def _handle(
        self, stream: trio.SocketStream, remote: str, visit: Visit, accept: Callable[[Link], Awaitable[None]]
    ) -> None:
        """One connection, to its end. Nothing but cancellation leaves here."""
        scope = self._scopes[visit]
        try:
            with scope:
                link = await self._admit(stream, remote, visit)
                try:
                    await accept(link)
                except Exception as error:
                    self._failed(remote, visit, error)  # before it is closed, which may take a second
                finally:
                    await link.aclose()
        except Exception as error:
            self._failed(remote, visit, error)
        finally:
            del self._scopes[visit]
            self._gate.left(visit)
            await trio.aclose_forcefully(stream)
        if scope.cancelled_caught:
            why = "too many connections have not proved the secret yet: it made room"
            self._tell(visit.origin, "closed to make room", f"{remote}: closed: {why}", 1)

    def _failed(self, remote: str, visit: Visit, error: Exception) -> None:
        """Say why a connection ends."""
        if isinstance(error, HandshakeRefused):
            self._tell(visit.origin, "refused", f"{remote}: no link: {one_line(error)}", _LINES)
        elif isinstance(error, LinkError | OSError):
            self._tell(visit.origin, "closed", f"{remote}: closed: {one_line(error)}", _LINES)
        else:
            logger.error("%s: closed, because of an error here", remote, exc_info=error)

    def _tell(self, origin: str, what: str, line: str, most: int) -> None:
        """Log what happened to a connection, unless there is much of it: then it is counted."""
        if self._tally.may_tell(origin, what, trio.current_time(), most=most):
            logger.warning("%s", line)

    async def _sum_up(self) -> None:
        """Tell what was counted."""
        while True:
            await trio.sleep(self._tally.period / 4)
            for origin, what, count in self._tally.due(trio.current_time()):
                text = "%s: %d more connections were %s within %g s"
                logger.warning(text, origin, count, what, self._tally.period)

    async def _admit(self, stream: trio.SocketStream, remote: str, visit: Visit) -> WebSocketLink:
        """The opening of an accepted connection, within its time."""
        with trio.move_on_after(self._limit):
            return await self._open_server(stream, remote, visit)
        msg = f"no WebSocket opening within {self._limit:g} s"
        raise ProtocolViolation(msg)

    async def _open_server(self, stream: trio.SocketStream, remote: str, visit: Visit) -> WebSocketLink:
        secured: trio.abc.Stream = stream
        assert self._listen is not None
        if self._listen.secure:
            assert self._tls.server is not None
            secured = SecureStream(stream, self._tls.server, server_side=True)
        engine = WSConnection(ConnectionType.SERVER)
        try:
            if isinstance(secured, SecureStream):
                await secured.handshake()
            request, _ = await _receive_opening(secured, engine)
        except (RemoteProtocolError, LocalProtocolError) as error:
            hint = getattr(error, "event_hint", None)
            status = hint.status_code if isinstance(hint, RejectConnection) else 400
            await _reject(secured, engine, status, str(error))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            msg = f"broken in the opening: {error.__cause__ or error}"
            raise ProtocolViolation(msg) from None
        if not isinstance(request, Request):
            msg = "no WebSocket request"
            raise ProtocolViolation(msg)
        if any(name == b"origin" for name, _ in request.extra_headers):
            await _reject(secured, engine, 403, "requests with an Origin are refused: web pages have no business here")
        if SUBPROTOCOL not in request.subprotocols:
            await _reject(secured, engine, 400, f"the subprotocol {SUBPROTOCOL} is required")
        await secured.send_all(engine.send(AcceptConnection(subprotocol=SUBPROTOCOL)))
        link = WebSocketLink(secured, _established(engine), remote, self._said(secured))
        link.proved = partial(self._gate.proved, visit)
        return link

    def _said(self, stream: trio.abc.Stream) -> Secured | None:
        """What TLS says of a connection."""
        if not isinstance(stream, SecureStream):
            return None
        server, said = self._tls.server, stream.engine
        mutual = server is not None and server.verify_mode == ssl.CERT_REQUIRED
        return Secured(said, names_in(said.getpeercert()) if mutual and self._tls.check_names else None)

    # -- dialling

    async def dial(self, address: str) -> WebSocketLink:
        """A link to ``address``. See `Transport.dial`."""
        target = parse(address, "the address to dial")
        stream: trio.abc.Stream | None = None
        link: WebSocketLink | None = None
        try:
            with trio.move_on_after(self._limit):
                stream = await connect(target)
                if target.secure:
                    context = self._tls.client or ssl.create_default_context()
                    stream = secure = SecureStream(stream, context, host=target.bare_host)
                    await secure.handshake()
                engine, rest = await _open_client(stream, target)
                link = WebSocketLink(stream, engine, str(target), self._said(stream), rest=rest)
                return link
        except (
            trio.BrokenResourceError,
            LocalProtocolError,
            RemoteProtocolError,
            ProtocolViolation,
            ssl.SSLError,
            ValueError,
        ) as error:
            # ValueError: of the codec for host names, or of ssl, when the host is none. Addresses are heard of from others.
            msg = f"no link to {address}: {one_line(error.__cause__ or error)}"
            raise DialFailed(msg) from error
        finally:
            if link is None and stream is not None:
                await trio.aclose_forcefully(stream)
        msg = f"no link to {address}: no answer within {self._limit:g} s"
        raise DialFailed(msg)


# -- the opening handshake


async def _receive_opening(stream: trio.abc.Stream, engine: WSConnection) -> tuple[object, bool]:
    """Read until the engine has something to say: the request, or the answer to ours; and whether more came with it."""
    size, said = 0, b""
    while True:
        data = await stream.receive_some(_AT_ONCE)
        size += len(data)
        said += data
        if not data:
            msg = "closed in the opening"
            raise ProtocolViolation(msg)
        try:
            engine.receive_data(bytes(data))
        except (RemoteProtocolError, LocalProtocolError):
            raise
        except Exception as error:
            # The engine decodes header values without a net: odd bytes raise whatever their codec raises.
            msg = f"malformed HTTP: {error}"
            raise RemoteProtocolError(msg) from None
        for event in engine.events():
            return event, not said.endswith(b"\r\n\r\n")
        if size > _MAX_OPENING:
            msg = "the opening is too long"
            raise RemoteProtocolError(msg)


async def _reject(stream: trio.abc.Stream, engine: WSConnection, status: int, reason: str) -> NoReturn:
    body = reason.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    try:
        data = engine.send(RejectConnection(status_code=status, headers=headers, has_body=True))
        data += engine.send(RejectData(data=body, body_finished=True))
        await stream.send_all(data)
    except (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # What was sent was no HTTP, or nobody listens any more: there is no way to tell them.
    except Exception:
        logger.debug("an answer of status %d could not be made", status, exc_info=True)
    raise ProtocolViolation(reason)


async def _open_client(stream: trio.abc.Stream, target: Address) -> tuple[Connection, bool]:
    engine = WSConnection(ConnectionType.CLIENT)
    request = Request(host=target.bare_authority, target=target.path, subprotocols=[SUBPROTOCOL])
    await stream.send_all(engine.send(request))
    answer, rest = await _receive_opening(stream, engine)
    if isinstance(answer, RejectConnection):
        msg = f"it answers HTTP status {answer.status_code}: no hubkit node, or one that refuses us"
        raise ProtocolViolation(msg)
    if not isinstance(answer, AcceptConnection) or answer.subprotocol != SUBPROTOCOL:
        msg = "it speaks WebSocket, but not hubkit"
        raise ProtocolViolation(msg)
    return _established(engine), rest


def _established(engine: WSConnection) -> Connection:
    assert engine.connection is not None
    return engine.connection
