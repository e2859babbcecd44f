"""What others have said, fit for a log: one line, of bounded length.

Law of this room: who writes to the port does not write the log. A line break in a reason that a stranger gives would forge
entries, a control character would reach the terminal of who reads, and a long one would fill the disk.
"""

from __future__ import annotations

__all__ = ["MOST", "one_line"]

#: Characters of a text of others' making that are shown.
MOST = 300


def one_line(text: object, most: int = MOST) -> str:
    """``str(text)``, cut at ``most`` characters and with what is not printable escaped. Example::

    assert one_line("a\\nb") == "a\\\\nb"
    """
    shown = str(text)
    if len(shown) > most:
        shown = f"{shown[:most]}..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
