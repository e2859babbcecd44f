"""One hub on one node, behind one door: inputs in, effects out.

Law of this room: every input is recorded, and then everything that it concerns is brought in line; what is to be done about
it is handed out by `Core.take`, and nothing happens in between. The core never acts, waits or reads a clock; the same
inputs at the same times give the same effects.

What is sent is composed by `Core.take`, too: so a shell that gives many inputs and takes once sends one message to each
peer, however many rows were written.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager

from hubkit.cluster.affinity import Labels
from hubkit.cluster.balance import Balance
from hubkit.cluster.converge import Rules
from hubkit.cluster.copies import Copies
from hubkit.cluster.door import Door
from hubkit.cluster.doubts import Doubts, trusted
from hubkit.cluster.effects import Effect, Publish, Refuse
from hubkit.cluster.electorate import Electorate
from hubkit.cluster.explain import Explanation, explain
from hubkit.cluster.imagining import imagined
from hubkit.cluster.instances import Instances, Together
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.members import Members
from hubkit.cluster.membership import Membership, Moved
from hubkit.cluster.placement import Placement
from hubkit.cluster.policy import Strategies
from hubkit.cluster.quorum import Quorum
from hubkit.cluster.reconciler import Reconciler
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import NodeRow, Run, RunKey, Want
from hubkit.cluster.stamps import HybridClock, Stamp
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Sync
from hubkit.errors import ConfigurationError
from hubkit.events import PlacementChanged, PlacementChanging, QuorumLost, QuorumRegained, SettledChanged
from hubkit.pids import NodeId, Pid, name_of
from hubkit.specs import check_id

__all__ = ["Core"]


class Core(Instances):
    """The part of one node in one hub.

    ``wall_offset``: what to add to the monotonic ``now`` of every input to get wall-clock seconds. ``seeds``: whether there
    are others to be met before acting. ``patience``: the longest wait, in seconds, for acknowledgements of a claim (half a
    beat). ``drift_max``: stamps further ahead of my clock than this many seconds are refused. ``forget_after``: seconds
    of silence after which a member is forgotten.

    The shell reads, and never writes, the views ``wants``, ``runs``, ``nodes``, ``alive``, ``ready`` and ``links``; it may
    clear ``changed``, the children about which something has changed. Of the ``quorum`` it asks what `Quorum` answers.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        hub: str,
        liveness: Liveness,
        now: float,
        strategies: Strategies,
        seeds: bool,
        wall_offset: float = 0.0,
        address: str | None = None,
        actors: tuple[str, ...] = (),
        patience: float | None = None,
        drift_max: float = 300.0,
        forget_after: float = 3600.0,
        weight: float = 1.0,
        labels: Labels = (),
    ) -> None:
        self.id = node
        self.hub = hub
        self._liveness = liveness
        doubts = Doubts()
        self._strategies = strategies = trusted(strategies, doubts)
        self._forget_after = forget_after
        self._received: list[tuple[NodeId, Sync]] = []  # since things were last brought in line
        self._published_settled = False
        self._moved: tuple[tuple[str, ...], Moved] | None = None  # the ready nodes that are being acted on
        self._together = False
        self._clock = HybridClock(node, wall_offset)
        self._store = Store(self._clock)
        self._ledger = Ledger(self._store)
        self._members = Members(node, hub, liveness)
        self._placement = Placement(strategies.distribution, strategies.redundancy, doubts)
        self._replication = Replication(node, self._store, strategies.synchronization)
        self._door = Door(self._store, self._ledger, self._replication, drift_max)
        self.quorum: Quorum = Quorum(
            node,
            strategies.partition_tolerance,
            self._store,
            self._ledger,
            self._members,
            self._replication,
            liveness,
            now,
        )
        self._replication.holds = lambda key: key[0] == "node" or key[1] in self._rules.instances
        self._copies = Copies(node, self._members, self._placement, strategies)
        self._rules = Rules(
            node, self._ledger, self._members, self._placement, liveness, self._replication, self._copies, self.quorum
        )
        self._balance = Balance(node, strategies.distribution, self._ledger, self._members, self._placement)
        patience = math.inf if self.quorum.strict else liveness.beat_interval / 2 if patience is None else patience
        self._reconciler = Reconciler(
            node, hub, self._store, self._ledger, self._members, self._placement, self._replication, self._rules,
            patience, self._balance,
        )  # fmt: skip
        self._electorate = Electorate(node, self._store, self._ledger, self._members, self.quorum, self._reconciler)
        self._membership = Membership(
            node, hub, self._store, self._ledger, self._members, self._placement, self._replication, liveness,
            self.quorum, seeds=seeds, now=now, address=address, actors=tuple(actors),
            forget_after=forget_after, weight=weight, labels=labels, found=self._door.found,
        )  # fmt: skip
        self._published_allowed = not self.quorum.strict
        self._reconcile(now)

    # -- inputs: links -------------------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId, now: float) -> None:
        """A link to this peer has been made; it begins a new life, whatever there was before."""
        if not self.left:
            self._door.refused.discard(peer)
            self._replication.up(peer, now)
            self._ledger.dirty |= self._copies.linked(peer, self._rules.instances)
            self._reconcile(now)

    def link_down(self, peer: NodeId, now: float) -> None:
        """The link to this peer has ended."""
        self._replication.down(peer)
        self._reconcile(now)

    def receive(self, peer: NodeId, sync: Sync, now: float) -> None:
        """A message of a linked peer. One that is not to be believed is refused, and so is what follows on its link."""
        if self.left or peer not in self._replication.links or peer in self._door.refused:
            return
        self._liveness.spoke(peer, now)
        found = self._door.let_in(peer, sync, now)
        if isinstance(found, Refuse):
            self._reconciler.effects.append(found)
            return
        believed = self._membership.defend(peer, found, now)
        self.quorum.receive(peer, believed, now)
        if self._replication.startled:
            self._membership.restore(now)
        if self._door.found:
            self._reconciler.effects.extend(self._door.complaints(now))
        if believed.rows:
            self._received.append((peer, believed))
        self._reconcile(now)

    def tick(self, now: float) -> None:
        """Once a beat: look at time, pass on what others may have missed, forget what all know."""
        if not self.left:
            self._membership.tidy()
            self._replication.beat(self._ledger.nodes.keys(), now, self._forget_after)
            self._membership.beat(now)
            self._electorate.beat(now)
        self.touch(now)

    def touch(self, now: float) -> None:
        """Liveness may have changed, or a `deadline` has passed: look again."""
        self._ledger.dirty |= self._reconciler.unsure
        self._reconcile(now)

    def proceed(self, now: float) -> None:
        """Look at the next of those children for which there was no time."""
        self._reconcile(now, further=True)

    def seeds_exhausted(self, now: float) -> None:
        """All seeds have been tried, and nobody was there: wait for them for one more beat only."""
        self._membership.seeds_exhausted(now)
        self._reconcile(now)

    # -- inputs: wishes ------------------------------------------------------------------------------------------------

    def write_wants(self, changes: Mapping[str, Want | None], now: float) -> dict[str, Stamp]:
        """Create or update children, or with `None` remove them. The stamps of the rows written.

        A want written is a new revision (`Want.rev` is set), even if it is equal to what was there; removing a child that
        is not wanted writes nothing.
        """
        stamps = {}
        pinned = self._balance.for_new({child: want for child, want in changes.items() if want is not None})
        for child in changes:
            want = pinned.get(child)
            if want is not None:
                stamps[child] = stamp = self._store.stamp(("want", child), now)
                revised = Want(want.start, want.body, want.tag, want.pins, stamp, want.placement)
                self._store.write(("want", check_id(child)), revised, stamp)
            elif self._store.get(("want", child)) is not None:
                stamps[child] = self._store.put(("want", child), None, now)
        self._reconcile(now)
        return stamps

    def pin(self, child: str, names: tuple[str, ...], now: float) -> Stamp:
        """Prefer these nodes for a child, best first; with ``()`` let it go where it belongs by itself."""
        want = self._store.get(("want", child))
        if not isinstance(want, Want):
            msg = f"no child {child!r} in hub {self.hub!r}"
            raise ConfigurationError(msg)
        pinned = Want(want.start, want.body, want.tag, tuple(names), want.rev, want.placement)
        stamp = self._store.put(("want", child), pinned, now)
        self._reconcile(now)
        return stamp

    # -- inputs: membership --------------------------------------------------------------------------------------------

    def leave(self, now: float) -> None:
        """Begin to leave: everything here goes to its heirs, and `left` becomes true when all is done and known."""
        self._membership.leaving = self._rules.leaving = True
        self._ledger.dirty |= self._rules.instances.keys() | self._ledger.stakes.get(self.id, {}).keys()
        self._reconcile(now)

    def depart(self, now: float) -> None:
        """Leave at once: the shell has stopped everything here."""
        if self.left:
            return
        self._rules.instances.clear()
        self._rules.announced.clear()
        self._copies.kept.clear()
        self._membership.depart(now)
        self._reconcile(now)

    def forget(self, name: str, now: float) -> None:
        """A silent or dead node will not come back. Raises `ConfigurationError` if it is unknown, or in sight."""
        boots = sorted(node for node, row in self._ledger.nodes.items() if row.name == name)
        if not boots:
            msg = f"hub {self.hub!r} has no node {name!r}; it knows {', '.join(sorted({r.name for r in self.nodes.values()}))}"
            raise ConfigurationError(msg)
        if any(self._liveness.alive(node, now) for node in boots):
            msg = f"node {name!r} of hub {self.hub!r} is in sight: only a node that is silent or dead can be forgotten"
            raise ConfigurationError(msg)
        for node in boots:
            self._liveness.refuse(node)
            self._store.put(("node", node), None, now)
        self._reconcile(now)

    def resize(self, size: int, now: float) -> None:
        """Set the size of the quorum, for the whole hub."""
        settings = self._ledger.settings
        settings.set_size(((settings.size or (0, 0))[0] + 1, size), self._store, now)
        self._reconcile(now)

    def set_actors(self, names: tuple[str, ...], now: float) -> None:
        """The wire names that this node can start have changed."""
        self._membership.tell(actors=tuple(names))
        self._reconcile(now)

    def set_load(self, load: float, now: float) -> None:
        """This node is so busy now."""
        self._membership.tell(load=load)
        self._reconcile(now)

    def set_address(self, address: str | None, now: float) -> None:
        """The address under which others can reach this node has changed."""
        self._membership.tell(address=address)
        self._reconcile(now)

    def together(self, now: float) -> AbstractContextManager[None]:
        """Inputs given inside this block are brought in line at its end, all at once: many cost little more than one."""
        return Together(self, now)

    # -- outputs -------------------------------------------------------------------------------------------------------

    def take(self, *, send: bool = True) -> list[Effect]:
        """What is to be done, in order. Each effect is handed out once. Without ``send``, messages wait for the next time."""
        effects = self._reconciler.effects
        self._reconciler.effects = []
        if send:
            effects.extend(self._replication.compose())
        return effects

    @property
    def backlog(self) -> int:
        """How many more children are to be looked at than one turn has time for: `proceed`, when others had theirs."""
        return self._reconciler.backlog

    @property
    def deadline(self) -> float | None:
        """When to `touch` this core though nothing has come in and no beat is due; `None`: no need."""
        for _, end in () if self.quorum.strict else self._rules.announced.values():
            return end
        return self.quorum.deadline

    # -- views ---------------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether this node is a settled member: it has met everybody it knows of, and acts."""
        return self._membership.live

    @property
    def left(self) -> bool:
        """Whether nothing of this node remains in the hub, and its peers know it."""
        return self._membership.left

    @property
    def wants(self) -> Mapping[str, Want]:
        """Every child that is to run."""
        return self._electorate.wants

    @property
    def runs(self) -> Mapping[str, Mapping[NodeId, Run]]:
        """What the nodes do about each child."""
        return self._ledger.runs

    @property
    def nodes(self) -> Mapping[NodeId, NodeRow]:
        """All known members, in sight or not."""
        return self._ledger.nodes

    @property
    def alive(self) -> frozenset[NodeId]:
        """Members in sight, this one included."""
        return self._members.alive

    @property
    def ready(self) -> frozenset[NodeId]:
        """Members in sight that run children."""
        return self._members.ready

    @property
    def links(self) -> Collection[NodeId]:
        """Peers that this core is linked to."""
        return self._replication.links.keys()

    @property
    def changed(self) -> set[str]:
        """Children about which something has changed since the shell last cleared this."""
        return self._ledger.changed

    @property
    def unsettled(self) -> int:
        """How many children do not run, or are not parked, exactly where they belong."""
        return len(self._reconciler.unsettled)

    def unsettled_children(self) -> list[str]:
        """Their ids, sorted."""
        return sorted(self._reconciler.unsettled)

    @property
    def is_settled(self) -> bool:
        """Whether children may run here, and every one runs, or is parked, exactly where it belongs, by its current spec."""
        return self.live and not self._reconciler.unsettled and not self.backlog and self.allowed

    @property
    def allowed(self) -> bool:
        """Whether the partition strategy lets children run here, and it is agreed on who has a say in that."""
        return self._rules.allowed and self._electorate.founded

    @property
    def partitioned(self) -> bool:
        """Whether children may not run here; where they may everywhere, whether a known member is out of sight."""
        out_of_sight = len(self._members.alive) < len(self._ledger.nodes)
        return not self.allowed or (out_of_sight and not self.quorum.strict)

    def owners(self, child: str) -> tuple[NodeId, ...]:
        """The nodes where this child belongs, the one that runs it first; none if it is not wanted, or nobody can."""
        want = self._ledger.wants.get(child)
        return () if want is None else self._placement.owners(child, want)

    def tagged(self, tag: str) -> list[str]:
        """The children of this tag, sorted."""
        return sorted(self._ledger.tags.get(tag, ()))

    def imagined(self, rows: Iterable[NodeRow]) -> dict[str, tuple[str, ...]]:
        """The names of the owners of each child if these were the ready nodes."""
        return imagined(rows, self._strategies, self._ledger, self._members)

    def obstacle(self, child: str, want: Want, row: NodeRow | None = None) -> str | None:
        """Why no node in sight, ready or not, could run this child (or why this one could not); `None`: one could."""
        if row is None and self._placement.heir(child, want) is not None:  # which it is remembered for
            return None
        alive = self._members.alive
        rows = [row] if row is not None else [known for node, known in self._ledger.nodes.items() if node in alive]
        return self._placement.obstacle(child, want, rows, f"node of hub {self.hub!r}")

    def pids(self, child: str) -> tuple[Pid, ...]:
        """Where this child runs, on nodes in sight."""
        return self._ledger.registry.get(child, ())

    def held_by(self, stamp: Stamp) -> int:
        """How many members in sight, this one included, are known to have the row of this stamp, or what replaced it."""
        return self._replication.held_by(stamp, self._members.alive)

    def why(self, child: str, now: float) -> Explanation:
        """Why this child is where it is, and what is waited for."""
        self._rules.now = now
        return explain(child, self._store, self._ledger, self._members, self._placement, self._rules, now)

    # -- bringing in line ----------------------------------------------------------------------------------------------

    def _reconcile(self, now: float, *, further: bool = False) -> None:
        if self._together:
            return
        membership, reconciler, effects = self._membership, self._reconciler, self._reconciler.effects
        begun = len(effects)
        moved = membership.observe(reconciler.unsure, effects, now)
        self._rules.allowed = membership.allowed
        if moved is not None and membership.live:
            superseded, names = self._placed(), self._placement.names()
            self._moved = (names, moved)
            effects[begun:begun] = [*superseded, Publish(PlacementChanging(names, hub=self.hub))]
        reconciler.run(membership.live, now, further=further)
        while self._electorate.attend(effects, now):
            reconciler.run(membership.live, now)
        self.quorum.acted(now)
        if self._moved is not None and not reconciler.backlog:
            effects.extend(self._placed())
        if membership.leaving and not membership.left and membership.finish_leaving(bool(self._rules.instances), now):
            membership.observe(reconciler.unsure, effects, now)
        for peer, sync in self._received:
            self._warn_claimant(peer, sync)
        self._received.clear()
        if (allowed := self.allowed) != self._published_allowed:
            self._published_allowed = allowed
            effects.append(Publish((QuorumRegained if allowed else QuorumLost)(hub=self.hub)))
        settled = allowed and membership.live and not reconciler.unsettled and not reconciler.backlog
        if settled != self._published_settled:
            self._published_settled = settled
            effects.append(Publish(SettledChanged(settled, hub=self.hub)))

    def _placed(self) -> list[Effect]:
        """All children have been looked at since the ready nodes have changed, or others are ready by now: say so, once."""
        if self._moved is None:
            return []
        (names, moved), self._moved, wants = self._moved, None, self.wants
        gone = sorted(child for child, old in moved.items() if child in wants and self._heir_name(child) != old)
        return [Publish(PlacementChanged(names, tuple(gone), hub=self.hub))]

    def _warn_claimant(self, peer: NodeId, sync: Sync) -> None:
        """If it claims a child of which I know something that it may not know, tell it with the acknowledgement."""
        runs, has = self._ledger.runs, self._replication.has
        for key, row in sync.rows.items():
            if not isinstance(row.value, Run) or row.value.role != "claiming":
                continue
            others: list[RunKey] = [("run", key[1], node) for node in runs.get(key[1], ()) if node != peer]
            self._replication.tell(peer, [other for other in others if not has(peer, other)])

    def _heir_name(self, child: str) -> str | None:
        return (heir := self._placement.heir(child, self._ledger.wants[child])) and name_of(heir)
