"""Late replies across nodes: answered by whoever holds the token; and when nobody can any more, the caller is told."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.kit import OutOfStock
from tests.actors.test_late import Answers, Desk
from tests.node.pair import Side, cut, link, pair, spawn, stop

from hubkit import errors
from hubkit.actors import Ref
from hubkit.actors.late import LateReply
from hubkit.events import DeadLetter


@asynccontextmanager
async def desks(*, answers_at: str = "a") -> AsyncIterator[tuple[Answers, Side, Side, Ref[Any], Ref[Any]]]:
    """A desk on a, one on b; refs to both for callers on ``answers_at``."""
    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        one, two = await spawn(a, nursery, Desk), await spawn(b, nursery, Desk)
        caller = (a if answers_at == "a" else b).system
        try:
            yield Answers(nursery), a, b, caller.ref(one.pid), caller.ref(two.pid)
        finally:
            stop(one, two)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def settled(seconds: float = 0.1) -> None:
    gc.collect()
    await trio.sleep(seconds)


def tokens(side: Side) -> list[LateReply[Any]]:
    """Those that the desk on this side holds."""
    [cell] = side.system.cells.values()
    assert isinstance(cell.instance, Desk)
    return cell.instance.waiting


class Keeper(Desk):
    """Keeps each token that it is sent."""

    async def on_info(self, message: Any) -> None:
        self.waiting.append(message)


@pytest.mark.parametrize("caller", ["a", "b"])
async def test_a_call_from_anywhere_is_answered_late(autojump_clock: trio.testing.MockClock, caller: str) -> None:
    async with desks(answers_at=caller) as (answers, a, _, one, _):
        await answers.ask(one)
        await answers.ask(one)
        await one.call(Desk.put, ["x"])
        await one.call(Desk.refuse_with, "y")
        await settled()
        assert answers.got[0] == ["x"]
        assert isinstance(answers.got[1], OutOfStock)
        assert len(a.system.owed) == 0


@pytest.mark.parametrize("caller", ["a", "b"])
async def test_an_actor_of_another_node_may_answer(autojump_clock: trio.testing.MockClock, caller: str) -> None:
    async with desks(answers_at=caller) as (answers, a, b, one, two):
        await answers.ask(one)
        await one.call(Desk.give_away, two)
        await settled()
        assert answers.got == ["from another"]
        assert len(a.system.owed) == 0
        assert b.exchange._tokens._held == {}


@asynccontextmanager
async def kept(*, answers_at: str = "a") -> AsyncIterator[tuple[Answers, Side, Side, Ref[Any]]]:
    """A call to a, whose token is kept on b alone."""
    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        one, two = await spawn(a, nursery, Desk), await spawn(b, nursery, Keeper)
        caller = (a if answers_at == "a" else b).system
        answers = Answers(nursery)
        await answers.ask(caller.ref(one.pid))
        await caller.ref(one.pid).call(Desk.give_away, caller.ref(two.pid))
        await settled()
        assert len(tokens(b)) == 1
        assert tokens(a) == []
        try:
            yield answers, a, b, caller.ref(two.pid)
        finally:
            stop(one, two)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def test_a_refusal_crosses_and_the_second_answer_is_an_error(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, _, b, _):
        token = tokens(b)[0]
        assert token.wanted
        token.fail(OutOfStock("z"))
        assert not token.wanted
        await settled()
        assert isinstance(answers.got[0], OutOfStock)
        with pytest.raises(errors.ConfigurationError, match="only once"):
            token.reply(1)


async def test_what_cannot_travel_is_the_answerers_error_and_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, _, b, _):
        token = tokens(b)[0]
        with pytest.raises(errors.NotSerializable):
            token.reply(object())
        token.reply("better")
        await settled()
        assert answers.got == ["better"]


async def test_the_last_token_elsewhere_that_is_thrown_away_fails_the_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as (answers, a, b, two):
        await settled(60)
        look(a, b)
        assert answers.got == [], "as long as somebody holds it, it can be answered"
        await two.call(Keeper.lose)
        await settled()
        look(a, b)
        await settled()
        assert isinstance(answers.got[0], errors.ActorCrashed)
        assert "has lost the token" in str(answers.got[0])


def look(*sides: Side) -> None:
    for side in sides:
        for other in sides:
            side.liveness.linked(other.id, trio.current_time())
        side.exchange.look()


async def test_a_token_lost_on_its_way_is_given_up_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        one, two = await spawn(a, nursery, Desk), await spawn(b, nursery, Keeper)
        answers = Answers(nursery)
        await answers.ask(a.system.ref(one.pid))
        a.sent.clear()
        token = tokens(a).pop()
        a.exchange.cast_nowait(two.pid, _info(token))
        del token
        cut(a, b)
        told = a.events.pop()  # it has the token, too
        assert isinstance(told, DeadLetter)
        assert "may not have come" in told.reason
        del told
        link(a, b)
        await settled()
        look(a, b)
        await settled()
        assert answers.got == []
        await settled(a.system.owed.patience)
        look(a, b)
        await settled()
        assert isinstance(answers.got[0], errors.ActorCrashed)
        stop(one, two)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def _info(message: Any) -> Any:
    from hubkit.actors import Request

    return Request("info", "", (message,))


async def test_after_a_broken_connection_the_token_is_still_good(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, a, b, _):
        cut(a, b)
        token = tokens(b)[0]
        with pytest.raises(errors.NodeDown) as caught:
            token.reply(1)
        assert not caught.value.maybe_executed
        link(a, b)
        await settled(a.system.owed.patience + 1)
        look(a, b)
        assert answers.got == []
        token.reply(2)
        await settled()
        assert answers.got == [2]


async def test_an_answer_that_is_lost_ends_the_call_all_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, a, b, _):
        tokens(b)[0].reply(1)
        cut(a, b)
        link(a, b)
        await settled(a.system.owed.patience + 1)
        look(a, b)
        await settled()
        assert isinstance(answers.got[0], errors.ActorCrashed)


async def test_a_token_that_comes_home_is_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, a, b, two):
        one = b.system.ref(next(iter(a.system.cells.values())).pid)
        token = tokens(b)[0]
        await one.send([token])
        del token
        await two.call(Keeper.lose)
        await settled(a.system.owed.patience + 1)
        look(a, b)
        await settled()
        look(a, b)
        assert isinstance(answers.got[0], errors.ActorCrashed)
        assert "handles no call here" in str(answers.got[0].__cause__)  # the desk at home knows no lists of tokens


async def test_when_the_node_closes_nobody_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as (answers, a, _, _):
        a.exchange.close()
        await settled()
        assert isinstance(answers.got[0], errors.ActorCrashed | errors.HubClosed)


async def test_a_caller_elsewhere_that_gives_up_withdraws_its_wish(autojump_clock: trio.testing.MockClock) -> None:
    async with desks(answers_at="b") as (_, a, _, one, _):
        with trio.move_on_after(1):
            await one.call(Desk.take)
        await settled()
        assert len(a.system.owed) == 0
        assert await one.call(Desk.wanted) == [False]


# -- whatever happens, every call ends -----------------------------------------------------------------------------------


class Tokens:
    """Three actors that hand tokens about: ``one`` on a owes the replies, ``near`` is beside it, ``far`` is on b."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.a, self.b = pair(nursery)
        self.apart = False
        self.asked = 0
        self.ended: dict[int, Any] = {}

    async def begin(self) -> None:
        self.cells = [
            await spawn(self.a, self.nursery, Desk),
            await spawn(self.a, self.nursery, Keeper),
            await spawn(self.b, self.nursery, Keeper),
        ]

    def side(self, who: int) -> Side:
        return self.b if who == 2 else self.a

    def held(self, who: int) -> list[LateReply[Any]]:
        instance = self.cells[who].instance
        return instance.waiting if isinstance(instance, Desk) else []

    async def ask(self, who: int, _: int) -> None:
        self.asked += 1
        self.nursery.start_soon(self._ask, self.asked, self.side(who).system.ref(self.cells[0].pid))

    async def _ask(self, number: int, ref: Ref[Any]) -> None:
        try:
            result = await ref.call("take", str(number))
        except (errors.ActorCrashed, errors.NodeDown, errors.NoSuchActor, OutOfStock) as error:
            result = error
        assert number not in self.ended
        self.ended[number] = result

    async def give(self, who: int, whom: int) -> None:
        if self.held(who):
            token = self.held(who).pop(0)
            with contextlib.suppress(errors.HubkitError):
                self.side(who).system.ref(self.cells[whom].pid).send_nowait(token)

    async def reply(self, who: int, _: int) -> None:
        if self.held(who):
            with contextlib.suppress(errors.NodeDown):
                self.held(who)[0].reply(f"from {who}")
                self.held(who).pop(0)

    async def fail(self, who: int, _: int) -> None:
        if self.held(who):
            with contextlib.suppress(errors.NodeDown):
                self.held(who)[0].fail(OutOfStock(who))
                self.held(who).pop(0)

    async def drop(self, who: int, _: int) -> None:
        if self.held(who):
            self.held(who).pop(0)

    async def cut(self, _: int, __: int) -> None:
        if not self.apart:
            cut(self.a, self.b)
        self.apart = True

    async def join(self, _: int, __: int) -> None:
        if self.apart:
            link(self.a, self.b)
        self.apart = False

    async def sleep(self, seconds: int, _: int) -> None:
        await trio.sleep(seconds * 3)
        look(self.a, self.b)

    async def finish(self) -> None:
        await self.join(0, 0)
        await trio.sleep(1)
        for who in range(3):
            self.held(who).clear()
        for _ in range(4):
            for side in (self.a, self.b):
                side.events.clear()  # a DeadLetter has what could not be delivered
            await trio.sleep(self.a.system.owed.patience)
            look(self.a, self.b)
        await trio.sleep(1)


operation = st.tuples(
    st.sampled_from(["ask", "ask", "give", "give", "give", "reply", "fail", "drop", "cut", "join", "sleep", "end"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
)


@pytest.mark.limit(90)
@settings(max_examples=300, deadline=None)
@given(st.lists(operation, max_size=30))
def test_every_call_ends_once_whatever_becomes_of_its_token(operations: list[tuple[str, int, int, bool]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            tokens = Tokens(nursery)
            await tokens.begin()
            try:
                for what, who, whom, pause in operations:
                    if what == "end":
                        tokens.cells[who].request_stop("odd")
                    else:
                        await getattr(tokens, what)(who, whom)
                    if pause:
                        await trio.sleep(0.01)
                await tokens.finish()
                assert sorted(tokens.ended) == list(range(1, tokens.asked + 1))
                assert len(tokens.a.system.owed) == 0
                assert tokens.b.exchange._tokens._held == {}
                assert tokens.a.system.owed._lent == tokens.b.system.owed._lent == {}
            finally:
                stop(*tokens.cells)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

    logging.disable(logging.CRITICAL)
    try:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logging.disable(logging.NOTSET)
