"""What a node knows of what others know: from what they have acknowledged, and on which links.

Law of this room: readings only. `hubkit.cluster.replication` keeps what is read here up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hubkit.cluster.linkstate import LinkState
from hubkit.cluster.rows import Key, Row
from hubkit.cluster.stamps import NEVER, Moment, Stamp, Version, covers
from hubkit.cluster.store import Store
from hubkit.pids import NodeId

__all__ = ["Knowledge"]


class Knowledge:
    """The part of `hubkit.cluster.replication.Replication` that is asked."""

    __slots__ = ()

    _forwards: bool
    _me: NodeId
    _store: Store
    _pruned: dict[NodeId, Moment]
    acked: dict[NodeId, dict[NodeId, Moment]]
    links: dict[NodeId, LinkState]
    holds: Callable[[Key], bool]
    kept: list[Key]

    def met(self, peer: NodeId) -> bool:
        """Whether this peer has told me all that it knew when we were linked."""
        link = self.links.get(peer)
        return link is not None and link.met

    def pending(self, peer: NodeId) -> int:
        """How many rows of a whole map have come that are not taken in yet."""
        return len(self.links[peer].chunks)

    def _is_kept(self, peer: NodeId, upto: Version, key: Key, row: Row) -> bool:
        """Whether this row stays, though the map of this peer does not have it any more."""
        writer = row.stamp.node
        if key[0] == "want" or key[-1] != writer or row.value is None or writer == peer:
            return False
        if writer == self._me:
            if self.holds(key):
                self.kept.append(key)
                return True
            return False
        said = self.acked.get(writer, {}).get(writer, NEVER)  # who knows more of it than that may know of a removal
        return writer in self.links and covers({writer: said}, row.stamp) and said >= upto.get(writer, NEVER)

    def vouches(self, writer: NodeId, stamp: Stamp) -> bool:
        """Whether this write is its writer's own word. (Of one without a link to here, or by gossip, others' word must do.)"""
        return self._forwards or writer not in self.links or covers(self.acked.get(writer, {}), stamp)

    def stamp_of(self, key: Key) -> Stamp:
        """When, and by whom, the row of this key was written."""
        return self._store.rows[key].stamp

    def floor(self, nodes: Iterable[NodeId]) -> Moment:
        """How far all of these nodes are known to have what I wrote."""
        me = self._me
        floor = self._store.version.get(me, NEVER)
        for node in nodes:
            if node != me:
                floor = min(floor, self.acked.get(node, {}).get(me, NEVER))
        return floor

    def knows_all_of(self, peer: NodeId) -> bool:
        """Whether all that this peer is known to have seen has been seen here, be it of writers that are forgotten by now."""
        version, pruned = self._store.version, self._pruned
        return all(
            version.get(writer, NEVER) >= moment or pruned.get(writer, NEVER) >= moment
            for writer, moment in self.acked.get(peer, {}).items()
        )

    def has(self, node: NodeId, key: Key) -> bool:
        """Whether this node is known to have the row of this key, or what replaced it."""
        return covers(self.acked.get(node, {}), self._store.rows[key].stamp)

    def known(self, key: Key, nodes: Iterable[NodeId]) -> bool:
        """Whether all of these nodes are known to have the row of this key, or what replaced it."""
        row = self._store.rows.get(key)
        if row is None:
            return True
        stamp = row.stamp
        return all(node == self._me or covers(self.acked.get(node, {}), stamp) for node in nodes)

    def answered(self, node: NodeId, key: Key) -> bool:
        """Whether what I see of this node's rows was written, or left as it was, when it knew the row of this key."""
        seen, version = self.acked.get(node, {}), self._store.version
        return covers(seen, self._store.rows[key].stamp) and seen.get(node, NEVER) <= version.get(node, NEVER)

    def seen(self, stamp: Stamp) -> bool:
        """Whether the write of this stamp has been seen here."""
        return covers(self._store.version, stamp)

    def held_by(self, stamp: Stamp, nodes: Iterable[NodeId]) -> int:
        """How many of these nodes are known to have the write of this stamp."""
        version = self._store.version
        return sum(covers(version if node == self._me else self.acked.get(node, {}), stamp) for node in nodes)
