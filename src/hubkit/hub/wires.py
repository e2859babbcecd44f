"""What the rooms of a hub need of each other and of their node, as protocols.

Law of this room: words only. Who implements them (`hubkit.hub.driver.Driver`, `hubkit.node.Node`) stands elsewhere, so that
nobody who only talks need import whom it talks to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hubkit.actors.mailbox import Item
from hubkit.actors.system import System
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.rows import Ticket
from hubkit.environment import Environment
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.pids import NodeId, Pid

__all__ = ["Talk", "Wires"]


class Wires(Protocol):
    """What a hub needs of its node."""

    environment: Environment
    liveness: Liveness
    _system: System
    _payloads: Payloads

    def sync(self, peer: NodeId, hub: str, message: list[Any]) -> None:
        """Send a sync message of a hub to a linked node, soon."""

    def state(self, peer: NodeId, hub: str, message: list[Any]) -> bool:
        """Send a message about a child's state to a hub of a linked node; `False`: there is no link."""
        ...

    async def ship(
        self, peer: NodeId, hub: str, message: list[Any], cargo: Cargo, number: int, progress: Callable[[], None]
    ) -> bool:
        """Send a message about a state whose last item (`None`) is large; what was sent under this number goes on.

        ``progress`` is called when some more of it is on its way. `False`: it was not sent. Raises `NotSerializable` if the
        other node does not take it.
        """
        ...

    def lot_number(self) -> int:
        """A number for what is to be shipped."""
        ...

    def group(self, peer: NodeId, hub: str, message: list[Any]) -> bool:
        """Send a message about groups to a hub of a linked node; `False`: there is no link."""
        ...

    def forward(self, pid: Pid, item: Item) -> None:
        """Send a message that waits here to an actor elsewhere."""

    @property
    def relaying(self) -> int:
        """How many calls that were passed on still wait for their answer."""
        ...

    def refuse(self, peer: NodeId, reason: str) -> None:
        """Close the link to a node that sends what must not be believed."""

    def wake_at(self, deadline: float) -> None:
        """See to it that this hub is touched then."""


class Talk(Protocol):
    """Whom the handovers tell what has come of them, and what they need of the node."""

    def froze(self, child: str, ticket: Ticket, error: str | None) -> None:
        """The child was frozen, and its state is kept; or it was not."""

    def declined(self, child: str, ticket: Ticket, peer: NodeId, error: str) -> None:
        """The copy on that node does not take it."""

    def accepted(self, child: str, born: int, ticket: Ticket) -> None:
        """The copy here has taken it."""

    def checkpoint(self, child: str, born: int) -> Ticket | None:
        """The ticket of a state that was taken just now."""
        ...

    async def until_held(self, child: str, ticket: Ticket) -> None:
        """Wait until all copies that stand by hold this state, or a later one."""

    def holders(self, child: str, ticket: Ticket) -> tuple[NodeId, ...]:
        """The nodes, this one included, whose copies hold this state, or a later one."""
        ...

    async def locate(self, child: str, after: Pid | None) -> Pid:
        """Where the child runs."""
        ...

    def may_offer(self, child: str, peer: NodeId) -> bool:
        """Whether a copy here takes a state from that node."""
        ...

    def tell(self, peer: NodeId, message: list[Any]) -> bool:
        """Send a message to this hub on a linked node; `False`: there is no link."""
        ...

    async def ship(
        self, peer: NodeId, message: list[Any], cargo: Cargo, number: int, progress: Callable[[], None]
    ) -> bool:
        """The same with a last item that is large. See `Wires.ship`."""
        ...

    def lot_number(self) -> int:
        """A number for what is to be shipped."""
        ...

    def progressed(self, child: str, ticket: Ticket, peer: NodeId) -> None:
        """Some more of this state is on its way to that node."""

    def forward(self, pid: Pid, item: Item) -> None:
        """Send a message that waits here to an actor elsewhere."""
