"""How fast messages pass between actors of one process, as ratios to trio's memory channels in the same run.

Each figure is the median of several rounds, actors and channels by turns, so that a busy machine disturbs both.

==================  ========================================================  ==============================================
row                 hubkit                                                    trio
==================  ========================================================  ==============================================
call                ``await ref.call(Counter.add, 1)``                        send and receive over two unbuffered channels
cast_nowait         1000 casts at a time, until all are handled               1000 ``send_nowait``, read with ``async for``
await cast          ``await ref.cast(Counter.add, 1)``, until all are handled  ``await send`` on a buffered channel, likewise
100 to 100          100 tasks, each calling its own actor                     100 tasks, each with its own pair of channels
start               1000 actors under a Supervisor                            1000 tasks by ``await nursery.start``
==================  ========================================================  ==============================================

Usage: python benchmarks/actors.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from hubkit.actors import Actor, Ref
from hubkit.supervision import Supervisor, child, start

CALLS = 5_000
CASTS = 20_000
BATCH = 1_000
PAIRS = 100
STARTS = 1_000

#: What the first release promises, at least.
WANTED = {"call": 1.3, "cast_nowait": 5.0, "await cast": 1.0}

Measure = Callable[[], Awaitable[float]]


class Counter(Actor):
    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int) -> int:
        self.value += n
        return self.value


class Stopwatch:
    def __init__(self, times: int) -> None:
        self._times = times
        self._began = time.perf_counter()

    def rate(self) -> float:
        """How many a second."""
        return self._times / (time.perf_counter() - self._began)


async def hub_call() -> float:
    async with start(child("counter", Counter)) as ref:
        watch = Stopwatch(CALLS)
        for _ in range(CALLS):
            await ref.call(Counter.add, 1)
        return watch.rate()


async def serve(requests: trio.MemoryReceiveChannel[int], replies: trio.MemorySendChannel[int]) -> None:
    value = 0
    async for n in requests:
        value += n
        await replies.send(value)


async def ask(times: int, nursery: trio.Nursery) -> None:
    send, requests = trio.open_memory_channel[int](0)
    replies, receive = trio.open_memory_channel[int](0)
    nursery.start_soon(serve, requests, replies)
    async with send:
        for _ in range(times):
            await send.send(1)
            await receive.receive()


async def trio_call() -> float:
    async with trio.open_nursery() as nursery:
        watch = Stopwatch(CALLS)
        await ask(CALLS, nursery)
        return watch.rate()


async def handled(ref: Ref[Counter], count: int) -> None:
    while await ref.call(Counter.add, 0) < count:
        pass


async def hub_cast_nowait() -> float:
    async with start(child("counter", Counter)) as ref:
        watch = Stopwatch(CASTS)
        for batch in range(1, CASTS // BATCH + 1):
            for _ in range(BATCH):
                ref.cast_nowait(Counter.add, 1)
            await handled(ref, batch * BATCH)
        return watch.rate()


class Reader:
    """Counts what it reads from a channel."""

    def __init__(self, capacity: int) -> None:
        self.send, self._receive = trio.open_memory_channel[int](capacity)
        self._value = 0
        self._wanted = 0
        self._reached = trio.Event()

    async def run(self) -> None:
        async for n in self._receive:
            self._value += n
            if self._value >= self._wanted:
                self._reached.set()

    async def handled(self, count: int) -> None:
        self._wanted, self._reached = count, trio.Event()
        if self._value < count:
            await self._reached.wait()


async def trio_cast_nowait() -> float:
    async with trio.open_nursery() as nursery:
        reader = Reader(BATCH)
        nursery.start_soon(reader.run)
        watch = Stopwatch(CASTS)
        for batch in range(1, CASTS // BATCH + 1):
            for _ in range(BATCH):
                reader.send.send_nowait(1)
            await reader.handled(batch * BATCH)
        rate = watch.rate()
        reader.send.close()
        return rate


async def hub_cast() -> float:
    async with start(child("counter", Counter)) as ref:
        watch = Stopwatch(CASTS)
        for _ in range(CASTS):
            await ref.cast(Counter.add, 1)
        await handled(ref, CASTS)
        return watch.rate()


async def trio_cast() -> float:
    async with trio.open_nursery() as nursery:
        reader = Reader(BATCH)
        nursery.start_soon(reader.run)
        watch = Stopwatch(CASTS)
        for _ in range(CASTS):
            await reader.send.send(1)
        await reader.handled(CASTS)
        rate = watch.rate()
        reader.send.close()
        return rate


async def hub_pairs() -> float:
    async def ask_one(ref: Ref[Counter]) -> None:
        for _ in range(CALLS // PAIRS):
            await ref.call(Counter.add, 1)

    async with Supervisor(children=[child(str(number), Counter) for number in range(PAIRS)]) as supervisor:
        refs = [supervisor.ref(str(number)) for number in range(PAIRS)]
        watch = Stopwatch(CALLS)
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(ask_one, ref)
        return watch.rate()


async def trio_pairs() -> float:
    watch = Stopwatch(CALLS)
    async with trio.open_nursery() as nursery:
        for _ in range(PAIRS):
            nursery.start_soon(ask, CALLS // PAIRS, nursery)
    return watch.rate()


async def hub_start() -> float:
    specs = [child(str(number), Counter) for number in range(STARTS)]
    watch = Stopwatch(STARTS)
    async with Supervisor(children=specs):
        return watch.rate()


async def trio_start() -> float:
    async def task(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        watch = Stopwatch(STARTS)
        for _ in range(STARTS):
            await nursery.start(task)
        rate = watch.rate()
        nursery.cancel_scope.cancel()
    return rate


ROWS: dict[str, tuple[Measure, Measure]] = {
    "call": (hub_call, trio_call),
    "cast_nowait": (hub_cast_nowait, trio_cast_nowait),
    "await cast": (hub_cast, trio_cast),
    "100 to 100": (hub_pairs, trio_pairs),
    "start": (hub_start, trio_start),
}


async def main(rounds: int) -> bool:
    """Print the table; returns whether every promise is kept."""
    kept = True
    print(f"{'':<12} {'hubkit/s':>12} {'trio/s':>12} {'ratio':>7}  promised")
    for name, (ours, theirs) in ROWS.items():
        pairs = [(await ours(), await theirs()) for _ in range(rounds)]
        ratio = statistics.median(a / b for a, b in pairs)
        our_rate, their_rate = (statistics.median(column) for column in zip(*pairs, strict=True))
        wanted = WANTED.get(name)
        kept = kept and (wanted is None or ratio >= wanted)
        promise = "" if wanted is None else f">= {wanted:g}{'' if ratio >= wanted else '  MISSED'}"
        print(f"{name:<12} {our_rate:>12,.0f} {their_rate:>12,.0f} {ratio:>7.2f}  {promise}")
    return kept


if __name__ == "__main__":
    sys.exit(0 if trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 7) else 1)
