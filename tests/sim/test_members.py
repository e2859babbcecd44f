"""Nodes that come and go, at the worst moments: one named scenario each, a few seeds.

Where nobody dies and nothing is cut, no child may have two owners even for an instant.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from tests.sim.actors import Hesitant
from tests.sim.stage import BEAT, DOWN_AFTER, PATIENCE, boot, counters, each_owner, heal, registries_agree, start

import hubkit
from hubkit.errors import ConfigurationError, HubkitError
from hubkit.testing import (
    Simulation,
    balance,
    down_exactly_once,
    no_lost_child,
    registry_converges,
    simulated,
    single_owner,
)

#: Seconds in which a node that leaves has left, when all is well: handing over takes a few messages, and what others must
#: acknowledge is acknowledged with their next beat.
LEAVES = 2 * BEAT + PATIENCE
#: The same while some are silent, whose silence must show first.
LEAVES_AMONG_THE_SILENT = DOWN_AFTER + LEAVES

PARTED = (no_lost_child(within=15.0), registry_converges(within=10.0), down_exactly_once())
EXACT = (*PARTED, single_owner(0.0))


async def gone(sim: Simulation, nodes: str, within: float) -> None:
    """These nodes have left, all of them, within so many seconds."""
    deadline = sim.now + within
    while any(sim.alive(node) for node in nodes):
        assert sim.now < deadline, f"{[node for node in nodes if sim.alive(node)]} have not left within {within} s"
        await sim.sleep(0.05)


async def _check_ten_boot(sim: Simulation) -> None:
    hubs = await boot(sim, "abcdefghij", children=counters(60))
    assert len(registries_agree(sim)) == 60
    assert len(set(each_owner(hubs[0]).values())) > 5
    assert len([step for step in sim.trace.steps if step.kind == "begin"]) == 60
    sim.check(balance(4.0))


@simulated(seeds=3, network={"latency": 0.0002, "jitter": 0.0002}, checkers=EXACT)
async def test_ten_nodes_that_boot_in_one_moment_start_each_declared_child_once(sim: Simulation) -> None:
    await _check_ten_boot(sim)


@simulated(seeds=3, network={"latency": 0.08, "jitter": 0.08}, checkers=EXACT)
async def test_ten_nodes_far_from_each_other_that_boot_in_one_moment_do_so_too(sim: Simulation) -> None:
    await _check_ten_boot(sim)


@pytest.mark.parametrize("drained", [True, False])
@simulated(seeds=4, checkers=EXACT)
async def test_a_rolling_restart_of_five_nodes_loses_and_doubles_nothing(sim: Simulation, drained: bool) -> None:
    hubs = await boot(sim, "abcde")
    await start(sim, hubs[0], 60)
    home = each_owner(hubs[0])
    for node in "abcde":
        if drained:
            began = sim.now
            await sim.stop(node)
            assert sim.now - began < LEAVES
        sim.restart(node)
        await sim.sleep(sim.random.choice((0.0, 0.5, 3.0)))  # with or without waiting until it is there again
    await sim.settled(within=5)
    sim.check()
    assert each_owner(sim.hub("a")) == home
    registries_agree(sim)


@simulated(seeds=4, checkers=PARTED)
async def test_a_node_that_drains_in_a_partition_hands_over_to_its_side_alone(sim: Simulation) -> None:
    hubs = await boot(sim, "abcde")
    await start(sim, hubs[0], 60)
    sim.partition({"a", "b"}, {"c", "d", "e"})
    await sim.sleep(sim.random.choice((0.0, 1.0, 4.5, 20.0)))
    sim.stop_soon("a")
    await gone(sim, "a", within=LEAVES_AMONG_THE_SILENT)
    await sim.settled(within=DOWN_AFTER + BEAT + PATIENCE)
    assert set(each_owner(sim.hub("b")).values()) == {"b"}
    sim.heal()
    await sim.settled(within=5)
    sim.check()
    assert len(registries_agree(sim)) == 60
    assert set(each_owner(sim.hub("b")).values()) == {"b", "c", "d", "e"}


@simulated(seeds=4, checkers=PARTED)
async def test_a_node_that_is_cut_off_alone_can_leave(sim: Simulation) -> None:
    hubs = await boot(sim, "abc")
    await start(sim, hubs[0], 30)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(sim.random.choice((0.0, 1.0, 4.5, 20.0)))
    sim.stop_soon("a")
    await gone(sim, "a", within=LEAVES_AMONG_THE_SILENT)
    await sim.settled(within=DOWN_AFTER + BEAT + PATIENCE)
    heal(sim)
    await sim.settled(within=5)
    sim.check()
    assert len(registries_agree(sim)) == 30


@pytest.mark.parametrize("who", ["target", "source", "asker"])
@simulated(seeds=12, checkers=EXACT)
async def test_a_death_in_the_middle_of_a_move_leaves_the_child_running_once(sim: Simulation, who: str) -> None:
    hubs = await boot(sim, "abcd")
    await start(sim, hubs[0], [hubkit.child(f"c{number}", Hesitant, 0.002) for number in range(20)])
    source = each_owner(hubs[0])["c0"]
    target = next(node for node in "abcd" if node != source)
    asker = next(node for node in "dcba" if node not in (source, target))
    ended = trio.Event()

    async def move() -> None:
        with suppress(HubkitError):
            await sim.hub(asker).move("c0", target)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(move)
        await sim.sleep(sim.random.uniform(0.0, 0.015))
        sim.crash({"target": target, "source": source, "asker": asker}[who], silent=sim.random.random() < 0.3)
        await sim.settled(within=DOWN_AFTER + BEAT + PATIENCE)
        sim.check()
        with trio.fail_after(BEAT):  # who asked for it is told, whatever has become of it
            await ended.wait()
    owner = each_owner(next(sim.hub(node) for node in "abcd" if sim.alive(node)))["c0"]
    assert owner == target or who == "target"
    sim.restart({"target": target, "source": source, "asker": asker}[who])
    await sim.settled(within=5)
    sim.check()
    assert each_owner(sim.hub(target))["c0"] == target  # it is pinned there


@pytest.mark.parametrize("size", [2, 3, 5])
@simulated(seeds=4, checkers=EXACT)
async def test_two_nodes_that_leave_at_once_hand_over_to_those_who_stay(sim: Simulation, size: int) -> None:
    hubs = await boot(sim, "abcde"[:size])
    await start(sim, hubs[0], 40)
    sim.stop_soon("a")
    await sim.sleep(sim.random.choice((0.0, 0.001, 0.003, 0.5)))
    sim.stop_soon("b")
    await gone(sim, "ab", within=LEAVES)
    if size > 2:
        await sim.settled(within=PATIENCE)
        sim.check()
        assert len(registries_agree(sim)) == 40


@pytest.mark.parametrize("silent", [False, True])
@simulated(seeds=8, checkers=EXACT)
async def test_of_three_nodes_one_drains_while_another_crashes(sim: Simulation, silent: bool) -> None:
    hubs = await boot(sim, "abc")
    await start(sim, hubs[0], [hubkit.child(f"c{number}", Hesitant, 0.01) for number in range(40)])
    drains, crashes = sim.random.sample("abc", 2)
    if sim.random.random() < 0.5:
        sim.crash(crashes, silent=silent)
        await sim.sleep(sim.random.choice((0.0, 0.003, 0.3, 4.2)))
        sim.stop_soon(drains)
    else:
        sim.stop_soon(drains)
        await sim.sleep(sim.random.choice((0.0, 0.003, 0.012)))
        sim.crash(crashes, silent=silent)
    await gone(sim, drains, within=LEAVES_AMONG_THE_SILENT if silent else LEAVES)
    await sim.settled(within=DOWN_AFTER + BEAT + PATIENCE)
    sim.check()
    assert len(registries_agree(sim)) == 40


@simulated(seeds=4, checkers=EXACT)
async def test_all_nodes_of_a_hub_leave_at_once_when_a_silent_observer_dies_with_them(sim: Simulation) -> None:
    """What a terminal does that is closed: everybody leaves, and nobody stays to take over."""
    hubs = await boot(sim, "abc")
    await sim.start_hub("shop", node="observer", actors=[])
    await start(sim, hubs[0], 30)
    silent = sim.random.random() < 0.5
    sim.crash("observer", silent=silent)
    for node in sim.random.sample("abc", 3):
        await sim.sleep(sim.random.choice((0.0, 0.001, 0.01)))
        sim.stop_soon(node)
    await gone(sim, "abc", within=LEAVES_AMONG_THE_SILENT if silent else LEAVES)
    assert sim.overlap == 0


@simulated(seeds=4, checkers=EXACT)
async def test_a_node_that_comes_back_while_its_former_life_still_drains_is_one_node(sim: Simulation) -> None:
    hubs = await boot(sim, "abc")
    await start(sim, hubs[0], [hubkit.child(f"c{number}", Hesitant, 0.5) for number in range(30)])
    home = each_owner(hubs[0])
    sim.stop_soon("b")
    await sim.sleep(sim.random.uniform(0.0, 1.0))
    sim.restart("b")  # kills what is left of it
    await sim.settled(within=5)
    sim.check()
    assert each_owner(sim.hub("b")) == home
    with pytest.raises(ConfigurationError):
        sim.hub("a").forget("b")  # it is there
