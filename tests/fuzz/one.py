"""One door under atheris: ``python -m tests.fuzz.one DOOR FILE [libFuzzer's options and directories]``.

Law of this room: whatever becomes of this process, FILE has the input that it was at. It is written before each run, for not
every end leaves anything else: an exception that atheris cannot print, a kill from outside.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["left_in", "main", "watched"]

_AT = b"@"  # before the input, which may be empty


def watched(enter: Callable[[bytes], None], at: Path) -> Callable[[bytes], None]:
    """The same way in, but that the input is in ``at`` while it runs, and stays there if it fails; that is told in full."""
    file = os.open(at, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def run(data: bytes) -> None:
        os.pwrite(file, _AT + data, 0)
        try:
            enter(data)
        except BaseException as error:
            print("".join(traceback.format_exception(error)), flush=True)  # noqa: T201  # with all that is in a group
            raise
        os.ftruncate(file, 0)

    return run


def left_in(at: Path) -> bytes | None:
    """The input that a process was at when it ended; `None`: it was at none."""
    data = at.read_bytes() if at.exists() else b""
    return data[1:] if data else None


def main() -> None:
    """Fuzz until libFuzzer ends it."""
    atheris: Any = importlib.import_module("atheris")  # an extra, "fuzz": not to be had where only tests are run
    with atheris.instrument_imports(include=["hubkit", "wsproto"]):
        from tests.fuzz import values
        from tests.fuzz.doors import DOORS
    door = DOORS[sys.argv[1]]
    hooks: dict[str, Any] = {}
    if door.values:
        hooks["custom_mutator"] = lambda data, most, seed: values.mutate(data, most, seed, atheris.Mutate)
        hooks["custom_crossover"] = values.cross
    options = [f"-max_len={door.longest}", "-timeout=25", "-rss_limit_mb=1024", "-detect_leaks=0"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[3:]], watched(door.enter, Path(sys.argv[2])), **hooks)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
