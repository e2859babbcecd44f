"""What a supervisor knows of each child, and what it tells about them.

Law of this room: every change of a child's state wakes whoever waits for it, and nobody else writes it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import trio

from hubkit.errors import ConfigurationError
from hubkit.pids import Pid
from hubkit.specs import ChildSpec
from hubkit.supervision.runner import Running

__all__ = ["GRACE", "Child", "ChildCounts", "ChildState", "ChildStatus", "check_spec"]

ChildState = Literal["starting", "running", "restarting", "stopped"]

#: How long a child may take to stop when a block is left by an exception; all together may take twice that.
GRACE = 5.0

#: A child without a backoff has run well, and starts counting anew, after so many seconds.
_RUN_WELL = 5.0


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child of a supervisor. ``pid`` is `None` unless ``state`` is ``"running"``."""

    id: str
    pid: Pid | None
    state: ChildState
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """``specs``: all children; ``active``: those that run; ``supervisors`` and ``workers``: ``specs`` by kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


class Child:
    """One child: its spec, its instance if it runs, and how often it had to be restarted."""

    __slots__ = ("_changed", "_waits", "attempts", "due", "restarts", "running", "since", "spec", "state", "waits")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec: ChildSpec = spec
        self.running: Running | None = None
        self.state: ChildState = "stopped"
        self._changed: trio.Event | None = None
        #: All restarts, and those in a row without a good run between them.
        self.restarts: int = 0
        self.attempts: int = 0
        self.since: float = 0.0
        #: The number of the wait before a restart that is going on, or 0.
        self.waits: int = 0
        #: Stopped together with another, to be started again with it.
        self.due: bool = False
        self._waits = 0

    def become(self, state: ChildState, running: Running | None = None) -> None:
        """Change the state and tell everybody who waits."""
        self.state = state
        self.running = running
        self.due = False
        if state != "restarting":
            self.waits = 0
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    async def wait(self) -> None:
        """Wait until its state changes."""
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def status(self) -> ChildStatus:
        """What is told about it."""
        return ChildStatus(self.spec.id, None if self.running is None else self.running.pid, self.state, self.spec)

    def count_attempt(self, now: float) -> int:
        """One more restart in a row; a run longer than any wait before it begins a new row."""
        well = _RUN_WELL if self.spec.backoff is None else self.spec.backoff.max
        if self.running is not None and now - self.since > well:
            self.attempts = 0
        self.attempts += 1
        return self.attempts

    def new_wait(self) -> int:
        """A number for a wait that begins now."""
        self._waits += 1
        self.waits = self._waits
        return self.waits


def check_spec(spec: object) -> ChildSpec:
    """Return ``spec`` if it is a `ChildSpec`."""
    if not isinstance(spec, ChildSpec):
        msg = f"expected a ChildSpec (hubkit.child makes one), not {spec!r:.80}"
        raise ConfigurationError(msg)
    return spec
