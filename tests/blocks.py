"""Runs the Python of a Markdown file, as a reader would who types it in from top to bottom.

Law of this room: what a page shows is what runs. All blocks that open with ```` ```python ```` are one program, in
their order, sharing their names; a block may use ``await`` and ``async with`` at its top, and then runs under
`trio.run`. A block that opens with ```` ```python no-run ```` is compiled only: signatures, and things that no test
should do. Line numbers in tracebacks are those of the page.

The program is a module named like the page (``docs/tutorial.md`` is ``tutorial``), so its actors have wire names.

Usage: python tests/blocks.py PAGE
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import trio

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: what stands after the fence, its text, and the line of the page where the text begins."""

    info: str
    source: str
    line: int

    @property
    def runs(self) -> bool:
        return self.info == "python"


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page. A fence that never closes is a `ValueError`."""
    found: list[Block] = []
    opened: tuple[str, str, str, int] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened = (fence["indent"], fence["ticks"], fence["info"].strip(), number + 1)
                body = []
        elif fence and fence["ticks"] == opened[1] and not fence["info"].strip():
            found.append(Block(opened[2], "\n".join(body) + "\n", opened[3]))
            opened = None
        else:
            body.append(line.removeprefix(opened[0]))
    if opened is not None:
        msg = f"the fence above line {opened[3]} never closes"
        raise ValueError(msg)
    return found


def compiled(block: Block, filename: str) -> types.CodeType:
    """The code of a Python block, with the page's line numbers."""
    source = "\n" * (block.line - 1) + block.source
    code = compile(source, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert isinstance(code, types.CodeType)
    return code


def run_page(path: Path) -> int:
    """Run a page's blocks; returns how many ran."""
    module = types.ModuleType(re.sub(r"\W", "_", path.stem.lower()))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    ran = 0
    for block in blocks(path.read_text(encoding="utf-8")):
        if not block.info.startswith("python"):
            continue
        code = compiled(block, str(path))
        if not block.runs:
            continue
        ran += 1
        result = eval(code, module.__dict__)
        if code.co_flags & inspect.CO_COROUTINE:

            async def main(program: types.CoroutineType[object, object, object] = result) -> None:
                await program

            trio.run(main)
    return ran


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    sys.path[0] = os.getcwd()
    sys.stdout.write(f"{run_page(page)} blocks ran\n")
