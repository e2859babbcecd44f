"""How fast simulated time passes: whole hubs in quiet and under faults, bare cores, and the clock beneath.

Figures are of one core's time, so that a busy machine disturbs them less. The last rows are ratios in one run: the same
work under trio's own `MockClock`, and hubkit's mesh against a sketch of it (tasks that sleep and send each other heartbeats,
with no codec, handshake or failure detection in it).

==============  ========================================================================================================
row             what
==============  ========================================================================================================
quiet, N nodes  hubs that beat once a second, all linked to all: simulated seconds in a second of one core
faults          5 nodes, 40 children, twelve drawn faults, then settling and all checks: whole runs in a second
start           5,000 children on 50 nodes: seconds until they run and every registry knows them
steady          the same hub when all is well: per cent of one core that each node takes, its simulated links included
cores, MIX      bare cores under one mix of drawn faults: turns of their world in a second, each with all its checks
cores           the same of all mixes together
timers          100 tasks that sleep: wake-ups in a second, and the ratio to `MockClock`
sketch          all-to-all heartbeats by bare tasks under `MockClock`, and the ratio of hubkit to it
==============  ========================================================================================================

A turn of the world is a tenth of a second, in which each node may tick, and whatever has arrived is taken in. How much that is
follows from the mix: where nothing fails (``calm``) all five nodes are always there and linked, and a turn has three times as
many inputs, messages and checks as one under faults, and takes twice as long.

Usage: python benchmarks/simulation.py [--quick]
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio
import trio.testing

import hubkit
from hubkit.errors import ConfigurationError
from hubkit.testing import Simulation
from hubkit.testing.clock import VirtualClock

sys.path.insert(0, str(Path(__file__).parent.parent))  # the world of bare cores is a part of the tests

from tests.property.schedules import run

#: of bare cores, with the default strategies
MIXES = ("calm", "chaos", "silence", "oblivion", "restarts")
#: what is promised, at least
WANTED = {"quiet, 5 nodes": 300.0, "quiet, 20 nodes": 25.0, "quiet, 50 nodes": 4.0, "steady": 2.0, "cores": 5_000.0}
#: ... or at most
AT_MOST = {"steady"}


class Counter(hubkit.Actor):
    """A child that does nothing."""


def quiet(nodes: int, seconds: float) -> float:
    """Simulated seconds in a second."""
    rate = 0.0

    async def main(sim: Simulation) -> None:
        nonlocal rate
        for number in range(nodes):
            sim.start_soon("hub", node=f"n{number:02}")
        await sim.settled(within=60)
        await sim.sleep(3)
        began = time.process_time()
        await sim.sleep(seconds)
        rate = seconds / (time.process_time() - began)

    Simulation.run(main, seed=1)
    return rate


async def troubled(sim: Simulation) -> None:
    """A scenario with twelve faults of its own choice."""
    for name in "abcde":
        sim.start_soon("hub", node=name)
    await sim.settled(within=60)
    await sim.hub("a").start_children([hubkit.child(f"c{n}", Counter) for n in range(40)])
    for _ in range(12):
        up = [name for name in sim.nodes if sim.alive(name) and not sim.paused(name)]
        name = sim.random.choice(up)
        match sim.random.randrange(5):
            case 0 if len(up) > 2:
                sim.crash(name)
            case 1 if len(up) > 2:
                sim.pause(name)
            case 2:
                sim.partition({name}, set(sim.nodes) - {name}, one_way=sim.random.random() < 0.5)
            case 3:
                sim.restart(name)
            case _:
                sim.break_links(name)
        await sim.sleep(sim.random.random() * 5)
    with suppress(ConfigurationError):  # nothing was cut
        sim.heal()
    for name in sim.nodes:
        if sim.paused(name):
            sim.resume(name)
    await sim.settled(within=120)
    sim.check()


def faults(runs: int) -> float:
    """Whole runs in a second."""
    began = time.process_time()
    for seed in range(runs):
        Simulation.run(troubled, seed=seed)
    return runs / (time.process_time() - began)


def start(nodes: int, children: int, seconds: float) -> tuple[float, float]:
    """Seconds until all run, and then what share of a core each node takes while nothing happens."""
    took = share = 0.0

    async def main(sim: Simulation) -> None:
        nonlocal took, share
        for number in range(nodes):
            sim.start_soon("hub", node=f"n{number:02}")
        await sim.settled(within=60)
        began = time.process_time()
        await sim.hub("n00").start_children([hubkit.child(f"c{n}", Counter) for n in range(children)])
        await sim.settled(within=60)
        took = time.process_time() - began
        await sim.sleep(5)
        began = time.process_time()
        await sim.sleep(seconds)
        share = (time.process_time() - began) / seconds / nodes

    Simulation.run(main, seed=1)
    return took, share


def cores(seeds: int) -> dict[str, float]:
    """Turns in a second: of each mix, and of all."""
    rates: dict[str, float] = {}
    turns = took = 0.0
    for mix in MIXES:
        began = time.process_time()
        steps = sum(run(seed, mix, 250).steps for seed in range(seeds))
        spent = time.process_time() - began
        rates[f"cores, {mix}"] = steps / spent
        turns, took = turns + steps, took + spent
    return rates | {"cores": turns / took}


def timers(clock: Callable[[], trio.abc.Clock], wakes: int) -> float:
    """Wake-ups in a second."""

    async def sleeper(number: int) -> None:
        for _ in range(wakes):
            await trio.sleep(1 + number / 1000)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(sleeper, number)

    began = time.process_time()
    trio.run(main, clock=clock())
    return 100 * wakes / (time.process_time() - began)


def sketch(nodes: int, seconds: float) -> float:
    """Simulated seconds in a second, of heartbeats by bare tasks."""

    async def beat(others: list[trio.MemorySendChannel[int]]) -> None:
        while True:
            await trio.sleep(1)
            for other in others:
                other.send_nowait(1)

    async def hear(messages: trio.MemoryReceiveChannel[int]) -> None:
        async for _ in messages:
            pass

    async def main() -> None:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(nodes):
                    ways = [trio.open_memory_channel[int](100) for _ in range(nodes - 1)]
                    nursery.start_soon(beat, [way[0] for way in ways])
                    for way in ways:
                        nursery.start_soon(hear, way[1])

    began = time.process_time()
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return seconds / (time.process_time() - began)


def main() -> None:
    """Measure, and print."""
    logging.disable(logging.CRITICAL)
    part = 4 if "--quick" in sys.argv else 1
    found: dict[str, float] = {}

    def show(row: str, value: float, unit: str) -> None:
        found[row] = value
        goal = f"   (goal: {'at most ' * (row in AT_MOST)}{WANTED[row]:,g})" if row in WANTED else ""
        print(f"{row:<18}{value:>12,.1f}  {unit}{goal}", flush=True)

    for nodes, seconds in ((5, 600), (20, 60), (50, 20)):
        show(f"quiet, {nodes} nodes", quiet(nodes, seconds / part), "simulated s a second")
    show("faults", faults(40 // part), "runs a second")
    took, share = start(50, 5_000 // part, 20 / part)
    show("start", took, "s")
    show("steady", 100 * share, "% of a core for each node")
    for row, rate in cores(20 // part).items():
        show(row, rate, "turns a second")
    ours, mock = (
        timers(VirtualClock, 400 // part),
        timers(lambda: trio.testing.MockClock(autojump_threshold=0), 400 // part),
    )
    show("timers", ours, f"wake-ups a second: {ours / mock:.2f} times MockClock's")
    rough = sketch(5, 600 / part)
    show("sketch", rough, f"simulated s a second: hubkit has {found['quiet, 5 nodes'] / rough:.2f} of it")


if __name__ == "__main__":
    main()
