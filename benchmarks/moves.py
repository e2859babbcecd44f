"""How fast children move with their state, and how long each is away: a third node joins a hub of two.

Run ``python benchmarks/moves.py``: a minute on an idle machine. All three nodes are processes of their own. A hot join is
held against a cold one of the same children in the same round, and ten thousand children against one thousand; each figure is
the median of its rounds. The last figures are of one child: how long its callers waited at the most, while calls come from all
nodes and children move.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from _processes import Process, free_ports

import hubkit
from hubkit.strategies import ColdSwap, HotSwap

HUB = "benchmark"
CHILDREN = 1000
MANY = 10_000
#: Under traffic: so many children, and calls a second from each node.
COUNTERS = 300
RATE = 333
SECONDS = 4.0

MIGRATIONS: dict[str, Any] = {"hot": HotSwap(), "cold": ColdSwap()}


class Counter(hubkit.Actor):
    """A child with a state."""

    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    def handover_state(self) -> Any:
        return self.value

    def accept_handover(self, state: Any) -> None:
        self.value = state


def clock() -> float:
    """Seconds on a clock that all processes of the machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def ids(count: int) -> list[str]:
    """The children."""
    return [f"child-{number}" for number in range(count)]


async def until(condition: Callable[[], bool], *, every: float = 0.002) -> None:
    """Wait until it holds, looking every so many seconds: a hub has an event for each change, but none for all of this."""
    while not condition():  # noqa: ASYNC110  # see above
        await trio.sleep(every)


# --- the nodes ----------------------------------------------------------------------------------------------------------


async def traffic(hub: hubkit.Hub, seconds: float) -> dict[str, Any]:
    """Call all counters in turn, so many times a second; what was acknowledged, what failed, and the longest wait."""
    told = failed = 0
    longest, waits = 0.0, []
    end = clock() + seconds

    async def call(id: str) -> None:
        nonlocal told, failed, longest
        began = clock()
        try:
            await hub.ref(id, Counter).call(Counter.add, 1)
        except hubkit.errors.HubkitError:
            failed += 1
        else:
            told += 1
            waits.append(clock() - began)
            longest = max(longest, waits[-1])

    async with trio.open_nursery() as nursery:
        number, next_call = random.randrange(COUNTERS), clock()
        while clock() < end:
            while next_call <= clock():
                number, next_call = number + 7, next_call + 1 / RATE
                nursery.start_soon(call, f"child-{number % COUNTERS}")
            await trio.sleep(max(0.0, next_call - clock()))
    return {"told": told, "failed": failed, "longest": longest, "usual": statistics.median(waits)}


async def member(options: dict[str, Any]) -> None:
    """One node, which does what it is told on standard input until that is closed."""
    migration = MIGRATIONS[options.pop("migration")]
    rest = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin, trio.open_nursery() as nursery:
        print("1", flush=True)
        await stdin.receive_some(1)  # its word to join
        began = clock()
        async with hubkit.Hub(HUB, migration=migration, drain_timeout=30.0, **options) as hub:
            print(json.dumps(began), flush=True)

            async def obey(order: dict[str, Any]) -> None:
                match order:
                    case {"start": count}:
                        await hub.start_children([hubkit.child(id, Counter) for id in ids(count)])
                        answer: Any = clock()
                    case {"nodes": count, "children": children}:
                        await until(lambda: len(hub.nodes(include_local=True)) == count)
                        await until(lambda: hub.is_settled and len(hub.children()) == children)
                        answer = clock()
                    case {"traffic": seconds}:
                        answer = await traffic(hub, seconds)
                    case {"values": count}:
                        answer = 0
                        for id in ids(count):
                            answer += await hub.ref(id, Counter).call(Counter.add, 0)
                print(json.dumps(answer), flush=True)

            async for chunk in stdin:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    nursery.start_soon(obey, json.loads(line))
            os._exit(0)  # the benchmark is over: there is nothing to hand over


async def begin(node: Process) -> float:
    """Let it open its hub; when it began to."""
    node.write(b"!")
    return float(await node.answer())


@asynccontextmanager
async def cluster(migration: str, count: int) -> AsyncIterator[list[Process]]:
    """Two nodes with so many children, and a third that has not joined yet."""
    urls = [f"ws://127.0.0.1:{port}" for port in free_ports(3)]
    options = [{"name": name, "listen": url, "join": urls[:1]} for name, url in zip("abc", urls, strict=True)]
    options[0]["join"] = []
    nodes = [Process(__file__, {"migration": migration, **each}) for each in options]
    try:
        for node in nodes:
            await node.answer()
        for node in nodes[:2]:
            await begin(node)
        await nodes[0].ask(nodes=2, children=0)
        await nodes[0].ask(start=count)
        for node in nodes[:2]:
            await node.ask(nodes=2, children=count)
        await trio.sleep(1.5)  # a beat, and what starting so many leaves behind
        yield nodes
    finally:
        with trio.CancelScope(shield=True):
            for node in nodes:
                await node.close()


# --- what is measured ---------------------------------------------------------------------------------------------------


async def join(migration: str, count: int) -> float:
    """Seconds from the moment at which the third begins to join until all three have settled."""
    async with cluster(migration, count) as nodes:
        began = await begin(nodes[2])
        for node in nodes:
            node.tell(nodes=3, children=count)
        moments: list[float] = [await node.answer() for node in nodes]
        return max(moments) - began


async def join_under_traffic() -> dict[str, Any]:
    """The third joins while all call; what the callers saw."""
    async with cluster("hot", COUNTERS) as nodes:
        for node in nodes[:2]:
            node.tell(traffic=SECONDS)
        await trio.sleep(SECONDS / 4)
        await begin(nodes[2])
        nodes[2].tell(traffic=SECONDS / 2)
        seen = [await node.answer() for node in nodes]
        await nodes[0].ask(nodes=3, children=COUNTERS)
        total = await nodes[0].ask(values=COUNTERS)
    return {
        "told": sum(each["told"] for each in seen),
        "failed": sum(each["failed"] for each in seen),
        "longest": max(each["longest"] for each in seen),
        "usual": statistics.median(each["usual"] for each in seen),
        "total": total,
    }


def show(what: str, figure: str, fine: bool, note: str = "") -> int:
    """Print a line; 1 if it misses its goal."""
    print(f"{what:<58} {figure:>12}  {'' if fine else 'MISSED '}{note}", flush=True)
    return not fine


async def measure() -> int:
    """Everything; how many goals were missed."""
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; Python {platform.python_version()}, trio {trio.__version__}"
    )
    missed, hot, cold = 0, [], []
    for _ in range(3):
        hot.append(await join("hot", CHILDREN))
        cold.append(await join("cold", CHILDREN))
    one = statistics.median(hot)
    spread = ", ".join(f"{each * 1000:.0f}" for each in hot)
    missed += show(
        f"join of a third node, {CHILDREN} children, hot with state", f"{one * 1000:.0f} ms", one <= 0.5, spread
    )
    ratio = one / statistics.median(cold)
    missed += show("  / the same, cold", f"{ratio:.2f}", ratio <= 3, f"cold {statistics.median(cold) * 1000:.0f} ms")
    many = await join("hot", MANY)
    missed += show(f"  {MANY} children / {CHILDREN}", f"{many / one:.1f}", many / one <= 12, f"{many * 1000:.0f} ms")
    seen = await join_under_traffic()
    fine = seen["failed"] == 0 and seen["total"] == seen["told"]
    rate = f"{seen['told']} calls told, {seen['total']} applied, {seen['failed']} failed"
    missed += show(
        "join under 1,000 calls a second: calls lost or doubled", str(seen["told"] - seen["total"]), fine, rate
    )
    usual = f"usually {seen['usual'] * 1000:.1f} ms"
    missed += show("  longest wait of a caller", f"{seen['longest'] * 1000:.0f} ms", seen["longest"] <= 0.5, usual)
    return missed


def main() -> None:
    """Measure, or be one of those that are measured."""
    if sys.argv[1:2] == ["--member"]:
        trio.run(member, json.loads(sys.argv[2]))
        return
    missed = trio.run(measure)
    print("all goals met" if not missed else f"{missed} goals missed")


if __name__ == "__main__":
    main()
