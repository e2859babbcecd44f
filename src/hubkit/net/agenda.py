"""What happens when, in a simulated network: one queue for all of it.

Law of this room: the whole network asks for one wake-up at a time, however much is on its way; a thousand frames cost no task
and next to no timers. Things that are due at the same time happen in the order in which they were put.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import trio

__all__ = ["Agenda", "Scheduler", "Timed", "TrioScheduler"]


class Scheduler(Protocol):
    """Where a simulated network has its time from."""

    def now(self) -> float:
        """The current time in seconds."""
        ...

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        """Call ``action()``, in the thread of trio, once ``now() >= when``. It is never taken back."""
        ...


class TrioScheduler:
    """The scheduler of any trio run, whatever its clock: a system task that lives while something is due."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._scope: trio.CancelScope | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def now(self) -> float:
        """The time of trio's clock."""
        return trio.current_time()

    def is_over(self) -> bool:
        """Whether the trio run that used it last has ended. Only asked from outside of one."""
        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(_nothing)
        except trio.RunFinishedError:
            return True
        return False

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        """See `Scheduler.call_at`. What an earlier trio run has left undone is forgotten."""
        token = trio.lowlevel.current_trio_token()
        if self._token is not token:
            self._token = token
            self._due.clear()
            self._scope = None
        self._count += 1
        heappush(self._due, (when, self._count, action))
        if self._scope is None:
            self._scope = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._run, self._scope, name="hubkit: simulated network")
        elif when < self._scope.deadline:
            self._scope.deadline = when

    async def _run(self, scope: trio.CancelScope) -> None:
        due = self._due
        while due and self._scope is scope:
            scope.deadline = due[0][0]
            with scope:
                await trio.sleep_forever()
            # A scope cannot be used twice; what the actions add looks at the new one.
            self._scope = scope = trio.CancelScope()
            now = trio.current_time()
            while due and due[0][0] <= now:
                heappop(due)[2]()
        if self._scope is scope:
            self._scope = None


def _nothing() -> None:
    return None


class Timed(Protocol):
    """What can stand in the agenda, once at a time. ``ticket`` is its entry's; an entry with another one is void."""

    ticket: int

    def due(self, now: float) -> None:
        """Its time has come."""


class Agenda:
    """What happens when, in the whole network."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.now: Callable[[], float] = scheduler.now
        self._call_at = scheduler.call_at
        self._heap: list[tuple[float, int, Timed]] = []
        self._wakes: list[float] = []  # the wake-ups that are asked for, the next one last
        self._count = 0
        self._busy = False

    def clear(self) -> None:
        """Forget everything. The things themselves must not be put again."""
        self._heap.clear()
        self._wakes.clear()

    def put(self, when: float, thing: Timed) -> None:
        """Let ``thing`` be due at ``when``; an earlier entry of it becomes void."""
        self._count = thing.ticket = ticket = self._count + 1
        heappush(self._heap, (when, ticket, thing))
        if not self._busy:
            self._arm(when)

    def _arm(self, when: float) -> None:
        wakes = self._wakes
        if not wakes or when < wakes[-1]:
            wakes.append(when)
            self._call_at(when, self._wake)

    def _wake(self) -> None:
        now = self.now()
        heap, wakes = self._heap, self._wakes
        while wakes and wakes[-1] <= now:
            wakes.pop()
        self._busy = True
        try:
            while heap and (heap[0][0] <= now or heap[0][2].ticket != heap[0][1]):
                _, ticket, thing = heappop(heap)
                if thing.ticket == ticket:
                    thing.ticket = 0
                    thing.due(now)
        finally:
            self._busy = False
        if heap:
            self._arm(heap[0][0])
