"""How another process finds a scenario: by module, by file, or not at all."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.testing.printed import HUBKIT, run

from hubkit.testing.naming import directory, module_of, root_directory, target_of

MAIN = """
async def main(sim):
    raise ValueError("it broke")

alias = main

def maker():
    async def main(sim): pass
    return main
"""

Imported = Callable[[str, str], ModuleType]


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Imported]:
    """Write a file below the working directory, and import it from another one below."""
    monkeypatch.setattr("_hubkit_pytest.configs", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def make(file: str, root: str = ".", text: str = MAIN) -> ModuleType:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        sys.path.insert(0, str(tmp_path / root))
        try:
            name = path.relative_to(tmp_path / root).with_suffix("").as_posix().replace("/", ".")
            return importlib.import_module(name.removesuffix(".__init__"))
        finally:
            del sys.path[0]

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def found(module: ModuleType) -> str | None:
    target = target_of(module.main)
    return None if target is None else target.text


@pytest.mark.parametrize(
    ("file", "root", "expected"),
    [
        ("play_a.py", ".", "play_a:main"),
        ("deep/play_b.py", ".", "deep.play_b:main"),
        ("deep/play_c.py", "deep", "deep/play_c.py:main"),
        ("very/deep/play_d.py", "very", None),  # very.deep is no package: as a file it would be `play_d`
        ("play-e.py", ".", "play-e:main"),
    ],
)
def test_a_module_or_a_file(imported: Imported, tmp_path: Path, file: str, root: str, expected: str | None) -> None:
    assert found(imported(file, root)) == expected
    if expected is not None:
        done = run(tmp_path, *HUBKIT, "sim", expected, "--seed", "7")
        assert "seed 7 failed: ValueError: it broke" in done.stdout, done.stderr
        assert f"replay it with: hubkit sim {expected} --seed 7\n" in done.stdout


def test_a_package_is_imported_from_above(imported: Imported, tmp_path: Path) -> None:
    imported("lib/shop_a/__init__.py", "lib")
    imported("lib/shop_a/inner/__init__.py", "lib")
    assert found(imported("lib/shop_a/inner/play.py", "lib")) == "lib/shop_a/inner/play.py:main"
    assert found(imported("lib/shop_a/__init__.py", "lib")) == "lib/shop_a/__init__.py:main"
    done = run(tmp_path, *HUBKIT, "sim", "lib/shop_a/inner/play.py:main")
    assert "seed 0 failed: ValueError: it broke" in done.stdout, done.stderr


def test_what_another_module_of_that_name_hides_has_no_name(imported: Imported, tmp_path: Path) -> None:
    module = imported("one/play_f.py", "one")
    (tmp_path / "play_f.py").write_text("")
    assert found(module) == "one/play_f.py:main"
    (tmp_path / "one" / "play_f").mkdir()
    (tmp_path / "one" / "play_f" / "__init__.py").write_text("")
    assert found(module) is None


def test_modules_of_python_itself_come_first(imported: Imported, tmp_path: Path) -> None:
    file = tmp_path / "types.py"
    file.write_text(MAIN)
    module = ModuleType("types")
    module.__file__ = str(file)
    exec(compile(MAIN, file, "exec"), vars(module))  # as if it had been imported
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "types", module)
        assert found(module) is None
    done = run(tmp_path, *HUBKIT, "sim", "types.py:main")
    assert done.returncode == 2
    assert "there is another module 'types' already" in done.stderr


def test_a_function_within_a_function_has_no_name(imported: Imported) -> None:
    module = imported("play_g.py", ".")
    assert target_of(module.maker()) is None
    assert target_of(module.main) is not None
    vars(module)["main"] = module.maker()
    assert target_of(module.alias) is None
    for other in (None, 3, print, ModuleType("x"), object()):
        assert target_of(other) is None


SCRIPT = """
from hubkit.testing import Simulation
{more}
async def main(sim):
    raise ValueError
try:
    Simulation.run(main, 7)
except ValueError as error:
    print(error.__notes__[-1])
"""


@pytest.mark.parametrize(
    ("arguments", "more", "expected"),
    [
        (["deep/script.py"], "", "hubkit sim deep/script.py:main --seed 7"),
        (["-m", "deep.script"], "", "hubkit sim deep.script:main --seed 7"),
        (["deep/script.py"], "class Mine: pass", "Simulation.run(main, seed=7)"),
        (["-m", "deep.script"], "class Mine: pass", "Simulation.run(main, seed=7)"),
    ],
)
def test_a_script_has_a_name_if_that_makes_no_other_actors_of_its_own(
    tmp_path: Path, arguments: list[str], more: str, expected: str
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "script.py").write_text(SCRIPT.format(more=more))
    done = run(tmp_path, sys.executable, *arguments)
    assert done.stdout == f"replay it with: {expected}\n", done.stderr


def test_it_is_the_directory_in_which_pytest_was_started(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert directory() == request.config.invocation_params.dir
    assert root_directory() == request.config.rootpath
    monkeypatch.setattr("_hubkit_pytest.configs", [])
    assert directory() == tmp_path
    assert root_directory() is None


@pytest.mark.parametrize(
    ("packages", "file", "root", "name"),
    [
        ([], "a/b/c.py", "a/b", "c"),
        (["a/b"], "a/b/c.py", "a", "b.c"),
        (["a", "a/b"], "a/b/c.py", ".", "a.b.c"),
        (["a/b"], "a/b/__init__.py", "a", "b"),
        (["a-b"], "a-b/c.py", "a-b", "c"),
    ],
)
def test_the_module_of_a_file(tmp_path: Path, packages: list[str], file: str, root: str, name: str) -> None:
    for package in packages:
        (tmp_path / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").write_text("")
    assert module_of(tmp_path / file) == (tmp_path / root, name)
