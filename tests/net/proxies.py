"""A real TCP proxy on the way of links, which does what proxies do: cuts, stalls, refuses.

It listens from the beginning, so that a node can advertise it; ``port`` is where the node listens, once that is known.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

__all__ = ["Proxy", "proxy"]


class Proxy:
    """``idle``: seconds without a byte, after which it cuts a connection; ``lasts``: those after which it cuts every one."""

    def __init__(self, port: int = 0, *, idle: float = math.inf, lasts: float = math.inf) -> None:
        self.port, self.idle, self.lasts = port, idle, lasts
        self.url = ""
        self.connections = 0  # so far
        self.refusing = False  # hangs up at once
        self._flowing = trio.Event()
        self._flowing.set()
        self._scopes: set[trio.CancelScope] = set()

    def stall(self) -> None:
        """Pass nothing on from now on, and tell nobody."""
        self._flowing = trio.Event()

    def flow(self) -> None:
        """Pass on what waits, and all that comes."""
        self._flowing.set()

    def cut(self) -> None:
        """Cut all connections now."""
        for scope in self._scopes:
            scope.cancel()

    async def serve(self, dialer: trio.SocketStream) -> None:
        """One connection, to its end."""
        self.connections += 1
        born = trio.current_time()
        with trio.CancelScope() as scope:
            self._scopes.add(scope)

            def passed() -> None:
                scope.deadline = min(born + self.lasts, trio.current_time() + self.idle)

            passed()
            try:
                if not self.refusing:
                    await self._join(dialer, scope, passed)
            finally:
                self._scopes.discard(scope)
        reset(dialer)

    async def _join(self, dialer: trio.SocketStream, scope: trio.CancelScope, passed: Callable[[], None]) -> None:
        try:
            acceptor = await trio.open_tcp_stream("127.0.0.1", self.port)
        except OSError:
            return  # nobody listens any more

        async def pipe(source: trio.SocketStream, to: trio.SocketStream) -> None:
            try:
                while (most := self.most(source is dialer)) and (data := await source.receive_some(most)):
                    await self._flowing.wait()
                    await to.send_all(data)
                    passed()
                    self.count(source is dialer, len(data))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pipe, dialer, acceptor)
                nursery.start_soon(pipe, acceptor, dialer)
        finally:
            reset(acceptor)

    def most(self, dialers: bool) -> int:
        """How many bytes may pass next, of the dialer or of the acceptor; none: it cuts."""
        return 1 << 16

    def count(self, dialers: bool, size: int) -> None:
        """So many have passed."""


def reset(stream: trio.SocketStream) -> None:
    """End it without a word."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


P = TypeVar("P", bound=Proxy)


@asynccontextmanager
async def proxy(standing: P) -> AsyncIterator[P]:
    """Let it stand."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, standing.serve, [listener])
        standing.url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield standing
        nursery.cancel_scope.cancel()
