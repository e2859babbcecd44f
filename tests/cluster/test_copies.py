"""Copies that stand by, and children that are handed over, step by step: cores with perfect links."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.crowd import Crowd, Member, strategies

from hubkit.cluster.converge import Do
from hubkit.cluster.copies import PATIENCE, RELIEF, Instance
from hubkit.cluster.effects import Demote, Discard, Freeze, Offer, Promote, Start, Thaw
from hubkit.cluster.instances import Instances
from hubkit.cluster.rows import Run, Ticket, Want
from hubkit.events import ChildMoving, MoveFailed
from hubkit.strategies import ColdSwap, HotSwap, Replication, StaticQuorum


def crowd(*names: str, **others: Any) -> Crowd:
    return Crowd(*names, strategies=strategies(**({"migration": HotSwap()} | others)))


def pair(*names: str, **others: Any) -> Crowd:
    return crowd(*names, redundancy=Replication(2), **others)


def orders(member: Member, kind: type) -> list[Any]:
    return [order for order in member.orders if isinstance(order, kind)]


def failures(member: Member) -> list[str]:
    return [event.error for event in member.events if isinstance(event, MoveFailed)]


def instance(member: Member, child: str) -> Instance:
    found = member.core._rules.instances.get(child)
    assert found is not None
    return found


def pin(nodes: Crowd, child: str, *names: str) -> None:
    nodes.core("a").pin(child, names, nodes.now)
    nodes.settle()


def hold(*members: Member) -> None:
    for member in members:
        member.reluctant = True


def keep(nodes: Crowd, name: str, child: str) -> Ticket:
    """The active copy gives a checkpoint."""
    ticket = nodes.core(name).checkpoint(child, instance(nodes[name], child).born, nodes.now)
    assert ticket is not None
    nodes.settle()
    return ticket


# -- hot moves -------------------------------------------------------------------------------------------------------------


def moving(**others: Any) -> tuple[Crowd, str]:
    """A child that belongs on b and runs on a, in the middle of its move: frozen, and its state not taken yet."""
    nodes = crowd("a", "b", **others)
    child = nodes.child_of("a")
    nodes.want("a", child)
    hold(nodes["a"], nodes["b"])
    pin(nodes, child, "b")
    assert [order.child for order in orders(nodes["a"], Freeze)] == [child]
    return nodes, child


def test_a_child_is_warmed_frozen_offered_and_let_go() -> None:
    nodes = crowd("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    pin(nodes, child, "b")
    assert nodes.where(child) == {"b": "running"}
    assert [(start.passive, start.term) for start in nodes["b"].starts if start.child == child] == [(True, 1)]
    assert [type(order).__name__ for order in nodes["a"].orders] == ["Freeze", "Offer", "Forward", "Discard"]
    assert [(order.term, order.reason) for order in orders(nodes["b"], Promote)] == [(2, "migration")]
    assert failures(nodes["a"]) == []
    assert nodes.core("a").is_settled


def test_a_child_goes_on_when_its_state_cannot_be_taken_and_is_tried_again() -> None:
    nodes, child = moving()
    a = nodes["a"]
    for attempt in range(1, 4):
        ticket = orders(a, Freeze)[-1].ticket
        a.core.froze(child, ticket, "TypeError: no", nodes.now)
        nodes.settle()
        assert len(orders(a, Thaw)) == attempt
        assert failures(a) == ["TypeError: no"] * attempt
        assert a.core.why(child, nodes.now).rule == "move failed"
        nodes.tick(2**attempt)
        assert len(orders(a, Freeze)) == attempt + 1
    a.core.froze(child, orders(a, Freeze)[0].ticket, None, nodes.now)  # of a freeze that is long over
    assert not instance(a, child).taken


def test_a_copy_that_declines_lets_the_old_one_go_on() -> None:
    nodes, child = moving()
    a, b = nodes["a"], nodes["b"]
    ticket = orders(a, Freeze)[-1].ticket
    a.core.froze(child, ticket, None, nodes.now)
    nodes.settle()
    assert [order.peer for order in orders(a, Offer)] == [b.id]
    a.core.declined(child, ticket, b.id, "ValueError: not this", nodes.now)
    nodes.settle()
    assert failures(a) == ["ValueError: not this"]
    assert nodes.where(child) == {"a": "running", "b": "running"}
    a.core.declined(child, ticket, b.id, "again", nodes.now)
    a.core.declined("nobody", ticket, b.id, "again", nodes.now)
    assert failures(a) == ["ValueError: not this"]


def test_a_copy_that_does_not_answer_lets_the_old_one_go_on() -> None:
    nodes, child = moving()
    a = nodes["a"]
    a.core.froze(child, orders(a, Freeze)[-1].ticket, None, nodes.now)
    nodes.tick(int(PATIENCE) + 1)
    assert failures(a) == ["it neither accepted nor declined the state in time"]
    assert len(orders(a, Thaw)) == 1


def test_a_state_that_takes_its_time_is_waited_for_as_long_as_it_moves() -> None:
    nodes, child = moving()
    a, b = nodes["a"], nodes["b"]
    ticket = orders(a, Freeze)[-1].ticket
    a.core.froze(child, ticket, None, nodes.now)
    nodes.settle()
    for _ in range(3):
        nodes.tick(int(PATIENCE) - 1)
        a.core.progressed(child, ticket, b.id, nodes.now)
        a.core.progressed("nobody", ticket, b.id, nodes.now)
        a.core.progressed(child, ticket, "c#1", nodes.now)  # who was not offered it
    assert failures(a) == []
    nodes.tick(int(PATIENCE) + 1)
    assert failures(a) == ["it neither accepted nor declined the state in time"]


def test_a_checkpoint_that_takes_its_time_is_not_offered_again_as_long_as_it_moves() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    a, b = nodes["a"], nodes["b"]
    hold(a)
    ticket = keep(nodes, "a", child)
    for _ in range(3):
        nodes.tick(int(PATIENCE) - 1)
        a.core.progressed(child, ticket, b.id, nodes.now)
    assert len(orders(a, Offer)) == 1
    nodes.tick(int(PATIENCE) + 2)
    assert len(orders(a, Offer)) == 2


def test_a_target_that_dies_lets_the_old_one_go_on() -> None:
    nodes, child = moving()
    nodes.kill("b")
    assert failures(nodes["a"]) == ["that node is gone"]
    assert nodes.where(child) == {"a": "running"}
    assert nodes.core("a").is_settled


def test_a_child_that_is_to_stay_after_all_goes_on() -> None:
    nodes, child = moving()
    pin(nodes, child)
    assert failures(nodes["a"]) == ["it belongs here again"]
    assert [event.child for event in nodes["a"].events if isinstance(event, ChildMoving)] == [child]
    assert nodes.where(child) == {"a": "running"}


def test_an_update_in_the_middle_of_a_move_begins_anew_where_it_is() -> None:
    nodes, child = moving()
    nodes.want("b", child, body=b"new")
    a = nodes["a"]
    assert len(orders(a, Thaw)) == 1
    assert [stop.reason for stop in a.stops] == ["updated"]


def test_a_holder_that_was_stopped_keeps_the_state_until_it_is_taken_over() -> None:
    nodes = crowd("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    nodes["a"].slow = True
    pin(nodes, child, "b")
    assert [stop.reason for stop in nodes["a"].stops] == ["moved"]
    nodes.kill("b")  # with the only copy that had accepted it
    nodes.core("a").stopped(child, nodes.now)
    nodes.settle()
    again = nodes["a"].starts[-1]
    assert (again.reason, again.passive) == ("start", False)
    assert again.ticket == orders(nodes["a"], Freeze)[-1].ticket


def test_a_state_that_is_kept_is_dropped_when_the_child_is_another() -> None:
    nodes = crowd("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    nodes["a"].slow = True
    pin(nodes, child, "b")
    nodes.want("a", child, body=b"another")
    nodes.core("a").stopped(child, nodes.now)
    nodes.settle()
    assert [order.child for order in orders(nodes["a"], Discard)] == [child]
    assert not nodes.core("a")._copies.kept


def test_a_state_that_is_kept_is_dropped_when_a_copy_has_a_later_one() -> None:
    nodes = pair("a", "b", "c", "d")
    child = nodes.child_of("a")
    nodes.want("a", child)
    keep(nodes, "a", child)
    nodes.held = {("d", "a")}  # so a does not know whether all know that b goes on
    pin(nodes, child, "b", "c")
    assert nodes.core("a")._copies.kept_ticket(child) == Ticket(1, 2, nodes["a"].id)
    ticket = keep(nodes, "b", child)
    assert not nodes.core("a")._copies.kept
    nodes.kill("b")
    nodes.tick(1)
    assert instance(nodes["c"], child).passive is False
    assert instance(nodes["c"], child).ticket == ticket


def test_the_last_to_leave_stops_a_copy_that_nobody_can_have() -> None:
    nodes, child = moving()
    b = nodes["b"]
    b.core.leave(nodes.now)
    nodes.core("a").leave(nodes.now)
    nodes.kill("a")
    nodes.tick(2)
    assert b.core.left
    assert child not in b.core._rules.instances


def test_a_veto_and_a_limit_hold_a_child() -> None:
    nodes = crowd("a", "b", migration=HotSwap(veto=lambda child, source, target: True))
    child = nodes.child_of("a")
    nodes.want("a", child)
    pin(nodes, child, "b")
    assert nodes.core("a").why(child, nodes.now).rule == "vetoed"
    nodes = crowd("a", "b", migration=HotSwap(max_moves=1))
    hold(nodes["a"])
    mine = [f"c{n}" for n in range(40)]
    nodes.want("a", *mine)
    nodes.tick(2)
    mine = [child for child in mine if "a" in nodes.where(child)]
    for child in mine[:2]:
        pin(nodes, child, "b")
    a = nodes["a"]
    assert a.core.why(mine[1], nodes.now).rule == "in line"
    (freeze,) = orders(a, Freeze)
    a.core.froze(freeze.child, freeze.ticket, "not now", nodes.now)
    a.core.touch(nodes.now)
    nodes.settle()
    assert [order.child for order in orders(a, Freeze)] == mine[:2]  # the next looked again
    a.reluctant = False
    a.core.froze(mine[1], orders(a, Freeze)[-1].ticket, None, nodes.now)
    nodes.settle()
    assert "b" in nodes.where(mine[1])
    nodes.tick(3)
    assert nodes.where(mine[0]) == nodes.where(mine[1]) == {"b": "running"}


def test_whoever_has_left_lets_the_next_in_line_go() -> None:
    nodes = crowd("a", "b", migration=ColdSwap(max_moves=1))
    a = nodes["a"]
    nodes.want("a", "c1", "c2")
    pin(nodes, "c1", "a")
    pin(nodes, "c2", "a")
    a.slow = True
    begun = len(a.stops)
    pin(nodes, "c1", "b")
    pin(nodes, "c2", "b")
    assert [stop.child for stop in a.stops[begun:]] == ["c1"]
    a.core.stopped("c1", nodes.now)
    nodes.settle()
    assert [stop.child for stop in a.stops[begun:]] == ["c1", "c2"]


# -- copies ----------------------------------------------------------------------------------------------------------------


def test_there_are_so_many_copies_on_nodes_of_their_own() -> None:
    nodes = pair("a", "b", "c")
    nodes.want("a", "x")
    assert sorted(nodes.where("x").values()) == ["running", "running"]
    core = nodes.core("a")
    assert len(core.pids("x")) == 2
    assert core.active("x") == core.pids("x")[0]
    assert core.is_complete("x")
    assert core.is_complete("nobody")
    assert (core.has_copies, core.is_replicated, core.all_active) == (True, True, False)
    assert core.active("nobody") is None


def test_a_checkpoint_is_held_by_all_that_stand_by() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    hold(nodes["a"])
    ticket = keep(nodes, "a", child)
    a = nodes.core("a")
    assert a.lack(child, ticket)
    assert not a.lack("nobody", ticket)
    b = nodes["b"]
    b.core.accepted(child, instance(b, child).born, ticket, nodes.now)
    b.core.accepted(child, 99, ticket, nodes.now)  # some other instance
    nodes.settle()
    assert not a.lack(child, ticket)
    assert b.core.checkpoint(child, instance(b, child).born, nodes.now) is None, "it stands by"
    assert a.checkpoint("nobody", 1, nodes.now) is None


def test_a_checkpoint_that_was_declined_is_offered_again_and_one_that_was_lost() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    a, b = nodes["a"], nodes["b"]
    hold(a)
    ticket = keep(nodes, "a", child)
    assert len(orders(a, Offer)) == 1
    a.core.declined(child, ticket, b.id, "no copy stands by there at this moment", nodes.now)
    a.core.declined(child, ticket, "c#1", "of somebody else", nodes.now)
    nodes.tick(2)
    assert len(orders(a, Offer)) == 2
    nodes.unlink("a", "b")
    nodes.link("a", "b")
    nodes.settle()
    assert len(orders(a, Offer)) == 3
    assert failures(a) == []


def test_checkpoints_are_offered_while_a_child_waits_for_its_move() -> None:
    nodes = pair("a", "b", migration=HotSwap(veto=lambda child, source, target: True))
    child = nodes.child_of("a")
    nodes.want("a", child)
    pin(nodes, child, "b")
    ticket = keep(nodes, "a", child)
    assert not nodes.core("a").lack(child, ticket)
    assert nodes.core("a").why(child, nodes.now).rule == "vetoed"


def test_a_checkpoint_before_the_freeze_is_taken_comes_first() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    a, b = nodes["a"], nodes["b"]
    hold(a)
    pin(nodes, child, "b")
    (freeze,) = orders(a, Freeze)
    ticket = keep(nodes, "a", child)
    assert ticket > freeze.ticket
    again = orders(a, Freeze)[-1]
    assert again.ticket > ticket
    assert len(orders(a, Thaw)) == 1
    assert failures(a) == []
    a.core.froze(child, again.ticket, None, nodes.now)
    assert a.core.checkpoint(child, instance(a, child).born, nodes.now) is None, "its state has been taken"
    nodes.settle()
    b.core.accepted(child, instance(b, child).born, again.ticket, nodes.now)
    nodes.settle()
    assert len(orders(a, Demote)) == 1
    assert instance(b, child).passive is False
    assert instance(a, child).passive is True


def test_the_copy_with_the_newest_state_takes_over() -> None:
    nodes = crowd("a", "b", "c", redundancy=Replication("all"))
    child = nodes.child_of("a")
    nodes.want("a", child)
    owners = [node.partition("#")[0] for node in nodes.core("a").owners(child)]
    first, last = owners[1], owners[2]
    hold(nodes["a"])
    ticket = keep(nodes, "a", child)
    member = nodes[last]
    member.core.accepted(child, instance(member, child).born, ticket, nodes.now)
    nodes.settle()
    hold(member)
    nodes.kill("a")
    assert not instance(member, child).passive
    assert instance(nodes[first], child).passive
    assert [order.term for order in orders(member, Promote)] == [2]


def test_a_copy_stays_until_its_successor_has_a_state() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    keep(nodes, "a", child)
    hold(nodes["a"])
    pin(nodes, child, "a", "c")
    nodes.add("c", strategies=strategies(migration=HotSwap(), redundancy=Replication(2)))
    nodes.tick(2)
    assert set(nodes.where(child)) == {"a", "b", "c"}
    assert nodes.core("b").why(child, nodes.now).rule == "to be relieved"
    assert not nodes.core("a").is_settled
    c = nodes["c"]
    c.core.accepted(child, instance(c, child).born, Ticket(1, 1, nodes["a"].id), nodes.now)
    nodes.tick(2)
    assert set(nodes.where(child)) == {"a", "c"}


def test_a_copy_that_waits_to_be_relieved_takes_over_if_it_must() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    ticket = keep(nodes, "a", child)
    hold(nodes["a"], nodes["b"])
    pin(nodes, child, "a", "c")
    nodes.add("c", strategies=strategies(migration=HotSwap(), redundancy=Replication(2)))
    nodes.tick(2)
    nodes.kill("a")
    assert instance(nodes["b"], child).passive is False
    assert instance(nodes["b"], child).ticket == ticket
    assert [order.child for order in orders(nodes["b"], Freeze)] == [child]  # and hands it over


def test_a_copy_waits_to_be_relieved_for_a_bounded_time() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    keep(nodes, "a", child)
    hold(nodes["a"])
    pin(nodes, child, "a", "c")
    nodes.add("c", strategies=strategies(migration=HotSwap(), redundancy=Replication(2)))
    nodes.tick(int(RELIEF) + 3)
    assert set(nodes.where(child)) == {"a", "c"}


def granted_and_lost(nodes: Crowd, child: str) -> None:
    """a has let go of a child for b, and before b hears of it, it has not the state any more that it was given."""
    nodes.want("a", child)
    keep(nodes, "a", child)
    nodes.held = {("a", "b"), ("c", "b")}
    pin(nodes, child, "b")
    a, b = nodes["a"], nodes["b"]
    assert [order.child for order in orders(a, Demote)] == [child]
    assert instance(b, child).ticket == instance(a, child).ticket == Ticket(1, 2, a.id)
    nodes.held |= {("b", "a"), ("b", "c")}
    b.core.ended(child, instance(b, child).born, nodes.now)
    nodes.settle()
    assert instance(b, child).ticket is None


def test_who_let_go_of_a_child_keeps_its_state_until_it_is_taken_over() -> None:
    nodes = crowd("a", "b", "c", redundancy=Replication("all"))
    child = nodes.child_of("a")
    granted_and_lost(nodes, child)
    a = nodes["a"]
    a.core.leave(nodes.now)  # all others have a copy with a state, be it an older one
    nodes.settle()
    assert a.core.why(child, nodes.now).rule == "to be relieved"
    nodes.held = set()
    nodes.settle()
    assert [order.term for order in orders(a, Promote)] == [3]  # b gave it back
    nodes.tick(3)
    assert a.core.left
    assert instance(nodes["b"], child).passive is False
    assert all(instance(nodes[name], child).ticket is not None for name in "bc")


def test_a_child_that_was_granted_under_a_greater_term_goes_on_above_it_with_its_state() -> None:
    """a runs it, and b, to whom it belongs, had let go of it for a under a later term: neither waits for the other."""
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    a, b = nodes["a"], nodes["b"]
    ticket = keep(nodes, "a", child)
    hold(a, b)
    b.core._store.put(("run", child, b.id), Run(6, "released", a.id), nodes.now)
    nodes.core("b").pin(child, ("b",), nodes.now)
    nodes.settle()
    assert [order.term for order in orders(a, Promote)] == [7]
    assert not a.stops
    assert instance(a, child).ticket == ticket
    a.reluctant = b.reluctant = False
    nodes.unlink("a", "b")
    nodes.link("a", "b")
    nodes.tick(15)
    assert instance(b, child).passive is False
    assert nodes.core("a").is_settled


def test_a_child_that_is_given_back_to_one_without_its_state_goes_to_who_has_the_newest() -> None:
    nodes = crowd("a", "b", "c", redundancy=Replication("all"))
    child = nodes.child_of("a")
    granted_and_lost(nodes, child)
    a, c = nodes["a"], nodes["c"]
    a.core.ended(child, instance(a, child).born, nodes.now)
    nodes.held = set()
    nodes.settle()
    (promoted,) = orders(c, Promote)
    assert promoted.term > 3
    assert instance(c, child).ticket is not None


def test_parked_copies_are_complete_and_a_parked_child_moves_without_its_state() -> None:
    nodes = pair("a", "b")
    child = nodes.child_of("a")
    nodes.want("a", child)
    b = nodes["b"]
    b.core.failed(child, instance(b, child).born, "ValueError: no", nodes.now)
    nodes.settle()
    assert nodes.core("a").is_complete(child)
    assert nodes.core("a").is_settled
    pin(nodes, child, "b")
    assert nodes.core("a").why(child, nodes.now).rule == "warming"
    a = nodes["a"]
    a.core.failed(child, instance(a, child).born, "ValueError: no", nodes.now)
    nodes.settle()
    assert instance(b, child).passive is False
    assert instance(a, child).passive is True


def test_an_update_replaces_copies_and_one_that_changes_nothing_is_adopted() -> None:
    nodes = pair("a", "b")
    nodes.want("a", "x")
    nodes.want("b", "x")
    assert [stop for member in nodes.members.values() for stop in member.stops] == []
    passive = next(member for member in nodes.members.values() if instance(member, "x").passive)
    passive.core.failed("x", instance(passive, "x").born, "ValueError: no", nodes.now)
    nodes.settle()
    nodes.want("a", "x")
    assert [stop.reason for stop in passive.stops] == ["updated"]  # a copy that is parked is tried anew
    nodes.want("a", "x", body=b"new")
    assert [stop.reason for stop in passive.stops] == ["updated"] * 2
    assert nodes.core("a").is_settled


def test_a_copy_that_ends_by_itself_is_made_again() -> None:
    nodes = pair("a", "b")
    nodes.want("a", "x")
    passive = next(member for member in nodes.members.values() if instance(member, "x").passive)
    passive.core.ended("x", instance(passive, "x").born, nodes.now)
    nodes.settle()
    assert sorted(nodes.where("x").values()) == ["running", "running"]
    assert "x" in nodes.core("a").wants


@pytest.mark.parametrize("role", ["active", "passive"])
def test_where_all_are_active_only_the_map_tells_them_apart(role: str) -> None:
    nodes = crowd("a", "b", redundancy=Replication(2, "active_active"))
    child = nodes.child_of("a")
    nodes.want("a", child)
    assert nodes.core("a").all_active
    for name in "ab":
        active = nodes.core(name).active(child)
        assert active is not None
        assert active.node == name
    pin(nodes, child, "b")
    assert [order.child for order in orders(nodes["a"], Demote)] == [child]
    assert orders(nodes["a"], Freeze) == []
    nodes.kill("b" if role == "active" else "a")
    assert len(nodes.members) == 1
    (left,) = nodes.members.values()
    assert instance(left, child).passive is False
    assert not left.core.lack(child, Ticket(1, 1, "a#1"))


def test_without_a_handover_nothing_is_frozen() -> None:
    nodes = crowd("a", "b", migration=HotSwap(handover=False))
    child = nodes.child_of("a")
    nodes.want("a", child)
    pin(nodes, child, "b")
    assert nodes.where(child) == {"b": "running"}
    assert [type(order).__name__ for order in nodes["a"].orders] == ["Forward", "Discard"]
    assert [order.child for order in orders(nodes["b"], Promote)] == [child]


def test_without_a_handover_messages_that_nobody_can_have_are_discarded() -> None:
    nodes = crowd("a", "b", migration=HotSwap(handover=False))
    a = nodes["a"]
    first, second = "c1", "c2"
    nodes.want("a", first, second)
    pin(nodes, first, "a")
    pin(nodes, second, "a")
    a.slow = True
    pin(nodes, first, "b")
    pin(nodes, second, "b")
    assert [stop.reason for stop in a.stops][-2:] == ["moved", "moved"]
    pin(nodes, first, "a")
    nodes.remove("b", second)
    a.orders.clear()
    for child in (first, second):
        a.core.stopped(child, nodes.now)
    nodes.settle()
    assert a.orders == [Discard(second)]
    assert a.starts[-1].child == first  # what waits is for this one


# -- a quorum --------------------------------------------------------------------------------------------------------------


def lapsed() -> tuple[Crowd, str]:
    """Two nodes that had a quorum together, with a child on a and its copy on b, and have lost each other."""
    nodes = pair("a", "b", partition_tolerance=StaticQuorum(2))
    nodes.tick(14)
    child = nodes.child_of("a")
    nodes.want("a", child)
    nodes.tick(2)
    assert nodes.where(child) == {"a": "running", "b": "running"}
    keep(nodes, "a", child)
    nodes.unlink("a", "b")
    nodes.tick(14)
    return nodes, child


def test_a_lapse_of_the_quorum_keeps_copies_and_the_last_checkpoint() -> None:
    nodes, child = lapsed()
    assert nodes.where(child) == {"b": "running"}  # it handles nothing, so it may stay
    assert child in nodes.core("a")._copies.kept
    nodes.link("a", "b")
    nodes.tick(16)
    assert nodes.where(child) == {"a": "running", "b": "running"}
    assert (instance(nodes["a"], child).passive, instance(nodes["b"], child).passive) == (False, True)
    for name in "ab":
        assert (instance(nodes[name], child).ticket or (0,)) >= Ticket(1, 1, nodes["a"].id)
    assert not nodes.core("a")._copies.kept


def test_after_a_lapse_a_child_that_belongs_elsewhere_is_claimed_first_where_its_state_is() -> None:
    nodes, child = lapsed()
    b = nodes["b"]
    b.core.stopped(child, nodes.now)
    nodes.core("b").pin(child, ("b",), nodes.now)
    instance(b, child).ticket = None  # it has begun anew
    nodes.link("a", "b")
    nodes.tick(20)
    assert nodes.where(child)["b"] == "running"
    assert instance(nodes["b"], child).passive is False
    assert Start in {type(order) for order in nodes["a"].starts}
    assert nodes.core("a").is_settled


def test_while_nothing_may_run_here_only_copies_stay() -> None:
    nodes = pair("a", "b")
    rules, copy = nodes.core("a")._rules, Instance(0, Want("A", b""), passive=True)
    assert rules._forbidden(None, copy).do is Do.REST
    assert rules._forbidden(Run(0, "passive"), copy).do is Do.REST
    assert rules._forbidden(Run(1, "released"), copy).do is Do.REST
    assert rules._forbidden(Run(1, "active"), copy).do is Do.GRANT
    assert rules._forbidden(Run(0, "passive"), None).do is Do.DROP
    with pytest.raises(NotImplementedError):
        Instances._reconcile(nodes.core("a"), nodes.now)


def test_rules_say_what_they_wait_for() -> None:
    nodes, child = moving()
    step = nodes.core("a")._rules.decide(child)
    assert (step.do, step.rule) == (Do.REST, "freezing")
    assert nodes.core("a").wants[child] == nodes.core("b").wants[child]
    assert isinstance(nodes.core("a").wants[child], Want)
