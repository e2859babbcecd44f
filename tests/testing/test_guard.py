"""The guard: who waits in real time, opens a real socket or starts a thread inside a simulation is refused, and named."""

from __future__ import annotations

import asyncio
import inspect
import io
import multiprocessing
import os
import pdb
import queue
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from typing import Any

import pytest
import trio

from hubkit.errors import SimulationError
from hubkit.testing import Simulation
from hubkit.testing.guard import guarded

HERE = __file__


def refused(work: Callable[[], object]) -> str:
    """What the guard says of it."""
    told: list[SimulationError] = []
    with guarded(told.append), pytest.raises(SimulationError) as caught:
        work()
    assert told == [caught.value]
    return str(caught.value)


def allowed(work: Callable[[], object]) -> None:
    told: list[SimulationError] = []
    with guarded(told.append):
        work()
    assert told == []


async def waits_a_little() -> None:
    await asyncio.sleep(0.001)


@contextmanager
def selecting(kind: type[selectors.BaseSelector]) -> Iterator[selectors.BaseSelector]:
    with kind() as selector:
        yield selector


def with_selector(kind: type[selectors.BaseSelector], timeout: float | None) -> None:
    with selecting(kind) as selector:
        selector.select(timeout)


def with_socket(work: Callable[[socket.socket], object]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        work(sock)


def full() -> queue.Queue[int]:
    one: queue.Queue[int] = queue.Queue(1)
    one.put(1)
    return one


def pause() -> None:
    signal.pause()


WAITING: list[tuple[str, Callable[[], object]]] = [
    ("time.sleep", lambda: time.sleep(0.001)),
    ("threading.Condition.wait", lambda: threading.Event().wait(0.001)),
    ("threading.Condition.wait", lambda: Event().wait(timeout=0.001)),  # imported by name, before
    ("threading.Condition.wait", lambda: queue.Queue().get(timeout=0.001)),
    ("threading.Condition.wait", lambda: full().put(2, timeout=0.001)),
    ("threading.Condition.wait", lambda: threading.Semaphore(0).acquire(timeout=0.001)),
    ("threading.Condition.wait", lambda: threading.Barrier(2).wait(0.001)),
    ("threading.Condition.wait", lambda: Future[None]().result(0.001)),
    ("select.select", lambda: select.select([], [], [], 0.001)),
    ("select.select", lambda: select.select([], [], [])),
    ("select.poll", lambda: select.poll().poll(1)),
    ("select.poll", lambda: select.poll().poll()),
    ("select.poll", lambda: select.poll().poll(-1)),
    ("selectors.select", lambda: with_selector(selectors.DefaultSelector, None)),
    ("selectors.select", lambda: with_selector(selectors.DefaultSelector, 0.001)),
    ("selectors.select", lambda: with_selector(selectors.SelectSelector, 0.001)),
    ("selectors.select", lambda: with_selector(selectors.PollSelector, 0.001)),
    ("selectors.select", lambda: asyncio.run(waits_a_little())),
    ("builtins.input", input),
    ("signal.pause", pause),
    ("signal.sigwait", lambda: signal.sigwait({signal.SIGUSR1})),
    ("signal.sigwaitinfo", lambda: signal.sigwaitinfo({signal.SIGUSR1})),
    ("signal.sigtimedwait", lambda: signal.sigtimedwait({signal.SIGUSR1}, 0.001)),
    ("socket.bind", lambda: with_socket(lambda s: s.bind(("127.0.0.1", 0)))),
    ("socket.connect", lambda: with_socket(lambda s: s.connect(("127.0.0.1", 9)))),
    ("socket.sendto", lambda: with_socket(lambda s: s.sendto(b"", ("127.0.0.1", 9)))),
    ("socket.sendmsg", lambda: with_socket(lambda s: s.sendmsg([b""], [], 0, ("127.0.0.1", 9)))),
    ("socket.getaddrinfo", lambda: socket.getaddrinfo("localhost", 80)),
    ("socket.gethostbyname", lambda: socket.gethostbyname("localhost")),
    ("_thread.start_new_thread", lambda: threading.Thread(target=print).start()),
    ("subprocess.Popen", lambda: subprocess.run(["true"], check=False)),
    ("os.system", lambda: os.system("true")),
    ("multiprocessing.Process.start", lambda: multiprocessing.get_context("spawn").Process(target=print).start()),
    ("multiprocessing.Process.start", lambda: multiprocessing.get_context("fork").Process(target=print).start()),
]


@pytest.mark.parametrize(("event", "work"), WAITING, ids=[f"{n}-{event}" for n, (event, _) in enumerate(WAITING)])
def test_who_waits_is_refused_and_the_line_is_named(event: str, work: Callable[[], object]) -> None:
    said = refused(work)
    assert f"({event} at {HERE}:" in said
    assert re.match(r".+: (use|let|start|do|simulated nodes) ", said), "it says what to do instead"


@pytest.mark.parametrize(
    "work",
    [
        lambda: threading.Event().wait(0),
        lambda: queue.Queue[int]().put(1),
        lambda: threading.Semaphore(1).acquire(timeout=5),
        lambda: threading.Thread(target=print).is_alive(),
        lambda: select.select([], [], [], 0),
        lambda: select.poll().poll(0),
        lambda: with_selector(selectors.DefaultSelector, 0),
        lambda: with_selector(selectors.SelectSelector, -1),
        lambda: asyncio.run(asyncio.sleep(0)),
        lambda: signal.sigtimedwait({signal.SIGUSR1}, 0),
    ],
)
def test_what_does_not_wait_is_allowed(work: Callable[[], object]) -> None:
    allowed(work)


def test_a_poll_object_is_as_ever() -> None:
    def work() -> None:
        near, far = socket.socketpair()
        with near, far:
            poll = select.poll()
            poll.register(near, select.POLLIN)
            assert poll.poll(0) == []
            far.send(b"x")
            assert poll.poll(0) == [(near.fileno(), select.POLLIN)]
            poll.unregister(near)
            assert poll.poll(0) == []

    allowed(work)


@pytest.mark.parametrize(
    "work",
    [
        partial(threading.Event().wait, "soon"),  # type: ignore[arg-type]  # wrong on purpose
        partial(time.sleep),
        partial(select.select, []),
        partial(selectors.SelectSelector().select, "soon"),  # type: ignore[arg-type]  # likewise
    ],
)
def test_wrong_arguments_are_for_the_call_itself(work: Any) -> None:
    with guarded(lambda _: None), pytest.raises((TypeError, SimulationError)):
        work()


# -- the line ------------------------------------------------------------------------------------------------------------


def test_a_library_that_waits_is_named_after_the_line_that_called_it() -> None:
    def fetch() -> None:
        urllib.request.urlopen("http://localhost:9/")  # the line

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        said = refused(fetch)
    line = inspect.getsourcelines(fetch)[1] + 1
    assert f"(socket.getaddrinfo at {HERE}:{line}, in fetch, through {urllib.request.__file__}:" in said


def test_what_waits_by_itself_went_through_nothing() -> None:
    assert "through" not in refused(lambda: time.sleep(1))
    assert f"through {threading.__file__}:" in refused(lambda: threading.Event().wait(1))


def test_where_all_lines_are_a_librarys_the_innermost_is_named() -> None:
    program = (
        "import sys, threading\n"
        "from hubkit.testing.guard import guarded\n"
        "told = []\n"
        "with guarded(told.append):\n"
        "    try: exec(compile('event.wait(1)', threading.__file__, 'exec'), {'event': threading.Event()})\n"
        "    except Exception: pass\n"
        "print(told[0])\n"
    )
    code = compile(program, os.path.join(os.path.dirname(threading.__file__), "script.py"), "exec")
    done: dict[str, Any] = {"print": lambda said: done.update(said=str(said))}
    frames = threading.Thread(target=exec, args=(code, done))  # whose frames are all in the standard library
    frames.start()
    frames.join()
    assert f"(threading.Condition.wait at {threading.__file__}:" in done["said"]
    assert ", in wait)" in done["said"]


# -- threads of trio, and others -----------------------------------------------------------------------------------------


def test_a_thread_of_trio_is_refused_also_where_one_waits_for_work() -> None:
    async def outside() -> None:
        await trio.to_thread.run_sync(int)

    async def main(sim: Simulation) -> None:
        await trio.to_thread.run_sync(int)

    line = inspect.getsourcelines(main)[1] + 1
    for _ in range(2):
        with pytest.raises(SimulationError, match=rf"test_guard.py:{line}, in main, through .*trio"):
            Simulation.run(main, seed=1)
        trio.run(outside)  # its thread is there for the next


def test_other_threads_do_as_they_like() -> None:
    done: list[object] = []

    def elsewhere() -> None:
        begun.set()
        go.wait(30)
        time.sleep(0.001)
        threading.Event().wait(0.001)
        select.poll().poll(1)
        done.append(select.select([], [], [], 0.001))

    begun, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    begun.wait(30)
    with guarded(lambda _: None):
        go.set()
        with pytest.raises(SimulationError, match=r"threading\.Thread\.join"):
            thread.join()
        while thread.is_alive():
            thread.join(0)
        thread.join()
    assert done == [([], [], [])]


# -- all is as it was ----------------------------------------------------------------------------------------------------


def patched() -> list[object]:
    owners: list[tuple[Any, str]] = [
        (time, "sleep"),
        (threading.Thread, "start"),
        (threading.Thread, "join"),
        (threading.Condition, "wait"),
        (multiprocessing.process.BaseProcess, "start"),
        (select, "select"),
        (select, "poll"),
        *((signal, name) for name in ("pause", "sigwait", "sigwaitinfo", "sigtimedwait")),
        *((vars(selectors)[name], "select") for name in vars(selectors) if name.endswith("Selector")),
    ]
    return [vars(owner).get(name) for owner, name in owners]


def test_all_is_as_before_when_the_last_guard_goes() -> None:
    before = patched()
    with guarded(lambda _: None):
        during = patched()
        assert sum(here is not there for here, there in zip(before, during, strict=True)) > 12
        inner: list[SimulationError] = []
        outer: list[SimulationError] = []
        with guarded(outer.append):
            with guarded(inner.append), suppress(SimulationError):
                time.sleep(0)
            assert (len(inner), len(outer)) == (1, 0)
            assert patched() == during
            with suppress(SimulationError):
                time.sleep(0)
            assert (len(inner), len(outer)) == (1, 1), "the outer guard stands again"
        assert patched() == during
    assert all(here is there for here, there in zip(before, patched(), strict=True))


def test_guards_of_several_threads_end_in_any_order() -> None:
    before = patched()
    steps = [threading.Event() for _ in range(3)]

    def other() -> None:
        with guarded(lambda _: None):
            steps[0].set()
            while not steps[1].is_set():
                pass
        steps[2].set()

    thread = threading.Thread(target=other)
    thread.start()
    steps[0].wait(30)
    with guarded(lambda _: None):
        steps[1].set()
        while not steps[2].is_set():
            pass
        assert patched() != before
        with pytest.raises(SimulationError):
            threading.Event().wait(1)
    assert patched() == before
    thread.join()


def test_what_others_have_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with guarded(lambda _: None), pytest.raises(SimulationError):
        time.sleep(1)
    time.sleep(2)
    with guarded(lambda _: None):
        monkeypatch.setattr(time, "sleep", lambda _: slept.append(0))
        time.sleep(3)
    time.sleep(4)
    assert slept == [2, 0, 0]


# -- what may wait -------------------------------------------------------------------------------------------------------


def test_a_debugger_may_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def debugged() -> None:
        pdb.Pdb(nosigint=True, readrc=False).set_trace()
        print("over")  # noqa: T201  # by then it has asked

    trace = sys.gettrace()
    monkeypatch.setattr(sys, "stdin", io.StringIO("p 6 * 7\ncontinue\n"))
    try:
        allowed(debugged)
    finally:
        sys.settrace(trace)
    said = capsys.readouterr().out
    assert "42" in said
    assert said.endswith("over\n")
