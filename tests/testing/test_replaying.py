"""The commands that failures print: each of them shows the very same failure again."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.testing.printed import failures, printed, run_printed, run_pytest

from hubkit.testing.checkers import monotonic_terms, single_owner
from hubkit.testing.faults import Pause
from hubkit.testing.marks import Filled, simulated
from hubkit.testing.plans import FaultPlan
from hubkit.testing.replaying import from_here, replay_command
from hubkit.testing.simulation import Simulation
from hubkit.testing.watching import Watcher, World

SHOP = """
import hubkit
from hypothesis import Phase, example, given, settings, strategies as st
from hubkit.testing import FaultPlan, Pause, Simulation, no_lost_child, simulated, single_owner
from hubkit.testing.strategies import fault_plans

search = settings(derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate])
seeds = st.integers(1000, 2**32)
plans = fault_plans(2, 5.0, kinds=("partition", "pause"))

class Counter(hubkit.Actor):
    pass

async def work(sim, plan):
    a, b = [await sim.start_hub("shop", node=name) for name in plan.nodes]
    await a.start_children([hubkit.child(f"c{n}", Counter) for n in range(4)])
    if sim.plan is None:
        await sim.play(plan)
    else:
        await sim.play()
    chance = sim.random.random()
    assert not plan.faults or chance < 0.5, f"it broke: {chance}"

@search
@given(plan=plans, seed=seeds)
def test_closure(plan, seed):
    async def main(sim):
        await work(sim, plan)
    Simulation.run(main, seed, plan=plan)

@search
@example(plan=FaultPlan(nodes=("a", "b"), duration=5.0, faults=(Pause(at=1.0, until=2.0, node="a"),)), seed=1)
@given(plan=plans, seed=seeds)
def test_played(plan, seed):
    Simulation.run(lambda sim: work(sim, plan), seed)

@search
@given(plan=plans)
@simulated(seeds=1, first=42, network={"latency": 0.02})
async def test_given(sim, plan):
    await work(sim, plan)

async def overlapping(sim):
    one, two = [await sim.start_hub("shop", node=name) for name in "ab"]
    await one.start_children([hubkit.child("c", Counter)])
    sim.partition({"a"}, {"b"})
    await sim.sleep(20)

def test_checkers():
    checkers = [no_lost_child(within=30), single_owner(overlap=2.5)]
    network = {"latency": 0.02, "bandwidth": 2e4, "jitter": 0}
    Simulation.run(overlapping, 7, checkers=checkers, network=network, limit=30)

class Mine:
    def watch(self, world):
        return single_owner(2.5).watch(world)

def test_own_checker():
    Simulation.run(overlapping, 7, checkers=[Mine()])

@simulated(seeds=1, first=7, checkers=[Mine()], network={"latency": 0.01}, limit=25.0)
async def test_own_checker_simulated(sim):
    await overlapping(sim)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "test_shop.py").write_text(SHOP)
    return tmp_path


def replayed(project: Path, test: str, directory: Path | None = None, *options: str) -> list[str]:
    """Run a test that fails, and then all commands that it printed: they fail in the same way. Returns the commands."""
    here = directory or project
    name = str(project / "tests" / f"test_shop.py::{test}")
    first = run_pytest(here, name, *options)
    expected = traces(first.stdout)
    assert len(expected) == 1, first.stdout + first.stderr
    commands = sorted(set(printed(first.stdout)))
    assert commands
    for command in commands:
        again = run_printed(here, command)
        assert again.returncode == 1, (command, again.stdout + again.stderr)
        assert traces(again.stdout) == expected, (command, again.stdout)
        assert failures(again.stdout) == failures(first.stdout)
        assert set(printed(again.stdout)) <= set(commands), command
    return commands


def traces(output: str) -> set[str]:
    return set(re.findall(r"trace (\w{32})", output))


@pytest.mark.parametrize("test", ["test_closure", "test_played"])
def test_what_hypothesis_has_drawn_is_drawn_again(project: Path, test: str) -> None:
    (command,) = replayed(project, test)
    drawn = r' --hubkit-seed \d{4,} --hubkit-plan "FaultPlan\(nodes=\(\'a\', \'b\'\), duration=5.0, faults=\(.*"'
    assert re.fullmatch(f"pytest tests/test_shop.py::{test}{drawn}", command)


def test_a_plan_drawn_for_a_simulated_test_is_drawn_again_and_the_command_can_run_it_too(project: Path) -> None:
    (command,) = replayed(project, "test_given")
    assert command.startswith("pytest 'tests/test_shop.py::test_given[seed42]' --hubkit-seed 42 --hubkit-plan ")
    plan = command.partition("--hubkit-plan ")[2]
    again = run_printed(project, f"hubkit sim tests/test_shop.py:test_given --seed 42 --plan {plan}")
    assert traces(again.stdout) == traces(run_printed(project, command).stdout)
    assert f"replay it with: hubkit sim tests/test_shop.py:test_given --seed 42 --plan {plan}\n" in again.stdout


def test_a_scenario_with_a_name_is_given_all_that_the_run_was_given(project: Path) -> None:
    of_test, by_name = sorted(replayed(project, "test_checkers"), reverse=True)
    assert of_test == "pytest tests/test_shop.py::test_checkers"
    assert by_name == (
        "hubkit sim tests/test_shop.py:overlapping --seed 7 --network latency=0.02,bandwidth=20000.0,jitter=0 "
        '--checker "no_lost_child(30.0)" --checker "single_owner(2.5)" --limit 30.0'
    )
    elsewhere = run_printed(project / "tests", by_name.replace("tests/test_shop.py", "test_shop"))
    assert len(traces(elsewhere.stdout)) == 1


def test_from_the_directory_of_the_tests_they_are_found_as_well(project: Path) -> None:
    of_test, by_name = sorted(replayed(project, "test_checkers", project / "tests"), reverse=True)
    assert of_test == "pytest test_shop.py::test_checkers"
    assert by_name.startswith("hubkit sim test_shop:overlapping ")


def test_from_the_outside_they_are_found_as_well(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    of_test, by_name = sorted(replayed(project, "test_checkers", outside), reverse=True)
    assert of_test == f"pytest ../{project.name}/tests/test_shop.py::test_checkers"
    assert by_name.startswith(f"hubkit sim ../{project.name}/tests/test_shop.py:overlapping ")


def test_a_module_that_pytest_names_otherwise_is_run_by_that_name(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    _, by_name = sorted(replayed(project, "test_checkers"), reverse=True)
    assert by_name.startswith("hubkit sim tests.test_shop:overlapping ")
    assert replayed(project, "test_checkers", project / "tests") == ["pytest test_shop.py::test_checkers"]


def test_what_the_command_cannot_be_told_is_replayed_by_the_test(project: Path) -> None:
    assert replayed(project, "test_own_checker") == ["pytest tests/test_shop.py::test_own_checker"]
    (command,) = replayed(project, "test_own_checker_simulated")
    assert command == "pytest 'tests/test_shop.py::test_own_checker_simulated[seed7]' --hubkit-seed 7"
    again = run_printed(project, "hubkit sim tests/test_shop.py:test_own_checker_simulated --seed 7")
    assert traces(again.stdout) == traces(run_printed(project, command).stdout)


def test_a_module_that_only_this_pytest_can_import_is_replayed_by_the_test(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\npythonpath = lib\n")
    (project / "lib").mkdir()
    shutil.move(project / "tests" / "test_shop.py", project / "lib" / "shop.py")
    (project / "tests" / "test_shop.py").write_text(
        "from hubkit.testing import Simulation\n"
        "from shop import overlapping\n"
        "async def main(sim):\n"
        "    await overlapping(sim)\n"
        "    raise AssertionError('it broke: 1')\n"
        "def test_it():\n"
        "    Simulation.run(main, 7)\n"
        "def test_theirs():\n"
        "    Simulation.run(overlapping, 7, limit=9.0)\n"
    )
    assert replayed(project, "test_it") == ["pytest tests/test_shop.py::test_it"]
    of_test, by_name = sorted(replayed(project, "test_theirs"), reverse=True)
    assert of_test == "pytest tests/test_shop.py::test_theirs"
    assert by_name == "hubkit sim lib/shop.py:overlapping --seed 7 --limit 9.0"


def test_a_plan_that_is_none_is_told(project: Path) -> None:
    done = run_pytest(project, "tests/test_shop.py::test_closure", "--hubkit-plan", "FaultPlan(")
    assert done.returncode == 1
    assert "ConfigurationError: --hubkit-plan: this is no fault plan" in done.stdout


def test_one_found_failure_is_enough_where_a_plan_is_dictated(project: Path) -> None:
    more = """
@settings(search, phases=list(Phase))
@given(seed=seeds)
def test_counted(seed):
    print("run", seed)
    assert not seed
"""
    (project / "tests" / "test_shop.py").write_text(SHOP + more)
    options = ["tests/test_shop.py::test_counted", "-s"]
    done = run_pytest(project, *options, "--hubkit-plan", "FaultPlan(nodes=('a', 'b'), duration=5.0)")
    assert done.returncode == 1
    assert done.stdout.count("\nrun") <= 3
    assert run_pytest(project, *options).stdout.count("\nrun") > 10


# -- the words ------------------------------------------------------------------------------------------------------------

PLAN = FaultPlan(nodes=("a", "b"), duration=3.0, faults=(Pause(at=1.0, until=2.0, node="a"),))
SIM = f"hubkit sim {__name__}:"


async def main(sim: Simulation) -> None:
    """A scenario."""


@simulated(seeds=1, network={"latency": 0.5}, checkers=[single_owner(1.0)], limit=9.0)
async def of_test(sim: Simulation, plan: FaultPlan | None = None) -> None:
    """Another one."""
    raise AssertionError


class Group:
    """What is in a class has a name, too."""

    @staticmethod
    async def main(sim: Simulation) -> None:
        """One more."""


@dataclass(frozen=True)
class Pretending:
    """A checker that looks like another one."""

    def __repr__(self) -> str:
        return "monotonic_terms()"

    def watch(self, world: World) -> Watcher:
        """Watch."""
        return monotonic_terms().watch(world)


class Unprintable(Pretending):
    """A checker that cannot be printed."""

    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("scenario", "options", "expected"),
    [
        (main, {}, f"{SIM}main --seed 7"),
        (Group.main, {}, f"{SIM}Group.main --seed 7"),
        (main, {"plan": PLAN}, f'{SIM}main --seed 7 --plan "{PLAN!r}"'),
        (main, {"played": PLAN}, f"{SIM}main --seed 7"),
        (main, {"network": {}}, f"{SIM}main --seed 7"),
        (main, {"network": "websocket"}, f"{SIM}main --seed 7"),
        (main, {"network": {"latency": 1}}, f"{SIM}main --seed 7 --network latency=1"),
        (main, {"checkers": [monotonic_terms()]}, f'{SIM}main --seed 7 --checker "monotonic_terms()"'),
        (main, {"limit": float("inf")}, f"{SIM}main --seed 7 --limit inf"),
        (
            main,
            {"checkers": [Pretending()], "limit": 9.0, "plan": PLAN},
            f"Simulation.run(main, seed=7, plan={PLAN!r}, checkers=[monotonic_terms()], limit=9.0)",
        ),
        (
            main,
            {"network": {"latency": True}, "checkers": [single_owner(1.0)]},
            "Simulation.run(main, seed=7, network={'latency': True}, checkers=[single_owner(1.0)])",
        ),
        (lambda sim: None, {"played": PLAN}, "Simulation.run(main, seed=7)"),
        (None, {"limit": float("inf")}, "Stepper(seed=7)"),
        (None, {"limit": 3600.0, "network": {"latency": 1}}, "Stepper(seed=7, network={'latency': 1}, limit=3600.0)"),
        (Filled(main, named={"plan": PLAN}), {"plan": PLAN}, f'{SIM}main --seed 7 --plan "{PLAN!r}"'),
        (Filled(main, named={"number": 3}), {}, "Simulation.run(main, seed=7)"),
        (Filled(main, before=(Group(),)), {}, "Simulation.run(main, seed=7)"),
        (Filled(main, target="a b.py:main"), {"limit": 5}, "hubkit sim 'a b.py:main' --seed 7 --limit 5.0"),
    ],
)
def test_only_what_is_not_usual_is_told(
    scenario: Any, options: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert replay_command(scenario, 7, options.pop("plan", None), **options) == expected


def test_what_a_simulated_test_says_need_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    scenario: Any = of_test
    settings = scenario.hubkit_simulated
    told: dict[str, Any] = {"network": settings.network, "checkers": settings.checkers, "limit": settings.limit}
    assert replay_command(settings.main, 7, None, **told) == f"{SIM}of_test --seed 7"
    told["network"] = "websocket"
    assert replay_command(settings.main, 7, None, **told) == f"{SIM}of_test --seed 7 --network simulated"
    told["checkers"] = ()
    assert replay_command(settings.main, 7, None, **told).startswith("Simulation.run(main, seed=7, limit=9.0")
    with pytest.raises(AssertionError) as caught:
        of_test(plan=PLAN)
    assert f'replay it with: {SIM}of_test --seed 0 --plan "{PLAN!r}"' in caught.value.__notes__


def test_a_checker_that_cannot_be_printed_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    told: Any = {"checkers": [Unprintable(), single_owner(1.0)]}
    expected = "Simulation.run(main, seed=7, checkers=[<Unprintable>, single_owner(1.0)])"
    assert replay_command(main, 7, None, **told) == expected


def test_the_seed_is_told_where_the_plugin_has_chosen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for test, options in (
        ("test_x[seed7]", " --hubkit-seed 7"),
        ("test_x[seed7-3]", " --hubkit-seed 7"),
        ("test_x[3-seed7]", " --hubkit-seed 7"),
        ("test_x[seed77]", ""),
        ("test_x[7]", ""),
        ("test_seed7", ""),
    ):
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"nowhere.py::{test} (call)")
        quoted = f"'nowhere.py::{test}'" if "[" in test else f"nowhere.py::{test}"
        assert replay_command(None, 7, None) == f"pytest {quoted}{options}"


def test_without_the_plugin_a_test_is_looked_for_in_the_directories_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_hubkit_pytest.configs", [])
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "test_x.py").write_text("")
    for here, expected in ((tmp_path, "tests/test_x.py"), (tmp_path / "tests" / "deep", "../test_x.py")):
        monkeypatch.chdir(here)
        assert from_here("tests/test_x.py::test[a::b]") == f"{expected}::test[a::b]"
        assert from_here("tests/test_y.py::test") == "tests/test_y.py::test"
