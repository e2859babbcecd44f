"""Who is there, as one node sees it: heartbeats, silence, and proof of death.

Law of this room: evidence is graded. *News* is a heartbeat number that has grown, by whatever path it came; so two nodes
that cannot reach each other but share a third are not parted. *Silence* longer than ``down_after`` is only suspicion.
*Proof* (its port is refused after a link broke, it said goodbye, a newer boot of its name lives) needs no waiting, and is
taken back only by the node itself: by a new handshake, or by writing itself back into a hub. To have been *mentioned* (an
old row arrives before its writer does) earns respect for ``down_after`` and is no sign of life beyond that.

A process that slept must not hold its own sleep against the others: `woke` gives everybody the time back.

*Hearsay* may be a lie, so it never outweighs what a node says of itself. The number that comes on a node's own link counts,
be it less than what others told; who told too much is believed when it corrects itself, and its word is void when it is
gone. A newer boot that is only spoken of proves nothing about an older one that is in touch, and not for long about any: a
handshake counts more. And of nodes that nobody here has met, no more than `MOST` are remembered.

One of these serves all hubs of a node. Numbers of heartbeats grow within one boot; a new boot is a new node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from hubkit.pids import NodeId, life_of

__all__ = ["MOST", "Liveness"]

#: Nodes that are remembered. Beyond, those that were not met go first.
MOST = 4096


class Liveness:
    """Heartbeats sent and heard. All times are monotonic seconds, given by the caller.

    ``beat``: seconds between heartbeats; ``down_after``: seconds of silence after which a node is taken for gone. ``turns``
    grows whenever anything but silence may have changed who is in sight: so whoever remembers a look need not look again.
    ``rumours``: boots that are said to live though others of their names are in touch, and who said so, if that is known; for
    whoever clears it.
    """

    __slots__ = ("_boots", "_dead", "_heard", "_met", "_numbers", "_rumours", "_tellers", "_touch", "beat_interval", "born",
                 "down_after", "node", "rumours", "turns")  # fmt: skip

    def __init__(self, node: NodeId, now: float, *, beat: float = 1.0, down_after: float = 4.0) -> None:
        self.node: NodeId = node
        self.born: float = now
        self.beat_interval: float = beat
        self.down_after: float = down_after
        self.turns: int = 0
        self.rumours: list[tuple[NodeId, NodeId | None]] = []
        self._numbers: dict[NodeId, int] = {node: 0}
        self._heard: dict[NodeId, float] = {}
        self._dead: set[NodeId] = set()
        self._boots: dict[str, int] = dict([life_of(node)])  # name -> its newest boot
        self._met: dict[str, int] = dict(self._boots)  # ... by a handshake
        self._touch: dict[NodeId, float] = {}  # when something last came from this node itself
        self._tellers: dict[NodeId, NodeId | None] = {}  # who told the number that is known of a node
        self._rumours: set[NodeId] = set()  # newer boots of nodes that were in touch when they were spoken of

    def beat(self, now: float) -> dict[NodeId, int]:
        """My next heartbeat: the newest number known of me, and of everybody who is in sight."""
        self._numbers[self.node] += 1
        return {node: number for node, number in self._numbers.items() if self.alive(node, now)}

    def heard(self, vector: Mapping[NodeId, int], now: float, by: NodeId | None = None) -> frozenset[NodeId]:
        """A heartbeat of ``by`` arrived. The nodes of which it brought news."""
        news = []
        numbers, get = self._numbers, self._numbers.get
        for node, number in vector.items():
            known = get(node, -1)
            if number > known:
                if known < 0 and len(numbers) >= MOST and node not in self._heard and node != by:
                    continue  # it will be heard of when it is met
            elif number == known or not self._corrects(node, by, now):
                continue
            if node != self.node:
                news.append(node)
        for node in news:
            numbers[node] = vector[node]
            self._tellers[node] = by
            if node != by:
                self._note(node, now)
        if by is not None:
            if by in news:
                self.spoke(by, now)
            else:
                self._touch[by] = now
        return frozenset(news)

    def _corrects(self, node: NodeId, by: NodeId | None, now: float) -> bool:
        """Whether a number counts that is less than what is known: of itself, from who told that, or instead of who is gone."""
        if by is None:
            return False
        teller = self._tellers.get(node)
        if by in (node, teller):
            return True
        return teller is not None and teller != node and now - self._touch.get(teller, self.born) > self.down_after

    def linked(self, node: NodeId, now: float) -> None:
        """A handshake with this node is done: it lives, whatever was thought of it."""
        self._dead.discard(node)
        self.turns += 1
        name, boot = life_of(node)
        if boot >= self._met.get(name, -1):
            self._met[name] = boot
            if boot < self._boots.get(name, -1):
                self._boots[name] = boot  # of a newer one there is only hearsay
        self._newest(node)
        self.spoke(node, now)

    def spoke(self, node: NodeId, now: float) -> None:
        """A message came from this node itself: that is news as good as a heartbeat. It takes no proof back."""
        self._touch[node] = now
        self._note(node, now)

    def _note(self, node: NodeId, now: float) -> None:
        """This node was heard of."""
        heard = self._heard.get(node)
        self._heard[node] = now
        if heard is None or node in self._rumours:
            if len(self._heard) > MOST:
                self._tidy(now)
            if self._is_in_touch_before(node, now):
                if node not in self._rumours and len(self.rumours) < 100:
                    self.rumours.append((node, self._tellers.get(node)))
                self._rumours.add(node)
            else:
                self._rumours.discard(node)
                self._newest(node)
                self.turns += 1
        if heard is None or now - heard > self.down_after:
            self.turns += 1

    def _is_in_touch_before(self, node: NodeId, now: float) -> bool:
        """Whether an earlier boot of this node's name is in touch: then it is not proven dead by what others say."""
        name, boot = life_of(node)
        if name == life_of(self.node)[0]:
            return node != self.node
        if self._boots.get(name, -1) >= boot:
            return False
        for other, at in self._touch.items():
            if now - at <= self.down_after and other not in self._dead:
                known, earlier = life_of(other)
                if known == name and earlier < boot:
                    return True
        return False

    def _tidy(self, now: float) -> None:
        """Too many are remembered: forget those that were not met, and who has been silent for longest."""
        met = {node for node, at in self._touch.items() if now - at <= 10 * self.down_after}
        for node in [node for node in self._heard if node not in met and node != self.node]:
            self.forget(node)
        while len(self._boots) > MOST:
            name = next(name for name in self._boots if name != life_of(self.node)[0])
            self._met.pop(name, None)
            del self._boots[name]

    def mention(self, node: NodeId, now: float) -> None:
        """A row speaks of this node: at first sight it is respected for ``down_after``."""
        if node != self.node and node not in self._heard:
            self._note(node, now)

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
            self._note(node, now)

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
        """Whether this node is in sight: heard of within ``down_after``, and not proven dead. I always am.

        One of a name that another holds, as far as is known here, is not.
        """
        if node == self.node:
            return True
        heard = self._heard.get(node)
        if heard is None or now - heard > self.down_after or node in self._dead or node in self._rumours:
            return False
        name, boot = life_of(node)  # as `proven_dead`, which is asked too often to be called
        return self._boots.get(name, -1) <= boot

    def speaks(self, node: NodeId, now: float) -> bool:
        """Whether something has come from this node itself, on a link, within the last beat or so."""
        return now - self._touch.get(node, -math.inf) < 1.5 * self.beat_interval

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
            for table in (self._numbers, self._heard, self._touch, self._tellers):
                table.pop(node, None)
            self._dead.discard(node)
            self._rumours.discard(node)

    def _newest(self, node: NodeId) -> None:
        name, boot = life_of(node)
        if boot > self._boots.get(name, -1):
            self._boots[name] = boot
            self._rumours.discard(node)
            for older in [other for other in self._dead if life_of(other)[0] == name]:
                self._dead.discard(older)  # the newer boot is proof enough
