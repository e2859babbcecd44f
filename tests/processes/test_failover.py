"""Processes that die, freeze and come back, while their children live on."""

from __future__ import annotations

import pytest
from tests.processes.harness import Cluster, many, together, until
from tests.processes.journal import clock


async def test_sigkill_of_one_of_three(cluster: Cluster) -> None:
    a, b, _c = await cluster.start("a", "b", "c")
    ids = many(120)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.valued(ids, 5)
    places = await cluster.places(ids)
    orphans = {id for id in ids if places[id] == b.name}
    assert orphans, "nothing ran on b: the test would show nothing"
    terms = {id: (await a.call(id, "about"))["term"] for id in sorted(orphans)[:5]}

    killed = b.kill()
    took = await cluster.agreed(ids) - killed

    assert took < 5
    after = await cluster.values(ids)
    assert {id: after[id] for id in ids if id not in orphans} == {id: before[id] for id in ids if id not in orphans}
    assert cluster.journal.starts(since=killed) == dict.fromkeys(orphans, 1)
    assert {life.why for life in cluster.journal.lives() if life.begin > killed} == {"failover"}
    for id, term in terms.items():
        assert (await a.call(id, "about"))["term"] > term
    assert cluster.journal.overlaps() == []
    cluster.runs_once(ids)


@pytest.mark.limit(120)
async def test_sigkill_of_two_of_five_at_once_loses_none_of_1000(cluster: Cluster) -> None:
    a, b, _c, d, _e = await cluster.start("a", "b", "c", "d", "e")
    ids = many(1000)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.valued(ids, 3)
    places = await cluster.places(ids)
    orphans = {id for id in ids if places[id] in (b.name, d.name)}
    assert len(orphans) > 200

    killed = b.kill()
    d.kill()
    took = await cluster.agreed(ids) - killed

    assert took < 10
    after = await cluster.values(ids)
    assert {id: after[id] for id in ids if id not in orphans} == {id: before[id] for id in ids if id not in orphans}
    assert cluster.journal.starts(since=killed) == dict.fromkeys(orphans, 1)
    assert cluster.journal.overlaps() == []
    cluster.runs_once(ids)


@pytest.mark.limit(120)
async def test_a_frozen_node_is_noticed_within_6_seconds_and_comes_back(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(90)
    await cluster.started(a, ids)
    await cluster.agreed(ids)

    frozen = b.freeze()
    noticed = await cluster.met([a, c], within=10) - frozen
    await cluster.agreed(ids, among=[a, c])
    assert noticed < 6

    b.thaw()
    await cluster.met()
    settled = await cluster.agreed(ids)

    await cluster.stays_quiet(3)
    cluster.runs_once(ids)
    twice_after = [pair for pair in cluster.journal.overlaps() if all((life.end or clock()) > settled for life in pair)]
    assert twice_after == []
    assert set((await cluster.places(ids)).values()) == {"a", "b", "c"}


async def test_a_short_freeze_moves_nothing(cluster: Cluster) -> None:
    a, b, _c = await cluster.start("a", "b", "c")
    ids = many(30)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.values(ids)

    frozen = b.freeze()
    await until(lambda: clock() > frozen + 1.5, "a moment passes")
    b.thaw()
    await cluster.agreed(ids)

    await cluster.stays_quiet(2)
    assert await cluster.values(ids) == before


async def test_a_killed_node_that_is_started_again_gets_its_children_back(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(90)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    places = await cluster.places(ids)
    others = await cluster.values([id for id in ids if places[id] != b.name])

    b.kill()
    await cluster.agreed(ids, among=[a, c])
    await cluster.restart(b)
    await cluster.agreed(ids)
    assert await cluster.places(ids) == places

    b.kill()
    await cluster.restart(b)  # before anybody may have noticed
    await cluster.agreed(ids)
    assert await cluster.places(ids) == places
    assert await cluster.values([*others]) == others
    assert cluster.journal.overlaps() == []
    cluster.runs_once(ids)


async def test_the_seed_goes_and_comes_back_while_the_others_stay(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")  # a is the only one that anybody is told of
    ids = many(60)
    await cluster.started(b, ids)
    await cluster.agreed(ids)
    places = await cluster.places(ids)

    a.kill()
    await cluster.met([b, c])
    await cluster.agreed(ids, among=[b, c])
    await cluster.restart(a)
    await cluster.met()
    await cluster.agreed(ids)
    assert await cluster.places(ids) == places
    assert cluster.journal.overlaps() == []


async def test_a_seed_that_knows_nobody_is_found_by_those_who_know_it(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(30)
    await cluster.started(b, ids)
    await cluster.agreed(ids)

    a.kill()
    await cluster.agreed(ids, among=[b, c])
    await cluster.restart(a, join=[])

    await cluster.met()
    await cluster.agreed(ids)
    cluster.runs_once(ids)


async def test_a_node_that_nobody_was_told_of_is_found_again_all_the_same(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(30)
    await cluster.started(b, ids)
    await cluster.agreed(ids)

    c.kill()  # no join list has it: the others have met it, that is all
    await cluster.agreed(ids, among=[a, b])
    await cluster.restart(c, join=[])

    await cluster.met()
    await cluster.agreed(ids)
    cluster.runs_once(ids)


@pytest.mark.limit(120)
async def test_a_declared_child_comes_back_after_all_processes_were_killed(cluster: Cluster) -> None:
    ids = many(20)
    members = await cluster.start("a", "b", "c", children=[{"id": id, "actor": "Child"} for id in ids])
    await cluster.agreed(ids)

    for member in members:
        member.kill()
    for member in members:
        member.start()
    await together(*(member.ready for member in members))

    await cluster.met()
    await cluster.agreed(ids)
    cluster.runs_once(ids)
