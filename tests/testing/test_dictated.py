"""What is dictated to Hypothesis tests: plans and seeds, in them alone, and not where an example is written down."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from hubkit.errors import ConfigurationError
from hubkit.testing import dictated
from hubkit.testing.dictated import drawn_plans, is_drawing, plan_to_draw
from hubkit.testing.faults import Pause
from hubkit.testing.plans import FaultPlan
from hubkit.testing.replaying import pytest_options, replay_command
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper
from hubkit.testing.strategies import fault_plans

PLAN = FaultPlan(nodes=("x", "y"), duration=3.0, faults=(Pause(at=1.0, until=2.0, node="x"),))
few = settings(max_examples=5, database=None, deadline=None, phases=[Phase.explicit, Phase.generate])


@pytest.fixture
def dictate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dictated.PLAN, repr(PLAN))
    monkeypatch.setenv(dictated.SEED, "77")


async def nothing(sim: Simulation) -> None:
    """No step."""


@pytest.mark.usefixtures("dictate")
def test_in_a_hypothesis_test_plan_and_seed_are_those_that_are_dictated() -> None:
    seen: list[tuple[FaultPlan, tuple[FaultPlan, ...], int, int, int]] = []
    strategy = fault_plans(5, 60.0)

    @few
    @given(plan=strategy, seed=st.integers(0, 9))
    def test(plan: FaultPlan, seed: int) -> None:
        with Stepper(seed) as stepper:
            stepped = stepper.sim.seed
        seen.append((plan, drawn_plans(), Simulation.run(nothing, seed).seed, stepped, seed))

    test()
    assert {entry[:4] for entry in seen} == {(PLAN, (PLAN,), 77, 77)}
    assert len({entry[4] for entry in seen}) > 1
    assert Simulation.run(nothing, 3).seed == 3
    assert plan_to_draw() is None


@pytest.mark.usefixtures("dictate")
def test_an_explicit_example_is_what_it_says() -> None:
    seen: list[tuple[bool, int]] = []

    @few
    @example(seed=5)
    @given(seed=st.integers(0, 9))
    def test(seed: int) -> None:
        seen.append((is_drawing(), Simulation.run(nothing, seed).seed))

    test()
    assert seen[0] == (False, 5)
    assert set(seen[1:]) == {(True, 77)}


def test_the_plan_that_was_drawn_is_told_whatever_the_test_has_made_of_it() -> None:
    @few
    @given(plan=fault_plans(2))
    def test(plan: FaultPlan) -> None:
        expected = f' --hubkit-seed 3 --hubkit-plan "{plan!r}"'
        assert pytest_options(3, None) == pytest_options(3, PLAN) == pytest_options(3, plan) == expected
        assert replay_command(nothing, 3, plan).startswith(f"hubkit sim {__name__}:nothing --seed 3 --plan ")
        assert replay_command(nothing, 3, None, played=plan).endswith(expected)  # who knows what has played it

    test()

    @few
    @given(seed=st.integers())
    def without(seed: int) -> None:
        assert pytest_options(3, None) == " --hubkit-seed 3"
        assert pytest_options(3, PLAN) == f' --hubkit-seed 3 --hubkit-plan "{PLAN!r}"'

    without()


def test_where_nothing_is_dictated_all_is_drawn() -> None:
    assert not {dictated.PLAN, dictated.SEED} & set(os.environ)
    seen: list[tuple[int, int]] = []

    @few
    @given(plan=fault_plans(2), other=fault_plans(3), seed=st.integers(0, 9))
    def test(plan: FaultPlan, other: FaultPlan, seed: int) -> None:
        assert drawn_plans() == (plan, other)
        seen.append((Simulation.run(nothing, seed).seed, seed))

    test()
    assert all(one == other for one, other in seen)
    assert drawn_plans() == ()


def test_a_text_that_is_no_plan_is_told_when_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dictated.PLAN, "Pause(at=1.0)")

    @few
    @given(plan=fault_plans(2))
    def test(plan: FaultPlan) -> None:
        """Never run."""

    with pytest.raises(ConfigurationError, match="--hubkit-plan: this is no fault plan"):
        test()


def test_hypothesis_is_not_imported() -> None:
    code = """if 1:
        import sys
        from hubkit.testing import Simulation
        async def main(sim):
            raise ValueError
        try:
            Simulation.run(main, 7)
        except ValueError as error:
            assert "Simulation.run(main, seed=7)" in error.__notes__[-1], error.__notes__
        assert "hypothesis" not in sys.modules
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
