"""The measure of double ownership, against a naive recomputation from the history, and case by case."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.pids import Pid
from hubkit.testing.ownership import Ownership, Running

NODES = "abc"
CHILDREN = ("x", "y")


def run_of(node: str, serial: int, since: float, child: str = "x", hub: str = "h") -> Running:
    return Running(hub, child, node, Pid(node, 1, serial), serial, since)


# -- case by case -------------------------------------------------------------------------------------------------------


def test_one_owner_after_the_other_is_no_overlap() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 5.0)
    ownership.began(first)
    ownership.ending(first, 5.0)
    ownership.began(second)
    ownership.ended(first, 7.0)
    assert ownership.longest(9.0) == 0.0
    assert ownership.worst(9.0) is None
    assert ownership.owners("h", "x") == [second]


def test_two_at_one_instant_are_no_overlap_whatever_comes_first() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 5.0)
    ownership.began(first)
    ownership.began(second)
    ownership.ended(first, 5.0)
    assert ownership.longest(9.0) == 0.0


def test_an_overlap_is_measured_while_it_lasts_and_kept_afterwards() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 5.0)
    ownership.began(first)
    ownership.began(second)
    assert ownership.longest(6.5) == 1.5
    ownership.ending(first, 7.0)
    ownership.ended(first, 8.0)
    assert ownership.longest(100.0) == 2.0
    worst = ownership.worst(100.0)
    assert worst is not None
    assert (worst.hub, worst.child, worst.nodes, worst.start, worst.end) == ("h", "x", ("a", "b"), 5.0, 7.0)
    assert "'x' of hub 'h' was owned by a, b at once from 5.000000 to 7.000000 s" in str(worst)


def test_a_sleeper_owns_nothing_until_it_wakes() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 5.0)
    ownership.began(first)
    ownership.paused("a", 3.0)
    ownership.began(second)
    assert ownership.owners("h", "x") == [second]
    assert ownership.longest(60.0) == 0.0
    ownership.resumed("a", 60.0)
    assert ownership.longest(60.25) == 0.25
    assert ownership.running("h") == {"x": [first, second]}


def test_what_is_ending_does_not_wake_up_as_an_owner() -> None:
    ownership, first = Ownership(), run_of("a", 1, 0.0)
    ownership.began(first)
    ownership.ending(first, 1.0)
    ownership.paused("a", 2.0)
    ownership.resumed("a", 3.0)
    assert ownership.owners("h", "x") == []
    assert ownership.running("h") == {"x": [first]}


def test_the_dead_own_nothing_and_may_be_said_to_have_ended_again() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("a", 2, 5.0)
    ownership.began(first)
    ownership.paused("a", 1.0)
    ownership.crashed("a", 2.0)
    ownership.ended(first, 2.0)
    ownership.ending(first, 2.0)
    assert ownership.running("h") == {}
    ownership.began(second)
    assert ownership.owners("h", "x") == [second]


def test_a_third_that_comes_as_one_goes_makes_it_one_stretch() -> None:
    ownership, first, second, third = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 2.0), run_of("c", 3, 4.0)
    ownership.began(first)
    ownership.began(second)
    ownership.ended(first, 4.0)
    ownership.began(third)
    assert ownership.longest(5.0) == 3.0
    worst = ownership.worst(5.0)
    assert worst is not None
    assert worst.nodes == ("a", "b", "c")


def test_two_of_one_node_overlap_too() -> None:
    ownership = Ownership()
    ownership.began(run_of("a", 1, 0.0))
    ownership.began(run_of("a", 2, 1.0))
    assert ownership.longest(2.0) == 1.0


def test_equal_ids_in_two_hubs_are_two_children() -> None:
    ownership = Ownership()
    ownership.began(run_of("a", 1, 0.0, hub="one"))
    ownership.began(run_of("b", 2, 0.0, hub="two"))
    assert ownership.longest(9.0) == 0.0


def test_a_meter_measures_one_hub_from_its_own_beginning() -> None:
    ownership, first, second = Ownership(), run_of("a", 1, 0.0), run_of("b", 2, 5.0)
    other = ownership.meter("other")
    ownership.began(first)
    ownership.began(second)
    late = ownership.meter("h", since=8.0)
    assert (ownership.longest(9.0), late.longest(9.0), other.longest(9.0)) == (4.0, 1.0, 0.0)
    ownership.ended(first, 10.0)
    assert (ownership.longest(99.0), late.longest(99.0), other.longest(99.0)) == (5.0, 2.0, 0.0)
    worst = late.worst(99.0)
    assert worst is not None
    assert (worst.start, worst.end) == (8.0, 10.0)


# -- against the history --------------------------------------------------------------------------------------------------

Deed = tuple[str, str, str, int]

deeds = st.lists(
    st.tuples(
        st.sampled_from(["began", "began", "ending", "ended", "paused", "resumed", "crashed", "nothing"]),
        st.sampled_from(NODES),
        st.sampled_from(CHILDREN),
        st.integers(min_value=0, max_value=2),  # so many seconds later
    ),
    max_size=40,
)


def naive(history: list[tuple[float, frozenset[tuple[str, Pid]]]], until: float) -> float:
    """The longest stretch in which some child had two owners: ``history`` says who owned what from when on."""
    longest = 0.0
    for child in CHILDREN:
        start: float | None = None
        for (begin, owners), (end, _) in pairwise([*history, (until, frozenset())]):
            if begin == end:
                continue
            if sum(owner[0] == child for owner in owners) < 2:
                start = None
                continue
            start = begin if start is None else start
            longest = max(longest, end - start)
    return longest


class Naive:
    """The same bookkeeping in the plainest way."""

    def __init__(self) -> None:
        self.runs: dict[Pid, Running] = {}
        self.ending: set[Pid] = set()
        self.paused: set[str] = set()

    def owners(self) -> frozenset[tuple[str, Pid]]:
        able = [r for r in self.runs.values() if r.pid not in self.ending and r.node not in self.paused]
        return frozenset((r.child, r.pid) for r in able)


def play(plan: list[Deed], *, check_every_step: bool) -> None:
    ownership, plain, now = Ownership(), Naive(), 0.0
    history: list[tuple[float, frozenset[tuple[str, Pid]]]] = [(0.0, frozenset())]
    for serial, (deed, node, child, later) in enumerate(plan, 1):
        now += later
        mine = [r for r in plain.runs.values() if (r.node, r.child) == (node, child)]
        if deed == "began":
            run = run_of(node, serial, now, child)
            plain.runs[run.pid] = run
            ownership.began(run)
        elif deed == "ending" and mine:
            plain.ending.add(mine[0].pid)
            ownership.ending(mine[0], now)
        elif deed == "ended" and mine:
            del plain.runs[mine[0].pid]
            ownership.ended(mine[0], now)
        elif deed == "paused":
            plain.paused.add(node)
            ownership.paused(node, now)
        elif deed == "resumed":
            plain.paused.discard(node)
            ownership.resumed(node, now)
        elif deed == "crashed":
            plain.runs = {pid: r for pid, r in plain.runs.items() if r.node != node}
            plain.paused.discard(node)
            ownership.crashed(node, now)
        history.append((now, plain.owners()))
        if check_every_step:
            assert ownership.longest(now + 0.5) == naive(history, now + 0.5)
    assert ownership.longest(now + 3) == naive(history, now + 3)
    for child in CHILDREN:
        expected = {pid for of, pid in plain.owners() if of == child}
        assert {r.pid for r in ownership.owners("h", child)} == expected
        assert ownership.running("h").get(child, []) == [r for r in plain.runs.values() if r.child == child]


@pytest.mark.parametrize("check_every_step", [True, False])
def test_it_says_what_the_history_says(check_every_step: bool) -> None:
    @given(deeds)
    def check(plan: list[Deed]) -> None:
        play(plan, check_every_step=check_every_step)

    check()


@given(deeds)
def test_what_has_been_measured_never_shrinks(plan: list[Deed]) -> None:
    ownership, now, last = Ownership(), 0.0, 0.0
    running: dict[str, Running] = {}
    for serial, (deed, node, child, later) in enumerate(plan, 1):
        now += later
        if deed == "began":
            running[node] = run_of(node, serial, now, child)
            ownership.began(running[node])
        elif deed == "ended" and node in running:
            ownership.ended(running.pop(node), now)
        longest = ownership.longest(now)
        worst = ownership.worst(now)
        assert longest >= last
        assert longest == (0.0 if worst is None else worst.length)
        last = longest
