"""What waited for an actor here that has moved away: sent on to the one that goes on for it.

Law of this room: what is sent on has not begun here, and is sent once. The answer to a call comes back the same way; if the
link breaks before, the caller is told that it may have been handled, as for any request.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Protocol

import trio

from hubkit.actors.mailbox import Call, Item, Mailbox, close_letter
from hubkit.actors.messages import NotBegun
from hubkit.actors.system import System
from hubkit.errors import HubkitError, NodeDown, NotSerializable
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.node.answers import Code, decode_error
from hubkit.node.freight import LADEN, Freight, Lot
from hubkit.node.packing import MANIFOLD, load_arguments, unpack, whole
from hubkit.node.refs import plain_chain
from hubkit.node.unheard import Unheard
from hubkit.pids import NodeId, Pid, node_id

__all__ = ["CALL", "CAST", "PASSED_ON", "WITHDRAW", "Relays"]

# Kinds of messages (a WITHDRAW of a negative number: the time of the request is over); `hubkit.node.exchange` has the others.
CALL, CAST, WITHDRAW = 1, 3, 4
#: In the place of its number: a cast that has waited in one mailbox already, and is taken by the next, room or not.
PASSED_ON = -1


class Sender(Protocol):
    """What can send."""

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send to a linked node; `False`: there is no link."""
        ...


class _OnItsWay(Mailbox):
    """Where a call is that was passed on: its caller may still give up."""

    def __init__(self, relays: Relays, peer: NodeId, number: int) -> None:
        super().__init__(0)
        self._relays, self._peer, self._number = relays, peer, number

    def withdraw(self, call: Call, *, expired: bool = False) -> None:
        """Take it back, as well as that goes."""
        if self._relays._relayed.pop(self._number, None) is not None:
            self._relays._wire.send(self._peer, [WITHDRAW, -self._number if expired else self._number])


class Relays:
    """The part of `hubkit.node.exchange.Exchange` that passes on. ``_relayed``: calls that wait for their answer.

    ``_trains``: what waits behind a large message that is being passed on to the same actor.
    """

    freight: Freight
    system: System
    _number: int
    _payloads: Payloads
    _relayed: dict[int, tuple[NodeId, Pid, Call]]
    _trains: dict[Pid, deque[tuple[Item, Any]]]
    _wire: Sender
    _unheard: Unheard

    def forward(self, pid: Pid, item: Item) -> None:
        """Send what waits for an actor here, unbegun, to the actor that goes on for it. Never raises, never waits."""
        arguments, train = self._packed(pid, item), self._trains.get(pid)
        if arguments is None:
            return
        if train is not None:
            train.append((item, arguments))
        elif type(arguments) is Cargo:
            self._trains[pid] = deque([(item, arguments)])
            self.freight.nursery.start_soon(self._follow, pid)
        else:
            self._pass_on(pid, item, arguments)

    def _packed(self, pid: Pid, item: Item) -> Any:
        """The arguments of what is to be sent on; `None`: it is not."""
        if isinstance(item, Call):
            item.coroutine.close()
            if item.is_abandoned:
                return None
            args, kwargs = item.args, item.kwargs
        else:
            close_letter(item)
            _, _, args, kwargs = item
        try:
            arguments = load_arguments(args, kwargs, self._payloads)
            if arguments is MANIFOLD:  # rare, and nobody may wait here
                return self._payloads.pack_now([list(args), dict(kwargs)])
            return arguments
        except NotSerializable as error:
            self._not_forwarded(pid, item, error)
            return None

    async def _follow(self, pid: Pid) -> None:
        """Send on what is large, and what has come after it, in its order."""
        train = self._trains[pid]
        try:
            while train:
                item, arguments = train[0]
                if not isinstance(item, Call) or not item.is_abandoned:
                    try:
                        await self._haul(pid, item, arguments)
                    except NotSerializable as error:
                        self._not_forwarded(pid, item, error)
                train.popleft()
        finally:
            for item, _ in self._trains.pop(pid):  # this node ends
                self._not_forwarded(pid, item, NotBegun("this node was closed"))

    async def _haul(self, pid: Pid, item: Item, arguments: Any) -> None:
        peer = node_id(pid.node, pid.incarnation)
        if type(arguments) is not Cargo:
            self._pass_on(pid, item, arguments)
        elif self.freight.lacks(peer):
            self._pass_on(pid, item, whole(arguments, self._payloads, peer))
        else:
            with self.freight.consign(peer, arguments) as lot:
                if await lot.ship():
                    lot.is_sent = self._pass_on(pid, item, None, lot)
                else:
                    self._not_forwarded(pid, item, NotBegun(f"the link to node {pid.node!r} ended"))

    def _pass_on(self, pid: Pid, item: Item, arguments: Any, lot: Lot | None = None) -> bool:
        """Send this on now; its arguments may have gone ahead."""
        peer = node_id(pid.node, pid.incarnation)
        if isinstance(item, Call):
            self._number = number = self._number + 1
            remaining = None if item.deadline == math.inf else item.deadline - trio.current_time()
            path = plain_chain(item.chain)
            message: list[Any] = [CALL, number, pid.serial, item.method, path, arguments, remaining]
        else:
            message = [CAST, PASSED_ON, pid.serial, item[1], [], arguments]
        if not self._wire.send(peer, message if lot is None else [LADEN, lot.number, [5], message]):
            self._not_forwarded(pid, item, NotBegun(f"there is no link to node {pid.node!r}"))
            return False
        if isinstance(item, Call):
            self._relayed[number] = (peer, pid, item)
            item.mailbox = _OnItsWay(self, peer, number)
        else:
            self._unheard.sent(peer, pid, (item[1], item[2]) if item[1] else item[2][0])
        return True

    def _not_forwarded(self, pid: Pid, item: Item, error: Exception) -> None:
        if isinstance(item, Call):
            item.fail(error)
        else:
            self.system.dead_letter(str(pid), item[2][0] if not item[1] else (item[1], item[2]), str(error))

    def _tell_unheard(self, peer: NodeId) -> None:
        """The link to this node has ended: of what nobody waited for, tell what may not have come."""
        for pid, message in self._unheard.link_down(peer):
            why = f"the link to node {pid.node!r} ended: it may not have come"
            self.system.dead_letter(str(pid), message, why)

    @property
    def relaying(self) -> int:
        """How many calls that were passed on still wait for their answer."""
        return len(self._relayed)

    def _take_relayed(self, peer: NodeId, number: int, payload: Any, code: int) -> bool:
        """An answer has come; whether it is to a call that was passed on."""
        relayed = self._relayed.get(number)
        if relayed is None or relayed[0] != peer:
            return False
        del self._relayed[number]
        call = relayed[2]
        if code != Code.OK:
            call.fail(decode_error(code, payload, self._payloads))
            return True
        try:
            value = unpack(payload, self._payloads)
        except HubkitError as error:
            call.fail(error)
        else:
            call.answer(value)
        return True

    def _end_relayed(self, peer: NodeId | None) -> None:
        """The link to this node has ended (`None`: this node has): nobody will answer what was passed on to it."""
        for number, (node, pid, call) in list(self._relayed.items()):
            if peer is None or node == peer:
                del self._relayed[number]
                what = "this node was closed" if peer is None else f"the link to node {pid.node!r} ended"
                call.fail(
                    NodeDown(f"{what} before the answer came: the request may have been handled", maybe_executed=True)
                )
