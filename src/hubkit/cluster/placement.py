"""Who owns what: the answers of the distribution, remembered, and asked for again only where they may have changed.

Law of this room: ownership is a function of the want and of the ready nodes, and of nothing else. What is remembered here
is never truth, only work saved: a change of members asks anew about the children whom it may concern.

Only nodes that are ready, and that know how to start a child, are offered to the distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubkit.cluster.policy import ChildView, Distribution, NodeView, Redundancy
from hubkit.cluster.rows import NodeRow, Want, knows
from hubkit.pids import NodeId

__all__ = ["Placement"]


class Placement:
    """The owners of every child that has been asked about."""

    __slots__ = (
        "_children",
        "_distribution",
        "_eligible",
        "_ids",
        "_lacking",
        "_may_move",
        "_nodes",
        "_owned",
        "_owners",
        "_redundancy",
        "copies",
    )  # fmt: skip

    def __init__(self, distribution: Distribution, redundancy: Redundancy) -> None:
        self._distribution = distribution
        self._redundancy = redundancy
        self._may_move: Any = getattr(distribution, "may_move", None)
        #: how many copies of each child there are to be
        self.copies: int = redundancy.copies(0)
        self._ids: dict[str, NodeId] = {}  # the ready nodes, by name
        self._nodes: dict[str, NodeView] = {}  # the same, sorted by name
        self._eligible: dict[str, tuple[NodeView, ...]] = {}  # wire name -> those that can start it
        self._children: dict[str, ChildView] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._owned: dict[str, dict[str, None]] = {}  # node name -> children it owns
        self._lacking: dict[str, None] = {}  # children with fewer owners than copies

    def names(self) -> tuple[str, ...]:
        """Names of the ready nodes, sorted."""
        return tuple(self._nodes)

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
        self._drop(child)

    def update(self, ready: Mapping[NodeId, NodeRow]) -> dict[str, str | None]:
        """These are the ready nodes now. The children whose owners may have changed, and the names of their old heirs."""
        ids = {row.name: node for node, row in sorted(ready.items())}
        views = {name: NodeView(name, ready[ids[name]].load, ready[ids[name]].actors) for name in sorted(ids)}
        left = [
            n for n, v in self._nodes.items() if n not in ids or self._ids[n] != ids[n] or v.actors != views[n].actors
        ]
        joined = [
            n for n in ids if n not in self._ids or self._ids[n] != ids[n] or self._nodes[n].actors != views[n].actors
        ]
        before, self._ids, self._nodes = self._nodes, ids, views
        self._eligible.clear()
        if not left and not joined:
            return {}
        copies = self._redundancy.copies(len(ids))
        if copies != self.copies or self._may_move is None:
            self.copies = copies
            concerned = sorted(self._owners)
        else:
            concerned = self._concerned(left, joined, before)
        return {child: self._drop(child) for child in concerned}

    def _concerned(self, left: list[str], joined: list[str], before: Mapping[str, NodeView]) -> list[str]:
        children = {child for name in left for child in self._owned.get(name, ())}
        children.update(self._lacking)
        offers: dict[str, tuple[list[str], list[str]]] = {}  # wire name -> who joined and who left, for such children
        if joined:
            for child, names in self._owners.items():
                if child in children:
                    continue
                view = self._children[child]
                offer = offers.get(view.start)
                if offer is None:
                    start = view.start
                    offer = offers[start] = (
                        [name for name in joined if knows(self._nodes[name].actors, start)],
                        [name for name in left if knows(before[name].actors, start)],
                    )
                if offer[0] and self._may_move(view, names, *offer):
                    children.add(child)
        return sorted(children)

    def _place(self, child: str, want: Want) -> tuple[str, ...]:
        view = self._children.get(child)
        if view is None:
            view = self._children[child] = ChildView(child, want.start, want.tag, want.pins)
        nodes = self._eligible.get(want.start)
        if nodes is None:
            nodes = self._eligible[want.start] = tuple(v for v in self._nodes.values() if knows(v.actors, want.start))
        names = tuple(self._distribution.place(view, nodes, self.copies)) if nodes else ()
        self._owners[child] = names
        for name in names:
            self._owned.setdefault(name, {})[child] = None
        if len(names) < self.copies:
            self._lacking[child] = None
        return names

    def _drop(self, child: str) -> str | None:
        names = self._owners.pop(child, ())
        for name in names:
            self._owned[name].pop(child, None)
        self._lacking.pop(child, None)
        return names[0] if names else None
