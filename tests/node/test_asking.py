"""What is sent at once is what the slow way would send."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.node.pair import Side, cut, link, spawn, stop, wired

from hubkit.errors import ActorCrashed, NodeDown, ProtocolViolation
from hubkit.events import DeadLetter
from hubkit.net.scalars import array
from hubkit.net.wire import CHUNK, encode_app
from hubkit.node.credits import CAPABILITY as FLOW
from hubkit.node.freight import CAPABILITY as LARGE
from hubkit.node.packing import pack
from hubkit.node.relays import CALL, CAST
from hubkit.node.runs import HEAVY
from hubkit.node.shapes import REPLY
from hubkit.node.writing import NO_CHAIN, Targets, write_call, write_cast, write_chain, write_reply
from hubkit.pids import Pid

numbers = st.integers(0, 2**63 - 1)
names = st.text(max_size=300)
light = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | names
pids = st.builds(Pid, names, numbers, numbers)
arguments = st.lists(light, max_size=8)


@given(numbers, numbers, names, st.lists(pids, max_size=5), arguments, st.none() | st.floats(-10, 1e9))
def test_a_call(number: int, serial: int, method: str, chain: list[Pid], args: list[Any], left: float | None) -> None:
    target, callers, written = Targets().target(serial, method), write_chain(tuple(chain)), array(args)
    assert target is not None
    assert callers is not None
    assert written is not None
    path = [[pid.node, pid.incarnation, pid.serial] for pid in chain]
    message = [CALL, number, serial, method, path, args, left]
    assert write_call(number, target, callers if chain else NO_CHAIN, written, left) == encode_app(message)


@given(numbers, names, arguments)
def test_a_cast(serial: int, method: str, args: list[Any]) -> None:
    target, written = Targets().target(serial, method), array(args)
    assert target is not None
    assert written is not None
    assert write_cast(target, written) == encode_app([CAST, 0, serial, method, [], args])


@given(numbers, light)
def test_an_answer(number: int, result: Any) -> None:
    assert write_reply(number, result) == encode_app([REPLY, number, 0, result])


def test_what_is_left_to_the_slow_way() -> None:
    targets = Targets()
    assert targets.target(1, "\ud800") is None
    assert write_chain((Pid("a", 1, 1),) * 24) is None
    assert write_chain((Pid("\ud800", 1, 1),)) is None
    assert write_reply(1, b"a payload") is None
    assert write_reply(1, "x" * CHUNK) is None


def test_targets_are_remembered_and_bounded() -> None:
    targets = Targets()
    for serial in range(25_000):
        assert targets.target(serial, "add") == array((serial, "add"))[1:]  # type: ignore[index]  # it is none
    assert len(targets._known) <= 10_000
    assert targets.target(24_999, "add") is targets.target(24_999, "add")


def sent(side: Side, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What it writes at once, from now on."""
    seen: list[bytes] = []
    write = side.write

    def noted(peer: str, message: bytes) -> int:
        seen.append(message)
        return write(peer, message)

    monkeypatch.setattr(side, "write", noted)
    return seen


async def test_most_calls_and_answers_go_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired() as (nursery, a, b):
        cut(a, b)
        link(a, b, (FLOW, LARGE))  # they go one by one
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        asked, answered = sent(a, monkeypatch), sent(b, monkeypatch)
        assert await ref.call("add", 1) == 1
        ref.cast_nowait("add", 1)
        with trio.fail_after(5):
            assert await ref.call("add", 1) == 3
        assert (len(asked), len(answered)) == (3, 2)
        assert await ref.call("add", n=1) == 4
        with pytest.raises(TypeError):
            await ref.call("add", *range(30))
        with pytest.raises(ActorCrashed):
            await ref.call("fail", "x" * (CHUNK + 1))
        assert len(asked) == 3


async def test_a_call_that_is_given_up_is_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery)
        ref = a.system.ref(cell.pid)
        with trio.move_on_after(1):
            await ref.call("slow", 5)
        with trio.move_on_after(1) as scope:  # it waits behind the slow one
            await ref.call("add", 1)
        assert scope.cancelled_caught
        assert not a.exchange._waiting
        await trio.sleep(10)
        assert await ref.call("add", 1) == 1
        assert not any(b.exchange._serving.values())
        stop(cell)


async def test_an_answer_that_makes_no_sense_is_the_callers_error(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (_, a, _b):
        asked = None
        for value in (1, None, "text", 2.5, True):
            again = a.exchange._seat(1, "b#1", Pid("b", 1, 1))
            assert asked in (None, again), "it is used again"
            asked = again
            asked.value = value
            assert a.exchange.answer_of(asked) is value
            assert not hasattr(asked, "task"), "of who waited nothing is kept"
        assert asked is not None
        asked.task, asked.value = trio.lowlevel.current_task(), [1]
        with pytest.raises(ProtocolViolation, match="neither a light value nor a payload"):
            a.exchange.answer_of(asked)
        assert pack(1, a.exchange._payloads) == 1


async def test_where_the_link_takes_nothing_a_request_has_not_been_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with wired() as (_, a, b):
        ref = a.system.ref(Pid("b", 1, 7))
        a.exchange.linked.discard(b.id)  # it has ended, which has not been told yet
        for value in (1, "x" * (HEAVY + 1)):
            with pytest.raises(NodeDown, match="before the request was sent") as caught:
                await ref.call("add", value)
            assert not caught.value.maybe_executed
            ref.cast_nowait("add", value)
        assert not a.exchange._waiting
        assert a.exchange._unheard.link_down(b.id) == []
        assert len([event for event in a.events if isinstance(event, DeadLetter)]) == 2
