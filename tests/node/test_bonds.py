"""Links across a connection that breaks at any moment: the two sides agree in the end, and nobody is told what is not so."""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.actors import Actor, Exit
from hubkit.actors.links import Links
from hubkit.actors.ref import Ref
from hubkit.errors import ProtocolViolation
from hubkit.net.payload import Payloads
from hubkit.node.bonds import SHAPES, Bonds
from hubkit.pids import Pid

SERIALS = (1, 2)


class Trapping(Actor):
    trap_exits = True


class Ended:
    """An actor, as far as its links know it: it notes each `Exit`."""

    start = Trapping

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        self.heard: list[Exit] = []

    def inform(self, message: Exit) -> None:
        self.heard.append(message)

    def forget(self, matches: Any) -> None: ...

    def describe(self) -> str:
        return str(self.pid)


class Side:
    """One node: its links, and what it sends. It is the exchange, the system and the liveness of its links at once."""

    def __init__(self, name: str) -> None:
        self.id = f"{name}#1"
        self.other: Side
        self.sent: deque[list[Any]] = deque()
        self.linked: set[str] = set()
        self.sees = True
        self.system = self
        self.cells = {serial: Ended(Pid(name, 1, serial)) for serial in SERIALS}
        self.actors = dict(self.cells)
        self.links = Links(self)  # type: ignore[arg-type]  # all that it needs of a system
        self.bonds = Bonds(self, self.send, Payloads(), self, lambda: 0.0)  # type: ignore[arg-type]  # likewise
        self.remote = SimpleNamespace(links=self.bonds)

    def is_mine(self, pid: Pid) -> bool:
        return self.id == f"{pid.node}#1"

    def find(self, pid: Pid) -> None:
        return None

    def alive(self, node: str, now: float) -> bool:
        return self.sees

    def send(self, peer: str, message: list[Any]) -> bool:
        if peer in self.linked:
            self.sent.append(message)
        return peer in self.linked

    def deliver(self) -> bool:
        """Hand over the oldest message."""
        if self.sent:
            message = self.sent.popleft()
            length, typed = SHAPES[message[0]]
            assert len(message) == length
            assert tuple(map(type, message[: len(typed)])) == typed
            self.other.bonds.takers[message[0]](self.id, *message[1:])
            return True
        return False

    def pairs(self) -> set[tuple[int, int]]:
        return {(serial, other.serial) for serial in SERIALS for other in self.links.of(serial)}

    # What happens.

    def link(self, mine: int, theirs: int) -> None:
        if mine in self.cells:
            self.links.link(self.cells[mine], self.ref(theirs))  # type: ignore[arg-type]  # all that it needs of a cell

    def unlink(self, mine: int, theirs: int) -> None:
        if mine in self.cells:
            self.links.unlink(self.cells[mine], self.ref(theirs))  # type: ignore[arg-type]  # likewise

    def ref(self, theirs: int) -> Ref[Any]:
        return Ref(self, Pid(self.other.id[0], 1, theirs))  # type: ignore[arg-type]  # likewise

    def end(self, mine: int, _: int) -> None:
        cell = self.cells.pop(mine, None)
        if cell is not None:
            self.links.bury(cell, "odd", ValueError("x"))  # type: ignore[arg-type]  # likewise

    def go_dark(self, _: int, __: int) -> None:
        """The other node seems to be down; it is not."""
        self.sees = False
        self.bonds.look()
        self.sees = True


class Net:
    def __init__(self) -> None:
        self.a, self.b = self.sides = Side("a"), Side("b")
        self.a.other, self.b.other = self.b, self.a
        self.dark = False
        #: (node, serial, serial of the other) -> how often they were linked there
        self.joined: Counter[tuple[str, int, int]] = Counter()
        self.connect()

    def connect(self) -> None:
        if not self.a.linked:
            for side in self.sides:
                side.linked.add(side.other.id)
                side.bonds.link_up(side.other.id)

    def cut(self) -> None:
        for side in self.sides:
            side.linked.clear()
            side.sent.clear()

    def deliver(self, side: Side) -> bool:
        before = [side.pairs() for side in self.sides]
        delivered = side.deliver()
        self.count(before)
        return delivered

    def count(self, before: list[set[tuple[int, int]]]) -> None:
        for side, pairs in zip(self.sides, before, strict=True):
            self.joined.update((side.id, *pair) for pair in side.pairs() - pairs)

    def play(self, what: str, who: int, one: int, two: int) -> None:
        side = self.sides[who]
        if what == "deliver":
            self.deliver(side)
        elif what in ("cut", "connect"):
            getattr(self, what)()
        else:
            self.dark |= what == "go_dark"
            before = [side.pairs() for side in self.sides]
            getattr(side, what)(one, two)
            self.count(before)

    def settle(self) -> None:
        self.connect()
        while self.deliver(self.a) or self.deliver(self.b):
            pass


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["link", "link", "unlink", "end", "cut", "connect", "deliver", "deliver", "deliver", "go_dark"]
        ),
        st.integers(0, 1),
        st.sampled_from(SERIALS),
        st.sampled_from(SERIALS),
    ),
    max_size=40,
)


@settings(max_examples=600, deadline=None)
@given(steps)
def test_both_sides_agree_and_no_end_goes_unheard(steps: list[tuple[str, int, int, int]]) -> None:
    net = Net()
    for step in steps:
        net.play(*step)
    net.settle()
    assert net.a.pairs() == {(one, two) for two, one in net.b.pairs()}, "the sides do not agree"
    for side in net.sides:
        assert all(one in side.cells and two in side.other.cells for one, two in side.pairs()), "linked with the dead"
        for cell in side.actors.values():
            for end in cell.heard:
                assert end.pid is not None
                dead = end.pid.serial not in side.other.cells
                assert dead if end.reason in ("odd", "noproc") else net.dark, f"{cell.pid} was told {end}"
                assert (end.reason == "odd") == isinstance(end.error, ValueError)


@settings(max_examples=600, deadline=None)
@given(steps)
def test_each_link_that_nobody_undoes_ends_in_one_exit(steps: list[tuple[str, int, int, int]]) -> None:
    net = Net()
    for step in steps:
        if step[0] != "unlink":
            net.play(*step)
    net.settle()
    for side in net.sides:
        for serial, cell in side.cells.items():
            for other in SERIALS:
                heard = sum(end.pid is not None and end.pid.serial == other for end in cell.heard)
                still = (serial, other) in side.pairs()
                assert net.joined[side.id, serial, other] == heard + still, (cell.pid, other)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["link", "unlink", "deliver"]), st.integers(0, 1)), max_size=12))
def test_while_the_connection_holds_each_link_ends_in_one_exit(steps: list[tuple[str, int]]) -> None:
    net = Net()
    for what, who in steps:
        net.play(what, who, 1, 1)
    net.settle()
    linked = bool(net.a.pairs())
    net.a.end(1, 1)
    net.settle()
    assert [end.reason for end in net.b.actors[1].heard] == ["odd"] * linked
    assert not net.b.pairs()


def test_two_that_link_each_other_at_once_have_one_link() -> None:
    net = Net()
    net.a.link(1, 1)
    net.b.link(1, 1)
    net.settle()
    net.b.unlink(1, 1)
    net.settle()
    assert net.a.pairs() == set()
    net.a.end(1, 1)
    net.settle()
    assert net.b.actors[1].heard == []


def test_what_was_undone_while_nobody_could_be_told_is_undone() -> None:
    net = Net()
    net.a.link(1, 1)
    net.settle()
    for side in net.sides:
        net.cut()
        side.unlink(1, 1)
        net.settle()
        assert [s.pairs() for s in net.sides] == [set(), set()]
        assert [s.actors[1].heard for s in net.sides] == [[], []]
        side.link(1, 1)
        net.settle()
        assert net.b.pairs() == {(1, 1)}


def test_an_end_that_makes_no_sense_is_a_violation() -> None:
    net = Net()
    for whose, reason, error in ((2, "x", None), (0, 7, None), (0, "x", "y")):
        with pytest.raises(ProtocolViolation):
            net.a.bonds.takers[10](net.b.id, whose, 1, reason, error)
    net.b.link(1, 1)
    net.settle()
    with pytest.raises(ProtocolViolation):
        net.a.bonds.takers[10](net.b.id, 0, 1, "x", Payloads().dumps(["nonsense"]))
    # It has changed nothing: an end that makes sense still counts.
    net.a.bonds.takers[10](net.b.id, 0, 1, "x", None)
    assert [exit.reason for exit in net.a.cells[1].heard] == ["x"]


def test_what_is_remembered_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkit.node.bonds._PEERS", 3)
    side = Side("a")
    side.other = side
    side.links.link(side.cells[1], Ref(side, Pid("b", 0, 1)))  # type: ignore[arg-type]  # as above
    for boot in range(9):
        side.bonds.takers[8](f"c#{boot}", 1, 99, 1)
    assert len(side.bonds._peers) == 3
    assert side.links.of(1) == (Pid("b", 0, 1),)
