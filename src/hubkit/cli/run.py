"""``hubkit run module:function``: a program on a hub, from its import to its drain.

Law of this room: the process ends as it was asked to. The function returns: the children are handed over, exit 0. One
SIGTERM or SIGINT: the function is cancelled, the rest is the same. A second one: the children are stopped here, each within
its ``shutdown`` and the hub's ``cancel_grace``, exit 128 + the signal's number. A third: the process is gone.
"""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from hubkit.cli.failure import Failure, WrongUsage
from hubkit.cli.secrets import VARIABLE
from hubkit.cli.targets import locate, name_of
from hubkit.errors import ConfigurationError, HandshakeRefused, HubkitError
from hubkit.events import HubStopping
from hubkit.hub.hub import Hub
from hubkit.logs import Log
from hubkit.net.websocket import PER_ADDRESS, TLS
from hubkit.node.node import Node

__all__ = ["Program", "RunOptions", "load", "run"]

log: Log = Log("hubkit.run")

#: What is run: it gets the open hub, and the hub drains when it returns.
Program = Callable[[Hub], Awaitable[object]]

CONTRACT = "async def main(hub: hubkit.Hub) -> None"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The arguments of ``hubkit run``."""

    target: str
    listen: str | None = None
    advertise: str | None = None
    join: Sequence[str] = ()
    name: str | None = None
    hub: str | None = None
    secrets: tuple[str, ...] | None = field(default=None, repr=False)
    operators: tuple[str, ...] | None = field(default=None, repr=False)
    tls: TLS | None = None
    weight: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    per_address: int | None = None


def run(options: RunOptions) -> int:
    """Import the program, run it on a hub, and return the exit code. Raises `Failure`."""
    program = load(options.target)
    hub_id = options.hub or name_of(options.target)
    try:
        node = Node(
            listen=options.listen,
            advertise=options.advertise,
            join=list(options.join),
            name=options.name,
            secret=options.secrets,
            operator_secret=options.operators,
            tls=options.tls,
            weight=options.weight,
            labels=options.labels,
            per_address=PER_ADDRESS if options.per_address is None else options.per_address,
        )
        hub = Hub(hub_id, node=node)
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from error
    return trio.run(_Run(node, hub, program).serve)


# -- the program ----------------------------------------------------------------------------------------------------------


def load(target: str) -> Program:
    """The program that ``module:function`` or ``file.py:function`` names. Raises `WrongUsage`."""
    found = locate(target, CONTRACT)
    problem = None
    if not inspect.iscoroutinefunction(found):
        problem = "is no async function"
    else:
        try:
            inspect.signature(found).bind(None)
        except TypeError:
            problem = "cannot be called with one argument"
    if problem is not None:
        msg = f"{target} {problem}; it is given the open hub: {CONTRACT}"
        raise WrongUsage(msg)
    program: Program = found
    return program


# -- its life -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One run of a program on a hub."""

    node: Node
    hub: Hub
    program: Program
    is_open: bool = False
    signals: list[int] = field(default_factory=list)
    whole: trio.CancelScope = field(default_factory=trio.CancelScope)
    body: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def serve(self) -> int:
        """Run it to its end, and return the exit code. Raises `Failure` if it could not begin."""
        failure: Exception | SystemExit | None = None
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                try:
                    with self.whole:
                        await self._live()
                except (Exception, SystemExit) as error:
                    failure = error  # kept out of this nursery, which would wrap it in a group
                nursery.cancel_scope.cancel()
        if failure is not None:
            return self._report(failure)
        return 128 + self.signals[1] if len(self.signals) > 1 else 0

    async def _live(self) -> None:
        async with self.node, self.hub as hub:
            self.is_open = True
            where = f"at {hub.node.url}" if hub.node.url else "alone, without a network"
            log.info("node %r is open %s, with hub %r", hub.node.name, where, hub.id)
            hub.on(HubStopping, self._drained)
            with self.body:
                await self.program(hub)
            log.info("node %r is draining", hub.node.name)
        log.info("node %r has left", hub.node.name)

    def _drained(self, event: HubStopping) -> None:
        """The hub leaves, whoever has ordered it: the program has nothing to do any more."""
        self.body.cancel()

    async def _obey(self, signals: Any) -> None:
        async for number in signals:
            self.signals.append(number)
            name = signal.Signals(number).name
            match len(self.signals):
                case 1 if self.is_open:
                    log.info("%s: stopping; once more to stop at once", name)
                    self.body.cancel()
                case 1 | 2:
                    log.info("%s: stopping at once", name)
                    self.whole.cancel()
                case _:
                    os._exit(128 + number)

    def _report(self, error: Exception | SystemExit) -> int:
        """Tell why it ended. What was refused before the program began is the user's to mend; the rest is the program's."""
        if isinstance(error, SystemExit):
            raise error
        if not self.is_open and isinstance(error, HandshakeRefused):
            hint = f"; the secret is read from --secret-file or {VARIABLE}" if error.code == "secret" else ""
            msg = f"cannot join: {error}{hint}"
            raise Failure(msg) from error
        if not self.is_open and isinstance(error, HubkitError | OSError):
            raise Failure(str(error)) from error
        log.error("the program failed: %s: %s", type(error).__name__, error, exc_info=error)
        return 1
