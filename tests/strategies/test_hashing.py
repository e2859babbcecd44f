"""Rendezvous hashing: the quick answers are the plain ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubkit.strategies import NodeView
from hubkit.strategies.hashing import Field, _greatest, _numbers, _ones, _pack, digest, number, rank, score

numbers = st.integers(0, 2**64 - 1)
weights = st.sampled_from([0.5, 1.0, 2.0, 3.5])
views = st.dictionaries(st.text(max_size=4), weights, min_size=1, max_size=12).map(
    lambda found: [NodeView(name, weight=weight) for name, weight in sorted(found.items())]
)
ids = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=20)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9))
def test_lanes_do_what_plain_arithmetic_does(pairs: list[tuple[int, int]]) -> None:
    lanes = _pack([node ^ child for node, child in pairs])
    assert _numbers(lanes, len(pairs)) == [number(node, child) for node, child in pairs]


@given(st.lists(numbers, min_size=1, max_size=9))
def test_the_greatest_lane_is_found_by_its_first_bytes(drawn: list[int]) -> None:
    lanes = _pack(drawn).to_bytes(16 * len(drawn), "little")
    assert drawn[_greatest(lanes, lanes[7::16])] == max(drawn)


def test_a_tie_in_the_first_byte_is_broken_by_the_rest() -> None:
    drawn = [7 << 56, 200 << 56 | 5, 200 << 56 | 6, 200 << 56]
    lanes = _pack(drawn).to_bytes(64, "little")
    assert _greatest(lanes, lanes[7::16]) == 2


@given(ids, views)
def test_the_best_is_the_first_of_the_ranking(children: list[str], nodes: list[NodeView]) -> None:
    field = Field(nodes)
    for child in children:
        assert field.best(child) == rank(child, nodes)[0] == field.rank(child)[0]


@given(ids, views, st.data())
def test_none_that_is_overtaken_is_missed(children: list[str], nodes: list[NodeView], data: st.DataObject) -> None:
    new = data.draw(st.lists(st.sampled_from(nodes), unique_by=lambda view: view.name))
    old = [view for view in nodes if view not in new]
    if not old:
        return
    lasts = [rank(child, old)[0] for child in children]
    moved = [at for at, child in enumerate(children) if rank(child, nodes)[0] != lasts[at]]
    assert Field(nodes).overtaken(children, lasts, [view.name for view in new]) == moved


def test_many_are_compared_in_batches() -> None:
    nodes = [NodeView(name) for name in "abc"]
    children = [f"c{i}" for i in range(9000)]
    lasts = [rank(child, nodes[:2])[0] for child in children]
    found = Field(nodes).overtaken(children, lasts, ["c"])
    assert found == [at for at, child in enumerate(children) if rank(child, nodes)[0] == "c"]


def test_no_number_is_without_a_score() -> None:
    assert 0.0 < score(0, 1.0) < score(2**63, 1.0) < score(2**64 - 1, 1.0) < 1e17
    assert score(2**63, 2.0) == 2 * score(2**63, 1.0)


def test_todays_places_are_tomorrows() -> None:
    """Nodes of two releases meet in one hub: what a name hashes to is part of the protocol."""
    assert digest("child-1") == 0xC072E38A9328187D
    assert number(1, 2) == 0x514016B472A02617
    equal = [NodeView(name) for name in "abcde"]
    assert "".join(rank(f"child-{i}", equal)[0] for i in range(12)) == "cbedeebcccbc"
    weighted = [NodeView(name, weight=weight) for name, weight in (("a", 1), ("b", 2), ("c", 3))]
    assert "".join(rank(f"child-{i}", weighted)[0] for i in range(12)) == "cbcbbcbcccbc"
    assert _ones(2) == 1 | 1 << 128
