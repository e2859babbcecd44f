"""What has no place in a simulation: real waiting, real sockets, threads and processes.

Law of this room: virtual time is worth nothing if somebody waits in real time, and one seed gives no one trace if real
packets come in. So whoever tries it inside a simulation is refused, and the scenario ends with an error that names the call
and the line, also where the error itself is swallowed on its way.

Python tells of most such calls through its audit hooks, wherever they are made and however they were imported. A hook stays
for the life of the process; ours looks at a dictionary, and is inert outside of simulations. Of two it does not tell in all
versions, and these are replaced for as long as a simulation runs: ``time.sleep`` and the start of threads.

Not noticed: calls of ``time.time()`` and other clocks, of ``os.urandom`` and of other modules' chance. They show in the trace,
which then differs from run to run.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from hubkit.errors import SimulationError

__all__ = ["guarded"]

#: what is refused: the audit event, and what to do instead
_INSTEAD = {
    "time.sleep": "time.sleep() waits in real time, and stops everybody: use `await trio.sleep()`",
    "socket.connect": "a real socket was to be connected: let actors speak through refs",
    "socket.bind": "a real socket was to be bound: let actors speak through refs",
    "socket.sendto": "a real datagram was to be sent: let actors speak through refs",
    "socket.getaddrinfo": "a real name was looked up in the network: simulated nodes are known by their names",
    "socket.gethostbyname": "a real name was looked up in the network: simulated nodes are known by their names",
    "_thread.start_new_thread": "a thread was to be started, whose steps no seed determines: do the work in the task",
    "subprocess.Popen": "a process was to be started: start simulated nodes with sim.start_hub()",
    "os.fork": "a process was to be started: start simulated nodes with sim.start_hub()",
    "os.posix_spawn": "a process was to be started: start simulated nodes with sim.start_hub()",
    "os.system": "a process was to be started: start simulated nodes with sim.start_hub()",
}

_sleep_really, _start_really = time.sleep, threading.Thread.start

_guards: dict[int, Callable[[SimulationError], None]] = {}  # thread -> whom to tell


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _guards and event in _INSTEAD:
        _refuse(event, 2)


def _sleep(seconds: float) -> None:
    _refuse("time.sleep", 2)
    _sleep_really(seconds)


def _start(thread: threading.Thread) -> None:
    _refuse("_thread.start_new_thread", 2)
    _start_really(thread)


def _refuse(event: str, depth: int) -> None:
    tell = _guards.get(threading.get_ident())
    if tell is None:
        return
    frame = sys._getframe(depth)
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
    msg = f"{_INSTEAD[event]} ({event} at {where})"
    error = SimulationError(msg)
    tell(error)
    raise error


def _replace(sleep: Any, start: Any) -> None:
    time.sleep = sleep
    threading.Thread.start = start  # type: ignore[method-assign]  # that is what this is for


@cache
def _install() -> None:
    sys.addaudithook(_hook)


@contextmanager
def guarded(tell: Callable[[SimulationError], None]) -> Iterator[None]:
    """Refuse real waiting and real sockets in this thread, and ``tell`` of each attempt."""
    _install()
    thread = threading.get_ident()
    _guards[thread] = tell
    _replace(_sleep, _start)
    try:
        yield
    finally:
        del _guards[thread]
        if not _guards:
            _replace(_sleep_really, _start_really)
