"""How a simulation is ended whose tasks do not end: they are asked, then forced, then left where they are; and named.

Law of this room: whatever a scenario does, it ends, in four steps of which the next is taken only where the last was in vain.

* It is cancelled, as everything is in trio.
* Who goes on all the same, or is shielded and goes on for long, is woken with an error that is no `trio.Cancelled` (`Ended`).
* Who swallows that, too, is frozen, as a paused process is, and everything else ends in good order. If it is below main, then
  main counts as over, and the processes of the simulation are let go.
* When nothing is left but the frozen, trio's loop is broken off from within, by the clock. The frozen are kept for the life of
  the process: Python would run them once more if it let go of them.

A task that never awaits anything cannot be ended by anybody, and is not noticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import trio

from hubkit.testing.scheduling import Freezer, is_shielded, keep, wake
from hubkit.testing.tasks import MESSENGER, leaves, place_of_task, system_tasks
from hubkit.testing.turns import Busy

__all__ = ["GRACE", "Breakable", "Ended", "Endings"]

Task = trio.lowlevel.Task

#: seconds that tasks have to end after they were cancelled
GRACE = 600.0
#: of which so many after each step that was taken against them
AFTERWARDS = 60.0
#: how often a task is woken that waits for what will never happen: each time it may leave one shielded scope
CHANCES = 100
#: how many such rounds there are before all is broken off; one against who goes round or goes on counts for many
ROUNDS, DEAR = 1000, 100
#: of how many tasks lines are said
NAMED = 3


class Ended(BaseException):
    """What a task is woken with that does not end. It never leaves a simulation."""


class Breakable(Protocol):
    """The clock of a simulation."""

    limit: float

    def now(self) -> float:
        """Seconds."""
        ...

    def break_off(self) -> None:
        """Let trio give up its loop."""


class Endings:
    """Ends the tasks of one simulation.

    ``scope``: around main. ``grace``: how many seconds tasks have to end. ``main``, ``whole``: its task, and that which carries
    it and all processes; they are set while these run.
    """

    def __init__(self, clock: Breakable, freezer: Freezer, scope: trio.CancelScope, grace: float = GRACE) -> None:
        self._clock, self._freezer, self._scope, self._grace = clock, freezer, scope, grace
        self.main: Task | None = None
        self.whole: Task | None = None
        #: main has ended, or is frozen
        self.main_over: trio.Event = trio.Event()
        #: the simulation has been told to end
        self.begun: bool = False
        #: trio's loop has been left
        self.broken: bool = False
        self._lines: dict[Task, str] = {}
        self._woken: Counter[Task] = Counter()
        self._left = ROUNDS

    def begin(self) -> None:
        """Cancel main, if that has not been done, and give all tasks time to end from now on."""
        self.begun = True
        self._scope.cancel()
        self._clock.limit = self._clock.now() + self._grace

    @property
    def blame(self) -> str:
        """Who did not end, and where; empty if everybody did."""
        return _listed(self._lines.values())

    def places(self, busy: Busy) -> str:
        """Who goes round, and where."""
        return (
            _listed(f"{self._name(task)}{f' at {place}' if place else ''}" for task, place in busy.items()) or "no task"
        )

    # -- what is noticed of tasks that have been told to end -----------------------------------------------------------

    def goes_round(self, busy: Busy) -> None:
        """These tasks make turn after turn, and time does not move."""
        for task in self._free(busy):
            place = busy[task]
            where = "some line" if place is None else f"{place.file}:{place.line}"
            if is_shielded(task):
                self._note(task, f"{where} goes round shielded from it; let it end")
            else:
                self._note(task, f"{where} swallows trio.Cancelled; let it pass on")
        self._insist(busy, cost=DEAR)

    def outlast(self) -> None:
        """The time that they were given is over."""
        tasks = self._free(self._leaves())
        for task in tasks:
            if is_shielded(task):
                self._note(task, f"{_line(task)} is shielded from it; give that shield a deadline")
            else:
                self._note(task, f"{_line(task)} swallows trio.Cancelled; let it pass on")
        self._clock.limit = self._clock.now() + min(self._grace, AFTERWARDS)
        self._insist(tasks, cost=DEAR)

    def wait_in_vain(self) -> None:
        """They wait for what will never happen, and are shielded."""
        self._insist(self._leaves(), cost=1, chances=CHANCES)

    # -- what is done about it -----------------------------------------------------------------------------------------

    def _insist(self, tasks: Iterable[Task], *, cost: int, chances: int = 1) -> None:
        free = self._free(tasks)
        self._left -= cost
        if not free or self._left < 0:
            self._break_off(free)
        for task in free:
            self._woken[task] += 1
            if self._woken[task] <= chances:
                wake(task, Ended())
            elif not self._freezer.holds(task):  # one above it may have been frozen just now
                self._freeze(task)

    def _freeze(self, task: Task) -> None:
        self._note(task, f"{_line(task)} waits for what will never happen, and cannot be ended")
        if self.main is not None and not self.main_over.is_set() and self._is_mains(task):
            task = self.main
            self.main_over.set()
        self._freezer.freeze(task)

    def _break_off(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self._note(task, f"{_line(task)} goes on; let it end")
        self.broken = True
        keep()
        self._clock.break_off()

    def _note(self, task: Task, what: str) -> None:
        self._lines.setdefault(task, f"{self._name(task)} goes on although it was cancelled: {what}")

    def _name(self, task: Task) -> str:
        return "main" if task is self.main else f"task {task.name}"

    # -- who there is --------------------------------------------------------------------------------------------------

    def _leaves(self) -> list[Task]:
        """The tasks for which the next step of the end waits."""
        if self.main is not None and not self.main_over.is_set():
            return leaves(self.main)
        if self.whole is not None:
            return leaves(self.whole)
        return [leaf for task in system_tasks() for leaf in leaves(task)]

    def _free(self, tasks: Iterable[Task]) -> list[Task]:
        """Those of them that are not frozen, without trio's and ours: these wait for them."""
        ours = {self.whole, trio.lowlevel.current_root_task()}
        return [t for t in tasks if t not in ours and t.name != MESSENGER and not self._freezer.holds(t)]

    def _is_mains(self, task: Task | None) -> bool:
        while task is not None and task is not self.main:
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return task is not None


def _line(task: Task) -> str:
    place = place_of_task(task)
    return "some line" if place is None else f"{place.file}:{place.line}"


def _listed(what: Iterable[str]) -> str:
    lines = sorted(set(what))
    more = [f"{len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return ", and ".join([*lines[:NAMED], *more])
