"""What a hub answers: frozen values, with the accessors that make the common questions one word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from hubkit.pids import Pid
from hubkit.specs import ChildSpec

__all__ = ["ChildInfo", "HubStatistics", "Move", "StartResult", "Status", "StopResult", "status_of"]

Status = Literal["ok", "partial", "failed"]


def status_of(done: Mapping[str, Any], errors: Mapping[str, Any]) -> Status:
    """``"ok"`` without errors, ``"failed"`` when nothing else was done, ``"partial"`` between."""
    if not errors:
        return "ok"
    return "partial" if done else "failed"


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """What this node knows of a child. ``pids`` is empty while it runs nowhere (starting, moving, parked)."""

    spec: ChildSpec
    pids: tuple[Pid, ...]
    metadata: Any = None
    tag: str | None = None


class _ByChild:
    """The accessors that `StartResult` and `StopResult` share: both map child ids to pids."""

    __slots__ = ()

    def _pids(self) -> Mapping[str, tuple[Pid, ...]]:
        raise NotImplementedError

    def ids(self) -> tuple[str, ...]:
        """The ids that succeeded, in the order asked for."""
        return tuple(self._pids())

    def pids(self) -> tuple[Pid, ...]:
        """All pids, in the order of `ids`."""
        return tuple(pid for pids in self._pids().values() for pid in pids)

    def pid(self, id: str | None = None) -> Pid | None:
        """The first pid of the child ``id`` (without one: of the first child), or `None`."""
        if id is None:
            return next(iter(self.pids()), None)
        return next(iter(self._pids().get(id, ())), None)

    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes concerned, sorted."""
        return tuple(sorted({pid.node for pid in self.pids()}))

    def node(self, id: str | None = None) -> str | None:
        """The name of the node of `pid`, or `None`."""
        pid = self.pid(id)
        return None if pid is None else pid.node

    def first(self) -> tuple[str, Pid] | None:
        """The first child that succeeded with its first pid, or `None`."""
        return next(((id, pids[0]) for id, pids in self._pids().items() if pids), None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pids())


@dataclass(frozen=True, slots=True)
class StartResult(_ByChild):
    """What became of a `start_children`: never an exception for one child.

    ``status``: ``"ok"`` (all run), ``"partial"``, or ``"failed"`` (none). ``started``: id to pids. ``errors``: id to the
    exception. ``rolled_back``: whether what had started was stopped again because of ``on_failure="rollback"``.
    """

    status: Status
    started: Mapping[str, tuple[Pid, ...]] = field(default_factory=lambda: MappingProxyType({}))
    errors: Mapping[str, Exception] = field(default_factory=lambda: MappingProxyType({}))
    rolled_back: bool = False

    def _pids(self) -> Mapping[str, tuple[Pid, ...]]:
        return self.started


@dataclass(frozen=True, slots=True)
class StopResult(_ByChild):
    """What became of a `stop_children`: ``stopped`` maps ids to the pids that ran, ``errors`` ids to exceptions."""

    status: Status
    stopped: Mapping[str, tuple[Pid, ...]] = field(default_factory=lambda: MappingProxyType({}))
    errors: Mapping[str, Exception] = field(default_factory=lambda: MappingProxyType({}))

    def _pids(self) -> Mapping[str, tuple[Pid, ...]]:
        return self.stopped


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a `plan`: a child that would change its node. ``source`` is `None` for one that runs nowhere yet."""

    child_id: str
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """A snapshot. Counts are since this hub was opened on this node.

    ``messages``: handled by the children here. ``longest_pause``: the longest time, in seconds, for which a child that was
    to move from here handled nothing: from when it was frozen until it was let go on, here or elsewhere. ``links``: per
    peer that is linked: ``state`` (``"up"``, ``"closing"``), ``age`` and ``silent`` in seconds, ``round_trip`` (``least``,
    ``median``, ``p99`` in seconds, of the latest ``count`` measurements; `None` before the first), ``bytes_in``, ``bytes_out``,
    ``frames_in``, ``frames_out``, ``messages_in``, ``messages_out``, ``messages_per_frame``, ``waiting`` and ``waiting_bytes``
    in the outbox, ``held`` (requests that wait here for a full mailbox there), ``reconnects``, ``last_error``. And how far
    values are that are too large for one message: ``sending`` (how many), ``sending_bytes`` (of all of them),
    ``sent_bytes`` (of those, so many are on their way); ``receiving``, ``receiving_bytes`` and ``received_bytes`` of those
    that come.
    """

    hub: str
    node: str
    members: tuple[str, ...]
    ready: tuple[str, ...]
    children: int
    local_children: int
    parked: int
    settled: bool
    starts: int
    stops: int
    restarts: int
    messages: int
    moves: int
    longest_pause: float
    conflicts: int
    dead_letters: int
    syncs_sent: int
    syncs_received: int
    links: Mapping[str, Any]
