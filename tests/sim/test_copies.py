"""Whole hubs whose children are moved hot, and replicated: what was acknowledged is never lost, and never applied twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio
from hypothesis import given
from tests.sim.test_plans import examples, seeds

import hubkit
from hubkit.errors import HubClosed, NoSuchActor
from hubkit.events import ChildMoved, MoveFailed, RoleChanged
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import FaultPlan, Hold, Leave, Simulation, no_acked_message_lost, simulated
from hubkit.testing.faults import Fault
from hubkit.testing.strategies import fault_plans

COUNT = 12


class Ledger(hubkit.Actor):
    """Counts, and carries its count along."""

    def __init__(self) -> None:
        self.value = 0
        self.roles: list[str] = []

    async def add(self) -> int:
        self.value += 1
        return self.value

    async def keep(self) -> int:
        self.value += 1
        await self.context.checkpoint()
        return self.value

    async def about(self) -> tuple[int, list[str], str, str]:
        return self.value, self.roles, self.context.role, self.context.start_reason

    async def on_role(self, role: str) -> None:
        self.roles.append(role)

    def handover_state(self) -> Any:
        return self.value

    def accept_handover(self, state: Any) -> Any:
        self.value = state

    def merge_handover(self, state: Any) -> None:
        self.value += state


class Mute(Ledger):
    """Has a state that cannot travel, for a while."""

    open = False

    def handover_state(self) -> Any:
        return self.value if Mute.open else object()


class Deaf(Ledger):
    """Accepts no state, for a while."""

    open = False

    def accept_handover(self, state: Any) -> None:
        if not Deaf.open:
            raise ValueError("not now")
        self.value = state


def patient(plan: FaultPlan) -> FaultPlan:
    """Whoever leaves has the time for it: a short one ends with a kill. And no link is held until it breaks."""
    return replace(plan, faults=tuple(map(_patient, plan.faults)))


def _patient(fault: Fault) -> Fault:
    if isinstance(fault, Leave) and fault.until is not None and fault.until - fault.at < 12:
        return replace(fault, until=None)
    if isinstance(fault, Hold) and (fault.until is None or fault.until - fault.at > 2):
        return replace(fault, until=fault.at + 2)
    return fault


class Traffic:
    """Clients on all nodes that add to all children, and what they were told."""

    def __init__(self, sim: Simulation, clients: int = 6) -> None:
        self.sim, self.clients = sim, clients
        self.told: dict[str, int] = {f"c{n}": 0 for n in range(COUNT)}
        self.pause = 0.0
        self.over = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(self.clients):
                nursery.start_soon(self.client, number)

    async def client(self, number: int) -> None:
        sim, turn = self.sim, number
        while not self.over:
            turn += 1
            child = f"c{turn * 5 % COUNT}"
            names = [name for name in sim.nodes if sim.alive(name)]
            hub = sim.hub(names[turn % len(names)])
            began = sim.now
            try:
                ref = hub.ref(child, Ledger)
            except (HubClosed, NoSuchActor):  # that node has left, or is not there yet
                await sim.sleep(0.04)
                continue
            try:
                await ref.call(Ledger.add)
            except HubClosed:
                pass  # it has left meanwhile: nothing was sent
            else:
                self.told[child] += 1
                self.pause = max(self.pause, sim.now - began)
            await sim.sleep(0.04)


async def values(hub: hubkit.Hub, start: type[Ledger] = Ledger) -> dict[str, int]:
    """What all children say."""
    return {
        child: (await hub.ref(child, start).call(start.about))[0]
        for child in sorted(hub.children(), key=lambda c: int(c[1:]))
    }


@simulated(seeds=4, checkers=[no_acked_message_lost()])
async def test_no_increment_is_lost_or_doubled_while_nodes_join_and_leave(sim: Simulation) -> None:
    hot = {"migration": HotSwap()}
    a, _ = [await sim.start_hub("shop", node=name, **hot) for name in "ab"]
    await a.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    traffic = Traffic(sim)
    moved = 0

    def count(_: ChildMoved) -> None:
        nonlocal moved
        moved += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic.run)
        await sim.sleep(1)
        c = await sim.start_hub("shop", node="c", **hot)
        c.on(ChildMoved, count)
        await sim.settled(within=20)
        await sim.sleep(1)
        await sim.stop("b")
        await sim.settled(within=20)
        await sim.sleep(1)
        traffic.over = True
    assert moved > 0
    assert await values(a) == traffic.told
    assert traffic.pause < 0.5
    assert sim.overlap == 0
    sim.check()


@examples(5)
@given(
    plan=fault_plans(4, 25.0, ("leave", "join", "slow"), max_faults=6, quiet=5.0).map(patient),
    seed=seeds,
)
def test_no_increment_is_lost_in_any_plan_of_joins_and_leaves(plan: FaultPlan, seed: int) -> None:
    async def main(sim: Simulation) -> None:
        for name in plan.founders:
            sim.start_soon("shop", node=name, migration=HotSwap())
        await sim.settled(within=30)
        first = sim.hub(plan.founders[0])
        await first.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
        traffic = Traffic(sim, clients=3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic.run)
            await sim.play(plan)
            traffic.over = True
        await sim.settled(within=60)
        here = sim.hub(next(name for name in sim.nodes if sim.alive(name)))
        assert await values(here) == traffic.told
        sim.check()

    Simulation.run(main, seed, checkers=[no_acked_message_lost()])


@simulated(seeds=3, checkers=[no_acked_message_lost()])
async def test_a_checkpoint_survives_the_death_of_the_active_node(sim: Simulation) -> None:
    hubs = [await sim.start_hub("shop", node=name, redundancy=Replication(2)) for name in "abc"]
    await hubs[0].start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    await sim.settled(within=10)
    assert all(len(hubs[0].pids(f"c{n}")) == 2 for n in range(COUNT))
    assert all(len({pid.node for pid in hubs[0].pids(f"c{n}")}) == 2 for n in range(COUNT))
    for n in range(COUNT):
        for _ in range(n):
            await hubs[1].ref(f"c{n}", Ledger).call(Ledger.keep)
    sim.crash("b")
    await sim.settled(within=20)
    assert await values(hubs[0]) == {f"c{n}": n for n in range(COUNT)}
    sim.restart("b")
    await sim.settled(within=20)
    assert await values(hubs[0]) == {f"c{n}": n for n in range(COUNT)}
    sim.crash("a")
    await sim.settled(within=20)
    assert await values(hubs[2]) == {f"c{n}": n for n in range(COUNT)}
    sim.check()


@examples(6)
@given(
    plan=fault_plans(4, 30.0, ("crash", "restart", "leave", "pause"), max_faults=6, quiet=5.0, survivors=2), seed=seeds
)
def test_no_checkpoint_is_lost_while_two_nodes_stay(plan: FaultPlan, seed: int) -> None:
    """Four copies of each child; two nodes, whichever, live through the plan: one of them has been told."""

    async def main(sim: Simulation) -> None:
        for name in plan.founders:
            sim.start_soon("shop", node=name, redundancy=Replication("all"))
        await sim.settled(within=30)
        first = sim.hub(plan.founders[0])
        await first.start_children([hubkit.child(f"c{n}", Ledger) for n in range(4)])
        await sim.settled(within=30)
        kept: dict[str, int] = {}
        for n in range(4):
            kept[f"c{n}"] = await first.ref(f"c{n}", Ledger).call(Ledger.keep)
        await sim.play(plan)
        await sim.settled(within=60)
        here = sim.hub(next(name for name in sim.nodes if sim.alive(name)))
        found = await values(here)
        assert all(found[child] >= value for child, value in kept.items())
        sim.check()

    Simulation.run(main, seed, checkers=[no_acked_message_lost()])


@simulated(seeds=2)
async def test_every_role_is_told_and_exactly_one_is_active(sim: Simulation) -> None:
    hubs = {name: await sim.start_hub("shop", node=name, redundancy=Replication("all")) for name in "abc"}
    changes: list[tuple[str, str]] = []

    def noting(name: str) -> Callable[[RoleChanged], None]:
        return lambda event: changes.append((name, event.role))

    for name, hub in hubs.items():
        hub.on(RoleChanged, noting(name))
    await hubs["a"].start_child(hubkit.child("c", Ledger))
    await sim.settled(within=10)
    active = hubs["a"].pid("c")
    assert active is not None
    assert len(hubs["a"].pids("c")) == 3
    await sim.sleep(0.1)
    assert sorted(role for _, role in changes) == ["active", "passive", "passive"]
    assert (active.node, "active") in changes
    sim.crash(active.node)
    other = hubs["a" if active.node != "a" else "b"]
    await sim.settled(within=20)
    await sim.sleep(0.1)
    now = other.pid("c")
    assert now is not None
    assert changes[-1] == (now.node, "active")
    assert await other.ref("c", Ledger).call(Ledger.about) == (0, ["passive", "active"], "active", "failover")


@simulated(seeds=2)
async def test_where_all_are_active_the_nearest_answers(sim: Simulation) -> None:
    model = Replication("all", "active_active")
    hubs = [await sim.start_hub("shop", node=name, redundancy=model) for name in "abc"]
    await hubs[0].start_child(hubkit.child("c", Ledger))
    await sim.settled(within=10)
    for number, hub in enumerate(hubs):
        for _ in range(number):
            await hub.ref("c", Ledger).call(Ledger.add)
    assert [(await hub.ref("c", Ledger).call(Ledger.about))[0] for hub in hubs] == [0, 1, 2]
    assert {pid.node for pid in hubs[0].pids("c")} == {"a", "b", "c"}
    sim.crash("b")
    await sim.settled(within=20)
    assert [(await hub.ref("c", Ledger).call(Ledger.about))[0] for hub in (hubs[0], hubs[2])] == [0, 2]
    sim.check()


@simulated(seeds=2)
async def test_checkpoints_are_taken_by_themselves(sim: Simulation) -> None:
    hubs = [await sim.start_hub("shop", node=name, redundancy=Replication(2, checkpoint=1.0)) for name in "ab"]
    await hubs[0].start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    for n in range(COUNT):
        await hubs[0].ref(f"c{n}", Ledger).call(Ledger.add)
    await sim.sleep(3)
    sim.crash("b")
    await sim.settled(within=20)
    assert await values(hubs[0]) == {f"c{n}": 1 for n in range(COUNT)}


@simulated(seeds=2)
async def test_a_state_that_cannot_travel_keeps_the_old_copy_until_it_can(sim: Simulation) -> None:
    await _check_reluctant(sim, Mute)


@simulated(seeds=2)
async def test_a_copy_that_accepts_nothing_keeps_the_old_one_until_it_does(sim: Simulation) -> None:
    await _check_reluctant(sim, Deaf)


async def _check_reluctant(sim: Simulation, start: type[Mute | Deaf]) -> None:
    start.open = False
    a = await sim.start_hub("shop", node="a", migration=HotSwap())
    failures: list[MoveFailed] = []
    a.on(MoveFailed, failures.append)
    await a.start_children([hubkit.child(f"c{n}", start) for n in range(COUNT)])
    for n in range(COUNT):
        await a.ref(f"c{n}", start).call(start.add)
    b = await sim.start_hub("shop", node="b", migration=HotSwap())
    await sim.sleep(10)
    assert len(a.children("local")) == COUNT  # served where they were
    assert failures
    assert all(failure.target == "b" and failure.error for failure in failures)
    assert await values(b, start) == {f"c{n}": 1 for n in range(COUNT)}
    start.open = True
    await sim.settled(within=40)
    assert 0 < len(a.children("local")) < COUNT
    assert await values(b, start) == {f"c{n}": 1 for n in range(COUNT)}
    sim.check()


@simulated(seeds=4)
async def test_a_target_that_dies_in_the_middle_of_moves_loses_nothing(sim: Simulation) -> None:
    a = await sim.start_hub("shop", node="a", migration=HotSwap())
    await a.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    for n in range(COUNT):
        await a.ref(f"c{n}", Ledger).call(Ledger.add)
    for round in range(6):
        if round:
            sim.restart("b")
        else:
            sim.start_soon("shop", node="b", migration=HotSwap())
        while not any(run.role == "passive" for runs in a._driver.core.runs.values() for run in runs.values()):
            await sim.sleep(0.001)
        await sim.sleep(0.002 * round)
        if len(a.children("local")) < COUNT:
            break  # some have arrived: those would die with it
        sim.crash("b")
        await sim.settled(within=20)
        assert await values(a) == {f"c{n}": 1 for n in range(COUNT)}
    await sim.settled(within=30)
    sim.check()


@simulated(seeds=2)
async def test_the_loser_of_a_conflict_leaves_its_state_to_the_winner(sim: Simulation) -> None:
    a, b = [await sim.start_hub("shop", node=name, migration=HotSwap()) for name in "ab"]
    await a.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    await sim.settled(within=10)  # the two have met
    sim.partition({"a"}, {"b"})
    await sim.sleep(20)
    for n in range(COUNT):
        await a.ref(f"c{n}", Ledger).call(Ledger.add)
        for _ in range(2):
            await b.ref(f"c{n}", Ledger).call(Ledger.add)
    sim.heal()
    await sim.settled(within=30)
    await sim.sleep(2)
    assert await values(a) == {f"c{n}": 3 for n in range(COUNT)}


@simulated(seeds=2)
async def test_moves_keep_to_their_limits(sim: Simulation) -> None:
    hot = {"migration": HotSwap(max_moves=1)}
    a = await sim.start_hub("shop", node="a", **hot)
    await a.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    most = 0
    sim.start_soon("shop", node="b", **hot)
    while len(a.children("local")) == COUNT or not a.is_settled:
        await sim.sleep(0.0005)
        most = max(most, len(a._driver.core._copies.moves._moving))
    assert most == 1
    await sim.settled(within=10)
    assert 0 < len(a.children("local")) < COUNT


@simulated(seeds=2)
async def test_what_has_a_veto_stays_until_its_node_leaves(sim: Simulation) -> None:
    def veto(child: str, source: str, target: str) -> bool:
        return source == "a"

    hot = {"migration": HotSwap(veto=veto)}
    a = await sim.start_hub("shop", node="a", **hot)
    await a.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    b = await sim.start_hub("shop", node="b", **hot)
    await sim.sleep(5)
    assert len(a.children("local")) == COUNT
    await sim.stop("a")
    await sim.settled(within=10)
    assert len(b.children("local")) == COUNT
