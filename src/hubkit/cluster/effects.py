"""What the core asks its shell to do.

Law of this room: an effect is an order, given once. The shell performs effects in their order; what comes of a `Start` or
a `Stop` it tells the core by `Core.started`, `Core.failed`, `Core.stopped` or `Core.ended`, sooner or later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from hubkit.cluster.rows import Ticket, Want
from hubkit.cluster.sync import Sync
from hubkit.events import Event
from hubkit.pids import NodeId, Pid

__all__ = [
    "Demote", "Discard", "Effect", "Forward", "Freeze", "Offer", "Promote", "Publish", "Refuse", "Send", "Start",
    "StartReason", "Stop", "StopReason", "Thaw", "Warn",
]  # fmt: skip

StartReason: TypeAlias = Literal["start", "failover", "migration"]
StopReason: TypeAlias = Literal["removed", "updated", "moved", "conflict", "shutdown", "partition"]


class Send(NamedTuple):
    """Send this to a linked peer, in order. (A named tuple: most of what is asked for is this.)"""

    peer: NodeId
    sync: Sync


@dataclass(frozen=True, slots=True)
class Start:
    """Start a child of which no instance exists here. To be answered with ``child`` and ``term``.

    ``passive``: it is to stand by, and to handle nothing until it is promoted. ``ticket``: of the state that was kept
    here, with which it is to go on.
    """

    child: str
    want: Want
    term: int
    reason: StartReason
    passive: bool = False
    ticket: Ticket | None = None


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
class Promote:
    """The instance that stood by is the active one from now on, with this fencing ``term``."""

    child: str
    term: int
    reason: StartReason


@dataclass(frozen=True, slots=True)
class Demote:
    """The instance, which may be frozen, stands by from now on."""

    child: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Let the instance begin nothing more, and take its state under this ticket. To be answered by `Core.froze`."""

    child: str
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let the instance go on, where it was frozen."""

    child: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Send the state of this ticket to the copy on a node. To be answered by `Core.declined`, if that refuses it."""

    child: str
    peer: NodeId
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Forward:
    """The copy on that node, under this number there, goes on: what waits for the child here, or still comes, is for it."""

    child: str
    pid: Pid


@dataclass(frozen=True, slots=True)
class Discard:
    """The state that was kept of a child that has stopped here is not needed any more."""

    child: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the link to this peer: it sent what cannot be accepted."""

    peer: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event of this hub."""

    event: Event


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell whoever looks after this hub, with a line in the log."""

    text: str


Effect: TypeAlias = (
    Send | Start | Promote | Demote | Freeze | Thaw | Offer | Forward | Discard | Stop | Refuse | Publish | Warn
)
