"""What the scenarios have in common: hubs that have booted, children on them, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.sim.actors import Counter

import hubkit
from hubkit.errors import ConfigurationError
from hubkit.pids import Pid
from hubkit.testing import Simulation

__all__ = [
    "BEAT",
    "DOWN_AFTER",
    "PATIENCE",
    "boot",
    "counters",
    "each_owner",
    "heal",
    "pids",
    "registries_agree",
    "start",
]

#: The bounds of all tests here are made of these, the defaults of `Node`: seconds between heartbeats, of silence after which
#: a node is taken for gone, and for which a claim waits for acknowledgements (half a beat).
BEAT, DOWN_AFTER, PATIENCE = 1.0, 4.0, 0.5


async def boot(sim: Simulation, names: Iterable[str], hub_id: str = "shop", **options: Any) -> list[hubkit.Hub]:
    """Boot these nodes in one moment, and wait until they are settled."""
    nodes = list(names)
    for node in nodes:
        sim.start_soon(hub_id, node=node, **options)
    await sim.settled(within=20)
    return [sim.hub(node, hub_id) for node in nodes]


def counters(count: int) -> list[hubkit.ChildSpec]:
    """So many specs."""
    return [hubkit.child(f"c{number}", Counter) for number in range(count)]


async def start(sim: Simulation, hub: hubkit.Hub, specs: int | list[hubkit.ChildSpec]) -> None:
    """Start these children, and wait until all hubs know it."""
    result = await hub.start_children(counters(specs) if isinstance(specs, int) else specs)
    assert result.status == "ok"
    await sim.settled(within=5)


def pids(hub: hubkit.Hub) -> dict[str, tuple[Pid, ...]]:
    """What this hub's registry says."""
    return {child: info.pids for child, info in hub.children().items()}


def registries_agree(sim: Simulation, hub_id: str = "shop") -> Mapping[str, tuple[Pid, ...]]:
    """All registries are the same, and say what really runs; returns them."""
    world = sim._world
    views = [hub._driver.pids for hub in world.hubs(hub_id).values()]  # as hub.pids(child) says, for all at once
    assert all(view == views[0] for view in views)
    assert views[0] == {child: tuple(run.pid for run in runs) for child, runs in world.running(hub_id).items()}
    return views[0]


def each_owner(hub: hubkit.Hub) -> dict[str, str]:
    """Child -> the one node that runs it."""
    owners = {}
    for child, found in pids(hub).items():
        assert len(found) == 1, (child, found)
        owners[child] = found[0].node
    return owners


def heal(sim: Simulation) -> None:
    """End all partitions, if there are any."""
    try:
        sim.heal()
    except ConfigurationError:
        return
