"""Timers: one heap and one task for all actors of a system, so that thousands cost little.

Law of this room: a timer fires at most once, dies with its actor, and its message is never refused by a full mailbox.
The task lives only while there is a timer; a task and a cancel scope for each timer (3 KB) were refused.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["Interval", "Timer", "Timers"]


class Timer:
    """A message on its way through time; `Context.send_after` and `Context.send_interval` make it."""

    __slots__ = ("_cell", "_message", "_number", "_timers", "_when")

    def __init__(self, timers: Timers, cell: Cell, message: Any, when: float, number: int, seconds: float) -> None:
        self._timers: Timers | None = timers
        self._cell: Cell | None = cell
        self._message = message
        self._when = when
        self._number = number

    def __lt__(self, other: Timer) -> bool:
        return (self._when, self._number) < (other._when, other._number)

    def __repr__(self) -> str:
        return f"<Timer at {self._when:.3f}{'' if self.active else ', over'}>"

    @property
    def active(self) -> bool:
        """Whether the message is still to come."""
        return self._cell is not None

    def cancel(self) -> bool:
        """Call the message off. Returns whether it was still to come; a message already in the mailbox stays there."""
        timers, cell = self._timers, self._cell
        if cell is None or timers is None:
            return False
        self._release(cell)
        timers.called_off()
        return True

    def fire(self) -> None:
        """The time has come."""
        cell, message = self._cell, self._message
        if cell is not None:
            self._release(cell)
            self.expire(cell, message)

    def expire(self, cell: Cell, message: Any) -> None:
        """Put the message into the actor's mailbox."""
        cell.inform(message)

    def _release(self, cell: Cell) -> None:
        if cell.timers is not None:
            cell.timers.discard(self)
        self._timers = self._cell = self._message = None


class Interval(Timer):
    """A message that comes again and again."""

    __slots__ = ("_letter", "_seconds")

    def __init__(self, timers: Timers, cell: Cell, message: Any, when: float, number: int, seconds: float) -> None:
        super().__init__(timers, cell, message, when, number, seconds)
        self._seconds = seconds
        self._letter: object = None

    def fire(self) -> None:
        """The time has come: the next one follows, and those whose time has passed meanwhile do not."""
        cell, timers = self._cell, self._timers
        if cell is None or timers is None:
            return
        late = trio.current_time() - self._when
        self._when += self._seconds * (1 + late // self._seconds)
        timers.put(self)
        if cell.closed or any(item is self._letter for item in cell.queue or ()):
            return
        cell.inform(self._message)
        self._letter = cell.queue[-1] if cell.queue else None


class Timers:
    """All timers of one system, earliest first."""

    __slots__ = ("_called_off", "_count", "_heap", "_scope")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._count = 0
        self._called_off = 0
        self._scope: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap) - self._called_off

    def start(self, cell: Cell, seconds: float, message: Any, kind: type[Timer] = Timer) -> Timer:
        """Make a timer of this kind, which fires after ``seconds`` unless its actor ends before."""
        self._count += 1
        timer = kind(self, cell, message, trio.current_time() + seconds, self._count, seconds)
        if cell.timers is None:
            cell.timers = set()
        cell.timers.add(timer)
        self.put(timer)
        if self._scope is None:
            self._scope = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._run, name="hubkit timers")
        elif timer._when < self._scope.deadline:
            self._scope.deadline = timer._when
        return timer

    def put(self, timer: Timer) -> None:
        """It waits for its time."""
        heapq.heappush(self._heap, timer)

    def called_off(self) -> None:
        """One more entry of the heap is dead; throw the dead ones away before they outnumber the living."""
        self._called_off += 1
        if self._called_off > 100 and self._called_off * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if timer.active]
            heapq.heapify(self._heap)
            self._called_off = 0

    async def _run(self) -> None:
        try:
            while self._heap:
                self._fire_due(trio.current_time())
                if self._heap:
                    with trio.CancelScope(deadline=self._heap[0]._when) as self._scope:
                        await trio.sleep_forever()
        finally:
            self._scope = None

    def _fire_due(self, now: float) -> None:
        while self._heap and self._heap[0]._when <= now:
            timer = heapq.heappop(self._heap)
            if timer.active:
                timer.fire()
            else:
                self._called_off -= 1
        while self._heap and not self._heap[0].active:
            heapq.heappop(self._heap)
            self._called_off -= 1
