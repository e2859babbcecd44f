"""Whole hubs under a quorum and plans that Hypothesis draws: no child ever has two owners, and in the end all is well.

Each plays one story: clocks that are wrong within one per cent, children, clients that call them from everywhere, a plan; then
everybody is started who is down, and all must be settled within a bound. ``HUBKIT_SOAK=20`` plays twenty times as many.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.sim.actors import Counter
from tests.sim.test_plans import CUTS, DEATHS, examples, seeds

import hubkit
from hubkit.errors import HubkitError
from hubkit.node.blocks import bare_nursery
from hubkit.strategies import MajorityQuorum, StaticQuorum
from hubkit.testing import FaultPlan, Simulation, Skew, single_owner
from hubkit.testing.strategies import fault_plans

#: Seconds in which all is well after everybody has been started again: nobody votes for 9.3 s, and takes over for as long.
SETTLED = 40.0
DRIFT = 0.01


def tame(plan: FaultPlan) -> FaultPlan:
    """Clocks go wrong by one per cent, and are a minute off."""
    return replace(
        plan,
        faults=tuple(
            replace(f, offset=max(-60.0, min(60.0, f.offset)), rate=1 + DRIFT * ((f.rate > 1) - (f.rate < 1)))
            if isinstance(f, Skew)
            else f
            for f in plan.faults
        ),
    )


@dataclass
class Parted:
    """Plays the plan of the simulation under a quorum."""

    kind: str
    children: int = 8
    pace: float = 0.5

    def tolerance(self, names: tuple[str, ...]) -> Any:
        if self.kind == "static":
            return StaticQuorum(len(names) // 2 + 1)
        if self.kind == "fixed":
            return MajorityQuorum(voters=names, track_max_size=False)
        return MajorityQuorum(voters=names[:2])

    async def __call__(self, sim: Simulation) -> None:
        assert sim.plan is not None
        names = sim.plan.nodes
        founders = sim.plan.founders if self.kind == "static" else names[: max(2, len(sim.plan.founders))]
        tolerance = self.tolerance(names)
        for name in founders:
            sim.start_soon("shop", node=name, partition_tolerance=tolerance)
            sim.skew(name, offset=0.0, rate=1 + DRIFT * sim.random.choice((-1, 1)))
        await sim.settled(within=30)
        await sim.sleep(12)
        hub = sim.hub(founders[0])
        started = 0
        if hub._driver.core.allowed:
            specs = [hubkit.child(f"c{number}", Counter) for number in range(self.children)]
            started = len((await hub.start_children(specs)).started)
        async with bare_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(self.client, sim, number)
            await sim.play()
            nursery.cancel_scope.cancel()
        for name in names:
            if name in sim.nodes and not sim.alive(name):
                sim.restart(name)
        await sim.settled(within=SETTLED)
        sim.check()
        assert len(sim.hub(next(n for n in names if sim.alive(n))).children()) >= 0
        assert started in (0, self.children)

    async def client(self, sim: Simulation, number: int) -> None:
        """Call any child from anywhere, and do not mind what comes of it."""
        while True:
            await sim.sleep(self.pace)
            names = [name for name in sim.nodes if sim.alive(name)]
            try:
                hub = sim.hub(sim.random.choice(names))
                await hub.ref(f"c{sim.random.randrange(self.children)}", Counter).cast(Counter.add)
            except (HubkitError, IndexError, LookupError):
                continue


def check(plan: FaultPlan, seed: int, story: Parted) -> None:
    """Play the story, and let it be judged."""
    logging.disable(logging.CRITICAL)
    try:
        Simulation.run(story, seed, plan=plan, checkers=[single_owner(0.0)], limit=20_000.0)
    finally:
        logging.disable(logging.NOTSET)


stories = st.builds(Parted, kind=st.sampled_from(("static", "fixed")), children=st.integers(1, 10))


@examples(10)
@given(
    plan=fault_plans(range(3, 6), 60.0, ("pause", "skew", *CUTS, *DEATHS), max_faults=10).map(tame),
    seed=seeds,
    story=stories,
)
def test_no_child_has_two_owners_under_any_plan(plan: FaultPlan, seed: int, story: Parted) -> None:
    check(plan, seed, story)


@examples(6)
@given(plan=fault_plans(range(3, 6), 60.0, ("pause", "skew", "leave", *CUTS), max_faults=8).map(tame), seed=seeds)
def test_nor_while_voters_are_admitted(plan: FaultPlan, seed: int) -> None:
    check(plan, seed, Parted("voters"))
