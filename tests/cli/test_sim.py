"""``hubkit sim``: what is typed, and what is said."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from tests.cli.play import PLAY
from tests.cli.shell import complaint, hubkit, running

from hubkit.cli import main
from hubkit.cli.campaign import Tally
from hubkit.cli.scenario import Outcome
from hubkit.cli.sim import Progress
from hubkit.environment import Environment


@pytest.fixture
def play(tmp_path: Path) -> Path:
    (tmp_path / "play.py").write_text(PLAY)
    return tmp_path


# -- what is typed


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["sim", "--help"])
    assert exit.value.code == 0
    assert "example:\n  hubkit sim shop:main --seed 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["play:main", "--seeds", "9..1"], "'9..1' is an empty range"),
        (["play:main", "--seed", "1", "--seeds", "9"], "--seed is for one seed and --seeds for many"),
        (["play:main", "--seed", "1", "--seconds", "9"], "--seed is for one seed and --seconds for many"),
        (["play:main", "--jobs", "0"], "--jobs must be at least 1, not 0"),
        (["play:main", "--seconds", "0"], "--seconds must be a number above 0, not 0"),
        (["play:main", "--seconds", "nan"], "--seconds must be a number above 0, not nan"),
        (["play:main", "--check", "--network", "websocket"], "only simulated ones can be the same"),
        (["play:main", "--trace", "nowhere/page.html"], "there is no directory nowhere"),
        (["play:main", "--trace", "."], "that is a directory"),
        (
            ["play:main", "--network", "carrier"],
            "--network: 'carrier' is no network: write simulated, websocket, or some of",
        ),
        (
            ["play:main", "--checker", "single_owner"],
            "--checker: 'single_owner' is no checker that can be named. There are:",
        ),
        (["play:main", "--limit", "-1"], "--limit must be a number of seconds above 0, not -1"),
        (["nowhere/play.py:main"], "the file nowhere/play.py is not there"),
        (["plaything:main"], "there is no module 'plaything'"),
        (["json:dumps"], "json:dumps is no async function; it is given the simulation"),
    ],
)
def test_arguments_that_make_no_sense_are_told_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("hubkit: ")
    assert said.count("\n") == 1
    assert expected in said


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "seven"], ["--seed", "1.5"], ["--jobs", "all"], ["--seconds", "long"], ["--limit", "far"]],
)
def test_values_of_another_kind_are_told_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["sim", "play:main", *arguments])
    assert exit.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_a_scenario_that_needs_more_is_told(play: Path) -> None:
    result = hubkit("sim", "play:two", cwd=play)
    assert result.returncode == 2
    assert "cannot be called with one argument; it is given the simulation" in complaint(result)


# -- one seed


def test_a_clean_seed(play: Path) -> None:
    result = hubkit("sim", "play:main", "--seed", "4", "--trace", "page.html", cwd=play)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(
        r"seed 4 is clean: .* virtual seconds in .* steps, no overlap, trace [0-9a-f]{32}\n", result.stdout
    )
    assert result.stderr == "the timeline of seed 4 is in page.html\n"
    page = (play / "page.html").read_text("utf-8")
    assert "play:main | hubkit timeline" in page
    assert "shop/c3" in page


def test_the_same_seed_has_the_same_trace_in_another_process(play: Path) -> None:
    traces = set()
    for salt in ("1", "2"):
        found = json.loads(hubkit("sim", "play:overlapping", "--json", cwd=play, env={"PYTHONHASHSEED": salt}).stdout)
        traces.add(found["trace_hash"])
        assert found["ok"]
        assert found["overlap"] > 1.0
    assert len(traces) == 1


def test_a_seed_that_fails(play: Path) -> None:
    result = hubkit("sim", "play:unlucky", "--seed", "11", "--trace", "page.html", cwd=play)
    assert result.returncode == 1
    assert result.stdout.startswith("seed 11 failed: ValueError: unlucky 11\\x1b[31m\n\nTraceback")
    assert "replay it with: hubkit sim play:unlucky --seed 11\n" in result.stdout
    assert "hubkit sim play:unlucky --seed 11" in (play / "page.html").read_text("utf-8")


def test_what_a_scenario_prints_does_not_get_into_the_json(play: Path) -> None:
    result = hubkit("sim", "play:bare", "--json", cwd=play)
    assert json.loads(result.stdout)["elapsed"] == 1.0
    assert result.stderr == "said by seed 0\n"


def test_a_failure_in_json(play: Path) -> None:
    result = hubkit("sim", "play:unlucky", "--seed", "11", "--json", cwd=play)
    found = json.loads(result.stdout)
    assert (result.returncode, found["seed"], found["ok"]) == (1, 11, False)
    assert found["error"] == "ValueError: unlucky 11\x1b[31m"
    assert "Traceback" in found["details"]


def test_a_check_that_finds_nothing_and_one_that_does(play: Path) -> None:
    result = hubkit("sim", "play:main", "--check", cwd=play)
    assert result.stdout.startswith("seed 0 is clean, and the same when run twice: ")
    result = hubkit("sim", "play:drifts", "--check", cwd=play)
    assert result.returncode == 1
    assert result.stdout.startswith("seed 0 failed: two runs with this seed are not the same\n\nthe runs part at step")


def test_a_timeline_that_cannot_be_written_is_told(play: Path) -> None:
    (play / "page.html").write_text("")
    (play / "page.html").chmod(0o400)
    (play / "full").symlink_to("/dev/full")
    result = hubkit("sim", "play:main", "--trace", "full", cwd=play)
    assert result.returncode == 1
    assert complaint(result) == "hubkit: the timeline cannot be written to full: No space left on device"


async def test_ctrl_c_ends_a_single_seed(play: Path) -> None:
    async with running("sim", "play:forever", cwd=play) as run:
        await run.says("begun")
        run.signal(signal.SIGINT)
        assert await run.ends() == 128 + signal.SIGINT
        assert "Traceback" not in run.err


SAID = ("--network", "latency=0.02,jitter=0", "--limit", "100", "--checker", "monotonic_terms()", "--checker")


def test_all_that_is_said_reaches_one_seed(play: Path) -> None:
    result = hubkit("sim", "play.py:overlapping", *SAID, "single_owner(overlap=3)", "--json", cwd=play)
    found = json.loads(result.stdout)
    assert (result.returncode, found["ok"]) == (1, False), result.stderr
    assert "allowed are 3 s" in found["error"]
    assert (found["target"], found["plan"], found["network"]) == (
        "play.py:overlapping",
        None,
        {"latency": 0.02, "jitter": 0},
    )
    assert (found["limit"], found["checkers"]) == (100.0, ["monotonic_terms()", "single_owner(3.0)"])
    checkers = '--checker "monotonic_terms()" --checker "single_owner(3.0)"'
    command = f"hubkit sim play.py:overlapping --seed 0 --network latency=0.02,jitter=0 {checkers} --limit 100.0"
    assert found["details"].endswith(f"replay it with: {command}")
    again = json.loads(hubkit(*shlex.split(command)[1:], "--json", cwd=play).stdout)
    assert (again["trace_hash"], again["error"]) == (found["trace_hash"], found["error"])


# -- many seeds


def test_all_that_is_said_reaches_many_seeds(play: Path) -> None:
    result = hubkit("sim", "play.py:overlapping", *SAID, "single_owner(3)", "--seeds", "2", "--json", cwd=play)
    found = json.loads(result.stdout)
    assert (found["failed"], found["limit"], found["network"]) == (found["ran"], 100.0, {"latency": 0.02, "jitter": 0})
    assert "allowed are 3 s" in found["failures"][0]["error"]
    assert "hubkit sim play.py:overlapping --seed 0 --network latency=0.02,jitter=0 " in found["failures"][0]["details"]


def test_many_clean_seeds(play: Path) -> None:
    result = hubkit("sim", "play:bare", "--seeds", "1..6", "--jobs", "2", "--trace", "page.html", cwd=play)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.match(
        r"6 seeds clean \(of 1\.\.6\) in .* s: .* seeds a second, .* virtual seconds a second\nno overlap\n",
        result.stdout,
    )
    assert not (play / "page.html").exists()


def test_the_first_of_many_that_fails(play: Path) -> None:
    result = hubkit("sim", "play:unlucky", "--seeds", "10..", "--jobs", "2", "--trace", "page.html", cwd=play)
    assert result.returncode == 1
    assert result.stdout.startswith("seed 11 failed: ValueError: unlucky 11\\x1b[31m\n")
    assert re.search(r"^1 of \d seeds clean|^\d of \d seeds clean", result.stdout, re.MULTILINE)
    assert result.stderr == "the timeline of seed 11 is in page.html\n"
    assert "unlucky 11" in (play / "page.html").read_text("utf-8")


def test_many_in_json(play: Path) -> None:
    result = hubkit("sim", "play:unlucky", "--seeds", "8..17", "--keep-going", "--json", cwd=play)
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert (found["ran"], found["clean"], found["failed"], found["first_failure"]) == (10, 7, 3, 11)
    assert [failure["seed"] for failure in found["failures"]] == [11, 12, 17]
    assert found["seeds_per_second"] > 0


def test_the_worst_overlap_is_told_with_its_seed(play: Path) -> None:
    result = hubkit("sim", "play:overlapping", "--seeds", "2", "--jobs", "1", cwd=play)
    assert result.returncode == 0, result.stdout
    assert re.search(r"^worst overlap \d+\.\d{6} s, with seed [01]$", result.stdout, re.MULTILINE)


def test_seeds_for_some_time(play: Path) -> None:
    result = hubkit("sim", "play:bare", "--seconds", "0.5", "--jobs", "1", "--seeds", "5..", cwd=play)
    assert result.returncode == 0, result.stderr
    assert re.match(r"\d+ seeds? clean \(of 5\.\.\)", result.stdout)


def test_a_seed_that_takes_its_process_with_it_has_no_timeline(play: Path) -> None:
    result = hubkit("sim", "play:dies", "--seeds", "1..1", "--trace", "page.html", cwd=play)
    assert result.returncode == 1
    assert result.stdout.startswith("seed 1 failed: the process in which it ran ended with exit code 7\n")
    assert result.stderr == "no timeline of seed 1: it takes its process with it\n"


def test_a_failure_that_does_not_come_again_is_told(play: Path) -> None:
    result = hubkit("sim", "play:heals_itself", "--seeds", "1", "--trace", "page.html", cwd=play)
    assert result.returncode == 1
    assert "seed 0 has failed, but is clean when it is run again: see --check" in result.stderr


async def test_ctrl_c_ends_many_at_once_and_says_how_far_they_came(play: Path) -> None:
    async with running("sim", "play:forever", "--seeds", "5", "--jobs", "2", cwd=play) as run:
        with trio.move_on_after(3):
            await run.ends(within=10)  # long enough for the processes to begin
        run.signal(signal.SIGINT)
        assert await run.ends(within=5) == 128 + signal.SIGINT
        await run.says("broken off\n0 seeds clean")
        assert "Traceback" not in run.err


# -- how far it is


@dataclass
class Hands(Environment):
    """A clock that is set by hand."""

    time: float = 100.0

    def now(self) -> float:
        return self.time


def progress(number: int | None, limit: float | None, out: io.StringIO | None = None) -> tuple[Progress, Tally, Hands]:
    clock, tally = Hands(), Tally()
    return Progress(tally, number, limit, out or io.StringIO(), clock), tally, clock


def plain(found: Progress) -> str:
    return "".join(part.text for part in found.words())


def test_the_words_of_progress() -> None:
    found, tally, clock = progress(200, None)
    assert plain(found) == "0 of 200 seeds, 0 a second, 0 failed"
    for seed in range(50):
        tally.add(Outcome(seed, error="x" if seed == 7 else "", overlap=1.25 * (seed == 3)))
    clock.time += 20
    assert plain(found) == "50 of 200 seeds, 2.5 a second, 1 failed, worst overlap 1.25 s, 60.0 s to go"


def test_without_an_end_there_is_none_to_wait_for() -> None:
    found, tally, clock = progress(None, None)
    tally.add(Outcome(1))
    clock.time += 4
    assert (plain(found), found.share()) == ("1 seeds, 0.25 a second, 0 failed", None)
    assert found.bar() == found.words()


@pytest.mark.parametrize(
    ("past", "share", "is_up"), [(0, 0.0, False), (900, 0.25, False), (3600, 1.0, True), (4000, 1.0, True)]
)
def test_a_limit_of_time(past: float, share: float, is_up: bool) -> None:
    found, _, clock = progress(None, 3600.0)
    clock.time += past
    assert (found.share(), found.is_time_up()) == (share, is_up)


def test_the_end_is_told_in_hours_when_it_is_far() -> None:
    found, _, clock = progress(None, 36_000.0)
    clock.time += 3600
    assert plain(found).endswith("9 h 00 min to go")


def test_where_there_is_no_terminal_a_line_is_said_now_and_then() -> None:
    out = io.StringIO()
    found, _, clock = progress(10, None, out)
    with found.shown():
        for _ in range(25):
            clock.time += 1
            found.look()
    assert out.getvalue().splitlines() == ["0 of 10 seeds, 0 a second, 0 failed"] * 2


class Terminal(io.StringIO):
    """It says that it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "100"), ("LINES", "40"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    out = Terminal()
    found, tally, clock = progress(4, None, out)
    with found.shown():
        tally.add(Outcome(0))
        clock.time += 2
        found.look()
        found.look()  # too early for another picture
    bar = "██████░░░░░░░░░░░░░░░░░░  1 of 4 seeds, 0.5 a second, 0 failed, 6.00 s to go\n"
    assert out.getvalue() == f"\x1b[?25l{bar}\x1b[1A\x1b[J\x1b[?25h"


def test_a_bar_without_room_is_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    found, tally, clock = progress(4, None, Terminal())
    tally.add(Outcome(0))
    clock.time += 2
    assert found.bar() == found.words()
