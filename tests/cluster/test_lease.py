"""A lease is arithmetic: when it begins, when it ends, who has let go for certain, and who may vote."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hubkit.cluster.lease import Lease
from hubkit.cluster.policy import QuorumView
from hubkit.cluster.stamps import NEVER
from hubkit.strategies import MajorityQuorum, StaticQuorum

VIEW = QuorumView()
OLD = 1000.0  # so long after its birth that it votes


def lease(terms: Any = None, now: float = 0.0) -> Lease:
    return Lease("a#1", terms or StaticQuorum(2, lease=4.0, stop=5.0, drift=0.0), now)


def test_the_wait_covers_the_lease_the_stop_and_the_drift_of_two_clocks() -> None:
    assert lease(StaticQuorum(1, lease=4, stop=5, drift=0)).wait == 9
    assert lease(StaticQuorum(1, lease=4, stop=3, drift=0)).wait == 8
    assert lease(StaticQuorum(1, lease=4, stop=5, drift=0.01)).wait == pytest.approx(9 * 1.01 / 0.99)


def test_it_lasts_from_the_beat_that_was_acknowledged_not_from_the_acknowledgement() -> None:
    one = lease()
    one.beat((1, 0), OLD)
    one.beat((2, 0), OLD + 1)
    assert not one.allowed(OLD + 2, VIEW)
    one.acknowledged("b", (1, 5))  # later than the first beat, and not as late as the second
    assert one.allowed(OLD + 3, VIEW)
    assert one.until == OLD + 4
    assert one.in_touch(OLD + 3) == ("a", "b")
    one.acknowledged("b", (1, 0))  # what is older says nothing new
    one.acknowledged("b", (2, 0))
    assert one.allowed(OLD + 3.5, VIEW)
    assert one.until == OLD + 5
    assert one.stop_bound == 5


def test_what_is_read_after_the_end_does_not_undo_it() -> None:
    one = lease()
    one.beat((1, 0), OLD)
    one.acknowledged("b", (1, 0))
    assert one.allowed(OLD, VIEW)
    began = one.lapses
    assert one.may_act(began, OLD + 3.9)
    assert not one.may_act(began, OLD + 4)
    one.beat((2, 0), OLD + 3)
    one.look(OLD + 5)
    one.acknowledged("b", (2, 0))  # it came in time, and is read too late
    assert not one.allowed(OLD + 5, VIEW)
    assert not one.allowed(OLD + 5, VIEW)
    assert (one.ended, one.stop_by) == (OLD + 4, OLD + 9)
    one.acted()
    assert one.allowed(OLD + 5, VIEW)  # a new lease; and what ran before must not go on in it
    assert not one.may_act(began, OLD + 5)
    assert one.may_act(one.lapses, OLD + 5)


def test_it_ends_at_once_when_others_turn_out_to_vote() -> None:
    one = lease(MajorityQuorum(voters=("a", "b"), lease=4, stop=5, drift=0))
    one.beat((1, 0), OLD)
    one.acknowledged("b", (1, 0))
    assert one.allowed(OLD + 1, VIEW)
    assert not one.allowed(OLD + 2, QuorumView(voters=frozenset("abcde")))
    assert one.ended == OLD + 2


def test_a_beat_that_is_older_than_the_lease_is_forgotten() -> None:
    one = lease()
    one.beat((1, 0), OLD)
    one.beat((2, 0), OLD + 4.5)
    one.acknowledged("b", (1, 0))
    assert not one.allowed(OLD + 4.5, VIEW)
    assert one.until == -math.inf


def test_who_was_just_started_does_not_vote_not_even_for_itself() -> None:
    one = lease(StaticQuorum(1, lease=4, stop=5, drift=0), now=OLD)
    assert not one.votes(OLD + 9)
    assert not one.allowed(OLD + 9, VIEW)
    assert one.in_touch(OLD + 9) == ()
    assert one.floor((7, 7), OLD + 9, VIEW) == NEVER
    assert one.votes(OLD + 9.1)
    assert one.allowed(OLD + 9.1, VIEW)
    assert one.floor((7, 7), OLD + 9.1, VIEW) == (7, 7)


def test_an_acknowledgement_by_an_earlier_life_of_my_own_is_none() -> None:
    one = lease(StaticQuorum(1), now=OLD)
    one.beat((1, 0), OLD)
    one.acknowledged("a", (1, 0))
    assert not one.allowed(OLD + 1, VIEW)


def test_a_quorum_knows_what_the_last_of_it_knows() -> None:
    one = lease(StaticQuorum(3, drift=0))
    one.acknowledged("b", (5, 0))
    assert one.floor((9, 0), OLD, VIEW) == NEVER
    one.acknowledged("c", (3, 0))
    assert one.floor((9, 0), OLD, VIEW) == (3, 0)


def test_silence_is_counted_from_the_last_news_or_from_my_own_birth() -> None:
    one = lease()
    assert not one.gone("b#1", 9.0)
    assert one.gone("b#1", 9.1)
    one.heard("b#1", 20.0)
    assert not one.gone("b#1", 29.0)
    assert one.gone("b#1", 29.5)
