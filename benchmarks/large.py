"""How fast large values travel, and how late heartbeats are meanwhile: ratios, measured against bare connections in one run.

Run ``python benchmarks/large.py [--huge] [--python]``. Two processes: bytes go from the one that has dialled to the other,
over raw trio TCP, over a bare trio-websocket connection (with the best of several receive buffers, as one message and as
many), as arguments and as results of a call, and as the state of a child that moves there and comes back. Who has dialled
masks what it sends, as WebSocket demands; what comes back is not masked. ``--python``: as if the library ``websockets`` had no
part in C. Rates are the best of several rounds, taken in alternation, so that a busy machine disturbs all alike; beside them
stand the medians, and the processor time that both processes took, which it disturbs less. All keep what they receive.
Meanwhile both processes measure how late their own heartbeats are, and how late those of the other come; what is shown is the
worst of all. ``--huge``: instead of all that, a state of 1 GiB, and the memory that it took.
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
from hubkit.net import masking
from hubkit.net.wire import Kind

MIB = 1 << 20
SIZE = 64 * MIB
HUGE = 1 << 30
ROUNDS = 10
BEAT = 0.05
BUFFERS = (16 * 1024, 64 * 1024, 256 * 1024, MIB)
#: The one with which the whole is sent as one message, too.
WHOLE = 256 * 1024
FRAME = 256 * 1024


#: What a process has at hand to send.
DATA: list[bytes] = []


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
        self.own: list[float] = []  # as much of it as this process has worked meanwhile
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
            began, worked = time.perf_counter(), time.thread_time()
            await trio.sleep(0.01)
            late = max(0.0, time.perf_counter() - began - 0.01)
            self.late.append(late)
            self.own.append(min(late, time.thread_time() - worked))

    def take(self) -> dict[str, float]:
        """The figures since the last time, in seconds."""
        late, gaps, own = sorted(self.late), sorted(self.gaps), sorted(self.own)
        self.late, self.gaps, self.own = [], [], []
        self._last = None  # what was before does not count
        if not late or not gaps:
            return {}  # asked for again at once
        return {
            "late": late[-1],
            "late99": late[-(len(late) // 100) - 1],
            "own": own[-1],
            "own99": own[-(len(own) // 100) - 1],
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
                left, kept = int.from_bytes(head, "big"), []
                while left:
                    kept.append(await stream.receive_some(min(left, MIB)))
                    left -= len(kept[-1])
                await stream.send_all(b"!")

    async def websocket(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            while True:
                left, kept = int(await connection.get_message()), []
                while left:
                    kept.append(await connection.get_message())
                    left -= len(kept[-1])
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
    listen = f"ws://127.0.0.1:{options['port']}"
    if options["in_python"]:
        masking._in_c = None
    async with (
        trio.open_nursery() as nursery,
        hubkit.Node(listen=listen, join=options["join"], name=options["name"], beat=BEAT, secret="s") as node,
    ):
        watch = Watch(node)  # before there is a link
        strategies: Any = {"distribution": hubkit.strategies.Guided(), "migration": hubkit.strategies.HotSwap()}
        async with hubkit.Hub("large", node=node, **strategies) as hub:
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
        case {"do": "processor"}:
            return time.process_time()
        case {"do": "bare", "port": port, "buffer": buffer, "size": size, "frame": frame}:
            return await send_bare(port, buffer, size, frame)
        case {"do": "start", "id": id, "node": node}:
            while node not in hub.nodes(include_local=True):  # noqa: ASYNC110  # a benchmark may look every now and then
                await trio.sleep(0.01)
            await hub.start_child(hubkit.ChildSpec(id, Store), nodes=[node])
            await hub.settled()
        case {"do": "data", "size": size}:
            DATA.append(os.urandom(MIB) * (size // MIB))
        case {"do": "put", "id": id}:
            assert await hub.ref(id, Store).call(Store.put, DATA[0]) == len(DATA[0])
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


def show(rates: dict[str, list[float]], times: dict[str, list[float]], base: str) -> None:
    """Each kind: its fastest and its median round, its least processor time, and how they compare with the best bare one."""
    usual = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        rate, spent = max(found), min(times[name])
        print(
            f"  {name:36} {rate / MIB:>6,.0f} MiB/s {rate / max(rates[base]):5.2f} x bare, median {usual[name] / MIB:>6,.0f} "
            f"{usual[name] / usual[base]:5.2f}; processor {1000 * spent * MIB / SIZE:5.2f} ms/MiB "
            f"{min(times[base]) / spent:5.2f}",
            flush=True,
        )


def show_late(worst: dict[str, float], when: str = "") -> None:
    """How late the two processes were, and heartbeats."""
    late, own, gap = (
        f"{1000 * worst[f'{name}99']:.0f} and {1000 * worst[name]:.0f} ms" for name in ("late", "own", "gap")
    )
    print(
        f"  late{when}, 99 % and at most: {late} of its own time ({own} by its own work), {gap} the heartbeats",
        flush=True,
    )


async def rounds(a: Process, b: Process, ports: list[int]) -> None:
    rates: dict[str, list[float]] = {}
    times: dict[str, list[float]] = {}
    worst: dict[str, float] = {}

    async def processor() -> float:
        return float(await a.ask(do="processor")) + float(await b.ask(do="processor"))

    async def time_of(name: str, **order: Any) -> None:
        before = await processor()
        rates.setdefault(name, []).append(SIZE / await b.ask(**order))
        times.setdefault(name, []).append(await processor() - before)

    await b.ask(do="start", id="sink", node="a")
    await b.ask(do="start", id="source", node="a")
    await b.ask(do="start", id="traveller", node="b")
    await b.ask(do="data", size=SIZE)
    await b.ask(do="fill", id="source", size=SIZE)
    await b.ask(do="fill", id="traveller", size=SIZE)
    there = True
    for _ in range(ROUNDS):
        await time_of("raw TCP", do="bare", port=ports[0], buffer=0, size=SIZE, frame=MIB)
        for port, buffer in zip(ports[1:], BUFFERS, strict=True):
            order = {"do": "bare", "port": port, "buffer": buffer, "size": SIZE}
            await time_of(f"bare, buffer of {buffer >> 10} KiB", **order, frame=FRAME)
            if buffer == WHOLE:
                await time_of(f"bare, buffer of {buffer >> 10} KiB, one message", **order, frame=SIZE)
        await a.ask(do="watch")
        await b.ask(do="watch")
        await time_of("hubkit, arguments of a call", do="put", id="sink")
        await time_of("hubkit, result of a call", do="get", id="source", size=SIZE)
        name = "hubkit, state of a child" if there else "hubkit, state that comes back"
        await time_of(name, do="move", id="traveller", node="a" if there else "b")
        there = not there
        for process in (a, b):
            for name, seconds in (await process.ask(do="watch")).items():
                worst[name] = max(worst.get(name, 0.0), seconds)
    show(rates, times, max((name for name in rates if name.startswith("bare")), key=lambda name: max(rates[name])))
    show_late(worst)
    await idle(a, b)


async def idle(a: Process, b: Process) -> None:
    """For comparison: how late they are when they have nothing to do."""
    for process in (a, b):
        await process.ask(do="watch")
    await trio.sleep(3)
    found = [await process.ask(do="watch") for process in (a, b)]
    show_late({name: max(each[name] for each in found) for name in found[0]}, " when nothing is sent")


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


async def main(is_huge: bool, in_python: bool) -> None:
    """Two processes, and one of the two measurements."""
    size, times = (HUGE, "once") if is_huge else (SIZE, f"best of {ROUNDS}")
    print(f"{size >> 20:,} MiB between two processes, {times}, on {os.cpu_count()} cores", flush=True)
    ports = free_ports(2)
    how = {"in_python": in_python or masking._in_c is None}
    print(f"masks are made in {'Python' if how['in_python'] else 'C'}", flush=True)
    a = Process(__file__, {"name": "a", "port": ports[0], "join": [], **how})
    b = Process(__file__, {"name": "b", "port": ports[1], "join": [f"ws://127.0.0.1:{ports[0]}"], **how})
    try:
        with trio.fail_after(300):
            bare = await a.answer()
            await b.answer()
            await (huge(a, b) if is_huge else rounds(a, b, bare))
    finally:
        await a.close()
        await b.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--member"]:
        trio.run(member, json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--huge", action="store_true", help="one state of 1 GiB")
    parser.add_argument(
        "--python", action="store_true", help="make masks in Python, as where websockets has no part in C"
    )
    arguments = parser.parse_args()
    trio.run(main, arguments.huge, arguments.python)
