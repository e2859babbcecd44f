"""Who is there, as one node sees it: heartbeats, silence, and proof of death.

Law of this room: evidence is graded. *News* is a heartbeat number that has grown, by whatever path it came; so two nodes
that cannot reach each other but share a third are not parted. *Silence* longer than ``down_after`` is only suspicion.
*Proof* (its port is refused after a link broke, it said goodbye, a newer boot of its name lives) needs no waiting, and is
taken back only by the node itself: by a new handshake, or by writing itself back into a hub. To have been *mentioned* (an
old row arrives before its writer does) earns respect for ``down_after`` and is no sign of life beyond that.

A process that slept must not hold its own sleep against the others: `woke` gives everybody the time back.

One of these serves all hubs of a node. Numbers of heartbeats grow within one boot; a new boot is a new node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from hubkit.pids import NodeId, life_of

__all__ = ["Liveness"]


class Liveness:
    """Heartbeats sent and heard. All times are monotonic seconds, given by the caller.

    ``beat``: seconds between heartbeats; ``down_after``: seconds of silence after which a node is taken for gone. ``turns``
    grows whenever anything but silence may have changed who is in sight: so whoever remembers a look need not look again.
    """

    __slots__ = ("_boots", "_dead", "_heard", "_numbers", "beat_interval", "born", "down_after", "node", "turns")

    def __init__(self, node: NodeId, now: float, *, beat: float = 1.0, down_after: float = 4.0) -> None:
        self.node: NodeId = node
        self.born: float = now
        self.beat_interval: float = beat
        self.down_after: float = down_after
        self.turns: int = 0
        self._numbers: dict[NodeId, int] = {node: 0}
        self._heard: dict[NodeId, float] = {}
        self._dead: set[NodeId] = set()
        self._boots: dict[str, int] = dict([life_of(node)])  # name -> its newest boot

    def beat(self, now: float) -> dict[NodeId, int]:
        """My next heartbeat: the newest number known of me, and of everybody who is in sight."""
        self._numbers[self.node] += 1
        return {node: number for node, number in self._numbers.items() if self.alive(node, now)}

    def heard(self, vector: Mapping[NodeId, int], now: float) -> frozenset[NodeId]:
        """A heartbeat arrived. The nodes of which it brought news."""
        news = [node for node, number in vector.items() if number > self._numbers.get(node, -1) and node != self.node]
        for node in news:
            self._numbers[node] = vector[node]
            self.spoke(node, now)
        return frozenset(news)

    def linked(self, node: NodeId, now: float) -> None:
        """A handshake with this node is done: it lives, whatever was thought of it."""
        self._dead.discard(node)
        self.turns += 1
        self.spoke(node, now)

    def spoke(self, node: NodeId, now: float) -> None:
        """A message came from this node itself: that is news as good as a heartbeat. It takes no proof back."""
        heard = self._heard.get(node)
        self._heard[node] = now
        if heard is None:
            self._newest(node)
        if heard is None or now - heard > self.down_after:
            self.turns += 1

    def mention(self, node: NodeId, now: float) -> None:
        """A row speaks of this node: at first sight it is respected for ``down_after``."""
        if node != self.node and node not in self._heard:
            self.spoke(node, now)

    def refuse(self, node: NodeId) -> None:
        """This node is proven dead: nobody listens at its port, or it said goodbye."""
        if node != self.node:
            self._dead.add(node)
            self.turns += 1

    def refuted(self, node: NodeId, now: float) -> None:
        """This node, written off by others, has written itself back: the proof was none."""
        self._dead.discard(node)
        self.turns += 1
        if node != self.node:
            self.spoke(node, now)

    def proven_dead(self, node: NodeId) -> bool:
        """Whether there is proof that this boot has ended: one of its own, or a newer boot of its name."""
        if node in self._dead:
            return True
        name, boot = life_of(node)
        return self._boots.get(name, -1) > boot and node != self.node

    def superseded(self, node: NodeId) -> int:
        """By how much a boot of its name that is known is newer than this one; 0: none is."""
        name, boot = life_of(node)
        return max(0, self._boots.get(name, boot) - boot)

    def alive(self, node: NodeId, now: float) -> bool:
        """Whether this node is in sight: heard of within ``down_after``, and not proven dead. I always am."""
        if node == self.node:
            return True
        heard = self._heard.get(node)
        if heard is None or now - heard > self.down_after or node in self._dead:
            return False
        name, boot = life_of(node)  # as `proven_dead`, which is asked too often to be called
        return self._boots.get(name, -1) <= boot

    def longest(self, nodes: Iterable[NodeId]) -> float:
        """When the one of these that has been silent for longest was last heard of. (All of them have been.)"""
        heard = self._heard
        return min([heard[node] for node in nodes if node != self.node], default=math.inf)

    def gone(self, node: NodeId, now: float) -> bool:
        """Whether this node may be taken for gone: proven dead, or silent for longer than ``down_after``."""
        if node == self.node:
            return False
        return now - self._heard.get(node, self.born) > self.down_after or self.proven_dead(node)

    def woke(self, late: float, now: float) -> None:
        """This process itself slept for ``late`` seconds: their silence in that time says nothing."""
        self.turns += 1
        for node, heard in self._heard.items():
            self._heard[node] = min(now, heard + late)

    def forget(self, node: NodeId) -> None:
        """Nothing more need be known of this node. (That a newer boot superseded it stays known.)"""
        if node != self.node:
            self.turns += 1
            self._numbers.pop(node, None)
            self._heard.pop(node, None)
            self._dead.discard(node)

    def _newest(self, node: NodeId) -> None:
        name, boot = life_of(node)
        if boot > self._boots.get(name, -1):
            self._boots[name] = boot
            for older in [other for other in self._dead if life_of(other)[0] == name]:
                self._dead.discard(older)  # the newer boot is proof enough
