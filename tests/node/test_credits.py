"""Credits: a full mailbox holds its senders back where they are, in their order, and nobody else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.hub.actors import Counter
from tests.node.pair import Side, cut, link, spawn, stop, wired

import hubkit
from hubkit import errors
from hubkit.actors.messages import Request
from hubkit.node import credits as room
from hubkit.node.credits import BATCH, CAPABILITY, MARK, ROOM, WINDOW, Credits


class Gate(hubkit.Actor):
    """Handles nothing until it is told so from outside."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.notes: list[int] = []

    async def shut(self) -> None:
        await self.gate.wait()

    async def note(self, number: int) -> int:
        self.notes.append(number)
        return number


async def calm() -> None:
    """Let everything happen that can."""
    await trio.testing.wait_all_tasks_blocked()


async def shut_gate(a: Side, b: Side, nursery: trio.Nursery, mailbox: int) -> tuple[Any, hubkit.Ref[Gate]]:
    cell = await spawn(b, nursery, Gate, mailbox=mailbox)
    ref = a.system.ref(cell.pid)
    ref.cast_nowait("shut")
    await calm()
    return cell, ref


@pytest.mark.parametrize("kind", ["call", "cast", "send"])
async def test_a_full_mailbox_holds_back_its_senders_and_not_its_neighbours(
    kind: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=10)
        near = await spawn(b, nursery)
        done: list[int] = []

        async def sender(number: int) -> None:
            if kind == "send":
                await ref.send(number)
            else:
                await getattr(ref, kind)("note", number)
            done.append(number)

        async with trio.open_nursery() as senders:
            for number in range(4000):
                senders.start_soon(sender, number)
            await calm()
            assert slow.length <= 10 + WINDOW + 4 + 1  # what the mailbox holds, what may wait there, and the marks
            assert a.exchange.credits.held(b.id) == 4000 - len(a.exchange._waiting) - len(done)
            assert a.exchange.credits.held(b.id) > 2000
            assert await a.system.ref(near.pid).call(Counter.add, 1) == 1
            slow.instance.gate.set()
        assert len(done) == 4000
        assert a.exchange.credits.held(b.id) == 0
        assert not a.exchange._waiting
        assert not any(b.exchange._serving.values())
        if kind != "send":
            while len(slow.instance.notes) < 4000:
                await trio.sleep(0.01)
            assert sorted(slow.instance.notes) == list(range(4000))
        stop(slow, near)


async def test_who_waits_for_credit_can_give_up_and_those_behind_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        async with trio.open_nursery() as senders:
            for number in range(WINDOW):
                senders.start_soon(ref.cast, "note", number)
            await calm()
            scope = trio.CancelScope()

            async def impatient() -> None:
                with scope:
                    await ref.cast("note", -1)

            senders.start_soon(impatient)
            await calm()
            senders.start_soon(ref.cast, "note", WINDOW)
            await calm()
            assert a.exchange.credits.held(b.id) == 2
            scope.cancel()
            await calm()
            assert a.exchange.credits.held(b.id) == 1
            slow.instance.gate.set()
        while len(slow.instance.notes) < WINDOW + 1:
            await trio.sleep(0.01)
        assert sorted(slow.instance.notes) == list(range(WINDOW + 1))
        stop(slow)


async def test_who_waits_for_credit_when_the_link_ends_was_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        outcomes: list[bool] = []

        async def sender(number: int) -> None:
            try:
                await ref.call("note", number)
            except errors.NodeDown as error:
                outcomes.append(error.maybe_executed)

        async with trio.open_nursery() as senders:
            for number in range(WINDOW + 100):
                senders.start_soon(sender, number)
            await calm()
            cut(a, b)
            await calm()
            assert outcomes == [True] * WINDOW
        assert outcomes == [True] * WINDOW + [False] * 100  # these waited for a new link, in vain
        assert slow.length == 0
        slow.instance.gate.set()
        stop(slow)


async def test_who_waits_for_credit_goes_on_over_the_next_link(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        got: list[int] = []

        async def sender(number: int) -> None:
            with suppress(errors.NodeDown):
                got.append(await ref.call("note", number))

        async with trio.open_nursery() as senders:
            for number in range(WINDOW + 100):
                senders.start_soon(sender, number)
            await calm()
            cut(a, b)
            await calm()
            link(a, b)
            slow.instance.gate.set()
        assert len(got) == 100
        stop(slow)


async def test_an_actor_that_ends_lets_everybody_go(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        outcomes: list[type[Exception]] = []

        async def sender(number: int) -> None:
            try:
                await ref.cast("note", number)
            except errors.ActorError as error:
                outcomes.append(type(error))

        async with trio.open_nursery() as senders:
            for number in range(3 * WINDOW):
                senders.start_soon(sender, number)
            await calm()
            slow.cancel()
        assert set(outcomes) == {errors.NoSuchActor}
        assert len(outcomes) == 3 * WINDOW - 1  # one had got room, and is a dead letter there


async def test_a_node_of_an_earlier_release_is_sent_to_as_before(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cut(a, b)
        link(a, b, capabilities=())
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        async with trio.open_nursery() as senders:
            for number in range(2 * WINDOW):
                senders.start_soon(ref.cast, "note", number)
            await calm()
            assert slow.length == 2 * WINDOW
            slow.instance.gate.set()
        stop(slow)


async def test_a_request_of_a_circle_is_refused_and_does_not_wait_here(autojump_clock: trio.testing.MockClock) -> None:
    """The actor there waits for whoever sends this: held back here, both would wait for ever."""
    async with wired() as (nursery, a, b):
        slow, ref = await shut_gate(a, b, nursery, mailbox=1)
        async with trio.open_nursery() as senders:
            for number in range(WINDOW + 1):
                senders.start_soon(ref.cast, "note", number)
            await calm()
            request = Request("cast", "note", (0,), {}, (slow.pid,))
            with trio.fail_after(1), pytest.raises(errors.Deadlock):
                await a.exchange.cast(slow.pid, request)
            slow.instance.gate.set()
        stop(slow)


@given(st.lists(st.sampled_from(["spend", "answer", "new link", "older"]), max_size=60))
def test_no_more_than_the_window_is_ever_under_way(steps: list[str]) -> None:
    marks: list[list[Any]] = []

    def send(peer: str, message: list[Any]) -> bool:
        marks.append(message)
        return True

    credits = Credits(send)
    credits.link_up("b#1", (CAPABILITY,))
    under_way: list[int] = []  # what was sent since the first mark, between the marks that are not answered
    since = 0
    old: list[int] = []
    for step in steps:
        if step == "spend":
            for _ in range(100):
                before = len(marks)
                if not credits.spend("b#1", 7):
                    break
                if len(marks) > before:
                    under_way.append(since)
                    since = 0
                since += 1
        elif step == "answer" and under_way:
            number = marks[len(marks) - len(under_way)][1]
            under_way.pop(0)
            credits._take_room("b#1", number)
            old.append(number)
        elif step == "older" and old:
            credits._take_room("b#1", old[0])  # answered before: says nothing
        elif step == "new link":
            credits.link_up("b#1", (CAPABILITY,))
            old += [message[1] for message in marks[len(marks) - len(under_way) :]]
            marks.clear()
            under_way.clear()
            since = 0
        assert sum(under_way) + since <= WINDOW
        assert all(count == BATCH for count in under_way)
        assert all(message[0] == MARK for message in marks)


def test_actors_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ACTORS", 10)
    credits = Credits(lambda peer, message: True)
    credits.link_up("b#1", (CAPABILITY,))
    for serial in range(1000):
        assert credits.spend("b#1", serial)
    assert len(credits._accounts["b#1"]) <= 10


async def test_an_answer_to_no_mark_of_that_peer_says_nothing() -> None:
    async with wired() as (_, a, b):
        a.exchange.receive(b.id, [ROOM, 5])
        a.exchange.receive("c#1", [MARK, 5, 77])  # to whom there is no link
        with pytest.raises(errors.ProtocolViolation):
            a.exchange.receive(b.id, [MARK, 5, "x"])
