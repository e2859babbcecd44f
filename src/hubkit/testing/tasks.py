"""Which tasks there are, and where they wait: for those who end a scenario, and must say what is left of it, or why.

Law of this room: it looks, and changes nothing.
"""

from __future__ import annotations

import trio

__all__ = ["in_trio", "running_task", "system_tasks", "tasks_below", "waiting_where"]


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
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return tasks


def system_tasks() -> list[trio.lowlevel.Task]:
    """The tasks that belong to no nursery of a program."""
    task = trio.lowlevel.current_root_task()
    assert task is not None
    return [child for nursery in task.child_nurseries for child in nursery.child_tasks]


def running_task() -> str:
    """The task that runs now."""
    try:
        return trio.lowlevel.current_task().name
    except RuntimeError:
        return "?"


def waiting_where(main: object) -> str:
    """Where the task that runs the async function ``main`` is parked."""
    root = trio.lowlevel.current_root_task()
    name = getattr(main, "__code__", None)
    for task in [] if root is None else tasks_below(root):
        for frame, line in task.iter_await_frames():
            if name is not None and frame.f_code is name:
                return f"at {frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
    return "somewhere"
