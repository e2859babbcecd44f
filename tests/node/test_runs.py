"""Runs of calls, answers and casts do what their messages would do one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.hub.actors import Counter
from tests.node.liar import boot, overheard
from tests.node.pair import Side, cut, link, pair, spawn, stop, wired

from hubkit.actors import Actor
from hubkit.actors.cell import Cell
from hubkit.actors.messages import NotBegun
from hubkit.actors.parking import sit, wait_in
from hubkit.errors import HubClosed, HubkitError, NodeDown, NoSuchMethod, ProtocolViolation
from hubkit.events import DeadLetter
from hubkit.net.cbor import decode, encode
from hubkit.net.session import ROOM
from hubkit.net.wire import CHUNK, COUNTED, encode_app
from hubkit.node.answers import encode_error
from hubkit.node.bounds import SERVED
from hubkit.node.credits import CAPABILITY as FLOW
from hubkit.node.freight import CAPABILITY as LARGE
from hubkit.node.relays import CALL, CAST, WITHDRAW
from hubkit.node.runs import (
    CAPABILITY,
    HEAVY,
    MOST,
    MOST_BARE,
    MOST_CASTS,
    Calls,
    Casts,
    Replies,
    check_calls,
    check_casts,
    check_replies,
    pack_numbers,
    read_numbers,
    weigh,
    weigh_chain,
)
from hubkit.node.shapes import CALLS, CASTS, REPLIES, REPLY
from hubkit.pids import ChildKey, Pid
from hubkit.testing import Simulation, simulated

Clock = trio.testing.MockClock
light = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=30)


class Scribe(Actor):
    """Writes down what it is told."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log

    async def one(self, value: Any) -> Any:
        self.log.append((self.name, "one", value))
        return value

    async def two(self, left: Any, right: Any = 0) -> list[Any] | Any:
        self.log.append((self.name, "two", left, right))
        return [left, right] if right else left

    async def none(self) -> None:
        self.log.append((self.name, "none"))

    async def on_info(self, message: Any) -> None:
        self.log.append((self.name, "info", message))


# -- what is written


@given(light, st.integers(0, 2**31))
def test_a_run_of_one_is_the_message_itself(value: Any, number: int) -> None:
    for left in (None, 2.5):
        for chain in ((), (Pid("a", 1, 2), Pid("b", 3, 4))):
            calls = Calls("add", 1)
            calls.add(number, 7, (value,), left, chain, 0)
            path = [[pid.node, pid.incarnation, pid.serial] for pid in chain]
            assert calls.close() == (encode_app([CALL, number, 7, "add", path, [value], left]), 1)
    replies = Replies()
    assert replies.add(number, value)
    assert replies.close() == (encode_app([REPLY, number, 0, value]), 1)
    casts = Casts(Pid("b", 1, 7), Counter.add, "add", 1)
    assert casts.add((value,))
    assert casts.close() == (encode_app([CAST, 0, 7, "add", [], [value]]), 1)


@given(st.lists(light, max_size=30))
def test_what_weighs_nothing_cannot_go_and_what_goes_is_no_heavier(values: list[Any]) -> None:
    assert len(encode(values)) - 9 <= weigh(values)
    for other in (b"bytes", [1], 1 << 63, "\ud800", Pid("a", 1, 1)):
        assert weigh([*values, other]) == -1


@given(
    st.lists(st.builds(Pid, st.text(max_size=300), st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1)), max_size=9)
)
def test_a_chain_is_no_heavier_than_it_is_taken_for(chain: list[Pid]) -> None:
    assert len(encode([[pid.node, pid.incarnation, pid.serial] for pid in chain])) - 1 <= weigh_chain((*chain,))


def test_a_run_has_an_end() -> None:
    calls, replies, casts = Calls("add", 0), Replies(), Casts(Pid("b", 1, 7), "add", "add", 1)
    bare = Casts(Pid("b", 1, 7), "add", "add", 0)
    for number in range(MOST):
        assert calls.is_open
        assert replies.is_open
        calls.add(number, 7, (), None, (), 0)
        assert replies.add(number, None)
    assert not calls.is_open
    assert not replies.is_open
    for _ in range(MOST_CASTS):
        assert casts.is_open
        assert casts.add((1,))
    for _ in range(MOST_BARE):
        assert bare.is_open
        assert bare.add(())
    assert not casts.is_open
    assert not bare.is_open
    for run, count in ((calls, MOST), (replies, MOST), (casts, MOST_CASTS), (bare, MOST_BARE)):
        data, counts = run.close()
        assert counts == decode(data)[2] == count <= COUNTED
    heavy = "x" * HEAVY
    casts = Casts(Pid("b", 1, 7), "add", "add", 1)
    assert not casts.add((heavy,)), "it goes by itself"
    assert not casts.add((1, 2))
    assert not casts.add(([1],))
    while casts.is_open:
        assert casts.add((heavy[10:],))
    assert 10 < casts.count < 20
    calls, replies = Calls("add", 1), Replies()
    assert not replies.add(1, heavy)
    assert not replies.add(1, b"bytes")
    for number in range(17):
        calls.add(number, 7, (heavy,), None, (), HEAVY)
        assert replies.add(number, heavy[10:])
    assert not calls.is_open
    assert not replies.is_open


# -- what is read

MANY = COUNTED + 1
BAD_CALLS: dict[str, tuple[Any, ...]] = {
    "fewer serials": (2, [1], [], None, None),
    "arguments that do not divide": (2, [1, 1], [1, 2, 3], None, None),
    "arguments that are not light": (1, [1], [[]], None, None),
    "a large number": (1, [1], [1 << 63], None, None),
    "a large number among others": (1, [1], [1 << 63, None], None, None),
    "a small number": (1, [1], [-(1 << 63) - 1], None, None),
    "fewer deadlines": (2, [1, 1], [], [1.0], None),
    "a time that is text": (1, [1], [], ["1"], None),
    "a time that is none": (1, [1], [], [math.nan], None),
    "endless time": (1, [1], [], [math.inf], None),
    "times that are no list": (1, [1], [], 1.0, None),
    "fewer chains": (2, [1, 1], [], None, [[]]),
    "a chain that is none": (1, [1], [], None, [None]),
    "chains that are no list": (1, [1], [], None, "x"),
}


@pytest.mark.parametrize("bad", BAD_CALLS)
def test_calls_that_make_no_sense(bad: str) -> None:
    with pytest.raises(ProtocolViolation, match="a run of calls that makes no sense"):
        check_calls(*BAD_CALLS[bad])


@pytest.mark.parametrize(("count", "results"), [(1, []), (1, [b""]), (2, [1]), (1, [1, 2])])
def test_answers_that_make_no_sense(count: int, results: list[Any]) -> None:
    with pytest.raises(ProtocolViolation, match="a run of answers that makes no sense"):
        check_replies(count, results)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30))
def test_numbers_survive(numbers: list[int]) -> None:
    assert read_numbers(pack_numbers(numbers)) == (*numbers,)


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9), bytes(8 * MANY)])
def test_numbers_that_make_no_sense(data: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="the numbers of a run make no sense"):
        read_numbers(data)


@pytest.mark.parametrize(
    ("count", "args"), [(0, []), (-1, [1]), (2, [1]), (1, [{}]), (MANY, [1] * MANY), (MOST_BARE + 1, [])]
)
def test_casts_that_make_no_sense(count: int, args: list[Any]) -> None:
    with pytest.raises(ProtocolViolation, match="a run of casts that makes no sense"):
        check_casts(count, args)


# -- both together


@dataclass(frozen=True)
class Step:
    """Something that a sender does: ``kind`` to actor ``to``; ``turn``: others run afterwards."""

    kind: str
    to: int
    method: str
    args: tuple[Any, ...]
    turn: bool


values = (
    st.sampled_from([0, 1, "x", "é" * 3, None, 2.5, True]) | light | st.sampled_from([b"bytes", [1, 2], "y" * 5000])
)
step = st.builds(
    Step,
    st.sampled_from(
        ["call", "call", "timed", "chained", "circle", "cast_nowait", "cast_nowait", "cast", "send_nowait"]
    ),
    st.integers(0, 3),
    st.sampled_from(["one", "two", "two"]),
    st.tuples(values) | st.tuples(values, values),
    st.sampled_from([False, False, False, True]),
) | st.builds(
    Step, st.sampled_from(["call", "cast_nowait"]), st.integers(0, 3), st.just("none"), st.just(()), st.just(False)
)
steps = st.lists(step, min_size=15, max_size=60)


CHAINS = {"chained": (Pid("c", 5, 6), Pid("a", 1, 9999)), "circle": (Pid("b", 1, 1), Pid("a", 1, 9999))}


class _Waiter:
    value = None

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED


class Callers:
    """Calls that are made in this very order by one task, and whose answers others wait for. (trio runs tasks in any order.)"""

    def __init__(self, side: Side, nursery: trio.Nursery) -> None:
        self.side, self.nursery = side, nursery
        self.answers: dict[int, str] = {}
        self.waiting: list[list[Any]] = []

    async def begin(self, count: int) -> None:
        self.waiting = [await self.nursery.start(self._wait, number) for number in range(count)]

    async def call(self, number: int, pid: Pid, step: Step) -> None:
        waiting = self.waiting[number]
        with trio.move_on_after(3 if step.kind == "timed" else math.inf):  # noqa: ASYNC100  # it tells a deadline
            asked = self.side.exchange.ask(pid, step.method, step.args, CHAINS.get(step.kind, ()))
        if asked is None:
            self.nursery.start_soon(self._call, number, pid, step)
            await trio.testing.wait_all_tasks_blocked()
        else:
            asked.task = waiting[0]
            waiting.append(asked)

    async def _call(self, number: int, pid: Pid, step: Step) -> None:
        try:
            self.answers[number] = repr(await self.side.system.ref(pid).call(step.method, *step.args))
        except (HubkitError, TypeError) as error:
            self.answers[number] = f"{type(error).__name__}: {error}"

    async def _wait(self, number: int, task_status: trio.TaskStatus[list[Any]]) -> None:
        waiting: list[Any] = [trio.lowlevel.current_task()]
        task_status.started(waiting)
        try:
            await sit(_Waiter())
            self.answers[number] = repr(self.side.exchange.answer_of(waiting[1]))
        except (HubkitError, NotBegun, TypeError) as error:
            self.answers[number] = f"{type(error).__name__}: {error}"


async def play(plan: list[Step], capabilities: Collection[str]) -> tuple[list[Any], dict[int, str], list[str], int]:
    """What the actors were told, what the callers were answered, and what was lost; and how many messages that took."""
    log: list[Any] = []
    async with wired() as (nursery, a, b), trio.open_nursery() as callers:
        cut(a, b)
        link(a, b, capabilities)
        cells = [await spawn(b, nursery, Scribe, str(number), log) for number in range(3)]
        pids = [*(cell.pid for cell in cells), Pid("b", 1, 9999)]
        refs = [a.system.ref(pid) for pid in pids]
        asking = Callers(a, callers)
        await asking.begin(len(plan))
        messages = 0
        receive = b.exchange.receive

        def count(peer: str, message: list[Any]) -> None:
            nonlocal messages
            messages += 1
            receive(peer, message)

        b.exchange.receive = count  # type: ignore[method-assign]  # each message is counted
        for number, step in enumerate(plan):
            ref = refs[step.to]
            try:
                if step.kind in ("call", "timed", *CHAINS):
                    await asking.call(number, pids[step.to], step)
                elif step.kind == "send_nowait":
                    ref.send_nowait(step.args)
                elif step.kind == "cast":
                    await ref.cast(step.method, *step.args)
                else:
                    ref.cast_nowait(step.method, *step.args)
            except (HubkitError, TypeError) as error:
                asking.answers[number] = f"{type(error).__name__}: {error}"
            if step.turn:
                await trio.sleep(0.01)
        await trio.sleep(5)
        stop(*cells)
        await trio.sleep(1)
        assert not a.exchange._waiting
        assert not any(b.exchange._serving.values())
        lost = [
            f"{side.id} {event.target} {event.message}"
            for side in (a, b)
            for event in side.events
            if isinstance(event, DeadLetter)
        ]
        callers.cancel_scope.cancel()
    told = [[entry for entry in log if entry[0] == str(number)] for number in range(3)]  # between them is no order
    return told, asking.answers, lost, messages


@given(steps)
def test_all_is_as_if_they_had_gone_one_by_one(plan: list[Step]) -> None:
    *with_runs, few = trio.run(play, plan, (FLOW, LARGE, CAPABILITY), clock=Clock(autojump_threshold=0))
    *without, many = trio.run(play, plan, (FLOW, LARGE), clock=Clock(autojump_threshold=0))
    assert with_runs == without
    assert few <= many


def test_what_stands_together_is_one_message() -> None:
    plan = [Step("call", number % 3, "one", (number,), False) for number in range(60)]
    *done, messages = trio.run(play, plan, (FLOW, LARGE, CAPABILITY), clock=Clock(autojump_threshold=0))
    assert messages == 1
    assert done[1] == {number: repr(number) for number in range(60)}


def overhear(side: Side, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    said: list[list[Any]] = []
    plain = side.send

    def send(peer: str, message: list[Any]) -> bool:
        side.close_growing()
        said.append(message)
        return plain(peer, message)

    monkeypatch.setattr(side, "send", send)
    return said


async def test_many_callers_need_few_messages(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired() as (nursery, a, b):
        cells = [await spawn(b, nursery) for _ in range(3)]
        said, answered = overhear(a, monkeypatch), overhear(b, monkeypatch)
        results: list[int] = []

        async def caller(cell: Cell) -> None:
            for _ in range(5):
                results.append(await a.system.ref(cell.pid).call(Counter.add, 1))  # noqa: PERF401  # one after the other

        async with trio.open_nursery() as callers:
            for number in range(60):
                callers.start_soon(caller, cells[number % 3])
        assert sorted(results) == sorted([*range(1, 101)] * 3)
        kinds = [message[0] for message in said]
        assert kinds.count(CALLS) >= 5
        assert len(said) < 30
        assert {message[0] for message in answered} <= {REPLIES, REPLY}
        assert len(answered) < 60
        stop(*cells)


async def test_casts_in_a_row_are_one_message(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=1000)
        said = overhear(a, monkeypatch)
        ref: Any = a.system.ref(cell.pid)
        for number in range(10):
            ref.cast_nowait(Counter.add, number)
        ref.cast_nowait(Counter.add, n=1)
        for number in range(10):
            ref.cast_nowait("add", number)
        assert await ref.call(Counter.add, 0) == 91
        assert [message[0] for message in said] == [CASTS, CAST, CASTS, CALL]
        b.exchange.look()
        await trio.sleep(1)
        assert a.exchange._unheard.link_down(b.id) == []
        stop(cell)


async def test_casts_for_which_there_is_no_room_are_dead_letters(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=10)
        ref = a.system.ref(cell.pid)
        for number in range(25):
            ref.cast_nowait(Counter.add, number)
        with trio.fail_after(5):
            assert await ref.call(Counter.add, 0) == sum(range(10))
        lost = [event.message for event in b.events if isinstance(event, DeadLetter)]
        assert lost == [("add", (number,)) for number in range(10, 25)]
        stop(cell)


@pytest.mark.parametrize("turn", [True, False], ids=["on the link", "before they are"])
async def test_a_link_that_ends_tells_of_each(autojump_clock: Clock, turn: bool) -> None:
    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        errors: list[Exception] = []

        async def caller() -> None:
            try:
                await ref.call(Counter.slow, 100.0)
            except NodeDown as error:
                errors.append(error)

        for _ in range(3):
            nursery.start_soon(caller)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(5):
            ref.cast_nowait(Counter.add, number)
        if turn:
            await trio.sleep(1)
        assert lost_by(a) == []
        cut(a, b)
        assert lost_by(a) == [("add", (number,)) for number in range(5)]
        await trio.testing.wait_all_tasks_blocked()
        assert len(errors) == 3
        assert all(error.maybe_executed for error in errors)  # type: ignore[attr-defined]  # they are NodeDown
        assert not any(b.exchange._serving.values())
        await trio.sleep(200)
        assert not b.sent, "nobody hears it"
        ref.cast_nowait(Counter.add, 6)
        assert lost_by(a)[5:] == [("add", (6,))]
        link(a, b)
        ref.cast_nowait(Counter.add, 7)
        a.exchange.close()
        with pytest.raises(HubClosed):
            ref.cast_nowait(Counter.add, 8)
        nursery.cancel_scope.cancel()
        cell.cancel()


def lost_by(side: Side) -> list[Any]:
    return [event.message for event in side.events if isinstance(event, DeadLetter)]


async def test_calls_of_a_run_that_are_given_up_are_withdrawn(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref, said = a.system.ref(cell.pid), overhear(a, monkeypatch)
        late = 0

        async def caller(method: str, *args: Any) -> None:
            nonlocal late
            with trio.move_on_after(1) as scope:
                await ref.call(method, *args)
            late += scope.cancelled_caught

        async with trio.open_nursery() as callers:
            for _ in range(2):
                callers.start_soon(caller, "slow", 5)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(4):
                callers.start_soon(caller, "add", 1)
        assert late == 6
        kinds = [message[0] for message in said]
        assert (kinds.count(CALLS), kinds.count(WITHDRAW)) == (2, 6)
        answered = overhear(b, monkeypatch)
        await trio.sleep(10)
        assert not answered, "nobody would hear it"
        assert await ref.call("add", 1) == 1
        assert not any(b.exchange._serving.values())
        stop(cell)


async def test_casts_follow_their_child(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cells = [await spawn(b, nursery) for _ in range(2)]
        where = {"child": cells[0].pid}
        a.system.hubs["hub"] = where.get
        ref: Any = a.system.ref(ChildKey("hub", "child"))
        for _ in range(5):
            ref.cast_nowait(Counter.add, 1)
        where["child"] = cells[1].pid
        for _ in range(3):
            ref.cast_nowait(Counter.add, 1)
        values = [await a.system.ref(cell.pid).call(Counter.add, 0) for cell in cells]
        assert values == [5, 3]
        stop(*cells)


async def test_a_call_whose_time_is_over_when_its_turn_comes_is_not_begun(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        b.exchange.receive(a.id, [CALL, 1, cell.pid.serial, "slow", [], [5], None])
        b.exchange.receive(
            a.id, [CALLS, "add", pack_numbers([2, 3]), pack_numbers([cell.pid.serial] * 2), [1, 1], [1.0, None], None]
        )
        await trio.sleep(10)
        assert await a.system.ref(cell.pid).call("add", 0) == 1
        stop(cell)


async def test_who_is_cancelled_already_has_no_time_left(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)

        async def caller(deadline: float) -> None:
            with trio.CancelScope(deadline=deadline) as scope:
                await ref.call(Counter.add, 1)
            assert scope.cancelled_caught == (deadline < 0)

        async with trio.open_nursery() as callers:
            for deadline in (100, -math.inf, -1, 100):
                callers.start_soon(caller, deadline)
        await trio.sleep(1)
        assert await ref.call(Counter.add, 0) == 2
        assert not any(b.exchange._serving.values())
        stop(cell)


async def test_two_calls_with_one_number_make_no_sense(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        with pytest.raises(ProtocolViolation, match="two requests have the number 2"):
            b.exchange.receive(
                a.id, [CALLS, "slow", pack_numbers([2, 2]), pack_numbers([cell.pid.serial] * 2), [1.0, 1.0], None, None]
            )
        b.exchange.receive(a.id, [REPLIES, pack_numbers([77, 78]), [1, 2]])  # nobody has asked
        b.exchange.receive(
            "z#1", [CALLS, "add", pack_numbers([2]), pack_numbers([cell.pid.serial]), [1], None, None]
        )  # there is no link to it
        stop(cell)


async def test_nobody_answers_for_another_node(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)

        async def lie() -> None:
            await trio.sleep(1)
            a.exchange.receive("z#1", [REPLIES, pack_numbers([*a.exchange._waiting]), ["a lie"]])

        nursery.start_soon(lie)
        assert await a.system.ref(cell.pid).call("slow", 2.0) == 2.0
        stop(cell)


async def test_the_end_of_a_link_on_which_many_calls_wait_holds_up_nobody(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        numbers = pack_numbers([*range(COUNTED)])
        b.exchange.receive(
            a.id, [CALLS, "slow", numbers, pack_numbers([cell.pid.serial] * COUNTED), [5] * COUNTED, None, None]
        )
        withdrawn: list[int] = []
        serving = b.exchange._serving[a.id]
        serving.update((number, partial(withdrawn.append, number)) for number in range(COUNTED, SERVED))
        began = time.perf_counter()
        cut(a, b)
        assert time.perf_counter() - began < 5, "it took a minute where each was looked for from the beginning"
        assert withdrawn == [*range(COUNTED, SERVED)]
        assert serving == {}
        assert cell.length == 0
        stop(cell)


async def test_the_end_of_an_old_link_shuts_no_new_door(autojump_clock: Clock) -> None:
    async with wired() as (_, a, b):
        a.exchange.link_up("b#2", (CAPABILITY,))
        a.exchange.link_down(b.id)
        door = a.exchange._doors["b"]
        assert (door.peer, door.boot, door.reads_runs) == ("b#2", 2, True)
        a.exchange.link_down("b#2")
        assert not a.exchange._doors


async def test_a_new_door_shuts_the_one_before(autojump_clock: Clock) -> None:
    async with wired() as (_, a, b):
        ref, others = a.system.ref(Pid("b", 1, 7)), a.system.ref(Pid("b", 2, 7))
        ref.cast_nowait("add", 1)
        a.exchange.link_up("b#2", (CAPABILITY,))  # the link to the boot before has not ended yet
        ref.cast_nowait("add", 2)
        a.exchange.link_down(b.id)
        ref.cast_nowait("add", 3)
        assert lost_by(a) == [("add", (1,)), ("add", (2,)), ("add", (3,))]
        others.cast_nowait("add", 4)
        a.exchange.link_down("b#2")
        assert lost_by(a)[3:] == [("add", (4,))]


async def test_calls_of_a_run_that_are_passed_on_are_answered_in_one(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired() as (nursery, a, b):
        old, new = await spawn(b, nursery), await spawn(a, nursery)
        answered, results = overhear(b, monkeypatch), list[int]()

        async def caller(patience: float) -> None:
            with trio.move_on_after(patience):
                results.append(await a.system.ref(old.pid).call(Counter.add, 1))

        async with trio.open_nursery() as callers:
            callers.start_soon(a.system.ref(old.pid).call, Counter.slow, 10.0)
            await trio.sleep(1)
            for patience in (1.0, 100.0, 100.0, 3.0):
                callers.start_soon(caller, patience)
            await trio.sleep(2)
            assert old.queue is not None
            assert len(old.queue) == 3
            while old.queue:
                b.exchange.forward(new.pid, old.queue.popleft())
            await trio.sleep(0.5)
            assert sorted(results) == [1, 2, 3]
        assert [message[0] for message in answered].count(REPLIES) == 1
        assert not any(b.exchange._serving.values())
        assert not b.exchange._relayed
        stop(old, new)


async def test_where_much_waits_nothing_joins_it(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref, said, results = a.system.ref(cell.pid), overhear(a, monkeypatch), list[int]()

        async def caller() -> None:
            results.append(await ref.call(Counter.add, 1))

        a.crowd = ROOM + 1
        ref.cast_nowait(Counter.add, 1)  # tells that much waits
        await trio.sleep(1)
        ref.cast_nowait(Counter.add, 1)
        ref.cast_nowait(Counter.add, 1)
        for _ in range(3):
            nursery.start_soon(caller)
        await trio.sleep(1)
        assert ([message[0] for message in said], results) == ([CAST, CAST, CAST], [])
        a.crowd = 0
        await trio.sleep(1)
        assert sorted(results) == [4, 5, 6]
        ref.cast_nowait(Counter.add, 1)
        ref.cast_nowait(Counter.add, 1)
        await trio.sleep(1)
        assert said[-1][0] == CASTS
        stop(cell)


async def test_a_caller_whose_callers_have_long_names_goes_alone(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        said = overhear(a, monkeypatch)
        chain = (Pid("x" * 300, 1, 1),) * 9

        async def caller(method: str, chain: tuple[Pid, ...]) -> None:
            asked = a.exchange.ask(cell.pid, method, (1,), chain)
            assert asked is not None
            with suppress(NoSuchMethod):
                await wait_in(asked)

        async with trio.open_nursery() as callers:
            for _ in range(3):
                callers.start_soon(caller, "add", chain)
                callers.start_soon(caller, "y" * HEAVY, ())
        assert [message[0] for message in said] == [CALL] * 6
        long = "y" * CHUNK
        assert a.exchange.ask(cell.pid, "add", (1,), (Pid(long, 1, 1),)) is None
        assert a.exchange.ask(cell.pid, long, (1,), ()) is None
        assert a.exchange.stream(cell.pid, long, "y" * (HEAVY + 1), (1,)) is None
        stop(cell)


async def test_what_has_come_is_not_kept_by_its_ref(autojump_clock: Clock) -> None:
    async with wired() as (nursery, a, b):
        cells = [await spawn(b, nursery) for _ in range(3)]
        refs = [a.system.ref(cell.pid) for cell in cells]
        for ref in refs:
            for number in range(10):
                ref.cast_nowait(Counter.add, number)
        await trio.sleep(1)
        b.exchange.look()
        await trio.sleep(1)
        kept = [ref._stream.args for ref in refs]  # type: ignore[attr-defined]  # they are `Casts`
        assert kept == [[], [], []]
        refs[0].cast_nowait(Counter.add, 1)
        cut(a, b)
        assert lost_by(a) == [("add", (1,))]
        stop(*cells)


async def test_nobody_is_answered_for_another_boot(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wired() as (nursery, _, b):
        cell = await spawn(b, nursery)
        said = overhear(b, monkeypatch)
        run = [CALLS, "add", pack_numbers([2, 3]), pack_numbers([cell.pid.serial] * 2), [1, 1], None, None]
        b.exchange.receive("a#2", run)
        await trio.sleep(1)
        assert said == [[REPLY, 2, 0, 1], [REPLY, 3, 0, 2]]
        stop(cell)


ODD: list[tuple[Any, ...]] = [
    (), (None,), (True,), (math.nan,), (-math.inf,), (-0.0,), (1 << 63,), (-(1 << 63),), (1 << 64,), (10**400,),
    ("\ud800",), ("é" * 2000,), ("x" * HEAVY,), (b"bytes",), ([1],), ((1,),), (1, 2, 3), (*range(30),),
]  # fmt: skip
METHODS: list[Any] = [
    "about",
    "echo",
    Counter.about,
    Counter.echo,
    "none",
    "grüße",
    "sys:state",
    "\ud800",
    "",
    "y" * 5000,
]


@simulated(seeds=1)
async def test_nothing_that_an_honest_node_sends_is_refused(sim: Simulation) -> None:
    hubs = await boot(sim, 6)

    async def call(ref: Any, method: Any, args: tuple[Any, ...]) -> None:
        with trio.CancelScope(deadline=deadlines[len(args) % 3]), suppress(HubkitError, TypeError):
            await ref.call(method, *args)

    with overheard() as said:
        for method in METHODS:
            deadlines = (math.inf, trio.current_time() + 5, -math.inf)
            async with trio.open_nursery() as callers:
                for args in ODD:
                    for hub in hubs.values():
                        ref: Any = hub.ref("c00")
                        for _ in range(3):
                            callers.start_soon(call, ref, method, args)
                        for _ in range(2 * MOST_BARE):
                            with suppress(HubkitError, TypeError, trio.WouldBlock):
                                ref.cast_nowait(method, *args)
                await sim.sleep(0.1)
        await sim.sleep(5)
    links = [link for hub in hubs.values() for link in hub.statistics().links.values()]
    assert said == []
    assert [link.reconnects for link in links] == [0] * 6
    assert sum(link.messages_in for link in links) == pytest.approx(sum(link.messages_out for link in links), abs=99)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((100.0,), {}), ((), {"seconds": 100.0})], ids=["on the spot", "the long way"]
)
async def test_a_call_that_comes_too_late_ends_by_its_callers_own_timeout(
    autojump_clock: Clock, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """The other node may notice first: the caller's task had no turn yet, or no two clocks are alike."""
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)

        async def late() -> None:
            await trio.testing.wait_all_tasks_blocked()
            code, payload = encode_error(trio.TooSlowError("late"), a.exchange._payloads)
            a.exchange.receive(b.id, [REPLY, *a.exchange._waiting, int(code), payload])

        for seconds in (0.5, math.inf):
            nursery.start_soon(late)
            with trio.move_on_after(seconds) as scope:
                try:
                    await ref.call("slow", *args, **kwargs)
                except trio.TooSlowError:
                    assert seconds == math.inf, "nobody else ends it"
                else:
                    pytest.fail("it was not answered")
            assert scope.cancelled_caught == (seconds < math.inf)
        stop(cell)
        nursery.cancel_scope.cancel()
