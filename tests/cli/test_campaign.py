"""Many seeds: which there are, which fails first, and that nothing is left of the processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from tests.cli.play import PLAY

from hubkit.cli import campaign as campaigns
from hubkit.cli.campaign import Seeds, Tally, campaign, cores
from hubkit.cli.failure import WrongUsage
from hubkit.cli.scenario import Outcome, Scenario

# -- ranges


@pytest.mark.parametrize(
    ("text", "first", "last", "number"),
    [
        ("1..100", 1, 100, 100),
        ("7..7", 7, 7, 1),
        ("-2..2", -2, 2, 5),
        ("5..", 5, None, None),
        (" 1 .. 1_000 ", 1, 1000, 1000),
        ("100", 0, 99, 100),
        ("1", 0, 0, 1),
    ],
)
def test_a_range_of_seeds(text: str, first: int, last: int | None, number: int | None) -> None:
    seeds = Seeds.parse(text)
    assert (seeds, seeds.number) == (Seeds(first, last), number)
    assert list(islice(seeds, 3)) == [first, first + 1, first + 2][: number or 3]
    assert Seeds.parse(str(seeds)) == seeds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5..4", "'5..4' is an empty range"),
        ("0", "'0' is an empty range"),
        ("-3", "'-3' is an empty range"),
        ("", "'' is no range of seeds: write 1..100"),
        ("..", "is no range"),
        ("..5", "is no range"),
        ("a..b", "is no range"),
        ("1..2..3", "is no range"),
        ("1.5", "is no range"),
        ("9" * 5000, "is no range"),
    ],
)
def test_what_is_no_range_is_told(text: str, expected: str) -> None:
    with pytest.raises(WrongUsage) as error:
        Seeds.parse(text)
    assert expected in str(error.value)


# -- the tally


def test_the_first_failure_is_the_first_by_number() -> None:
    tally = Tally()
    for seed in (4, 9, 2, 7):
        tally.add(
            Outcome(seed, error="x" if seed in (9, 2) else "", elapsed=2.0, steps=10, overlap=float(seed in (7, 9)))
        )
    assert tally.first_failure is not None
    assert tally.first_failure.seed == 2
    assert (tally.ran, tally.clean, tally.failed, tally.elapsed, tally.steps) == (4, 2, 2, 8.0, 40)
    assert (tally.overlap, tally.worst) == (1.0, 7)


def test_without_any_overlap_there_is_no_worst() -> None:
    tally = Tally()
    assert tally.first_failure is None
    tally.add(Outcome(3))
    assert (tally.overlap, tally.worst) == (0.0, None)


def test_of_very_many_failures_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "KEPT", 3)
    tally = Tally()
    for seed in reversed(range(10)):
        tally.add(Outcome(seed, error="x"))
    assert (tally.failed, [failure.seed for failure in tally.failures]) == (10, [0, 1, 2])


# -- real processes


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The scenarios, in the directory where the test is."""
    (tmp_path / "play.py").write_text(PLAY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    assert not multiprocessing.active_children()


def run(name: str, seeds: str, *, jobs: int = 2, keep_going: bool = False) -> Tally:
    tally = Tally()
    campaign(Scenario(f"play:{name}"), Seeds.parse(seeds), tally, jobs=jobs, keep_going=keep_going)
    return tally


def test_all_seeds_are_run(play: Path) -> None:
    tally = run("bare", "3..12")
    assert (tally.ran, tally.failed, tally.elapsed) == (10, 0, sum(range(4, 14)))


def test_the_smaller_of_two_failing_seeds_is_the_first_even_if_it_is_slower(play: Path) -> None:
    tally = run("uneven", "2..")
    assert tally.first_failure is not None
    assert (tally.first_failure.seed, tally.first_failure.error) == (2, "AssertionError: this one")
    assert "in uneven" in tally.first_failure.details
    assert tally.ran < 10


def test_one_may_go_on_after_a_failure(play: Path) -> None:
    tally = run("unlucky", "10..20", keep_going=True)
    assert [failure.seed for failure in tally.failures] == [11, 12, 17]
    assert tally.ran == 11


def test_a_process_that_dies_is_the_failure_of_its_seed(play: Path) -> None:
    tally = run("dies", "5", keep_going=True)
    assert [(failure.seed, failure.error) for failure in tally.failures] == [
        (1, "the process in which it ran ended with exit code 7"),
        (3, "the process in which it ran ended by SIGKILL"),
    ]
    assert tally.ran == 5


def test_every_process_is_told_of_checkers_network_and_limit(play: Path) -> None:
    found = []
    for said in ({"checkers": ("single_owner(1)",)}, {"network": "latency=2.0"}, {"limit": 4.0}, {}):
        tally = Tally()
        scenario = Scenario("play.py:overlapping", **said)
        campaign(scenario, Seeds(3, 3), tally, jobs=1)
        found.append(tally.first_failure.error if tally.first_failure else f"{tally.steps}")
    owned, slow, limited, clean = found
    assert "allowed are 1 s" in owned
    assert "goes on after 4 virtual seconds" in limited
    assert slow != clean
    assert clean.isdecimal()


def test_it_ends_when_its_time_is_up(play: Path) -> None:
    tally = Tally()
    campaign(Scenario("play:bare"), Seeds(0, None), tally, jobs=1, is_time_up=lambda: tally.ran >= 3)
    assert tally.ran == 3


def test_breaking_it_off_leaves_no_process(play: Path) -> None:
    def look() -> None:
        if tally.ran:
            raise KeyboardInterrupt

    tally = Tally()
    with pytest.raises(KeyboardInterrupt):
        campaign(Scenario("play:bare"), Seeds(0, None), tally, jobs=2, look=look)
    assert not multiprocessing.active_children()


def test_there_is_a_core() -> None:
    assert cores() >= 1
