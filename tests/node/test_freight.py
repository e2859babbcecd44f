"""Large values beside their messages: in order, taken back without a trace, and going on where they stood."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import trio
from tests.node.pair import Side, cut, link, spawn, stop, wired

import hubkit
from hubkit.actors.messages import NotBegun, Request
from hubkit.errors import NodeDown, NotSerializable, ProtocolViolation
from hubkit.events import DeadLetter
from hubkit.net.cargo import INLINE, MAX_HEAD, Cargo
from hubkit.net.lengthy import MANY
from hubkit.node import freight as room
from hubkit.node.assembly import ABANDON, BEGIN, GRANT, OPEN, PIECE, READ, REFUSE, Assembly
from hubkit.node.credits import CAPABILITY as FLOW
from hubkit.node.freight import LADEN, SIZE, SLOTS

LARGE = 3 * INLINE
#: A value of many parts.
MANIFOLD = [[n, str(n)] for n in range(MANY)]


class Taker(hubkit.Actor):
    """Notes what it gets, gives what it is asked for."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.gate = trio.Event()

    async def note(self, value: Any, more: Any = None) -> int:
        self.notes.append(len(value) if isinstance(value, bytes) else value)
        return len(self.notes)

    async def give(self, size: int) -> bytes:
        return b"x" * size

    async def read(self) -> list[Any]:
        return self.notes

    async def wait(self, value: Any = None) -> None:
        await self.gate.wait()

    async def on_info(self, message: Any) -> None:
        self.notes.append(("info", len(message)))


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pieces are granted at a time."""
    for name in ("WINDOW", "LEAST"):
        monkeypatch.setattr(f"hubkit.node.assembly.{name}", 4 * SIZE)


class Tap:
    """What one side sends; all grants but so many are kept back."""

    def __init__(self, side: Side, grants: int = 1 << 30) -> None:
        self.side, self.grants = side, grants
        self.kept: list[tuple[str, list[Any]]] = []
        self.seen: list[list[Any]] = []
        self.plain = side.send
        side.send = self.send  # type: ignore[method-assign]  # to stand between

    def send(self, peer: str, message: list[Any]) -> bool:
        self.seen.append(message)
        self.grants -= message[0] == GRANT
        if message[0] == GRANT and self.grants < 0:
            self.kept.append((peer, message))
            return True
        return self.plain(peer, message)

    def open(self) -> None:
        """Let it through."""
        self.grants = 1 << 30
        for peer, message in self.kept:
            self.plain(peer, message)


def nothing_is_left(*sides: Side) -> None:
    for side in sides:
        freight = side.exchange.freight
        assert not freight._lots
        assert not freight.turns
        assert not freight._slots
        assert not freight._assembly._parcels
        assert not side.exchange._trains
        assert not side.exchange._answering


async def test_arguments_results_and_plain_messages_of_any_size(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        ref = a.system.ref(cell.pid)
        assert await ref.call(Taker.note, bytes(LARGE)) == 1
        await ref.cast(Taker.note, bytes(LARGE + 1), more=[bytes(LARGE), {1: (bytes(LARGE),)}])
        await ref.send(bytes(LARGE + 2))
        assert await ref.call(Taker.give, LARGE) == b"x" * LARGE
        assert await ref.call(Taker.give, 5) == b"xxxxx"
        assert cell.instance.notes == [LARGE, LARGE + 1, ("info", LARGE + 2)]  # type: ignore[union-attr]  # a Taker
        nothing_is_left(a, b)
        stop(cell)


async def test_a_value_that_is_large_without_large_bytes(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        value = ["some text" * 100] * 2000
        assert isinstance(a.exchange._payloads.pack(value), Cargo)
        await a.system.ref(cell.pid).call(Taker.note, value)
        assert cell.instance.notes == [value]  # type: ignore[union-attr]  # a Taker
        stop(cell)


async def test_values_of_many_parts(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        ref = a.system.ref(cell.pid)
        async with trio.open_nursery() as callers:
            for value in (MANIFOLD, 1, [*MANIFOLD, bytes(LARGE)], 2):
                callers.start_soon(ref.call, Taker.note, value)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
        assert cell.instance.notes == [MANIFOLD, 1, [*MANIFOLD, bytes(LARGE)], 2]  # type: ignore[union-attr]  # a Taker
        assert await ref.call(Taker.read) == [MANIFOLD, 1, [*MANIFOLD, bytes(LARGE)], 2]
        nothing_is_left(a, b)
        stop(cell)


async def test_what_has_been_read_is_not_sent_again_when_the_link_breaks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        sent = Tap(a)

        words: list[int] = []

        def lost(peer: str, message: list[Any]) -> bool:
            if message[0] == READ:
                words.append(READ)
                if len(words) == 1:
                    return True
            return plain(peer, message)

        plain, b.send = b.send, lost  # type: ignore[method-assign]  # the first word that it has been read is lost
        assert await interrupted(a, b, nursery, Taker.note, MANIFOLD) == [1]
        kinds = [message[0] for message in sent.seen if message[0] in (BEGIN, PIECE)]
        assert kinds == [BEGIN, PIECE, BEGIN]
        assert words == [READ, READ]
        nothing_is_left(a, b)


async def test_what_cannot_be_read_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)

        def garbled(peer: str, message: list[Any]) -> bool:
            if message[0] == PIECE:
                message = [*message[:3], message[3][:-1] + b"\xff"]
            return plain(peer, message)

        plain, a.send = a.send, garbled  # type: ignore[method-assign]  # a peer that writes nonsense
        with pytest.raises(NotSerializable, match=r"node 'b' does not take .* it cannot be read there"):
            await a.system.ref(cell.pid).call(Taker.note, MANIFOLD)
        nothing_is_left(a, b)
        stop(cell)


async def test_nothing_overtakes_on_the_way_to_one_actor_and_others_pass(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        one, other = await spawn(b, nursery, Taker), await spawn(b, nursery, Taker)
        tap = Tap(b, grants=1)
        async with trio.open_nursery() as callers:
            for value in (bytes(LARGE), 1, bytes(LARGE + 1), 2, 3):
                callers.start_soon(a.system.ref(one.pid).cast, Taker.note, value)
                await trio.testing.wait_all_tasks_blocked()
            assert one.instance.notes == []  # type: ignore[union-attr]  # a Taker
            assert await a.system.ref(other.pid).call(Taker.note, 0) == 1
            tap.open()
        assert one.instance.notes == [LARGE, 1, LARGE + 1, 2, 3]  # type: ignore[union-attr]  # a Taker
        nothing_is_left(a, b)
        stop(one, other)


async def test_who_gives_up_frees_both_sides_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        tap = Tap(b, grants=1)
        with trio.move_on_after(1):
            async with trio.open_nursery() as callers:
                for value in (bytes(LARGE), 1):
                    callers.start_soon(a.system.ref(cell.pid).call, Taker.note, value)
                    await trio.testing.wait_all_tasks_blocked()
                assert b.exchange.freight.figures(a.id).received_bytes == 4 * SIZE
        await trio.testing.wait_all_tasks_blocked()
        nothing_is_left(a, b)
        tap.open()
        assert await a.system.ref(cell.pid).call(Taker.note, bytes(LARGE)) == 1
        stop(cell)


async def test_an_answer_that_nobody_waits_for_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        tap = Tap(a, grants=1)
        with trio.move_on_after(1):
            await a.system.ref(cell.pid).call(Taker.give, LARGE)
        await trio.testing.wait_all_tasks_blocked()
        nothing_is_left(a, b)
        assert not any(b.exchange._serving.values())
        tap.open()
        assert len(await a.system.ref(cell.pid).call(Taker.give, LARGE)) == LARGE
        stop(cell)


async def interrupted(a: Side, b: Side, nursery: trio.Nursery, method: Any, value: Any) -> list[Any]:
    """The result of a call whose link breaks when four pieces are there, and comes back after a second."""
    cell = await spawn(b, nursery, Taker)
    results: list[Any] = []

    async def call() -> None:
        try:
            results.append(await a.system.ref(cell.pid).call(method, value))
        except NodeDown as error:
            results.append(error)

    async with trio.open_nursery() as callers:
        callers.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        cut(a, b)
        await trio.sleep(1)
        link(a, b)
    await trio.testing.wait_all_tasks_blocked()
    stop(cell)
    return results


async def test_a_request_goes_on_where_it_stood_when_the_link_is_back(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        tap, sent = Tap(b, grants=1), Tap(a)

        def opened(peer: str, message: list[Any]) -> bool:
            if message[0] == BEGIN and len(sent.seen) > 1:
                tap.grants = 1 << 30
            return plain(peer, message)

        plain, a.send = a.send, opened  # type: ignore[method-assign]  # to see when it begins anew
        assert await interrupted(a, b, nursery, Taker.note, bytes(LARGE)) == [1]
        places = [message[2] for message in sent.seen if message[0] == PIECE]
        assert places[:4] == [0, SIZE, 2 * SIZE, 3 * SIZE]
        assert places[4:] == sorted(set(places[4:]))
        assert places[4] == 4 * SIZE
        nothing_is_left(a, b)


async def test_an_answer_ends_with_its_link(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        Tap(a, grants=1)
        (error,) = await interrupted(a, b, nursery, Taker.give, LARGE)
        assert isinstance(error, NodeDown)
        assert error.maybe_executed
        assert not any(b.exchange._serving.values())
        assert not b.exchange.freight._lots
        a.exchange.freight._assembly.look(trio.current_time() + 100)
        nothing_is_left(a, b)


async def test_a_request_whose_link_does_not_come_back_was_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        Tap(b, grants=1)
        async with trio.open_nursery() as callers:
            callers.start_soon(refused, a, cell.pid)
            await trio.testing.wait_all_tasks_blocked()
            cut(a, b)
        assert cell.instance.notes == []  # type: ignore[union-attr]  # a Taker
        nothing_is_left(a)
        assert b.exchange.freight.figures(a.id).receiving == 1  # it may still come back
        await trio.sleep(31)
        b.exchange.look()
        nothing_is_left(b)
        stop(cell)


async def refused(side: Side, pid: hubkit.Pid) -> None:
    with pytest.raises((NodeDown, NotBegun)) as caught:
        await side.exchange.call(pid, Request("call", "note", (bytes(LARGE),), {}, ()))
    assert not getattr(caught.value, "maybe_executed", False)


@pytest.mark.parametrize(("opens", "takes"), [(1, 1), (9, 5)])
async def test_who_leaves_goes_on_with_what_it_has_begun_for_a_while(
    opens: int, takes: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        tap = Tap(a, grants=1)
        await b.exchange.freight.finish(within=5)  # nothing is under way
        async with trio.open_nursery() as callers:
            callers.start_soon(a.system.ref(cell.pid).call, Taker.give, LARGE)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()

            async def go_on() -> None:
                await trio.sleep(opens)
                tap.open()

            callers.start_soon(go_on)
            await b.exchange.freight.finish(within=5)
            assert round(trio.current_time() - began) == takes
        nothing_is_left(a, b)
        stop(cell)


async def test_a_request_to_a_node_that_is_out_of_touch_waits_to_see_what_it_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        cut(a, b)
        results: list[int] = []

        async def call() -> None:
            results.append(await a.system.ref(cell.pid).call(Taker.note, bytes(MAX_HEAD + 1)))

        async with trio.open_nursery() as callers:
            callers.start_soon(call)
            await trio.sleep(1)
            link(a, b)
        assert results == [1]
        stop(cell)


# -- limits


async def test_only_so_many_are_sent_at_a_time_and_all_arrive(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cells = [await spawn(b, nursery, Taker) for _ in range(2 * SLOTS)]
        most = 0

        def count(peer: str, message: list[Any]) -> bool:
            nonlocal most
            most = max(most, len(b.exchange.freight._assembly._parcels))
            return plain(peer, message)

        plain, b.send = b.send, count  # type: ignore[method-assign]  # to look at each answer
        async with trio.open_nursery() as callers:
            for cell in cells:
                callers.start_soon(a.system.ref(cell.pid).call, Taker.note, bytes(LARGE))
        assert most == SLOTS
        nothing_is_left(a, b)
        stop(*cells)


async def test_who_finds_no_room_waits_for_it(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        b.exchange.freight._assembly = Assembly(link=LARGE + 1000, node=LARGE + 1000)
        cells = [await spawn(b, nursery, Taker) for _ in range(5)]
        async with trio.open_nursery() as callers:
            for cell in cells:
                callers.start_soon(a.system.ref(cell.pid).call, Taker.note, bytes(LARGE))
        nothing_is_left(a, b)
        with pytest.raises(NotSerializable, match=r"node 'b' does not take .* at most 3,146,728 can come here"):
            await a.system.ref(cells[0].pid).call(Taker.note, bytes(2 * LARGE))
        with pytest.raises(NotSerializable, match="at most 1,073,741,824 bytes can"):
            await a.system.ref(cells[0].pid).call(Taker.note, bytes((1 << 30) + 1))
        nothing_is_left(a, b)
        stop(*cells)


async def test_an_answer_that_is_not_taken_is_an_error_where_it_was_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        a.exchange.freight._assembly = Assembly(link=LARGE, node=LARGE)
        cell = await spawn(b, nursery, Taker)
        with pytest.raises(
            NotSerializable, match=r"the request was handled, but its result cannot travel.*can come here"
        ):
            await a.system.ref(cell.pid).call(Taker.give, 2 * LARGE)
        nothing_is_left(a, b)
        stop(cell)


async def test_too_many_large_answers_are_errors_and_no_memory(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkit.node.laden.MOST_ANSWERS", 1)
    async with wired() as (nursery, a, b):
        cells = [await spawn(b, nursery, Taker) for _ in range(2)]
        tap = Tap(a, grants=1)
        results: list[str] = []

        async def call(cell: Any) -> None:
            try:
                results.append(str(len(await a.system.ref(cell.pid).call(Taker.give, LARGE))))
            except NotSerializable as error:
                results.append(str(error))

        async with trio.open_nursery() as callers:
            for cell in cells:
                callers.start_soon(call, cell)
            await trio.testing.wait_all_tasks_blocked()
            tap.open()
        assert min(results) == str(LARGE)
        assert "1 large answers wait for your node already" in sorted(results)[1]
        stop(*cells)


# -- the release before


async def test_a_node_of_the_release_before_gets_it_in_one_message(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cut(a, b)
        link(a, b, (FLOW,))
        cell = await spawn(b, nursery, Taker)
        ref = a.system.ref(cell.pid)
        assert await ref.call(Taker.note, bytes(LARGE)) == 1
        await ref.cast(Taker.note, bytes(LARGE))
        assert len(await ref.call(Taker.give, LARGE)) == LARGE
        assert await ref.call(Taker.note, MANIFOLD) == 3
        assert await ref.call(Taker.read) == [LARGE, LARGE, MANIFOLD]
        with pytest.raises(NotSerializable, match="'b': that is of a release which takes"):
            await ref.call(Taker.note, bytes(MAX_HEAD + 1))
        with pytest.raises(NotSerializable, match=r"the request was handled, .* 'a': that is of a release which takes"):
            await ref.call(Taker.give, MAX_HEAD + 1)
        nothing_is_left(a, b)
        stop(cell)


# -- what was passed on


async def test_what_waited_for_an_actor_that_moved_is_passed_on_in_its_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        old, new = a.system.spawn(Taker), await spawn(b, nursery, Taker)
        old.stands_by = True
        nursery.start_soon(old.run)
        while not old.started:
            await trio.sleep(0.001)
        results: list[Any] = []

        async def call(value: Any) -> None:
            results.append(await a.system.call_here(old.pid, "note", (value,), {}, ()))

        async with trio.open_nursery() as callers:
            old.push(old.letter("note", (bytes(LARGE),), {}))
            callers.start_soon(call, bytes(LARGE + 1))
            await trio.testing.wait_all_tasks_blocked()
            for value in (7, MANIFOLD, 8):
                old.push(old.letter("note", (value,), {}))
            items, old.queue = list(old.queue or ()), None
            for item in items:
                a.exchange.forward(new.pid, item)
        await trio.testing.wait_all_tasks_blocked()
        assert new.instance.notes == [LARGE, LARGE + 1, 7, MANIFOLD, 8]  # type: ignore[union-attr]  # a Taker
        assert results == [2]
        nothing_is_left(a, b)
        old.stands_by = False
        stop(old, new)


@pytest.mark.parametrize("end", ["link", "node", "limit"])
async def test_what_cannot_be_passed_on_is_told(end: str, autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        scratch = await spawn(a, nursery, Taker)
        tap = Tap(b, grants=1)
        if end == "limit":
            b.exchange.freight._assembly = Assembly(link=INLINE, node=INLINE)
        async with trio.open_nursery() as own:
            a.exchange.freight.nursery = own
            for value in (bytes(LARGE), 7):
                a.exchange.forward(cell.pid, scratch.letter("note", (value,), {}))
            await trio.testing.wait_all_tasks_blocked()
            if end == "link":
                cut(a, b)
            elif end == "node":
                own.cancel_scope.cancel()
            else:
                tap.open()
        await trio.testing.wait_all_tasks_blocked()
        reasons = [event.reason for event in a.events if isinstance(event, DeadLetter)]
        expected = {
            "link": ["the link to node 'b' ended", "there is no link to node 'b'"],
            "node": ["this node was closed"] * 2,
            "limit": ["node 'b' does not take a value of"],
        }[end]
        assert len(reasons) == len(expected)
        assert all(reason.startswith(start) for reason, start in zip(reasons, expected, strict=True)), reasons
        assert not a.exchange._trains
        assert not a.exchange.freight._lots
        stop(cell, scratch)


# -- peers that lie


@pytest.mark.parametrize(
    "message",
    [
        [BEGIN, 1, 5],
        [BEGIN, 1, []],
        [BEGIN, "1", [5]],
        [PIECE, 1, "0", b"x"],
        [GRANT, 1, 0],
        [LADEN, 1, [5], [1]],
        [LADEN, 1, 5, [1]],
        [REFUSE, 1, b"x"],
        [ABANDON],
    ],
)
async def test_messages_that_make_no_sense(message: list[Any]) -> None:
    async with wired() as (_, a, b):
        with pytest.raises(ProtocolViolation):
            b.exchange.receive(a.id, message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([], [3, 0, 1, "note", [], None]),
        ([9], [3, 0, 1, "note", [], None]),
        ([0], [3, 0, 1, "note", [], None]),
        ([-1], [3, 0, 1, "note", [], None]),
        ([True], [3, None]),
        ([1, 1, 1, 1, 1], [3, [0, [0, [0, [0, None]]]]]),
        ([1, 1], [3, "text"]),
        ([1, "x"], [3, {"x": None}]),
        ([3], [LADEN, 1, [0], None]),
    ],
)
async def test_a_value_for_no_place(path: list[Any], message: list[Any]) -> None:
    async with wired() as (_, a, b):
        b.exchange.receive(a.id, [BEGIN, 1, [1]])
        b.exchange.receive(a.id, [PIECE, 1, 0, b"\x80"])
        with pytest.raises(ProtocolViolation, match=r"for no place|makes no sense"):
            b.exchange.receive(a.id, [LADEN, 1, path, message])


async def test_grants_that_make_no_sense_end_the_link_and_those_of_others_are_nobodys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        Tap(b, grants=0)
        with trio.move_on_after(1):
            async with trio.open_nursery() as callers:
                callers.start_soon(a.system.ref(cell.pid).call, Taker.note, bytes(LARGE))
                await trio.testing.wait_all_tasks_blocked()
                (lot,) = a.exchange.freight._lots.values()
                for come, until in ((-1, 5), (5, 4), (0, lot.size + 1), (0, 0)):
                    with pytest.raises(ProtocolViolation):
                        a.exchange.receive(b.id, [GRANT, lot.number, come, until])
                a.exchange.receive("c#1", [GRANT, lot.number, -1, 5])
                a.exchange.receive("c#1", [REFUSE, lot.number, "no"])
                a.exchange.receive(b.id, [GRANT, 99, -1, 5])
                a.exchange.receive(b.id, [REFUSE, 99, "no"])
                assert lot.refusal is None
        stop(cell)


async def test_a_thousand_beginnings_cost_what_they_say(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        for number in range(1000, 2000):
            b.exchange.receive("x#1", [BEGIN, number, [1 << 30]])
        assert len(b.exchange.freight._assembly._parcels) == OPEN
        assert await a.system.ref(cell.pid).call(Taker.note, bytes(LARGE)) == 1  # others have their room
        b.exchange.link_down("x#1")
        nothing_is_left(a, b)
        stop(cell)


async def test_what_is_large_for_nobody_is_read_by_nobody(autojump_clock: trio.testing.MockClock) -> None:
    """An actor that has ended: its caller learns it as ever."""
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        stop(cell)
        await trio.sleep(1)
        with pytest.raises(hubkit.errors.NoSuchActor):
            await a.system.ref(cell.pid).call(Taker.note, bytes(LARGE))
        nothing_is_left(a, b)


# -- how far it is


async def test_how_far_it_is_is_seen_and_said_now_and_then(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hubkit.node")
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, Taker)
        tap = Tap(b, grants=1)
        async with trio.open_nursery() as callers:
            callers.start_soon(a.system.ref(cell.pid).call, Taker.note, bytes(LARGE))
            for _ in range(30):
                await trio.sleep(1)
                a.exchange.freight.look()
            out, come = a.exchange.freight.figures(b.id), b.exchange.freight.figures(a.id)
            assert (out.sending, come.receiving) == (1, 1)
            assert out.sending_bytes == come.receiving_bytes > LARGE
            assert come.received_bytes == 4 * SIZE <= out.sent_bytes
            tap.open()
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 4, lines  # after 5, 15 and 25 seconds, and at the end
        assert re.fullmatch(r"to b: 1\.0 of 3\.0 MiB of a large value sent in [56] s", lines[0])
        assert lines[-1].endswith("3.0 of 3.0 MiB of a large value sent in 30 s: all of it")
        assert a.exchange.freight.figures(b.id) == room.Figures()
        stop(cell)
