"""The exchange: every request ends, exactly once, with the right answer, whatever becomes of the link."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.hub.actors import Counter, Order, Refused
from tests.node.pair import Side, cut, link, spawn, stop, wired

import hubkit
from hubkit import errors, events
from hubkit.actors.cell import Cell
from hubkit.node.refs import decode_ref
from hubkit.node.shapes import DOWN, MONITOR
from hubkit.pids import ChildKey, Pid


async def test_calls_casts_and_messages_cross(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        assert await ref.call(Counter.add, 2) == 2
        await ref.cast(Counter.add, 3)
        ref.cast_nowait(Counter.add, 4)
        await ref.send(Order(1))
        ref.send_nowait("plain")
        assert await ref.call("add", 0) == 9
        assert cell.instance.infos == [Order(1), "plain"]  # type: ignore[union-attr]  # it is a Counter
        with pytest.raises(Refused):
            await ref.call("refuse", "no")
        with pytest.raises(TypeError):
            await ref.cast("add", 1, 2, 3)
        with pytest.raises(errors.NoSuchMethod):
            await ref.cast("nothing")
        assert not any(b.exchange._serving.values())
        assert not a.exchange._waiting
        stop(cell)


async def test_a_pid_that_has_ended_is_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        stop(cell)
        await trio.sleep(1)
        with pytest.raises(errors.NoSuchActor):
            await ref.call("add")
        with pytest.raises(errors.NoSuchActor):
            await ref.cast("add")
        ref.cast_nowait("add", 1)
        await trio.sleep(0.1)
        assert [type(event) for event in b.events] == [events.DeadLetter]


async def test_a_broken_link_says_that_the_request_may_have_run(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        caught: list[bool] = []

        async def client() -> None:
            try:
                await a.system.ref(cell.pid).call("slow", 5)
            except errors.NodeDown as error:
                caught.append(error.maybe_executed)

        nursery.start_soon(client)
        await trio.sleep(1)
        cut(a, b)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert caught == [True]
        assert not a.exchange._waiting
        assert not any(b.exchange._serving.values())
        await trio.sleep(10)
        stop(cell)


async def test_a_call_waits_for_a_link_and_then_says_that_it_was_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        cut(a, b)
        answers: list[Any] = []

        async def client() -> None:
            answers.append(await ref.call("add", 1))

        nursery.start_soon(client)
        await trio.sleep(1)
        assert answers == []
        link(a, b)
        await trio.sleep(0.1)
        assert answers == [1]
        cut(a, b)
        nursery.start_soon(keep_alive, a, b)
        with pytest.raises(errors.NodeDown) as caught:
            await ref.call("add", 1)
        assert not caught.value.maybe_executed
        assert "cannot be reached" in str(caught.value)
        stop(cell)


async def keep_alive(a: Side, b: Side) -> None:
    while True:
        a.liveness.linked(b.id, trio.current_time())
        await trio.sleep(0.5)


async def test_a_node_that_is_gone_is_down(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        cut(a, b)
        a.liveness.refuse(b.id)
        for request in (ref.call("add"), ref.cast("add")):
            with pytest.raises(errors.NodeDown) as caught:
                await request
            assert not caught.value.maybe_executed
        ref.cast_nowait("add", 1)
        assert [type(event) for event in a.events] == [events.DeadLetter]
        stop(cell)


async def test_a_cancelled_call_is_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        nursery.start_soon(ref.call, "slow", 5)
        await trio.sleep(0.5)
        with trio.move_on_after(1) as scope:
            await ref.call("add", 100)
        assert scope.cancelled_caught
        assert len(a.exchange._waiting) == 1  # the slow one
        await trio.sleep(10)
        assert not a.exchange._waiting
        assert await ref.call("add", 0) == 0
        stop(cell)


async def test_a_cast_waits_for_room_there(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=2)
        ref = a.system.ref(cell.pid)
        nursery.start_soon(ref.call, "slow", 5)
        await trio.sleep(0.1)
        await ref.cast("add", 1)
        await ref.cast("add", 1)
        ref.cast_nowait("add", 1)
        await trio.sleep(0.1)
        assert [type(event) for event in b.events] == [events.DeadLetter]
        began = trio.current_time()
        with trio.move_on_after(1) as scope:
            await ref.cast("add", 100)
        assert scope.cancelled_caught
        await ref.cast("add", 1)
        assert trio.current_time() - began == pytest.approx(4.9, abs=0.1)
        assert await ref.call("add", 0) == 3
        assert not any(b.exchange._serving.values())
        stop(cell)


async def test_what_waits_for_a_node_holds_its_senders_back(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        for send in (ref.call, ref.cast):
            a.crowd = 2 << 20
            ref.cast_nowait("add", 10)  # it has said that it does not wait; from it is known how much does
            with trio.move_on_after(1) as scope:
                await send("add", 1)
            assert scope.cancelled_caught
            a.crowd = 9 << 20
            with pytest.raises(errors.MailboxFull) as refused:
                ref.cast_nowait("add", 100)
            assert isinstance(refused.value, trio.WouldBlock)
            a.crowd = 0
            await send("add", 1)
        assert await ref.call("add", 0) == 22
        stop(cell)


async def test_a_cast_that_waits_ends_with_its_actor(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=1)
        ref = a.system.ref(cell.pid)
        nursery.start_soon(lose, ref.call("slow", 60))
        await trio.sleep(0.1)
        await ref.cast("add", 1)
        nursery.start_soon(cancel_soon, cell)
        with pytest.raises(errors.NoSuchActor):
            await ref.cast("add", 1)


async def lose(call: Any) -> None:
    with pytest.raises(errors.ActorCrashed):
        await call


async def cancel_soon(cell: Cell) -> None:
    await trio.sleep(1)
    cell.cancel()


async def test_a_watch_survives_its_link(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        watcher, watched = await spawn(a, nursery), await spawn(b, nursery)
        await a.system.ref(watcher.pid).call(Counter.watch, a.system.ref(watched.pid))
        await trio.sleep(0.1)
        assert b.exchange._watched
        cut(a, b)
        assert not any(b.exchange._watched.values())
        stop(watched)
        await trio.sleep(1)
        assert await a.system.ref(watcher.pid).call(Counter.heard) == []
        link(a, b)
        await trio.sleep(1)
        assert await a.system.ref(watcher.pid).call(Counter.heard) == [(str(watched.pid), "noproc")]
        stop(watcher)


async def test_down_comes_when_the_node_is_gone_and_only_once(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        watcher, watched = await spawn(a, nursery), await spawn(b, nursery)
        here = a.system.ref(watcher.pid)
        await here.call(Counter.watch, a.system.ref(watched.pid))
        await here.call(Counter.watch, a.system.ref(watched.pid))
        cut(a, b)
        a.exchange.look()
        assert await here.call(Counter.heard) == []
        await trio.sleep(10)
        a.exchange.look()
        a.exchange.look()
        assert await here.call(Counter.heard) == [(str(watched.pid), "node_down")] * 2
        await here.call(Counter.watch, a.system.ref(watched.pid))
        assert (await here.call(Counter.heard))[2:] == [(str(watched.pid), "noproc")]
        stop(watcher, watched)


async def test_a_link_that_ends_before_a_full_mailbox_takes_all_back(autojump_clock: trio.testing.MockClock) -> None:
    """A call that is taken back makes room for the cast behind it, of the same link, which is answered at that moment."""
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=1)
        ref = a.system.ref(cell.pid)

        async def ask(request: Any, *args: Any) -> None:
            with pytest.raises(errors.NodeDown):
                await request(*args)

        async with trio.open_nursery() as callers:
            for request, args in ((ref.call, (Counter.slow, 5.0)), (ref.call, ("add", 1)), (ref.cast, ("add", 2))):
                callers.start_soon(ask, request, *args)
                await trio.sleep(0.1)
            b.exchange.receive(a.id, [MONITOR, 99, cell.pid.serial])
            assert len(b.exchange._serving[a.id]) == 3
            cut(a, b)
        assert not b.exchange._serving
        assert not b.exchange._watched
        link(a, b)
        assert await ref.call("add", 4) in (4, 6)  # the cast may have been let in
        stop(cell)


async def test_a_down_that_makes_no_sense_is_a_violation_and_no_down(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        watcher, watched = await spawn(a, nursery), await spawn(b, nursery)
        here = a.system.ref(watcher.pid)
        await here.call(Counter.watch, a.system.ref(watched.pid))
        (number,) = a.exchange._watching
        for error in ([b""], 7, "x", b"\xff"):
            with pytest.raises(errors.ProtocolViolation):
                a.exchange.receive(b.id, [DOWN, number, "crashed", error])
        assert await here.call(Counter.heard) == []
        stop(watched)  # whoever watches is told of its end
        await trio.sleep(1)
        assert await here.call(Counter.heard) == [(str(watched.pid), "shutdown")]
        stop(watcher)


async def test_a_watch_can_be_taken_back(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        watcher, watched = await spawn(a, nursery), await spawn(b, nursery)
        monitor = watcher.context.monitor(a.system.ref(watched.pid))
        await trio.sleep(0.1)
        assert b.exchange._watched
        assert watcher.context.demonitor(monitor)
        await trio.sleep(0.1)
        assert not any(b.exchange._watched.values())
        assert not a.exchange._watching
        stop(watched)
        await trio.sleep(1)
        assert await a.system.ref(watcher.pid).call(Counter.heard) == []
        stop(watcher)


async def test_refs_travel(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        here, there = await spawn(a, nursery), await spawn(b, nursery)
        mine = a.system.ref(here.pid)
        echoed = await a.system.ref(there.pid).call(Counter.echo, mine)
        assert echoed == mine
        assert await a.system.ref(there.pid).call(Counter.ask, mine, "add", 5) == 5
        async with hubkit.Supervisor(children=[hubkit.child("s", Counter, 7)]):
            pass
        nowhere = a.system.ref(ChildKey("shop", "gone"))
        echoed = await a.system.ref(there.pid).call(Counter.echo, nowhere)
        assert echoed == nowhere
        with pytest.raises(errors.HubClosed, match="not open on this node"):
            await echoed.call("add")
        a.exchange.hint(ChildKey("shop", "gone"), there.pid)
        assert await echoed.call("add", 1) == 1
        stop(here, there)


async def test_closing_ends_everything_that_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        ended: list[str] = []

        async def client(pid: Pid) -> None:
            try:
                await a.system.ref(pid).call("slow", 3)
            except errors.HubClosed:
                ended.append("closed")

        nursery.start_soon(client, cell.pid)
        await trio.sleep(1)
        a.exchange.close()
        await trio.sleep(0.1)
        assert ended == ["closed"]
        cut(a, b)
        with pytest.raises(errors.HubClosed):
            await ref.call("add")
        stop(cell)


@pytest.mark.parametrize(
    "message",
    [
        [],
        [99],
        ["call"],
        [1],
        [1, 1, 1, "add", [], b""],
        [1, "1", 1, "add", [], b"", None],
        [1, True, 1, "add", [], [], None],
        [2, 1, 0],
        [3, 1, 1, "add", []],
        [4],
        [5, 1],
        [6, None],
        [7, 1, 2],
    ],
)
async def test_messages_that_make_no_sense_are_violations(message: list[Any]) -> None:
    async with wired() as (_, a, _):
        with pytest.raises(errors.ProtocolViolation):
            a.exchange.receive("b#1", message)


async def test_answers_nobody_waits_for_are_dropped() -> None:
    async with wired() as (_, a, _):
        a.exchange.receive("b#1", [2, 77, 0, None])
        a.exchange.receive("b#1", [4, 77])
        a.exchange.receive("b#1", [6, 77])
        a.exchange.receive("b#1", [7, 77, "noproc", None])
        assert not a.events


async def test_arguments_that_cannot_be_read_there_are_the_callers_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        answers: list[Any] = []
        a.exchange.receive = lambda peer, message: answers.append(message)  # type: ignore[method-assign]  # to see the answer
        for payload in (b"", b"\xff\xff", b"\x01", a.exchange._payloads.dumps([1, 2])):
            b.exchange.receive("a#1", [1, 5, cell.pid.serial, "add", [], payload, None])
            b.exchange.receive("a#1", [3, 6, cell.pid.serial, "add", [], payload])
            b.exchange.receive("a#1", [3, 0, cell.pid.serial, "add", [], payload])
            await trio.sleep(0.1)
            assert [answer[:3] for answer in answers] == [[2, 5, 7], [2, 6, 7]]
            answers.clear()
        stop(cell)


async def test_nobody_answers_for_another_node(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await a.system.ref(cell.pid).call("add", 1))

        nursery.start_soon(ask)
        while not a.exchange._waiting:
            await trio.lowlevel.checkpoint()
        (number,) = a.exchange._waiting
        a.exchange.receive("c#1", [2, number, 0, "forged"])
        while not answers:
            await trio.sleep(0.01)
        assert answers == [1]
        stop(cell)


@pytest.mark.parametrize(
    "pid",
    [[1, 2, 3], ["b", 1], ["b", "1", 1], [[], {}, b""], ["b", 1, True], ["b", 1, 1 << 62], ["b" * 301, 1, 1], "b#1", 5],
)
async def test_a_ref_with_a_hint_that_is_no_pid_is_a_violation(pid: Any) -> None:
    async with wired() as (_, a, _):
        with pytest.raises(errors.ProtocolViolation):
            decode_ref(a.exchange, ["shop", "c1", pid])
        assert not a.exchange._hints
