"""After a conflict: the loser of two copies of a child leaves its state to the winner.

Law of this room: the state of a duplicate is offered once, to whoever is the active copy by then, wherever that is; it is
sent on when that has moved meanwhile, and given up, with a word in the log, when nobody is found in time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from hubkit.actors.cell import Cell
from hubkit.actors.standing import Order
from hubkit.actors.system import System
from hubkit.errors import HubkitError
from hubkit.hub.household import Household, Keeper
from hubkit.hub.states import State, States
from hubkit.logs import Log
from hubkit.net.cargo import Cargo
from hubkit.pids import NodeId, Pid, node_id

if TYPE_CHECKING:
    from hubkit.hub.wires import Talk

__all__ = ["HOPS", "MERGE", "Merges"]

log: Log = Log("hubkit.hub")

#: The kind of its messages.
MERGE = 2
#: How often the state of a duplicate is sent on to where the child runs by now, and seconds until it is given up.
HOPS, MERGE_WITHIN = 5, 30.0
#: Bytes of states that are on their way from here at a time, unless it is one alone; and states that wait for one actor here.
MOST, WAITING = 256 << 20, 16


class Merges:
    """States of duplicates, on their way to the winners."""

    def __init__(
        self, hub_id: str, household: Household, system: System, states: States, talk: Talk, nursery: trio.Nursery
    ) -> None:
        self._hub_id, self._household, self._system = hub_id, household, system
        self._states, self._talk, self._nursery = states, talk, nursery
        self._weight = 0  # of what is on its way

    def leave(self, keeper: Keeper, cell: Cell) -> Order:
        """How the loser of a conflict ends: it leaves its state to the winner."""
        return partial(self._leave, keeper, cell)

    async def _leave(self, keeper: Keeper, cell: Cell) -> None:
        try:
            data = await self._states.take(cell)
        except Exception as error:  # of the actor's own code
            log.warning("hub %s: the state of child %s cannot be merged: %s", self._hub_id, keeper.child, error)
        else:
            if data != self._states.nothing:
                self._nursery.start_soon(self._send, keeper.child, data, HOPS, cell.pid)
        cell.request_stop("conflict")

    async def _send(self, child: str, data: State, hops: int, after: Pid | None) -> None:
        """Send the state of a duplicate that has lost to where the child runs."""
        weight = 1000 + (data.size if isinstance(data, Cargo) else len(data))
        if self._weight and self._weight + weight > MOST:
            log.warning("hub %s: the state of a duplicate of child %.80r is lost: too many wait", self._hub_id, child)
            return
        self._weight += weight
        try:
            await self._find(child, data, hops, after)
        finally:
            self._weight -= weight

    async def _find(self, child: str, data: State, hops: int, after: Pid | None) -> None:
        with trio.move_on_after(MERGE_WITHIN) as scope:
            try:
                while True:
                    pid = await self._talk.locate(child, after)
                    if self._system.is_mine(pid):
                        self.take(child, hops, data)
                        return
                    if await self._tell(node_id(pid.node, pid.incarnation), child, hops, data, scope):
                        return
                    await trio.sleep(0.5)
            except HubkitError as error:
                log.warning("hub %s: the state of a duplicate of child %s is lost: %s", self._hub_id, child, error)
                return
        log.warning("hub %s: the state of a duplicate of child %s found nobody to take it", self._hub_id, child)

    async def _tell(self, peer: NodeId, child: str, hops: int, data: State, scope: trio.CancelScope) -> bool:
        if not isinstance(data, Cargo):
            return self._talk.tell(peer, [MERGE, child, hops, data])

        def progress() -> None:
            scope.deadline = trio.current_time() + MERGE_WITHIN

        number = self._talk.lot_number()
        return await self._talk.ship(peer, [MERGE, child, hops, None], data, number, progress)

    def take(self, child: str, hops: int, data: State) -> None:
        """Let the active copy here have the state of a duplicate, or send it on to where that is."""
        keeper = self._household.keepers.get(child)
        cell = None if keeper is None else keeper.cell
        if keeper is not None and cell is not None and keeper.running and not keeper.passive and not keeper.stopping:
            if cell.instance is not None and keeper.offers < WAITING:
                keeper.offers += 1
                cell.order(partial(self._merge, keeper, cell, hops, data))
        elif hops:
            self._nursery.start_soon(self._send, child, data, hops - 1, None)

    async def _merge(self, keeper: Keeper, cell: Cell, hops: int, data: State) -> None:
        keeper.offers = max(0, keeper.offers - 1)
        if keeper.frozen is not None or keeper.passive:  # its own state has left it already
            if hops:
                self._nursery.start_soon(self._send, keeper.child, data, hops - 1, cell.pid)
        elif cell.instance is not None:
            await self._states.merge(cell, data)
