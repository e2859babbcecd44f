"""How a child changes nodes: values, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hubkit.errors import ConfigurationError
from hubkit.strategies import ColdSwap, HotSwap


def test_they_are_values() -> None:
    assert HotSwap() == HotSwap(handover=True, retention=5.0, max_moves=None, max_rate=None, veto=None)
    assert ColdSwap(max_moves=3) == ColdSwap(max_moves=3)
    assert len({ColdSwap(), ColdSwap(), HotSwap(max_rate=0.5), HotSwap(retention=0)}) == 3
    assert (ColdSwap().warm, HotSwap().warm) == (False, True)


@pytest.mark.parametrize("kind", [ColdSwap, HotSwap])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("max_moves", 0),
        ("max_moves", -1),
        ("max_moves", True),
        ("max_moves", 1.5),
        ("max_rate", 0),
        ("max_rate", -1.0),
        ("max_rate", math.nan),
        ("max_rate", math.inf),
        ("max_rate", True),
        ("max_rate", "2"),
        ("veto", "nobody"),
    ],
)
def test_limits_and_vetoes_that_make_no_sense(kind: Any, argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{kind.__name__}\.{argument} must"):
        kind(**{argument: value})


@pytest.mark.parametrize(
    ("argument", "value"),
    [("handover", 1), ("handover", None), ("retention", -1), ("retention", math.nan), ("retention", True)],
)
def test_hot_moves_that_make_no_sense(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"HotSwap\.{argument} must"):
        HotSwap(**{argument: value})
