"""`Stepper`: a simulation piece by piece, for code that is not async; for state machines above all.

Law of this room: virtual time moves while `Stepper.run` runs, and not otherwise. trio runs as a guest of whoever calls: its
turns are taken from a queue, in this thread, one after the other, until the piece of work is done. With a clock that never
sleeps no other thread is needed for that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar

import trio
from outcome import Outcome, acapture

from hubkit.errors import SimulationError
from hubkit.testing.plans import FaultPlan
from hubkit.testing.production import Production
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker

__all__ = ["Stepper"]

T = TypeVar("T")


class Stepper:
    """Drives a simulation from code that is not async: virtual time moves while `run` runs, and stands in between.

    It must be closed; it is a context manager, too.
    """

    def __init__(
        self,
        seed: int,
        *,
        network: Any = "simulated",
        plan: FaultPlan | None = None,
        checkers: Iterable[Checker] = (),
        limit: float = math.inf,
    ) -> None:
        self._production = Production(seed, network, plan, checkers, limit, None)
        self._turns: deque[Callable[[], object]] = deque()
        self._job: Callable[[], Awaitable[Any]] | None = None
        self._result: Outcome[Any] | None = None
        self._parked: trio.lowlevel.Task | None = None
        self._over: Outcome[None] | None = None
        with self._production.settings():
            trio.lowlevel.start_guest_run(
                self._production.perform,
                self._serve,
                run_sync_soon_threadsafe=self._turns.append,
                run_sync_soon_not_threadsafe=self._turns.append,
                done_callback=self._done,
                host_uses_signal_set_wakeup_fd=True,
                clock=self._production.clock,
                instruments=[self._production.turns],
            )
        self._pump(lambda: self._parked is not None)

    @property
    def sim(self) -> Simulation:
        """The simulation."""
        return self._production.sim

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Let ``work(*args)`` run inside the simulation, to its end. Raises what it raises, and what ends the simulation."""
        self._raise_failure()
        if self._over is not None:
            msg = "this simulation has ended: make a new Stepper"
            raise SimulationError(msg)
        self._job, self._result = lambda: work(*args), None
        self._wake()
        self._pump(lambda: self._result is not None)
        self._raise_failure()
        assert self._result is not None
        result: T = self._result.unwrap()
        return result

    def close(self) -> Report:
        """End the simulation, and report. May be called again."""
        if self._over is None:
            self._job = None
            if self._parked is not None:
                self._wake()
            self._pump(lambda: False)
        assert self._production.report is not None
        return self._production.report

    async def _serve(self, _: Simulation) -> None:
        while True:
            self._parked = trio.lowlevel.current_task()
            self._production.clock.held = True
            await trio.lowlevel.wait_task_rescheduled(self._abort)
            if self._job is None:
                return
            self._result = await acapture(self._job)

    def _wake(self) -> None:
        assert self._parked is not None
        parked, self._parked = self._parked, None
        self._production.clock.held = False
        trio.lowlevel.reschedule(parked)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        self._production.clock.held = False
        return trio.lowlevel.Abort.SUCCEEDED

    def _done(self, outcome: Outcome[None]) -> None:
        self._over = outcome

    def _pump(self, until: Callable[[], bool]) -> None:
        turns = self._turns
        with self._production.settings():
            while turns and not until() and self._over is None:
                turns.popleft()()

    def _raise_failure(self) -> None:
        failure = self._production.world.failure
        if failure is not None:
            self._production.describe(failure)
            raise failure
