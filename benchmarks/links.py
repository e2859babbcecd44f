"""How much of the bare WebSocket's speed is left above the mesh, and how much of that over TLS: ratios, measured in one run.

Run ``python benchmarks/links.py``. A second process echoes, over a bare trio-websocket connection, over a mesh, and over a mesh
with TLS, in turn; the messages have the same number of bytes. Rates are the best of several rounds, taken in alternation, so
that a busy machine disturbs all alike.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import trio
import trio_websocket

from hubkit.environment import Environment
from hubkit.net.handshake import Identity
from hubkit.net.mesh import Mesh
from hubkit.net.websocket import TLS, WebSocketTransport
from hubkit.net.wire import encode_app, encode_frame

ROUNDS = 5
PAYLOAD = b"x" * 80
LARGE = 1 << 20
CERTS = Path(__file__).parents[1] / "tests" / "net" / "certs"
#: of the same without it
TLS_GOAL = 0.7


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

    def heard(self, vector: Mapping[str, int], now: float) -> None: ...
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


def tls() -> TLS:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTS / "cert.pem", CERTS / "key.pem")
    return TLS(server=server, client=ssl.create_default_context(cafile=CERTS / "cert.pem"))


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
        urls = []
        for listen in ("ws://127.0.0.1:0", "wss://localhost:0"):
            quiet = Quiet()
            mesh = make_mesh("server", WebSocketTransport(listen, tls=tls()), [], quiet)
            quiet.on_message = mesh.send
            urls.append(await nursery.start(mesh.run))
        print(server.port, *urls, flush=True)
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


class Caller:
    """This end of one mesh: calls the echo, from one task or many."""

    def __init__(self, url: str) -> None:
        self.waiting: dict[int, trio.lowlevel.Task] = {}
        self.quiet = Quiet()
        self.quiet.on_message = self.reply
        self.mesh = make_mesh("client", WebSocketTransport(tls=tls()), [url], self.quiet)
        self.large = b"x" * (LARGE - 100)

    def reply(self, peer: str, message: list[Any]) -> None:
        trio.lowlevel.reschedule(self.waiting.pop(message[0]))

    async def many(self, callers: int, each: int) -> float:
        began = time.perf_counter()
        async with trio.open_nursery() as crowd:
            for number in range(callers):
                crowd.start_soon(rate, each, Waiter(self.mesh, self.quiet.peer, number, self.waiting).call)
        return callers * each / (time.perf_counter() - began)

    async def once_large(self) -> None:
        self.mesh.send(self.quiet.peer, [1, self.large])
        self.waiting[1] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    def measures(self, suffix: str) -> dict[str, Callable[[], Awaitable[float]]]:
        one = Waiter(self.mesh, self.quiet.peer, 1, self.waiting)
        return {
            f"mesh{suffix}": lambda: rate(2000, one.call),
            f"mesh{suffix}, 100 in flight": lambda: self.many(100, 200),
            f"mesh{suffix}, 1000 in flight": lambda: self.many(1000, 20),
            f"mesh{suffix}, 1 MiB": lambda: rate(20, self.once_large),
        }


async def client(port: int, url: str, secure: str) -> None:
    plain, safe = Caller(url), Caller(secure)
    size = len(encode_frame([encode_app([1, PAYLOAD])]))
    async with (
        trio.open_nursery() as nursery,
        trio_websocket.open_websocket_url(f"ws://127.0.0.1:{port}/", receive_buffer_size=65536) as connection,
    ):
        for caller in (plain, safe):
            await nursery.start(caller.mesh.run)
            await caller.quiet.linked_up.wait()
        frame = b"x" * size

        async def bare() -> None:
            await connection.send_message(frame)
            await connection.get_message()

        async def bare_large() -> None:
            await connection.send_message(plain.large)
            await connection.get_message()

        measures: dict[str, Callable[[], Awaitable[float]]] = {
            "bare": lambda: rate(2000, bare),
            "bare, 1 MiB": lambda: rate(20, bare_large),
            **plain.measures(""),
            **safe.measures(" over TLS"),
        }
        rates: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, measure in measures.items():
                rates[name] = max(rates.get(name, 0.0), await measure())
        report(rates, size)
        nursery.cancel_scope.cancel()


def report(rates: dict[str, float], size: int) -> None:
    print(f"round trips between two processes, messages of {size} bytes, best of {ROUNDS}")
    for name, value in rates.items():
        base = rates["bare, 1 MiB" if "MiB" in name else "bare"]
        line = f"  {name:30} {value:>10,.0f} /s   {value / base:6.2f} x bare"
        plain = name.replace(" over TLS", "")
        if plain != name:
            ratio = value / rates[plain]
            line += f"   {ratio:.2f} x without TLS ({'ok' if ratio >= TLS_GOAL else 'MISSED'}: {TLS_GOAL})"
        print(line)


def main() -> None:
    if sys.argv[1:] == ["--serve"]:
        trio.run(echo_server)
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        port, url, secure = server.stdout.readline().split()
        trio.run(client, int(port), url, secure)
        server.stdin.close()


if __name__ == "__main__":
    main()
