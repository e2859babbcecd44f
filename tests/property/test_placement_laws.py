"""Where children belong: minimal movement, an even spread, and children that come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hubkit.cluster.placement import Placement
from hubkit.cluster.rows import NodeRow, Want
from hubkit.pids import node_id
from hubkit.strategies import ChildView, ConsistentHashing, NodeView, Placer, Singularity

names = st.sets(st.sampled_from("abcdefghij"), min_size=1)
pins = st.lists(st.sampled_from("abcdefghij"), max_size=3, unique=True).map(tuple)
ids = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=30, unique=True)
hashing = ConsistentHashing()


def views(chosen: set[str]) -> list[NodeView]:
    return [NodeView(name, 0.0, ("A",)) for name in sorted(chosen)]


def place(child: str, chosen: set[str], copies: int = 1, pinned: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(hashing.place(ChildView(child, "A", None, pinned), views(chosen), copies))


@given(ids, names, st.sampled_from("klm"))
def test_when_a_node_joins_children_move_only_to_it(children: list[str], before: set[str], newcomer: str) -> None:
    for child in children:
        assert place(child, before | {newcomer}) in (place(child, before), (newcomer,))


@given(ids, names, st.data())
def test_when_a_node_leaves_only_its_children_move(children: list[str], before: set[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(before)))
    for child in children:
        if place(child, before) != (gone,):
            assert place(child, before - {gone}) == place(child, before)


@given(ids, names, st.integers(1, 4), pins)
def test_copies_are_on_different_nodes_and_fewer_are_the_first_of_more(
    children: list[str], chosen: set[str], copies: int, pinned: tuple[str, ...]
) -> None:
    for child in children:
        owners = place(child, chosen, copies, pinned)
        assert len(owners) == len(set(owners)) == min(copies, len(chosen))
        assert set(owners) <= chosen
        assert place(child, chosen, copies + 1, pinned)[: len(owners)] == owners


@given(ids, names, pins)
def test_pins_come_first_while_those_nodes_are_ready(
    children: list[str], chosen: set[str], pinned: tuple[str, ...]
) -> None:
    wanted = [name for name in pinned if name in chosen]
    for child in children:
        assert list(place(child, chosen, len(wanted), pinned)) == wanted
        if not wanted:
            assert place(child, chosen, 1, pinned) == place(child, chosen)


def test_the_spread_is_even() -> None:
    """With 10,000 children on 10 nodes the fullest has less than 1.07 times the mean, on 50 less than 1.2 times."""
    for count, limit in ((10, 1.07), (50, 1.2)):
        chosen = {f"node-{i}" for i in range(count)}
        load = Counter(place(f"child-{i}", chosen)[0] for i in range(10_000))
        assert max(load.values()) / (10_000 / count) < limit
        assert len(load) == count


def test_nowhere_to_go() -> None:
    assert place("c", set()) == ()
    assert place("c", set(), 2, ("a",)) == ()


class _Lazy:
    """A distribution without the shortcut."""

    def place(self, child: ChildView, nodes: list[NodeView], copies: int) -> list[str]:
        return [node.name for node in nodes][:copies]


class _Growing:
    def copies(self, nodes: int) -> int:
        return max(1, nodes - 1)


changes = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 2), st.booleans()), max_size=10)


@given(changes, st.sampled_from([hashing, _Lazy()]), st.sampled_from([Singularity(), _Growing()]))
def test_what_is_remembered_is_what_would_be_answered(
    steps: list[tuple[str, int, bool]], distribution: ConsistentHashing, redundancy: Singularity
) -> None:
    """After any joins, leaves, restarts, and changes of what nodes can start: owners as a fresh placement names them."""
    wants = {f"c{i}": Want("A" if i % 3 else "B", b"", pins=("a",) if i % 4 == 0 else ()) for i in range(20)}
    old = Placement(distribution, redundancy)
    ready: dict[str, NodeRow] = {}
    for name, boot, both in steps:
        ready = {node: row for node, row in ready.items() if row.name != name}
        if boot:
            ready[node_id(name, boot)] = NodeRow(name, None, "ready", ("A", "B") if both else ("A",), load=boot / 10)
        before = {child: old.heir(child, want) for child, want in wants.items()}
        moved = old.update(ready)
        fresh = Placement(distribution, redundancy)
        fresh.update(ready)
        for child, want in wants.items():
            assert old.owners(child, want) == fresh.owners(child, want)
            if old.heir(child, want) != before[child]:
                assert child in moved


def test_a_restarted_node_gets_its_children_back() -> None:
    placement = Placement(hashing, Singularity())
    rows = {node_id(name, 1): NodeRow(name, None, "ready", ("A",)) for name in "abc"}
    want = Want("A", b"")
    placement.update(rows)
    before = {f"c{i}": placement.heir(f"c{i}", want) for i in range(50)}
    del rows["b#1"]
    placement.update(rows)
    assert "b#1" not in {placement.heir(child, want) for child in before}
    rows["b#2"] = NodeRow("b", None, "ready", ("A",))
    placement.update(rows)
    after = {child: placement.heir(child, want) for child in before}
    assert after == {child: "b#2" if heir == "b#1" else heir for child, heir in before.items()}


def test_a_change_asks_only_about_those_it_concerns() -> None:
    asked: list[str] = []

    class Noting:
        def __init__(self, placer: Placer) -> None:
            self.movers = placer.movers
            self._place = placer.place

        def place(self, child: ChildView, copies: int) -> Sequence[str]:
            asked.append(child.id)
            return self._place(child, copies)

    class Counting(ConsistentHashing):
        def prepare(self, nodes: Sequence[NodeView]) -> Placer:
            return Noting(super().prepare(nodes))

    placement, want = Placement(Counting(), Singularity()), Want("A", b"")
    rows = {node_id(name, 1): NodeRow(name, None, "ready", ("A",)) for name in "abcde"}
    placement.update(rows)
    heirs = {f"c{i}": placement.heir(f"c{i}", want) for i in range(500)}
    asked.clear()
    del rows["c#1"]
    moved = placement.update(rows)
    for child in heirs:
        placement.heir(child, want)
    lost = {child for child, heir in heirs.items() if heir == "c#1"}
    assert set(asked) == set(moved) == lost
    assert set(moved.values()) == {"c"}
