"""Monitors and timers: exactly once, or not at all."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, Gate, cell_of, running

from hubkit import debug
from hubkit.actors import Actor, Context, Down, Monitor, Ref, System, Timer, current_system
from hubkit.errors import ActorCrashed, ConfigurationError
from hubkit.events import DeadLetter, Event
from hubkit.pids import ChildKey, Pid


class Watcher(Actor):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def watch(self, ref: Ref[Any]) -> Monitor:
        return self.context.monitor(ref)

    async def unwatch(self, monitor: Monitor) -> bool:
        return self.context.demonitor(monitor)

    async def busy(self, other: Ref[Any], monitor: Monitor) -> bool:
        """While a Down waits in the mailbox, forget it."""
        cell_of(other).request_stop("normal")
        await trio.testing.wait_all_tasks_blocked()
        assert cell_of(self.context.ref).length == 1
        return self.context.demonitor(monitor)

    async def later(self, seconds: float, message: Any) -> Timer:
        return self.context.send_after(seconds, message)

    async def every(self, seconds: float, message: Any) -> Timer:
        return self.context.send_interval(seconds, message)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def on_info(self, message: Any) -> None:
        self.heard.append(message)

    async def read(self) -> list[Any]:
        return list(self.heard)


async def test_down_comes_once_with_the_reason() -> None:
    async with running(Watcher) as watcher:
        async with running(Counter) as ref:
            first = await watcher.call(Watcher.watch, ref)
            second = await watcher.call(Watcher.watch, ref)
            assert first != second
            assert first.pid == ref.pid
            assert await watcher.call(Watcher.read) == []
        expected = [Down(first, ref.pid, "shutdown"), Down(second, ref.pid, "shutdown")]
        assert await watcher.call(Watcher.read) == expected
        current_system().down(first.number, first.pid, "again")
        assert await watcher.call(Watcher.read) == expected


@pytest.mark.parametrize(("way", "reason"), [("stop", "normal"), ("fail", "crash"), ("kill", "killed")])
async def test_down_tells_how_it_ended(way: str, reason: str) -> None:
    async with running(Watcher) as watcher, running(Counter) as ref:
        monitor = await watcher.call(Watcher.watch, ref)
        if way == "stop":
            await ref.call(Counter.stop)
        elif way == "fail":
            with pytest.raises(ActorCrashed):
                await ref.call(Counter.fail, "x")
        else:
            cell_of(ref).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert await watcher.call(Watcher.read) == [Down(monitor, ref.pid, reason)]


async def test_what_is_gone_is_down_at_once() -> None:
    system = current_system()
    gone = [system.ref(Pid("local", 0, 999)), system.ref(ChildKey("no hub", "x")), system.ref(Pid("other", 1, 1))]
    async with running(Watcher) as watcher:
        monitors = [await watcher.call(Watcher.watch, ref) for ref in gone]
        heard = await watcher.call(Watcher.read)
        assert heard == [Down(monitor, monitor.pid, "noproc") for monitor in monitors]
        assert monitors[1].pid is None


async def test_after_demonitor_no_down_comes() -> None:
    async with running(Watcher) as watcher, running(Counter) as ref:
        monitor = await watcher.call(Watcher.watch, ref)
        assert await watcher.call(Watcher.unwatch, monitor) is True
        assert await watcher.call(Watcher.unwatch, monitor) is False
        assert cell_of(ref).watchers == {}
        await ref.call(Counter.stop)
        await trio.testing.wait_all_tasks_blocked()
        assert await watcher.call(Watcher.read) == []


async def test_demonitor_takes_a_waiting_down_out_of_the_mailbox() -> None:
    async with running(Watcher) as watcher, running(Counter) as ref:
        monitor = await watcher.call(Watcher.watch, ref)
        assert await watcher.call(Watcher.busy, ref, monitor) is False
        assert await watcher.call(Watcher.read) == []


async def test_another_actor_cannot_undo_a_watch() -> None:
    async with running(Watcher) as watcher, running(Watcher) as thief, running(Counter) as ref:
        monitor = await watcher.call(Watcher.watch, ref)
        assert await thief.call(Watcher.unwatch, monitor) is False
        await ref.call(Counter.stop)
        await trio.testing.wait_all_tasks_blocked()
        assert len(await watcher.call(Watcher.read)) == 1


async def test_the_watches_of_an_actor_end_with_it() -> None:
    async with running(Counter) as ref:
        async with running(Watcher) as watcher:
            await watcher.call(Watcher.watch, ref)
        assert cell_of(ref).watchers == {}
        assert current_system()._monitors == {}


async def test_timers_fire_in_order_and_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Watcher) as watcher:
        timers = [await watcher.call(Watcher.later, seconds, seconds) for seconds in (3, 1, 2, 1)]
        assert all(timer.active for timer in timers)
        await trio.sleep(2.5)
        assert await watcher.call(Watcher.read) == [1, 1, 2]
        await trio.sleep(2.5)
        assert await watcher.call(Watcher.read) == [1, 1, 2, 3]
        assert not any(timer.active for timer in timers)
        assert "over" in repr(timers[0])
        # The task for timers has ended; a new timer starts a new one.
        await watcher.call(Watcher.later, 0, "again")
        await trio.sleep(1)
        assert (await watcher.call(Watcher.read))[-1] == "again"


async def test_a_timer_can_be_called_off_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Watcher) as watcher:
        timer = await watcher.call(Watcher.later, 1, "never")
        await watcher.call(Watcher.later, 2, "last")
        assert timer.cancel() is True
        assert timer.cancel() is False
        await trio.sleep(3)
        assert await watcher.call(Watcher.read) == ["last"]


async def test_timers_die_with_their_actor(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Watcher) as watcher:
        timer = await watcher.call(Watcher.later, 100, "never")
    assert not timer.active
    assert len(current_system().timers) == 0


async def test_thousands_of_timers_are_one_task_and_the_dead_are_thrown_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timers = current_system().timers
    async with running(Watcher) as watcher:
        await watcher.call(Watcher.later, 1, "first")
        await trio.testing.wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        context = cell_of(watcher).context
        made = [context.send_after(10 + number, number) for number in range(5000)]
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        for timer in made[100:]:
            timer.cancel()
        assert len(timers) == 101
        assert len(timers._heap) < 500
        await trio.sleep(200)
        assert await watcher.call(Watcher.read) == ["first", *range(100)]


async def test_an_interval_comes_again_until_it_is_called_off(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Watcher) as watcher:
        timer = await watcher.call(Watcher.every, 2, "tick")
        await trio.sleep(1)
        assert await watcher.call(Watcher.read) == []
        await trio.sleep(6)
        assert await watcher.call(Watcher.read) == ["tick"] * 3
        assert timer.active
        assert timer.cancel() is True
        assert timer.cancel() is False
        await trio.sleep(10)
        assert await watcher.call(Watcher.read) == ["tick"] * 3
        await watcher.call(Watcher.every, 2, "tock")
    assert len(current_system().timers) == 0


async def test_of_an_interval_one_message_waits_never_two_and_there_is_no_drift(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Watcher) as watcher:
        await watcher.call(Watcher.every, 1, "tick")
        began = trio.current_time()
        watcher.cast_nowait(Watcher.sleep, 10.5)
        await trio.sleep_until(began + 10.25)
        assert cell_of(watcher).length == 1
        await trio.sleep_until(began + 10.75)
        assert await watcher.call(Watcher.read) == ["tick"]
        await trio.sleep_until(began + 13.25)
        assert await watcher.call(Watcher.read) == ["tick"] * 4


async def test_an_interval_whose_time_has_long_passed_fires_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Watcher) as watcher:
        timer = await watcher.call(Watcher.every, 0.001, "tick")
        autojump_clock.jump(5.0005)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        timer.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert await watcher.call(Watcher.read) == ["tick"]


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf"), "1", None])
async def test_wrong_seconds_of_timers_are_refused(seconds: Any) -> None:
    async with running(Watcher) as watcher:
        context = cell_of(watcher).context
        with pytest.raises(ConfigurationError, match="seconds of send_interval must be seconds, more than zero"):
            context.send_interval(seconds, "x")
        if seconds != 0:
            with pytest.raises(ConfigurationError, match="seconds of send_after must be seconds, zero or more"):
                context.send_after(seconds, "x")


async def test_ten_thousand_who_watch_one_are_all_told_and_may_all_forget() -> None:
    async with running(Watcher) as watcher:
        async with running(Counter) as ref:
            context = cell_of(watcher).context
            monitors = [context.monitor(ref) for _ in range(10_000)]
        assert [down.monitor for down in await watcher.call(Watcher.read)] == monitors
        assert not any(context.demonitor(monitor) for monitor in monitors)


async def test_a_monitor_of_a_gate_that_is_killed_while_busy() -> None:
    async with running(Watcher) as watcher, running(Gate) as ref:
        monitor = await watcher.call(Watcher.watch, ref)
        ref.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        cell_of(ref).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert await watcher.call(Watcher.read) == [Down(monitor, ref.pid, "killed")]


class Forgetful(Watcher):
    async def forget(self, other: Ref[Any], monitors: list[Monitor]) -> int:
        """Forget all of these while they wait; returns how many steps of the interpreter that took."""
        cell_of(other).request_stop("normal")
        await trio.testing.wait_all_tasks_blocked()
        cell, steps = cell_of(self.context.ref), 0
        assert cell.length == len(monitors) + 1

        def count(*_: Any) -> None:
            nonlocal steps
            steps += 1

        sys.setprofile(count)
        try:
            found = [self.context.demonitor(monitor) for monitor in monitors]
        finally:
            sys.setprofile(None)
        assert not any(found)
        assert cell.length == 1
        assert not cell.full
        return steps


@pytest.mark.parametrize("order", [1, -1])
async def test_thousands_that_have_ended_are_forgotten_as_fast_as_few(order: int) -> None:
    """By the number of steps: what waits is not looked through for each."""
    steps: list[int] = []
    for many in (100, 3000):
        async with running(Forgetful, mailbox=2) as watcher, running(Counter) as ref:
            context = cell_of(watcher).context
            *monitors, left = [context.monitor(ref) for _ in range(many + 1)]
            steps.append(await watcher.call(Forgetful.forget, ref, monitors[::order]))
            assert [down.monitor for down in await watcher.call(Watcher.read)] == [left]
            cell = cell_of(watcher)
            assert (cell.length, cell.capacity, cell.full) == (0, 2, False)
            assert (await debug.status(watcher)).handled == 3
    assert steps[1] <= 31 * steps[0]


async def test_what_was_forgotten_is_no_dead_letter() -> None:
    events: list[Event] = []
    system = System(publish=events.append)
    async with running(Forgetful, system=system) as watcher, running(Counter, system=system) as ref:
        context = cell_of(watcher).context
        monitor, left = context.monitor(ref), context.monitor(ref)
        cell_of(watcher).suspended = True
        cell_of(watcher).order(cell_of(watcher).hold)
        await trio.testing.wait_all_tasks_blocked()
        cell_of(ref).request_stop("normal")
        await trio.testing.wait_all_tasks_blocked()
        assert context.demonitor(monitor) is False
    assert [event.message.monitor for event in events if isinstance(event, DeadLetter)] == [left]


async def test_a_function_does_not_read_what_was_forgotten() -> None:
    read: list[Any] = []
    monitors: list[Monitor] = []

    async def reader(context: Context, ref: Ref[Any]) -> None:
        monitors.extend(context.monitor(ref) for _ in range(3))
        read.append(await context.receive())
        await trio.testing.wait_all_tasks_blocked()
        assert [context.demonitor(monitor) for monitor in monitors[:2]] == [False, False]
        read.append(await context.receive())
        await trio.sleep_forever()

    async with running(Counter) as ref, running(reader, ref) as watcher:
        await trio.testing.wait_all_tasks_blocked()
        cell = cell_of(watcher)
        watcher.send_nowait("go on")
        cell_of(ref).request_stop("normal")
        await trio.testing.wait_all_tasks_blocked(0.01)  # after the reader, who waits so, too
        assert read == ["go on", Down(monitors[2], ref.pid, "normal")]
        assert (cell.length, cell.capacity, cell.handled) == (0, 1000, 2)
        cell.cancel()
