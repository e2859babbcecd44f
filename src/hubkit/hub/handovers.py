"""States on their way: copies that stand by here, children that are handed over, checkpoints, and what lost a conflict.

Law of this room: it acts, and decides nothing. When a child is frozen, who is offered its state and who goes on with it is
said by the core, whose effects these are; what came of it is reported. A state is taken and accepted in the actor's own
task, between two messages. It travels point to point, as bytes, and is kept here as bytes until it is of no use.

On the wire, between the hubs of two nodes: ``[OFFER, child, ticket, state]``, ``[DECLINE, child, ticket, reason]`` and
``[MERGE, child, hops, state]``; a ticket is ``[term, number, giver]``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from hubkit.actors.cell import Cell
from hubkit.actors.standing import Order
from hubkit.actors.system import System
from hubkit.cluster.effects import Demote, Discard, Effect, Forward, Freeze, Offer, Promote, Thaw
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Ticket
from hubkit.errors import ProtocolViolation
from hubkit.events import RoleChanged
from hubkit.hub.checkpoints import Checkpoints
from hubkit.hub.household import Household, Keeper, failure_text
from hubkit.hub.merges import HOPS, Merges
from hubkit.hub.parcels import Parcels
from hubkit.hub.states import State, States
from hubkit.hub.voyages import Voyages
from hubkit.hub.wires import Talk
from hubkit.logs import Log
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.pids import NodeId, Pid

__all__ = ["Handovers", "hand_over"]

log: Log = Log("hubkit.hub")

OFFER, DECLINE = range(2)
#: States that wait to be accepted by one copy.
OFFERS = 16


class Handovers(Checkpoints):
    """States of one hub on one node.

    ``all_active``: all copies of a child handle messages. ``roles``: actors are told of their roles. ``retention``:
    seconds for which what still arrives for a child that has moved is passed on.
    """

    def __init__(
        self,
        *,
        hub_id: str,
        household: Household,
        system: System,
        payloads: Payloads,
        talk: Talk,
        nursery: trio.Nursery,
        all_active: bool,
        replicated: Callable[[], bool],
        has_copies: Callable[[], bool],
        retention: float,
    ) -> None:
        self._hub_id, self._household, self._system = hub_id, household, system
        self._payloads, self._talk, self._nursery = payloads, talk, nursery
        self._all_active, self._replicated, self._has_copies = all_active, replicated, has_copies
        self._states = States(payloads)
        self.merges: Merges = Merges(hub_id, household, system, self._states, talk, nursery)
        self._voyages = Voyages(talk, nursery, OFFER)
        self._kept: dict[str, tuple[Ticket, State]] = {}
        self._parcels = Parcels(hub_id, system, talk.forward, nursery, retention)
        self._since: dict[str, float] = {}  # child -> when it was frozen
        self.longest_pause: float = 0.0
        household.handovers = self

    # -- what the core decides -----------------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        """Do what is to be done about a state."""
        match effect:
            case Promote(child, term, reason):
                self.promote(child, term, reason)
            case Demote(child):
                self.demote(child)
            case Freeze(child, ticket):
                self.freeze(child, ticket)
            case Thaw(child):
                self.thaw(child)
            case Offer(child, peer, ticket):
                self.offer(child, peer, ticket)
            case Forward(child, pid):
                self.forward(child, pid)
            case Discard(child):
                self.discard(child)
            case _:
                msg = f"{effect!r} is not about a state"
                raise AssertionError(msg)

    def take_kept(self, child: str, ticket: Ticket | None) -> tuple[Ticket, State] | None:
        """The state that is kept of a child which begins anew here."""
        kept = self._kept.pop(child, None)
        return kept if kept is not None and ticket is not None and kept[0] >= ticket else None

    def freeze(self, child: str, ticket: Ticket) -> None:
        """Let a child begin nothing more, and take its state."""
        keeper = self._household.keepers.get(child)
        if keeper is None or keeper.stopping is not None:
            return
        keeper.frozen, cell = ticket, keeper.cell
        if cell is None or not keeper.running:
            held = keeper.held if keeper.owed or self._tells_roles else None
            if held is None:
                keeper.frozen = None
                self._talk.froze(child, ticket, "it does not run at this moment")
            else:
                keeper.held, keeper.owed = (ticket, held[1]), True
                self._talk.froze(child, ticket, None)
        elif cell.instance is None and self._replicated():
            self._recall(keeper, cell)
        elif cell.instance is None:  # a function has no state to hand over
            keeper.held = (ticket, self._states.nothing)
            self._talk.froze(child, ticket, None)
        else:
            cell.order(partial(self._freeze, keeper, cell, ticket))

    async def _freeze(self, keeper: Keeper, cell: Cell, ticket: Ticket) -> None:
        if keeper.frozen != ticket:
            return  # it has been thawed before it came to this
        try:
            data = await self._states.take(cell)
        except Exception as error:  # whatever the actor's own code raises: the move fails, not the actor
            keeper.frozen = None
            self._talk.froze(keeper.child, ticket, failure_text(error))
            return
        if keeper.frozen != ticket:
            return
        self._household.rests(keeper)
        self._since[keeper.child] = trio.current_time()
        keeper.held, keeper.owed, cell.stands_by = (ticket, data), True, True
        self._talk.froze(keeper.child, ticket, None)
        await cell.stand_by()

    def _recall(self, keeper: Keeper, cell: Cell) -> None:
        """A function cannot be frozen: it ends, and begins anew if it is called again."""
        keeper.recalled = True
        self._parcels.divert(keeper.child, cell)
        cell.scope.deadline = min(cell.scope.deadline, trio.current_time() + keeper.shutdown)
        cell.request_stop("recalled")

    def thaw(self, child: str) -> None:
        """Let a frozen child go on."""
        self._voyages.stop(child)
        keeper = self._household.keepers.get(child)
        if keeper is not None and keeper.frozen is not None:
            keeper.frozen = None
            if keeper.cell is not None and keeper.running and keeper.cell.stands_by:
                self._open(keeper, keeper.cell)

    def _goes_on(self, child: str) -> None:
        since = self._since.pop(child, None)
        if since is not None:
            self.longest_pause = max(self.longest_pause, trio.current_time() - since)

    def _open(self, keeper: Keeper, cell: Cell) -> None:
        self._goes_on(keeper.child)
        cell.stands_by, cell.successor = False, None
        keeper.owed = False
        self._household.begins(keeper)
        cell.wake()

    def promote(self, child: str, term: int, reason: str) -> None:
        """Let the copy that stands by be the active one."""
        keeper = self._household.keepers.get(child)
        if keeper is None:
            return
        keeper.passive, keeper.term, keeper.reason, cell = False, term, reason, keeper.cell
        if keeper.gate is not None:
            keeper.gate.renew()
        if cell is None:
            return
        cell.term, cell.start_reason, cell.successor = term, reason, None
        if not keeper.running or self._all_active:
            return
        self._call_on(keeper, cell)

    def _call_on(self, keeper: Keeper, cell: Cell) -> None:
        """Let a copy that stood by handle messages, as soon as it has been told."""
        if cell.instance is None:
            cell.role = "active"
            self._publish_role(keeper, "active")
            self._open(keeper, cell)
        else:
            cell.order(partial(self._activate, keeper, cell))

    def _publish_role(self, keeper: Keeper, role: str) -> None:
        if self._replicated() and keeper.role != role:
            keeper.role = role
            self._household.publish(RoleChanged(keeper.child, role, hub=self._hub_id))

    async def _activate(self, keeper: Keeper, cell: Cell) -> None:
        if keeper.passive or not cell.stands_by:
            return
        await self._tell_role(keeper, cell, "active")
        if not keeper.passive:
            self._open(keeper, cell)

    async def _tell_role(self, keeper: Keeper, cell: Cell, role: str) -> None:
        before, cell.role = cell.role, role
        if self._replicated() and before != role and cell.instance is not None:
            self._publish_role(keeper, role)
            await cell.instance.on_role(role)

    def demote(self, child: str) -> None:
        """Let the active copy stand by."""
        self._voyages.stop(child)
        keeper = self._household.keepers.get(child)
        if keeper is None:
            return
        if keeper.frozen is not None and keeper.cell is not None:
            self._check_unchanged(keeper, keeper.cell)
        keeper.passive, keeper.frozen, cell = True, None, keeper.cell
        if cell is None or not keeper.running or self._all_active:
            return
        if cell.instance is None:
            self._recall(keeper, cell)
            return
        cell.order(partial(self._deactivate, keeper, cell))

    async def _deactivate(self, keeper: Keeper, cell: Cell) -> None:
        if keeper.passive:
            stood, cell.stands_by = cell.stands_by, True
            if not stood:
                self._household.rests(keeper)
            await self._tell_role(keeper, cell, "passive")
            if not stood:
                await cell.stand_by()

    def forward(self, child: str, pid: Pid) -> None:
        """The copy at ``pid`` goes on with the child: what waits here is for it."""
        keeper = self._household.keepers.get(child)
        if keeper is not None and keeper.cell is not None and not self._all_active:
            self._goes_on(child)
            keeper.cell.successor = partial(self._talk.forward, pid)
            keeper.cell.wake()
        self._parcels.forward(child, pid)

    def discard(self, child: str) -> None:
        """What is kept of a child is of no use any more."""
        self._voyages.stop(child)
        self._goes_on(child)
        self._kept.pop(child, None)
        self._parcels.discard(child)

    def offer(self, child: str, peer: NodeId, ticket: Ticket) -> None:
        """Send the newest state of a child to the copy on another node."""
        keeper = self._household.keepers.get(child)
        if keeper is None or keeper.held is None or keeper.held[0] < ticket:
            return  # it has ended meanwhile, and that will be said
        held, data = keeper.held
        if isinstance(data, Cargo):
            self._voyages.offer(child, peer, held, data, now=keeper.frozen is not None)
        else:
            self._talk.tell(peer, [OFFER, child, list(held), data])

    # -- what the household says ---------------------------------------------------------------------------------------

    def moves(self, keeper: Keeper) -> None:
        """A child is about to stop here because it moves: keep what still waits for it."""
        if self._has_copies() and keeper.cell is not None:
            if keeper.frozen is not None:
                self._check_unchanged(keeper, keeper.cell)
            self._parcels.divert(keeper.child, keeper.cell)

    def _check_unchanged(self, keeper: Keeper, cell: Cell) -> None:
        """In simulations: is what is let go still what was handed over?"""
        witness, held = self._household.witness, keeper.held
        if witness is not None and held is not None and self._states.differs(cell, held[1]):
            witness.changed(keeper)

    def gone(self, keeper: Keeper) -> None:
        """A child has stopped here."""
        self._voyages.stop(keeper.child)
        moved = keeper.stopping == "moved" and keeper.frozen is not None
        lapsed = keeper.stopping == "partition" and self._tells_roles
        if keeper.held is not None and (moved or lapsed):
            self._kept[keeper.child] = keeper.held

    def began(self, keeper: Keeper, cell: Cell) -> None:
        """An incarnation has started here, and what was decided of its child meanwhile holds for it."""
        stands_by = (keeper.passive or keeper.frozen is not None) and not self._all_active
        if cell.instance is None:
            cell.role = "passive" if keeper.passive and stands_by else "active"
            if stands_by and not cell.stands_by:
                self._recall(keeper, cell)
                return
            cell.stands_by = stands_by
        elif stands_by:
            cell.stands_by = True
            if keeper.passive and cell.role != "passive":
                cell.order(partial(self._deactivate, keeper, cell))
        elif cell.role == "passive" and self._tells_roles:
            cell.order(partial(self._activate, keeper, cell))
        else:
            cell.stands_by, cell.role = False, "active"
        if not cell.stands_by:
            keeper.owed = False
            self._household.begins(keeper)
        if not self._all_active:
            self._publish_role(keeper, cell.role)
        if not keeper.passive:
            self._parcels.deliver(keeper.child, cell)

    def ended(self, keeper: Keeper, cell: Cell) -> None:
        """An incarnation has ended here, and its child has not: tell those who wait for what it does not do any more."""
        keeper.offers = 0
        if keeper.offered is not None:
            (peer, offered), keeper.offered = keeper.offered, None
            self._decline(peer, keeper.child, offered, "the copy ended before it had accepted the state")
        ticket = keeper.frozen
        if ticket is None:
            return
        if keeper.recalled:
            keeper.held = (ticket, self._states.nothing)
            self._talk.froze(keeper.child, ticket, None)
        elif keeper.held is None or keeper.held[0] != ticket:
            keeper.frozen = None
            self._talk.froze(keeper.child, ticket, "it crashed before its state was taken")

    def restore(self, keeper: Keeper, cell: Cell) -> Order | None:
        """How an incarnation that is about to start gets the state that is held for it, and learns of its role."""
        roles = self._tells_roles
        held = keeper.held if keeper.passive or keeper.owed or roles else None
        return partial(self._restore, keeper, cell, held, roles) if held is not None or roles else None

    async def _restore(self, keeper: Keeper, cell: Cell, held: tuple[Ticket, State] | None, roles: bool) -> None:
        if held is not None:
            await self._states.give(cell, held[1])
        cell.restore = None  # from now on it has a state that can be given on
        if roles and cell.instance is not None:
            await cell.instance.on_role(cell.role)

    # -- what other nodes say ------------------------------------------------------------------------------------------

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A message of this hub on another node. Raises `ProtocolViolation` for what makes no sense."""
        match message:
            case [0, str(child), list(parts), (bytes() | Cargo()) as data]:
                self._take_offer(peer, child, _ticket(parts), data)
            case [1, str(child), list(parts), str(reason)]:
                self._talk.declined(child, _ticket(parts), peer, reason)
            case [2, str(child), int(hops), (bytes() | Cargo()) as data] if type(hops) is int and 0 <= hops <= HOPS:
                self.merges.take(child, hops, data)
            case _:
                msg = "a message about a state that makes no sense"
                raise ProtocolViolation(msg)

    def _take_offer(self, peer: NodeId, child: str, ticket: Ticket, data: State) -> None:
        keeper = self._household.keepers.get(child)
        cell = None if keeper is None else keeper.cell
        if keeper is None or not keeper.passive or keeper.stopping is not None or cell is None or not keeper.running:
            self._decline(peer, child, ticket, "no copy stands by there at this moment")
        elif not self._talk.may_offer(child, peer):
            self._decline(peer, child, ticket, "that node does not have the child, by what is known there")
        elif keeper.offers >= OFFERS:
            self._decline(peer, child, ticket, "too many states wait to be accepted there")
        elif keeper.held is not None and keeper.held[0] >= ticket:
            self._talk.accepted(child, keeper.born, keeper.held[0])
        elif cell.instance is None:
            keeper.held = (ticket, data)
            self._talk.accepted(child, keeper.born, ticket)
        else:
            keeper.offered = (peer, ticket)
            keeper.offers += 1
            cell.order(partial(self._accept, keeper, cell, peer, ticket, data))

    def _decline(self, peer: NodeId, child: str, ticket: Ticket, reason: str) -> None:
        self._talk.tell(peer, [DECLINE, child, list(ticket), reason[:1000]])

    async def _accept(self, keeper: Keeper, cell: Cell, peer: NodeId, ticket: Ticket, data: State) -> None:
        keeper.offers = max(0, keeper.offers - 1)
        if not keeper.passive:
            return
        if keeper.held is None or keeper.held[0] < ticket:
            try:
                await self._states.give(cell, data)
            except Exception as error:
                keeper.offered = None
                self._decline(peer, keeper.child, ticket, failure_text(error))
                raise  # who knows in which state it is: it begins anew
            keeper.held, keeper.owed = (ticket, data), True
        keeper.offered = None
        self._talk.accepted(keeper.child, keeper.born, keeper.held[0])


def _ticket(parts: list[Any]) -> Ticket:
    match parts:
        case [int(term), int(number), str(giver)] if term >= 0 and number >= 0:
            return Ticket(term, number, giver)
    msg = "a ticket that makes no sense"
    raise ProtocolViolation(msg)


def hand_over(driver: Any, household: Household, node: Any, strategies: Strategies, nursery: trio.Nursery) -> Handovers:
    """The handovers of one hub on one node, as its strategies will have them."""
    redundancy: Any = strategies.redundancy
    household.all_active = getattr(redundancy, "active", "one") == "all"
    handovers = Handovers(
        hub_id=driver.hub_id,
        household=household,
        system=node._system,
        payloads=node._payloads,
        talk=driver,
        nursery=nursery,
        all_active=household.all_active,
        replicated=lambda: bool(driver.core.is_replicated),
        has_copies=lambda: bool(driver.core.has_copies),
        retention=float(getattr(strategies.migration, "retention", 0.0)),
    )
    seconds = getattr(redundancy, "checkpoint", "manual")
    if seconds != "manual" and not household.all_active:
        nursery.start_soon(handovers.keep_checkpoints, float(seconds))
    return handovers
