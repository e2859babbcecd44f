"""The supervisor: order, restarts, limits, and how its block is left."""

from __future__ import annotations

import gc
import logging
import math
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter
from tests.supervision.kit import Clock, Worker, World, crash, quiet, states, worker

import hubkit
from hubkit.actors import Actor, Context, actor, current_system
from hubkit.errors import (
    ActorCrashed,
    AlreadyStarted,
    ConfigurationError,
    Deadlock,
    HubClosed,
    NoSuchActor,
    RestartIntensityExceeded,
    StartFailed,
)
from hubkit.specs import Backoff, ChildSpec, UnknownStart
from hubkit.supervision import ChildCounts, Supervisor, child, start

# Order.


async def test_children_start_in_order_and_stop_in_reverse() -> None:
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"]) as supervisor:
        assert world.log == ["+a", "+b", "+c"]
        assert [status.id for status in supervisor.which_children()] == ["a", "b", "c"]
        assert "open, 3 children" in repr(supervisor)
    assert world.log[3:] == ["-c shutdown", "-b shutdown", "-a shutdown"]
    assert current_system().cells == {}
    assert current_system().directories == {}


async def test_children_start_all_or_none() -> None:
    world = World()
    world.fail_starts = {"c": 1}
    with pytest.raises(StartFailed, match=r"'c'.*OSError: c cannot start") as caught:
        async with Supervisor(children=[worker(name, world) for name in "abcd"]):
            pytest.fail("the body must not run")
    assert type(caught.value.__cause__) is OSError
    assert world.log == ["+a", "+b", "-b shutdown", "-a shutdown"]


async def test_entering_can_be_cancelled(autojump_clock: Clock) -> None:
    world = World()
    world.slow_starts = {"b": math.inf}
    with trio.move_on_after(1) as scope:
        async with Supervisor(children=[worker(name, world) for name in "ab"]):
            pytest.fail("the body must not run")
    assert scope.cancelled_caught
    assert world.log == ["+a", "-a shutdown"]


# Restarts.


@pytest.mark.parametrize(
    ("restart", "way", "state"),
    [
        ("permanent", "crash", "running"),
        ("permanent", "leave", "running"),
        ("transient", "crash", "running"),
        ("transient", "leave", "stopped"),
        ("temporary", "crash", None),
        ("temporary", "leave", None),
    ],
)
async def test_what_follows_an_end(restart: Any, way: str, state: str | None) -> None:
    world = World()
    async with Supervisor(children=[worker("a", world, restart=restart), worker("b", world)]) as supervisor:
        ref, sibling = supervisor.ref("a"), supervisor.ref("b")
        before = ref.pid
        assert await sibling.call(Worker.add) == 1
        if way == "crash":
            await crash(ref)
        else:
            await ref.call(Worker.leave)
        await quiet()
        assert states(supervisor).get("a") == state
        if state == "running":
            assert ref.pid != before
            assert await ref.call(Worker.why) == "restart"
        else:
            with pytest.raises(NoSuchActor):
                await ref.call(Worker.add)
        assert await sibling.call(Worker.add) == 2


async def test_a_transient_child_that_ends_for_another_reason_is_restarted() -> None:
    world = World()
    async with Supervisor(children=[worker("a", world, restart="transient")]) as supervisor:
        await supervisor.ref("a").call(Worker.leave, "bored")
        assert await supervisor.ref("a").call(Worker.why) == "restart"


async def test_a_ref_waits_while_its_child_is_restarted(autojump_clock: Clock) -> None:
    world = World()
    spec = worker("a", world, backoff=Backoff(first=10.0, jitter=0.0))
    async with Supervisor(children=[spec]) as supervisor:
        ref = supervisor.ref("a")
        await crash(ref)
        began = trio.current_time()
        with pytest.raises(trio.WouldBlock):
            for _ in range(3):
                await trio.testing.wait_all_tasks_blocked()
                ref.cast_nowait(Worker.add)
        assert await ref.call(Worker.add) == 1
        assert trio.current_time() - began == pytest.approx(10.0)


async def test_backoff_grows_and_starts_anew_after_a_good_run(autojump_clock: Clock) -> None:
    world = World()
    spec = worker("a", world, backoff=Backoff(first=1.0, factor=2.0, max=100.0, jitter=0.0))
    async with Supervisor(children=[spec], max_restarts=100) as supervisor:
        ref = supervisor.ref("a")
        waits = []
        for pause in (0, 0, 0, 1000):
            await trio.sleep(pause)
            await crash(ref)
            began = trio.current_time()
            await ref.call(Worker.add)
            waits.append(trio.current_time() - began)
        assert waits == pytest.approx([1.0, 2.0, 4.0, 1.0])


async def test_jitter_is_drawn_from_the_system() -> None:
    assert 0.0 <= current_system().chance() <= 1.0


async def test_too_many_restarts_leave_the_block_with_the_last_crash() -> None:
    world = World()
    with pytest.raises(RestartIntensityExceeded, match="more than 2 restarts in 5 s") as caught:
        async with Supervisor(children=[worker("a", world), worker("b", world)], max_restarts=2) as supervisor:
            for _ in range(3):
                await crash(supervisor.ref("a"))
            await trio.sleep_forever()
    assert type(caught.value.__cause__) is ValueError
    assert world.log[-1] == "-b shutdown"


async def test_old_restarts_are_forgotten(autojump_clock: Clock) -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)], max_restarts=1, max_seconds=10) as supervisor:
        for _ in range(5):
            await crash(supervisor.ref("a"))
            await trio.sleep(11)
        assert await supervisor.ref("a").call(Worker.add) == 1


async def test_failed_restarts_count_and_are_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)], max_restarts=3) as supervisor:
        world.fail_starts = {"a": 2}
        await crash(supervisor.ref("a"))
        assert await supervisor.ref("a").call(Worker.add) == 1
    assert caplog.text.count("cannot start (attempt") == 2
    with pytest.raises(RestartIntensityExceeded) as caught:
        async with Supervisor(children=[worker("a", world)], max_restarts=3) as supervisor:
            world.fail_starts = {"a": 100}
            await crash(supervisor.ref("a"))
            await trio.sleep_forever()
    assert type(caught.value.__cause__) is StartFailed
    assert world.fail_starts["a"] == 97


async def test_a_shutdown_overtakes_the_retries(autojump_clock: Clock) -> None:
    world = World()
    spec = worker("a", world, backoff=Backoff(first=100.0, max=100.0, jitter=0.0))
    async with Supervisor(children=[spec], max_restarts=100) as supervisor:
        world.fail_starts = {"a": 100}
        await crash(supervisor.ref("a"))
        await quiet()
        assert states(supervisor) == {"a": "restarting"}
        began = trio.current_time()
        await supervisor.terminate_child("a")
        assert states(supervisor) == {"a": "stopped"}
        assert trio.current_time() == began
        await trio.sleep(1000)
        assert states(supervisor) == {"a": "stopped"}
    world.fail_starts = {}
    async with Supervisor(children=[spec]) as supervisor:
        world.slow_starts = {"a": math.inf}
        await crash(supervisor.ref("a"))
        await trio.sleep(200)
        assert states(supervisor) == {"a": "starting"}
    # left, although that start would never have ended


async def test_the_crash_report_counts(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        await crash(supervisor.ref("a"))
        await crash(supervisor.ref("a"))
    assert "(restarted 1 time before)" in caplog.text


# The other strategies.


async def test_one_for_all_restarts_all() -> None:
    world = World()
    specs = [worker("a", world), worker("b", world), worker("t", world, restart="temporary"), worker("c", world)]
    async with Supervisor(children=specs, strategy="one_for_all") as supervisor:
        world.log.clear()
        await crash(supervisor.ref("b"))
        await quiet()
        assert world.log == ["-b crash", "-c shutdown", "-t shutdown", "-a shutdown", "+a", "+b", "+c"]
        assert states(supervisor) == dict.fromkeys("abc", "running")


async def test_rest_for_one_restarts_those_after_it() -> None:
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"], strategy="rest_for_one") as supervisor:
        world.log.clear()
        await crash(supervisor.ref("b"))
        await quiet()
        assert world.log == ["-b crash", "-c shutdown", "+b", "+c"]


async def test_a_group_whose_restart_fails_is_tried_again() -> None:
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"], strategy="one_for_all") as supervisor:
        world.log.clear()
        world.fail_starts = {"b": 1}
        await crash(supervisor.ref("c"))
        await quiet()
        expected = ["-c crash", "-b shutdown", "-a shutdown", "+a", "-a shutdown", "+a", "+b", "+c"]
        assert world.log == expected
        assert states(supervisor) == dict.fromkeys("abc", "running")


async def test_a_significant_end_leaves_the_block_quietly() -> None:
    world = World()
    specs = [worker("a", world), worker("s", world, restart="transient", significant=True)]
    reached = False
    async with Supervisor(children=specs, auto_shutdown="any_significant") as supervisor:
        await supervisor.ref("s").call(Worker.leave)
        await trio.sleep_forever()
        reached = True
    assert not reached
    assert world.log[-2:] == ["-s normal", "-a shutdown"]


async def test_the_last_significant_end_leaves_the_block() -> None:
    world = World()
    specs = [worker(name, world, restart="temporary", significant=True) for name in "st"]
    async with Supervisor(children=specs, auto_shutdown="all_significant") as supervisor:
        await supervisor.ref("s").call(Worker.leave)
        await quiet()
        assert states(supervisor) == {"t": "running"}
        await supervisor.ref("t").call(Worker.leave)
        await trio.sleep_forever()


# Its methods.


async def test_children_come_and_go() -> None:
    world = World()
    async with Supervisor() as supervisor:
        ref = await supervisor.start_child(worker("a", world))
        assert ref == supervisor.ref("a")
        assert await ref.call(Worker.add) == 1
        with pytest.raises(AlreadyStarted, match="is running"):
            await supervisor.start_child(worker("a", world))
        with pytest.raises(AlreadyStarted):
            await supervisor.restart_child("a")
        with pytest.raises(AlreadyStarted, match="terminate_child first"):
            await supervisor.delete_child("a")
        await supervisor.terminate_child("a")
        await supervisor.terminate_child("a")
        [status] = supervisor.which_children()
        assert (status.id, status.pid, status.state, status.spec) == ("a", None, "stopped", worker("a", world))
        with pytest.raises(NoSuchActor):
            await ref.call(Worker.add)
        with pytest.raises(AlreadyStarted, match="delete_child first"):
            await supervisor.start_child(worker("a", world))
        assert await supervisor.restart_child("a") == ref
        assert await ref.call(Worker.add) == 1
        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        assert supervisor.which_children() == ()
        await supervisor.start_child(worker("t", world, restart="temporary"))
        await supervisor.terminate_child("t")
        assert supervisor.which_children() == ()


async def test_counts() -> None:
    world = World()
    nested = child("sub", Supervisor, [worker("x", world)])
    async with Supervisor(children=[worker("a", world), worker("b", world), nested]) as supervisor:
        await supervisor.terminate_child("a")
        assert supervisor.count_children() == ChildCounts(specs=3, active=2, supervisors=1, workers=2)


async def test_a_child_that_does_not_start_is_forgotten() -> None:
    world = World()
    world.fail_starts = {"a": 1}
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(worker("a", world))
        assert type(caught.value.__cause__) is OSError
        assert supervisor.which_children() == ()
        await supervisor.start_child(worker("a", world))


async def test_a_restart_by_hand_may_fail() -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        await supervisor.terminate_child("a")
        world.fail_starts = {"a": 1}
        with pytest.raises(StartFailed):
            await supervisor.restart_child("a")
        assert states(supervisor) == {"a": "stopped"}


async def test_a_cancelled_start_leaves_nothing(autojump_clock: Clock) -> None:
    world = World()
    world.slow_starts = {"a": math.inf}
    async with Supervisor() as supervisor:
        with trio.move_on_after(1) as scope:
            await supervisor.start_child(worker("a", world))
        assert scope.cancelled_caught
        assert supervisor.which_children() == ()
        world.slow_starts = {}
        await supervisor.start_child(worker("a", world))


async def test_max_children() -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)], max_children=1) as supervisor:
        with pytest.raises(StartFailed, match="max_children is 1"):
            await supervisor.start_child(worker("b", world))
        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        await supervisor.start_child(worker("b", world))


@pytest.mark.parametrize("method", ["terminate_child", "restart_child", "delete_child", "ref"])
async def test_unknown_ids(method: str) -> None:
    async with Supervisor() as supervisor:
        for wrong, error in (("x", NoSuchActor), ("", ConfigurationError), (5, ConfigurationError)):
            with pytest.raises(error):
                result = getattr(supervisor, method)(wrong)
                await result


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "one for one"},
        {"max_restarts": -1},
        {"max_seconds": 0},
        {"auto_shutdown": "sometimes"},
        {"max_children": -1},
        {"max_children": 0, "children": [child("a", Counter)]},
        {"children": child("a", Counter)},
        {"children": 5},
        {"children": [Counter]},
        {"children": [child("a", Counter), child("a", Counter)]},
        {"children": [replace(child("a", Counter), significant=True, restart="transient")]},
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Supervisor(**options)


async def test_outside_its_block_it_is_closed() -> None:
    supervisor = Supervisor()
    assert "not entered" in repr(supervisor)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: supervisor.start_child(child("a", Counter)),
        lambda: supervisor.terminate_child("a"),
    ]
    for call in calls:
        with pytest.raises(HubClosed):
            await call()
    async with supervisor:
        with pytest.raises(ConfigurationError, match="expected a ChildSpec"):
            await supervisor.start_child("a")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(HubClosed):
        supervisor.which_children()
    with pytest.raises(HubClosed, match="once"):
        async with supervisor:
            pass


async def test_an_actor_that_nobody_here_has_defined_cannot_start() -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed, match="has not defined the actor 'x:Y'"):
            await supervisor.start_child(ChildSpec("a", UnknownStart("x:Y")))


# Nested.


async def test_a_supervisor_is_a_child() -> None:
    world = World()
    nested = child("sub", Supervisor, [worker("x", world)], max_restarts=0)
    async with Supervisor(children=[worker("a", world), nested]) as supervisor:
        assert world.log == ["+a", "+x"]
        await supervisor.ref("sub").send("nobody reads this")
        [inner] = [cell for cell in current_system().cells.values() if cell.child_id == "x"]
        before = supervisor.ref("sub").pid
        await crash(current_system().ref(inner.pid))
        await quiet()
        # The inner one gave up, and was restarted with its child.
        assert supervisor.ref("sub").pid != before
        assert world.log == ["+a", "+x", "-x crash", "+x"]
    assert world.log[-2:] == ["-x shutdown", "-a shutdown"]


async def test_a_nested_supervisor_that_shuts_down_has_ended_normally() -> None:
    world = World()
    last = worker("s", world, restart="temporary", significant=True)
    nested = replace(child("sub", Supervisor, [last], auto_shutdown="any_significant"), restart="transient")
    async with Supervisor(children=[nested]) as supervisor:
        [inner] = [cell for cell in current_system().cells.values() if cell.child_id == "s"]
        await current_system().ref(inner.pid).call(Worker.leave)
        await quiet()
        assert states(supervisor) == {"sub": "stopped"}


async def test_a_nested_supervisor_whose_child_does_not_start() -> None:
    world = World()
    world.fail_starts = {"x": 1}
    with pytest.raises(StartFailed) as caught:
        async with Supervisor(children=[child("sub", Supervisor, [worker("x", world)])]):
            pytest.fail("the body must not run")
    assert type(caught.value.__cause__) is StartFailed


def test_a_subclass_has_its_own_name() -> None:
    class Mine(Supervisor):
        pass

    assert Mine.__hubkit_actor__ != Supervisor.__hubkit_actor__ == "hubkit:Supervisor"
    assert child("a", Mine).start is Mine


# Leaving.


async def test_the_bodys_exception_leaves_bare_the_same_object() -> None:
    world = World()
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with Supervisor(children=[worker(name, world) for name in "ab"]):
            raise error
    assert caught.value is error
    assert world.log[2:] == ["-b shutdown", "-a shutdown"]


async def test_the_bodys_group_leaves_as_it_is() -> None:
    group = ExceptionGroup("mine", [KeyError(1), ValueError(2)])
    with pytest.raises(ExceptionGroup) as caught:
        async with Supervisor():
            raise group
    assert caught.value is group


async def test_a_cancellation_leaves_as_one_and_children_still_stop_in_order() -> None:
    world = World()
    world.slow_stops = {"b": 0.0}
    with trio.CancelScope() as scope:
        async with Supervisor(children=[worker(name, world) for name in "ab"]):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert world.log[2:] == ["-b shutdown", "-a shutdown"]


async def test_keyboard_interrupt_leaves_bare() -> None:
    world = World()
    with pytest.raises(KeyboardInterrupt):
        async with Supervisor(children=[worker("a", world)]):
            raise KeyboardInterrupt
    assert world.log[1:] == ["-a shutdown"]


async def test_a_keyboard_interrupt_in_a_child_leaves_bare() -> None:
    class Interrupted(Actor):
        async def on_info(self, message: Any) -> None:
            raise KeyboardInterrupt

    world = World()
    with pytest.raises(KeyboardInterrupt):
        async with Supervisor(children=[worker("a", world), child("i", Interrupted)]) as supervisor:
            await supervisor.ref("i").send("now")
            await trio.sleep_forever()
    assert world.log[1:] == ["-a shutdown"]


async def test_a_keyboard_interrupt_in_a_child_outweighs_what_its_caller_raises() -> None:
    class Interrupted(Actor):
        async def interrupt(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        async with Supervisor(children=[child("i", Interrupted)]) as supervisor:
            await supervisor.ref("i").call(Interrupted.interrupt)
    assert type(caught.value.__cause__) is ActorCrashed


async def test_if_both_fail_there_is_a_group() -> None:
    world = World()
    with pytest.raises(BaseExceptionGroup) as caught:
        async with Supervisor(children=[worker("a", world)], max_restarts=0) as supervisor:
            try:
                await crash(supervisor.ref("a"))
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")
    assert [type(error) for error in caught.value.exceptions] == [KeyError, RestartIntensityExceeded]


@pytest.mark.parametrize("how", ["error", "cancel"])
async def test_leaving_by_force_is_bounded(how: str, autojump_clock: Clock) -> None:
    world = World()
    world.slow_stops = dict.fromkeys("abcd", math.inf)
    specs = [worker(name, world, shutdown=math.inf) for name in "abcd"]
    began = trio.current_time()
    with trio.CancelScope() as scope:
        try:
            async with Supervisor(children=specs):
                if how == "error":
                    raise KeyError
                scope.cancel()
                await trio.sleep_forever()
        except KeyError:
            assert how == "error"
    assert trio.current_time() - began == pytest.approx(10.0)
    assert current_system().cells == {}


async def test_leaving_normally_gives_each_child_its_time(autojump_clock: Clock) -> None:
    world = World()
    world.slow_stops = {"a": 60.0, "b": 60.0, "c": 60.0}
    specs = [worker("a", world, shutdown=math.inf), worker("b", world, shutdown=2.0), worker("c", world, shutdown=0)]
    async with Supervisor(children=specs):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(62.0)
    assert world.log[3:] == ["-a shutdown"]


async def test_a_cancellation_while_leaving_normally_ends_the_patience(autojump_clock: Clock) -> None:
    world = World()
    world.slow_stops = {"b": math.inf}
    began = trio.current_time()
    with trio.move_on_after(3) as scope:
        async with Supervisor(children=[worker("a", world), worker("b", world, shutdown=math.inf)]):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(3.0)
    assert world.log[2:] == ["-a shutdown"]
    assert current_system().cells == {}


async def test_leaving_interrupts_a_start_in_progress(autojump_clock: Clock) -> None:
    world = World()
    world.slow_starts = {"slow": math.inf}
    async with trio.open_nursery() as nursery:

        async def start_slow(supervisor: Supervisor) -> None:
            with pytest.raises(HubClosed, match="was left while"):
                await supervisor.start_child(worker("slow", world))
            world.log.append("told")

        async with Supervisor(children=[worker("a", world)]) as supervisor:
            nursery.start_soon(start_slow, supervisor)
            await quiet()
    assert sorted(world.log) == ["+a", "-a shutdown", "told"]


async def test_150_children_crash_at_once_and_all_come_back() -> None:
    world = World()
    specs = [worker(f"w{number}", world) for number in range(150)]
    async with Supervisor(children=[*specs, worker("calm", world)], max_restarts=1000) as supervisor:
        calm = supervisor.ref("calm").pid
        async with trio.open_nursery() as nursery:
            for spec in specs:
                nursery.start_soon(crash, supervisor.ref(spec.id))
        for spec in specs:
            assert await supervisor.ref(spec.id).call(Worker.add) == 1
        assert supervisor.ref("calm").pid == calm


# One actor without a supervisor.


async def test_start_runs_one_actor() -> None:
    world = World()
    async with start(worker("a", world)) as ref:
        assert await ref.call(Worker.add) == 1
        assert ref.pid is not None
    assert world.log == ["+a", "-a shutdown"]
    with pytest.raises(NoSuchActor):
        await ref.call(Worker.add)


async def test_start_does_not_restart() -> None:
    world = World()
    async with start(worker("a", world)) as ref:
        await crash(ref)
        with pytest.raises(NoSuchActor):
            await ref.call(Worker.add)


async def test_start_raises_what_failed() -> None:
    world = World()
    world.fail_starts = {"a": 1}
    with pytest.raises(StartFailed) as caught:
        async with start(worker("a", world)):
            pytest.fail("the body must not run")
    assert type(caught.value.__cause__) is OSError
    with pytest.raises(ConfigurationError):
        start(Counter)  # type: ignore[arg-type]  # wrong on purpose


async def test_start_can_be_entered_once() -> None:
    block = start(child("a", Counter))
    async with block:
        with pytest.raises(HubClosed):
            await block.__aenter__()


async def test_start_lets_the_bodys_exception_out_bare() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with start(child("a", Counter)):
            raise error
    assert caught.value is error


async def test_start_is_left_by_a_cancellation(autojump_clock: Clock) -> None:
    world = World()
    world.slow_stops = {"a": math.inf}
    with trio.move_on_after(1) as scope:
        async with start(worker("a", world, shutdown=math.inf)):
            pass
    assert scope.cancelled_caught
    assert trio.current_time() < 1000


async def test_a_function_is_supervised_like_any_other() -> None:
    runs: list[str] = []

    @actor
    async def task(context: Context, name: str) -> None:
        runs.append(name)
        async for message in context:
            raise ValueError(message)

    async with Supervisor(children=[child("f", task, "x")]) as supervisor:
        await supervisor.ref("f").send("crash")
        await quiet()
        assert runs == ["x", "x"]


@pytest.mark.parametrize("when", ["on_start", "on_stop", "terminates itself"])
async def test_a_child_cannot_make_its_supervisor_wait_for_itself(when: str) -> None:
    holder: list[Supervisor] = []
    errors: list[type] = []

    class Meddler(Actor):
        async def meddle(self) -> None:
            try:
                if when == "terminates itself":
                    await holder[0].terminate_child("m")
                else:
                    await holder[0].start_child(child("new", Counter))
            except Deadlock as error:
                errors.append(type(error))

        async def on_start(self) -> None:
            if when == "on_start":
                await self.meddle()

        async def on_stop(self, reason: str) -> None:
            if when == "on_stop":
                await self.meddle()

        async def in_background(self) -> None:
            self.context.nursery.start_soon(holder[0].start_child, child("fine", Counter))

    async with Supervisor() as supervisor:
        holder.append(supervisor)
        ref = await supervisor.start_child(child("m", Meddler))
        if when == "terminates itself":
            await ref.call(Meddler.meddle)
        await ref.call(Meddler.in_background)
        await quiet()
        await supervisor.terminate_child("m")
        assert list(states(supervisor)) == ["m", "fine"]
    assert errors == [Deadlock]


class Eager(hubkit.Actor):
    """Has something to do as soon as it has started."""

    def __init__(self, how: str) -> None:
        self.how, self.got = how, [""]

    async def on_start(self) -> None:
        if self.how == "send_nowait":
            self.context.ref.send_nowait("first")
        elif self.how == "send":
            await self.context.ref.send("first")
        else:
            self.context.ref.cast_nowait(Eager.note, "first")
        self.got.append("started")

    async def note(self, message: str) -> None:
        self.got.append(message)

    async def on_info(self, message: Any) -> None:
        self.got.append(message)

    async def read(self) -> list[str]:
        return self.got


@pytest.mark.parametrize("how", ["send_nowait", "send", "cast_nowait"])
async def test_an_actor_may_send_to_itself_while_it_starts(how: str) -> None:
    async with hubkit.Supervisor(children=[hubkit.child("eager", Eager, how)]) as supervisor:
        assert await supervisor.ref("eager").call(Eager.read) == ["", "started", "first"]
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.child("eager", Eager, how))
        assert await ref.call(Eager.read) == ["", "started", "first"]


async def test_what_has_crashed_is_freed_at_once() -> None:
    """Without the collector of cycles: a thousand crashes of a large program must not wait for it."""
    gone: list[weakref.ref[Any]] = []

    class Fragile(Actor):
        async def on_start(self) -> None:
            gone.append(weakref.ref(self))

        async def on_info(self, message: object) -> None:
            raise ValueError(message)

    logging.disable()  # what is logged is kept by who tests
    gc.collect()
    gc.disable()
    try:
        async with Supervisor(children=[child("c", Fragile)]) as supervisor:
            for times in range(1, 4):
                supervisor.ref("c").send_nowait("crash")
                await trio.testing.wait_all_tasks_blocked()
                assert len(gone) == times + 1
                assert [each() is None for each in gone] == [True] * times + [False]
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


@actor
async def brief(context: Context, gate: trio.Event) -> None:
    await gate.wait()


async def test_others_run_while_many_ends_are_taken() -> None:
    counts = [1000]
    gate = trio.Event()
    specs = [ChildSpec(str(number), brief, (gate,), restart="temporary") for number in range(1000)]
    async with Supervisor(children=specs) as supervisor:
        gate.set()
        while count := supervisor.count_children().specs:
            counts.append(count)
            await trio.lowlevel.checkpoint()
    assert max(before - after for before, after in pairwise([*counts, 0])) <= 130  # of two turns, if trio has it so
