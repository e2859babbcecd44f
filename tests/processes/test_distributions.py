"""Where children are put, in real processes: one test for each distribution, and one for hubs that differ in theirs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.processes.harness import Cluster, many


async def test_hashing_with_weights_labels_and_keys(cluster: Cluster) -> None:
    a, _ = await cluster.start("a", "b", node={"labels": {"zone": "eu"}})
    (c,) = await cluster.start("c", node={"weight": 3, "labels": {"zone": "us"}})
    ids = many(200)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    shares = Counter((await cluster.places(ids)).values())
    assert 85 < shares["c"] < 155

    europe, shards, friends = many(10, "eu"), many(3, "shard"), many(5, "friend")
    placement: dict[str, dict[str, Any]] = {id: {"labels": {"zone": "eu"}} for id in europe}
    placement |= {id: {"apart": "shard", "slot": slot} for slot, id in enumerate(shards)}
    placement |= {id: {"together": "friends"} for id in friends}
    await cluster.started(c, [*europe, *shards, *friends], placement=placement)
    everything = [*ids, *europe, *shards, *friends]
    await cluster.agreed(everything)
    places = await cluster.places(everything)
    assert {places[id] for id in europe} == {"a", "b"}
    assert {places[id] for id in shards} == {"a", "b", "c"}
    assert len({places[id] for id in friends}) == 1

    result = await a.ask("start", ids=["nowhere"], placement={"nowhere": {"labels": {"zone": "mars"}}})
    assert "has the labels zone=mars" in result["errors"]["nowhere"]["text"]

    c.kill()
    await cluster.agreed(everything)
    places = await cluster.places(everything)
    assert len({places[id] for id in shards}) == 2
    assert cluster.journal.overlaps() == []


async def test_guided_children_wait_for_their_node_and_come_back_with_it(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c", hub={"distribution": "Guided"})
    ids = many(30)
    nodes = {id: ["abc"[number % 3]] for number, id in enumerate(ids)}
    await cluster.started(b, ids, nodes=nodes)
    await cluster.agreed(ids)
    assert await cluster.places(ids) == {id: names[0] for id, names in nodes.items()}

    error = await a.error_of("start", ids=["x"], nodes=["z"])
    assert error.type == "ConfigurationError"
    assert "which is no member" in error.text

    b.kill()
    theirs = [id for id in ids if nodes[id] == ["b"]]
    for id in theirs:
        assert await a.ask("pidless", id=id) is not None
    assert "none of the nodes that it was put on (b)" in await c.ask("explain", id=theirs[0])
    await a.ask("move", id=theirs[0], node="c")

    await cluster.restart(b)
    await cluster.met()
    await cluster.agreed(ids)
    assert await cluster.places(ids) == {**{id: names[0] for id, names in nodes.items()}, theirs[0]: "c"}


async def test_the_balancer_shuffles_nothing_on_join_and_redistributes_on_death(cluster: Cluster) -> None:
    a, *_ = await cluster.start("a", "b", "c", hub={"distribution": "CentralizedLoadBalancer"})
    ids = many(90)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    shares = Counter((await cluster.places(ids)).values())
    assert max(shares.values()) <= 45  # even, but for how busy each has been since it began
    assert len(shares) == 3

    (d,) = await cluster.start("d", hub={"distribution": "CentralizedLoadBalancer"})
    before = await cluster.pids(ids)
    await cluster.agreed(ids)
    assert await cluster.pids(ids) == before
    more = many(20, "more")
    await cluster.started(d, more)
    await cluster.agreed([*ids, *more])
    assert Counter((await cluster.places(more)).values())["d"] >= 10

    places = await cluster.places(ids)
    a.kill()  # the first of them: it was up to it to find new places
    await cluster.agreed([*ids, *more])
    after = await cluster.places(ids)
    assert all(after[id] == node for id, node in places.items() if node != "a")
    assert {after[id] for id, node in places.items() if node == "a"} <= {"b", "c", "d"}
    assert cluster.journal.overlaps() == []


async def test_a_node_with_another_distribution_is_refused_and_harms_nobody(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b")
    ids = many(20)
    await cluster.started(a, ids)
    await cluster.agreed(ids)
    before = await cluster.pids(ids)
    (stranger,) = cluster.add("x", hub={"distribution": "Guided"})
    stranger.start()

    error = await stranger.refused()

    assert error.type == "ConfigurationError"
    assert "distribution is ConsistentHashing() there and Guided() here" in error.text
    stranger.kill()
    await cluster.met([a, b])
    await cluster.agreed(ids)
    assert await cluster.pids(ids) == before
