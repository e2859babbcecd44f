"""Users' values: what goes in comes out, and what a hostile peer sends comes to nothing, fast."""

from __future__ import annotations

import time
from collections import namedtuple
from dataclasses import InitVar, dataclass
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.net.travelling import PAYLOADS, Counted, Handle, Point, same

from hubkit.errors import ConfigurationError, NotSerializable, ProtocolViolation
from hubkit.messages import find_message, message, message_type
from hubkit.net import cbor
from hubkit.net.payload import Payloads
from hubkit.net.wire import encode_app
from hubkit.pids import Pid

offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | offsets)
    | st.dates()
    | st.times(timezones=st.none() | offsets)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.builds(Pid, st.text(min_size=1), st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1))
    | st.builds(Handle, st.integers(0, 1000))
)
hashable = st.recursive(
    scalars.filter(lambda value: not isinstance(value, Decimal) or not value.is_snan()),
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner),
    max_leaves=5,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(hashable, inner)
        | st.sets(hashable)
        | st.frozensets(hashable)
        | st.builds(Point, inner, inner)
        | st.builds(Counted, st.lists(inner))
    ),
    max_leaves=20,
)


@given(values)
def test_values_survive(value: Any) -> None:
    assert same(PAYLOADS.loads(PAYLOADS.dumps(value)), value)


def test_fields_without_init_survive() -> None:
    value = Counted([1])
    value.count = 7
    copy = PAYLOADS.loads(PAYLOADS.dumps(value))
    assert (copy.items, copy.count) == ([1], 7)


@given(values, st.data())
def test_truncated_anywhere(value: Any, data: st.DataObject) -> None:
    whole = PAYLOADS.dumps(value)
    with pytest.raises(ProtocolViolation):
        PAYLOADS.loads(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(values, st.binary(min_size=1))
def test_trailing_bytes(value: Any, more: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        PAYLOADS.loads(PAYLOADS.dumps(value) + more)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.integers(-1, 16),
    lambda inner: (
        st.lists(inner)
        | st.tuples(st.integers(0, 15), inner, inner, inner).map(list)
        | st.dictionaries(st.text(), inner)
    ),
)


@given(st.binary() | plain.map(cbor2.dumps))
def test_any_bytes_are_a_value_or_a_violation(data: bytes) -> None:
    try:
        value = PAYLOADS.loads(data)
    except ProtocolViolation:
        return
    assert PAYLOADS.dumps(value)


def tagged(number: int, value: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(number, value))


P61 = 2**61 - 1
HOSTILE = {
    "nothing": b"",
    "colliding integer keys of a map": cbor2.dumps({n * P61: 0 for n in range(8)}),
    "many colliding integer keys of a map": b"\xb9\xff\xff"
    + b"".join(b"\x1b" + (n * P61 % 2**64).to_bytes(8, "big") + b"\0" for n in range(65535)),
    "colliding members": cbor2.dumps([3, *([5, (n * P61).to_bytes(16, "big")] for n in range(1, 40_000))]),
    "colliding keys": cbor2.dumps(
        [2, *(item for n in range(1, 30_000) for item in ([5, (n * P61).to_bytes(16, "big")], 0))]
    ),
    "tag 2, a big number": tagged(2, b"\xff" * 500_000),
    "tag 3, a big number": tagged(3, b"\xff" * 500_000),
    "tag 4, a decimal": tagged(4, [10**9, 1]),
    "tag 5, a float of any size": tagged(5, [10**9, 1]),
    "tags 25 and 256, string references": tagged(256, ["x" * 100, cbor2.CBORTag(25, 0)]),
    "tag 28, a shared value": b"\xd8\x1c\x81\xd8\x1d\x00",
    "tag 29, a reference": tagged(29, 0),
    "tag 30, a rational": tagged(30, [1, 3]),
    "tag 35, a regular expression": tagged(35, "(a+)+$"),
    "tag 36, a mail": tagged(36, "Content-Type: text/plain\n\nx"),
    "tag 258, a set": tagged(258, [1, 2]),
    "tag 55799, itself": tagged(55799, 1),
    "a tag of nobody": tagged(123456, 1),
    "deep nesting": b"\x81" * 500_000 + b"\x00",
    "deep nesting of maps": b"\xa1\x61a" * 200_000 + b"\x00",
    "deep nesting of tags": b"\xc6" * 200_000 + b"\x00",
    "an indefinite array": b"\x9f\x00\xff",
    "an indefinite map": b"\xbf\x61a\x00\xff",
    "an indefinite text": b"\x7f\x61a\xff",
    "indefinite bytes": b"\x5f\x41a\xff",
    "duplicate keys": b"\xa2\x61a\x00\x61a\x00",
    "a huge array": b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "a huge text": b"\x7b\x00\x00\xff\xff\xff\xff\xff\xff",
    "a huge map": b"\xbb\x00\x00\xff\xff\xff\xff\xff\xff",
    "a break": b"\xff",
    "text that is none": b"\x62\xff\xfe",
    "undefined": b"\xf7",
    "a simple value": b"\xf8\xff",
    "trailing bytes": b"\x00\x00",
    "an empty array": b"\x80",
    "a map": b"\xa0",
    "an unknown kind": b"\x81\x18\x63",
    "a kind that is no number": b"\x82\x61a\x00",
    "True as a kind": b"\x82\xf5\x00",
    "a dict with half an item": cbor2.dumps([2, 1]),
    "a dict with a key twice": cbor2.dumps([2, 1, 0, 1.0, 0]),
    "a set with a member twice": cbor2.dumps([3, 1, True]),
    "an unhashable key": cbor2.dumps([2, [0], 0]),
    "an int of bytes too few": cbor2.dumps([5, b"\x01"]),
    "an int too large": cbor2.dumps([5, b"\x01" * 5000]),
    "a date that is none": cbor2.dumps([7, "2026-02-30"]),
    "a date that is a number": cbor2.dumps([7, 1]),
    "a datetime that is none": cbor2.dumps([6, "soon", 0, None]),
    "a datetime of an odd zone": cbor2.dumps([6, "2026-01-01T00:00:00", 0, 10**18]),
    "a datetime of no zone": cbor2.dumps([6, "2026-01-01T00:00:00", 0, "x"]),
    "a datetime without fold": cbor2.dumps([6, "2026-01-01T00:00:00"]),
    "a time that is none": cbor2.dumps([8, "25:00", 0, None]),
    "a time of too many parts": cbor2.dumps([8, "10:00", 0, 0, 0]),
    "a timedelta out of range": cbor2.dumps([9, 10**18, 0, 0]),
    "a timedelta of negative seconds": cbor2.dumps([9, 0, -1, 0]),
    "a decimal that is none": cbor2.dumps([10, "one"]),
    "a decimal of a million digits": cbor2.dumps([10, "9" * 1_000_000]),
    "a UUID too short": cbor2.dumps([11, b"123"]),
    "a pid of texts": cbor2.dumps([12, "a", "b", "c"]),
    "a pid of booleans": cbor2.dumps([12, "a", 1, True]),
    "a pid beyond counting": cbor2.dumps([12, "a", 1, 1 << 62]),
    "a pid below nothing": cbor2.dumps([12, "a", -1, 1]),
    "a ref that is none": cbor2.dumps([13]),
    "a message of nobody": cbor2.dumps([14, "os:system", "x", 1]),
    "a message without a name": cbor2.dumps([14]),
    "a message with a field too many": cbor2.dumps([14, f"{Point.__module__}:Point", "x", 1, "z", 1]),
    "a message with a field too few": cbor2.dumps([14, f"{Point.__module__}:Point", "y", 1]),
    "a message with a field twice": cbor2.dumps([14, f"{Point.__module__}:Point", "x", 1, "x", 1]),
    "a message with half a field": cbor2.dumps([14, f"{Point.__module__}:Point", "x"]),
    "a message that its class refuses": cbor2.dumps([14, "test:counted", "items", 5]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ProtocolViolation):
        PAYLOADS.loads(HOSTILE[name])
    assert time.perf_counter() - began < 1.0


def test_refs_are_unknown_by_default() -> None:
    with pytest.raises(ProtocolViolation):
        Payloads().loads(PAYLOADS.dumps(Handle(1)))
    with pytest.raises(NotSerializable):
        Payloads().dumps(Handle(1))


class Colour(IntEnum):
    RED = 1


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  # what users have


class Grumpy:
    def __repr__(self) -> str:
        msg = "no"
        raise RuntimeError(msg)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "builtins.object"),
        ([1, {"a": (2, object())}], r"at \[1\]\['a'\]\[1\]: "),
        ({object(): 1}, "{key "),
        ({"a": {object()}}, r"\['a'\]{member}"),
        (Point(1, [Grumpy()]), r"at y\[0\]: <a value whose repr fails>"),
        (Colour.RED, "Colour"),
        (Pair(1, 2), "Pair"),
        (bytearray(b"x"), "bytearray"),
        (1 << 40_000, "5,001 bytes"),
        ("\ud800", "surrogate"),
        (Decimal("9" * 5000), "5,000 characters"),
        (datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")), "fixed offset"),
        (clock_time(1, tzinfo=ZoneInfo("UTC")), "fixed offset"),
        (deep(100_000), "nested deeper than 64"),
        (cyclic(), "contains itself"),
        (lambda: 1, "function"),
        (Pid("b", 1, True), "the pid of no actor"),
        (Pid("b", 1 << 70, 1), "the pid of no actor"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_is_named(value: Any, said: str) -> None:
    with pytest.raises(NotSerializable, match=said):
        PAYLOADS.dumps(value)


def test_depth_is_the_same_both_ways() -> None:
    value = deep(64)
    assert PAYLOADS.loads(PAYLOADS.dumps(value)) == value
    with pytest.raises(NotSerializable, match="nested deeper than 64"):
        PAYLOADS.dumps(deep(65))
    plain: list[Any] = [0]
    for _ in range(65):
        plain = [0, plain]
    with pytest.raises(ProtocolViolation, match="nested deeper than 64"):
        PAYLOADS.loads(cbor.encode(plain))
    assert PAYLOADS.loads(PAYLOADS.dumps(value)) == value  # what was refused has left nothing behind


def test_a_decimal_that_is_read_can_be_written() -> None:
    text = "1" * 4094 + "e9"  # 4,096 characters, but one more as it is printed
    assert len(str(Decimal(text))) > 4096
    with pytest.raises(ProtocolViolation, match="malformed Decimal"):
        PAYLOADS.loads(cbor.encode([10, text]))
    most = Decimal("9" * 4096)
    assert PAYLOADS.loads(PAYLOADS.dumps(most)) == most


def test_values_of_too_many_parts_travel_in_slices_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbor, "ITEMS", 100_000)
    value = list(range(100_001))
    with pytest.raises(NotSerializable, match="more than 100,000 parts"):
        PAYLOADS.dumps(value)
    assert PAYLOADS.loads(PAYLOADS.pack_now(value)) == value
    with pytest.raises(NotSerializable, match="more than 100,000 parts"):
        PAYLOADS.pack_now(set(value))
    with pytest.raises(NotSerializable, match="more than 100,000 items"):
        encode_app([value])
    with pytest.raises(ProtocolViolation, match="more than 100,000 items"):
        PAYLOADS.loads(cbor2.dumps([0, *value]))


def test_ordinary_values_are_not_mistaken_for_an_attack() -> None:
    for value in (set(range(10_000)), {n * 2**32: n for n in range(10_000)}, {float(n) for n in range(10_000)}):
        assert PAYLOADS.loads(PAYLOADS.dumps(value)) == value


def test_marking_messages() -> None:
    entry = message_type(Point)
    assert entry is not None
    assert entry.name is not None
    assert entry.name.endswith(":Point")
    assert find_message(entry.name) is entry
    assert message_type(int) is None

    @message
    @dataclass
    class Local:
        x: int = 0

    with pytest.raises(NotSerializable, match="inside a function"):
        PAYLOADS.dumps(Local())

    with pytest.raises(ConfigurationError, match="dataclass"):
        message(int)
    with pytest.raises(ConfigurationError, match="dataclass"):
        message(Point(1))  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ConfigurationError, match="InitVar"):

        @message
        @dataclass
        class Odd:
            x: InitVar[int]

    with pytest.raises(ConfigurationError, match="belongs to"):

        @message(name="test:counted")
        @dataclass
        class Other:
            x: int

    with pytest.raises(ConfigurationError, match="200 characters"):
        message(name="")(Point)


def test_a_uuid_and_a_date_are_what_they_were() -> None:
    value = (UUID(int=5), date(2026, 11, 22))
    assert PAYLOADS.loads(PAYLOADS.dumps(value)) == value
