"""What an actor's tools cost: timers, monitors, links, late replies, calls to many, and what a state machine puts off.

Each figure is microseconds apiece, the best of several rounds: what is wanted is a cost that does not grow with the number, and
is small.

==============  =======================================================================================================
row             what is measured
==============  =======================================================================================================
timers          1,000 timers set by ``context.send_after``, and cancelled
monitors        one actor that others watch 1,000 times, 10,000 times: from its end to the last `Down` in a mailbox
links           the same, linked with 1,000 that trap exits
late reply      ``reply_later`` and ``reply``, as against a plain call in the same run
MultiCall       1,000 actors called, as against one after the other
put off         1,000 casts put off, and handled after one change of state
==============  =======================================================================================================

Usage: python benchmarks/tools.py [ROUNDS]
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import hubkit

#: Microseconds each, at most.
WANTED = {"timers": 5.0, "monitors, 10,000": 50.0}


class Desk(hubkit.Actor):
    trap_exits = True
    heard = 0

    async def plain(self) -> int:
        return 1

    async def late(self) -> int:
        token: hubkit.LateReply[int] = self.context.reply_later()
        token.reply(1)
        return token.later

    async def on_info(self, message: Any) -> None:
        self.heard += 1


class Door(hubkit.StateMachine[str]):
    initial = "closed"

    async def turn(self, state: str) -> None:
        self.become(state)

    @hubkit.when("open", otherwise="postpone")
    async def walk(self) -> None: ...


def cell_of(ref: hubkit.Ref[Any]) -> Any:
    return ref._find()


async def timers() -> float:
    async with hubkit.start(hubkit.child("desk", Desk)) as ref:
        context = cell_of(ref).context
        began = time.perf_counter()
        for timer in [context.send_after(60, number) for number in range(1000)]:
            timer.cancel()
        return (time.perf_counter() - began) / 1000


def monitors(count: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        async with hubkit.start(hubkit.child("watcher", Desk)) as watcher:
            async with hubkit.start(hubkit.child("watched", Desk)) as ref:
                for _ in range(count):
                    cell_of(watcher).context.monitor(ref)
                gc.collect()
                watched = cell_of(ref)
                began = time.perf_counter()
                watched._bury("normal", None)
                took = time.perf_counter() - began
            await watcher.call(Desk.plain)  # behind all that waits
            assert cell_of(watcher).instance.heard == count
            return took / count

    return measure


async def links() -> float:
    specs = [hubkit.child(str(number), Desk) for number in range(1000)]
    async with hubkit.Supervisor(children=specs) as supervisor, hubkit.start(hubkit.child("one", Desk)) as ref:
        for spec in specs:
            cell_of(supervisor.ref(spec.id)).context.link(ref)
        gc.collect()
        one = cell_of(ref)
        began = time.perf_counter()
        one._bury("odd", None)
        took = time.perf_counter() - began
        await hubkit.MultiCall([supervisor.ref(spec.id) for spec in specs], Desk.plain).run()
        return took / len(specs)


def calls(method: Callable[[Any], Awaitable[int]]) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        async with hubkit.start(hubkit.child("desk", Desk)) as ref:
            began = time.perf_counter()
            for _ in range(2000):
                await ref.call(method)
            return (time.perf_counter() - began) / 2000

    return measure


def many(together: bool) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        specs = [hubkit.child(str(number), Desk) for number in range(1000)]
        async with hubkit.Supervisor(children=specs) as supervisor:
            refs = [supervisor.ref(spec.id) for spec in specs]
            began = time.perf_counter()
            if together:
                await hubkit.MultiCall(refs, Desk.plain).run()
            else:
                for ref in refs:
                    await ref.call(Desk.plain)
            return (time.perf_counter() - began) / len(refs)

    return measure


async def put_off() -> float:
    async with hubkit.start(hubkit.child("door", Door)) as ref:
        began = time.perf_counter()
        for _ in range(990):
            ref.cast_nowait(Door.walk)
        await ref.call(Door.turn, "open")
        await ref.call(Door.turn, "closed")
        return (time.perf_counter() - began) / 990


ROWS: dict[str, Callable[[], Awaitable[float]]] = {
    "timers": timers,
    "monitors, 1,000": monitors(1000),
    "monitors, 10,000": monitors(10_000),
    "links": links,
    "a plain call": calls(Desk.plain),
    "late reply": calls(Desk.late),
    "one by one": many(False),
    "MultiCall": many(True),
    "put off": put_off,
}


async def main(rounds: int) -> bool:
    """Print the table; returns whether every promise is kept."""
    kept = True
    print(f"{'':<18} {'us each':>9}  promised")
    for name, measure in ROWS.items():
        best = min([await measure() for _ in range(rounds)]) * 1e6
        wanted = WANTED.get(name)
        kept = kept and (wanted is None or best <= wanted)
        promise = "" if wanted is None else f"<= {wanted:g}{'' if best <= wanted else '  MISSED'}"
        print(f"{name:<18} {best:>9.2f}  {promise}")
    return kept


if __name__ == "__main__":
    sys.exit(0 if trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 5) else 1)
