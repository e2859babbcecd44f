"""Values of very many parts: read as what they were, never much of them in one go, and refused when they are malformed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hubkit
from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net import cbor, lengthy
from hubkit.net.cargo import BLOB, Cargo
from hubkit.net.lengthy import MANY, Slices, exhaust, is_long
from hubkit.net.payload import Payloads

PAYLOADS = Payloads()


@hubkit.message
@dataclass(frozen=True)
class Shelf:
    """A message of many parts."""

    name: str
    goods: list[Any]


@hubkit.message
@dataclass(frozen=True)
class Even:
    """Refuses what is odd."""

    goods: list[Any]

    def __post_init__(self) -> None:
        if len(self.goods) % 2:
            raise ValueError("odd")


def finely(patch: pytest.MonkeyPatch) -> None:
    """Everything is many, and a slice is small."""
    for name, value in (("_SLICE", 3), ("_TEXT", 5), ("LONG_TEXT", 5)):
        patch.setattr(lengthy, name, value)
    patch.setattr("hubkit.net.payload.LONG_TEXT", 5)
    patch.setattr("hubkit.net.payload.BLOB", 8)


leaves = st.none() | st.integers() | st.text(max_size=40) | st.binary(max_size=20) | st.dates() | st.booleans()
keys = st.integers(0, 99) | st.text(max_size=30) | st.tuples(st.integers(), st.text(max_size=3))
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.frozensets(st.integers(), max_size=6)
        | st.builds(Shelf, st.text(max_size=3), st.lists(inner, max_size=6))
    ),
    max_leaves=40,
)


def kinds(value: Any) -> Any:
    """The types of a value, all the way down. (The order of a set is nobody's promise.)"""
    if isinstance(value, Shelf):
        return [Shelf, kinds(value.goods)]
    if isinstance(value, dict):
        return [dict, [(kinds(key), kinds(item)) for key, item in value.items()]]
    return [type(value), *map(kinds, value)] if isinstance(value, list | tuple) else type(value)


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_value_is_read_as_what_it_was(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        finely(patch)
        data = exhaust(PAYLOADS.pack_slowly([value]))
        assert isinstance(data, Cargo)
        assert is_long(data.head)
        read = PAYLOADS.loads(data)
    assert read == [value]
    assert kinds(read) == kinds([value])


def driven(slices: Slices, between: Callable[[], object]) -> Any:
    """What comes of it, with something else after each slice."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value
        between()


def weights(head: bytes) -> list[int]:
    """How many parts are in each array of a head, all the way down."""

    def count(plain: Any) -> int:
        return 1 + sum(map(count, plain)) if type(plain) is list else 1

    sequence, found = cbor.Sequence(BytesIO(head)), []
    while True:
        try:
            found.append(count(sequence.next()))
        except ProtocolViolation:
            return found


@pytest.mark.parametrize(
    "value",
    [
        list(range(3 * MANY)),
        [[n, str(n)] for n in range(MANY)],
        [[[[n] * 10] * 10] * 10 for n in range(30)],
        {n: {n: (n, n)} for n in range(MANY)},
        ["x" * 700] * (2 * MANY),
        ["x" * (30 << 20)],
        Shelf("wide", [date(2026, 1, 2)] * (2 * MANY)),
        [bytes([n % 256]) * BLOB if n % 100 == 0 else n for n in range(2 * MANY)],
    ],
    ids=["list", "pairs", "nested", "dicts", "texts", "text", "message", "blobs"],
)
def test_nothing_of_it_is_taken_in_one_go(value: Any) -> None:
    assert PAYLOADS.pack(value) is None
    turns: list[int] = []
    data = driven(PAYLOADS.pack_slowly(value), lambda: turns.append(0))
    assert len(turns) > 5
    assert data == PAYLOADS.pack_now(value)
    assert isinstance(data, Cargo)
    assert max(weights(data.head)) < 10_000
    assert PAYLOADS.loads(data) == value


def test_a_set_is_written_in_one_go_in_an_order_of_its_own() -> None:
    value = {str(n) for n in range(2 * MANY)}
    assert PAYLOADS.pack(value) is None
    for whole in (value, [1, value]):
        data = PAYLOADS.pack_now(whole)
        assert isinstance(data, Cargo)
        assert PAYLOADS.loads(data) == whole
    other: set[str] = set()
    for part in sorted(value):
        other.add(part)  # one after the other, so that it is laid out otherwise
    assert PAYLOADS.pack_now(value) == PAYLOADS.pack_now(other)


def test_what_changes_meanwhile_breaks_nothing() -> None:
    value = {n: [n] * 5 for n in range(MANY)}

    def change() -> None:
        if len(value) > MANY + 100:
            value.clear()
        else:
            value[-len(value) - 1] = []

    data = driven(PAYLOADS.pack_slowly([value]), change)
    assert len(PAYLOADS.loads(data)[0]) >= MANY


def test_others_may_be_written_and_read_in_between() -> None:
    value = [bytes(BLOB) if n % 10 else n for n in range(2 * MANY)]
    other = [bytes(100 * BLOB)]

    def interfere() -> None:
        assert PAYLOADS.loads(PAYLOADS.pack_now(other)) == other

    data = driven(PAYLOADS.pack_slowly(value), interfere)
    assert driven(PAYLOADS.load_slowly(data), interfere) == value


def test_what_cannot_travel_says_so_there_as_well() -> None:
    with pytest.raises(NotSerializable, match="object"):
        PAYLOADS.pack_now([*range(2 * MANY), object()])
    endless: list[Any] = [0] * (2 * MANY)
    endless.append(endless)
    with pytest.raises(NotSerializable, match="contains itself"):
        PAYLOADS.pack_now(endless)
    with pytest.raises(NotSerializable, match="at most 1,073,741,824 bytes"):
        PAYLOADS.pack_now([bytes(600 << 20), bytes(600 << 20), *range(2 * MANY)])


def colliding(n: int) -> bytes:
    """Large integers, of one hash each."""
    return ((n + 40) * ((1 << 61) - 1)).to_bytes(9, "big", signed=True)


def long(*items: Any) -> Cargo:
    return Cargo(b"".join(map(cbor.encode, items)))


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([[-1, 0, 1]], "not valid here"),
        ([[-1, 0, -1]], "malformed"),
        ([[-1, 0, True]], "malformed"),
        ([[-1, "0", 1]], "malformed"),
        ([[-1, 0, 1], []], "malformed"),
        ([[-1, 0, 1], [0]], "malformed"),
        ([[-1, 0, 1], [1, 1]], "malformed"),
        ([[-1, 0, 1], 5], "malformed"),
        ([[-1, 0, 1], [0, 1, 2]], "a part too many"),
        ([[-1, 0, 1], [0, 1], [0, 1]], "bytes follow"),
        ([[-1, 0, 1], [0, [99]]], "unknown kind"),
        ([[-1, 99, 1], [0, 1]], "a long one of an unknown kind"),
        ([[-1, 3, 1], [0, 1]], "a long one of an unknown kind"),
        ([[-1, 0, 1]] * 65, "premature end"),
        ([[-1, 0, 1]] * 66, "malformed"),
        ([*[[-1, 0, 1]] * 65, [0, [0]]], "nested deeper than 64"),
        ([[-1, 2, 1], [0, 1]], "a key too many"),
        ([[-1, 2, 4], [0, 1, 2, 1, 2]], "a key twice"),
        ([[-1, 2, 2], [0, [0, 1], 2]], "unhashable"),
        ([[-1, 2, 66], [0, *(part for n in range(33) for part in ([5, colliding(n)], 0))]], "one hash"),
        ([[-1, 14, 0]], "a message of type None"),
        ([[-1, 14, 1], [0, "no:such"]], "not defined"),
        ([[-1, 14, 2], [0, "tests.net.test_lengthy:Even", "goods"]], "were expected"),
        ([[-1, 14, 3], [0, "tests.net.test_lengthy:Even", "goods", [0, 1]]], "ValueError: odd"),
        ([[-1, 16, 0]], "a text of something else"),
        ([[-1, 16, 1], [0, 5]], "a text of something else"),
    ],
)
def test_what_is_malformed_is_refused(items: list[Any], why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        PAYLOADS.loads(long(*items))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_violation(data: bytes) -> None:
    head = b"\x83\x20" + data
    assert is_long(head)
    try:
        PAYLOADS.loads(Cargo(head))
    except ProtocolViolation:
        return


def test_what_is_ready_is_for_the_first_who_asks() -> None:
    data = PAYLOADS.pack_now([[n] for n in range(MANY)])
    assert isinstance(data, Cargo)
    ready = ["it"]
    data.ready.append(ready)
    assert PAYLOADS.loads(data) is ready
    assert PAYLOADS.loads(data) == [[n] for n in range(MANY)]


def nested(levels: int, inner: Any, width: int = 0) -> Any:
    value = inner
    for _ in range(levels):
        value = [value, *range(width)]
    return value


@pytest.mark.parametrize("inner", [None, 1, "x", b"x", 1 << 70, date(2026, 1, 1), [], "long" * 9], ids=repr)
def test_the_deepest_that_is_written_is_the_deepest_that_is_read(monkeypatch: pytest.MonkeyPatch, inner: Any) -> None:
    finely(monkeypatch)
    for levels in (63, 64, 65, 66):
        for width in (0, 5):
            value = nested(levels, inner, width)
            for pack in (PAYLOADS.dumps, lambda value: exhaust(PAYLOADS.pack_slowly(value))):
                try:
                    packed = pack(value)
                except NotSerializable:
                    assert levels > 64
                else:
                    assert PAYLOADS.loads(packed) == value


@pytest.mark.parametrize("code", range(16))
def test_nothing_is_read_that_is_deeper_than_what_is_written(code: int) -> None:
    samples: list[Any] = [[], (), {}, set(), frozenset(), 1 << 70, date(2026, 1, 1)]
    plain: Any = cbor.decode(PAYLOADS.dumps(samples[code])) if code < len(samples) else [code]
    for _ in range(65):
        plain = [0, plain]
    with pytest.raises(ProtocolViolation, match="nested deeper than 64"):
        PAYLOADS.loads(cbor.encode(plain))
