"""Where secrets come from: a file, or the environment.

Law of this room: never from an argument. Every user of a machine can read the arguments of all processes on it, and shells
keep them in their history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hubkit.cli.failure import WrongUsage

__all__ = ["VARIABLE", "read_secrets"]

VARIABLE = "HUBKIT_SECRET"


def read_secrets(file: str | None, environ: Mapping[str, str] = os.environ) -> tuple[str, ...] | None:
    """The secrets in ``file``, else in the environment variable `VARIABLE`, else `None`.

    One secret a line; the first is used and all are accepted, so that a new one can be rolled out node by node. Raises
    `WrongUsage` for a file that cannot be read, and for one (or a variable) without a secret in it.
    """
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            msg = f"cannot read the secret file {file}: {reason}"
            raise WrongUsage(msg) from error
        return _lines(text, f"the secret file {file}")
    if VARIABLE in environ:
        return _lines(environ[VARIABLE], f"the environment variable {VARIABLE}")
    return None


def _lines(text: str, what: str) -> tuple[str, ...]:
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not found:
        msg = f"{what} is empty: put a secret in it, or leave it out"
        raise WrongUsage(msg)
    return found
