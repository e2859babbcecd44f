"""The log, as hubkit writes to it: a record that cannot be written never stops what it is about.

Law of this room: logging is said, and forgotten. The handlers of a program are its own: one may raise, when a disk is full, a
socket is gone or a filter has a bug. The standard ones print such an error and go on; others let it out, into the middle of a
link, a supervisor or a hub. Here it ends. It is told on stderr, once until a record can be written again, as far as that
can be written to.

Everything else is `logging`: levels, filters and handlers are those of the logger of this name.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

__all__ = ["Log"]


class Log(logging.LoggerAdapter[logging.Logger]):
    """The logger of this name, to write to. Its methods raise nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})
        self._failed = False

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a record, if that is possible. All other methods come here."""
        try:
            if self.logger.isEnabledFor(level):
                self.logger.log(level, msg, *args, **{**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1})
                self._failed = False
        except Exception as error:
            if not self._failed:
                self._failed = True
                _tell(f"hubkit: a record of the logger {self.logger.name!r} was not written: {error!r:.300}\n")


def _tell(line: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(Exception):
            sys.stderr.write(line)
