"""Rumours: a few are told, each tells a few more, and in the end all know, with no node having to tell all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cluster.crowd import Crowd, strategies

from hubkit.cluster.effects import Send
from hubkit.cluster.rows import Key, Row, Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync
from hubkit.errors import ConfigurationError
from hubkit.strategies import Gossip, PubSub, Synchronization

NAMES = [f"n{number:02}" for number in range(20)]


def crowd_of(names: list[str], **options: Any) -> Crowd:
    """So many nodes that gossip, long settled, and quiet."""
    crowd = Crowd(*names, strategies=strategies(synchronization=Gossip(**{"sync_interval": 1e6, **options})))
    crowd.tick(2 * len(names))
    clear(crowd)
    return crowd


def clear(crowd: Crowd) -> None:
    for member in crowd.members.values():
        member.sent.clear()


def sent(crowd: Crowd, *, rows: bool | None = None) -> list[tuple[str, str, Sync]]:
    """What has been sent: all, or only what has rows, or only what has none."""
    return [
        (name, peer, sync)
        for name, member in crowd.members.items()
        for peer, sync in member.sent
        if rows is None or bool(sync.rows) is rows
    ]


def same_maps(crowd: Crowd) -> bool:
    cores = [member.core for member in crowd.members.values()]
    return all((c._store.rows, c._store.version) == (cores[0]._store.rows, cores[0]._store.version) for c in cores)


# -- the strategy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "soon", None, True])
def test_a_wrong_interval_is_refused(interval: float) -> None:
    with pytest.raises(ConfigurationError, match=r"Gossip\.sync_interval"):
        Gossip(sync_interval=interval)


@pytest.mark.parametrize("fanout", [0, -1, True, False, 2.0, "3", None])
def test_a_wrong_fanout_is_refused(fanout: int) -> None:
    with pytest.raises(ConfigurationError, match=r"Gossip\.fanout"):
        Gossip(fanout=fanout)


def test_it_is_a_value() -> None:
    strategy: Synchronization = Gossip()
    assert strategy == Gossip(15.0, 3)
    assert hash(strategy) == hash(Gossip())
    assert Gossip().forwards is True
    assert not hasattr(PubSub(), "forwards")


@given(count=st.integers(0, 60), fanout=st.integers(1, 8), round=st.integers(0, 2**40))
def test_it_names_as_many_as_it_should_and_others_in_the_next_round(count: int, fanout: int, round: int) -> None:
    peers, strategy = [f"n{number:02}#1" for number in range(count)], Gossip(fanout=fanout)
    chosen = list(strategy.targets(peers, round))
    assert chosen == list(Gossip(fanout=fanout).targets(tuple(peers), round))
    assert len(chosen) == len(set(chosen)) == min(fanout, count)
    assert set(chosen) <= set(peers)
    if count > fanout and count > 1:
        assert set(chosen) != set(strategy.targets(peers, round + 1))


@given(count=st.integers(1, 60), fanout=st.integers(2, 8))
def test_in_time_everybody_has_a_turn(count: int, fanout: int) -> None:
    peers, strategy = [f"n{number:02}#1" for number in range(count)], Gossip(fanout=fanout)
    assert {peer for round in range(count) for peer in strategy.targets(peers, round)} == set(peers)


@given(nodes=st.integers(1, 60), fanout=st.integers(1, 6), round=st.integers(0, 2**40))
def test_if_all_who_hear_tell_their_targets_all_hear(nodes: int, fanout: int, round: int) -> None:
    strategy, heard, fresh = Gossip(fanout=fanout), {0}, [0]
    while fresh:
        node = fresh.pop()
        peers = [str((node + distance) % nodes) for distance in range(1, nodes)]
        for peer in map(int, strategy.targets(peers, round)):
            if peer not in heard:
                heard.add(peer)
                fresh.append(peer)
    assert heard == set(range(nodes))


# -- what goes over links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fanout", [1, 2, 3])
def test_a_change_is_told_to_a_few_and_reaches_all_before_the_next_beat(fanout: int) -> None:
    crowd = crowd_of(NAMES, fanout=fanout)
    crowd.want("n00", "x", start="nobody can")
    assert all("x" in member.core.wants for member in crowd.members.values())
    tellings = sent(crowd, rows=True)
    for name in NAMES:
        assert len([1 for sender, _, _ in tellings if sender == name]) <= fanout
    assert all(set(sync.rows) == {("want", "x")} for _, _, sync in tellings)  # and nothing that is known already
    assert {peer for sender, peer, _ in sent(crowd, rows=False)} == {"n00#1"}  # its writer alone is answered at once


def test_nobody_is_told_by_who_knows_that_it_knows() -> None:
    crowd = crowd_of(NAMES[:3])
    crowd.want("n00", "x", start="nobody can")
    tellings = [(sender, peer) for sender, peer, _ in sent(crowd, rows=True)]
    assert len(set(tellings)) == len(tellings)
    assert not [1 for sender, peer in tellings if peer == "n00#1"]


def test_a_beat_costs_each_node_a_few_messages_and_in_the_end_all_know_that_all_know() -> None:
    crowd = crowd_of(NAMES)
    crowd.want("n00", "x", "y", start="nobody can")
    crowd.remove("n03", "x")
    clear(crowd)
    for _ in range(len(NAMES) // 3 + 1):
        crowd.tick()
        beat = sent(crowd, rows=False)
        assert not sent(crowd, rows=True)
        assert all(len([1 for sender, _, _ in beat if sender == name]) <= 3 for name in NAMES)
        clear(crowd)
    assert all(not member.core._store.tombstones() for member in crowd.members.values())
    crowd.tick(2)
    assert not sent(crowd)
    assert same_maps(crowd)


def test_claims_go_to_all_at_once_and_starts_wait_for_no_beat() -> None:
    crowd = crowd_of(NAMES)
    crowd.want("n00", *(f"c{number}" for number in range(100)))
    assert all(member.core.is_settled for member in crowd.members.values())
    assert not any(member.core._rules.announced for member in crowd.members.values())
    claims = [
        (sender, key)
        for sender, _, sync in sent(crowd, rows=True)
        for key, row in sync.rows.items()
        if getattr(row.value, "role", "") == "claiming"
    ]
    assert len(claims) == 100 * (len(NAMES) - 1)  # each of them once to each: nobody passes them on
    assert all(key[-1] == crowd[sender].id for sender, key in claims)


def test_who_was_passed_over_says_so_and_is_told() -> None:
    """All links to one node stand still while the rumour goes round; then it learns within a few beats."""
    crowd = crowd_of(NAMES)
    crowd.want("n00", "x", start="nobody can")
    lost = crowd["n07"].core
    assert "x" in lost.wants
    for name in NAMES:
        if name != "n07":
            crowd.unlink(name, "n07")
    crowd.want("n00", "y", start="nobody can")
    assert "y" not in lost.wants
    for name in NAMES[:3]:
        crowd.link(name, "n07")
    crowd.settle()
    assert "y" in lost.wants
    crowd.held = {(name, "n07") for name in NAMES[1:3]}
    crowd.unlink("n00", "n07")
    crowd.want("n05", "z", start="nobody can")
    assert "z" not in lost.wants
    crowd.held = set()
    crowd.tick(4)
    assert "z" in lost.wants


def test_a_removal_is_passed_on_though_a_creation_has_come_since() -> None:
    """Who has seen a removal, by its version, must not keep what was removed until the creation arrives."""
    crowd = crowd_of(list("abcd"), fanout=2)
    crowd.want("d", "x", start="nobody can")
    crowd.held = {(one, other) for one in "abcd" for other in "abcd"}
    b = crowd.core("b")
    crowd.core("a").write_wants({"x": None}, crowd.now)
    removal = crowd.core("a")._store.rows["want", "x"]
    b.receive("a#1", Sync({("want", "x"): removal}, {"a#1": removal.stamp[:2]}, {}, {}, "delta", False, 0), crowd.now)
    b.write_wants({"x": Want("nobody can", b"again")}, crowd.now)
    told = [effect.sync for effect in b.take() if isinstance(effect, Send)]
    assert any("a#1" in sync.upto for sync in told)
    assert all(("want", "x") in sync.rows for sync in told if "a#1" in sync.upto)


def test_a_wave_that_overtakes_another_is_asked_to_begin_earlier() -> None:
    crowd = crowd_of(list("abc"))
    crowd.held = {("a", "c"), ("b", "c")}
    crowd.want("a", "x", start="nobody can")
    c = crowd.core("c")
    store = crowd.core("b")._store
    queue = crowd.links["b#1", "c#1"]
    assert queue
    queue.clear()  # as if it were still on another way
    crowd.want("a", "y", start="nobody can")
    crowd.held = {("a", "c")}
    crowd.settle()
    assert {"x", "y"} <= c.wants.keys()
    assert store.rows["want", "x"] == c._store.rows["want", "x"]


@dataclass(frozen=True)
class Chain:
    """Tells the next of the circle, and may be left to the default."""

    sync_interval: float = 1e6
    forwards: bool = True

    def targets(self, peers: list[str], round: int) -> list[str]:
        return peers[:1]


def test_what_accompanies_a_removal_is_told_from_where_the_peer_is() -> None:
    """Else the reason would be left out there, for it begins too late, and the removal taken."""
    crowd = crowd_of(["a", "b", "c"], fanout=2)
    a, b, c = (crowd[name].id for name in "abc")
    crowd.held = {("a", "c"), ("b", "c")}
    crowd.want("a", "x", start="nobody can")
    crowd.links[b, c].clear()  # b holds it for told
    crowd.held.add(("a", "b"))
    crowd.want("a", "z", start="nobody can")
    core = crowd.core("b")
    for sync in crowd.links[a, b]:
        core.receive(a, sync, crowd.now)
    core._replication.accompany(("want", "z"))
    (told,) = [effect.sync for effect in core.take() if isinstance(effect, Send) and effect.peer == c]
    assert {("want", "x"), ("want", "z")} <= told.rows.keys()
    assert told.since[a] == crowd.core("c")._store.version[a]


@pytest.mark.parametrize("gone", [True, False], ids=["removed", "it stands by"])
def test_who_lets_go_is_told_of_together_with_who_holds(gone: bool) -> None:
    """Else a term falls for a moment where the one is known and the other not yet."""
    crowd = crowd_of(["a", "b", "c", "e"], fanout=3)
    a, c, e = (crowd[name].id for name in "ace")
    core = crowd.core("b")
    store = core._store

    def told(writer: str, value: Run | None) -> None:
        before = store.version[writer]
        stamp = Stamp(before[0] + 1, 0, writer)
        rows: dict[Key, Row] = {("run", "x", writer): Row(stamp, value)}
        core.receive(writer, Sync(rows, {writer: stamp[:2]}, {writer: before}, {}, "delta", False, 0), crowd.now)

    told(a, Run(2, "released", e))
    told(e, Run(3, "active"))
    seen = core._replication.acked[c][e]
    core.take()
    core._replication.links[c].told[e] = seen  # another than this node was to tell it
    told(a, None if gone else Run(0, "passive"))
    (heard,) = [effect.sync for effect in core.take() if isinstance(effect, Send) and effect.peer == c]
    assert heard.rows.keys() >= {("run", "x", a), ("run", "x", e)}


def test_peers_begin_behind_the_asking_node() -> None:
    crowd = Crowd(*"abcd", strategies=strategies(synchronization=Chain()))
    crowd.tick(10)
    clear(crowd)
    crowd.want("c", "x", start="nobody can")
    assert [(sender, peer) for sender, peer, _ in sent(crowd, rows=True)] == [
        ("a", "b#1"), ("c", "d#1"), ("d", "a#1"),
    ]  # fmt: skip


def test_they_compare_from_time_to_time_all_the_same() -> None:
    crowd = crowd_of(list("abc"), sync_interval=5.0)
    crowd.tick(11)
    assert {(sender, peer) for sender, peer, _ in sent(crowd)} == {
        (one, f"{other}#1") for one in "abc" for other in "abc" if one != other
    }
