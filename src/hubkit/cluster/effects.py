"""What the core asks its shell to do.

Law of this room: an effect is an order, given once. The shell performs effects in their order; what comes of a `Start` or
a `Stop` it tells the core by `Core.started`, `Core.failed`, `Core.stopped` or `Core.ended`, sooner or later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hubkit.cluster.rows import Want
from hubkit.cluster.sync import Sync
from hubkit.events import Event
from hubkit.pids import NodeId

__all__ = ["Effect", "Publish", "Refuse", "Send", "Start", "StartReason", "Stop", "StopReason"]

StartReason: TypeAlias = Literal["start", "failover", "migration"]
StopReason: TypeAlias = Literal["removed", "updated", "moved", "conflict", "shutdown", "partition"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to a linked peer, in order."""

    peer: NodeId
    sync: Sync


@dataclass(frozen=True, slots=True)
class Start:
    """Start a child of which no instance exists here. To be answered with ``child`` and ``term``."""

    child: str
    want: Want
    term: int
    reason: StartReason


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the instance of a child, whether it is being started, runs, or is parked. To be answered by `Core.stopped`.

    ``reason``: ``"removed"`` (it is not wanted any more), ``"updated"`` (it is to be started from a newer spec),
    ``"moved"``, ``"conflict"`` (another copy has won), ``"shutdown"`` (this node leaves and nobody can take it) or
    ``"partition"`` (the partition strategy forbids it). ``by``: when it must have stopped, by this node's clock, whatever its
    spec allows; `None`: its spec says.
    """

    child: str
    reason: StopReason
    by: float | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the link to this peer: it sent what cannot be accepted."""

    peer: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event of this hub."""

    event: Event


Effect: TypeAlias = Send | Start | Stop | Refuse | Publish
