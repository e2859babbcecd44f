"""The table of the demo: a line for each node process, with its share of the children as a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.cli.demo.screen import Part

__all__ = ["NodeLine", "draw"]

LOOKS = {"starting": "yellow", "running": "green", "killed": "red", "stopping": "yellow", "stopped": "dim"}
WIDEST_BAR, LEAST_BAR = 30, 8


@dataclass(frozen=True, slots=True)
class Column:
    """A number of `NodeLine`: how many cells it takes, and how wide the terminal must be to show it."""

    name: str
    cells: int
    least: int


COLUMNS = (Column("messages", 9, 52), Column("lines", 8, 61), Column("errors", 7, 69))


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One line: a node process, and what the children on it have done."""

    node: str
    pid: int
    state: str
    children: int
    messages: int
    lines: int
    errors: int


def draw(nodes: Sequence[NodeLine], *, total: int, width: int, is_unicode: bool) -> list[list[Part]]:
    """The lines of the table, a blank one before and after it. ``total``: how many children there should be.

    What does not fit is left out: first the bar, then columns from the right.
    """
    columns = [column for column in COLUMNS if width >= column.least]
    spare = width - 43 - sum(column.cells + 1 for column in columns)
    bar = min(WIDEST_BAR, spare) if spare >= LEAST_BAR else 0
    heads = [f"{column.name:>{column.cells}}" for column in columns]
    head = (
        f"  {'node':<8} {'process':>8}  {'state':<9} {'children':>8}  {' ' * (bar + 1 if bar else 0)}{' '.join(heads)}"
    )
    lines = [[], [Part(head, "dim")]]
    lines += [_line(node, columns, bar * node.children // total, bar, is_unicode) for node in nodes]
    children = sum(node.children for node in nodes)
    sums = [_number(sum(getattr(node, column.name) for node in nodes), column) for column in columns]
    lines.append(
        [
            Part(f"  {'all':<8} {'':>8}  {'':<9} "),
            Part(f"{children:>8}  ", "yellow" if children < total else "bold"),
            Part(" " * (bar + 1 if bar else 0) + " ".join(sums)),
        ]
    )
    return [*lines, []]


def _line(node: NodeLine, columns: Sequence[Column], filled: int, bar: int, is_unicode: bool) -> list[Part]:
    gone = node.state in ("killed", "stopped")
    look = "dim" if gone else ""
    parts = [
        Part(f"  {node.node:<8} {node.pid:>8}  ", look),
        Part(f"{node.state:<9} ", LOOKS[node.state]),
        Part(f"{node.children:>8}  ", look or "bold"),
    ]
    if bar:
        parts += [Part(("█" if is_unicode else "#") * filled, "cyan"), Part(" " * (bar - filled + 1))]
    blank = gone and not node.children
    texts = [f"{'-':>{c.cells}}" if blank else _number(getattr(node, c.name), c) for c in columns]
    return [*parts, Part(" ".join(texts), look)]


def _number(value: int, column: Column) -> str:
    return f"{value:>{column.cells},}"
