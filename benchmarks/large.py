"""How fast large values travel, and how late heartbeats are meanwhile: ratios, measured against bare connections in one run.

Run ``python benchmarks/large.py [--huge]``. Two processes: bytes go from the one that has dialled to the other, over raw trio
TCP, over a bare trio-websocket connection (with the best of several receive buffers, as one message and as many), as
arguments and as results of a call, and as the state of a child that moves. Rates are the best of several rounds, taken in
alternation, so that a busy machine disturbs all alike. Meanwhile both processes measure how late their own heartbeats
are, and how late those of the other come; what is shown is the worst of all. ``--huge``: once with 1 GiB, and the
memory that it took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from typing import Any

import trio
import trio_websocket
from _processes import Process, free_ports

import hubkit
from hubkit.net.wire import Kind

MIB = 1 << 20
SIZE = 64 * MIB
HUGE = 1 << 30
ROUNDS = 5
BEAT = 0.05
BUFFERS = (16 * 1024, 64 * 1024, 256 * 1024, MIB)
FRAME = 256 * 1024


class Store(hubkit.Actor):
    """Takes bytes, gives bytes, and moves with them."""

    def __init__(self) -> None:
        self.data = b""

    async def put(self, data: bytes) -> int:
        self.data = data
        return len(data)

    async def get(self) -> bytes:
        return self.data

    async def fill(self, size: int) -> None:
        self.data = os.urandom(min(size, MIB)) * -(-size // MIB)

    async def size(self) -> int:
        return len(self.data)

    def handover_state(self) -> bytes:
        return self.data

    def accept_handover(self, state: bytes) -> None:
        self.data = state


def high() -> int:
    """The most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Watch:
    """How late heartbeats are: this process' own, by its clock, and those that come from the other."""

    def __init__(self, node: hubkit.Node) -> None:
        self.late: list[float] = []
        self.gaps: list[float] = []
        self._last: float | None = None
        assert node._mesh is not None
        plain = node._mesh._control

        def control(session: Any, message: list[Any]) -> None:
            if message[0] == Kind.BEAT:
                at = time.perf_counter()
                if self._last is not None:
                    self.gaps.append(max(0.0, at - self._last - BEAT))
                self._last = at
            plain(session, message)

        node._mesh._control = control  # type: ignore[method-assign]  # to look at each heartbeat as it comes

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await trio.sleep(0.01)
            self.late.append(max(0.0, time.perf_counter() - began - 0.01))

    def take(self) -> dict[str, float]:
        """The figures since the last time, in seconds."""
        late, gaps = sorted(self.late), sorted(self.gaps)
        self.late, self.gaps = [], []
        if not late or not gaps:
            return {}
        return {
            "late": late[-1],
            "late99": late[-(len(late) // 100) - 1],
            "gap": gaps[-1],
            "gap99": gaps[-(len(gaps) // 100) - 1],
        }


# --- the nodes ----------------------------------------------------------------------------------------------------------


async def serve_bare(nursery: trio.Nursery) -> list[int]:
    """Sinks for bare connections: what comes is counted off by its first message, and answered when it is all there."""

    async def tcp(stream: trio.SocketStream) -> None:
        async with stream:
            while True:
                head = b""
                while len(head) < 8 and (data := await stream.receive_some(8 - len(head))):
                    head += data
                if len(head) < 8:
                    return
                left = int.from_bytes(head, "big")
                while left:
                    left -= len(await stream.receive_some(min(left, MIB)))
                await stream.send_all(b"!")

    async def websocket(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            while True:
                left = int(await connection.get_message())
                while left:
                    left -= len(await connection.get_message())
                await connection.send_message(b"!")
        except trio_websocket.ConnectionClosed:
            pass

    listeners = await nursery.start(trio.serve_tcp, tcp, 0)
    ports = [listeners[0].socket.getsockname()[1]]
    for buffer in BUFFERS:

        async def serve(*, task_status: trio.TaskStatus[trio_websocket.WebSocketServer], buffer: int = buffer) -> None:
            await trio_websocket.serve_websocket(
                websocket, "127.0.0.1", 0, None, max_message_size=2 * HUGE, receive_buffer_size=buffer,
                task_status=task_status,
            )  # fmt: skip

        ports.append((await nursery.start(serve)).port)
    return ports


async def send_bare(port: int, buffer: int, size: int, frame: int) -> float:
    """Seconds for so many bytes over a bare connection, from the first byte to the answer."""
    data = os.urandom(MIB) * -(-min(size, frame) // MIB)
    data = data[: min(size, frame)]
    if not buffer:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            began = time.perf_counter()
            await stream.send_all(size.to_bytes(8, "big"))
            for _ in range(size // len(data)):
                await stream.send_all(data)
            await stream.receive_some(1)
            return time.perf_counter() - began
    url = f"ws://127.0.0.1:{port}/"
    async with trio_websocket.open_websocket_url(url, receive_buffer_size=buffer) as connection:
        began = time.perf_counter()
        await connection.send_message(str(size))
        for _ in range(size // len(data)):
            await connection.send_message(data)
        await connection.get_message()
        return time.perf_counter() - began


async def member(options: dict[str, Any]) -> None:
    """One of the two processes: ``b`` joins ``a``, so it is the one that has dialled."""
    async with (
        trio.open_nursery() as nursery,
        hubkit.Node(
            listen=f"ws://127.0.0.1:{options['port']}",
            join=options["join"],
            name=options["name"],
            beat=BEAT,
            secret="s",
        ) as node,
        hubkit.Hub(
            "large", node=node, distribution=hubkit.strategies.Guided(), migration=hubkit.strategies.HotSwap()
        ) as hub,
    ):
        watch = Watch(node)
        nursery.start_soon(watch.run)
        bare = await serve_bare(nursery) if not options["join"] else []
        print(json.dumps(bare), flush=True)
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            rest = b""
            async for chunk in stdin:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    print(json.dumps(await obey(hub, watch, json.loads(line))), flush=True)
        os._exit(0)  # the benchmark is over


async def obey(hub: hubkit.Hub, watch: Watch, order: dict[str, Any]) -> Any:
    """Do one thing that is asked for; how many seconds it took, or what was asked."""
    began = time.perf_counter()
    match order:
        case {"do": "watch"}:
            return watch.take()
        case {"do": "memory"}:
            return high()
        case {"do": "bare", "port": port, "buffer": buffer, "size": size, "frame": frame}:
            return await send_bare(port, buffer, size, frame)
        case {"do": "start", "id": id, "node": node}:
            while node not in hub.nodes(include_local=True):  # noqa: ASYNC110  # a benchmark may look every now and then
                await trio.sleep(0.01)
            await hub.start_child(hubkit.ChildSpec(id, Store), nodes=[node])
            await hub.settled()
        case {"do": "put", "id": id, "size": size}:
            data = os.urandom(MIB) * (size // MIB)
            began = time.perf_counter()
            assert await hub.ref(id, Store).call(Store.put, data) == size
        case {"do": "fill", "id": id, "size": size}:
            await hub.ref(id, Store).call(Store.fill, size)
        case {"do": "get", "id": id, "size": size}:
            assert len(await hub.ref(id, Store).call(Store.get)) == size
        case {"do": "move", "id": id, "node": node}:
            await hub.move(id, node)
        case _:
            raise AssertionError(order)
    return time.perf_counter() - began


# --- the one that measures ----------------------------------------------------------------------------------------------


def show(rates: dict[str, list[float]], base: str) -> None:
    """Each kind: the rate of its fastest round, and how that compares."""
    best = {name: max(found) for name, found in rates.items()}
    for name, rate in best.items():
        print(f"  {name:34} {rate / MIB:>8,.0f} MiB/s   {rate / best[base]:5.2f} x bare   median "
              f"{statistics.median(rates[name]) / MIB:,.0f}", flush=True)  # fmt: skip


def show_late(worst: dict[str, float]) -> None:
    """How late heartbeats were."""
    print(
        f"  heartbeats, in either process: own ones 99 % within {1000 * worst['late99']:.0f} ms, at most "
        f"{1000 * worst['late']:.0f} ms late; those of the other 99 % within {1000 * worst['gap99']:.0f} ms, at most "
        f"{1000 * worst['gap']:.0f} ms",
        flush=True,
    )


async def rounds(a: Process, b: Process, ports: list[int]) -> None:
    rates: dict[str, list[float]] = {}
    worst: dict[str, float] = {}

    def add(name: str, seconds: float) -> None:
        rates.setdefault(name, []).append(SIZE / seconds)

    await b.ask(do="start", id="sink", node="a")
    await b.ask(do="start", id="source", node="a")
    await b.ask(do="start", id="traveller", node="b")
    await b.ask(do="fill", id="source", size=SIZE)
    await b.ask(do="fill", id="traveller", size=SIZE)
    there = True
    for _ in range(ROUNDS):
        add("raw TCP", await b.ask(do="bare", port=ports[0], buffer=0, size=SIZE, frame=MIB))
        for port, buffer in zip(ports[1:], BUFFERS, strict=True):
            for frame in (FRAME, SIZE):
                kind = "one message" if frame == SIZE else "many messages"
                name = f"bare, {buffer >> 10} KiB buffer, {kind}"
                add(name, await b.ask(do="bare", port=port, buffer=buffer, size=SIZE, frame=frame))
        await a.ask(do="watch")
        await b.ask(do="watch")
        add("hubkit, arguments of a call", await b.ask(do="put", id="sink", size=SIZE))
        add("hubkit, result of a call", await b.ask(do="get", id="source", size=SIZE))
        add("hubkit, state of a child", await b.ask(do="move", id="traveller", node="a" if there else "b"))
        there = not there
        for process in (a, b):
            for name, seconds in (await process.ask(do="watch")).items():
                worst[name] = max(worst.get(name, 0.0), seconds)
    bares = [name for name in rates if name.startswith("bare")]
    best = max(bares, key=lambda name: max(rates[name]))
    show(rates, best)
    show_late(worst)


async def huge(a: Process, b: Process) -> None:
    await b.ask(do="start", id="sink", node="a")
    await b.ask(do="start", id="traveller", node="b")
    await b.ask(do="fill", id="traveller", size=HUGE)
    await a.ask(do="watch")
    await b.ask(do="watch")
    before = [await process.ask(do="memory") for process in (a, b)]
    seconds = await b.ask(do="move", id="traveller", node="a")
    after = [await process.ask(do="memory") for process in (a, b)]
    worst = await a.ask(do="watch")
    worst = {name: max(late, worst[name]) for name, late in (await b.ask(do="watch")).items()}
    grown = " and ".join(f"{(late - early) / MIB:,.0f}" for early, late in zip(before, after, strict=True))
    print(f"  state of 1 GiB: {HUGE / seconds / MIB:,.0f} MiB/s; the peak of memory grew by {grown} MiB (taker, giver)")
    show_late(worst)


async def main(with_huge: bool) -> None:
    print(f"{SIZE >> 20} MiB between two processes, best of {ROUNDS}, on {os.cpu_count()} cores")
    for measure in (rounds, huge) if with_huge else (rounds,):
        ports = free_ports(2)
        a = Process(__file__, {"name": "a", "port": ports[0], "join": []})
        b = Process(__file__, {"name": "b", "port": ports[1], "join": [f"ws://127.0.0.1:{ports[0]}"]})
        try:
            with trio.fail_after(300):
                bare = await a.answer()
                await b.answer()
                await (measure(a, b, bare) if measure is rounds else huge(a, b))
        finally:
            await a.close()
            await b.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--member"]:
        trio.run(member, json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--huge", action="store_true")
    trio.run(main, parser.parse_args().huge)
