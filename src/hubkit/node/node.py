"""`Node`: one process in the mesh. It owns the links, the actors of this process, and the beat; hubs live on it.

Law of this room: it is a shell. What arrives is handed to whom it concerns (a hub's driver, the exchange, the liveness
table), what they decide is sent. One heartbeat a beat for all hubs; the links cost the same for one hub or ten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from hubkit.actors.mailbox import Item
from hubkit.actors.system import System, system_var
from hubkit.cluster.affinity import check_labels, check_weight
from hubkit.cluster.liveness import Liveness
from hubkit.discovery.finder import Finder
from hubkit.discovery.protocol import Discovery
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HandshakeRefused, HubClosed
from hubkit.events import Event
from hubkit.logs import Log
from hubkit.net.address import parse
from hubkit.net.cargo import Cargo
from hubkit.net.handshake import Identity
from hubkit.net.lines import one_line
from hubkit.net.mesh import Mesh
from hubkit.net.payload import Payloads
from hubkit.net.transport import Transport
from hubkit.net.websocket import PER_ADDRESS, TLS, WebSocketTransport
from hubkit.node.blocks import Block, bare_nursery
from hubkit.node.credits import CAPABILITY as FLOW
from hubkit.node.detours import CAPABILITY as DETOUR
from hubkit.node.detours import Detours
from hubkit.node.directory import ANSWERS, Directory
from hubkit.node.distrust import Distrust
from hubkit.node.ears import Ears
from hubkit.node.exchange import Exchange
from hubkit.node.freight import CAPABILITY as LARGE
from hubkit.node.operator import tree
from hubkit.node.options import (
    check_endpoint,
    check_join,
    check_name,
    check_operators,
    check_per_address,
    check_secret,
    check_tls,
    clocks_of,
    versions_from,
)
from hubkit.node.packing import whole
from hubkit.node.refs import decode_ref, encode_ref
from hubkit.node.roads import Roads
from hubkit.node.runs import CAPABILITY as RUNS
from hubkit.node.seams import Attached
from hubkit.pids import NodeId, Pid, boot_of, name_of, node_id
from hubkit.specs import check_seconds

__all__ = ["Node"]

log: Log = Log("hubkit.node")

#: what a node says it can do; peers use only what both can
CAPABILITIES = ("hub.1", "actors.1", ANSWERS, FLOW, DETOUR, LARGE, RUNS)

#: Seconds for which a node that leaves goes on to send large values.
LAST = 2.0

#: The kinds of a hub's own messages; see `hubkit.node.directory` and `hubkit.node.exchange` for the others.
SYNC, STATE, GROUP = 0, -8, -9


class Node(Roads, Block):
    """One process in the mesh, on which several hubs can be opened. Use it as an async context manager.

    ``listen``: the URL to listen at, ``ws://host:port`` or ``wss://host:port``; port 0 picks a free one (`url` says
    which). `None`: a stand-alone node, which `promote` can put on the network later.
    ``advertise``: the URL that others dial, if it is not ``listen``; required when ``listen`` is a wildcard address.
    ``join``: URLs of other nodes, a `Discovery` (see `hubkit.discovery`), or a list of both; asked again for ever. The node's
    own URL among them does no harm.
    ``name``: the node's name, unique in the mesh and the same after a restart; by default the advertised ``host:port``.
    ``secret``: what all nodes of the mesh know: `str`, `bytes`, or several (the first is used, all are accepted).
    ``operator_secret``: what lets an operator look (``hubkit status`` and its like), and no more; one or several, too.
    ``min_protocol``: 2 refuses nodes of the release before, whose protocol, version 1, does not guard the frames of a link.
    ``per_address``: how many connections one remote address (an IPv6 one: its first 64 bits) may have here at a time. So many
    may also come at once, and a quarter of them a second from then on; what is beyond is hung up on before anything is read.
    ``tls``: see `TLS`. ``transport``: replaces the network, its clocks and ``listen``, for simulations.
    ``weight``: this node's share of the children of each hub, relative to the other nodes'. ``labels``: what it says about
    itself, like ``{"zone": "eu"}``, for children that ask for it (`hubkit.Placement`). Hubs may have their own.
    ``beat``: seconds between heartbeats. ``down_after``: seconds of silence after which a node is taken for dead.

    A secret, or a server context that requires client certificates, is needed to listen on anything but loopback.
    Raises `ConfigurationError` for what cannot work; entering raises it, too, when the port is taken.
    """

    def __init__(
        self,
        *,
        listen: str | None = None,
        advertise: str | None = None,
        join: Iterable[str | Discovery] | Discovery = (),
        name: str | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        operator_secret: str | bytes | Sequence[str | bytes] | None = None,
        min_protocol: int = 1,
        per_address: int = PER_ADDRESS,
        tls: TLS | None = None,
        transport: Transport | None = None,
        beat: float = 1.0,
        down_after: float = 4.0,
        weight: float = 1.0,
        labels: Mapping[str, str] | None = None,
        environment: Environment | None = None,
    ) -> None:
        self._secrets = check_secret(secret)
        self._operators = check_operators(operator_secret, self._secrets)
        self._versions = versions_from(min_protocol)
        self._per_address = check_per_address(per_address)
        self._tls = check_tls(tls)
        self._transport = transport
        self._endpoint = check_endpoint(listen, advertise, self._secrets, self._tls)
        self._join = check_join(join)
        if self._endpoint is None and self._join.hopeful(None) and transport is None:
            msg = (
                "join needs listen: the nodes that are joined must be able to dial this one (port 0 picks a free port)"
            )
            raise ConfigurationError(msg)
        if listen is not None and transport is not None:
            msg = f"listen={listen!r} says where to listen, and so does transport: leave listen out"
            raise ConfigurationError(msg)
        self._given_name = check_name(name)
        self._weight = check_weight(weight)
        self._labels = check_labels(labels)
        self._beat = check_seconds(beat, "beat", zero=False)
        self._down_after = check_seconds(down_after, "down_after", zero=False)
        if down_after < 2 * beat:
            msg = f"down_after must be at least two beats ({2 * beat:g} s), not {down_after!r}"
            raise ConfigurationError(msg)
        self.environment: Environment = clocks_of(environment, transport)
        self.liveness: Liveness
        self._system: System
        self._exchange: Exchange
        self._finding = trio.CancelScope()
        self._drivers: dict[str, Attached] = {}
        self._directory = Directory(lambda: self._id, self._drivers, self.linked, self.send)
        self._id: NodeId = ""
        self._distrust, self._gossip = Distrust(), Distrust()
        self._url: str | None = None
        self._state = "new"
        self._refusal: HandshakeRefused | None = None
        self._nursery: trio.Nursery | None = None
        self._rest: trio.CancelScope | None = None
        self._payloads = Payloads(encode_ref=encode_ref, decode_ref=lambda value: decode_ref(self._exchange, value))

    # -- the block ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        transport = await self._take_port()
        boot = self.environment.boot()
        self._id = node_id(self._given_name or self._default_name(), boot)
        self.liveness = Liveness(self._id, self.environment.now(), beat=self._beat, down_after=self._down_after)
        self._exchange = Exchange(self, self._payloads, self.liveness)
        self._exchange.credits.system = self._exchange.system = self._system = System(
            self.name, boot, remote=self._exchange, publish=self._publish, environment=self.environment
        )
        self._system.owed.patience += 2 * self._down_after
        self._system.trees = partial(tree, self._drivers)
        token = system_var.set(self._system)
        async with bare_nursery() as nursery:
            self._nursery = self._exchange.freight.nursery = nursery
            try:
                nursery.start_soon(self._keep_time)
                if transport is not None:
                    await self._start_mesh(transport)
                self._state = "open"
                yield
                await self._exchange.freight.finish(within=LAST)
            finally:
                self._state = "closed"
                self._finding.cancel()
                with trio.CancelScope(shield=True):
                    if self._mesh is not None and self._detours is not None:
                        self._detours.goodbye()
                        await self._mesh.goodbye(within=1.0)
                self._exchange.close()
                with suppress(ValueError):  # left in another context than it was entered in
                    system_var.reset(token)
                nursery.cancel_scope.cancel()

    async def _take_port(self) -> Transport | None:
        if self._endpoint is None and self._transport is None:
            return None
        listen = None if self._endpoint is None else self._endpoint.listen
        transport = self._transport or WebSocketTransport(listen, tls=self._tls, per_address=self._per_address)
        url = await transport.open()
        advertised = None if self._endpoint is None else self._endpoint.advertise
        self._url = advertised or url
        return transport

    def _default_name(self) -> str:
        if self._url is not None:
            return parse(self._url).authority
        return self.environment.label()

    async def _start_mesh(self, transport: Transport) -> None:
        assert self._nursery is not None
        identity = Identity(self._id, self._url, "node", CAPABILITIES)
        ears = Ears(self)
        self._exchange.freight.deliver = ears.message
        self._detours = Detours(ears)
        self._mesh = Mesh(
            identity,
            transport,
            secrets=self._secrets,
            operators=self._operators,
            versions=self._versions,
            seeds=None,
            events=self._detours,
            environment=self.environment,
            liveness=self.liveness,
            beat=self._beat,
            down_after=self._down_after,
        )
        self._detours.attach(self._mesh)
        await self._nursery.start(self._mesh.run)
        self._nursery.start_soon(self._find, self._mesh)

    async def _find(self, mesh: Mesh) -> None:
        """Tell the mesh whom to dial, until this node leaves."""
        finder = Finder(
            self._join, url=self._url, secrets=self._secrets, environment=self.environment, tell=mesh.set_seeds
        )
        with self._finding:
            await finder.run()

    async def promote(
        self, *, listen: str, advertise: str | None = None, join: Iterable[str | Discovery] | Discovery = ()
    ) -> None:
        """Put a stand-alone node on the network: listen, and join others. Its name and its children stay.

        Raises `ConfigurationError` if it is on the network already, or the arguments cannot work.
        """
        self._check_open()
        if self._mesh is not None:
            msg = f"node {self.name!r} is on the network already, at {self.url}"
            raise ConfigurationError(msg)
        endpoint = check_endpoint(listen, advertise, self._secrets, self._tls)
        if endpoint is None:
            msg = "promote needs listen, a URL like ws://127.0.0.1:4040"
            raise ConfigurationError(msg)
        self._endpoint, self._join = endpoint, check_join(join)
        transport = await self._take_port()
        assert transport is not None
        for driver in self._drivers.values():
            driver.moved_to(self._url)
        await self._start_mesh(transport)

    def _check_open(self) -> None:
        if self._state != "open":
            msg = f"the node is {'closed' if self._state == 'closed' else 'not open'}: use it inside its `async with` block"
            raise HubClosed(msg)

    # -- what users see ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The node's name."""
        return name_of(self._id) if self._id else self._given_name or ""

    @property
    def url(self) -> str | None:
        """The URL by which others dial this node; `None` for a stand-alone one."""
        return self._url

    def is_of(self, incarnation: int) -> bool:
        """Whether this process is that incarnation of its name."""
        return bool(self._id) and boot_of(self._id) == incarnation

    def __repr__(self) -> str:
        return f"<hubkit.Node {self.name!r} {self._state}{f' at {self._url}' if self._url else ''}>"

    # -- what hubs need -----------------------------------------------------------------------------------------------------

    @property
    def _has_seeds(self) -> bool:
        return self._join.hopeful(self._url)

    def _check_free(self, hub_id: str) -> None:
        self._check_open()
        if hub_id in self._drivers:
            msg = f"node {self.name!r} has a hub {hub_id!r} already: hub ids are unique on a node"
            raise ConfigurationError(msg)

    def _attach(self, driver: Attached) -> None:
        self._drivers[driver.hub_id] = driver
        self._system.hubs[driver.hub_id] = driver.running
        self._directory.attach(driver)

    def _detach(self, driver: Attached) -> None:
        self._system.hubs.pop(driver.hub_id, None)
        if self._drivers.pop(driver.hub_id, None) is not None:
            self._directory.detach(driver)

    def _check_welcome(self) -> None:
        """Raise `HandshakeRefused` if those to be joined refuse this node for good, and nobody else is there."""
        if self._refusal is not None and not self.linked():
            raise self._refusal

    def linked(self) -> tuple[NodeId, ...]:
        """The ids of the nodes that a link exists to, sorted."""
        return tuple(sorted(self._exchange.linked))

    def hub(self, hub_id: str) -> Attached | None:
        """The hub of this id on this node."""
        return self._drivers.get(hub_id)

    def now(self) -> float:
        """Monotonic seconds."""
        return self.environment.now()

    def sync(self, peer: NodeId, hub: str, message: list[Any]) -> None:
        """Send a sync message of a hub."""
        self.send(peer, [SYNC, hub, message])

    def state(self, peer: NodeId, hub: str, message: list[Any]) -> bool:
        """Send a message about a child's state to a hub of a linked node; `False`: there is no link."""
        return self.send(peer, [STATE, hub, message])

    async def ship(
        self, peer: NodeId, hub: str, message: list[Any], cargo: Cargo, number: int, progress: Callable[[], None]
    ) -> bool:
        """Send a message about a state whose last item is large. See `hubkit.node.freight.Freight.send`."""
        freight, last = self._exchange.freight, len(message) - 1
        if freight.lacks(peer):
            return self.state(peer, hub, [*message[:last], whole(cargo, self._payloads, peer)])
        return await freight.send(peer, cargo, [STATE, hub, message], [2, last], number=number, progress=progress)

    def lot_number(self) -> int:
        """A number for what is to be shipped."""
        return self._exchange.freight.number()

    def group(self, peer: NodeId, hub: str, message: list[Any]) -> bool:
        """Send a message about groups to a hub of a linked node; `False`: there is no link."""
        return self.send(peer, [GROUP, hub, message])

    def forward(self, pid: Pid, item: Item) -> None:
        """Send a message that waits here to an actor elsewhere."""
        self._exchange.forward(pid, item)

    @property
    def relaying(self) -> int:
        """How many calls that were passed on still wait for their answer."""
        return self._exchange.relaying

    def refuse(self, peer: NodeId, reason: str) -> None:
        """Close the link to a node that sends what must not be believed."""
        if self._bar(peer):  # the link will come back, and be refused again: it is said once in a while
            log.warning("node %s: nothing is taken from %s: %s", self.name, peer, one_line(reason))
        if self._mesh is not None and self._detours is not None:
            self._detours.close(peer)
            self._mesh.close_link(peer, reason)

    def _bar(self, peer: NodeId) -> bool:
        """This node lies: it is not let in for a while. Whether that is to be told. (On a detour it may be another's lie.)"""
        if self._detours is not None and peer in self._detours.open:
            return True
        return self._distrust.found(peer, self.now())

    def notice(self) -> None:
        """Let those who wait for children look again."""
        for driver in list(self._drivers.values()):
            driver.notice()

    def _members(self) -> list[NodeId]:
        return sorted({member for driver in self._drivers.values() for member in driver.members()})

    def _address_of(self, peer: NodeId) -> str | None:
        addresses = (driver.address_of(peer) for driver in self._drivers.values())
        return next((address for address in addresses if address is not None), None)

    def _publish(self, event: Event) -> None:
        drivers = [driver for hub, driver in self._drivers.items() if event.hub in ("", hub)]
        for driver in drivers:
            driver.publish(event)
        if not drivers:
            log.warning("node %s has no hub to tell it to: %.500s", self.name, event)

    # -- time -------------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Tick every hub once a beat, and look at claims whose patience has run out in between."""
        next_beat = self.now() + self._beat
        while True:
            deadlines = [driver.deadline for driver in self._drivers.values()]
            moment = min([next_beat, *(deadline for deadline in deadlines if deadline is not None)])
            with trio.move_on_after(max(moment - self.now(), self._beat / 100)) as self._rest:
                await trio.sleep_forever()
            now = self.now()
            if now >= next_beat:
                next_beat = now + self._beat
                for driver in list(self._drivers.values()):
                    driver.beat()
                self._exchange.look()
                self._look_for_detours(now)
                self._tell_rumours(now)
                continue
            for driver in list(self._drivers.values()):
                deadline = driver.deadline
                if deadline is not None and deadline <= now:
                    driver.touch()

    def _tell_rumours(self, now: float) -> None:
        for boot, teller in self.liveness.rumours:
            if self._gossip.found(boot, now):
                who = "by rows of a hub" if teller is None else f"by {teller}"
                log.warning(
                    "node %s: %s is said to live, %s, but an earlier one of its name does", self.name, boot, who
                )
        self.liveness.rumours.clear()

    def wake_at(self, deadline: float) -> None:
        """A hub wants a `touch` at ``deadline``, by this node's clock."""
        rest = self._rest
        if rest is not None:
            rest.deadline = min(rest.deadline, trio.current_time() + max(0.0, deadline - self.now()))

    def _touch(self) -> None:
        for driver in list(self._drivers.values()):
            driver.touch()
