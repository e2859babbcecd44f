"""One seed: what became of it, in words."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.play import PLAY, TESTS

from hubkit.cli.failure import WrongUsage
from hubkit.cli.scenario import Scenario, Stage
from hubkit.testing.checkers import monotonic_terms, single_owner
from hubkit.testing.faults import Partition
from hubkit.testing.plans import FaultPlan


@pytest.fixture(autouse=True)
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The scenarios, in the directory where the test is."""
    (tmp_path / "play.py").write_text(PLAY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("play", None)
    yield tmp_path
    sys.modules.pop("play", None)


@pytest.fixture
def tests(play: Path) -> Iterator[None]:
    """Tests that are scenarios as well."""
    (play / "tests").mkdir()
    (play / "tests" / "test_play.py").write_text(TESTS)
    yield
    sys.modules.pop("test_play", None)


def stage(name: str, **values: object) -> Stage:
    return Stage(Scenario(f"play:{name}", **values))  # type: ignore[arg-type]  # passed on as they are


def test_a_clean_seed_has_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    played = stage("bare").play(4)
    assert played.report is not None
    outcome = played.outcome
    assert (outcome.seed, outcome.elapsed, outcome.error, outcome.details) == (4, 5.0, "", "")
    assert (outcome.steps, outcome.trace_hash) == (played.report.steps, played.report.trace_hash)
    assert outcome.seconds > 0
    assert capsys.readouterr().out == "said by seed 4\n"
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_a_failure_shows_the_scenario_s_own_lines_and_how_to_see_it_again() -> None:
    played = stage("unlucky").play(11)
    outcome = played.outcome
    assert outcome.error == "ValueError: unlucky 11\x1b[31m"
    assert 'raise ValueError(f"unlucky' in outcome.details
    assert "runner.py" not in outcome.details
    assert "replay it with: " in outcome.details
    assert (outcome.elapsed, played.report is not None) == (1.0, True)
    assert played.error.startswith("ValueError: unlucky 11\x1b[31m\nhubkit simulation: seed 11")
    assert "Traceback" not in played.error


def test_an_error_in_hubkit_s_own_lines_shows_them() -> None:
    details = stage("inner").play(0).outcome.details
    assert "in inner" in details
    assert "specs.py" not in details  # it says by itself what is wrong
    details = stage("grouped").play(0).outcome.details
    assert "in look_up" in details


def test_a_group_of_one_is_its_error() -> None:
    outcome = stage("grouped").play(5).outcome
    assert outcome.error == "KeyError: 'x'"
    assert "ExceptionGroup" not in outcome.details
    assert outcome.details.count("replay it with") == 1


def test_an_exit_is_a_failure() -> None:
    assert stage("leaves").play(0).outcome.error == "SystemExit: 3"


def test_a_plan_is_played() -> None:
    plan = "FaultPlan(nodes=('a', 'b'), duration=20.0, faults=(Crash(at=1.0, node='b', until=5.0),))"
    played = stage("main", plan=plan).play(1)
    assert played.outcome.error == ""
    assert played.report is not None
    assert any(step.kind == "fault" for step in played.report.trace)


@pytest.mark.parametrize(
    ("name", "plan", "expected"),
    [
        (
            "two",
            None,
            "play:two cannot be called with one argument; it is given the simulation, and with --plan a plan as 'ot",
        ),
        (
            "three",
            None,
            "play:three cannot be called with one argument; it is given the simulation: async def main(sim: ",
        ),
        ("plain", None, "play:plain is no async function; it is given the simulation"),
        ("uneve", None, "did you mean uneven?"),
        ("zzzzz", None, "write one: async def main(sim: hubkit.testing.Simulation) -> None"),
        ("main", "Crash(at=1.0, node='a')", "--plan: this is no fault plan"),
        ("main", "FaultPlan(", "--plan: this is no fault plan"),
        ("main", "FaultPlan(nodes=('a',), duration=-1.0)", "--plan: duration"),
    ],
)
def test_what_cannot_be_run_is_told(name: str, plan: str | None, expected: str) -> None:
    with pytest.raises(WrongUsage) as error:
        stage(name, plan=plan)
    assert expected in str(error.value)


# -- what is said about it, and tests

CUT = FaultPlan(nodes=("a", "b"), duration=20.0, faults=(Partition(at=1.0, until=15.0, groups=(("a",), ("b",))),))


def of_tests(name: str, **values: object) -> Stage:
    return Stage(Scenario(f"tests/test_play.py:{name}", **values))  # type: ignore[arg-type]  # passed on as they are


def test_a_network_checkers_and_a_limit_reach_the_simulation() -> None:
    played = stage(
        "overlapping", checkers=("monotonic_terms()", "single_owner(overlap=5.0)"), network="latency=0.25"
    ).play(3)
    assert "child 'c' of hub 'shop' was owned by" in played.outcome.error
    command = "hubkit sim play:overlapping --seed 3 --network latency=0.25 "
    checkers = '--checker "monotonic_terms()" --checker "single_owner(5.0)"'
    assert f"replay it with: {command}{checkers}\n" in f"{played.outcome.details}\n"
    assert stage("overlapping").play(3).outcome.error == ""
    limited = stage("bare", limit=3.5).play(3)
    assert "goes on after 3.5 virtual seconds" in limited.outcome.error
    assert limited.outcome.details.endswith("replay it with: hubkit sim play:bare --seed 3 --limit 3.5")


@pytest.mark.usefixtures("tests")
@pytest.mark.parametrize("name", ["test_simulated", "test_given"])
def test_a_simulated_test_is_run_as_it_is(name: str) -> None:
    found = of_tests(name, plan=repr(CUT))
    assert (found.network, found.checkers, found.limit) == ({"latency": 0.02}, (single_owner(2.5),), 50.0)
    outcome = found.play(3).outcome
    assert "allowed are 2.5 s" in outcome.error
    assert outcome.details.endswith(f'replay it with: hubkit sim tests/test_play.py:{name} --seed 3 --plan "{CUT!r}"')


@pytest.mark.usefixtures("tests")
def test_what_was_typed_goes_before_what_the_test_says() -> None:
    found = of_tests("test_given", plan=repr(CUT), network="simulated", limit=5, checkers=("monotonic_terms()",))
    assert (found.network, found.checkers, found.limit) == ("simulated", (monotonic_terms(),), 5)
    outcome = found.play(3).outcome
    assert "goes on after 5 virtual seconds" in outcome.error
    options = '--network simulated --checker "monotonic_terms()" --limit 5.0'
    assert outcome.details.endswith(f'test_given --seed 3 --plan "{CUT!r}" {options}')


@pytest.mark.usefixtures("tests")
@pytest.mark.parametrize(
    ("name", "plan"), [("annotated", CUT), ("annotated", None), ("guessed", CUT), ("scenario", CUT)]
)
def test_a_second_parameter_is_the_plan(name: str, plan: FaultPlan | None) -> None:
    assert of_tests(name, plan=None if plan is None else repr(plan)).play(1).outcome.error == ""


@pytest.mark.usefixtures("tests")
@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("scenario", {}, "it is given the simulation, and with --plan a plan as 'plan': async def"),
        ("test_given", {}, "it is given the simulation, and with --plan a plan as 'disaster': async def"),
        (
            "test_more",
            {"plan": repr(CUT)},
            "test_more cannot be called with one argument; it is given the simulation: ",
        ),
        ("test_more", {}, "a method or a parametrised one, is played by pytest with --hubkit-seed"),
        (
            "test_real",
            {"check": True},
            "--check compares two runs, and only simulated ones can be the same: say --network",
        ),
        (
            "annotated",
            {"checkers": ("nothing()",)},
            "--checker: 'nothing()' is no checker that can be named. There are: ",
        ),
        ("annotated", {"network": "carrier"}, "--network: 'carrier' is no network: write simulated, websocket, or "),
        ("annotated", {"limit": 0.0}, "--limit must be a number of seconds above 0, not 0"),
        ("annotated", {"limit": float("nan")}, "--limit must be a number of seconds above 0, not nan"),
    ],
)
def test_what_does_not_fit_is_told(name: str, values: dict[str, object], expected: str) -> None:
    with pytest.raises(WrongUsage) as error:
        of_tests(name, **values)
    assert expected in str(error.value)


def test_a_scenario_that_waits_for_ever_is_told_with_its_own_line() -> None:
    assert "play.py" in stage("stuck").play(0).outcome.error


# -- run twice


def test_a_scenario_that_is_the_same_twice_is_clean() -> None:
    assert stage("main", check=True).play(3).outcome.error == ""


def test_a_scenario_that_fails_the_same_way_twice_is_told_as_a_failure() -> None:
    assert stage("unlucky", check=True).play(11).outcome.error == "ValueError: unlucky 11\x1b[31m"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("drifts", "  + "),
        ("fickle", "the first was clean, and the second failed with AssertionError: not again"),
        ("lazy", "they took 1.0 and 2.0 virtual seconds"),
    ],
)
def test_where_two_runs_part_is_told(name: str, expected: str) -> None:
    played = stage(name, check=True).play(3)
    assert played.outcome.error == "two runs with this seed are not the same"
    assert expected in played.outcome.details
    assert played.error == f"{played.outcome.error}\n{played.outcome.details}"


def test_two_runs_that_part_and_fail_are_told_with_the_failure() -> None:
    details = stage("doomed", check=True).play(0).outcome.details
    assert "the runs part at step" in details
    assert "and the first of them failed:" in details
    assert "AssertionError: run 1" in details
