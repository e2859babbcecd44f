"""Who owns what: the answers of the distribution, remembered, and asked for again only where they may have changed.

Law of this room: ownership is a function of the want and of the ready nodes, and of nothing else. What is remembered here
is never truth, only work saved: a change of members asks anew about the children whom it may concern.

Of a child whose place its distribution fails to say (`hubkit.cluster.doubts`) nobody is the owner, until it is asked again.

Only nodes that are ready, that know how to start a child, and that have the labels it needs, are offered to the distribution.
(How busy a node says it is comes and goes, and moves nothing: it is no part of who is ready.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hubkit.cluster.affinity import has_labels, show_labels, turned
from hubkit.cluster.doubts import Doubts, believed, complaint
from hubkit.cluster.policy import ChildView, Distribution, NodeView, Placer, Redundancy
from hubkit.cluster.rows import NodeRow, Want, knows
from hubkit.pids import NodeId

__all__ = ["Offer", "Placement", "view_of"]

#: What children must have in common to be offered the same nodes: the wire name, and the labels that they need, if any.
_Kind: TypeAlias = str | tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Offer:
    """The nodes that children of one kind can run on, sorted by name."""

    nodes: tuple[NodeView, ...]
    names: frozenset[str]
    placer: Placer

    @property
    def first(self) -> str | None:
        """The first of them."""
        return self.nodes[0].name if self.nodes else None


@dataclass(frozen=True, slots=True)
class _Plain:
    """A distribution that cannot be prepared."""

    distribution: Distribution
    nodes: tuple[NodeView, ...]

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        return self.distribution.place(child, self.nodes, copies)

    def movers(
        self, children: Sequence[ChildView], owners: Sequence[Sequence[str]], joined: Sequence[str]
    ) -> Iterable[int]:
        return range(len(children))


def view_of(row: NodeRow) -> NodeView:
    """A node as a distribution sees it."""
    return NodeView(row.name, row.load, row.actors, row.weight, dict(row.labels))


def _kind(child: ChildView) -> _Kind:
    placement = child.placement
    return child.start if placement is None else (child.start, tuple(placement.labels.items()))


def _asked(child: ChildView) -> ChildView:
    """The child in whose place the distribution is asked: all that share a key are one."""
    placement = child.placement
    return child if placement is None or placement.together is None else replace(child, id=placement.together)


def preparing(distribution: Any) -> Callable[[Sequence[NodeView]], Placer] | None:
    """Its ``prepare``, if it has one that speaks for its ``place``: a subclass that overrides ``place`` alone has none."""
    for kind in type(distribution).__mro__:
        if "prepare" in vars(kind):
            found: Callable[[Sequence[NodeView]], Placer] = distribution.prepare
            return found
        if "place" in vars(kind):
            break
    return None


class Placement:
    """The owners of every child that has been asked about."""

    __slots__ = (
        "_apart",
        "_children",
        "_distribution",
        "_ids",
        "_lacking",
        "_nodes",
        "_offers",
        "_owned",
        "_owned_by_hub",
        "_owners",
        "_prepare",
        "_redundancy",
        "_rows",
        "copies",
        "doubts",
        "failing",
    )  # fmt: skip

    def __init__(self, distribution: Distribution, redundancy: Redundancy, doubts: Doubts | None = None) -> None:
        self.doubts: Doubts = Doubts() if doubts is None else doubts
        self._distribution = distribution
        self._redundancy = redundancy
        self._prepare = preparing(distribution)
        #: how many copies of each child there are to be
        self.copies: int = redundancy.copies(0)
        self._ids: dict[str, NodeId] = {}  # the ready nodes, by name
        self._rows: dict[str, NodeRow] = {}  # theirs
        self._nodes: dict[str, NodeView] = {}  # the same, sorted by name
        self._offers: dict[_Kind, Offer] = {}
        self._children: dict[str, ChildView] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._owned: dict[str, dict[str, None]] = {}  # node name -> children it owns
        self._lacking: dict[str, None] = {}  # children with fewer owners than copies
        self._owned_by_hub: set[str] = set()  # children without an actor
        self._apart: set[str] = set()  # children that take a slot in a ranking of all nodes
        #: children whose place the distribution has failed to say, and what went wrong
        self.failing: dict[str, str] = {}

    def names(self) -> tuple[str, ...]:
        """Names of the ready nodes, sorted."""
        return tuple(self._nodes)

    def count(self, name: str) -> int:
        """How many children this node owns, of those that have been asked about."""
        return len(self._owned.get(name, ()))

    @property
    def short(self) -> int:
        """How many children have fewer copies than are wanted, though more nodes would not make more of those."""
        missing = len(self._lacking) - len(self.failing)
        if self.copies < 2 or missing <= 0 or not self._nodes:
            return 0
        ready = len(self._nodes)
        return missing if self.copies > ready or self._redundancy.copies(ready + 1) == self.copies else 0

    def owners(self, child: str, want: Want) -> tuple[NodeId, ...]:
        """The nodes that should run this child, the one that does (the heir) first; none if no ready node can."""
        names = self._owners.get(child)
        if names is None:
            names = self._place(child, want)
        ids = self._ids
        return tuple([ids[name] for name in names])

    def heir(self, child: str, want: Want) -> NodeId | None:
        """The node that should run this child."""
        names = self._owners.get(child)
        if names is None:
            names = self._place(child, want)
        return self._ids[names[0]] if names else None

    def forget(self, child: str) -> None:
        """The want of this child has changed, or gone."""
        self._children.pop(child, None)
        self._apart.discard(child)
        self._drop(child)

    def update(self, ready: Mapping[NodeId, NodeRow]) -> dict[str, str | None]:
        """These are the ready nodes now. The children whose owners may have changed, and the names of their old heirs."""
        ids = {row.name: node for node, row in sorted(ready.items())}
        rows = {name: ready[ids[name]] for name in sorted(ids)}
        before = self._rows
        left = [name for name in before if not self._same(name, ids, rows)]
        joined = [name for name in rows if not self._same(name, ids, rows)]
        self._ids, self._rows = ids, rows
        if not left and not joined:
            return {}
        self._nodes = {name: view_of(row) for name, row in rows.items()}
        self._offers.clear()
        copies = self._redundancy.copies(len(ids))
        if copies != self.copies or self._prepare is None:
            self.copies = copies
            concerned = sorted(self._owners)
        else:
            concerned = self._concerned(left, joined)
        return {child: self._drop(child) for child in concerned}

    def _same(self, name: str, ids: Mapping[str, NodeId], rows: Mapping[str, NodeRow]) -> bool:
        """Whether this node was ready before, is so now, and is the same as far as placement goes."""
        old, new = self._rows.get(name), rows.get(name)
        if old is None or new is None or self._ids[name] != ids[name]:
            return False
        return old is new or (old.actors, old.weight, old.labels) == (new.actors, new.weight, new.labels)

    def _concerned(self, left: list[str], joined: list[str]) -> list[str]:
        found = {child for name in left for child in self._owned.get(name, ())}
        found.update(self._lacking)
        found.update(child for child in self._apart if child in self._owners)  # whoever comes or goes moves the slots
        if joined:
            groups: dict[_Kind, tuple[list[str], list[ChildView], list[Sequence[str]]]] = {}
            found.update(child for child in self._owned_by_hub if child in self._owners)
            for child, names in self._owners.items():
                if child not in found:
                    view = self._children[child]
                    kind = view.start if view.placement is None else _kind(view)
                    group = groups.get(kind)
                    if group is None:
                        group = groups[kind] = ([], [], [])
                    group[0].append(child)
                    group[1].append(view)
                    group[2].append(names)
            for children, views, owners in groups.values():
                found.update(self._movers(children, views, owners, joined))
        return sorted(found)

    def _movers(
        self, children: list[str], views: list[ChildView], owners: list[Sequence[str]], joined: list[str]
    ) -> Iterable[str]:
        offer = self.offer(views[0])
        able = [name for name in joined if name in offer.names]
        if not able:
            return
        if views[0].placement is not None:
            views = [_asked(view) for view in views]
        try:
            positions = [operator.index(position) for position in offer.placer.movers(views, owners, able)]
            if positions and not 0 <= min(positions) <= max(positions) < len(children):
                positions = [*range(len(children))]
        except Exception as error:
            self.doubts.note("distribution", self._distribution, "movers", error)
            positions = [*range(len(children))]
        for position in positions:
            yield children[position]

    def offer(self, child: ChildView) -> Offer:
        """The ready nodes that can run a child."""
        kind = child.start if child.placement is None else _kind(child)
        offer = self._offers.get(kind)
        if offer is None:
            needs: Mapping[str, str] = {} if child.placement is None else child.placement.labels
            nodes = tuple(
                view
                for view in self._nodes.values()
                if knows(view.actors, child.start) and has_labels(view.labels, needs)
            )
            offer = self._offers[kind] = Offer(nodes, frozenset(view.name for view in nodes), self._prepared(nodes))
        return offer

    def _prepared(self, nodes: tuple[NodeView, ...]) -> Placer:
        if self._prepare is not None:
            try:
                placer: Placer = self._prepare(nodes)
            except Exception as error:
                self.doubts.note("distribution", self._distribution, "prepare", error)
            else:
                return placer
        return _Plain(self._distribution, nodes)

    def view(self, child: str, want: Want) -> ChildView:
        """A child as a distribution sees it."""
        view = self._children.get(child)
        if view is None:
            view = ChildView(child, want.start, want.tag, want.pins, want.placement)
            self._children[child] = view
        return view

    def _place(self, child: str, want: Want) -> tuple[str, ...]:
        view, copies = self.view(child, want), self.copies
        offer = self.offer(view)
        names: tuple[str, ...] = ()
        if not view.start:  # the hub's own, which no strategy knows
            self._owned_by_hub.add(child)
            names = tuple(node.name for node in offer.nodes[:1])
        elif offer.nodes:
            try:
                names = self._answer(offer, view, copies)
            except Exception as error:
                self.failing[child] = self.doubts.note("distribution", self._distribution, "place", error)
        self._owners[child] = names
        for name in names:
            self._owned.setdefault(name, {})[child] = None
        if len(names) < (copies if view.start else 1):
            self._lacking[child] = None
        return names

    def _answer(self, offer: Offer, view: ChildView, copies: int) -> tuple[str, ...]:
        """What the distribution says. Raises whatever it raises, and if that makes no sense."""
        placement, nodes = view.placement, len(offer.nodes)
        if placement is None or placement.apart is None:
            return believed(offer.placer.place(_asked(view), copies), offer.names, copies)
        self._apart.add(view.id)
        key = replace(view, id=placement.apart, pins=())
        return turned(
            lambda: believed(offer.placer.place(key, nodes), offer.names, nodes),
            view.pins, offer.names, placement.slot, copies,
        )  # fmt: skip

    def _drop(self, child: str) -> str | None:
        names = self._owners.pop(child, ())
        for name in names:
            self._owned[name].pop(child, None)
        self._lacking.pop(child, None)
        self.failing.pop(child, None)
        return names[0] if names else None

    def obstacle(self, child: str, want: Want, rows: Iterable[NodeRow], who: str) -> str | None:
        """Why none of these nodes can run a child, in words in which each is a ``who``; `None`: one can."""
        able = [row for row in rows if knows(row.actors, want.start)]
        if not able:
            return f"no {who} knows its actor {want.start!r}"
        if want.placement is not None:
            able = [row for row in able if has_labels(dict(row.labels), want.placement.labels)]
            if not able:
                return f"no {who} that knows its actor has the labels {show_labels(want.placement.labels)}"
        views = tuple(sorted(map(view_of, able), key=lambda view: view.name))
        view = ChildView(child, want.start, want.tag, want.pins, want.placement)
        try:
            if believed(self._distribution.place(_asked(view), views, 1), [node.name for node in views], 1):
                return None
        except Exception as error:
            return complaint("distribution", self._distribution, "place", error)
        if not want.pins:
            names = type(self._distribution).__name__
            return f"the distribution strategy {names} names no {who} for it, and nobody has put it on one"
        return f"none of the nodes that it was put on ({', '.join(want.pins)}) is a {who} that can start it"
