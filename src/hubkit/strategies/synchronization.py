"""Whom a node tells of its own changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

from hubkit.specs import check_count, check_seconds

__all__ = ["Gossip", "PubSub"]


@dataclass(frozen=True, slots=True)
class PubSub:
    """Everybody is told of every change at once. Right for hubs of up to some tens of nodes.

    ``sync_interval``: seconds between comparisons of the maps of two nodes, even if nothing seems to have changed.
    """

    sync_interval: float = field(default=15.0, metadata={"local": True})  # each node may have its own

    def __post_init__(self) -> None:
        check_seconds(self.sync_interval, "PubSub.sync_interval", zero=False)

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        """All of them."""
        return peers


@dataclass(frozen=True, slots=True)
class Gossip:
    """A few are told of a change, and each who hears of it tells a few more, until all know. For large hubs.

    ``sync_interval``: seconds between comparisons of the maps of two nodes, even if nothing seems to have changed.
    ``fanout``: how many peers a node tells of a change, and how many it compares notes with at each heartbeat. The same on
    every node of a hub.

    What it saves is the burden of one node in one moment: it sends ``fanout`` messages, however many nodes there are, where
    `PubSub` sends one to each. What it costs: a row travels up to ``fanout`` times to each node, and in a few hops. That all
    nodes have a change is known to all of them only after about ``nodes / fanout`` heartbeats; until then the rows of
    children that were stopped are kept. With ``fanout=1`` an awaited start may take a heartbeat longer.

    A claim (a child is about to start, and nobody hands it over) cannot wait for hops: all must acknowledge it. So it goes
    from its node to each of the others at once, and each answers at once, as under `PubSub`: two small messages for each of
    the others, for all claims that a node makes in one moment. Starts are as fast, and cost the same.

    Raises `ConfigurationError` for an interval that is not above 0 seconds, and a fanout that is no number of at least 1.

    ::

        hubkit.Hub("shop", synchronization=hubkit.strategies.Gossip(fanout=4))
    """

    sync_interval: float = field(default=15.0, metadata={"local": True})  # each node may have its own
    fanout: int = 3

    def __post_init__(self) -> None:
        check_seconds(self.sync_interval, "Gossip.sync_interval", zero=False)
        check_count(self.fanout, "Gossip.fanout", least=1)

    @property
    def forwards(self) -> bool:
        """Whoever hears of a change for the first time passes it on."""
        return True

    def targets(self, peers: Sequence[str], round: int) -> Sequence[str]:
        """``fanout`` of them: two neighbours, and some further round the circle; with each round all are the next ones.

        Two ways round whose lengths differ by one lead everywhere. So if all forward in the same round, all are reached; the
        further ones make the way short: some eight hops at 50 nodes. (A ``fanout`` of 1 has only one way: its length
        has no factor in common with the number of nodes, and leads once round all of them.)
        """
        count = len(peers)
        if count <= self.fanout:
            return peers
        if self.fanout == 1:
            ways = [way for way in range(1, count + 1) if gcd(way, count + 1) == 1]
            return [peers[ways[round % len(ways)] - 1]]
        steps = [0, 1]
        while len(steps) < self.fanout:
            steps.append(max(steps[-1] + 1, int(count ** (len(steps) / self.fanout))))
        return [peers[(round + step) % count] for step in steps]
