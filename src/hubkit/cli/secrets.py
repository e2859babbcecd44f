"""Where secrets come from: a file, or the environment.

Law of this room: never from an argument. Every user of a machine can read the arguments of all processes on it, and shells
keep them in their history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hubkit.cli.failure import WrongUsage

__all__ = ["OPERATOR_VARIABLE", "VARIABLE", "read_secrets"]

VARIABLE = "HUBKIT_SECRET"
OPERATOR_VARIABLE = "HUBKIT_OPERATOR_SECRET"


def read_secrets(
    file: str | None, environ: Mapping[str, str] = os.environ, variable: str = VARIABLE
) -> tuple[str, ...] | None:
    """The secrets in ``file``, else in the environment: in the file that ``<variable>_FILE`` names, or in ``variable``.

    One secret a line; the first is used and all are accepted, so that a new one can be rolled out node by node. `None`: there
    are none. Raises `WrongUsage` for a file that cannot be read, for one (or a variable) without a secret in it, and where
    both variables are set.
    """
    named = f"{variable}_FILE"
    if file is None and named in environ:
        if variable in environ:
            msg = f"{variable} and {named} are both set: leave one of them out"
            raise WrongUsage(msg)
        file = environ[named]
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            msg = f"cannot read the secret file {file}: {reason}"
            raise WrongUsage(msg) from error
        return _lines(text, f"the secret file {file}")
    if variable in environ:
        return _lines(environ[variable], f"the environment variable {variable}")
    return None


def _lines(text: str, what: str) -> tuple[str, ...]:
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not found:
        msg = f"{what} is empty: put a secret in it, or leave it out"
        raise WrongUsage(msg)
    return found
