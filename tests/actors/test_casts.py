"""Casts without a wait: a plain tuple in the mailbox where it can be, and nobody can tell the difference."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.kit import Gate, OutOfStock, cell_of, running

from hubkit.actors import Actor, Context, System
from hubkit.actors.late import LateReply
from hubkit.actors.mailbox import is_note
from hubkit.errors import MailboxFull, NoSuchMethod
from hubkit.events import DeadLetter, Event


class Shapes(Actor):
    """Methods of every shape; each notes what it got."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def none(self) -> None:
        self.got.append(())

    async def one(self, a: Any) -> None:
        self.got.append((a,))

    async def two(self, a: Any, b: Any) -> None:
        self.got.append((a, b))

    async def three(self, a: Any, b: Any, c: Any) -> None:
        self.got.append((a, b, c))

    async def perhaps(self, a: Any = "default") -> None:
        self.got.append((a,))

    async def many(self, *args: Any, **kwargs: Any) -> None:
        self.got.append((*args, *kwargs.items()))

    async def named(self, a: Any, *, b: Any = "b") -> None:
        self.got.append((a, b))

    another = one

    async def fail(self, a: Any) -> None:
        raise ValueError(a)

    async def refuse(self, a: Any) -> None:
        raise OutOfStock(a)

    async def read(self) -> list[Any]:
        return list(self.got)

    async def owe(self, a: Any) -> None:
        self.got.append(self.context.reply_later())


NAMES = ("none", "one", "two", "three", "perhaps", "many", "named", "another")


@given(
    st.sampled_from(NAMES),
    st.booleans(),
    st.lists(st.integers(0, 2), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "x"]), st.integers(0, 2), max_size=2),
)
def test_it_takes_what_the_method_takes(name: str, by_name: bool, args: list[int], kwargs: dict[str, int]) -> None:
    """What arrives is what a plain call would give the method; what does not fit is refused where it was written."""
    method = getattr(Shapes, name)
    try:
        inspect.signature(method).bind(None, *args, **kwargs)
        fits = True
    except TypeError:
        fits = False

    async def main() -> None:
        async with running(Shapes) as ref:
            await ref.call(Shapes.read)  # it has a queue then
            if not fits:
                with pytest.raises(TypeError, match=method.__name__):
                    ref.cast_nowait(name if by_name else method, *args, **kwargs)
                return
            ref.cast_nowait(name if by_name else method, *args, **kwargs)
            expected = Shapes()
            coroutine = method(expected, *args, **kwargs)
            with pytest.raises(StopIteration):
                coroutine.send(None)
            assert await ref.call(Shapes.read) == expected.got

    trio.run(main)


async def test_most_wait_as_a_plain_tuple() -> None:
    async with running(Shapes) as ref:
        await ref.call(Shapes.read)
        casts: list[Any] = [
            ("none",),
            ("one", 1),
            (Shapes.two, 1, 2),
            ("perhaps", 1),
            ("perhaps",),
            ("many", 1),
            ("named", 1),
        ]
        for cast in casts:
            ref.cast_nowait(*cast)
        waiting = list(cell_of(ref).queue or ())
        assert [is_note(item) for item in waiting if isinstance(item, tuple)] == [True] * 4 + [False] * 3
        assert len(await ref.call(Shapes.read)) == len(casts)


async def test_what_is_wrong_is_said_where_it_stands() -> None:
    async with running(Shapes) as ref:
        await ref.call(Shapes.read)
        cast: Any = ref.cast_nowait
        with pytest.raises(TypeError, match=r"needs a method and its arguments"):
            cast()
        with pytest.raises(NoSuchMethod, match="no public coroutine method missing"):
            cast("missing", 1)
        with pytest.raises(NoSuchMethod):
            cast(Gate.note, 1)
        with pytest.raises(TypeError, match="unhashable"):
            cast([], 1)


async def test_a_full_mailbox_refuses_it() -> None:
    async with running(Gate, mailbox=2) as ref:
        await ref.call(Gate.read)
        ref.cast_nowait(Gate.note, 1)
        ref.cast_nowait(Gate.note, 2)
        with pytest.raises(MailboxFull, match="2 messages"):
            ref.cast_nowait(Gate.note, 3)
        assert await ref.call(Gate.read) == [1, 2]


@pytest.mark.parametrize("argument", [0, "", None, "x"])
async def test_nobody_handles_it(argument: Any) -> None:
    """Refused, or waiting at the end: the dead letter has the method's name, whatever the sender called it."""
    events: list[Event] = []
    async with running(Shapes, system=System(publish=events.append)) as ref:
        await ref.call(Shapes.read)
        ref.cast_nowait(Shapes.refuse, argument)
        await ref.call(Shapes.read)
        ref.cast_nowait("another", argument)
        cell_of(ref).cancel()
    letters = [event for event in events if isinstance(event, DeadLetter)]
    # One function under two names: it has the later one, as in its class's table.
    assert [letter.message for letter in letters] == [("refuse", (argument,)), ("another", (argument,))]


async def test_the_report_of_a_crash_names_it(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[Any] = []
    async with running(Shapes, ends=ends) as ref:
        await ref.call(Shapes.read)
        ref.cast_nowait(Shapes.fail, 7)
        await trio.testing.wait_all_tasks_blocked()
    assert ends[0].reason == "crash"
    assert "while handling fail(7)" in caplog.text


async def test_a_late_reply_to_it_is_heard_by_nobody() -> None:
    async with running(Shapes) as ref:
        await ref.call(Shapes.read)
        ref.cast_nowait(Shapes.owe, 0)
        (token,) = await ref.call(Shapes.read)
        assert isinstance(token, LateReply)
        assert token.wanted is False


@pytest.mark.parametrize("argument", [0, "", None, (), "x"])
async def test_what_is_taken_out_of_the_mailbox_is_never_it(argument: Any) -> None:
    """`Mailbox.forget` looks for plain messages: an argument must not make a cast look like one."""
    async with running(Shapes) as ref:
        await ref.call(Shapes.read)
        ref.cast_nowait(Shapes.three, argument, (argument,), {})
        ref.cast_nowait(Shapes.two, "", (argument,))
        ref.send_nowait("plain")
        cell_of(ref).forget(lambda message: True)
        assert cell_of(ref).length == 2
        assert await ref.call(Shapes.read) == [(argument, (argument,), {}), ("", (argument,))]


async def test_it_goes_to_a_successor_with_its_name() -> None:
    passed: list[Any] = []
    async with running(Gate) as ref:
        cell = cell_of(ref)
        await ref.call(Gate.read)
        ref.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        ref.cast_nowait(Gate.note, 1)  # while it is busy: the first of these is marked
        ref.cast_nowait(Gate.note, 2)
        ref.cast_nowait("note", 3)
        assert cell.pass_on(passed.append) == []
        assert passed == [(None, "note", (number,), {}) for number in (1, 2, 3)]
        cell.cancel()


async def test_the_age_of_the_oldest_is_known(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate) as ref:
        cell = cell_of(ref)
        await ref.call(Gate.read)
        ref.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        ref.cast_nowait(Gate.note, 1)
        ref.cast_nowait(Gate.note, 2)
        await trio.sleep(5)
        assert cell.age(trio.current_time()) == 5
        cell.instance.gate.set()  # type: ignore[union-attr]  # a `Gate` while it runs
        assert await ref.call(Gate.read) == ["waited", 1, 2]


async def test_a_function_reads_what_it_is_sent_only() -> None:
    read: list[Any] = []

    async def reader(context: Context) -> None:
        read.append(await context.receive())
        read.append(await context.receive())

    async with running(reader) as ref:
        ref.send_nowait("a")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NoSuchMethod, match="actor function"):
            ref.cast_nowait("one", 1)
        ref.send_nowait("b")
        await trio.testing.wait_all_tasks_blocked()
    assert read == ["a", "b"]
