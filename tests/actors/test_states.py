"""State machines: against a naive model, and one by one."""

from __future__ import annotations

import logging
from enum import Enum, IntEnum
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.kit import cell_of, running
from tests.actors.test_late import Answers

import hubkit
from hubkit.actors import Actor, Ref, System, current_system
from hubkit.actors.actor import methods_of
from hubkit.actors.states import StateMachine, when
from hubkit.errors import ActorCrashed, ConfigurationError, MailboxFull, NoSuchActor, NoSuchMethod, WrongState
from hubkit.events import DeadLetter, Event
from hubkit.names import actor_names

STATES = ("a", "b", "c")


class Machine(StateMachine[str]):
    """Notes everything. ``go`` says what follows on the next state's timeout."""

    initial = "a"

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.then: dict[str, str] = {}

    async def go(self, number: int, to: str, timeout: float | None = None, then: str = "") -> None:
        self.log.append(number)
        if timeout is not None:
            self.then[to] = then
        self.become(to, timeout=timeout)

    async def through(self, number: int, first: str, last: str) -> None:
        self.log.append(number)
        self.become(first)
        self.become(last)

    async def always(self, number: int) -> None:
        self.log.append(number)

    @when("a", otherwise="postpone")
    async def in_a(self, number: int) -> None:
        self.log.append(number)

    @when("b", "c", otherwise="postpone")
    async def in_bc(self, number: int) -> str:
        self.log.append(number)
        return f"done {number}"

    @when("a")
    async def only_in_a(self, number: int) -> None:
        self.log.append(number)

    @when("a", otherwise="postpone")
    async def in_a_to(self, number: int, to: str) -> None:
        self.log.append(number)
        self.become(to)

    async def note(self, number: int) -> None:
        await self.only_in_a(number)

    async def read(self) -> list[Any]:
        return list(self.log)

    async def on_enter(self, state: str, previous: str | None) -> None:
        self.log.append(("enter", state, previous))

    async def on_timeout(self, state: str) -> None:
        self.log.append(("timeout", state))
        if self.then.get(state):
            self.become(self.then[state])

    async def on_info(self, message: Any) -> None:
        self.log.append(message)


ALLOWED = {"in_a": "a", "in_bc": "bc", "only_in_a": "a", "in_a_to": "a"}


class Model:
    """The same, naively: after each change of state all that has come and was not handled is looked at again, oldest first."""

    def __init__(self) -> None:
        self.state = "a"
        self.entered = "a"
        self.unhandled: list[tuple[str, tuple[Any, ...]]] = []
        self.tried = 0
        self.log: list[Any] = [("enter", "a", None)]
        self.due: float | None = None
        self.then: dict[str, str] = {}

    def become(self, state: str, now: float, timeout: float | None = None) -> None:
        if state != self.state:
            self.tried, self.due = 0, None
        if timeout is not None:
            self.due = now + timeout
        self.state = state

    def arrive(self) -> None:
        if self.state != self.entered:
            self.log.append(("enter", self.state, self.entered))
            self.entered = self.state

    def send(self, method: str, args: tuple[Any, ...]) -> None:
        self.unhandled.append((method, args))

    def run(self, now: float) -> None:
        while self.tried < len(self.unhandled):
            method, args = self.unhandled[self.tried]
            if self.state not in ALLOWED.get(method, "abc"):
                if method == "only_in_a":
                    self.unhandled.pop(self.tried)
                else:
                    self.tried += 1
                continue
            self.unhandled.pop(self.tried)
            self.log.append(args[0])
            if method == "go":
                _, to, timeout, then = args
                if timeout is not None:
                    self.then[to] = then
                self.become(to, now, timeout)
            elif method == "through":
                self.become(args[1], now)
                self.become(args[2], now)
            elif method == "in_a_to":
                self.become(args[1], now)
            self.arrive()

    def pass_to(self, now: float) -> None:
        while self.due is not None and self.due <= now:
            due, self.due = self.due, None
            self.log.append(("timeout", self.state))
            if self.then.get(self.state):
                self.become(self.then[self.state], due)
            self.arrive()
            self.run(due)


state = st.sampled_from(STATES)
#: Times never meet: timeouts are odd, the rest is even.
step = st.one_of(
    st.tuples(
        st.just("go"), state, st.one_of(st.none(), st.sampled_from([1.0, 3.0, 5.0])), st.one_of(st.just(""), state)
    ),
    st.tuples(st.just("through"), state, state),
    st.tuples(st.just("in_a_to"), state),
    *(st.tuples(st.just(method)) for method in ("always", "in_a", "in_bc", "only_in_a")),
    st.tuples(st.just("sleep"), st.sampled_from([0, 2, 4])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(step, max_size=25))
def test_it_does_what_the_naive_model_does(steps: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        model, now = Model(), 0.0
        async with running(Machine) as ref:
            began = trio.current_time()
            for number, (what, *args) in enumerate(steps):
                if what == "sleep":
                    model.run(now)
                    now += args[0]
                    model.pass_to(now)
                    await trio.sleep_until(began + now)
                    await trio.testing.wait_all_tasks_blocked()
                else:
                    model.send(what, (number, *args))
                    ref.cast_nowait(what, number, *args)
            model.run(now)
            assert await ref.call(Machine.read) == model.log
            cell = cell_of(ref)
            put_off = len(cell.shelf.queue) if cell.shelf else 0
            assert put_off == len(model.unhandled)
            assert cell.capacity == 1000 - put_off

    logging.disable()
    try:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logging.disable(logging.NOTSET)


async def test_a_call_in_another_state_is_refused_or_waits() -> None:
    async with trio.open_nursery() as nursery, running(Machine) as ref:
        answers = Answers(nursery)
        await answers.ask(ref, "in_bc", 1)
        assert answers.got == []
        await ref.call(Machine.go, 2, "b")
        await trio.testing.wait_all_tasks_blocked()
        assert answers.got == ["done 1"]
        with pytest.raises(WrongState, match=r"is in state 'b', and only_in_a is for 'a'") as caught:
            await ref.call(Machine.only_in_a, 3)
        assert isinstance(caught.value, hubkit.Reject)
        await ref.call(Machine.note, 4)
        assert await ref.call(Machine.read) == [("enter", "a", None), 2, ("enter", "b", "a"), 1, 4]


async def test_arguments_that_do_not_fit_are_the_callers_error() -> None:
    async with running(Machine) as ref:
        with pytest.raises(TypeError):
            await ref.call("in_a")
        with pytest.raises(NoSuchMethod):
            await ref.call("on_enter", "a", None)
        with pytest.raises(NoSuchMethod):
            await ref.call("become", "a")
        await ref.call(Machine.in_a, 1)
        assert (await ref.call(Machine.read))[-1] == 1


async def test_who_gives_up_what_was_put_off_withdraws_it(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Machine) as ref:
        with trio.move_on_after(1):
            await ref.call(Machine.in_bc, 1)
        await ref.call(Machine.go, 2, "b")
        assert 1 not in await ref.call(Machine.read)
        assert cell_of(ref).capacity == 1000


async def test_what_is_put_off_takes_room_and_the_last_place_stays_free() -> None:
    events: list[Event] = []
    system = System("local", 0, publish=events.append)
    async with trio.open_nursery() as nursery, running(Machine, mailbox=3, system=system) as ref:
        answers = Answers(nursery)
        await answers.ask(ref, "in_bc", 1)
        await answers.ask(ref, "in_bc", 2)
        with pytest.raises(MailboxFull, match="no room to put it off"):
            await ref.call(Machine.in_bc, 3)
        ref.cast_nowait(Machine.in_bc, 4)
        await trio.testing.wait_all_tasks_blocked()
        assert next(event for event in events if isinstance(event, DeadLetter)).message == ("in_bc", (4,))
        ref.cast_nowait(Machine.always, 5)
        with pytest.raises(trio.WouldBlock):
            ref.cast_nowait(Machine.always, 6)
        await ref.call(Machine.go, 7, "b")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(answers.got) == ["done 1", "done 2"]  # (two callers wake up at once)
        assert await ref.call(Machine.read) == [("enter", "a", None), 5, 7, ("enter", "b", "a"), 1, 2]


async def test_what_was_put_off_has_not_begun_when_the_actor_ends() -> None:
    events: list[Event] = []
    system = System("local", 0, publish=events.append)
    async with trio.open_nursery() as nursery, running(Machine, system=system) as ref:
        answers = Answers(nursery)
        await answers.ask(ref, "in_bc", 1)
        ref.cast_nowait(Machine.in_bc, 2)
        await trio.testing.wait_all_tasks_blocked()
        cell_of(ref).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(answers.got[0], NoSuchActor)
        assert [event.message for event in events if isinstance(event, DeadLetter)] == [("in_bc", (2,))]


async def test_under_a_supervisor_it_goes_to_the_next_incarnation() -> None:
    async with trio.open_nursery() as nursery, hubkit.Supervisor(children=[hubkit.child("m", Machine)]) as supervisor:
        ref: Ref[Any] = supervisor.ref("m")
        answers = Answers(nursery)
        await answers.ask(ref, "in_bc", 1)
        cell_of(ref).request_stop("odd")
        await trio.testing.wait_all_tasks_blocked()
        assert answers.got == []
        await ref.call("go", 2, "c")
        await trio.testing.wait_all_tasks_blocked()
        assert answers.got == ["done 1"]


async def test_a_timeout_that_waits_in_the_mailbox_is_called_off_too(autojump_clock: trio.testing.MockClock) -> None:
    class Busy(Machine):
        async def work(self, seconds: float) -> None:
            await trio.sleep(seconds)

    async with running(Busy) as ref:
        await ref.call(Machine.go, 1, "b", 1.0, "")
        ref.cast_nowait(Busy.work, 2.0)
        ref.cast_nowait(Machine.go, 2, "c")
        ref.cast_nowait(Machine.go, 3, "b")
        await trio.sleep(5)
        assert ("timeout", "b") not in await ref.call(Machine.read)
        await ref.call(Machine.go, 4, "b", 1.0, "")
        await ref.call(Machine.go, 5, "b", 3.0, "")
        await trio.sleep(2)
        assert ("timeout", "b") not in await ref.call(Machine.read)
        await trio.sleep(2)
        assert await ref.call(Machine.read) == [
            ("enter", "a", None), 1, ("enter", "b", "a"), 2, ("enter", "c", "b"), 3, ("enter", "b", "c"), 4, 5,
            ("timeout", "b"),
        ]  # fmt: skip
    assert len(current_system().timers) == 0


class Light(Enum):
    RED = "red"
    GREEN = "green"


class Lamp(StateMachine[Light]):
    initial = Light.RED
    otherwise = "postpone"
    trap_exits = True

    def __init__(self, first: Any = Light.RED) -> None:
        self.become(first)
        self.seen: list[Any] = []

    async def on_enter(self, state: Light, previous: Light | None) -> None:
        self.seen.append((state, previous))
        if state is Light.GREEN and previous is Light.RED and len(self.seen) < 9:
            self.become(Light.RED)

    async def turn(self, to: Any, timeout: Any = None) -> None:
        self.become(to, timeout=timeout)

    async def background(self) -> None:
        async def later() -> None:
            self.become(Light.GREEN)

        self.context.nursery.start_soon(later)

    @when(Light.GREEN)
    async def drive(self) -> list[Any]:
        return self.seen

    def handover_state(self) -> Any:
        return self.state.value

    def accept_handover(self, state: Any) -> None:
        self.become(Light(state))


async def test_enums_and_a_first_state_that_is_chosen_at_the_start() -> None:
    async with running(Lamp, Light.GREEN) as ref:
        assert await ref.call(Lamp.drive) == [(Light.GREEN, None)]


async def test_on_enter_may_change_the_state_again() -> None:
    async with trio.open_nursery() as nursery, running(Lamp) as ref:
        answers = Answers(nursery)
        await answers.ask(ref, "drive")
        await ref.call(Lamp.turn, Light.GREEN)
        await trio.testing.wait_all_tasks_blocked()
        assert answers.got == []
        cell = cell_of(ref)
        assert isinstance(cell.instance, Lamp)
        assert cell.instance.seen == [(Light.RED, None), (Light.GREEN, Light.RED), (Light.RED, Light.GREEN)]
        cell.instance.seen += [None] * 9
        await ref.call(Lamp.background)
        await trio.testing.wait_all_tasks_blocked()
        assert len(answers.got) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((7,), "must be a non-empty str or a member of an Enum, not 7"),
        (("red",), "must be a member of Light, as the others are, not 'red'"),
        ((Light.GREEN, 1), r"sets a timeout, but defines no on_timeout\(self, state\)"),
        ((Light.GREEN, -1), "timeout of become must be seconds, zero or more; not -1"),
    ],
)
async def test_what_it_cannot_become(args: Any, said: str) -> None:
    async with running(Lamp) as ref:
        with pytest.raises(ActorCrashed, match=said):
            await ref.call(Lamp.turn, *args)


class Failing(StateMachine[str]):
    initial = "a"

    async def on_enter(self, state: str, previous: str | None) -> None:
        if previous is not None:
            raise hubkit.Reject("no")

    async def on_timeout(self, state: str) -> None:
        raise hubkit.Reject("no")

    async def go(self, timeout: float | None) -> None:
        self.become("b" if timeout is None else "a", timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 1.0])
async def test_a_callback_that_fails_is_a_crash_and_named(
    timeout: float | None, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    ends: list[Any] = []
    async with running(Failing, ends=ends) as ref:
        await ref.call(Failing.go, timeout)
        await trio.sleep(2)
    assert isinstance(ends[0].error, RuntimeError)
    assert f"while handling {'on_timeout' if timeout else 'on_enter'}(" in caplog.text


async def test_a_machine_must_say_where_it_starts() -> None:
    class Nowhere(StateMachine[str]): ...

    with pytest.raises(ConfigurationError, match=r"Nowhere does not say in which state it starts: initial = "):
        async with running(Nowhere):
            pass


def test_what_is_wrong_in_a_class_is_said_where_it_stands() -> None:
    async def method(self: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"when\(\) needs the states"):
        when()
    with pytest.raises(ConfigurationError, match=r"a state of when\(\) must be a non-empty str"):
        when("")
    with pytest.raises(
        ConfigurationError, match=r"otherwise of when\(\) must be one of 'refuse', 'postpone', not 'wait'"
    ):
        when("a", otherwise="wait")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match=r"when\(\) marks coroutine methods"):
        when("a")(7)  # type: ignore[type-var]  # wrong on purpose
    with pytest.raises(ConfigurationError, match=r"Wrong\.initial must be a non-empty str"):
        type("Wrong", (StateMachine,), {"initial": 7})
    with pytest.raises(ConfigurationError, match=r"Wrong\.otherwise must be one of"):
        type("Wrong", (StateMachine,), {"otherwise": None})
    for bases, name in (((Actor,), "method"), ((StateMachine,), "on_info"), ((StateMachine,), "on_enter")):
        with pytest.raises(
            ConfigurationError, match=rf"Wrong\.{name} (is marked with @hubkit\.when|must be a coroutine)"
        ):
            type("Wrong", bases, {name: when("a")(method)})
    with pytest.raises(
        ConfigurationError, match=r"Wrong\.on_timeout must be a coroutine method .*: async def on_timeout"
    ):
        type("Wrong", (StateMachine,), {"on_timeout": method})


def test_an_actor_may_have_methods_of_these_names() -> None:
    class Plain(Actor):
        async def on_enter(self) -> None: ...
        async def become(self) -> None: ...

    assert methods_of(Plain).find("on_enter")[0] == "on_enter"
    assert methods_of(Plain).find(Plain.become)[0] == "become"


def test_a_state_may_be_an_enum_that_counts_as_false() -> None:
    class Level(IntEnum):
        LOW = 0
        HIGH = 1

    class Tank(StateMachine[Level]):
        initial = Level.LOW

    assert Tank.__new__(Tank).state is Level.LOW


async def test_a_mark_of_a_base_holds_until_the_method_is_written_anew() -> None:
    class Heir(Machine):
        async def only_in_a(self, number: int) -> None:
            self.log.append(-number)

    async with running(Heir) as ref:
        await ref.call(Machine.go, 1, "c")
        await ref.call(Machine.only_in_a, 2)
        assert (await ref.call(Machine.read))[-1] == -2


def test_the_base_is_no_actor_that_could_be_started() -> None:
    with pytest.raises(ConfigurationError, match="must be an Actor subclass"):
        hubkit.child("x", StateMachine)
    assert not any("StateMachine" in name for name in actor_names())
