"""The tree of what is supervised, as values: read from what stands, and changing nothing.

Law of this room: a supervisor belongs to the actor in whose task it was opened, whether it *is* that child or the actor
opened it as a block. So the tree is found from the open supervisors alone, and nobody keeps a second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from hubkit.actors.cell import Cell
from hubkit.actors.inspection import ActorInfo, about
from hubkit.actors.system import System
from hubkit.supervision.children import Child
from hubkit.supervision.manager import Manager

__all__ = ["Keepers", "keepers", "tree", "with_children"]

#: Who has opened which supervisors that are open.
Keepers: TypeAlias = Mapping[Cell, Sequence[Manager]]


def keepers(system: System) -> Keepers:
    """The supervisors of a node by the actors in whose tasks they were opened, in the order in which they were."""
    found: dict[Cell, list[Manager]] = {}
    for manager in system.directories.values():
        if isinstance(manager, Manager) and manager.keeper is not None:
            found.setdefault(manager.keeper, []).append(manager)
    return found


def tree(manager: Manager, actor: str) -> ActorInfo:
    """A supervisor that is open, of this wire name, with all beneath it."""
    children = _children(manager, keepers(manager.system))
    state = "running" if manager.state == "open" else "stopping"
    return ActorInfo("", actor, state, children=children)


def with_children(cell: Cell, kept: Keepers, *, state: str = "", restarts: int | None = None) -> ActorInfo:
    """An actor, with what the supervisors in its task look after."""
    children = tuple(child for manager in kept.get(cell, ()) for child in _children(manager, kept))
    return about(cell, state=state, restarts=restarts, children=children)


def _children(manager: Manager, kept: Keepers) -> tuple[ActorInfo, ...]:
    return tuple(_child(child, kept) for child in manager.children.values())


def _child(child: Child, kept: Keepers) -> ActorInfo:
    if child.running is None:
        actor = str(getattr(child.spec.start, "__hubkit_actor__", child.spec.start))
        return ActorInfo(child.spec.id, actor, child.state, restarts=child.restarts)
    return with_children(child.running.cell, kept, restarts=child.restarts)
