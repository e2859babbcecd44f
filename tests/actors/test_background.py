"""Background tasks: what `Context.nursery` has of a nursery, and that none outlives its actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from tests.actors.kit import cell_of, running

from hubkit.actors import Actor, Exit
from hubkit.errors import ActorCrashed, HubClosed


class Host(Actor):
    """Does what it is told, inside."""

    def __init__(self, log: list[Any] | None = None) -> None:
        self.log = [] if log is None else log

    async def do(self, work: Callable[[trio.Nursery], Awaitable[Any]]) -> Any:
        return await work(self.context.nursery)

    async def on_stop(self, reason: str) -> None:
        self.log.append(f"stop {reason}")


async def fail(error: Exception) -> None:
    raise error


async def fail_at_the_end(error: Exception) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


async def test_it_costs_nothing_before_it_is_used() -> None:
    async with running(Host) as ref:
        assert cell_of(ref).background is None

        async def same(nursery: trio.Nursery) -> bool:
            return nursery is cell_of(ref).context.nursery

        assert await ref.call(Host.do, same)


async def test_it_has_what_a_nursery_has() -> None:
    async with running(Host) as ref:
        cell = cell_of(ref)

        async def look(nursery: trio.Nursery) -> None:
            nursery.start_soon(trio.sleep_forever, name="sleeper")
            await trio.testing.wait_all_tasks_blocked()
            [task] = nursery.child_tasks
            assert task.name == "sleeper"
            assert nursery.parent_task is trio.lowlevel.current_task()
            assert nursery.cancel_scope is cell.scope
            assert "1 tasks" in repr(nursery)

        await ref.call(Host.do, look)


async def test_it_knows_each_of_many_tasks_and_calls_them_as_a_nursery_does() -> None:
    async def sleeper(event: trio.Event) -> None:
        await event.wait()

    async with running(Host) as ref:

        async def look(nursery: trio.Nursery) -> None:
            events = [trio.Event() for _ in range(4)]
            async with trio.open_nursery() as bare:
                for each in (nursery, bare):
                    for event in events[:3]:
                        each.start_soon(sleeper, event)
                    each.start_soon(partial(sleeper, event=events[3]))
                for index, left in ((1, 3), (0, 2)):
                    events[index].set()
                    await trio.testing.wait_all_tasks_blocked()
                    assert len(nursery.child_tasks) == len(bare.child_tasks) == left
                nursery.start_soon(sleeper, events[2])
                bare.start_soon(sleeper, events[2])
                await trio.testing.wait_all_tasks_blocked()
                assert [sorted(task.name for task in each.child_tasks) for each in (nursery, bare)] == [
                    [f"{__name__}.{sleeper.__qualname__}"] * 3
                ] * 2
                events[2].set()
                await trio.testing.wait_all_tasks_blocked()
                assert len(nursery.child_tasks) == 1
                events[3].set()
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks == frozenset()

        await ref.call(Host.do, look)


async def test_start_waits_until_it_has_started() -> None:
    async def server(port: int, *, task_status: trio.TaskStatus[int]) -> None:
        await trio.lowlevel.checkpoint()
        task_status.started(port + 1)
        await fail_at_the_end(KeyError("later"))

    ends: list[Exit] = []
    async with running(Host, ends=ends) as ref:

        async def begin(nursery: trio.Nursery) -> Any:
            return await nursery.start(server, 80)

        assert await ref.call(Host.do, begin) == 81
    assert type(ends[0].error) is KeyError


async def test_what_fails_before_it_has_started_fails_its_starter_alone() -> None:
    async def server(*, task_status: trio.TaskStatus[None]) -> None:
        raise OSError("in use")

    async with running(Host) as ref:

        async def begin(nursery: trio.Nursery) -> str:
            try:
                await nursery.start(server)
            except OSError as error:
                return str(error)
            return "started"

        assert await ref.call(Host.do, begin) == "in use"


async def test_a_start_is_cancelled_with_its_starter(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async with running(Host) as ref:

        async def begin(nursery: trio.Nursery) -> bool:
            with trio.move_on_after(1) as scope:
                await nursery.start(slow)
            return scope.cancelled_caught and not nursery.child_tasks

        assert await ref.call(Host.do, begin)


async def test_cancelling_its_scope_ends_the_actor_by_force() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Host, log, ends=ends) as ref:

        async def end(nursery: trio.Nursery) -> None:
            nursery.start_soon(trio.sleep_forever)
            nursery.cancel_scope.cancel()
            await trio.sleep_forever()

        with pytest.raises(ActorCrashed, match="by force"):
            await ref.call(Host.do, end)
        await trio.testing.wait_all_tasks_blocked()
    assert ends[0].reason == "killed"
    assert log == []


async def test_several_that_fail_are_a_group() -> None:
    ends: list[Exit] = []
    log: list[Any] = []
    async with running(Host, log, ends=ends) as ref:

        async def two(nursery: trio.Nursery) -> None:
            nursery.start_soon(fail_at_the_end, KeyError("second"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(fail, OSError("first"))
            await trio.sleep_forever()

        with pytest.raises(ActorCrashed):
            await ref.call(Host.do, two)
        await trio.testing.wait_all_tasks_blocked()
    error = ends[0].error
    assert isinstance(error, ExceptionGroup)
    assert [type(each) for each in error.exceptions] == [OSError, KeyError]
    assert log == ["stop crash"]


async def test_the_error_of_a_handler_and_those_on_the_way_out_are_a_group() -> None:
    ends: list[Exit] = []
    async with running(Host, ends=ends) as ref:

        async def both(nursery: trio.Nursery) -> None:
            nursery.start_soon(fail_at_the_end, KeyError("background"))
            await trio.testing.wait_all_tasks_blocked()
            raise ValueError("handler")

        with pytest.raises(ActorCrashed) as caught:
            await ref.call(Host.do, both)
        assert type(caught.value.__cause__) is ValueError
        await trio.testing.wait_all_tasks_blocked()
    error = ends[0].error
    assert isinstance(error, ExceptionGroup)
    assert [type(each) for each in error.exceptions] == [ValueError, KeyError]


async def test_a_handler_with_a_nursery_of_its_own_is_interrupted() -> None:
    """Its group holds the cancellation as well as an error."""
    ends: list[Exit] = []
    async with running(Host, ends=ends) as ref:

        async def handler(nursery: trio.Nursery) -> None:
            nursery.start_soon(fail, KeyError("background"))
            async with trio.open_nursery() as own:
                own.start_soon(fail_at_the_end, OSError("own"))
                await trio.sleep_forever()

        with pytest.raises(ActorCrashed):
            await ref.call(Host.do, handler)
        await trio.testing.wait_all_tasks_blocked()
    assert isinstance(ends[0].error, ExceptionGroup)
    assert ends[0].reason == "crash"


async def test_a_task_that_fails_while_the_actor_says_goodbye_interrupts_it() -> None:
    class Late(Actor):
        async def on_stop(self, reason: str) -> None:
            self.context.nursery.start_soon(fail, KeyError("late"))
            await trio.sleep_forever()

    ends: list[Exit] = []
    async with running(Late, ends=ends):
        pass
    assert (ends[0].reason, type(ends[0].error)) == ("crash", KeyError)


async def test_a_task_that_fails_while_the_actor_starts_fails_the_start() -> None:
    class Early(Actor):
        async def on_start(self) -> None:
            self.context.nursery.start_soon(fail, KeyError("early"))
            await trio.sleep_forever()

    with pytest.raises(KeyError, match="early"):
        async with running(Early):
            pass


async def test_after_its_actor_it_is_closed() -> None:
    async with running(Host) as ref:
        context = cell_of(ref).context
        nursery = context.nursery
    with pytest.raises(RuntimeError, match="closed to new arrivals"):
        nursery.start_soon(trio.sleep_forever)
    with pytest.raises(RuntimeError, match="closed to new arrivals"):
        await nursery.start(trio.sleep_forever)
    async with running(Host) as ref:
        unused = cell_of(ref).context
    with pytest.raises(HubClosed, match="has ended"):
        _ = unused.nursery


async def test_an_interrupt_that_strikes_an_actor_leaves_it_its_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    log: list[Any] = []

    async def strike(nursery: trio.Nursery) -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(Host, log) as ref:
            with pytest.raises(ActorCrashed):
                await ref.call(Host.do, strike)
            await trio.sleep_forever()
    assert caught.group_contains(KeyboardInterrupt)
    assert log == ["stop shutdown"]
