"""What waits for a child that has stopped here to go on elsewhere: its messages, and those that still arrive for it.

Law of this room: whatever is taken leaves once: sent to the copy that goes on, given to one that begins here, answered as not
begun, or told as a dead letter. A caller that has given up is not served. What arrives late joins at the end, and is passed
on for `retention` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import trio

from hubkit.actors.cell import Cell
from hubkit.actors.mailbox import Call, Item, close_letter
from hubkit.actors.messages import NotBegun
from hubkit.actors.system import System
from hubkit.errors import HubkitError
from hubkit.pids import ChildKey, Pid

__all__ = ["Parcels"]

#: Messages that are kept for a child which runs nowhere at this moment, besides those that waited in its mailbox.
STRAYS = 10_000


class Parcels:
    """Messages of one hub on one node. ``send``: to an actor elsewhere. ``retention``: as of `HotSwap`."""

    def __init__(
        self,
        hub_id: str,
        system: System,
        send: Callable[[Pid, Item], None],
        nursery: trio.Nursery,
        retention: float,
    ) -> None:
        self._hub_id, self._system, self._send = hub_id, system, send
        self._nursery, self._retention = nursery, retention
        self._waiting: dict[str, list[Item]] = {}  # child -> what waited for it when it stopped here
        self._serials: dict[str, int] = {}  # child -> of the actor for which that was

    def __len__(self) -> int:
        return len(self._waiting)

    def divert(self, child: str, cell: Cell) -> None:
        """This actor is about to end: take what waits for it, and what still comes."""
        parcel = self._waiting.setdefault(child, [])
        cell.successor = parcel.append
        cell.queue = deque(cell.pass_on(parcel.append))
        self._serials[child] = cell.pid.serial
        self._system.successors[cell.pid.serial] = partial(self._stray, child, parcel)

    def _stray(self, child: str, parcel: list[Item], item: Item) -> None:
        if len(parcel) < STRAYS:
            parcel.append(item)
        else:
            self._return(child, item, NotBegun(f"too many messages wait for child {child!r}"))

    def forward(self, child: str, pid: Pid) -> None:
        """The actor at ``pid`` goes on for the child."""
        self._empty(child, partial(self._send, pid))

    def deliver(self, child: str, cell: Cell) -> None:
        """This actor here goes on for the child."""
        if child in self._waiting:
            self._empty(child, partial(self._put, child, cell))

    def discard(self, child: str) -> None:
        """Nobody goes on for it."""
        error = NotBegun(f"child {child!r} has stopped here")
        for item in self._waiting.pop(child, ()):
            self._return(child, item, error)
        self._system.successors.pop(self._serials.pop(child, 0), None)

    def _empty(self, child: str, take: Callable[[Item], None]) -> None:
        for item in self._waiting.pop(child, ()):
            take(item)
        serial = self._serials.pop(child, 0)
        if serial and self._retention:
            self._system.successors[serial] = take
            self._nursery.start_soon(self._retain, serial)
        else:
            self._system.successors.pop(serial, None)

    async def _retain(self, serial: int) -> None:
        try:
            await trio.sleep(self._retention)
        finally:
            self._system.successors.pop(serial, None)

    def _put(self, child: str, cell: Cell, item: Item) -> None:
        """Into the mailbox of an actor here, room or not; its handlers are those of this actor now."""
        try:
            if cell.closed:
                msg = f"child {child!r} has ended"
                raise NotBegun(msg)
            if not isinstance(item, Call):
                cell.push(cell.letter(item[1], item[2], item[3]) if item[1] else cell.message(item[2][0]))
                close_letter(item)
            elif not item.is_abandoned:
                coroutine = cell.letter(item.method, item.args, item.kwargs)[0]
                assert coroutine is not None
                item.coroutine.close()
                item.coroutine, item.mailbox = coroutine, cell
                cell.push(item)
            else:
                item.coroutine.close()
        except (HubkitError, TypeError) as error:
            self._return(child, item, error)

    def _return(self, child: str, item: Item, error: Exception) -> None:
        if isinstance(item, Call):
            item.coroutine.close()
            item.fail(error)
            return
        close_letter(item)
        message = item[2][0] if not item[1] else (item[1], item[2])
        self._system.dead_letter(ChildKey(self._hub_id, child), message, str(error), self._hub_id)
