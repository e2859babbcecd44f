"""What of a hub runs on a node, as a tree: its children here, and what supervisors among them look after.

Law of this room: it reads what stands. Another node is asked for its own tree; nobody keeps a copy of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from hubkit.actors.deadlines import effective_deadline
from hubkit.actors.inspection import TREE, ActorInfo
from hubkit.actors.messages import Request
from hubkit.actors.system import System
from hubkit.errors import ConfigurationError, NodeDown
from hubkit.hub.household import Keeper
from hubkit.node.node import Node
from hubkit.node.refs import NodeGone
from hubkit.pids import Pid, boot_of
from hubkit.supervision.trees import Keepers, keepers, with_children

if TYPE_CHECKING:
    from hubkit.hub.driver import Driver

__all__ = ["tree", "tree_of"]


def tree(driver: Driver, system: System) -> ActorInfo:
    """The children of a hub on this node, by id."""
    assert driver.household is not None
    kept = keepers(system)
    found = driver.household.keepers
    children = tuple(_child(found[id], kept, id in driver.failures) for id in sorted(found))
    state = "stopping" if driver.closed or driver.core.left else "running"
    return ActorInfo(driver.hub_id, "hubkit:Hub", state, children=children)


def _child(keeper: Keeper, kept: Keepers, failed: bool) -> ActorInfo:
    state = "stopping" if keeper.stopping is not None else ""
    if keeper.cell is not None:
        return with_children(keeper.cell, kept, state=state, restarts=keeper.restarts)
    waits = "parked" if failed else "starting" if keeper.last_pid is None else "restarting"
    return ActorInfo(keeper.child, keeper.want.start, state or waits, restarts=keeper.restarts)


async def tree_of(driver: Driver, node: Node, name: str) -> ActorInfo:
    """The tree of the hub on any of its nodes. Raises `ConfigurationError` for an unknown one, `NodeDown`."""
    await trio.lowlevel.checkpoint()
    if name == node.name:
        return tree(driver, node._system)
    core = driver.core
    boots = [boot_of(id) for id, row in core.nodes.items() if row.name == name]
    if not boots:
        known = ", ".join(sorted({row.name for row in core.nodes.values()}))
        msg = f"hub {driver.hub_id!r} has no node {name!r:.80}; it knows {known}"
        raise ConfigurationError(msg)
    request = Request("call", TREE, (driver.hub_id,), deadline=effective_deadline())
    try:
        found: ActorInfo = await node._exchange.call(Pid(name, max(boots), 0), request)
    except NodeGone as gone:
        raise NodeDown(str(gone), maybe_executed=False) from None
    return found
