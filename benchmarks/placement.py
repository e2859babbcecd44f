"""How fast children find their place: 10,000 of them on 50 nodes, from scratch and after one more node has joined.

Run ``python benchmarks/placement.py``: some seconds. Everything is pure and in this process. What is measured stands beside a
yardstick in the same round: the plainest placement there is, which takes for each child the node of the greatest checksum.
Seconds are those of the processor, so that a busy machine disturbs little. Each figure is the median of its rounds; one
that misses its goal says so.

A *block* is the longest time for which one input holds up the event loop: what a core does between two turns of it.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
import zlib
from collections.abc import Callable

from hubkit.cluster.core import Core
from hubkit.cluster.effects import Start, Stop
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.placement import Placement
from hubkit.cluster.policy import Distribution, Strategies
from hubkit.cluster.rows import Key, NodeRow, Row, Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync
from hubkit.pids import node_id
from hubkit.strategies import CentralizedLoadBalancer, ColdSwap, ConsistentHashing, Divergence, PubSub, Singularity

CHILDREN, NODES, ROUNDS = 10_000, 50, 5
IDS = [f"child-{number}" for number in range(CHILDREN)]
NAMES = [f"node-{number:02}" for number in range(NODES + 1)]
ACTORS = ("app:Counter",)


def clock() -> float:
    """Seconds that the processor has worked for this process: others on the machine do not count."""
    return time.process_time()


def rows(count: int, *, weighted: bool) -> dict[str, NodeRow]:
    """So many ready nodes, by node id."""
    return {
        node_id(name, 1): NodeRow(name, None, "ready", ACTORS, weight=1.0 + number % 4 if weighted else 1.0)
        for number, name in enumerate(NAMES[:count])
    }


class Table:
    """The figures, printed as they come."""

    def __init__(self) -> None:
        self.missed = 0

    def figure(self, what: str, seconds: list[float], goal: float, yard: list[float]) -> None:
        """One figure with its goal, and its ratio to the yardstick."""
        value = statistics.median(seconds)
        ratio = statistics.median(one / other for one, other in zip(seconds, yard, strict=True))
        self.missed += value > goal
        print(
            f"{'ok    ' if value <= goal else 'MISSED'} {what:58} {value * 1000:8.1f} ms (goal <= {goal * 1000:g}; "
            f"{min(seconds) * 1000:.1f} .. {max(seconds) * 1000:.1f}; {ratio:.2f} of the plainest)"
        )


def plainest() -> float:
    """The yardstick: for each child the node of the greatest checksum."""
    keys = [name.encode() for name in NAMES[:NODES]]
    began = clock()
    for child in IDS:
        seed = zlib.crc32(child.encode())
        max(keys, key=lambda key, seed=seed: zlib.crc32(key, seed))  # type: ignore[misc]  # a default binds it now
    return clock() - began


def placed(distribution: Distribution, *, weighted: bool) -> tuple[float, float, int]:
    """Seconds to place all from scratch, and again after one node has joined; and how many have moved."""
    wants = {child: Want(ACTORS[0], b"") for child in IDS}
    placement = Placement(distribution, Singularity())
    gc.collect()
    began = clock()
    placement.update(rows(NODES, weighted=weighted))
    for child, want in wants.items():
        placement.heir(child, want)
    first = clock()
    moved = placement.update(rows(NODES + 1, weighted=weighted))
    for child in moved:
        placement.heir(child, wants[child])
    return first - began, clock() - first, len(moved)


# --- a whole core --------------------------------------------------------------------------------------------------------


class Driven:
    """A core, and how long each input has held up whoever fed it."""

    def __init__(self, name: str, distribution: Distribution, now: float) -> None:
        self.now = now
        self.blocks: list[float] = []
        self.liveness = Liveness(node_id(name, 1), now)
        strategies = Strategies(distribution, Singularity(), ColdSwap(), PubSub(), Divergence())
        self.core = Core(
            node_id(name, 1), hub="h", liveness=self.liveness, now=now, strategies=strategies, seeds=True, actors=ACTORS
        )

    def feed(self, act: Callable[[], object]) -> None:
        """One input, and what follows from it, a turn of the event loop at a time."""
        gc.collect()
        gc.disable()
        while True:
            began = clock()
            act()
            effects = self.core.take()
            self.blocks.append(clock() - began)
            for effect in effects:
                if isinstance(effect, Stop):
                    self.core.stopped(effect.child, self.now)
                elif isinstance(effect, Start):
                    self.core.started(effect.child, effect.term, 1, self.now)
            if not self.core.backlog:
                break
            act = self.proceed
        gc.enable()

    def proceed(self) -> None:
        """The next slice."""
        self.core.proceed(self.now)

    def link(self, peer: str) -> None:
        """A peer comes into sight."""
        self.liveness.linked(peer, self.now)
        self.core.link_up(peer, self.now)


def whole(wants: dict[str, Want], homes: dict[str, str], nodes: dict[str, NodeRow]) -> Sync:
    """The map of a hub that is settled, as one of its nodes sends it to a newcomer."""
    found: dict[Key, Row] = {}
    upto: dict[str, tuple[int, int]] = {}
    for number, (child, want) in enumerate(wants.items()):
        home = homes[child]
        found["want", child] = Row(Stamp(1000 + number, 0, home), want)
        found["run", child, home] = Row(
            Stamp(1000 + number, 1, home), Run(1, "active", None, want.rev, "running", number)
        )
    for node, row in nodes.items():
        found["node", node] = Row(Stamp(100_000, 0, node), row)
        upto[node] = (100_000, 0)
    return Sync(found, upto, {}, {}, "whole", False, 0)


def joined(distribution: Distribution, *, weighted: bool) -> tuple[float, float, float]:
    """On a core of a settled hub, one more node joins: all of the work, the longest block; and the newcomer's longest block."""
    nodes = rows(NODES, weighted=weighted)
    placement = Placement(distribution, Singularity())
    placement.update(nodes)
    spread = isinstance(distribution, CentralizedLoadBalancer)
    wants, homes = {}, {}
    for number, child in enumerate(IDS):
        home = NAMES[number % NODES]
        want = Want(ACTORS[0], b"x" * 50, pins=(home,) if spread else (), rev=Stamp(1, number, node_id(home, 1)))
        wants[child] = want
        heir = placement.heir(child, want)
        assert heir is not None
        homes[child] = heir
    settled = whole(wants, homes, nodes)
    member = Driven(NAMES[0], distribution, 200.0)
    peers = [node for node in nodes if node != member.core.id]
    for peer in peers:
        member.link(peer)
    member.feed(lambda: member.core.receive(peers[0], settled, member.now))
    member.now += 20.0
    for peer in peers:
        member.liveness.spoke(peer, member.now)
    member.feed(lambda: member.core.tick(member.now))
    assert member.core.live
    newcomer, row = list(rows(NODES + 1, weighted=weighted).items())[-1]
    member.link(newcomer)
    news = Sync(
        {("node", newcomer): Row(Stamp(200_000, 0, newcomer), row)}, {newcomer: (200_000, 0)}, {}, {}, "delta", False, 0
    )
    member.blocks.clear()
    member.feed(lambda: member.core.receive(newcomer, news, member.now))
    there = Driven(NAMES[NODES], distribution, 200.0)
    for peer in nodes:
        there.link(peer)
    there.feed(lambda: there.core.receive(peers[0], settled, there.now))
    received = there.blocks[:]
    there.blocks.clear()
    there.now += 20.0
    for peer in nodes:
        there.liveness.spoke(peer, there.now)
    there.feed(lambda: there.core.tick(there.now))
    assert there.core.live
    assert received
    return sum(member.blocks), max(member.blocks), max(there.blocks)


def main() -> None:
    """Measure."""
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}"
    print(f"{machine}; Python {platform.python_version()}")
    table = Table()
    for name, distribution, weighted in (
        ("hashing", ConsistentHashing(), False),
        ("hashing, weighted", ConsistentHashing(), True),
        ("balancer", CentralizedLoadBalancer(), False),
    ):
        yard, scratch, again, work, block, newcomer = [], [], [], [], [], []
        for _ in range(ROUNDS):
            yard.append(plainest())
            first, second, _ = placed(distribution, weighted=weighted)
            scratch.append(first)
            again.append(second)
            all_of_it, longest, there = joined(distribution, weighted=weighted)
            work.append(all_of_it)
            block.append(longest)
            newcomer.append(there)
        table.figure(f"{name}: 10,000 on 50 nodes from scratch", scratch, 0.15, yard)
        table.figure(f"{name}: again, after one more node has joined", again, 0.05, yard)
        table.figure(f"{name}: a core's work about that join", work, 0.05, yard)
        table.figure(f"{name}: longest block of it", block, 0.02, yard)
        table.figure(f"{name}: longest block of the newcomer, when it acts", newcomer, 0.02, yard)
    print("all goals met" if not table.missed else f"{table.missed} goals missed")


if __name__ == "__main__":
    main()
