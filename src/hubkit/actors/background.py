"""The background tasks of one actor: `Context.nursery`, made when it is first used.

Law of this room: they die with their actor, and the crash of one is the crash of the actor. They run in the nursery that the
actor itself runs in, each in a scope of its own, shielded: only the end of the actor ends them, wherever a block is left.

A `trio.Nursery` for each actor was refused: it must be opened before anybody knows whether it will be used, and costs every
actor a sixth of its memory and of its start. What users see has the same members as one, and their meaning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["Background", "combined"]


def combined(errors: list[Exception], actor: str) -> Exception:
    """One error as it is; several as a group."""
    return errors[0] if len(errors) == 1 else ExceptionGroup(f"several tasks of actor {actor} failed", errors)


class _Status:
    """Notes that a task has started, and tells its starter."""

    __slots__ = ("_scope", "_status", "started_already")

    def __init__(self, status: trio.TaskStatus[Any], scope: trio.CancelScope) -> None:
        self._status = status
        self._scope = scope
        self.started_already: bool = False

    def started(self, value: Any = None) -> None:
        """From now on it is the actor's."""
        self._status.started(value)
        self.started_already = True
        self._scope.shield = True


class Background:
    """What stands for a `trio.Nursery` whose parent is the actor, and whose block is the actor's life."""

    __slots__ = ("_cell", "_host", "_tasks", "closed", "failures")

    def __init__(self, cell: Cell, host: trio.Nursery) -> None:
        self._cell = cell
        self._host = host
        self._tasks: dict[trio.CancelScope, trio.lowlevel.Task | None] = {}
        self.closed: bool = False
        #: What has crashed, and has not been looked at.
        self.failures: list[Exception] = []

    def __repr__(self) -> str:
        return f"<nursery of actor {self._cell.describe()}, {len(self._tasks)} tasks>"

    @property
    def cancel_scope(self) -> trio.CancelScope:
        """The scope of the actor: cancelling it ends the actor by force, and with it these tasks."""
        return self._cell.scope

    @property
    def parent_task(self) -> trio.lowlevel.Task:
        """The actor's own task."""
        task = self._cell.task
        assert task is not None
        return task

    @property
    def child_tasks(self) -> frozenset[trio.lowlevel.Task]:
        """Those that run."""
        return frozenset(task for task in self._tasks.values() if task is not None)

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> None:
        """As that of a nursery."""
        self._check_open()
        scope = trio.CancelScope(shield=True)
        self._host.start_soon(self._run, scope, async_fn, args, name=async_fn if name is None else name)
        self._tasks[scope] = None

    async def start(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> Any:
        """As that of a nursery: until it has started the task belongs to whoever waits for that."""
        self._check_open()
        return await self._host.start(self._run_started, async_fn, args, name=async_fn if name is None else name)

    def _check_open(self) -> None:
        if self.closed:
            msg = f"Nursery is closed to new arrivals: actor {self._cell.describe()} has ended"
            raise RuntimeError(msg)

    async def _run(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        self._tasks[scope] = trio.lowlevel.current_task()
        try:
            with scope:
                await async_fn(*args)
        except Exception as error:
            self._failed(error)
        finally:
            self._over(scope)

    async def _run_started(
        self, async_fn: Callable[..., Any], args: tuple[Any, ...], *, task_status: trio.TaskStatus[Any]
    ) -> None:
        scope = trio.CancelScope()
        status = _Status(task_status, scope)
        self._tasks[scope] = trio.lowlevel.current_task()
        try:
            with scope:
                await async_fn(*args, task_status=status)
        except Exception as error:
            if not status.started_already:
                raise
            self._failed(error)
        finally:
            self._over(scope)

    def _failed(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self.failures.append(error)
        self.cancel()
        self._cell.scope.cancel()

    def cancel(self) -> None:
        """End all of them by force, at their next checkpoints."""
        for scope in list(self._tasks):
            scope.cancel()

    def _over(self, scope: trio.CancelScope) -> None:
        del self._tasks[scope]
        if self.closed and not self._tasks:
            self._cell.wake()

    async def close(self) -> None:
        """End all of them, and wait for that. For the actor's own task alone."""
        self.closed = True
        self.cancel()
        with trio.CancelScope(shield=True):
            while self._tasks:
                await self._cell.park()
