"""Whether children may run while some nodes are out of sight."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.cluster.policy import ClusterView

__all__ = ["Divergence"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Availability first: every part of a parted hub runs all children, and after the heal duplicates yield."""

    def allowed(self, view: ClusterView) -> bool:
        """Always."""
        return True
