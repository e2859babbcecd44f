"""What a strategy must be able to do: five Protocols of one or two pure methods, and the views they are shown.

Law of this room: a strategy is a value. It is asked, it answers from its arguments alone, and it never acts; the same
question has the same answer on every node. So nodes that see the same members agree without a word.

The cluster knows strategies only as these Protocols; those that come with hubkit are in `hubkit.strategies`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hubkit.cluster.affinity import Placement, check_labels, check_weight
from hubkit.cluster.rows import EVERY

__all__ = [
    "BalancingDistribution",
    "ChildView",
    "ClusterView",
    "Distribution",
    "Leased",
    "Migration",
    "NodeView",
    "PartitionTolerance",
    "Placer",
    "PreparedDistribution",
    "QuorumView",
    "Redundancy",
    "Strategies",
    "Synchronization",
]


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node that is ready to run a child. With its name alone it is one that may be added (`Hub.plan`).

    ``load``: how busy it says it is: 0 is idle, 1 as much as it can. It is a hint, known to different nodes at different times.
    ``actors``: the wire names it can start (``"*"``: all). ``weight``: its share, relative to others. ``labels``: what it
    says about itself.
    """

    name: str
    load: float = 0.0
    actors: tuple[str, ...] = (EVERY,)
    weight: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_weight(self.weight, f"the weight of node {self.name!r}")
        check_labels(self.labels, f"the labels of node {self.name!r}")


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child to be placed.

    ``start``: the wire name of its actor. ``pins``: node names where it was put, by hand or by a balancer. ``placement``: what
    it asks of its nodes (those that a distribution is shown have the labels; the child's ``id`` is then the common key).
    """

    id: str
    start: str
    tag: str | None
    pins: tuple[str, ...]
    placement: Placement | None = None


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

    A distribution may have a second method: ``prepare(nodes)``, see `PreparedDistribution`; or ``assign(...)``, see
    `BalancingDistribution`.
    """

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """Names of at most ``copies`` of the ``nodes`` (sorted by name), the one that runs it first."""
        ...  # pragma: no cover


class Placer(Protocol):
    """A distribution that has been made ready for certain nodes."""

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        """Exactly what `Distribution.place` answers for these nodes."""
        ...  # pragma: no cover

    def movers(
        self, children: Sequence[ChildView], owners: Sequence[Sequence[str]], joined: Sequence[str]
    ) -> Iterable[int]:
        """Which of the children may belong elsewhere since the nodes ``joined`` came: their positions. All is safe.

        ``owners``: of each child, as many as were asked for; all of them are still there, and unchanged.
        """
        ...  # pragma: no cover


class PreparedDistribution(Distribution, Protocol):
    """A distribution that is quick for many children.

    Having ``prepare`` is a promise: a child stays where it is while none of its owners left or changed, and no node joined.
    Without the method every child is placed anew at every change.
    """

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        """Make ready for these nodes (sorted by name)."""
        ...  # pragma: no cover


class BalancingDistribution(Distribution, Protocol):
    """A distribution that gives each child its place once, and writes it down as the child's pins.

    ``place`` must answer with the pinned nodes that are there, and fill up with the first nodes by name. The first of the
    nodes that can run a child sees to it that it has pins; so does whoever starts it.
    """

    @property
    def half_life(self) -> float:
        """Seconds after which an old measurement of load counts half."""
        ...  # pragma: no cover

    @property
    def step(self) -> float:
        """The least change of load that a node tells the others."""
        ...  # pragma: no cover

    def assign(
        self, children: int, nodes: Sequence[NodeView], counts: Mapping[str, int], copies: int
    ) -> Sequence[Sequence[str]]:
        """For each of so many children, names of at most ``copies`` of the ``nodes``, best first.

        ``counts``: how many children each node has, by name; a node that is not in it has none.
        """
        ...  # pragma: no cover


class Redundancy(Protocol):
    """How many copies of each child there are.

    A redundancy may have a property ``active``: ``"one"`` (of the copies one handles messages, the others stand by; that
    is so without the property) or ``"all"``.
    """

    def copies(self, nodes: int) -> int:
        """The number of copies when this many nodes are ready."""
        ...  # pragma: no cover


class Migration(Protocol):
    """How a child changes nodes.

    A migration may have more properties: ``handover`` (whether the state travels to a copy that was prepared; without the
    property it does not), ``retention`` (seconds for which the old node passes on what still arrives there), ``max_moves`` and
    ``max_rate`` (how many children may be on their way from one node, and begin to be in a second), and ``veto(child,
    source, target)``, a pure function: true where a child is not to move.
    """

    @property
    def warm(self) -> bool:
        """Whether the new copy is prepared before the old one stops."""
        ...  # pragma: no cover


class Synchronization(Protocol):
    """Whom a node tells of its own changes at once; everybody else learns of them within a beat or two.

    A synchronization may have a property ``forwards``: true where whoever hears of a change for the first time passes it on
    to its own ``targets``. Then ``peers`` begin behind the asking node in the circle of all, sorted, so that a position is
    a distance; and all who tell of one change are asked with the same ``round`` (the second in which it was written).
    """

    @property
    def sync_interval(self) -> float:
        """Seconds between exchanges with every peer even if nothing seems to have changed."""
        ...  # pragma: no cover

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        """Which of the linked ``peers`` (node ids, sorted) to tell; ``round`` counts the tellings.

        Pure; none of them twice.
        """
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
