"""The laws of partition tolerances: whether children may run here.

Law of this room: a quorum is judged by equal views. Where an operator may set its size, only sizes are drawn that keep the
promise: at least the number of names that there are. Whoever promises single ownership for so many names only (it has an
``is_exact``) is held to that, and no more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import hypothesis

from hubkit.cluster.policy import QuorumView
from hubkit.testing.laws.running import bench_for, show
from hubkit.testing.laws.values import check_value, names_in
from hubkit.testing.laws.views import Names, Sight, clusters, quorums

__all__ = ["check_partition_tolerance"]

ALLOWED = "allowed answers True or False"
SAME = "it is deterministic: equal views have the same answer"
MORE_ALIVE = "when more nodes are in sight, what was allowed stays allowed"
TERMS = "lease is seconds above 0, stop 0 or more, and drift a share from 0 to less than 1"
QUORUM = "is_quorum answers True or False, whatever the order of the names"
PURE = "it is pure: it leaves the names as they are"
MORE_NAMES = "more names never are less of a quorum"
INTERSECT = "any two quorums have a name in common"
NEEDS = "needs says in a few words who makes a quorum"


def check_partition_tolerance(
    strategy: Any, *, examples: int = 200, settings: hypothesis.settings | None = None
) -> None:
    """Put a partition tolerance to the laws of its family; ``examples`` cases for each law.

    The laws: ``allowed`` is total and deterministic, answers bools, and what is allowed stays so when more nodes are in sight;
    it is a value whose text is the same everywhere. If it has ``is_quorum`` (`hubkit.strategies.Leased`): the numbers of the
    lease make sense, more names never are less of a quorum, and any two quorums have a name in common, where views are equal.

    The exception: a strategy with a method ``is_exact(names: int) -> bool`` is held to the last law only where that is true:
    for ``StaticQuorum(2)`` among at most three names, say. A strategy that has names in its fields is asked about
    those, too.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it. Example::

        check_partition_tolerance(WithTheWitness("w"))
    """
    bench = bench_for(strategy, "partition tolerances", ("allowed",), examples, settings)
    check_value(bench)
    named = names_in(strategy)
    bench.hold(clusters(named), (ALLOWED, _bool), (SAME, _same), (MORE_ALIVE, _more_alive))
    if hasattr(strategy, "is_quorum"):
        bench.hold_once(TERMS, lambda: _terms(strategy))
        laws = ((QUORUM, _quorum), (PURE, _pure), (MORE_NAMES, _more_names), (INTERSECT, _intersect), (NEEDS, _needs))
        bench.hold(quorums(named), *laws)


def _bool(strategy: Any, case: Sight) -> str | None:
    view = case.view
    found = strategy.allowed(view)
    return None if isinstance(found, bool) else f"allowed({show(view)}) answered {show(found)}"


def _same(strategy: Any, case: Sight) -> str | None:
    view = case.view
    anew = replace(view)
    first = strategy.allowed(view)
    for other in (strategy.allowed(view), strategy.allowed(anew)):
        if other != first:
            return f"allowed({show(view)}) answered {first!r}, and then {other!r}"
    return None


def _more_alive(strategy: Any, case: Sight) -> str | None:
    view, silent = case.view, case.silent
    if silent is None or not strategy.allowed(view):
        return None
    lost = tuple(loss for loss in view.lost if loss[0] != silent)
    more = replace(view, alive=tuple(sorted({*view.alive, silent})), lost=lost)
    return None if strategy.allowed(more) else f"it is allowed with {show(view)}, and no more with {show(more)}"


# -- a lease -----------------------------------------------------------------------------------------------------------


def _terms(strategy: Any) -> str | None:
    for name, least, most in (("lease", 0.0, math.inf), ("stop", 0.0, math.inf), ("drift", 0.0, 1.0)):
        value = getattr(strategy, name)
        fine = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < most
        if not fine or (name == "lease" and value == 0):
            return f"its {name} is {value!r}"
    return None


def _quorum(strategy: Any, case: Names) -> str | None:
    names, view = case.names, case.view
    anew = QuorumView(view.size, frozenset(sorted(view.voters)))
    first = strategy.is_quorum(set(names), view)
    if not isinstance(first, bool):
        return f"is_quorum({show(names)}, {show(view)}) answered {show(first)}"
    for other in (list(names), tuple(reversed(names)), frozenset(names), dict.fromkeys(names).keys()):
        if strategy.is_quorum(other, anew) is not first:
            return f"is_quorum({show(names)}, {show(view)}) answered {first}, and of {other!r} {not first}"
    return None


def _pure(strategy: Any, case: Names) -> str | None:
    names = set(case.names)
    strategy.is_quorum(names, case.view)
    return None if names == set(case.names) else f"is_quorum made {sorted(names)} of {list(case.names)}"


def _more_names(strategy: Any, case: Names) -> str | None:
    names = set(case.names)
    if strategy.is_quorum(names, case.view):
        for name in case.others:
            names.add(name)
            if not strategy.is_quorum(set(names), case.view):
                return f"with {show(case.view)}, {list(case.names)} are a quorum, and {sorted(names)} are not"
    return None


def _intersect(strategy: Any, case: Names) -> str | None:
    exact = getattr(strategy, "is_exact", None)
    if exact is not None and not exact(len(case.names) + len(case.others)):
        return None
    if strategy.is_quorum(set(case.names), case.view) and strategy.is_quorum(set(case.others), case.view):
        return f"with {show(case.view)}, {list(case.names)} are a quorum, and so are {list(case.others)}"
    return None


def _needs(strategy: Any, case: Names) -> str | None:
    found = strategy.needs(case.view)
    return None if isinstance(found, str) and found.strip() else f"needs({show(case.view)}) answered {show(found)}"
