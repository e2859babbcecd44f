"""Why a child is where it is, in words."""

from __future__ import annotations

from tests.cluster.crowd import Crowd, strategies

from hubkit import Placement
from hubkit.cluster.rows import Want
from hubkit.strategies import Guided


def test_where_it_belongs() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd.want("a", child)
    why = crowd.core("a").why(child, crowd.now)
    assert (why.child, why.where, why.rule, why.view, why.in_flight) == (child, ("a",), "home", ("a", "b"), ())
    assert why.since == crowd.now
    assert why.text == "it is where it belongs"
    assert str(why) == f"{child} is on a: it is where it belongs"
    there = crowd.core("b").why(child, crowd.now)
    assert (there.where, there.rule, there.text) == (("a",), "elsewhere", "it belongs on a")


def test_what_nobody_wants() -> None:
    why = Crowd("a").core("a").why("x", 200.0)
    assert (why.where, why.since, why.rule, why.text) == ((), None, "unwanted", "nobody wants this child")
    assert str(why) == "x is on no node: nobody wants this child"


def test_while_it_starts_stops_and_moves() -> None:
    crowd = Crowd("a", "b")
    child = crowd.child_of("a")
    crowd["a"].slow = True
    crowd.want("a", child)
    assert crowd.core("b").why(child, crowd.now).in_flight == ("being started on a, term 1",)
    crowd.core("a").failed(child, 1, "no luck", crowd.now)
    crowd.settle()
    assert crowd.core("b").why(child, crowd.now).in_flight == ("parked on a: no luck",)
    crowd.core("a").started(child, 1, 1, crowd.now)
    crowd.core("a").pin(child, ("b",), crowd.now)
    crowd.settle()
    why = crowd.core("a").why(child, crowd.now)
    assert why.rule == "stopping"
    assert why.in_flight == ("the copy of term 1 here is to stop (moved)", "to move from a to b")
    crowd.held = {("a", "b")}
    crowd.core("a").stopped(child, crowd.now)
    crowd.settle()
    assert crowd.core("a").why(child, crowd.now).in_flight == ("handed by a to b, term 1",)


def test_while_it_is_claimed() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.held = {("c", "a")}
    crowd.core("a").write_wants({child: Want("A", b"")}, crowd.now)
    crowd.settle()
    assert crowd.core("b").why(child, crowd.now).in_flight == ("claimed by a, term 1",)
    why = crowd.core("a").why(child, crowd.now + 9)
    assert why.text == "this node has claimed it"
    assert why.in_flight == ("claim announced, waiting for acknowledgement of b, c for at most 0.0 s",)


def test_what_has_a_say_in_its_place_and_why_it_has_none() -> None:
    crowd = Crowd("a", labels=(("disk", "ssd"), ("zone", "eu")))
    crowd.add("b")
    crowd.tick(3)
    asked = {
        "labels": Placement(labels={"zone": "eu"}),
        "together": Placement(together="k"),
        "apart": Placement(apart="k", slot=3),
        "mars": Placement(labels={"zone": "mars", "disk": "ssd"}),
    }
    wants: dict[str, Want | None] = {child: Want("A", b"", placement=placement) for child, placement in asked.items()}
    crowd.core("a").write_wants({**wants, "other": Want("B", b""), "put": Want("A", b"", pins=("b", "a"))}, crowd.now)
    crowd.settle()
    core = crowd.core("b")
    because = {child: core.why(child, crowd.now).because for child in core.wants}
    assert because == {
        "labels": ("needs the labels zone=eu",),
        "together": ("together with others of the key 'k'",),
        "apart": ("in slot 3, apart from others of the key 'k'",),
        "mars": ("needs the labels disk=ssd, zone=mars",),
        "other": (),
        "put": ("put on b, a",),
    }
    mars = core.why("mars", crowd.now)
    assert (mars.rule, mars.text) == (
        "unplaced",
        "no ready node that knows its actor has the labels disk=ssd, zone=mars",
    )
    assert core.why("other", crowd.now).text == "no ready node knows its actor 'B'"
    assert core.why("labels", crowd.now).where == ("a",)
    assert str(core.why("put", crowd.now)) == "put is on b: it is where it belongs\n  put on b, a"
    assert core.obstacle("put", core.wants["put"]) is None
    assert core.obstacle("mars", core.wants["mars"]) == (
        "no node of hub 'h' that knows its actor has the labels disk=ssd, zone=mars"
    )
    assert core.obstacle("labels", core.wants["labels"], core.nodes["b#1"]) is not None
    assert core.tagged("t") == []


def test_a_guided_child_whose_node_has_gone() -> None:
    crowd = Crowd("a", "b", strategies=strategies(distribution=Guided()))
    crowd.core("a").write_wants({"x": Want("A", b"", pins=("b",)), "y": Want("A", b"")}, crowd.now)
    crowd.settle()
    crowd.kill("b")
    crowd.tick()
    texts = {child: crowd.core("a").why(child, crowd.now).text for child in "xy"}
    assert texts == {
        "x": "none of the nodes that it was put on (b) is a ready node that can start it",
        "y": "the distribution strategy Guided names no ready node for it, and nobody has put it on one",
    }
