"""How a child changes nodes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ColdSwap"]


@dataclass(frozen=True, slots=True)
class ColdSwap:
    """Stop here, then start there: never two at once, a short gap, and no state carried along."""

    @property
    def warm(self) -> bool:
        """The new copy is not prepared beforehand."""
        return False
