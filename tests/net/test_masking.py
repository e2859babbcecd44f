"""Masks: each way of making them gives what the standard says, and none is used twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.environment import Environment
from hubkit.net import masking
from hubkit.net.masking import Masks, mask_all, masked

DATA = st.binary(max_size=40) | st.integers(0, 5000).map(lambda size: bytes(n % 251 for n in range(size)))


def standard(data: bytes, mask: bytes) -> bytes:
    """RFC 6455, 5.3, word for word."""
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


@pytest.fixture(params=["in C", "in Python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in Python":
        monkeypatch.setattr(masking, "_in_c", None)
    else:
        assert masking._in_c is not None  # else all is well, but slower: install websockets from a wheel


@pytest.mark.usefixtures("way")
class TestMasking:
    @given(DATA, st.binary(min_size=4, max_size=4), st.integers(0, 20))
    def test_it_is_the_standards(self, data: bytes, mask: bytes, start: int) -> None:
        assert masked(data, mask) == standard(data, mask)
        assert masked(masked(data, mask), mask) == data
        there = bytearray(data)
        mask_all(there, start, mask)
        assert there == data[:start] + standard(data[start:], mask)
        there += b"it may grow still"


def test_masks_differ() -> None:
    masks = Masks(Environment().token)
    drawn = [masks.next() for _ in range(3000)]
    assert {len(mask) for mask in drawn} == {4}
    assert len(set(drawn)) > 2990
