"""``hubkit run module:function``: a program on a hub, from its import to its drain.

Law of this room: the process ends as it was asked to. The function returns: the children are handed over, exit 0. One
SIGTERM or SIGINT: the function is cancelled, the rest is the same. A second one: the children are stopped here, each within
its ``shutdown`` and the hub's ``cancel_grace``, exit 128 + the signal's number. A third: the process is gone.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from hubkit.cli.failure import Failure, WrongUsage
from hubkit.cli.secrets import VARIABLE
from hubkit.errors import ConfigurationError, HandshakeRefused, HubkitError
from hubkit.hub.hub import Hub

__all__ = ["Program", "RunOptions", "load", "run"]

log: logging.Logger = logging.getLogger("hubkit.run")

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
    secrets: tuple[str, ...] | None = None


def run(options: RunOptions) -> int:
    """Import the program, run it on a hub, and return the exit code. Raises `Failure`."""
    program = load(options.target)
    hub_id = options.hub or options.target.partition(":")[0].rpartition(".")[2]
    try:
        hub = Hub(
            hub_id,
            listen=options.listen,
            advertise=options.advertise,
            join=list(options.join),
            name=options.name,
            secret=options.secrets,
        )
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from error
    return trio.run(_Run(hub, program).serve)


# -- the program ----------------------------------------------------------------------------------------------------------


def load(target: str, contract: str = CONTRACT, given: str = "the open hub") -> Program:
    """The function that ``module:function`` names; the current directory is searched first. Raises `WrongUsage`.

    ``contract`` is how it has to look, and ``given`` what it is given, for the words of an error.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        msg = f"{target!r} is not module:function, like shop.web:main"
        raise WrongUsage(msg)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _import(module_name, here)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise WrongUsage(_no_such_function(module_name, path, found, name, contract))
        found = getattr(found, name)
    simulated = getattr(
        found, "hubkit_simulated", None
    )  # a test that `hubkit.testing.simulated` has made of a scenario
    return _check(found if simulated is None else simulated.main, target, contract, given)


def _import(name: str, here: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            msg = f"there is no module {missing!r} in {here} or among the installed packages"
        else:
            msg = f"module {name!r} cannot be imported: it needs {missing!r}, which is not installed"
        raise WrongUsage(msg) from error
    except Exception as error:
        # The program's own fault: its author needs the traceback, from where it is the program's.
        sys.stderr.write("".join(traceback.format_exception(error)))
        msg = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        raise WrongUsage(msg) from error


def _no_such_function(module_name: str, path: str, owner: Any, name: str, contract: str) -> str:
    functions = [key for key, value in vars(owner).items() if inspect.iscoroutinefunction(value)]
    near = difflib.get_close_matches(name, functions, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; write one: {contract}"
    return f"module {module_name!r} has no function {path!r}{hint}"


def _check(found: Any, target: str, contract: str, given: str) -> Program:
    problem = None
    if not inspect.iscoroutinefunction(found):
        problem = "is no async function"
    else:
        try:
            inspect.signature(found).bind(None)
        except TypeError:
            problem = "cannot be called with one argument"
    if problem is not None:
        msg = f"{target} {problem}; it is given {given}: {contract}"
        raise WrongUsage(msg)
    program: Program = found
    return program


# -- its life -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One run of a program on a hub."""

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
        async with self.hub as hub:
            self.is_open = True
            where = f"at {hub.node.url}" if hub.node.url else "alone, without a network"
            log.info("node %r is open %s, with hub %r", hub.node.name, where, hub.id)
            with self.body:
                await self.program(hub)
            log.info("node %r is draining", hub.node.name)
        log.info("node %r has left", hub.node.name)

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
