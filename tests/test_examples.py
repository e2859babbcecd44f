"""The examples run, end by themselves, and show what they assert; `logwatch` is run as its users would."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio
from tests.cli.shell import ask, running
from tests.house import ROOT, SRC, python, shown

EXAMPLES = ROOT / "examples"
SERVES = {"logwatch.py"}  # goes on until it is stopped

programs = sorted(path for path in EXAMPLES.glob("*.py") if path.name not in SERVES)


@pytest.mark.parametrize("path", programs, ids=shown)
def test_an_example_runs_and_says_something(path: Path) -> None:
    result = python("-X", "dev", "-W", "error", path, within=30, env={"PYTHONPATH": str(SRC)})
    assert result.returncode == 0, result.stdout
    assert result.stdout.strip()
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize("path", programs, ids=shown)
def test_an_example_asserts_what_it_shows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("assert ") >= 3
    assert f"python examples/{path.name}" in text


def test_every_example_is_in_the_list() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"({path.name})" not in listed] == []


async def test_logwatch_watches_each_log_once_on_two_nodes(tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / f"service-{n}.log").write_text("t ERROR one\n")
    env = {"LOGWATCH": str(tmp_path)}
    free = "ws://127.0.0.1:0"
    async with running("run", "logwatch:main", "--listen", free, "--name", "one", cwd=EXAMPLES, env=env) as one:
        url = await one.url()
        command = ("run", "logwatch:main", "--listen", free, "--name", "two", "--join", url)
        async with running(*command, cwd=EXAMPLES, env=env) as two:
            homes: dict[str, list[str]] = {}
            with trio.fail_after(20):
                while len(homes) < 6 or sorted({tuple(nodes) for nodes in homes.values()}) != [("one",), ("two",)]:
                    homes = {row["child"]: row["nodes"] for row in await ask("children", url, cwd=tmp_path)}
            for run in (one, two):
                run.signal(signal.SIGTERM)
                assert await run.ends() == 0
