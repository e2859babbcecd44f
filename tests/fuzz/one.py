"""One door under atheris: ``python -m tests.fuzz.one DOOR [libFuzzer's options and directories]``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["main"]


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
    atheris.Setup([sys.argv[0], *options, *sys.argv[2:]], door.enter, **hooks)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
