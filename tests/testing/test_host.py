"""What a simulated process says through its hubs and refs before it is open, and after its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from tests.testing.scenarios import Counter, counters

import hubkit
from hubkit.errors import HubClosed
from hubkit.testing import Simulation

USES: list[Callable[[hubkit.Hub], Any]] = [
    lambda hub: hub.children(),
    lambda hub: hub.nodes(),
    lambda hub: hub.pid("c000"),
    lambda hub: hub.ref("c000"),
    lambda hub: hub.is_settled,
    lambda hub: hub.statistics(),
    lambda hub: hub.start_children_soon(counters(1)),
]
WAITS: list[Callable[[hubkit.Hub], Any]] = [
    lambda hub: hub.start_child(counters(1)[0]),
    lambda hub: hub.stop_child("c000"),
    lambda hub: hub.settled(),
    lambda hub: hub.move("c000", "b"),
]


async def expect_closed(hub: hubkit.Hub, match: str) -> None:
    """Whatever is asked of the hub is refused in these words."""
    for use in USES:
        with pytest.raises(HubClosed, match=match):
            use(hub)
    for wait in WAITS:
        with pytest.raises(HubClosed, match=match):
            await wait(hub)


async def two(sim: Simulation) -> tuple[hubkit.Hub, hubkit.Hub]:
    a, b = [await sim.start_hub("shop", node=name) for name in "ab"]
    await a.start_children(counters(10))
    await sim.settled(within=30)
    return a, b


def test_a_hub_that_is_not_open_yet() -> None:
    async def main(sim: Simulation) -> None:
        await two(sim)
        sim.restart("a")
        await expect_closed(
            sim.hub("a"), r"hub 'shop' on node 'a' is not open yet: `await sim\.settled\(within=...\)` waits"
        )
        await sim.settled(within=30)
        assert len(sim.hub("a").children()) == 10
        sim.restart("a")
        sim.pause("a")
        await expect_closed(sim.hub("a"), r"not open yet: it is paused, sim\.resume\('a'\) lets it go on")

    Simulation.run(main, seed=1)


def test_a_hub_whose_process_has_ended() -> None:
    async def main(sim: Simulation) -> None:
        a, b = await two(sim)
        sim.crash("a")
        await expect_closed(a, r"its process was killed: sim\.restart\('a'\) starts a new one")
        with pytest.raises(HubClosed, match="was killed"):
            a.events()
        sim.restart("a")
        await expect_closed(a, r"its process was killed: there is a new one, whose hub is sim\.hub\('a'\)")
        await sim.settled(within=30)
        await sim.stop("b")
        await expect_closed(b, "its process has left: sim.restart")
        await sim.hub("a").stop()
        await expect_closed(sim.hub("a"), "its process runs on without it")
        sim.restart("b")
        sim.crash("b")  # before it was open
        await expect_closed(sim.hub("b"), "its process was killed")

    Simulation.run(main, seed=1)


@pytest.mark.parametrize("by_pid", [False, True])
@pytest.mark.parametrize("place", ["a", "b"])
def test_a_ref_of_a_dead_process_can_send_nothing(place: str, by_pid: bool) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await two(sim)
        child = min((a if place == "a" else b).children("local"))
        ref = a.ref(child, Counter)
        if by_pid:
            assert ref.pid is not None
            ref = a.node._system.ref(ref.pid)
        assert await ref.call(Counter.add, 1) == 1
        sends = sum(step.kind == "send" and step.node == "a" for step in sim.trace.steps)
        sim.crash("a")
        with pytest.raises(HubClosed, match=r"node 'a'.* has ended: take a ref from a hub that is open"):
            ref.cast_nowait(Counter.add, 1)
        with pytest.raises(HubClosed, match="has ended"):
            ref.cast_nowait("add", 1)
        with pytest.raises(HubClosed, match="has ended"):
            ref.send_nowait("hello")
        with pytest.raises(HubClosed, match="has ended"):
            await ref.send("hello")
        with pytest.raises(HubClosed, match="has ended"):
            await ref.cast(Counter.add, 1)
        with pytest.raises(HubClosed, match="has ended"):
            await ref.call(Counter.add, 1)
        await sim.settled(within=30)
        assert sum(step.kind == "send" and step.node == "a" for step in sim.trace.steps) == sends
        value = await b.ref(child, Counter).call(Counter.add, 1)
        assert value == (1 if place == "a" else 2)  # what was on b has lived on, and has heard of none of it

    Simulation.run(main, seed=1)


class Gate(hubkit.Actor):
    """Lets nobody through."""

    async def wait(self) -> None:
        await trio.sleep_forever()


def test_what_waits_in_a_mailbox_of_a_dead_process() -> None:
    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a")
        ref = await a.start_child(hubkit.child("gate", Gate))
        assert ref.pid is not None
        told: list[str] = []

        async def ask(ref: hubkit.Ref[Gate]) -> None:
            with pytest.raises(HubClosed) as caught:
                await ref.call(Gate.wait)
            told.append(str(caught.value))

        await ref.cast(Gate.wait)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, ref)
            nursery.start_soon(ask, a.node._system.ref(ref.pid))
            await sim.sleep(1)
            sim.crash("a")
        assert ["node 'a'" in text or "hub 'shop' is closed" in text for text in told] == [True, True]

    Simulation.run(main, seed=1)
