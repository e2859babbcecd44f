"""How tasks sleep: what `hubkit.actors.parking` takes for granted of trio, and who is woken when."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import trio
from outcome import Error
from tests.actors.kit import Counter, Echo, cell_of, running

from hubkit.actors import current_system
from hubkit.actors.parking import ASLEEP, WOKEN, _seats, sit
from hubkit.errors import ActorCrashed, NoSuchActor
from hubkit.supervision import Supervisor, child


class Letter:
    """What somebody waits for."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.aborted: list[Any] = []

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        self.aborted.append(raise_cancel)
        return trio.lowlevel.Abort.SUCCEEDED


async def waiting(letter: Letter, tasks: list[trio.lowlevel.Task], heard: list[Any]) -> None:
    tasks.append(trio.lowlevel.current_task())
    try:
        heard.append(await sit(letter))
    except (KeyError, trio.Cancelled) as error:
        heard.append(type(error))
        if isinstance(error, trio.Cancelled):
            raise


async def test_who_waits_gets_the_value_or_the_error() -> None:
    tasks: list[trio.lowlevel.Task] = []
    heard: list[Any] = []
    async with trio.open_nursery() as nursery:
        for value in range(2):
            nursery.start_soon(waiting, Letter(value), tasks, heard)
            await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.reschedule(tasks[0], WOKEN)
        trio.lowlevel.reschedule(tasks[1], Error(KeyError()))
    assert set(heard) == {0, KeyError}


async def test_who_is_cancelled_is_told_from_the_others() -> None:
    tasks: list[trio.lowlevel.Task] = []
    heard: list[Any] = []
    letters = [Letter(), Letter()]
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await waiting(letters[0], tasks, heard)

        nursery.start_soon(cancelled)
        nursery.start_soon(waiting, letters[1], tasks, heard)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [trio.Cancelled]
        assert [len(letter.aborted) for letter in letters] == [1, 0]
        # The place that is free now is taken by the next, and not by two.
        nursery.start_soon(waiting, letters[0], tasks, heard)
        await trio.testing.wait_all_tasks_blocked()
        places = len(_seats)
        nursery.cancel_scope.cancel()
    assert [len(letter.aborted) for letter in letters] == [2, 1]
    assert len({id(seat) for seat in _seats}) == len(_seats) == places + 2


async def test_a_message_for_an_actor_that_trio_has_just_woken_wakes_it_no_second_time() -> None:
    async with running(Counter) as ref:
        cell = cell_of(ref)
        await trio.testing.wait_all_tasks_blocked()
        assert cell.task is not None
        assert cell.parked is cell.task
        assert cell.task.custom_sleep_data is ASLEEP
        cell.scope.cancel()  # it is on its way, and has not seen it
        ref.cast_nowait(Counter.add)
        ref.send_nowait("late")
        with pytest.raises(NoSuchActor):
            await ref.call(Counter.add)


async def test_a_task_reads_again_where_one_was_cancelled() -> None:
    got: list[Any] = []

    async def reader(context: Any) -> None:
        for _ in range(10):  # trio lets the two go on in any order
            async with trio.open_nursery() as nursery:
                nursery.start_soon(context.receive)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    got.append(await context.receive())

    async with running(reader) as ref:
        for number in range(10):
            await trio.testing.wait_all_tasks_blocked(0.01)  # after the other one who waits so
            ref.send_nowait(number)
        await trio.testing.wait_all_tasks_blocked()
    assert got == list(range(10))


async def test_a_ref_keeps_the_actor_of_a_supervisor_until_it_has_ended() -> None:
    async with Supervisor(children=[child("c", Counter)]) as supervisor:
        ref = supervisor.ref("c")
        assert await ref.call(Counter.add, 1) == 1
        first = cell_of(ref)
        assert ref._cell is first
        with pytest.raises(ActorCrashed):
            await ref.call(Counter.fail, "now")
        assert [await ref.call(Counter.add, 1) for _ in range(2)] == [1, 2]
        assert ref._cell is not first
        await supervisor.terminate_child("c")
        with pytest.raises(trio.WouldBlock):
            ref.cast_nowait(Counter.add, 1)
    with pytest.raises(NoSuchActor):
        ref.cast_nowait(Counter.add, 1)
    assert current_system().directories == {}


async def test_an_actor_that_is_idle_keeps_nothing_of_its_last_call() -> None:
    class Big:
        pass

    async with running(Echo) as ref:
        big = Big()
        gone = weakref.ref(big)
        await ref.call(Echo.echo, big)
        ref.cast_nowait(Echo.echo, big)
        del big
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert gone() is None
