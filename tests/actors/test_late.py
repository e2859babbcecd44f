"""Late replies: from anywhere, once; and every call ends, whatever becomes of the token."""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
import trio
from tests.actors.kit import Gate, OutOfStock, cell_of, running

import hubkit
from hubkit.actors import Actor, Ref, current_system
from hubkit.actors.late import LateReply
from hubkit.errors import ActorCrashed, ConfigurationError, Deadlock


class Desk(Actor):
    """Takes now, gives later."""

    def __init__(self) -> None:
        self.waiting: list[LateReply[Any]] = []
        self.answers: list[str] = []

    async def take(self, what: str = "") -> Any:
        token: LateReply[Any] = self.context.reply_later()
        self.waiting.append(token)
        return token.later

    async def put(self, value: Any) -> None:
        self.waiting.pop(0).reply(value)

    async def refuse(self, error: Any) -> None:
        self.waiting[0].fail(error)
        self.waiting.pop(0)

    async def refuse_with(self, text: str) -> None:
        self.waiting.pop(0).fail(OutOfStock(text))

    async def wanted(self) -> list[bool]:
        return [token.wanted for token in self.waiting]

    async def give_away(self, other: Ref[Any]) -> None:
        await other.send(self.waiting.pop(0))

    async def lose(self) -> None:
        self.waiting.clear()

    async def at_once(self, value: Any) -> Any:
        token: LateReply[Any] = self.context.reply_later()
        token.reply(value)
        return "not this"

    async def lose_at_once(self) -> None:
        self.context.reply_later()

    async def refuse_after_all(self) -> None:
        self.waiting.append(self.context.reply_later())
        raise OutOfStock("after all")

    async def crash_after_all(self) -> None:
        self.waiting.append(self.context.reply_later())
        raise ValueError("x")

    async def twice(self) -> None:
        self.context.reply_later()
        self.context.reply_later()

    async def elsewhere(self, place: str) -> None:
        async with trio.open_nursery() as nursery:
            await (nursery if place == "nursery" else self.context.nursery).start(self.task)
        raise self.error

    async def task(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            self.context.reply_later()
        except ConfigurationError as error:
            self.error = error
        task_status.started()

    async def answer_twice(self) -> str:
        token = self.waiting[0]
        token.reply(1)
        try:
            token.fail(OutOfStock("x"))
        except ConfigurationError as error:
            return str(error)
        return "no error"

    async def call_back(self, ref: Ref[Any]) -> Any:
        return await ref.call("take")

    async def stop(self, reason: str = "normal") -> None:
        self.context.stop(reason)

    async def on_info(self, message: Any) -> None:
        if isinstance(message, LateReply):
            message.reply("from another")
        else:
            self.context.reply_later()


class Answers:
    """What calls that are made in the background came to."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.got: list[Any] = []
        self.nursery = nursery

    async def ask(self, ref: Ref[Any], method: str = "take", *args: Any) -> None:
        self.nursery.start_soon(self._ask, ref, method, args)
        await trio.testing.wait_all_tasks_blocked()

    async def _ask(self, ref: Ref[Any], method: str, args: Any) -> None:
        try:
            self.got.append(await ref.call(method, *args))
        except Exception as error:
            self.got.append(error)


async def settled() -> None:
    gc.collect()
    await trio.testing.wait_all_tasks_blocked()


async def test_a_call_is_answered_after_its_handler_in_any_order() -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        await answers.ask(desk)
        await answers.ask(desk)
        assert await desk.call(Desk.wanted) == [True, True]
        assert answers.got == []
        await desk.call(Desk.put, "a")
        await desk.call(Desk.refuse, OutOfStock(7))
        await settled()
        assert answers.got[0] == "a"
        assert isinstance(answers.got[1], OutOfStock)
        assert answers.got[1].args == (7,)
        assert await desk.call(Desk.at_once, 5) == 5
        assert len(current_system().owed) == 0


async def test_another_actor_may_answer() -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk, running(Desk) as other:
        answers = Answers(nursery)
        await answers.ask(desk)
        await desk.call(Desk.give_away, other)
        await settled()
        assert answers.got == ["from another"]


async def test_a_caller_that_gives_up_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Desk) as desk:
        with trio.move_on_after(1):
            await desk.call(Desk.take)
        assert await desk.call(Desk.wanted) == [False]
        await desk.call(Desk.put, "late")
        assert len(current_system().owed) == 0


@pytest.mark.parametrize("how", ["stop", "crash", "kill"])
async def test_when_the_actor_ends_its_callers_are_told(how: str) -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        await answers.ask(desk, "take", "bread")
        if how == "kill":
            cell_of(desk).cancel()
        elif how == "stop":
            await desk.call(Desk.stop, "odd")
        else:
            await answers.ask(desk, "crash_after_all")
        await settled()
        error = next(error for error in answers.got if "take('bread')" in str(error))
        assert isinstance(error, ActorCrashed)
        assert f"ended ({'killed' if how == 'kill' else 'odd' if how == 'stop' else 'crash'}) before it" in str(error)
        if how == "crash":
            assert isinstance(error.__cause__, ValueError)
            assert len(answers.got) == 2
            assert all(isinstance(error, ActorCrashed) for error in answers.got)


@pytest.mark.parametrize("how", ["lose", "lose_at_once"])
async def test_a_token_that_is_thrown_away_is_no_endless_wait(how: str) -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        if how == "lose":
            await answers.ask(desk)
            await desk.call(Desk.lose)
        else:
            await answers.ask(desk, how)
        await settled()
        assert isinstance(answers.got[0], ActorCrashed)
        assert "has lost the token" in str(answers.got[0])
        assert len(current_system().owed) == 0


async def test_a_handler_that_refuses_after_all_is_heard() -> None:
    async with running(Desk) as desk:
        with pytest.raises(OutOfStock):
            await desk.call(Desk.refuse_after_all)
        assert await desk.call(Desk.wanted) == [False]
        await desk.call(Desk.put, "nobody minds")


async def test_answered_twice_is_an_error() -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        await answers.ask(desk)
        assert "can be answered only once" in await desk.call(Desk.answer_twice)
        await settled()
        assert answers.got == [1]


@pytest.mark.parametrize("error", [ValueError("x"), OutOfStock, "no"])
async def test_only_a_reject_refuses(error: Any) -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        await answers.ask(desk)
        with pytest.raises(ActorCrashed, match=r"with an instance of a subclass of hubkit\.Reject"):
            await desk.call(Desk.refuse, error)
        await settled()
        assert isinstance(answers.got[0], ActorCrashed)


@pytest.mark.parametrize(
    ("method", "args"), [("elsewhere", ("nursery",)), ("elsewhere", ("background",)), ("twice", ())]
)
async def test_where_there_is_nothing_to_answer(method: str, args: Any) -> None:
    async with running(Desk) as desk:
        with pytest.raises(ActorCrashed, match=r"reply_later|late reply"):
            await desk.call(method, *args)


async def test_a_plain_message_has_no_reply() -> None:
    ends: list[Any] = []
    async with running(Desk, ends=ends) as desk:
        await desk.send("a message")
        await settled()
    assert "handles no call here" in str(ends[0].error)


async def test_of_a_cast_nobody_waits_for_the_reply() -> None:
    async with running(Desk) as desk:
        await desk.cast(Desk.take)
        assert await desk.call(Desk.wanted) == [False]
        await desk.call(Desk.put, "nobody minds")


async def test_who_waits_for_a_late_reply_can_be_told_of_a_deadlock() -> None:
    async with running(Desk) as desk:
        with pytest.raises(ActorCrashed) as caught:
            await desk.call(Desk.call_back, desk)
        assert isinstance(caught.value.__cause__, Deadlock)


async def test_a_token_is_one_thing() -> None:
    async with trio.open_nursery() as nursery, running(Desk) as desk:
        answers = Answers(nursery)
        await answers.ask(desk)
        [token] = cell_of(desk).instance.waiting  # type: ignore[union-attr]  # a Desk
        assert copy.copy(token) is token
        assert copy.deepcopy(token) is token
        assert repr(token) == f"<LateReply {token.id[2]} of local#0>"
        token.reply("x")
        assert repr(token).endswith("answered>")
        assert not token.wanted


async def test_under_a_supervisor_a_late_reply_outlives_no_restart() -> None:
    async with hubkit.Supervisor(children=[hubkit.child("desk", Desk)]) as supervisor, trio.open_nursery() as nursery:
        desk = supervisor.ref("desk")
        answers = Answers(nursery)
        await answers.ask(desk)
        await desk.call(Desk.stop, "odd")
        await settled()
        assert isinstance(answers.got[0], ActorCrashed)
        assert await desk.call(Desk.wanted) == []


async def test_gates_answer_as_before() -> None:
    async with running(Gate) as gate:
        gate.cast_nowait(Gate.note, 1)
        assert await gate.call(Gate.read) == [1]
