"""Strategies of all families together: every pair of them is in some combination, and each goes through drawn disasters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.test_copies import Ledger
from tests.sim.test_plans import PHASES, SCALE

import hubkit
from hubkit.strategies import (
    CentralizedLoadBalancer,
    ColdSwap,
    Divergence,
    Guided,
    HotSwap,
    MajorityQuorum,
    Replication,
    Singularity,
    StaticQuorum,
)
from hubkit.testing import Crash, FaultPlan, Leave, Simulation
from hubkit.testing.strategies import fault_plans

NAMES = ("a", "b", "c", "d")
COUNT = 9

GUIDED = {"distribution": Guided()}
BALANCED = {"distribution": CentralizedLoadBalancer()}
SINGLE: dict[str, Any] = {"redundancy": Singularity()}
PAIR: dict[str, Any] = {"redundancy": Replication(2, checkpoint=1.0)}
ACTIVE: dict[str, Any] = {"redundancy": Replication(2, "active_active")}
COLD: dict[str, Any] = {"migration": ColdSwap()}
HOT: dict[str, Any] = {"migration": HotSwap()}
DIVERGENT: dict[str, Any] = {"partition_tolerance": Divergence()}
STATIC: dict[str, Any] = {"partition_tolerance": StaticQuorum(3)}
MAJORITY: dict[str, Any] = {"partition_tolerance": MajorityQuorum(voters=NAMES[:3])}

COMBINATIONS: dict[str, dict[str, Any]] = {
    "hashed, single, cold, divergent": SINGLE | COLD | DIVERGENT,
    "hashed, pair, hot, static": PAIR | HOT | STATIC,
    "hashed, active, hot, majority": ACTIVE | HOT | MAJORITY,
    "guided, single, hot, majority": GUIDED | SINGLE | HOT | MAJORITY,
    "guided, pair, cold, divergent": GUIDED | PAIR | COLD | DIVERGENT,
    "guided, active, cold, static": GUIDED | ACTIVE | COLD | STATIC,
    "balanced, single, hot, static": BALANCED | SINGLE | HOT | STATIC,
    "balanced, pair, cold, majority": BALANCED | PAIR | COLD | MAJORITY,
    "balanced, active, hot, divergent": BALANCED | ACTIVE | HOT | DIVERGENT,
}


def back(plan: FaultPlan) -> FaultPlan:
    """Whoever goes comes back: else who is guided to it waits for ever, and a quorum may never be there again."""
    return replace(
        plan,
        faults=tuple(
            replace(fault, until=plan.duration) if isinstance(fault, Crash | Leave) and fault.until is None else fault
            for fault in plan.faults
        ),
    )


def places(options: dict[str, Any]) -> dict[str, tuple[str, ...]] | None:
    """Where each child is to be, if the nodes must be named."""
    if not isinstance(options.get("distribution"), Guided):
        return None
    copies = options["redundancy"].copies(4)
    return {f"c{n}": tuple(NAMES[(n + copy) % 4] for copy in range(copies)) for n in range(COUNT)}


async def story(sim: Simulation, options: dict[str, Any]) -> None:
    """Children are started, the plan happens; then all is well, and every child answers."""
    for name in NAMES:
        sim.start_soon("shop", node=name, **options)
    await sim.settled(within=40)
    first = sim.hub("a")
    result = await first.start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)], nodes=places(options))
    assert result.status == "ok", result.errors
    await sim.settled(within=40)
    await sim.play()
    await sim.settled(within=80)
    sim.check()
    for name in NAMES:
        hub = sim.hub(name)
        assert set(hub.children()) == {f"c{n}" for n in range(COUNT)}
        for n in range(COUNT):
            await hub.ref(f"c{n}", Ledger).call(Ledger.add)
    copies = options["redundancy"].copies(4)
    assert all(len(sim.hub("a").pids(f"c{n}")) == copies for n in range(COUNT))
    sim.check()


@pytest.mark.limit(60 * max(2, SCALE))
@pytest.mark.parametrize("name", COMBINATIONS)
@settings(max_examples=2 * SCALE, phases=PHASES)
@given(
    plan=fault_plans(
        NAMES,
        25.0,
        ("crash", "restart", "leave", "pause", "partition", "one_way"),
        max_faults=4,
        quiet=2.0,
        survivors=2,
    ).map(back),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_child_answers_after_any_plan(name: str, plan: FaultPlan, seed: int) -> None:
    async def main(sim: Simulation) -> None:
        await story(sim, COMBINATIONS[name])

    Simulation.run(main, seed, plan=plan)
