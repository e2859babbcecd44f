"""What the tests of supervisors share: children that write a log, and do as their world has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio

from hubkit.actors import Actor, Ref, current_system
from hubkit.errors import ActorCrashed
from hubkit.specs import ChildSpec
from hubkit.supervision import Supervisor, child

Clock = trio.testing.MockClock


class World:
    """What the children of a test share: a log, and how they shall behave."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fail_starts: dict[str, int] = {}
        self.slow_starts: dict[str, float] = {}
        self.slow_stops: dict[str, float] = {}
        self.fail_stops: set[str] = set()
        #: The last supervisor of each name, of those that tell.
        self.sups: dict[str, Supervisor] = {}


class Worker(Actor):
    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.value = 0

    async def on_start(self) -> None:
        await trio.sleep(self.world.slow_starts.get(self.name, 0.0))
        if self.world.fail_starts.get(self.name, 0) > 0:
            self.world.fail_starts[self.name] -= 1
            raise OSError(f"{self.name} cannot start")
        self.world.log.append(f"+{self.name}")

    async def on_stop(self, reason: str) -> None:
        await trio.sleep(self.world.slow_stops.get(self.name, 0.0))
        self.world.log.append(f"-{self.name} {reason}")

    async def crash(self) -> None:
        raise ValueError(self.name)

    async def leave(self, reason: str = "normal") -> None:
        self.context.stop(reason)

    async def add(self) -> int:
        self.value += 1
        return self.value

    async def why(self) -> str:
        return self.context.start_reason


def worker(name: str, world: World, **options: Any) -> ChildSpec:
    return replace(child(name, Worker, name, world), **options)


async def crash(ref: Ref[Any]) -> None:
    with pytest.raises(ActorCrashed):
        await ref.call(Worker.crash)


async def quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


def states(supervisor: Supervisor) -> dict[str, str]:
    return {status.id: status.state for status in supervisor.which_children()}


def found(id: str) -> Ref[Any]:
    """The child of this id, in whatever supervisor it is; its incarnation of now."""
    [cell] = [cell for cell in current_system().cells.values() if cell.child_id == id]
    return current_system().ref(cell.pid)
