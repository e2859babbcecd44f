"""How another process finds a scenario: by its module, or by its file.

Law of this room: a name is given only if ``hubkit sim``, started anew in the directory of this run, finds the very same
function in a module of the very same name (a trace knows actors by their modules). Nothing is imported and no process
asked: the files are looked at. So what an import hook finds has no name here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hubkit.testing.marks import Filled, Simulated, scenario_of
from hubkit.testing.plans import FaultPlan

__all__ = ["Target", "directory", "module_of", "root_directory", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """A scenario for ``hubkit sim``. ``settings``: what `simulated` was told about it, which the command knows by itself."""

    text: str
    settings: Simulated | None


def target_of(main: object) -> Target | None:
    """How ``hubkit sim`` finds this scenario; `None`: it does not."""
    if isinstance(main, Filled):
        if main.target:
            return Target(main.target, main.settings)
        if main.before or not all(isinstance(value, FaultPlan) for value in main.named.values()):
            return None  # a plan is all that the command can give to it
        main = main.main
    module = sys.modules.get(getattr(main, "__module__", None) or "")
    path = getattr(main, "__qualname__", "")
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    scenario, settings = scenario_of(found)
    if module is None or scenario is not main:
        return None
    place = _place(module)
    return None if place is None else Target(f"{place}:{path}", settings)


def directory() -> Path:
    """Where this run was started: a test may have gone elsewhere since."""
    config = _pytest_config()
    return Path.cwd() if config is None else config.invocation_params.dir


def root_directory() -> Path | None:
    """From where pytest names its tests; `None`: this is not pytest, or hubkit's plugin is not there."""
    config = _pytest_config()
    return None if config is None else config.rootpath


def module_of(file: Path) -> tuple[Path, str]:
    """The directory from which a file is imported, and the name of its module: both as pytest has them."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        del parts[-1]
    return root, ".".join(parts)


def _pytest_config() -> Any:
    configs = getattr(sys.modules.get("_hubkit_pytest"), "configs", None)
    return configs[-1] if configs else None


def _place(module: ModuleType) -> str | None:
    """The module's name where it is found by that, else its file; `None`: neither leads to it."""
    name, file = _name(module), getattr(module, "__file__", None)
    if name is None or file is None or name.partition(".")[0] in sys.stdlib_module_names:
        return None
    here = directory()
    path = [str(here), *_fresh_path()]
    place = name
    if not _same(_source(name, path), file):
        root, imported = module_of(Path(file).absolute())
        if imported != name or not _same(_source(name, [str(root)]), file):
            return None
        path.insert(0, str(root))
        place = os.path.relpath(file, here)
    return place if _pytest_config() is None or _finds_all(module, path) else None


def _name(module: ModuleType) -> str | None:
    """By which name the module would be imported."""
    if module.__name__ != "__main__":
        return module.__name__
    if any(isinstance(value, type) and value.__module__ == "__main__" for value in vars(module).values()):
        return None  # under another name they would be other actors, and the run another one
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(module, "__file__", None)
    return None if file is None else module_of(Path(file).absolute())[1]


def _fresh_path() -> list[str]:
    """Where a new process would look for modules, besides its directory."""
    config = _pytest_config()
    if config is not None:
        added = {str(place) for place in config.getini("pythonpath")}
        return [entry for entry in sys.modules["_hubkit_pytest"].PATH if entry not in added]
    script = sys.modules.get("__main__")
    file = getattr(script, "__file__", None)
    if file is None or getattr(script, "__spec__", None) is not None:
        return list(sys.path)
    return [entry for entry in sys.path if not _same(entry, os.path.dirname(os.path.abspath(file)))]


def _source(name: str, path: Sequence[str]) -> str | None:
    """The file of the module ``name``, as ``import`` finds it along this path."""
    head, _, rest = name.partition(".")
    portions: list[str] = []
    for entry in path:
        base = os.path.join(entry or os.curdir, head)
        package = os.path.join(base, "__init__.py")
        if os.path.isfile(package):
            return _source(rest, [base]) if rest else package
        if os.path.isfile(f"{base}.py"):
            return None if rest else f"{base}.py"
        if os.path.isdir(base):
            portions.append(base)  # of a package without an __init__.py, if there is no other one
    return _source(rest, portions) if rest and portions else None


def _same(one: str | None, other: str) -> bool:
    try:
        return one is not None and os.path.samefile(one, other)
    except OSError:
        return False


def _finds_all(module: ModuleType, path: Sequence[str]) -> bool:
    """Whether what the module has imported is found along this path: pytest may have been told of more places."""
    for value in list(vars(module).values()):
        if type(value) is ModuleType:
            name = value.__name__
        else:  # of a value its class; it is not asked itself, for it may do anything then
            name = (value if issubclass(type(value), type | FunctionType) else type(value)).__module__
        file = getattr(sys.modules.get(name), "__file__", None) if isinstance(name, str) else None
        if file is None or not file.endswith(".py") or name == module.__name__:
            continue
        if name.partition(".")[0] not in sys.stdlib_module_names and not _same(_source(name, path), file):
            return False
    return True
