"""What has no place in a simulation: real waiting, real sockets, threads and processes.

Law of this room: virtual time is worth nothing if somebody waits in real time, and one seed gives no one trace if real
packets come in. So whoever tries it inside a simulation is refused, and the scenario ends with an error that names the call
and the line, also where the error itself is swallowed on its way. The line is that of the scenario, however deep in a library
the call was made. What would not wait (a timeout of 0, a queue that is not empty) is nobody's business.

Python tells of many such calls through its audit hooks, wherever they are made and however they were imported. A hook stays
for the life of the process; ours looks at a dictionary, and is inert outside of simulations. The others are replaced for as
long as a simulation runs, in this thread alone: methods of classes (``threading.Condition.wait``, through which events, queues,
semaphores, barriers and futures wait, too), and functions of modules (``time.sleep``, ``select.select``).

Not noticed, for Python lets nobody see it: ``lock.acquire()`` of a bare lock, ``queue.SimpleQueue``, ``select.epoll`` (trio's
own way to wait), reading from a pipe, a file or a connected socket, and a function of a module that was imported by its own
name before the simulation (``from time import sleep``). Nor are calls of ``time.time()`` and other clocks, of ``os.urandom``
and of other modules' chance: they show in the trace, which then differs from run to run. A debugger may wait at a breakpoint.
"""

from __future__ import annotations

import select
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from types import CodeType, FrameType
from typing import Any

from hubkit.errors import SimulationError
from hubkit.testing.blame import place_of
from hubkit.testing.scheduling import THREADS

__all__ = ["guarded"]

_SLEEP = "waits in real time, and stops everybody: use `await trio.sleep()`"
_WAIT = "waits in real time, and stops everybody: use trio.Event, memory channels and `trio.move_on_after`"
_NAMES = "a real name was looked up in the network: simulated nodes are known by their names"
_PROCESS = "a process was to be started: start simulated nodes with sim.start_hub()"
_THREAD = "a thread was to be started, whose steps no seed determines: do the work in the task"
_DATAGRAM = "a real datagram was to be sent: let actors speak through refs"

#: what is refused: the audit event, and what to do instead
_EVENTS = {
    "time.sleep": f"time.sleep() {_SLEEP}",
    "builtins.input": f"input() {_SLEEP}, or pass what it asks for into the scenario",
    "socket.connect": "a real socket was to be connected: let actors speak through refs",
    "socket.bind": "a real socket was to be bound: let actors speak through refs",
    "socket.sendto": _DATAGRAM,
    "socket.sendmsg": _DATAGRAM,
    **dict.fromkeys(
        ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"),
        _NAMES,
    ),
    "_thread.start_new_thread": _THREAD,
    **dict.fromkeys(
        ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"),
        _PROCESS,
    ),
}

_guards: dict[int, Callable[[SimulationError], None]] = {}  # thread -> whom to tell
_replaced: list[tuple[Any, str, Any, Any]] = []  # of what, its name, what was there, what is there instead
_lock = threading.Lock()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _guards and event in _EVENTS:
        _refuse(event, _EVENTS[event])


def _refuse(event: str, instead: str) -> None:
    tell = _guards.get(threading.get_ident())
    if tell is None:
        return
    frames = list(_callers(sys._getframe(1)))
    place = place_of((code, line) for code, line, _ in frames)
    if place is None or _is_debugger(frames, place.file):
        return
    through = f", through {place.through}" if place.through else ""
    error = SimulationError(f"{instead} ({event} at {place}{through})")
    tell(error)
    raise error


def _callers(frame: FrameType | None) -> Iterator[tuple[CodeType, int, str]]:
    """The frames above this room: code, line, module."""
    while frame is not None:
        if frame.f_code.co_filename != _hook.__code__.co_filename:
            yield frame.f_code, frame.f_lineno, frame.f_globals.get("__name__", "")
        frame = frame.f_back


def _is_debugger(frames: list[tuple[CodeType, int, str]], file: str) -> bool:
    """Whether a debugger asks: it stands between the call and the scenario."""
    for code, _, module in frames:
        if code.co_filename == file:
            return False
        if module == "bdb":
            return True
    return False


# -- what is replaced ----------------------------------------------------------------------------------------------------


def _always(*_: Any, **__: Any) -> bool:
    return True


def _timeout_at(position: int, *, none_waits: bool = True, negative_waits: bool = False) -> Callable[..., bool]:
    """Whether a call waits whose timeout is the argument at this position, or of this name."""

    def waits(*args: Any, **options: Any) -> bool:
        timeout = options.get("timeout", args[position] if len(args) > position else None)
        if timeout is None:
            return none_waits
        try:
            return bool(timeout > 0 or (negative_waits and timeout < 0))
        except TypeError:
            return False  # the call itself says what is wrong with it

    return waits


def _alive(thread: threading.Thread, timeout: float | None = None) -> bool:
    return thread.is_alive() and (timeout is None or timeout > 0)


def _refusing(event: str, instead: str, really: Any, waits: Callable[..., bool]) -> Any:
    @wraps(really)
    def call(*args: Any, **options: Any) -> Any:
        if threading.get_ident() in _guards and waits(*args, **options):
            _refuse(event, instead)
        return really(*args, **options)

    return call


class _Poll:
    """A ``select.poll()`` that does not wait in a simulation."""

    def __init__(self, poll: Any) -> None:
        self._poll = poll
        self.poll = _refusing("select.poll", f"poll() {_WAIT}", poll.poll, _timeout_at(0, negative_waits=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poll, name)


def _polls(really: Any) -> Any:
    @wraps(really)
    def poll() -> Any:
        return _Poll(really()) if threading.get_ident() in _guards else really()

    return poll


def _replacements() -> Iterator[tuple[Any, str, Any]]:
    """Of what, its name, what takes its place."""
    import multiprocessing.process  # not before it is needed: it is slow

    processes = multiprocessing.process.BaseProcess
    calls: list[tuple[Any, str, str, str, Callable[..., bool]]] = [
        (time, "sleep", "time.sleep", f"time.sleep() {_SLEEP}", _always),
        (threading.Thread, "start", "_thread.start_new_thread", _THREAD, _always),
        (THREADS, "start_thread_soon", "_thread.start_new_thread", _THREAD, _always),
        (threading.Thread, "join", "threading.Thread.join", f"join() {_WAIT}", _alive),
        (threading.Condition, "wait", "threading.Condition.wait", f"wait() {_WAIT}", _timeout_at(1)),
        (processes, "start", "multiprocessing.Process.start", _PROCESS, _always),
        (select, "select", "select.select", f"select() {_WAIT}", _timeout_at(3)),
        (signal, "pause", "signal.pause", f"pause() {_WAIT}", _always),
        (signal, "sigwait", "signal.sigwait", f"sigwait() {_WAIT}", _always),
        (signal, "sigwaitinfo", "signal.sigwaitinfo", f"sigwaitinfo() {_WAIT}", _always),
        (signal, "sigtimedwait", "signal.sigtimedwait", f"sigtimedwait() {_WAIT}", _timeout_at(1)),
    ]
    for name in ("SelectSelector", "_PollLikeSelector", "EpollSelector", "KqueueSelector"):
        selector = getattr(selectors, name, None)
        if selector is not None and "select" in vars(selector):
            calls.append((selector, "select", "selectors.select", f"select() {_WAIT}", _timeout_at(1)))
    for owner, name, event, instead, waits in calls:
        if name in vars(owner):  # not every platform has all
            yield owner, name, _refusing(event, instead, vars(owner)[name], waits)
    if hasattr(select, "poll"):
        yield select, "poll", _polls(select.poll)


def _replace() -> None:
    for owner, name, instead in list(_replacements()):
        _replaced.append((owner, name, vars(owner)[name], instead))
        setattr(owner, name, instead)


def _restore() -> None:
    while _replaced:
        owner, name, really, instead = _replaced.pop()
        if vars(owner).get(name) is instead:  # else somebody has put something else there, and may keep it
            setattr(owner, name, really)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


@contextmanager
def guarded(tell: Callable[[SimulationError], None]) -> Iterator[None]:
    """Refuse real waiting and real sockets in this thread, and ``tell`` of each attempt."""
    _install()
    thread = threading.get_ident()
    with _lock:
        if not _guards:
            _replace()
        before = _guards.get(thread)
        _guards[thread] = tell
    try:
        yield
    finally:
        with _lock:
            if before is None:
                del _guards[thread]
            else:
                _guards[thread] = before
            if not _guards:
                _restore()
