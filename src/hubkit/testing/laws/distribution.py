"""The laws of distributions: where children run.

Law of this room: what is asked is what a hub asks: nodes sorted by name, one at least, all of them able
to run the child.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
from hypothesis import strategies as st

from hubkit.cluster.placement import preparing
from hubkit.cluster.policy import ChildView, NodeView
from hubkit.testing.laws.running import TOTAL, bench_for, show
from hubkit.testing.laws.values import check_value, names_in
from hubkit.testing.laws.views import FACTS, NAMES, PlaceCase, again, node_of, node_sets, place_cases

__all__ = ["check_distribution"]

TYPE = "it answers with a list or tuple of names"
OFFERED = "it answers only names of nodes that it was offered"
APART = "copies are on different nodes, and no more than were asked for"
FULL = "there are as many copies as were asked for, or as there are nodes (but for a distribution that is `selective`)"
SAME = "it is deterministic: the same question, and an equal one that was made anew, have the same answer"
PURE = "it is pure: it leaves its arguments as they are"
LEAVE = "when a node leaves, only children move that it owned"
JOIN = "when a node joins, children move only to it"
PREPARED = "prepare(nodes).place answers what place does"
MOVERS = "movers leaves out no child whose place has changed"
ASSIGNED = (
    "assign names for each child different nodes that it was offered, and at most as many as there are to be copies"
)
PINNED = "place answers with the pinned nodes that are there, and then with the first of the others by name"
NUMBERS = "half_life and step are numbers above 0"


def check_distribution(
    strategy: Any, *, stable: bool | None = None, examples: int = 200, settings: hypothesis.settings | None = None
) -> None:
    """Put a distribution to the laws of its family; ``examples`` cases for each law.

    The laws: it is total, deterministic and pure; it answers names that it was offered, each once, and as many as there are to
    be (fewer, if it has an attribute ``selective`` that is true); it is a value whose text is the same everywhere. If it has
    ``prepare``: what was prepared answers the same, ``movers`` leaves out no child that moves, and movement is minimal.
    If it has ``assign``: `hubkit.strategies.BalancingDistribution` has the rest.

    ``stable``: whether movement is minimal: when a node leaves only its children move, and when one joins children move only
    to it. By default that is asked of those with ``prepare``. ``settings``: Hypothesis' own, in place of ``examples``.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it. Example::

        def test_my_distribution_keeps_the_laws() -> None:
            check_distribution(ByTag(), stable=True)
    """
    bench = bench_for(strategy, "distributions", ("place",), examples, settings)
    check_value(bench)
    named = names_in(strategy)
    laws = [(PURE, _pure), (TYPE, _type), (OFFERED, _offered), (APART, _apart), (SAME, _same)]
    if not getattr(strategy, "selective", False):
        laws.append((FULL, _full))
    prepares = preparing(strategy) is not None  # a subclass that overrides place alone does not
    if prepares:
        bench.hold(node_sets(named, 0), (TOTAL, lambda strategy, nodes: strategy.prepare(nodes)))
        laws.append((PREPARED, _prepared))
    if hasattr(strategy, "assign"):
        laws.append((PINNED, _pinned))
    bench.hold(place_cases(named), *laws)
    if stable or (stable is None and prepares):
        bench.hold(_fewer(named), (LEAVE, _leave), (JOIN, _join))
    if prepares:
        bench.hold(_changes(named), (MOVERS, _movers))
    if hasattr(strategy, "assign"):
        counts = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30)).map(lambda found: tuple(found.items()))
        cases = st.builds(_Assignment, st.integers(0, 6), node_sets(named, 0), counts, st.integers(0, 3))
        bench.hold_once(NUMBERS, lambda: _numbers(strategy))
        bench.hold(cases, (ASSIGNED, _assigned))


def _names(strategy: Any, case: PlaceCase) -> Any:
    return strategy.place(case.child, case.nodes, case.copies)


def _type(strategy: Any, case: PlaceCase) -> str | None:
    names = _names(strategy, case)
    if isinstance(names, str | bytes) or not isinstance(names, Sequence):
        return f"{case.asked} answered {show(names)}, a {type(names).__name__}"
    wrong = [name for name in names if not isinstance(name, str)]
    return f"{case.asked} answered {show(names)}: {show(wrong[0])} is no name" if wrong else None


def _offered(strategy: Any, case: PlaceCase) -> str | None:
    names = _names(strategy, case)
    wrong = [name for name in names if name not in case.names]
    return f"{case.asked} answered {show(names)}: {wrong[0]!r} was not offered" if wrong else None


def _apart(strategy: Any, case: PlaceCase) -> str | None:
    names = _names(strategy, case)
    fine = len(set(names)) == len(names) <= case.copies
    return None if fine else f"{case.asked} answered {show(names)}"


def _full(strategy: Any, case: PlaceCase) -> str | None:
    names, most = _names(strategy, case), min(case.copies, len(case.nodes))
    return None if len(names) == most else f"{case.asked} answered {show(names)}, and should have named {most}"


def _same(strategy: Any, case: PlaceCase) -> str | None:
    first, anew = list(_names(strategy, case)), again(case)
    for other in (list(_names(strategy, case)), list(_names(strategy, anew))):
        if other != first:
            return f"{case.asked} answered {show(first)}, and then {show(other)}"
    return None


def _pure(strategy: Any, case: PlaceCase) -> str | None:
    before, asked = again(case), case.asked
    _names(strategy, case)
    return None if case == before else f"{asked} made of its arguments {case.asked}"


# -- movement ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fewer:
    """A question, and the same without one of the nodes."""

    case: PlaceCase
    node: str

    @property
    def less(self) -> PlaceCase:
        others = tuple(node for node in self.case.nodes if node.name != self.node)
        return PlaceCase(self.case.child, others, self.case.copies)

    @property
    def asked(self) -> str:
        return self.case.asked


def _fewer(named: tuple[str, ...]) -> st.SearchStrategy[_Fewer]:
    return place_cases(named, 2).flatmap(lambda case: st.builds(_Fewer, st.just(case), st.sampled_from(case.names)))


def _leave(strategy: Any, case: _Fewer) -> str | None:
    whole, less = list(_names(strategy, case.case)), list(_names(strategy, case.less))
    stay = [name for name in whole if name != case.node]
    if less[: len(stay)] == stay and (case.node in whole or less == whole):
        return None
    return f"{case.asked} answered {show(whole)}, and when {case.node!r} had left, {show(less)}"


def _join(strategy: Any, case: _Fewer) -> str | None:
    less, whole = list(_names(strategy, case.less)), list(_names(strategy, case.case))
    stay = [name for name in whole if name != case.node]
    if less[: len(stay)] == stay and (case.node in whole or less == whole):
        return None
    return f"{case.less.asked} answered {show(less)}, and when {case.node!r} had joined, {show(whole)}"


# -- prepare -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """Nodes before and after a change, and children."""

    before: tuple[NodeView, ...]
    after: tuple[NodeView, ...]
    children: tuple[ChildView, ...]
    copies: int

    @property
    def asked(self) -> str:
        return f"prepare({show(self.after)})"

    @property
    def joined(self) -> list[str]:
        """Those that came, and those that are not what they were: they count as having left and come."""
        old = {node.name: node for node in self.before}
        return [node.name for node in self.after if _facts(old.get(node.name)) != _facts(node)]


def _facts(node: NodeView | None) -> Any:
    return None if node is None else (node.actors, node.weight, node.labels)


@st.composite
def _changes(draw: st.DrawFn, named: tuple[str, ...]) -> _Change:
    """Nodes come, or become others, and go. Many children are like the first one, so that some of them move."""
    first = draw(place_cases(named))
    placement = first.child.placement
    count = draw(st.integers(0, 16)) if placement is None or placement.key is None else 0
    children = (first.child, *(replace(first.child, id=f"k{number}") for number in range(count)))
    came = draw(st.dictionaries(st.sampled_from(NAMES), FACTS, min_size=1, max_size=2))
    gone = draw(st.sets(st.sampled_from(NAMES), max_size=2))
    after = {node.name: node for node in first.nodes if node.name not in gone}
    has = {} if placement is None else placement.labels
    for name, facts in came.items():
        node = node_of(name, facts)
        after[name] = replace(node, labels={**node.labels, **has})
    return _Change(first.nodes, tuple(after[name] for name in sorted(after)), children, first.copies)


def _prepared(strategy: Any, case: PlaceCase) -> str | None:
    plain = list(_names(strategy, case))
    ready = list(strategy.prepare(case.nodes).place(case.child, case.copies))
    return None if plain == ready else f"{case.asked} answered {show(plain)}, and prepared {show(ready)}"


def _movers(strategy: Any, case: _Change) -> str | None:
    there = {node.name for node in case.after} - set(case.joined)
    asked: list[tuple[ChildView, list[str]]] = []
    for child in case.children:
        names = list(strategy.place(child, case.before, case.copies))
        if len(names) == case.copies and there.issuperset(names):
            asked.append((child, names))
    if not asked or not case.joined:
        return None
    children, owners = [child for child, _ in asked], [names for _, names in asked]
    placer = strategy.prepare(case.after)
    movers = list(placer.movers(children, owners, case.joined))
    question = f"{case.asked}.movers({show(children)}, {show(owners)}, {show(case.joined)})"
    for at in movers:
        if not isinstance(at, int) or not 0 <= at < len(children):
            return f"{question} answered {show(movers)}: {at!r} is the position of no child"
    for at, (child, names) in enumerate(asked):
        found = list(placer.place(child, case.copies))
        if at not in movers and found != names:
            return (
                f"{question} answered {show(movers)}, and child {child.id!r} moves from {show(names)} to {show(found)}"
            )
    return None


# -- assign ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Assignment:
    """A question to `BalancingDistribution.assign`."""

    children: int
    nodes: tuple[NodeView, ...]
    counts: tuple[tuple[str, int], ...]
    copies: int

    @property
    def asked(self) -> str:
        return f"assign({self.children}, {show(self.nodes)}, {dict(self.counts)}, {self.copies})"


def _numbers(strategy: Any) -> str | None:
    for name in ("half_life", "step"):
        value = getattr(strategy, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            return f"its {name} is {value!r}"
    return None


def _assigned(strategy: Any, case: _Assignment) -> str | None:
    counts, views = dict(case.counts), list(case.nodes)
    answer = [list(names) for names in strategy.assign(case.children, views, counts, case.copies)]
    if counts != dict(case.counts) or views != list(case.nodes):
        return f"{case.asked} changed its arguments"
    if len(answer) != case.children:
        return f"{case.asked} answered {show(answer)}, which is not {case.children} lists of names"
    names = {node.name for node in case.nodes}
    for found in answer:
        if len(set(found)) != len(found) or len(found) > case.copies or not names.issuperset(found):
            return f"{case.asked} answered {show(answer)}"
    other = strategy.assign(case.children, list(views), dict(reversed(case.counts)), case.copies)
    if [list(found) for found in other] != answer:
        return f"{case.asked} answered {show(answer)}, and then {show(other)}"
    return None


def _pinned(strategy: Any, case: PlaceCase) -> str | None:
    placement = case.child.placement
    if placement is not None and placement.key is not None:
        return None  # a key may have a place of its own
    there = [name for name in case.child.pins if name in case.names]
    expected = [*there, *(name for name in case.names if name not in there)][: case.copies]
    found = list(_names(strategy, case))
    return None if found == expected else f"{case.asked} answered {show(found)}, and not {show(expected)}"
