"""From start to end: callbacks, background tasks, functions, and how an actor's end is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, Gate, cell_of, running

from hubkit.actors import Actor, Context, Exit, System, actor, current_system
from hubkit.actors.system import system_var
from hubkit.errors import ActorCrashed, ConfigurationError, HubClosed, NoSuchActor, NoSuchMethod
from hubkit.events import DeadLetter, Event


class Witness(Actor):
    def __init__(self, log: list[Any], fail: str = "") -> None:
        self.log = log
        self.fail = fail
        log.append(("init", self.context.pid.serial > 0))

    async def on_start(self) -> None:
        self.log.append("start")
        if self.fail == "start":
            raise ValueError(self.fail)

    async def on_stop(self, reason: str) -> None:
        self.log.append(("stop", reason))
        if self.fail == "stop":
            raise ValueError(self.fail)
        if self.fail == "slow stop":
            await trio.sleep_forever()

    async def crash(self) -> None:
        raise ValueError("crash")

    async def leave(self, reason: str = "normal") -> None:
        self.context.stop(reason)

    async def background(self, error: bool) -> None:
        async def task() -> None:
            try:
                await trio.lowlevel.checkpoint()
                if error:
                    raise KeyError("background")
                await trio.sleep_forever()
            finally:
                self.log.append("background over")

        self.context.nursery.start_soon(task)

    async def background_crash_in_the_middle(self) -> None:
        await self.background(True)
        await trio.sleep_forever()


async def test_callbacks_are_called_in_order() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Witness, log, ends=ends):
        assert log == [("init", True), "start"]
    assert log[2:] == [("stop", "shutdown")]
    assert ends[0].reason == "shutdown"
    assert ends[0].is_normal


async def test_a_failing_start_raises_its_own_error_and_leaves_nothing() -> None:
    log: list[Any] = []
    with pytest.raises(ValueError, match="start"):
        async with running(Witness, log, "start"):
            pass
    assert log == [("init", True), "start"]
    assert current_system().cells == {}


async def test_arguments_that_do_not_fit_fail_the_start() -> None:
    with pytest.raises(TypeError):
        async with running(Counter, 1, 2, 3):
            pass


async def test_a_crash_calls_on_stop_and_is_the_exit() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Witness, log, ends=ends) as ref:
        with pytest.raises(ActorCrashed):
            await ref.call(Witness.crash)
    assert log[2:] == [("stop", "crash")]
    assert ends[0].reason == "crash"
    assert isinstance(ends[0].error, ValueError)
    assert not ends[0].is_normal


@pytest.mark.parametrize(
    ("reason", "normal"), [("normal", True), ("shutdown", True), ("shutdown: late", True), ("bored", False)]
)
async def test_an_actor_can_end_itself(reason: str, normal: bool) -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Witness, log, ends=ends) as ref:
        await ref.call(Witness.leave, reason)
        await trio.testing.wait_all_tasks_blocked()
        assert ends == [Exit(reason, None, ref.pid)]
        assert ends[0].is_normal is normal
        with pytest.raises(NoSuchActor):
            await ref.call(Witness.leave)
    assert log[2:] == [("stop", reason)]


async def test_background_tasks_die_with_the_actor() -> None:
    log: list[Any] = []
    async with running(Witness, log) as ref:
        await ref.call(Witness.background, False)
    assert log[2:] == [("stop", "shutdown"), "background over"]


async def test_the_crash_of_a_background_task_is_the_actors_unwrapped(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Witness, log, ends=ends) as ref:
        with pytest.raises(ActorCrashed, match="in a background task while it handled") as caught:
            await ref.call(Witness.background_crash_in_the_middle)
        assert type(caught.value.__cause__) is KeyError
        await trio.testing.wait_all_tasks_blocked()
        assert type(ends[0].error) is KeyError
    assert log[2:] == ["background over", ("stop", "crash")]
    assert sum(r.name == "hubkit.actors" for r in caplog.records) == 1


async def test_a_failing_on_stop_is_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[Exit] = []
    async with running(Witness, [], "stop", ends=ends):
        pass
    assert ends[0].reason == "crash"
    assert "in on_stop" in caplog.text


async def test_on_stop_is_bounded(autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture) -> None:
    ends: list[Exit] = []
    async with running(Witness, [], "slow stop", ends=ends, shutdown=3.0):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(3.0)
    assert ends[0].reason == "shutdown"
    assert "was cancelled after 3 s" in caplog.text


async def test_a_killed_actor_has_no_on_stop() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(Witness, log, ends=ends) as ref:
        cell_of(ref).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert ends[0].reason == "killed"
    assert log == [("init", True), "start"]


async def test_a_start_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    class Endless(Actor):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        async with running(Endless):
            pass
    assert scope.cancelled_caught
    assert current_system().cells == {}


async def test_a_started_actor_outlives_a_cancellation_until_it_is_stopped() -> None:
    log: list[Any] = []
    with trio.CancelScope() as scope:
        async with running(Witness, log):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert log[2:] == [("stop", "shutdown")]


async def test_keyboard_interrupt_passes_through() -> None:
    class Interrupted(Actor):
        async def interrupt(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(Interrupted) as ref:
            with pytest.raises(ActorCrashed):
                await ref.call(Interrupted.interrupt)
            await trio.sleep_forever()
    assert caught.group_contains(KeyboardInterrupt)


async def test_an_error_in_on_start_wins_over_the_background() -> None:
    class Both(Actor):
        async def on_start(self) -> None:
            self.context.nursery.start_soon(trio.sleep_forever)
            raise OSError("start")

    with pytest.raises(OSError, match="start"):
        async with running(Both):
            pass


# Context.


async def test_the_context_shows_the_cell() -> None:
    system = System("here", 7)

    class Shy(Actor):
        async def look(self) -> Any:
            c = self.context
            return (c.pid, c.ref, c.child_id, c.node, c.hub, c.metadata, c.role, c.term, c.start_reason, repr(c))

    options: dict[str, Any] = {"child_id": "x", "hub_name": "shop", "hub": "the hub", "metadata": {"a": 1}, "term": 4}
    async with running(Shy, system=system, start_reason="failover", **options) as ref:
        pid, own, *rest, shown = await ref.call(Shy.look)
        assert pid == ref.pid
        assert str(own.address) == "shop/x"
        assert rest == ["x", "here", "the hub", {"a": 1}, "active", 4, "failover"]
        assert "shop/x <here#7.1>" in shown
        assert repr(system) == "<System here#7, 1 actors>"
        assert "shop/x" in repr(cell_of(ref))


async def test_the_nursery_is_there_when_the_actor_runs() -> None:
    log: list[str] = []

    class Early(Actor):
        def __init__(self) -> None:
            self.context.nursery.start_soon(self.background)

        async def background(self) -> None:
            log.append("ran")

    async with running(Early):
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["ran"]
    with pytest.raises(HubClosed, match="does not run yet"):
        _ = current_system().spawn(Early).context.nursery


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("stop", ("",)), ("stop", (5,)), ("monitor", ("x",)), ("demonitor", ("x",)), ("send_after", (-1, "x"))],
)
async def test_wrong_arguments_of_the_context_are_refused(method: str, arguments: tuple[Any, ...]) -> None:
    async with running(Counter) as ref:
        with pytest.raises(ConfigurationError):
            getattr(cell_of(ref).context, method)(*arguments)


# Messages without a home.


async def test_what_nobody_handles_is_a_dead_letter() -> None:
    published: list[Event] = []
    system = System(publish=published.append)
    async with running(Counter, system=system, hub="the hub", hub_name="shop") as ref:
        await ref.send("hello")
        await ref.cast(Counter.refuse, "x")
        await trio.testing.wait_all_tasks_blocked()
    async with running(Gate, system=system) as ref:
        ref.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        ref.cast_nowait(Gate.note, 1)
        ref.cast_nowait("note", value=2)
        ref.send_nowait("plain")
        cell_of(ref).cancel()
    letters = [event for event in published if isinstance(event, DeadLetter)]
    assert [letter.message for letter in letters] == [
        "hello", ("refuse", ("x",)), ("note", (1,)), ("note", (("value", 2),)), "plain",
    ]  # fmt: skip
    assert [letter.hub for letter in letters] == ["shop", "shop", "", "", ""]
    assert "no on_info" in letters[0].reason
    assert "rejected: OutOfStock" in letters[1].reason
    assert all("has ended" in letter.reason for letter in letters[2:])


async def test_without_a_publisher_dead_letters_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Counter) as ref:
        await ref.send("hello")
        await trio.testing.wait_all_tasks_blocked()
    assert "'hello'" in caplog.text


async def test_an_unprintable_request_does_not_hide_the_crash(caplog: pytest.LogCaptureFixture) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Bad(Actor):
        async def take(self, *things: Any, **more: Any) -> None:
            raise ValueError("the real one")

        async def on_info(self, message: Any) -> None:
            raise ValueError("info")

    async with running(Bad) as ref:
        with pytest.raises(ActorCrashed, match="the real one"):
            await ref.call(Bad.take, Unprintable(), more=1)
    async with running(Bad) as ref:
        impostor = type("dict", (), {})()
        with pytest.raises(ActorCrashed, match="the real one"):
            await ref.call(Bad.take, impostor)
    async with running(Bad) as ref:
        await ref.send("x")
        await trio.testing.wait_all_tasks_blocked()
    assert "crashed while handling message 'x'" in caplog.text


# Functions.


@actor
async def collector(context: Context, log: list[Any], wait: bool = False) -> None:
    log.append("begin")
    async for message in context:
        log.append(message)
        if message == "crash":
            raise ValueError(message)
        if message == "return":
            return
    log.append("end")


@actor
async def receiver(context: Context, log: list[Any]) -> None:
    while True:
        log.append(await context.receive())


@actor
async def sleeper(context: Context, log: list[Any]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        log.append("over")


async def test_a_function_reads_its_mailbox() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(collector, log, ends=ends) as ref:
        await ref.send(1)
        ref.send_nowait(2)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["begin", 1, 2]
    assert log[3:] == ["end"]
    assert ends[0].reason == "shutdown"


async def test_a_function_that_returns_has_ended_normally() -> None:
    ends: list[Exit] = []
    async with running(collector, [], ends=ends) as ref:
        await ref.send("return")
        await trio.testing.wait_all_tasks_blocked()
        assert ends == [Exit("normal", None, ref.pid)]


async def test_a_function_that_raises_has_crashed() -> None:
    ends: list[Exit] = []
    async with running(collector, [], ends=ends) as ref:
        await ref.send("crash")
        await trio.testing.wait_all_tasks_blocked()
        assert ends[0].reason == "crash"


async def test_receive_tells_a_function_to_end() -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(receiver, log, ends=ends) as ref:
        await ref.send(1)
        await trio.testing.wait_all_tasks_blocked()
    assert log == [1]
    assert ends[0].is_normal


async def test_an_end_of_channel_that_nobody_asked_for_is_a_crash() -> None:
    @actor
    async def broken(context: Context) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.EndOfChannel

    ends: list[Exit] = []
    async with running(broken, ends=ends):
        await trio.testing.wait_all_tasks_blocked()
    assert ends[0].reason == "crash"


async def test_a_function_that_never_reads_is_cancelled_at_once(autojump_clock: trio.testing.MockClock) -> None:
    log: list[Any] = []
    ends: list[Exit] = []
    async with running(sleeper, log, ends=ends):
        began = trio.current_time()
    assert log == ["over"]
    assert ends[0].reason == "shutdown"
    assert trio.current_time() == began


async def test_a_function_has_no_methods_and_one_reader() -> None:
    async with running(receiver, []) as ref:
        for send in (ref.call, ref.cast):
            with pytest.raises(NoSuchMethod, match="actor function"):
                await send("add")
        with pytest.raises(NoSuchMethod, match="actor function"):
            ref.cast_nowait("add")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await cell_of(ref).context.receive()
    async with running(Counter) as ref:
        with pytest.raises(ConfigurationError, match="on_info"):
            await cell_of(ref).context.receive()


async def test_wrong_arguments_of_a_function_fail_its_start() -> None:
    with pytest.raises(TypeError):
        async with running(receiver):
            pass


# Marks and systems.


@pytest.mark.parametrize("wrong", [5, "x", Actor, print, lambda: None, int])
def test_only_coroutine_functions_and_actor_classes_are_marked(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="@actor marks"):
        actor(wrong)


def test_a_name_can_be_fixed() -> None:
    @actor(name="tests.fixed")
    class Fixed(Actor):
        pass

    @actor(name="tests.function")
    async def function(context: Context) -> None: ...

    assert Fixed.__hubkit_actor__ == "tests.fixed"
    assert function.__hubkit_actor__ == "tests.function"  # type: ignore[attr-defined]  # the mark
    assert Actor.__hubkit_actor__ is None
    assert Counter.__hubkit_actor__ == "tests.actors.kit:Counter"
    with pytest.raises(ConfigurationError, match="belongs to"):
        actor(name="tests.fixed")(Counter)
    Counter.__hubkit_actor__ = "tests.actors.kit:Counter"


async def test_the_default_callbacks_do_nothing() -> None:
    counter = Counter()
    await counter.on_role("passive")
    assert counter.handover_state() is None
    counter.accept_handover(1)
    counter.merge_handover(2)
    assert counter.value == 0


async def test_the_current_system() -> None:
    own = System("own")
    assert current_system() is current_system()
    assert current_system().node == "local"
    token = system_var.set(own)
    assert current_system() is own
    system_var.reset(token)

    class Asks(Actor):
        async def system(self) -> Any:
            return current_system()

    async with running(Asks, system=own) as ref:
        assert await ref.call(Asks.system) is own


async def test_crashes_tell_how_often_it_was_restarted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with running(Counter, restarts=2, child_id="c") as ref:
            with pytest.raises(ActorCrashed):
                await ref.call(Counter.fail, "boom")
    assert "(restarted 2 times before)" in caplog.text
    assert "actor c <local#0.1> (tests.actors.kit:Counter) crashed" in caplog.text


@pytest.mark.parametrize("name", ["on_start", "on_stop", "on_info", "on_role"])
def test_a_callback_that_could_not_be_called_is_refused_where_it_is_defined(name: str) -> None:
    async def too_many(self: Any, a: Any, b: Any) -> None: ...

    def not_async(self: Any, a: Any = None) -> None: ...

    for wrong in (too_many, not_async):
        with pytest.raises(ConfigurationError, match=rf"Bad\.{name} must be .* async def {name}\(self"):
            type("Bad", (Actor,), {name: wrong})


async def test_a_start_that_was_given_up_while_it_finished_does_not_go_on() -> None:
    """The starter is cancelled by ``on_start`` itself, which then returns without a checkpoint."""
    with trio.CancelScope() as scope:

        class Hasty(Actor):
            async def on_start(self) -> None:
                scope.cancel()

        async with running(Hasty):
            pytest.fail("it must not have started")
    assert scope.cancelled_caught
    assert current_system().cells == {}

    with trio.CancelScope() as scope:
        scope.cancel()
        async with running(receiver, []):
            pytest.fail("it must not have started")
    assert scope.cancelled_caught


async def test_an_actor_can_be_killed_while_it_starts() -> None:
    class Endless(Actor):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    system = current_system()
    cell = system.spawn(Endless)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)

        async def kill() -> None:
            await trio.testing.wait_all_tasks_blocked()
            cell.cancel()

        nursery.start_soon(kill)
        with pytest.raises(ActorCrashed, match="before it had started"):
            await cell.run()


async def test_a_stop_asked_for_in_on_start_is_heeded() -> None:
    class Ignorable(Actor):
        async def on_start(self) -> None:
            self.context.stop("normal")

    ends: list[Exit] = []
    async with running(Ignorable, ends=ends):
        await trio.testing.wait_all_tasks_blocked()
        assert ends[0].reason == "normal"


async def test_a_background_task_that_fails_while_the_actor_is_killed() -> None:
    class Double(Actor):
        async def on_start(self) -> None:
            self.context.nursery.start_soon(self.task)

        async def task(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("on the way out")

    ends: list[Exit] = []
    async with running(Double, ends=ends) as ref:
        cell_of(ref).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert ends[0].reason == "killed"
