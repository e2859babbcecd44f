"""What a node knows of what others know: from what they have acknowledged, and on which links.

Law of this room: readings only. `hubkit.cluster.replication` keeps what is read here up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from hubkit.cluster.linkstate import LinkState
from hubkit.cluster.rows import Key, Row, Run
from hubkit.cluster.stamps import NEVER, Moment, Stamp, Version, covers
from hubkit.cluster.store import Store
from hubkit.cluster.suspicion import Suspicion
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
    floods: list[NodeId]
    kept: list[Key]
    suspicion: Suspicion
    unwanted: list[tuple[NodeId, str]]

    def met(self, peer: NodeId) -> bool:
        """Whether this peer has told me all that it knew when we were linked."""
        link = self.links.get(peer)
        return link is not None and link.met

    def pending(self, peer: NodeId) -> int:
        """How many rows of a whole map have come that are not taken in yet."""
        return len(self.links[peer].chunks)

    @property
    def startled(self) -> bool:
        """Whether something came that is to be answered, or told."""
        return bool(self.kept or self.unwanted or self.floods or self.suspicion.forgers)

    def _speaks_for_itself(self, peer: NodeId, writer: NodeId) -> bool:
        """Whether this writer tells me all of itself, so that no whole map need. (Where words are passed on it may not.)"""
        return not self._forwards and writer != peer and writer != self._me and self.met(writer)

    def _own_words(self, peer: NodeId, rows: dict[Key, Row], upto: Version) -> tuple[dict[Key, Row], Version]:
        """What a whole map of a peer says, without what its writers will say themselves."""
        acked = self.acked
        ends = {writer: acked[writer].get(writer, NEVER) for writer in upto if self._speaks_for_itself(peer, writer)}
        late = {writer for writer, end in ends.items() if end < upto[writer]}
        if not late:
            return rows, upto
        rows = {key: row for key, row in rows.items() if row[0][2] not in late or row[0][:2] <= ends[row[0][2]]}
        return rows, {**upto, **{writer: ends[writer] for writer in late}}

    def _is_kept(self, peer: NodeId, told: Container[Key], key: Key, row: Row) -> bool:
        """Whether this row stays, though what is taken of a peer's map, of all that it ``told``, does not have it any more."""
        if key in told:  # what has replaced it comes from its writer
            return True
        writer = row.stamp.node
        if key[0] == "want" or key[-1] != writer or row.value is None:
            return False
        if writer == self._me:
            if self.holds(key):
                self.kept.append(key)
                return True
            return False
        return self._speaks_for_itself(peer, writer) and self.vouches(writer, row.stamp)

    def vouches(self, writer: NodeId, stamp: Stamp) -> bool:
        """Whether this write is its writer's own word. (Of one without a link to here, or by gossip, others' word must do.)"""
        return self._forwards or writer not in self.links or covers(self.acked.get(writer, {}), stamp)

    def _greater(self, rows: Mapping[Key, Row]) -> set[Stamp]:
        """Where some of these rows hold their child no more: the rows of those who do."""
        store, found = self._store.rows, set[Stamp]()
        for key, row in rows.items():
            if key[0] == "run" and (row.value is None or not isinstance(row.value, Run) or not row.value.term):
                held = [store.get(("run", key[1], node)) for node in self._store.version]
                terms = [(other.value.term, other.stamp) for other in held if other and isinstance(other.value, Run)]
                if terms and max(terms)[0]:
                    found.add(max(terms)[1])
        return found

    def buried(self, child: str) -> dict[NodeId, Stamp]:
        """Linked nodes whose rows about this child were removed by others: what they say of that is on its way. And when."""
        if not self._store.buried:
            return {}
        rows = self._store.rows
        found = [(node, rows.get(("run", child, node))) for node in self.links]
        return {node: row[0] for node, row in found if row is not None and row[2] is not None}

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
