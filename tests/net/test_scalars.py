"""Light values as bytes: what the library writes, byte for byte."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubkit.net import cbor
from hubkit.net.scalars import array, integer, text

_EDGES = [edge + near for edge in (0, 23, 24, 255, 256, 65_535, 65_536, 2**32, 2**63 - 2) for near in (-1, 0, 1)]
numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([*_EDGES, *(-edge for edge in _EDGES)])
light = st.none() | st.booleans() | numbers | st.floats() | st.text() | st.text(min_size=20, max_size=300)


@given(numbers)
def test_numbers(number: int) -> None:
    assert integer(number) == cbor.encode(number)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_texts_of_every_length(size: int, letter: str) -> None:
    assert text(letter * size) == cbor.encode(letter * size)


@given(st.lists(light, max_size=23))
@example([math.nan, math.inf, -math.inf, -0.0])
@example([True, 1, 1.0, False, 0, 0.0, None, "", -(2**63)])
def test_lists(values: list[Any]) -> None:
    assert array(values) == cbor.encode(values)


class Number(int):
    pass


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, "\ud800", b"bytes", [], {}, (), Number(1), Text("x"), object(), 1j], ids=repr
)
def test_what_is_not_light_is_left_to_the_library(value: Any) -> None:
    assert array([1, value]) is None


def test_so_are_many() -> None:
    assert array([1] * 24) is None
    assert text("\udfff") is None
