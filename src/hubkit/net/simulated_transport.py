"""One process's way into a simulated network.

Law of this room: whatever is cancelled, and whenever, leaves nothing behind; and a process that has crashed reaches nobody,
whatever of it still runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, DialFailed, HandshakeRefused, LinkError
from hubkit.logs import Log
from hubkit.net.address import parse
from hubkit.net.lines import one_line
from hubkit.net.simulated_link import SimulatedLink
from hubkit.net.switchboard import Host, Switchboard
from hubkit.net.transport import Link

__all__ = ["SimulatedTransport"]

logger: Log = Log("hubkit.net")

_DIAL_WITHIN = 5.0  # seconds for the answer to a dial


class SimulatedTransport:
    """See `hubkit.net.transport.Transport`. Each is one process on ``host``; it listens from `open` on."""

    def __init__(self, switchboard: Switchboard, host: Host) -> None:
        self._switchboard = switchboard
        self._host = host
        self._life = host.crashes
        self._backlog: deque[SimulatedLink] = deque()
        self._knock = trio.Event()
        self._environment: Environment | None = None

    @property
    def environment(self) -> Environment:
        """The clocks and the chance that a node of this process has, if it is given no others: those of the network.

        They are made when they are first asked for: so a process that brings its own leaves the network's chance alone.
        """
        if self._environment is None:
            self._environment = self._switchboard.environment(self._host)
        return self._environment

    def __repr__(self) -> str:
        return f"<SimulatedTransport of {self._host.name}>"

    @property
    def _is_dead(self) -> bool:
        return self._life != self._host.crashes

    async def open(self) -> str:
        """Listen. Raises `ConfigurationError` if another process of this host does."""
        self._switchboard.enter()
        await trio.lowlevel.checkpoint()
        host = self._host
        if not self._is_dead:
            if host.listener not in (None, self._queue):
                msg = f"cannot listen at {host.address}: another transport of {host.name!r} does; end that one first"
                raise ConfigurationError(msg)
            host.listener = self._queue
        return str(host.address)

    async def serve(
        self,
        accept: Callable[[Link], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hand every new link to ``accept``, until cancelled."""
        try:
            url = await self.open()
            async with trio.open_nursery() as nursery:
                task_status.started(url)
                while True:
                    await self._knock.wait()
                    self._knock = trio.Event()
                    while self._backlog:
                        end = self._backlog.popleft()
                        if not end.is_gone:
                            end.accept()
                            nursery.start_soon(self._handle, end, accept)
        finally:
            if self._host.listener == self._queue:
                self._host.listener = None
            while self._backlog:
                self._backlog.popleft().abandon()

    def _queue(self, end: SimulatedLink) -> None:
        """A dial has come. It is answered once somebody serves."""
        self._backlog.append(end)
        self._knock.set()

    async def _handle(self, end: SimulatedLink, accept: Callable[[Link], Awaitable[None]]) -> None:
        """One link, to its end. Nothing but cancellation leaves here."""
        try:
            await accept(end)
        except HandshakeRefused as error:
            logger.warning("%s: no link: %s", end.remote, one_line(error))
        except LinkError as error:
            logger.warning("%s: closed: %s", end.remote, one_line(error))
        except Exception:
            logger.exception("%s: closed, because of an error here", end.remote)
        finally:
            await end.aclose()

    async def dial(self, address: str) -> SimulatedLink:
        """A new link to the host that has this address."""
        target = parse(address, "the address to dial")
        self._switchboard.enter()
        await trio.lowlevel.checkpoint()
        if self._is_dead:
            msg = f"no link to {target}: this host has crashed"
            raise DialFailed(msg)
        end = self._switchboard.dial(self._host, target)
        if end is None:
            await trio.sleep(2 * self._switchboard.conditions.latency)
            msg = f"no link to {target}: no host has this name"
            raise DialFailed(msg)
        opened = False
        try:
            with trio.move_on_after(_DIAL_WITHIN):
                await end.opened()
                opened = True
                return end
        finally:
            if not opened:  # the answer may have come after the wait for it was given up
                end.abandon()
        msg = f"no link to {target}: no answer within {_DIAL_WITHIN:g} s"
        raise DialFailed(msg)
