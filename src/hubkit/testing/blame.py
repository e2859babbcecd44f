"""Whose line it is: of all frames that lead to a call, or to an await, the one that a person can change.

Law of this room: it is the innermost one that lies neither in the standard library, nor among the installed packages, nor in
hubkit. Where there is none, the innermost of all is named: a line of a library is better than no line.
"""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import CodeType

import outcome
import trio

import hubkit

__all__ = ["Place", "place_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line. ``through``: that of a library which it has called, if it did not get where it is by itself."""

    file: str
    line: int
    name: str
    through: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, in {self.name}"


def place_of(frames: Iterable[tuple[CodeType, int]]) -> Place | None:
    """The line to be named, of the frames with their lines, from the innermost outwards; None if there are no frames."""
    innermost: Place | None = None
    through = ""
    for code, line in frames:
        file = code.co_filename
        if not _is_library(file):
            return Place(file, line, code.co_name, through)
        through = f"{file}:{line}"
        if innermost is None:
            innermost = Place(file, line, code.co_name)
    return innermost


@cache
def _is_library(file: str) -> bool:
    return file.startswith(("<frozen", *_libraries()))


@cache
def _libraries() -> tuple[str, ...]:
    """The folders of what nobody changes who writes a scenario."""
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    found += [os.path.dirname(str(package.__file__)) for package in (os, hubkit, outcome, trio)]
    return tuple(sorted({os.path.join(path, "") for folder in found for path in (folder, os.path.realpath(folder))}))
