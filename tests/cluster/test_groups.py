"""Rosters of groups: whatever happens on the way, all come to know what each node says of itself, and nothing else."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.cluster import tidings
from hubkit.cluster.bounds import MOMENT
from hubkit.cluster.groups import ROUND, Groups
from hubkit.cluster.tidings import COUNTS, Ask, Change, Message, Tell, Whole, from_wire, to_wire
from hubkit.errors import ProtocolViolation

NODES = ("a#1", "b#1", "c#1", "d#1")
GROUPS = ("g", "h")


@dataclass
class Net:
    """Nodes with first-in-first-out links between some of them, which break and lose what is on the way."""

    groups: dict[str, Groups] = field(default_factory=lambda: {node: Groups(node, 1_000) for node in NODES})
    ways: dict[tuple[str, str], deque[Any]] = field(default_factory=dict)
    truth: set[tuple[str, str, int]] = field(default_factory=set)
    #: what whoever listens to the news believes
    believed: dict[str, dict[str, set[tuple[str, int]]]] = field(default_factory=lambda: {node: {} for node in NODES})
    sent: int = 0

    def join(self, node: str, group: str, serial: int) -> None:
        self.truth.add((group, node, serial))
        self.groups[node].join(group, serial)

    def leave(self, node: str, group: str, serial: int) -> None:
        self.truth.discard((group, node, serial))
        self.groups[node].leave(group, serial)

    def link(self, a: str, b: str) -> None:
        if a != b and (a, b) not in self.ways:
            for x, y in ((a, b), (b, a)):
                self.ways[x, y] = deque()
                self.groups[x].link_up(y)

    def unlink(self, a: str, b: str) -> None:
        if (a, b) in self.ways:
            for x, y in ((a, b), (b, a)):
                del self.ways[x, y]
                self.groups[x].link_down(y)

    def flush(self, node: str) -> None:
        for peer, message in self.groups[node].take():
            if (node, peer) in self.ways:
                self.ways[node, peer].append(to_wire(message))
                self.sent += 1
        for group, news in self.groups[node].news().items():
            believed = self.believed[node].setdefault(group, set())
            assert not news.joined & believed, "told twice that it has come"
            assert news.left <= believed, "told that it has gone, without having come"
            believed |= news.joined
            believed -= news.left

    def deliver(self, a: str, b: str) -> None:
        way = self.ways.get((a, b))
        if way:
            self.groups[b].receive(a, from_wire(way.popleft()), NODES)

    def see(self, node: str, visible: tuple[str, ...]) -> None:
        self.groups[node].see(visible)

    def settle(self, beats: int) -> None:
        for _ in range(beats):
            for node in NODES:
                self.groups[node].beat()
            quiet = False
            while not quiet:
                for node in NODES:
                    self.flush(node)
                quiet = not any(self.ways.values())
                for a, b in self.ways:
                    while self.ways[a, b]:
                        self.deliver(a, b)
        for node in NODES:
            self.flush(node)

    def check(self) -> None:
        for node in NODES:
            groups = self.groups[node]
            assert groups.names() == sorted({group for group, _, _ in self.truth})
            for group in GROUPS:
                members = sorted((owner, serial) for g, owner, serial in self.truth if g == group)
                assert groups.members(group) == members, f"{group} as {node} sees it"
                assert groups.nodes(group) == sorted({owner for owner, _ in members})
                assert sorted(self.believed[node].get(group, set())) == members, f"news of {group} at {node}"


nodes = st.sampled_from(NODES)
steps = st.one_of(
    st.tuples(st.just("join"), nodes, st.sampled_from(GROUPS), st.integers(1, 4)),
    st.tuples(st.just("leave"), nodes, st.sampled_from(GROUPS), st.integers(1, 4)),
    st.tuples(st.just("link"), nodes, nodes),
    st.tuples(st.just("unlink"), nodes, nodes),
    st.tuples(st.just("deliver"), nodes, nodes),
    st.tuples(st.just("flush"), nodes),
    st.tuples(st.just("beat"), nodes),
    st.tuples(st.just("see"), nodes, st.lists(nodes, unique=True).map(tuple)),
)
CHAIN = [("a#1", "b#1"), ("b#1", "c#1"), ("c#1", "d#1")]
MESH = [(a, b) for a in NODES for b in NODES if a < b]


@given(st.lists(steps, max_size=60), st.sampled_from([CHAIN, MESH]))
def test_after_anything_all_see_the_same(story: list[tuple[Any, ...]], ways: list[tuple[str, str]]) -> None:
    """However links come and go, and over any ways that join all: in the end all see what is, and have been told it."""
    net = Net()
    for verb, *arguments in story:
        if verb == "beat":
            net.groups[arguments[0]].beat()
        else:
            getattr(net, verb)(*arguments)
    for a, b in MESH:
        if (a, b) not in ways:
            net.unlink(a, b)
    for a, b in ways:
        net.link(a, b)
    for node in NODES:
        net.see(node, NODES)
    net.settle(2 * len(NODES))
    net.check()


def linked(*ways: tuple[str, str]) -> Net:
    net = Net()
    for node in NODES:
        net.see(node, NODES)
    for a, b in ways:
        net.link(a, b)
    return net


def test_a_change_goes_to_everybody_at_once_and_once() -> None:
    net = linked(*MESH)
    net.settle(1)
    assert net.sent == 0, "where nobody is in a group nothing is sent"
    net.join("a#1", "g", 1)
    net.flush("a#1")
    for peer in NODES[1:]:
        net.deliver("a#1", peer)
        assert net.groups[peer].members("g") == [("a#1", 1)]
    net.settle(3)
    before = net.sent
    net.settle(ROUND - 6)
    assert net.sent == before, "and nothing more, when all is known"


def test_many_changes_of_one_turn_are_one_message() -> None:
    net = linked(("a#1", "b#1"))
    for serial in range(1, 100):
        net.join("a#1", "g", serial)
    for serial in range(1, 50):
        net.leave("a#1", "g", serial)
    [(peer, change)] = net.groups["a#1"].take()
    assert isinstance(change, Change)
    assert (peer, change.joined, change.left) == ("b#1", {"g": frozenset(range(50, 100))}, {})


def test_what_a_whole_says_is_what_its_version_says() -> None:
    """A question that comes between a join and its undoing must not bring what nobody will ever take back."""
    a, b = Groups("a#1", 1), Groups("b#1", 1)
    a.join("g", 1)
    a.take()
    a.link_up("b#1")
    b.link_up("a#1")
    a.join("g", 2)
    a.receive("b#1", Ask(("a#1",)), NODES)
    a.leave("g", 2)
    for _, message in a.take():
        b.receive("a#1", message, NODES)
    for _, message in b.take():
        a.receive("b#1", message, NODES)
    assert b.members("g") == []
    b.see(NODES)
    assert b.members("g") == [("a#1", 1)]


def test_members_of_a_node_out_of_sight_are_hidden_not_forgotten() -> None:
    net = linked(*MESH)
    net.join("a#1", "g", 1)
    net.settle(1)
    b = net.groups["b#1"]
    net.unlink("a#1", "b#1")
    b.see(("b#1", "c#1", "d#1"))
    assert b.members("g") == []
    assert b.news()["g"].left == {("a#1", 1)}
    b.see(NODES)
    assert b.news()["g"].joined == {("a#1", 1)}
    assert b.members("g") == [("a#1", 1)]


def test_who_is_no_member_any_more_leaves_nothing() -> None:
    net = linked(*MESH)
    for node in NODES:
        for serial in range(1, 11):
            net.join(node, "g", serial)
    net.settle(1)
    b = net.groups["b#1"]
    assert b.size() == 40
    for peer in ("a#1", "c#1", "d#1"):
        net.unlink(peer, "b#1")
    b.see(("b#1",))
    b.keep(("b#1", "c#1"))
    assert b.size() == 20
    b.receive("c#1", Whole("a#1", (1_000, 5), {"g": frozenset({1})}), ("b#1", "c#1"))  # its link is gone: not heard
    b.link_up("c#1")
    b.receive("c#1", Whole("a#1", (1_000, 5), {"g": frozenset({1})}), ("b#1", "c#1"))
    assert b.size() == 20, "nobody brings back who is no member"


def test_a_hub_that_was_opened_anew_outgrows_what_is_remembered_of_it() -> None:
    net = linked(*MESH)
    for serial in (1, 2, 3):
        net.join("a#1", "g", serial)
        net.settle(1)
    for peer in NODES[1:]:
        net.unlink("a#1", peer)
    net.groups["a#1"] = Groups("a#1", 500)  # and its clock was set back
    net.see("a#1", NODES)
    net.believed["a#1"] = {}
    net.truth.clear()
    for peer in NODES[1:]:
        net.link("a#1", peer)
    net.settle(2)
    net.join("a#1", "h", 9)
    net.settle(2)
    net.check()


def test_what_a_broken_link_has_lost_is_soon_learnt_from_others() -> None:
    """What another said of it before was no news, for the writer would tell it by itself; now it will not."""
    net = linked(("a#1", "b#1"), ("a#1", "c#1"), ("b#1", "c#1"))
    net.join("a#1", "g", 1)
    net.flush("a#1")
    net.deliver("a#1", "c#1")
    net.groups["c#1"].beat()
    net.flush("c#1")
    net.deliver("c#1", "b#1")
    assert net.groups["b#1"].members("g") == []
    net.unlink("a#1", "b#1")
    net.settle(3)
    assert net.groups["b#1"].members("g") == [("a#1", 1)]


def test_what_is_done_twice_is_done_once() -> None:
    a = Groups("a#1", 1)
    assert a.join("g", 1)
    assert not a.join("g", 1)
    assert a.mine("g") == [1]
    assert a.leave("g", 1)
    assert not a.leave("g", 1)
    assert a.mine("g") == []
    a.link_up("b#1")
    assert a.take() == [], "what was undone before anybody heard of it is not told"
    assert a.news() == {}


def test_who_is_asked_twice_answers_once_and_only_to_who_is_there() -> None:
    a = Groups("a#1", 1)
    a.join("g", 1)
    a.take()
    a.link_up("b#1")
    a.link_up("c#1")
    a.take()
    for peer in ("b#1", "c#1"):
        a.receive(peer, Ask(("a#1", "a#1", "nobody#1")), NODES)
        a.receive(peer, Ask(("a#1",)), NODES)
    a.link_down("c#1")
    assert a.take() == [("b#1", Whole("a#1", (1, 1), {"g": frozenset({1})}))]


def test_what_is_older_or_does_not_join_on_changes_nothing() -> None:
    a = Groups("a#1", 1)
    a.see(NODES)
    a.link_up("b#1")
    a.receive("b#1", Whole("b#1", (5, 5), {"g": frozenset({1})}), NODES)
    a.receive("b#1", Whole("b#1", (5, 4), {}), NODES)
    a.receive("b#1", Change((5, 3), (5, 4), {}, {"g": frozenset({1})}), NODES)
    assert a.take() == []
    for upto in (7, 8):
        a.receive("b#1", Change((5, 6), (5, upto), {"g": frozenset({2})}, {}), NODES)
    assert a.take() == [("b#1", Ask(("b#1",)))], "asked once"
    a.receive("b#1", Tell({"b#1": (5, 8)}), NODES)
    assert a.take() == [], "and not again before the next beat"
    a.receive("c#1", Change((0, 0), (5, 1), {"g": frozenset({9})}, {}), NODES)  # there is no such link
    assert a.members("g") == [("b#1", 1)]
    a.beat()
    assert a.take()[0] == ("b#1", Ask(("b#1",)))


def test_nobody_speaks_for_me() -> None:
    a = Groups("a#1", 1)
    a.link_up("b#1")
    a.join("g", 1)
    a.take()
    a.receive("b#1", Whole("a#1", (9, 9), {"g": frozenset({7})}), NODES)
    assert a.members("g") == [("a#1", 1)]
    assert a.take() == [("b#1", Tell({"a#1": (9, 10)}))], "mine is later than what is remembered of me"
    a.receive("b#1", Tell({"a#1": (1, 1)}), NODES)
    a.join("g", 2)
    assert a.take() == [("b#1", Change((9, 10), (9, 11), {"g": frozenset({2})}, {}))]


def test_who_is_gone_is_asked_for_no_more() -> None:
    net = linked(("a#1", "b#1"), ("b#1", "c#1"))
    b, c = net.groups["b#1"], net.groups["c#1"]
    c.receive("b#1", Tell({"a#1": (1, 1)}), ("b#1", "c#1"))
    assert c.take() == [], "who is no member is not asked for"
    c.receive("b#1", Tell({"a#1": (1, 1)}), NODES)
    assert c.take() == [("b#1", Ask(("a#1",)))]
    c.keep(("b#1", "c#1"))
    c.beat()
    assert c.take() == []
    assert c.writers() == {"c#1"}
    net.join("a#1", "g", 1)
    net.settle(2)
    assert c.members("g") == [("a#1", 1)]
    assert b.nodes("g") == ["a#1"]
    c.keep(("b#1", "c#1"))
    assert c.writers() == {"c#1"}
    assert c.news()["g"].left == {("a#1", 1)}


def test_now_and_then_all_is_told_again() -> None:
    net = linked(("a#1", "b#1"))
    net.join("a#1", "g", 1)
    net.settle(1)
    told = []
    for _ in range(2 * ROUND):
        net.groups["a#1"].beat()
        told += net.groups["a#1"].take()
    assert told == [("b#1", Tell({"a#1": (1_000, 1)}))] * 2


def test_messages_survive_the_wire() -> None:
    messages: list[Message] = [
        Tell({"a#1": (5, 1), "b#2": (0, 3)}),
        Ask(("a#1", "b#2")),
        Change((0, 0), (7, 2), {"g": frozenset({1, 2})}, {"h": frozenset({9})}),
        Whole("a#1", (7, 2), {"g": frozenset({1}), "h": frozenset({2})}),
    ]
    assert [from_wire(to_wire(message)) for message in messages] == messages


@pytest.mark.parametrize(
    "wrong",
    [None, [], [4], [0, "a#1", 1], [0, "a#1", 1, -1], [0, 7, 1, 1], [1, ""], [2, 0, 0, 1, 1, ["g", []], []],
     [2, 0, 0, 1, 1, ["g"], []], [3, "a#1", 1, 1, ["g", ["x"]]], [3, "a#1", True, 1, []]],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ProtocolViolation):
        from_wire(wrong)


@pytest.mark.parametrize("place", [2, 3], ids=["moment", "count"])
def test_versions_have_a_bound(place: int) -> None:
    message: list[Any] = [3, "a#1", 1, 1, []]
    message[place] = most = MOMENT - 1 if place == 2 else COUNTS
    assert to_wire(from_wire(message)) == message
    message[place] = most + 1
    with pytest.raises(ProtocolViolation):
        from_wire(message)


def test_one_message_has_no_more_memberships_than_a_node_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidings, "MEMBERSHIPS", 4)
    for serials, fine in (([3, 4], True), ([3, 4, 5], False)):
        message = [2, 0, 0, 1, 1, ["g", [1, 2], "h", serials], []]
        if fine:
            assert to_wire(from_wire(message)) == message
        else:
            with pytest.raises(ProtocolViolation):
                from_wire(message)
