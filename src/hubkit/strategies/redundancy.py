"""How many copies of each child there are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Singularity"]


@dataclass(frozen=True, slots=True)
class Singularity:
    """One copy of each child, wherever it belongs."""

    def copies(self, nodes: int) -> int:
        """One."""
        return 1
