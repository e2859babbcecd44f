"""Which actor the current task belongs to, and who waits for what it does.

Law of this room: it is known from the task alone; nobody has to pass it along.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

from hubkit.pids import Pid

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["current", "current_cell", "current_chain"]

#: The cell whose task this is, or an ancestor of it; set by `Cell.run` alone.
current: ContextVar[Cell | None] = ContextVar("hubkit_cell", default=None)


def current_cell() -> Cell | None:
    """The cell of the actor in whose task, or descendant of it, this is called."""
    return current.get()


def current_chain() -> tuple[Pid, ...]:
    """The pids that wait for what the current task does: the chain that a call made now carries.

    A nursery opened inside a handler inherits the handler's chain: the handler waits for it. Background tasks of
    the actor, and tasks in any other nursery, have an empty one: nobody waits for them.
    """
    cell = current.get()
    if cell is None:
        return ()
    task = trio.lowlevel.current_task()
    if task is cell.task:
        return cell.chain or (cell.pid,)
    nursery = task.parent_nursery
    while nursery is not None:
        if nursery.parent_task is cell.task:
            return cell.chain or (cell.pid,)
        nursery = nursery.parent_task.parent_nursery
    return ()
