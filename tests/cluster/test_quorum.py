"""Cores under a quorum, step by step: what they may do, what they announce, and what they say is missing."""

from __future__ import annotations

import math
from typing import Any

from tests.cluster.crowd import Crowd, strategies

from hubkit.cluster.effects import Stop
from hubkit.cluster.electorate import Electorate
from hubkit.cluster.rows import Run, Want
from hubkit.cluster.settings import VOTERS
from hubkit.cluster.sync import Sync, from_wire, to_wire
from hubkit.events import QuorumLost, QuorumRegained
from hubkit.strategies import DynamicQuorum, MajorityQuorum, StaticQuorum

#: a lease of 4 s, 5 s to stop, and perfect clocks: so long is a wait
WAIT = 9


def crowd(names: str, tolerance: Any) -> Crowd:
    return Crowd(*names, strategies=strategies(partition_tolerance=tolerance))


def static(names: str = "abc", size: int = 2) -> Crowd:
    """A crowd that has formed."""
    found = crowd(names, StaticQuorum(size, drift=0.0))
    found.tick(WAIT + 2)
    return found


def quorum_events(found: Crowd, name: str) -> list[type]:
    return [type(event) for event in found[name].events if isinstance(event, QuorumLost | QuorumRegained)]


def cut(found: Crowd, name: str) -> None:
    """Cut a member off from all others."""
    for other in found.members:
        if other != name:
            found.held |= {(name, other), (other, name)}


def test_nothing_runs_before_a_quorum_votes() -> None:
    found = crowd("abc", StaticQuorum(2, drift=0.0))
    found.tick()
    found.want("a", "x")
    assert not any(member.starts for member in found.members.values())
    core = found.core("a")
    assert (core.allowed, core.partitioned, core.ready) == (False, True, frozenset())
    assert core.quorum.missing(found.now) == "it takes 2 nodes; in touch: none"
    assert core.why("x", found.now).in_flight == ("it takes 2 nodes; in touch: none",)
    found.tick(WAIT)
    assert sum(len(member.starts) for member in found.members.values()) == 1
    assert (core.unsettled, core.unsettled_children()) == (0, [])
    assert all(quorum_events(found, name) == [QuorumRegained] for name in "abc")
    assert core.quorum.missing(found.now) == "it takes 2 nodes; in touch: a, b, c"


def test_who_is_cut_off_stops_by_the_bound_and_releases_and_the_others_wait_for_it() -> None:
    found = static()
    child = found.child_of("a")
    found.want("a", child)
    assert found.where(child) == {"a": "running"}
    assert found.core("a").quorum.deadline is not None
    found["a"].slow = True
    cut(found, "a")
    begun = found.now
    found.tick(3)
    assert found["a"].stops == []
    found.tick(2)
    (stop,) = found["a"].stops
    assert stop == Stop(child, "partition", begun + 4 + 5)
    assert found.core("a").quorum.deadline is None
    assert quorum_events(found, "a") == [QuorumRegained, QuorumLost]
    found.core("a").stopped(child, found.now)
    found.settle()
    run = found["a"].run_of(child)
    assert run is not None
    assert run[:3] == (1, "released", None)
    found.tick(3)  # the others know nothing of that, and cannot
    assert found.where(child) == {}
    heir = next(name for name in "bc" if found.core(name).owners(child)[0] == found[name].id)
    assert found.core(heir).why(child, found.now).rule in ("a former holder is missing", "rival claims")
    found.tick(2)
    assert found.where(child) == {heir: "running"}
    assert found[heir].starts[-1].reason == "failover"


def test_a_proof_of_death_does_not_shorten_the_wait() -> None:
    found = static()
    child = found.child_of("a")
    found.want("a", child)
    found.kill("a", proof=True)
    found.tick(WAIT - 1)
    assert found.where(child) == {}
    found.tick(2)
    assert len(found.where(child)) == 1


def test_a_grant_is_announced_too() -> None:
    found = static("ab", 2)
    found.add("c", strategies=strategies(partition_tolerance=StaticQuorum(2, drift=0.0)))
    child = found.child_of("c")
    found.want("a", child)
    found.tick(3)
    assert found.where(child) == {"c": "running"}
    other = found.child_of("a")
    found.want("a", other)
    for name in "ab":
        found.held |= {("c", name)}
    found.core("a").pin(other, ("c",), found.now)
    found.settle()
    assert found["c"].run_of(other) == Run(2, "claiming", rev=found.core("c").wants[other].rev)
    assert (
        found.core("c").why(other, found.now).in_flight[0] == "claim announced, waiting for acknowledgement of a quorum"
    )
    found.held.clear()
    found.settle()
    assert found.where(other) == {"c": "running"}
    assert found["c"].starts[-1].reason == "migration"
    assert found.core("c").deadline == found.core("c").quorum.deadline


def test_what_is_only_claimed_is_taken_back_without_a_quorum() -> None:
    found = static()
    child = found.child_of("a")
    found.core("a").write_wants({child: Want("A", b"")}, found.now)
    cut(found, "a")
    found.settle()
    run = found["a"].run_of(child)
    assert run is not None
    assert (run.term, run.role) == (1, "claiming")
    own = found.child_of("a")
    found.tick(5)
    assert found["a"].run_of(child) is None
    rev = found.core("a").wants[own].rev
    found.core("a")._store.put(("run", own, found["a"].id), Run(4, "released", found["a"].id, rev), found.now)
    found.core("a").touch(found.now)
    assert found["a"].run_of(own) == Run(3, "released", None, rev)


def test_a_child_that_is_updated_starts_anew_where_it_is() -> None:
    found = static()
    child = found.child_of("b")
    found.want("a", child)
    found.want("a", child, body=b"new")
    assert found.where(child) == {"b": "running"}
    assert [start.term for start in found["b"].starts] == [1, 2]


def test_a_holder_whose_child_is_gone_waits_for_a_rival_whom_it_does_not_see() -> None:
    found = static()
    child = found.child_of("b")
    found["b"].slow = True
    found.want("a", child)
    core, rival = found.core("b"), found.core("c")
    core.started(child, 1, 1, found.now)
    found.settle()
    found.want("a", child, body=b"new")  # it is told to stop, and to start anew
    found.held |= {("a", "c"), ("b", "c")}
    rival._store.put(("run", child, rival.id), Run(5, "claiming", rev=core.wants[child].rev), found.now)
    found.settle()
    found["b"].liveness.refuse(rival.id)
    core.stopped(child, found.now)
    assert core.why(child, found.now).rule == "rival claims"
    assert found.where(child) == {}
    found.held.clear()
    found["b"].liveness.linked(rival.id, found.now)
    found.tick(2)
    assert found.where(child) == {"b": "starting"}
    assert found["b"].starts[-1].term > 1


def test_what_one_granted_to_oneself_in_vain_stands_for_the_term_before() -> None:
    found = static()
    child = found.child_of("b")
    found.want("a", child)
    core, rival = found.core("b"), found.core("c")
    core.pin(child, ("a",), found.now)
    found.settle()
    assert found.where(child) == {"a": "running"}
    found.kill("a", proof=True)  # b claims it back by a grant to itself; c, who has seen more, outbids it
    for other in ("a", "c"):
        found.held |= {("b", other)}
    core._store.put(("run", child, core.id), Run(3, "released", core.id, core.wants[child].rev), found.now)
    rival._store.put(("run", child, rival.id), Run(9, "claiming", rev=core.wants[child].rev), found.now)
    found.settle()
    core.touch(found.now)
    run = core.runs[child][core.id]
    assert (run.term, run.role, run.to) == (2, "released", None)


def test_a_size_set_by_hand_holds_everywhere_and_in_time() -> None:
    found = static()
    found.core("b").resize(3, found.now)
    found.settle()
    assert all(found.core(name).quorum.missing(0).startswith("it takes 3 nodes") for name in "abc")
    cut(found, "c")
    found.tick(5)
    assert not any(found.core(name).allowed for name in "abc")
    found.core("a").resize(2, found.now)
    found.settle()
    found.tick(1)
    assert [found.core(name).allowed for name in "abc"] == [True, True, False]


def test_the_largest_size_seen_is_kept() -> None:
    found = crowd("abcd", MajorityQuorum(drift=0.0))
    found.tick(WAIT + 2)
    assert found.core("a").quorum.missing(found.now).startswith("it takes 3 nodes")
    for name in "cd":
        found.kill(name)
    found.tick(20)
    assert not found.core("a").allowed
    found.core("a").resize(2, found.now)
    found.tick(2)
    assert found.core("a").allowed


def test_with_an_initial_size_one_alone_does_not_begin() -> None:
    found = crowd("ab", MajorityQuorum(initial_size=4, drift=0.0))
    found.tick(WAIT + 5)
    assert not found.core("a").allowed
    assert found.core("a").quorum.missing(found.now) == "it takes 3 nodes; in touch: a, b"


def test_voters_are_admitted_one_by_one_and_are_no_children() -> None:
    tolerance = MajorityQuorum(voters=("a", "b", "c"), drift=0.0)
    found = crowd("abc", tolerance)
    found.tick(WAIT + 2)
    first = found.core("a")
    assert first.quorum.missing(found.now) == "it takes 2 of the voters a, b, c; in touch: a, b, c"
    for name in "de":
        found.add(name, strategies=strategies(partition_tolerance=tolerance))
    found.tick(3)
    assert found.core("d")._ledger.settings.view.voters == frozenset("abc")
    found.tick(WAIT)
    sizes = []
    for _ in range(6 * WAIT):
        found.tick()
        sizes.append(len(found.core("e")._ledger.settings.view.voters))
    assert sorted(set(sizes)) == [4, 5]
    assert sizes == sorted(sizes)
    wants = first.wants
    found.want("a", "x")
    assert (list(wants), len(wants), VOTERS in wants) == (["x"], 1, False)
    assert wants["x"].start == "A"
    assert all(not start.child.startswith("@") for member in found.members.values() for start in member.starts)
    assert VOTERS not in first.changed
    found.core("e").leave(found.now)  # one who leaves ceases to vote
    found.settle()
    found.tick(5)
    found.kill("e", proof=False)
    found.tick(3 * WAIT)
    assert first._ledger.settings.view.voters == frozenset("abcd")
    owner = next(name for name in found.members if found.core(name)._reconciler.instance(VOTERS) is not None)
    cut(found, owner)
    found.tick(3 * WAIT)  # another takes their keeping over, in a greater term
    assert found.core(owner)._reconciler.instance(VOTERS) is None
    others = [name for name in found.members if name != owner]
    ranks = {found.core(name)._ledger.settings.voters for name in others}
    assert (len(ranks) == 1 and ranks > {(1, 0)}) or all(rank is not None and rank[0] > 1 for rank in ranks)


def test_a_change_of_voters_waits_until_a_quorum_knows_it() -> None:
    found = crowd("abc", MajorityQuorum(voters=("a", "b", "c"), drift=0.0))
    found.tick(WAIT + 5)
    owner = next(name for name in found.members if found.core(name)._reconciler.instance(VOTERS) is not None)
    core = found.core(owner)
    electorate, settings = core._electorate, core._ledger.settings
    before = electorate._acknowledged
    assert before is not None
    assert before[0] == settings.voters == (1, 0)
    settings.set_voters((1, 1), frozenset("abcd"), core._store, found.now)
    core._ledger.absorb()
    electorate.beat(found.now)
    assert electorate._acknowledged == before
    found.tick(2)
    assert electorate._acknowledged is not None
    assert electorate._acknowledged[0] == (1, 1)


def test_a_new_hub_needs_all_of_its_first_voters() -> None:
    tolerance = MajorityQuorum(voters=("a", "b", "c"), drift=0.0)
    found = crowd("ab", tolerance)
    found.tick(2 * WAIT)
    assert not found.core("a").allowed
    assert found.core("a").quorum.missing(found.now) == "it takes 3 of the voters a, b, c; in touch: a, b"


def test_by_a_dynamic_quorum_losses_count_and_are_forgotten() -> None:
    found = crowd("abcd", DynamicQuorum(50, window=10.0))
    assert found.core("a").allowed
    for name in "cd":
        found.kill(name)
    assert not found.core("a").allowed
    assert quorum_events(found, "a") == [QuorumLost]
    assert found.core("a").quorum.missing(found.now).endswith("in sight: a, b")
    assert found.core("a").why("x", found.now).rule == "unwanted"
    found.tick(11)
    assert found.core("a").allowed
    assert quorum_events(found, "a") == [QuorumLost, QuorumRegained]
    assert found.core("a").deadline is None
    assert (found.core("a").quorum.lapses, found.core("a").quorum.may_act(0, 0.0)) == (0, True)


def test_every_child_can_stop_in_time_or_may_take_as_long_as_it_likes() -> None:
    assert static().core("a").quorum.stop_bound == 5.0
    assert crowd("a", DynamicQuorum(50)).core("a").quorum.stop_bound == math.inf


class Silent:
    """A strategy that says nothing of itself."""

    def allowed(self, view: object) -> bool:
        return False


def test_of_a_strategy_of_ones_own_only_the_sight_is_told() -> None:
    found = crowd("a", Silent())
    assert found.core("a").quorum.missing(found.now) == "too few nodes are there; in sight: a"


def test_whether_an_acknowledgement_counts_travels_with_it() -> None:
    for votes in (True, False):
        sync = Sync({}, {}, {}, {"a#1": (1, 0)}, "hello", False, 7, votes)
        assert from_wire(to_wire(sync)) == sync


def test_what_was_pruned_is_not_waited_for() -> None:
    found = static("abc")
    found.kill("c", proof=True)
    for _ in range(60):
        found.tick(70)
    assert all("c#1" not in found.core(name)._store.version for name in "ab")
    assert found.core("a").allowed
    found.core("a")._store.version["c#1"] = (1, 0)  # as if it had not forgotten yet
    found.core("a")._replication.links["b#1"].have.clear()
    found.tick(5)
    assert found.core("b").allowed


def test_an_electorate_without_voters_has_nothing_to_attend_to() -> None:
    found = static()
    electorate: Electorate = found.core("a")._electorate
    assert electorate.attend([], found.now) is False
    assert found.core("a").wants is found.core("a")._ledger.wants
