"""A few cores and perfect links between them: what is sent arrives at once, and only what a test says goes wrong."""

from __future__ import annotations

from collections import deque
from typing import Any

from hubkit.cluster.core import Core
from hubkit.cluster.effects import Effect, Freeze, Offer, Publish, Refuse, Send, Start, Stop
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Run, Want
from hubkit.cluster.sync import Sync, from_wire, to_wire
from hubkit.events import Event
from hubkit.pids import NodeId, node_id
from hubkit.strategies import ColdSwap, ConsistentHashing, Divergence, PubSub, Singularity


def strategies(**others: Any) -> Strategies:
    """The default strategies, or others in their place."""
    fields: dict[str, Any] = {
        "distribution": ConsistentHashing(),
        "redundancy": Singularity(),
        "migration": ColdSwap(),
        "synchronization": PubSub(),
        "partition_tolerance": Divergence(),
    }
    return Strategies(**(fields | others))


class Member:
    """One core and its shell. Starts and stops are performed at once, unless ``slow``."""

    def __init__(self, crowd: Crowd, node: NodeId, **options: Any) -> None:
        self.crowd = crowd
        self.id = node
        self.liveness = Liveness(node, crowd.now)
        self.slow = False
        self.serial = 0
        self.starts: list[Start] = []
        self.stops: list[Stop] = []
        self.refusals: list[Refuse] = []
        self.events: list[Event] = []
        self.sent: list[tuple[NodeId, Sync]] = []
        self.orders: list[Effect] = []  # about copies that stand by
        self.reluctant = False  # no state is taken, offered or accepted
        fields: dict[str, Any] = {"actors": ("A",), "strategies": strategies(), "seeds": bool(crowd.members)}
        fields |= options
        self.core = Core(node, hub="h", liveness=self.liveness, now=crowd.now, **fields)

    def perform(self) -> bool:
        """Do what the core wants; whether there was anything."""
        if self.core.backlog:
            self.core.proceed(self.crowd.now)
        effects = self.core.take(send=not self.core.backlog)
        for effect in effects:
            if isinstance(effect, Send):
                self.sent.append((effect.peer, effect.sync))
                self.crowd.post(self.id, effect.peer, effect.sync)
            elif isinstance(effect, Start):
                self.starts.append(effect)
                if not self.slow:
                    self.serial += 1
                    self.core.started(effect.child, effect.term, self.serial, self.crowd.now)
            elif isinstance(effect, Stop):
                self.stops.append(effect)
                if not self.slow:
                    self.core.stopped(effect.child, self.crowd.now)
            elif isinstance(effect, Refuse):
                self.refusals.append(effect)
            elif isinstance(effect, Publish):
                self.events.append(effect.event)
            else:
                self.hand_over(effect)
        return bool(effects) or self.core.backlog > 0

    def hand_over(self, effect: Effect) -> None:
        """What concerns copies that stand by: states are taken and accepted at once, unless ``reluctant``."""
        self.orders.append(effect)
        if self.reluctant:
            return
        if isinstance(effect, Freeze):
            self.core.froze(effect.child, effect.ticket, None, self.crowd.now)
        elif isinstance(effect, Offer):
            other = next((m for m in self.crowd.members.values() if m.id == effect.peer), None)
            instance = None if other is None else other.core._rules.instances.get(effect.child)
            if other is not None and instance is not None and not other.reluctant:
                other.core.accepted(effect.child, instance.born, effect.ticket, self.crowd.now)

    def run_of(self, child: str) -> Run | None:
        """What this node says about a child."""
        return self.core.runs.get(child, {}).get(self.id)


class Crowd:
    """Named members, all linked, all settled. ``now`` moves only by `tick`."""

    def __init__(self, *names: str, **options: Any) -> None:
        self.now = 100.0
        self.members: dict[str, Member] = {}
        self.boots: dict[str, int] = {}
        self.links: dict[tuple[NodeId, NodeId], deque[Sync]] = {}
        self.held: set[tuple[str, str]] = set()
        for name in names:
            self.add(name, **options)
        if names:
            self.tick(3)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def core(self, name: str) -> Core:
        return self.members[name].core

    def add(self, name: str, *, linked: bool = True, **options: Any) -> Member:
        """A new process; it is linked to all others."""
        self.boots[name] = self.boots.get(name, 0) + 1
        member = Member(self, node_id(name, self.boots[name]), **options)
        others = list(self.members)
        self.members[name] = member
        if linked:
            for other in others:
                self.link(name, other)
            self.settle()
        return member

    def link(self, a: str, b: str) -> None:
        one, two = self.members[a], self.members[b]
        self.links[one.id, two.id], self.links[two.id, one.id] = deque(), deque()
        for here, there in ((one, two), (two, one)):
            here.liveness.linked(there.id, self.now)
            here.core.link_up(there.id, self.now)

    def unlink(self, a: str, b: str) -> None:
        one, two = self.members[a], self.members[b]
        del self.links[one.id, two.id], self.links[two.id, one.id]
        one.core.link_down(two.id, self.now)
        two.core.link_down(one.id, self.now)

    def kill(self, name: str, *, proof: bool = True) -> None:
        """The process is gone, with proof of it (its port is refused) or without."""
        member = self.members.pop(name)
        for pair in [pair for pair in self.links if member.id in pair]:
            del self.links[pair]
        for other in self.members.values():
            other.core.link_down(member.id, self.now)
            if proof:
                other.liveness.refuse(member.id)
            other.core.touch(self.now)
        self.settle()

    def post(self, sender: NodeId, target: NodeId, sync: Sync) -> None:
        if (sender, target) in self.links:
            self.links[sender, target].append(from_wire(to_wire(sync)))

    def settle(self) -> None:
        """Perform and deliver until nothing is left to do, except on links that are held."""
        by_id = {member.id: member for member in self.members.values()}
        names = {member.id: name for name, member in self.members.items()}
        busy = True
        while busy:
            busy = False
            for member in list(self.members.values()):
                busy = member.perform() or busy
            for (sender, target), queue in list(self.links.items()):
                if (names[sender], names[target]) not in self.held and queue:
                    busy = True
                    by_id[target].core.receive(sender, queue.popleft(), self.now)
                    by_id[target].perform()

    def tick(self, beats: int = 1) -> None:
        """Let time pass, a beat at a time; who is linked, and not held, is heard."""
        names = {member.id: name for name, member in self.members.items()}
        for _ in range(beats):
            self.now += 1.0
            vectors = {member.id: member.liveness.beat(self.now) for member in self.members.values()}
            for sender, target in self.links:
                if (names[sender], names[target]) not in self.held:
                    self.members[names[target]].liveness.heard(vectors[sender], self.now, sender)
            for member in self.members.values():
                member.core.tick(self.now)
            self.settle()

    # -- children -----------------------------------------------------------------------------------------------------

    def want(self, name: str, *children: str, body: bytes = b"", start: str = "A") -> None:
        self.core(name).write_wants({child: Want(start, body) for child in children}, self.now)
        self.settle()

    def remove(self, name: str, *children: str) -> None:
        self.core(name).write_wants(dict.fromkeys(children), self.now)
        self.settle()

    def where(self, child: str) -> dict[str, str]:
        """Which nodes have an instance of a child, and in which phase their rows say it is."""
        return {
            name: (run.phase if (run := member.run_of(child)) else "no row")
            for name, member in self.members.items()
            if child in member.core._rules.instances
        }

    def child_of(self, name: str, among: int = 1000) -> str:
        """The id of a child that belongs on this node while all members are ready."""
        from hubkit.strategies import ChildView, NodeView

        nodes = [NodeView(other, 0.0, ("A",)) for other in sorted(self.members)]
        for i in range(among):
            child = f"c{i}"
            if ConsistentHashing().place(ChildView(child, "A", None, ()), nodes, 1)[0] == name:
                return child
        raise AssertionError(name)
