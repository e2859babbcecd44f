"""Floods of connections: they hit themselves first, cost one line, and keep nobody else out.

The floods come from other addresses of this machine (127.0.0.2 and on), each from a process of its own.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from tests.house import ROOT
from tests.net.peers import Peer, running, until
from tests.net.test_websocket import contexts

from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing.conformance import serving


def _bindable(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(not _bindable("127.0.0.2"), reason="this machine has no address 127.0.0.2")

FEW = 16
QUICK: dict[str, Any] = {"beat": 0.05, "down_after": 1.0}


@asynccontextmanager
async def flood(url: str, source: str, *, at_once: int, total: int) -> AsyncIterator[trio.Process]:
    """A flood from this address, until the end of the block."""
    host, port = url.removeprefix("ws://").rsplit(":", 1)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.net.flood", host.strip("[]"), port, source, str(at_once), str(total)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()


async def all_opened(process: trio.Process, total: int) -> None:
    assert process.stdout is not None
    said = b""
    while b"\n" not in said:
        said += await process.stdout.receive_some()
    assert said == f"opened {total}\n".encode()


@pytest.mark.parametrize(
    ("at_once", "total"),
    [(10 * FEW, 40 * FEW), (FEW // 2, 40 * FEW)],
    ids=["as many as it gets", "one after the other"],
)
async def test_a_flood_keeps_nobody_else_out(at_once: int, total: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    transport = WebSocketTransport("ws://127.0.0.1:0", per_address=FEW, opening=0.5)
    transport._tally.period = 2.0
    a = Peer("a", transport=transport, **QUICK)

    def said(*texts: str) -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        return [line for line in lines if all(text in line for text in texts)]

    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url], **QUICK)
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        async with flood(a.url, "127.0.0.2", at_once=at_once, total=total) as process:
            await until(lambda: said("127.0.0.2", "was turned away"))
            c = Peer("c", seeds=[a.url], **QUICK)
            await nursery.start(c.run)
            await until(lambda: c.linked_to(a, b) and a.linked_to(b, c))
            await all_opened(process, total)
            beats = len(b.heard_beats)
            await until(lambda: len(b.heard_beats) > beats + 20)
        await until(lambda: said("127.0.0.2: ", "more connections were turned away within 2 s"))
        await until(lambda: not transport._gate._known["127.0.0.2"].visits)
        d = Peer("d", seeds=[a.url], **QUICK)
        await nursery.start(d.run)
        await until(lambda: d.linked_to(a, b, c))
    assert not said("link to", "down: silent")
    assert a.log.count(("up", b.id)) == 1, "the link that stood before has lived on"
    assert len(said("127.0.0.2", "was turned away")) == 1
    assert len(said("127.0.0.2", "turned away within")) <= 4  # one a period
    # Of each kind some are told, and then they are counted.
    assert len(said("127.0.0.2", "closed: no WebSocket opening")) <= 10
    assert not said("127.0.0.1", "turned away")


async def test_a_flood_from_many_addresses(caplog: pytest.LogCaptureFixture) -> None:
    """All that may be strange is taken, by four addresses; who comes alone is through before it must make room."""
    caplog.set_level(logging.INFO, "hubkit.net")
    a = Peer("a", transport=WebSocketTransport("ws://127.0.0.1:0", max_opening=8, per_address=64), **QUICK)
    async with running(a) as nursery, trio.open_nursery() as floods:
        b = Peer("b", seeds=[a.url], **QUICK)
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a) and a.linked_to(b))

        async def one(source: str, task_status: trio.TaskStatus[None]) -> None:
            async with flood(a.url, source, at_once=16, total=400) as process:
                task_status.started()
                await all_opened(process, 400)
                await trio.sleep_forever()

        for number in range(2, 6):
            await floods.start(one, f"127.0.0.{number}")
        await until(lambda: sum("it made room" in record.getMessage() for record in caplog.records) == 4)
        c = Peer("c", seeds=[a.url], **QUICK)
        await nursery.start(c.run)
        await until(lambda: c.linked_to(a, b))
        floods.cancel_scope.cancel()
    lines = [record.getMessage() for record in caplog.records]
    assert not [line for line in lines if "down: silent" in line]
    assert a.log.count(("up", b.id)) == 1
    assert sum("it made room" in line for line in lines) == 4  # one of each address
    assert not [line for line in lines if "127.0.0.1:" in line and ("made room" in line or "turned away" in line)]


async def idle(link: Link) -> None:
    await link.receive()


async def test_who_is_turned_away_costs_no_tls(caplog: pytest.LogCaptureFixture) -> None:
    """The connection is reset before anything is read."""
    transport = WebSocketTransport("wss://localhost:0", tls=contexts(), per_address=2)
    async with serving(transport, idle) as (url, _):
        with trio.fail_after(10):
            host, port = url.removeprefix("wss://").rsplit(":", 1)
            async with AsyncExitStack() as stack:
                for _ in range(2):
                    await stack.enter_async_context(await trio.open_tcp_stream(host, int(port)))
                for _ in range(5):
                    with pytest.raises((trio.BrokenResourceError, OSError)):
                        async with await trio.open_tcp_stream(host, int(port)) as third:
                            await third.receive_some()
    (line,) = [record.getMessage() for record in caplog.records if "turned away" in record.getMessage()]
    assert line.endswith("a connection was turned away: it has 2 connections, and may not have more (per_address)")


async def test_many_nodes_of_one_machine_are_no_flood(caplog: pytest.LogCaptureFixture) -> None:
    """They start at once, all know all, and have one address."""
    caplog.set_level(logging.INFO, "hubkit.net")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            peers = [Peer(f"n{number:02}") for number in range(12)]
            for peer in peers:
                await nursery.start(peer.run)
            for peer in peers:
                peer.mesh.set_seeds({other.url: True for other in peers if other is not peer})
            await until(lambda: all(peer.linked_to(*(p for p in peers if p is not peer)) for peer in peers))
            nursery.cancel_scope.cancel()
    assert not [r for r in caplog.records if "turned away" in r.getMessage() or "made room" in r.getMessage()]
