"""Connections that break at any byte, over real sockets: each ends at once on both sides, with one line that says why.

Between the two stands a proxy that lets so many bytes of one side through, and then resets both connections.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from tests.net.peers import SECRET, Peer, until

from hubkit.environment import Environment
from hubkit.errors import LinkError
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import Kind, encode, encode_frame

BEYOND = 150  # bytes after the handshake, of frames
BOUND = 3.0  # seconds for both sides to be done with it


class Proxy:
    """Lets ``most`` bytes of ``side`` through, and all of the other."""

    def __init__(self, port: int, side: str) -> None:
        self.port, self.side, self.most = port, side, 0

    async def serve(self, dialer: trio.SocketStream) -> None:
        acceptor = await trio.open_tcp_stream("127.0.0.1", self.port)
        left = self.most

        async def carry(source: trio.SocketStream, to: trio.SocketStream, *, counted: bool) -> None:
            nonlocal left
            try:
                while not counted or left:
                    data = await source.receive_some(left if counted else None)
                    if not data:
                        break
                    await to.send_all(data)
                    left -= len(data) if counted else 0
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: carry(dialer, acceptor, counted=self.side == "dialer"))
            nursery.start_soon(lambda: carry(acceptor, dialer, counted=self.side == "acceptor"))
        for stream in (dialer, acceptor):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()


@asynccontextmanager
async def proxy(peer: Peer, side: str) -> AsyncIterator[tuple[Proxy, str]]:
    standing = Proxy(int(peer.url.rsplit(":", 1)[1]), side)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, standing.serve, [listener])
        yield standing, f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def meet(url: str) -> tuple[bool, str]:
    """Dial, greet, and send until it ends: whether the greeting was done, and why it ended."""
    greeted = False
    try:
        link = await WebSocketTransport().dial(url)
        try:
            me = Handshake(Identity("x#1"), dialing=True, nonce=Environment().token(32), secrets=(SECRET,))
            await greet(link, me, within=BOUND)
            greeted, sealed = True, guarded(link, me)
            while True:
                await sealed.send(encode_frame([encode(Kind.BEAT, {"x#1": 1})]))
                await sealed.receive()
        finally:
            await link.aclose()
    except LinkError as error:
        return greeted, str(error)


@pytest.mark.parametrize("side", ["dialer", "acceptor"])
async def test_a_connection_that_breaks_at_any_byte_ends_on_both_sides(
    side: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    a = Peer("a", beat=0.01)
    with trio.fail_after(100):
        async with running_long(a), proxy(a, side) as (standing, url):
            end = None
            while end is None or standing.most < end + BEYOND:
                caplog.clear()
                with trio.fail_after(BOUND):
                    greeted, why = await meet(url)
                    await until(lambda: any("up (" not in record.getMessage() for record in caplog.records))
                    await until(lambda: not a.mesh.links and not a.mesh._attempts)
                lines = [record for record in caplog.records if "up (" not in record.getMessage()]
                assert why
                assert len(lines) == 1, (standing.most, [line.getMessage() for line in lines])
                assert not lines[0].exc_info, standing.most
                assert any(word in lines[0].getMessage() for word in ("closed: ", "no link: ", "down: ")), lines
                if greeted and end is None:
                    end = standing.most
                standing.most += 1
            assert standing.most > 300


@asynccontextmanager
async def running_long(peer: Peer) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        yield
        nursery.cancel_scope.cancel()
