"""`Stepper`: a simulation piece by piece, for code that is not async; for state machines above all.

Law of this room: virtual time moves while `Stepper.run` runs, and not otherwise. trio runs as a guest of whoever calls: its
turns are taken from a queue, in this thread, one after the other, until the piece of work is done. With a clock that never
sleeps no other thread is needed for that. A Ctrl-C is trio's business in a turn, and the caller's in between.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self, TypeVar

import trio
from outcome import Error, Outcome, acapture

from hubkit.errors import ConfigurationError, SimulationError
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
        self._said = False  # what has ended the simulation
        self._outer = sys.exception()
        self._handler: Any = None  # trio's, of a Ctrl-C
        self._hands_over = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
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
        self._raise_end()
        if not callable(work):
            msg = f"work must be an async function, whose arguments follow it: run(sim.sleep, 5); not {work!r:.80}"
            raise ConfigurationError(msg)
        if self._over is not None:
            msg = "this simulation has ended: make a new Stepper"
            raise SimulationError(msg)
        self._job, self._result = lambda: work(*args), None
        self._wake()
        self._pump(lambda: self._parked is not None)  # it waits for more, and has not been cancelled
        self._raise_end()
        assert self._result is not None
        result: T = self._result.unwrap()
        return result

    def close(self) -> Report:
        """End the simulation, and report. May be called again.

        Raises `SimulationError` if it did not end by itself, unless another error is on its way: then that is told.
        """
        if self._over is None:
            self._job = None
            if self._parked is not None:
                self._wake()
            self._pump(lambda: False)
        if not self._said and isinstance(self._over, Error):
            self._said = True
            self._tell(self._over.error)
        assert self._production.report is not None
        return self._production.report

    def _tell(self, error: BaseException) -> None:
        """Say at the end what nobody has been told so far, as far as it is the end that went wrong."""
        blame, current = self._production.endings.blame, sys.exception()
        if isinstance(error, Exception) and current is not None and current is not self._outer:
            if blame:
                current.add_note(f"and {blame}")
        elif blame or not isinstance(error, Exception):
            self._production.describe(error)
            raise error

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
        if self._handler is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handler)
        self._handler = None
        with self._production.settings():
            while turns and not until() and self._over is None:
                turns.popleft()()
        if isinstance(self._over, Error):
            self._over = Error(self._production.cause(self._over.error))
        if self._hands_over and self._over is None:
            self._handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def _raise_end(self) -> None:
        """Raise what has ended the simulation, when all of it has ended."""
        failure = self._production.world.failure
        if failure is not None and self._over is None:
            self._pump(lambda: False)
        error = self._over.error if isinstance(self._over, Error) else failure
        if error is not None and (error is failure or not self._said):
            self._said = True
            self._production.describe(error)
            raise error
