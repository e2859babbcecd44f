"""Lies that are just small enough to be believed, whole hubs that hear many of them, and processes that pass for others."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hub.actors import Counter
from tests.node.liar import HUB, NODES, boot, check, liar, overheard
from tests.node.test_lies import CHILDREN, MAP, OTHERS, pids

import hubkit
from hubkit.cluster.rows import Row, Want
from hubkit.errors import HandshakeRefused
from hubkit.strategies import Gossip, HotSwap, MajorityQuorum, Replication
from hubkit.testing import Simulation, simulated


@simulated(seeds=3)
async def test_a_clock_at_the_very_limit_does_not_part_honest_nodes_whose_clocks_differ(sim: Simulation) -> None:
    """Each of them would follow the liar as far as it may, and be too far ahead for the one whose clock is behind."""
    hubs = await boot(sim)
    sim.skew("a", offset=20)
    sim.skew("c", offset=-20)
    for name in "ac":
        sim.restart(name)  # a process reads the wall clock once
    await sim.settled(within=60)
    hubs = {name: sim.hub(name) for name in NODES}
    with overheard() as said:
        async with liar(sim) as one:
            for second in range(20):
                for name, skew in (("a", 20), ("b", 0), ("c", -20)):
                    row = Row(one.stamp(299.5 + skew), Want("x:y", b"", pins=("nowhere",)))
                    await one.sync({("want", f"junk{second}"): row}, to=name)
                await sim.sleep(0.5)
                await hubs["abc"[second % 3]].start_child(hubkit.child(f"more{second}", Counter))
            assert all(set("abc") - {name} <= set(hubs[name].statistics().links) for name in NODES)
        assert all(f"more{second}" in hub.children() for second in range(20) for hub in hubs.values())
        for hub in hubs.values():
            clock = hub._driver.core._clock
            assert clock.last[0] - clock.wall_ms(hub._driver.now()) < 260_000
        # What it wrote itself is not taken from others as far ahead as from itself: all have it a little later.
        await sim.settled(within=150)
    assert not any(re.search("nothing is taken from [abc]#", line) for line in said), said


@simulated(seeds=2)
async def test_nobody_passes_for_a_node_that_speaks(sim: Simulation) -> None:
    hubs = await boot(sim)
    before = pids(hubs)
    url = sim.network.address("b")
    for number, code in ((10**17, "busy"), (1, "name")):
        with pytest.raises((HandshakeRefused, ExceptionGroup)) as caught:
            async with liar(sim, "ac", name="b", boot=number, address=url, join=False):
                pass
        error = caught.value
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, HandshakeRefused)
        assert error.code == code
    await sim.sleep(5)
    await check(sim)
    assert pids(hubs) == before


@simulated(seeds=2)
async def test_a_restarted_node_is_let_in_at_once(sim: Simulation) -> None:
    """It has the name and the address of one that was linked a moment ago, and is what it says."""
    await boot(sim)
    sim.crash("b")
    await sim.sleep(0.2)
    sim.restart("b")
    began = sim.now
    await sim.settled(within=20)
    assert sim.now - began < 6
    await check(sim)


@simulated(seeds=2)
async def test_one_liar_does_not_keep_others_apart(sim: Simulation) -> None:
    """A node that joins, and is told by it that it is not admitted, or that the strategies differ, gets in by way of others."""
    await boot(sim)
    async with liar(sim) as one:
        sim.start_soon(HUB, node="d")
        with trio.fail_after(30):
            while "d" not in sim.hub("a").nodes():
                await sim.sleep(0.1)
        one.links.clear()
    await sim.sleep(6)
    await check(sim)


@pytest.mark.parametrize("strategy", ["gossip", "quorum", "copies"])
def test_lies_are_no_better_under_other_strategies(strategy: str) -> None:
    every: dict[str, dict[str, Any]] = {
        "gossip": {"synchronization": Gossip(fanout=2)},
        "quorum": {"partition_tolerance": MajorityQuorum(voters=tuple(NODES))},
        "copies": {"redundancy": Replication(2), "migration": HotSwap()},
    }
    options = every[strategy]

    async def main(sim: Simulation) -> None:
        hubs = await boot(sim, **options)
        async with liar(sim) as one:
            for what in (*MAP, *OTHERS):
                if not (MAP | OTHERS)[what].closes:
                    await (MAP | OTHERS)[what].tell(one, hubs)
                    await sim.sleep(0.3)
        await sim.sleep(8)
        await check(sim, within=60, terms=False)

    Simulation.run(main, seed=1)


lies = st.sampled_from(sorted({**MAP, **OTHERS}))
told = st.lists(st.tuples(lies, st.sampled_from(["a", "b", "c", "ab", "bc", "ac", NODES]), st.sampled_from([0.0, 0.1, 1.5])),
                min_size=1, max_size=8)  # fmt: skip


@given(told=told, seed=st.integers(0, 999))
@settings(max_examples=15)
def test_whatever_is_told_in_whatever_order(told: list[tuple[str, str, float]], seed: int) -> None:
    """Drawn lies, to drawn nodes: none of the honest fails, and when the liars have gone the hub is right. Few lines tell."""
    everything = {**MAP, **OTHERS}

    async def main(sim: Simulation) -> None:
        hubs = await boot(sim)
        before = pids(hubs)
        for number, (what, to, pause) in enumerate(told):
            async with liar(sim, to, name=f"liar{number % 3}", boot=7 + number) as one:
                await everything[what].tell(one, hubs)
                await sim.sleep(pause)
            await sim.sleep(5.5)  # a name that has lied is not let in at once
        assert all(set(NODES) - {name} <= set(hubs[name].statistics().links) for name in NODES)
        await sim.sleep(8)
        await check(sim, terms=False)
        assert pids(hubs).keys() == before.keys() == set(CHILDREN)
        await hubs["b"].start_child(hubkit.child("later", Counter))
        await sim.settled(within=20)

    with overheard() as said:
        Simulation.run(main, seed)
    assert not any(line.startswith(("ERROR", "CRITICAL")) for line in said), said
    assert len(said) <= 9 * len(told) + 3, said
