"""What changes among the members, told once and in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubkit.cluster.liveness import Liveness
from hubkit.cluster.members import Members
from hubkit.cluster.rows import NodeRow, NodeState
from hubkit.events import NodeJoined, NodeJoining, NodeLeaving, NodeLeft, NodeSuspected
from hubkit.pids import NodeId, name_of


class Watch:
    """Members, and a liveness that believes what it is told."""

    def __init__(self) -> None:
        self.liveness = Liveness("a#1", 0.0)
        self.members = Members("a#1", "h", self.liveness)

    def see(self, now: float, **states: NodeState) -> list[object]:
        """These are the rows (``b1="ready"`` is of b#1); what is told."""
        ids: dict[str, NodeId] = {key: f"{key[0]}#{key[1]}" for key in states}
        nodes = {ids[key]: NodeRow(name_of(ids[key]), None, state, ()) for key, state in states.items()}
        self.members.update(nodes, now)
        return list(self.members.events(nodes))


def test_from_joining_to_leaving() -> None:
    watch = Watch()
    watch.liveness.linked("b#1", 0.0)
    assert watch.see(0.0, a1="ready", b1="joining") == [NodeJoining("b", hub="h")]
    assert watch.see(0.0, a1="ready", b1="joining") == []
    assert watch.see(0.0, a1="ready", b1="ready") == [NodeJoined("b", hub="h")]
    assert watch.see(0.0, a1="ready", b1="leaving") == [NodeLeaving("b", hub="h")]
    assert watch.see(0.0, a1="ready") == [NodeLeft("b", hub="h")]


def test_silence_and_return() -> None:
    watch = Watch()
    watch.liveness.linked("b#1", 0.0)
    watch.see(0.0, b1="ready")
    assert watch.see(5.0, b1="ready") == [NodeSuspected("b", "silent", hub="h")]
    watch.liveness.linked("b#1", 6.0)
    assert watch.see(6.0, b1="ready") == [NodeJoined("b", hub="h")]
    watch.liveness.refuse("b#1")
    assert watch.see(6.0, b1="ready") == [NodeSuspected("b", "dead", hub="h")]


def test_what_comes_all_at_once_is_told_in_its_order() -> None:
    watch = Watch()
    for node in ("b#1", "c#1"):
        watch.liveness.linked(node, 0.0)
    watch.see(0.0, b1="ready", c1="ready")
    watch.liveness.refuse("c#1")
    assert watch.see(0.0) == [
        NodeLeaving("b", hub="h"),
        NodeLeft("b", hub="h"),
        NodeSuspected("c", "dead", hub="h"),
        NodeLeft("c", hub="h"),
    ]


def test_a_newer_boot_is_another_member() -> None:
    watch = Watch()
    watch.liveness.linked("b#1", 0.0)
    watch.see(0.0, b1="ready")
    watch.liveness.linked("b#2", 0.0)
    assert watch.see(0.0, b1="ready", b2="ready") == [
        NodeLeft("b", hub="h"),
        NodeJoining("b", hub="h"),
        NodeJoined("b", hub="h"),
    ]
    assert watch.see(0.0, b2="ready") == []


def test_who_may_be_forgotten() -> None:
    watch = Watch()
    nodes = {node: NodeRow(name_of(node), None, "ready", ()) for node in ("a#1", "b#1", "c#1", "d#1")}
    for node in nodes:
        watch.liveness.mention(node, 0.0)
    watch.liveness.refuse("c#1")
    watch.members.update(nodes, 0.0)
    assert watch.members.forgettable(nodes, 0.0, 10.0) == ["c#1"]
    watch.liveness.heard({"d#1": 1}, 4.0)
    watch.members.update(nodes, 5.0)
    assert watch.members.forgettable(nodes, 5.0, 10.0) == ["c#1"]
    watch.members.update(nodes, 16.0)
    assert watch.members.forgettable(nodes, 16.0, 10.0) == ["b#1", "c#1"]


NODES = ("a#1", "b#1", "b#2")
ROWS = {node: NodeRow(name_of(node), None, "ready", ()) for node in NODES}
events = st.tuples(
    st.sampled_from(("heard", "linked", "spoke", "mention", "refuse", "refuted", "forget", "woke", "wait")),
    st.sampled_from(NODES[1:]),
    st.sampled_from((0.0, 0.5, 3.0, 5.0)),
)


@given(st.lists(events, min_size=20, max_size=40))
def test_a_look_that_is_not_stale_need_not_be_repeated(happened: list[tuple[str, NodeId, float]]) -> None:
    """Whatever happens to what is known of others: who was in sight is so still, or the look is stale."""
    liveness, now = Liveness("a#1", 0.0), 0.0
    members = Members("a#1", "h", liveness)
    for number, (what, node, seconds) in enumerate(happened, 1):
        now += seconds
        if what == "heard":
            liveness.heard({node: number}, now)
        elif what == "woke":
            liveness.woke(seconds, now)
        elif what in ("refuse", "forget"):
            getattr(liveness, what)(node)
        elif what != "wait":
            getattr(liveness, what)(node, now)
        if members.is_stale(now):
            members.update(ROWS, now)
        assert members.alive == {node for node in ROWS if liveness.alive(node, now)}
