"""What is asked of a door under fuzzing, and what its inputs are.

Law of this room: a door is given bytes, and takes them or refuses them as its docstring says. Whatever else comes out of it
(another exception, a line in the log that tells of an error of this process, a value that does not survive) is a failure.
Whatever it takes, it takes in time: a run of one input lasts no longer than the fuzzer, or the test that replays, allows.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing

__all__ = ["Door", "broken", "in_time", "quiet"]

VIRTUAL = 300.0  # seconds of virtual time that a run may take


@dataclass(frozen=True, slots=True)
class Door:
    """One way in. ``enter`` takes an input, and raises if the law is broken; ``values``: its inputs are CBOR.

    ``longest``: bytes of an input.
    """

    name: str
    enter: Callable[[bytes], None]
    values: bool = True
    longest: int = 4096


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "".join(traceback.format_exception(record.exc_info[1]))
        self.said.append(text)


@contextmanager
def quiet(expected: Callable[[str], bool] = lambda text: False) -> Iterator[None]:
    """Nothing is shown of what is logged; a line of level ERROR that is not expected is a failure.

    Every line is put together, as if it were shown.
    """
    logger, errors = logging.getLogger("hubkit"), _Errors()
    errors.setLevel(logging.DEBUG)
    strict = _Strict(errors)
    before = logger.level, logger.propagate
    logger.addHandler(strict)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(strict)
        logger.setLevel(before[0])
        logger.propagate = before[1]
    wrong = [text for text in errors.said if not expected(text)]
    assert not wrong, "an error here: " + "\n".join(wrong)


class _Strict(logging.Handler):
    """Makes the text of every line, whatever its level, and keeps those of errors."""

    def __init__(self, errors: _Errors) -> None:
        super().__init__(logging.DEBUG)
        self.errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert "\n" not in text or record.levelno >= logging.ERROR, f"one line, two lines: {text!r}"
        if record.levelno >= logging.ERROR:
            self.errors.emit(record)


def in_time(work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Run ``work`` in virtual time, of which it may take `VIRTUAL` seconds."""

    async def bounded() -> None:
        with trio.fail_after(VIRTUAL):
            await work(*arguments)

    trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))


def broken(why: str) -> AssertionError:
    """The law is broken."""
    return AssertionError(why)
