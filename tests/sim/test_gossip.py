"""Whole hubs that gossip: starts are as fast as when all are told at once, and after any plan all agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.stage import DOWN_AFTER, PATIENCE, boot, counters, each_owner, registries_agree
from tests.sim.story import Story
from tests.sim.test_plans import CUTS, DEATHS, check, examples, seeds, stories, tame

from hubkit.strategies import Gossip, PubSub
from hubkit.testing import FaultPlan, Simulation, no_lost_child, registry_converges, simulated, single_owner
from hubkit.testing.strategies import fault_plans


def gossips(fanout: int, sync_interval: float = 15.0) -> dict[str, Any]:
    return {"synchronization": Gossip(sync_interval, fanout)}


def test_with_twenty_nodes_starts_wait_for_no_beat() -> None:
    """A claim and its acknowledgements go straight; what else there is takes some hops more."""
    took: dict[str, list[float]] = {}

    async def main(sim: Simulation, strategy: Any) -> None:
        names = [f"n{number:02}" for number in range(20)]
        hubs = await boot(sim, names, synchronization=strategy)
        await sim.sleep(20)
        seconds = took[type(strategy).__name__] = []
        for child in counters(5):
            began = sim.now
            await hubs[3].start_child(child)
            seconds.append(sim.now - began)
        began = sim.now
        assert (await hubs[7].start_children([*counters(105)][5:])).status == "ok"
        seconds.append(sim.now - began)
        await sim.settled(within=PATIENCE)
        assert len(registries_agree(sim)) == 105
        sim.check()

    for strategy in (PubSub(), Gossip()):

        async def scenario(sim: Simulation, strategy: Any = strategy) -> None:
            await main(sim, strategy)

        Simulation.run(scenario, 3, checkers=[no_lost_child(within=PATIENCE), single_owner(0.0)])
    assert max(took["Gossip"]) < PATIENCE / 2, took
    assert max(took["Gossip"]) < 4 * max(took["PubSub"]), took


@pytest.mark.parametrize("fanout", [1, 3])
@simulated(seeds=2, checkers=[no_lost_child(within=DOWN_AFTER + 1.5), registry_converges(within=10.0)])
async def test_a_hub_that_gossips_splits_and_heals(sim: Simulation, fanout: int) -> None:
    names = [f"n{number}" for number in range(9)]
    hubs = await boot(sim, names, **gossips(fanout))
    assert (await hubs[0].start_children(counters(60))).status == "ok"
    await sim.settled(within=5)
    home = each_owner(hubs[0])
    sim.partition(set(names[:4]), set(names[4:]))
    await sim.sleep(DOWN_AFTER + 1.5)
    await sim.settled(within=2.0)
    sim.heal()
    await sim.settled(within=8.0)
    sim.check()
    assert each_owner(hubs[0]) == home
    registries_agree(sim)


gossip = st.builds(gossips, st.integers(1, 3), st.sampled_from((3.0, 15.0)))


@examples(8)
@given(plan=fault_plans(range(2, 7), 40.0, max_faults=10).map(tame), seed=seeds, story=stories, arguments=gossip)
def test_after_any_plan_all_is_well(plan: FaultPlan, seed: int, story: Story, arguments: dict[str, Any]) -> None:
    story.arguments = arguments
    check(plan, seed, story)


@examples(6)
@given(plan=fault_plans(range(3, 8), 30.0, DEATHS, max_faults=12), seed=seeds, story=stories, arguments=gossip)
def test_no_deaths_that_leave_a_node_lose_a_child_and_none_gives_it_two_owners(
    plan: FaultPlan, seed: int, story: Story, arguments: dict[str, Any]
) -> None:
    story.arguments = arguments
    check(plan, seed, story, no_lost_child(within=8.0), single_owner(0.0))


@examples(6)
@given(
    plan=fault_plans(range(3, 8), 40.0, ("leave", "join"), max_faults=8), seed=seeds, story=stories, arguments=gossip
)
def test_nodes_that_join_and_leave_lose_and_double_no_child(
    plan: FaultPlan, seed: int, story: Story, arguments: dict[str, Any]
) -> None:
    story.arguments = arguments
    check(plan, seed, story, no_lost_child(within=2.0), single_owner(0.0))


@examples(6)
@given(plan=fault_plans(range(2, 6), 30.0, CUTS, max_faults=12), seed=seeds, story=stories, arguments=gossip)
def test_whatever_is_cut_slow_or_broken_heals(
    plan: FaultPlan, seed: int, story: Story, arguments: dict[str, Any]
) -> None:
    story.arguments = arguments
    check(plan, seed, story)
