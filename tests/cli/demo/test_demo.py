"""The whole demo, as a new user sees it: real processes, real signals, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import trio
from tests.cli.shell import HUBKIT, Run, environment, hubkit, running

ACTS = 6


def lives(pid: int) -> bool:
    """Whether there is such a process. One that has ended, and that nobody has buried yet, does not live."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self/stat").exists()  # elsewhere the first answer is the best there is
    return state != "Z"


def processes(text: str) -> set[int]:
    """The processes that a table of the demo names."""
    return {int(number) for number in re.findall(r"^  node-\d +(\d+)", text, flags=re.MULTILINE)}


async def all_end(pids: set[int]) -> None:
    with trio.fail_after(15):
        for pid in pids:
            while lives(pid):
                await trio.lowlevel.checkpoint()


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, str]:
    """Where the demo is to put its files: it must leave nothing there."""
    return {"TMPDIR": str(tmp_path)}


def test_the_demo_shows_it_all_within_twenty_seconds(tmp_path: Path, folder: dict[str, str]) -> None:
    result = hubkit("demo", cwd=tmp_path, within=20, env=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout
    assert result.stderr == ""
    assert "\x1b" not in text
    assert [int(number) for number in re.findall(r"^ (\d)\. ", text, flags=re.MULTILINE)] == list(range(1, ACTS + 1))
    assert re.search(r"Every child runs again \d+ ms after the kill", text)
    assert "runs in exactly one process" in text
    assert "Every child runs exactly once." in text
    assert "✗" not in text
    found = processes(text)
    assert len(found) == 4
    assert not any(map(lives, found))
    assert os.listdir(tmp_path) == []


async def past_the_start(run: Run) -> set[int]:
    await run.says(r"All run after")
    await run.says(r"node-3 +\d+  running")
    return processes(run.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupted_demo_leaves_nothing_behind(
    number: signal.Signals, tmp_path: Path, folder: dict[str, str]
) -> None:
    async with running("demo", cwd=tmp_path, env=folder) as run:
        pids = await past_the_start(run)
        assert len(pids) == 3
        run.signal(number)
        assert await run.ends(within=15) == 128 + number
        await all_end(pids)
        assert run.err == ""
    assert os.listdir(tmp_path) == []


async def test_even_a_killed_demo_leaves_no_process_behind(tmp_path: Path, folder: dict[str, str]) -> None:
    async with running("demo", cwd=tmp_path, env=folder) as run:
        pids = await past_the_start(run)
        run.signal(signal.SIGKILL)
        await run.ends()
        await all_end(pids)
    assert pids


async def test_a_node_that_dies_by_itself_is_told_and_ends_the_demo(tmp_path: Path, folder: dict[str, str]) -> None:
    async with running("demo", cwd=tmp_path, env=folder) as run:
        pids = await past_the_start(run)
        os.kill(max(pids), signal.SIGKILL)  # node-3, which the demo does not mean to lose
        assert await run.ends() == 1
        assert re.search(r"Something is wrong: node-3 \(process \d+\)\s+has\s+ended\s+by\s+itself", run.out)
        await all_end(pids)
    assert os.listdir(tmp_path) == []


def test_a_reader_that_has_seen_enough_ends_the_demo(tmp_path: Path, folder: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*HUBKIT, "demo"], cwd=tmp_path, env=environment(**folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stderr, process.stdout:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 128 + signal.SIGPIPE
    assert os.listdir(tmp_path) == []
