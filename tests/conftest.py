"""What holds for every test: it ends, and it can be repeated.

Law of this room: no test may hang. Each has `LIMIT` seconds, or those of its ``limit`` mark, and then fails with its
own traceback; the whole suite has `SUITE_LIMIT`, after which no further test begins. A test that is stuck inside
`trio.run` shows what each of its tasks waits for, and is cancelled; one that ignores that is broken off. No plug-in is
needed for that.

Hypothesis runs under one of two profiles: ``dev`` looks for new examples every time, ``ci`` (chosen when the
environment has ``CI``, or by ``HYPOTHESIS_PROFILE``) is the same on every run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, settings

LIMIT = 60.0
SUITE_LIMIT = 13.5 * 60.0  # with the install before it, a quarter of an hour
MEASURED = 4.0  # times as long, where coverage is measured

_suite_began = time.monotonic()

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def _pace(item: pytest.Item) -> float:
    return MEASURED if item.config.pluginmanager.hasplugin("_cov") else 1.0


def _limit_of(item: pytest.Item) -> float:
    mark = item.get_closest_marker("limit")
    return _pace(item) * (float(mark.args[0]) if mark else LIMIT)


class TookTooLong(BaseException):
    """A test has passed its limit. No `Exception`: Hypothesis would catch one, and run the test again."""


def _tasks(task: trio.lowlevel.Task, depth: int = 0) -> Iterator[str]:
    """What every trio task is waiting for, as a tree."""
    where = [f"{frame.f_code.co_qualname}:{line}" for frame, line in task.iter_await_frames()]
    yield f"{'  ' * depth}{task.name}: {' > '.join(where[-6:])}\n"
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda child: child.name):
            yield from _tasks(child, depth + 1)


@contextmanager
def _bounded(item: pytest.Item) -> Iterator[None]:
    seconds = _limit_of(item)
    rung = 0

    def cancel_all() -> None:
        root = trio.lowlevel.current_root_task()
        assert root is not None
        sys.stderr.writelines(_tasks(root))
        root.child_nurseries[-1].cancel_scope.cancel()

    def ring(signum: int, frame: FrameType | None) -> None:
        nonlocal rung
        rung += 1
        stack = "".join(traceback.format_stack(frame)[-6:])
        sys.stderr.write(f"\n{item.nodeid} has run for {seconds:g} s; it is at\n{stack}")
        if rung == 1 and trio.lowlevel.in_trio_run():
            trio.lowlevel.current_trio_token().run_sync_soon(cancel_all)
        else:
            raise TookTooLong(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    # The first ring cancels a trio run from within; the next ones end what does not end by that.
    signal.setitimer(signal.ITIMER_REAL, seconds, 3.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        if rung and not isinstance(sys.exception(), TookTooLong):
            raise TookTooLong(seconds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    if time.monotonic() - _suite_began > _pace(item) * SUITE_LIMIT:
        item.session.shouldfail = f"the suite has run for more than {SUITE_LIMIT:g} s: {item.nodeid} was not begun"
    with _bounded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    with _bounded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    with _bounded(item):
        return (yield)
