"""Every monitor of a simulation: who watches whom, and what became of it.

Law of this room: pure bookkeeping, told by the actor systems in the very moment (`hubkit.actors.system.MonitorWitness`),
and by the simulation when a process dies. It believes no system about another: that an actor has ended is known from
its own. What must never be is put into words here, for whoever checks; nothing is raised into the code that is watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hubkit.actors.messages import Monitor
from hubkit.actors.system import System
from hubkit.pids import Pid

__all__ = ["Monitors", "Watched"]

#: What is said of a process, not of an actor: this may be an error.
_OF_NODES = frozenset({"node_down", "noproc"})


@dataclass(slots=True, eq=False)
class Watched:
    """A monitor whose `Down` is still to come.

    ``made``: when, in virtual seconds; ``lost``: when its actor ended, or its process died; `None`: it lives.
    """

    watcher: Pid
    number: int
    target: Pid | None
    made: float
    lost: float | None

    @property
    def is_local(self) -> bool:
        """Whether both are, or were, in one process."""
        target = self.target
        return target is None or (target.node, target.incarnation) == (self.watcher.node, self.watcher.incarnation)

    def __str__(self) -> str:
        """All of it in words."""
        return f"monitor {self.number} of {self.watcher} on {self.target or 'nobody'}, made at {self.made:.3f} s"


class Monitors:
    """A `hubkit.actors.system.MonitorWitness` for all actor systems of a simulation. ``now``: virtual seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._living: dict[str, int] = {}  # node -> incarnation of its process
        self._ended: dict[str, set[int]] = {}  # node -> serials of what has ended in that process
        self._held: dict[Pid, dict[int, Watched]] = {}  # watcher -> its open monitors
        self._closed: dict[Pid, dict[int, str]] = {}  # watcher -> what became of the others
        self._watching: dict[Pid, dict[tuple[Pid, int], Watched]] = {}  # target -> the open monitors on it
        #: what must never be, in words, in the order in which it happened
        self.faults: list[str] = []

    # -- what the simulation tells -------------------------------------------------------------------------------------

    def attach(self, system: System) -> None:
        """A new process has this system. (May be said again.)"""
        system.witness = self
        if self._living.get(system.node) != system.incarnation:
            self.crashed(system.node)
            self._living[system.node] = system.incarnation

    def crashed(self, node: str) -> None:
        """The process of this node is dead, and all actors in it."""
        self._living.pop(node, None)
        self._ended.pop(node, None)
        for held in (self._held, self._closed):
            for watcher in [watcher for watcher in held if watcher.node == node]:
                self._drop(watcher)
        now = self._now()
        for target, monitors in self._watching.items():
            if target.node == node:
                for watched in monitors.values():
                    watched.lost = now if watched.lost is None else watched.lost

    # -- what the systems tell -----------------------------------------------------------------------------------------

    def monitored(self, watcher: Pid, monitor: Monitor) -> None:
        """``watcher`` watches ``monitor.pid`` from now on."""
        if not self.lives(watcher):
            return
        now, target = self._now(), monitor.pid
        lost = None if target is not None and self.lives(target) else now
        watched = Watched(watcher, monitor.number, target, now, lost)
        self._held.setdefault(watcher, {})[monitor.number] = watched
        if target is not None:
            self._watching.setdefault(target, {})[watcher, monitor.number] = watched

    def demonitored(self, watcher: Pid, monitor: Monitor) -> None:
        """It does so no more."""
        if self._close(watcher, monitor.number) is not None:
            self._closed.setdefault(watcher, {})[monitor.number] = "demonitored"

    def down(self, watcher: Pid, monitor: Monitor, reason: str) -> None:
        """A `Down` is put into its mailbox."""
        if not self.lives(watcher):
            return
        now = self._now()
        watched = self._close(watcher, monitor.number)
        if watched is None:
            before = self._closed.get(watcher, {}).get(monitor.number)
            if before is not None:
                self.faults.append(
                    f"at {now:.3f} s {watcher} got a Down ({reason}) of its monitor {monitor.number} on {monitor.pid}, "
                    f"which was over: {before}"
                )
            return
        self._closed.setdefault(watcher, {})[monitor.number] = f"it had got one ({reason}) at {now:.3f} s"
        if reason not in _OF_NODES and watched.target is not None and self.lives(watched.target):
            self.faults.append(
                f"at {now:.3f} s {watcher} got a Down ({reason}) of its monitor {monitor.number} on {monitor.pid}, "
                "which has not ended"
            )

    def ended(self, pid: Pid) -> None:
        """This actor is gone."""
        if self._living.get(pid.node) != pid.incarnation:
            return
        self._ended.setdefault(pid.node, set()).add(pid.serial)
        now = self._now()
        for watched in self._watching.get(pid, {}).values():
            watched.lost = now
        self._drop(pid)

    def _close(self, watcher: Pid, number: int) -> Watched | None:
        watched = self._held.get(watcher, {}).pop(number, None)
        if watched is not None and watched.target is not None:
            monitors = self._watching[watched.target]
            del monitors[watcher, number]
            if not monitors:
                del self._watching[watched.target]
        return watched

    def _drop(self, watcher: Pid) -> None:
        for number in list(self._held.get(watcher, ())):
            self._close(watcher, number)
        self._held.pop(watcher, None)
        self._closed.pop(watcher, None)

    # -- what there is -------------------------------------------------------------------------------------------------

    def open(self) -> Iterator[Watched]:
        """All monitors of living actors whose `Down` is still to come."""
        for monitors in self._held.values():
            yield from monitors.values()

    def lives(self, pid: Pid) -> bool:
        """Whether this actor has not ended, and its process is there (it may stand still)."""
        return self._living.get(pid.node) == pid.incarnation and pid.serial not in self._ended.get(pid.node, ())

    def has_process(self, pid: Pid) -> bool:
        """Whether the process that this actor is, or was, in is there."""
        return self._living.get(pid.node) == pid.incarnation
