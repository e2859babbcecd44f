"""Strategies that raise, or answer nonsense: the core goes on, children stay, and it is told once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.cluster.crowd import Crowd, strategies

from hubkit.cluster.doubts import QUIET, Doubts, believed, complaint, trusted
from hubkit.cluster.effects import Warn
from hubkit.cluster.placement import Placement as Places
from hubkit.cluster.policy import ClusterView, QuorumView
from hubkit.cluster.rows import NodeRow, Want
from hubkit.pids import node_id
from hubkit.strategies import (
    CentralizedLoadBalancer,
    ChildView,
    ConsistentHashing,
    Divergence,
    HotSwap,
    NodeView,
    Placer,
    PubSub,
    Replication,
    Singularity,
    StaticQuorum,
)

VIEW = ClusterView(("a", "b"), ("a",), 1.0)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise self


def fails(*_: Any) -> Any:
    msg = "boom"
    raise KeyError(msg)


class Shaky(ConsistentHashing):
    """Places like its parent, but on three nodes it does what ``how`` says."""

    how: Any = fails

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return super().place(child, nodes, copies) if len(nodes) < 3 else type(self).how(child)

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        if len(nodes) < 3:
            return super().prepare(nodes)
        return fails()  # type: ignore[no-any-return]  # it never does


def shaky(answer: Any) -> Shaky:
    return type("Shaky", (Shaky,), {"how": staticmethod(answer)})()  # type: ignore[no-any-return]  # a kind of it


def test_what_is_said_is_said_once_and_again_much_later() -> None:
    doubts = Doubts()
    assert doubts.take(0.0) == []
    for number in range(3):
        doubts.note("redundancy", Singularity(), "copies", ValueError(f"{number}"))
    doubts.note("migration", HotSwap(), "veto", ValueError("no"))
    said = doubts.take(10.0)
    assert said == [
        "the migration strategy HotSwap fails: veto raised ValueError: no",
        "the redundancy strategy Singularity fails: copies raised ValueError: 0",
    ]
    doubts.note("redundancy", Singularity(), "copies", ValueError("again"))
    assert doubts.take(10.0 + QUIET / 2) == []
    assert doubts.take(10.0 + QUIET) == ["the redundancy strategy Singularity fails: copies raised ValueError: again"]
    assert doubts.take(11.0 + QUIET) == []
    assert complaint("f", 1, "m", Unprintable()) == "the f strategy int fails: m raised Unprintable"


@pytest.mark.parametrize("names", [None, "ab", b"a", 7, {"a"}, ("x",), (["a"],), ("a", "a"), ("a", "b", "c"), [None]])
def test_what_is_not_believed(names: Any) -> None:
    with pytest.raises(Exception, match=r"answered|unhashable"):
        believed(names, frozenset("abc"), 2)


def test_what_is_believed() -> None:
    for names in (("a", "b"), ["a"], ()):
        assert believed(names, frozenset("ab"), 2) == tuple(names)


class Wrong:
    """Wrong in all families but the distribution."""

    sync_interval = 3.0
    lease = stop = 1.0
    drift = 0.0
    warm = True

    def __init__(self, answer: Any) -> None:
        self.copies = self.targets = self.allowed = self.is_quorum = self.needs = self.veto = answer


@pytest.mark.parametrize("answer", [fails, lambda *_: "nonsense"])
def test_what_stands_in_for_a_wrong_answer(answer: Any) -> None:
    wrong: Any = Wrong(answer)
    doubts = Doubts()
    asked = trusted(
        strategies(redundancy=wrong, migration=wrong, synchronization=wrong, partition_tolerance=wrong), doubts
    )
    assert asked.redundancy.copies(3) == 1
    assert asked.migration.veto("c", "a", "b") is True  # type: ignore[attr-defined]  # it has one
    assert asked.synchronization.targets(["a#1", "b#1"], 1) == ["a#1", "b#1"]
    tolerance: Any = asked.partition_tolerance
    assert tolerance.allowed(VIEW) is False
    assert tolerance.is_quorum({"a"}, QuorumView()) is False
    assert tolerance.needs(QuorumView()) in ("a quorum of Wrong", "nonsense")
    assert (asked.migration.warm, asked.synchronization.sync_interval, tolerance.lease) == (True, 3.0, 1.0)
    assert {line.split()[1] for line in doubts.take(0.0)} >= {"redundancy", "synchronization", "partition_tolerance"}


def test_the_last_answer_stands() -> None:
    class Moody:
        well = True

        def copies(self, nodes: int) -> Any:
            return 3 if self.well else None

        def allowed(self, view: ClusterView) -> Any:
            return True if self.well else None

    moody: Any = Moody()
    asked = trusted(strategies(redundancy=moody, partition_tolerance=moody), Doubts())
    assert (asked.redundancy.copies(1), asked.partition_tolerance.allowed(VIEW)) == (3, True)
    moody.well = False
    assert (asked.redundancy.copies(1), asked.partition_tolerance.allowed(VIEW)) == (3, True)


def test_right_answers_are_passed_on() -> None:
    doubts = Doubts()
    given = strategies(redundancy=Replication(2), partition_tolerance=StaticQuorum(2), migration=HotSwap())
    asked: Any = trusted(given, doubts)
    assert asked.redundancy.copies(9) == 2
    assert asked.redundancy.active == "one"
    assert asked.migration.veto is None
    assert asked.synchronization.targets(["a#1"], 4) == ("a#1",)
    assert asked.partition_tolerance.is_quorum({"a", "b"}, QuorumView())
    assert asked.partition_tolerance.needs(QuorumView()) == "2 nodes"
    other: Any = trusted(strategies(partition_tolerance=Divergence(), migration=HotSwap(veto=lambda *_: 0)), doubts)  # type: ignore[arg-type]  # as users write it
    assert other.partition_tolerance.allowed(VIEW)
    assert not hasattr(other.partition_tolerance, "is_quorum")
    assert other.migration.veto("c", "a", "b") is False
    assert doubts.take(0.0) == []


# -- in a core ---------------------------------------------------------------------------------------------------------


def warnings(crowd: Crowd, name: str) -> list[str]:
    return [order.text for order in crowd[name].orders if isinstance(order, Warn)]


@pytest.mark.parametrize(
    "answer", [fails, lambda _: None, lambda _: "abc", lambda _: ["nowhere"], lambda _: ["a", "a"], lambda _: [1, 2]]
)
def test_children_stay_where_they_are(answer: Any) -> None:
    crowd = Crowd("a", "b", strategies=strategies(distribution=shaky(answer), redundancy=Replication(2)))
    for number in range(8):
        crowd.want("a", f"c{number}")
    before = {child: crowd.core("a").pids(child) for child in crowd.core("a").wants}
    crowd.add("c", strategies=strategies(distribution=shaky(answer), redundancy=Replication(2)))
    crowd.tick(3)
    assert {child: crowd.core("c").pids(child) for child in before} == before
    assert all(len(crowd.core("a").runs[child]) == 2 for child in before)  # copies that stand by stay, too
    why = crowd.core("a").why("c0", crowd.now)
    assert why.text.startswith("the distribution strategy Shaky fails: place ")
    for name in "abc":
        told = warnings(crowd, name)
        assert [line.split()[:6] for line in told] == [
            ["the", "distribution", "strategy", "Shaky", "fails:", what] for what in ("place", "prepare")
        ]
    assert crowd.core("a").imagined([NodeRow(name, None, "ready", ("A",)) for name in "abc"]) == {}
    assert "Shaky fails" in str(crowd.core("a").obstacle("new", Want("A", b"")))


class Loose:
    """A preparation whose movers make no sense."""

    def __init__(self, placer: Placer, movers: Any) -> None:
        self.place = placer.place
        self.movers = movers


@pytest.mark.parametrize("movers", [fails, lambda *_: [10**6], lambda *_: [-1], lambda *_: ["x"], lambda *_: None])
def test_where_movers_fail_all_are_placed_anew(movers: Any) -> None:
    class Preparing(ConsistentHashing):
        def prepare(self, nodes: Sequence[NodeView]) -> Any:
            return Loose(super().prepare(nodes), movers)

    wants = {f"c{number}": Want("A", b"") for number in range(20)}
    rows = {node_id(name, 1): NodeRow(name, None, "ready", ("A",)) for name in "ab"}
    places, fresh = Places(Preparing(), Singularity()), Places(ConsistentHashing(), Singularity())
    places.update(rows)
    for child, want in wants.items():
        places.heir(child, want)
    rows[node_id("c", 1)] = NodeRow("c", None, "ready", ("A",))
    places.update(rows)
    fresh.update(rows)
    assert all(places.heir(child, want) == fresh.heir(child, want) for child, want in wants.items())


def test_without_a_preparation_each_is_placed() -> None:
    class Unprepared(ConsistentHashing):
        prepare: Any = fails

    rows = {node_id(name, 1): NodeRow(name, None, "ready", ("A",)) for name in "ab"}
    places, fresh = Places(Unprepared(), Singularity()), Places(ConsistentHashing(), Singularity())
    for now in (places, fresh):
        now.update(rows)
    assert places.heir("c", Want("A", b"")) == fresh.heir("c", Want("A", b"")) is not None
    rows[node_id("c", 1)] = NodeRow("c", None, "ready", ("A",))
    for now in (places, fresh):
        now.update(rows)
    assert places.heir("c", Want("A", b"")) == fresh.heir("c", Want("A", b""))
    assert len(places.doubts.take(0.0)) == 1


@pytest.mark.parametrize("answer", [fails, lambda *_: None, lambda *_: [["nowhere"]], lambda *_: []])
def test_without_an_assignment_nothing_is_pinned(answer: Any) -> None:
    class Unbalanced(CentralizedLoadBalancer):
        assign = answer

    crowd = Crowd("a", "b", strategies=strategies(distribution=Unbalanced()))
    crowd.want("b", "c")
    crowd.tick(2)
    assert [pid.node for pid in crowd.core("b").pids("c")] == ["a"]
    assert crowd.core("a").wants["c"].pins == ("a",)  # where it runs, it stays
    assert any("Unbalanced fails: assign" in line for line in warnings(crowd, "b"))


def test_a_synchronization_that_fails_tells_everybody() -> None:
    class Mute(PubSub):
        def targets(self, peers: Any, round: Any) -> Any:
            return fails()

    crowd = Crowd("a", "b", "c", strategies=strategies(synchronization=Mute()))
    crowd.want("a", "c0")
    assert crowd.core("c").pids("c0")
    crowd.tick(1)
    assert len(warnings(crowd, "a")) == 1
