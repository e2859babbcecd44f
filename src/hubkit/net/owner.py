"""What the mesh tells the floor above, and what it asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hubkit.net.handshake import Identity
from hubkit.pids import NodeId

__all__ = ["Liveness", "MeshEvents"]


class MeshEvents(Protocol):
    """What the mesh tells its owner: plain functions, called in the mesh's tasks. They must not wait.

    An exception from one is logged, and closes the link that it was about.
    """

    def admit(self, peer: Identity) -> str | None:
        """``peer`` has proved the secret and would be linked: `None` to agree, or why not, as ``"code: sentence"``."""

    def link_up(self, peer: Identity) -> None:
        """A link is up; messages can be sent at once. A peer's new link may follow its old one's `link_down` directly."""

    def link_down(self, peer: NodeId, said_goodbye: bool) -> None:
        """A link has ended; nothing more will arrive from it. ``said_goodbye``: the peer's process leaves."""

    def refused(self, node: NodeId) -> None:
        """``node`` is proven dead: nobody listens at its port any more, or a newer boot of it lives."""

    def message(self, peer: NodeId, message: list[Any]) -> None:
        """A message of the peer's owner, equal to the list that was sent. Nobody has looked into it yet."""

    def request(self, peer: Identity, message: list[Any]) -> list[Any]:
        """An operator asks; the answer goes back."""
        ...

    def seed_failed(self, address: str, error: Exception) -> None:
        """A seed could not be reached, or refused us. It is tried again, ever more rarely."""

    def seeds_exhausted(self) -> None:
        """Every seed has been tried, and there is no link. Said once, and once more each time after all links were lost."""


class Liveness(Protocol):
    """The part of the cluster's record of heartbeats that the mesh feeds."""

    def beat(self, now: float) -> Mapping[NodeId, int]:
        """What to tell all peers now."""
        ...

    def heard(self, vector: Mapping[NodeId, int], now: float, by: NodeId | None = None) -> object:
        """What the peer ``by`` has told."""

    def linked(self, node: NodeId, now: float) -> object:
        """A handshake with ``node`` is done."""

    def woke(self, late: float, now: float) -> object:
        """This process itself has slept ``late`` seconds longer than it meant to."""
