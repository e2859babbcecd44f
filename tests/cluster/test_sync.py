"""What travels between cores: there and back without loss, and nothing else gets in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.cluster.affinity import Placement
from hubkit.cluster.bounds import ERROR, LOAD, MOMENT, NAME, PINS, TEXT, WRITERS
from hubkit.cluster.rows import Key, NodeRow, Row, Run, Ticket, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Kind, Sync, from_wire, to_wire
from hubkit.errors import ProtocolViolation
from hubkit.pids import name_of

nodes = st.sampled_from(["a#1", "b#2", "c c#33", "d#e#4"])
texts = st.text(min_size=1, max_size=8)
moments = st.tuples(st.integers(0, 2**60), st.integers(0, 9))
revs = st.none() | st.builds(lambda m, n: Stamp(m[0], m[1], n), moments, nodes)
labels = st.dictionaries(texts, texts, max_size=2)
placements = st.none() | st.one_of(
    st.builds(Placement, labels),
    st.builds(Placement, labels, together=texts),
    st.builds(Placement, labels, apart=texts, slot=st.integers(0, 9)),
)
wants = st.builds(
    Want, texts, st.binary(max_size=8), st.none() | texts, st.lists(texts, max_size=2).map(tuple), revs, placements
)
runs = st.builds(
    Run,
    st.integers(0, 99),
    st.sampled_from(["claiming", "active", "released", "passive"]),
    st.none() | nodes,
    revs,
    st.sampled_from(["", "starting", "running", "failed"]),
    st.integers(0, 99),
    st.text(max_size=8),
    st.none() | st.builds(Ticket, st.integers(0, 99), st.integers(0, 99), nodes),
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Key, Row]:
    kind, node, moment = draw(st.sampled_from(["node", "want", "run"])), draw(nodes), draw(moments)
    removed = draw(st.booleans())
    if kind == "want":
        return ("want", draw(texts)), Row(Stamp(*moment, node), None if removed else draw(wants))
    writer = draw(nodes) if removed else node
    seen = draw(moments) if writer != node else None
    if kind == "run":
        return ("run", draw(texts), node), Row(Stamp(*moment, writer), None if removed else draw(runs), seen)
    row = NodeRow(name_of(node), draw(st.none() | texts), draw(st.sampled_from(["joining", "ready", "leaving"])),
                  tuple(draw(st.lists(texts, max_size=2))), draw(st.floats(0, LOAD)),
                  draw(st.floats(0.5, 9)), tuple(sorted(draw(labels).items())))  # fmt: skip
    return ("node", node), Row(Stamp(*moment, writer), None if removed else row, seen)


versions = st.dictionaries(nodes, moments, max_size=3)


@st.composite
def syncs(draw: st.DrawFn) -> Sync:
    kinds: list[Kind] = ["delta", "whole"]
    kind, digest, more = draw(st.sampled_from(kinds)), draw(st.integers(0, 2**64 - 1)), draw(st.booleans())
    rows = dict(draw(st.lists(entries(), max_size=4)))
    upto: dict[str, tuple[int, int]] = draw(versions)
    for row in rows.values():
        upto[row.stamp.node] = max(row.stamp[:2], upto.get(row.stamp.node, (0, 0)))
    return Sync(rows, upto, draw(versions), draw(versions), kind, more, digest)


def plain(value: Any) -> bool:
    if type(value) is list:
        return all(map(plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes)


@given(syncs())
def test_a_sync_comes_back_as_it_went(sync: Sync) -> None:
    wire = to_wire(sync)
    assert plain(wire)
    assert from_wire(wire) == sync


def test_a_hello_comes_back_as_it_went() -> None:
    sync = Sync({}, {}, {}, {"a#1": (5, 0)}, "hello", False, 7)
    assert from_wire(to_wire(sync)) == sync


def test_removals_come_back_as_they_went() -> None:
    """One's own, and those by others, which say how much they had seen."""
    own, foreign = Row(Stamp(5, 0, "a#1"), None), Row(Stamp(5, 1, "b#1"), None, (4, 4))
    for row in (own, foreign):
        rows: dict[Key, Row] = {
            ("node", "a#1"): row,
            ("run", "c", "a#1"): row._replace(stamp=row.stamp._replace(tick=7)),
        }
        sync = Sync(rows, {"a#1": (9, 9), "b#1": (9, 9)}, {}, {}, "delta", False, 7)
        assert from_wire(to_wire(sync)) == sync


NODE = [5, 0, 0, 0, "a", None, 1, 0.0, 2.0, ["disk", "ssd", "zone", "eu"], "A"]
WANT = [5, 0, 0, "c", "A", b"", None, None, [["zone", "eu"], None, "k", 3], "a"]
RUN = [5, 0, 0, "c", 0, 1, 1, None, None, 2, 3, "", None]
FINE: list[Any] = [1, False, 0, ["a#1", "b#1"], [0, 9, 9], [], [], [NODE], [WANT], [RUN]]


def spoiled(*path: int, to: Any) -> list[Any]:
    """The fine message with one item replaced (or, for an index past the end, added)."""

    def spoil(value: list[Any], rest: tuple[int, ...]) -> list[Any]:
        copy = list(value)
        here = to if len(rest) == 1 else spoil(copy[rest[0]], rest[1:])
        copy[rest[0] : rest[0] + 1] = [here]
        return copy

    return spoil(FINE, path)


def test_the_fine_message_is_fine() -> None:
    sync = from_wire(FINE)
    assert set(sync.rows) == {("node", "a#1"), ("want", "c"), ("run", "c", "a#1")}
    assert to_wire(sync)[7:] == FINE[7:]


@pytest.mark.parametrize(
    "message",
    [
        None,
        "text",
        [],
        FINE[:9],
        tuple(FINE),
        spoiled(0, to=3),  # no such kind
        spoiled(0, to=8),  # nor such a vote
        spoiled(0, to=-1),
        spoiled(0, to=True),
        spoiled(1, to=1),  # more is a bool
        spoiled(2, to=2**64),
        spoiled(2, to=-1),
        spoiled(3, to=None),  # the table
        spoiled(3, to=["a#1", "a#1"]),
        spoiled(3, 0, to=1),
        spoiled(3, 0, to="a"),
        spoiled(3, 0, to="a#x"),
        spoiled(3, 0, to="#11"),
        spoiled(3, 0, to="a#\u00b2"),
        spoiled(3, 0, to="a" * 400 + "#1"),
        spoiled(4, to=None),  # versions
        spoiled(4, to=[0, 9]),
        spoiled(4, to=[0, 9, 9, 0, 9, 9]),
        spoiled(4, to=[2, 9, 9]),
        spoiled(4, to=[0, 9, -1]),
        spoiled(4, to=[0, 9, 2**31]),  # more ticks than a millisecond has
        spoiled(9, 0, 1, to=2**31),
        spoiled(4, to=[0, 4, 9]),  # does not cover its rows
        spoiled(4, to=[1, 9, 9]),
        spoiled(7, to=None),  # nodes
        spoiled(7, 0, to=None),
        spoiled(7, 0, to=[]),
        spoiled(7, 0, to=[5, 0, 0, 7]),
        spoiled(7, 0, to=[5, 0, 0, 1]),  # buried, and not said how far
        spoiled(7, 0, to=[5, 0, 0, 0, 1, 1]),  # its own, and yet buried
        spoiled(7, 0, to=[5, 0, 0, 1, -1, 0]),
        spoiled(7, 0, 0, to=-5),
        spoiled(7, 0, 2, to=1),  # written by another
        spoiled(7, 0, 4, to="b"),  # another's name
        spoiled(7, 0, 6, to=3),
        spoiled(7, 0, 6, to=-1),
        spoiled(7, 0, 7, to=0),
        spoiled(7, 0, 7, to=float("nan")),
        spoiled(7, 0, 8, to=5),  # the weight
        spoiled(7, 0, 8, to=0.0),
        spoiled(7, 0, 8, to=-1.0),
        spoiled(7, 0, 8, to=float("nan")),
        spoiled(7, 0, 8, to=float("inf")),
        spoiled(7, 0, 9, to=None),  # the labels
        spoiled(7, 0, 9, to=["zone"]),
        spoiled(7, 0, 9, to=["zone", 1]),
        spoiled(7, 0, 9, to=["zone", ""]),
        spoiled(7, 0, 9, to=["zone", "eu", "disk", "ssd"]),  # not in the order in which all write them
        spoiled(7, 0, 9, to=["zone", "eu", "zone", "us"]),
        spoiled(7, 0, 10, to=5),
        spoiled(8, to={}),  # wants
        spoiled(8, 0, to=5),
        spoiled(8, 0, 1, to=-1),
        spoiled(8, 0, 3, to=""),
        spoiled(8, 0, 3, to="x" * 256),
        spoiled(8, 0, 5, to="text"),
        spoiled(8, 0, 6, to=0),
        spoiled(8, 0, 7, to=[1, 2]),
        spoiled(8, 0, 7, to=[1, 2, 9]),
        spoiled(8, 0, 8, to=0),  # what it asks of its nodes
        spoiled(8, 0, 8, to=[]),
        spoiled(8, 0, 8, to=[[], None, None, 0, 0]),
        spoiled(8, 0, 8, to=[[], "k", "k", 0]),
        spoiled(8, 0, 8, to=[[], None, None, 1]),
        spoiled(8, 0, 8, to=[[], None, "k", -1]),
        spoiled(8, 0, 8, to=[[], 5, None, 0]),
        spoiled(8, 0, 8, to=[["zone", 1], None, None, 0]),
        spoiled(8, 0, 8, to=[None, None, None, 0]),
        spoiled(8, 0, 9, to=0),
        spoiled(8, 0, to=[5, 0, 0]),
        spoiled(8, to=[WANT, WANT]),
        spoiled(9, to=None),  # runs
        spoiled(9, 0, to=None),
        spoiled(9, 0, 2, to=1),
        spoiled(9, 0, 3, to=""),
        spoiled(9, 0, 4, to=9),
        spoiled(9, 0, 5, to=-1),
        spoiled(9, 0, 6, to=-1),
        spoiled(9, 0, 6, to=4),
        spoiled(9, 0, 7, to=5),
        spoiled(9, 0, 9, to=-1),
        spoiled(9, 0, 10, to=-1),
        spoiled(9, 0, 11, to=None),
        spoiled(9, 0, 12, to=[1]),
        spoiled(9, 0, 12, to=[1, -1, 0]),
        spoiled(9, 0, 12, to=[1, 1, 9]),
        spoiled(9, 0, to=[5, 0, 0, "c", 1]),
        spoiled(9, 0, to=[5, 0, 0, "c", 0, 1, 1]),
        spoiled(9, 0, to=[5, 0, 0, "c", 1, 1, -1]),
        [0, *FINE[1:]],  # a hello with rows
        [0, True, *FINE[2:4], [], [], [], [], [], []],
    ],
    ids=repr,
)
def test_whatever_is_not_a_sync_is_refused(message: object) -> None:
    with pytest.raises(ProtocolViolation, match="not a sync"):
        from_wire(message)


@pytest.mark.parametrize(
    ("path", "most", "more"),
    [
        ((8, 0, 4), "x" * TEXT, "x" * (TEXT + 1)),  # the actor's name
        ((8, 0, 6), "x" * NAME, "x" * (NAME + 1)),  # the tag
        ((8, 0), [*WANT[:9], *["a"] * PINS], [*WANT[:9], *["a"] * (PINS + 1)]),
        ((8, 0, 7), [MOMENT - 1, 0, 0], [MOMENT, 0, 0]),
        ((9, 0, 5), MOMENT - 1, MOMENT),  # the term
        ((9, 0, 10), MOMENT - 1, MOMENT),  # the serial
        ((9, 0, 11), "x" * ERROR, "x" * (ERROR + 1)),
        ((9, 0, 12), [MOMENT - 1, 1, 0], [MOMENT, 1, 0]),  # the ticket
        ((9, 0, 12), [1, MOMENT - 1, 0], [1, MOMENT, 0]),
        ((3,), ["a#1", *(f"b#{n}" for n in range(1, WRITERS))], ["a#1", *(f"b#{n}" for n in range(WRITERS))]),
    ],
    ids=["start", "tag", "pins", "rev", "term", "serial", "error", "ticket", "offer", "nodes"],
)  # fmt: skip
def test_everything_has_a_bound_and_what_is_at_the_bound_is_fine(path: tuple[int, ...], most: Any, more: Any) -> None:
    sync = from_wire(spoiled(*path, to=most))
    assert from_wire(to_wire(sync)) == sync
    with pytest.raises(ProtocolViolation, match="not a sync"):
        from_wire(spoiled(*path, to=more))


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=12),
    max_leaves=30,
)


@given(st.integers(0, 9), junk)
def test_no_junk_does_anything_else_than_being_refused(place: int, value: object) -> None:
    message = [*FINE[:place], value, *FINE[place + 1 :]]
    try:
        sync = from_wire(message)
    except ProtocolViolation:
        return
    assert from_wire(to_wire(sync)) == sync
