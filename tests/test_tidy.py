"""The style of the house, as far as a program can judge it. CONTRIBUTING.md has the rest, and the reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.house import PACKAGE, ROOT, SRC, parsed, rooms, shown

ROOM_LINES = 450
FUNCTION_LINES = 70

#: The one room with clocks and chance, and what takes its place in simulations: seeded chance, trio's own made to repeat
#: itself, and the refusal of real waiting.
ENVIRONMENT = {
    PACKAGE / "environment.py",
    *(PACKAGE / "testing" / name for name in ("environment.py", "scheduling.py", "guard.py")),
}
CLOCKS_AND_CHANCE = {"time", "random", "secrets"}
ALSO_CHANCE = {
    *("os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}

FRAGMENT = re.compile(r"(\d+|\+[a-z0-9-]+)\.(feature|bugfix|doc|removal|misc)(\.\d+)?\.md")

# Put together here, so that this file passes its own test.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
UNEXPLAINED_TYPE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]  # \S)")
UNNAMED_NOQA = re.compile(r"#\s*noqa(?!: [A-Z]+\d+)")

everything = sorted(
    path
    for folder in ("src", "tests", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "typing" not in path.parts
)
each_room = pytest.mark.parametrize("path", rooms(), ids=shown)
each_file = pytest.mark.parametrize("path", everything, ids=shown)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``: a type is no clock."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo.extend(node.orelse)
            continue
        yield node
        todo.extend(ast.iter_child_nodes(node))


def test_there_is_something_to_judge() -> None:
    assert len(rooms()) > 5
    assert PACKAGE.is_relative_to(SRC)


@each_room
def test_a_room_is_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= ROOM_LINES, f"{lines} lines: this room has two subjects"


@each_room
def test_a_function_is_small(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{shown(path)}:{node.lineno} {node.name} has {lines} lines"


@each_room
def test_a_room_opens_with_its_law(path: Path) -> None:
    if path.name == "__init__.py" and not path.read_text(encoding="utf-8").strip():
        return  # an empty one only makes a package
    assert ast.get_docstring(parsed(path)), f"{shown(path)} does not say what it is for"


@each_room
def test_a_room_lists_what_it_offers(path: Path) -> None:
    tree = parsed(path)
    if path.name in {"__init__.py", "__main__.py"} or path.name.startswith("_"):
        return
    assigned = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
    assert "__all__" in assigned, f"{shown(path)} has no __all__"


@each_file
def test_nothing_swallows_a_cancellation(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {"BaseException"} if node.type is None else set(re.findall(r"\w+", ast.unparse(node.type)))
        if caught & {"BaseException", "BaseExceptionGroup", "Cancelled", "KeyboardInterrupt"}:
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert raises, f"{shown(path)}:{node.lineno} catches {', '.join(sorted(caught))} for good"


@each_file
def test_nothing_is_left_half_said(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{shown(path)}:{number} {line.strip()}"
        assert not UNFINISHED.search(line), where
        assert not UNEXPLAINED_TYPE.search(line), f"{where}: say which error is ignored, and in a second comment why"
        assert not UNNAMED_NOQA.search(line), f"{where}: say which rule"


@each_room
def test_clocks_and_chance_have_one_room(path: Path) -> None:
    if path in ENVIRONMENT:
        return
    for node in runtime_nodes(parsed(path)):
        if isinstance(node, ast.Import):
            found = {alias.name for alias in node.names} & CLOCKS_AND_CHANCE
        elif isinstance(node, ast.ImportFrom):
            found = {str(node.module)} & CLOCKS_AND_CHANCE
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found = {name for name in ALSO_CHANCE if called == name or called.endswith(f".{name}")}
        else:
            continue
        assert not found, f"{shown(path)}:{getattr(node, 'lineno', '?')} uses {', '.join(sorted(found))}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=shown)
def test_a_test_can_fail(path: Path) -> None:
    checking = re.compile(r"assert|check|raises|expect|settled|run|until", re.IGNORECASE)
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        checks = any(
            isinstance(inner, ast.Assert | ast.Raise)
            or (isinstance(inner, ast.Call) and checking.search(ast.unparse(inner.func)))
            for inner in ast.walk(node)
        )
        assert checks, f"{shown(path)}:{node.lineno} {node.name} checks nothing"


def test_fragments_of_news_have_names_that_towncrier_knows() -> None:
    for path in (ROOT / "newsfragments").iterdir():
        if path.name not in {"README.md", ".gitignore"}:
            assert FRAGMENT.fullmatch(path.name), f"{shown(path)}: see newsfragments/README.md"
            assert path.read_text(encoding="utf-8").strip(), f"{shown(path)} is empty"


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
