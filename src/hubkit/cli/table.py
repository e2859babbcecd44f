"""Text in aligned columns.

Law of this room: what comes from another process is text, not a program for the terminal: control characters are shown
as escapes, never sent. Columns are as wide as what they show, in cells of a terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["fit", "pad", "printable", "table", "width"]


def printable(value: object) -> str:
    """``value`` as text in one line, with everything that a terminal would act on escaped."""
    text = "-" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def width(text: str) -> int:
    """How many cells of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, cells: int) -> str:
    """``text``, cut to at most ``cells`` cells; the last one says that it was."""
    if width(text) <= cells:
        return text
    while text and width(text) > cells - 1:
        text = text[:-1]
    return f"{text}…" if cells > 0 else ""


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """``text`` with spaces to ``cells`` cells: after it, or before it with ``right``."""
    space = " " * (cells - width(text))
    return space + text if right else text + space


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table: the header, and a line for each of ``rows``. Numbers stand to the right, `None` is a dash."""
    texts = [[printable(value) for value in row] for row in rows]
    numeric = [_are_numbers([row[n] for row in rows]) for n in range(len(header))]
    cells = [max(width(row[n]) for row in [list(header), *texts]) for n in range(len(header))]
    lines = []
    for row in [list(header), *texts]:
        padded = (pad(text, cells[n], right=numeric[n]) for n, text in enumerate(row))
        lines.append("  ".join(padded).rstrip())
    return lines


def _are_numbers(values: Sequence[object]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
