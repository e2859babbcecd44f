"""Imports point down only: the contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.house import PACKAGE, ROOT, module_of, parsed, python, rooms, shown

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """Judge the package in ``tree/src`` by the contracts in ``tree/pyproject.toml``."""
    return python("-c", LINT, within=50, cwd=tree, env={"PYTHONPATH": str(tree / "src"), "NO_COLOR": "1"})


def test_every_import_points_down() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout, result.stdout


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("errors.py", "import hubkit.specs, hubkit.actors", "The house"),
        ("cluster/__init__.py", "import hubkit.strategies", "The house"),
        ("node/__init__.py" if (PACKAGE / "node").is_dir() else "node.py", "import hubkit.cli", "The house"),
        ("strategies/__init__.py", "import time", "floors 0 and 1 are pure"),
        ("supervision/restarts.py", "import trio", "floors 0 and 1 are pure"),
        ("net/transport.py", "import hubkit.actors", "net knows bytes"),
        ("net/wire.py", "import hubkit.net.mesh", "net: what touches"),
        ("actors/__init__.py", "import hubkit.cluster", "supervision and actors"),
        ("net/unplaced.py", "'''A room without a floor.'''", "net: what touches"),
        ("unplaced.py", "'''A room without a floor.'''", "The house"),
    ],
)
def test_a_wrong_import_is_noticed(room: str, line: str, contract: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "src" / "hubkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    wrong = tmp_path / "src" / "hubkit" / room
    assert wrong.exists() or wrong.name == "unplaced.py", f"{room} has moved: choose another room for this example"
    with wrong.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")

    result = lint(tmp_path)
    assert result.returncode != 0, result.stdout
    assert contract in result.stdout, result.stdout


@pytest.mark.parametrize("path", rooms(), ids=shown)
def test_no_room_looks_up_to_the_public_face(path: Path) -> None:
    # `import hubkit` and `from hubkit import Hub` reach through the roof; `from hubkit import errors` names a room.
    if module_of(path).startswith(("hubkit.cli", "hubkit.testing")) or path == PACKAGE / "__init__.py":
        return
    floor_names = {p.stem for p in PACKAGE.iterdir()}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            assert "hubkit" not in {alias.name for alias in node.names}, f"{shown(path)}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.module == "hubkit":
            assert {alias.name for alias in node.names} <= floor_names, f"{shown(path)}:{node.lineno}"
