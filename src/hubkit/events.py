"""What happened: the facts that a hub publishes, as frozen dataclasses.

Law of this room: an event is a fact, published after it came true (or, for the ``...ing`` ones, when it begins); none can
veto. Every event of a hub carries ``hub``, the hub's id. ``node`` is always a node's *name*.

On which node each is published, when, and how often: see ``docs/hooks.md``. In short: events about children are published on
the node where it happened, those of the registry and of membership on every node as it learns of it; each fact once.

Handlers get them through ``hub.on``, programs through ``hub.events``. Subscribing to `Event` gets all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubkit.pids import Pid

__all__ = [
    "ChildFailed",
    "ChildMoved",
    "ChildMoving",
    "ChildRegistered",
    "ChildRestarted",
    "ChildStarted",
    "ChildStarting",
    "ChildStopped",
    "ChildUnregistered",
    "ConflictResolved",
    "DeadLetter",
    "Event",
    "EventsLost",
    "GroupChanged",
    "HubStopping",
    "MoveFailed",
    "NodeJoined",
    "NodeJoining",
    "NodeLeaving",
    "NodeLeft",
    "NodeSuspected",
    "PlacementChanged",
    "PlacementChanging",
    "QuorumLost",
    "QuorumRegained",
    "RoleChanged",
    "SettledChanged",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``hub`` is the id of the hub that publishes it (empty for one outside any hub)."""

    hub: str = field(kw_only=True, default="")


@dataclass(frozen=True, slots=True)
class NodeJoining(Event):
    """A node of this hub was heard of for the first time; it is not ready to run children yet."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeJoined(Event):
    """A node is ready to run children of this hub: for the first time, or again after it was suspected."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeSuspected(Event):
    """A node has been silent for too long, or its process is proven dead (``reason``); its children fail over."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeLeaving(Event):
    """A node has begun to leave: it hands its children over and takes no new ones."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeLeft(Event):
    """A node is no member of this hub any more: it left, or was forgotten."""

    node: str


@dataclass(frozen=True, slots=True)
class QuorumLost(Event):
    """Too few nodes are in sight for the partition strategy: children stop here, and starts are refused."""


@dataclass(frozen=True, slots=True)
class QuorumRegained(Event):
    """Enough nodes are in sight again."""


@dataclass(frozen=True, slots=True)
class PlacementChanging(Event):
    """The set of ready nodes has changed, and this node is about to act on it. ``nodes``: the new set, sorted.

    One `PlacementChanged` follows before the next of these.
    """

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacementChanged(Event):
    """This node has acted on the new set of ready nodes, or another one has come. ``moved``: children with new places."""

    nodes: tuple[str, ...]
    moved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettledChanged(Event):
    """This node now sees (or no longer sees) every child running exactly where it belongs."""

    settled: bool


@dataclass(frozen=True, slots=True)
class ChildStarting(Event):
    """This node is about to start a child. ``reason``: ``"start"``, ``"restart"``, ``"failover"`` or ``"migration"``.

    At each try, also of a copy that stands by. What follows is `ChildStarted`, `ChildFailed`, or nothing if it was stopped
    meanwhile.
    """

    child: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChildStarted(Event):
    """A child (or a copy that stands by) runs on this node."""

    child: str
    pid: Pid
    reason: str


@dataclass(frozen=True, slots=True)
class ChildRegistered(Event):
    """This node's registry has learnt of a pid of a child, wherever it runs."""

    child: str
    pid: Pid


@dataclass(frozen=True, slots=True)
class ChildUnregistered(Event):
    """This node's registry has dropped a pid of a child."""

    child: str
    pid: Pid


@dataclass(frozen=True, slots=True)
class ChildRestarted(Event):
    """A child of this node crashed and was restarted in place, under a new pid. ``error``: what it crashed of.

    The `ChildStarted` of the new incarnation follows.
    """

    child: str
    old: Pid
    pid: Pid
    error: BaseException | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ChildStopped(Event):
    """An incarnation of a child on this node has ended; one for each `ChildStarted`.

    ``reason``: ``"normal"`` or what it stopped itself with, ``"crash"``, ``"killed"``, ``"removed"``, ``"updated"``,
    ``"moved"``, ``"conflict"``, ``"partition"``, ``"shutdown"``, or ``"demoted"`` (a function that stands by from now on).
    """

    child: str
    pid: Pid
    reason: str


@dataclass(frozen=True, slots=True)
class ChildFailed(Event):
    """A child of this node could not be started, or crashed too often: it is parked, and tried again in ``retry_in`` s.

    With an infinite ``retry_in``: what was begun by ``start_children_soon`` or ``stop_children_soon`` on this node has
    failed, and nobody waits for it.
    """

    child: str
    error: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class ChildMoving(Event):
    """A child of this node is about to move to another one. At each try.

    What follows is `ChildMoved` (there) or `MoveFailed` (here), unless the child is stopped or a node dies meanwhile.
    """

    child: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ChildMoved(Event):
    """A child now runs on ``target``, after it ran on ``source``; published on ``target``."""

    child: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class MoveFailed(Event):
    """A move did not succeed; the child goes on where it was, and the move is tried again."""

    child: str
    source: str
    target: str
    error: str


@dataclass(frozen=True, slots=True)
class RoleChanged(Event):
    """A copy of a replicated child on this node has a role, or a new one: ``"active"`` or ``"passive"``.

    Told when it has started, and whenever that changes; not when a copy is restarted as what it was, and not where all
    copies are active.
    """

    child: str
    role: str


@dataclass(frozen=True, slots=True)
class ConflictResolved(Event):
    """A child ran on two nodes (after a partition); the copy on ``loser`` has yielded to the one on ``winner``.

    The copy of the greater ``(term, node id)`` wins; ``winner`` has its token (the copy may have been handed on, or back to
    ``loser``, by then). Published on the loser's node.
    """

    child: str
    winner: str
    loser: str
    term: int


@dataclass(frozen=True, slots=True)
class HubStopping(Event):
    """This hub has begun to stop on this node. Told once, with the first reason.

    ``reason``: ``"drain"`` (by ``drain``, ``stop``, or the end of the block), ``"exit"`` (its block is cancelled) or
    ``"error"`` (its block is left by an exception).
    """

    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter(Event):
    """A message was not delivered, and nobody waited who could be told. ``reason``: why.

    ``target``: the address as text: ``"<node#incarnation.serial>"``, as ``str`` of the pid, of the incarnation that it was for;
    ``"hub/child"`` of a child that ran nowhere; in words, of members of a group. ``message`` is the message itself, or for a
    call or cast the pair (method name, arguments). What becomes one, and what does not: see ``docs/guides/debugging.md``.
    """

    target: str
    message: Any
    reason: str


@dataclass(frozen=True, slots=True)
class GroupChanged(Event):
    """The members of a group in sight of this node have changed: ``joined`` have come, ``left`` have gone. Both sorted.

    One for all that changed in one turn. An actor that called ``hub.groups.monitor`` gets it as a message, too.
    """

    group: str
    joined: tuple[Pid, ...]
    left: tuple[Pid, ...]


@dataclass(frozen=True, slots=True)
class EventsLost(Event):
    """A stream of events was read too slowly: ``count`` events are missing at this place."""

    count: int
