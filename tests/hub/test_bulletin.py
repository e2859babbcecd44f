"""How a hub tells what happened: handlers that behave badly, and streams that are read badly, harm nobody else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.lowlevel
from tests.hub.actors import Counter
from tests.hub.clusters import until

import hubkit
from hubkit import errors, events
from hubkit.hub.bulletin import HANDLER_SECONDS, STREAM, Bulletin
from hubkit.testing import Simulation, simulated


@asynccontextmanager
async def running() -> AsyncIterator[Bulletin]:
    """A bulletin whose handlers are served; at the end they have seen everything."""
    bulletin = Bulletin("shop")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulletin.run)
        yield bulletin
        await bulletin.flush(100)
        nursery.cancel_scope.cancel()


def left(*names: str) -> list[events.NodeLeft]:
    return [events.NodeLeft(name) for name in names]


def publish(bulletin: Bulletin, *names: str) -> None:
    for event in left(*names):
        bulletin.publish(event)


# -- handlers -----------------------------------------------------------------------------------------------------------


async def test_the_highest_priority_is_first_and_the_same_in_order_of_registration() -> None:
    seen: list[str] = []

    def handler(name: str) -> Callable[[events.Event], Any]:
        async def asynchronous(_: events.Event) -> None:
            await trio.lowlevel.checkpoint()
            seen.append(name)

        return asynchronous if name.startswith("async") else lambda _: seen.append(name)

    async with running() as bulletin:
        for name, priority in (("one", 0), ("async two", 0), ("low", -5), ("high", 7), ("async high", 7), ("three", 0)):
            bulletin.on(events.NodeLeft, handler(name), priority)
        publish(bulletin, "n")
    assert seen == ["high", "async high", "one", "async two", "three", "low"]


async def test_hooks_given_at_construction_and_later_are_the_same() -> None:
    seen: list[str] = []
    hooks: list[Any] = [
        (events.ChildStarted, lambda _: seen.append("first")),
        (events.ChildStarted, lambda _: seen.append("urgent"), 10),
    ]
    async with hubkit.Hub("shop", hooks=hooks) as hub:
        hub.on(events.ChildStarted, lambda _: seen.append("between"), priority=5)
        await hub.start_child(hubkit.child("c", Counter))
        await until(lambda: len(seen) == 3)
    assert seen == ["urgent", "between", "first"]


class Odd(BaseException):
    """No exception that anybody expects."""


async def _nursery_fails(_: events.Event) -> None:
    async def fail() -> None:
        raise ValueError("in the background")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.sleep_forever()


def _raises(error: BaseException) -> Callable[[events.Event], Any]:
    def handler(_: events.Event) -> None:
        raise error

    return handler


async def _cancels_itself(_: events.Event) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.sleep_forever()
    raise RuntimeError("after that")


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "handler",
    [
        _raises(RuntimeError("oops")),
        _raises(Odd("oops")),
        _raises(BaseExceptionGroup("oops", [Odd("one"), ValueError("two")])),
        _raises(ExceptionGroup("oops", [ValueError("two")])),
        _raises(GeneratorExit()),
        _nursery_fails,
        _cancels_itself,
    ],
    ids=["error", "base", "base group", "group", "generator", "nursery", "cancelled"],
)
async def test_a_handler_that_raises_is_reported_and_harms_nothing(
    handler: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[events.Event] = []
    async with running() as bulletin:
        bulletin.on(events.NodeLeft, handler, 1)
        bulletin.on(events.NodeLeft, seen.append)
        publish(bulletin, "a", "b")
    assert seen == left("a", "b")
    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(reports) == 2
    for record, event in zip(reports, left("a", "b"), strict=True):
        assert handler.__qualname__ in record.getMessage()
        assert str(event) in record.getMessage()
        assert record.exc_info is not None
    caplog.clear()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_what_is_meant_for_the_whole_program_goes_through(error: BaseException) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            bulletin = Bulletin("shop")
            bulletin.on(events.NodeLeft, _raises(BaseExceptionGroup("both", [error, ValueError("mine")])))
            nursery.start_soon(bulletin.run)
            publish(bulletin, "n")
            await trio.sleep(10)
    assert caught.group_contains(type(error))
    assert not caught.group_contains(ValueError)
    with pytest.raises(BaseExceptionGroup) as alone:
        async with trio.open_nursery() as nursery:
            bulletin = Bulletin("shop")
            bulletin.on(events.NodeLeft, _raises(error))
            nursery.start_soon(bulletin.run)
            publish(bulletin, "n")
            await trio.sleep(10)
    assert alone.group_contains(type(error))


async def test_each_slow_handler_has_its_own_five_seconds(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    moments: list[float] = []
    cleaned: list[float] = []

    async def forever(_: events.Event) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cleaned.append(trio.current_time())

    async def splits(_: events.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)

    async def patient(_: events.Event) -> None:
        await trio.sleep(HANDLER_SECONDS - 0.1)
        moments.append(trio.current_time())

    async with running() as bulletin:
        bulletin.on(events.NodeLeft, forever, 3)
        bulletin.on(events.NodeLeft, splits, 2)
        bulletin.on(events.NodeLeft, patient, 1)
        publish(bulletin, "n")
    assert cleaned == [5.0]
    assert moments == [pytest.approx(14.9)]
    reports = [record.getMessage() for record in caplog.records if "more than 5 s" in record.getMessage()]
    assert len(reports) == 2
    assert "forever" in reports[0]
    assert "splits" in reports[1]
    assert all("NodeLeft" in report for report in reports)


async def test_a_handler_may_cancel_its_own_hook_and_add_others() -> None:
    seen: list[str] = []

    async with running() as bulletin:

        def once(event: events.NodeLeft) -> None:
            seen.append(f"once {event.node}")
            hook.cancel()
            bulletin.on(events.NodeLeft, lambda e: seen.append(f"new {e.node}"), 99)

        def late(event: events.NodeLeft) -> None:
            seen.append(f"late {event.node}")

        def first(event: events.NodeLeft) -> None:
            if event.node == "b":
                other.cancel()

        hook = bulletin.on(events.NodeLeft, once)
        bulletin.on(events.NodeLeft, first, 5)
        other = bulletin.on(events.NodeLeft, late, -1)
        publish(bulletin, "a")
        await bulletin.flush(1)
        publish(bulletin, "b")
    assert seen == ["once a", "late a", "new b"]


async def test_what_is_published_inside_a_handler_comes_after_all_that_was_before() -> None:
    seen: list[str] = []

    async with running() as bulletin:

        async def echo(event: events.NodeLeft) -> None:
            seen.append(event.node)
            if event.node in "ab":
                bulletin.publish(events.NodeLeft(event.node * 2))
                await trio.sleep(0.01)

        bulletin.on(events.NodeLeft, echo)
        bulletin.on(events.NodeLeft, lambda e: seen.append(e.node.upper()))
        publish(bulletin, "a", "b", "c")
    assert seen == ["a", "A", "b", "B", "c", "C", "aa", "AA", "bb", "BB"]


async def test_a_handler_may_stop_and_start_children() -> None:
    done: list[str] = []

    async with hubkit.Hub("shop") as hub:

        async def replace(event: events.ChildStarted) -> None:
            if event.child == "one":
                await hub.stop_child("one")
                await hub.start_child(hubkit.child("two", Counter))
                done.append(event.child)

        async def itself(event: events.ChildStopped) -> None:
            done.append(f"stopped {event.child}")

        hub.on(events.ChildStarted, replace)
        hub.on(events.ChildStopped, itself)
        await hub.start_children([hubkit.child("one", Counter)])  # whatever is said of it: it may be gone by then
        await until(lambda: "stopped one" in done and "one" in done)
        assert set(hub.children()) == {"two"}


async def test_handlers_that_are_too_slow_for_all_are_told_of_the_loss(caplog: pytest.LogCaptureFixture) -> None:
    from hubkit.hub import bulletin as room

    bulletin = Bulletin("shop")
    seen: list[events.Event] = []
    bulletin.on(events.NodeLeft, seen.append)
    for _ in range(room.QUEUE + 3):
        bulletin.publish(events.NodeLeft("n"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulletin.run)
        await bulletin.flush(10)
        bulletin.publish(events.NodeLeft("last"))
        await bulletin.flush(10)
        nursery.cancel_scope.cancel()
    assert len(seen) == room.QUEUE + 1
    assert "3 events were not handed to handlers" in caplog.text


@simulated(seeds=2)
async def test_a_slow_handler_is_bounded_in_virtual_time_and_holds_up_no_hub(sim: Simulation) -> None:
    async def forever(_: events.Event) -> None:
        await trio.sleep_forever()

    seen: list[float] = []
    a = await sim.start_hub("shop", node="a", hooks=[(events.ChildStarted, forever, 1)])
    a.on(events.ChildStarted, lambda _: seen.append(sim.now))
    began = sim.now
    await a.start_child(hubkit.child("c", Counter))
    assert sim.now - began < 0.5
    await sim.sleep(6)
    assert [round(moment - began) for moment in seen] == [5]


# -- how a hub stops is told, however it stops ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"), [("body", "drain"), ("error", "error"), ("cancel", "exit"), ("stop", "drain")]
)
async def test_the_stop_is_told_once_with_its_reason_and_handlers_hear_what_follows(how: str, expected: str) -> None:
    heard: list[Any] = []

    async def handler(event: events.Event) -> None:
        await trio.sleep(0.01)
        if isinstance(event, events.HubStopping | events.ChildStopped | events.ChildUnregistered):
            heard.append(event)

    async def block() -> None:
        async with hubkit.Hub("shop", hooks=[(events.Event, handler)]) as hub:
            await hub.start_child(hubkit.child("c", Counter))
            if how == "error":
                raise LookupError
            if how == "stop":
                await hub.stop()
            if how == "cancel":
                scope.cancel()
                await trio.sleep_forever()

    with trio.CancelScope() as scope:
        if how == "error":
            with pytest.raises(LookupError):
                await block()
        else:
            await block()
    assert [type(event).__name__ for event in heard] == ["HubStopping", "ChildStopped", "ChildUnregistered"]
    assert heard[0] == events.HubStopping(expected, hub="shop")


# -- streams --------------------------------------------------------------------------------------------------------------


async def test_streams_are_independent_and_gaps_stand_where_they_are() -> None:
    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft) as slow, bulletin.events() as quick:
        expected: list[events.Event] = []
        for number in range(STREAM + 5):
            event = events.NodeLeft(str(number))
            bulletin.publish(event)
            assert await anext(quick) == event
            if number < STREAM:
                expected.append(event)
        assert await anext(slow) == expected.pop(0)
        bulletin.publish(events.NodeLeft("after"))
        expected += [events.EventsLost(5, hub="shop"), events.NodeLeft("after")]
        assert [await anext(slow) for _ in expected] == expected
        assert await anext(quick) == events.NodeLeft("after")


async def test_a_stream_of_several_types_keeps_their_order() -> None:
    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft, events.NodeJoined) as stream:
        for event in (events.NodeJoined("a"), events.NodeSuspected("a", "silent"), events.NodeLeft("a")):
            bulletin.publish(event)
        assert [await anext(stream) for _ in range(2)] == [events.NodeJoined("a"), events.NodeLeft("a")]


async def test_a_stream_that_is_closed_early_gets_no_more_and_ends() -> None:
    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft) as stream:
        publish(bulletin, "a", "b")
        async for event in stream:
            assert event == events.NodeLeft("a")
            break
    publish(bulletin, "c")
    assert [event async for event in stream] == left("b")
    assert bulletin._streams == []


async def test_a_gap_at_the_very_end_is_told_too() -> None:
    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft) as stream:
        for _ in range(STREAM + 2):
            bulletin.publish(events.NodeLeft("n"))
        bulletin.close()
        bulletin.publish(events.NodeLeft("too late"))
        got = [event async for event in stream]
    assert got[-1] == events.EventsLost(2, hub="shop")
    assert len(got) == STREAM + 1


async def test_two_tasks_may_read_one_stream() -> None:
    bulletin = Bulletin("shop")
    got: list[events.Event] = []

    async def read(stream: Awaitable[events.Event]) -> None:
        got.append(await stream)

    async with bulletin.events(events.NodeLeft) as stream:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, anext(stream))
                nursery.start_soon(read, anext(stream))
                await trio.testing.wait_all_tasks_blocked()
                publish(bulletin, "a", "b")
    assert sorted(got, key=str) == left("a", "b")


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft) as stream:
        with trio.move_on_after(0.01):
            await anext(stream)
        publish(bulletin, "a")
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(stream)
        assert await anext(stream) == events.NodeLeft("a")


async def test_streams_end_when_the_hub_stops_however_that_is() -> None:
    got: list[str] = []

    async def read(hub: hubkit.Hub, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with hub.events(events.HubStopping) as stream:
            task_status.started()
            got.extend([event.reason async for event in stream if isinstance(event, events.HubStopping)])

    async with trio.open_nursery() as nursery:
        with pytest.raises(LookupError):
            async with hubkit.Hub("shop") as hub:
                await nursery.start(read, hub)
                raise LookupError
        with trio.fail_after(5):
            async with hubkit.Hub("shop") as hub:
                await nursery.start(read, hub)
    assert got == ["error", "drain"]
    with pytest.raises(errors.HubClosed):
        hub.events()
