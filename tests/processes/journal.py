"""What really ran, as seen from outside the library.

Law of this room: every instance of an actor appends one line when it starts and one when it stops, in one `write` to a file
opened with `O_APPEND`; so the lines of all processes stand in the order in which they happened. A test process that is
killed cannot write its last line: whoever kills it writes it (`Journal.killed`). Nothing here asks hubkit anything, so a
registry that is wrong cannot make a test right.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["JOURNAL", "Journal", "Life", "clock", "lives_of", "overlaps_of"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: the environment variable that tells a member where the journal is
JOURNAL = "HUBKIT_TEST_JOURNAL"

FIELDS = 8


def clock() -> float:
    """Seconds on the one clock that all processes of a machine share."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Life:
    """One instance of one child. ``end`` is `None` while it runs; ``process`` is the id of its process."""

    hub: str
    child: str
    instance: str
    process: int
    node: str
    why: str
    begin: float
    end: float | None = None

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.end is None


def lives_of(lines: Iterable[str]) -> list[Life]:
    """The lives that a journal tells of, in order of their beginnings."""
    lives: dict[str, Life] = {}
    for line in lines:
        fields = line.rstrip("\n").split("\t")
        assert len(fields) == FIELDS, f"a line of the journal is torn: {line!r}"
        what, moment, process, node, hub, child, instance, why = fields
        if what == "start":
            assert instance not in lives, f"{instance} started twice"
            lives[instance] = Life(hub, child, instance, int(process), node, why, float(moment))
        elif what == "stop":
            lives[instance] = _ended(lives[instance], float(moment))
        else:
            assert what == "killed", f"what does {what!r} mean?"
            for life in [life for life in lives.values() if life.process == int(process) and life.running]:
                lives[life.instance] = _ended(life, float(moment))
    return sorted(lives.values(), key=lambda life: life.begin)


def _ended(life: Life, moment: float) -> Life:
    return Life(life.hub, life.child, life.instance, life.process, life.node, life.why, life.begin, moment)


def overlaps_of(lives: Iterable[Life]) -> list[tuple[Life, Life]]:
    """The pairs of lives of one child that ran at the same time."""
    by_child: dict[tuple[str, str], list[Life]] = {}
    for life in sorted(lives, key=lambda life: life.begin):
        by_child.setdefault((life.hub, life.child), []).append(life)
    found: list[tuple[Life, Life]] = []
    for several in by_child.values():
        for number, life in enumerate(several):
            end = life.end or math.inf
            found.extend((life, later) for later in several[number + 1 :] if later.begin < end)
    return found


class Journal:
    """The file that all processes of one test write."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        """Give the file back. It can be read all the same."""
        os.close(self._file)

    def _write(self, what: str, process: int, *fields: str, at: float | None = None) -> None:
        cells = [what, f"{clock() if at is None else at:.6f}", str(process), *fields]
        os.write(self._file, ("\t".join(cell.replace("\t", " ") for cell in cells) + "\n").encode())

    def start(self, node: str, hub: str, child: str, instance: str, why: str) -> None:
        """An instance begins, in this process."""
        self._write("start", os.getpid(), node, hub, child, instance, why)

    def stop(self, node: str, hub: str, child: str, instance: str, why: str) -> None:
        """An instance ends, in this process."""
        self._write("stop", os.getpid(), node, hub, child, instance, why)

    def killed(self, process: int, at: float | None = None) -> None:
        """A process has been killed, and all that ran in it. ``at``: when the signal was sent (others may know soon)."""
        self._write("killed", process, "", "", "", "", "killed", at=at)

    def tick(self, at: float, node: str, child: str, term: int) -> None:
        """A child has begun to handle a message, at that moment. (These lines stand in a file of their own.)"""
        file = os.open(f"{self.path}.ticks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{at:.6f}\t{node}\t{child}\t{term}\n".encode())
        os.close(file)

    def ticks(self) -> list[tuple[float, str, str, int]]:
        """What was handled: moment, node, child and term, in order of the moments."""
        lines = Path(f"{self.path}.ticks").read_text(encoding="utf-8").splitlines()
        found = (line.split("\t") for line in lines)
        return sorted((float(moment), node, child, int(term)) for moment, node, child, term in found)

    def lives(self, children: Iterable[str] | None = None) -> list[Life]:
        """What it tells (of these children), so far."""
        lives = lives_of(self.path.read_text(encoding="utf-8").splitlines())
        if children is None:
            return lives
        wanted = set(children)
        return [life for life in lives if life.child in wanted]

    def running(self, children: Iterable[str] | None = None) -> Mapping[str, list[Life]]:
        """Every child that runs, with all its lives that go on now: one each, when all is well."""
        found: dict[str, list[Life]] = {}
        for life in self.lives(children):
            if life.running:
                found.setdefault(life.child, []).append(life)
        return found

    def starts(self, children: Iterable[str] | None = None, *, since: float = 0.0) -> Mapping[str, int]:
        """How often each child was started after the moment ``since``."""
        found: dict[str, int] = {}
        for life in self.lives(children):
            if life.begin >= since:
                found[life.child] = found.get(life.child, 0) + 1
        return found

    def overlaps(self, children: Iterable[str] | None = None) -> list[tuple[Life, Life]]:
        """The pairs of instances of one child that ran at the same time."""
        return overlaps_of(self.lives(children))
