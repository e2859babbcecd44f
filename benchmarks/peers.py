"""How fast messages pass between actors of one process, held against other actor libraries for Python, in turn in one run.

Run ``python benchmarks/peers.py``: half a minute on an idle machine. Peers that are not installed are left out, and named:
``pip install --group peers`` has them. Each library runs in a process of its own, with what it is best at: pykka has a thread
for each actor, thespian its in-process base, xoscar a pool without further processes. pykka runs twice: with bare messages, for
which there is no method to find (``ask`` and ``tell``), and by method, as hubkit's `call` and `cast` are (its proxies). Each
figure is the median of its rounds.

==========  ==========================================================================================================
row         what is counted
==========  ==========================================================================================================
call        one caller asks one actor, and waits for each answer
cast        one caller tells one actor, a thousand times without a wait, and waits until all have been handled
100 to 100  100 callers at a time, each asking an actor of its own (thespian has no concurrent callers: one asks 100 in turn)
==========  ==========================================================================================================
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import trio

import hubkit

ROUNDS = 5
CALLS = 4_000
BATCH = 1_000
BATCHES = 20
PAIRS = 100
EACH = 40

#: At least so many times the rate of the peer.
WANTED = {
    "pykka": {"call": 5.0, "cast": 5.0, "100 to 100": 5.0},
    "pykka, by method": {"call": 5.0, "cast": 5.0, "100 to 100": 5.0},
    "xoscar": {"call": 5.0, "cast": 5.0, "100 to 100": 5.0},
    "thespian": {"call": 0.8, "cast": 1.0, "100 to 100": 1.0},
}

Rates = dict[str, float]


class Stopwatch:
    """Counts what is done in a second."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._began = time.perf_counter()

    def rate(self) -> float:
        """How many a second."""
        return self._times / (time.perf_counter() - self._began)


class Counter(hubkit.Actor):
    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int) -> int:
        self.value += n
        return self.value


async def measure_hubkit() -> Rates:
    """hubkit: refs of a supervisor, as users have them."""
    specs = [hubkit.child(f"c{number}", Counter) for number in range(PAIRS)]
    async with hubkit.Supervisor(children=specs) as supervisor:
        refs = [supervisor.ref(spec.id) for spec in specs]
        watch = Stopwatch(CALLS)
        for _ in range(CALLS):
            await refs[0].call(Counter.add, 1)
        call = watch.rate()
        ref = refs[0]
        watch = Stopwatch(BATCHES * BATCH)
        for _ in range(BATCHES):
            for _ in range(BATCH):
                ref.cast_nowait(Counter.add, 1)
            await ref.call(Counter.add, 1)
        cast = watch.rate()

        async def caller(ref: hubkit.Ref[Any]) -> None:
            for _ in range(EACH):
                await ref.call(Counter.add, 1)

        watch = Stopwatch(PAIRS * EACH)
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(caller, ref)
        return {"call": call, "cast": cast, "100 to 100": watch.rate()}


def measure_pykka(*, by_method: bool = False) -> Rates:
    """pykka: a thread for each actor."""
    pykka = importlib.import_module("pykka")

    class Threaded(pykka.ThreadingActor):  # type: ignore[misc, name-defined]  # it has no type where it is not installed
        def __init__(self) -> None:
            super().__init__()
            self.value = 0

        def on_receive(self, n: int) -> int:
            self.value += n
            return self.value

        def add(self, n: int) -> int:
            self.value += n
            return self.value

    started = [Threaded.start() for _ in range(PAIRS)]
    refs = [ref.proxy() for ref in started] if by_method else started

    def caller(ref: Any, times: int) -> None:
        for _ in range(times):
            ref.add(1).get() if by_method else ref.ask(1)

    def teller(ref: Any, times: int) -> None:
        for _ in range(times):
            ref.add.defer(1) if by_method else ref.tell(1)

    try:
        watch = Stopwatch(CALLS)
        caller(refs[0], CALLS)
        call = watch.rate()
        watch = Stopwatch(BATCHES * BATCH)
        for _ in range(BATCHES):
            teller(refs[0], BATCH)
            caller(refs[0], 1)
        cast = watch.rate()
        watch = Stopwatch(PAIRS * EACH)
        threads = [threading.Thread(target=caller, args=(ref, EACH)) for ref in refs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"call": call, "cast": cast, "100 to 100": watch.rate()}
    finally:
        pykka.ActorRegistry.stop_all()


def measure_thespian() -> Rates:
    """thespian: its base without threads and processes."""
    actors = importlib.import_module("thespian.actors")

    class Simple(actors.Actor):  # type: ignore[misc, name-defined]  # it has no type where it is not installed
        def __init__(self) -> None:
            self.value = 0

        def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802  # thespian's name
            if isinstance(message, int):
                self.value += message
                self.send(sender, self.value)

    system = actors.ActorSystem("simpleSystemBase")
    try:
        refs = [system.createActor(Simple) for _ in range(PAIRS)]
        watch = Stopwatch(CALLS)
        for _ in range(CALLS):
            system.ask(refs[0], 1)
        call = watch.rate()
        watch = Stopwatch(BATCH)  # (what is told is answered, too, and the answers pile up: so a few only)
        for _ in range(BATCH):
            system.tell(refs[0], 1)
        system.ask(refs[0], 1)
        cast = watch.rate()
        watch = Stopwatch(PAIRS * EACH)
        for _ in range(EACH):
            for ref in refs:
                system.ask(ref, 1)
        return {"call": call, "cast": cast, "100 to 100": watch.rate()}
    finally:
        system.shutdown()


async def measure_xoscar() -> Rates:
    """xoscar: a pool in this process alone."""
    xoscar = importlib.import_module("xoscar")

    class Pooled(xoscar.Actor):  # type: ignore[misc, name-defined]  # it has no type where it is not installed
        def __init__(self) -> None:
            self.value = 0

        async def add(self, n: int) -> int:
            self.value += n
            return self.value

    pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=0)
    async with pool:
        address = pool.external_address
        refs = [await xoscar.create_actor(Pooled, address=address, uid=f"c{number}") for number in range(PAIRS)]
        watch = Stopwatch(CALLS)
        for _ in range(CALLS):
            await refs[0].add(1)
        call = watch.rate()
        watch = Stopwatch(BATCHES * BATCH)
        for _ in range(BATCHES):
            for _ in range(BATCH):
                await refs[0].add.tell(1)
            await refs[0].add(1)
        cast = watch.rate()

        async def caller(ref: Any) -> None:
            for _ in range(EACH):
                await ref.add(1)

        watch = Stopwatch(PAIRS * EACH)
        await asyncio.gather(*[caller(ref) for ref in refs])
        return {"call": call, "cast": cast, "100 to 100": watch.rate()}


LIBRARIES: dict[str, Callable[[], Rates]] = {
    "hubkit": lambda: trio.run(measure_hubkit),
    "pykka": measure_pykka,
    "pykka, by method": lambda: measure_pykka(by_method=True),
    "thespian": measure_thespian,
    "xoscar": lambda: asyncio.run(measure_xoscar()),
}


def measured(library: str) -> Rates:
    """One round of a library, in a process of its own."""
    command = [sys.executable, __file__, "--library", library]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    rates: Rates = json.loads(done.stdout.splitlines()[-1])
    return rates


def main() -> None:
    """Measure, and print the ratios."""
    if sys.argv[1:2] == ["--library"]:
        print(json.dumps(LIBRARIES[sys.argv[2]]()))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; Python {platform.python_version()}")
    there = [name for name in LIBRARIES if importlib.util.find_spec(name.partition(",")[0]) is not None]
    if missing := LIBRARIES.keys() - set(there):
        print(f"not installed, and left out: {', '.join(sorted(missing))}")
    rounds = [{name: measured(name) for name in there} for _ in range(ROUNDS)]
    missed = 0
    for peer in there[1:]:
        for row, wanted in WANTED[peer].items():
            ours = statistics.median(each["hubkit"][row] for each in rounds)
            theirs = statistics.median(each[peer][row] for each in rounds)
            ratio = statistics.median(each["hubkit"][row] / each[peer][row] for each in rounds)
            missed += ratio < wanted
            note = "" if ratio >= wanted else "  MISSED"
            print(f"{peer:<16} {row:<11} {ours:>11,.0f} / {theirs:>9,.0f} a second {ratio:>7.2f}  >= {wanted}{note}")
    print("all goals met" if not missed else f"{missed} goals missed")


if __name__ == "__main__":
    main()
