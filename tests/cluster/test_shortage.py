"""More copies are wanted than there are nodes for: it is said, once, and what can run runs."""

from __future__ import annotations

from typing import Any

from tests.cluster.crowd import Crowd, strategies

from hubkit import Placement
from hubkit.cluster.effects import Warn
from hubkit.cluster.rows import Want
from hubkit.cluster.shortage import QUIET
from hubkit.strategies import Replication


def crowd_of(*names: str, factor: Any = 3, **options: Any) -> Crowd:
    return Crowd(*names, strategies=strategies(redundancy=Replication(factor)), **options)


def warnings(crowd: Crowd, name: str) -> list[str]:
    return [order.text for order in crowd[name].orders if isinstance(order, Warn)]


def test_it_is_said_once_for_all_children_and_not_at_once() -> None:
    crowd = crowd_of("a", "b")
    crowd.want("a", *(f"c{number}" for number in range(5)))
    assert warnings(crowd, "a") == []
    crowd.tick(10)
    assert warnings(crowd, "a") == warnings(crowd, "b")
    assert warnings(crowd, "a") == [
        "5 children have fewer copies than the 3 that are wanted of each: 2 nodes are ready, not all may be able to run it"
    ]
    assert crowd.core("a").why("c0", crowd.now).in_flight == ("1 of 3 copies wait for more nodes that can run it",)
    assert crowd.core("a").is_settled


def test_a_shortage_that_passes_is_not_worth_a_line() -> None:
    crowd = crowd_of("a", "b")
    crowd.want("a", "c0")
    crowd.tick(2)
    crowd.add("c", strategies=strategies(redundancy=Replication(3)))
    crowd.tick(10)
    assert warnings(crowd, "a") == []
    assert crowd.core("a").why("c0", crowd.now).in_flight == ()
    crowd.kill("c")
    crowd.tick(2)
    assert warnings(crowd, "a") == []


def test_it_comes_and_goes_and_is_said_again_later() -> None:
    crowd = crowd_of("a", factor=2)
    crowd.want("a", "c0")
    crowd.tick(5)
    first = [
        "1 child has fewer copies than the 2 that are wanted of each: 1 node is ready, not all may be able to run it"
    ]
    assert warnings(crowd, "a") == first
    crowd.add("b", strategies=strategies(redundancy=Replication(2)))
    crowd.tick(5)
    crowd.kill("b")
    crowd.tick(5)
    assert warnings(crowd, "a") == first
    crowd.tick(int(QUIET))
    assert warnings(crowd, "a") == first * 2


def test_nodes_that_cannot_run_it_are_no_help() -> None:
    crowd = crowd_of("a", "b", factor=2)
    crowd.add("c", strategies=strategies(redundancy=Replication(2)), labels=(("disk", "ssd"),))
    crowd.core("a").write_wants({"c0": Want("A", b"", placement=Placement({"disk": "ssd"}))}, crowd.now)
    crowd.tick(5)
    assert len(warnings(crowd, "a")) == 1
    assert crowd.core("c").why("c0", crowd.now).in_flight == ("1 of 2 copies wait for more nodes that can run it",)


def test_as_many_as_there_are_nodes_are_never_too_few() -> None:
    crowd = crowd_of("a", "b", factor="all")
    crowd.core("a").write_wants({"c0": Want("A", b"", placement=Placement({"disk": "ssd"}))}, crowd.now)
    crowd.want("a", "c1")
    crowd.tick(5)
    assert warnings(crowd, "a") == []
    assert Crowd("a", "b").core("a").is_settled  # and with one copy of each there is nothing to say
