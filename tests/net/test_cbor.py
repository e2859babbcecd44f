"""The codec: what is no plain value is no value."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
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


large = st.builds(
    lambda size, byte: bytes([byte]) * size, st.sampled_from([65_535, 65_536, 70_000]), st.integers(0, 255)
)


def told(decode: Callable[[Any], Any], data: Any) -> Any:
    try:
        return decode(data)
    except ProtocolViolation as error:
        return [str(error)]


@given(
    st.lists(plain, max_size=3),
    st.sampled_from([b"", b"\0" * 99]) | st.binary(max_size=3) | large,
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 255)), max_size=2),
)
@settings(max_examples=200)
def test_a_buffer_is_decoded_as_bytes_are(before: list[Any], end: bytes, broken: list[tuple[int, int]]) -> None:
    """With or without large bytes at the end, valid or not; what is found keeps nothing of the buffer."""
    data = bytearray(cbor.encode_ending([*before, [1, end]]))
    for at, byte in broken:
        data[at % len(data)] = byte
    as_bytes = bytes(data)
    for decode in (cbor.decode, cbor.decode_ending):
        expected, found = told(decode, as_bytes), told(decode, data)
        data.append(0)  # nobody holds it
        del data[:]
        assert same(found, expected)
        data += as_bytes
    assert same(told(cbor.decode_ending, data), told(cbor.decode, data))


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
