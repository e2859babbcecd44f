"""What an actor sees of itself: `Context`.

Law of this room: only the actor uses its context. It holds nothing of its own; it shows the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio

from hubkit.actors.background import Background
from hubkit.actors.mailbox import Letter
from hubkit.actors.messages import Down, Monitor
from hubkit.actors.standing import ORDER, SYSTEM
from hubkit.actors.timers import Interval
from hubkit.errors import ConfigurationError, HubClosed
from hubkit.pids import Pid
from hubkit.specs import check_seconds

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell
    from hubkit.actors.late import LateReply
    from hubkit.actors.ref import Ref
    from hubkit.actors.timers import Timer

__all__ = ["Context"]

#: What a function is in the middle of while it is suspended.
_HELD: Letter = (None, "", ORDER, {})


class Context:
    """An actor's view of itself and of the system it runs in: ``self.context``, or a function's first argument."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<Context of {self._cell.describe()}>"

    @property
    def pid(self) -> Pid:
        """The address of this incarnation."""
        return self._cell.pid

    @property
    def ref(self) -> Ref[Any]:
        """The handle to give to others: of a child, it follows the child to its next incarnation."""
        cell = self._cell
        return cell.system.ref(cell.key or cell.pid)

    @property
    def child_id(self) -> str | None:
        """The id in its spec, or `None` outside a hub, a supervisor or ``hubkit.start``."""
        return self._cell.child_id

    @property
    def node(self) -> str:
        """The name of the node that it runs on."""
        return self._cell.pid.node

    @property
    def hub(self) -> Any:
        """The `Hub` that it is a child of, or `None`."""
        return self._cell.hub

    @property
    def metadata(self) -> Any:
        """What was given as ``metadata`` when it was started, or `None`."""
        return self._cell.metadata

    @property
    def role(self) -> str:
        """``"active"``, or ``"passive"`` for a copy that only keeps state."""
        return self._cell.role

    @property
    def term(self) -> int:
        """A fencing token: it only grows with each new owner of the child. Hand it to databases."""
        return self._cell.term

    @property
    def start_reason(self) -> str:
        """``"start"``, ``"restart"``, ``"failover"`` or ``"migration"``."""
        return self._cell.start_reason

    @property
    def nursery(self) -> trio.Nursery:
        """For background tasks: they die with the actor, and a crash of theirs is a crash of the actor.

        It has all that a `trio.Nursery` has, and costs nothing before it is used. Raises `HubClosed` outside the life of
        the actor.
        """
        cell = self._cell
        background = cell.background
        if background is None:
            host = None if cell.task is None else cell.task.parent_nursery
            if host is None or cell.pid.serial not in cell.system.cells:
                msg = "the actor does not run yet" if cell.task is None else "the actor has ended"
                raise HubClosed(msg)
            background = cell.background = Background(cell)
        return cast("trio.Nursery", background)

    def monitor(self, ref: Ref[Any]) -> Monitor:
        """Watch another actor: a `Down` with this monitor arrives exactly once, when that incarnation is gone.

        For a ref that follows a child, the incarnation that runs now is watched. If there is none, or it is gone
        already, the `Down` comes at once, with the reason ``"noproc"``.
        """
        return self._cell.system.monitor(self._cell, ref)

    def demonitor(self, monitor: Monitor) -> bool:
        """Stop watching: no `Down` of this monitor arrives any more. Returns whether it was still to come."""
        if not isinstance(monitor, Monitor):
            msg = f"demonitor needs the Monitor that context.monitor returned, not {monitor!r:.80}"
            raise ConfigurationError(msg)
        active = self._cell.system.demonitor(self._cell, monitor.number)
        if not active and self._cell.downs is not None:
            self._cell.downs.forget(monitor.number)
        return active

    def link(self, ref: Ref[Any]) -> None:
        """Join this actor and another one: when either ends, the other does.

        With the same reason; but not if that was ``"normal"``, or ``"moved"`` (a child that goes on elsewhere: link to it
        anew). An actor whose class says ``trap_exits = True`` lives on, and gets an `Exit` instead, whatever the reason.
        The link is between two incarnations; of a ref that follows a child, the one that runs now. If there is none, or it
        is gone already, the signal comes at once, with the reason ``"noproc"``. Nothing is done if they are linked.
        Raises `ConfigurationError` for what is no ref, and for the actor itself. Example::

            class Session(hubkit.Actor):
                def __init__(self, connection: hubkit.Ref[Connection]) -> None:
                    self.connection = connection

                async def on_start(self) -> None:
                    self.context.link(self.connection)
        """
        self._cell.system.links.link(self._cell, ref)

    def unlink(self, ref: Ref[Any]) -> bool:
        """Undo `link`, whichever of the two made it: no exit of the other arrives any more, nor does one there.

        Returns whether they were linked. Raises `ConfigurationError` for what is no ref.
        """
        return self._cell.system.links.unlink(self._cell, ref)

    def reply_later(self) -> LateReply[Any]:
        """A token with which the call in progress is answered later, perhaps by another actor: see `LateReply`.

        What the handler returns is not sent then; a `Reject` that it raises is. For a cast, there is a token, and nobody
        waits for it. Raises `ConfigurationError` outside the body of a method that was called, and the second time.
        """
        return self._cell.system.owed.owe(self._cell)

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Send ``message`` to oneself after ``seconds``; it arrives through ``on_info``. Dies with the actor."""
        check_seconds(seconds, "seconds of send_after")
        cell = self._cell
        return cell.system.timers.start(cell, seconds, message)

    def send_interval(self, seconds: float, message: Any) -> Timer:
        """Send ``message`` to oneself every ``seconds``, the first time after as many; until cancelled. Dies with the actor.

        As `send_after`, without drift. An actor that is too slow has one such message in its mailbox, never two: those that
        it has no time for are left out.
        """
        check_seconds(seconds, "seconds of send_interval", zero=False)
        cell = self._cell
        return cell.system.timers.start(cell, seconds, message, Interval)

    def stop(self, reason: str = "normal") -> None:
        """End this actor once the current message is handled. Messages that still wait are answered as not begun.

        A reason other than ``"normal"``, ``"shutdown"`` or ``"shutdown: ..."`` counts as a failure for
        ``restart="transient"``.
        """
        if not isinstance(reason, str) or not reason:
            msg = f"the reason of stop must be a non-empty str, not {reason!r:.80}"
            raise ConfigurationError(msg)
        self._cell.request_stop(reason)

    async def checkpoint(self) -> None:
        """Give ``handover_state()`` to the passive copies of this child, and return when all of them in sight hold it.

        What was in a checkpoint survives the death of this node. Where the hub keeps no passive copies, and outside of
        hubs, there is nothing to do. Raises what ``handover_state`` raises, and `NotSerializable`.
        """
        cell = self._cell
        if cell.hub is None:
            await trio.lowlevel.checkpoint()
            return
        await cell.hub._driver.handovers.checkpoint(cell)

    async def receive(self) -> Any:
        """The next message; for actor functions. A checkpoint.

        Raises `trio.EndOfChannel` when the actor has been asked to stop (``async for`` ends then), and
        `trio.BusyResourceError` when another task waits in it.
        """
        cell = self._cell
        if cell.instance is not None:
            msg = f"{cell.describe()} is an Actor: its messages arrive at its methods and on_info, not at receive()"
            raise ConfigurationError(msg)
        cell.reads_mailbox, cell.current = True, None
        await trio.lowlevel.checkpoint()
        while True:
            queue: Any = cell.queue  # of letters alone: a function gets no calls
            if cell.stop_reason is not None:
                raise trio.EndOfChannel
            if cell.suspended or (queue and queue[0][2] is ORDER):
                await self._stand_still()
            elif not queue or not (cell.gate is None or cell.gate()):
                await cell.park()
                cell.marked_at = trio.current_time()
            else:
                cell.current = letter = queue.popleft()
                if letter is cell.marked:
                    cell.marked = None
                if cell.waiting:
                    cell.admit()
                cell.handled += 1
                message = letter[2][0]
                if (
                    letter[3] is not SYSTEM
                    or type(message) is not Down
                    or cell.downs is None
                    or cell.downs.take(message)
                ):
                    return message
                cell.current = None

    async def _stand_still(self) -> None:
        """Do what is ordered of a function that reads its mailbox, and wait as long as it is suspended."""
        cell = self._cell
        cell.current, cell.marked_at = _HELD, trio.current_time()
        queue: Any = cell.queue
        if queue and queue[0][2] is ORDER:
            cell.handled += 1
            await queue.popleft()[0]
        else:
            await cell.hold()
        cell.current = None

    def __aiter__(self) -> Context:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
