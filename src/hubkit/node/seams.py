"""What a node needs of the hubs on it, as a Protocol: hubs know nodes, nodes know only this."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from hubkit.actors.inspection import ActorInfo
from hubkit.events import Event
from hubkit.pids import NodeId, Pid

__all__ = ["Attached", "Desk"]


class Desk(Protocol):
    """What operators may have done on one hub. `ConfigurationError` says what is wrong with a question."""

    def knows(self, child: str) -> bool:
        """Whether there is anything to be explained about a child of this id."""
        ...

    def explain(self, child: str) -> Mapping[str, Any]:
        """Why it is where it is, in plain values."""
        ...

    def plan(self, add: list[str], remove: list[str]) -> list[Mapping[str, Any]]:
        """What would move if these nodes came and those went, in plain values."""
        ...

    def drain(self) -> None:
        """Begin to leave the hub; its children go to other nodes."""


class Attached(Protocol):
    """One hub on a node."""

    @property
    def hub_id(self) -> str:
        """The hub's id."""
        ...

    @property
    def deadline(self) -> float | None:
        """When it wants a `touch` although nothing has come in; `None`: it does not."""
        ...

    @property
    def agreement(self) -> tuple[str, ...]:
        """Its strategies, as text: hubs of one id meet only if they are the same."""
        ...

    @property
    def live(self) -> bool:
        """Whether it acts: it has joined, or found that there is nobody to join."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """What the node says about itself in this hub."""
        ...

    @property
    def guarded(self) -> bool:
        """Whether it admits only some nodes."""
        ...

    def admits(self, peer: NodeId, labels: Mapping[str, str]) -> bool:
        """Whether the hub of this id on a linked node, which says these labels of itself, may take part in this one."""
        ...

    def denied(self, peer: NodeId) -> None:
        """The hub of this id on a linked node does not admit this node."""

    def differ(self, peer: NodeId, agreement: tuple[str, ...], *, refused: bool) -> None:
        """The hub of this id on a linked node has other strategies; ``refused``: so this one cannot join."""

    def link_up(self, peer: NodeId) -> None:
        """A link is ready."""

    def link_down(self, peer: NodeId) -> None:
        """A link is gone."""

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A sync message has arrived. Raises `ProtocolViolation` when it makes no sense."""

    def take_state(self, peer: NodeId, message: list[Any]) -> None:
        """A message about a child's state has arrived. Raises `ProtocolViolation` when it makes no sense."""

    def take_group(self, peer: NodeId, message: list[Any]) -> None:
        """A message about groups has arrived. Raises `ProtocolViolation` when it makes no sense."""

    def beat(self) -> None:
        """One beat has passed."""

    def touch(self) -> None:
        """Liveness has changed, or the deadline has come."""

    def seeds_exhausted(self) -> None:
        """None of the nodes to be joined is there."""

    def moved_to(self, address: str | None) -> None:
        """The node has a new address."""

    def publish(self, event: Event) -> None:
        """An event of this node concerns the hub."""

    def notice(self) -> None:
        """Let those who wait look again."""

    def members(self) -> Collection[NodeId]:
        """All nodes of the hub that are known, alive or not."""
        ...

    def address_of(self, peer: NodeId) -> str | None:
        """The address of another member, as this hub knows it."""
        ...

    def wanted(self, child: str) -> bool:
        """Whether a child of this id is wanted, as this node knows."""
        ...

    def running(self, child: str) -> Pid | None:
        """The pid of a child, if it runs: a local read."""

    async def locate(self, child: str, after: Pid | None, back: Callable[[], bool] | None = None) -> Pid:
        """Wait until a child that is wanted runs somewhere (else than at ``after``, which has ended, until it is ``back``)."""
        ...

    def tree(self) -> ActorInfo:
        """What of the hub runs on this node."""
        ...

    @property
    def desk(self) -> Desk:
        """Where operators are answered."""
        ...

    def status(self) -> Mapping[str, Any]:
        """What an operator sees of the hub, in plain values."""
        ...

    def listing(self) -> list[Mapping[str, Any]]:
        """What an operator sees of the hub's children, in plain values."""
        ...
