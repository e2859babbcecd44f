"""What a child asks of its nodes: checked where it is written down."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from hubkit import Placement
from hubkit.cluster.affinity import check_labels, check_weight, has_labels, show_labels, turned
from hubkit.errors import ConfigurationError


def test_it_is_a_value() -> None:
    one = Placement(labels={"zone": "eu", "disk": "ssd"}, apart="shard", slot=3)
    assert one == Placement(labels={"disk": "ssd", "zone": "eu"}, apart="shard", slot=3)
    assert hash(one) == hash(copy.deepcopy(one)) == hash(pickle.loads(pickle.dumps(one)))
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
    assert list(one.labels) == ["disk", "zone"]
    assert one.key == "shard"
    assert Placement(together="order").key == "order"
    assert Placement().key is None
    with pytest.raises(TypeError):
        one.labels["zone"] = "us"  # type: ignore[index]  # that is what is tested


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"labels": "zone"}, "Placement.labels must be a mapping"),
        ({"labels": {"zone": 1}}, "the value of 'zone' in Placement.labels must be a non-empty str"),
        ({"labels": {1: "eu"}}, "each name in Placement.labels must be a non-empty str"),
        ({"labels": {str(n): "x" for n in range(65)}}, "at most 64"),
        ({"together": ""}, "Placement.together must be a non-empty str"),
        ({"together": 7}, "Placement.together must be a non-empty str"),
        ({"apart": True}, "Placement.apart must be a non-empty str"),
        ({"apart": "k", "slot": -1}, "Placement.slot must be an int of at least 0"),
        ({"apart": "k", "slot": True}, "Placement.slot must be an int of at least 0"),
        ({"apart": "k", "slot": 1.0}, "Placement.slot must be an int of at least 0"),
        ({"apart": "k", "slot": 2**31}, "Placement.slot must be less than"),
        ({"slot": 1}, r"Placement\(slot=1\) needs apart="),
        ({"apart": "k", "together": "k"}, "not both"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Placement(**options)


def test_labels_and_weights() -> None:
    assert check_labels(None) == {}
    assert check_labels({"b": "1", "a": "2"}) == {"a": "2", "b": "1"}
    assert check_weight(2) == 2.0
    assert has_labels({"zone": "eu", "disk": "ssd"}, {"zone": "eu"})
    assert not has_labels({"zone": "us"}, {"zone": "eu"})
    assert not has_labels({}, {"zone": "eu"})
    assert show_labels({"zone": "eu", "disk": "ssd"}) == "disk=ssd, zone=eu"


def test_a_slot_counts_along_the_ranking() -> None:
    def ranking() -> tuple[str, ...]:
        return ("c", "a", "b")

    assert [turned(ranking, (), "abc", slot, 1) for slot in range(4)] == [("c",), ("a",), ("b",), ("c",)]
    assert turned(ranking, (), "abc", 1, 2) == ("a", "b")
    assert turned(ranking, (), "abc", 2, 5) == ("b", "c", "a")
    assert turned(ranking, ("b",), "abc", 0, 1) == ("b",)
    assert turned(ranking, ("b", "z"), "abc", 1, 2) == ("b", "a")
    assert turned(lambda: (), (), "", 4, 1) == ()
