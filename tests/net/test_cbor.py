"""The codec: what is no plain value is no value."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.net.travelling import same

from hubkit.errors import ProtocolViolation
from hubkit.net import cbor

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_survive(value: Any) -> None:
    assert same(cbor.decode(cbor.encode(value)), value)
    assert same(cbor.decode(BytesIO(cbor.encode(value))), value)


SIMPLE = [b"\xe0", b"\xf3", b"\xf7", b"\xf8\x20", b"\xf8\xff"]


@pytest.mark.parametrize("where", [b"%b", b"\x81%b", b"\x82\x82\x01%b\x02", b"\xa1\x61a%b", b"\x82\x01\xa1\x61a\x81%b"])
@pytest.mark.parametrize("simple", SIMPLE)
def test_what_cbor_calls_simple_values_are_refused(simple: bytes, where: bytes) -> None:
    data = where % simple
    cbor2.loads(data)
    for given_as in (data, BytesIO(data)):
        with pytest.raises(ProtocolViolation, match="a simple value"):
            cbor.decode(given_as)


@pytest.mark.parametrize(
    "value", ["\u0800\uffff", b"\xe0\xf7\xf8\xff", 0xF7F7F7, 1.4142135, {"\u6f22": ["\u5b57", 0xE0]}]
)
def test_bytes_that_look_like_one_are_none(value: Any) -> None:
    assert cbor.decode(cbor.encode(value)) == value


def items(value: Any) -> int:
    """How many items a plain value has."""
    if isinstance(value, dict):
        return 1 + sum(items(key) + items(part) for key, part in value.items())
    return 1 + (sum(map(items, value)) if isinstance(value, list) else 0)


@given(plain | st.lists(st.text(min_size=20, max_size=400) | st.binary(min_size=20, max_size=400)))
def test_items_are_counted_before_they_are_decoded(value: Any) -> None:
    data, count = cbor.encode(value), items(value)
    for most, too_much in ((count, False), (count - 1, True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cbor, "ITEMS", most)
            # (What has no more bytes than it may have items is not looked at.)
            assert cbor.is_too_much(data) is cbor.is_too_much(BytesIO(data)) is too_much


@given(st.binary(min_size=4))
def test_whatever_is_counted_has_an_end(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cbor, "ITEMS", 3)
        assert cbor.is_too_much(data) in (True, False)
        assert not cbor.is_too_much(data[:3])


def test_many_items_are_refused_and_large_bytes_are_few() -> None:
    many = b"\x9a\x01\x00\x00\x00" + b"\x80" * (1 << 24)  # a gigabyte of empty lists
    for given_as in (many, BytesIO(many)):
        with pytest.raises(ProtocolViolation, match="more than 2,097,152 items"):
            cbor.decode(given_as)
    assert cbor.decode(cbor.encode([16, b"\x80" * (1 << 24)])) == [16, b"\x80" * (1 << 24)]


@given(st.sampled_from(range(300)) | st.sampled_from([1004, 43000, 55799]) | st.integers(0, 2**64 - 1), plain)
def test_every_tag_is_refused(number: int, value: Any) -> None:
    with pytest.raises(ProtocolViolation):
        cbor.decode(cbor2.dumps([cbor2.CBORTag(number, value)]))


@pytest.mark.parametrize("held", [bytes, BytesIO])
def test_a_simple_value_is_found_behind_much_else(held: type) -> None:
    long = cbor.encode("x" * 200_000)
    assert cbor.decode(held(b"\x82" + long + b"\xf6")) == ["x" * 200_000, None]
    with pytest.raises(ProtocolViolation, match="simple value"):
        cbor.decode(held(b"\x82" + long + b"\xf7"))
