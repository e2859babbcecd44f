"""Two members that cannot reach each other, and a third that reaches both: everything goes on, over the third."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.sim.actors import Counter

import hubkit
from hubkit.errors import NodeDown
from hubkit.testing import Simulation, simulated


async def boot(sim: Simulation, names: str = "abc", children: int = 12, **options: Any) -> dict[str, hubkit.Hub]:
    for name in names:
        sim.start_soon("hub", node=name, **options)
    await sim.settled(within=30)
    hubs = {name: sim.hub(name) for name in names}
    await hubs[names[0]].start_children([hubkit.child(f"c{n:02}", Counter) for n in range(children)])
    await sim.settled(within=30)
    return hubs


def one_on(hub: hubkit.Hub, node: str) -> str:
    return next(child for child, info in sorted(hub.children().items()) if info.pids[0].node == node)


def pids(hub: hubkit.Hub) -> dict[str, Any]:
    return {child: info.pids for child, info in hub.children().items()}


@simulated(seeds=5)
async def test_calls_casts_and_starts_cross_where_there_is_no_link(sim: Simulation) -> None:
    hubs = await boot(sim)
    before = pids(hubs["a"])
    there, back = one_on(hubs["a"], "b"), one_on(hubs["a"], "a")
    sim.partition({"a"}, {"b"})
    await sim.sleep(12)
    assert "b" not in hubs["a"].statistics().links
    rows = {row["peer"]: row for row in hubs["a"].node._roads()}
    assert (rows["b"]["state"], rows["b"]["over"], rows["c"]["state"]) == ("detour", "c", "up")
    assert pids(hubs["a"]) == pids(hubs["b"]) == pids(hubs["c"]) == before  # who lives is not taken for dead
    with trio.fail_after(1):
        assert await hubs["a"].ref(there, Counter).call(Counter.add) == 1
        await hubs["a"].ref(there, Counter).cast(Counter.add)
        assert await hubs["a"].ref(there, Counter).call(Counter.add) == 3
        assert await hubs["b"].ref(back, Counter).call(Counter.add) == 1
    await hubs["a"].start_children([hubkit.child(f"d{n}", Counter) for n in range(9)])
    await hubs["b"].stop_child(there)
    await sim.settled(within=30)
    assert pids(hubs["a"]) == pids(hubs["b"]) == pids(hubs["c"])
    assert there not in pids(hubs["a"])
    sim.heal()
    await sim.sleep(12)
    assert "b" in hubs["a"].statistics().links
    await sim.settled(within=30)
    sim.check()


@simulated(seeds=5)
async def test_a_call_that_waits_for_the_way_is_carried_by_the_detour(sim: Simulation) -> None:
    """It is made while the old link is silent, or gone and no detour is open yet."""
    hubs = await boot(sim)
    there = one_on(hubs["a"], "b")
    sim.partition({"a"}, {"b"})
    sim.break_links("a", "b")
    await sim.sleep(0.5)
    with trio.fail_after(8):
        assert await hubs["a"].ref(there, Counter).call(Counter.add) == 1
    sim.heal()
    await sim.settled(within=30)


@simulated(seeds=3)
async def test_a_detour_opens_over_slow_links(sim: Simulation) -> None:
    """There and back over the third takes three beats."""
    hubs = await boot(sim)
    there = one_on(hubs["a"], "b")
    for name in "ab":
        sim.link(name, "c", latency=0.75)
    sim.partition({"a"}, {"b"})
    await sim.sleep(20)
    with trio.fail_after(4):
        assert await hubs["a"].ref(there, Counter).call(Counter.add) == 1
    sim.heal()
    await sim.settled(within=60)


@simulated(seeds=5)
async def test_a_way_in_one_direction_is_enough(sim: Simulation) -> None:
    hubs = await boot(sim)
    there = one_on(hubs["a"], "b")
    sim.partition({"a"}, {"b"}, one_way=True)
    await sim.sleep(15)
    with trio.fail_after(1):
        assert await hubs["a"].ref(there, Counter).call(Counter.add) == 1
    sim.heal()
    await sim.settled(within=30)


@simulated(seeds=5)
async def test_when_the_one_between_dies_another_takes_its_place(sim: Simulation) -> None:
    hubs = await boot(sim, "abcd")
    there = one_on(hubs["a"], "b")
    sim.partition({"a"}, {"b"})
    await sim.sleep(12)
    assert await hubs["a"].ref(there, Counter).call(Counter.add) == 1
    between = hubs["a"].node._detours
    assert between is not None
    (detour,) = between._detours.values()
    sim.crash(detour.between.partition("#")[0])
    await sim.sleep(15)
    with trio.fail_after(1):
        await hubs["a"].ref(there, Counter).call(Counter.add)
    sim.heal()
    await sim.settled(within=30)


@simulated(seeds=3)
async def test_who_dies_behind_a_detour_is_taken_for_dead_and_its_children_come_back(sim: Simulation) -> None:
    hubs = await boot(sim)
    there = one_on(hubs["a"], "b")
    sim.partition({"a"}, {"b"})
    await sim.sleep(12)
    ended: list[bool] = []

    async def call() -> None:
        try:
            await hubs["a"].ref(there, Counter).call(Counter.linger, "token", 60.0)
        except NodeDown as error:
            ended.append(error.maybe_executed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await sim.sleep(1)
        sim.crash("b")
    assert ended == [True]
    await sim.settled(within=30)
    assert hubs["a"].children()[there].pids[0].node in "ac"


@simulated(seeds=3)
async def test_who_leaves_behind_a_detour_says_so_itself(sim: Simulation) -> None:
    hubs = await boot(sim)
    sim.partition({"a"}, {"b"})
    await sim.sleep(12)
    await hubs["b"].stop()
    await sim.sleep(1)
    assert hubs["a"].nodes() == ("c",)
    await sim.settled(within=30)
    assert {info.pids[0].node for info in hubs["a"].children().values()} == {"a", "c"}


@pytest.mark.parametrize("minutes", [5])
@simulated(seeds=3)
async def test_links_that_come_and_go_do_not_disturb_the_map(sim: Simulation, minutes: int) -> None:
    hubs = await boot(sim)
    before = pids(hubs["a"])
    for n in range(minutes * 4):
        cut = sim.partition({"a"}, {"b"})
        await sim.sleep(3 + n % 9)
        cut.heal()
        await sim.sleep(n % 5)
    await sim.settled(within=30)
    assert pids(hubs["a"]) == before
    sim.check()
