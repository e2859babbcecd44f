"""What a command prints, and whether it could be written.

Law of this room: output that is lost is a failure. A full disk, or a terminal that is gone, is told in one line and with the
exit code, whoever wrote and whoever caught the error: argparse, for one, swallows it.
"""

from __future__ import annotations

import os
from typing import Any, TextIO

__all__ = ["Output"]


class Output:
    """Stands in for ``sys.stdout`` or ``sys.stderr``, which is ``inner``.

    ``failure``: why something could not be written; empty if all was.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self.inner: TextIO | None = inner
        self.failure: str = ""

    def write(self, text: str) -> int:
        """Write, as far as that goes. Raises what stdout does."""
        if self.inner is None:
            self.failure = "stdout is closed"
            return len(text)
        try:
            return self.inner.write(text)
        except OSError as error:
            self._note(error)
            raise

    def flush(self) -> None:
        """Write what waits. Raises what stdout does."""
        try:
            if self.inner is not None:
                self.inner.flush()
        except OSError as error:
            self._note(error)
            raise

    @property
    def encoding(self) -> str:
        """In which characters become bytes."""
        return "ascii" if self.inner is None else self.inner.encoding

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self.inner is not None and self.inner.isatty()

    def give_up(self) -> None:
        """Let nothing that still waits come in the way of the end."""
        if self.inner is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.inner.fileno())

    def _note(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):  # whoever read has seen enough
            self.failure = error.strerror or str(error)

    def __getattr__(self, name: str) -> Any:
        """All else is that of stdout."""
        return getattr(self.inner, name)
