"""One call to many: what has come is kept, whatever ends the waiting."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, Gate, OutOfStock, cell_of, running

import hubkit
from hubkit.actors import Actor, Ref, current_system
from hubkit.errors import ActorCrashed, ConfigurationError, Deadlock, NoSuchActor
from hubkit.pids import Pid


class Slow(Actor):
    """Answers after so many seconds, with their number; notes how many work at once."""

    busy = 0
    most = 0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = 0

    async def work(self, what: str = "") -> float:
        self.begun += 1
        Slow.busy += 1
        Slow.most = max(Slow.most, Slow.busy)
        await trio.sleep(self.seconds)
        Slow.busy -= 1
        if what == "refuse" and self.seconds == 2:
            raise OutOfStock(self.seconds)
        if what == "crash" and self.seconds == 3:
            raise ValueError("x")
        return self.seconds

    async def count(self) -> int:
        return self.begun

    async def ask_all(self, refs: list[Ref[Slow]]) -> list[str]:
        ask = hubkit.MultiCall(refs, Slow.work)
        await ask.run()
        return [type(error).__name__ for error in ask.errors.values()]


async def slow(stack: AsyncExitStack, *seconds: float) -> list[Ref[Slow]]:
    Slow.busy = Slow.most = 0
    return [await stack.enter_async_context(running(Slow, number)) for number in seconds]


async def test_all_replies_by_ref_in_their_order(autojump_clock: trio.testing.MockClock) -> None:
    async with AsyncExitStack() as stack:
        refs = await slow(stack, 3, 1, 2)
        ask = hubkit.MultiCall([*refs, refs[0]], Slow.work)
        assert ask.missing == tuple(refs)
        began = trio.current_time()
        await ask.run()
        assert trio.current_time() - began == pytest.approx(3)
        assert ask.replies == dict(zip(refs, (3, 1, 2), strict=True))
        assert list(ask.replies.values()) == [1, 2, 3]
        assert (ask.errors, ask.missing) == ({}, ())
        assert repr(ask) == "<MultiCall work: 3 replies, 0 errors, 0 missing>"


async def test_what_has_come_is_there_when_the_deadline_passes(autojump_clock: trio.testing.MockClock) -> None:
    async with AsyncExitStack() as stack:
        refs = await slow(stack, 1, 2, 3, 4)
        gone: Ref[Slow] = current_system().ref(Pid("local", 0, 999))
        ask = hubkit.MultiCall([gone, *refs], Slow.work, "refuse")
        with trio.move_on_after(2.5) as scope:
            await ask.run()
        assert scope.cancelled_caught
        assert ask.replies == {refs[0]: 1}
        assert {ref: type(error) for ref, error in ask.errors.items()} == {gone: NoSuchActor, refs[1]: OutOfStock}
        assert ask.missing == (refs[2], refs[3])
        with pytest.raises(ConfigurationError, match="made once"):
            await ask.run()


async def test_no_more_than_the_limit_at_a_time_and_the_rest_is_not_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with AsyncExitStack() as stack:
        refs = await slow(stack, *[1.0] * 10)
        ask = hubkit.MultiCall(refs, Slow.work)
        with trio.move_on_after(2.5):
            await ask.run(limit=3)
        assert Slow.most == 3
        assert ask.missing == tuple(refs[6:])
        assert [await ref.call(Slow.count) for ref in refs] == [1] * 9 + [0]


async def test_one_that_crashes_is_an_entry(autojump_clock: trio.testing.MockClock) -> None:
    async with AsyncExitStack() as stack:
        refs = await slow(stack, 1, 3)
        ask = hubkit.MultiCall(refs, "work", "crash")
        await ask.run()
        assert ask.replies == {refs[0]: 1}
        assert isinstance(ask.errors[refs[1]], ActorCrashed)


async def test_a_mistake_in_the_call_is_raised_bare() -> None:
    async with running(Counter) as one, running(Counter) as two:
        with pytest.raises(TypeError):
            await hubkit.MultiCall([one, two], "add", 1, 2, 3).run()
        with pytest.raises(ConfigurationError, match="limit must be an int of at least 1, not 0"):
            await hubkit.MultiCall([one, two], Counter.add).run(limit=0)
        empty: hubkit.MultiCall[int] = hubkit.MultiCall([], Counter.add)
        await empty.run()
        assert not empty.replies
        wrong: Any
        for wrong in (one, "refs", 7):
            with pytest.raises(ConfigurationError, match="needs several refs"):
                hubkit.MultiCall(wrong, "add")
        wrong = [one, 7]
        with pytest.raises(ConfigurationError, match="needs refs, and 7 is none"):
            hubkit.MultiCall(wrong, Counter.add)
        with pytest.raises(ConfigurationError, match="a method must be given"):
            hubkit.MultiCall([one], 7)  # type: ignore[call-overload]  # wrong on purpose


async def test_the_replies_cannot_be_written_to() -> None:
    ask = hubkit.MultiCall([], Counter.add)
    with pytest.raises(TypeError):
        ask.replies["x"] = 1  # type: ignore[index]  # wrong on purpose


async def test_an_actor_that_asks_itself_among_others_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with AsyncExitStack() as stack:
        refs = await slow(stack, 1, 2)
        assert await refs[0].call(Slow.ask_all, refs) == [Deadlock.__name__]


async def test_calls_of_one_that_is_cancelled_are_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate) as gate, running(Counter) as counter:
        gate.cast_nowait(Gate.wait)
        ask = hubkit.MultiCall([gate, counter], "read")
        with trio.move_on_after(1):
            await ask.run()
        assert ask.missing == (gate,)
        assert cell_of(gate).length == 0
        cell_of(gate).cancel()
