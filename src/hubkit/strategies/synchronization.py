"""Whom a node tells of its own changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubkit.specs import check_seconds

__all__ = ["PubSub"]


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
