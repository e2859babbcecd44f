"""Who takes part, who is in sight, and who is ready; and what changes in that.

Law of this room: *ready* is a claim by the node itself, in its row, and counts while the node is in sight; a node's row
alone makes it a member. Respect and proof differ: a silent member's children are taken over, but only a dead one is
forgotten at once; for the silent there is ``forget_after``, or an operator's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hubkit.cluster.liveness import Liveness
from hubkit.cluster.rows import NodeRow
from hubkit.events import Event, NodeJoined, NodeJoining, NodeLeaving, NodeLeft, NodeSuspected
from hubkit.pids import NodeId, boot_of, name_of

__all__ = ["Members"]


class Members:
    """The members of one hub as one node sees them."""

    __slots__ = ("_hub", "_liveness", "_longest", "_me", "_silent_since", "_told", "_turns", "alive", "ready")

    def __init__(self, me: NodeId, hub: str, liveness: Liveness) -> None:
        self._me = me
        self._hub = hub
        self._liveness = liveness
        self.alive: frozenset[NodeId] = frozenset()
        self.ready: frozenset[NodeId] = frozenset()
        self._silent_since: dict[NodeId, float] = {}
        self._turns = -1  # at the last look; and when the first of those in sight had been heard of
        self._longest = 0.0
        self._told: dict[str, tuple[NodeId, str]] = {}  # name -> its newest boot, and the state last published

    def is_stale(self, now: float) -> bool:
        """Whether somebody may have come into sight, or gone out of it, since the last `update`."""
        liveness = self._liveness
        return liveness.turns != self._turns or now - self._longest > liveness.down_after

    def update(self, nodes: Mapping[NodeId, NodeRow], now: float) -> set[NodeId]:
        """Look who is there. The nodes that have come into sight, gone out of it, or become ready or unready."""
        sees = self._liveness.alive
        alive = frozenset([node for node in nodes if sees(node, now)])
        ready = frozenset([node for node in alive if nodes[node].state == "ready"])
        self._turns, self._longest = self._liveness.turns, self._liveness.longest(alive)
        if alive == self.alive and ready == self.ready:
            return set()
        changed = set(alive ^ self.alive | ready ^ self.ready)
        self.alive, self.ready = alive, ready
        for node in changed:
            self._silent_since.pop(node, None)
        return changed

    def forgettable(self, nodes: Mapping[NodeId, NodeRow], now: float, forget_after: float) -> list[NodeId]:
        """Members that are proven dead, or have been out of sight for ``forget_after`` seconds.

        Another of my own name is out of sight, or I would not be here: it need not be waited for.
        """
        found: list[NodeId] = []
        for node in sorted(nodes.keys() - self.alive):
            since = self._silent_since.setdefault(node, now)
            mine = name_of(node) == name_of(self._me) and now - since > self._liveness.down_after
            if self._liveness.proven_dead(node) or now - since > forget_after or mine:
                found.append(node)
        return found

    def events(self, nodes: Mapping[NodeId, NodeRow]) -> Iterator[Event]:
        """What has changed since this was last asked, name by name."""
        newest: dict[str, NodeId] = {}
        for node in sorted(nodes, key=lambda node: (node in self.alive, boot_of(node))):
            if node != self._me:
                newest[nodes[node].name] = node
        told, hub = self._told, self._hub
        for name in sorted(told.keys() - newest.keys()):
            node, last = told.pop(name)
            if last not in ("leaving", "suspected"):  # all of it has come in one message: tell it in its order
                dead = self._liveness.proven_dead(node)
                yield NodeSuspected(name, "dead", hub=hub) if dead else NodeLeaving(name, hub=hub)
            yield NodeLeft(name, hub=hub)
        for name, node in sorted(newest.items()):
            state: str = nodes[node].state if node in self.alive else "suspected"
            before, old = told.get(name, (None, ""))
            if (node, state) == (before, old):
                continue
            told[name] = (node, state)
            if before != node:
                if before is not None:
                    yield NodeLeft(name, hub=hub)
                yield NodeJoining(name, hub=hub)
            if state == "ready":
                yield NodeJoined(name, hub=hub)
            elif state == "leaving":
                yield NodeLeaving(name, hub=hub)
            elif state == "suspected":
                yield NodeSuspected(name, "dead" if self._liveness.proven_dead(node) else "silent", hub=hub)
