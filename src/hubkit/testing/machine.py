"""State machines of Hypothesis over whole hubs: users' own rules, and ready-made disasters.

Law of this room: rules are plain functions, and time passes only inside of `run`, `do` and `sleep`; between two rules the
simulation stands still. So a failing run shrinks to few rules, and what Hypothesis prints is a program that repeats it: the
seed is its first step. Whatever becomes of a run, its simulation is closed.

Refused: async rules (Hypothesis has none), and `Bundle`s of hubs: a hub is reached by the name of its node, for its objects
change when the node restarts. Needs Hypothesis: ``pip install "hubkit[testing]"``.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hubkit.errors import ConfigurationError, SimulationError
from hubkit.testing.faults import node_names
from hubkit.testing.plans import FaultPlan
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper
from hubkit.testing.strategies import ALL_KINDS
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker

__all__ = ["FaultRules", "SimulationMachine"]

T = TypeVar("T")

#: where an error carries the report of the simulation that it ended
REPORT = "__hubkit_report__"
#: the kinds of faults, of `hubkit.testing.strategies.ALL_KINDS`, for which `FaultRules` has rules
RULED = ("partition", "one_way", "crash", "restart", "power", "leave", "pause", "hold", "break")


class SimulationMachine(RuleBasedStateMachine):
    """The base of state machines that work on a simulation. Rules are plain functions; example::

        class Shop(SimulationMachine):
            nodes = 3
            hub_id = "shop"

            @rule(id=st.sampled_from("abc"), node=st.sampled_from("abc"))
            def add(self, id: str, node: str) -> None:
                hub = self.sim.hub(node)
                self.run(hub.start_children, [hubkit.child(id, Counter)])

            @rule(seconds=st.sampled_from([1.0, 10.0]))
            def wait(self, seconds: float) -> None:
                self.sleep(seconds)

        TestShop = Shop.TestCase
        TestShop.settings = settings(stateful_step_count=20, deadline=None)

    ``nodes``: names, or how many (``a``, ``b``, ``c`` ...). ``hub_id``: of the hub that `start` opens on each. ``checkers``
    watch at every step. ``network``: see `Simulation.run`. The seed is drawn, unless ``seed`` says which, and stands in the
    first step: ``state.begin(seed=...)``. An error that ends a run carries the report of its simulation.
    """

    nodes: ClassVar[int | Sequence[str]] = 3
    hub_id: ClassVar[str] = "hub"
    checkers: ClassVar[Iterable[Checker]] = ()
    network: ClassVar[str | Mapping[str, float]] = "simulated"
    seed: ClassVar[int | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._stepper: Stepper | None = None
        self._outer = sys.exception()

    @initialize(seed=st.runner().flatmap(lambda machine: _seeds(machine.seed)))
    def begin(self, seed: int) -> None:
        """Make the simulation, and `start` it: the first step."""
        self._stepper = Stepper(seed, network=self.network, checkers=self.checkers)
        self.run(self.start, self.sim)

    # -- for users to replace ------------------------------------------------------------------------------------------

    async def start(self, sim: Simulation) -> None:
        """What is there before the first rule: one hub on each node, and all of them settled."""
        for name in self.names:
            sim.start_soon(self.hub_id, node=name)
        await sim.settled(within=120)

    async def finish(self, sim: Simulation) -> None:
        """What must hold after the last rule, if nothing has failed: it settles when all is healed, and the checks pass."""
        self.heal_everything()
        await sim.settled(within=120)
        sim.check()

    def heal_everything(self) -> None:
        """Heal all partitions, and let everybody go on who is paused. To be called inside of the simulation."""
        for node in self.sim.nodes:
            if self.sim.paused(node):
                self.sim.resume(node)
        try:
            self.sim.heal()
        except ConfigurationError:
            return  # nothing is cut

    # -- for use in rules ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        if isinstance(self.nodes, int):
            return node_names(self.nodes)
        return FaultPlan(nodes=tuple(self.nodes), duration=1.0).nodes

    @property
    def sim(self) -> Simulation:
        """The simulation. It can be looked at in any rule; to let it do something, use `run` or `do`."""
        return self._running().sim

    def run(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Let ``await work(*args)`` run inside the simulation, and virtual time with it, until it is done."""
        return self._running().run(work, *args)

    def do(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        """Let a plain call run inside the simulation: ``self.do(self.sim.crash, "a")``. No time passes."""

        async def work() -> T:
            return call(*args, **options)

        return self.run(work)

    def sleep(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        self.run(self.sim.sleep, seconds)

    def teardown(self) -> None:
        """Finish, if nothing has failed, and close the simulation in any case."""
        if self._stepper is None:
            return
        error = sys.exception()
        if error is not self._outer:
            _describe(error, self._stepper.close())
            return
        try:
            self.run(self.finish, self.sim)
        except Exception as failure:
            _describe(failure, self._stepper.close())
            raise
        finally:
            self._stepper.close()

    def _running(self) -> Stepper:
        if self._stepper is None:
            msg = (
                "the simulation has not begun: override `async def start(self, sim)` instead of using @initialize or"
                " __init__, or call self.begin(seed) in them first"
            )
            raise SimulationError(msg)
        return self._stepper


def _seeds(seed: int | None) -> st.SearchStrategy[int]:
    return st.integers(0, 2**32 - 1) if seed is None else st.just(seed)


def _describe(error: BaseException | None, report: Report) -> None:
    """Leave the report on an error that ended a run, as `Simulation.run` does. What Hypothesis raises for itself is none."""
    if not isinstance(error, Exception) or isinstance(error, HypothesisException) or hasattr(error, REPORT):
        return
    setattr(error, REPORT, report)
    error.add_note(
        f"hubkit simulation: seed {report.seed}, at {report.elapsed:.3f} virtual seconds, step {report.steps:,}, "
        f"trace {report.trace_hash}"
    )


def _nodes_that(may: Callable[[FaultRules, str], bool]) -> Callable[[FaultRules], list[str]]:
    return lambda machine: [name for name in machine.names if may(machine, name)]


def _draw(choose: Callable[[FaultRules], list[str]]) -> st.SearchStrategy[str]:
    """One of the names that ``choose`` finds when the rule is about to run."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choose(machine)))


def _pairs(machine: FaultRules) -> st.SearchStrategy[tuple[str, str]]:
    return st.permutations(machine.names).map(lambda names: (names[0], names[1]))


_up = _nodes_that(lambda machine, node: machine.sim.alive(node))
_mortal = _nodes_that(lambda machine, node: machine.sim.alive(node) and machine.is_mortal(node))
_awake = _nodes_that(lambda machine, node: machine.sim.alive(node) and not machine.sim.paused(node))
_leaving = _nodes_that(lambda machine, node: node in _mortal(machine) and node in _awake(machine))
_paused = _nodes_that(lambda machine, node: machine.sim.paused(node))
_down = _nodes_that(lambda machine, node: not machine.sim.alive(node))


class FaultRules(SimulationMachine):
    """Rules that do harm, and undo it; and one that lets time pass. Mix it in, and add rules that do work::

        class ShopUnderFire(FaultRules, Shop):
            kinds = ("crash", "partition")

    ``kinds``: which faults, of `RULED`. ``survivors``: the first so many nodes are never taken down. ``waits``: how many
    virtual seconds the rule ``wait`` may take; without it no time passes between rules.
    """

    kinds: ClassVar[Collection[str]] = RULED
    survivors: ClassVar[int] = 1
    waits: ClassVar[Sequence[float]] = (0.1, 1.0, 5.0, 20.0)

    def __init__(self) -> None:
        super().__init__()
        unknown = sorted(kind for kind in self.kinds if kind not in RULED)
        if isinstance(self.kinds, str) or unknown:
            other = [kind for kind in unknown if kind in ALL_KINDS]
            why = "FaultRules has no rules for" if other else "unknown kinds of faults:"
            msg = f"{why} {', '.join(other or unknown) or self.kinds}. It has rules for {', '.join(RULED)}"
            raise ConfigurationError(msg)
        self._is_cut = False
        self._held: list[tuple[str, str]] = []

    def is_mortal(self, node: str) -> bool:
        """Whether the rules may take this node down."""
        return node not in self.names[: self.survivors]

    def heal_everything(self) -> None:
        """Heal all partitions, release what is held, and let everybody go on who is paused."""
        while self._held:
            self.sim.release(*self._held.pop())
        super().heal_everything()
        self._is_cut = False

    def _has(self, *kinds: str) -> bool:
        return any(kind in self.kinds for kind in kinds)

    # -- the rules -----------------------------------------------------------------------------------------------------

    @rule(seconds=st.runner().flatmap(lambda machine: st.sampled_from(machine.waits)))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.sleep(seconds)

    @precondition(lambda self: self._has("partition") and len(self.names) > 1)
    @rule(data=st.runner().flatmap(lambda machine: _sides(machine.names)))
    def partition(self, data: tuple[str, ...]) -> None:
        """Cut some nodes off from all others."""
        self._cut(data, one_way=False)

    @precondition(lambda self: self._has("one_way") and len(self.names) > 1)
    @rule(data=st.runner().flatmap(lambda machine: _sides(machine.names)))
    def partition_one_way(self, data: tuple[str, ...]) -> None:
        """Let some nodes not reach the others any more, though they still hear them."""
        self._cut(data, one_way=True)

    def _cut(self, side: tuple[str, ...], *, one_way: bool) -> None:
        others = [name for name in self.names if name not in side]
        self.do(self.sim.partition, side, others, one_way=one_way)
        self._is_cut = True

    @precondition(lambda self: self._is_cut)
    @rule()
    def heal(self) -> None:
        """Heal all partitions."""
        self.do(self.sim.heal)
        self._is_cut = False

    @precondition(lambda self: self._has("crash") and bool(_mortal(self)))
    @rule(node=_draw(_mortal))
    def crash(self, node: str) -> None:
        """Kill a process."""
        self.do(self.sim.crash, node)

    @precondition(lambda self: self._has("power") and bool(_mortal(self)))
    @rule(node=_draw(_mortal))
    def lose_power(self, node: str) -> None:
        """Kill a machine: nobody is told."""
        self.do(self.sim.crash, node, silent=True)

    @precondition(lambda self: self._has("restart") and bool(_mortal(self)))
    @rule(node=_draw(_mortal))
    def restart(self, node: str) -> None:
        """Kill a process, and start a new one in the same moment."""
        self.do(self.sim.restart, node)

    @precondition(lambda self: self._has("leave") and bool(_leaving(self)))
    @rule(node=_draw(_leaving))
    def leave(self, node: str) -> None:
        """Tell a node to leave; it drains while time passes."""
        self.do(self.sim.stop_soon, node)

    @precondition(lambda self: bool(_down(self)))
    @rule(node=_draw(_down))
    def come_back(self, node: str) -> None:
        """Start a node again that is down."""
        self.do(self.sim.restart, node)

    @precondition(lambda self: self._has("pause") and bool(_awake(self)))
    @rule(node=_draw(_awake))
    def pause(self, node: str) -> None:
        """Let a process stand still."""
        self.do(self.sim.pause, node)

    @precondition(lambda self: bool(_paused(self)))
    @rule(node=_draw(_paused))
    def resume(self, node: str) -> None:
        """Let it go on."""
        self.do(self.sim.resume, node)

    @precondition(lambda self: self._has("hold") and len(self.names) > 1)
    @rule(pair=st.runner().flatmap(_pairs))
    def hold(self, pair: tuple[str, str]) -> None:
        """Keep back what travels between two nodes."""
        if not any(set(pair) == set(held) for held in self._held):
            self.do(self.sim.hold, *pair)
            self._held.append(pair)

    @precondition(lambda self: bool(self._held))
    @rule()
    def release(self) -> None:
        """Let it go, between the two that have waited longest."""
        self.do(self.sim.release, *self._held.pop(0))

    @precondition(lambda self: self._has("break") and len(self.names) > 1)
    @rule(pair=st.runner().flatmap(_pairs), half_open=st.booleans())
    def break_links(self, pair: tuple[str, str], half_open: bool) -> None:
        """Break the links between two nodes."""
        self.do(self.sim.break_links, *pair, half_open=half_open)


def _sides(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the names, but not all."""
    some = st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=len(names) - 1)
    return some.map(lambda side: tuple(sorted(side, key=names.index)))
