"""What happened in a simulation, step by step, and the hash that proves that it happened again.

Law of this room: every step is one line of plain text, in the order in which it happened; nothing in it depends on the
process, the day or the machine. The hash covers all steps; the list is bounded, and keeps the latest.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

__all__ = ["KEPT", "Report", "Step", "Trace"]

#: how many steps a trace keeps, unless told otherwise; the hash covers them all
KEPT = 1_000_000


class Step(NamedTuple):
    """One thing that happened."""

    #: its place in the trace, from 0
    number: int
    #: virtual seconds since the start of the simulation
    time: float
    #: what: send, deliver, dial, link, break, fault, node, begin, ending, end, event, note
    kind: str
    #: whom it concerns; empty: all
    node: str
    #: the other one, if there is one
    peer: str
    #: details, on one line
    text: str

    def __str__(self) -> str:
        return f"{self.number:>7} {self.time:>12.6f} {self.kind:<8} {self.node:<8} {self.peer:<8} {self.text}"


class Trace:
    """The steps of one simulation, as they come in."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept: deque[Step] = deque(maxlen=kept)
        self._digest = hashlib.blake2b(digest_size=16)
        self._unhashed: list[Step] = []
        self.count: int = 0

    def add(self, time: float, kind: str, node: str = "", peer: str = "", text: str = "") -> Step:
        """Note a step."""
        step = Step(self.count, time, kind, node, peer, text)
        self.count += 1
        self._kept.append(step)
        self._unhashed.append(step)
        if len(self._unhashed) >= 1000:
            self._hash()
        return step

    def _hash(self) -> None:
        text = "".join(
            [f"{time!r}\0{kind}\0{node}\0{peer}\0{text}\n" for _, time, kind, node, peer, text in self._unhashed]
        )
        self._digest.update(text.encode("utf-8", "surrogatepass"))
        self._unhashed.clear()

    @property
    def hash(self) -> str:
        """A fingerprint of all steps so far: 32 hexadecimal digits."""
        self._hash()
        return self._digest.hexdigest()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are kept: all of them, or the latest."""
        return tuple(self._kept)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one simulated run.

    ``trace_hash`` is the same for every run of the same scenario with the same seed. ``elapsed`` is in virtual seconds.
    ``overlap`` is the longest time, in virtual seconds, in which two owners of one child could both begin handling a message.
    ``trace`` holds the steps (the latest million, if there were more; ``steps`` is the number of all).
    """

    seed: int
    trace_hash: str
    elapsed: float
    overlap: float
    steps: int
    network: str = "simulated"
    nodes: tuple[str, ...] = ()
    trace: tuple[Step, ...] = field(default=(), repr=False)

    def divergence(self, other: Report) -> str | None:
        """The first step in which two runs differ, with what led to it; `None` if they are the same."""
        if self.trace_hash == other.trace_hash:
            return None
        before: deque[Step] = deque(maxlen=5)
        for mine, theirs in zip_longest(self.trace, other.trace):
            if mine != theirs:
                lines = [
                    f"the runs part at step {(mine or theirs).number}:",
                    *(f"    {step}" for step in before),
                    f"  - {mine or 'nothing: this run had ended'}",
                    f"  + {theirs or 'nothing: this run had ended'}",
                ]
                return "\n".join(lines)
            before.append(mine)
        return f"the runs parted in a step that is not kept any more ({self.steps:,} and {other.steps:,} steps in all)"
