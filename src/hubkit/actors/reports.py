"""How a crash is told: one log record, readable without the traceback, with the traceback once.

It names the actor, what it was doing, the error, how often the child had been restarted, and the attributes that the
actor was left with, each shortened; an actor that must keep some of them out of logs defines ``__repr__``, which is
shown instead. What a user's ``__repr__`` raises never hides the crash.

The logger is ``"hubkit.actors"``; a crash is an error, what the user may want to look at is a warning.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from hubkit.actors.inspection import attributes
from hubkit.actors.mailbox import Call, Item
from hubkit.logs import Log
from hubkit.names import error_text

__all__ = ["item_text", "logger", "report_crash", "request_text", "state_text"]

#: So many attributes are shown.
_ATTRIBUTES = 20

logger: Log = Log("hubkit.actors")

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


def state_text(instance: object) -> str:
    """What an actor holds, in one bounded line: its own ``repr`` if it defines one, else its attributes, shortened."""
    if type(instance).__repr__ is not object.__repr__:
        return _repr(instance, 1000)
    held = attributes(instance)
    shown = [f"{name}={_repr(value, 80)}" for name, value in list(held.items())[:_ATTRIBUTES]]
    if len(held) > _ATTRIBUTES:
        shown.append(f"and {len(held) - _ATTRIBUTES} more")
    return ", ".join(shown) or "no attributes"


def _repr(value: object, most: int) -> str:
    try:
        text = _short.repr(value) if most <= _short.maxother else repr(value)
    except Exception as error:  # a user's __repr__ may raise anything; it must not hide the crash
        text = f"(its repr raised {type(error).__name__})"
    text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return text if len(text) <= most else f"{text[: most - 3]}..."


class _State:
    """What an actor holds, put into words when somebody writes the record; the traceback refers to it all the same."""

    __slots__ = ("_instance",)

    def __init__(self, instance: object) -> None:
        self._instance = instance

    def __str__(self) -> str:
        return state_text(self._instance)


def report_crash(
    actor: str, doing: str, error: BaseException, restarts: int, *, instance: object = None, waiting: int | None = None
) -> None:
    """Write the one record of a crash. ``doing``: e.g. ``"while handling add(1)"``.

    ``waiting``: how many messages wait in its mailbox, if that is known.
    """
    times = "" if not restarts else f" (restarted {restarts} time{'s' if restarts > 1 else ''} before)"
    logger.error(
        "actor %s crashed %s: %s: %s%s\n  state: %s%s",
        actor,
        doing,
        type(error).__name__,
        error_text(error),
        times,
        "an actor function" if instance is None else _State(instance),
        "" if waiting is None else f"\n  waiting: {waiting} message{'' if waiting == 1 else 's'}",
        exc_info=error,
    )
