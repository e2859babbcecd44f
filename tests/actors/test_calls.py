"""Calls: they end, one way or another, at most once."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, Echo, Gate, OutOfStock, cell_of, running

from hubkit.actors import Actor, Cell, Ref, System
from hubkit.errors import ActorCrashed, ConfigurationError, Deadlock, NoSuchActor, NoSuchMethod
from hubkit.pids import ChildKey, Pid


async def test_a_call_returns_the_result() -> None:
    async with running(Counter, 5) as ref:
        assert await ref.call(Counter.add, 2) == 7
        assert await ref.call("add", n=3) == 10


async def test_messages_are_handled_in_order_one_at_a_time() -> None:
    class Slow(Actor):
        def __init__(self) -> None:
            self.log: list[str] = []

        async def work(self, name: str) -> None:
            self.log.append(f"+{name}")
            await trio.lowlevel.checkpoint()
            self.log.append(f"-{name}")

        async def on_info(self, message: Any) -> None:
            await self.work(message)

        async def read(self) -> list[str]:
            return self.log

    async with running(Slow) as ref:
        ref.cast_nowait(Slow.work, "a")
        await ref.cast(Slow.work, "b")
        ref.send_nowait("c")
        await ref.send("d")
        expected = [sign + name for name in "abcd" for sign in "+-"]
        assert await ref.call(Slow.read) == expected


async def test_a_crash_answers_the_caller_with_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Counter) as ref:
        with pytest.raises(ActorCrashed, match=r"fail\('boom'\).*ValueError: boom") as caught:
            await ref.call(Counter.fail, "boom")
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(NoSuchActor):
            await ref.call(Counter.add)
    [record] = [r for r in caplog.records if r.name == "hubkit.actors"]
    assert record.levelno == logging.ERROR
    assert "crashed while handling fail('boom'): ValueError: boom" in record.getMessage()
    assert record.exc_info is not None


async def test_a_refusal_reaches_the_caller_and_the_actor_lives_on() -> None:
    async with running(Counter) as ref:
        with pytest.raises(OutOfStock) as caught:
            await ref.call(Counter.refuse, "apples")
        assert caught.value.args == ("apples",)
        assert await ref.call(Counter.add) == 1


async def test_wrong_arguments_are_the_callers_fault_and_crash_nobody() -> None:
    async with running(Counter) as ref:
        with pytest.raises(TypeError, match="unexpected keyword"):
            await ref.call("add", many=1)
        with pytest.raises(TypeError, match="positional"):
            await ref.cast("add", 1, 2, 3)
        with pytest.raises(TypeError, match="positional"):
            ref.cast_nowait("add", 1, 2, 3)
        assert await ref.call(Counter.add) == 1


@pytest.mark.parametrize(
    "name", ["missing", "_hidden", "plain", "on_start", "on_info", "handover_state", "__init__", "value", "context"]
)
async def test_only_public_coroutine_methods_can_be_called(name: str) -> None:
    async with running(Counter) as ref:
        with pytest.raises(NoSuchMethod, match=r"it has: .*add"):
            await ref.call(name)
        with pytest.raises(NoSuchMethod):
            await ref.cast(name)
        with pytest.raises(NoSuchMethod):
            ref.cast_nowait(name)


async def test_another_classes_method_of_the_same_name_is_refused() -> None:
    class Other(Actor):
        async def add(self, n: int = 1) -> int:
            return -n

    async with running(Counter) as ref:
        with pytest.raises(NoSuchMethod, match=r"Other\.add"):
            await ref.call(Other.add)


async def test_a_base_classes_method_calls_the_override() -> None:
    class Doubler(Counter):
        async def add(self, n: int = 1) -> int:
            return await super().add(2 * n)

    async with running(Doubler) as ref:
        assert await ref.call(Counter.add, 2) == 4
        assert await ref.call(Doubler.add, 2) == 8


async def test_a_mixins_methods_can_be_called_unless_overridden_by_something_else() -> None:
    class Mixin:
        async def hello(self) -> str:
            return "hello"

        async def bye(self) -> str:
            return "bye"

    class Mixed(Mixin, Actor):
        bye = None  # type: ignore[assignment]  # a subclass takes it back

    async with running(Mixed) as ref:
        assert await ref.call(Mixed.hello) == "hello"
        with pytest.raises(NoSuchMethod):
            await ref.call("bye")


@pytest.mark.parametrize("wrong", [5, None, Counter, "bound"])
async def test_what_can_be_no_method_is_said_to_be_none(wrong: Any) -> None:
    wrong = Counter().add if wrong == "bound" else wrong
    async with running(Counter) as ref:
        with pytest.raises((ConfigurationError, NoSuchMethod)):
            await ref.call(wrong)


async def test_a_cancelled_call_that_has_not_begun_is_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate) as ref:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.call, Gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(1) as scope:
                await ref.call(Gate.note, "withdrawn")
            assert scope.cancelled_caught
            await ref.cast(Gate.note, "kept")
            gate_of(ref).set()
        assert await ref.call(Gate.read) == ["waited", "kept"]


async def test_a_cancelled_call_that_has_begun_is_finished(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate) as ref:
        with trio.move_on_after(1) as scope:
            await ref.call(Gate.wait)
        assert scope.cancelled_caught
        gate_of(ref).set()
        assert await ref.call(Gate.read) == ["waited"]


async def test_a_refusal_or_result_that_nobody_waits_for_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate) as ref:
        with trio.move_on_after(1):
            await ref.call(Gate.wait, refuse=True)
        gate_of(ref).set()
        assert await ref.call(Gate.read) == []


async def test_a_call_that_expired_while_others_ran_is_not_begun() -> None:
    """The deadline passes while a handler blocks the whole thread: trio could not cancel the caller yet."""

    class Blocking(Gate):
        async def block(self) -> None:
            until = trio.current_time() + 0.05
            while trio.current_time() < until:
                pass

    async with running(Blocking) as ref:
        with trio.move_on_after(0.02) as scope:
            # Both stand in the mailbox when the actor wakes.
            ref.cast_nowait(Blocking.block)
            await ref.call(Gate.note, "too late")
        assert scope.cancelled_caught
        assert await ref.call(Gate.read) == []


async def test_an_already_cancelled_call_is_not_begun() -> None:
    async with running(Gate) as ref:
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.call(Gate.note, "never")
        assert scope.cancelled_caught
        assert await ref.call(Gate.read) == []


async def test_calls_that_wait_when_the_actor_ends_have_no_such_actor() -> None:
    async with running(Gate) as ref:
        outcomes: list[str] = []

        async def call(method: Any) -> None:
            try:
                await ref.call(method)
                outcomes.append("done")
            except NoSuchActor:
                outcomes.append("gone")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, Gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(call, Gate.read)
            await trio.testing.wait_all_tasks_blocked()
            cell_of(ref).request_stop("normal")
            gate_of(ref).set()
        assert sorted(outcomes) == ["done", "gone"]


async def test_a_killed_actor_answers_the_request_in_progress() -> None:
    async with running(Gate) as ref, trio.open_nursery() as nursery:
        nursery.start_soon(wait_and_kill, cell_of(ref))
        with pytest.raises(ActorCrashed, match="stopped by force"):
            await ref.call(Gate.wait)


async def wait_and_kill(cell: Cell) -> None:
    await trio.testing.wait_all_tasks_blocked()
    cell.cancel()


# Deadlock.


class Caller(Actor):
    """Calls whoever it is told to, in several ways."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log

    async def pong(self) -> str:
        return "pong"

    async def forward(self, *path: Ref[Any]) -> Any:
        """Call the first of the path and have it call the next."""
        if not path:
            return "end"
        return await path[0].call("forward", *path[1:])

    async def forward_in_nursery(self, *path: Ref[Any]) -> Any:
        result: list[Any] = []

        async def run() -> None:
            async with trio.open_nursery() as inner:
                inner.start_soon(deeper)

        async def deeper() -> None:
            try:
                result.append(await path[0].call("forward", *path[1:]))
            except Deadlock:
                result.append("deadlock")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
        return result[0]

    async def forward_in_background(self, target: Ref[Any]) -> None:
        async def later() -> None:
            self.log.append(await target.call("pong"))

        self.context.nursery.start_soon(later)

    async def fill(self, target: Ref[Any], source: Ref[Any]) -> None:
        """Have ``target`` cast to ``source``, which is this actor."""
        await target.call("cast_twice", source)

    async def cast_twice(self, source: Ref[Any]) -> None:
        await source.cast("pong")
        await source.cast("pong")

    async def send_twice(self, source: Ref[Any]) -> None:
        await source.send("x")
        await source.send("y")


async def test_calling_oneself_is_a_deadlock() -> None:
    async with running(Caller) as a:
        with pytest.raises(ActorCrashed) as caught:
            await a.call(Caller.forward, a)
        assert isinstance(caught.value.__cause__, Deadlock)


async def test_a_circle_is_a_deadlock_and_a_line_is_none() -> None:
    async with running(Caller) as a, running(Caller) as b, running(Caller) as c:
        assert await a.call(Caller.forward, b, c) == "end"
        with pytest.raises(ActorCrashed) as caught:
            await a.call(Caller.forward, b, c, a)
        innermost: BaseException | None = caught.value
        while isinstance(innermost, ActorCrashed):
            innermost = innermost.__cause__
        assert isinstance(innermost, Deadlock)
        assert "->" in str(innermost)


async def test_a_nursery_in_a_handler_inherits_its_chain() -> None:
    async with running(Caller) as a, running(Caller) as b:
        assert await a.call(Caller.forward_in_nursery, b) == "end"
        assert await a.call(Caller.forward_in_nursery, a) == "deadlock"


async def test_a_background_task_may_call_its_own_actor() -> None:
    log: list[str] = []
    async with running(Caller, log) as a:
        await a.call(Caller.forward_in_background, a)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["pong"]


async def test_the_chain_ends_with_the_call() -> None:
    """After a call was handled, the next request is in nobody's chain."""
    async with running(Caller) as a, running(Caller) as b:
        await a.call(Caller.forward, b)
        assert await b.call(Caller.forward, a) == "end"
        assert cell_of(a).chain == ()


@pytest.mark.parametrize("method", ["cast_twice", "send_twice"])
async def test_waiting_for_room_in_the_mailbox_of_ones_own_caller_is_a_deadlock(method: str) -> None:
    async with running(Caller, mailbox=1) as a, running(Caller) as b:

        class Starter(Caller):
            async def go(self, me: Ref[Any]) -> None:
                await b.call(method, me)

        async with running(Starter, mailbox=1) as s:
            with pytest.raises(ActorCrashed) as caught:
                await s.call(Starter.go, s)
            innermost: BaseException | None = caught.value
            while isinstance(innermost, ActorCrashed):
                innermost = innermost.__cause__
            assert isinstance(innermost, Deadlock)
        assert await a.call(Caller.pong) == "pong"


async def test_on_start_is_in_its_own_chain() -> None:
    class Selfish(Actor):
        async def on_start(self) -> None:
            await self.context.ref.call("hello")

        async def hello(self) -> None: ...

    with pytest.raises(Deadlock):
        async with running(Selfish):
            pass


# Refs as values.


async def test_refs_are_equal_by_address() -> None:
    system = System("n", 3)
    pid = Pid("n", 3, 1)
    a, b, c = system.ref(pid), system.ref(pid), system.ref(ChildKey("hub", "x"))
    assert a == b != c
    assert len({a, b, c}) == 2
    assert a != pid
    assert copy.deepcopy([a])[0] is a
    assert copy.copy(a) is a
    assert repr(a) == "<Ref <n#3.1>>"
    with pytest.raises(ConfigurationError, match="Pid or a ChildKey"):
        system.ref("x")  # type: ignore[arg-type]  # wrong on purpose
    for node, incarnation, serial in (
        ("n", 3, True),
        ("n", 3.0, 1),
        ("n", 3, 1 << 62),
        ("n", 3, -1),
        (b"n", 3, 1),
        ("n" * 301, 3, 1),
    ):
        with pytest.raises(ConfigurationError, match="that there can be, not Pid"):
            system.ref(Pid(node, incarnation, serial))  # type: ignore[arg-type]  # wrong on purpose


async def test_nobody_lives_where_nobody_lives() -> None:
    system = System("n", 3)
    for address in (Pid("n", 3, 99), Pid("elsewhere", 1, 1), ChildKey("hub", "x")):
        ref = system.ref(address)
        with pytest.raises(NoSuchActor):
            await ref.call("add")
        with pytest.raises(NoSuchActor):
            await ref.cast("add")
        with pytest.raises(NoSuchActor):
            await ref.send("x")
        with pytest.raises(NoSuchActor):
            ref.cast_nowait("add")
        with pytest.raises(NoSuchActor):
            ref.send_nowait("x")
    with pytest.raises(trio.WouldBlock):
        system.ref(ChildKey("hub", "x")).send_nowait("x")


async def test_echo_of_every_value() -> None:
    async with running(Echo) as ref:
        for value in (None, 0, "", [1], {"a": 1}, ref):
            assert await ref.call(Echo.echo, value) == value


async def test_awaiting_is_a_checkpoint() -> None:
    async with running(Counter) as ref:
        for send in (lambda: ref.call(Counter.add), lambda: ref.cast(Counter.add)):
            with trio.testing.assert_checkpoints():
                await send()


async def test_of_many_casts_in_a_row_each_can_be_cancelled_and_every_eighth_lets_others_run() -> None:
    async with running(Counter, mailbox=1000) as ref, trio.open_nursery() as nursery:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(other)
        for _ in range(80):
            await ref.cast(Counter.add)
        assert turns >= 9
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.cast(Counter.add)
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


def gate_of(ref: Ref[Any]) -> trio.Event:
    gate = cell_of(ref).instance
    assert isinstance(gate, Gate)
    return gate.gate
