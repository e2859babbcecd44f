"""Simulated tests: with pytest and without, with fixtures, with Hypothesis, and what is left of one that fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.testing.printed import run_pytest

from hubkit.errors import ConfigurationError, InvariantViolated
from hubkit.testing.checkers import single_owner
from hubkit.testing.failures import describe_failure, report_of
from hubkit.testing.faults import Pause
from hubkit.testing.marks import Filled, simulated
from hubkit.testing.plans import FaultPlan
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Report, Step

REPORT = Report(7, "abc", 12.5, 0.0, 3, trace=tuple(Step(n, n / 2, "note", "a", "", f"step {n}") for n in range(30)))


def failing(message: str = "it broke", report: Report = REPORT) -> AssertionError:
    error = AssertionError(message)
    error.__hubkit_report__ = report  # type: ignore[attr-defined]  # as the runner does it
    return error


# -- without pytest ---------------------------------------------------------------------------------------------------


def test_a_simulated_test_is_a_function_that_runs_all_seeds() -> None:
    seeds: list[int] = []

    @simulated(seeds=3, first=5)
    async def scenario(sim: Simulation, step: float = 1.5) -> None:
        await sim.sleep(step)
        assert sim.now == step
        seeds.append(sim.seed)

    scenario()
    assert seeds == [5, 6, 7]
    scenario(hubkit_seed=99, step=2.0)
    assert seeds == [5, 6, 7, 99]


def test_it_needs_no_parentheses() -> None:
    seeds: list[int] = []

    @simulated
    async def scenario(sim: Simulation) -> None:
        seeds.append(sim.seed)

    scenario()
    assert seeds == list(range(10))
    assert scenario.__name__ == "scenario"


def test_network_checkers_and_limit_reach_the_simulation() -> None:
    seen: list[Any] = []

    class Watching:
        def watch(self, world: Any) -> Any:
            seen.append(world)
            return single_owner(overlap=0).watch(world)

    @simulated(seeds=2, checkers=[Watching()], network={"latency": 0.25}, limit=50.0)
    async def scenario(sim: Simulation) -> None:
        seen.append(sim)

    scenario()
    assert len(seen) == 4

    @simulated(seeds=1, limit=50.0)
    async def endless(sim: Simulation) -> None:
        await sim.sleep(60)

    with pytest.raises(Exception, match="50 virtual seconds"):
        endless()


def test_a_plan_among_the_arguments_is_that_of_the_simulation() -> None:
    plans: list[FaultPlan | None] = []

    @simulated(seeds=1)
    async def scenario(sim: Simulation, number: int, disaster: FaultPlan) -> None:
        plans.append(sim.plan)

    plan = FaultPlan(nodes=("a",), duration=1.0, faults=(Pause(at=0.0, until=0.5, node="a"),))
    scenario(number=1, disaster=plan)
    assert plans == [plan]


def test_a_scenario_is_called_by_its_own_name() -> None:
    @simulated(seeds=1)
    async def scenario(sim: Simulation) -> None:
        assert trio.lowlevel.current_task().name.endswith("<locals>.scenario")

    scenario()
    filled = Filled(without)
    assert filled.__qualname__ == "without"
    assert not hasattr(filled, "anything")


def test_hypothesis_above_it_draws_for_each_seed() -> None:
    drawn: list[tuple[int, int]] = []

    @settings(max_examples=5, database=None)
    @given(number=st.integers())
    @simulated(seeds=2)
    async def scenario(sim: Simulation, number: int) -> None:
        drawn.append((sim.seed, number))

    scenario(hubkit_seed=3)
    assert {seed for seed, _ in drawn} == {3}
    assert len(drawn) == 5


def test_an_error_says_how_to_see_it_again() -> None:
    @simulated(seeds=3)
    async def scenario(sim: Simulation) -> None:
        assert sim.seed < 2

    with pytest.raises(AssertionError) as caught:
        scenario()
    assert re.search(r"seed 2\b.*replay it with", "\n".join(caught.value.__notes__), re.DOTALL)
    found = report_of(caught.value)
    assert found is not None
    assert found[1].seed == 2


def given_below() -> object:
    @simulated()  # type: ignore[arg-type]  # the test
    @given(number=st.integers())
    async def scenario(sim: Simulation, number: int) -> None:
        """Wrong."""

    return scenario


def plain(sim: Simulation) -> None:
    """No scenario."""


async def without() -> None:
    """Neither."""


async def only_named(*, sim: Simulation) -> None:
    """Nor this."""


async def anything(sim: Simulation, **more: int) -> None:
    """Nor this."""


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "given below": (given_below, "put @given above @simulated"),
    "plain": (lambda: simulated()(plain), "@simulated is for a scenario, `async def test.*, and plain is none"),  # type: ignore[arg-type]  # the test
    "no parameter": (lambda: simulated(without), r"write `async def without\(sim, ...\)`"),
    "keyword": (lambda: simulated(only_named), "has no parameter for its simulation"),
    "any keyword": (lambda: simulated(anything), "must name all its parameters"),
    "no seeds": (lambda: simulated(seeds=0), "seeds must be a number of at least 1, not 0"),
    "seeds": (lambda: simulated(seeds=True), "not True"),
    "first": (lambda: simulated(first="a"), "first must be a seed, an int, not 'a'"),  # type: ignore[call-overload]  # the test
    "limit": (lambda: simulated(limit=-1.0), "limit"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_an_error_when_the_test_is_defined(case: str) -> None:
    make, complaint = WRONG[case]
    with pytest.raises(ConfigurationError, match=complaint):
        make()


# -- what is left of a failure ----------------------------------------------------------------------------------------


def test_the_report_is_found_wherever_the_error_is() -> None:
    error = failing()
    assert report_of(error) == (error, REPORT)
    group = ExceptionGroup("several", [ValueError(), ExceptionGroup("more", [error])])
    assert report_of(group) == (error, REPORT)
    outer = RuntimeError("around it")
    outer.__cause__ = group
    assert report_of(outer) == (error, REPORT)
    circle = ValueError()
    other = ValueError()
    circle.__context__, other.__context__ = other, circle
    assert report_of(circle) is None


def test_the_section_has_all_that_one_needs(tmp_path: Path) -> None:
    text = describe_failure(failing(), REPORT, "tests/test_x.py::test_y[seed7]", tmp_path / "out", by_seed=True)
    lines = text.splitlines()
    assert lines[0] == "seed 7, 12.500 virtual seconds, 3 steps, trace abc"
    assert lines[1] == "replay:   pytest 'tests/test_x.py::test_y[seed7]' --hubkit-seed 7"
    page = Path(lines[2].removeprefix("timeline: "))
    assert page.parent == tmp_path / "out"
    assert page.suffix == ".html"
    assert "it broke" in page.read_text(encoding="utf-8")
    assert [line.split()[-1] for line in lines[4:]] == [str(n) for n in range(10, 30)]
    assert (tmp_path / "out" / ".gitignore").read_text() == "*\n"
    again = describe_failure(failing(), REPORT, "tests/test_x.py::test_z", tmp_path, by_seed=False)
    assert "replay:   pytest tests/test_x.py::test_z\n" in again
    drawn = failing()
    drawn.__hubkit_replay__ = " --hubkit-seed 5 --hubkit-plan P"  # type: ignore[attr-defined]  # as the runner does it
    again = describe_failure(drawn, REPORT, "tests/test_x.py::test_z", tmp_path, by_seed=True)
    assert "replay:   pytest tests/test_x.py::test_z --hubkit-seed 5 --hubkit-plan P\n" in again


def test_every_test_has_a_file_of_its_own(tmp_path: Path) -> None:
    tests = [
        "a.py::test[x]",
        "a.py::test[X]",
        "a.py::test[x-]",
        "a.py::test/[x]",
        "b" * 300,
        "b" * 301,
        "é",
        "è",
        "..",
        "/",
    ]
    for test in tests:
        describe_failure(failing(), REPORT, test, tmp_path, by_seed=False)
    names = [path.name for path in tmp_path.iterdir() if path.suffix == ".html"]
    assert len({name.lower() for name in names}) == len(tests)
    assert max(map(len, names)) < 140


def test_without_steps_there_are_none_to_show(tmp_path: Path) -> None:
    text = describe_failure(failing(), Report(7, "abc", 0.0, 0.0, 0), "test", tmp_path, by_seed=False)
    assert len(text.splitlines()) == 3


def test_a_page_that_cannot_be_made_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*args: object, **named: object) -> None:
        msg = "no paint"
        raise RuntimeError(msg)

    monkeypatch.setattr("hubkit.testing.timeline.write", write)
    text = describe_failure(failing("\ud800"), REPORT, "test", tmp_path, by_seed=False)
    assert re.search(r"timeline: .*\.txt \(as text, for the page could not be made: RuntimeError: no paint\)", text)
    (path,) = tmp_path.glob("*.txt")
    assert "step 29" in path.read_text()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = describe_failure(failing(), REPORT, "test", tmp_path / "file" / "inside", by_seed=False)
    assert "timeline: not written: " in text
    assert "step 29" in text


# -- under pytest -----------------------------------------------------------------------------------------------------

SUITE = """
import json, pathlib, pytest
from hypothesis import given, settings, strategies as st
from hubkit.errors import InvariantViolated
from hubkit.testing import FaultPlan, Simulation
from hubkit.testing.marks import simulated
from hubkit.testing.strategies import fault_plans

LOG = pathlib.Path(__file__).with_name("log")

def log(*what):
    with LOG.open("a") as file:
        file.write(json.dumps(what) + "\\n")

@pytest.fixture
def word():
    return "hello"

@simulated(seeds=2)
async def test_plain(sim, word):
    await sim.sleep(1)
    log("plain", sim.seed, word)

class TestClass:
    @pytest.mark.parametrize("number", [10, 20])
    @simulated(seeds=2, first=3)
    async def test_method(self, sim, number, word):
        assert isinstance(self, TestClass)
        log("method", sim.seed, number)

@settings(max_examples=4, database=None)
@given(plan=fault_plans(2, 5.0))
@simulated(seeds=2)
async def test_given(sim, plan):
    assert sim.plan is plan
    log("given", sim.seed)

def test_by_hand(hubkit_seed):
    log("hand", hubkit_seed)

@pytest.mark.parametrize("hubkit_seed", [77])
def test_own_seeds(hubkit_seed):
    log("own", hubkit_seed)

async def test_of_trio():
    log("trio", 0)

@pytest.mark.skip
@simulated
async def test_skipped(sim):
    log("skipped", 0)
"""

FAILING = """
import pytest
from hypothesis import given, settings
from hubkit.testing import Simulation
from hubkit.testing.marks import simulated
from hubkit.testing.strategies import fault_plans

@simulated(seeds=3)
async def test_broken(sim):
    await sim.start_hub("shop", node="a")
    await sim.sleep(2)
    sim.note("so far so good")
    assert sim.seed != 1

calls = 0

@settings(derandomize=True, database=None, deadline=None)
@given(plan=fault_plans(2, 5.0))
@simulated(seeds=1)
async def test_plan(sim, plan):
    global calls
    calls += 1
    assert calls < 1000, "too many runs"
    await sim.sleep(0.5)
    assert not plan.faults

def test_without_a_seed():
    async def main(sim):
        raise ValueError("oh")
    Simulation.run(main, 5)

def test_another_failure():
    assert False

@pytest.mark.xfail(strict=True)
@simulated(seeds=1)
async def test_expected(sim):
    assert False
"""


def suite(directory: Path, text: str) -> Path:
    (directory / "pytest.ini").write_text("[pytest]\n")
    path = directory / "test_it.py"
    path.write_text(text)
    return path


def logged(directory: Path) -> list[list[Any]]:
    lines = (directory / "log").read_text().splitlines()
    (directory / "log").unlink()
    return [json.loads(line) for line in lines]


def test_pytest_runs_every_seed_as_a_test(tmp_path: Path) -> None:
    suite(tmp_path, SUITE)
    done = run_pytest(tmp_path, "-v", "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_it.py::test_plain[seed1] PASSED" in done.stdout
    assert "test_it.py::TestClass::test_method[seed4-20] PASSED" in done.stdout
    lines = logged(tmp_path)
    assert [line for line in lines if line[0] == "plain"] == [["plain", 0, "hello"], ["plain", 1, "hello"]]
    assert sorted(line[1:] for line in lines if line[0] == "method") == [[3, 10], [3, 20], [4, 10], [4, 20]]
    assert [line[1] for line in lines if line[0] == "given"] == [0] * 4 + [1] * 4
    assert [line[1] for line in lines if line[0] == "hand"] == list(range(10))
    assert [line[1] for line in lines if line[0] == "own"] == [77]
    assert ["trio", 0] in lines
    assert ["skipped", 0] not in lines
    assert not (tmp_path / ".hubkit").exists()


def test_the_command_line_says_which_seeds(tmp_path: Path) -> None:
    suite(tmp_path, SUITE)
    done = run_pytest(tmp_path, "--hubkit-seeds", "4", "-k", "plain or hand or method")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = logged(tmp_path)
    assert [line[1] for line in lines if line[0] == "plain"] == [0, 1, 2, 3]
    assert sorted({line[1] for line in lines if line[0] == "method"}) == [3, 4, 5, 6]
    assert [line[1] for line in lines if line[0] == "hand"] == [0, 1, 2, 3]
    done = run_pytest(tmp_path, "test_it.py::test_plain[seed1234]", "--hubkit-seed", "1234")
    assert done.returncode == 0, done.stdout + done.stderr
    assert logged(tmp_path) == [["plain", 1234, "hello"]]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--hubkit-seeds", "4", "--hubkit-seed", "1"], "give one of them"),
        (["--hubkit-seeds", "0"], "must be at least 1, not 0"),
        (["--hubkit-seed", "x"], "invalid int value: 'x'"),
    ],
)
def test_wrong_options_are_an_error(tmp_path: Path, options: list[str], complaint: str) -> None:
    done = run_pytest(tmp_path, *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr


def test_a_failure_leaves_a_section_and_a_timeline(tmp_path: Path) -> None:
    suite(tmp_path, FAILING)
    done = run_pytest(tmp_path, "-rN", "--hubkit-trace", "out/put")
    assert "4 failed, 2 passed, 1 xfailed" in done.stdout, done.stdout + done.stderr
    sections = re.findall(r"-+ hubkit -+\n((?:.+\n)+?)(?=[-_=]{5,}|\Z)", done.stdout)
    assert len(sections) == 3
    broken, plan, seedless = sections
    assert "seed 1, 3.000 virtual seconds, " in broken
    assert "replay:   pytest 'test_it.py::test_broken[seed1]' --hubkit-seed 1" in broken
    assert broken.splitlines()[-1].endswith("so far so good")
    given = r"--hubkit-seed 0 --hubkit-plan \"FaultPlan\(nodes=\('a', 'b'\), duration=5.0, faults=\(.*\"\n"
    assert re.search(rf"replay:   pytest 'test_it.py::test_plan\[seed0\]' {given}", plan)
    assert "replay:   pytest test_it.py::test_without_a_seed\n" in seedless
    assert "seed 5, " in seedless
    assert re.search(r"plan=FaultPlan\([\sE]+nodes=\('a', 'b'\),[\sE]+duration=5.0,", done.stdout)
    assert "production.py" not in done.stdout
    assert "raise captured_error" not in done.stdout
    pages = sorted((tmp_path / "out" / "put").glob("*.html"))
    assert len(pages) == 3
    for section in sections:
        (named,) = re.findall(r"timeline: (.*\.html)", section)
        assert Path(named) in pages
    again = run_pytest(tmp_path, "test_it.py::test_broken[seed1]", "--hubkit-seed", "1", "--full-trace")
    assert "production.py" in again.stdout
    assert "1 failed" in again.stdout
    hashes = [re.findall(r"trace (\w{32})", text) for text in (broken, again.stdout)]
    assert hashes[0][0] == hashes[1][0]


DICTATED = """
import os
import pytest

pytest_plugins = "pytester"
names = ("HUBKIT_REPLAY_PLAN", "HUBKIT_REPLAY_SEED")

def test_it():
    print([os.environ.get(name) for name in names])

def test_inner(pytester):
    pytester.makepyfile("import os\\ndef test_x():\\n    assert os.environ['HUBKIT_REPLAY_PLAN'] == 'P'")
    before = [os.environ.get(name) for name in names]
    assert pytester.inline_run("--hubkit-plan", "P", "-p", "no:cacheprovider").ret == 0
    assert [os.environ.get(name) for name in names] == before
    assert pytester.inline_run("-p", "no:cacheprovider").ret == 1
    assert [os.environ.get(name) for name in names] == before
"""


def test_plan_and_seed_are_in_the_environment_as_long_as_pytest_runs(tmp_path: Path) -> None:
    suite(tmp_path, DICTATED)
    for options, seen in (
        (["--hubkit-plan", "some plan"], "['some plan', None]"),
        (["--hubkit-seed", "-7"], "[None, '-7']"),
        ([], "[None, None]"),
    ):
        done = run_pytest(tmp_path, "-s", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert seen in done.stdout


def test_the_plugin_imports_nothing_of_hubkit(tmp_path: Path) -> None:
    suite(
        tmp_path,
        "import sys\ndef test_it():\n    assert not [name for name in sys.modules if name.startswith('hubkit')]\n",
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_failure_elsewhere_is_left_alone(tmp_path: Path) -> None:
    suite(tmp_path, "def test_it():\n    assert False\n")
    done = run_pytest(tmp_path)
    assert "1 failed" in done.stdout
    assert "hubkit -" not in done.stdout


def test_invariants_are_assertions_for_pytest() -> None:
    assert issubclass(InvariantViolated, AssertionError)
