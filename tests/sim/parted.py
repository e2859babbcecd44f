"""The story that is played under a quorum: clocks that are wrong within one per cent, children, clients that call them from
everywhere, a plan; then everybody is started who is down, and all must be settled within a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.sim.actors import Counter

import hubkit
from hubkit.errors import HubkitError
from hubkit.node.blocks import bare_nursery
from hubkit.strategies import MajorityQuorum, StaticQuorum
from hubkit.testing import FaultPlan, Simulation, Skew

__all__ = ["Parted", "tame"]

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
    took: float = 0.0  # until all was settled in the end

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
        began = sim.now
        await sim.settled(within=SETTLED)
        self.took = sim.now - began
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
