"""What is told of moves, roles and conflicts: each try has one end, and each change is told once, where it happens."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any, ClassVar

import pytest
import trio
from tests.sim.actors import Counter
from tests.sim.ears import LIFE, MOVES, NODES, REGISTRY, Ears, boot, pid_of
from tests.sim.test_copies import Deaf, Ledger, Mute

import hubkit
from hubkit import events
from hubkit.strategies import Guided, HotSwap, Replication
from hubkit.testing import Simulation, simulated


@pytest.mark.parametrize("hot", [False, True])
@simulated(seeds=2)
async def test_a_move_is_told_at_its_source_and_at_its_target(sim: Simulation, hot: bool) -> None:
    ears = Ears()
    options: dict[str, Any] = {"migration": HotSwap()} if hot else {}
    hubs = await boot(sim, ears, **options)
    await hubs[0].start_child(hubkit.child("x", Ledger))
    await sim.settled(within=5)
    old = pid_of(hubs[0])
    target = next(node for node in NODES if node != old.node)
    ears.forget()
    await hubs[0].move("x", target)
    await sim.settled(within=5)
    new = pid_of(hubs[0])
    assert ears.all(*MOVES) == {
        old.node: [events.ChildMoving("x", old.node, target, hub="shop")],
        target: [events.ChildMoved("x", old.node, target, hub="shop")],
    }
    assert ears.all(*LIFE) == {
        old.node: [events.ChildStopped("x", old, "moved", hub="shop")],
        target: [
            events.ChildStarting("x", "migration", hub="shop"),
            events.ChildStarted("x", new, "migration", hub="shop"),
        ],
    }
    for node in NODES:
        told = ears.all(*REGISTRY)[node]
        assert Tally(told) == Tally(
            [events.ChildUnregistered("x", old, hub="shop"), events.ChildRegistered("x", new, hub="shop")]
        )
    assert not ears.all(events.RoleChanged)


@pytest.mark.parametrize("start", [Mute, Deaf])
@simulated(seeds=2)
async def test_each_try_of_a_move_that_fails_is_told_at_its_source(sim: Simulation, start: type[Mute | Deaf]) -> None:
    start.open = False
    ears = Ears()
    hubs = await boot(sim, ears, migration=HotSwap())
    await hubs[0].start_child(hubkit.child("x", start))
    await sim.settled(within=5)
    old = pid_of(hubs[0])
    target = next(node for node in NODES if node != old.node)
    ears.forget()
    with trio.move_on_after(10):
        await hubs[0].move("x", target)
    assert set(ears.all(*MOVES)) == {old.node}
    tries = ears.names(old.node, *MOVES)
    assert len(tries) >= 4
    assert tries[: len(tries) // 2 * 2] == ["ChildMoving", "MoveFailed"] * (len(tries) // 2)
    failed = ears.all(events.MoveFailed)[old.node]
    assert all((e.child, e.source, e.target) == ("x", old.node, target) and e.error for e in failed)
    start.open = True
    await sim.settled(within=40)
    assert ears.all(events.ChildMoved) == {target: [events.ChildMoved("x", old.node, target, hub="shop")]}
    tries = ears.names(old.node, *MOVES)
    assert tries == ["ChildMoving", "MoveFailed"] * (len(tries) // 2) + ["ChildMoving"]


@simulated(seeds=3)
async def test_a_move_whose_target_dies_is_told_to_have_failed(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, migration=HotSwap(), distribution=Guided())
    await hubs[0].start_child(hubkit.child("x", Ledger), nodes=["a"])
    await sim.settled(within=5)
    ears.forget()
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            with pytest.raises(hubkit.errors.HubkitError):
                await hubs[0].move("x", "b")

        nursery.start_soon(move)
        while not ears.all(events.ChildMoving):
            await sim.sleep(0.0005)
        sim.crash("b")
    await sim.sleep(20)
    told = ears.names("a", *MOVES)
    assert told == ["ChildMoving", "MoveFailed"] * (len(told) // 2)
    assert not ears.all(events.ChildMoved)
    assert pid_of(hubs[0]).node == "a"


class Frail(Ledger):
    """Crashes when it is told to."""

    async def fail(self) -> None:
        raise ValueError("as asked")


@hubkit.actor
async def listener(context: hubkit.Context) -> None:
    """Handles what comes, and crashes of it."""
    async for _ in context:
        raise ValueError("as asked")


@pytest.mark.parametrize("start", [Frail, listener], ids=["actor", "function"])
@simulated(seeds=2)
async def test_roles_are_told_where_a_copy_is_and_only_when_they_change(sim: Simulation, start: Any) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, redundancy=Replication(2))
    ears.forget()
    ref = await hubs[0].start_child(hubkit.ChildSpec("x", start))
    await sim.settled(within=5)
    active, passive = hubs[0].pids("x")
    assert ears.all(events.RoleChanged) == {
        active.node: [events.RoleChanged("x", "active", hub="shop")],
        passive.node: [events.RoleChanged("x", "passive", hub="shop")],
    }
    for pid in (active, passive):
        assert ears.names(pid.node, *LIFE, events.RoleChanged) == ["ChildStarting", "ChildStarted", "RoleChanged"]
    both = Tally(events.ChildRegistered("x", pid, hub="shop") for pid in (active, passive))
    assert {node: Tally(told) for node, told in ears.all(*REGISTRY).items()} == dict.fromkeys(NODES, both)
    ears.forget()
    await (ref.cast("fail") if start is Frail else ref.send("fail"))
    await sim.sleep(1)
    assert ears.names(active.node, events.ChildRestarted) == ["ChildRestarted"]
    assert not ears.all(events.RoleChanged)  # it is what it was
    ears.forget()
    sim.crash(active.node)
    await sim.settled(within=10)
    await sim.sleep(1)
    told = ears.all(events.RoleChanged)
    assert told.pop(passive.node) == [events.RoleChanged("x", "active", hub="shop")]
    third = next(node for node in NODES if node not in (active.node, passive.node))
    assert told == {third: [events.RoleChanged("x", "passive", hub="shop")]}
    assert not ears.all(events.ChildMoved, events.ChildMoving)


@simulated(seeds=3)
async def test_of_two_copies_the_loser_tells_that_the_conflict_is_over(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(10)])
    await sim.settled(within=5)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(20)
    doubled = {child: (hubs[0].pid(child), hubs[1].pid(child)) for child in hubs[0].children()}
    ears.forget()
    sim.heal()
    await sim.settled(within=10)
    told = [(node, event) for node, heard in ears.all(events.ConflictResolved).items() for event in heard]
    assert sorted(event.child for _, event in told) == sorted(doubled)
    for node, event in told:
        assert node == event.loser
        assert event.loser in {pid.node for pid in doubled[event.child] if pid is not None}
        assert event.winner != event.loser
    stopped = [
        (node, e.child)
        for node, heard in ears.all(events.ChildStopped).items()
        for e in heard
        if e.reason == "conflict"
    ]
    assert sorted(stopped) == sorted((node, event.child) for node, event in told)


@pytest.mark.parametrize("start", [Ledger, listener], ids=["actor", "function"])
@simulated(seeds=2)
async def test_two_copies_that_change_roles_each_tell_it_once(sim: Simulation, start: Any) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, redundancy=Replication(2), migration=HotSwap())
    await hubs[0].start_child(hubkit.ChildSpec("x", start))
    await sim.settled(within=5)
    active, passive = (pid.node for pid in hubs[0].pids("x"))
    ears.forget()
    await hubs[0].move("x", passive)
    await sim.settled(within=5)
    await sim.sleep(1)
    assert [pid.node for pid in hubs[0].pids("x")] == [passive, active]
    assert ears.all(events.RoleChanged) == {
        active: [events.RoleChanged("x", "passive", hub="shop")],
        passive: [events.RoleChanged("x", "active", hub="shop")],
    }
    assert ears.all(*MOVES) == {
        active: [events.ChildMoving("x", active, passive, hub="shop")],
        passive: [events.ChildMoved("x", active, passive, hub="shop")],
    }
    if start is Ledger:  # (a function cannot be called back: it ends, and stands by under a new pid)
        assert not ears.all(*REGISTRY)


@simulated(seeds=2)
async def test_of_copies_that_are_all_active_the_token_moves_and_no_role_changes(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, redundancy=Replication(2, "active_active"))
    await hubs[0].start_child(hubkit.child("x", Ledger))
    await sim.settled(within=5)
    first, second = (pid.node for pid in hubs[0].pids("x"))
    ears.forget()
    await hubs[0].move("x", second)
    await sim.settled(within=5)
    await sim.sleep(1)
    assert ears.all(*MOVES) == {
        first: [events.ChildMoving("x", first, second, hub="shop")],
        second: [events.ChildMoved("x", first, second, hub="shop")],
    }
    assert not ears.all(events.RoleChanged, *LIFE, *REGISTRY)


@simulated(seeds=3)
async def test_a_copy_that_is_called_while_it_starts_is_told_of_both_roles(sim: Simulation) -> None:
    """The active one dies before the other has started: it starts as what it was to be, and is told at once what it is."""
    ears = Ears()
    hubs = await boot(sim, ears, "ab", redundancy=Replication(2))
    SlowWhenSecond.started.clear()
    hubs[0].start_children_soon([hubkit.ChildSpec("x", SlowWhenSecond)])
    while not ears.all(events.ChildStarted) or len(SlowWhenSecond.started) < 2:
        await sim.sleep(0.01)
    active = next(iter(ears.all(events.ChildStarted)))
    passive = "b" if active == "a" else "a"
    ears.forget()
    sim.crash(active)
    await sim.sleep(10)
    await sim.settled(within=5)
    assert [e.role for e in ears.all(events.RoleChanged)[passive]] == ["passive", "active"]
    value, roles, role, _ = await sim.hub(passive).ref("x", SlowWhenSecond).call(SlowWhenSecond.about)
    assert (value, roles, role) == (0, ["passive", "active"], "active")


class SlowWhenSecond(Ledger):
    """Takes its time to start where it is not the first."""

    started: ClassVar[list[str]] = []

    async def on_start(self) -> None:
        SlowWhenSecond.started.append(self.context.node)
        if len(SlowWhenSecond.started) > 1:
            await trio.sleep(6.0)
