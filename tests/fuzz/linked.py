"""What a peer that has the secret can send: to a mesh, an exchange, a node with a hub, and as an operator.

An input is a list of steps. A map is who the peer is from now on (it dials anew); `None`: it closes the link and dials anew;
a number: so many tenths of a second pass; a list: its items are sent as the messages of one frame (those that are bytes as
they are); bytes: a frame, sealed as it has to be.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
from tests.fuzz.law import Door, in_time, quiet
from tests.fuzz.values import read
from tests.hub.actors import Counter
from tests.net.peers import SECRET, Peer
from tests.node.pair import Side, link

import hubkit
from hubkit.actors.cell import Cell
from hubkit.cluster import sync, tidings
from hubkit.errors import HubkitError, LinkError, ProtocolViolation
from hubkit.net import cbor
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity, is_node_id
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.transport import MAX_FRAME, Link
from hubkit.net.wire import encode_frame
from hubkit.node.exchange import Exchange
from hubkit.node.node import CAPABILITIES

__all__ = ["DOORS", "ME"]

ME = "x#1"
HONEST = ("c#1", "ws://c:4040")
_STEPS = 40


class Stranger:
    """A peer that has the secret, and is no honest node."""

    def __init__(self, network: SimulatedNetwork, secret: bytes, **identity: Any) -> None:
        self.transport = network.transport("x")
        self.address = network.address("a")
        self.secret = secret
        self.identity: dict[str, Any] = {"node": ME, "capabilities": list(CAPABILITIES), **identity}
        self.link: Link | None = None
        self.raw: Link | None = None
        self.dials = 0
        self.changed = trio.Event()

    async def dial(self) -> Link | None:
        """Its link, a new one if it has none; `None`: it was not let in."""
        if self.link is not None:
            return self.link
        self.dials += 1
        try:
            self.raw = await self.transport.dial(self.address)
            me = Identity(
                self.identity["node"],
                self.identity.get("address"),
                self.identity.get("role", "node"),
                tuple(self.identity["capabilities"]),
            )
            nonce = self.dials.to_bytes(32, "big")
            handshake = Handshake(me, dialing=True, nonce=nonce, secrets=(self.secret,))
            await greet(self.raw, handshake, within=5)
            self.link = guarded(self.raw, handshake)
            self.changed.set()
            self.changed = trio.Event()
        except LinkError:
            await self.hang_up()
        return self.link

    async def hang_up(self) -> None:
        """Close the link."""
        raw, self.raw, self.link = self.raw, None, None
        if raw is not None:
            await raw.aclose()

    def become(self, change: dict[Any, Any]) -> None:
        """Be somebody else at the next dial, if that can be anybody.

        But not `HONEST`: whoever has the secret can pass for a node. Who says that it is one is that node dialling anew, and
        who has its address is its next boot. Against that there are certificates.
        """
        node, address = change.get("node"), change.get("address")
        if type(node) is str and is_node_id(node) and node not in HONEST:
            self.identity["node"] = node
        if "address" in change and (address is None or type(address) is str) and address not in HONEST:
            self.identity["address"] = address
        words = change.get("capabilities")
        if type(words) is list and all(type(word) is str for word in words):
            self.identity["capabilities"] = words

    async def step(self, step: Any) -> None:
        """Do one thing of a script."""
        if type(step) is int and 0 <= step <= 100:
            await trio.sleep(step / 10)
            return
        if type(step) is dict or step is None:
            await self.hang_up()
            self.become(step or {})
            await self.dial()
            return
        open_link = await self.dial()
        if open_link is None:
            return
        if type(step) is list:
            step = encode_frame([part if type(part) is bytes else cbor.encode(part) for part in step[:60_000]])
        with suppress(LinkError):
            await open_link.send((step if type(step) is bytes else cbor.encode(step))[:MAX_FRAME])
        await trio.sleep(0.01)  # until it has been looked at: what ends the link is followed by a new one

    async def play(self, script: list[Any]) -> None:
        """Do all of it, and read what comes meanwhile."""
        await self.dial()
        for step in script[:_STEPS]:
            await self.step(step)
        await trio.sleep(0.1)

    async def read(self) -> None:
        """Read what is sent to it, or the other side would soon take it for frozen."""
        while True:
            now = self.link
            if now is None:
                await self.changed.wait()
                continue
            try:
                await now.receive()
            except LinkError:
                if self.link is now:
                    await self.hang_up()


def _crashed(text: str) -> bool:
    """An actor's own error: whoever has the secret may call it with what it cannot bear."""
    return text.startswith("actor ") and " crashed while handling " in text.partition("\n")[0]


def _script(data: bytes) -> list[Any]:
    script = read(data)
    return script if type(script) is list else [data]


def mesh(data: bytes) -> None:
    """A mesh: no error of ours, and the link between two honest nodes lives on."""
    with quiet():
        in_time(_mesh, _script(data))


async def _mesh(script: list[Any]) -> None:
    network = SimulatedNetwork(1)
    a = Peer("a", transport=network.transport("a"))
    c = Peer("c", transport=network.transport("c"), seeds=[network.address("a")])
    stranger = Stranger(network, SECRET)
    async with trio.open_nursery() as nursery:
        await nursery.start(a.run)
        await nursery.start(c.run)
        while not (a.linked_to(c) and c.linked_to(a)):
            await trio.sleep(0.1)
        nursery.start_soon(stranger.read)
        await stranger.play(script)
        a.mesh.send(c.id, ["fine"])
        await trio.sleep(2.5)
        assert ("a#1", ["fine"]) in c.messages, "honest nodes are held up"
        assert c.log.count(("down", a.id, False)) == 0, "the link between honest nodes has ended"
        assert a.log.count(("down", c.id, False)) == 0, "the link between honest nodes has ended"
        await stranger.hang_up()
        nursery.cancel_scope.cancel()


def exchange(data: bytes) -> None:
    """`Exchange.receive`: it takes a message or raises `ProtocolViolation`, and what waits for others lives on."""
    with quiet(_crashed):
        in_time(_exchange, _script(data))


async def _exchange(script: list[Any]) -> None:
    async with trio.open_nursery() as nursery:
        a, c = Side("a#1", nursery), Side("c#1", nursery)
        a.other, c.other = c, a
        sent: list[tuple[str, list[Any]]] = []
        honest = a.send

        def send(peer: str, message: list[Any]) -> bool:
            if peer == ME:
                cbor.decode(cbor.encode(message))  # it can travel
                sent.append((peer, message))
                return peer in a.exchange.linked
            return honest(peer, message)

        a.send = send  # type: ignore[method-assign]  # what is for the stranger goes nowhere
        nursery.start_soon(a.deliver)
        nursery.start_soon(c.deliver)
        link(a, c)
        _link_up(a)
        cells = [side.system.spawn(Counter, (), mailbox=3) for side in (a, a, c)]
        for cell in cells:
            nursery.start_soon(cell.run)
        try:
            await _among_actors(a, cells, script, nursery)
        finally:
            for cell in cells:  # an actor ends when it is told to
                cell.request_stop()
                cell.scope.cancel()
        nursery.cancel_scope.cancel()


async def _among_actors(a: Side, cells: list[Cell], script: list[Any], nursery: trio.Nursery) -> None:
    await trio.sleep(0.01)
    a.exchange.monitor(70, hubkit.Pid("x", 1, 5))
    a.exchange.monitor(71, cells[2].pid)
    nursery.start_soon(_ask, a, hubkit.Pid("x", 1, 5))
    await trio.sleep(0.01)
    await _say(a.exchange, script)
    a.exchange.link_down(ME)
    a.exchange.look()
    with trio.fail_after(60):
        assert await a.system.ref(cells[2].pid).call("add", 1) == 1
    assert a.exchange.linked == {"c#1"}


def _link_up(a: Side) -> None:
    a.liveness.linked(ME, trio.current_time())
    a.exchange.linked.add(ME)
    a.exchange.link_up(ME, CAPABILITIES)


async def _ask(a: Side, pid: hubkit.Pid) -> None:
    """Calls that the stranger may answer; each ends, with an answer or an error."""
    for _ in range(5):
        with suppress(HubkitError, trio.TooSlowError, hubkit.Reject, TypeError):
            with trio.fail_after(30):
                await a.system.ref(pid).call("add", 1)


async def _say(exchange: Exchange, script: list[Any]) -> None:
    for step in script[:_STEPS]:
        if type(step) is int and 0 <= step <= 100:
            await trio.sleep(step / 10)
        elif type(step) is list:
            with suppress(ProtocolViolation):
                exchange.receive(ME, cbor.decode(cbor.encode(step)))
            await trio.lowlevel.checkpoint()
    await trio.sleep(0.1)


def node(data: bytes) -> None:
    """A node with a hub and a child: no error of ours."""
    with quiet(_crashed):
        in_time(_node, _script(data), "node")


def operator(data: bytes) -> None:
    """The same, of somebody who looks and asks; and the child is where it was, and answers."""
    with quiet():
        in_time(_node, _script(data), "operator")


async def _node(script: list[Any], role: str) -> None:
    network = SimulatedNetwork(1)
    stranger = Stranger(network, b"theirs" if role == "operator" else SECRET, role=role)
    async with (
        hubkit.Node(transport=network.transport("a"), name="a", secret=SECRET, operator_secret=b"theirs") as one,
        hubkit.Hub("shop", node=one) as hub,
        trio.open_nursery() as nursery,
    ):
        await hub.start_child(hubkit.child("child", Counter))
        nursery.start_soon(stranger.read)
        await stranger.play([_wrapped(step) for step in script])
        await stranger.hang_up()
        await trio.sleep(10)
        if role == "operator":
            assert hub.is_settled
            assert await hub.ref("child").call("add", 1) == 1
        nursery.cancel_scope.cancel()


def _wrapped(step: Any) -> Any:
    """Messages of the floor above need not say so."""
    return [part if type(part) is bytes else [16, part] for part in step] if type(step) is list else step


def wires(data: bytes) -> None:
    """What hubs tell each other: a sync or a message about groups that survives, or `ProtocolViolation`."""
    message = read(data)
    for read_it, write in ((sync.from_wire, sync.to_wire), (tidings.from_wire, tidings.to_wire)):
        try:
            found: Any = read_it(message)
        except ProtocolViolation:
            continue
        assert read_it(write(found)) == found


DOORS = (
    Door("mesh", mesh, longest=8192),
    Door("exchange", exchange),
    Door("node", node, longest=8192),
    Door("operator", operator),
    Door("wires", wires),
)
