"""Who has been lost: out of sight without a goodbye, and since when.

Law of this room: a name is lost when no life of it is in sight, though it was a member and did not leave by itself. It stays
lost until it is back, or has been for longer than anybody asks. Those whom others have removed as dead count, too: else
nobody whose death was proven would ever have been lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from hubkit.cluster.rows import NodeRow
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, name_of

__all__ = ["Losses"]

#: Seconds after which one that is no member any more is not remembered.
MEMORY = 3600.0


class Losses:
    """The losses that one node has seen."""

    __slots__ = ("_before", "_known", "_since", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: frozenset[NodeId] = frozenset()
        self._before: tuple[frozenset[NodeId], frozenset[NodeId]] = (frozenset(), frozenset())
        self._since: dict[str, float] = {}

    def look(
        self, nodes: Mapping[NodeId, NodeRow], alive: frozenset[NodeId], now: float
    ) -> tuple[tuple[str, float], ...]:
        """Names and times of all losses, sorted; after a look at who is a member now, and who in sight."""
        known, since = frozenset(nodes), self._since
        if (known, alive) != self._before:
            here = {name_of(node) for node in alive}
            for node in known - alive:
                since.setdefault(name_of(node), now)
            for node in self._before[0] - known:
                if self._left(node):
                    since.pop(name_of(node), None)
                else:
                    since.setdefault(name_of(node), now)
            for name in here & since.keys():
                del since[name]
            self._before = (known, alive)
        return self.still(now)

    def still(self, now: float) -> tuple[tuple[str, float], ...]:
        """The same where nobody has come or gone since the last look."""
        since = self._since
        if not since:  # as nearly always
            return ()
        members = {name_of(node) for node in self._before[0]}
        for name in [name for name, when in since.items() if name not in members and now - when > MEMORY]:
            del since[name]
        return tuple(sorted(since.items()))

    def _left(self, node: NodeId) -> bool:
        """Whether it has removed its own row."""
        row = self._store.rows.get(("node", node))
        return row is None or row.seen is None
