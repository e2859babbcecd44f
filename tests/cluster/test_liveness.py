"""Who is there: news, silence, proof."""

from __future__ import annotations

from hubkit.cluster.liveness import MOST, Liveness


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
    live.linked("b#2", 1.0)
    live.linked("b#1", 1.0)
    assert live.proven_dead("b#1")  # not even a handshake: it must have been the last before its end


def test_a_newer_boot_that_is_only_spoken_of_proves_nothing() -> None:
    live = make()
    live.linked("b#1", 0.0)
    for now in (0.0, 1.0, 2.0):
        live.heard({"b#1": int(now) + 1}, now, "b#1")
        live.mention("b#9", now)
        live.heard({"b#9": int(now)}, now, "c#1")
        assert live.alive("b#1", now)
        assert not live.proven_dead("b#1")
        assert not live.alive("b#9", now)  # the name is b#1's
    live.heard({"b#9": 7}, 6.5, "c#1")  # b#1 is out of touch
    assert live.proven_dead("b#1")
    assert live.alive("b#9", 6.5)
    live.linked("b#1", 7.0)
    assert live.alive("b#1", 7.0)
    live.refuse("b#1")
    live.heard({"b#9": 8}, 7.0, "c#1")
    assert live.proven_dead("b#1")
    live.heard({"a#5": 1}, 7.0, "c#1")
    assert not live.alive("a#5", 7.0)  # my own name, of all
    assert live.alive("a#1", 7.0)


def test_what_a_node_says_of_itself_outweighs_what_others_say() -> None:
    live = make()
    assert live.heard({"b#1": 1 << 60, "c#1": 1 << 60}, 0.0, "d#1") == {"b#1", "c#1"}
    assert live.heard({"b#1": 5}, 1.0, "b#1") == {"b#1"}
    assert live.heard({"b#1": 6}, 2.0, "b#1") == {"b#1"}
    assert live.heard({"b#1": 6}, 2.0, "b#1") == frozenset()  # it has said so already
    assert live.heard({"c#1": 9}, 2.0, "b#1") == frozenset()  # hearsay against hearsay: the greater
    assert live.heard({"c#1": 9}, 2.0, "d#1") == {"c#1"}  # who exaggerated corrects itself
    assert live.heard({"c#1": 1 << 60}, 3.0, "d#1") == {"c#1"}
    assert live.heard({"c#1": 10}, 8.0, "b#1") == {"c#1"}  # d is gone, and its word is void
    assert live.heard({"c#1": 3}, 8.0) == frozenset()  # of whoever


def test_those_that_nobody_met_are_not_remembered_without_end() -> None:
    live = make()
    live.linked("b#1", 0.0)
    live.heard({f"n{n}#1": 1 for n in range(2 * MOST)}, 0.0, "b#1")
    assert len(live.beat(0.0)) <= MOST + 2
    for n in range(3 * MOST):
        live.mention(f"m{n}#1", 1.0)
        live.mention(f"b#{n + 2}", 1.0)
    assert live.alive("b#1", 1.0)
    tables = (live._heard, live._numbers, live._boots, live._touch, live._tellers)
    assert sum(len(table) for table in tables) + len(live._rumours) < 6 * MOST


def test_where_many_are_remembered_hearsay_adds_nobody_and_tells_of_those_that_are_known() -> None:
    live = make()
    live.linked("b#1", 0.0)
    live.heard({f"n{n}#1": 1 for n in range(MOST - 1)}, 0.0, "b#1")
    assert live.heard({"x#1": 1, "n0#1": 2, "b#1": 1}, 1.0, "b#1") == frozenset({"n0#1", "b#1"})
    assert "x#1" not in live.beat(1.0)
    assert live.heard({"x#1": 1}, 1.0, "x#1") == frozenset({"x#1"})  # its own word


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
