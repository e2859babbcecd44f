"""Who listens to everything that the hubs of a simulation tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import hubkit
from hubkit import events
from hubkit.pids import Pid
from hubkit.testing import Simulation

__all__ = ["LIFE", "MEMBERSHIP", "MOVES", "NODES", "REGISTRY", "Ears", "boot", "on_each", "pid_of"]

NODES = "abc"
MEMBERSHIP = (events.NodeJoining, events.NodeJoined, events.NodeSuspected, events.NodeLeaving, events.NodeLeft)
LIFE = (
    events.ChildStarting, events.ChildStarted, events.ChildRestarted, events.ChildStopped, events.ChildFailed,
)  # fmt: skip
REGISTRY = (events.ChildRegistered, events.ChildUnregistered)
MOVES = (events.ChildMoving, events.ChildMoved, events.MoveFailed)


class Ears:
    """What was heard on each node, in order."""

    def __init__(self) -> None:
        self.heard: dict[str, list[events.Event]] = {}

    def on(self, node: str) -> list[tuple[type[events.Event], Callable[[Any], Any]]]:
        return [(events.Event, self.heard.setdefault(node, []).append)]

    def forget(self) -> None:
        for heard in self.heard.values():
            heard.clear()

    def names(self, node: str, *kinds: type[events.Event]) -> list[str]:
        """The names of the events heard on a node, in order."""
        return [type(event).__name__ for event in self.heard[node] if not kinds or isinstance(event, kinds)]

    def all(self, *kinds: type[events.Event]) -> dict[str, list[Any]]:
        """On which node which events of these kinds have been heard; nodes that heard none are left out."""
        found = {node: [e for e in heard if isinstance(e, kinds)] for node, heard in sorted(self.heard.items())}
        return {node: heard for node, heard in found.items() if heard}


async def boot(sim: Simulation, ears: Ears, nodes: Iterable[str] = NODES, **options: Any) -> list[hubkit.Hub]:
    """Open the hub on these nodes, one after the other, and wait until all is quiet."""
    hubs = [await sim.start_hub("shop", node=node, hooks=ears.on(node), **options) for node in nodes]
    await sim.settled(within=20)
    await sim.sleep(5)
    return hubs


def on_each(event: events.Event, nodes: Iterable[str] = NODES) -> dict[str, list[events.Event]]:
    return {node: [event] for node in nodes}


def pid_of(hub: hubkit.Hub, child: str = "x") -> Pid:
    pid = hub.pid(child)
    assert pid is not None
    return pid
