"""How the same scenario is run on real sockets, in real time: `run_real`.

Law of this room: the same ``main``, the same processes, the same checkers, and nothing that a scenario can tell apart but its
speed. Time is trio's own, chance within the nodes still follows from the seed, and order follows from the machine; so a run
does not repeat itself, and its trace is its own.

Each process is a task with all its tasks below it, as in a simulation, and so it is paused and killed in the same way; what it
has of the operating system, its sockets, is taken away from outside (`hubkit.testing.loopback`). Processes of the operating
system were refused: hubs, children and the truth about them would be out of the checkers' sight. The price: all nodes share
one core, and more than some twenty do not keep up with one another.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import trio

from hubkit.environment import Environment
from hubkit.errors import SimulationError
from hubkit.testing.clock import BrokenOff
from hubkit.testing.endings import Endings
from hubkit.testing.environment import seeded
from hubkit.testing.loopback import LoopbackNetwork
from hubkit.testing.plans import FaultPlan
from hubkit.testing.production import LOOK, Production
from hubkit.testing.simulation import Simulation
from hubkit.testing.tasks import in_trio
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker
from hubkit.testing.world import World

__all__ = ["MOST", "RealTime", "run_real"]

#: Real seconds that a scenario may take, whatever its limit: nobody waits for a day.
MOST = 600.0
#: Real seconds that tasks have to end after they were cancelled.
GRACE = 5.0


def run_real(
    main: Callable[[Simulation], Awaitable[object]],
    seed: int,
    *,
    plan: FaultPlan | None = None,
    checkers: Iterable[Checker] = (),
    limit: float = MOST,
) -> Report:
    """See `Simulation.run` with ``network="websocket"``. ``limit``: in real seconds, of which `MOST` are the most."""
    production = _RealProduction(seed, "websocket", plan, checkers, limit, main)
    clock = production.alarm
    return production.conduct(lambda: trio.run(production.perform, main, clock=clock, instruments=[_Watch(clock)]))


class RealTime:
    """The clock of a trio run, as true time: it reads 0 at the first look from inside, and stands still outside."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._now = 0.0

    def now(self) -> float:
        """Seconds."""
        if in_trio():
            now = trio.current_time()
            if self._began is None:
                self._began = now
            self._now = now - self._began
        return self._now


class _Alarm(trio.abc.Clock):
    """True time, as trio's own; ``expired`` is called at ``limit``, at which trio wakes up, and trio's loop can be left."""

    def __init__(self, expired: Callable[[], None]) -> None:
        self.now: Callable[[], float] = Environment().now
        self.limit: float = math.inf
        self._expired = expired
        self._broken = False

    def start_clock(self) -> None:
        """A run begins."""

    def current_time(self) -> float:
        """Seconds."""
        if self._broken:
            raise BrokenOff
        return self.now()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How long nobody has anything to do."""
        return min(deadline, self.limit) - self.now()

    def look(self) -> None:
        """See whether it is time."""
        if self.now() >= self.limit:
            self.limit = math.inf
            self._expired()

    def break_off(self) -> None:
        """Let trio give up its loop in this turn, whatever tasks there are."""
        self._broken = True


class _Watch(trio.abc.Instrument):
    """Looks at the alarm in every turn."""

    def __init__(self, alarm: _Alarm) -> None:
        self._alarm = alarm

    def before_io_wait(self, timeout: float) -> None:
        """No task runs now."""
        self._alarm.look()


class _RealProduction(Production):
    """One run on real sockets."""

    def _make_endings(self) -> Endings:
        self.alarm: _Alarm = _Alarm(self._expired)
        return Endings(self.alarm, self.world.freezer, self._scope, GRACE)

    def _begin_end(self) -> None:
        self.endings.begin()

    def _make_world(self, seed: int, network: Any) -> World:
        self._limit = min(self._limit, MOST)
        self._time = RealTime()
        world = World(seed, self._time, network)
        world.network = self._network = LoopbackNetwork(seeded("network", seed), observe=world.record)
        return world

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Nothing is changed: whoever wants to wait in real time, or to open a socket, may."""
        try:
            yield
        finally:
            self._network.close()

    async def _keep_looking(self) -> None:
        while (left := self._limit - self._time.now()) > 0:
            await trio.sleep(min(LOOK, left))
            self.world.look()
        self._expired()

    def _expired(self) -> None:
        if self.endings.begun:
            self.endings.outlast()
            return
        msg = f"the scenario goes on after {self._limit:g} real seconds: let main return"
        more = f", or run it with a greater limit= (at most {MOST:g} on real sockets)" if self._limit < MOST else ""
        self.world.failed(SimulationError(f"{msg}{more}. It waits {self._waits()}"))

    def _sweep(self) -> None:
        super()._sweep()
        self._network.close()

    def _notes(self, report: Report) -> tuple[str, str]:
        _, replay = super()._notes(report)
        summary = (
            f"hubkit on real sockets: seed {report.seed}, after {report.elapsed:.3f} s, step {report.steps:,}; real time does "
            "not repeat itself exactly, a simulation does"
        )
        verb = "run it again" if "with: pytest" in replay else "simulate it"
        return summary, replay.replace("replay it", verb, 1)
