"""Who sees to it that children are pinned, where the distribution gives each its place once.

Law of this room: it is level-triggered, and nobody is elected. A child without enough pins that are ready belongs to the
first ready node that can run it, and what that node does about it, before anything else, is to pin it: where it runs, if it
runs somewhere it may; else where there is the least load. Should that node die in the middle, the next is the first.

So nobody waits for a balancer, and no child is without a place because one has gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from hubkit.cluster.doubts import believed
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Offer, Placement
from hubkit.cluster.policy import BalancingDistribution, ChildView, Distribution, NodeView
from hubkit.cluster.rows import Want
from hubkit.pids import NodeId, name_of

__all__ = ["Balance"]


class Balance:
    """Pins for children that need some. Without a `BalancingDistribution` nobody does.

    ``me``: `None` in a hub that is only imagined, where one does it for all.
    """

    __slots__ = ("_distribution", "_ledger", "_members", "_name", "_placement")

    def __init__(
        self, me: NodeId | None, distribution: Distribution, ledger: Ledger, members: Members, placement: Placement
    ) -> None:
        self._name = None if me is None else name_of(me)
        balances = hasattr(distribution, "assign")
        self._distribution = cast("BalancingDistribution", distribution) if balances else None
        self._ledger = ledger
        self._members = members
        self._placement = placement

    def for_new(self, wants: Mapping[str, Want]) -> dict[str, Want]:
        """The same wants, each with pins. (A child that is there already keeps its pins.)"""
        if self._distribution is None:
            return dict(wants)
        known = self._ledger.wants
        old = {child: known[child].pins for child, want in wants.items() if child in known and not want.pins}
        wants = {child: replace(want, pins=old.get(child, want.pins)) for child, want in wants.items()}
        pins = self._pins({child: want for child, want in wants.items() if not want.pins}, mine_only=False)
        return {child: replace(want, pins=pins.get(child, want.pins)) for child, want in wants.items()}

    def due(self, children: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The pins that this node has to write for some of these children."""
        if self._distribution is None:
            return {}
        wants = self._ledger.wants
        return self._pins(
            {child: wants[child] for child in children if child in wants}, mine_only=self._name is not None
        )

    def _pins(self, wants: Mapping[str, Want], *, mine_only: bool) -> dict[str, tuple[str, ...]]:
        """Those that run somewhere first: they count where the others are about to be put."""
        found: dict[str, tuple[str, ...]] = {}
        counts = {name: self._placement.count(name) for name in self._placement.names()}
        fresh: dict[int, tuple[Offer, list[str]]] = {}  # by the identity of the offer
        for child, want in wants.items():
            offer = self._placement.offer(ChildView(child, want.start, want.tag, want.pins, want.placement))
            if (mine_only and offer.first != self._name) or (want.placement is not None and want.placement.key):
                continue
            copies = min(self._placement.copies, len(offer.nodes))
            valid = [name for name in want.pins if name in offer.names]
            if len(valid) >= copies:
                continue
            valid += [name for name in self._holders(child) if name in offer.names and name not in valid]
            if valid:
                found[child] = self._filled(valid[:copies], offer, counts, copies)
            else:
                fresh.setdefault(id(offer), (offer, []))[1].append(child)
        for offer, children in fresh.values():
            found.update(
                zip(children, self._assign(len(children), offer.nodes, counts, self._placement.copies), strict=True)
            )
        return {child: pins for child, pins in found.items() if pins and pins != wants[child].pins}

    def _holders(self, child: str) -> list[str]:
        """Where it runs, the greatest term first."""
        alive = self._members.alive
        runs = self._ledger.runs.get(child, {})
        active = [(run.term, node) for node, run in runs.items() if run.role == "active" and node in alive]
        return [name_of(node) for _, node in sorted(active, reverse=True)]

    def _filled(self, valid: list[str], offer: Offer, counts: dict[str, int], copies: int) -> tuple[str, ...]:
        for name in valid:
            counts[name] += 1
        others = tuple(view for view in offer.nodes if view.name not in valid)
        (more,) = self._assign(1, others, counts, copies - len(valid))
        return (*valid, *more)

    def _assign(
        self, children: int, nodes: tuple[NodeView, ...], counts: dict[str, int], copies: int
    ) -> list[tuple[str, ...]]:
        assert self._distribution is not None
        loads: dict[str, float] = {}
        if self._name is not None:  # how busy they say they are now: the placement does not follow that
            loads = {row.name: row.load for node, row in self._ledger.nodes.items() if node in self._members.ready}
        loaded = [replace(view, load=loads.get(view.name, view.load)) for view in nodes]
        offered = {view.name for view in nodes}
        try:
            given = self._distribution.assign(children, loaded, dict(counts), copies)
            answer = [believed(names, offered, copies) for _, names in zip(range(children), given, strict=True)]
        except Exception as error:
            self._placement.doubts.note("distribution", self._distribution, "assign", error)
            answer = [()] * children
        for names in answer:
            for name in names:
                counts[name] += 1
        return answer
