"""What goes over links: little, once, and in the end everything."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.crowd import Crowd, strategies

from hubkit.cluster.replication import CHUNK
from hubkit.cluster.rows import Row, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync
from hubkit.strategies import PubSub


def syncs(crowd: Crowd, sender: str, target: str) -> list[Sync]:
    """What was sent from one to the other since last asked."""
    member, peer = crowd[sender], crowd[target].id
    found = [sync for other, sync in member.sent if other == peer]
    member.sent = [(other, sync) for other, sync in member.sent if other != peer]
    return found


def same_maps(crowd: Crowd) -> bool:
    cores = [member.core for member in crowd.members.values()]
    return all(core._store.rows == cores[0]._store.rows for core in cores)


def test_a_link_begins_with_a_hello_from_both_sides_and_an_answer() -> None:
    crowd = Crowd("a")
    crowd.add("b")
    assert [sync.kind for sync in syncs(crowd, "a", "b")][:2] == ["hello", "delta"]
    first, *_ = syncs(crowd, "b", "a")
    assert (first.kind, dict(first.rows), first.upto) == ("hello", {}, {})
    assert same_maps(crowd)


def test_nothing_is_said_where_nothing_happens() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", "x", "y")
    crowd.tick(3)
    for member in crowd.members.values():
        member.sent.clear()
    crowd.tick(8)
    assert all(not member.sent for member in crowd.members.values())


def test_a_write_goes_out_at_once_to_all_and_once_only() -> None:
    crowd = Crowd("a", "b", "c")
    for member in crowd.members.values():
        member.sent.clear()
    crowd.core("a").write_wants({f"c{i}": Want("nobody can", b"") for i in range(100)}, crowd.now)
    crowd.settle()
    assert [len(sync.rows) for sync in syncs(crowd, "a", "b")] == [100]
    assert [len(sync.rows) for sync in syncs(crowd, "a", "c")] == [100]
    assert [len(sync.rows) for sync in syncs(crowd, "b", "a")] == [0]  # the acknowledgement
    crowd.tick(4)
    assert all(not sync.rows for member in crowd.members.values() for _, sync in member.sent)


def test_what_a_peer_misses_is_passed_on_a_beat_later() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.held = {("a", "c")}
    crowd.want("a", "x", start="nobody can")
    assert "x" not in crowd.core("c").wants
    crowd.tick(2)
    assert "x" in crowd.core("c").wants


def test_many_claims_take_few_messages() -> None:
    """A thousand children for five nodes: wants, claims, starts, and their acknowledgements, a dozen messages on each way."""
    crowd = Crowd(*"abcde")
    for member in crowd.members.values():
        member.sent.clear()
    crowd.want("a", *(f"c{i}" for i in range(1000)))
    assert all(member.core.is_settled for member in crowd.members.values())
    messages = sum(len(member.sent) for member in crowd.members.values())
    assert messages <= 5 * 4 * 12
    assert sum(len(sync.rows) for member in crowd.members.values() for _, sync in member.sent) <= 4 * 4 * 1000


def test_a_big_delta_comes_in_parts_in_the_order_of_writing() -> None:
    crowd = Crowd("a")
    crowd.want("a", *(f"c{i:04}" for i in range(3 * CHUNK)), start="nobody can")
    crowd.add("b")
    parts = [sync for sync in syncs(crowd, "a", "b") if sync.rows]
    assert [len(part.rows) for part in parts[:3]] == [CHUNK] * 3
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    stamps = [max(row.stamp for row in part.rows.values()) for part in parts]
    assert stamps == sorted(stamps)
    assert same_maps(crowd)


def test_who_has_missed_collected_removals_gets_the_whole_map_in_parts() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", *(f"c{i:04}" for i in range(2 * CHUNK)), start="nobody can")
    crowd.unlink("a", "b")
    crowd["b"].liveness.refuse("a#1")
    crowd["a"].liveness.refuse("b#1")
    crowd.tick(2)
    crowd.remove("a", "c0001", "c0002")
    crowd.tick(2)
    assert not crowd.core("a")._store.tombstones()
    syncs(crowd, "a", "b")
    crowd.link("a", "b")
    crowd.settle()
    whole = [sync for sync in syncs(crowd, "a", "b") if sync.kind == "whole"]
    assert len(whole) >= 2
    assert [sync.more for sync in whole] == [True] * (len(whole) - 1) + [False]
    assert all(len(sync.rows) <= CHUNK for sync in whole)
    crowd.tick(4)
    assert "c0001" not in crowd.core("b").wants
    assert same_maps(crowd)


def test_a_whole_map_that_breaks_off_changes_nothing() -> None:
    crowd = Crowd("a", "b")
    core, peer = crowd.core("b"), crowd["a"].id
    stamp = Stamp(10_000_000, 0, "a#1")
    part = Sync({("want", "x"): Row(stamp, Want("A", b""))}, {"a#1": stamp[:2]}, {}, {}, "whole", True, 0)
    core.receive(peer, part, crowd.now)
    assert "x" not in core.wants
    crowd.unlink("a", "b")
    crowd.link("a", "b")
    crowd.settle()
    assert "x" not in core.wants
    assert same_maps(crowd)


def test_a_gap_is_answered_by_a_hello_and_closed() -> None:
    """A delta that starts later than what is known here must not be; yet it heals, and costs one hello."""
    crowd = Crowd("a", "b")
    crowd.want("a", "x")
    store = crowd.core("b")._store
    for key in [key for key, row in store.rows.items() if row.stamp.node == "a#1"]:
        store._drop(key)
    store.prune("a#1")
    syncs(crowd, "b", "a")
    crowd.want("a", "y")
    crowd.want("a", "z")
    assert [sync.kind for sync in syncs(crowd, "b", "a")].count("hello") == 1
    assert {"x", "y", "z"} <= crowd.core("b").wants.keys()
    crowd.tick(2)
    assert same_maps(crowd)


def test_unequal_digests_at_equal_versions_lead_to_a_whole_exchange() -> None:
    """A row that should be gone, or that is missing, is found by its digest; what one has removed, all remove."""
    crowd = Crowd("a", "b", "c")
    crowd.want("a", "x", "y", start="nobody can")
    crowd.tick(3)
    store = crowd.core("b")._store
    store._drop(("want", "x"))
    crowd.core("b").touch(crowd.now)
    crowd.tick(3)
    assert all("x" not in member.core.wants for member in crowd.members.values())
    assert all("y" in member.core.wants for member in crowd.members.values())
    assert same_maps(crowd)
    assert len({member.core._store.digest for member in crowd.members.values()}) == 1


def test_a_row_that_came_back_from_the_dead_is_found_too() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", "x", start="nobody can")
    row = crowd.core("b")._store.rows["want", "x"]
    crowd.remove("a", "x")
    crowd.tick(3)
    crowd.core("b")._store._set(("want", "x"), row)
    crowd.core("b").touch(crowd.now)
    assert "x" in crowd.core("b").wants
    crowd.tick(3)
    assert "x" not in crowd.core("b").wants
    assert same_maps(crowd)


def test_from_time_to_time_peers_compare_all_the_same() -> None:
    crowd = Crowd("a", "b", strategies=strategies(synchronization=PubSub(sync_interval=5.0)))
    crowd.tick(4)
    for member in crowd.members.values():
        member.sent.clear()
    crowd.tick(11)
    assert 2 <= len(syncs(crowd, "a", "b")) <= 3


@dataclass(frozen=True)
class OneAtATime:
    """A synchronization that tells one peer at once, in turn."""

    sync_interval: float = 100.0

    def targets(self, peers: list[str], round: int) -> list[str]:
        return [peers[round % len(peers)]]


def test_a_synchronization_may_tell_fewer() -> None:
    crowd = Crowd("a", "b", "c", "d", strategies=strategies(synchronization=OneAtATime()))
    crowd.tick(4)
    crowd.core("a").write_wants({"x": Want("nobody can", b"")}, crowd.now)
    crowd.settle()
    assert sum("x" in crowd.core(name).wants for name in "bcd") == 1
    crowd.tick(3)
    assert all("x" in crowd.core(name).wants for name in "bcd")


def test_tombstones_wait_for_all_known_and_linked() -> None:
    """A link is knowledge: while a linked peer has not said what it has, nothing is collected."""
    crowd = Crowd("a", "b")
    crowd.tick(3)
    crowd.want("a", "x", start="nobody can")
    crowd.add("c", linked=False)
    crowd.link("a", "c")
    crowd.held = {("c", "a")}
    crowd.remove("a", "x")
    crowd.tick(3)
    assert crowd.core("a")._store.tombstones() == 1
    crowd.held = set()
    crowd.tick(4)
    assert not crowd.core("a")._store.tombstones()


def test_writers_of_whom_nothing_is_left_are_dropped_from_the_version() -> None:
    crowd = Crowd("a", "b", "c", forget_after=10.0)
    crowd.core("c").depart(crowd.now)
    crowd.settle()
    crowd.kill("c")
    crowd.tick(5)
    assert all("c#1" in crowd.core(name)._store.version for name in "ab")
    crowd.tick(20)
    assert all("c#1" not in crowd.core(name)._store.version for name in "ab")
    assert all("c#1" not in crowd.core(name)._replication.acked for name in "ab")
    for member in crowd.members.values():
        member.sent.clear()
    crowd.tick(5)
    assert not crowd["a"].sent
    crowd.add("c")
    crowd.tick(3)
    assert same_maps(crowd)


def test_idle_writers_that_come_back_are_kept() -> None:
    crowd = Crowd("a", "b", forget_after=10.0)
    crowd.core("b").depart(crowd.now)
    crowd.settle()
    crowd.kill("b")
    crowd.tick(5)
    assert crowd.core("a")._replication._idle
    crowd.add("b")
    crowd.tick(12)
    assert set(crowd.core("a")._replication._idle) <= {"b#1"}
    assert "b#2" in crowd.core("a")._store.version


def test_held_by_counts_members_in_sight() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.held = {("a", "c")}
    stamp = crowd.core("a").write_wants({"x": Want("nobody can", b"")}, crowd.now)["x"]
    assert crowd.core("a").held_by(stamp) == 1
    crowd.settle()
    assert crowd.core("a").held_by(stamp) == 2
    crowd.held = set()
    crowd.settle()
    assert crowd.core("a").held_by(stamp) == 3


def test_what_a_whole_map_tells_of_removals_goes_on_as_a_whole_map() -> None:
    """A newcomer with stale news for another newcomer learns by a whole map what has gone: so must the other."""
    crowd = Crowd("a", "b")
    crowd.want("a", "x", "y", start="nobody can")
    crowd.tick(2)
    crowd.unlink("a", "b")
    for here, there in ("ab", "ba"):
        crowd[here].liveness.refuse(crowd[there].id)
        crowd.core(here).touch(crowd.now)
    crowd.settle()
    crowd.remove("a", "x")
    crowd.tick(2)
    assert crowd.core("a")._store.tombstones() == 0
    crowd.add("c", linked=False)
    crowd.link("b", "c")
    crowd.settle()
    assert "x" in crowd.core("c").wants
    crowd.link("a", "b")
    crowd.settle()
    assert "x" not in crowd.core("b").wants
    assert "x" not in crowd.core("c").wants
    assert "y" in crowd.core("c").wants


def test_what_is_not_taken_of_a_whole_map_is_asked_for_again() -> None:
    """It is left to its writer, who may die before it says so; and whose map it was holds it for told."""
    crowd = Crowd("a", "b", "c")
    crowd.held = {("c", "b")}
    crowd.want("c", "x", start="nobody can")
    crowd.core("a")._replication.show_all(crowd["b"].id)
    crowd.settle()
    assert "x" not in crowd.core("b").wants
    crowd.kill("c")
    crowd.tick(1)
    assert "x" in crowd.core("b").wants
    for member in crowd.members.values():
        member.sent.clear()
    crowd.tick(3)
    assert all(not member.sent for member in crowd.members.values())


def test_only_the_linked_are_told() -> None:
    crowd = Crowd("a", "b")
    crowd.want("a", "x")
    replication = crowd.core("a")._replication
    replication.tell("gone#1", [("want", "x")])
    replication.tell(crowd["b"].id, [("want", "x"), ("want", "never wanted")])
    assert {peer: link.passing for peer, link in replication.links.items()} == {crowd["b"].id: {crowd["a"].id}}


def test_the_unsettled_have_names() -> None:
    crowd = Crowd("a")
    crowd.core("a").write_wants({child: Want("nobody can", b"") for child in "yx"}, crowd.now)
    assert crowd.core("a").unsettled_children() == ["x", "y"]
