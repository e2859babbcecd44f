"""Who is told of the end of an actor: its `Keeper`, and those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from hubkit.actors.messages import Exit

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["Keeper", "OnDown"]

#: What is called when an actor has ended: with the reason, and the error of a crash.
OnDown: TypeAlias = Callable[[str, BaseException | None], None]


class Keeper(Protocol):
    """Who keeps an actor, and is told what becomes of it."""

    def started(self, cell: Cell) -> None:
        """It has started."""

    def failed(self, error: BaseException) -> bool:
        """It has not started, or is ended by what is no `Exception`. Returns whether the error is taken care of."""
        ...

    def over(self, end: Exit) -> None:
        """It has ended; called last, unless it `failed`."""
