"""The distributions that come with hubkit: values, and their answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import Placement
from hubkit.errors import ConfigurationError
from hubkit.strategies import CentralizedLoadBalancer, ChildView, ConsistentHashing, Distribution, Guided, NodeView

NODES = [NodeView(name) for name in "abcde"]
ALL = (ConsistentHashing(), Guided(), CentralizedLoadBalancer())


def child(id: str = "x", *pins: str, placement: Placement | None = None) -> ChildView:
    return ChildView(id, "A", None, pins, placement)


def places(distribution: Distribution, one: ChildView, copies: int = 1) -> str:
    return "".join(distribution.place(one, NODES, copies))


def test_they_are_values() -> None:
    for one in ALL:
        assert one == type(one)()
        assert hash(one) == hash(type(one)())


@pytest.mark.parametrize("names", ["{}", "node-{}", "127.0.0.1:404{}", "10.0.0.{}:4040", "web-{}.eu.example.com"])
@pytest.mark.parametrize("scheme", ["{}", "child-{}", "user:{:08x}", "{}/session", "order-{:05}-eu", "x" * 200 + "{}"])
def test_hashing_spreads_a_thousand_children_over_five_nodes(scheme: str, names: str) -> None:
    field = ConsistentHashing().prepare([NodeView(names.format(number)) for number in range(5)])
    load = Counter(field.place(child(scheme.format(number)), 1)[0] for number in range(1000))
    assert max(load.values()) <= 1.25 * 200
    assert len(load) == 5


@pytest.mark.parametrize("scheme", ["{}", "child-{}", "user:{:08x}"])
def test_a_weight_is_a_share(scheme: str) -> None:
    nodes = [NodeView(name, weight=weight) for name, weight in (("a", 1.0), ("b", 2.0), ("c", 0.5), ("d", 1.5))]
    field = ConsistentHashing().prepare(nodes)
    load = Counter(field.place(child(scheme.format(number)), 1)[0] for number in range(10_000))
    for node in nodes:
        assert 0.9 < load[node.name] / (2000 * node.weight) < 1.1


def test_guided_answers_with_what_was_named_as_far_as_it_is_there() -> None:
    assert places(Guided(), child("x", "c", "a")) == "c"
    assert places(Guided(), child("x", "z", "a")) == "a"
    assert places(Guided(), child("x", "c", "a"), 2) == "ca"
    assert places(Guided(), child("x", "z"), 2) == ""
    assert places(Guided(), child("x")) == ""
    assert Guided().selective  # so that too few are no fault


@given(
    st.lists(st.lists(st.sampled_from("abcdez"), max_size=3, unique=True), max_size=6),
    st.sets(st.sampled_from("abcd")),
    st.sampled_from("abcde"),
    st.integers(1, 3),
)
def test_where_nodes_join_guided_moves_only_children_that_name_one(
    pins: list[list[str]], there: set[str], joined: str, copies: int
) -> None:
    children = [child(f"c{number}", *names) for number, names in enumerate(pins)]
    before, after = (
        Guided().prepare([NodeView(name) for name in sorted(nodes)]) for nodes in (there - {joined}, there | {joined})
    )
    owners = [before.place(one, copies) for one in children]
    movers = set(after.movers(children, owners, [joined]))
    assert movers == {at for at, names in enumerate(pins) if joined in names}
    assert {at for at, one in enumerate(children) if after.place(one, copies) != owners[at]} <= movers


def test_the_balancer_answers_with_pins_and_fills_up_with_the_first() -> None:
    balancer = CentralizedLoadBalancer()
    assert places(balancer, child("x", "c")) == "c"
    assert places(balancer, child("x", "z")) == "a"
    assert places(balancer, child("x", "c", "z"), 3) == "cab"
    assert balancer.place(child("x"), [], 1) == ()
    keyed = child("k", placement=Placement(together="k"))
    assert places(balancer, keyed) == places(ConsistentHashing(), keyed)


def test_the_balancer_gives_to_the_least_loaded_and_counts_what_it_gives() -> None:
    balancer = CentralizedLoadBalancer()
    nodes = [NodeView("a"), NodeView("b", load=1.0), NodeView("c", weight=2.0)]
    shares = Counter(names[0] for names in balancer.assign(70, nodes, {}, 1))
    assert shares == {"a": 20, "b": 10, "c": 40}
    assert [names[0] for names in balancer.assign(2, nodes[:2], {"a": 5, "b": 0}, 1)] == ["b", "b"]
    assert all(len(set(names)) == 2 for names in balancer.assign(9, nodes, {}, 2))
    assert balancer.assign(2, [], {}, 1) == [(), ()]
    assert balancer.assign(0, nodes, {}, 1) == []


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), float("inf"), "soon", None, True])
def test_a_wrong_half_life_is_refused(half_life: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"CentralizedLoadBalancer\.half_life"):
        CentralizedLoadBalancer(half_life=half_life)


@pytest.mark.parametrize("step", [0, -1, float("nan"), float("inf"), "much", None, True])
def test_a_wrong_step_is_refused(step: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"CentralizedLoadBalancer\.step"):
        CentralizedLoadBalancer(step=step)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1e7, 1e-7, "2", None, True])
def test_a_wrong_weight_is_refused(weight: Any) -> None:
    with pytest.raises(ConfigurationError, match="the weight of node 'a' must be a number"):
        NodeView("a", weight=weight)


@pytest.mark.parametrize("labels", [["zone"], "zone", {"zone": 1}, {1: "eu"}, {"": "eu"}, {"zone": ""}, {"zone": None}])
def test_wrong_labels_are_refused(labels: Any) -> None:
    with pytest.raises(ConfigurationError, match="labels of node 'a'"):
        NodeView("a", labels=labels)
