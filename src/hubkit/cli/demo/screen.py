"""What the demo shows: lines that stay, and beneath them, in a terminal, a table that is redrawn.

Law of this room: nothing but a terminal gets control sequences, and colours only if ``NO_COLOR`` is not set. No line is
wider than the terminal, so that the table can be found again; elsewhere there are plain lines, and the table when asked for.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from hubkit.cli.table import fit, width

__all__ = ["Part", "Screen", "plain"]

COLORS = {"": "", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

#: Fewer lines than this, and the table would push away what it is to explain.
LEAST_HEIGHT = 16


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line, and how it looks: a key of `COLORS`."""

    text: str
    look: str = ""


Line = Sequence[Part]


def plain(line: Line) -> str:
    """A line without its colours."""
    return "".join(part.text for part in line)


class Screen:
    """The terminal, or whatever stdout is."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self._out = out
        columns, rows = shutil.get_terminal_size()
        self._columns = columns
        self.is_live: bool = out.isatty() and environ.get("TERM", "dumb") != "dumb" and rows >= LEAST_HEIGHT
        self._colors = out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
        self._drawn = 0
        self._pending: list[str] = []
        self._table: list[Line] = []
        self.is_unicode: bool = True
        try:
            "█✓✗→…".encode(out.encoding or "ascii")
        except UnicodeEncodeError:
            self.is_unicode = False

    @property
    def width(self) -> int:
        """How many cells a line may take."""
        return self._columns - 1 if self._out.isatty() else 100

    def sign(self, good: bool) -> Part:
        """A tick or a cross."""
        text = ("✓" if good else "✗") if self.is_unicode else ("ok" if good else "WRONG")
        return Part(text, "green" if good else "red")

    # -- lines that stay

    def say(self, *parts: Part | str, indent: str = "", hang: str = "") -> None:
        """Print a line, ``indent`` before it. What does not fit goes on in the next lines, with ``hang`` before them, too."""
        line = [Part(part) if isinstance(part, str) else part for part in parts]
        self._erase()
        for piece in self._wrap(line, indent, indent + hang):
            self._write(piece)
        self._draw()

    def _wrap(self, line: Line, first: str, others: str) -> Iterator[Line]:
        """Break a line between its words; every word keeps its look."""
        words = [(match[0], part.look) for part in line for match in re.finditer(r"\s+|\S+", part.text)]
        piece, used, gap = [Part(first)], width(first), ""
        for text, look in words:
            if text.isspace():
                gap = text
                continue
            if used + width(gap + text) > self.width and used > width(others):
                yield piece
                piece, used, gap = [Part(others)], width(others), ""
            piece += [Part(gap), Part(text, look)]
            used, gap = used + width(gap + text), ""
        yield piece

    # -- the table

    def update(self, table: Sequence[Line]) -> None:
        """Show this table in the place of the last one; only in a terminal."""
        self._table = list(table)
        if self.is_live:
            self._erase()
            self._draw()

    def print_table(self) -> None:
        """Print the last table for good, where it is not always in view."""
        if not self.is_live:
            for line in self._table[:-1]:
                self._write(line)
            self._flush()

    @contextmanager
    def stage(self) -> Iterator[None]:
        """The cursor is hidden while the table moves; in the end the table stays, and lines go on beneath it."""
        try:
            self._control("\x1b[?25l")
            yield
        finally:
            self._control("\x1b[?25h")
            self._flush()
            self._drawn, self._table = 0, []

    def _erase(self) -> None:
        if self._drawn:
            self._control(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        if self.is_live:
            for line in self._table:
                self._write(line)
            self._drawn = len(self._table)
        self._flush()

    def _flush(self) -> None:
        """All at once: a table that comes in pieces flickers."""
        self._out.write("".join(self._pending))
        self._out.flush()
        self._pending.clear()

    def _control(self, sequence: str) -> None:
        if self.is_live:
            self._pending.append(sequence)

    def _write(self, line: Line) -> None:
        room = self.width
        texts = []
        for part in line:
            text = fit(part.text, room)
            room -= width(text)
            code = COLORS[part.look] if self._colors else ""
            texts.append(f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text)
        text = "".join(texts).rstrip()
        if not self.is_unicode:
            text = text.encode("ascii", "replace").decode("ascii")
        self._pending.append(f"{text}\n")
