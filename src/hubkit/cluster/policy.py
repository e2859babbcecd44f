"""What a strategy must be able to do: five Protocols of one or two pure methods, and the views they are shown.

Law of this room: a strategy is a value. It is asked, it answers from its arguments alone, and it never acts; the same
question has the same answer on every node. So nodes that see the same members agree without a word.

The cluster knows strategies only as these Protocols; those that come with hubkit are in `hubkit.strategies`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "ChildView",
    "ClusterView",
    "Distribution",
    "Leased",
    "Migration",
    "NodeView",
    "PartitionTolerance",
    "QuorumView",
    "Redundancy",
    "SelectiveDistribution",
    "Strategies",
    "Synchronization",
]


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node that is ready to run a child. ``actors``: the wire names it can start."""

    name: str
    load: float
    actors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child to be placed. ``start``: the wire name of its actor; ``pins``: node names where it was put by hand."""

    id: str
    start: str
    tag: str | None
    pins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Who is there. ``nodes``: names of all known members, ``alive``: of those in sight (both sorted); ``now``: seconds.

    ``lost``: names of those that went out of sight without a goodbye, and when; also of those that were removed since.
    """

    nodes: tuple[str, ...]
    alive: tuple[str, ...]
    now: float
    lost: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class QuorumView:
    """What the map says of the quorum. ``size``: as set by `Hub.resize`, or the largest seen; 0: nothing is known yet.

    ``voters``: names of those that have been admitted as voters; none: nobody has been, so far as is known here.
    """

    size: int = 0
    voters: frozenset[str] = frozenset()


class Distribution(Protocol):
    """Where children run.

    A distribution may have a second method, ``may_move(child, owners, joined, left) -> bool``; see
    `SelectiveDistribution`.
    """

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """Names of at most ``copies`` of the ``nodes`` (sorted by name), the one that runs it first."""
        ...  # pragma: no cover


class SelectiveDistribution(Distribution, Protocol):
    """A distribution that can tell quickly which children a change of members concerns.

    Having ``may_move`` is a promise: a child stays where it is while none of its owners left and no node joined. Without
    the method every child is placed anew at every change.
    """

    def may_move(self, child: ChildView, owners: Sequence[str], joined: Sequence[str], left: Sequence[str]) -> bool:
        """Whether `place` might now answer something else than ``owners``. `True` is always safe."""
        ...  # pragma: no cover


class Redundancy(Protocol):
    """How many copies of each child there are."""

    def copies(self, nodes: int) -> int:
        """The number of copies when this many nodes are ready."""
        ...  # pragma: no cover


class Migration(Protocol):
    """How a child changes nodes. ``warm``: the new copy is prepared before the old one stops."""

    @property
    def warm(self) -> bool:
        """Whether the new copy is prepared before the old one stops."""
        ...  # pragma: no cover


class Synchronization(Protocol):
    """Whom a node tells of its own changes at once; everybody else learns of them within a beat or two."""

    @property
    def sync_interval(self) -> float:
        """Seconds between exchanges with every peer even if nothing seems to have changed."""
        ...  # pragma: no cover

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        """Which of the linked ``peers`` (node ids, sorted) to tell; ``round`` counts the tellings."""
        ...  # pragma: no cover


class PartitionTolerance(Protocol):
    """Whether children may run here, given who is in sight.

    A tolerance that has ``is_quorum``, too, is held by a lease instead; see `Leased`.
    """

    def allowed(self, view: ClusterView) -> bool:
        """`False`: nothing is placed here, and what runs here stops."""
        ...  # pragma: no cover


class Leased(PartitionTolerance, Protocol):
    """A partition tolerance that is a quorum: children run here while a quorum has acknowledged what this node says.

    Any two sets of names that are quorums must have a name in common, whatever two views say: on that rests that a child
    has one owner. The same values on every node of the hub.
    """

    @property
    def lease(self) -> float:
        """Seconds for which an acknowledged heartbeat lets children run here."""
        ...  # pragma: no cover

    @property
    def stop(self) -> float:
        """Seconds in which a child has stopped after the lease has ended."""
        ...  # pragma: no cover

    @property
    def drift(self) -> float:
        """How wrong the rate of a clock may be: 0.01 is one per cent."""
        ...  # pragma: no cover

    def is_quorum(self, names: Collection[str], view: QuorumView) -> bool:
        """Whether these nodes are a quorum. More of them never are less of one."""
        ...  # pragma: no cover

    def needs(self, view: QuorumView) -> str:
        """Who makes a quorum, in a few words."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Strategies:
    """One strategy of each family."""

    distribution: Distribution
    redundancy: Redundancy
    migration: Migration
    synchronization: Synchronization
    partition_tolerance: PartitionTolerance
