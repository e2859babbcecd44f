"""Who is there: news, silence, proof."""

from __future__ import annotations

from hubkit.cluster.liveness import Liveness


def make(now: float = 0.0) -> Liveness:
    return Liveness("a#1", now, beat=1.0, down_after=4.0)


def test_a_node_is_alive_while_its_number_grows() -> None:
    live = make()
    assert live.heard({"b#1": 1}, 1.0) == frozenset({"b#1"})
    assert live.alive("b#1", 5.0)
    assert not live.alive("b#1", 5.1)
    assert live.gone("b#1", 5.1)
    assert not live.proven_dead("b#1")


def test_an_old_number_is_no_news() -> None:
    live = make()
    live.heard({"b#1": 3}, 1.0)
    assert live.heard({"b#1": 3, "c#1": 1}, 4.0) == frozenset({"c#1"})
    assert not live.alive("b#1", 5.5)


def test_news_counts_by_whatever_path() -> None:
    """a never hears b itself; but c does, and passes on its number."""
    live, third = make(), Liveness("c#1", 0.0)
    for second in range(10):
        third.heard({"b#1": second}, second)
        live.heard(third.beat(second), second)
    assert live.alive("b#1", 9.0)


def test_my_heartbeat_tells_my_number_and_those_in_sight() -> None:
    live = make()
    live.heard({"b#1": 7}, 0.0)
    live.heard({"c#1": 9}, 3.0)
    assert live.beat(3.0) == {"a#1": 1, "b#1": 7, "c#1": 9}
    assert live.beat(5.0) == {"a#1": 2, "c#1": 9}
    assert live.heard({"a#1": 99}, 5.0) == frozenset()  # what others think of me is no news


def test_i_am_always_alive() -> None:
    live = make()
    live.refuse("a#1")
    live.refuted("a#1", 1.0)
    live.mention("a#1", 1.0)
    live.forget("a#1")
    assert live.alive("a#1", 1000.0)
    assert not live.gone("a#1", 1000.0)
    assert not live.proven_dead("a#1")


def test_respect_and_proof_differ() -> None:
    """One that is only spoken of is respected for a while, once; it is neither in sight for ever, nor dead."""
    live = make()
    assert not live.alive("b#1", 0.0)
    assert not live.gone("b#1", 1.0)
    assert live.gone("b#1", 4.5)  # never heard of since I was born
    live.mention("b#1", 10.0)
    live.mention("b#1", 13.0)
    assert live.alive("b#1", 14.0)
    assert not live.alive("b#1", 14.1)
    assert live.gone("b#1", 14.1)


def test_proof_needs_no_waiting_and_a_handshake_takes_it_back() -> None:
    live = make()
    live.linked("b#1", 0.0)
    live.refuse("b#1")
    assert live.proven_dead("b#1")
    assert live.gone("b#1", 0.0)
    assert not live.alive("b#1", 0.0)
    live.heard({"b#1": 1}, 0.5)  # what was still under way says nothing
    assert live.proven_dead("b#1")
    live.linked("b#1", 1.0)
    assert live.alive("b#1", 1.0)


def test_one_who_writes_itself_back_is_believed() -> None:
    live = make()
    live.refuse("b#1")
    live.refuted("b#1", 2.0)
    assert live.alive("b#1", 6.0)
    assert not live.alive("b#1", 6.1)


def test_a_newer_boot_proves_the_older_one_dead() -> None:
    live = make()
    live.linked("b#1", 0.0)
    live.refuse("b#1")
    live.refuse("c#1")
    live.mention("b#2", 0.0)
    assert live.proven_dead("b#1")
    assert live.alive("b#2", 0.0)
    live.forget("b#1")
    assert live.proven_dead("b#1")  # that it was superseded stays known
    assert live.proven_dead("c#1")
    live.linked("b#1", 1.0)
    assert live.proven_dead("b#1")  # not even a handshake: it must have been the last before its end


def test_a_message_is_news_too_but_takes_no_proof_back() -> None:
    live = make()
    live.spoke("b#1", 3.0)
    assert live.alive("b#1", 7.0)
    live.refuse("b#1")
    live.spoke("b#1", 4.0)
    assert live.proven_dead("b#1")


def test_forgetting_leaves_nothing_behind() -> None:
    live = make()
    live.heard({"b#1": 5}, 0.0)
    live.forget("b#1")
    assert not live.alive("b#1", 0.0)
    assert live.beat(0.0) == {"a#1": 1}


def test_my_own_sleep_is_not_held_against_the_others() -> None:
    live = make()
    live.heard({"b#1": 1}, 0.0)
    live.heard({"c#1": 1}, 9.5)
    live.heard({"d#1": 1}, 5.0)
    live.woke(6.0, 10.0)  # asleep from 4 to 10
    assert live.alive("b#1", 10.0)
    assert live.alive("c#1", 13.9)
    assert not live.alive("c#1", 14.1)  # nobody gets more than the present
    assert live.alive("d#1", 13.9)


def test_who_was_silent_before_i_slept_stays_silent() -> None:
    live = make()
    live.heard({"b#1": 1}, 0.0)
    live.woke(10.0, 20.0)
    assert not live.alive("b#1", 20.0)


def test_by_how_much_a_boot_is_superseded() -> None:
    table = Liveness("a#5", 0.0)
    assert table.superseded("b#7") == 0  # nothing is known of it
    table.linked("b#7", 1.0)
    assert [table.superseded(f"b#{boot}") for boot in (3, 7, 9)] == [4, 0, 0]
    table.refuse("b#7")
    table.forget("b#7")
    assert table.superseded("b#3") == 4  # what is gone has been
    assert table.superseded("a#1") == 4
