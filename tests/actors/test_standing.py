"""Actors that stand by: they do orders and nothing else, and what waits for them is kept, or passed on."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import trio
import trio.testing
from tests.actors.kit import BEGUN, Counter, OutOfStock, stage

from hubkit.actors import Actor, Cell, System
from hubkit.actors.mailbox import Item
from hubkit.actors.standing import SYSTEM, Standing


class Noter(Actor):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    async def note(self, what: Any) -> None:
        self.notes.append(what)

    async def on_info(self, message: Any) -> None:
        self.notes.append(message)


async def begun(nursery: trio.Nursery, start: Any = Noter, *, mailbox: int = 1000, stands_by: bool = False) -> Cell:
    """A cell that runs."""
    cell = System().spawn(start, mailbox=mailbox)
    cell.stands_by = stands_by
    BEGUN.append(cell)
    await nursery.start(cell.run)
    return cell


def notes(cell: Cell) -> list[Any]:
    assert isinstance(cell.instance, Noter)
    return cell.instance.notes


async def quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_orders_come_before_all_messages_and_do_not_count() -> None:
    async with stage() as nursery:
        cell = await begun(nursery)

        def order(what: str) -> None:
            async def work() -> None:
                notes(cell).append(what)

            cell.order(work)

        cell.push(cell.letter("note", (1,), {}))
        order("first")
        order("second")
        await quiet()
        assert notes(cell) == ["first", "second", 1]
        assert cell.handled == 1
        order("third")
        await quiet()
        assert notes(cell)[-1] == "third"
        assert cell.handled == 1
        cell.request_stop()


async def test_one_that_stands_by_keeps_its_messages_until_it_goes_on() -> None:
    async with stage() as nursery:
        cell = await begun(nursery, stands_by=True)
        cell.push(cell.letter("note", (1,), {}))
        await quiet()
        assert notes(cell) == []

        async def go_on() -> None:
            cell.stands_by = False

        async def note() -> None:
            notes(cell).append("an order")

        cell.order(go_on)
        cell.order(note)  # though it does not stand by any more when its turn comes
        await quiet()
        assert notes(cell) == ["an order", 1]
        cell.order(note)
        await quiet()
        assert notes(cell) == ["an order", 1, "an order"]
        cell.request_stop()


async def test_messages_go_to_a_successor_and_those_of_the_system_stay() -> None:
    async with stage() as nursery:
        cell = await begun(nursery, mailbox=2, stands_by=True)
        passed: list[Item] = []
        cell.successor = passed.append
        cell.push(cell.letter("note", (1,), {}))
        cell.inform("a Down")
        nursery.start_soon(cell.push_when_room, cell.letter("note", (2,), {}))  # waits for room
        nursery.start_soon(cell.push_when_room, cell.letter("note", (3,), {}))
        await quiet()
        assert sorted(item[2] for item in passed if isinstance(item, tuple)) == [(1,), (2,), (3,)]
        for item in passed:
            assert isinstance(item, tuple)
            assert item[0] is not None
            item[0].close()
        cell.stands_by, cell.successor = False, None
        cell.push(cell.letter("note", (4,), {}))
        await quiet()
        assert notes(cell) == ["a Down", 4]
        cell.request_stop()


async def test_what_waits_at_its_end_goes_to_the_successor() -> None:
    async with stage() as nursery:
        cell = await begun(nursery, stands_by=True)
        passed: list[Item] = []
        cell.push(cell.letter("note", (1,), {}))
        cell.inform("a Down")
        await quiet()
        cell.successor = passed.append
        cell.request_stop()
        await quiet()
    (item,) = passed
    assert isinstance(item, tuple)
    assert item[1:] == ("note", (1,), {})
    assert item[3] is not SYSTEM
    assert item[0] is not None
    item[0].close()


@pytest.mark.parametrize("stands_by", [True, False])
async def test_an_order_that_refuses_is_a_crash(stands_by: bool) -> None:
    async with stage() as nursery:
        cell = System().spawn(Counter)
        cell.stands_by = stands_by
        BEGUN.append(cell)
        ended = []

        async def run(*, task_status: Any) -> None:
            ended.append(await cell.run(task_status=task_status))

        async def refuse() -> None:
            raise OutOfStock("bread")

        await nursery.start(run)
        cell.order(refuse)
        await quiet()
    (exit,) = ended
    assert exit.reason == "crash"
    assert "OutOfStock" in str(exit.error)
    assert exit.error is not None
    assert isinstance(exit.error.__cause__, OutOfStock)


async def test_nothing_holds_up_its_end() -> None:
    async with stage() as nursery:
        cell = await begun(nursery, stands_by=True)

        async def stop() -> None:
            cell.request_stop()

        async def never() -> None:
            notes(cell).append("too late")

        cell.order(stop)
        cell.order(never)
        instance = cell.instance
        assert isinstance(instance, Noter)
        await quiet()
    assert instance.notes == []


def test_who_has_ended_takes_no_orders_and_nothing_is_left_of_them() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    cell = Standing(10)
    assert cell.closed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell.order(work)
        assert not cell.queue
        assert not cell.orders
    assert not done
