"""What the demo shows, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import re
import shutil

import pytest

from hubkit.cli.demo.screen import Part, Screen, plain
from hubkit.cli.demo.view import NodeLine, draw
from hubkit.cli.table import width


class Terminal(io.StringIO):
    """A text stream that says it is a terminal, and can be looked at."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def picture(self) -> list[str]:
        """What a terminal would show: it knows cursor-up and erase-below, which is all that is used."""
        lines = [""]
        row = 0
        for token in re.findall(r"\x1b\[[?\d]*\w|\x1b\[[\d;]*m|\n|[^\x1b\n]+", self.getvalue()):
            if token.endswith("A") and token.startswith("\x1b"):
                row -= int(token[2:-1])
                assert row >= 0, "the cursor went above what was drawn"
            elif token == "\x1b[J":
                lines[row:] = [""]
            elif token == "\n":
                row += 1
                lines[row:] = lines[row:] or [""]
            elif not token.startswith("\x1b"):
                lines[row] += token
        return lines


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((50, 24)))


def table(*texts: str) -> list[list[Part]]:
    return [[Part(text, "green")] for text in texts]


@pytest.mark.usefixtures("size")
def test_on_a_terminal_the_table_stays_beneath_the_lines() -> None:
    out = Terminal()
    screen = Screen(out, {"TERM": "xterm"})
    with screen.stage():
        screen.say("one")
        screen.update(table("", "a", "b", ""))
        screen.say("two")
        screen.update(table("", "c", ""))
        assert out.picture() == ["one", "two", "", "c", "", ""]
        screen.print_table()
    screen.say("the end")
    assert out.picture() == ["one", "two", "", "c", "", "the end", ""]
    assert "\x1b[32mc\x1b[0m" in out.getvalue()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1


@pytest.mark.usefixtures("size")
def test_elsewhere_there_are_plain_lines_and_the_table_when_asked_for() -> None:
    out = io.StringIO()
    screen = Screen(out, {"TERM": "xterm"})
    with screen.stage():
        screen.say(Part("one", "bold"))
        screen.update(table("", "a", ""))
        screen.update(table("", "b", ""))
        screen.print_table()
    assert out.getvalue() == "one\n\nb\n"


@pytest.mark.usefixtures("size")
def test_no_color_means_none_and_a_dumb_terminal_gets_no_sequence() -> None:
    quiet, dumb = Terminal(), Terminal()
    for out, environ in ((quiet, {"TERM": "xterm", "NO_COLOR": "1"}), (dumb, {"TERM": "dumb"})):
        screen = Screen(out, environ)
        screen.update(table("", "a", ""))
        screen.say(Part("one", "red"))
    assert "m" not in quiet.getvalue()
    assert quiet.picture() == ["one", "", "a", "", ""]
    assert "\x1b" not in dumb.getvalue()


@pytest.mark.usefixtures("size")
def test_lines_are_broken_between_words_which_keep_their_looks() -> None:
    out = Terminal()
    screen = Screen(out, {"TERM": "xterm"})
    screen.say(Part(" 1. ", "bold"), "It takes ", Part("many more words", "red"), " than a line has " * 3, hang="    ")
    lines = out.picture()
    assert lines[0] == " 1. It takes many more words than a line has"
    assert all(line.startswith("    ") for line in lines[1:-1])
    assert all(width(line) < 50 for line in lines)
    assert "\x1b[31mmore\x1b[0m" in out.getvalue()


@pytest.mark.usefixtures("size")
def test_a_line_of_the_table_is_cut_at_the_width() -> None:
    out = Terminal()
    Screen(out, {"TERM": "xterm"}).update(table("x" * 100))
    assert out.picture()[0] == "x" * 48 + "…"


def test_what_cannot_be_encoded_is_replaced() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Screen(out, {})
    screen.say(screen.sign(True), " fine… ", screen.sign(False))
    out.seek(0)
    assert out.read() == "ok fine? WRONG\n"


NODES = [
    NodeLine("node-1", 101, "running", 40, 1234, 5678, 90),
    NodeLine("node-2", 102, "killed", 0, 0, 0, 0),
    NodeLine("node-3", 103, "running", 20, 1, 2, 3),
]


def test_the_table_has_a_line_for_each_node_and_the_sums() -> None:
    lines = [plain(line) for line in draw(NODES, total=60, width=100, is_unicode=True)]
    assert lines[0] == lines[-1] == ""
    assert lines[1].split() == ["node", "process", "state", "children", "messages", "lines", "errors"]
    assert lines[2].split() == ["node-1", "101", "running", "40", "█" * 20, "1,234", "5,678", "90"]
    assert lines[3].split() == ["node-2", "102", "killed", "0", "-", "-", "-"]
    assert lines[5].split() == ["all", "60", "1,235", "5,680", "93"]
    assert len({width(line) for line in lines[1:-1]}) == 1


@pytest.mark.parametrize("columns", range(52, 140))
def test_the_table_fits_the_terminal(columns: int) -> None:
    lines = [plain(line) for line in draw(NODES, total=60, width=columns, is_unicode=False)]
    assert max(map(width, lines)) <= columns
    assert "messages" in lines[1]
    assert all(line.isascii() for line in lines)
