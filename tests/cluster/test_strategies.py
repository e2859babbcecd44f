"""The strategies that come with hubkit are values, and wrong ones are refused."""

from __future__ import annotations

import pytest

from hubkit import strategies
from hubkit.errors import ConfigurationError
from hubkit.strategies import ClusterView, ColdSwap, ConsistentHashing, Divergence, PubSub, Singularity


def test_they_are_values() -> None:
    for kind in (ConsistentHashing, Singularity, ColdSwap, PubSub, Divergence):
        assert kind() == kind()
        assert hash(kind()) == hash(kind())


def test_their_answers() -> None:
    assert Singularity().copies(7) == 1
    assert ColdSwap().warm is False
    assert PubSub().sync_interval == 15.0
    assert PubSub(2.0).targets(["a#1", "b#1"], 3) == ["a#1", "b#1"]
    assert Divergence().allowed(ClusterView(("a", "b"), ("a",), 1.0))


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "soon", None, True])
def test_a_wrong_interval_is_refused(interval: float) -> None:
    with pytest.raises(ConfigurationError, match=r"PubSub\.sync_interval"):
        PubSub(sync_interval=interval)


def test_all_of_them_are_exported() -> None:
    assert all(hasattr(strategies, name) for name in strategies.__all__)
