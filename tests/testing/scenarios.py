"""Scenarios for the tests of the simulator, at the top level of a module: subprocesses look them up by name."""

from __future__ import annotations

import trio

import hubkit
from hubkit.testing import Simulation


class Counter(hubkit.Actor):
    """Counts."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def linger(self) -> None:
        await trio.sleep(100)


def counters(count: int) -> list[hubkit.ChildSpec]:
    """Specs of so many counters."""
    return [hubkit.child(f"c{n:03}", Counter) for n in range(count)]


async def disasters(sim: Simulation) -> None:
    """Some of everything, with traffic."""
    for name in "abcd":
        sim.start_soon("shop", node=name)
    await sim.settled(within=30)
    hub = sim.hub("a")
    await hub.start_children(counters(30))
    ref = hub.ref("c001", Counter)
    sim.link("a", "b", latency=0.05, jitter=0.02, bandwidth=100_000.0)
    sim.skew("c", offset=-3600.0, rate=1.01)
    cut = sim.partition({"a", "b"}, {"c", "d"})
    await sim.sleep(7 + sim.random.random())
    for _ in range(10):
        await ref.call(Counter.add, 1)
    cut.heal()
    sim.crash("d")
    sim.pause("b")
    await sim.sleep(6)
    sim.resume("b")
    sim.restart("d")
    await sim.sleep(3)
    await sim.stop("c")
    await sim.settled(within=60)
    sim.note(str(await hub.ref("c001", Counter).call(Counter.add, 1)))
    sim.check()


async def impatience(sim: Simulation) -> None:
    """Many who wait for answers, and are cancelled in the same moment: each by its own time, or all of them together."""
    hub, _ = [await sim.start_hub("shop", node=name) for name in "ab"]
    await sim.settled(within=30)
    await hub.start_children(counters(20))
    refs = [hub.ref(f"c{n:03}", Counter) for n in range(20)]

    async def ask(ref: hubkit.Ref[Counter], seconds: float) -> None:
        with trio.move_on_after(seconds):
            await ref.call(Counter.linger)

    with trio.move_on_after(2):
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(ask, ref, 1)
                nursery.start_soon(ask, ref, 50)
    await sim.settled(within=30)
