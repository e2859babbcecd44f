"""A peer that knows the secret, has valid links, and says whatever it is told to say: the stage for lies.

Law of this room: everything below a lie is true. The handshake, the seals of the frames, the heartbeats and the hub that it
says it has are those of any node, so what is refused is refused because of what was said, and not of how.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import trio
from tests.hub.actors import Counter

import hubkit
from hubkit.cluster.rows import Key, NodeRow, Row
from hubkit.cluster.stamps import Moment, Stamp
from hubkit.cluster.sync import Kind as SyncKind
from hubkit.cluster.sync import Sync, to_wire
from hubkit.environment import EPOCH
from hubkit.errors import LinkError
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.transport import Link
from hubkit.net.wire import Assembler, Kind, chunk, decode_frame, encode, encode_app, encode_frame
from hubkit.node.directory import HUBS
from hubkit.node.node import CAPABILITIES
from hubkit.pids import NodeId, name_of, node_id
from hubkit.testing import Simulation

__all__ = ["HUB", "NODES", "Liar", "boot", "check", "liar", "overheard", "rows_of"]

HUB, NODES = "shop", "abc"
_PIECE = 200_000


class Liar:
    """One that lies, linked to some nodes. ``heard``: what each of them has said to it since it came."""

    def __init__(self, sim: Simulation, node: NodeId, address: str | None) -> None:
        self.sim, self.node, self.address = sim, node, address
        self.links: dict[str, Link] = {}
        self.heard: dict[str, list[list[Any]]] = {}
        self.turns: dict[str, trio.Lock] = {}
        self.beats = 0
        self.ticks = 0

    # -- being a node --------------------------------------------------------------------------------------------------

    async def meet(self, name: str) -> None:
        """Link to a node, as any other node does."""
        link = await self.sim.network.transport(name_of(self.node)).dial(self.sim.network.address(name))
        me = Identity(self.node, self.address, capabilities=CAPABILITIES)
        handshake = Handshake(me, dialing=True, nonce=bytes([len(self.links) + 1]) * 32)
        await greet(link, handshake, within=5)
        self.links[name] = guarded(link, handshake)
        self.heard.setdefault(name, [])

    async def live(self, name: str) -> None:
        """Listen to a node until the link ends."""
        link, pieces = self.links[name], Assembler()
        try:
            with suppress(LinkError):
                while True:
                    for message in decode_frame(await link.receive()):
                        whole = pieces.add(message) if message[0] == Kind.CHUNK else message
                        if whole is not None and whole[0] == Kind.APP:
                            self.heard[name].append(whole[1])
        finally:
            if self.links.get(name) is link:
                del self.links[name]
            await link.aclose()

    async def beat(self) -> None:
        """Say once a second that it lives."""
        while True:
            self.beats += 1
            await self.tell(encode(Kind.BEAT, {self.node: self.beats}))
            await trio.sleep(1)

    # -- saying what it likes ------------------------------------------------------------------------------------------

    async def tell(self, *messages: bytes, to: str = NODES) -> None:
        """Send encoded messages to these of its peers that are still linked."""
        for name in to:
            link = self.links.get(name)
            if link is not None:
                with suppress(LinkError):
                    async with self.turns.setdefault(name, trio.Lock()):  # frames are numbered: one at a time
                        await link.send(encode_frame(list(messages)))

    async def say(self, *messages: list[Any], to: str = NODES) -> None:
        """Send messages of the floor above."""
        for message in messages:
            data = encode_app(message)
            if len(data) < _PIECE:
                await self.tell(data, to=to)
                continue
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                await self.tell(chunk(1, piece, last=start + _PIECE >= len(data)), to=to)

    def stamp(self, ahead: float = 0.0, node: NodeId | None = None) -> Stamp:
        """A stamp of now, or of so many seconds ahead; no two are the same."""
        self.ticks += 1
        return Stamp(int((self.sim.now + EPOCH + ahead) * 1000), self.ticks, node or self.node)

    def syncs(
        self,
        rows: Mapping[Key, Row] | None = None,
        *,
        kind: SyncKind = "delta",
        have: Mapping[NodeId, Moment] | None = None,
        since: Mapping[NodeId, Moment] | None = None,
        upto: Mapping[NodeId, Moment] | None = None,
        more: bool = False,
        votes: bool = False,
        digest: int = 0,
    ) -> list[Any]:
        """A sync with these rows, as it stands on the wire."""
        found = dict(rows or {})
        covered: dict[NodeId, Moment] = dict(upto or {})
        for row in found.values():
            covered[row.stamp.node] = max(covered.get(row.stamp.node, row.stamp[:2]), row.stamp[:2])
        said = {**covered, **(have or {})} if have is None else dict(have)
        if kind == "hello":
            covered = {}
        return to_wire(Sync(found, covered, since or {}, said, kind, more, digest, votes))

    async def sync(self, rows: Mapping[Key, Row] | None = None, *, to: str = NODES, **options: Any) -> None:
        """Say something of the map."""
        await self.say([0, HUB, self.syncs(rows, **options)], to=to)

    def me(self, **fields: Any) -> dict[Key, Row]:
        """Its own node row."""
        values: dict[str, Any] = {"address": None, "state": "ready", "actors": ("*",)} | fields
        node = values.pop("node", self.node)
        return {("node", node): Row(self.stamp(node=node), NodeRow(name_of(node), **values))}


@asynccontextmanager
async def liar(
    sim: Simulation,
    to: str = NODES,
    *,
    name: str = "liar",
    boot: int = 7,
    address: str | None = None,
    join: bool = True,
) -> AsyncIterator[Liar]:
    """A liar that is linked to these nodes, has the hub, and (``join``) is a member of it that may run nothing."""
    one = Liar(sim, node_id(name, boot), address)
    async with trio.open_nursery() as nursery:
        for target in to:
            await one.meet(target)
            nursery.start_soon(one.live, target)
        nursery.start_soon(one.beat)
        hubs = [[HUB, True, *sim.hub(target)._driver.agreement, {}] for target in to]
        for target, hub in zip(to, hubs, strict=True):
            await one.say([HUBS, [hub]], to=target)
        await sim.sleep(0.2)
        if join:
            await one.sync(kind="hello", to=to)
            await one.sync(one.me(state="joining"), to=to)
            await sim.sleep(0.5)
        yield one
        nursery.cancel_scope.cancel()


async def boot(sim: Simulation, children: int = 12, nodes: str = NODES, **options: Any) -> dict[str, hubkit.Hub]:
    """An honest hub, with children that run."""
    for name in nodes:
        sim.start_soon(HUB, node=name, **options)
    await sim.settled(within=60)
    hubs = {name: sim.hub(name) for name in nodes}
    await hubs[nodes[0]].start_children([hubkit.child(f"c{n:02}", Counter, n) for n in range(children)])
    await sim.settled(within=30)
    return hubs


def rows_of(hub: hubkit.Hub) -> dict[Key, Row]:
    """The map as this node has it."""
    return dict(hub._driver.core._store.rows)


async def check(sim: Simulation, children: int = 12, within: float = 30.0, *, terms: bool = True) -> None:
    """The honest hub is right: settled, of one mind, each child runs once, and answers.

    ``terms``: and no map has ever shown a term that was not true.
    """
    await sim.settled(within=within)
    if terms:
        sim.check()
    for name in sim.nodes:
        hub = sim.hub(name)
        for number in range(children):
            child = f"c{number:02}"
            with trio.fail_after(5):
                assert await hub.ref(child, Counter).call(Counter.add, 0) >= 0


@contextmanager
def overheard(level: int = logging.WARNING) -> Iterator[list[str]]:
    """The lines that all of hubkit logs in the block, each with its level."""
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.levelname} {record.getMessage()}")

    logger, ears = logging.getLogger("hubkit"), Listening(level)
    before = logger.level
    logger.addHandler(ears)
    logger.setLevel(min(level, before or level))
    try:
        yield said
    finally:
        logger.removeHandler(ears)
        logger.setLevel(before)
