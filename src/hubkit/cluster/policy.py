"""What a strategy must be able to do: five Protocols of one or two pure methods, and the views they are shown.

Law of this room: a strategy is a value. It is asked, it answers from its arguments alone, and it never acts; the same
question has the same answer on every node. So nodes that see the same members agree without a word.

The cluster knows strategies only as these Protocols; those that come with hubkit are in `hubkit.strategies`.

*Pure* means: no clock, no chance, no file, no network, no `await`; nothing remembered from one question to the next; arguments
are left as they are, for the caller goes on using them. All questions are asked in the hub's own task, between two turns of
the event loop, some of them often: an answer takes microseconds. All nodes of a hub have equal strategies, and compare them
by a text (`hubkit.cluster.agreement`): the class and the fields of a dataclass, or the `repr`. So a strategy is best a frozen
dataclass. A field that each node may choose for itself is marked ``field(..., metadata={"local": True})``.

=====================  =================================================================================================
asked                  when, and by whom
=====================  =================================================================================================
``place``              by every node: for a child it hears of first, and for those whom a change of nodes may concern
``prepare, movers``    by every node: when nodes that are ready come, go or change
``assign``             by who starts children, and by the first node (by name) that can run those that have lost their place
``copies``             by every node: when nodes that are ready come or go
``warm`` and the like  once, when the hub opens
``veto``               by the node where a child runs that belongs elsewhere: at every look at it, once a beat at least
``targets``            by a node that has something to tell: after each turn in which it wrote something
``allowed``            by every node: at every input, many times a second
``is_quorum``          by every node: at every input, with larger and larger sets of names
=====================  =================================================================================================

A strategy that raises, or answers what makes no sense, harms nobody: `hubkit.cluster.doubts` says what stands in for its
answer. Whether one keeps the laws, `hubkit.testing.laws` tells.
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
    `BalancingDistribution`. One that answers with fewer names than there are nodes for, on purpose, says so by a true
    ``selective``. `hubkit.testing.laws.check_distribution` has the laws. Example::

        @dataclass(frozen=True)
        class FirstByName:
            def place(self, child, nodes, copies):
                return [node.name for node in nodes][:copies]
    """

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """Names of ``copies`` of the ``nodes``, each once, the one that runs the child first; all, if there are fewer.

        ``nodes``: one at least, sorted by name. All of them are ready, know the child's actor, and have the labels that it
        needs. ``copies``: 1 or more, and it may be more than there are nodes. Whatever else the answer goes by (``load``,
        above all) must not matter: nodes hear of it at different times, and would come to different answers.
        """
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

        ``owners``: of each child, as many as were asked for; all of them are still there, and unchanged. ``joined``: names,
        also of nodes that are not what they were (another weight, other labels). Children of one call need the same labels.
        """
        ...  # pragma: no cover


class PreparedDistribution(Distribution, Protocol):
    """A distribution that is quick for many children.

    Having ``prepare`` is a promise: a child stays where it is while none of its owners left or changed, and no node joined.
    Without the method every child is placed anew at every change.
    """

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        """Make ready for these nodes (sorted by name; none, where none can run some children)."""
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

        ``counts``: how many children each node has, by name; a node that is not in it has none. Here ``load`` counts: the
        answer is written down, and all nodes go by that. ``copies`` may be 0, and so may the number of nodes.
        """
        ...  # pragma: no cover


class Redundancy(Protocol):
    """How many copies of each child there are.

    A redundancy may have a property ``active``: ``"one"`` (of the copies one handles messages, the others stand by; that
    is so without the property) or ``"all"``. And a property ``checkpoint``: ``"manual"`` (so it is without), or seconds, above
    0, after which the copies that stand by are given the state. `hubkit.testing.laws.check_redundancy` has the laws. Example::

        @dataclass(frozen=True)
        class HalfOfAll:
            def copies(self, nodes):
                return max(1, nodes // 2)
    """

    def copies(self, nodes: int) -> int:
        """The number of copies when this many nodes are ready: 1 at least, also for 0 nodes, and never fewer for more nodes.

        It may be more than there are nodes; then there are as many copies as there can be.
        """
        ...  # pragma: no cover


class Migration(Protocol):
    """How a child changes nodes.

    A migration may have more properties: ``handover`` (whether the state travels to a copy that was prepared; without the
    property it does not), ``retention`` (seconds, 0 or more, for which the old node passes on what still arrives there),
    ``max_moves`` and ``max_rate`` (how many children may be on their way from one node, and begin to be in a second; `None`:
    any number), and ``veto(child, source, target)``, a pure function of a child id and two node names: `True` where the child
    is not to move. A veto does not hold a child on a node that leaves. `hubkit.testing.laws.check_migration` has the laws.
    Example::

        @dataclass(frozen=True)
        class OneByOne:
            warm = False
            max_moves = 1
    """

    @property
    def warm(self) -> bool:
        """Whether the new copy is prepared before the old one stops. (It is read once, as the hub opens.)"""
        ...  # pragma: no cover


class Synchronization(Protocol):
    """Whom a node tells of its own changes at once; everybody else learns of them within a beat or two.

    A synchronization may have a property ``forwards``: true where whoever hears of a change for the first time passes it on
    to its own ``targets``. Then ``peers`` begin behind the asking node in the circle of all, sorted, so that a position is
    a distance; and all who tell of one change are asked with the same ``round`` (the second in which it was written).

    `hubkit.testing.laws.check_synchronization` has the laws. Example::

        @dataclass(frozen=True)
        class OneInTurn:
            sync_interval: float = 15.0

            def targets(self, peers, round):
                return [peers[round % len(peers)]] if peers else []
    """

    @property
    def sync_interval(self) -> float:
        """Seconds, above 0, between exchanges with every peer even if nothing seems to have changed."""
        ...  # pragma: no cover

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        """Which of the linked ``peers`` (node ids, sorted) to tell; ``round`` counts the tellings.

        Pure; none of them twice.
        """
        ...  # pragma: no cover


class PartitionTolerance(Protocol):
    """Whether children may run here, given who is in sight.

    It is asked on each node about what that node sees, and promises no more than that: two parts of a hub may both be allowed.
    A tolerance that has ``is_quorum``, too, is held by a lease instead; see `Leased`. One that has ``needs(view) -> str`` says
    in a few words what is missing, for `NoQuorum`. `hubkit.testing.laws.check_partition_tolerance` has the laws. Example::

        @dataclass(frozen=True)
        class NeverAlone:
            def allowed(self, view):
                return len(view.alive) > 1
    """

    def allowed(self, view: ClusterView) -> bool:
        """`False`: nothing is placed here, and what runs here stops. With more nodes in sight it never becomes `False`."""
        ...  # pragma: no cover


class Leased(PartitionTolerance, Protocol):
    """A partition tolerance that is a quorum: children run here while a quorum has acknowledged what this node says.

    Any two sets of names that are quorums must have a name in common, whatever two views say: on that rests that a child
    has one owner. The same values on every node of the hub. A tolerance that promises it for so many names only says so by
    ``is_exact(names: int) -> bool``; one whose size `Hub.resize` may set has ``check_size(size, names)``, which returns the
    size or raises `ConfigurationError`.

    From the numbers follows how long another node waits before it takes a child over: ``(lease + max(lease, stop)) * (1 +
    drift) / (1 - drift)`` seconds. A lease lasts two beats at least.
    """

    @property
    def lease(self) -> float:
        """Seconds, above 0, for which an acknowledged heartbeat lets children run here."""
        ...  # pragma: no cover

    @property
    def stop(self) -> float:
        """Seconds, 0 or more, in which a child has stopped after the lease has ended: no ``shutdown`` may be longer."""
        ...  # pragma: no cover

    @property
    def drift(self) -> float:
        """How wrong the rate of a clock may be, less than 1: 0.01 is one per cent."""
        ...  # pragma: no cover

    def is_quorum(self, names: Collection[str], view: QuorumView) -> bool:
        """Whether nodes of these names are a quorum. More of them never are less of one; the order of names means nothing."""
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
