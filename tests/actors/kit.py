"""Actors for the tests, and how to run one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from hubkit.actors import Actor, Cell, Ref, System, current_system
from hubkit.errors import Reject


class OutOfStock(Reject):
    pass


class Counter(Actor):
    limit = 10

    def __init__(self, value: int = 0) -> None:
        self.value = value

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def fail(self, text: str) -> None:
        raise ValueError(text)

    async def refuse(self, what: str) -> None:
        raise OutOfStock(what)

    async def stop(self, reason: str = "normal") -> None:
        self.context.stop(reason)

    async def _hidden(self) -> None: ...

    def plain(self) -> None: ...


class Echo(Actor):
    async def echo(self, value: Any) -> Any:
        return value


class Gate(Actor):
    """Waits until somebody opens it, and notes what it is told."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.notes: list[Any] = []

    async def wait(self, refuse: bool = False) -> None:
        await self.gate.wait()
        if refuse:
            raise OutOfStock
        self.notes.append("waited")

    async def note(self, value: Any) -> None:
        self.notes.append(value)

    async def read(self) -> list[Any]:
        return list(self.notes)

    async def on_info(self, message: Any) -> None:
        self.notes.append(message)


@asynccontextmanager
async def running(
    start: Any, *args: Any, system: System | None = None, ends: list[Any] | None = None, **options: Any
) -> AsyncIterator[Ref[Any]]:
    """An actor that runs for the length of the block; how it ended is added to ``ends``."""
    async with trio.open_nursery() as nursery:
        system = system or current_system()
        cell = system.spawn(start, args, **options)

        async def run(*, task_status: trio.TaskStatus[Cell]) -> None:
            end = await cell.run(task_status=task_status)
            if ends is not None:
                ends.append(end)

        failed = None
        try:
            await nursery.start(run)
        except Exception as error:  # it leaves bare
            failed = error
        if failed is None:
            try:
                yield system.ref(cell.pid)
            finally:
                cell.request_stop("shutdown")
    if failed is not None:
        raise failed


def cell_of(ref: Ref[Any]) -> Cell:
    """What runs behind a ref to a pid."""
    cell = ref._find()
    assert cell is not None
    return cell


#: what `stage` ends by force
BEGUN: list[Cell] = []


@asynccontextmanager
async def stage() -> AsyncIterator[trio.Nursery]:
    """A nursery whose actors are ended by force when the test is over, or fails."""
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        finally:
            while BEGUN:
                BEGUN.pop().cancel()
            nursery.cancel_scope.cancel()
