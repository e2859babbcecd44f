"""The background tasks of one actor: `Context.nursery`, made when it is first used.

Law of this room: they die with their actor, and the crash of one is the crash of the actor. They run in the nursery that the
actor itself runs in, each in a scope of its own, shielded: only the end of the actor ends them, wherever a block is left.

A `trio.Nursery` for each actor was refused: it must be opened before anybody knows whether it will be used, and costs every
actor a sixth of its memory and of its start. What users see has the same members as one, and their meaning. Most actors have
one such task, if any: it is kept without a table, and without the bound method that ``with`` keeps.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["Background", "combined"]


def combined(errors: list[Exception], actor: str) -> Exception:
    """One error as it is; several as a group."""
    return errors[0] if len(errors) == 1 else ExceptionGroup(f"several tasks of actor {actor} failed", errors)


def _name(async_fn: object, name: object) -> object:
    """What trio would call a task; one string for all that are called so."""
    named = async_fn if name is None else name
    if isinstance(named, partial):
        named = named.func
    try:
        return sys.intern(f"{named.__module__}.{named.__qualname__}")  # type: ignore[attr-defined]  # else it has its own
    except AttributeError:
        return named


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

    __slots__ = ("_cell", "_more", "_scope", "_task", "closed", "failures")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        #: One of its tasks, and the others; a task is `None` until it runs.
        self._scope: trio.CancelScope | None = None
        self._task: trio.lowlevel.Task | None = None
        self._more: dict[trio.CancelScope, trio.lowlevel.Task | None] | None = None
        self.closed: bool = False
        #: What has crashed, and has not been looked at.
        self.failures: tuple[Exception, ...] = ()

    def __repr__(self) -> str:
        return f"<nursery of actor {self._cell.describe()}, {len(self._scopes())} tasks>"

    def _scopes(self) -> list[trio.CancelScope]:
        first = () if self._scope is None else (self._scope,)
        return [*first, *(self._more or ())]

    def _note(self, scope: trio.CancelScope, task: trio.lowlevel.Task | None) -> None:
        """There is this task, of this scope."""
        if self._scope is scope or (self._scope is None and not (self._more and scope in self._more)):
            self._scope, self._task = scope, task
        else:
            if self._more is None:
                self._more = {}
            self._more[scope] = task

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
        return frozenset(task for task in (self._task, *(self._more or {}).values()) if task is not None)

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> None:
        """As that of a nursery."""
        host = self._open_host()
        scope = trio.CancelScope(shield=True)
        host.start_soon(self._run, scope, async_fn, args, name=_name(async_fn, name))
        self._note(scope, None)

    async def start(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> Any:
        """As that of a nursery: until it has started the task belongs to whoever waits for that."""
        host = self._open_host()
        return await host.start(self._run_started, async_fn, args, name=_name(async_fn, name))

    def _open_host(self) -> trio.Nursery:
        """The nursery that the actor runs in."""
        host = self.parent_task.parent_nursery
        if self.closed or host is None:
            msg = f"Nursery is closed to new arrivals: actor {self._cell.describe()} has ended"
            raise RuntimeError(msg)
        return host

    async def _run(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        self._note(scope, trio.lowlevel.current_task())
        scope.__enter__()
        try:
            await async_fn(*args)
        except BaseException as error:  # as ``with`` does, at the cost of less memory
            if not self._left(scope, error):
                raise
        else:
            self._left(scope, None)

    def _left(self, scope: trio.CancelScope, error: BaseException | None) -> bool:
        """A task has ended, perhaps by an error. Returns whether nothing is left to be raised."""
        try:
            if scope.__exit__(None if error is None else type(error), error, None):
                return True
        except Exception as rest:
            error = rest
        finally:
            self._over(scope)
        if isinstance(error, Exception):
            self._failed(error)
            return True
        return error is None

    async def _run_started(
        self, async_fn: Callable[..., Any], args: tuple[Any, ...], *, task_status: trio.TaskStatus[Any]
    ) -> None:
        scope = trio.CancelScope()
        status = _Status(task_status, scope)
        self._note(scope, trio.lowlevel.current_task())
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
        self.failures = (*self.failures, error)
        self.cancel()
        self._cell.scope.cancel()

    def cancel(self) -> None:
        """End all of them by force, at their next checkpoints."""
        for scope in self._scopes():
            scope.cancel()

    def _over(self, scope: trio.CancelScope) -> None:
        if self._scope is scope:
            self._scope = self._task = None
        elif self._more is not None:
            del self._more[scope]
        if self.closed and self._scope is None and not self._more:
            self._cell.wake()

    async def close(self) -> None:
        """End all of them, and wait for that. For the actor's own task alone."""
        self.closed = True
        self.cancel()
        with trio.CancelScope(shield=True):
            while self._scope is not None or self._more:
                await self._cell.park()
