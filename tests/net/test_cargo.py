"""Large values, written without a copy: they are read as what they were, and what is too large says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net import cargo as room
from hubkit.net import cbor
from hubkit.net.cargo import BLOB, INLINE, MAX_CARGO, MAX_HEAD, Cargo, Cutter, packed
from hubkit.net.payload import Payloads

PAYLOADS = Payloads()

sizes = st.sampled_from([0, 1, BLOB - 1, BLOB, BLOB + 1, INLINE, INLINE + 1])
values: st.SearchStrategy[Any] = st.recursive(
    sizes.map(lambda size: b"x" * size) | st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_a_value_is_read_as_what_it_was(value: Any) -> None:
    data = PAYLOADS.pack_now(value)
    assert PAYLOADS.loads(data) == value
    if isinstance(data, Cargo):
        assert data.size > INLINE
        assert all(len(blob) >= BLOB for blob in data.blobs)
    else:
        assert data == PAYLOADS.dumps(value)


def test_large_bytes_are_not_copied() -> None:
    large = bytes(2 * INLINE)
    data = PAYLOADS.pack_now({"a": [large, 1], "b": (large,)})
    assert isinstance(data, Cargo)
    assert [blob is large for blob in data.blobs] == [True, True]
    read = PAYLOADS.loads(data)
    assert read["a"][0] is read["b"][0] is large
    assert len(data.head) < 100


def test_what_is_too_large_says_so_and_what_to_do() -> None:
    huge = bytes(MAX_CARGO // 2)  # of zeros, which take no memory
    with pytest.raises(NotSerializable, match=r"at most 1,073,741,824 bytes can; send it in several messages"):
        PAYLOADS.pack_now([huge, huge, bytes(BLOB)])
    assert isinstance(PAYLOADS.pack_now([huge, huge, bytes(BLOB - 1)]), Cargo)
    with pytest.raises(NotSerializable, match=r"beside its large ones .* make bytes of it"):
        packed(bytes(MAX_HEAD + 1), ())


@pytest.mark.parametrize("index", [-1, 1, True, None, "0"])
def test_bytes_that_did_not_come_are_no_value(index: Any) -> None:
    head = cbor.encode([15, index])
    with pytest.raises(ProtocolViolation, match="bytes that did not come with it"):
        PAYLOADS.loads(Cargo(head, (b"x",)))
    with pytest.raises(ProtocolViolation):
        PAYLOADS.loads(cbor.encode([15, 0]))  # none came at all


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 20))
def test_pieces_are_the_whole(parts: list[bytes], most: int) -> None:
    cutter = Cutter(Cargo(parts[0], tuple(parts[1:])))
    pieces = [cutter.piece(start, most) for start in range(0, cutter.size, most)]
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == most for piece in pieces[:-1])
    assert cutter.size == sum(map(len, parts)) == Cargo(parts[0], tuple(parts[1:])).size


def test_a_room_has_its_sizes_in_order() -> None:
    assert 0 < room.BLOB < room.INLINE < room.MAX_HEAD < room.MAX_CARGO


# -- the quick way past the library


plain: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=8) | st.text(max_size=8) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
endings = st.sampled_from([65_535, 65_536, 70_000]).map(lambda size: b"\x5a" * size)


@given(st.lists(plain, max_size=4), st.integers(0, 3), endings)
def test_large_bytes_at_the_end_are_written_and_read_as_the_library_does(
    start: list[Any], depth: int, end: bytes
) -> None:
    value: Any = [*start, end]
    for _ in range(depth):
        value = [*start, value]
    data = cbor.encode_ending(value)
    assert data == cbor.encode(value)
    assert cbor.decode_ending(data) == cbor.decode(data) == value


@given(st.binary(max_size=100), st.sampled_from([0, 70_000]), st.integers(-9, 9))
def test_any_bytes_are_read_alike_or_refused_alike(start: bytes, size: int, slip: int) -> None:
    data = start + b"\x5a" + max(0, size + slip).to_bytes(4, "big") + bytes(size)
    try:
        expected = cbor.decode(data)
    except ProtocolViolation:
        with pytest.raises(ProtocolViolation):
            cbor.decode_ending(data)
    else:
        assert cbor.decode_ending(data) == expected


@pytest.mark.parametrize("value", [[], [b""], {"a": bytes(70_000)}, ["x", {"a": bytes(70_000)}], bytes(70_000)])
def test_what_does_not_end_so_is_read_as_ever(value: Any) -> None:
    data = cbor.encode(value)
    assert cbor.decode_ending(data) == value
    if isinstance(value, list):
        assert cbor.encode_ending(value) == data
