"""One child of a spec, from its start to its bounded stop.

Law of this room: a started instance always ends, and says so exactly once (``on_exit``); a failed start leaves nothing.
Stopping is OTP's: ask, wait ``shutdown`` seconds, then force. What follows an end is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from outcome import Error, Outcome, Value, capture

from hubkit.actors.cell import Cell
from hubkit.actors.messages import Exit
from hubkit.actors.system import System
from hubkit.errors import ConfigurationError, StartFailed
from hubkit.names import error_text
from hubkit.pids import Pid
from hubkit.specs import ChildSpec, UnknownStart, check_seconds

__all__ = ["Running", "start_instance", "stop_all"]


class Running:
    """A started instance of a child. ``exit`` is how it ended, once ``ended`` is set."""

    __slots__ = ("_ended", "_give_up", "_on_exit", "_starter", "cell", "exit")

    def __init__(self, cell: Cell, on_exit: Callable[[Running, Exit], None]) -> None:
        self.cell: Cell = cell
        self.exit: Exit | None = None
        self._on_exit = on_exit
        #: Made when somebody waits: most children are never waited for.
        self._ended: trio.Event | None = None
        #: Who waits for it to start; and what that task raises if it has been cancelled meanwhile.
        self._starter: trio.lowlevel.Task | None = None
        self._give_up: trio.lowlevel.RaiseCancelT | None = None

    def __repr__(self) -> str:
        return f"<Running {self.cell.describe()}{'' if self.exit is None else f', ended: {self.exit.reason}'}>"

    @property
    def pid(self) -> Pid:
        """The incarnation that runs."""
        return self.cell.pid

    @property
    def ended(self) -> trio.Event:
        """Set when it has ended."""
        if self._ended is None:
            self._ended = trio.Event()
            if self.exit is not None:
                self._ended.set()
        return self._ended

    async def begin(self, nursery: trio.Nursery) -> None:
        """Run it in ``nursery``; returns when it has started. Raises what its start raised. Cancelled, it undoes the start.

        As ``nursery.start``, which makes a nursery for each start, and lets the started task keep it for all its life.
        """
        # Its starter alone may give it up, and waits until it is gone.
        self.cell.scope.shield = True
        self._starter = trio.lowlevel.current_task()
        nursery.start_soon(partial(self.cell.run, keeper=self), name=self.cell.child_id)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, give_up: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
        self._give_up = give_up
        self.cell.cancel()
        return trio.lowlevel.Abort.FAILED

    # What its cell tells it: a `Keeper`.

    def started(self, cell: Cell) -> None:
        """Let its starter go on."""
        starter = self._starter
        if starter is not None and self._give_up is None:
            self._starter = None
            trio.lowlevel.reschedule(starter)

    def failed(self, error: BaseException) -> bool:
        """What its start raised, its starter raises."""
        starter, end = self._starter, Exit("killed", None, self.pid)
        if starter is None and self.cell.started:
            self.exit = (
                end  # by Ctrl-C, say: the program's end and no failure of this child, which nobody is to restart
            )
            if self._ended is not None:
                self._ended.set()
            return False
        self._has_ended(end, Error(error))
        return starter is not None

    def over(self, end: Exit) -> None:
        """Tell how it has ended."""
        self._has_ended(end, Value(None))

    def _has_ended(self, end: Exit, outcome: Outcome[object]) -> None:
        self.exit = end
        if self._ended is not None:
            self._ended.set()
        starter, self._starter = self._starter, None
        if starter is not None:
            trio.lowlevel.reschedule(starter, outcome if self._give_up is None else capture(self._give_up))
        elif self.cell.started:
            self._on_exit(self, end)

    async def stop(self, reason: str = "shutdown", within: float | None = None) -> Exit:
        """Stop it: ask, wait, force. ``within``: seconds, instead of the spec's ``shutdown``; 0 forces at once.

        Waits until it has ended. Cancelled, it forces and waits no longer than the child needs to notice.
        """
        seconds = self.cell.shutdown if within is None else check_seconds(within, "within", infinite=True)
        try:
            if seconds > 0:
                self.cell.request_stop(reason)
                with trio.move_on_after(seconds):
                    await self.ended.wait()
        finally:
            if not self.ended.is_set():
                self.cell.cancel()
                with trio.CancelScope(shield=True):
                    await self.ended.wait()
        assert self.exit is not None
        return self.exit


async def start_instance(
    nursery: trio.Nursery,
    system: System,
    spec: ChildSpec,
    *,
    hub: Any = None,
    hub_name: str = "",
    metadata: Any = None,
    term: int = 0,
    start_reason: str = "start",
    restarts: int = 0,
    on_exit: Callable[[Running, Exit], None],
    starting: set[Running] | None = None,
) -> Running:
    """Start an instance of ``spec`` in ``nursery``; returns when its ``on_start`` has returned.

    ``on_exit(running, exit)`` is called once, synchronously, when a *started* instance has ended. Raises `StartFailed`
    with the cause chained; then nothing is left of it. While it starts it is in ``starting``: its cell may be cancelled.
    Cancelled, the start is undone. The caller must `Running.stop` it before it leaves the nursery: a started actor does not
    end by cancellation alone.
    """
    if isinstance(spec.start, UnknownStart):
        msg = f"child {spec.id!r} cannot start here: this process has not defined the actor {spec.start.name!r}"
        raise StartFailed(msg)
    cell = system.spawn(
        spec.start,
        spec.args,
        spec.kwargs,
        mailbox=spec.mailbox,
        shutdown=spec.shutdown,
        child_id=spec.id,
        hub=hub,
        hub_name=hub_name,
        metadata=metadata,
        term=term,
        start_reason=start_reason,
        restarts=restarts,
    )
    running = Running(cell, on_exit)
    if starting is not None:
        starting.add(running)
    try:
        await running.begin(nursery)
    except Exception as error:
        msg = f"child {spec.id!r} ({spec.start.__hubkit_actor__}) did not start: {type(error).__name__}: {error_text(error)}"
        raise StartFailed(msg) from error
    finally:
        if starting is not None:
            starting.discard(running)
    return running


async def stop_all(runnings: Sequence[Running], reason: str = "shutdown", *, grace: float | None = None) -> None:
    """Stop instances one after the other, the last first.

    ``grace`` `None`: each has its spec's ``shutdown``. Else each has ``min(shutdown, grace)`` seconds, all together twice
    ``grace``; and a cancellation from outside is not heard.
    """
    if grace is None:
        for running in reversed(runnings):
            await running.stop(reason)
        return
    if not isinstance(grace, int | float):
        msg = f"grace must be seconds, not {grace!r}"
        raise ConfigurationError(msg)
    last = trio.current_time() + 2 * grace
    with trio.CancelScope(shield=True):
        for running in reversed(runnings):
            left = max(0.0, last - trio.current_time())
            await running.stop(reason, min(running.cell.shutdown, grace, left if left < math.inf else grace))
