"""The shell around one core: what comes in is fed to it, what it decides is done, who waits is woken.

Law of this room: nothing is decided here. Inputs go into the core at once; its effects are performed by one task, the
*pump*, which runs once for everything that came in the same turn of the scheduler: a thousand children that start
together cost a few messages, not a thousand. Who awaits something watches the map (`watch`), never a message.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio

from hubkit.actors.inspection import ActorInfo
from hubkit.cluster.agreement import agreement
from hubkit.cluster.core import Core
from hubkit.cluster.effects import Effect, Publish, Refuse, Send, Start, Stop, Warn
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import from_wire, to_wire
from hubkit.errors import HubClosed, HubkitError, NoSuchActor
from hubkit.events import ChildMoved, ChildRegistered, ConflictResolved, DeadLetter, Event
from hubkit.hub.admission import EVERYBODY, Admission
from hubkit.hub.bulk import Bulk
from hubkit.hub.bulletin import Bulletin
from hubkit.hub.burden import Burden
from hubkit.hub.gathering import Gathering
from hubkit.hub.handovers import Handovers
from hubkit.hub.household import Household
from hubkit.hub.meeting import Meeting
from hubkit.hub.operators import listing, summary
from hubkit.hub.quorum import Gate, check_allowed
from hubkit.hub.reports import Reports
from hubkit.hub.trees import tree
from hubkit.hub.watch import Watch
from hubkit.hub.wires import Wires
from hubkit.logs import Log
from hubkit.node.seams import Desk
from hubkit.pids import NodeId, Pid, name_of

__all__ = ["Driver"]

log: Log = Log("hubkit.hub")


#: for how many turns of the scheduler, and seconds, messages wait for children that begin to start
HELD_TURNS = 3
HELD_SECONDS = 0.3
#: the same while many children are still to be looked at: in one piece that would take as long, and nothing be sent
BUSY_SECONDS = 1.0


class Driver(Meeting, Reports):
    """One hub on one node: a core, its household, and those who wait."""

    def __init__(
        self,
        hub_id: str,
        node: NodeId,
        wires: Wires,
        *,
        strategies: Strategies,
        bulletin: Bulletin,
        address: str | None,
        actors: Callable[[], tuple[str, ...]],
        seeds: bool,
        weight: float = 1.0,
        labels: Mapping[str, str] | None = None,
        admission: Admission = EVERYBODY,
    ) -> None:
        self.hub_id: str = hub_id
        self.node: NodeId = node
        self.bulletin: Bulletin = bulletin
        self._wires = wires
        self._actors, self._advertised = actors, actors()
        self.core: Core = Core(
            node,
            hub=hub_id,
            liveness=wires.liveness,
            now=wires.environment.now(),
            wall_offset=wires.environment.wall() - wires.environment.now(),
            address=address,
            actors=self._advertised,
            strategies=strategies,
            seeds=seeds,
            weight=weight,
            labels=tuple((labels or {}).items()),
        )
        self.agreement: tuple[str, ...] = agreement(strategies)
        self.gathering: Gathering = Gathering(self, wires)
        self.labels: Mapping[str, str] = labels or {}
        self._admission = admission
        self.refusal: HubkitError | None = None
        self._burden = Burden.of(strategies.distribution, wires.environment, wires.liveness.beat_interval)
        self._differing: set[str] = set()
        self.household: Household | None = None
        self.handovers: Handovers | None = None
        self.desk: Desk
        self._where: dict[str, Pid | None] = {}  # who handles messages for a child
        #: The pid of a child, if it runs: a local read, for every message that is sent.
        self.running: Callable[[str], Pid | None] = self._where.get
        self.pids: dict[str, tuple[Pid, ...]] = {}
        self.failures: dict[str, tuple[int, BaseException]] = {}
        self.closed: bool = False
        self.crash: Exception | None = None  # what ended the hub here, if that was an error in the hub itself
        self.dead_letters: int = 0
        self.syncs_sent: int = 0
        self.syncs_received: int = 0
        self.moves: int = 0
        self.conflicts: int = 0
        self._reports: list[Callable[[float], None]] = []
        self._endings: list[Callable[[float], None]] = []
        self._watches: dict[str, set[Watch]] = {}
        self._others: set[Watch] = set()
        self._seen: tuple[frozenset[NodeId], frozenset[NodeId]] = (frozenset(), frozenset())
        self._parked: trio.lowlevel.Task | None = None
        self._due = True
        self._launching = False
        self._bulk = Bulk()
        self._held_turns = 0
        self._held_since: float | None = None

    def now(self) -> float:
        """Monotonic seconds."""
        return self._wires.environment.now()

    @property
    def live(self) -> bool:
        """Whether this node acts in the hub."""
        return self.core.live

    # -- what comes in ------------------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId) -> None:
        """A link to a node is ready."""
        self.core.link_up(peer, self.now())
        self.gathering.link_up(peer)
        self.wake()

    def link_down(self, peer: NodeId) -> None:
        """The link to a node is gone."""
        self.core.link_down(peer, self.now())
        self.gathering.link_down(peer)
        self.wake()

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A sync message has arrived. Raises `ProtocolViolation` when it makes no sense."""
        sync = from_wire(message)
        self.syncs_received += 1
        self.core.receive(peer, sync, self.now())
        self.wake()

    def take_group(self, peer: NodeId, message: list[Any]) -> None:
        """A message about groups has arrived. Raises `ProtocolViolation` when it makes no sense."""
        self.gathering.receive(peer, message)

    def beat(self) -> None:
        """One beat has passed."""
        now, names = self.now(), self._actors()
        if names != self._advertised:
            self._advertised = names
            self.core.set_actors(names, now)
        if self._burden is not None and self._burden.sample(now):
            self.core.set_load(self._burden.shown, now)
        self.core.tick(now)
        self.gathering.beat()
        if self.household is not None:
            self.household.enforce()
        self.wake()

    def touch(self) -> None:
        """Liveness has changed, or time has passed for those that wait for it."""
        self.core.touch(self.now())
        self.wake()

    def write_wants(self, changes: Mapping[str, Want | None]) -> dict[str, Stamp]:
        """Write wishes into the map."""
        stamps = self.core.write_wants(changes, self.now())
        self.wake()
        return stamps

    def do(self, action: Callable[[float], object]) -> None:
        """Feed the core with any other input."""
        action(self.now())
        self.wake()

    def seeds_exhausted(self) -> None:
        """None of the nodes to be joined is there."""
        self.do(self.core.seeds_exhausted)

    def moved_to(self, address: str | None) -> None:
        """The node has a new address."""
        self.do(lambda now: self.core.set_address(address, now))

    def gate(self) -> Gate | None:
        """What a child that begins now must pass before each message; `None`: nothing."""
        quorum = self.core.quorum
        return Gate(quorum, self._wires.environment.now, self.touch) if quorum.strict else None

    @property
    def deadline(self) -> float | None:
        """When the core wants to look again although nothing has come in."""
        return self.core.deadline

    @property
    def is_settled(self) -> bool:
        """Whether the map is settled here, and the registry says all that the map does."""
        return self.core.is_settled and not self.core.changed

    # -- the pump -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the pump run, soon."""
        self._due = True
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None

    async def run(self, nursery: trio.Nursery) -> None:
        """Perform what the core decides, until cancelled."""
        self.gathering.publishing.nursery = nursery
        while True:
            while self._due:
                try:
                    self.pump()
                except Exception as error:
                    self.crash = error
                    raise
                self._launching = self.household is not None and self.household.launch(nursery)
                self._due = self._due or self._launching
                await trio.lowlevel.checkpoint()
            self._parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def pump(self, *, hold: bool = True) -> None:
        """Feed all reports, perform all effects, wake all who wait for what has changed."""
        self._due = False
        reports, self._reports = self._reports, []
        if reports:
            now = self.now()
            with self.core.together(now):
                for report in reports:
                    report(now)
        if self.core.backlog:
            self.core.proceed(self.now())
        self._due = self._due or self.core.backlog > 0
        effects = self.core.take(send=False)
        for effect in effects:
            self._perform(effect)
        if self._may_send(any(isinstance(effect, Start) for effect in effects)) or not hold:
            for effect in self.core.take():
                self._perform(effect)
            if self._endings:
                self._reports += self._endings
                self._endings = []
                self._due = True
        self.gathering.look()
        self._wake_watchers()
        if self.core.deadline is not None:
            self._wires.wake_at(self.core.deadline)
        if not self.closed:
            self._bulk.look(self.core.unsettled + self.core.backlog, self.now())

    def _may_send(self, starting: bool) -> bool:
        """Whether messages go out now. They wait a few turns for children that begin to start (or are still to be looked at).

        Most children run a moment later; the others then learn of the start and of its success in one message.
        """
        if starting or self._launching or self.core.backlog:
            self._held_turns = HELD_TURNS
        now = self.now()
        if self._held_since is None:
            self._held_since = now
        if self._held_turns > 0 and now - self._held_since < (BUSY_SECONDS if self.core.backlog else HELD_SECONDS):
            self._held_turns -= 1
            self._due = True
            return False
        self._held_since = None
        return True

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(peer, sync):
                self.syncs_sent += 1
                self._wires.sync(peer, self.hub_id, to_wire(sync))
            case Start(child, want, term, reason, passive, ticket):
                assert self.household is not None
                assert self.handovers is not None
                held = self.handovers.take_kept(child, ticket)
                self.household.start(child, want, term, reason, passive=passive, held=held)
            case Stop(child, reason, by):
                assert self.household is not None
                self.household.stop(child, reason, by=by)
            case Refuse(peer, reason):
                self._wires.refuse(peer, reason)
            case Publish(event):
                self.publish(event)
            case Warn(text):
                log.warning("hub %s on node %s: %s", self.hub_id, name_of(self.node), text)
            case _:
                assert self.handovers is not None
                self.handovers.perform(effect)

    def publish(self, event: Event) -> None:
        """Tell those who want to know."""
        if isinstance(event, ChildRegistered):
            for watch in self._watches.get(event.child, ()):
                watch.seen[event.child] = event.pid
        elif isinstance(event, DeadLetter):
            self.dead_letters += 1
        elif isinstance(event, ChildMoved):
            self.moves += 1
        elif isinstance(event, ConflictResolved):
            self.conflicts += 1
        self.bulletin.publish(event)

    # -- who waits ----------------------------------------------------------------------------------------------------

    def _wake_watchers(self) -> None:
        core = self.core
        if (core.alive, core.ready) != self._seen:  # who waits for a node must look at all its children again
            self._seen = (core.alive, core.ready)
            for child, watches in self._watches.items():
                for watch in watches:
                    watch.touch(child)
        has_copies = core.has_copies
        for child in core.changed:
            pids = core.pids(child)
            if pids:
                self.pids[child] = pids
                self._where[child] = core.active(child) if has_copies else pids[0]
            else:
                self.pids.pop(child, None)
                self._where.pop(child, None)
            for watch in self._watches.get(child, ()):
                watch.touch(child)
        core.changed.clear()
        for watch in self._others:
            watch.touch()

    def notice(self) -> None:
        """Let those who wait look again."""
        self.rouse()

    def members(self) -> Collection[NodeId]:
        """All nodes of the hub that are known, alive or not."""
        return self.core.nodes.keys()

    def address_of(self, peer: NodeId) -> str | None:
        """The address of another member, as this hub knows it."""
        row = self.core.nodes.get(peer)
        return None if row is None else row.address

    def status(self) -> Mapping[str, Any]:
        """What an operator sees of the hub, in plain values."""
        here = 0 if self.household is None else self.household.running()
        return {"hub": self.hub_id, "settled": self.is_settled, "here": here, **summary(self.core, self.pids)}

    def listing(self) -> list[Mapping[str, Any]]:
        """What an operator sees of the hub's children, in plain values."""
        return listing(self.core, self.pids)

    def tree(self) -> ActorInfo:
        """What runs here, as a tree."""
        return tree(self, self._wires._system)

    def wanted(self, child: str) -> bool:
        """Whether a child of this id is wanted, as this node knows."""
        return child in self.core.wants

    async def locate(self, child: str, after: Pid | None, back: Callable[[], bool] | None = None) -> Pid:
        """Wait until a child that is wanted runs somewhere (else than at ``after``, which has ended, until it is ``back``).

        Raises `NoSuchActor` when it is not wanted, or parked; `NoQuorum` where nothing may be placed; `HubClosed`.
        """
        with self.watching([child]) as watch:
            while True:
                if self.closed or self.core.left:
                    msg = f"hub {self.hub_id!r} is closed on this node"
                    raise HubClosed(msg) from self.crash
                if child not in self.core.wants:
                    msg = f"hub {self.hub_id!r} has no child {child!r}"
                    raise NoSuchActor(msg)
                pid = self.running(child)
                if pid is not None and (pid != after or (back is not None and back())):
                    return pid
                for node, run in sorted(self.core.runs.get(child, {}).items()):
                    if run.role == "active" and run.phase == "failed" and node in self.core.alive:
                        msg = f"child {child!r} of hub {self.hub_id!r} is parked after it failed: {run.error}"
                        raise NoSuchActor(msg)
                check_allowed(self)
                await watch.next()

    @contextmanager
    def watching(self, ids: Iterable[str] = (), *, other: bool = False) -> Iterator[Watch]:
        """Watch these children while the block is open; with ``other``, everything else that comes in, too."""
        watch = Watch(frozenset(ids))
        for child in watch.ids:
            self._watches.setdefault(child, set()).add(watch)
        if other:
            self._others.add(watch)
        try:
            yield watch
        finally:
            self._others.discard(watch)
            for child in watch.ids:
                watches = self._watches[child]
                watches.discard(watch)
                if not watches:
                    del self._watches[child]

    def close(self) -> None:
        """Wake everybody: nothing more will come."""
        self.closed = True
        self._bulk.end()
        self.gathering.close()
        self.rouse()

    def rouse(self) -> None:
        """Let all who wait look again: for what they wait for may never come now."""
        for watches in [*self._watches.values(), self._others]:
            for watch in watches:
                watch.touch()
