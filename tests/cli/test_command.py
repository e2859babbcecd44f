"""The arguments, the help, and how a command ends."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.shell import HUBKIT, complaint, environment, hubkit

from hubkit import __version__
from hubkit.cli import main
from hubkit.cli.command import _Formatter
from hubkit.cli.failure import Failure, WrongUsage

COMMANDS = ("demo", "run", "status", "children")


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"hubkit {__version__}\n"


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    assert f"example:\n  hubkit {command}" in capsys.readouterr().out


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "children" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run"], "module:function"),
        (["status"], "URL"),
        (["status", "ws://127.0.0.1:1", "--fast"], "--fast"),
        (["run", "shop:main", "--log-level", "loud"], "loud"),
        (["run", "shop:main", "--secret", "hunter2"], "unrecognized arguments: --secret"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("hubkit: ")
    assert said.count("\n") == 1
    assert "--help" in said
    assert expected in said


@pytest.mark.parametrize(("failure", "code"), [(Failure("no\nway"), 1), (WrongUsage("no\nway"), 2)])
def test_a_failure_is_one_line_and_its_exit_code(
    failure: Failure, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise failure

    monkeypatch.setattr("hubkit.cli.demo.demo", fail)
    assert main(["demo"]) == code
    assert capsys.readouterr().err == "hubkit: no way\n"


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("hubkit.cli.demo.demo", interrupted)
    with pytest.raises(SystemExit) as exit:
        main(["demo"])
    assert exit.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    process = subprocess.Popen([*HUBKIT], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # what it prints has nowhere to go
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(30) in (2, 128 + signal.SIGPIPE)


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    assert hubkit("--version", cwd=tmp_path).stdout == f"hubkit {__version__}\n"
    assert complaint(hubkit("fly", cwd=tmp_path)).startswith("hubkit: ")


def test_a_record_of_the_log_is_a_line_and_a_traceback_is_indented() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("tests.cli.formatter")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("two\nlines\rhere")
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("it failed")
    first, second, *rest = out.getvalue().splitlines()
    assert first == "WARNING two\\nlines\\rhere"
    assert second == "ERROR it failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)
