"""How much of the bare WebSocket's speed is left above the mesh: ratios, measured against each other in one run.

Run ``python benchmarks/links.py``. A second process echoes, over a bare trio-websocket connection and over a mesh in turn;
the messages have the same number of bytes. Rates are the best of several rounds, taken in alternation, so that a busy machine
disturbs both alike.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
import trio_websocket

from hubkit.environment import Environment
from hubkit.net.handshake import Identity
from hubkit.net.mesh import Mesh
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import encode_app, encode_frame

ROUNDS = 5
PAYLOAD = b"x" * 80
LARGE = 1 << 20


class Quiet:
    """Events and liveness of a mesh that only carries messages; ``on_message(peer, message)`` may be replaced."""

    def __init__(self) -> None:
        self.peer = ""
        self.linked_up = trio.Event()
        self.on_message: Callable[[str, list[Any]], object] = lambda peer, message: None

    def admit(self, peer: Identity) -> str | None:
        return None

    def link_up(self, peer: Identity) -> None:
        self.peer = peer.node
        self.linked_up.set()

    def link_down(self, peer: str, said_goodbye: bool) -> None: ...
    def refused(self, node: str) -> None: ...
    def message(self, peer: str, message: list[Any]) -> None:
        self.on_message(peer, message)

    def request(self, peer: Identity, message: list[Any]) -> list[Any]:
        return message

    def seed_failed(self, address: str, error: Exception) -> None: ...
    def seeds_exhausted(self) -> None: ...
    def beat(self, now: float) -> Mapping[str, int]:
        return {}

    def heard(self, vector: Mapping[str, int], now: float, by: str | None = None) -> None: ...
    def linked(self, node: str, now: float) -> None: ...
    def woke(self, late: float, now: float) -> None: ...


def make_mesh(name: str, transport: WebSocketTransport, seeds: list[str], quiet: Quiet) -> Mesh:
    return Mesh(
        Identity(f"{name}#1"),
        transport,
        secrets=[b"benchmark"],
        seeds=seeds,
        events=quiet,
        environment=Environment(),
        liveness=quiet,
    )


async def echo_server() -> None:
    """The other process."""

    async def bare(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            while True:
                await connection.send_message(await connection.get_message())
        except trio_websocket.ConnectionClosed:
            pass

    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, bare, "127.0.0.1", 0, None)
        quiet = Quiet()
        mesh = make_mesh("server", WebSocketTransport("ws://127.0.0.1:0"), [], quiet)
        quiet.on_message = mesh.send
        url = await nursery.start(mesh.run)
        print(server.port, url, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


class Waiter:
    """One caller of the echo: sends, and is woken by the reply."""

    def __init__(self, mesh: Mesh, peer: str, number: int, waiting: dict[int, trio.lowlevel.Task]) -> None:
        self.mesh, self.peer, self.number, self.waiting = mesh, peer, number, waiting

    async def call(self) -> None:
        self.mesh.send(self.peer, [self.number, PAYLOAD])
        self.waiting[self.number] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)


async def rate(count: int, once: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    for _ in range(count):
        await once()
    return count / (time.perf_counter() - began)


async def client(port: int, url: str) -> None:
    waiting: dict[int, trio.lowlevel.Task] = {}
    quiet = Quiet()
    mesh = make_mesh("client", WebSocketTransport(), [url], quiet)

    def reply(peer: str, message: list[Any]) -> None:
        trio.lowlevel.reschedule(waiting.pop(message[0]))

    quiet.on_message = reply
    size = len(encode_frame([encode_app([1, PAYLOAD])]))
    async with (
        trio.open_nursery() as nursery,
        trio_websocket.open_websocket_url(f"ws://127.0.0.1:{port}/", receive_buffer_size=65536) as connection,
    ):
        await nursery.start(mesh.run)
        await quiet.linked_up.wait()
        frame, large = b"x" * size, b"x" * (LARGE - 100)

        async def bare() -> None:
            await connection.send_message(frame)
            await connection.get_message()

        async def bare_large() -> None:
            await connection.send_message(large)
            await connection.get_message()

        async def mesh_large() -> None:
            mesh.send(quiet.peer, [1, large])
            waiting[1] = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

        async def many(callers: int, each: int) -> float:
            began = time.perf_counter()
            async with trio.open_nursery() as crowd:
                for number in range(callers):
                    crowd.start_soon(rate, each, Waiter(mesh, quiet.peer, number, waiting).call)
            return callers * each / (time.perf_counter() - began)

        one = Waiter(mesh, quiet.peer, 1, waiting)
        rates: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, measure in (
                ("bare", rate(2000, bare)),
                ("mesh", rate(2000, one.call)),
                ("mesh, 100 in flight", many(100, 200)),
                ("mesh, 1000 in flight", many(1000, 20)),
                ("bare, 1 MiB", rate(20, bare_large)),
                ("mesh, 1 MiB", rate(20, mesh_large)),
            ):
                rates[name] = max(rates.get(name, 0.0), await measure)
        report(rates, size)
        nursery.cancel_scope.cancel()


def report(rates: dict[str, float], size: int) -> None:
    print(f"round trips between two processes, messages of {size} bytes, best of {ROUNDS}")
    for name, value in rates.items():
        base = rates["bare, 1 MiB" if "MiB" in name else "bare"]
        print(f"  {name:22} {value:>10,.0f} /s   {value / base:6.2f} x bare")


def main() -> None:
    if sys.argv[1:] == ["--serve"]:
        trio.run(echo_server)
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        port, url = server.stdout.readline().split()
        trio.run(client, int(port), url)
        server.stdin.close()


if __name__ == "__main__":
    main()
