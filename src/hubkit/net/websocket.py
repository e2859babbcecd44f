"""The real network: `WebSocketTransport`, WebSocket (RFC 6455) over TCP or TLS.

Law of this room: nothing that a stranger sends, or fails to send, costs more than its own connection. Every wait for one is
bounded, connections that have not finished their opening are counted, and what goes wrong with one is logged in one line.

Only peers that ask for the subprotocol `SUBPROTOCOL` are served, and none that names an ``Origin``: browsers always do,
and no web page shall reach a node that listens on its reader's machine.

Refused: a client library's connection object. Its reader hands messages over through a channel and its close waits for the
peer without a bound; driving the protocol engine itself (wsproto, sans-IO) on a trio stream saves a third of each
round trip, and leaves every cancellation in one hand. See `hubkit.net.frames` for that hand.
"""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, RejectConnection, RejectData, Request
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from hubkit.errors import ConfigurationError, DialFailed, DialRefused, LinkError, ProtocolViolation
from hubkit.net.address import Address, parse
from hubkit.net.certificates import Secured, names_in
from hubkit.net.frames import RECEIVE_BUFFER, WebSocketLink
from hubkit.net.lines import one_line
from hubkit.net.secure import SecureStream
from hubkit.net.transport import Link

__all__ = ["SUBPROTOCOL", "TLS", "WebSocketTransport"]

#: What both ends of a link speak; a WebSocket without it is not for us.
SUBPROTOCOL = "hubkit.v1"

logger: logging.Logger = logging.getLogger("hubkit.net")

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})  # what accept lacks for a while
_SHORT_PAUSE = 0.1  # seconds

_MAX_OPENING = 16 * 1024  # bytes of an opening handshake, either way


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

    ``opening``: seconds that connecting, TLS and the WebSocket opening may take together. ``max_opening``: how many
    connections may be in that state at once; when there are more, the one that has been so for longest is closed, so that a
    flood of idle connections hits itself first.
    """

    def __init__(
        self, listen: str | None = None, *, tls: TLS | None = None, opening: float = 5.0, max_opening: int = 64
    ) -> None:
        self._tls = tls or TLS()
        self._listen = None if listen is None else parse(listen, "listen", zero_port=True)
        if self._listen is not None and self._listen.secure and self._tls.server is None:
            msg = f"to listen at {listen} a certificate is needed: tls=TLS(server=SSLContext)"
            raise ConfigurationError(msg)
        self._limit = opening
        self._max_opening = max_opening
        self._opening: dict[int, trio.CancelScope] = {}  # in order of arrival
        self._serial = 0
        self._listeners: list[trio.SocketListener] | None = None
        self._url: str | None = None

    # -- listening

    async def open(self) -> str | None:
        """Take the port, and return the URL with the real one. See `Transport.open`."""
        if self._listen is None or self._listeners is not None:
            return self._url
        address = self._listen
        try:
            listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        except OSError as error:
            msg = f"cannot listen at {address}: {_reason(error)}"
            raise ConfigurationError(msg) from error
        if address.port == 0:
            # A name with several addresses got a port for each: one URL can tell only one of them.
            for spare in listeners[1:]:
                spare.socket.close()  # without a checkpoint: a cancellation there would leave the others open
            del listeners[1:]
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

        async def handle(stream: trio.SocketStream) -> None:
            await self._handle(stream, accept)

        listeners = self._listeners
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, handle, [_Patient(listener) for listener in listeners])
                task_status.started(url)
        finally:
            self._listeners = None
            with trio.CancelScope(shield=True):
                for listener in listeners:
                    await listener.aclose()

    async def _handle(self, stream: trio.SocketStream, accept: Callable[[Link], Awaitable[None]]) -> None:
        """One connection, to its end. Nothing but cancellation leaves here."""
        remote = "a client"
        try:
            remote = _name(stream)
            link = await self._admit(stream, remote)
            try:
                await accept(link)
            finally:
                await link.aclose()
        except (LinkError, OSError) as error:
            logger.warning("%s: closed: %s", remote, one_line(error))
        except Exception:
            logger.exception("%s: closed, because of an error here", remote)
        finally:
            await trio.aclose_forcefully(stream)

    async def _admit(self, stream: trio.SocketStream, remote: str) -> WebSocketLink:
        """The opening of an accepted connection, within its time and among at most ``max_opening`` others."""
        self._serial = serial = self._serial + 1
        if len(self._opening) >= self._max_opening:
            oldest = next(iter(self._opening))
            self._opening.pop(oldest).cancel()
        with trio.move_on_after(self._limit) as scope:
            self._opening[serial] = scope
            try:
                return await self._open_server(stream, remote)
            finally:
                crowded = self._opening.pop(serial, None) is None
        msg = "too many connections are being opened" if crowded else f"no WebSocket opening within {self._limit:g} s"
        raise ProtocolViolation(msg)

    async def _open_server(self, stream: trio.SocketStream, remote: str) -> WebSocketLink:
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
        return WebSocketLink(secured, _established(engine), remote, self._said(secured))

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
                stream = await _connect(target)
                if target.secure:
                    context = self._tls.client or ssl.create_default_context()
                    stream = secure = SecureStream(stream, context, host=target.host)
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
        data = await stream.receive_some(RECEIVE_BUFFER)
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
    await stream.send_all(engine.send(Request(host=target.authority, target=target.path, subprotocols=[SUBPROTOCOL])))
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


# -- sockets


class _Patient(trio.abc.Listener[trio.SocketStream]):
    """A listener that waits when file descriptors have run out, until there are some again; and says so, once each time."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    async def accept(self) -> trio.SocketStream:
        short = False
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                if not short:
                    text = "nobody can connect until there is room again; see ulimit -n"
                    logger.warning("accepting connections: %s: %s", _reason(error), text)
                short = True
                await trio.sleep(_SHORT_PAUSE)
            else:
                if short:
                    logger.info("accepting connections again")
                return stream

    async def aclose(self) -> None:
        await self._listener.aclose()


async def _connect(target: Address) -> trio.SocketStream:
    try:
        stream = await trio.open_tcp_stream(target.host, target.port)
    except OSError as error:
        causes = _causes(error)
        refused = bool(causes) and all(cause.errno == errno.ECONNREFUSED for cause in causes)
        kind = DialRefused if refused else DialFailed
        msg = f"no link to {target}: {_reason(causes[0] if causes else error)}"
        raise kind(msg) from error
    try:
        circular = stream.socket.getsockname() == stream.socket.getpeername()
    except OSError as error:
        # Whoever accepted it has hung up already.
        await trio.aclose_forcefully(stream)
        msg = f"no link to {target}: {_reason(error)}"
        raise DialFailed(msg) from error
    if circular:
        # On one machine, TCP may connect a free port of the ephemeral range to itself: that is, nobody listens there.
        await trio.aclose_forcefully(stream)
        msg = f"no link to {target}: the connection leads back to its own socket"
        raise DialRefused(msg)
    return stream


def _causes(error: OSError) -> list[OSError]:
    """The errors of the single attempts, one for each address of the host."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return [e for e in cause.exceptions if isinstance(e, OSError)]
    if isinstance(cause, OSError):
        return [cause]
    return [error]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _name(stream: trio.SocketStream) -> str:
    host, port = stream.socket.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
