"""How a task sleeps until somebody wakes it: as trio has it, at half the cost.

Law of this room: a task sleeps by yielding to trio what `trio.lowlevel.wait_task_rescheduled` yields, made by that very
function; but it is made once and yielded again and again, and the value with which a sleeper is woken is one for all. A
coroutine, a generator and three objects less for each sleep: a call within a process takes two thirds of the time, and
an idle actor half a kilobyte less.

Whoever waits for a mailbox leaves `ASLEEP` as its ``custom_sleep_data``, which trio takes away when it wakes the task for a
reason of its own (it was cancelled): so a waker knows whether it still sleeps, and all sleepers share one abort
function. Whoever waits for a reply must be told apart when it is cancelled, and takes a `Seat`: one that is lent to it in
`sit`, or its own in `wait_in`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

import trio
from outcome import Outcome, Value

__all__ = ["ASLEEP", "WOKEN", "Berth", "Seat", "Sitter", "sit", "wait_in", "wake"]

_SUCCEEDED = trio.lowlevel.Abort.SUCCEEDED
_reschedule = trio.lowlevel.reschedule


def _sleep(abort: Callable[[Any], trio.lowlevel.Abort]) -> Any:
    """What trio is told by a task that sleeps."""
    coroutine = trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105  # driven by hand
    told = coroutine.send(None)
    coroutine.close()
    return told


#: What a task yields to sleep until `wake`, after it has made this its ``custom_sleep_data``.
ASLEEP: Final = _sleep(lambda _: _SUCCEEDED)
#: What it is sent then; anything else must be unwrapped.
WOKEN: Final[Outcome[None]] = Value(None)


def wake(task: trio.lowlevel.Task) -> None:
    """Wake a task that sleeps; nothing is done if trio has done so already."""
    if task.custom_sleep_data is ASLEEP:
        _reschedule(task, WOKEN)


class Berth:
    """Where one task sleeps until others have something for it. ``parked``: it, unless trio has woken it meanwhile."""

    __slots__ = ("parked",)

    def __init__(self) -> None:
        self.parked: trio.lowlevel.Task | None = None

    @types.coroutine
    def park(self) -> Generator[Any, Any, None]:
        """Sleep until somebody calls `wake`, whatever for. For one task at a time."""
        parked = self.parked
        if parked is not None and parked.custom_sleep_data is ASLEEP:
            msg = "another task waits here already"
            raise trio.BusyResourceError(msg)
        task = self.parked = trio.lowlevel.current_task()
        task.custom_sleep_data = ASLEEP
        outcome = yield ASLEEP
        if self.parked is task:
            self.parked = None
        if outcome is not WOKEN:
            outcome.unwrap()

    def wake(self) -> None:
        """Wake the task that is parked, if one is."""
        task = self.parked
        if task is not None:
            self.parked = None
            wake(task)


class Sitter(Protocol):
    """What a task waits for that is woken once, with a ``value``, or by trio."""

    value: Any

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        """The task is cancelled."""
        ...


class Seat:
    """A place to wait in, used again and again. Its heirs say what ``abort`` does.

    One who brings a seat of its own, to `wait_in`, is a `Sitter`, too: it is told in ``value``.
    """

    __slots__ = ("told", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.told: Any = _sleep(self.abort)

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        """The task is cancelled."""
        raise NotImplementedError


class _LentSeat(Seat):
    """One for a `Sitter` that brings none."""

    __slots__ = ("sitter",)

    def __init__(self) -> None:
        super().__init__()
        self.sitter: Sitter | None = None

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        """The task is cancelled."""
        return _SUCCEEDED if self.sitter is None else self.sitter.abort(raise_cancel)


#: Free seats, and how many are kept.
_seats: list[_LentSeat] = []
_SPARE = 4096


@types.coroutine
def sit(sitter: Sitter) -> Generator[Any, Any, Any]:
    """Wait until the task is woken with `WOKEN`; returns ``sitter.value`` then. Raises what it is woken with else."""
    try:
        seat = _seats.pop()
    except IndexError:
        seat = _LentSeat()
    seat.sitter = sitter
    outcome = yield seat.told
    seat.sitter = None
    if len(_seats) < _SPARE:
        _seats.append(seat)
    return sitter.value if outcome is WOKEN else outcome.unwrap()


@types.coroutine
def wait_in(seat: Seat) -> Generator[Any, Any, Any]:
    """The same for one who brings its own seat."""
    outcome = yield seat.told
    return seat.value if outcome is WOKEN else outcome.unwrap()
