"""Checkpoints: states that the copies of a child are given while it goes on.

Law of this room: a checkpoint is taken in the actor's own task, between two steps of its own; who gets it, and when that is
done, is said by the map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from hubkit.actors.cell import Cell
from hubkit.cluster.rows import Ticket
from hubkit.errors import NoSuchActor
from hubkit.hub.household import Household, Keeper, failure_text
from hubkit.hub.states import States
from hubkit.hub.wires import Talk
from hubkit.logs import Log
from hubkit.pids import Pid

__all__ = ["Checkpoints"]

log: Log = Log("hubkit.hub")


class Checkpoints:
    """The part of `hubkit.hub.handovers.Handovers` that takes them."""

    _hub_id: str
    _household: Household
    _talk: Talk
    _states: States
    _replicated: Callable[[], bool]
    _all_active: bool

    @property
    def _tells_roles(self) -> bool:
        """Whether actors have roles that change."""
        return self._replicated() and not self._all_active

    async def checkpoint(self, cell: Cell) -> None:
        """Give the state of an actor to all copies that stand by, and wait until they hold it. In the actor's own task."""
        keeper = self._household.keepers.get(cell.child_id or "")
        if keeper is None or keeper.cell is not cell or not self._tells_roles or cell.restore is not None:
            await trio.lowlevel.checkpoint()
            return
        ticket = None
        while ticket is None and not keeper.passive:
            if keeper.stopping is not None:
                msg = f"child {keeper.child!r} is being stopped here ({keeper.stopping}): this checkpoint is not kept"
                raise NoSuchActor(msg)
            ticket = await self._take_checkpoint(keeper, cell)
            if ticket is None:
                await trio.sleep(0.05)  # a background task of a frozen actor: until that is over
        if ticket is not None:
            await self._talk.until_held(keeper.child, ticket)
            if self._household.witness is not None:
                self._household.witness.kept(keeper, ticket, self._talk.holders(keeper.child, ticket))

    async def _take_checkpoint(self, keeper: Keeper, cell: Cell) -> Ticket | None:
        data = await self._states.take(cell)
        if keeper.cell is not cell or keeper.passive or cell.stands_by:
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
