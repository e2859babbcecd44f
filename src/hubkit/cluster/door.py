"""The door of a core: what of a message is let in, and who is named because of what is not.

Law of this room: who is refused is not listened to until its link is a new one. What is told of a lie is a line for each
liar, and after `QUIET` seconds another, if it goes on.
"""

from __future__ import annotations

from hubkit.cluster.credence import DRAG, weigh
from hubkit.cluster.doubts import QUIET
from hubkit.cluster.effects import Refuse, Warn
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.replication import Replication
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Sync
from hubkit.pids import NodeId, name_of

__all__ = ["Door"]

#: Names that are remembered, so that each is told of once.
MOST = 1000


class Door:
    """The door of one core.

    ``refused``: peers whose links are to be closed, and are not listened to until then. ``found``: who has told what.
    """

    __slots__ = ("_drift_max", "_ledger", "_replication", "_said", "_store", "found", "refused")

    def __init__(self, store: Store, ledger: Ledger, replication: Replication, drift_max: float) -> None:
        self.found: list[tuple[NodeId, str]] = []
        self._store = store
        self._ledger = ledger
        self._replication = replication
        self._drift_max = drift_max
        self._said: dict[str, float] = {}  # who was complained of, and when
        self.refused: set[NodeId] = set()

    def let_in(self, peer: NodeId, sync: Sync, now: float) -> Sync | Refuse:
        """What is to be taken of this message of a linked peer, or that nothing is."""
        clock, replication = self._store.clock, self._replication
        wall = clock.wall_ms(now)
        clock.limit = (wall + int(self._drift_max * DRAG * 1000), 0)
        known = (self._ledger.nodes, replication.links)
        pending = replication.pending(peer) if sync.kind == "whole" else 0
        found = weigh(peer, sync, self._store, self._ledger.runs, known, wall, self._drift_max, pending)
        if isinstance(found, str):
            self.refused.add(peer)
            return Refuse(peer, found)
        if found is not sync:
            replication.ask_again(peer, later=True)
        return found

    def complaints(self, now: float) -> list[Warn]:
        """The lines for what peers have told that is not so."""
        lines = []
        for peer, what in self.found:
            name = name_of(peer)
            if now - self._said.get(name, -QUIET) >= QUIET:
                if len(self._said) >= MOST:
                    del self._said[next(iter(self._said))]
                self._said[name] = now
                lines.append(Warn(f"of what {peer} says: {what}"))
        self.found.clear()
        return lines
