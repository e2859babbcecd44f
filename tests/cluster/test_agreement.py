"""Strategies as text: equal in every process if they are equal, and different where it matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.cluster.crowd import strategies

from hubkit.cluster.agreement import agreement, differences, written
from hubkit.strategies import CentralizedLoadBalancer, Guided, PubSub


@dataclass(frozen=True)
class Own:
    size: float
    names: tuple[str, ...] = ()
    veto: Any = None
    pace: float = field(default=1.0, metadata={"local": True})


class Plain:
    """Without a repr of its own."""


class Told:
    def __init__(self, size: int) -> None:
        self.size = size

    def __repr__(self) -> str:
        return f"Told({self.size})"


def refuse(child: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Own(2.0, ("a", "b"), refuse), "Own(size=2, names=['a', 'b'], veto=refuse)"),
        (Own(2, (), None, pace=7.0), "Own(size=2, names=[], veto=None)"),
        (Own(0.5, (), {"b": 1, "a": {3, 2}}), "Own(size=0.5, names=[], veto={'a': {2, 3}, 'b': 1})"),
        (Own(float("inf")), "Own(size=inf, names=[], veto=None)"),
        (Own(1, (), Own), "Own(size=1, names=[], veto=Own)"),
        (Own(True), "Own(size=True, names=[], veto=None)"),
        (Plain(), "Plain()"),
        (Told(3), "Told(3)"),
        (PubSub(3.0), "PubSub()"),
        (CentralizedLoadBalancer(), "CentralizedLoadBalancer(half_life=10, step=0.25)"),
    ],
)
def test_a_value_in_words(value: object, text: str) -> None:
    assert written(value) == text


def test_what_differs_is_named_with_both_values() -> None:
    here, there = agreement(strategies()), agreement(strategies(distribution=Guided(), redundancy=Told(2)))
    assert list(differences(here, here)) == []
    assert list(differences(here, there)) == [
        "distribution is Guided() there and ConsistentHashing() here",
        "redundancy is Told(2) there and Singularity() here",
    ]


def test_a_long_text_is_cut_and_yet_counts_whole() -> None:
    one, other = (agreement(strategies(distribution=Own(1, ("x" * 1000, end)))) for end in "ab")
    assert all(len(text) <= 500 for text in (*one, *other))
    assert one != other
