"""A stranger's or a liar's side of a connection, byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from tests.net.peers import Peer, impostor

from hubkit.net.frames import WebSocketLink
from hubkit.net.seal import SealedLink
from hubkit.net.transport import Link

__all__ = ["BINARY", "MASKED", "OPENING", "PING", "REQUEST", "TEXT", "drip", "frame", "opened", "proved", "raw"]

#: What a client asks, but for the empty line at its end.
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: hubkit.v1\r\n"
)
OPENING = REQUEST + b"\r\n"
#: A mask that changes nothing, and is one.
MASKED = bytes(4)
BINARY, TEXT, PING = 0x82, 0x81, 0x89


def frame(payload: bytes = b"", first: int = BINARY, *, says: int | None = None) -> bytes:
    """One WebSocket frame of a client; ``says``: how long it claims to be."""
    size = len(payload) if says is None else says
    if size < 126:
        return bytes([first, 0x80 | size]) + MASKED + payload
    return bytes([first, 0x80 | 126]) + size.to_bytes(2, "big") + MASKED + payload


@asynccontextmanager
async def raw(peer: Peer) -> AsyncIterator[trio.SocketStream]:
    """A connection to its port."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(peer.url.rpartition(":")[2]))
    async with stream:
        yield stream


@asynccontextmanager
async def opened(peer: Peer) -> AsyncIterator[trio.SocketStream]:
    """A WebSocket, of which the peer's HELLO has not been said yet."""
    async with raw(peer) as stream:
        await stream.send_all(OPENING)
        said = b""
        while b"\r\n\r\n" not in said:
            said += await stream.receive_some()
        yield stream


@asynccontextmanager
async def proved(peer: Peer, name: str = "x") -> AsyncIterator[tuple[Link, trio.SocketStream]]:
    """A link that has been greeted, and the connection beneath it."""
    async with impostor(peer, name) as link:
        inner = link._link if isinstance(link, SealedLink) else link
        assert isinstance(inner, WebSocketLink)
        assert isinstance(inner._stream, trio.SocketStream)
        yield link, inner._stream


async def drip(stream: trio.abc.SendStream, data: bytes, every: float = 0.02) -> None:
    """Send a byte, and then another, until the other side will not have more."""
    try:
        for number in range(len(data)):
            await stream.send_all(data[number : number + 1])
            await trio.sleep(every)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
    raise AssertionError("all of it was taken")
