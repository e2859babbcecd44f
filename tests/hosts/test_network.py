"""Five processes on five hosts, and what networks do to them.

The bounds: a node is missed after 3 s of silence; the rest is a second or two for deciding and starting, twice that for a
loaded machine, and, when the network is back, the longest pause between two dials.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.hosts.conftest import VAULT, HostCluster
from tests.hosts.lan import Lan
from tests.processes.harness import Member, Reported, many, until
from tests.processes.journal import clock

MISSED = 12.0
BACK = 25.0
#: What a call may take to end, whatever happens.
ENDS = 20.0

IDS = many(40)

pytestmark = pytest.mark.limit(120)


@pytest.fixture
async def settled(five: HostCluster) -> HostCluster:
    """Five members with forty children, on every one some."""
    await five.started(five["a"], IDS)
    await five.agreed(IDS)
    assert set((await five.places(IDS)).values()) == set(five.members)
    return five


@asynccontextmanager
async def calling(*members: Member, seconds: float) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """These members call all children, for so long; when the block ends, every call has."""
    results: dict[str, dict[str, Any]] = {}

    async def pump(member: Member) -> None:
        results[member.name] = await member.ask("pump", ids=IDS, seconds=seconds, every=0.05, within=seconds + ENDS)

    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(pump, member)
        yield results


def check_calls(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Some were answered, and those that were not ended with the reason."""
    for result in results.values():
        assert sum(result["taken"].values()) > 0
        assert {failure.split(": ")[1] for failure in result["failures"]} <= {"NodeDown"}


async def whole_again(cluster: HostCluster, lan: Lan) -> None:
    """All see each other and agree, and nothing has run twice since they did."""
    lan.mend()
    await cluster.met(within=BACK)
    agreed = await cluster.agreed(IDS, within=BACK)
    cluster.runs_once(IDS)
    late = [pair for pair in cluster.journal.overlaps(IDS) if all((life.end or clock()) > agreed for life in pair)]
    assert late == []


async def both_go_on(cluster: HostCluster, *sides: Sequence[Member]) -> None:
    """Each side agrees on running all children by itself."""
    for side in sides:
        await cluster.agreed(IDS, among=side, within=MISSED)


async def test_a_network_that_parts_and_heals(settled: HostCluster, lan: Lan) -> None:
    a, b, c, d, e = settled
    async with calling(a, d, seconds=5.0) as results:
        lan.part([lan["a"], lan["b"], lan["c"]], [lan["d"], lan["e"]])
        await both_go_on(settled, [a, b, c], [d, e])
        await whole_again(settled, lan)
    check_calls(results)


async def test_with_a_quorum_no_child_ever_runs_on_both_sides(five: HostCluster, lan: Lan) -> None:
    a, b, c, d, e = five
    ids = many(30, prefix="coin")

    async def started() -> bool:
        try:
            await five.started(a, ids, hub=VAULT, spec={"shutdown": 1.0})
        except Reported as error:
            if error.type != "NoQuorum":
                raise
            return False
        return True

    await until(started, "there is a quorum", within=BACK)
    await five.agreed(ids, hub=VAULT)
    assert set((await five.places(ids, hub=VAULT)).values()) == set(five.members)

    async def stopped() -> bool:
        return not any(view["here"] for view in (await five.views([d, e], hub=VAULT)).values())

    lan.part([lan["a"], lan["b"], lan["c"]], [lan["d"], lan["e"]])
    await until(stopped, "the lesser part runs nothing", within=MISSED)
    await five.agreed(ids, hub=VAULT, among=[a, b, c], within=MISSED)
    five.runs_once(ids, hub=VAULT)

    lan.mend()
    await five.met(hub=VAULT, within=BACK)
    await five.agreed(ids, hub=VAULT, within=BACK)
    five.runs_once(ids, hub=VAULT)
    assert five.journal.overlaps(ids) == []


async def test_a_host_that_hears_but_is_not_heard(settled: HostCluster, lan: Lan) -> None:
    a, b, c, d, e = settled
    async with calling(a, d, seconds=4.0) as results:
        lan["d"].cut(*(host for host in lan.hosts.values() if host.name != "d"))
        await both_go_on(settled, [a, b, c, e], [d])
        await whole_again(settled, lan)
    check_calls(results)


async def test_two_hosts_that_cannot_talk_to_each_other_are_not_missed(settled: HostCluster, lan: Lan) -> None:
    a, d = settled["a"], settled["d"]
    places, before = await settled.places(IDS), settled.journal.path.read_bytes()

    async def apart() -> bool:
        return "d" not in (await a.ask("links")) and "a" not in (await d.ask("links"))

    async with calling(a, d, seconds=4.0) as results:
        lan["d"].cut(lan["a"])
        await until(apart, "the link breaks", within=MISSED)
        began = clock()
        await until(lambda: clock() - began > 2.0, "well longer than a silence may last", within=8)
        await settled.met(within=1)  # the others pass on that both live
    assert settled.journal.path.read_bytes() == before
    for name, unreachable in (("a", "d"), ("d", "a")):
        reached = {id for id, count in results[name]["taken"].items() if count}
        assert {id for id in IDS if places[id] != unreachable} <= reached
    check_calls(results)
    # By now they reach each other over one of the others.
    for member in (a, d):
        over = await member.ask("pump", ids=IDS, seconds=1.0, every=0.005, within=ENDS)
        assert over["failures"] == []
        assert set(over["taken"]) == set(IDS)
        assert all(over["taken"].values())
    await whole_again(settled, lan)


async def test_a_cable_that_is_pulled_out(settled: HostCluster, lan: Lan) -> None:
    a, b, c, d, e = settled
    async with calling(a, e, seconds=4.0) as results:
        lan["e"].unplug()
        await both_go_on(settled, [a, b, c, d], [e])
        await whole_again(settled, lan)
    check_calls(results)


async def test_a_slow_cable_that_loses_packets_disturbs_nobody(settled: HostCluster, lan: Lan) -> None:
    a, b, *_ = settled
    lan["b"].slow(delay=0.04, jitter=0.04, loss=0.01)
    before = settled.journal.path.read_bytes()
    async with calling(a, b, seconds=4.0) as results:
        pass
    assert [result["failures"] for result in results.values()] == [[], []]
    assert all(0.08 < result["longest"] < ENDS for result in results.values())
    assert settled.journal.path.read_bytes() == before
    await whole_again(settled, lan)
    assert settled.journal.path.read_bytes() == before


async def test_a_host_that_gets_another_address(settled: HostCluster, lan: Lan) -> None:
    # Nobody can dial what it advertises any more; it dials the others.
    a, e = settled["a"], settled["e"]

    async with calling(a, e, seconds=4.0) as results:
        before = ends_of_links(a, "e")
        lan["e"].move_to(66)
        await until(lambda: ends_of_links(a, "e") > before, "the old link breaks", within=MISSED)
        await settled.met(within=BACK)
        await settled.agreed(IDS, within=BACK)
    check_calls(results)
    await whole_again(settled, lan)


def ends_of_links(member: Member, peer: str) -> int:
    """How often a link to this peer has ended, by the member's log."""
    return len(re.findall(rf"link to {peer}#\d+: down", member.log.read_text(encoding="utf-8")))
