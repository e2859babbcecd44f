"""What ``module:function`` and ``file.py:function`` name, found and imported.

Law of this room: a file is the module that pytest would make of it: it is imported from the directory above its packages, which
goes to the front of ``sys.path``. What is wrong with a name is told in one line; what is wrong in the file, with its place.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from hubkit.cli.failure import WrongUsage

__all__ = ["locate", "name_of"]


def locate(target: str, contract: str) -> Any:
    """What the target names; the current directory is searched first. Raises `WrongUsage`.

    ``contract`` is how it has to look, for the words of an error.
    """
    place, path = _split(target)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _load(place, here) if _is_file(place) else _import(place, here)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise WrongUsage(_no_such_function(module.__name__, path, found, name, contract))
        found = getattr(found, name)
    return found


def name_of(target: str) -> str:
    """The name of the module, without its packages."""
    place, _ = _split(target)
    return Path(place).stem if _is_file(place) else place.rpartition(".")[2]


def _is_file(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _split(target: str) -> tuple[str, str]:
    """The module or file, and the function in it."""
    place, colon, path = target.rpartition(":")
    if not _is_file(place):
        place, colon, path = target.partition(":")
    if not colon or not place or not path:
        msg = f"{target!r} is not module:function, like shop.web:main, or file:function, like shop/web.py:main"
        raise WrongUsage(msg)
    return place, path


def _load(place: str, here: str) -> Any:
    """The module in this file."""
    from hubkit.testing.naming import module_of  # a program that is no test runs without hubkit.testing

    file = Path(place).absolute()
    if not file.is_file() or file.suffix != ".py":
        problem = f"is no Python file: its name must end with .py, not {file.suffix!r}" if file.is_file() else ""
        problem = problem or ("is a directory, and no file" if file.is_dir() else f"is not there (in {here})")
        msg = f"the file {place} {problem}"
        raise WrongUsage(msg)
    root, name = module_of(file)
    if "." in file.stem:
        msg = f"the file {place} cannot be imported: there is a dot in its name {file.stem!r}; call it otherwise"
        raise WrongUsage(msg)
    if sys.path[0] != str(root):
        sys.path.insert(0, str(root))
    module = _import(name, str(root))
    found = getattr(module, "__file__", None)
    if found is None or not os.path.samefile(found, file):
        msg = (
            f"the file {place} cannot be imported: there is another module {name!r} already, {found or 'a part of Python'}; "
            "call it otherwise"
        )
        raise WrongUsage(msg)
    return module


def _import(name: str, here: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            msg = f"there is no module {missing!r} in {here} or among the installed packages"
        else:
            msg = f"module {name!r} cannot be imported: it needs {missing!r}, which is not installed"
        raise WrongUsage(msg) from error
    except Exception as error:
        # The program's own fault: its author needs the traceback, from where it is the program's.
        sys.stderr.write("".join(traceback.format_exception(error)))
        msg = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        raise WrongUsage(msg) from error


def _no_such_function(module_name: str, path: str, owner: Any, name: str, contract: str) -> str:
    functions = [key for key, value in vars(owner).items() if inspect.iscoroutinefunction(value)]
    near = difflib.get_close_matches(name, functions, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; write one: {contract}"
    return f"module {module_name!r} has no function {path!r}{hint}"
