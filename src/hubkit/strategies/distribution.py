"""Where children run.

Law of this room: minimal movement. When a node joins, children move only to it; when one leaves, only its own move. Nodes
are told apart by *name*, so a restarted one gets its children back.

`ConsistentHashing` is rendezvous hashing (see `hubkit.strategies.hashing`). A ring of points would place faster and spread
worse (with 64 points a node, the fullest of 50 nodes had 1.21 times the mean, here 1.10); it has parameters, and state to be
built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from hubkit.cluster.policy import ChildView, NodeView, Placer
from hubkit.errors import ConfigurationError
from hubkit.specs import check_seconds
from hubkit.strategies.hashing import Field, rank

__all__ = ["CentralizedLoadBalancer", "ConsistentHashing", "Guided"]


@dataclass(frozen=True, slots=True)
class ConsistentHashing:
    """Every child has its place, computed from its id and the names and weights of the ready nodes alone.

    A node of weight 2 (``Node(weight=2)``, ``Hub(weight=2)``) gets about twice as many children as one of weight 1. A child
    that was put somewhere by hand (`Hub.move`) stays there while that node is ready. The spread is that of chance: with
    10,000 children the fullest of 10 nodes has about 1.05 times the mean, with 1,000 children the fullest of 5 about 1.1.

    When a node joins, leaves, or changes its weight, only children move that come from it or go to it.
    """

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """The nodes of the greatest numbers; nodes where it was put by hand come first."""
        return tuple(rank(child.id, nodes, child.pins)[:copies])

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        """For many children on the same nodes."""
        return _Hashing(Field(nodes))


@dataclass(frozen=True, slots=True)
class _Hashing:
    """`ConsistentHashing`, prepared."""

    field: Field

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        if copies == 1 and not child.pins:
            return (self.field.best(child.id),)
        return tuple(self.field.rank(child.id, child.pins)[:copies])

    def movers(
        self, children: Sequence[ChildView], owners: Sequence[Sequence[str]], joined: Sequence[str]
    ) -> Iterable[int]:
        yield from self.field.overtaken([child.id for child in children], [names[-1] for names in owners], joined)
        yield from _pinned(children, joined)


def _pinned(children: Sequence[ChildView], joined: Sequence[str]) -> Iterable[int]:
    """Positions of the children that were put on one of ``joined``."""
    new = frozenset(joined)
    return (at for at, child in enumerate(children) if child.pins and not new.isdisjoint(child.pins))


@dataclass(frozen=True, slots=True)
class Guided:
    """Each child runs on the nodes that its starter names, and nowhere else.

    ``await hub.start_child(spec, nodes=["a"])`` names as many known members as there are copies of each child;
    ``start_children`` takes one list for all, or a mapping of ids to lists. When such a node goes, the child waits for it,
    and comes back with it. `Hub.move` names another node. Nothing moves by itself; weights mean nothing here.
    """

    @property
    def selective(self) -> bool:
        """A child may have fewer copies than there are nodes: its own are not there."""
        return True

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """Those of its nodes that are ready, in the order in which they were named."""
        there = {node.name for node in nodes}
        return tuple([name for name in child.pins if name in there][:copies])

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        """For many children on the same nodes."""
        return _Guiding(frozenset(node.name for node in nodes))


@dataclass(frozen=True, slots=True)
class _Guiding:
    """`Guided`, prepared."""

    names: frozenset[str]

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        return tuple([name for name in child.pins if name in self.names][:copies])

    def movers(
        self, children: Sequence[ChildView], owners: Sequence[Sequence[str]], joined: Sequence[str]
    ) -> Iterable[int]:
        return _pinned(children, joined)


@dataclass(frozen=True, slots=True)
class CentralizedLoadBalancer:
    """Each child is put on the node with the least load when it starts, and stays there while that node is ready.

    Load is the number of children a node has, by its ``weight``, times how busy it is: the processor time of its process,
    the delay of its trio loop, and its share of the machine's memory, measured once a beat and smoothed. A node that is as
    busy as it can be (load 1) gets half as many children as an idle one.

    Nothing moves when a node joins: it gets what is started from then on. When one leaves, the first of the others (by name)
    that can run its children gives each of them a new place; that node needs no office, and when it dies the next does it. A
    child that has lost its place and has no new one yet belongs to that node. Children that share a key
    (`hubkit.Placement`) go by the hash of the key.

    ``half_life``: seconds after which an old measurement counts half. ``step``: a node tells the others of its load when that
    has changed by so much, and in multiples of it; so a quiet hub stays quiet.
    """

    half_life: float = 10.0
    step: float = 0.25

    def __post_init__(self) -> None:
        check_seconds(self.half_life, "CentralizedLoadBalancer.half_life", zero=False)
        step = self.step
        if not isinstance(step, int | float) or isinstance(step, bool) or not 0.01 <= step <= 10:
            msg = f"CentralizedLoadBalancer.step must be a number from 0.01 to 10, not {step!r}"
            raise ConfigurationError(msg)

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        """The pinned nodes that are ready, filled up with the first ones."""
        return _Balanced(tuple(node.name for node in nodes), Field(nodes)).place(child, copies)

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        """For many children on the same nodes."""
        return _Balanced(tuple(node.name for node in nodes), Field(nodes))

    def assign(
        self, children: int, nodes: Sequence[NodeView], counts: Mapping[str, int], copies: int
    ) -> Sequence[Sequence[str]]:
        """The least loaded nodes for each; what is given to one child counts for the next."""
        heap = []
        for node in nodes:
            count = counts.get(node.name, 0)
            cost = (1.0 + max(0.0, node.load)) / node.weight
            heap.append(((count + 1) * cost, node.name, count + 1, cost))
        heapify(heap)
        found = []
        for _ in range(children):
            taken = [heappop(heap) for _ in range(min(copies, len(heap)))]
            found.append(tuple(name for _, name, _, _ in taken))
            for _, name, count, cost in taken:
                heappush(heap, ((count + 1) * cost, name, count + 1, cost))
        return found


@dataclass(frozen=True, slots=True)
class _Balanced:
    """`CentralizedLoadBalancer`, prepared."""

    names: tuple[str, ...]
    field: Field

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        if child.placement is not None and child.placement.key is not None:
            return tuple(self.field.rank(child.id, child.pins)[:copies])
        valid = [name for name in child.pins if name in self.names]
        if len(valid) < copies:
            valid += [name for name in self.names if name not in valid]
        return tuple(valid[:copies])

    def movers(
        self, children: Sequence[ChildView], owners: Sequence[Sequence[str]], joined: Sequence[str]
    ) -> Iterable[int]:
        for position, (child, names) in enumerate(zip(children, owners, strict=True)):
            keyed = child.placement is not None and child.placement.key is not None
            if keyed or not set(names) <= set(child.pins) or not set(joined).isdisjoint(child.pins):
                yield position
