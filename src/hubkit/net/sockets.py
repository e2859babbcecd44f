"""TCP sockets: to listen at an address, to accept, and to connect to one.

Law of this room: a node is at one port, in whatever families its host has addresses. A name with several of them
(``localhost`` has two) is listened at under all, at the same port, because whoever dials it may choose any; and so is ``[::]``,
which stands for all addresses of the machine, those of IPv4 too. An address that the machine does not have is no error, as
long as there is another.

A dial tries the addresses of a name with a quarter of a second between them, and takes the first that answers; it was refused
only if all of them were.
"""

from __future__ import annotations

import errno

import trio

from hubkit.errors import DialFailed, DialRefused
from hubkit.logs import Log
from hubkit.net.address import Address

__all__ = ["Patient", "connect", "listen", "reason", "remote_name"]

logger: Log = Log("hubkit.net")

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})  # what accept lacks for a while
_SHORT_PAUSE = 0.1  # seconds
_ABSENT = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_TRIES = 16  # to find a port that is free in all families


async def listen(address: Address) -> list[trio.SocketListener]:
    """Listeners at every address of this host, all at one port. Raises `OSError`."""
    hosts = ["::", "0.0.0.0"] if address.host == "::" else await _addresses(address)
    for left in reversed(range(_TRIES)):
        try:
            return await _listen_at(hosts, address.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or address.port != 0 or not left:
                raise
    raise AssertionError


async def _addresses(address: Address) -> list[str]:
    found = await trio.socket.getaddrinfo(
        address.host, address.port, type=trio.socket.SOCK_STREAM, flags=trio.socket.AI_PASSIVE
    )
    hosts = []
    for _, _, _, _, where in found:
        scope = f"%{where[3]}" if len(where) == 4 and where[3] else ""
        hosts.append(f"{where[0]}{scope}")
    return list(dict.fromkeys(hosts))


async def _listen_at(hosts: list[str], port: int) -> list[trio.SocketListener]:
    """Port 0: whichever the first of them gets."""
    listeners: list[trio.SocketListener] = []
    absent: OSError | None = None
    done = False
    try:
        for host in hosts:
            try:
                listeners += await trio.open_tcp_listeners(port, host=host)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
            else:
                port = listeners[0].socket.getsockname()[1]
        if not listeners:
            raise absent or OSError(errno.EADDRNOTAVAIL, "the host has no address")
        done = True
    finally:
        if not done:
            for listener in listeners:
                listener.socket.close()  # without a checkpoint: a cancellation there would leave the others open
    return listeners


class Patient:
    """A listener that waits when file descriptors have run out, until there are some again; and says so, once each time."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    async def accept(self) -> trio.SocketStream:
        """The next connection."""
        short = False
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                if not short:
                    text = "nobody can connect until there is room again; see ulimit -n"
                    logger.warning("accepting connections: %s: %s", reason(error), text)
                short = True
                await trio.sleep(_SHORT_PAUSE)
            else:
                if short:
                    logger.info("accepting connections again")
                return stream


async def connect(target: Address) -> trio.SocketStream:
    """A connection to ``target``. Raises `DialRefused` or `DialFailed`."""
    try:
        stream = await trio.open_tcp_stream(target.host, target.port)
    except OSError as error:
        causes = _causes(error)
        refused = bool(causes) and all(cause.errno == errno.ECONNREFUSED for cause in causes)
        kind = DialRefused if refused else DialFailed
        msg = f"no link to {target}: {reason(causes[0] if causes else error)}"
        raise kind(msg) from error
    try:
        circular = stream.socket.getsockname() == stream.socket.getpeername()
    except OSError as error:
        # Whoever accepted it has hung up already.
        await trio.aclose_forcefully(stream)
        msg = f"no link to {target}: {reason(error)}"
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


def reason(error: OSError) -> str:
    """The kernel's words."""
    return error.strerror or str(error)


def remote_name(stream: trio.SocketStream) -> tuple[str, str]:
    """Who is at the other end: its host, and both host and port. Raises `OSError` if it has hung up already."""
    host, port = stream.socket.getpeername()[:2]
    return host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
