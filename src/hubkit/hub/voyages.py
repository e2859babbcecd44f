"""States that are too large for one message, on their way to the copies of a child on other nodes.

Law of this room: what is wanted last is sent, and nothing twice. Of each child one state at a time is on its way to a node;
a newer one takes its place if the child is frozen for it, and else follows it, so that checkpoints that come faster than they
travel do not starve. Whoever is waited for is told apart from whoever is lost: each second in which something has moved
counts as an answer. When the link breaks, the state goes on from what the other node holds, under its old number, also
if the core offers it anew; what is of no use any more is given up at once, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from hubkit.cluster.rows import Ticket
from hubkit.errors import NotSerializable
from hubkit.logs import Log
from hubkit.net.cargo import Cargo
from hubkit.pids import NodeId

if TYPE_CHECKING:
    from hubkit.hub.wires import Talk

__all__ = ["Voyages"]

log: Log = Log("hubkit.hub")

#: Seconds between two words of progress.
OFTEN = 1.0


@dataclass(slots=True, eq=False)
class _Voyage:
    """A state on its way to one node. ``next``: the newer one that is to follow it."""

    ticket: Ticket
    cargo: Cargo
    number: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_over: bool = False
    moved: float = 0.0
    next: tuple[Ticket, Cargo] | None = None


class Voyages:
    """Of one hub on one node. ``kind``: of the messages in which it offers states."""

    def __init__(self, talk: Talk, nursery: trio.Nursery, kind: int) -> None:
        self._talk, self._nursery, self._kind = talk, nursery, kind
        self._voyages: dict[tuple[str, NodeId], _Voyage] = {}

    def offer(self, child: str, peer: NodeId, ticket: Ticket, cargo: Cargo, *, now: bool) -> None:
        """Let that node have this state; ``now``: whatever else of the child is on its way there."""
        voyage = self._voyages.get((child, peer))
        if voyage is None or voyage.ticket != ticket:
            if voyage is not None and not voyage.is_over and not now:
                voyage.next = (ticket, cargo)
                return
            self._end(child, peer)
            voyage = self._voyages[child, peer] = _Voyage(ticket, cargo, self._talk.lot_number())
        elif not voyage.is_over:
            return
        voyage.is_over, voyage.scope = False, trio.CancelScope()
        self._nursery.start_soon(self._sail, child, peer, voyage)

    def stop(self, child: str) -> None:
        """No state of this child is of use to anybody any more."""
        for key in [key for key in self._voyages if key[0] == child]:
            self._end(*key)

    def _end(self, child: str, peer: NodeId) -> None:
        voyage = self._voyages.pop((child, peer), None)
        if voyage is not None:
            voyage.scope.cancel()

    async def _sail(self, child: str, peer: NodeId, voyage: _Voyage) -> None:
        def progress() -> None:
            now = trio.current_time()
            if now - voyage.moved >= OFTEN:
                voyage.moved = now
                self._talk.progressed(child, voyage.ticket, peer)

        message: list[Any] = [self._kind, child, list(voyage.ticket), None]
        refusal: str | None = None
        with voyage.scope:
            try:
                await self._talk.ship(peer, message, voyage.cargo, voyage.number, progress)
            except NotSerializable as error:
                refusal = str(error)
        voyage.is_over = True
        if refusal is not None:
            self._talk.declined(child, voyage.ticket, peer, refusal)
        elif self._voyages.get((child, peer)) is voyage:
            self._talk.progressed(child, voyage.ticket, peer)  # it is to be taken in, which may take as long as ever
            if voyage.next is not None:
                self.offer(child, peer, *voyage.next, now=True)
