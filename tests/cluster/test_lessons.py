"""What earlier designs got wrong, each as a test by the name of its lesson.

(Those about hot moves and quorum leases wait for the strategies that need them.)
"""

from __future__ import annotations

from tests.cluster.crowd import Crowd

from hubkit.cluster.core import Core
from hubkit.cluster.rows import Want


def waiting_crowd() -> tuple[Crowd, str]:
    """Child of a, moved to b by hand; a will stop it when told to."""
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.want("a", child)
    crowd["a"].slow = True
    crowd.core("a").pin(child, ("b",), crowd.now)
    crowd.settle()
    return crowd, child


def test_1_a_forwarded_grant_has_a_term_of_its_own() -> None:
    """Two released rows of one term could chase each other for ever."""
    crowd, child = waiting_crowd()
    crowd.held = {("c", "b")}
    crowd.core("c").pin(child, ("c",), crowd.now)  # a learns that; b not yet, and gets the grant of before
    crowd.held = {("c", "b"), ("c", "a")}
    crowd.settle()
    crowd.core("a").stopped(child, crowd.now)
    crowd["b"].slow = True
    crowd.settle()
    granted = crowd.core("c").runs[child]
    assert granted["a#1"].role == "released"
    crowd.held = set()
    crowd.settle()
    crowd["b"].slow = False
    for stop in crowd["b"].stops:
        crowd.core("b").stopped(stop.child, crowd.now)
    crowd.settle()
    crowd.tick(3)
    terms = [start.term for name in "abc" for start in crowd[name].starts]
    assert terms == sorted(set(terms))
    assert crowd.where(child) == {"c": "running"}
    assert all(member.core.is_settled for member in crowd.members.values())


def test_1_a_grant_is_forwarded_by_one_who_may_not_run_it() -> None:
    crowd, child = waiting_crowd()
    crowd.held = {("b", "a")}
    crowd.core("b").set_actors((), crowd.now)
    crowd.settle()
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    crowd.held = set()
    crowd["a"].slow = False
    crowd.settle()
    crowd.tick(3)
    assert crowd["b"].starts == []
    assert len(crowd.where(child)) == 1
    (run,) = crowd.core("a").runs[child].values()
    assert run.term == 3  # 1 was the first, 2 is what b passed on


def test_2_a_leaver_flushes() -> None:
    """It has left when what it said last is known; not before."""
    crowd, child = waiting_crowd()
    crowd["a"].slow = False
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    crowd.held = {("a", "b"), ("a", "c")}
    crowd.core("a").leave(crowd.now)
    crowd.settle()
    assert not crowd.core("a").left
    crowd.held = {("a", "b")}
    crowd.settle()
    assert not crowd.core("a").left
    crowd.held = set()
    crowd.settle()
    crowd.tick(2)
    assert crowd.core("a").left


def test_3_grace_covers_grantees() -> None:
    """The node designated may have claimed out of sight: its silence is waited for as the holder's is."""
    crowd, child = waiting_crowd()
    crowd.held = {("b", "a"), ("b", "c"), ("a", "b")}
    crowd.core("a").stopped(child, crowd.now)
    crowd["a"].slow = False
    crowd.settle()
    crowd.kill("b", proof=False)
    crowd.tick(3)
    assert crowd.where(child) == {}
    assert crowd.core("c").why(child, crowd.now).rule in ("elsewhere", "granted to a missing node")
    crowd.tick(3)
    assert len(crowd.where(child)) == 1


def test_4_the_term_does_not_fall_while_the_child_is_wanted() -> None:
    """Stopped everywhere, forgotten, orphaned: whoever starts it next goes on above."""
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd.want("a", child)
    for body in (b"2", b"3"):
        crowd.want("b", child, body=body)
    crowd.kill("a")
    crowd.tick(3)
    assert [start.term for start in crowd["b"].starts] == [4]


def test_5_respect_and_proof_differ() -> None:
    """An old row earns respect for as long as silence takes; it does not make anybody a member in sight for ever."""
    crowd = Crowd("a", "b")
    crowd.kill("b", proof=False)
    crowd.add("c")
    assert "b#1" in crowd.core("c").alive
    crowd.tick(6)
    assert "b#1" not in crowd.core("c").alive
    assert "b#1" in crowd.core("c").nodes
    assert crowd.core("c").live


def test_6_a_link_is_knowledge() -> None:
    """A tombstone is not collected while a freshly linked peer has not said what it has."""
    crowd = Crowd("a", "b")
    crowd.want("a", "x", start="nobody can")
    crowd.tick(2)
    crowd.unlink("a", "b")
    crowd["a"].liveness.refuse("b#1")
    crowd.core("a").touch(crowd.now)  # b is no member for a any more
    crowd.link("a", "b")
    crowd.held = {("b", "a")}
    crowd.remove("a", "x")
    crowd.tick(2)
    assert crowd.core("a")._store.tombstones() > 0
    crowd.held = set()
    crowd.settle()
    crowd.tick(5)
    assert all("x" not in member.core.wants for member in crowd.members.values())
    assert all(member.core._store.tombstones() == 0 for member in crowd.members.values())


def test_7_an_update_is_not_a_second_creation() -> None:
    """Rewriting a want leaves the child where it is; if only its wish was renewed, it is not even restarted."""
    crowd = Crowd("a", "b", "c")
    crowd.want("a", "x", body=b"1")
    before = crowd.where("x")
    for name in "abc":
        crowd.want(name, "x", body=b"1")
    assert crowd.where("x") == before
    assert sum(len(member.starts) for member in crowd.members.values()) == 1


def test_8_announce_be_acknowledged_look_again_act() -> None:
    """Two who see different heirs claim one child; it is started once."""
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd.core("a").set_actors((), crowd.now)
    crowd.held = {("a", "b"), ("b", "a")}
    crowd.settle()
    crowd.core("b").write_wants({child: Want("A", b"")}, crowd.now)  # for b, the heir is a
    crowd.core("a").write_wants({child: Want("A", b"")}, crowd.now)  # for a, it is b
    crowd.held = set()
    crowd.settle()
    crowd.tick(2)
    assert sum(len(crowd[name].starts) for name in "ab") == 1
    assert crowd.where(child) == {"b": "running"}


def test_8_the_acknowledgement_brings_what_the_claimant_does_not_know() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.held = {("b", "a"), ("a", "b")}
    crowd.core("b").write_wants({child: Want("A", b"", pins=("b",))}, crowd.now)
    crowd["b"].slow = True
    crowd.settle()  # b claims; c knows, a does not
    crowd.core("a").write_wants({child: Want("A", b"")}, crowd.now)
    crowd.settle()
    assert "b#1" in crowd.core("a").runs[child]
    assert crowd["a"].starts == []


def test_9_rows_tell_deeds() -> None:
    """Released is written when the child has stopped, not when it is told to."""
    crowd, child = waiting_crowd()
    assert [stop.reason for stop in crowd["a"].stops] == ["moved"]
    assert crowd.core("b").runs[child]["a#1"].role == "active"
    assert crowd["b"].starts == []
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    assert crowd.where(child) == {"b": "running"}


def test_12_ready_is_a_claim_by_the_node_itself() -> None:
    """Nothing is granted to one that may not act yet, however long it has been linked."""
    crowd = Crowd("a", "b")
    crowd.want("a", *(f"c{i}" for i in range(30)))
    crowd.held = {("a", "c")}
    newcomer = crowd.add("c")
    crowd.tick(2)
    assert newcomer.core.nodes["c#1"].state == "joining"
    assert all("c" not in crowd.where(f"c{i}") for i in range(30))
    assert not any(run.to == "c#1" for runs in crowd.core("b").runs.values() for run in runs.values())


def test_13_only_the_silent_are_forgotten_and_their_rows_stay_until_surpassed() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("b")
    crowd.core("a").set_actors((), crowd.now)
    crowd.want("a", child)
    crowd.kill("b")
    crowd.tick(10)
    assert "b#1" not in crowd.core("a").nodes
    assert crowd.core("a").runs[child]["b#1"].term == 1  # nobody can start it: its term is remembered
    crowd.core("a").set_actors(("A",), crowd.now)
    crowd.settle()
    crowd.tick(2)
    assert {node: run.term for node, run in crowd.core("a").runs[child].items()} == {"a#1": 2}


def test_16_who_cannot_act_now_is_looked_at_again() -> None:
    """A child met while nobody was ready, and one granted to nobody, are not forgotten."""
    crowd = Crowd("a")
    crowd.core("a").set_actors((), crowd.now)
    crowd.want("a", "x")
    crowd.tick(5)
    crowd.core("a").set_actors(("A",), crowd.now)
    crowd.settle()
    assert crowd.where("x") == {"a": "running"}
    core: Core = crowd.core("a")
    core.set_actors((), crowd.now)
    crowd.want("a", "x", start="B")
    crowd.tick(5)
    core.set_actors(("A", "B"), crowd.now)
    crowd.settle()
    assert crowd.where("x") == {"a": "running"}
    assert core.is_settled
