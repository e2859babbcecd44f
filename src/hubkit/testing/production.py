"""One simulation from beginning to end, whoever drives it.

Law of this room: a run leaves nothing behind, whatever becomes of it: no task, no changed setting of trio or Python, no
process of any simulated node. What ends it comes out as it is, with a note of what replays it. Whatever would never end (in
virtual time, in no time at all, or because everybody waits for somebody else) is ended here, and named.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio
from outcome import Error, Outcome, Value, acapture

from hubkit.actors.structured import collapse
from hubkit.errors import ConfigurationError, SimulationError
from hubkit.net.simulated import SimulatedNetwork
from hubkit.specs import check_seconds
from hubkit.testing.checkers import default_checks
from hubkit.testing.clock import VirtualClock
from hubkit.testing.environment import seeded
from hubkit.testing.guard import guarded
from hubkit.testing.plans import FaultPlan
from hubkit.testing.replaying import replay_command
from hubkit.testing.scheduling import Deterministic, self_check
from hubkit.testing.simulation import Simulation
from hubkit.testing.tasks import in_trio, running_task, system_tasks, tasks_below, waiting_where
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker
from hubkit.testing.world import World

__all__ = ["LOOK", "Production"]

#: turns of the scheduler in one instant after which a scenario is taken to go round in circles
TURNS = 100_000
#: how many new objects the cyclic garbage collector waits for inside a simulation
COLLECT = 50_000
#: how often a scenario in which nothing happens any more is woken, before we give up
STUBBORN = 1000
#: virtual seconds between two looks of the checkers
LOOK = 1.0

NETWORK_OPTIONS = ("latency", "jitter", "bandwidth", "break_rate")


class Turns(trio.abc.Instrument):
    """Counts turns of the scheduler in which no time passes."""

    def __init__(self, clock: VirtualClock, endless: Callable[[], None]) -> None:
        self._clock, self._endless = clock, endless
        self._jumps = 0
        self._count = 0

    def before_io_wait(self, timeout: float) -> None:
        """Trio begins a turn."""
        if self._jumps != self._clock.jumps:
            self._jumps, self._count = self._clock.jumps, 0
        self._count += 1
        if self._count == TURNS:
            self._endless()


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
        if plan is not None and not isinstance(plan, FaultPlan):
            msg = f"plan must be a FaultPlan or None, not {plan!r:.80}"
            raise ConfigurationError(msg)
        check_seconds(limit, "limit", zero=False, infinite=True)
        self._main, self._plan, self._limit = main, plan, limit
        self.clock: VirtualClock
        self.turns: Turns
        self.world: World = self._make_world(seed, network)
        self.sim: Simulation = Simulation(self.world, plan)
        self._defaults = default_checks(self.world)
        self.report: Report | None = None
        self._checkers = tuple(checkers)
        self._scope = trio.CancelScope()
        self._stuck_times = 0
        self._task: trio.lowlevel.Task | None = None
        self._chance = Deterministic(seed)
        _check_outside()
        self_check()

    def _make_world(self, seed: int, network: Any) -> World:
        """The world, with its time and the ways in it."""
        self.clock = VirtualClock(stuck=self._stuck, expired=self._expired)
        self.clock.limit = self.clock.now() + self._limit
        self.turns = Turns(self.clock, self._endless)
        world = World(seed, self.clock, "simulated")
        world.network = SimulatedNetwork(
            seeded("network", seed),
            **_network_options(network),
            scheduler=self.clock,
            observe=world.record,
        )
        return world

    @contextmanager
    def settings(self) -> Iterator[None]:
        """What a simulation changes while it runs, and gives back."""
        # A simulated cluster is many long-lived objects: the collector would look through them again and again.
        thresholds = gc.get_threshold()
        gc.set_threshold(max(thresholds[0], COLLECT) if thresholds[0] else 0, 20, 100)
        try:
            with self._chance, guarded(self.world.failed):
                yield
        finally:
            gc.set_threshold(*thresholds)

    def end(self) -> Report:
        """What has become of it."""
        assert self.report is not None
        return self.report

    # -- inside trio ---------------------------------------------------------------------------------------------------

    async def perform(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        """Play the whole scenario."""
        world, self._task = self.world, trio.lowlevel.current_task()
        outcome: Outcome[None] | None = None
        mine = set(system_tasks())
        try:
            async with trio.open_nursery() as nursery:
                world.nursery = nursery
                world.on_failure = self._scope.cancel
                try:
                    with self._scope:
                        outcome = await acapture(self._play, main)
                        if isinstance(outcome, Error) and isinstance(outcome.error, trio.Cancelled):
                            outcome.unwrap()  # it has to reach the scope that it is meant for
                    if world.failure is None and (outcome is None or isinstance(outcome, Value)):
                        self._look_for_leftovers(mine)
                finally:
                    self.report = world.report()
                    self._sweep()  # all processes end by that, and the nursery with them
        except BaseExceptionGroup as group:
            raise collapse(group) from None  # an interrupt, mostly
        if world.failure is not None:
            raise world.failure
        if outcome is not None:
            outcome.unwrap()

    async def _play(self, main: Callable[[Simulation], Awaitable[object]]) -> None:
        world = self.world
        for checker in self._checkers:
            world.watch(checker)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_looking)
            outcome = await acapture(self._call, main)
            nursery.cancel_scope.cancel()
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
        self.world.failed(
            SimulationError(
                f"the scenario goes on after {self._limit:g} virtual seconds: let main return, or run it with a greater limit="
            )
        )

    def _endless(self) -> None:
        self.world.failed(
            SimulationError(
                f"{TURNS:,} turns of the scheduler passed at {self.world.now():.6f} s, and time does not move: some task goes "
                f"round without ever sleeping. Running: {running_task()}"
            )
        )

    def _stuck(self) -> None:
        self._stuck_times += 1
        if self._stuck_times == 1:
            self.world.failed(
                SimulationError(
                    f"nothing can ever happen again at {self.world.now():.6f} s: main waits for something that nobody will do "
                    f"(is every node paused, crashed or gone?). It waits {waiting_where(self._main)}"
                )
            )
            self._scope.cancel()  # main may have ended already, and somebody else be waited for
            return
        # It has been cancelled, and waits on: something is shielded. Nothing would ever wake these tasks: so we do.
        assert self._task is not None
        assert self._stuck_times < STUBBORN, "tasks of a simulation cannot be ended"
        error = SimulationError(
            "this task waits for something that will never happen, and is shielded from its cancellation"
        )
        for task in tasks_below(self._task):
            if not any(nursery.child_tasks for nursery in task.child_nurseries):
                trio.lowlevel.reschedule(task, Error(error))

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
        plan = [] if self._plan is None else [f"plan: {self._plan!r}"]
        summary, replay = self._notes(report)
        for note in (summary, *plan, replay):
            error.add_note(note)

    def _notes(self, report: Report) -> tuple[str, str]:
        summary = (
            f"hubkit simulation: seed {report.seed}, at {report.elapsed:.3f} virtual seconds, step {report.steps:,}, "
            f"trace {report.trace_hash}"
        )
        return summary, f"replay it with: {replay_command(self._main, report.seed, self._plan)}"


def _network_options(network: Any) -> Mapping[str, Any]:
    if network == "simulated":
        return {}
    if network == "websocket":
        msg = "a Stepper has virtual time, which real sockets have not: use Simulation.run(..., network='websocket')"
        raise ConfigurationError(msg)
    if isinstance(network, Mapping) and all(name in NETWORK_OPTIONS for name in network):
        return network
    msg = f"network must be 'simulated', 'websocket', or a mapping of {', '.join(NETWORK_OPTIONS)}; not {network!r:.80}"
    raise ConfigurationError(msg)


def _check_outside() -> None:
    if in_trio():
        msg = "a simulation is run from outside of trio, and one at a time: call it in a plain function, with no Stepper open"
        raise ConfigurationError(msg)
