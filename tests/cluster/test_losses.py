"""Who is lost, and since when."""

from __future__ import annotations

from hubkit.cluster.losses import Losses
from hubkit.cluster.rows import NodeRow
from hubkit.cluster.stamps import HybridClock
from hubkit.cluster.store import Store
from hubkit.pids import name_of


def rows(*nodes: str) -> dict[str, NodeRow]:
    return {node: NodeRow(name_of(node), None, "ready", ()) for node in nodes}


def test_the_silent_are_lost_until_they_are_back() -> None:
    losses = Losses(Store(HybridClock("a#1")))
    nodes = rows("a#1", "b#1", "c#1")
    assert losses.look(nodes, frozenset({"a#1", "b#1", "c#1"}), 1.0) == ()
    assert losses.look(nodes, frozenset({"a#1", "b#1"}), 5.0) == (("c", 5.0),)
    assert losses.look(nodes, frozenset({"a#1"}), 6.0) == (("b", 6.0), ("c", 5.0))
    assert losses.look(nodes, frozenset({"a#1", "c#1"}), 7.0) == (("b", 6.0),)


def test_another_life_of_it_brings_it_back() -> None:
    losses = Losses(Store(HybridClock("a#1")))
    losses.look(rows("a#1", "b#1"), frozenset({"a#1"}), 1.0)
    assert losses.look(rows("a#1", "b#1", "b#2"), frozenset({"a#1", "b#2"}), 2.0) == ()


def test_who_was_removed_by_others_is_lost_and_who_left_is_not() -> None:
    store = Store(HybridClock("a#1"))
    losses = Losses(store)
    losses.look(rows("a#1", "b#1", "c#1"), frozenset({"a#1", "b#1", "c#1"}), 1.0)
    store.put(("node", "b#1"), None, 2.0)  # a removes b
    assert losses.look(rows("a#1"), frozenset({"a#1"}), 3.0) == (("b", 3.0),)  # c has removed itself
    assert losses.look(rows("a#1"), frozenset({"a#1"}), 3603.0) == (("b", 3.0),)
    assert losses.look(rows("a#1"), frozenset({"a#1"}), 3604.0) == ()
