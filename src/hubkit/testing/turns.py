"""The turns of trio's scheduler, counted: a scenario may go round for ever in a moment in which no time passes.

Law of this room: what runs in good order pays for one addition a turn. Only where something goes round is it looked at which
tasks make steps, for some turns; so that they can be named.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from hubkit.testing.blame import Place
from hubkit.testing.clock import VirtualClock
from hubkit.testing.tasks import place_of_task

__all__ = ["Busy", "Turns"]

#: turns in which it is looked at who does
WATCHED = 50
#: how much sooner that is done when everybody has been told to end
SOONER = 10

#: who goes round -> the line at which most of its turns begin
Busy = dict[trio.lowlevel.Task, Place | None]


class _Steps(trio.abc.Instrument):
    """Notes who makes a step, and from where."""

    def __init__(self) -> None:
        self._seen: dict[trio.lowlevel.Task, dict[Place | None, int]] = {}

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """It is about to."""
        places = self._seen.setdefault(task, {})
        place = place_of_task(task)
        places[place] = places.get(place, 0) + 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Whoever ends does not go round."""
        self._seen.pop(task, None)

    def busy(self) -> Busy:
        """Who goes round: those that made several steps, or all, if nobody did."""
        counts = {task: sum(places.values()) for task, places in self._seen.items()}
        least = 2 if any(count > 1 for count in counts.values()) else 1
        return {
            task: max(places, key=lambda place: places[place])
            for task, places in self._seen.items()
            if counts[task] >= least
        }


class Turns(trio.abc.Instrument):
    """Counts turns of the scheduler in which no time passes; ``endless`` is told who makes them, after each ``most``."""

    def __init__(self, clock: VirtualClock, most: int, endless: Callable[[Busy], None]) -> None:
        self._clock, self._most, self._hasty, self._endless = clock, most, most // SOONER, endless
        self._jumps = 0
        self._count = 0
        self._steps: _Steps | None = None

    def hasten(self) -> None:
        """Be less patient from now on."""
        self._count, self._most = 0, self._hasty

    def before_io_wait(self, timeout: float) -> None:
        """Trio begins a turn."""
        if self._jumps != self._clock.jumps:
            self._jumps, self._count = self._clock.jumps, 0
        self._count += 1
        if self._count >= self._most or self._steps is not None:
            self._look()

    def _look(self) -> None:
        if self._count < self._most:  # time has moved after all
            self._stop()
        elif self._steps is None:
            self._steps = _Steps()
            trio.lowlevel.add_instrument(self._steps)
        elif self._count >= self._most + WATCHED:
            self._count = 0
            self._endless(self._stop().busy())

    def _stop(self) -> _Steps:
        assert self._steps is not None
        steps, self._steps = self._steps, None
        trio.lowlevel.remove_instrument(steps)
        return steps
