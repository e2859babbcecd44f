"""Leaving: gracefully, by an exception, and in bounded time."""

from __future__ import annotations

import signal

from tests.processes.harness import Cluster, many
from tests.processes.journal import clock
from tests.processes.member import DELIBERATE


async def test_a_graceful_leave_hands_all_children_over(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(90)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.valued(ids, 2)
    places = await cluster.places(ids)
    moved = {id for id in ids if places[id] == b.name}

    asked = clock()
    b.signal(signal.SIGTERM)
    code = await b.ended()
    ended = clock()

    assert code == 0
    assert await cluster.met([a, c]) - ended < 1
    assert await cluster.agreed(ids) - ended < 1
    after = await cluster.values(ids)
    assert {id: after[id] for id in ids if id not in moved} == {id: before[id] for id in ids if id not in moved}
    assert cluster.journal.starts(since=asked) == dict.fromkeys(moved, 1)
    assert {life.why for life in cluster.journal.lives() if life.begin > asked} == {"migration"}
    assert cluster.journal.overlaps() == []
    for member in (a, c):
        assert [event["node"] for event in await member.events("NodeLeaving")] == ["b"]
        assert "b" in [event["node"] for event in await member.events("NodeLeft")]


async def test_a_drained_hub_has_no_children_here_and_its_process_lives_on(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b")
    ids = many(30)
    await cluster.started(a, ids)
    await cluster.agreed(ids)

    await b.ask("drain")

    await cluster.met([a])
    await cluster.agreed(ids, among=[a])
    assert b.alive
    cluster.runs_once(ids)
    assert cluster.journal.overlaps() == []


async def test_the_last_one_to_leave_stops_its_children(cluster: Cluster) -> None:
    (a,) = await cluster.start("a")
    ids = many(10)
    await cluster.started(a, ids)

    a.signal(signal.SIGTERM)

    assert await a.ended(within=10) == 0
    stopped = [line for line in cluster.journal.path.read_text().splitlines() if line.startswith("stop")]
    assert len(stopped) == len(ids)


async def test_leaving_by_an_exception_lets_the_others_take_over_at_once(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(90)
    await cluster.started(a, ids)
    await cluster.agreed(ids)

    asked = clock()
    await b.fail()
    took = await cluster.agreed(ids, among=[a, c]) - asked

    assert took < 1
    assert await b.ended() == DELIBERATE, "the block let out another exception than its body's"
    assert await cluster.met([a, c]) - asked < 2
    assert cluster.journal.overlaps() == []
    cluster.runs_once(ids)


async def test_leaving_by_an_exception_is_bounded_whatever_the_children_want(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b", hub={"cancel_grace": 0.5})
    ids = many(12, "lingerer")
    await cluster.started(a, ids, actor="SlowToStop", args=[60.0], spec={"shutdown": 90.0})
    await cluster.agreed(ids)

    asked = clock()
    await b.fail()
    assert await b.ended() == DELIBERATE

    assert clock() - asked < 3  # twice the grace, and something for the process itself
    await cluster.agreed(ids, among=[a])
