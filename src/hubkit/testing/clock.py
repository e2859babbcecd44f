"""Virtual time: it stands while anybody has something to do, and then jumps to the next moment at which somebody has.

Law of this room: time moves only when every task waits. trio asks its clock how long to sleep exactly then, and our answer
is to be there already; so a jump costs no idle turn of the scheduler. What is to happen at some moment without a task of
its own (a frame that arrives) stands in an agenda, and is done by the clock on the way.

A scenario that can never go on (nobody waits for any moment) and one that goes round in circles (time does not move) are
noticed here; who is told decides what follows. Where no task of a scenario can be ended any more, the clock ends it: trio looks
at it in each turn, and gives up its loop if that fails.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import trio

__all__ = ["BrokenOff", "VirtualClock"]

#: The virtual moment at which every simulation begins. Not zero, so that a mix-up of durations and moments shows.
START = 1000.0
#: turns without anybody to run and any moment to wait for, after which nothing is believed to happen any more
IDLE = 3


class BrokenOff(Exception):
    """The clock has been told to break off trio's loop. It comes out as the cause of a `trio.TrioInternalError`."""


class VirtualClock(trio.abc.Clock):
    """A clock for `trio.run`.

    ``stuck`` is called when nothing will ever happen again; ``limit``: the moment at which ``expired`` is called, once,
    unless it sets another limit. Both must see to it that some task runs, or break off.
    """

    def __init__(
        self,
        *,
        stuck: Callable[[], None] | None = None,
        limit: float = math.inf,
        expired: Callable[[], None] | None = None,
    ) -> None:
        self._now = START
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._idle = 0
        self._stuck, self._expired = stuck, expired
        self._broken = False
        self.limit: float = limit
        #: while it is, time does not move, whoever waits
        self.held: bool = False
        #: how often time has moved
        self.jumps: int = 0

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now:.6f}>"

    # What trio asks.

    def start_clock(self) -> None:
        """A run begins."""

    def current_time(self) -> float:
        """The virtual moment, in seconds."""
        if self._broken:
            raise BrokenOff
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Nobody has anything to do before ``deadline``: be there, or at the next entry of the agenda."""
        if self.held:
            return 0.0
        agenda = self._agenda
        moment = min(deadline, agenda[0][0]) if agenda else deadline
        if moment == math.inf:
            if self._stuck is None:
                return math.inf
            self._idle += 1
            if self._idle > IDLE:  # trio's own tasks are woken through a socket, and may be about to be
                self._idle = 0
                self._stuck()
            return 0.0
        self._idle = 0
        if moment > self.limit and self._expired is not None:
            self._now, self.limit = max(self._now, self.limit), math.inf
            self._expired()
            return 0.0
        if moment > self._now:
            self._now = moment
            self.jumps += 1
        while agenda and agenda[0][0] <= self._now:
            heapq.heappop(agenda)[2]()
        return 0.0

    # What simulations ask.

    def now(self) -> float:
        """The virtual moment, in seconds: as `current_time`."""
        return self._now

    def break_off(self) -> None:
        """Let trio give up its loop in this turn, whatever tasks there are."""
        self._broken = True

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        """Call ``action`` when it is ``when``: a plain function that may wake tasks. Of several the first noted comes first."""
        self._count += 1
        heapq.heappush(self._agenda, (max(when, self._now), self._count, action))
