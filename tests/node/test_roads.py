"""Nodes behind real proxies: calls end as is documented, and those that cannot reach each other go over a third."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from tests.hub.clusters import until
from tests.net.proxies import Proxy, proxy
from tests.processes.harness import free_ports

import hubkit
from hubkit import strategies
from hubkit.net.mesh import Mesh
from hubkit.pids import name_of

QUICK: dict[str, Any] = {"beat": 0.1, "down_after": 1.0}


class Desk(hubkit.Actor):
    """It counts, waits, watches, and moves with what it has counted."""

    def __init__(self) -> None:
        self.count = 0
        self.downs: list[str] = []
        self.tokens: list[hubkit.LateReply[None]] = []

    async def add(self, n: int = 1) -> int:
        self.count += n
        return self.count

    async def where(self) -> str:
        return self.context.node

    async def wait(self) -> None:
        self.tokens.append(self.context.reply_later())

    async def waits(self) -> int:
        return len(self.tokens)

    async def watch(self, other: hubkit.Ref[Any]) -> None:
        self.context.monitor(other)

    async def heard(self) -> list[str]:
        return self.downs

    async def on_info(self, message: object) -> None:
        assert isinstance(message, hubkit.Down)
        self.downs.append(message.reason)

    def handover_state(self) -> int:
        return self.count

    def accept_handover(self, state: int) -> None:
        self.count = state


@dataclass
class Behind:
    """A hub on a node behind a proxy, by which the others are told to dial it; ``real`` is where it listens."""

    hub: hubkit.Hub
    proxy: Proxy
    real: str


@asynccontextmanager
async def behind(*names: str, refusing: Sequence[str] = (), direct: int = 0) -> AsyncIterator[list[Behind]]:
    """Nodes that know each other by their proxies; so many of them, the last ones, dial those before them directly."""
    with trio.fail_after(40):
        async with AsyncExitStack() as stack:
            found: list[Behind] = []
            for number, (name, port) in enumerate(zip(names, free_ports(len(names)), strict=True)):
                standing = await stack.enter_async_context(proxy(Proxy(port)))
                standing.refusing = name in refusing
                real = f"ws://127.0.0.1:{port}"
                join = [one.real if number >= len(names) - direct else one.proxy.url for one in found]
                node = hubkit.Node(listen=real, advertise=standing.url, name=name, join=join, **QUICK)
                await stack.enter_async_context(node)
                hub = hubkit.Hub("shop", node=node, migration=strategies.HotSwap(), distribution=strategies.Guided())
                await stack.enter_async_context(hub)
                found.append(Behind(hub, standing, real))
            every = tuple(sorted(names))
            await until(lambda: all(one.hub.nodes(include_local=True) == every for one in found), within=20)
            yield found


async def start(on: Behind, child: str, node: str) -> None:
    await on.hub.start_children([hubkit.child(child, Desk)], nodes=[node])


def mesh_of(of: Behind) -> Mesh:
    mesh = of.hub.node._mesh
    assert mesh is not None
    return mesh


def linked(of: Behind) -> list[str]:
    """Whom it has a link to, by name."""
    return [name_of(peer) for peer in mesh_of(of).links]


def detours(of: Behind) -> dict[str, str]:
    """Whom it reaches over whom, by name."""
    assert of.hub.node._detours is not None
    return {name_of(peer): name_of(over) for peer, over in of.hub.node._detours.open.items()}


@asynccontextmanager
async def waiting(desk: hubkit.Ref[Desk]) -> AsyncIterator[list[hubkit.errors.NodeDown]]:
    """A call that is not answered; how it ends, at the end of the block at the latest."""
    ended: list[hubkit.errors.NodeDown] = []

    async def ask() -> None:
        with pytest.raises(hubkit.errors.NodeDown) as caught:
            await desk.call(Desk.wait)
        ended.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not await desk.call(Desk.waits):
            pass
        yield ended
        await until(lambda: ended, within=10)
    assert ended[0].maybe_executed
    assert "may have been handled" in str(ended[0])


# -- calls through proxies


@pytest.mark.parametrize(("how", "why"), [("cut", "the connection broke"), ("stall", "silent for 1.")])
async def test_calls_when_a_proxy_fails(how: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    """What was asked may have been handled; what is asked afterwards is, as soon as the link is back."""
    caplog.set_level(logging.INFO, "hubkit.net")
    async with behind("a", "b") as (a, b):
        await start(a, "desk", "b")
        await until(lambda: a.hub.pids("desk") and b.hub.pids("desk"))
        desk = a.hub.ref("desk", Desk)
        async with waiting(desk):
            for one in (a, b):
                getattr(one.proxy, how)()
        for one in (a, b):
            one.proxy.flow()
        with trio.fail_after(20):
            assert await desk.call(Desk.add, 1) == 1
        lines = [record.getMessage() for record in caplog.records]
        ends = [line for line in lines if line.startswith("link to b#") and ": down: " in line]
        assert len(ends) == 1, lines
        assert why in ends[0]


# -- detours


async def test_two_that_reach_each_other_only_over_a_third(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubkit")
    async with behind("a", "b", "c", refusing="ab", direct=1) as (a, b, c):
        await until(lambda: detours(a) == {"b": "c"} and detours(b) == {"a": "c"}, within=20)
        assert detours(c) == {}
        await start(a, "desk", "b")
        await start(a, "watcher", "a")
        await until(lambda: a.hub.is_settled and b.hub.is_settled)
        desk, watcher = a.hub.ref("desk", Desk), a.hub.ref("watcher", Desk)
        # Calls, there and back.
        assert await desk.call(Desk.where) == "b"
        assert await desk.call(Desk.add, 5) == 5
        assert await b.hub.ref("watcher", Desk).call(Desk.where) == "a"
        # A child with its state moves over the third, and back.
        await a.hub.move("desk", "a")
        assert (await desk.call(Desk.where), await desk.call(Desk.add, 1)) == ("a", 6)
        await a.hub.move("desk", "b")
        assert (await desk.call(Desk.where), await desk.call(Desk.add, 1)) == ("b", 7)
        # A monitor there hears of an end here, once.
        await watcher.call(Desk.watch, desk)
        assert await desk.call(Desk.where) == "b"  # so the wish has come there, too
        assert await watcher.call(Desk.heard) == []
        await b.hub.stop_child("desk")
        heard: list[str] = []
        while not heard:
            heard = await watcher.call(Desk.heard)
        assert heard == ["removed"]
        # Nothing of it has disturbed the links that there are.
        assert linked(a) == linked(b) == ["c"]
    lines = [record.getMessage() for record in caplog.records]
    ups = [line for line in lines if line.startswith("detour to ") and line.endswith(": up")]
    assert sorted(line.split()[2].partition("#")[0] for line in ups) == ["a", "b"]


async def test_who_stands_between_hangs_up() -> None:
    """What was asked on the detour may have been handled; what is asked afterwards goes over it again, or over another."""
    async with behind("a", "b", "c", "d", refusing="ab", direct=2) as (a, b, *_):
        await until(lambda: detours(a).keys() == {"b"} and detours(b).keys() == {"a"}, within=20)
        await start(a, "desk", "b")
        await until(lambda: a.hub.is_settled and b.hub.is_settled and a.hub.pids("desk"))
        desk = a.hub.ref("desk", Desk)
        async with waiting(desk):
            (between,) = [peer for peer in mesh_of(a).links if name_of(peer) == detours(a)["b"]]
            mesh_of(a).close_link(between, "a test")
        with trio.fail_after(20):
            assert await desk.call(Desk.add, 1) == 1
        assert detours(a)["b"] in "cd"


async def test_one_that_reaches_the_other_and_is_not_reached(caplog: pytest.LogCaptureFixture) -> None:
    """One dial is enough: the link serves both, and nobody goes a long way round."""
    caplog.set_level(logging.INFO, "hubkit")
    async with behind("a", "b", "c", refusing="b", direct=1) as (a, b, c):
        await until(lambda: len(linked(a)) == len(linked(b)) == 2, within=20)
        assert [detours(one) for one in (a, b, c)] == [{}, {}, {}]
        await start(a, "desk", "b")
        await start(a, "other", "a")
        await until(lambda: a.hub.is_settled and b.hub.is_settled)
        assert await a.hub.ref("desk", Desk).call(Desk.where) == "b"
        assert await b.hub.ref("other", Desk).call(Desk.where) == "a"
        # The link breaks: the one that can dials.
        mesh, before = mesh_of(a), a.proxy.connections
        (peer,) = [peer for peer in mesh.links if name_of(peer) == "b"]
        a.proxy.cut()
        await until(lambda: a.proxy.connections > before, within=10)
        await until(lambda: peer in mesh.links and mesh.links[peer].reconnects == 1, within=10)
        assert await a.hub.ref("desk", Desk).call(Desk.where) == "b"
        assert [detours(one) for one in (a, b, c)] == [{}, {}, {}]
