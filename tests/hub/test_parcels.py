"""What waits for a child that moves: whatever is taken leaves once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from tests.actors.kit import BEGUN, Counter, stage

from hubkit.actors import Cell, System
from hubkit.actors.mailbox import Item
from hubkit.actors.messages import NotBegun, Request
from hubkit.errors import NoSuchMethod
from hubkit.events import DeadLetter, Event
from hubkit.hub import parcels as room
from hubkit.hub.parcels import Parcels
from hubkit.pids import Pid


class Scene:
    """A system, an actor that is about to end, and what is sent elsewhere."""

    def __init__(self, nursery: trio.Nursery, retention: float = 5.0) -> None:
        self.events: list[Event] = []
        self.system = System(publish=self.events.append)
        self.sent: list[tuple[Pid, Item]] = []
        self.parcels = Parcels("shop", self.system, lambda pid, item: self.sent.append((pid, item)), nursery, retention)
        self.nursery = nursery
        self.results: list[Any] = []

    async def cell(self, *, stands_by: bool = False) -> Cell:
        cell = self.system.spawn(Counter)
        cell.stands_by = stands_by
        BEGUN.append(cell)
        await self.nursery.start(cell.run)
        return cell

    async def call(self, cell: Cell, *args: Any) -> trio.CancelScope:
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                try:
                    self.results.append(await self.system.call_here(cell.pid, "add", args, {}, ()))
                except Exception as error:
                    self.results.append(error)

        self.nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    def stray(self, cell: Cell, *args: Any) -> None:
        self.system.deliver_cast_nowait(cell.pid.serial, Request("cast", "add", args, {}))

    @property
    def letters(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, DeadLetter)]


async def test_all_goes_to_the_one_elsewhere_and_strays_follow_for_a_while(autojump_clock: object) -> None:
    async with stage() as nursery:
        scene = Scene(nursery)
        old = await scene.cell(stands_by=True)
        old.push(old.letter("add", (1,), {}))
        scene.parcels.divert("x", old)
        old.request_stop()
        scene.stray(old, 2)
        assert len(scene.parcels) == 1
        there = Pid("b", 1, 7)
        scene.parcels.forward("x", there)
        scene.stray(old, 3)
        assert [(pid, item[2]) for pid, item in scene.sent if isinstance(item, tuple)] == [
            (there, (1,)),
            (there, (2,)),
            (there, (3,)),
        ]
        for _, item in scene.sent:
            if isinstance(item, tuple) and item[0] is not None:
                item[0].close()
        await trio.sleep(6)
        scene.stray(old, 4)
        assert len(scene.letters) == 1
        assert len(scene.parcels) == 0


async def test_without_retention_strays_are_dead_letters() -> None:
    async with stage() as nursery:
        scene = Scene(nursery, retention=0)
        old = await scene.cell(stands_by=True)
        scene.parcels.divert("x", old)
        old.request_stop()
        scene.parcels.forward("x", Pid("b", 1, 7))
        await trio.testing.wait_all_tasks_blocked()
        scene.stray(old, 3)
        assert len(scene.letters) == 1


async def test_one_that_begins_here_is_given_all_but_what_was_given_up() -> None:
    async with stage() as nursery:
        scene = Scene(nursery)
        old, new = await scene.cell(stands_by=True), await scene.cell()
        await scene.call(old, 1)
        given_up = await scene.call(old, 100)
        old.push(old.letter("add", (2,), {}))
        scene.parcels.divert("x", old)
        given_up.cancel()
        await trio.testing.wait_all_tasks_blocked()
        scene.parcels.deliver("nobody", new)
        scene.parcels.deliver("x", new)
        scene.stray(old, 4)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.results == [1]
        assert isinstance(new.instance, Counter)
        assert new.instance.value == 7


async def test_what_nobody_goes_on_with_is_answered_or_told() -> None:
    async with stage() as nursery:
        scene = Scene(nursery)
        old = await scene.cell(stands_by=True)
        await scene.call(old, 1)
        old.push(old.message("hello"))
        scene.parcels.divert("x", old)
        old.request_stop()
        scene.parcels.discard("x")
        scene.parcels.discard("x")
        await trio.testing.wait_all_tasks_blocked()
        assert [type(result) for result in scene.results] == [NotBegun]
        assert scene.letters == ["child 'x' has stopped here"]
        assert [event.target for event in scene.events if isinstance(event, DeadLetter)] == ["shop/x"]
        assert scene.system.successors == {}


async def test_one_that_cannot_take_them_loses_none_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as nursery:
        scene = Scene(nursery)
        old = await scene.cell(stands_by=True)
        await scene.call(old, 1)
        old.push(old.letter("fail", ("x",), {}))
        scene.parcels.divert("x", old)
        monkeypatch.setattr(room, "STRAYS", 2)
        scene.stray(old, 1)
        assert scene.letters == ["too many messages wait for child 'x'"]
        new = scene.system.spawn(Gone)
        BEGUN.append(new)
        await nursery.start(new.run)
        scene.parcels.deliver("x", new)
        await trio.testing.wait_all_tasks_blocked()
        assert [type(result) for result in scene.results] == [NoSuchMethod]
        assert len(scene.letters) == 2
        new.request_stop()
        await trio.testing.wait_all_tasks_blocked()
        scene.stray(old, 1)
        assert scene.letters[2] == "child 'x' has ended"


class Gone(Counter):
    """Has other methods than it had."""

    add = None  # type: ignore[assignment]  # on purpose
    fail = None  # type: ignore[assignment]  # on purpose
