"""`Hub`: named children, spread over the nodes of a mesh, kept alive and found from anywhere.

Law of this room: it is a face. It checks what users pass, and asks the rooms behind it: `driver` (the core and its
effects), `wishes` (starting and stopping), `household` (what runs here), `bulletin` (events). Reads are local and never
wait; whatever waits can be cancelled, and leaves the map a consistent wish.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeVar

import trio

from hubkit.actors.ref import Ref
from hubkit.cluster.affinity import Placement, check_labels, check_weight
from hubkit.cluster.policy import (
    Distribution,
    Migration,
    PartitionTolerance,
    Redundancy,
    Strategies,
    Synchronization,
)
from hubkit.discovery.protocol import Discovery
from hubkit.errors import ConfigurationError, HubClosed
from hubkit.events import ChildFailed, Event
from hubkit.hub.admission import Admit, check_admit
from hubkit.hub.arguments import Nodes, Placements, check_declared
from hubkit.hub.bulletin import HANDLER_SECONDS, Bulletin, EventStream, Hook, check_hooks
from hubkit.hub.desk import HubDesk
from hubkit.hub.driver import Driver
from hubkit.hub.future import Future
from hubkit.hub.handovers import hand_over
from hubkit.hub.household import Household, Prepare, failure_text
from hubkit.hub.leaving import drain, stop_now
from hubkit.hub.moving import move
from hubkit.hub.quorum import check_allowed, check_lease, check_shutdown, confirm, resize
from hubkit.hub.reads import Reads
from hubkit.hub.results import StartResult, StopResult
from hubkit.hub.views import actor_table, check_strategies
from hubkit.hub.wants import Wish, WishReader, check_ids, check_specs, close_wish
from hubkit.hub.wishes import check_not_waiting, check_open, starting, stop_wants, until_live
from hubkit.logs import Log
from hubkit.net.transport import Transport
from hubkit.net.websocket import TLS
from hubkit.node.blocks import Block, bare_nursery, is_cancelled
from hubkit.node.node import Node
from hubkit.pids import ChildKey
from hubkit.specs import ChildSpec, check_id, check_seconds
from hubkit.strategies import ColdSwap, ConsistentHashing, Divergence, PubSub, Singularity
from hubkit.supervision.restarts import Limits

__all__ = ["Hub"]

log: Log = Log("hubkit.hub")

A = TypeVar("A")
T = TypeVar("T")

HookSpec = tuple[type[Event], Callable[[Any], Any]] | tuple[type[Event], Callable[[Any], Any], int]


class Hub(Reads, Block):
    """Named children over many processes. Use it as an async context manager::

        async with hubkit.Hub("shop", listen="ws://127.0.0.1:4040", join=["ws://127.0.0.1:4041"]) as hub:
            counter = await hub.start_child(hubkit.child("counter", Counter))
            await counter.call(Counter.add, 2)

    ``hub_id`` names the hub: nodes with a hub of the same id form it together. ``node`` puts it on an open `Node`
    (several hubs can share one); without it the hub opens a node of its own, and takes that node's arguments:
    ``listen``, ``advertise``, ``join``, ``name``, ``secret``, ``tls``, ``transport`` (see `Node`).

    ``children``: specs that are started when the hub opens, if no child of that id is wanted yet.
    ``actors``: the actors that may run on this node; by default all that this process has defined.
    ``hooks``: ``(EventType, handler)`` or ``(EventType, handler, priority)``, as for `on`.
    ``distribution, redundancy, migration, synchronization, partition_tolerance``: see `hubkit.strategies`.
    ``max_restarts, max_seconds``: the restart limit *of each child*; one that passes it is parked (`ChildFailed`).
    ``drain_timeout``: seconds that a normal exit may take to hand the children over.
    ``cancel_grace``: seconds that each child has to stop when the block is left by an exception or cancellation.
    ``weight``: this node's share of the children, relative to the others' (by default the node's, which is 1). ``labels``: what
    this node says about itself, like ``{"zone": "eu"}``, in addition to the labels of the node; see `hubkit.Placement`.
    ``prepare``: called as ``prepare(spec, metadata)`` on the node that is about to start a child; returns the pair that
    is to be used. It may be async.
    ``admit``: called as ``admit(name, labels)`` for each other node that has the hub; only those for which it returns true take
    part. Give all nodes the same. A node that is not admitted is told so (`HandshakeRefused`, where it would join).

    Entering raises `ConfigurationError` (also where the port is taken, or the hub runs already with other strategies), or
    `HandshakeRefused` (a node to join refuses this one for good). The block's own exceptions leave it as they are.
    """

    def __init__(
        self,
        hub_id: str,
        *,
        node: Node | None = None,
        children: Iterable[ChildSpec] = (),
        actors: Iterable[Any] | None = None,
        hooks: Iterable[HookSpec] = (),
        distribution: Distribution = ConsistentHashing(),
        redundancy: Redundancy = Singularity(),
        migration: Migration = ColdSwap(),
        synchronization: Synchronization = PubSub(),
        partition_tolerance: PartitionTolerance = Divergence(),
        max_restarts: int = 100,
        max_seconds: float = 4.0,
        drain_timeout: float = 60.0,
        cancel_grace: float = 5.0,
        prepare: Prepare | None = None,
        admit: Admit | None = None,
        listen: str | None = None,
        advertise: str | None = None,
        join: Iterable[str | Discovery] | Discovery = (),
        name: str | None = None,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        tls: TLS | None = None,
        transport: Transport | None = None,
        weight: float | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._id = check_id(hub_id, "hub_id")
        if node is not None and not isinstance(node, Node):
            msg = f"node must be an open hubkit.Node, not {node!r:.80}"
            raise ConfigurationError(msg)
        self._own_node: Node | None = None
        if node is None:
            self._own_node = Node(
                listen=listen, advertise=advertise, join=join, name=name, secret=secret, tls=tls, transport=transport
            )
        elif any(
            value is not None and value != () for value in (listen, advertise, join, name, secret, tls, transport)
        ):
            msg = "listen, advertise, join, name, secret, tls and transport belong to the Node, since node= is given"
            raise ConfigurationError(msg)
        self._node = self._own_node or node
        self._weight = None if weight is None else check_weight(weight)
        self._labels = check_labels(labels)
        self._actors = actor_table(actors)
        self._limits = Limits(max_restarts, max_seconds)
        self._drain_timeout = check_seconds(drain_timeout, "drain_timeout", infinite=True)
        self._cancel_grace = check_seconds(cancel_grace, "cancel_grace")
        if prepare is not None and not callable(prepare):
            msg = f"prepare must be a function of (spec, metadata), not {prepare!r:.80}"
            raise ConfigurationError(msg)
        self._prepare = prepare
        self._admission = check_admit(admit)
        self._strategies = check_strategies(
            Strategies(distribution, redundancy, migration, synchronization, partition_tolerance)
        )
        self._declared = check_declared(check_specs(children, "children"), self._strategies)
        check_shutdown(self._declared, partition_tolerance)
        self._bulletin = Bulletin(hub_id)
        for hook in check_hooks(hooks):
            self._bulletin.on(*hook)
        self._driver_: Driver | None = None
        self._household_: Household | None = None
        self._nursery: trio.Nursery | None = None
        self._draining = False
        self._futures: dict[Future[Any], None] = {}

    # -- the block ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        if self._own_node is None:
            async with self._running():
                yield
            return
        async with self._own_node, self._running():
            yield

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        node = self._node
        assert node is not None
        async with bare_nursery() as nursery:
            driver = self._assemble(node, nursery)
            telling = trio.CancelScope(shield=True)  # also how it stops, and why, is told to the end
            try:
                nursery.start_soon(self._tell, telling)
                nursery.start_soon(driver.run, nursery)
                node._attach(driver)
                await until_live(driver, node._check_welcome)
                await confirm(driver, self._strategies.partition_tolerance)
                self._declare()
                yield
                await self.drain()
            except BaseException as error:
                with trio.CancelScope(shield=True):
                    await stop_now(driver, self._cancel_grace, "exit" if is_cancelled(error) else "error")
                raise
            finally:
                driver.close()
                with trio.CancelScope(shield=True):
                    await self._bulletin.flush(HANDLER_SECONDS)
                self._bulletin.close()
                telling.cancel()
                node._detach(driver)
                nursery.cancel_scope.cancel()

    async def _tell(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._bulletin.run()

    def _assemble(self, node: Node, nursery: trio.Nursery) -> Driver:
        node._check_free(self._id)
        check_lease(self._strategies.partition_tolerance, node._beat)
        self._nursery = nursery
        self._driver_ = driver = Driver(
            self._id,
            node._id,
            node,
            strategies=self._strategies,
            bulletin=self._bulletin,
            address=node.url,
            actors=self._actors,
            seeds=node._has_seeds,
            weight=node._weight if self._weight is None else self._weight,
            labels=dict(sorted({**node._labels, **self._labels}.items())),
            admission=self._admission,
        )
        driver.household = self._household_ = Household(
            hub_id=self._id,
            hub=self,
            system=node._system,
            reader=WishReader(node._payloads),
            reports=driver,
            publish=self._bulletin.publish,
            environment=node.environment,
            limits=self._limits,
            prepare=self._prepare,
            gate=driver.gate,
            most=driver.core.quorum.stop_bound,
        )
        driver.desk = HubDesk(driver, lambda: nursery.start_soon(self.drain))
        driver.handovers = hand_over(driver, self._household_, node, self._strategies, nursery)
        return driver

    def _declare(self) -> None:
        missing = [spec for spec in self._declared if spec.id not in self._driver.core.wants]
        if missing:
            self._driver.write_wants({spec.id: close_wish(Wish(spec), self._payloads) for spec in missing})

    @property
    def _payloads(self) -> Any:
        assert self._node is not None
        return self._node._payloads

    def _starting(self, specs: Iterable[ChildSpec], *options: Any) -> Callable[[], Awaitable[StartResult]]:
        return starting(self._driver, self._strategies, self._payloads, specs, *options)

    # -- starting and stopping ----------------------------------------------------------------------------------------------

    async def start_child(
        self,
        spec: ChildSpec,
        *,
        metadata: Any = None,
        tag: str | None = None,
        nodes: Sequence[str] | None = None,
        placement: Placement | None = None,
        check_existing: bool = True,
    ) -> Ref[Any]:
        """Start one child somewhere in the hub, and return a `Ref` that follows it.

        Returns when it runs and ``min(3, members)`` nodes hold the wish. With ``check_existing=False`` a child that is
        there already is adopted as it is. Cancelled, it leaves the child wanted. ``nodes``: where it runs, with `Guided`.
        ``placement``: what it asks of its nodes.

        Raises `StartFailed` (the reason is its ``__cause__``; the child is withdrawn), `AlreadyStarted`, `NoQuorum`,
        `NotSerializable`, `ConfigurationError`, `HubClosed`.
        """
        result = await self.start_children(
            [spec], metadata=metadata, tag=tag, nodes=nodes, placement=placement, check_existing=check_existing
        )
        for error in result.errors.values():
            raise error
        return self.node._system.ref(ChildKey(self._id, spec.id))

    async def start_children(
        self,
        specs: Iterable[ChildSpec],
        *,
        metadata: Any = None,
        child_metadata: Mapping[str, Any] | None = None,
        tag: str | None = None,
        nodes: Nodes = None,
        placement: Placements = None,
        check_existing: bool = True,
        on_failure: Literal["continue", "rollback"] = "continue",
    ) -> StartResult:
        """Start many children, and return what became of each.

        ``metadata`` is common to all, ``child_metadata`` maps ids to the metadata of single ones (it wins). ``on_failure``:
        ``"continue"`` keeps what has started, ``"rollback"`` stops it again if any child failed. Failed ones are withdrawn.
        ``nodes``: with `Guided`, the nodes of all, or a mapping of ids to the nodes of each. ``placement``: what all ask of
        their nodes, or a mapping of ids to what some of them ask.

        Never raises for one child; raises `NoQuorum`, `ConfigurationError`, `HubClosed`.
        """
        start = self._starting(specs, metadata, child_metadata, tag, nodes, placement, check_existing, on_failure)
        return await start()

    async def stop_child(self, id: str) -> StopResult:
        """Stop a child wherever it runs, and forget it. Raises `NoSuchActor` for an unknown id, at once."""
        result = await self.stop_children([id])
        for error in result.errors.values():
            raise error
        return result

    async def stop_children(self, ids: Iterable[str]) -> StopResult:
        """Stop many children; unknown ids are in the result's ``errors``.

        Raises `NoQuorum`, `HubClosed`; `Deadlock` when a handler would wait for the end of its own actor.
        """
        driver, checked = self._driver, check_ids(ids)
        check_not_waiting(driver, self.node._system, checked)
        return await stop_wants(driver, checked)

    def start_children_soon(
        self,
        specs: Iterable[ChildSpec],
        *,
        metadata: Any = None,
        child_metadata: Mapping[str, Any] | None = None,
        tag: str | None = None,
        nodes: Nodes = None,
        placement: Placements = None,
        check_existing: bool = True,
        on_failure: Literal["continue", "rollback"] = "continue",
    ) -> Future[StartResult]:
        """Begin to start many children, and return at once. Wrong arguments raise here; the rest is in the `Future`."""
        start = self._starting(specs, metadata, child_metadata, tag, nodes, placement, check_existing, on_failure)
        return self._soon(start)

    def stop_children_soon(self, ids: Iterable[str]) -> Future[StopResult]:
        """Begin to stop many children, and return at once."""
        driver, checked = self._driver, check_ids(ids)
        return self._soon(lambda: stop_wants(driver, checked))

    def _soon(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        future: Future[T] = Future()
        assert self._nursery is not None
        ended = HubClosed(f"hub {self._id!r} ended before the work was done")

        async def fulfil() -> None:
            self._futures[future] = None
            try:
                await future._fulfil(work, ended, self._unobserved)
            finally:
                del self._futures[future]

        self._nursery.start_soon(fulfil)
        return future

    def _unobserved(self, errors: Mapping[str, Exception]) -> None:
        """Nobody waits for this failure (yet): it must not vanish."""
        for child, error in errors.items():
            log.error("hub %s: in the background, child %s: %s", self._id, child, error)
            self._bulletin.publish(ChildFailed(child, failure_text(error), float("inf"), hub=self._id))

    # -- by hand ------------------------------------------------------------------------------------------------------------

    async def move(self, id: str, node: str) -> None:
        """Move a child to a ready node, and wait until it runs there. It stays there as long as that node is ready.

        Raises `NoSuchActor` (no such child), `ConfigurationError` (no such ready node, or it lacks the actor or a label),
        `StartFailed` (it did not start there and is parked), `NodeDown` (that node went meanwhile).
        """
        driver = self._driver
        check_not_waiting(driver, self.node._system, [check_id(id)])
        check_allowed(driver)
        await move(driver, id, node, self._strategies)

    def forget(self, name: str) -> None:
        """Declare a silent node dead for good: nobody waits for it any more. `ConfigurationError` if it lives."""
        driver = self._driver
        driver.do(lambda now: driver.core.forget(check_id(name, "a node name"), now))

    def resize(self, size: int) -> None:
        """Set the quorum's size for the whole hub, also without a quorum; `ConfigurationError` if it makes no sense."""
        resize(self._driver, self._strategies.partition_tolerance, size)

    # -- events -----------------------------------------------------------------------------------------------------------

    def on(self, event_type: type[Event], handler: Callable[[Any], Any], priority: int = 0) -> Hook:
        """Call ``handler(event)`` for every event of this type (`Event`: all), the highest priority first.

        The handler may be async; each call has 5 s. What it raises is logged and harms nothing.
        """
        return self._bulletin.on(event_type, handler, priority)

    def events(self, *types: type[Event]) -> AbstractAsyncContextManager[EventStream]:
        """A bounded stream of events: ``async with hub.events(ChildStarted) as stream: async for event in stream``.

        `EventsLost` marks a gap when it was read too slowly. The stream ends when the hub does.
        """
        if self._driver_ is not None:
            check_open(self._driver)  # a stream of a hub that has ended would wait for ever
        return self._bulletin.events(*types)

    # -- leaving ------------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Leave the hub: hand all children over, within ``drain_timeout``. The normal exit of the block does it, too.

        Raises `Deadlock` in a handler of a child of this hub here: it would wait for itself.
        """
        driver = self._driver_ or self._driver
        if driver.closed:
            return
        check_not_waiting(driver, self.node._system)
        self._draining = True
        self._bulletin.stopping("drain")
        await drain(driver, self._drain_timeout, self._cancel_grace)
        if driver.core.left:
            self.node._detach(driver)  # the others need not wait for acknowledgements of one who has gone

    async def stop(self) -> None:
        """`drain`, and close: whatever is asked of this hub afterwards raises `HubClosed`, and streams of events end."""
        await self.drain()
        if self._driver_ is not None:
            self._driver_.close()
        await self._bulletin.flush(HANDLER_SECONDS)
        self._bulletin.close()
