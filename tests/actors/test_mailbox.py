"""Room in the mailbox: who waits, who is refused, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.actors.kit import Gate, cell_of, running

from hubkit.actors import Down, Ref
from hubkit.errors import MailboxFull, NoSuchActor


async def fill(ref: Ref[Any], messages: int) -> trio.Event:
    """Let the actor be busy, and put messages into its mailbox; returns what lets it go on."""
    ref.cast_nowait(Gate.wait)
    await trio.testing.wait_all_tasks_blocked()
    for number in range(messages):
        ref.cast_nowait(Gate.note, number)
    gate = cell_of(ref).instance
    assert isinstance(gate, Gate)
    return gate.gate


async def test_nowait_is_refused_when_there_is_no_room() -> None:
    async with running(Gate, mailbox=2) as ref:
        gate = await fill(ref, 2)
        with pytest.raises(MailboxFull, match=r"2 messages"):
            ref.cast_nowait(Gate.note, "refused")
        with pytest.raises(trio.WouldBlock):
            ref.send_nowait("refused")
        gate.set()
        assert await ref.call(Gate.read) == ["waited", 0, 1]


async def test_senders_wait_for_room_and_are_let_in_in_order() -> None:
    async with running(Gate, mailbox=2) as ref:
        gate = await fill(ref, 2)
        results: list[Any] = []

        async def read() -> None:
            results.append(await ref.call(Gate.read))

        async with trio.open_nursery() as nursery:
            for send in (lambda: ref.cast(Gate.note, "a"), lambda: ref.send("b"), read, lambda: ref.cast("note", "c")):
                nursery.start_soon(send)
                await trio.testing.wait_all_tasks_blocked()
            assert cell_of(ref).length == 6
            with pytest.raises(MailboxFull):
                ref.cast_nowait(Gate.note, "overtakes")
            gate.set()
        assert results == [["waited", 0, 1, "a", "b"]]
        assert await ref.call(Gate.read) == ["waited", 0, 1, "a", "b", "c"]


async def test_a_sender_that_is_cancelled_has_sent_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate, mailbox=1) as ref:
        gate = await fill(ref, 1)
        with trio.move_on_after(1) as first:
            await ref.cast(Gate.note, "a")
        with trio.move_on_after(1) as second:
            await ref.send("b")
        with trio.move_on_after(1) as third:
            await ref.call(Gate.note, "c")
        assert first.cancelled_caught
        assert second.cancelled_caught
        assert third.cancelled_caught
        assert cell_of(ref).length == 1
        gate.set()
        assert await ref.call(Gate.read) == ["waited", 0]


async def test_a_withdrawn_call_makes_room(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate, mailbox=1) as ref, trio.open_nursery() as nursery:
        gate = await fill(ref, 0)
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_later, scope)
            nursery.start_soon(delayed_cast, ref)
            await ref.call(Gate.note, "withdrawn")
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 0
        gate.set()
        assert await ref.call(Gate.read) == ["waited", "after"]


async def cancel_later(scope: trio.CancelScope) -> None:
    await trio.sleep(2)
    scope.cancel()


async def delayed_cast(ref: Ref[Any]) -> None:
    await trio.sleep(1)
    await ref.cast(Gate.note, "after")


async def test_senders_that_wait_learn_that_the_actor_has_ended() -> None:
    async with running(Gate, mailbox=1) as ref:
        await fill(ref, 1)
        gone: list[str] = []

        async def expect_gone(name: str, send: Any, *args: Any) -> None:
            with pytest.raises(NoSuchActor):
                await send(*args)
            gone.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_gone, "cast", ref.cast, Gate.note, 1)
            nursery.start_soon(expect_gone, "send", ref.send, 1)
            nursery.start_soon(expect_gone, "call", ref.call, Gate.read)
            await trio.testing.wait_all_tasks_blocked()
            cell_of(ref).cancel()
        assert sorted(gone) == ["call", "cast", "send"]


async def test_the_system_is_never_refused() -> None:
    async with running(Gate, mailbox=1) as ref:
        async with running(Gate) as other:
            monitor = cell_of(ref).context.monitor(other)
            gate = await fill(ref, 1)
            cell_of(ref).context.send_after(0, "timer")
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
        notes = await ref.call(Gate.read)
        assert notes[:2] == ["waited", 0]
        assert sorted(map(str, notes[2:])) == sorted(["timer", str(Down(monitor, other.pid, "shutdown"))])


async def test_an_actor_whose_mailbox_never_empties_lets_others_run() -> None:
    class Busy(Gate):
        turns = 0

        async def again(self) -> None:
            self.turns += 1
            if self.turns < 10_000:
                self.context.ref.cast_nowait(Busy.again)

    async with running(Busy) as ref:
        ref.cast_nowait(Busy.again)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        busy = cell_of(ref).instance
        assert isinstance(busy, Busy)
        assert 0 < busy.turns < 1000
        cell_of(ref).cancel()


async def test_statistics() -> None:
    async with running(Gate) as ref:
        gate = await fill(ref, 3)
        assert (cell_of(ref).length, cell_of(ref).handled) == (3, 0)
        gate.set()
        await ref.call(Gate.read)
        assert (cell_of(ref).length, cell_of(ref).handled) == (0, 5)
