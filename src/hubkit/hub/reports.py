"""What the household and the handovers of a hub report to its driver: taken note of, and fed to the core in one go.

Law of this room: nothing happens here. A report is kept until the pump runs, with all others that came in the same turn of
the scheduler; only what must be answered at once is asked of the core at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hubkit.actors.mailbox import Item
from hubkit.cluster.core import Core
from hubkit.cluster.rows import Ticket
from hubkit.errors import HubClosed
from hubkit.hub.household import failure_text
from hubkit.hub.watch import Watch
from hubkit.net.cargo import Cargo
from hubkit.pids import NodeId, Pid

if TYPE_CHECKING:
    from hubkit.hub.handovers import Handovers
    from hubkit.hub.wires import Wires

__all__ = ["Reports"]


class Reports:
    """The part of `hubkit.hub.driver.Driver` that listens to what runs here."""

    hub_id: str
    core: Core
    closed: bool
    failures: dict[str, tuple[int, BaseException]]
    handovers: Handovers | None
    _endings: list[Callable[[float], None]]
    _reports: list[Callable[[float], None]]
    _wires: Wires

    def now(self) -> float:
        """Monotonic seconds."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let the pump run, soon."""
        raise NotImplementedError

    def watching(self, ids: Iterable[str] = (), *, other: bool = False) -> AbstractContextManager[Watch]:
        """Watch these children while the block is open."""
        raise NotImplementedError

    def started(self, child: str, term: int, serial: int) -> None:
        """The child runs here."""
        self.failures.pop(child, None)
        self._note(lambda now: self.core.started(child, term, serial, now))

    def failed(self, child: str, term: int, error: BaseException) -> None:
        """The child is parked here."""
        self.failures[child] = (term, error)
        self._note(lambda now: self.core.failed(child, term, failure_text(error), now))

    def stopped(self, child: str) -> None:
        """The child has stopped here."""
        self.failures.pop(child, None)
        self._note(lambda now: self.core.stopped(child, now))

    def ended(self, child: str, term: int) -> None:
        """The child has ended for good. This waits until all have been told that it ran, be it only for a moment."""
        self._endings.append(lambda now: self.core.ended(child, term, now))
        self.wake()

    def froze(self, child: str, ticket: Ticket, error: str | None) -> None:
        """The child was frozen here, or was not."""
        self._note(lambda now: self.core.froze(child, ticket, error, now))

    def declined(self, child: str, ticket: Ticket, peer: NodeId, error: str) -> None:
        """A copy on another node does not take a state."""
        self._note(lambda now: self.core.declined(child, ticket, peer, error, now))

    def accepted(self, child: str, born: int, ticket: Ticket) -> None:
        """A copy that stands by here has taken a state."""
        self._note(lambda now: self.core.accepted(child, born, ticket, now))

    def checkpoint(self, child: str, born: int) -> Ticket | None:
        """The ticket of a state that was taken of the active child here just now."""
        ticket = self.core.checkpoint(child, born, self.now())
        self.wake()
        return ticket

    async def until_held(self, child: str, ticket: Ticket) -> None:
        """Wait until all copies in sight that stand by hold this state, or a later one."""
        with self.watching([child]) as watch:
            while self.core.lack(child, ticket):
                if self.closed or self.core.left:
                    msg = f"hub {self.hub_id!r} was closed on this node before the checkpoint was held by others"
                    raise HubClosed(msg)
                await watch.next()

    def holders(self, child: str, ticket: Ticket) -> tuple[NodeId, ...]:
        """The nodes, this one included, whose copies hold this state, or a later one."""
        runs = self.core.runs.get(child, {})
        held = [node for node, run in runs.items() if run.role == "passive" and (run.ticket or (0,)) >= ticket]
        return tuple(sorted({self.core.id, *held}))

    def may_offer(self, child: str, peer: NodeId) -> bool:
        """Whether a copy here takes a state from that node: by its rows it has the child, or is about to."""
        runs = self.core.runs.get(child, {})
        mine = runs.get(peer)
        return (mine is not None and mine.role != "passive") or any(run.to == peer for run in runs.values())

    def tell(self, peer: NodeId, message: list[Any]) -> bool:
        """Send a message about a child's state to this hub on another node."""
        return self._wires.state(peer, self.hub_id, message)

    async def ship(
        self, peer: NodeId, message: list[Any], cargo: Cargo, number: int, progress: Callable[[], None]
    ) -> bool:
        """The same with a last item that is large."""
        return await self._wires.ship(peer, self.hub_id, message, cargo, number, progress)

    def lot_number(self) -> int:
        """A number for what is to be shipped."""
        return self._wires.lot_number()

    def progressed(self, child: str, ticket: Ticket, peer: NodeId) -> None:
        """Some more of a state is on its way to a copy on another node."""
        self._note(lambda now: self.core.progressed(child, ticket, peer, now))

    def forward(self, pid: Pid, item: Item) -> None:
        """Send a message that waits here to an actor elsewhere."""
        self._wires.forward(pid, item)

    @property
    def relaying(self) -> int:
        """How many calls that were passed on still wait for their answer."""
        return self._wires.relaying

    def take_state(self, peer: NodeId, message: list[Any]) -> None:
        """Another node's hub has something to say about a child's state."""
        if self.handovers is not None and not self.closed and peer in self.core.links:
            self.handovers.receive(peer, message)

    def _note(self, report: Callable[[float], None]) -> None:
        self._reports.append(report)
        self.wake()
