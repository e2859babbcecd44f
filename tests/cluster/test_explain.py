"""Why a child is where it is, in words."""

from __future__ import annotations

from tests.cluster.crowd import Crowd

from hubkit.cluster.rows import Want


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
