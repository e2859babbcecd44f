"""Moving one child by hand: pin it, and watch the map until it runs there, or cannot.

Law of this room: the pin is a wish like any other. Who asked may go; the child moves all the same. It has arrived when this
node's registry says so *and* no longer names where it was: news of two nodes travel on two roads, in any order.
"""

from __future__ import annotations

from hubkit.cluster.affinity import has_labels, show_labels
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import knows
from hubkit.errors import ConfigurationError, NodeDown, NoSuchActor, StartFailed
from hubkit.hub.arguments import repinned
from hubkit.hub.driver import Driver
from hubkit.hub.wishes import check_member
from hubkit.pids import name_of

__all__ = ["move"]


async def move(driver: Driver, id: str, node: object, strategies: Strategies) -> None:
    """Move a child to a ready node; see `Hub.move`."""
    want = driver.core.wants.get(id)
    if want is None:
        msg = f"hub {driver.hub_id!r} has no child {id!r}"
        raise NoSuchActor(msg)
    ready = {name_of(n): n for n in driver.core.ready}
    if not isinstance(node, str) or node not in ready:
        msg = f"node must be one of {', '.join(sorted(ready))} (the ready nodes of hub {driver.hub_id!r}), not {node!r}"
        raise ConfigurationError(msg)
    row = driver.core.nodes[ready[node]]
    if not knows(row.actors, want.start):
        msg = f"node {node!r} does not know the actor {want.start!r} of child {id!r}"
        raise ConfigurationError(msg)
    if want.placement is not None and not has_labels(dict(row.labels), want.placement.labels):
        msg = f"node {node!r} does not have the labels that child {id!r} needs: {show_labels(want.placement.labels)}"
        raise ConfigurationError(msg)
    pins = repinned(strategies, want.pins, node)
    with driver.watching([id]) as watch:
        driver.do(lambda now: driver.core.pin(id, pins, now))
        while not _arrived(driver, id, node):
            run = driver.core.runs.get(id, {}).get(ready[node])
            if run is not None and run.role == "active" and run.phase == "failed":
                msg = f"child {id!r} did not start on {node!r}: {run.error}"
                raise StartFailed(msg)
            await watch.next()
            check_member(driver)
            if ready[node] not in driver.core.alive:
                msg = f"node {node!r} went while child {id!r} moved to it; the child runs elsewhere until that node is back"
                raise NodeDown(msg)
            if id not in driver.core.wants:
                msg = f"child {id!r} was stopped while it moved"
                raise NoSuchActor(msg)


def _arrived(driver: Driver, id: str, node: str) -> bool:
    """Whether the child runs on this node, and nowhere but where it belongs, as whoever reads here sees it."""
    nodes = {pid.node for pid in driver.pids.get(id, ())}
    return node in nodes and nodes <= {name_of(owner) for owner in driver.core.owners(id)}
