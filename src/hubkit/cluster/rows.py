"""What the rows of the map say.

Law of this room: a row tells a fact or a wish, once, and names who may write it. A node row and a run row are written by
their node alone (others may only remove what they have seen of it, when it is dead); a want row is written by anyone, and
the last writer wins. Rows tell deeds, not intentions: ``released`` is written after the child has stopped.

=========================  =============  =======================================================================
key                        value          says
=========================  =============  =======================================================================
``("node", id)``           `NodeRow`      a process takes part in this hub
``("want", child)``        `Want`         a child is to run
``("run", child, id)``     `Run`          what that node does about the child
=========================  =============  =======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from hubkit.cluster.affinity import Labels, Placement
from hubkit.cluster.stamps import Moment, Stamp
from hubkit.pids import NodeId

__all__ = [
    "EVERY",
    "Key",
    "NodeKey",
    "NodeRow",
    "NodeState",
    "Phase",
    "Role",
    "Row",
    "Run",
    "RunKey",
    "Ticket",
    "Value",
    "Want",
    "WantKey",
    "knows",
    "stands",
]

NodeState: TypeAlias = Literal["joining", "ready", "leaving"]
Role: TypeAlias = Literal["claiming", "active", "released", "passive"]
Phase: TypeAlias = Literal["", "starting", "running", "failed"]

NodeKey: TypeAlias = tuple[Literal["node"], NodeId]
WantKey: TypeAlias = tuple[Literal["want"], str]
RunKey: TypeAlias = tuple[Literal["run"], str, NodeId]
Key: TypeAlias = NodeKey | WantKey | RunKey


#: In the place of a wire name (which it cannot be): every actor there is.
EVERY = "*"


def knows(actors: tuple[str, ...], start: str) -> bool:
    """Whether a node that can start these ``actors`` can start the one of this wire name (none: a child without an actor)."""
    return start in actors or EVERY in actors or not start


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A member of the hub. ``state`` is a claim by the node itself: nothing is granted to one that may not act yet.

    ``actors``: the wire names that the node can start; `EVERY` among them stands for whatever others can, where all
    nodes are one program. ``load``: how busy it is; only where the distribution asks for it. ``labels``: sorted.
    """

    name: str
    address: str | None
    state: NodeState
    actors: tuple[str, ...]
    load: float = 0.0
    weight: float = 1.0
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Want:
    """A child that is to run.

    ``start``: the wire name of its actor. ``body``: everything else about it, in bytes that only the shell can read.
    ``pins``: names of nodes where it was put, by hand or by a balancer, best first. ``rev``: the stamp at which ``start`` and
    ``body`` were written; `Core.write_wants` sets it, and putting the child elsewhere does not change it. ``placement``:
    what it asks of its nodes.
    """

    start: str
    body: bytes
    tag: str | None = None
    pins: tuple[str, ...] = ()
    rev: Stamp | None = None
    placement: Placement | None = None


class Ticket(NamedTuple):
    """Names one state of a child: the ``number``-th that its holder ``giver`` took while it held ``term``. Later is greater."""

    term: int
    number: int
    giver: NodeId


class Run(NamedTuple):
    """What a node does about a child.

    ``term``: a fencing token, which grows whenever the child changes hands or is started anew. ``role``: ``claiming``
    (about to start it), ``active`` (it is started here), ``released`` (it has stopped here; ``to`` may claim it next,
    `None`: anybody) or ``passive`` (a copy that stands by; it holds no token, so its term is 0). ``rev``: of the want that
    this is about. ``phase`` and ``serial`` (the number in its pid) are of an active or passive one; ``failed`` means parked: it
    could not be started, or crashed too often, for the reason ``error``. ``ticket``: of the state that a passive copy has
    accepted, or that has been handed over with a release.
    """

    term: int
    role: Role
    to: NodeId | None = None
    rev: Stamp | None = None
    phase: Phase = ""
    serial: int = 0
    error: str = ""
    ticket: Ticket | None = None

    @property
    def holds(self) -> bool:
        """Whether this is about the token: it is held, or was given away last."""
        return self.role in ("active", "released")


Value: TypeAlias = NodeRow | Want | Run


class Row(NamedTuple):
    """A value and the stamp of its writing. Value `None` is a tombstone: removed, and not yet known to all.

    ``seen``: in the tombstone of another node's row, how much of that node's writing its writer had seen. Of what the node
    wrote later the tombstone says nothing.
    """

    stamp: Stamp
    value: Value | None
    seen: Moment | None = None


def stands(key: Key, row: Row, old: Row) -> bool:
    """Whether ``row`` stands, and not ``old``, where both are of this key: the one order on which all nodes agree.

    Of two writings the later stands. But the rows of a node are removed by others in the belief that they have seen its
    last: where they have not, what it wrote later stands, whatever the clocks say.
    """
    if key[0] == "want" or row.stamp.node == old.stamp.node:
        return row.stamp > old.stamp
    return _rank(row) > _rank(old)


def _rank(row: Row) -> tuple[Moment, bool, Stamp]:
    return (row.stamp[:2], False, row.stamp) if row.seen is None else (row.seen, True, row.stamp)
