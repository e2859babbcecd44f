"""What was sent by those who do not wait: told when its link ends, unless it is known to have come."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.node.pair import Side, cut, link, pair

from hubkit.actors import Actor
from hubkit.events import DeadLetter
from hubkit.node import unheard
from hubkit.node.packing import shown
from hubkit.node.relays import CAST
from hubkit.node.runs import Casts
from hubkit.node.unheard import HEARD, MANY, MOST, Unheard
from hubkit.pids import Pid

PID = Pid("b", 1, 7)


class Deaf(Actor):
    async def add(self, n: int) -> None: ...


def wired_up() -> tuple[Unheard, Unheard, list[list[Any]]]:
    """Two sides; what the second answers is noted."""
    sent: list[list[Any]] = []

    def answer(peer: str, message: list[Any]) -> bool:
        sent.append(message)
        return True

    return Unheard(lambda peer, message: True), Unheard(answer), sent


def test_what_is_known_to_have_come_is_told_no_more() -> None:
    a, b, answers = wired_up()
    for number in range(5):
        a.sent("b#1", PID, number)
    for _ in range(3):
        b.came("a#1")
    assert answers == []
    b.beat()
    b.beat()
    assert answers == [[HEARD, 3]]
    a.heard("b#1", 3)
    assert a.link_down("b#1") == [(PID, 3), (PID, 4)]
    assert a.link_down("b#1") == []
    a.heard("b#1", 3)


def test_where_many_come_the_answer_does_not_wait_for_a_beat() -> None:
    _, b, answers = wired_up()
    for _ in range(2 * MANY + 1):
        b.came("a#1")
    assert answers == [[HEARD, MANY], [HEARD, MANY]]
    b.link_down("a#1")
    b.beat()
    assert len(answers) == 2, "of an earlier link there is nothing to say"


def test_what_is_kept_is_bounded() -> None:
    a, _, _ = wired_up()
    for number in range(MOST + 10):
        a.sent("b#1", PID, number)
    a.heard("b#1", 10)  # it is of those that are kept no more
    kept = a.link_down("b#1")
    assert len(kept) == MOST
    assert kept[0] == (PID, 10)


acts = st.lists(
    st.tuples(st.sampled_from(["alone", "run", "more", "heard"]), st.integers(1, 9)), min_size=5, max_size=40
)


@given(acts)
def test_it_knows_what_has_come_whatever_went_together(plan: list[tuple[str, int]]) -> None:
    a, sent, heard, longest = wired_up()[0], 0, 0, 1
    run: Casts | None = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unheard, "MOST", 20)
        for act, count in plan:
            if act == "heard":
                count = min(count, sent - heard)
                heard += count
                a.heard("b#1", count)
            elif act == "alone":
                a.sent("b#1", PID, ("add", (sent,)))
                sent, run = sent + 1, None
            else:
                is_new = act == "run" or run is None
                if run is None or is_new:
                    run = Casts(PID, "add", "add", 1)
                for number in range(sent, sent + count):
                    assert run.add((number,))
                if is_new:
                    a.sent_in_run("b#1", run)
                sent, longest = sent + count, max(longest, run.count)
    kept = a.link_down("b#1")
    assert kept == [(PID, ("add", (number,))) for number in range(sent - len(kept), sent)]
    assert len(kept) == sent - heard or 20 - longest <= len(kept) < sent - heard
    assert a.link_down("b#1") == []


def test_of_a_run_that_has_come_nothing_is_kept() -> None:
    a = wired_up()[0]
    runs = [Casts(PID, "add", "add", 1) for _ in range(3)]
    for run in runs:
        assert run.add(("one",))
        a.sent_in_run("b#1", run)
        assert run.add(("two",))
    a.heard("b#1", 1)
    runs[0].close()
    a.heard("b#1", 2)
    assert [run.args for run in runs] == [[], ["one", "two"], ["one", "two"]]
    assert runs[1].close()[1] == 2, "what is said to have come before it went out is sent all the same"
    a.link_down("b#1")
    assert [run.args for run in runs] == [[], [], ["one", "two"]]
    assert runs[2].close()[1] == 2


def letters(side: Side) -> list[Any]:
    return [event.message for event in side.events if isinstance(event, DeadLetter)]


async def test_a_link_that_ends_tells_what_may_not_have_come(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        cell = b.system.spawn(Deaf)
        await nursery.start(cell.run)
        ref = a.system.ref(cell.pid)
        ref.cast_nowait("add", 1)
        await trio.sleep(1)
        b.exchange.look()
        await trio.sleep(1)
        ref.cast_nowait("add", 2)
        ref.send_nowait("three")
        cut(a, b)
        assert letters(a) == [("add", (2,)), "three"]
        link(a, b)
        cut(a, b)
        assert len(letters(a)) == 2
        assert letters(b) == []
        nursery.cancel_scope.cancel()
        cell.cancel()


@pytest.mark.parametrize("number", [0, -1])
async def test_what_cannot_be_read_is_a_dead_letter(autojump_clock: trio.testing.MockClock, number: int) -> None:
    async with trio.open_nursery() as nursery:
        _, b = pair(nursery)
        b.exchange.receive("a#1", [CAST, number, 1, "add", [], b"junk"])
        [letter] = [event for event in b.events if isinstance(event, DeadLetter)]
        assert letter.reason.startswith("the arguments cannot be read on this node")
        assert letter.target == "<b#1.1>"
        nursery.cancel_scope.cancel()


class Shy:
    def __repr__(self) -> str:
        raise ValueError


async def test_what_cannot_travel_is_shown() -> None:
    payloads = Side("a#1", None).exchange._payloads  # type: ignore[arg-type]  # nothing is started
    assert shown(5, payloads) == 5
    assert shown([1, {"a": None}], payloads) == [1, {"a": None}]
    assert "function" in str(shown(shown, payloads))
    assert shown(Shy(), payloads) == "(its repr raised ValueError)"
