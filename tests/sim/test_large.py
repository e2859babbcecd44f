"""A large hub: fifty nodes, five thousand children. Nothing that is quick with three nodes may be slow with fifty.

All fifty live in one Python process here, which does the work of fifty: most of the time of these tests is the replication of
every child's row to every node. ``HUBKIT_SOAK`` in the environment splits the large one, too.
"""

from __future__ import annotations

import os

import pytest
from tests.sim.stage import BEAT, DOWN_AFTER, PATIENCE, boot, counters, each_owner, registries_agree

from hubkit.testing import Simulation, balance, no_lost_child, registry_converges, single_owner

#: With 100 children a node on average, chance alone puts this many times the mean on the fullest of fifty (it is 4 sigma).
EVEN = 1.4


def names(count: int) -> list[str]:
    """So many nodes."""
    return [f"n{number:02}" for number in range(count)]


@pytest.mark.limit(240)
def test_of_fifty_nodes_two_die_and_five_thousand_children_are_well() -> None:
    async def main(sim: Simulation) -> None:
        hubs = await boot(sim, names(50))
        assert (
            sim.now < 2 * BEAT + PATIENCE
        )  # newcomers that meet only each other wait for a beat, and look once a beat
        began = sim.now
        assert (await hubs[7].start_children(counters(5000))).status == "ok"
        await sim.settled(within=BEAT)
        assert sim.now - began < 2 * BEAT
        sim.check(balance(EVEN))
        assert len(registries_agree(sim)) == 5000
        before = each_owner(hubs[0])
        sim.crash("n03")
        sim.crash("n17")
        await sim.settled(within=BEAT)  # their ports refuse: nobody has to wait
        sim.check()
        sim.check(balance(EVEN))
        assert len(registries_agree(sim)) == 5000
        after = each_owner(hubs[0])
        assert {before[child] for child in before if after[child] != before[child]} == {"n03", "n17"}

    Simulation.run(
        main, 50, checkers=[no_lost_child(within=BEAT), registry_converges(within=2 * BEAT), single_owner(0.0)]
    )


@pytest.mark.limit(900 if os.environ.get("HUBKIT_SOAK") else 240)
def test_a_large_hub_splits_in_two_halves_and_heals() -> None:
    count, children = (50, 5000) if os.environ.get("HUBKIT_SOAK") else (20, 400)
    left, right = names(count)[::2], names(count)[1::2]

    async def main(sim: Simulation) -> None:
        hubs = await boot(sim, names(count))
        assert (await hubs[0].start_children(counters(children))).status == "ok"
        home = each_owner(hubs[0])
        sim.partition(left, right)
        await sim.settled(within=DOWN_AFTER + BEAT + PATIENCE)
        for side in (left, right):
            assert set(each_owner(sim.hub(side[0])).values()) <= set(side)
            assert len(each_owner(sim.hub(side[0]))) == children
        sim.check(balance(2.5))
        await sim.sleep(20)
        sim.heal()
        await sim.settled(within=5.0)
        sim.check()
        assert each_owner(hubs[0]) == home
        registries_agree(sim)

    Simulation.run(
        main, 25, checkers=[no_lost_child(within=DOWN_AFTER + BEAT + PATIENCE), registry_converges(within=5.0)]
    )
