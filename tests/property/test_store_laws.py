"""The laws of join: any order, any repetition, the same map; and what a delta costs."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from tests.cluster.stores import Replica, merge_all, some_history

from hubkit.cluster.rows import Key, Want
from hubkit.cluster.stamps import HybridClock, Stamp
from hubkit.cluster.store import Store


@given(some_history())
def test_join_commutes_associates_and_repeats(replicas: list[Replica]) -> None:
    """Whatever the order in which three maps come together, and however often: the same map."""
    results = []
    for order in permutations(replicas[:3]):
        empty = Store(HybridClock("z#1"))
        for replica in [*order, *order]:
            empty.join(replica.store.rows, replica.store.version, {})
        results.append((empty.rows, empty.version, empty.digest))
    assert all(result == results[0] for result in results)


@given(some_history(), st.data())
def test_deltas_bring_what_whole_maps_bring(replicas: list[Replica], data: st.DataObject) -> None:
    """Any exchange of deltas, each since what the other has, ends in the same map as one of whole maps."""
    pairs = [(a, b) for a in replicas for b in replicas if a is not b]
    for a, b in data.draw(st.lists(st.sampled_from(pairs), max_size=12)):
        a.tell(b)
    merge_all(replicas)
    assert all(replica.store.rows == replicas[0].store.rows for replica in replicas)
    assert all(replica.store.version == replicas[0].store.version for replica in replicas)
    assert all(replica.store.digest == replicas[0].store.digest for replica in replicas)


@given(some_history(), st.data())
def test_collecting_tombstones_loses_nothing(replicas: list[Replica], data: st.DataObject) -> None:
    """Whoever has not seen a collected removal gets the whole map, and so learns of it all the same.

    (Here tombstones are even collected without asking everybody. What was written in ignorance of them may then stand here
    and not there, until digests are compared.)
    """
    first, *others = replicas
    known = data.draw(st.lists(st.sampled_from(replicas), unique_by=id))
    for replica in known:
        replica.tell(first)
        first.tell(replica)
        first.store.collect([other.store.version for other in known])
    merge_all(replicas)
    merge_all(replicas)
    alive = [{key: row for key, row in r.store.rows.items() if row.value is not None} for r in replicas]
    assert all(rows == alive[0] for rows in alive)
    assert all(replica.store.digest == first.store.digest for replica in others)


@given(some_history())
def test_removed_is_removed_unless_written_again(replicas: list[Replica]) -> None:
    """A want stands exactly if the last of its writings, by stamp, was no removal."""
    last: dict[Key, tuple[Stamp, bool]] = {}
    for replica in replicas:
        for key, stamp, removed in replica.writings:
            if stamp >= last.get(key, (stamp, True))[0]:
                last[key] = (stamp, removed)
    merge_all(replicas)
    for key, (_, removed) in last.items():
        assert (replicas[0].store.get(key) is None) is removed


@given(st.integers(1, 400), st.integers(0, 20))
def test_a_delta_costs_what_has_changed(before: int, after: int) -> None:
    """However much there is, a delta looks at what is new, and at one row more."""
    store = Store(HybridClock("a#1"))
    looked = []

    class Counting(dict):  # type: ignore[type-arg]  # of rows
        def __getitem__(self, key: object) -> object:
            looked.append(key)
            return super().__getitem__(key)

    for i in range(before):
        store.put(("want", f"c{i}"), Want("X", b""), 1.0)
    since = dict(store.version)
    for i in range(after):
        store.put(("want", f"c{i * 7 % before}"), Want("X", b"new"), 2.0)
    store.rows = Counting(store.rows)
    changed = len({i * 7 % before for i in range(after)})
    assert len(store.delta(since, ["a#1"])) == changed
    assert len(looked) <= changed + 1
