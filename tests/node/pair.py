"""Two exchanges, wired to each other without a network: what one sends is handed to the other a moment later, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import trio
from tests.hub.actors import Counter

from hubkit.actors.cell import Cell
from hubkit.actors.system import System
from hubkit.cluster.liveness import Liveness
from hubkit.events import Event
from hubkit.net.cbor import decode
from hubkit.net.outbox import Growing
from hubkit.net.payload import Payloads
from hubkit.net.session import ROOM
from hubkit.node.credits import CAPABILITY as FLOW
from hubkit.node.exchange import Exchange
from hubkit.node.freight import CAPABILITY as LARGE
from hubkit.node.refs import decode_ref, encode_ref
from hubkit.node.runs import CAPABILITY as RUNS
from hubkit.node.seams import Attached
from hubkit.pids import NodeId, boot_of, name_of


class Side:
    """One node: a system and its exchange."""

    def __init__(self, node: NodeId, nursery: trio.Nursery) -> None:
        self.id = node
        self.other: Side
        self.hubs: dict[str, Attached] = {}
        self.events: list[Event] = []
        self.sent: deque[list[Any]] = deque()
        self.growing: Growing | None = None
        self.wake = trio.Event()
        self.crowd = 0  # bytes that wait to be sent, as it says
        self.liveness = Liveness(node, trio.current_time())
        payloads = Payloads(encode_ref=encode_ref, decode_ref=lambda value: decode_ref(self.exchange, value))
        self.exchange = Exchange(self, payloads, self.liveness)
        self.system = System(name_of(node), boot_of(node), remote=self.exchange, publish=self.events.append)
        self.exchange.freight.nursery = nursery
        self.exchange.system = self.exchange.credits.system = self.system

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        if peer not in self.exchange.linked:
            return False
        if peer != self.other.id:  # on a link of its own, which leads nowhere
            return True
        self.close_growing()
        self.sent.append(message)
        self.wake.set()
        return True

    def write(self, peer: NodeId, message: bytes) -> int:
        _, content = decode(message)
        return self.crowd if self.send(peer, content) else -1

    def grow(self, peer: NodeId, message: Growing) -> bool:
        if peer not in self.exchange.linked:
            return False
        self.close_growing()
        self.growing = message
        self.wake.set()
        return True

    def close_growing(self) -> None:
        growing, self.growing = self.growing, None
        if growing is not None:
            _, content, *_ = decode(growing.close()[0])
            self.send(self.other.id, content)

    async def deliver(self) -> None:
        while True:
            await self.wake.wait()
            self.wake = trio.Event()
            self.close_growing()
            while self.sent:
                self.other.exchange.receive(self.id, self.sent.popleft())

    def backlog(self, peer: NodeId) -> int:
        return self.crowd

    async def wait_room(self, peer: NodeId) -> None:
        while self.crowd > ROOM and peer in self.exchange.linked:
            await trio.sleep(0.01)

    def hub(self, hub_id: str) -> Attached | None:
        return self.hubs.get(hub_id)

    def now(self) -> float:
        return trio.current_time()

    def notice(self) -> None:
        pass  # the hubs here wait for nobody


def pair(nursery: trio.Nursery) -> tuple[Side, Side]:
    """Two linked nodes."""
    a, b = Side("a#1", nursery), Side("b#1", nursery)
    a.other, b.other = b, a
    nursery.start_soon(a.deliver)
    nursery.start_soon(b.deliver)
    link(a, b)
    return a, b


def link(a: Side, b: Side, capabilities: Collection[str] = (FLOW, LARGE, RUNS)) -> None:
    for one, two in ((a, b), (b, a)):
        one.liveness.linked(two.id, trio.current_time())
        one.exchange.linked.add(two.id)
    for one, two in ((a, b), (b, a)):
        one.exchange.link_up(two.id, capabilities)


def cut(a: Side, b: Side) -> None:
    for side in (a, b):
        side.close_growing()
        side.sent.clear()
    a.exchange.link_down(b.id)
    b.exchange.link_down(a.id)


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[trio.Nursery, Side, Side]]:
    """Two linked nodes, for the length of the block."""
    async with trio.open_nursery() as nursery:
        yield nursery, *pair(nursery)
        nursery.cancel_scope.cancel()


async def spawn(side: Side, nursery: trio.Nursery, start: Any = Counter, *args: Any, mailbox: int = 100) -> Cell:
    """An actor that runs."""
    cell = side.system.spawn(start, args, mailbox=mailbox)
    nursery.start_soon(run, cell)
    while not cell.started:
        await trio.sleep(0.001)
    return cell


async def run(cell: Cell) -> None:
    """Run a cell, and force it to end when the test fails: cells are shielded from whoever runs them."""

    async def guard() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cell.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guard)
        await cell.run()
        nursery.cancel_scope.cancel()


def stop(*cells: Cell) -> None:
    """Let them end."""
    for cell in cells:
        cell.request_stop()
