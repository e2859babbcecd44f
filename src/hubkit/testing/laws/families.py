"""The laws of redundancies, migrations and synchronizations.

Law of this room: an attribute that a strategy need not have is looked at only where it has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
from hypothesis import strategies as st

from hubkit.testing.laws.running import bench_for, show
from hubkit.testing.laws.values import check_value
from hubkit.testing.laws.views import NAMES, peers

__all__ = ["check_migration", "check_redundancy", "check_synchronization"]

COPIES = "copies is an int, and at least 1"
MORE = "the number of copies never falls when there are more nodes"
SAME = "it is deterministic: the same question has the same answer"
ACTIVE = "active is 'one' or 'all'"
CHECKPOINT = "checkpoint is 'manual', or seconds above 0"

WARM = "warm is True or False, and so is handover"
RETENTION = "retention is seconds, 0 or more"
LIMITS = "max_moves and max_rate are None, or above 0"
VETO = "veto is None, or a pure function of (child, source, target) that answers True or False"

INTERVAL = "sync_interval is seconds above 0"
FORWARDS = "forwards is True or False"
PEERS = "targets names peers that it was given, each once"
PURE = "it is pure: it leaves the peers as they are"
STARVE = "nobody starves: in enough rounds each peer is told"
#: for each peer
ROUNDS = 64
REACH = "nobody starves: what is forwarded reaches everybody, in enough rounds"


def check_redundancy(strategy: Any, *, examples: int = 200, settings: hypothesis.settings | None = None) -> None:
    """Put a redundancy to the laws of its family; ``examples`` cases for each law.

    The laws: ``copies`` is total and deterministic, at least 1 for any number of nodes (0, too), and never falls when nodes
    are added; ``active`` and ``checkpoint``, if there are such, are what they may be; it is a value whose text is the same
    everywhere.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it. Example::

        check_redundancy(HalfOfAll())
    """
    bench = bench_for(strategy, "redundancies", ("copies",), examples, settings)
    check_value(bench)
    counts = st.one_of(st.integers(0, 12), st.integers(0, 1000))

    bench.hold(counts, (COPIES, _number), (SAME, _same), (MORE, _more))
    bench.hold_once(ACTIVE, lambda: _one_of(strategy, "active", ("one", "all")))
    bench.hold_once(CHECKPOINT, lambda: _checkpoint(getattr(strategy, "checkpoint", "manual")))


def _number(strategy: Any, nodes: int) -> str | None:
    found = strategy.copies(nodes)
    fine = isinstance(found, int) and not isinstance(found, bool) and found >= 1
    return None if fine else f"copies({nodes}) answered {show(found)}"


def _same(strategy: Any, nodes: int) -> str | None:
    found, other = strategy.copies(nodes), strategy.copies(nodes)
    return None if found == other else f"copies({nodes}) answered {found!r}, and then {other!r}"


def _more(strategy: Any, nodes: int) -> str | None:
    few, many = strategy.copies(nodes), strategy.copies(nodes + 1)
    return None if few <= many else f"copies({nodes}) answered {few!r}, and copies({nodes + 1}) {many!r}"


def _one_of(strategy: Any, name: str, values: tuple[object, ...]) -> str | None:
    found = getattr(strategy, name, values[0])
    return None if any(found is value or found == value for value in values) else f"its {name} is {found!r}"


def _checkpoint(found: object) -> str | None:
    return None if found == "manual" or _is_number(found, above=True) else f"its checkpoint is {found!r}"


def _is_number(value: object, *, above: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > 0 if above else value >= 0


def check_migration(strategy: Any, *, examples: int = 200, settings: hypothesis.settings | None = None) -> None:
    """Put a migration to the laws of its family; ``examples`` cases for the veto.

    The laws: ``warm`` and ``handover`` are bools, ``retention`` is 0 or more seconds, the limits are `None` or above 0, a veto
    is total, deterministic, and answers bools; it is a value whose text is the same everywhere.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it. Example::

        check_migration(HotSwap(veto=stays_at_home))
    """
    bench = bench_for(strategy, "migrations", ("warm",), examples, settings)
    check_value(bench)
    bench.hold_once(WARM, lambda: _flags(strategy, {"warm": None, "handover": False}))
    bench.hold_once(RETENTION, lambda: _retention(getattr(strategy, "retention", 0.0)))
    bench.hold_once(LIMITS, lambda: _limits(strategy))
    veto = getattr(strategy, "veto", None)
    if veto is None:
        return
    bench.hold_once(VETO, lambda: None if callable(veto) else f"its veto is {veto!r}")
    names = st.sampled_from(NAMES)
    moves = st.tuples(st.one_of(names, st.text(min_size=1, max_size=4)), names, names).filter(lambda m: m[1] != m[2])

    bench.hold(moves, (VETO, _objection))


def _objection(strategy: Any, move: tuple[str, str, str]) -> str | None:
    found, other = strategy.veto(*move), strategy.veto(*move)
    if not isinstance(found, bool):
        return f"veto{move!r} answered {show(found)}"
    return None if found is other else f"veto{move!r} answered {found!r}, and then {other!r}"


def _flags(strategy: Any, defaults: dict[str, object]) -> str | None:
    for name, default in defaults.items():
        found = getattr(strategy, name, default)
        if not isinstance(found, bool):
            return f"its {name} is {found!r}"
    return None


def _retention(found: object) -> str | None:
    return None if _is_number(found, above=False) else f"its retention is {found!r}"


def _limits(strategy: Any) -> str | None:
    most, rate = getattr(strategy, "max_moves", None), getattr(strategy, "max_rate", None)
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        return f"its max_moves is {most!r}"
    return None if rate is None or _is_number(rate, above=True) else f"its max_rate is {rate!r}"


def check_synchronization(strategy: Any, *, examples: int = 200, settings: hypothesis.settings | None = None) -> None:
    """Put a synchronization to the laws of its family; ``examples`` cases for each law.

    The laws: ``sync_interval`` is above 0; ``targets`` is total, deterministic and pure, and names peers that it was given,
    each once; nobody starves: within 64 rounds for each peer every peer is named (or, if it has a true ``forwards``, reached by
    those that were reached); it is a value whose text is the same everywhere.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it. Example::

        check_synchronization(InTurn())
    """
    bench = bench_for(strategy, "synchronizations", ("targets", "sync_interval"), examples, settings)
    check_value(bench)
    bench.hold_once(INTERVAL, lambda: _interval(strategy.sync_interval))
    bench.hold_once(FORWARDS, lambda: _flags(strategy, {"forwards": False}))
    cases = st.builds(_Telling, peers(), st.one_of(st.integers(0, 20), st.integers(0, 10**9)))
    nobody = (REACH, _reach) if getattr(strategy, "forwards", False) else (STARVE, _starve)
    bench.hold(cases, (PEERS, _peers), (SAME, _twice), (PURE, _left_alone), nobody)


@dataclass(frozen=True, slots=True)
class _Telling:
    """A question to `Synchronization.targets`."""

    peers: list[str]
    round: int

    @property
    def asked(self) -> str:
        return f"targets({self.peers!r}, {self.round})"


def _interval(found: object) -> str | None:
    return None if _is_number(found, above=True) else f"its sync_interval is {found!r}"


def _peers(strategy: Any, case: _Telling) -> str | None:
    found = strategy.targets(list(case.peers), case.round)
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        return f"{case.asked} answered {show(found)}, a {type(found).__name__}"
    fine = set(found) <= set(case.peers) and len(set(found)) == len(found)
    return None if fine else f"{case.asked} answered {show(found)}"


def _twice(strategy: Any, case: _Telling) -> str | None:
    found, other = [list(strategy.targets(list(case.peers), case.round)) for _ in range(2)]
    return None if found == other else f"{case.asked} answered {show(found)}, and then {show(other)}"


def _left_alone(strategy: Any, case: _Telling) -> str | None:
    shown = list(case.peers)
    strategy.targets(shown, case.round)
    return None if shown == case.peers else f"{case.asked} made of the peers {show(shown)}"


def _starve(strategy: Any, case: _Telling) -> str | None:
    left = set(case.peers)
    for round in range(case.round, case.round + ROUNDS * len(case.peers)):
        left.difference_update(strategy.targets(list(case.peers), round))
        if not left:
            return None
    return f"targets({case.peers!r}, n) never named {sorted(left)} from n={case.round} on" if left else None


def _reach(strategy: Any, case: _Telling) -> str | None:
    """Each passes on what it has heard; its peers begin behind it in the circle of all."""
    everybody = case.peers
    reached = set(everybody[:1])
    for round in range(case.round, case.round + ROUNDS * len(everybody)):
        if len(reached) == len(everybody):
            return None
        for node in sorted(reached):
            at = everybody.index(node)
            reached.update(strategy.targets([*everybody[at + 1 :], *everybody[:at]], round))
    left = sorted(set(everybody) - reached)
    return f"of {everybody!r}, what the first said from round {case.round} on never reached {left}" if left else None
