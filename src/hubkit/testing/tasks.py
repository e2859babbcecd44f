"""Which tasks there are, and where they wait: for those who end a scenario, and must say what is left of it, or why.

Law of this room: it looks, and changes nothing.
"""

from __future__ import annotations

import trio

from hubkit.actors.current import current
from hubkit.testing.blame import Place, place_of
from hubkit.testing.scheduling import age

__all__ = ["MESSENGER", "in_trio", "leaves", "place_of_task", "system_tasks", "tasks_below"]

#: the task of trio that runs what other threads ask for; it ends with trio
MESSENGER = "<TrioToken.run_sync_soon task>"


def in_trio() -> bool:
    """Whether trio runs in this thread, be it as a guest that waits for its next turn."""
    try:
        trio.lowlevel.current_root_task()
    except RuntimeError:
        return False
    return True


def tasks_below(task: trio.lowlevel.Task) -> list[trio.lowlevel.Task]:
    """A task and all its descendants."""
    tasks = [task]
    for task in tasks:
        tasks += _children(task)
    return tasks


def leaves(task: trio.lowlevel.Task) -> list[trio.lowlevel.Task]:
    """Those of a task and its descendants that have no children themselves: whatever is waited for, they keep it."""
    return [
        one
        for one in tasks_below(task)
        if not any(nursery.child_tasks for nursery in one.child_nurseries) and not _has_background(one)
    ]


def _has_background(task: trio.lowlevel.Task) -> bool:
    """Whether it is an actor's, and background tasks of that run: they are no children of it, but it ends after them."""
    cell = task.context.get(current)
    return cell is not None and cell.task is task and cell.background is not None and bool(cell.background.child_tasks)


def system_tasks() -> list[trio.lowlevel.Task]:
    """The tasks that belong to no nursery of a program, and the main task; without that of trio itself."""
    task = trio.lowlevel.current_root_task()
    assert task is not None
    return [task for task in _children(task) if task.name != MESSENGER]


def _children(task: trio.lowlevel.Task) -> list[trio.lowlevel.Task]:
    """The oldest first: trio has them in sets, which come in the order of their addresses."""
    return [child for nursery in task.child_nurseries for child in sorted(nursery.child_tasks, key=age)]


def place_of_task(task: trio.lowlevel.Task) -> Place | None:
    """Where a task waits, or will go on: the innermost line of its own awaits that is not a library's, if there is one."""
    return place_of([(frame.f_code, line) for frame, line in task.iter_await_frames()][::-1])
