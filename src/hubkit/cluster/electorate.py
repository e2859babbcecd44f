"""Who makes a quorum, where that is not fixed: the largest size seen, and voters that are admitted one by one.

Law of this room: a change of voters is safe when majorities before and after it have somebody in common. So one name is added
or removed at a time, by one node only, and the next when a quorum has acknowledged the last change and every lease that was
won before has ended. That one node is the owner of `VOTERS`, a child without an actor: it is placed, claimed and handed over
as any other child is, and this room is its shell. Users never see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hubkit.cluster.effects import Effect, Publish, Start, Stop
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.quorum import Quorum
from hubkit.cluster.reconciler import Reconciler
from hubkit.cluster.rows import Want
from hubkit.cluster.settings import VOTERS, Rank
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, name_of

__all__ = ["Electorate"]


class _Others(Mapping[str, Want]):
    """All children but `VOTERS`."""

    def __init__(self, wants: Mapping[str, Want]) -> None:
        self._wants = wants

    def __getitem__(self, child: str) -> Want:
        if child == VOTERS:
            raise KeyError(child)
        return self._wants[child]

    def __iter__(self) -> Iterator[str]:
        return (child for child in self._wants if child != VOTERS)

    def __len__(self) -> int:
        return len(self._wants) - (VOTERS in self._wants)


class Electorate:
    """What one node does about the size and the voters. ``wants``: the children that users know of."""

    __slots__ = (
        "_acknowledged",
        "_first",
        "_least",
        "_ledger",
        "_me",
        "_members",
        "_quorum",
        "_reconciler",
        "_store",
        "wants",
    )

    def __init__(
        self, me: NodeId, store: Store, ledger: Ledger, members: Members, quorum: Quorum, reconciler: Reconciler
    ) -> None:
        self._me = me
        self._store = store
        self._ledger = ledger
        self._members = members
        self._quorum = quorum
        self._reconciler = reconciler
        tolerance: Any = quorum.tolerance
        self._first: frozenset[str] | None = getattr(tolerance, "admits", None)
        self._least: int | None = getattr(tolerance, "grows", None)
        self._acknowledged: tuple[Rank, float] | None = None  # the voters that a quorum knows, and since when
        self.wants: Mapping[str, Want] = ledger.wants if self._first is None else _Others(ledger.wants)

    @property
    def founded(self) -> bool:
        """Whether it is known who votes. Before that all of the first voters are needed, and each of them for ever."""
        return self._first is None or bool(self._ledger.settings.view.voters)

    # -- at each beat --------------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Take note of a larger size; admit a voter."""
        settings, lease = self._ledger.settings, self._quorum.lease
        if self._least is not None:
            epoch, size = settings.size or (0, 0)
            seen = max(len({name_of(node) for node in self._members.alive}), 0 if size else self._least)
            if seen > size:
                settings.set_size((epoch, seen), self._store, now)
        if self._first is not None and lease is not None and lease.may_act(lease.lapses, now):
            if VOTERS not in self._ledger.wants:
                self._store.put(("want", VOTERS), Want("", b""), now)
            instance = self._reconciler.instance(VOTERS)
            if instance is not None and instance.stopping is None:
                self._admit(self._first, instance.term, lease.wait, now)

    def _admit(self, first: frozenset[str], term: int, wait: float, now: float) -> None:
        """I am the one who may change the voters, in this term."""
        settings = self._ledger.settings
        rank = settings.voters
        voters = settings.view.voters or first
        if rank is None or rank[0] < term:
            settings.set_voters((term, 0), voters, self._store, now)
            return
        if self._acknowledged is None or self._acknowledged[0] != rank:
            written = self._store.rows["want", f"{VOTERS}/voters/{rank[0]}/{rank[1]}"].stamp
            if rank[0] == term and self._quorum.floor(now) >= written[:2]:
                self._acknowledged = (rank, now)
            return
        if now - self._acknowledged[1] <= wait:
            return
        ready = {name_of(node) for node in self._members.ready}
        members = {row.name for row in self._ledger.nodes.values()}
        for name in sorted(ready - voters)[:1] or sorted(voters - first - members)[:1]:
            settings.set_voters((term, rank[1] + 1), voters ^ {name}, self._store, now)

    # -- the shell of VOTERS -------------------------------------------------------------------------------------------

    def attend(self, effects: list[Effect], now: float) -> bool:
        """Do what is asked about `VOTERS`, and tell nobody. Whether anything was asked."""
        if self._first is None:
            return False
        self._ledger.changed.discard(VOTERS)
        mine = [effect for effect in effects if _child_of(effect) == VOTERS]
        if not mine:
            return False
        effects[:] = [effect for effect in effects if _child_of(effect) != VOTERS]
        for effect in mine:
            if isinstance(effect, Start):
                instance = self._reconciler.instance(VOTERS)
                assert instance is not None
                instance.phase, instance.serial = "running", 1
                self._reconciler.report(VOTERS, instance, now)
            elif isinstance(effect, Stop):
                self._reconciler.vanish(VOTERS)
        self._ledger.absorb()
        return True


def _child_of(effect: Effect) -> object:
    return getattr(effect.event if isinstance(effect, Publish) else effect, "child", None)
