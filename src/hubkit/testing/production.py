"""One simulation from beginning to end, whoever drives it.

Law of this room: a run leaves nothing behind, whatever becomes of it: no task, no changed setting of trio or Python, no
process of any simulated node. What ends it comes out as it is, with a note of what replays it. Whatever would never end (in
virtual time, in no time at all, or because everybody waits for somebody else) is told so here, and named; who does not listen
is left to `hubkit.testing.endings`.

Main has a task of its own, beside those of the processes: so it can be given up, and they be let go, whatever it does.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio
from outcome import Error, Outcome, Value, acapture, capture

from hubkit.actors.structured import collapse
from hubkit.errors import ConfigurationError, SimulationError
from hubkit.net.simulated import SimulatedNetwork
from hubkit.specs import check_seconds
from hubkit.testing.arguments import check_checkers, check_network
from hubkit.testing.checkers import default_checks
from hubkit.testing.clock import VirtualClock
from hubkit.testing.dictated import seed_to_run
from hubkit.testing.endings import Ended, Endings
from hubkit.testing.environment import seeded
from hubkit.testing.explaining import unexplained
from hubkit.testing.guard import guarded
from hubkit.testing.plans import FaultPlan
from hubkit.testing.replaying import pytest_options, replay_command
from hubkit.testing.scheduling import Deterministic, self_check, watch_interrupts
from hubkit.testing.simulation import Simulation
from hubkit.testing.tasks import in_trio, place_of_task, system_tasks
from hubkit.testing.trace import Report
from hubkit.testing.turns import Busy, Turns
from hubkit.testing.watching import Checker
from hubkit.testing.world import World

__all__ = ["LOOK", "Production"]

#: turns of the scheduler in one instant after which a scenario is taken to go round in circles
TURNS = 100_000
#: how many new objects the cyclic garbage collector waits for inside a simulation
COLLECT = 50_000
#: virtual seconds between two looks of the checkers
LOOK = 1.0


class Production:
    """One simulation from beginning to end, whoever drives it."""

    def __init__(
        self,
        seed: int,
        network: Any,
        plan: FaultPlan | None,
        checkers: Iterable[Checker],
        limit: float,
        main: Callable[..., object] | None,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            msg = f"seed must be an int, not {seed!r:.80}"
            raise ConfigurationError(msg)
        seed = seed_to_run(seed)
        if plan is not None and not isinstance(plan, FaultPlan):
            msg = f"plan must be a FaultPlan or None, not {plan!r:.80}"
            raise ConfigurationError(msg)
        check_seconds(limit, "limit", zero=False, infinite=True)
        self._checkers = check_checkers(checkers)
        self._main, self._plan, self._limit = main, plan, limit
        self._asked: dict[str, Any] = {"network": network, "limit": limit}
        self.clock: VirtualClock
        self.turns: Turns
        self.world: World = self._make_world(seed, network)
        self.sim: Simulation = Simulation(self.world, plan)
        self._defaults = default_checks(self.world)
        self.report: Report | None = None
        self._scope = trio.CancelScope()
        self.endings: Endings = self._make_endings()
        self._interrupted = False
        self._outcome: Outcome[None] | None = None  # of main
        self._verdict: Outcome[None] | None = None  # of all
        self._chance = Deterministic(seed)
        _check_outside()
        self_check()

    def _make_world(self, seed: int, network: Any) -> World:
        """The world, with its time and the ways in it."""
        self.clock = VirtualClock(stuck=self._stuck, expired=self._expired)
        self.clock.limit = self.clock.now() + self._limit
        self.turns = Turns(self.clock, TURNS, self._endless)
        world = World(seed, self.clock, "simulated")
        world.network = SimulatedNetwork(
            seeded("network", seed),
            **_network_options(network),
            scheduler=self.clock,
            observe=world.record,
        )
        return world

    def _make_endings(self) -> Endings:
        return Endings(self.clock, self.world.freezer, self._scope)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """What a simulation changes while it runs, and gives back."""
        # A simulated cluster is many long-lived objects: the collector would look through them again and again.
        thresholds = gc.get_threshold()
        gc.set_threshold(max(thresholds[0], COLLECT) if thresholds[0] else 0, 20, 100)
        try:
            with self._chance, unexplained(), guarded(self.world.failed):
                yield
        finally:
            gc.set_threshold(*thresholds)

    def conduct(self, run: Callable[[], object]) -> Report:
        """Let ``run`` run trio. What it raises comes out with all that is known of it."""
        ended = capture(self._in_settings, run)
        if isinstance(ended, Error):
            error = self.cause(ended.error)
            self.describe(error)
            raise error
        assert self.report is not None
        return self.report

    def _in_settings(self, run: Callable[[], object]) -> None:
        with self.settings():
            run()

    def cause(self, error: BaseException) -> BaseException:
        """What has ended the simulation, of which trio's run ends with ``error``.

        That is something else where we have broken off trio's loop; and where there was a Ctrl-C: it strikes anybody in the
        middle of anything, and what goes wrong by that is nobody's fault.
        """
        if self.report is None:
            self.report = self.world.report()
        self.world.over = True
        if self._interrupted and isinstance(error, Exception):
            interrupt = KeyboardInterrupt()
            interrupt.__cause__ = error
            return interrupt
        if isinstance(error, trio.TrioInternalError) and (self.endings.blame or self.endings.broken):
            for outcome in (self._verdict, capture(self._judge)):
                if isinstance(outcome, Error) and not isinstance(outcome.error, Ended | trio.Cancelled):
                    return outcome.error
        return error

    def _interrupt(self) -> None:
        self._interrupted = True

    # -- inside trio ---------------------------------------------------------------------------------------------------

    async def perform(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        """Play the whole scenario."""
        self._verdict = await acapture(self._perform, main)
        self._verdict.unwrap()

    async def _perform(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        world, endings = self.world, self.endings
        endings.whole = trio.lowlevel.current_task()
        watch_interrupts(self._interrupt)
        mine = set(system_tasks())
        try:
            async with trio.open_nursery() as nursery:
                world.nursery = nursery
                world.on_failure = self._begin_end
                nursery.start_soon(self._be_main, main, name=getattr(main, "__qualname__", "main"))
                try:
                    await self._main_over()
                    if world.failure is None and isinstance(self._outcome, Value):
                        self._look_for_leftovers(mine)
                finally:
                    self._conclude()  # all processes end by that, and the nursery with them
        except BaseExceptionGroup as group:
            _, rest = group.split(Ended)
            if rest is not None:
                raise _interrupt_in(rest) or collapse(rest) from None
        finally:
            endings.whole = None
        self._judge()

    async def _main_over(self) -> None:
        try:
            await self.endings.main_over.wait()
        except BaseException:  # an interrupt, here or in some process
            self._begin_end()
            with trio.CancelScope(shield=True):
                await self.endings.main_over.wait()
            raise

    @trio.lowlevel.enable_ki_protection
    def _conclude(self) -> None:
        """Main is over: report, and let go of all else. An interrupt in the middle of it would leave half of them."""
        self.report = self.world.report()
        self._sweep()
        self._begin_end()

    def _begin_end(self) -> None:
        self.turns.hasten()
        self.endings.begin()

    def _judge(self) -> None:
        """Raise what the simulation ends with, if it is an error."""
        if self.world.failure is not None:
            raise self.world.failure
        if self._outcome is not None and not (isinstance(self._outcome, Error) and _is_forced(self._outcome.error)):
            self._outcome.unwrap()
        if self.endings.blame or self.endings.broken:
            msg = f"the simulation did not end by itself: {self.endings.blame or 'what is left of it stands still'}"
            raise SimulationError(msg)

    async def _be_main(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        self.endings.main = trio.lowlevel.current_task()
        try:
            with self._scope:
                outcome = await acapture(self._play, main)
                if isinstance(outcome, Error) and isinstance(outcome.error, trio.Cancelled):
                    outcome.unwrap()  # it has to reach the scope that it is meant for
                self._outcome = outcome
        finally:
            self.endings.main_over.set()

    async def _play(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        world = self.world
        for checker in self._checkers:
            world.watch(checker)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_looking)
                outcome = await acapture(self._call, main)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise collapse(group) from None  # an interrupt of those who look
        outcome.unwrap()
        if self._main is not None:
            for watcher in world.watchers:
                if watcher is not self._defaults:
                    watcher.verdict()

    async def _call(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        awaitable = main(self.sim)
        if not isinstance(awaitable, Awaitable):
            msg = f"main must be an async function, and {getattr(main, '__qualname__', main)!s} is none: write `async def`"
            raise ConfigurationError(msg)
        await awaitable

    async def _keep_looking(self) -> None:
        while True:
            await self.world.wait_for_life()
            await trio.sleep(LOOK)
            self.world.look()

    def _sweep(self) -> None:
        self.world.sweep()

    def _look_for_leftovers(self, mine: set[trio.lowlevel.Task]) -> None:
        """Whether main has left tasks behind that belong to no node."""
        left = [task for task in system_tasks() if task not in mine and task.name != "hubkit timers"]
        if left:
            names = ", ".join(sorted(task.name for task in left))
            msg = (
                f"main has left tasks behind: {names}. Nothing may outlive a scenario: open a nursery around them, and "
                "cancel its scope before main ends"
            )
            self.world.failed(SimulationError(msg))

    # -- what never ends -----------------------------------------------------------------------------------------------

    def _expired(self) -> None:
        if self.endings.begun:
            self.endings.outlast()
            return
        self.world.failed(
            SimulationError(
                f"the scenario goes on after {self._limit:g} virtual seconds: let main return, or run it with a greater "
                f"limit=. It waits {self._waits()}"
            )
        )

    def _endless(self, busy: Busy) -> None:
        if self.endings.begun:
            self.endings.goes_round(busy)
            return
        self.world.failed(
            SimulationError(
                f"{TURNS:,} turns of the scheduler passed at {self.world.now():.6f} s, and time does not move: some task goes "
                f"round without ever sleeping: {self.endings.places(busy)}"
            )
        )

    def _stuck(self) -> None:
        if self.endings.begun:
            self.endings.wait_in_vain()
            return
        self.world.failed(
            SimulationError(
                f"nothing can ever happen again at {self.world.now():.6f} s: main waits for something that nobody will do "
                f"(is every node paused, crashed or gone?). It waits {self._waits()}"
            )
        )

    def _waits(self) -> str:
        place = None if self.endings.main is None else place_of_task(self.endings.main)
        return "somewhere" if place is None else f"at {place}"

    # -- what is said of a failure -------------------------------------------------------------------------------------

    def describe(self, error: BaseException) -> None:
        """Add to ``error`` what replays it, once."""
        if getattr(error, "__hubkit_report__", None) is not None or isinstance(error, GeneratorExit):
            return
        report = self.report if self.report is not None else self.world.report()
        try:
            error.__hubkit_report__ = report  # type: ignore[attr-defined]  # for the pytest plugin and the command
        except AttributeError:
            return
        plan = self._plan or self._played()
        error.__hubkit_replay__ = pytest_options(report.seed, plan)  # type: ignore[attr-defined]  # for the plugin as well
        summary, replay = self._notes(report)
        blame = self.endings.blame
        if blame and blame not in str(error):
            error.add_note(f"and {blame}")
        for note in (summary, *([] if plan is None else [f"plan: {plan!r}"]), replay):
            error.add_note(note)

    def _notes(self, report: Report) -> tuple[str, str]:
        summary = (
            f"hubkit simulation: seed {report.seed}, at {report.elapsed:.3f} virtual seconds, step {report.steps:,}, "
            f"trace {report.trace_hash}"
        )
        command = replay_command(
            self._main, report.seed, self._plan, checkers=self._checkers, played=self._played(), **self._asked
        )
        return summary, f"replay it with: {command}"

    def _played(self) -> FaultPlan | None:
        """The plan that was played last."""
        played: FaultPlan | None = getattr(self.sim, "_played", None)
        return played


def _network_options(network: Any) -> Mapping[str, Any]:
    if isinstance(network, str) and network == "websocket":
        msg = "a Stepper has virtual time, which real sockets have not: use Simulation.run(..., network='websocket')"
        raise ConfigurationError(msg)
    checked = check_network(network)
    return {} if isinstance(checked, str) else checked


def _check_outside() -> None:
    if in_trio():
        msg = "a simulation is run from outside of trio, and one at a time: call it in a plain function, with no Stepper open"
        raise ConfigurationError(msg)


def _interrupt_in(error: BaseException) -> BaseException | None:
    """The Ctrl-C in it. It is the program's end, whatever else went wrong by it."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_interrupt_in, error.exceptions)), None)
    return error if isinstance(error, KeyboardInterrupt) else None


def _is_forced(error: BaseException) -> bool:
    """Whether it is nothing but what tasks are woken with that do not end."""
    return isinstance(error, Ended) or (isinstance(error, BaseExceptionGroup) and error.split(Ended)[1] is None)
