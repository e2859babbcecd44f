"""Columns of text."""

from __future__ import annotations

import pytest

from hubkit.cli.table import fit, pad, printable, table, width


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    lines = table(("name", "count"), [("a", 5), ("long one", 1234)])
    assert lines == [
        "name      count",
        "a             5",
        "long one   1234",
    ]


def test_nothing_is_a_dash() -> None:
    assert table(("name", "tag", "n"), [("a", None, None), ("b", None, 2)]) == [
        "name  tag  n",
        "a     -    -",
        "b     -    2",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("name", "count"), []) == ["name  count"]


def test_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\x07\u202e") == "a\\x1b[2Jb\\nc\\x07\\u202e"
    assert printable(None) == "-"
    assert printable(3) == "3"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("", 0), ("漢字", 4), ("e\u0301", 1), ("é…█", 3)])
def test_width_counts_cells(text: str, cells: int) -> None:
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字漢", 5, "漢字…"), ("漢字漢", 4, "漢…"), ("abc", 0, ""), ("", 0, "")],
)
def test_fit_cuts_to_the_width(text: str, cells: int, expected: str) -> None:
    assert fit(text, cells) == expected
    assert width(fit(text, cells)) <= cells


def test_pad_fills_to_the_width() -> None:
    assert pad("漢", 4) == "漢  "
    assert pad("7", 3, right=True) == "  7"
