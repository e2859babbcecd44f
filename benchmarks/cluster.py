"""How fast a hub of five processes is: ratios to something simple, measured in turn in one run.

Run ``python benchmarks/cluster.py``: half a minute on an idle machine. This process is one of the five; it starts the others.
What is compared stands beside its yardstick in the same round, so that a busy machine disturbs both alike; each figure is the
median of its rounds, and one that misses its goal says so. Absolute times mean little on a shared machine, the ratios much.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket
from _processes import Process, free_ports

import hubkit

HUB = "benchmark"
NAMES = ("a", "b", "c", "d", "e")
CHILDREN = 1000
MANY = 10_000
CASTS = 5_000


class Counter(hubkit.Actor):
    """The plainest child there is."""

    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def note(self, text: str) -> None:
        self.value += 1


def clock() -> float:
    """Seconds on a clock that all processes of the machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def specs(count: int, prefix: str = "child") -> list[hubkit.ChildSpec]:
    """The children."""
    return [hubkit.child(f"{prefix}-{number}", Counter) for number in range(count)]


async def until(condition: Callable[[], bool], *, every: float = 0.01) -> None:
    """Wait until it holds, looking every so many seconds: a hub has an event for each change, but none for all of this."""
    while not condition():  # noqa: ASYNC110  # see above
        await trio.sleep(every)


async def agreed(hub: hubkit.Hub, ids: Iterable[str], gone: str = "") -> float:
    """When this registry first had each child run once, and none in the life ``gone`` of a node."""
    children = list(ids)

    def right(id: str) -> bool:
        pids = hub.pids(id)
        return len(pids) == 1 and f"{pids[0].node}#{pids[0].incarnation}" != gone

    await until(lambda: hub.is_settled and all(map(right, children)), every=0.002)
    return clock()


async def complete(hub: hubkit.Hub, count: int) -> float:
    """When this node first saw so many nodes, itself included."""
    await until(lambda: len(hub.nodes(include_local=True)) == count)
    return clock()


# --- the other four processes -------------------------------------------------------------------------------------------


async def echo(request: trio_websocket.WebSocketRequest) -> None:
    """The yardstick's far end: the first message says how long each reply is to be, and to how many messages it is."""
    connection = await request.accept()
    try:
        size, every = map(int, (await connection.get_message()).split())
        reply = b"x" * size
        while True:
            for _ in range(every):
                await connection.get_message()
            await connection.send_message(reply)
    except trio_websocket.ConnectionClosed:
        pass


async def member(options: dict[str, Any]) -> None:
    """One node, which answers questions on standard input until that is closed."""
    async with trio.open_nursery() as nursery, hubkit.Hub(HUB, **options) as hub:
        bare = await nursery.start(trio_websocket.serve_websocket, echo, "127.0.0.1", 0, None)
        print(json.dumps(bare.port), flush=True)
        rest = b""
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            async for chunk in stdin:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    question = json.loads(line)
                    match question:
                        case {"nodes": count}:
                            moment = await complete(hub, count)
                        case {"ids": ids, "gone": gone}:
                            moment = await agreed(hub, ids, gone)
                    print(json.dumps(moment), flush=True)
        os._exit(0)  # the benchmark is over: there is nothing to hand over


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[hubkit.Hub, dict[str, Process], dict[str, int]]]:
    """Five nodes that see each other; this process has the first. Also the ports of the bare echo servers."""
    urls = [f"ws://127.0.0.1:{port}" for port in free_ports(len(NAMES))]
    node = {name: {"name": name, "listen": url, "join": urls[:1]} for name, url in zip(NAMES, urls, strict=True)}
    here: dict[str, Any] = node.pop(NAMES[0])
    async with hubkit.Hub(HUB, name=here["name"], listen=here["listen"], drain_timeout=1.0) as hub:
        others = {name: Process(__file__, options) for name, options in node.items()}
        try:
            ports = {name: await process.answer() for name, process in others.items()}
            for process in others.values():
                await process.ask(nodes=len(NAMES))
            await complete(hub, len(NAMES))
            yield hub, others, ports
        finally:
            with trio.CancelScope(shield=True):
                for process in others.values():
                    await process.close()


# --- what is measured ---------------------------------------------------------------------------------------------------


class Table:
    """The figures, printed as they come."""

    def __init__(self) -> None:
        self.missed = 0

    def ratio(
        self, what: str, values: list[float], goal: float, *, at_most: bool, unit: str = "x", note: str = ""
    ) -> None:
        """One figure with its goal."""
        value = statistics.median(values)
        good = value <= goal if at_most else value >= goal
        self.missed += not good
        sign = "<=" if at_most else ">="
        spread = f"{min(values):.2f} .. {max(values):.2f}"
        print(
            f"{'ok    ' if good else 'MISSED'} {what:58} {value:8.2f} {unit:4} (goal {sign} {goal:g}; {spread}) {note}"
        )


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that the work takes, with no garbage of the work before."""
    gc.collect()
    began = clock()
    await work()
    return clock() - began


async def start_and_stop(hub: hubkit.Hub, children: list[hubkit.ChildSpec]) -> float:
    """Seconds that an awaited start takes."""
    seconds = await timed(lambda: _start(hub, children))
    result = await hub.stop_children([spec.id for spec in children])
    assert result.status == "ok", result.errors
    await trio.sleep(2.5)  # the removals are forgotten with the next beats: that is no part of the next start
    return seconds


async def _start(hub: hubkit.Hub, children: list[hubkit.ChildSpec]) -> None:
    result = await hub.start_children(children)
    assert result.status == "ok", result.errors


async def local_start(children: list[hubkit.ChildSpec]) -> float:
    """Seconds until the same children run under a local supervisor."""
    gc.collect()
    began = clock()
    async with hubkit.Supervisor(children=children) as supervisor:
        seconds = clock() - began
        assert supervisor.count_children().active == len(children)
    return seconds


async def measure_starts(hub: hubkit.Hub, table: Table) -> None:
    """Starting children, and how that grows with their number."""
    local, few = [], []
    for _ in range(5):
        local.append(await local_start(specs(CHILDREN)))
        few.append(await start_and_stop(hub, specs(CHILDREN)))
    many = [await start_and_stop(hub, specs(MANY)) for _ in range(3)]
    base = statistics.median(few)
    spread = [one / other for one, other in zip(few, local, strict=True)]
    note = f"{base * 1000:.0f} ms / {statistics.median(local) * 1000:.0f} ms"
    table.ratio("start 1000 over 5 processes / 1000 under a Supervisor", spread, 8, at_most=True, note=note)
    growth, note = [one / base for one in many], f"{statistics.median(many):.2f} s"
    table.ratio("start 10,000 over 5 processes / 1000 over 5 processes", growth, 12, at_most=True, note=note)


async def measure_lookups(hub: hubkit.Hub, table: Table) -> None:
    """Reading the registry."""
    ids = [spec.id for spec in specs(CHILDREN)]
    pid = hub.pid
    rates = []
    for _ in range(5):
        began = clock()
        for _ in range(200):
            for id in ids:
                pid(id)
        rates.append(200 * len(ids) / (clock() - began) / 1e6)
        await trio.lowlevel.checkpoint()
    table.ratio("hub.pid", rates, 1, at_most=False, unit="M/s")


async def measure_failover(hub: hubkit.Hub, others: dict[str, Process], table: Table) -> None:
    """SIGKILL of one of five with 1000 children, until the registries of the other four are equal and right."""
    ids = [spec.id for spec in specs(CHILDREN)]
    seconds = []
    victim = others[NAMES[-1]]
    survivors = [process for process in others.values() if process is not victim]
    for _ in range(5):
        for process in others.values():
            await process.ask(ids=ids, gone="")
        await agreed(hub, ids)
        life = next(f"{p.node}#{p.incarnation}" for id in ids for p in hub.pids(id) if p.node == NAMES[-1])
        for process in survivors:
            process.tell(ids=ids, gone=life)
        await trio.sleep(0.3)  # they have parsed the question
        killed = clock()
        await victim.kill()
        moments = [await agreed(hub, ids, life)]
        moments += [await process.answer() for process in survivors]
        seconds.append(max(moments) - killed)
        victim.process.wait()
        victim.start()
        await victim.answer()
        for process in others.values():
            await process.ask(nodes=len(NAMES))
    table.ratio("SIGKILL of 1 of 5 with 1000 children, all back", seconds, 0.5, at_most=True, unit="s")


async def rate_of(count: int, once: Callable[[], Awaitable[object]]) -> float:
    """How often a second, one after the other."""
    began = clock()
    for _ in range(count):
        await once()
    return count / (clock() - began)


async def measure_calls(hub: hubkit.Hub, ports: dict[str, int], table: Table) -> None:
    """Calls to another process, beside bare round trips of the same bytes to the same process."""
    there = NAMES[1]
    ids = [spec.id for spec in specs(CHILDREN) if (pid := hub.pid(spec.id)) and pid.node == there]
    refs = [hub.ref(id, Counter) for id in ids[:100]]
    assert len(refs) == 100, f"only {len(refs)} children run on {there}"
    link = hub.statistics().links[there]
    await rate_of(500, lambda: refs[0].call(Counter.add, 1))
    after = hub.statistics().links[there]
    out, back = (after.bytes_out - link.bytes_out) // 500, (after.bytes_in - link.bytes_in) // 500

    async def crowd(refs: list[hubkit.Ref[Counter]], each: int) -> float:
        began = clock()
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(rate_of, each, lambda ref=ref: ref.call(Counter.add, 1))
        return len(refs) * each / (clock() - began)

    url = f"ws://127.0.0.1:{ports[there]}/"
    async with trio_websocket.open_websocket_url(url, receive_buffer_size=65_536) as connection:
        await connection.send_message(f"{back} 1")
        request = b"x" * out

        async def bare() -> None:
            await connection.send_message(request)
            await connection.get_message()

        rates: list[tuple[float, float, float, float]] = []
        for _ in range(7):
            gc.collect()
            plain = await rate_of(1000, bare)
            one = await rate_of(1000, lambda: refs[0].call(Counter.add, 1))
            rates.append((plain, one, await crowd(refs, 50), await crowd(refs * 10, 50)))
    bare_rate = statistics.median(row[0] for row in rates)
    note = f"{bare_rate / 1000:.1f} k/s bare; {out} bytes out, {back} back"
    alone = [row[1] / row[0] for row in rates]
    table.ratio("call, one caller / bare round trip", alone, 0.72, at_most=False, note=note)
    table.ratio("call, 100 callers to 100 actors / bare", [row[2] / row[0] for row in rates], 15, at_most=False)
    table.ratio("call, 1000 callers to 100 actors / bare", [row[3] / row[0] for row in rates], 25, at_most=False)


async def measure_casts(hub: hubkit.Hub, ports: dict[str, int], table: Table) -> None:
    """Casts of 100 bytes to another process, beside bare messages of as many, one a frame; until all have been handled."""
    there, ref = NAMES[1], None
    for number in range(100):
        sink = await hub.start_child(hubkit.ChildSpec(f"sink-{number}", Counter, mailbox=2 * CASTS))
        if sink.pid is not None and sink.pid.node == there:
            ref = hub.ref(f"sink-{number}", Counter)
            break
    assert ref is not None, f"of a hundred children none runs on {there}"
    text = "x" * 100
    url = f"ws://127.0.0.1:{ports[there]}/"
    async with trio_websocket.open_websocket_url(url, receive_buffer_size=65_536) as connection:
        await connection.send_message(f"10 {CASTS}")

        async def bare() -> None:
            for _ in range(CASTS):
                await connection.send_message(text)
            await connection.get_message()

        async def casts() -> None:
            before = await ref.call(Counter.add, 0)
            for number in range(CASTS):
                ref.cast_nowait(Counter.note, text)
                if not number % 100:
                    await trio.lowlevel.checkpoint()
            if await ref.call(Counter.add, 0) != before + CASTS:
                msg = "a cast was lost"
                raise AssertionError(msg)

        ratios = []
        for _ in range(7):
            plain = await timed(bare)
            ratios.append(plain / await timed(casts))
    table.ratio("casts of 100 bytes / bare messages", ratios, 12, at_most=False)


async def measure() -> int:
    """Everything, on one cluster."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpu() if line.startswith("model name")), platform.processor()
    )
    machine = f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}"
    print(f"{machine}; Python {platform.python_version()}, trio {trio.__version__}")
    table = Table()
    async with cluster() as (hub, others, ports):
        await measure_starts(hub, table)
        await _start(hub, specs(CHILDREN))
        await measure_lookups(hub, table)
        await measure_calls(hub, ports, table)
        await measure_casts(hub, ports, table)
        await measure_failover(hub, others, table)
    return table.missed


def _cpu() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main() -> None:
    """Measure, or be one of those that are measured."""
    if sys.argv[1:2] == ["--member"]:
        trio.run(member, json.loads(sys.argv[2]))
        return
    missed = trio.run(measure)
    print("all goals met" if not missed else f"{missed} goals missed")


if __name__ == "__main__":
    main()
