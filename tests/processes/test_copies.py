"""Moves with state, and copies that stand by, in real processes: under traffic, signals and SIGKILL."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

import trio
from tests.processes.harness import Cluster, Member, many, node_of, together, until

HOT = {"migration": ["HotSwap", {}]}


def pair(**values: Any) -> dict[str, Any]:
    """A hub that keeps two copies of each child."""
    return {"redundancy": ["Replication", {"factor": 2, **values}], **HOT}


async def settled(members: list[Member], ids: list[str], copies: int) -> None:
    """Wait until all these members see so many pids of each child, on nodes of their own."""

    async def right() -> bool:
        for member in members:
            view = await member.ask("view")
            if not view["settled"] or any(len(set(map(node_of, view["pids"].get(id, ())))) != copies for id in ids):
                return False
        return True

    await until(right, f"{copies} copies of each child", within=20)


async def test_nothing_is_lost_while_nodes_join_and_leave_under_traffic(cluster: Cluster) -> None:
    a, b = await cluster.start("a", "b", hub=HOT)
    ids = many(60)
    await cluster.started(a, ids, actor="Carried")
    await cluster.agreed(ids)
    seen: list[dict[str, Any]] = []

    async def pump(member: Member, seconds: float) -> None:
        seen.append(await member.ask("pump", ids=ids, seconds=seconds, within=60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump, a, 6.0)
        nursery.start_soon(pump, a, 6.0)
        (c,) = await cluster.start("c", hub=HOT)
        nursery.start_soon(pump, c, 2.0)
        await cluster.agreed(ids)
        b.signal(signal.SIGTERM)
        assert await b.ended() == 0

    await cluster.agreed(ids)
    assert [each["failures"] for each in seen] == [[], [], []]
    taken = {id: sum(each["taken"][id] for each in seen) for id in ids}
    await until(partial(_are, cluster, taken), f"the values are {taken}")
    assert sum(taken.values()) > 100
    assert len([event for event in await c.events("ChildMoved") if event["target"] == "c"]) > 0


async def _are(cluster: Cluster, taken: dict[str, int]) -> bool:
    return {id: found[0] for id, found in (await cluster.values(taken)).items()} == taken


async def test_what_was_in_a_checkpoint_outlives_a_kill_of_the_active_node(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c", hub=pair())
    ids = many(24)
    await cluster.started(a, ids, actor="Carried")
    await settled([a, b, c], ids, 2)
    for number, id in enumerate(ids):
        assert await c.call(id, "keep", number) == number
        await c.call(id, "add", 1000)  # not in a checkpoint
    places = await cluster.places(ids)
    lost = [id for id in ids if places[id] == "b"]
    assert lost, "nothing was active on b: the test would show nothing"

    b.kill()
    await settled([a, c], ids, 2)

    for number, id in enumerate(ids):
        assert await a.call(id, "get") == number + (0 if id in lost else 1000)
    told = [event["child"] for member in (a, c) for event in await member.events("RoleChanged")]
    assert set(lost) <= set(told)


async def test_where_all_copies_are_active_each_node_asks_its_own(cluster: Cluster) -> None:
    a, b, c = await cluster.start(
        "a", "b", "c", hub={"redundancy": ["Replication", {"factor": "all", "model": "active_active"}]}
    )
    ids = many(12)
    await cluster.started(a, ids, actor="Carried")
    await settled([a, b, c], ids, 3)

    for number, member in enumerate((a, b, c)):
        assert [(await member.call(id, "about"))["node"] for id in ids] == [member.name] * len(ids)
        await together(*(partial(member.call, id, "add", number) for id in ids))
    c.kill()
    await settled([a, b], ids, 2)

    assert [await a.call(id, "get") for id in ids] == [0] * len(ids)
    assert [await b.call(id, "get") for id in ids] == [1] * len(ids)
