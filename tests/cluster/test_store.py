"""The map, by example; its laws are in tests/property."""

from __future__ import annotations

from tests.cluster.stores import Replica

from hubkit.cluster.rows import Key, NodeRow, Row, Run, Want, stands
from hubkit.cluster.stamps import TICKS, HybridClock, Stamp, covers, includes
from hubkit.cluster.store import Store

WANT = Want("A", b"")


def test_a_clock_goes_on_whatever_the_wall_says() -> None:
    clock = HybridClock("a#1", offset=10.0)
    one, two = clock.next(1.0), clock.next(1.0)
    assert one == (11_000, 0, "a#1")
    assert two == (11_000, 1, "a#1")
    assert clock.next(0.5) > two  # backwards
    clock.witness((50_000, 3))
    clock.witness((40_000, 0))
    assert clock.next(2.0) == (50_000, 4, "a#1")
    assert clock.wall_ms(2.0) == 12_000
    clock.witness((50_000, TICKS - 1))
    assert clock.next(2.0) == (50_001, 0, "a#1")  # ticks are bounded; time is not


def test_versions_cover_what_they_have_seen() -> None:
    version = {"a#1": (5, 1)}
    assert covers(version, Stamp(5, 1, "a#1"))
    assert not covers(version, Stamp(5, 2, "a#1"))
    assert not covers(version, Stamp(1, 0, "b#1"))
    assert includes(version, {"a#1": (4, 9)})
    assert not includes(version, {"b#1": (0, 0)})


def test_writing_reading_and_removing() -> None:
    store = Store(HybridClock("a#1"))
    assert store.get(("want", "c")) is None
    store.put(("want", "c"), WANT, 1.0)
    assert store.get(("want", "c")) == WANT
    assert store.digest != 0
    store.put(("want", "c"), None, 2.0)
    assert store.get(("want", "c")) is None
    assert (store.digest, store.tombstones()) == (0, 1)
    assert list(store.writers()) == ["a#1"]
    assert store.collect([]) == 1
    assert (store.rows, store.tombstones(), list(store.writers())) == ({}, 0, [])
    assert store.horizon == store.version


def test_a_tombstone_stays_until_all_have_seen_it() -> None:
    store = Store(HybridClock("a#1"))
    for i, child in enumerate("xyz"):
        store.put(("want", child), None, float(i))
    assert store.collect([{"a#1": (1000, 0)}, dict(store.version)]) == 2
    assert list(store.rows) == [("want", "z")]
    assert store.collect([{}]) == 0
    assert not store.reaches_horizon({"a#1": (500, 0)})
    assert store.reaches_horizon({"a#1": (1000, 0)})


def test_a_delta_that_starts_too_late_is_left_alone() -> None:
    a, b, c = Replica("a#1"), Replica("b#1"), Replica("c#1")
    a.want("x")
    since = dict(a.store.version)
    a.want("y")
    c.want("z")
    rows = a.store.delta(since, ["a#1"]) | c.store.delta({}, ["c#1"])
    upto = a.store.version | c.store.version
    assert b.store.join(rows, upto, since, whole=True) == ["a#1"]
    assert (b.store.rows, b.store.version) == ({}, {})
    gaps = b.store.join(rows, upto, since)
    assert gaps == ["a#1"]
    assert list(b.store.rows) == [("want", "z")]
    assert b.store.version == c.store.version


def test_absent_from_a_whole_and_covered_by_it_is_removed() -> None:
    a, b = Replica("a#1"), Replica("b#1")
    a.want("x")
    a.want("y")
    a.tell(b)
    b.want("mine")
    a.want("x", removed=True)
    a.store.collect([])
    a.tell(b)
    assert set(b.store.rows) == {("want", "y"), ("want", "mine")}
    assert not b.store.reaches_horizon({})  # b cannot tell others of that removal by a delta either


def test_nobody_has_forgotten_removals_that_he_has_not_seen() -> None:
    """Of a whole map less may be taken than its sender has seen: then the horizon ends where that ends."""
    a, b = Replica("a#1"), Replica("b#1")
    a.want("x")
    seen = dict(a.store.version)
    a.now += 1
    a.want("y", removed=True)
    a.store.collect([])
    b.store.join_whole(a.store.rows, seen, a.store.horizon | {"c#1": (1, 0)})
    assert b.store.horizon == b.store.version == seen


def test_what_others_remove_is_what_they_have_seen() -> None:
    """b removes what it knows of a dead node; what that wrote last, and b never saw, stands wherever it was seen."""
    a, b, c = Replica("a#1"), Replica("b#1", 60.0), Replica("c#1")
    a.run("x", 1)
    a.tell(b)
    a.now += 1
    a.run("x", 2)
    a.tell(c)
    b.bury("x", "a#1")
    b.tell(c)
    c.tell(b)
    for replica in (b, c):
        row = replica.store.get(("run", "x", "a#1"))
        assert isinstance(row, Run)
        assert row.term == 2
    b.bury("x", "a#1")
    b.tell(c)
    assert c.store.get(("run", "x", "a#1")) is None


def test_of_two_removals_by_others_the_better_informed_stands() -> None:
    key: Key = ("run", "c", "a#1")
    early = Row(Stamp(9, 0, "b#1"), None, (1, 0))
    late = Row(Stamp(5, 0, "c#1"), None, (2, 0))
    own = Row(Stamp(2, 0, "a#1"), None)
    assert stands(key, late, early)
    assert not stands(key, early, late)
    assert stands(key, late, own)
    assert stands(key, own, early)


def test_both_have_seen_both_and_yet_differ() -> None:
    """Only a tombstone that was collected too early can do that; a whole map settles it by the order of the rows."""
    a, b = Replica("a#1"), Replica("b#1")
    b.want("x")
    b.want("later")
    a.now += 1
    a.want("x", removed=True)
    a.store.collect([])  # b should have been asked
    b_before, b_since = b.store.delta({}, ["b#1"]), dict(b.store.version)
    b.store.join({("want", "x"): Row(Stamp(1_001_000, 0, "a#1"), None)}, a.store.version, {})
    a.store.join(b_before, b_since, {})
    assert a.store.version == b.store.version
    assert a.store.digest != b.store.digest
    assert a.store.get(("want", "x")) is not None
    a.store.join_whole(b.store.rows, b.store.version, b.store.horizon)
    assert a.store.get(("want", "x")) is None
    assert a.store.digest == b.store.digest
    assert list(a.store.delta({}, ["a#1"])) == [("want", "x")]


def test_pruning_takes_only_writers_of_whom_nothing_is_left() -> None:
    a, b = Replica("a#1"), Replica("b#1")
    a.want("x")
    a.tell(b)
    assert not b.store.prune("a#1")
    a.want("x", removed=True)
    a.tell(b)
    b.store.collect([])
    assert b.store.prune("a#1")
    assert (b.store.version, b.store.horizon) == ({}, {})
    assert not b.store.prune("a#1") or b.store.version == {}


def test_the_values_of_rows_are_values() -> None:
    assert NodeRow("a", None, "ready", ("A",)) == NodeRow("a", None, "ready", ("A",), 0.0)
    assert Run(1, "active")._replace(phase="running").phase == "running"
