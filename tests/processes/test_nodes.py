"""Nodes: several hubs on one, a stand-alone one put on the network, the refused, and what is done by hand."""

from __future__ import annotations

import pytest
from tests.processes.harness import Cluster, free_ports, many, until


async def test_several_hubs_share_a_mesh_and_nothing_else(cluster: Cluster) -> None:
    hubs = ("orders", "mail")
    a, b, c = await cluster.start("a", "b", "c", hubs=hubs)
    await cluster.met(hub="mail")
    ids = many(30)
    for number, hub in enumerate(hubs):
        await cluster.started(a, ids, hub=hub, args=[number * 100])
    for hub in hubs:
        await cluster.agreed(ids, hub=hub)

    there = await cluster.one_on(b, ids)
    assert [await a.call(there, "add", 1, hub=hub) for hub in hubs] == [1, 101]
    await c.ask("stop", ids=ids[:10], hub="mail")
    await cluster.agreed(ids[10:], hub="mail")
    await cluster.agreed(ids, hub="orders")

    b.kill()
    await cluster.agreed(ids, hub="orders")
    await cluster.agreed(ids[10:], hub="mail")
    assert (await a.ask("statistics", hub="mail"))["links"] == ["c"]


async def test_a_stand_alone_node_is_put_on_the_network_with_its_children(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b")
    theirs, own = many(20, "theirs"), many(20, "own")
    await cluster.started(a, theirs)
    (s,) = cluster.add("s", node={"listen": None, "join": []})
    s.start()
    assert (await s.ready())["url"] is None
    await cluster.started(s, own)
    await cluster.agreed(own, among=[s])
    before = await cluster.valued(own, 7, by=s)

    url = f"ws://127.0.0.1:{free_ports(1)[0]}"
    assert await s.ask("promote", listen=url, join=[b.url]) == url

    await cluster.met()
    await cluster.agreed([*theirs, *own])
    places = await cluster.places(own)
    stayed = [id for id in own if places[id] == "s"]
    assert stayed
    after = await cluster.values(own)
    assert {id: after[id] for id in stayed} == {id: before[id] for id in stayed}
    assert cluster.journal.overlaps() == []


async def test_a_wrong_secret_is_refused_and_both_sides_say_so(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b")
    ids = many(10)
    await cluster.started(a, ids)
    (stranger,) = cluster.add("x", node={"secret": "another one"})
    stranger.start()

    error = await stranger.refused()

    assert (error.type, error.details["code"]) == ("HandshakeRefused", "secret")
    assert "secret" in error.text
    assert "secret" in a.log.read_text()
    stranger.kill()
    await cluster.met([a, b])
    await cluster.agreed(ids)


async def test_a_second_node_of_a_name_is_refused_and_both_sides_say_so(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b")
    ids = many(10)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.values(ids)
    (double,) = cluster.add("x", node={"name": "b"})
    double.start()

    error = await double.refused()

    assert (error.type, error.details["code"]) == ("HandshakeRefused", "name")
    assert "'b'" in error.text
    assert "name" in a.log.read_text()
    double.kill()
    await cluster.met([a, b])
    await cluster.agreed(ids)
    assert await cluster.values(ids) == before


async def test_a_port_in_use_is_a_clear_error(cluster: Cluster) -> None:
    (a,) = await cluster.start("a")
    (late,) = cluster.add("late", node={"listen": a.url})
    late.start()

    error = await late.refused()

    assert "ConfigurationError" in error.types or "OSError" in error.types
    assert a.url.rpartition(":")[2] in error.text


async def test_a_child_is_moved_by_hand_and_stays_there(three: Cluster) -> None:
    ids = many(12)
    await three.started(three["a"], ids)
    await three.agreed(ids)
    child = await three.one_on(three["b"], ids)
    others = await three.values([id for id in ids if id != child])

    pid = await three["a"].ask("move", id=child, node="c")

    assert pid.startswith("<c#")
    await three.agreed(ids)
    assert (await three.pids([child]))[child] == pid
    assert (await three["b"].call(child, "about"))["reason"] == "migration"
    await three.stays_quiet(2)
    assert await three.values([*others]) == others
    assert three.journal.overlaps(ids) == []


@pytest.mark.parametrize(
    ("id", "node", "expected"), [("nobody", "c", "NoSuchActor"), ("child-0", "nowhere", "ConfigurationError")]
)
async def test_a_move_that_cannot_be_is_refused(three: Cluster, id: str, node: str, expected: str) -> None:
    await three.started(three["a"], ["child-0"])
    error = await three["a"].error_of("move", id=id, node=node)
    assert error.type == expected
    assert (id if expected == "NoSuchActor" else node) in error.text


async def test_a_silent_node_is_forgotten_by_hand_and_may_come_back(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    ids = many(30)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    for name in ("b", "nowhere"):
        error = await a.error_of("forget", name=name)
        assert (error.type, name in error.text) == ("ConfigurationError", True)

    b.freeze()
    await cluster.met([a, c])
    await cluster.agreed(ids, among=[a, c])
    await c.ask("forget", name="b")

    async def has_left() -> bool:
        return "b" in [event["node"] for event in await c.events("NodeLeft")]

    await until(has_left, "c tells that b has left")  # a beat later, if the link to it has not ended yet

    b.thaw()
    await cluster.met()
    await cluster.agreed(ids)
    cluster.runs_once(ids)
