"""Starting: many at once, everybody at once, and starts that fail, linger or come to nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from tests.processes.harness import Cluster, Member, Reported, many, node_of, together, until
from tests.processes.journal import clock


async def test_five_nodes_that_boot_at_the_same_moment_form_one_hub(cluster: Cluster) -> None:
    names = ("a", "b", "c", "d", "e")
    ids = many(60, "declared")
    await cluster.start(*names, join=names, children=[{"id": id, "actor": "Child"} for id in ids])

    await cluster.agreed(ids)

    await cluster.stays_quiet(2)
    cluster.runs_once(ids)
    assert cluster.journal.overlaps() == []
    assert set((await cluster.places(ids)).values()) == set(names)


async def test_one_id_started_from_all_nodes_at_once_runs_once(five: Cluster) -> None:
    ids = many(20, "wanted-by-all")

    async def start(member: Member, id: str) -> str:
        try:
            return str(await member.ask("start_one", id=id))
        except Reported as error:
            return error.type

    answers = await together(*(partial(start, member, id) for id in ids for member in five))

    await five.agreed(ids)
    pids = await five.pids(ids)
    for number, id in enumerate(ids):
        mine = answers[number * 5 : number * 5 + 5]
        assert set(mine) <= {pids[id], "AlreadyStarted"}
        assert pids[id] in mine, "nobody has started it, yet it runs"
    assert five.journal.overlaps(ids) == []
    assert five.journal.starts(ids) == dict.fromkeys(ids, 1)
    five.runs_once(ids)


@pytest.mark.parametrize(
    ("kind", "text"), [("ValueError", "no room"), ("KeyError", "no such room"), ("OSError", "no disk")]
)
async def test_a_start_that_raises_tells_why_and_harms_no_sibling(five: Cluster, kind: str, text: str) -> None:
    siblings = many(50, "sibling")
    await five.started(five["a"], siblings)
    before = await five.valued(siblings, 4)
    failing = many(10, "failing")

    result = await five["a"].ask("start", ids=failing, actor="FailsToStart", args=[kind, text])

    assert (result["status"], result["started"], result["rolled_back"]) == ("failed", {}, False)
    assert set(result["errors"]) == set(failing)
    for told in result["errors"].values():
        error = Reported(told)
        assert error.type == "StartFailed"
        assert error.cause is not None
        assert (error.cause.type, error.cause.details["args"]) == (kind, [text])
    one = await five["b"].error_of("start_one", id="alone", actor="FailsToStart", args=[kind, text])
    assert (one.type, one.cause and one.cause.type) == ("StartFailed", kind)
    await five.agreed(siblings)  # the failed ones are withdrawn
    assert await five.values(siblings) == before


async def test_rollback_stops_what_had_started(five: Cluster) -> None:
    siblings = many(10, "sibling")
    await five.started(five["a"], siblings)
    before = await five.values(siblings)
    fine = many(10, "fine")
    await five.started(five["a"], fine)
    await five["a"].ask("stop", ids=fine)

    failing = await five["b"].ask(
        "start", ids=many(5, "failing"), actor="FailsToStart", args=["ValueError", "no"], on_failure="rollback"
    )
    assert (failing["status"], failing["started"]) == ("failed", {})
    mixed = await five["c"].ask("start", ids=[*fine, siblings[0]], on_failure="rollback")

    assert (mixed["started"], mixed["rolled_back"]) == ({}, True)
    assert [Reported(told).type for told in mixed["errors"].values()] == ["AlreadyStarted"]
    await five.agreed(siblings)
    assert await five.values(siblings) == before


async def test_what_was_given_at_the_start_is_seen_from_every_node(five: Cluster) -> None:
    ids = many(10, "tagged")
    await five.started(five["a"], ids, metadata={"owner": "me"}, child_metadata={ids[3]: {"owner": "you"}}, tag="green")
    await five.agreed(ids)
    pids = await five.pids(ids)

    for member in five:
        assert await member.ask("tagged", tag="green") == sorted(ids)
        assert await member.ask("tagged", tag="blue") == []
        for id in ids:
            owner = "you" if id == ids[3] else "me"
            expected = {"pids": [pids[id]], "metadata": {"owner": owner}, "tag": "green"}
            assert await member.ask("about", id=id) == expected
    assert (await five["e"].call(ids[3], "about"))["metadata"] == {"owner": "you"}


async def test_what_runs_already_is_refused_or_adopted(five: Cluster) -> None:
    ids = many(10)
    await five.started(five["a"], ids)
    before = await five.values(ids)

    refused = await five["b"].ask("start", ids=ids)
    assert refused["status"] == "failed"
    assert {Reported(told).type for told in refused["errors"].values()} == {"AlreadyStarted"}
    adopted = await five["c"].ask("start", ids=ids, check_existing=False)

    pids = await five.pids(ids)
    assert (adopted["status"], adopted["started"]) == ("ok", {id: [pid] for id, pid in pids.items()})
    await five.agreed(ids)
    assert await five.values(ids) == before


async def test_a_crash_loop_is_parked_and_its_siblings_notice_nothing(five: Cluster) -> None:
    siblings = many(60, "sibling")
    await five.started(five["a"], siblings)
    before = await five.valued(siblings, 4)

    await five["a"].ask("start", ids=["loop"], actor="CrashLoop")

    async def parked() -> bool:
        return any([await member.events("ChildFailed", "loop") for member in five])

    await until(parked, "ChildFailed is published", within=15)
    (home,) = [member for member in five if await member.events("ChildFailed", "loop")]
    assert "Broken" in (await home.events("ChildFailed", "loop"))[0]["error"]
    assert len(await home.events("ChildRestarted", "loop")) <= 101

    # Meanwhile it is tried again with backoff, so whether it is parked at this moment is its own affair.
    quick = await five["b"].ask("start", ids=["quick"])
    assert (quick["status"], quick["seconds"] < 1) == ("ok", True)
    assert await five.values(siblings) == before
    assert (await five["c"].ask("stop", ids=["loop"]))["status"] == "ok"
    await five.agreed([*siblings, "quick"])
    assert await five.values(siblings) == before


async def test_a_parked_child_counts_as_settled_and_stays_listed(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b", hub={"max_restarts": 2, "max_seconds": 30.0})
    ids = many(10)
    await cluster.started(a, ids)

    await a.ask("start", ids=["loop"], actor="CrashLoop")

    async def seen_parked() -> bool:
        views = await cluster.views()
        statistics = [await member.ask("statistics") for member in (a, b)]
        return all(view["settled"] and view["pids"]["loop"] == [] for view in views.values()) and all(
            numbers["parked"] == 1 and numbers["children"] == len(ids) + 1 for numbers in statistics
        )

    await until(seen_parked, "both see it parked, and all settled", within=15)


async def test_a_start_that_takes_7_seconds_delays_no_other(five: Cluster) -> None:
    answers: dict[str, dict[str, Any]] = {}

    async def start_slowly() -> None:
        answers["slow"] = await five["a"].ask("start", ids=many(5, "slow"), actor="SlowToStart", args=[7.0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start_slowly)

        async def wanted() -> bool:
            return len((await five["e"].ask("view"))["pids"]) == 5

        await until(wanted, "the slow ones are wanted everywhere")
        for member in five:
            quick = await member.ask("start", ids=many(40, f"quick-{member.name}"))
            assert (quick["status"], quick["seconds"] < 1) == ("ok", True), quick["seconds"]
        assert not answers, "it was not slow"
    assert answers["slow"]["status"] == "ok"
    assert answers["slow"]["seconds"] >= 7


@pytest.mark.limit(120)
async def test_150_crashes_at_once_are_in_every_registry_within_a_second(five: Cluster) -> None:
    ids = many(1000)
    await five.started(five["a"], ids)
    await five.agreed(ids)
    before = await five.valued(ids, 6)
    pids = await five.pids(ids)
    victims = ids[::7][:150]

    crashed = max(
        await together(*(partial(m.ask, "send", ids=victims[n::5], message="crash") for n, m in enumerate(five)))
    )
    took = await five.agreed(ids, gone=[pids[id] for id in victims]) - crashed

    assert took < 1
    after = await five.values(ids)
    survivors = set(ids) - set(victims)
    assert {id: after[id] for id in survivors} == {id: before[id] for id in survivors}
    now = await five.pids(ids)
    assert all(node_of(now[id]) == node_of(pids[id]) for id in victims), "a crash is no reason to move"
    assert {after[id][0] for id in victims} == {0}
    assert five.journal.overlaps(ids) == []


@pytest.mark.parametrize(("restart", "method"), [("temporary", "crash"), ("transient", "finish")])
async def test_a_child_that_is_not_to_be_restarted_is_gone_everywhere(five: Cluster, restart: str, method: str) -> None:
    siblings = many(30, "sibling")
    await five.started(five["a"], siblings)
    before = await five.valued(siblings, 1)
    began = clock()
    await five.started(five["a"], ["once"], spec={"restart": restart})

    await five["b"].ask("cast", ids=["once"], method=method)

    await five.agreed(siblings)
    assert five.journal.starts(["once"], since=began) == {"once": 1}
    assert await five.values(siblings) == before


async def test_stopping_an_unknown_child_answers_at_once(five: Cluster) -> None:
    began = trio.current_time()
    error = await five["c"].error_of("stop_one", id="nobody")
    assert trio.current_time() - began < 0.5
    assert error.type == "NoSuchActor"
    assert "nobody" in error.text

    await five.started(five["a"], ["somebody"])
    result = await five["b"].ask("stop", ids=["somebody", "nobody"])
    assert result["seconds"] < 1
    assert (result["status"], [*result["stopped"]]) == ("partial", ["somebody"])
    assert {id: Reported(told).type for id, told in result["errors"].items()} == {"nobody": "NoSuchActor"}
    await five.agreed([])


async def test_1000_children_are_stopped_everywhere(five: Cluster) -> None:
    ids = many(1000)
    await five.started(five["d"], ids)
    result = await five["b"].ask("stop", ids=ids, within=60)
    assert (result["status"], len(result["stopped"])) == ("ok", 1000)
    await five.agreed([])
    assert five.journal.running() == {}


async def test_nothing_that_is_awaited_waits_for_a_beat(cluster: Cluster) -> None:
    slow = {"beat": 10.0, "down_after": 30.0}
    a, b, c = await cluster.start("a", "b", "c", node=slow, hubs=("shop", "another"))
    ids = many(30)
    assert (await a.ask("start", ids=ids))["seconds"] < 2
    await cluster.agreed(ids, within=2)
    failed = await b.ask("start", ids=many(6, "failing"), actor="FailsToStart", args=["ValueError", "no"])
    assert (failed["status"], failed["seconds"] < 2) == ("failed", True)
    child = await cluster.one_on(b, ids)
    assert (await a.ask("move", id=child, node="c", within=2)).startswith("<c#")
    assert (await c.ask("stop", ids=ids))["seconds"] < 2
    await cluster.agreed([], within=2)

    await cluster.started(c, ids)
    killed = b.kill()
    assert await cluster.agreed(ids) - killed < 2
    await cluster.restart(b)
    await cluster.agreed(ids, within=2)
