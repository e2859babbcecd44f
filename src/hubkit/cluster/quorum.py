"""What the partition strategy says here and now: by its own look at who is there, or by a lease that a quorum keeps alive.

Law of this room: whoever asks whether children may run, who is certainly gone, and what has been acknowledged, asks here; and
for a strategy without a lease the answers are those of `hubkit.cluster.liveness`. The same rules, other answers: there is no
second mode.

Under a lease (`hubkit.cluster.lease`) nothing shortens a wait: no refused port, no newer boot, no patience.
"""

from __future__ import annotations

import math
from typing import Any

from hubkit.cluster.lease import Lease
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.losses import Losses
from hubkit.cluster.members import Members
from hubkit.cluster.policy import ClusterView, PartitionTolerance
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Run
from hubkit.cluster.stamps import NEVER, Moment, Stamp
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Sync
from hubkit.pids import NodeId, name_of

__all__ = ["Quorum"]


class Quorum:
    """The partition strategy of one node in one hub. ``lease``: `None` where the strategy has none."""

    __slots__ = (
        "_known",
        "_ledger",
        "_liveness",
        "_losses",
        "_me",
        "_members",
        "_replication",
        "_store",
        "_view",
        "lease",
        "tolerance",
    )

    def __init__(
        self, me: NodeId, tolerance: PartitionTolerance, store: Store, ledger: Ledger, members: Members,
        replication: Replication, liveness: Liveness, now: float,
    ) -> None:  # fmt: skip
        self._me = me
        self._store = store
        self._ledger = ledger
        self._members = members
        self._replication = replication
        self._liveness = liveness
        self._losses = Losses(store)
        self._known: tuple[tuple[str, ...], tuple[str, ...]] | None = (
            None  # names of the members, and of those in sight
        )
        self._view: ClusterView | None = None  # what the strategy was last shown
        self.tolerance: PartitionTolerance = tolerance
        terms: Any = tolerance  # the Protocol tells: who has `is_quorum` is `Leased`
        self.lease: Lease | None = Lease(me, terms, now) if hasattr(tolerance, "is_quorum") else None
        if self.lease is not None:
            replication.demand_all()

    # -- what comes in -------------------------------------------------------------------------------------------------

    def receive(self, peer: NodeId, sync: Sync, now: float) -> None:
        """Take in a message. The lease is looked at first: what is read after it has ended does not undo that."""
        lease, version = self.lease, self._store.version
        if lease is None:
            self._replication.receive(peer, sync)
            return
        lease.look(now)
        before = {writer: version.get(writer, NEVER) for writer in sync.upto}
        self._replication.receive(peer, sync)
        for writer, moment in before.items():
            if version.get(writer, NEVER) > moment:
                lease.heard(writer, now)
        seen = self._replication.acked.get(peer, {})
        if sync.votes and self._replication.knows_all_of(peer):
            lease.acknowledged(name_of(peer), seen.get(self._me, NEVER))

    def stamped(self, stamp: Stamp, now: float) -> None:
        """I have written my node row: that is a beat, to be acknowledged."""
        if self.lease is not None:
            self.lease.beat(stamp[:2], now)

    def acted(self, now: float) -> None:
        """All that was decided has been brought in line."""
        if self.lease is not None:
            self.lease.acted()
            self._replication.votes = self.lease.votes(now)

    # -- what is asked -------------------------------------------------------------------------------------------------

    @property
    def strict(self) -> bool:
        """Whether there is a lease: then every claim is announced, and only silence proves an end."""
        return self.lease is not None

    def allowed(self, now: float) -> bool:
        """Whether children may run here."""
        if self.lease is not None:
            return self.lease.allowed(now, self._ledger.settings.view)
        if self._known is None:
            nodes, alive = self._ledger.nodes, self._members.alive
            lost = self._losses.look(nodes, alive, now)
            self._known = _names(nodes), _names(alive)
        else:
            lost = self._losses.still(now)
        view = self._view
        if view is None or view.now != now or view.lost != lost:
            self._view = view = ClusterView(*self._known, now, lost)
        return self.tolerance.allowed(view)

    def others(self) -> None:
        """Members have come or gone, or are in sight or out of it."""
        self._known = self._view = None

    def gone(self, node: NodeId, now: float) -> bool:
        """Whether this node may be taken for gone; under a lease, whether it is certain to run nothing."""
        return self._liveness.gone(node, now) if self.lease is None else self.lease.gone(node, now)

    def claims(self, node: NodeId, run: Run) -> bool:
        """Whether this row is a claim only. Under a lease so is a grant to oneself: it is announced, and may be in vain."""
        return run.role == "claiming" or (self.lease is not None and run.to == node)

    def held_term(self, node: NodeId, run: Run) -> int:
        """The term that this row says was reached; -1: none. A grant to oneself stands for what it has replaced."""
        if run.role in ("claiming", "passive"):
            return -1
        return run.term - 1 if self.lease is not None and run.to == node else run.term

    def competes(self, node: NodeId, run: Run, now: float) -> bool:
        """Whether this row of another keeps me from starting the child: it runs there, or is claimed, as far as is known."""
        if self.lease is None:
            return run.role in ("active", "claiming") and node in self._members.alive
        return (run.role == "active" or self.claims(node, run)) and not self.lease.gone(node, now)

    def floor(self, now: float) -> Moment:
        """How far those who must know of a claim have what I wrote."""
        if self.lease is None:
            return self._replication.floor(self._members.alive)
        return self.lease.floor(self._store.version.get(self._me, NEVER), now, self._ledger.settings.view)

    def stop_by(self, reason: str) -> float | None:
        """When a child that is to stop for this reason must have stopped, whatever its spec says."""
        return self.lease.stop_by if self.lease is not None and reason == "partition" else None

    @property
    def stop_bound(self) -> float:
        """Seconds in which every child must be able to stop."""
        return math.inf if self.lease is None else self.lease.stop_bound

    @property
    def lapses(self) -> int:
        """How often this node has lost the right to run children: what ran before must not go on after."""
        return 0 if self.lease is None else self.lease.lapses

    def may_act(self, lapses: int, now: float) -> bool:
        """Whether what began here after so many `lapses` may begin something now."""
        return self.lease is None or self.lease.may_act(lapses, now)

    @property
    def deadline(self) -> float | None:
        """When to look again although nothing has come in."""
        return self.lease.until if self.lease is not None and self.lease.held else None

    def missing(self, now: float) -> str:
        """What is missing where children may not run, in words."""
        names = ", ".join(_names(self._members.alive) if self.lease is None else self.lease.in_touch(now)) or "none"
        needs: Any = getattr(self.tolerance, "needs", None)
        text = "too few nodes are there" if needs is None else f"it takes {needs(self._ledger.settings.view)}"
        return f"{text}; {'in sight' if self.lease is None else 'in touch'}: {names}"


def _names(nodes: Any) -> tuple[str, ...]:
    return tuple(sorted({name_of(node) for node in nodes}))
