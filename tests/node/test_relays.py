"""What waited for an actor that has moved away, sent on to the one that goes on for it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from tests.actors.kit import BEGUN, Counter, Gate, OutOfStock, stage
from tests.node.pair import Side, cut, pair

from hubkit.actors import Cell
from hubkit.actors.mailbox import Call, Item
from hubkit.actors.messages import NotBegun
from hubkit.errors import HubClosed, NodeDown, NotSerializable
from hubkit.events import DeadLetter


async def begun(side: Side, nursery: trio.Nursery, start: Any, mailbox: int = 1000) -> Cell:
    cell = side.system.spawn(start, mailbox=mailbox)
    BEGUN.append(cell)
    await nursery.start(cell.run)
    return cell


def letters(side: Side) -> list[str]:
    return [event.reason for event in side.events if isinstance(event, DeadLetter)]


class Waiting:
    """Callers of an actor on ``a`` that has stopped taking messages; what waits for it can be sent on to ``b``."""

    def __init__(self, a: Side, old: Cell, new: Cell, nursery: trio.Nursery) -> None:
        self.a, self.old, self.new, self.nursery = a, old, new, nursery
        self.results: list[Any] = []

    async def call(self, method: str, *args: Any) -> None:
        try:
            self.results.append(await self.a.system.call_here(self.old.pid, method, args, {}, ()))
        except Exception as error:
            self.results.append(error)

    async def calls(self, method: str, *args: Any) -> trio.CancelScope:
        """Begin to call, and wait until the call waits."""
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await self.call(method, *args)

        self.nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    def items(self) -> list[Item]:
        items = list(self.old.queue or ())
        self.old.queue = None
        return items

    async def forward(self) -> None:
        for item in self.items():
            self.a.exchange.forward(self.new.pid, item)
        await trio.testing.wait_all_tasks_blocked()


async def scene(nursery: trio.Nursery, start: Any = Counter, **options: Any) -> tuple[Side, Side, Waiting]:
    a, b = pair(nursery)
    old = a.system.spawn(start)
    old.stands_by = True
    BEGUN.append(old)
    await nursery.start(old.run)
    return a, b, Waiting(a, old, await begun(b, nursery, start, **options), nursery)


async def test_calls_and_casts_are_handled_elsewhere_in_their_order() -> None:
    async with stage() as nursery:
        a, _, waiting = await scene(nursery)
        waiting.old.push(waiting.old.letter("add", (5,), {}))
        await waiting.calls("add", 1)
        await waiting.calls("refuse", "bread")
        await waiting.calls("add", 1)
        await waiting.forward()
        numbers = [result for result in waiting.results if isinstance(result, int)]
        assert sorted(numbers) == [6, 7]
        assert [type(result) for result in waiting.results if not isinstance(result, int)] == [OutOfStock]
        assert a.exchange.relaying == 0


async def test_what_has_waited_once_needs_no_room() -> None:
    async with stage() as nursery:
        a, b, waiting = await scene(nursery, Gate, mailbox=1)
        for _ in range(5):
            waiting.old.push(waiting.old.letter("wait", (), {}))
        await waiting.forward()
        assert letters(a) == letters(b) == []
        assert waiting.new.length == 4


async def test_whoever_gives_up_is_not_served() -> None:
    async with stage() as nursery:
        a, _, waiting = await scene(nursery)
        early = await waiting.calls("add", 1)
        (item,) = waiting.items()
        early.cancel()
        await trio.testing.wait_all_tasks_blocked()
        a.exchange.forward(waiting.new.pid, item)  # it is known already

        async def rest() -> None:
            waiting.new.stands_by = True
            await waiting.new.stand_by()

        waiting.new.order(rest)
        await trio.testing.wait_all_tasks_blocked()
        late = await waiting.calls("add", 10)
        await waiting.forward()
        assert a.exchange.relaying == 1
        late.cancel()  # the call waits there by now
        await trio.testing.wait_all_tasks_blocked()
        assert a.exchange.relaying == 0
        waiting.new.stands_by = False
        waiting.new.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(waiting.new.instance, Counter)
        assert waiting.new.instance.value == 0


async def test_without_a_link_calls_have_not_begun_and_casts_are_dead_letters() -> None:
    async with stage() as nursery:
        a, b, waiting = await scene(nursery)
        cut(a, b)
        waiting.old.push(waiting.old.letter("add", (5,), {}))
        await waiting.calls("add", 1)
        await waiting.forward()
        assert [type(result) for result in waiting.results] == [NotBegun]
        assert letters(a) == ["there is no link to node 'b'"]


async def test_a_link_that_breaks_before_the_answer_leaves_it_open_what_happened() -> None:
    async with stage() as nursery:
        a, b, waiting = await scene(nursery, Gate)
        await waiting.calls("wait")
        await waiting.forward()
        a.exchange._end_relayed("c#1")
        assert a.exchange.relaying == 1
        cut(a, b)
        await trio.testing.wait_all_tasks_blocked()
        (error,) = waiting.results
        assert isinstance(error, NodeDown)
        assert error.maybe_executed


async def test_when_this_node_ends_its_callers_are_told() -> None:
    async with stage() as nursery:
        a, _, waiting = await scene(nursery, Gate)
        await waiting.calls("wait")
        await waiting.forward()
        a.exchange.close()
        await trio.testing.wait_all_tasks_blocked()
        assert [type(result) for result in waiting.results] == [NodeDown]
        with pytest.raises(HubClosed):
            a.system.check_open()


async def test_what_cannot_travel_is_told_to_those_who_wait() -> None:
    async with stage() as nursery:
        a, _, waiting = await scene(nursery)
        waiting.old.push(waiting.old.letter("add", (object(),), {}))
        await waiting.calls("add", object())
        await waiting.forward()
        assert [type(result) for result in waiting.results] == [NotSerializable]
        assert len(letters(a)) == 1


async def test_an_answer_that_nobody_can_read_is_an_error() -> None:
    async with stage() as nursery:
        a, b, waiting = await scene(nursery, Gate)
        await waiting.calls("wait")
        await waiting.forward()
        (number,) = a.exchange._relayed
        assert not a.exchange._take_relayed("c#1", number, None, 0), "nobody speaks for another node"
        a.exchange.receive(b.id, [2, number, 0, b"\xff"])
        await trio.testing.wait_all_tasks_blocked()
        assert len(waiting.results) == 1


def test_a_call_of_nobody_is_abandoned() -> None:
    async def nothing() -> None: ...

    call = Call(nothing(), "nothing", (), {}, (), None, None)  # type: ignore[arg-type]  # it is never withdrawn
    assert call.is_abandoned
    call.coroutine.close()
