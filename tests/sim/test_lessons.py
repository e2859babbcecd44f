"""What simulations have taught: faults that drawn plans found in the hub, each as the smallest scenario that shows it."""

from __future__ import annotations

import pytest
import trio
from tests.sim.actors import Counter

import hubkit
from hubkit.errors import HubClosed, HubkitError, NodeDown
from hubkit.events import ConflictResolved
from hubkit.testing import Simulation, simulated


async def boot(sim: Simulation, names: str, children: int) -> dict[str, hubkit.Hub]:
    for name in names:
        sim.start_soon("hub", node=name)
    await sim.settled(within=30)
    hubs = {name: sim.hub(name) for name in names}
    await hubs[names[0]].start_children([hubkit.child(f"c{n:02}", Counter) for n in range(children)])
    await sim.settled(within=30)
    return hubs


@pytest.mark.parametrize("names", ["ab", "abc"])
@pytest.mark.parametrize("seconds", [3.9, 4.1, 4.3, 4.5])
@simulated(seeds=2)
async def test_a_call_to_a_node_that_was_out_of_sight_for_a_moment_ends(
    sim: Simulation, names: str, seconds: float
) -> None:
    """The node was taken for gone, and came back before anybody had taken over: the very same actor goes on."""
    hubs = await boot(sim, names, 12)
    there = [child for child, info in hubs["a"].children().items() if info.pids[0].node == "b"]
    ended: list[str] = []

    async def call(child: str) -> None:
        try:
            await hubs["a"].ref(child, Counter).call(Counter.add)
        except HubkitError as error:
            assert isinstance(error, NodeDown)  # noqa: PT017  # the other way for a call to end
        ended.append(child)

    async def cast(child: str) -> None:
        try:
            await hubs["a"].ref(child, Counter).cast(Counter.add)
        except HubkitError as error:
            assert isinstance(error, NodeDown)  # noqa: PT017  # likewise
        ended.append(child)

    sim.partition({"a"}, set(names) - {"a"})
    sim.break_links("a", "b")
    await sim.sleep(0.3)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for child in there:
                nursery.start_soon(call, child)
                nursery.start_soon(cast, child)
            await sim.sleep(seconds)
            sim.heal()
    assert sorted(ended) == sorted([*there, *there])


@simulated(seeds=3)
async def test_every_conflict_is_told_where_it_is_lost(sim: Simulation) -> None:
    """Also where the loser is the child's home, and starts it anew."""
    hubs = await boot(sim, "abc", 30)
    told: list[ConflictResolved] = []
    for hub in hubs.values():
        hub.on(ConflictResolved, told.append)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(20)
    doubles = {child: [run.node for run in runs] for child, runs in sim._world.running("hub").items() if len(runs) > 1}
    assert len(doubles) == 30
    sim.heal()
    await sim.settled(within=30)
    await sim.sleep(1)  # events are handed out soon
    assert sorted(event.child for event in told) == sorted(doubles)
    for event in told:
        assert event.loser in doubles[event.child]
        assert event.winner != event.loser


@pytest.mark.parametrize("silent", [False, True])
@simulated(seeds=2)
async def test_a_move_to_a_node_that_dies_ends(sim: Simulation, silent: bool) -> None:
    hubs = await boot(sim, "abc", 5)
    child = next(child for child, info in hubs["a"].children().items() if info.pids[0].node != "b")
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            with pytest.raises(NodeDown, match="went while child"), trio.fail_after(20):
                await hubs["a"].move(child, "b")

        sim.hold("a", "b")
        sim.hold("c", "b")
        nursery.start_soon(move)
        await sim.sleep(0.1)
        sim.crash("b", silent=silent)
    sim.release("a", "b")
    sim.release("c", "b")
    await sim.settled(within=30)
    assert hubs["a"].pid(child) is not None
    sim.restart("b")
    await sim.settled(within=30)
    pid = hubs["a"].pid(child)
    assert pid is not None
    assert pid.node == "b"  # the wish to have it there has stayed


@simulated(seeds=3)
async def test_a_start_on_a_node_that_has_said_farewell_says_so(sim: Simulation) -> None:
    hubs = await boot(sim, "abc", 5)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(6)
    errors: list[BaseException] = []

    async def starts() -> None:
        for number in range(100):
            try:
                await hubs["a"].start_child(hubkit.child(f"late-{number}", Counter))
            except HubkitError as error:
                errors.append(error)
                return
            await sim.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(starts)
        await sim.sleep(0.2)
        await sim.stop("a")
    assert [type(error) for error in errors] == [HubClosed]


@simulated(seeds=2)
async def test_a_hub_that_is_drained_and_stays_open_holds_nobody_up(sim: Simulation) -> None:
    hubs = await boot(sim, "abc", 30)
    await hubs["c"].drain()
    await sim.settled(within=5)
    assert (await hubs["a"].stop_children([f"c{n:02}" for n in range(10)])).status == "ok"
    await sim.settled(within=5)
    sim.check()
    await sim.stop("b")
    await sim.sleep(20)
    assert hubs["a"]._driver.core._store.tombstones() == 0  # nobody waits for the acknowledgements of one who has left
    with pytest.raises(HubClosed):
        await hubs["c"].start_child(hubkit.child("late", Counter))
