"""Connections that break at any byte, over real sockets: each ends at once on both sides, with one line that says why.

Between the two stands a proxy that lets so many bytes of one side through, and then resets both connections.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from tests.net.peers import SECRET, Peer, until
from tests.net.proxies import Proxy, proxy

from hubkit.environment import Environment
from hubkit.errors import LinkError
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import Kind, encode, encode_frame

BEYOND = 150  # bytes after the handshake, of frames
BOUND = 3.0  # seconds for both sides to be done with it


class Cutting(Proxy):
    """Lets ``left`` bytes of ``side`` through, and all of the other."""

    def __init__(self, port: int, side: str) -> None:
        super().__init__(port)
        self.side, self.left = side, 0

    def most(self, dialers: bool) -> int:
        return self.left if dialers == (self.side == "dialer") else super().most(dialers)

    def count(self, dialers: bool, size: int) -> None:
        if dialers == (self.side == "dialer"):
            self.left -= size


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
    side: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    many = 1 << 20
    monkeypatch.setattr("hubkit.net.websocket._LINES", many)
    a = Peer("a", beat=0.01, transport=WebSocketTransport("ws://127.0.0.1:0", per_address=many))
    with trio.fail_after(100):
        async with running_long(a), proxy(Cutting(int(a.url.rsplit(":", 1)[1]), side)) as standing:
            end, most = None, 0
            while end is None or most < end + BEYOND:
                standing.left = most
                caplog.clear()
                with trio.fail_after(BOUND):
                    greeted, why = await meet(standing.url)
                    await until(lambda: any("up (" not in record.getMessage() for record in caplog.records))
                    await until(lambda: not a.mesh.links and not a.mesh._attempts)
                lines = [record for record in caplog.records if "up (" not in record.getMessage()]
                assert why
                assert len(lines) == 1, (most, [line.getMessage() for line in lines])
                assert not lines[0].exc_info, most
                assert any(word in lines[0].getMessage() for word in ("closed: ", "no link: ", "down: ")), lines
                if greeted and end is None:
                    end = most
                most += 1
            assert most > 300


@asynccontextmanager
async def running_long(peer: Peer) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        yield
        nursery.cancel_scope.cancel()
