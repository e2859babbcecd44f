"""One core among few: joining, leaving, failing, updating, moving; step by step, where the simulation draws lots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pytest
from tests.cluster.crowd import Crowd, strategies

from hubkit import events
from hubkit.cluster.core import Core
from hubkit.cluster.credence import LEAP
from hubkit.cluster.effects import Refuse, Send, Start, Stop
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.policy import ClusterView
from hubkit.cluster.rows import Row, Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync
from hubkit.errors import ConfigurationError
from hubkit.pids import Pid

E = TypeVar("E", bound=events.Event)


def kinds(found: list[events.Event], *of: type[E]) -> list[E]:
    return [event for event in found if isinstance(event, of)]


# -- alone ---------------------------------------------------------------------------------------------------------------


def test_one_node_alone_runs_what_it_is_asked_to() -> None:
    crowd = Crowd("a")
    stamps = crowd.core("a").write_wants({"x": Want("A", b"body"), "y": Want("A", b"")}, crowd.now)
    assert stamps.keys() == {"x", "y"}
    crowd.settle()
    core = crowd.core("a")
    assert core.is_settled
    assert core.live
    assert not core.partitioned
    assert core.pids("x") == (Pid("a", 1, 1),)
    assert core.pids("z") == ()
    assert core.owners("x") == ("a#1",)
    assert core.owners("z") == ()
    assert core.wants["x"] == Want("A", b"body", rev=stamps["x"])
    assert [(start.child, start.term, start.reason) for start in crowd["a"].starts] == [
        ("x", 1, "start"),
        ("y", 1, "start"),
    ]
    assert core.changed == {"x", "y"}
    crowd.remove("a", "x", "unknown")
    assert core.pids("x") == ()
    assert "x" not in core.wants
    assert [(stop.child, stop.reason) for stop in crowd["a"].stops] == [("x", "removed")]
    assert core.write_wants({"unknown": None}, crowd.now) == {}


def test_events_tell_what_happens() -> None:
    crowd = Crowd("a")
    crowd["a"].events.clear()
    crowd.want("a", "x")
    pid = Pid("a", 1, 1)
    assert crowd["a"].events == [
        events.SettledChanged(False, hub="h"),
        events.ChildRegistered("x", pid, hub="h"),
        events.SettledChanged(True, hub="h"),
    ]
    crowd["a"].events.clear()
    crowd.core("a").started("x", 1, 7, crowd.now)  # restarted in place
    crowd.settle()
    assert crowd["a"].events == [
        events.ChildUnregistered("x", pid, hub="h"),
        events.ChildRegistered("x", Pid("a", 1, 7), hub="h"),
    ]


def test_a_wrong_child_id_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="child id"):
        Crowd("a").core("a").write_wants({"": Want("A", b"")}, 200.0)


def test_a_core_without_links_says_nothing() -> None:
    core = Crowd("a").core("a")
    core.write_wants({"x": Want("A", b"")}, 200.0)
    assert not any(isinstance(effect, Send) for effect in core.take())


def test_inputs_for_links_that_are_not_there_are_ignored() -> None:
    core = Crowd("a").core("a")
    core.receive("b#1", Sync({}, {}, {}, {}, "delta", False, 0), 200.0)
    core.link_down("b#1", 200.0)
    assert core.take() == []


# -- joining -------------------------------------------------------------------------------------------------------------


def alone(**options: Any) -> tuple[Core, Liveness]:
    liveness = Liveness("b#1", 0.0)
    return Core("b#1", hub="h", liveness=liveness, now=0.0, strategies=strategies(), seeds=True, **options), liveness


def test_a_newcomer_waits_for_its_seeds_but_not_for_ever() -> None:
    core, _ = alone()
    for now in (1.0, 4.0, 8.0):
        core.tick(now)
        assert not core.live
    core.tick(8.1)
    assert core.live


def test_seeds_that_all_refuse_are_waited_for_one_beat() -> None:
    core, _ = alone()
    core.seeds_exhausted(1.0)
    core.seeds_exhausted(1.9)
    assert not core.live
    core.touch(2.0)
    assert core.live


def test_a_newcomer_acts_when_all_have_told_it_what_they_know() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", *(f"c{i}" for i in range(20)))
    crowd.held = {("b", "c")}
    newcomer = crowd.add("c")
    assert not newcomer.core.live
    assert newcomer.core.nodes.keys() == {"a#1", "b#1", "c#1"}
    assert newcomer.starts == []
    crowd.held = set()
    crowd.settle()
    assert newcomer.core.live
    assert newcomer.starts != []
    assert {start.reason for start in newcomer.starts} == {"migration"}


def test_one_that_stays_mute_is_waited_for_until_it_would_be_down() -> None:
    crowd = Crowd("a", "b")
    crowd.held = {("b", "c")}
    newcomer = crowd.add("c")
    crowd.tick(4)
    assert not newcomer.core.live
    crowd.tick(2)
    assert newcomer.core.live


def test_newcomers_that_have_met_each_other_only_wait_a_beat() -> None:
    crowd = Crowd()
    for name in "ab":
        crowd.add(name, seeds=True)
    crowd.settle()
    assert not any(member.core.live for member in crowd.members.values())
    crowd.tick()
    assert all(member.core.live for member in crowd.members.values())


def test_who_becomes_ready_passes_on_what_it_has_learnt() -> None:
    """Else one that has met it before could believe that there is nothing else."""
    crowd = Crowd("a")
    crowd.want("a", "x", start="nobody can")
    crowd.add("b", linked=False)
    crowd.add("c", linked=False)
    crowd.link("b", "c")
    crowd.settle()
    crowd.link("a", "b")
    crowd.settle()
    assert crowd.core("b").live
    assert "x" in crowd.core("c").wants
    assert "a#1" in crowd.core("c").nodes


def test_a_joining_node_gets_nothing_and_its_arrival_is_an_event() -> None:
    crowd = Crowd("a")
    crowd.want("a", *(f"c{i}" for i in range(20)))
    crowd["a"].events.clear()
    crowd.add("b")
    names = [type(event).__name__ for event in crowd["a"].events]
    assert names[:3] == ["NodeJoining", "PlacementChanging", "NodeJoined"]
    moving = kinds(crowd["a"].events, events.ChildMoving)
    (changed,) = kinds(crowd["a"].events, events.PlacementChanged)
    assert isinstance(changed, events.PlacementChanged)
    assert changed.nodes == ("a", "b")
    assert len(moving) == len(changed.moved) > 0
    moved = kinds(crowd["b"].events, events.ChildMoved)
    assert {event.child for event in moved} == set(changed.moved)
    assert moved[0] == events.ChildMoved(changed.moved[0], "a", "b", hub="h")
    assert all(crowd.core(name).is_settled for name in "ab")


def test_a_second_life_of_the_same_id_writes_later_than_its_first() -> None:
    """A hub that is opened again within one process has the same node id: others have seen writes that it does not know."""
    crowd = Crowd("a", "b", wall_offset=0.0)
    crowd.now += 5
    crowd.want("b", "x")
    first = crowd.core("b")._store.version["b#1"]
    crowd.core("b").depart(crowd.now)
    crowd.settle()
    member = crowd.members.pop("b")
    crowd.links.clear()
    crowd.core("a").link_down(member.id, crowd.now)
    crowd.boots["b"] = 0
    crowd.now -= 4  # as if its clock had been ahead
    crowd.add("b")
    crowd.tick(3)
    assert crowd.core("b")._store.version["b#1"] > first
    assert crowd.core("a").nodes["b#1"].state == "ready"
    assert all(crowd.core(name).is_settled for name in "ab")


def test_a_second_life_outgrows_its_first_even_if_it_learns_of_it_late() -> None:
    crowd = Crowd("a", "b")
    crowd.want("b", "x")
    crowd.core("b").depart(crowd.now)
    crowd.settle()
    crowd.members.pop("b")
    crowd.links.clear()
    crowd.core("a").link_down("b#1", crowd.now)
    crowd.boots["b"] = 0
    crowd.add("c", linked=False, seeds=False)
    crowd.now -= 2
    crowd.add("b", linked=False)
    crowd.link("b", "c")
    crowd.settle()
    for name in "bc":
        crowd.link("a", name)
    crowd.settle()
    crowd.tick(4)
    assert all(member.core.nodes.keys() == {"a#1", "b#1", "c#1"} for member in crowd.members.values())
    assert all(member.core.is_settled for member in crowd.members.values())


# -- leaving -------------------------------------------------------------------------------------------------------------


def test_a_leaving_node_hands_over_and_then_removes_itself() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{i}" for i in range(30)))
    crowd["a"].events.clear()
    crowd.core("b").leave(crowd.now)
    crowd.settle()
    crowd.tick(2)
    assert crowd.core("b").left
    assert not crowd.core("b").live
    assert {stop.reason for stop in crowd["b"].stops} == {"moved"}
    assert kinds(crowd["a"].events, events.NodeLeaving, events.NodeLeft) == [
        events.NodeLeaving("b", hub="h"),
        events.NodeLeft("b", hub="h"),
    ]
    crowd.tick(2)
    for name in "ac":
        assert crowd.core(name).is_settled
        assert crowd.core(name).nodes.keys() == {"a#1", "c#1"}
        assert all(len(crowd.core(name).runs[f"c{i}"]) == 1 for i in range(30))
    crowd.core("b").tick(crowd.now)
    crowd.core("b").link_up("a#1", crowd.now)
    assert crowd.core("b").take() == []


def test_leaving_with_nobody_to_take_over_keeps_the_terms() -> None:
    crowd = Crowd("a", "b", actors=("A",))
    crowd.core("b").set_actors((), crowd.now)
    crowd.settle()
    crowd.want("b", "x")
    crowd.core("a").leave(crowd.now)
    crowd.settle()
    crowd.tick(2)
    assert crowd.core("a").left
    assert [stop.reason for stop in crowd["a"].stops] == ["shutdown"]
    assert crowd.core("b").runs["x"]["a#1"].role == "released"
    crowd.kill("a")
    crowd.core("b").set_actors(("A",), crowd.now)
    crowd.settle()
    crowd.tick(4)
    assert [(start.child, start.term, start.reason) for start in crowd["b"].starts] == [("x", 2, "failover")]
    assert crowd.core("b").is_settled
    assert list(crowd.core("b").runs["x"]) == ["b#1"]


def test_leaving_before_having_settled_is_leaving_all_the_same() -> None:
    core, _ = alone()
    core.leave(1.0)
    assert core.left


def test_a_grant_that_reaches_a_leaving_node_is_passed_on() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("b")
    crowd.core("a").write_wants({child: Want("A", b"", pins=("a",))}, crowd.now)
    crowd.settle()
    assert child in crowd.where(child) or "a" in crowd.where(child)
    crowd.held = {("b", "a")}
    crowd.core("b").leave(crowd.now)
    crowd.settle()
    crowd.core("a").pin(child, (), crowd.now)  # a has not heard yet that b leaves
    crowd.settle()
    crowd.tick(1)
    crowd.held = set()
    crowd.settle()
    crowd.tick(3)
    assert crowd.core("b").left
    crowd.kill("b")
    crowd.tick(3)
    assert len(crowd.where(child)) == 1
    assert crowd.core("a").is_settled


def test_departing_is_immediate_and_the_others_take_over_at_once() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", *(f"c{i}" for i in range(10)))
    there = [child for child in crowd.core("a").wants if "b" in crowd.where(child)]
    crowd.core("b").depart(crowd.now)
    crowd.core("b").depart(crowd.now)
    assert crowd.core("b").left
    crowd.settle()
    crowd.tick(2)
    assert all(crowd.where(child) == {"a": "running"} for child in crowd.core("a").wants)
    assert {s.child: s.term for s in crowd["a"].starts if s.reason == "failover"} == dict.fromkeys(there, 2)
    assert crowd.core("a").is_settled


def test_departing_in_the_midst_of_things() -> None:
    """Claims are withdrawn, and what is not wanted any more leaves no row."""
    crowd = Crowd("a", "b")
    one, two = crowd.child_of("b"), "other"
    crowd.core("a").write_wants({two: Want("A", b"", pins=("b",))}, crowd.now)
    crowd.settle()
    crowd["b"].slow = True
    crowd.remove("a", two)
    crowd.held = {("a", "b")}
    crowd.core("b").write_wants({one: Want("A", b"")}, crowd.now)
    assert crowd.core("b").runs[one]["b#1"].role == "claiming"
    crowd.core("b").depart(crowd.now)
    assert crowd.core("b").runs == {}
    crowd.settle()


def test_leaving_and_then_departing() -> None:
    crowd = Crowd("a", "b")
    crowd.held = {("a", "b")}
    crowd.core("b").leave(crowd.now)
    crowd.settle()
    assert not crowd.core("b").left
    crowd.core("b").depart(crowd.now)
    assert crowd.core("b").left


# -- death ---------------------------------------------------------------------------------------------------------------


def test_proof_of_death_needs_no_waiting() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{i}" for i in range(30)))
    crowd["a"].events.clear()
    crowd.kill("b")
    assert all(member.core.is_settled for member in crowd.members.values())
    assert crowd.core("a").nodes.keys() == {"a#1", "c#1"}
    assert kinds(crowd["a"].events, events.NodeSuspected, events.NodeLeft) == [
        events.NodeSuspected("b", "dead", hub="h"),
        events.NodeLeft("b", hub="h"),
    ]
    assert not crowd.core("a").partitioned
    crowd.tick(4)
    assert all(len(runs) == 1 for runs in crowd.core("a").runs.values())


def test_silence_waits_and_forgets_only_much_later() -> None:
    crowd = Crowd("a", "b", "c", forget_after=20.0)
    crowd.want("a", *(f"c{i}" for i in range(30)))
    crowd["a"].events.clear()
    crowd.kill("b", proof=False)
    crowd.tick(4)
    assert not kinds(crowd["a"].events, events.NodeSuspected)
    crowd.tick(1)
    assert crowd["a"].events[0] == events.PlacementChanging(("a", "c"), hub="h")
    assert events.NodeSuspected("b", "silent", hub="h") in crowd["a"].events
    assert crowd.core("a").is_settled
    assert crowd.core("a").partitioned
    assert "b#1" in crowd.core("a").nodes
    crowd.tick(22)
    assert "b#1" not in crowd.core("a").nodes
    assert not crowd.core("a").partitioned
    crowd.tick(3)
    assert all(len(runs) == 1 for runs in crowd.core("a").runs.values())


def test_several_die_at_once() -> None:
    crowd = Crowd(*"abcde")
    crowd.want("a", *(f"c{i}" for i in range(50)))
    for name in "bd":
        member = crowd.members.pop(name)
        for pair in [pair for pair in crowd.links if member.id in pair]:
            del crowd.links[pair]
        for other in crowd.members.values():
            other.core.link_down(member.id, crowd.now)
            other.liveness.refuse(member.id)
    for member in crowd.members.values():
        member.core.touch(crowd.now)
    crowd.settle()
    assert all(member.core.is_settled for member in crowd.members.values())


def test_a_restart_under_the_same_name_gets_its_children_back() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", *(f"c{i}" for i in range(20)))
    before = {child: tuple(crowd.where(child)) for child in crowd.core("a").wants}
    member = crowd.members.pop("b")  # nobody has noticed yet
    crowd.links.clear()
    crowd["a"].events.clear()
    crowd.add("b")
    crowd.tick(3)
    assert {child: tuple(crowd.where(child)) for child in crowd.core("a").wants} == before
    assert crowd.core("a").nodes.keys() == {"a#1", "b#2"}
    assert member.id not in crowd.core("a").alive
    assert all(len(runs) == 1 for runs in crowd.core("a").runs.values())
    assert kinds(crowd["a"].events, events.NodeLeft, events.NodeJoining) == [
        events.NodeLeft("b", hub="h"),
        events.NodeJoining("b", hub="h"),
    ]


def test_forgetting_by_hand() -> None:
    crowd = Crowd("a", "b")
    core = crowd.core("a")
    with pytest.raises(ConfigurationError, match="no node 'z'; it knows a, b"):
        core.forget("z", crowd.now)
    with pytest.raises(ConfigurationError, match="in sight"):
        core.forget("b", crowd.now)
    with pytest.raises(ConfigurationError, match="in sight"):
        core.forget("a", crowd.now)
    crowd.kill("b", proof=False)
    crowd.tick(5)
    core.forget("b", crowd.now)
    assert core.nodes.keys() == {"a#1"}


def test_one_who_was_forgotten_and_lives_writes_itself_back() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{i}" for i in range(20)))
    crowd.unlink("a", "b")
    crowd.unlink("c", "b")
    crowd.tick(5)
    crowd.core("a").forget("b", crowd.now)
    crowd.settle()
    crowd.tick(3)
    assert crowd["c"].liveness.proven_dead("b#1")
    assert all("b" in crowd.where(child) for child in crowd.core("b").wants)  # it runs everything
    crowd.link("a", "b")
    crowd.settle()
    crowd.tick(2)
    assert not crowd["c"].liveness.proven_dead("b#1")  # though c is not linked to b yet
    crowd.link("c", "b")
    crowd.settle()
    crowd.tick(6)
    assert all(len(crowd.where(child)) == 1 for child in crowd.core("a").wants)
    assert all(member.core.is_settled for member in crowd.members.values())
    assert all(member.core.nodes.keys() == {"a#1", "b#1", "c#1"} for member in crowd.members.values())


def test_one_linked_node_is_not_believed_dead_on_hearsay() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.unlink("a", "b")
    crowd["a"].liveness.refuse("b#1")
    crowd.core("a").touch(crowd.now)
    crowd.settle()
    assert not crowd["c"].liveness.proven_dead("b#1")
    crowd.tick(4)
    assert "b#1" in crowd.core("c").nodes
    assert "b#1" in crowd.core("a").alive  # it has written itself back


def test_a_paused_node_whose_rows_were_removed_yields() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("b")
    crowd.want("a", child)
    crowd.unlink("a", "b")
    crowd["a"].liveness.refuse("b#1")
    crowd.core("a").touch(crowd.now)
    crowd.settle()
    assert crowd.where(child) == {"a": "running", "b": "running"}
    crowd.core("a").tick(crowd.now)
    crowd.link("a", "b")
    crowd.settle()
    crowd.tick(4)
    assert crowd.where(child) == {"b": "running"}
    assert crowd.core("b").runs[child]["b#1"].term == 3
    assert crowd.core("b").is_settled


# -- partitions ----------------------------------------------------------------------------------------------------------


def test_both_sides_run_all_and_after_the_heal_the_greater_term_stays() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.want("a", child)
    crowd.unlink("a", "b")
    crowd.unlink("a", "c")
    crowd.tick(6)
    assert len(crowd.where(child)) == 2
    assert crowd.core("a").partitioned
    crowd["a"].events.clear()
    (other,) = [name for name in crowd.where(child) if name != "a"]
    crowd.link("a", "b")
    crowd.link("a", "c")
    crowd.settle()
    assert crowd.where(child) == {"a": "running"}
    (conflict,) = kinds(crowd["a"].events, events.ConflictResolved)
    assert conflict == events.ConflictResolved(child, other, "a", 2, hub="h")
    assert crowd.core("a").runs[child]["a#1"].term == 3  # it yielded, and then it was handed back
    crowd.tick(3)
    assert all(member.core.is_settled for member in crowd.members.values())


def test_two_who_share_a_third_are_not_parted() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{i}" for i in range(10)))
    crowd.unlink("a", "b")
    crowd.tick(10)
    assert crowd.core("a").alive == {"a#1", "b#1", "c#1"}
    assert all(len(crowd.where(child)) == 1 for child in crowd.core("a").wants)


class Minority:
    """A partition strategy that wants two names in sight."""

    def allowed(self, view: ClusterView) -> bool:
        return len(view.alive) >= 2


def test_where_the_strategy_forbids_it_nothing_runs() -> None:
    crowd = Crowd("a", "b", strategies=strategies(partition_tolerance=Minority()))
    crowd.want("a", *(f"c{i}" for i in range(10)))
    crowd.unlink("a", "b")
    crowd.tick(5)
    for name in "ab":
        assert {stop.reason for stop in crowd[name].stops} <= {"partition", "moved"}
        assert not crowd.core(name)._rules.instances
        assert crowd.core(name).partitioned
        assert not crowd.core(name).is_settled
    crowd.link("a", "b")
    crowd.settle()
    crowd.tick(5)
    assert all(len(crowd.where(child)) == 1 for child in crowd.core("a").wants)
    runs = crowd.core("a").runs
    assert all(max(run.term for run in runs[child].values()) > 1 for child in crowd.core("a").wants)


def test_forbidden_while_it_stops_slowly() -> None:
    crowd = Crowd("a", "b", strategies=strategies(partition_tolerance=Minority()))
    child = crowd.child_of("a")
    crowd.want("a", child)
    crowd["a"].slow = True
    crowd.unlink("a", "b")
    crowd.tick(6)
    assert [stop.reason for stop in crowd["a"].stops] == ["partition"]
    assert crowd.core("a").why(child, crowd.now).rule == "stopping"
    crowd.core("a").stopped(child, crowd.now)
    assert crowd.core("a").runs[child]["a#1"].role == "released"
    assert crowd.core("a").why(child, crowd.now).rule == "forbidden"


# -- wishes that change --------------------------------------------------------------------------------------------------


def setup_slow(body: bytes = b"") -> tuple[Crowd, str]:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd["a"].slow = True
    crowd.want("b", child, body=body)
    return crowd, child


def test_the_same_spec_again_is_adopted_without_a_restart() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", "x", body=b"1")
    crowd.want("b", "x", body=b"1")
    assert sum(len(crowd[name].starts) for name in "ab") == 1
    (run,) = crowd.core("a").runs["x"].values()
    assert run.rev == crowd.core("a").wants["x"].rev
    assert crowd.core("a").is_settled


def test_another_spec_is_started_anew_at_a_greater_term() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", "x", body=b"1")
    crowd.want("b", "x", body=b"2")
    member = crowd[next(iter(crowd.where("x")))]
    assert [stop.reason for stop in member.stops] == ["updated"]
    assert [(start.term, start.want.body) for start in member.starts] == [(1, b"1"), (2, b"2")]


def test_an_update_while_it_starts() -> None:
    crowd, child = setup_slow(b"1")
    crowd.want("b", child, body=b"2")
    assert [(start.term, start.want.body) for start in crowd["a"].starts] == [(1, b"1")]
    assert [stop.reason for stop in crowd["a"].stops] == ["updated"]
    crowd.core("a").started(child, 1, 5, crowd.now)  # too late
    assert crowd.core("a").pids(child) == ()
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    crowd.core("a").started(child, 1, 5, crowd.now)  # of the old one
    crowd.core("a").failed(child, 1, "of the old one", crowd.now)
    crowd.core("a").ended(child, 1, crowd.now)
    assert crowd.core("a").runs[child]["a#1"].phase == "starting"
    crowd.core("a").started(child, 2, 6, crowd.now)
    assert crowd.core("a").pids(child) == (Pid("a", 1, 6),)


def test_an_update_while_it_stops_for_another_one() -> None:
    crowd, child = setup_slow(b"1")
    crowd.want("b", child, body=b"2")
    crowd.want("b", child, body=b"3")
    assert len(crowd["a"].stops) == 1
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    assert crowd["a"].starts[-1].want.body == b"3"


def test_an_update_unparks() -> None:
    crowd, child = setup_slow(b"1")
    crowd.core("a").failed(child, 1, "no luck", crowd.now)
    crowd.settle()
    assert crowd.core("b").is_settled  # parked is settled
    assert crowd.core("b").pids(child) == ()
    assert crowd.core("b").runs[child]["a#1"].error == "no luck"
    crowd["a"].slow = False
    crowd.want("b", child, body=b"1")
    assert [stop.reason for stop in crowd["a"].stops] == ["updated"]
    assert crowd.core("b").pids(child) != ()


def test_a_parked_child_can_be_started_by_its_shell() -> None:
    crowd, child = setup_slow()
    crowd.core("a").failed(child, 1, "no luck", crowd.now)
    crowd.core("a").started(child, 1, 9, crowd.now)
    crowd.settle()
    run = crowd.core("b").runs[child]["a#1"]
    assert (run.phase, run.serial, run.error, run.term) == ("running", 9, "", 1)


def test_a_parked_child_moves_like_any_other() -> None:
    crowd, child = setup_slow()
    crowd.core("a").failed(child, 1, "no luck", crowd.now)
    crowd["a"].slow = False
    crowd.core("b").pin(child, ("b",), crowd.now)
    crowd.settle()
    crowd.tick(3)
    assert crowd.where(child) == {"b": "running"}
    assert [stop.reason for stop in crowd["a"].stops] == ["moved"]


def test_removed_while_it_starts_and_while_it_stops() -> None:
    crowd, child = setup_slow()
    crowd.remove("b", child)
    assert [stop.reason for stop in crowd["a"].stops] == ["removed"]
    crowd.want("b", child)
    assert len(crowd["a"].starts) == 1
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    assert [start.term for start in crowd["a"].starts] == [1, 2]
    crowd.remove("b", child)
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    crowd.tick(3)
    assert crowd.core("b").runs == {}


def test_removed_while_it_is_claimed() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd.held = {("b", "a")}
    crowd.core("a").write_wants({child: Want("A", b"")}, crowd.now)
    crowd.core("a").write_wants({child: None}, crowd.now)
    crowd.settle()
    crowd.held = set()
    crowd.tick(3)
    assert crowd.core("a").runs == crowd.core("b").runs == {}
    assert crowd["a"].starts == []


def test_stopping_for_a_move_and_then_not() -> None:
    crowd, child = setup_slow()
    crowd.core("a").started(child, 1, 1, crowd.now)
    crowd.core("b").pin(child, ("b",), crowd.now)
    crowd.settle()
    assert [stop.reason for stop in crowd["a"].stops] == ["moved"]
    crowd.core("b").pin(child, (), crowd.now)
    crowd.settle()
    crowd.core("a").stopped(child, crowd.now)
    crowd.core("a").stopped(child, crowd.now)  # once more: harmless
    crowd.settle()
    assert [start.term for start in crowd["a"].starts] == [1, 2]
    assert crowd.where(child) == {"a": "starting"}


def test_what_has_ended_for_good_is_not_wanted_any_more() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd.want("b", child)
    crowd.core("a").ended(child, 1, crowd.now)
    crowd.settle()
    crowd.tick(3)
    assert child not in crowd.core("b").wants
    assert crowd.core("b").runs == {}


def test_what_has_ended_is_started_anew_if_its_spec_has_changed() -> None:
    crowd = Crowd("a")
    crowd.want("a", "x", body=b"1")
    crowd["a"].slow = True
    crowd.core("a").write_wants({"x": Want("A", b"2")}, crowd.now)
    crowd.core("a").ended("x", 1, crowd.now)  # before the shell has seen the order to stop it
    assert "x" in crowd.core("a").wants
    effects = crowd.core("a").take()
    assert [type(effect) for effect in effects if isinstance(effect, Start | Stop)] == [Stop, Start]
    crowd.core("a").started("x", 2, 9, crowd.now)
    crowd.core("a").stopped("x", crowd.now)  # the answer to that order: harmless
    assert crowd.core("a").pids("x") == (Pid("a", 1, 9),)


def test_what_has_ended_after_it_was_removed_is_just_gone() -> None:
    crowd = Crowd("a")
    crowd.want("a", "x")
    crowd["a"].slow = True
    crowd.remove("a", "x")
    crowd.core("a").ended("x", 1, crowd.now)
    crowd.settle()
    crowd.tick(2)
    assert crowd.core("a").runs == {}
    assert crowd.core("a").is_settled


def test_moves_by_hand() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    with pytest.raises(ConfigurationError, match="no child"):
        crowd.core("a").pin(child, ("b",), crowd.now)
    crowd.want("a", child)
    rev = crowd.core("a").wants[child].rev
    stamp = crowd.core("a").pin(child, ("b",), crowd.now)
    crowd.settle()
    assert crowd.where(child) == {"b": "running"}
    assert crowd.core("b").wants[child].rev == rev != stamp
    assert [start.reason for start in crowd["b"].starts] == ["migration"]
    crowd.kill("b")
    assert crowd.where(child) == {"a": "running"}


# -- who can start what --------------------------------------------------------------------------------------------------


def test_children_go_only_where_their_actor_is_known() -> None:
    crowd = Crowd("a", "b")
    crowd.core("b").set_actors(("A", "B"), crowd.now)
    crowd.settle()
    crowd.want("a", *(f"c{i}" for i in range(10)), start="B")
    crowd.want("a", "lost", start="C")
    assert all(crowd.where(f"c{i}") == {"b": "running"} for i in range(10))
    assert crowd.where("lost") == {}
    assert crowd.core("a").owners("lost") == ()
    assert not crowd.core("a").is_settled
    assert crowd.core("a").why("lost", crowd.now).rule == "unplaced"
    crowd.core("a").set_actors(("C",), crowd.now)
    crowd.settle()
    assert crowd.where("lost") == {"a": "running"}
    assert crowd.core("b").is_settled


def test_a_running_child_that_nobody_could_start_again_goes_on() -> None:
    crowd = Crowd("a")
    crowd.want("a", "x")
    crowd.core("a").set_actors((), crowd.now)
    crowd.settle()
    assert crowd.where("x") == {"a": "running"}
    crowd.want("a", "x", start="B")
    assert crowd.where("x") == {}
    assert crowd.core("a").runs["x"]["a#1"].role == "released"
    assert crowd.core("a").why("x", crowd.now).rule == "unplaced"
    crowd.core("a").set_actors(("B",), crowd.now)
    crowd.settle()
    assert [start.term for start in crowd["a"].starts] == [1, 2]


def test_addresses_travel() -> None:
    crowd = Crowd("a", "b")
    crowd.core("a").set_address("ws://host:1", crowd.now)
    crowd.settle()
    assert crowd.core("b").nodes["a#1"].address == "ws://host:1"


# -- the door ------------------------------------------------------------------------------------------------------------


def test_stamps_from_too_far_ahead_are_refused_with_their_link() -> None:
    crowd = Crowd("a", "b", drift_max=60.0)
    crowd.add("c", wall_offset=100.0)
    assert [refusal.peer for refusal in crowd["a"].refusals] == ["c#1"]
    assert "ahead of mine" in crowd["a"].refusals[0].reason
    assert "c#1" not in crowd.core("a").nodes
    crowd["c"].sent.clear()
    crowd.want("c", "x")
    crowd.tick(2)
    assert len(crowd["a"].refusals) == 1  # said once; the link is not listened to any more
    assert "x" not in crowd.core("a").wants
    crowd.unlink("a", "c")
    crowd.link("a", "c")
    crowd.settle()
    assert len(crowd["a"].refusals) == 2


def test_a_term_that_nobody_can_have_reached_is_refused_with_its_link() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", "x")
    crowd.settle()
    core, stamp = crowd.core("a"), Stamp(int(crowd.now * 1000) + 1, 0, "b#1")
    for leap, refused in ((LEAP, False), (1 << 63, True)):
        run = Run(last_term(core, "x") + leap, "released", rev=core.wants["x"].rev)
        stamp = Stamp(stamp.time_ms + 1, 0, "b#1")
        moment = stamp[:2]
        core.receive(
            "b#1", Sync({("run", "x", "b#1"): Row(stamp, run)}, {"b#1": moment}, {}, {}, "delta", False, 0), crowd.now
        )
        effects = [effect for effect in core.take() if isinstance(effect, Refuse)]
        assert bool(effects) is refused
    assert "terms grow one by one" in effects[0].reason


def last_term(core: Core, child: str) -> int:
    return max(run.term for run in core.runs[child].values())


def test_a_clock_that_is_a_little_ahead_is_followed() -> None:
    crowd = Crowd("a")
    crowd.add("b", wall_offset=200.0)
    crowd.tick(2)
    crowd.want("b", "x")
    crowd.remove("a", "x")
    assert "x" not in crowd.core("b").wants


def test_inputs_given_together_are_brought_in_line_together() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd["a"].slow = True
    crowd.want("b", child)
    core = crowd.core("a")
    core.take()
    with core.together(crowd.now):
        core.failed(child, 1, "no luck", crowd.now)
        core.started(child, 1, 7, crowd.now)
        core.write_wants({"x": Want("A", b"")}, crowd.now)
        assert core.write_wants({"x": None}, crowd.now).keys() == {"x"}
        core.write_wants({"y": Want("A", b"", pins=("a",))}, crowd.now)
        core.pin("y", ("b",), crowd.now)
        assert core.take(send=False) == []
    assert core.pids(child) == (Pid("a", 1, 7),)
    assert core.owners("y") == ("b#1",)
    assert "x" not in core.wants
    events_only = core.take(send=False)
    assert not any(isinstance(effect, Send) for effect in events_only)
    (send,) = core.take()
    assert isinstance(send, Send)
    core.started(child, 1, 7, crowd.now)  # nothing new
    assert core.take() == []
    assert core.allowed


def test_what_was_given_together_before_an_error_is_brought_in_line_with_the_next_input() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")

    def fail() -> None:
        core.write_wants({"x": Want("A", b"")}, crowd.now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), core.together(crowd.now):
        fail()
    assert "x" not in core.wants
    core.touch(crowd.now)
    assert "x" in core.wants


# -- claims --------------------------------------------------------------------------------------------------------------


def test_a_claim_waits_for_acknowledgement_but_not_for_ever() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.held = {("b", "a")}
    crowd.core("a").write_wants({child: Want("A", b"")}, crowd.now)
    crowd.settle()
    core = crowd.core("a")
    assert crowd["a"].starts == []
    assert core.deadline == crowd.now + 0.5
    why = core.why(child, crowd.now + 0.2)
    assert why.rule == "announced"
    assert why.in_flight == ("claim announced, waiting for acknowledgement of b, c for at most 0.3 s",)
    core.touch(crowd.now + 0.5)
    assert core.deadline is None
    crowd.settle()
    assert crowd.where(child) == {"a": "running"}


def test_of_two_claims_the_greater_goes_on() -> None:
    """Two newcomers that do not know of each other claim the same child; a third, whom both ask, tells them."""
    crowd = Crowd("a")
    crowd.core("a").set_actors((), crowd.now)
    crowd.want("a", "x", start="B")
    for name in "bc":
        crowd.add(name, linked=False, actors=("B",))
        crowd.link("a", name)
    crowd.settle()
    assert len(crowd["b"].starts) + len(crowd["c"].starts) == 1
    crowd.link("b", "c")
    crowd.settle()
    crowd.tick(3)
    assert sum(len(crowd[name].starts) for name in "bc") <= 2
    assert all(member.core.is_settled for member in crowd.members.values())


def test_a_row_that_was_lost_stops_its_instance() -> None:
    crowd = Crowd("a")
    crowd.want("a", "x")
    crowd.core("a")._store.put(("run", "x", "a#1"), None, crowd.now)
    crowd.core("a").touch(crowd.now)
    crowd.core("a").started("x", 1, 5, crowd.now)  # says nothing about what is to stop
    crowd.settle()
    assert [stop.reason for stop in crowd["a"].stops] == ["conflict"]
    assert crowd.where("x") == {"a": "running"}


def test_a_row_that_was_lost_stops_its_instance_even_if_it_is_granted_back() -> None:
    crowd = Crowd("a", "b")
    core, child = crowd.core("a"), crowd.child_of("a")
    crowd.want("a", child)
    insert(core, {("run", child, "b#1"): Run(5, "released", "a#1")}, "b#1", 999_999, crowd.now)
    assert [type(effect) for effect in core.take() if isinstance(effect, Stop)] == [Stop]
    core.stopped(child, crowd.now)
    (start,) = [effect for effect in core.take() if isinstance(effect, Start)]
    assert (start.term, start.reason) == (6, "migration")


def insert(core: Core, rows: Mapping[Any, Any], writer: str, ms: int, now: float) -> None:
    """Let rows arrive from somebody who is not there."""
    found = {key: Row(Stamp(ms, i, writer), value) for i, (key, value) in enumerate(rows.items())}
    core._store.join(found, {writer: (ms, len(found))}, {})
    core.touch(now)


def test_who_might_hold_it_out_of_sight_is_waited_for() -> None:
    """A row of a node never heard of: it is respected for as long as silence takes."""
    crowd = Crowd("a")
    core = crowd.core("a")
    insert(core, {("run", "x", "z#1"): Run(4, "active")}, "z#1", 1, crowd.now)
    crowd.want("a", "x")
    assert crowd["a"].starts == []
    why = core.why("x", crowd.now)
    assert (why.rule, why.in_flight) == ("a former holder is missing", ("waiting for z",))
    crowd.tick(5)
    assert [(start.term, start.reason) for start in crowd["a"].starts] == [(5, "failover")]
    crowd.tick(1)
    assert list(core.runs["x"]) == ["a#1"]  # and what it said is superseded


def test_a_grant_to_one_who_vanished_comes_back_to_its_giver() -> None:
    crowd = Crowd("a", "b")
    core = crowd.core("a")
    child = crowd.child_of("a")
    crowd.want("a", child)
    crowd["a"].slow = True
    core.pin(child, ("b",), crowd.now)
    crowd.settle()
    crowd.held = {("a", "b")}
    core.stopped(child, crowd.now)
    assert core.runs[child]["a#1"] == Run(1, "released", "b#1", core.wants[child].rev)
    crowd["a"].slow = False
    crowd.kill("b", proof=False)
    crowd.tick(3)
    assert crowd.where(child) == {}
    crowd.tick(3)
    assert crowd.where(child) == {"a": "running"}
    assert core.runs[child]["a#1"].term == 2
    assert core.is_settled


def test_a_grant_to_a_stranger_is_waited_for_as_well() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")
    core.set_actors((), crowd.now)
    crowd.want("a", "x")
    core._store.put(("run", "x", "a#1"), Run(3, "released", "z#1"), crowd.now)
    core.set_actors(("A",), crowd.now)
    crowd.settle()
    why = core.why("x", crowd.now)
    assert why.rule == "granted to a missing node"
    assert why.in_flight == ("waiting for z", "handed by a to z, term 3")
    crowd.tick(5)
    assert crowd.where("x") == {"a": "running"}
    assert [start.term for start in crowd["a"].starts] == [4]


def test_a_greater_term_of_the_dead_is_passed_before_going_on() -> None:
    crowd = Crowd("a")
    crowd.want("a", "x")
    insert(crowd.core("a"), {("run", "x", "z#1"): Run(7, "active")}, "z#1", 1, crowd.now)
    crowd.tick(6)
    assert [stop.reason for stop in crowd["a"].stops] == ["conflict"]
    assert [start.term for start in crowd["a"].starts] == [1, 8]
    assert list(crowd.core("a").runs["x"]) == ["a#1"]


def test_rows_of_strangers_about_nothing_are_cleared_up_in_the_end() -> None:
    crowd = Crowd("a", "b")
    for name in "ab":
        insert(crowd.core(name), {("run", "x", "z#1"): Run(4, "released", rev=Stamp(9, 9, "y#1"))}, "z#1", 1, crowd.now)
    crowd.settle()
    crowd.tick(3)
    assert crowd.core("a").runs  # the want may be on its way
    crowd.tick(4)
    assert not crowd.core("a").runs
    assert not crowd.core("b").runs


def test_a_want_that_was_on_its_way_finds_its_rows() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")
    insert(core, {("run", "x", "z#1"): Run(4, "released", rev=Stamp(9, 9, "y#1"))}, "z#1", 1, crowd.now)
    crowd.tick(2)
    crowd.want("a", "x")
    assert [start.term for start in crowd["a"].starts] == [5]


def test_one_clears_up_and_if_it_does_not_another_does() -> None:
    crowd = Crowd("a", "b")
    for name in "ab":
        insert(crowd.core(name), {("run", "x", "z#1"): Run(4, "active")}, "z#1", 1, crowd.now)
    crowd.kill("a")
    crowd.tick(8)
    assert not crowd.core("b").runs
