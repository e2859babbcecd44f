"""Strategies that fail: what stands in for an answer that was not given, or makes no sense.

Law of this room: no strategy breaks a core. Whatever one answers is looked at before it is believed; and what takes the place
of a wrong answer moves nothing: children stay where they are.

=====================  =============================================================================================
asked for              in place of a wrong answer
=====================  =============================================================================================
``place``              no owner: who runs the child goes on, copies that stand by stay, and nobody begins to run it
``prepare, movers``    each child is placed by ``place``, at every change
``assign``             no pins
``copies``             the last answer, or 1
``veto``               a veto
``targets``            everybody is told at once
``allowed``            the last answer; before the first one, `False`
``is_quorum``          `False`: a lease is not prolonged on a guess
=====================  =============================================================================================

What went wrong is told once, and again after `QUIET` seconds if it still does: a line for each strategy, not for each child.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from hubkit.cluster.policy import ClusterView, QuorumView, Strategies

__all__ = ["QUIET", "Doubts", "believed", "complaint", "trusted"]

#: Seconds in which nothing is said twice.
QUIET = 60.0


class Doubts:
    """What went wrong with the strategies of one hub on one node."""

    __slots__ = ("_new", "_said")

    def __init__(self) -> None:
        self._new: dict[tuple[str, str], str] = {}  # family and method -> what has gone wrong first since it was told
        self._said: dict[tuple[str, str], float] = {}  # ... and when that was

    def note(self, family: str, strategy: object, method: str, error: Exception) -> str:
        """Asked this, a strategy has raised, or what it answered makes no sense. In words."""
        text = complaint(family, strategy, method, error)
        self._new.setdefault((family, method), text)
        return text

    def take(self, now: float) -> list[str]:
        """What is to be told now."""
        if not self._new:
            return []
        due = [key for key in sorted(self._new) if now - self._said.get(key, -QUIET) >= QUIET]
        self._said.update(dict.fromkeys(due, now))
        return [self._new.pop(key) for key in due]


def complaint(family: str, strategy: object, method: str, error: Exception) -> str:
    """What went wrong, in words."""
    try:
        what = f"{error}" if isinstance(error, _Nonsense) else f"raised {type(error).__name__}: {error}"
    except Exception:
        what = f"raised {type(error).__name__}"
    return f"the {family} strategy {type(strategy).__qualname__} fails: {method} {what:.300}"


class _Nonsense(Exception):
    """An answer that makes no sense."""


def believed(names: Any, offered: Collection[str], most: int) -> tuple[str, ...]:
    """The answer of ``place`` (or one of ``assign``), if it makes sense."""
    if type(names) is not tuple:
        if isinstance(names, str | bytes) or not isinstance(names, Sequence):
            msg = f"answered {names!r:.100}, which is no list of names"
            raise _Nonsense(msg)
        names = tuple(names)
    for name in names:
        if name not in offered:
            msg = f"answered {names!r:.100}: {name!r:.60} was not offered"
            raise _Nonsense(msg)
    if len(names) > most or (len(names) > 1 and len(set(names)) < len(names)):
        msg = f"answered {names!r:.100}, and was asked for {most} at most, each another one"
        raise _Nonsense(msg)
    return names  # type: ignore[no-any-return]  # strings, for each was among those offered


# -- families whose answers are looked at here ---------------------------------------------------------------------------


class _Trusted:
    """A strategy that is asked through this. What is not looked at is the strategy's own."""

    __slots__ = ("_doubts", "_strategy")

    def __init__(self, strategy: Any, doubts: Doubts) -> None:
        self._strategy = strategy
        self._doubts = doubts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)


class _Redundancy(_Trusted):
    __slots__ = ("_last",)

    def __init__(self, strategy: Any, doubts: Doubts) -> None:
        super().__init__(strategy, doubts)
        self._last = 1

    def copies(self, nodes: int) -> int:
        try:
            found = self._strategy.copies(nodes)
            if not isinstance(found, int) or isinstance(found, bool) or found < 1:
                msg = f"answered {found!r:.100} for {nodes} nodes, which is no number of copies"
                raise _Nonsense(msg)
            self._last = found
        except Exception as error:
            self._doubts.note("redundancy", self._strategy, "copies", error)
        return self._last


class _Migration(_Trusted):
    __slots__ = ()

    @property
    def veto(self) -> Any:
        return None if getattr(self._strategy, "veto", None) is None else self._veto

    def _veto(self, child: str, source: str, target: str) -> bool:
        try:
            return bool(self._strategy.veto(child, source, target))
        except Exception as error:
            self._doubts.note("migration", self._strategy, "veto", error)
            return True


class _Synchronization(_Trusted):
    __slots__ = ()

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        try:
            return believed(self._strategy.targets(list(peers), round), frozenset(peers), len(peers))
        except Exception as error:
            self._doubts.note("synchronization", self._strategy, "targets", error)
            return peers


class _Tolerance(_Trusted):
    __slots__ = ("_last",)

    def __init__(self, strategy: Any, doubts: Doubts) -> None:
        super().__init__(strategy, doubts)
        self._last = False

    def allowed(self, view: ClusterView) -> bool:
        try:
            self._last = _flag(self._strategy.allowed(view))
        except Exception as error:
            self._doubts.note("partition_tolerance", self._strategy, "allowed", error)
        return self._last


class _Leased(_Tolerance):
    __slots__ = ()

    def is_quorum(self, names: Collection[str], view: QuorumView) -> bool:
        try:
            return _flag(self._strategy.is_quorum(frozenset(names), view))
        except Exception as error:
            self._doubts.note("partition_tolerance", self._strategy, "is_quorum", error)
            return False

    def needs(self, view: QuorumView) -> str:
        try:
            return str(self._strategy.needs(view))
        except Exception as error:
            self._doubts.note("partition_tolerance", self._strategy, "needs", error)
            return f"a quorum of {type(self._strategy).__qualname__}"


def _flag(found: Any) -> bool:
    if not isinstance(found, bool):
        msg = f"answered {found!r:.100}, and not True or False"
        raise _Nonsense(msg)
    return found


def trusted(strategies: Strategies, doubts: Doubts) -> Strategies:
    """The same strategies, but none of them raises or answers nonsense. (The distribution is looked at where it is asked.)"""
    tolerance: Any = strategies.partition_tolerance
    return replace(
        strategies,
        redundancy=_Redundancy(strategies.redundancy, doubts),
        migration=_Migration(strategies.migration, doubts),
        synchronization=_Synchronization(strategies.synchronization, doubts),
        partition_tolerance=(_Leased if hasattr(tolerance, "is_quorum") else _Tolerance)(tolerance, doubts),
    )
