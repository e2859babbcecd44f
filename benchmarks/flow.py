"""How much memory a sender needs when the other side does not keep up: a limit, measured on real processes.

Run ``python benchmarks/flow.py [--seconds S]``. One process sends all it can, calls and casts, awaited and not, small ones and
large ones, to an actor of another process that (in turn) handles nothing, is stopped with SIGSTOP, or does not read its
sockets any more but goes on to send heartbeats. What is measured is by how much the sender's resident memory grows; it ends
with 1 if that is more than `LIMIT`. A neighbour of the actor that handles nothing is called all the while, and must answer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from _processes import Process, free_ports

import hubkit

LIMIT = 64 << 20
SECONDS = 60.0
NAP = 0.001  # between two rounds of a sender that is refused: it would keep the process from anything else


class Stuck(hubkit.Actor):
    """Handles its first message for ever."""

    async def take(self, data: bytes) -> None:
        await trio.sleep_forever()


class Echo(hubkit.Actor):
    """The neighbour."""

    async def echo(self, number: int) -> int:
        return number


def resident() -> int:
    """The bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def send(ref: hubkit.Ref[Any], how: str, size: int, counts: dict[str, int]) -> None:
    """Send without end; what does not go is tried again."""
    data = bytes(size)
    while True:
        try:
            with trio.move_on_after(20):
                if how == "cast_nowait":
                    await trio.lowlevel.checkpoint()
                    for _ in range(50):
                        ref.cast_nowait("take", data)
                else:
                    await getattr(ref, how)("take", data)
            counts[how] = counts.get(how, 0) + 1
        except (hubkit.errors.HubkitError, trio.WouldBlock) as error:
            name = type(error).__name__
            counts[name] = counts.get(name, 0) + 1
            await trio.sleep(NAP)


async def sender(hub: hubkit.Hub, seconds: float, neighbour: bool) -> dict[str, Any]:
    """Send for so long; what became of it."""
    stuck, echo = (hub.node._system.ref(hub.pids(id)[0]) for id in ("stuck", "echo"))  # not where they go on
    counts: dict[str, int] = {}
    slowest, peak, before = 0.0, 0, resident()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for how, size, tasks in (("call", 200, 1000), ("cast", 200, 1000), ("call", 1 << 16, 50), ("cast", 1 << 20, 5),
                                     ("cast_nowait", 200, 1)):  # fmt: skip
                for _ in range(tasks):
                    nursery.start_soon(send, stuck, how, size, counts)
            while True:
                peak = max(peak, resident())
                began = time.perf_counter()
                if neighbour:
                    await echo.call("echo", 1)
                    slowest = max(slowest, time.perf_counter() - began)
                await trio.sleep(0.05)
    return {"growth": max(peak, resident()) - before, "counts": counts, "slowest": slowest}


async def member(options: dict[str, Any]) -> None:
    """One of the two processes."""
    port, others = options["port"], options["join"]
    patience = 1e6 if options["mode"] == "deaf" else 4.0
    async with (
        hubkit.Node(listen=f"ws://127.0.0.1:{port}", join=others, name=options["name"], down_after=patience) as node,
        hubkit.Hub("flow", node=node, distribution=hubkit.strategies.Guided()) as hub,
    ):
        print(json.dumps("ready"), flush=True)
        while True:
            line = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            match json.loads(line):
                case {"do": "start"}:
                    async with hub.events(hubkit.events.NodeJoined) as joined:
                        if "b" not in hub.nodes():
                            await anext(aiter(joined))
                    for id, start in (("stuck", Stuck), ("echo", Echo)):
                        await hub.start_child(hubkit.ChildSpec(id, start), nodes=["b"])
                    await hub.settled()
                    print(json.dumps("started"), flush=True)
                case {"do": "deaf"}:
                    assert node._mesh is not None
                    for session in node._mesh._sessions.values():
                        session._link.receive = trio.sleep_forever  # type: ignore[method-assign]  # this process plays ill
                    print(json.dumps("deaf"), flush=True)
                case {"do": "send", "seconds": seconds, "neighbour": neighbour}:
                    print(json.dumps(await sender(hub, seconds, neighbour)), flush=True)


async def measure(mode: str, seconds: float) -> bool:
    """One case; whether the limit held."""
    ports = free_ports(2)
    urls = [f"ws://127.0.0.1:{port}" for port in ports]
    b = Process(__file__, {"name": "b", "port": ports[1], "join": [urls[0]], "mode": mode})
    a = Process(__file__, {"name": "a", "port": ports[0], "join": [urls[1]], "mode": mode})
    try:
        with trio.fail_after(seconds + 60):
            await a.answer()
            await b.answer()
            await a.ask(do="start")
            if mode == "stopped":
                a.tell(do="send", seconds=seconds, neighbour=False)
                await trio.sleep(seconds / 4)
                b.process.send_signal(signal.SIGSTOP)
                result = await a.answer()
            elif mode == "deaf":
                await b.ask(do="deaf")
                result = await a.ask(do="send", seconds=seconds, neighbour=False)
            else:
                result = await a.ask(do="send", seconds=seconds, neighbour=True)
    finally:
        with suppress(ProcessLookupError):
            b.process.send_signal(signal.SIGCONT)
        await a.close()
        await b.close()
    near = f", neighbour at most {1000 * result['slowest']:,.0f} ms" if mode == "stuck" else ""
    print(f"  {mode:8} sender grew by {result['growth'] / (1 << 20):6.1f} MiB{near}; {result['counts']}", flush=True)
    return bool(result["growth"] <= LIMIT)


async def main(seconds: float) -> int:
    print(f"a sender's memory, {seconds:g} s of all it can send to who does not keep up (limit {LIMIT >> 20} MiB)")
    held = [await measure(mode, seconds) for mode in ("stuck", "stopped", "deaf")]
    return 0 if all(held) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--member"]:
        trio.run(member, json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    raise SystemExit(trio.run(main, parser.parse_args().seconds))
