"""Large states and requests between hubs: slow links, links that break half way, nodes that die, and the release before."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import pytest
import trio
from tests.sim.stage import boot
from tests.sim.test_versions import release_before

import hubkit
from hubkit.errors import NotSerializable
from hubkit.events import MoveFailed
from hubkit.net.cargo import MAX_HEAD
from hubkit.net.session import LinkStatistics
from hubkit.node.assembly import BEGIN, OPEN, PIECE
from hubkit.node.freight import LADEN
from hubkit.strategies import Guided, HotSwap, Replication
from hubkit.testing import Simulation, simulated

MIB = 1 << 20
SIZE = 12 * MIB
HOT: dict[str, Any] = {"migration": HotSwap(), "distribution": Guided()}


class Blob(hubkit.Actor):
    """Has a state of any size."""

    def __init__(self) -> None:
        self.data = b""

    async def put(self, data: bytes) -> int:
        self.data = data
        return len(data)

    async def get(self) -> bytes:
        return self.data

    async def grow(self, size: int) -> None:
        self.data = bytes(size)

    async def keep(self) -> None:
        await self.context.checkpoint()

    async def size(self) -> int:
        return len(self.data)

    def handover_state(self) -> Any:
        return self.data

    def accept_handover(self, state: Any) -> None:
        self.data = state


async def scene(sim: Simulation, names: str = "ab", size: int = SIZE, **options: Any) -> list[hubkit.Hub]:
    """Hubs on slow links, and a child ``blob`` of this size on ``a``."""
    hubs = await boot(sim, names, **(options or HOT))
    nodes = ["a", "b"] if "redundancy" in options else ["a"]
    await hubs[0].start_child(hubkit.child("blob", Blob), nodes=nodes)
    await sim.settled(within=20)
    await hubs[0].ref("blob", Blob).call(Blob.grow, size)
    for one in names:
        for other in names:
            if one < other:
                sim.link(one, other, bandwidth=MIB)
    return hubs


def link(hub: hubkit.Hub, peer: str) -> LinkStatistics:
    found: LinkStatistics = hub.statistics().links[peer]
    return found


def all_is_forgotten(sim: Simulation, names: str = "ab") -> None:
    for name in names:
        freight = sim.hub(name).node._exchange.freight
        assert not freight._lots
        assert not freight._assembly._parcels
        assert not freight.turns


async def half(sim: Simulation, hub: hubkit.Hub, peer: str) -> None:
    """Wait until half of what is on its way to this peer has been sent."""
    with trio.fail_after(60):
        while not (peer in hub.statistics().links and link(hub, peer).sent_bytes > SIZE / 2):
            await sim.sleep(0.1)


@simulated(seeds=2)
async def test_a_slow_link_is_no_reason_to_give_up(sim: Simulation) -> None:
    a, b = await scene(sim, size=2 * SIZE)
    failures: list[Any] = []
    a.on(MoveFailed, failures.append)
    began = sim.now
    await a.move("blob", "b")
    assert sim.now - began > 20  # twice as long as the core waits for an answer
    assert failures == []
    assert await b.ref("blob", Blob).call(Blob.size) == 2 * SIZE
    assert link(a, "b").reconnects == 0
    all_is_forgotten(sim)
    await sim.settled(within=20)
    sim.check()


@simulated(seeds=2)
async def test_a_state_goes_on_where_it_stood_when_the_link_breaks(sim: Simulation) -> None:
    a, b = await scene(sim)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.move, "blob", "b")
        await half(sim, a, "b")
        sent = link(a, "b").bytes_out
        there = link(b, "a").received_bytes
        assert a.node._mesh is not None
        a.node._mesh.close_link(b.node._id, "of a test")
        await sim.sleep(3)
        assert link(a, "b").reconnects == 1
        assert there > SIZE / 4
    assert await b.ref("blob", Blob).call(Blob.size) == SIZE
    assert sent + link(a, "b").bytes_out < SIZE * 1.5  # and not all of it twice
    assert link(a, "b").bytes_out < SIZE - there + MIB
    all_is_forgotten(sim)
    await sim.settled(within=20)
    sim.check()


@simulated(seeds=2)
async def test_a_state_that_nobody_wants_any_more_frees_both_sides(sim: Simulation) -> None:
    a, b = await scene(sim)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stopped, a)
        await half(sim, a, "b")
        assert (link(a, "b").sending, link(b, "a").receiving) == (1, 1)
        assert link(b, "a").receiving_bytes == link(a, "b").sending_bytes > SIZE
        await a.stop_child("blob")
        await sim.sleep(3)
        all_is_forgotten(sim)
    await b.start_child(hubkit.child("other", Blob), nodes=["b"])
    await a.ref("other", Blob).call(Blob.grow, 1)  # the link is as good as ever
    assert link(a, "b").reconnects == 0


async def stopped(hub: hubkit.Hub) -> None:
    with pytest.raises(hubkit.errors.HubkitError):
        await hub.move("blob", "b")


@simulated(seeds=2)
async def test_when_the_taker_dies_the_giver_goes_on(sim: Simulation) -> None:
    hubs = await scene(sim, "abc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(moved, hubs[0])
        await half(sim, hubs[0], "b")
        sim.crash("b")
        await sim.sleep(20)  # it belongs there, as somebody has said: so it will not be settled
        assert await hubs[2].ref("blob", Blob).call(Blob.size) == SIZE
        await sim.sleep(40)
        all_is_forgotten(sim, "ac")
        nursery.cancel_scope.cancel()


async def moved(hub: hubkit.Hub) -> None:
    with suppress(hubkit.errors.HubkitError):  # whether it ends so or not at all is of no interest here
        await hub.move("blob", "b")


@simulated(seeds=2)
async def test_when_the_giver_dies_what_has_come_is_forgotten(sim: Simulation) -> None:
    hubs = await scene(sim, "abc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(moved, hubs[0])
        await half(sim, hubs[0], "b")
        sim.crash("a")
        nursery.cancel_scope.cancel()
    await sim.settled(within=60)
    await sim.sleep(40)
    all_is_forgotten(sim, "bc")
    sim.check()


@simulated(seeds=2)
async def test_checkpoints_that_come_faster_than_they_travel_do_not_starve(sim: Simulation) -> None:
    a, b = await scene(sim, size=1, redundancy=Replication(2, checkpoint=1.0), distribution=Guided())
    owner, other = (a, b) if a.pid("blob").node == "a" else (b, a)  # type: ignore[union-attr]  # it runs
    await owner.ref("blob", Blob).call(Blob.grow, SIZE)
    tickets = set()
    for second in range(60):
        await owner.ref("blob", Blob).call(Blob.grow, SIZE + second)
        await sim.sleep(1)
        household = other._driver.household
        assert household is not None
        held = household.keepers["blob"].held
        if held is not None:
            tickets.add(held[0])
    assert len(tickets) >= 3  # each takes twelve seconds
    await owner.ref("blob", Blob).call(Blob.keep)
    sim.crash(owner.node.name)
    await sim.settled(within=60)
    assert await other.ref("blob", Blob).call(Blob.size) == SIZE + 59
    sim.check()


@simulated(seeds=2)
async def test_the_state_of_a_duplicate_is_merged_however_large(sim: Simulation) -> None:
    await boot(sim, "ab", distribution=Guided())
    hubs = {name: sim.hub(name) for name in "ab"}
    sim.partition({"a"}, {"b"})
    await sim.sleep(20)
    for name, hub in hubs.items():
        await hub.start_child(hubkit.child("blob", Merger), nodes=[name])
        await hub.ref("blob", Merger).call(Merger.grow, SIZE)
    sim.heal()
    sim.link("a", "b", bandwidth=MIB)
    await sim.settled(within=60)
    with trio.fail_after(60):
        while not await hubs["a"].ref("blob", Merger).call(Merger.merged):
            await sim.sleep(1)
    assert await hubs["a"].ref("blob", Merger).call(Merger.merged) == [SIZE]
    all_is_forgotten(sim)


class Merger(Blob):
    """Notes what it is to merge."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[int] = []

    async def merged(self) -> list[int]:
        return self.others

    def merge_handover(self, state: Any) -> None:
        self.others.append(len(state))


@pytest.mark.parametrize("seed", range(2))
def test_links_that_break_all_the_time_lose_nothing(seed: int) -> None:
    async def main(sim: Simulation) -> None:
        hubs = await boot(sim, "abc", **HOT)
        sizes = {f"c{n}": (n + 2) * MIB for n in range(3)}
        for child, size in sizes.items():
            await hubs[0].start_child(hubkit.child(child, Blob), nodes=["a"])
            await hubs[0].ref(child, Blob).call(Blob.grow, size)
        await sim.settled(within=30)
        set_weather(sim, bandwidth=3 * MIB, break_rate=0.15)
        draw = Random(seed)

        async def trouble(rounds: int) -> None:
            for _ in range(rounds):
                child, hub = draw.choice(sorted(sizes)), draw.choice(hubs)
                with trio.move_on_after(draw.uniform(0.5, 15)), suppress(hubkit.errors.HubkitError):
                    if draw.random() < 0.4:
                        await hub.move(child, draw.choice("abc"))
                    elif draw.random() < 0.5:
                        await hub.ref(child, Blob).call(Blob.put, bytes(sizes[child]))
                    else:
                        assert len(await hub.ref(child, Blob).call(Blob.get)) == sizes[child]

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(trouble, 6)
        set_weather(sim, bandwidth=3 * MIB, break_rate=0.0)
        await sim.settled(within=120)
        with trio.fail_after(60):
            assert {child: await hubs[0].ref(child, Blob).call(Blob.size) for child in sizes} == sizes
        await sim.sleep(45)
        all_is_forgotten(sim, "abc")
        sim.check()

    Simulation.run(main, seed)


def set_weather(sim: Simulation, **weather: float) -> None:
    for one, other in ("ab", "ac", "bc"):
        sim.link(one, other, **weather)


# -- requests


@simulated(seeds=2)
async def test_large_requests_over_a_third_and_meanwhile_small_ones(sim: Simulation) -> None:
    a, b, _ = await scene(sim, "abc")
    await a.start_child(hubkit.child("other", Blob), nodes=["b"])
    await a.start_child(hubkit.child("third", Blob), nodes=["b"])
    sim.partition({"a"}, {"b"})
    await sim.sleep(12)
    data = bytes(SIZE)
    results: list[int] = []

    async def put() -> None:
        results.append(await a.ref("other", Blob).call(Blob.put, data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await sim.sleep(5)
        assert results == []
        with trio.fail_after(8):  # not behind all of it
            assert await a.ref("third", Blob).call(Blob.size) == 0
    assert results == [SIZE]
    assert await a.ref("other", Blob).call(Blob.get) == data
    assert b.node._roads()[0]["state"] in ("up", "detour")
    all_is_forgotten(sim, "abc")
    sim.heal()
    await sim.settled(within=60)
    sim.check()


@simulated(seeds=2)
async def test_a_request_goes_on_where_it_stood(sim: Simulation) -> None:
    a, b = await scene(sim)
    await a.start_child(hubkit.child("other", Blob), nodes=["b"])
    results: list[int] = []

    async def put() -> None:
        results.append(await a.ref("other", Blob).call(Blob.put, bytes(SIZE)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await half(sim, a, "b")
        there = link(b, "a").received_bytes
        assert b.node._mesh is not None
        b.node._mesh.close_link(a.node._id, "of a test")
    assert results == [SIZE]
    assert link(a, "b").bytes_out < SIZE - there + MIB
    all_is_forgotten(sim)


# -- a node that lies


@simulated(seeds=2)
async def test_a_node_that_begins_a_thousand_and_ends_none_harms_nobody(sim: Simulation) -> None:
    a, b, c = await scene(sim, "abc")
    await a.start_child(hubkit.child("other", Blob), nodes=["b"])
    for number in range(1000, 2000):
        a.node.send(b.node._id, [BEGIN, number, [1 << 30]])
    a.node.send(b.node._id, [PIECE, 1000, 0, b"x"])
    await sim.sleep(5)
    assert len(b.node._exchange.freight._assembly._parcels) == OPEN
    figures = link(b, "a")
    assert (figures.receiving, figures.receiving_bytes, figures.received_bytes) == (1, 1 << 30, 1)
    assert await c.ref("other", Blob).call(Blob.put, bytes(SIZE)) == SIZE  # others have their own room
    with trio.fail_after(5):
        assert await a.ref("other", Blob).call(Blob.size) == SIZE
    await sim.sleep(65)  # what stands still is given up, and with it what waits behind it
    all_is_forgotten(sim, "abc")
    assert await a.ref("other", Blob).call(Blob.put, bytes(SIZE + 1)) == SIZE + 1
    assert link(a, "b").reconnects == 0


@pytest.mark.parametrize(
    "lies",
    [
        [[BEGIN, 1000, [1, 5]]],
        [[BEGIN, 1000, [20]], [PIECE, 1000, 0, bytes(21)]],
        [[BEGIN, 1000, [20]], [PIECE, 1000, 1, bytes(5)]],
        [[BEGIN, 1000, [1 << 30]], [BEGIN, 1001, [1 << 30]], [PIECE, 1001, 0, b"x"]],
        [[BEGIN, 1000, [20]], [PIECE, 1000, 0, bytes(19)], [LADEN, 1000, [3], [2, 1, 0, None]]],
        [[BEGIN, 1000, [1]], [PIECE, 1000, 0, b"x"], [LADEN, 1000, [9], [2, 1, 0, None]]],
    ],
    ids=["parts", "more", "a gap", "not granted", "too early", "no place"],
)
def test_a_node_that_lies_loses_its_link_and_nothing_else(lies: list[list[Any]]) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await scene(sim, size=5)
        for message in lies:
            a.node.send(b.node._id, message)
        await sim.sleep(10)
        assert link(a, "b").reconnects == 1
        assert "closed by the peer" in str(link(a, "b").last_error)
        assert await b.ref("blob", Blob).call(Blob.put, bytes(SIZE)) == SIZE
        await sim.sleep(40)
        all_is_forgotten(sim)

    Simulation.run(main, 1)


# -- the release before


async def old_and_new(sim: Simulation) -> None:
    with release_before():
        await sim.start_hub("shop", node="a", **HOT)
    await sim.start_hub("shop", node="b", **HOT)
    a, b = sim.hub("a"), sim.hub("b")
    await b.start_child(hubkit.child("here", Blob), nodes=["b"])
    await b.start_child(hubkit.child("there", Blob), nodes=["a"])
    await sim.settled(within=60)
    ref = b.ref("there", Blob)
    assert await ref.call(Blob.put, bytes(SIZE)) == SIZE
    assert await ref.call(Blob.get) == bytes(SIZE)
    with pytest.raises(NotSerializable, match="'a': that is of a release which takes"):
        await ref.call(Blob.put, bytes(MAX_HEAD + 1))
    await b.ref("here", Blob).call(Blob.grow, SIZE)
    await b.move("here", "a")
    assert await a.ref("here", Blob).call(Blob.size) == SIZE
    await b.move("here", "b")
    failures: list[MoveFailed] = []
    b.on(MoveFailed, failures.append)
    await b.ref("here", Blob).call(Blob.grow, MAX_HEAD + 1)
    with trio.move_on_after(5):
        await b.move("here", "a")
    assert "'a': that is of a release which takes" in failures[0].error
    all_is_forgotten(sim)


def test_the_release_before_is_given_what_it_takes() -> None:
    Simulation.run(old_and_new, 1)
