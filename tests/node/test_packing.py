"""Arguments and results on the wire: what is read is what was written, types and all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.errors import ProtocolViolation
from hubkit.net import cbor
from hubkit.net.payload import Payloads
from hubkit.node.packing import pack, pack_arguments, unpack, unpack_arguments

payloads = Payloads(encode_ref=lambda value: None, decode_ref=lambda value: value)
light = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(light, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner))


def wired(value: Any) -> Any:
    return cbor.decode(cbor.encode(value))


@given(values)
def test_results_come_back_as_they_went(value: object) -> None:
    back = unpack(wired(pack(value, payloads)), payloads)
    assert (type(back), back) == (type(value), value)


@given(st.lists(values), st.dictionaries(st.text(), values))
def test_arguments_come_back_as_they_went(args: list[object], kwargs: dict[str, object]) -> None:
    assert unpack_arguments(wired(pack_arguments(tuple(args), kwargs, payloads)), payloads) == (tuple(args), kwargs)


@pytest.mark.parametrize("data", [[1], {"a": 1}, 1 << 64, b"", b"\xff"])
def test_results_that_make_no_sense(data: Any) -> None:
    with pytest.raises(ProtocolViolation):
        unpack(data, payloads)


@pytest.mark.parametrize(
    "data", [None, 5, "text", [[1]], [b"x"], {}, payloads.dumps([[1], {2: 3}]), payloads.dumps([1])]
)
def test_arguments_that_make_no_sense(data: Any) -> None:
    with pytest.raises(ProtocolViolation):
        unpack_arguments(data, payloads)
