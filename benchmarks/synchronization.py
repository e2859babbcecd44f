"""What a change costs on the wire, by strategy and number of nodes: messages and bytes, counted.

Run ``python benchmarks/synchronization.py``: half a minute. Bare cores in this process; what they send is written down as the
wire has it, and counted. Nothing is timed, so the figures are the same on every machine and in every run.

A *hop* is one turn in which all that is under way arrives, and is answered; a *beat* comes when nothing is under way. Each
change is made in quiet, and followed until quiet: until the last node has acknowledged it to the last.

"All told": hops until all nodes know. "At once": sent before the next beat. "Later": sent at the beats after it, and how many
beats there were; these messages carry no rows, only what each node has, and one stands for all changes of its beat. "Busiest
node": the most messages that one node sends in one moment (a hop or a beat), and the most bytes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import cbor2

from hubkit.cluster.core import Core
from hubkit.cluster.effects import Send, Start, Stop
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.policy import Strategies, Synchronization
from hubkit.cluster.rows import Want
from hubkit.cluster.sync import Sync, to_wire
from hubkit.pids import NodeId, node_id
from hubkit.strategies import ColdSwap, ConsistentHashing, Divergence, Gossip, PubSub, Singularity

SIZES = (5, 20, 50)
NEVER = 1e9  # no comparisons but those after a change
STRATEGIES: tuple[Synchronization, ...] = (PubSub(NEVER), Gossip(NEVER))
CHILDREN = 100
BODY = b"x" * 50


@dataclass
class Bill:
    """What has been sent."""

    messages: int = 0
    size: int = 0
    most: int = 0
    largest: int = 0
    moment: dict[NodeId, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))

    def add(self, sender: NodeId, sync: Sync) -> None:
        """One message."""
        size = len(cbor2.dumps(to_wire(sync)))
        self.messages, self.size = self.messages + 1, self.size + size
        count, total = self.moment[sender]
        self.moment[sender] = (count + 1, total + size)

    def close(self) -> None:
        """A moment is over."""
        for count, total in self.moment.values():
            self.most, self.largest = max(self.most, count), max(self.largest, total)
        self.moment.clear()


class Hub:
    """So many cores, all linked, all settled, all quiet."""

    def __init__(self, nodes: int, synchronization: Synchronization) -> None:
        self.now = 1000.0
        self.bill = Bill()
        self.cores: dict[NodeId, Core] = {}
        self.liveness: dict[NodeId, Liveness] = {}
        self.serial = 0
        self.under_way: list[tuple[NodeId, NodeId, Sync]] = []
        strategies = Strategies(ConsistentHashing(), Singularity(), ColdSwap(), synchronization, Divergence())
        names = [node_id(f"node-{number:02}", 1) for number in range(nodes)]
        for node in names:
            self.liveness[node] = Liveness(node, self.now)
            self.cores[node] = Core(
                node, hub="h", liveness=self.liveness[node], now=self.now, strategies=strategies,
                seeds=node != names[0], actors=("app:Counter",), wall_offset=1.7e9,
            )  # fmt: skip
        for node in names:
            for peer in names:
                if node != peer:
                    self.liveness[node].linked(peer, self.now)
                    self.cores[node].link_up(peer, self.now)
        self.until_quiet()
        assert all(core.is_settled and len(core.ready) == nodes for core in self.cores.values())

    def hop(self) -> bool:
        """Everything under way arrives, and what follows from it is sent; whether there was anything."""
        arriving, self.under_way = self.under_way, []
        inbox: dict[NodeId, list[tuple[NodeId, Sync]]] = defaultdict(list)
        for sender, target, sync in arriving:
            inbox[target].append((sender, sync))
        for node, core in self.cores.items():
            with core.together(self.now):
                for sender, sync in inbox[node]:
                    core.receive(sender, sync, self.now)
            self.perform(node, core)
        self.bill.close()
        return bool(self.under_way)

    def perform(self, node: NodeId, core: Core) -> None:
        """Do what the core wants; children start and stop at once, before anything is sent."""
        while effects := core.take(send=False):
            for effect in effects:
                if isinstance(effect, Start):
                    self.serial += 1
                    core.started(effect.child, effect.term, self.serial, self.now)
                elif isinstance(effect, Stop):
                    core.stopped(effect.child, self.now)
        for effect in core.take():
            assert isinstance(effect, Send)
            self.bill.add(node, effect.sync)
            self.under_way.append((node, effect.peer, effect.sync))

    def beat(self) -> None:
        """A second passes; all hear of each other."""
        self.now += 1.0
        for node, core in self.cores.items():
            for peer in self.cores:
                self.liveness[node].spoke(peer, self.now)
            core.tick(self.now)

    def until_quiet(self) -> int:
        """Beats until nothing more is said."""
        beats = quiet = 0
        while quiet < 3:
            before = self.bill.messages
            self.beat()
            while self.hop():
                pass
            quiet = quiet + 1 if self.bill.messages == before else 0
            beats += 1
        return beats - quiet

    def change(self, wants: dict[str, Want | None]) -> str:
        """Make a change on the first node, follow it until quiet, and say what it cost."""
        self.bill = Bill()
        first = next(iter(self.cores.values()))
        first.write_wants(wants, self.now)
        self.perform(first.id, first)
        self.bill.close()
        told = hops = 0
        while self.hop():
            hops += 1
            if not told and all(self.knows(core, wants) for core in self.cores.values()):
                told = hops
        told = told or hops
        once, beats = self.bill, 0
        self.bill = Bill()
        beats = self.until_quiet()
        assert all(self.knows(core, wants) for core in self.cores.values())
        later, nodes = self.bill, len(self.cores)
        return (
            f"{told:>3} | {once.messages:>6,} | {once.size / 1000:>8,.1f} | {once.size / 1000 / nodes:>6,.1f} | "
            f"{once.most:>3}, {once.largest / 1000:>6,.1f} | {later.messages:>6,} | {later.size / 1000:>7,.1f} | "
            f"{beats:>2} | {later.most:>3}, {later.largest / 1000:>5,.1f}"
        )

    def steadily(self, seconds: int) -> str:
        """A want is written every second: what that costs in a second, once it has gone on for a while."""
        first = next(iter(self.cores.values()))
        for second in range(2 * seconds):
            if second == seconds:
                self.bill = Bill()
            self.beat()
            first.write_wants({f"c{second}": Want("nobody can", BODY)}, self.now)
            while self.hop():
                pass
        bill = self.bill
        return (
            f"{bill.messages / seconds:>7,.0f} sent | {bill.size / seconds / 1000:>7,.1f} kB | "
            f"busiest node {bill.most:>3} in one moment"
        )

    def knows(self, core: Core, wants: dict[str, Want | None]) -> bool:
        """Whether this core knows of the change, and of what came of it."""
        if any((child in core.wants) != (want is not None) for child, want in wants.items()):
            return False
        return all(core.pids(child) for child, want in wants.items() if want is not None and want.start != "nobody can")


def main() -> None:
    """Count."""
    print(f"{'':44}   | all | at once                                | later, at the beats")
    print(f"{'change':44}   | told|   sent |  kB all | a node | busiest node | sent | kB all | beats | busiest node")
    for what in (
        "one want written",
        "one want removed",
        f"{CHILDREN} children started",
        f"{CHILDREN} children stopped",
    ):
        for nodes in SIZES:
            for strategy in STRATEGIES:
                hub = Hub(nodes, strategy)
                wants: dict[str, Want | None]
                if what.startswith("one"):
                    wants = {"c": Want("nobody can", BODY)}
                else:
                    wants = {f"child-{number}": Want("app:Counter", BODY) for number in range(CHILDREN)}
                if what.endswith(("removed", "stopped")):
                    hub.change(wants)
                    wants = dict.fromkeys(wants)
                print(f"{what:24} | {nodes:>2} nodes | {type(strategy).__name__:6} | {hub.change(wants)}", flush=True)
    for nodes in SIZES:
        for strategy in STRATEGIES:
            each = Hub(nodes, strategy).steadily(20)
            print(
                f"{'one want a second':24} | {nodes:>2} nodes | {type(strategy).__name__:6} | each second {each}",
                flush=True,
            )


if __name__ == "__main__":
    main()
