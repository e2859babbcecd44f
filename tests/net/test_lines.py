"""What others have said, as the log shows it."""

from __future__ import annotations

import pytest

from hubkit.net.lines import MOST, one_line


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain", "plain"),
        ("größe", "größe"),
        ("a\nERROR b\r", "a\\nERROR b\\r"),
        ("\x1b[31m\x00\u2028\u202e", "\\x1b[31m\\x00\\u2028\\u202e"),
        (ValueError("a\tb"), "a\\tb"),
    ],
)
def test_it_is_one_printable_line(said: object, shown: str) -> None:
    assert one_line(said) == shown


def test_it_is_bounded() -> None:
    assert one_line("x" * 10_000) == "x" * MOST + "..."
    assert one_line("abcdef", 3) == "abc..."
