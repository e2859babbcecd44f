"""The type checkers know the protocol of every actor: right calls pass, and each wrong one is found, by both."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.house import ROOT, python

Errors = Callable[[Path, Path], set[int]]

TYPING = ROOT / "tests" / "typing"

pytestmark = pytest.mark.limit(180)


def mypy_errors(path: Path, cache: Path) -> set[int]:
    """The lines of ``path`` that mypy complains of."""
    config = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", cache, "--no-pretty", "--no-error-summary")
    result = python("-m", "mypy", *config, path, within=150)
    assert result.returncode in {0, 1}, result.stdout
    errors = re.findall(r"^(.+?):(\d+): error: ", result.stdout, flags=re.MULTILINE)
    elsewhere = [file for file, _ in errors if (ROOT / file).resolve() != path]
    assert not elsewhere, result.stdout
    return {int(line) for _, line in errors}


def pyright_errors(path: Path, cache: Path) -> set[int]:
    """The lines of ``path`` that pyright complains of. (It keeps no cache.)"""
    result = python("-m", "pyright", "--outputjson", "--pythonpath", sys.executable, path, within=150)
    assert result.returncode in {0, 1}, result.stdout
    report = json.loads(result.stdout[result.stdout.index("{") :])
    assert report["summary"]["filesAnalyzed"] == 1, result.stdout
    errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
    return {found["range"]["start"]["line"] + 1 for found in errors}


both = pytest.mark.parametrize("errors", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])


@both
def test_right_calls_pass(errors: Errors, tmp_path: Path) -> None:
    assert errors(TYPING / "right.py", tmp_path) == set()


@both
def test_every_wrong_call_is_found_and_nothing_else(errors: Errors, tmp_path: Path) -> None:
    path = TYPING / "wrong.py"
    marked = {n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "# wrong: " in line}
    assert marked
    found = errors(path, tmp_path)
    assert found == marked, f"not found: {sorted(marked - found)}; found though right: {sorted(found - marked)}"
