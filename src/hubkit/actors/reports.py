"""How a crash is told: one log record, readable without the traceback, with the traceback once.

The logger is ``"hubkit.actors"``; a crash is an error, what the user may want to look at is a warning.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping
from typing import Any

from hubkit.actors.mailbox import Call, Item
from hubkit.names import error_text

__all__ = ["item_text", "logger", "report_crash", "request_text"]

logger: logging.Logger = logging.getLogger("hubkit.actors")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def request_text(method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """A request as it would be written, values shortened: ``add(1)``, or ``message 'hello'``."""
    try:
        if not method:
            return f"message {_short.repr(args[0])}"
        values = [_short.repr(value) for value in args] + [
            f"{key}={_short.repr(value)}" for key, value in kwargs.items()
        ]
        return f"{method}({', '.join(values)})"
    except Exception as error:  # a user's __repr__ may raise anything; it must not hide the crash
        return f"{method or 'message'} (its repr raised {type(error).__name__})"


def item_text(item: Item | None) -> str:
    """What an actor is handling, in the words of `request_text`."""
    if item is None:
        return "nothing"
    if isinstance(item, Call):
        return request_text(item.method, item.args, item.kwargs)
    return request_text(item[1], item[2], item[3])


def report_crash(actor: str, doing: str, error: BaseException, restarts: int) -> None:
    """Write the one record of a crash. ``doing``: e.g. ``"while handling add(1)"``."""
    times = "" if not restarts else f" (restarted {restarts} time{'s' if restarts > 1 else ''} before)"
    logger.error(
        "actor %s crashed %s: %s: %s%s",
        actor,
        doing,
        type(error).__name__,
        error_text(error),
        times,
        exc_info=error,
    )
