"""Links through a real TCP proxy that cuts idle connections, cuts all after a while, stalls, or refuses."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.net.peers import Peer, running, until
from tests.net.proxies import Proxy, proxy

from hubkit.net.websocket import WebSocketTransport

QUICK: dict[str, Any] = {"beat": 0.05, "down_after": 0.5}


@asynccontextmanager
async def through(standing: Proxy) -> AsyncIterator[tuple[Peer, Peer]]:
    """``b`` reaches ``a`` through the proxy only, and ``a`` does not reach ``b``."""
    async with proxy(standing):
        a = Peer("a", address=standing.url, **QUICK)
        async with running(a) as nursery:
            assert a.mesh.url is not None
            standing.port = int(a.mesh.url.rsplit(":", 1)[1])
            b = Peer("b", seeds=[standing.url], transport=WebSocketTransport(opening=0.3), greeting=0.3, **QUICK)
            await nursery.start(b.run)
            await until(lambda: b.linked_to(a) and a.linked_to(b))
            yield a, b


def said(caplog: pytest.LogCaptureFixture, *texts: str) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if all(text in line for text in texts)]


async def test_one_that_cuts_idle_connections_finds_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    async with through(Proxy(idle=0.3)) as (a, b):
        port = b.mesh.links[a.id].remote.rsplit(":", 1)[1]
        async with await trio.open_tcp_stream("127.0.0.1", int(port)) as idle:
            with pytest.raises(trio.BrokenResourceError):
                await idle.receive_some()  # it does cut those
        beats = a.beats
        await until(lambda: a.beats > beats + 30)
        assert b.linked_to(a)
        assert a.linked_to(b)
        assert a.log.count(("up", b.id)) == 1
    assert not [line for line in said(caplog, "down: ") if "this node ends" not in line]


async def test_one_that_cuts_all_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Each time the link comes back by itself, and each end is a line on both sides."""
    caplog.set_level(logging.INFO, "hubkit.net")
    standing = Proxy(lasts=1.2)
    async with through(standing) as (a, b):
        await until(lambda: a.log.count(("up", b.id)) == 4)
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        for one, other in ((a, b), (b, a)):
            ends = said(caplog, f"link to {other.id}: down: the connection ")  # it broke, or ended: by who is quicker
            assert len(ends) == 3, caplog.text
            assert one.log.count(("down", other.id, False)) == 3
            assert not one.said("refused", other.id)  # a proxy that hangs up is no proof of a death
        assert standing.connections == 4  # no dial was in vain
        assert b.mesh.links[a.id].reconnects == 3


async def test_one_that_stalls(caplog: pytest.LogCaptureFixture) -> None:
    """It takes what is sent, and passes nothing on. Both notice, and the link is back when it flows again."""
    caplog.set_level(logging.INFO, "hubkit.net")
    standing = Proxy()
    async with through(standing) as (a, b):
        began = trio.current_time()
        standing.stall()
        await until(lambda: a.said("down", b.id, False) and b.said("down", a.id, False))
        assert trio.current_time() - began < 5
        await until(lambda: said(caplog, f"dialling {standing.url}: ", "no answer within 0.3 s"))
        standing.flow()
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        for other in (a, b):
            assert len(said(caplog, f"link to {other.id}: down: silent for 0.")) == 1
        assert not a.said("refused", b.id)
        assert not b.said("refused", a.id)
        assert len(said(caplog, f"dialling {standing.url}: ", "no answer within 0.3 s")) == 1  # however often it was


async def test_one_that_refuses_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """It hangs up on everybody: the node behind it may be gone, or not."""
    caplog.set_level(logging.INFO, "hubkit.net")
    standing = Proxy()
    async with through(standing) as (a, b):
        standing.refusing = True
        standing.cut()
        await until(lambda: a.said("down", b.id, False) and b.said("down", a.id, False))
        connections = standing.connections
        await until(lambda: standing.connections > connections + 3)
        standing.refusing = False
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        assert not b.said("refused", a.id)
        assert len(said(caplog, f"link to {a.id}: down: ")) == 1
        assert (
            1 <= len(said(caplog, f"dialling {standing.url}: ")) <= 2
        )  # reset, or closed, before or after it was read
