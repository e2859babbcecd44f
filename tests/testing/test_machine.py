"""State machines over whole hubs: users' rules, ready-made disasters, and what is printed when one fails."""

from __future__ import annotations

import io
import re
from collections import Counter
from contextlib import redirect_stdout
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import hubkit
from hubkit.errors import ConfigurationError, InvariantViolated, NotSettled, SimulationError
from hubkit.testing.checkers import monotonic_terms, single_owner
from hubkit.testing.failures import report_of
from hubkit.testing.machine import RULED, FaultRules, SimulationMachine
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper

FEW = settings(
    max_examples=8,
    stateful_step_count=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Echo(hubkit.Actor):
    """A child that answers."""

    async def echo(self, text: str) -> str:
        """Answer."""
        return text


class Shop(SimulationMachine):
    """Work without disasters."""

    nodes = 2
    hub_id = "shop"
    checkers = (monotonic_terms(),)

    def __init__(self) -> None:
        super().__init__()
        self.wanted: set[str] = set()

    @rule(id=st.sampled_from(["x", "y", "z"]), node=st.sampled_from(["a", "b"]))
    def add(self, id: str, node: str) -> None:
        """Start a child, wherever."""
        if id not in self.wanted:
            result = self.run(self.sim.hub(node).start_children, [hubkit.child(id, Echo)])
            assert result.status == "ok"
            self.wanted.add(id)

    @rule(seconds=st.sampled_from([0.5, 5.0]))
    def time_passes(self, seconds: float) -> None:
        """Let it pass."""
        before = self.sim.now
        self.sleep(seconds)
        assert self.sim.now >= before + seconds - 1e-6

    @invariant()
    def all_are_known(self) -> None:
        """Both nodes know all children, after a while."""
        assert set(self.sim.hub("a").children()) <= self.wanted

    async def finish(self, sim: Simulation) -> None:
        """Everything that is wanted runs."""
        await super().finish(sim)
        for node in self.names:
            assert not sim.alive(node) or set(sim.hub(node).children()) == self.wanted


def failing_run(machine: type[RuleBasedStateMachine], options: settings = FEW) -> tuple[BaseException, str]:
    """The error of a machine that fails, and what Hypothesis says of it."""
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(BaseException) as caught:  # noqa: PT011  # any error is wanted
        run_state_machine_as_test(machine, settings=options)
    return caught.value, printed.getvalue() + "\n".join(getattr(caught.value, "__notes__", []))


# -- users' own machines ----------------------------------------------------------------------------------------------


def test_a_machine_without_faults_passes() -> None:
    run_state_machine_as_test(Shop, settings=FEW)


class Broken(Shop):
    """It forbids what must happen."""

    @rule()
    def no_child_is_y(self) -> None:
        """Fails when there is one."""
        assert "y" not in self.sim.hub("b").children()


def test_a_failure_prints_the_steps_with_the_seed_and_they_run_as_a_program() -> None:
    error, text = failing_run(Broken)
    assert isinstance(error, AssertionError)
    steps = re.findall(r"^ *(state.*)$", text, re.MULTILINE)
    assert steps == [
        "state = Broken()",
        "state.begin(seed=0)",
        "state.all_are_known()",
        "state.add(id='y', node='a')",
        "state.all_are_known()",
        "state.no_child_is_y()",
        "state.teardown()",
    ], text
    names: dict[str, Any] = {"Broken": Broken}
    for step in steps[:-2]:
        exec(step, names)
    with pytest.raises(AssertionError):
        exec(steps[-2], names)
    exec(steps[-1], names)


def test_a_failure_carries_its_report() -> None:
    error, text = failing_run(Broken)
    found = report_of(error)
    assert found is not None
    assert found[1].seed == 0
    assert found[1].nodes == ("a", "b")
    assert re.search(r"hubkit simulation: seed 0, at \d+\.\d+ virtual seconds, step [\d,]+, trace \w{32}", text)


class NeverSettles(Shop):
    """Its end fails."""

    async def finish(self, sim: Simulation) -> None:
        """Fail as a run that does not settle."""
        msg = "not settled"
        raise NotSettled(msg)


def test_a_failure_at_the_end_carries_its_report_too() -> None:
    error, text = failing_run(NeverSettles)
    assert isinstance(error, NotSettled)
    assert report_of(error) is not None
    assert "state.begin(seed=0)" in text
    assert_all_closed()


def assert_all_closed() -> None:
    """Only one simulation can run in a thread: if a new one can, the last was closed."""
    Stepper(seed=1).close()


class Unstartable(Shop):
    """Its start fails."""

    async def start(self, sim: Simulation) -> None:
        """Fail half way."""
        await sim.start_hub("shop", node="a")
        raise LookupError


def test_a_simulation_is_closed_whatever_happened() -> None:
    for machine, kind in ((Broken, AssertionError), (Unstartable, LookupError), (NeverSettles, NotSettled)):
        error, _ = failing_run(machine)
        assert isinstance(error, kind)
        assert_all_closed()


class Fixed(Shop):
    """It has a seed."""

    seed = 77

    @rule()
    def fail(self) -> None:
        """Always."""
        assert self.sim.seed == 77
        raise ZeroDivisionError


def test_the_seed_can_be_fixed() -> None:
    error, text = failing_run(Fixed)
    assert isinstance(error, ZeroDivisionError), text
    assert "state.begin(seed=77)" in text


def test_the_seed_is_drawn() -> None:
    seeds: set[int] = set()

    class Watching(Shop):
        nodes = 1

        async def start(self, sim: Simulation) -> None:
            seeds.add(sim.seed)

        async def finish(self, sim: Simulation) -> None:
            """Nothing to see."""

        add: ClassVar[Any] = None
        all_are_known: ClassVar[Any] = None

    run_state_machine_as_test(Watching, settings=settings(FEW, stateful_step_count=1))
    assert len(seeds) > 4


class TooEarly(SimulationMachine):
    """It uses the simulation before there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.sleep(1.0)

    @rule()
    def nothing(self) -> None:
        """A machine must have rules."""


def test_who_is_too_early_is_told_what_to_do() -> None:
    with pytest.raises(SimulationError, match="has not begun: override `async def start"):
        TooEarly()


class Named(SimulationMachine):
    """Nodes by name, and an own way to begin."""

    nodes = ("east", "west")

    @initialize()
    def early(self) -> None:
        """An initialization of its own, before or after `begin`."""

    @rule()
    def look(self) -> None:
        """They are all there, and open."""
        assert self.sim.nodes == ("east", "west")
        assert {self.sim.hub(name).id for name in self.names} == {"hub"}
        assert self.sim.hub("east").nodes() == ("west",)


def test_nodes_may_have_names() -> None:
    run_state_machine_as_test(Named, settings=settings(FEW, max_examples=2, stateful_step_count=2))


def test_sleeping_takes_the_time_it_says() -> None:
    machine = Shop()
    machine.begin(seed=3)
    try:
        for seconds in (0.5, 0.125, 2.0, 0.3):
            before = machine.sim.now
            machine.sleep(seconds)
            assert machine.sim.now == pytest.approx(before + seconds)
    finally:
        machine.teardown()


def test_what_is_done_within_a_rule_takes_no_time_and_fails_at_once() -> None:
    machine = Shop()
    machine.begin(seed=3)
    now = machine.sim.now
    machine.do(machine.sim.crash, "b", silent=True)
    assert machine.sim.now == now
    assert not machine.sim.alive("b")
    with pytest.raises(ConfigurationError):
        machine.do(machine.sim.crash, "nobody")
    machine.do(machine.sim.restart, "b")
    machine.teardown()
    assert_all_closed()


# -- ready-made disasters ---------------------------------------------------------------------------------------------


class Disasters(FaultRules, Shop):
    """Everything that there is."""

    nodes = 3
    checkers = (single_owner(overlap=600.0),)
    done: ClassVar[Counter[str]] = Counter()

    def add(self, id: str, node: str) -> None:
        """Not here: a start may fail in a disaster."""

    all_are_known: ClassVar[Any] = None

    def do(self, call: Any, *args: Any, **options: Any) -> Any:
        """Count what is done."""
        self.done[call.__name__] += 1
        assert self.sim.alive("a")
        return super().do(call, *args, **options)


@pytest.mark.limit(180)
def test_every_disaster_is_tried_and_undone() -> None:
    Disasters.done.clear()
    run_state_machine_as_test(Disasters, settings=settings(FEW, max_examples=30, stateful_step_count=15))
    calls = {"partition", "heal", "crash", "restart", "stop_soon", "pause", "resume", "hold", "release", "break_links"}
    assert set(Disasters.done) == calls, Disasters.done


def test_a_node_that_is_killed_as_it_begins_to_leave_is_down() -> None:
    state = Disasters()
    state.begin(seed=0)
    state.partition(data=("a",))
    state.heal()
    state.hold(pair=("a", "b"))
    state.leave(node="b")
    state.crash(node="b")
    state.teardown()  # it settles
    assert_all_closed()


def test_a_node_that_is_killed_as_it_starts_is_down() -> None:
    state = Disasters()
    state.begin(seed=1)
    state.partition(data=("a",))
    state.restart(node="c")
    state.heal()
    state.crash(node="b")
    state.hold(pair=("a", "b"))
    state.break_links(half_open=False, pair=("a", "b"))
    state.break_links(half_open=False, pair=("a", "b"))
    state.release()
    state.pause(node="a")
    state.crash(node="c")
    state.come_back(node="b")
    state.teardown()  # it settles
    assert_all_closed()


class Restless(FaultRules):
    """It fails if two of its nodes are ever down."""

    nodes = 4
    kinds = ("crash", "pause")

    async def start(self, sim: Simulation) -> None:
        """Quick: without waiting for anything."""
        for name in self.names:
            sim.start_soon("hub", node=name)
        await sim.sleep(1.0)

    async def finish(self, sim: Simulation) -> None:
        """Nothing to see."""

    @rule()
    def look(self) -> None:
        """Fails when two are down."""
        assert sum(not self.sim.alive(node) for node in self.names) < 2


def test_disasters_shrink_to_what_is_needed() -> None:
    error, text = failing_run(Restless, settings(FEW, max_examples=100, stateful_step_count=20))
    assert isinstance(error, AssertionError)
    steps = re.findall(r"^ *state\.(.*)$", text, re.MULTILINE)
    assert sorted(steps) == ["begin(seed=0)", "crash(node='b')", "crash(node='c')", "look()", "teardown()"], text


class Immortal(FaultRules):
    """Only one node may die."""

    nodes = 3
    survivors = 2
    kinds = ("crash", "power", "restart", "leave")
    waits = (1.0,)

    @invariant()
    def two_are_up(self) -> None:
        """The first two."""
        assert self.sim.alive("a")
        assert self.sim.alive("b")


def test_survivors_are_never_taken_down() -> None:
    run_state_machine_as_test(Immortal, settings=settings(FEW, max_examples=10))


@pytest.mark.parametrize(
    ("kinds", "complaint"),
    [
        (("crash", "meteor"), "unknown kinds of faults: meteor. It has rules for partition"),
        (("slow",), "FaultRules has no rules for slow"),
        ("crash", "unknown kinds of faults: .*"),
    ],
)
def test_unknown_kinds_are_refused(kinds: Any, complaint: str) -> None:
    machine = type("Wrong", (FaultRules,), {"kinds": kinds})
    with pytest.raises(ConfigurationError, match=complaint):
        machine()


def test_a_violated_invariant_ends_the_run() -> None:
    class Watcher:
        def began(self, run: Any) -> None:
            """Nothing."""

        ending = ended = began

        def look(self) -> None:
            msg = "never"
            raise InvariantViolated(msg)

        verdict = look

    class Never:
        def watch(self, world: Any) -> Any:
            return Watcher()

    machine = type("Watched", (FaultRules,), {"checkers": (Never(),), "nodes": 1})
    error, text = failing_run(machine)
    assert isinstance(error, InvariantViolated)
    assert report_of(error) is not None
    assert text.count("hubkit simulation: seed") == 1


def test_there_is_a_rule_for_every_kind_it_names() -> None:
    assert set(RULED) < set(hubkit.testing.strategies.ALL_KINDS)
