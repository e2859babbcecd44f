"""What supervision costs: starts, restarts and memory, the times as ratios to bare ``nursery.start`` in the same run.

==================  ======================================================  ============================================
row                 hubkit                                                  trio
==================  ======================================================  ============================================
start               1000 actors, each by ``await supervisor.start_child``   1000 tasks by ``await nursery.start``
open                one `Supervisor` with 1000 children                     the same
restart             1000 times: an actor crashes, and runs again            the same
alive               bytes of one of 100,000 idle actors, its spec included  of one of 100,000 tasks, for comparison
background          bytes of one that has a background task                 of two tasks
==================  ======================================================  ============================================

Each time is the median of several rounds, hubkit and trio by turns, so that a busy machine disturbs both. Bytes are those by
which the process grows, each measured in a process of its own. A crash is logged to nowhere.

Usage: python benchmarks/supervision.py [ROUNDS [ACTORS]]
"""

from __future__ import annotations

import gc
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from hubkit.actors import Actor
from hubkit.supervision import Supervisor, child

TIMES = 1_000
ACTORS = 100_000

#: Times of a bare ``nursery.start``, at most.
WANTED = {"start": 2.0, "open": 2.0, "restart": 3.0}
#: Bytes, at most.
WANTED_BYTES = {"alive": 4096, "background": 6144}

Measure = Callable[[], Awaitable[float]]


class Counter(Actor):
    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int) -> int:
        self.value += n
        return self.value


class Fragile(Actor):
    """Crashes as soon as it runs, so many times."""

    def __init__(self, runs: list[int], done: trio.Event) -> None:
        self.runs, self.done = runs, done

    async def on_start(self) -> None:
        self.runs[0] += 1
        if self.runs[0] > TIMES:
            self.done.set()
        else:
            self.context.ref.send_nowait("crash")

    async def on_info(self, message: object) -> None:
        raise ValueError(message)


class Busy(Counter):
    async def on_start(self) -> None:
        self.context.nursery.start_soon(trio.sleep_forever)


async def task(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


async def trio_start() -> float:
    async with trio.open_nursery() as nursery:
        began = time.perf_counter()
        for _ in range(TIMES):
            await nursery.start(task)
        seconds = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return seconds / TIMES


async def hub_start() -> float:
    specs = [child(str(number), Counter) for number in range(TIMES)]
    async with Supervisor() as supervisor:
        began = time.perf_counter()
        for spec in specs:
            await supervisor.start_child(spec)
        return (time.perf_counter() - began) / TIMES


async def hub_open() -> float:
    specs = [child(str(number), Counter) for number in range(TIMES)]
    began = time.perf_counter()
    async with Supervisor(children=specs):
        return (time.perf_counter() - began) / TIMES


async def hub_restart() -> float:
    runs, done = [0], trio.Event()
    began = time.perf_counter()
    async with Supervisor(children=[child("c", Fragile, runs, done)], max_restarts=TIMES, max_seconds=1e-9):
        await done.wait()
        return (time.perf_counter() - began) / TIMES


ROWS: dict[str, Measure] = {"start": hub_start, "open": hub_open, "restart": hub_restart}


def resident() -> int:
    """Bytes of memory that this process occupies."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def hub_bytes(actors: int, start: type[Counter]) -> float:
    before = resident()
    async with Supervisor() as supervisor:
        for number in range(actors):
            await supervisor.start_child(child(str(number), start))
        return (resident() - before) / actors


async def trio_bytes(actors: int, tasks: int) -> float:
    before = resident()
    async with trio.open_nursery() as nursery:
        for _ in range(actors):
            for _ in range(tasks):
                nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
        grown = resident() - before
        nursery.cancel_scope.cancel()
    return grown / actors


BYTES: dict[str, tuple[tuple[str, object], tuple[str, object]]] = {
    "alive": (("hub_bytes", Counter), ("trio_bytes", 1)),
    "background": (("hub_bytes", Busy), ("trio_bytes", 2)),
}


def bytes_of(row: str, side: int, actors: int) -> float:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--bytes", row, str(side), str(actors)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout)


async def main(rounds: int, actors: int) -> bool:
    """Print the table; returns whether every promise is kept."""
    kept = True
    print(f"{'':<12} {'hubkit':>12} {'trio':>12} {'ratio':>7}  promised")
    for name, measure in ROWS.items():
        pairs = [(await measure(), await trio_start()) for _ in range(rounds)]
        ratio = statistics.median(a / b for a, b in pairs)
        ours, theirs = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
        held = ratio <= WANTED[name]
        kept = kept and held
        promise = f"<= {WANTED[name]:g}{'' if held else '  MISSED'}"
        print(f"{name:<12} {ours:>9.1f} us {theirs:>9.1f} us {ratio:>7.2f}  {promise}")
    for name, limit in WANTED_BYTES.items():
        mine, bare = bytes_of(name, 0, actors), bytes_of(name, 1, actors)
        held = mine <= limit
        kept = kept and held
        print(
            f"{name:<12} {mine:>10.0f} B {bare:>10.0f} B {mine / bare:>7.2f}  <= {limit} B{'' if held else '  MISSED'}"
        )
    return kept


if __name__ == "__main__":
    logging.getLogger("hubkit").addHandler(logging.NullHandler())
    if sys.argv[1:2] == ["--bytes"]:
        function, argument = BYTES[sys.argv[2]][int(sys.argv[3])]
        print(trio.run(globals()[function], int(sys.argv[4]), argument))
        sys.exit(0)
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(0 if trio.run(main, numbers[0] if numbers else 7, numbers[1] if len(numbers) > 1 else ACTORS) else 1)
