"""What a discovery is: to users, one method; to the node that asks it, also its pace, and perhaps a life of its own.

Law of this room: a discovery that users write has one method and no other duty. What hubkit's own have besides is looked for,
and never demanded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from hubkit.environment import Environment

__all__ = ["USUAL", "Discovery", "Here", "Pace", "Resident", "Residing"]


@runtime_checkable
class Discovery(Protocol):
    """Where other nodes may be; asked again for ever, about every five seconds.

    An answer replaces the one before. What `addresses` raises, and an answer that takes longer than 10 s, is logged once, the
    answer before stands, and the question is asked again: after half a second, then ever more rarely, up to 30 s. Of an answer
    256 URLs are used; what is no URL is left out; both are logged once. Example::

        class Everybody:
            async def addresses(self) -> list[str]:
                return [f"ws://10.0.0.{n}:4040" for n in range(1, 6)]
    """

    async def addresses(self) -> Iterable[str]:
        """The URLs that are worth dialling now. What it raises is logged, and it is asked again."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a discovery is asked: every so many seconds; after failures, first, then twice as long, up to most."""

    every: float
    first: float
    most: float


#: The pace of those that have none of their own.
USUAL = Pace(every=5.0, first=0.5, most=30.0)


@dataclass(frozen=True, slots=True)
class Here:
    """The node that asks: its URL, its secrets, its clocks; ``changed``: what to call when the answer has changed."""

    url: str | None
    secrets: tuple[bytes, ...] = field(repr=False)
    environment: Environment = field(repr=False)
    changed: Callable[[], None] = field(repr=False)


class Residing(Protocol):
    """A discovery at work on one node."""

    async def addresses(self) -> Iterable[str]:
        """As for every discovery."""
        ...

    async def run(self) -> None:
        """Work until cancelled. What it raises is logged, and it is run again."""


@runtime_checkable
class Resident(Protocol):
    """A discovery that must do something between the questions."""

    def reside(self, here: Here) -> Residing:
        """It, at work on this node."""
        ...
