"""States on their way: copies that stand by here, children that are handed over, checkpoints, and what lost a conflict.

Law of this room: it acts, and decides nothing. When a child is frozen, who is offered its state and who goes on with it is
said by the core, whose effects these are; what came of it is reported. A state is taken and accepted in the actor's own
task, between two messages. It travels point to point, as bytes, and is kept here as bytes until it is of no use.

On the wire, between the hubs of two nodes: ``[OFFER, child, ticket, state]``, ``[DECLINE, child, ticket, reason]`` and
``[MERGE, child, hops, state]``; a ticket is ``[term, count, giver]``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import trio

from hubkit.actors.cell import Cell
from hubkit.actors.mailbox import Call, Item, close_letter
from hubkit.actors.messages import NotBegun
from hubkit.actors.standing import Order
from hubkit.actors.system import System
from hubkit.cluster.rows import Ticket
from hubkit.errors import HubkitError, NotSerializable, ProtocolViolation
from hubkit.events import RoleChanged
from hubkit.hub.household import Household, Keeper, failure_text
from hubkit.net.payload import Payloads
from hubkit.net.wire import MAX_MESSAGE
from hubkit.pids import NodeId, Pid, node_id

__all__ = ["Handovers", "Talk"]

log: logging.Logger = logging.getLogger("hubkit.hub")

OFFER, DECLINE, MERGE = range(3)

#: Seconds that an actor may take to give its state, or to accept one.
PATIENCE = 5.0
#: The largest state, in bytes: what a link carries as one message, with some room around it.
MAX_STATE = MAX_MESSAGE - 65_536
#: How often the state of a duplicate is sent on to where the child runs by now, and seconds until it is given up.
HOPS, MERGE_WITHIN = 5, 30.0


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

    async def locate(self, child: str, after: Pid | None) -> Pid:
        """Where the child runs."""
        ...

    def tell(self, peer: NodeId, message: list[Any]) -> bool:
        """Send a message to this hub on a linked node; `False`: there is no link."""
        ...

    def forward(self, pid: Pid, item: Item) -> None:
        """Send a message that waits here to an actor elsewhere."""


class Handovers:
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
        retention: float,
    ) -> None:
        self._hub_id, self._household, self._system = hub_id, household, system
        self._payloads, self._talk, self._nursery = payloads, talk, nursery
        self._all_active, self._replicated, self._retention = all_active, replicated, retention
        self._kept: dict[str, tuple[Ticket, bytes]] = {}
        self._parcels: dict[str, list[Item]] = {}  # child -> what waited for it when it stopped here
        self._serials: dict[str, int] = {}  # child -> where that was
        household.handovers = self

    # -- what the core decides -----------------------------------------------------------------------------------------

    def take_kept(self, child: str, ticket: Ticket | None) -> tuple[Ticket, bytes] | None:
        """The state that is kept of a child which begins anew here."""
        kept = self._kept.pop(child, None)
        return kept if kept is not None and kept[0] == ticket else None

    def freeze(self, child: str, ticket: Ticket) -> None:
        """Let a child begin nothing more, and take its state."""
        keeper = self._household.keepers.get(child)
        if keeper is None or keeper.stopping is not None:
            return
        keeper.frozen, cell = ticket, keeper.cell
        if cell is None or not keeper.running:
            held, error = keeper.held, "it does not run at this moment"
            if held is not None:
                keeper.held, error = (ticket, held[1]), ""
            self._talk.froze(child, ticket, error or None)
        elif cell.instance is None:  # a function has no state to hand over
            keeper.held = (ticket, self._payloads.dumps(None))
            self._talk.froze(child, ticket, None)
        else:
            cell.order(partial(self._freeze, keeper, cell, ticket))

    async def _freeze(self, keeper: Keeper, cell: Cell, ticket: Ticket) -> None:
        if keeper.frozen != ticket:
            return  # it has been thawed before it came to this
        try:
            data = await self._state_of(cell)
        except Exception as error:  # whatever the actor's own code raises: the move fails, not the actor
            keeper.frozen = None
            self._talk.froze(keeper.child, ticket, failure_text(error))
            return
        if keeper.frozen != ticket:
            return
        self._household.rests(keeper)
        keeper.held, cell.stands_by = (ticket, data), True
        self._talk.froze(keeper.child, ticket, None)
        await cell.stand_by()

    def thaw(self, child: str) -> None:
        """Let a frozen child go on."""
        keeper = self._household.keepers.get(child)
        if keeper is not None and keeper.frozen is not None:
            keeper.frozen = None
            if keeper.cell is not None and keeper.cell.stands_by:
                self._open(keeper, keeper.cell)

    def _open(self, keeper: Keeper, cell: Cell) -> None:
        cell.stands_by, cell.successor = False, None
        self._household.begins(keeper)
        cell.wake()

    def promote(self, child: str, term: int, reason: str) -> None:
        """Let the copy that stands by be the active one."""
        keeper = self._household.keepers.get(child)
        if keeper is None:
            return
        keeper.passive, keeper.term, keeper.reason, cell = False, term, reason, keeper.cell
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

    def take_role(self, keeper: Keeper, cell: Cell) -> None:
        """A copy has started: tell in which role; if that has changed meanwhile, it changes now."""
        if self._all_active:
            return
        self._publish_role(keeper, cell.role)
        if cell.stands_by and not keeper.passive:
            self._call_on(keeper, cell)
        elif keeper.passive and not cell.stands_by:
            self._call_off(keeper, cell)

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
        keeper = self._household.keepers.get(child)
        if keeper is None:
            return
        keeper.passive, keeper.frozen, cell = True, None, keeper.cell
        if cell is None or not keeper.running or self._all_active:
            return
        self._call_off(keeper, cell)

    def _call_off(self, keeper: Keeper, cell: Cell) -> None:
        if cell.instance is None:  # a function cannot be called back: it ends here, and waits to be called again
            cell.request_stop("demoted")
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
        if self._all_active:
            return
        keeper, send = self._household.keepers.get(child), partial(self._talk.forward, pid)
        if keeper is not None and keeper.cell is not None:
            keeper.cell.successor = send
            keeper.cell.wake()
            return
        for item in self._parcels.pop(child, ()):
            send(item)
        serial = self._serials.pop(child, None)
        if serial is not None and self._retention:
            self._nursery.start_soon(self._retain, serial, send)

    async def _retain(self, serial: int, send: Callable[[Item], None]) -> None:
        self._system.successors[serial] = send
        try:
            await trio.sleep(self._retention)
        finally:
            self._system.successors.pop(serial, None)

    def discard(self, child: str) -> None:
        """What is kept of a child is of no use any more."""
        self._kept.pop(child, None)
        self._serials.pop(child, None)
        for item in self._parcels.pop(child, ()):
            if isinstance(item, Call):
                item.coroutine.close()
                item.fail(NotBegun(f"child {child!r} has stopped here"))
            else:
                close_letter(item)
                message = item[2][0] if not item[1] else (item[1], item[2])
                self._system.dead_letter(child, message, "its actor has stopped", self._hub_id)

    def offer(self, child: str, peer: NodeId, ticket: Ticket) -> None:
        """Send the newest state of a child to the copy on another node."""
        keeper = self._household.keepers.get(child)
        if keeper is None or keeper.held is None or keeper.held[0] < ticket:
            return  # it has ended meanwhile, and that will be said
        held, data = keeper.held
        self._talk.tell(peer, [OFFER, child, list(held), data])

    # -- what the household says ---------------------------------------------------------------------------------------

    def moves(self, keeper: Keeper) -> None:
        """A child is about to stop here because it moves: keep what still waits for it."""
        if keeper.frozen is not None and keeper.cell is not None:
            parcel = self._parcels.setdefault(keeper.child, [])
            keeper.cell.successor = parcel.append

    def gone(self, keeper: Keeper) -> None:
        """A child has stopped here."""
        if keeper.stopping == "moved" and keeper.frozen is not None and keeper.held is not None:
            self._kept[keeper.child] = keeper.held
            if keeper.last_pid is not None:
                self._serials[keeper.child] = keeper.last_pid.serial

    def started(self, keeper: Keeper, cell: Cell) -> None:
        """A child has started here: what waited for its last incarnation is for this one."""
        for item in self._parcels.pop(keeper.child, ()):
            try:
                coroutine = cell.letter(item.method, item.args, item.kwargs)[0] if isinstance(item, Call) else None
                if isinstance(item, Call):
                    item.coroutine.close()
                    assert coroutine is not None
                    item.coroutine, item.mailbox = coroutine, cell
                    cell.push(item)
                else:
                    close_letter(item)
                    cell.push(cell.letter(item[1], item[2], item[3]) if item[1] else cell.message(item[2][0]))
            except (HubkitError, TypeError) as error:
                if isinstance(item, Call):
                    item.coroutine.close()
                    item.fail(error)

    def restore(self, keeper: Keeper, cell: Cell) -> Order | None:
        """How an incarnation that is about to start gets the state that is held for it, and learns of its role."""
        roles = self._replicated() and not self._all_active
        held = keeper.held if keeper.passive or keeper.last_pid is None or roles else None
        return partial(self._restore, keeper, cell, held, roles) if held is not None or roles else None

    async def _restore(self, keeper: Keeper, cell: Cell, held: tuple[Ticket, bytes] | None, roles: bool) -> None:
        if held is not None:
            await self._give(cell, held[1])
        if roles and cell.instance is not None:
            await cell.instance.on_role(cell.role)

    def leave_state(self, keeper: Keeper, cell: Cell) -> Order:
        """How the loser of a conflict ends: it leaves its state to the winner."""
        return partial(self._leave_state, keeper, cell)

    async def _leave_state(self, keeper: Keeper, cell: Cell) -> None:
        try:
            data = await self._state_of(cell)
        except Exception as error:  # of the actor's own code
            log.warning("hub %s: the state of child %s cannot be merged: %s", self._hub_id, keeper.child, error)
        else:
            if data != self._payloads.dumps(None):
                self._nursery.start_soon(self._send_merge, keeper.child, data, HOPS, cell.pid)
        cell.request_stop("conflict")

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    async def checkpoint(self, cell: Cell) -> None:
        """Give the state of an actor to all copies that stand by, and wait until they hold it. In the actor's own task."""
        keeper = self._household.keepers.get(cell.child_id or "")
        if keeper is None or keeper.cell is not cell or not self._replicated() or self._all_active:
            await trio.lowlevel.checkpoint()
            return
        ticket = await self._take_checkpoint(keeper, cell)
        if ticket is not None:
            await self._talk.until_held(keeper.child, ticket)

    async def _take_checkpoint(self, keeper: Keeper, cell: Cell) -> Ticket | None:
        data = await self._state_of(cell)
        if keeper.cell is not cell or keeper.passive or keeper.frozen is not None:
            return None
        ticket = self._talk.checkpoint(keeper.child, keeper.born)
        if ticket is not None:
            keeper.held = (ticket, data)
        return ticket

    async def keep_checkpoints(self, seconds: float) -> None:
        """Take checkpoints of all active children that have handled something, every so many seconds."""
        handled: dict[Pid, int] = {}
        while True:
            await trio.sleep(seconds)
            before, handled = handled, {}
            for number, keeper in enumerate(list(self._household.keepers.values())):
                cell = keeper.cell
                if cell is None or cell.instance is None or not keeper.running or keeper.passive or keeper.frozen:
                    continue
                handled[cell.pid] = cell.handled
                if before.get(cell.pid, 0) != cell.handled:
                    cell.order(partial(self._checkpoint_now, keeper, cell))
                if number % 100 == 99:
                    await trio.lowlevel.checkpoint()

    async def _checkpoint_now(self, keeper: Keeper, cell: Cell) -> None:
        try:
            await self._take_checkpoint(keeper, cell)
        except Exception as error:  # of the actor's own code: it goes on, and this is tried again
            log.error("hub %s: child %s gives no checkpoint: %s", self._hub_id, keeper.child, failure_text(error))

    # -- states --------------------------------------------------------------------------------------------------------

    async def _state_of(self, cell: Cell) -> bytes:
        instance = cell.instance
        state = None if instance is None else instance.handover_state()
        if isinstance(state, Awaitable):
            with trio.fail_after(PATIENCE):
                state = await state
        data = self._payloads.dumps(state)
        if len(data) > MAX_STATE:
            msg = f"handover_state() is {len(data):,} bytes; at most {MAX_STATE:,} can travel"
            raise NotSerializable(msg)
        return data

    async def _give(self, cell: Cell, data: bytes) -> None:
        instance = cell.instance
        if instance is not None:
            answer: object = instance.accept_handover(self._payloads.loads(data))  # type: ignore[func-returns-value]  # it may be async
            if isinstance(answer, Awaitable):
                with trio.fail_after(PATIENCE):
                    await answer

    # -- what other nodes say ------------------------------------------------------------------------------------------

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A message of this hub on another node. Raises `ProtocolViolation` for what makes no sense."""
        match message:
            case [0, str(child), list(parts), bytes(data)]:
                self._take_offer(peer, child, _ticket(parts), data)
            case [1, str(child), list(parts), str(reason)]:
                self._talk.declined(child, _ticket(parts), peer, reason)
            case [2, str(child), int(hops), bytes(data)] if type(hops) is int and 0 <= hops <= HOPS:
                self._take_merge(child, hops, data)
            case _:
                msg = "a message about a state that makes no sense"
                raise ProtocolViolation(msg)

    def _take_offer(self, peer: NodeId, child: str, ticket: Ticket, data: bytes) -> None:
        keeper = self._household.keepers.get(child)
        cell = None if keeper is None else keeper.cell
        if keeper is None or not keeper.passive or keeper.stopping is not None or cell is None or not keeper.running:
            self._decline(peer, child, ticket, "no copy stands by there at this moment")
        elif keeper.held is not None and keeper.held[0] >= ticket:
            self._talk.accepted(child, keeper.born, keeper.held[0])
        elif cell.instance is None:
            keeper.held = (ticket, data)
            self._talk.accepted(child, keeper.born, ticket)
        else:
            cell.order(partial(self._accept, keeper, cell, peer, ticket, data))

    def _decline(self, peer: NodeId, child: str, ticket: Ticket, reason: str) -> None:
        self._talk.tell(peer, [DECLINE, child, list(ticket), reason[:1000]])

    async def _accept(self, keeper: Keeper, cell: Cell, peer: NodeId, ticket: Ticket, data: bytes) -> None:
        if not keeper.passive:
            return
        try:
            await self._give(cell, data)
        except Exception as error:
            self._decline(peer, keeper.child, ticket, failure_text(error))
            raise  # who knows in which state it is: it begins anew
        if keeper.held is None or keeper.held[0] < ticket:
            keeper.held = (ticket, data)
        self._talk.accepted(keeper.child, keeper.born, keeper.held[0])

    # -- after a conflict ----------------------------------------------------------------------------------------------

    async def _send_merge(self, child: str, data: bytes, hops: int, after: Pid | None) -> None:
        """Send the state of a duplicate that has lost to where the child runs."""
        with trio.move_on_after(MERGE_WITHIN):
            try:
                while True:
                    pid = await self._talk.locate(child, after)
                    if self._system.is_mine(pid):
                        self._take_merge(child, hops, data)
                        return
                    if self._talk.tell(node_id(pid.node, pid.incarnation), [MERGE, child, hops, data]):
                        return
                    await trio.sleep(0.5)
            except HubkitError as error:
                log.warning("hub %s: the state of a duplicate of child %s is lost: %s", self._hub_id, child, error)
                return
        log.warning("hub %s: the state of a duplicate of child %s found nobody to take it", self._hub_id, child)

    def _take_merge(self, child: str, hops: int, data: bytes) -> None:
        keeper = self._household.keepers.get(child)
        cell = None if keeper is None else keeper.cell
        if keeper is not None and cell is not None and keeper.running and not keeper.passive and not keeper.stopping:
            if cell.instance is not None:
                cell.order(partial(self._merge, keeper, cell, hops, data))
        elif hops:
            self._nursery.start_soon(self._send_merge, child, data, hops - 1, None)

    async def _merge(self, keeper: Keeper, cell: Cell, hops: int, data: bytes) -> None:
        if keeper.frozen is not None or keeper.passive:  # its own state has left it already
            if hops:
                self._nursery.start_soon(self._send_merge, keeper.child, data, hops - 1, cell.pid)
        elif cell.instance is not None:
            cell.instance.merge_handover(self._payloads.loads(data))


def _ticket(parts: list[Any]) -> Ticket:
    match parts:
        case [int(term), int(count), str(giver)] if term >= 0 and count >= 0:
            return Ticket(term, count, giver)
    msg = "a ticket that makes no sense"
    raise ProtocolViolation(msg)
