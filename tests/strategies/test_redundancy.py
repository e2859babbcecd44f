"""How many copies there are: values, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hubkit.errors import ConfigurationError
from hubkit.strategies import Replication, Singularity


def test_they_are_values() -> None:
    assert Replication() == Replication(factor=2, model="active_passive", checkpoint="manual")
    assert len({Singularity(), Singularity(), Replication(3), Replication("all")}) == 3


def test_how_many_copies_there_are() -> None:
    assert Singularity().copies(5) == 1
    assert [Replication(3).copies(nodes) for nodes in (0, 1, 5)] == [3, 3, 3]
    assert [Replication("all").copies(nodes) for nodes in (0, 1, 5)] == [1, 1, 5]


def test_which_of_them_are_active() -> None:
    assert Replication().active == "one"
    assert Replication(model="active_active").active == "all"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("factor", 0),
        ("factor", -2),
        ("factor", True),
        ("factor", 2.0),
        ("factor", "two"),
        ("factor", None),
        ("model", "passive_passive"),
        ("model", None),
        ("checkpoint", 0),
        ("checkpoint", -1.0),
        ("checkpoint", math.nan),
        ("checkpoint", True),
        ("checkpoint", "often"),
        ("checkpoint", None),
    ],
)
def test_copies_that_make_no_sense(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"Replication\.{argument} must"):
        Replication(**{argument: value})
