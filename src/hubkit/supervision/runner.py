"""One child of a spec, from its start to its bounded stop.

Law of this room: a started instance always ends, and says so exactly once (``on_exit``); a failed start leaves nothing.
Stopping is OTP's: ask, wait ``shutdown`` seconds, then force. What follows an end is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import trio

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

    __slots__ = ("_on_exit", "cell", "ended", "exit", "spec")

    def __init__(self, spec: ChildSpec, cell: Cell, on_exit: Callable[[Running, Exit], None]) -> None:
        self.spec: ChildSpec = spec
        self.cell: Cell = cell
        self.ended: trio.Event = trio.Event()
        self.exit: Exit | None = None
        self._on_exit = on_exit

    def __repr__(self) -> str:
        return f"<Running {self.cell.describe()}{'' if self.exit is None else f', ended: {self.exit.reason}'}>"

    @property
    def pid(self) -> Pid:
        """The incarnation that runs."""
        return self.cell.pid

    async def run(self, *, task_status: trio.TaskStatus[Cell]) -> None:
        """The task of the child."""
        end = Exit("killed", None, self.cell.pid)
        try:
            end = await self.cell.run(task_status=task_status)
        finally:
            self.exit = end
            self.ended.set()
            if self.cell.started:
                self._on_exit(self, end)

    async def stop(self, reason: str = "shutdown", within: float | None = None) -> Exit:
        """Stop it: ask, wait, force. ``within``: seconds, instead of the spec's ``shutdown``; 0 forces at once.

        Waits until it has ended. Cancelled, it forces and waits no longer than the child needs to notice.
        """
        seconds = self.spec.shutdown if within is None else check_seconds(within, "within", infinite=True)
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
) -> Running:
    """Start an instance of ``spec`` in ``nursery``; returns when its ``on_start`` has returned.

    ``on_exit(running, exit)`` is called once, synchronously, when a *started* instance has ended. Raises `StartFailed`
    with the cause chained; then nothing is left of it. Cancelled, the start is undone. The caller must `Running.stop`
    it before it leaves the nursery: a started actor does not end by cancellation alone.
    """
    if isinstance(spec.start, UnknownStart):
        msg = f"child {spec.id!r} cannot start here: this process has not defined the actor {spec.start.name!r}"
        raise StartFailed(msg)
    cell = system.spawn(
        spec.start,
        spec.args,
        dict(spec.kwargs),
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
    running = Running(spec, cell, on_exit)
    try:
        await nursery.start(running.run, name=f"hubkit child {spec.id}")
    except Exception as error:
        msg = f"child {spec.id!r} ({spec.start.__hubkit_actor__}) did not start: {type(error).__name__}: {error_text(error)}"
        raise StartFailed(msg) from error
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
            await running.stop(reason, min(running.spec.shutdown, grace, left if left < math.inf else grace))
