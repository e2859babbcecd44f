"""Requests that need not wait, and carry a few light values: nearly all.

They go in runs (see `hubkit.node.runs`). What does not go with others, or is for a node that reads no runs, is written by hand
and sent at once.

Law of this room: what goes out means what the slow way would send, in the same order, and only where that would not wait
either. Whatever is out of the ordinary is left to it: no link, much that waits, no credit, large or nested arguments.

How much waits on a link is told by the link when a run is begun on it, or a message written to it; a link on which too much
waited then is looked at again before the next. So one run of each kind may go beyond the bound, and to ask costs nothing.
"""

from __future__ import annotations

import math
from typing import Any

import trio
from outcome import Error

from hubkit.actors.deadlines import effective_deadline
from hubkit.actors.mailbox import has_expired
from hubkit.actors.messages import MailboxFullNow, Request, message_of
from hubkit.actors.parking import WOKEN, Seat, wait_in
from hubkit.actors.system import System
from hubkit.errors import NodeDown
from hubkit.net.outbox import Growing
from hubkit.net.payload import Payloads
from hubkit.net.scalars import array
from hubkit.net.session import ROOM
from hubkit.net.wire import CHUNK
from hubkit.node.doors import Door
from hubkit.node.packing import pack_arguments, unpack
from hubkit.node.passage import MOST_NOWAIT, Passage
from hubkit.node.refs import plain_chain
from hubkit.node.relays import CALL, CAST, WITHDRAW
from hubkit.node.runs import HEAVY, Calls, Casts, weigh, weigh_chain
from hubkit.node.unheard import Unheard
from hubkit.node.writing import NO_CHAIN, Targets, write_call, write_cast, write_chain
from hubkit.pids import NodeId, Pid, node_id

__all__ = ["Asked", "Asking"]

_SERIALS = 1 << 63
_SPARE = 4096
_SUCCEEDED = trio.lowlevel.Abort.SUCCEEDED


def _not_sent(pid: Pid) -> NodeDown:
    return NodeDown(f"the link to node {pid.node!r} ended before the request was sent", maybe_executed=False)


class Asked(Seat):
    """A request of ours whose answer is still to come."""

    __slots__ = ("_asking", "number", "peer", "pid", "task")

    number: int
    peer: NodeId
    pid: Pid
    task: trio.lowlevel.Task

    def __init__(self, asking: Asking) -> None:
        super().__init__()
        self._asking = asking

    def abort(self, raise_cancel: Any = None) -> trio.lowlevel.Abort:
        """Who waits gives up: so may the other node."""
        asking, number = self._asking, self.number
        del asking._waiting[number]
        asking._wire.send(self.peer, [WITHDRAW, -number if has_expired(raise_cancel) else number])
        return _SUCCEEDED


class Asking(Passage):
    """The part of `hubkit.node.exchange.Exchange` that sends requests without a wait, and takes the answers."""

    system: System
    _number: int
    _payloads: Payloads
    _unheard: Unheard

    def __init__(self) -> None:
        self._waiting: dict[int, Asked] = {}
        self._targets = Targets()
        self._spare: list[Asked] = []
        self._doors: dict[str, Door] = {}  # by the names of linked nodes

    def _is_crowded(self, door: Door) -> bool:
        """Whether too much waits there still. (Asked only where it did.)"""
        door.crowded = self._wire.backlog(door.peer) > ROOM
        return door.crowded

    def ask(self, pid: Pid, method: str, args: tuple[Any, ...], chain: tuple[Pid, ...]) -> Asked | None:
        """Send a call, if it need not wait: what its sender then waits for. `None`: use `Exchange.call`."""
        door, serial = self._doors.get(pid.node), pid.serial
        if door is None or door.boot != pid.incarnation or (self._turns and (door.peer, serial) in self._turns):
            return None
        weight, peer = weigh(args), door.peer
        if weight < 0 or not method.isascii() or type(serial) is not int or not 0 < serial < _SERIALS:
            return None
        weight += len(method)
        if chain:
            weight += weigh_chain(chain)
        if weight > CHUNK:
            return None
        if (door.crowded and self._is_crowded(door)) or not self.credits.spend(peer, serial):
            return None
        self._number = number = self._number + 1
        deadline = effective_deadline()
        left = None if deadline == math.inf else max(0.0, deadline - trio.current_time())  # who is cancelled has none
        calls = door.calls
        fits = calls.is_open and calls.method == method and calls.width == len(args)
        if weight <= HEAVY and (fits or self._begin_calls(door, Calls(method, len(args)))):
            door.calls.add(number, serial, args, left, chain, weight)
        else:
            self._write_call(door, number, pid, method, args, chain, left)
        return self._seat(number, peer, pid)

    def _seat(self, number: int, peer: NodeId, pid: Pid) -> Asked:
        """What the current task waits in for the answer to a request that it has sent."""
        try:
            asked = self._spare.pop()
        except IndexError:
            asked = Asked(self)
        asked.number = number
        asked.peer = peer
        asked.pid = pid
        asked.task = trio.lowlevel.current_task()
        self._waiting[number] = asked
        return asked

    def _begin_calls(self, door: Door, calls: Calls) -> bool:
        """Begin the next run of calls. `False`: they go one by one."""
        if not self._begin(door, calls):
            return False
        door.calls = calls
        return True

    def _begin(self, door: Door, run: Growing) -> bool:
        """Send a run, which may grow until it goes out. `False`: not there, or not now."""
        if not door.reads_runs or not self._wire.grow(door.peer, run):
            return False
        door.crowded = self._wire.backlog(door.peer) > ROOM
        return True

    def _write_call(
        self,
        door: Door,
        number: int,
        pid: Pid,
        method: str,
        args: tuple[Any, ...],
        chain: tuple[Pid, ...],
        left: float | None,
    ) -> None:
        """Send one call by itself."""
        arguments, target = array(args), self._targets.target(pid.serial, method)
        callers = write_chain(chain) if chain else NO_CHAIN
        if arguments is None or target is None or callers is None:  # too many for that
            message = [CALL, number, pid.serial, method, plain_chain(chain), list(args), left]
            sent = self._wire.send(door.peer, message)
            waiting = self._wire.backlog(door.peer) if sent else -1
        else:
            waiting = self._wire.write(door.peer, write_call(number, target, callers, arguments, left))
        if waiting < 0:
            raise _not_sent(pid)
        door.crowded = waiting > ROOM

    def answer_of(self, asked: Asked) -> Any:
        """What an `Asked` was answered with. Raises `ProtocolViolation`."""
        return unpack(self._leave(asked), self._payloads)

    def _leave(self, asked: Asked) -> Any:
        """Its task has been told: what, packed. Another may have the seat now; of who sat there nothing is kept."""
        value, asked.value = asked.value, None
        del asked.task
        if len(self._spare) < _SPARE:
            self._spare.append(asked)
        return value

    def stream(self, pid: Pid, given: object, method: str, args: tuple[Any, ...]) -> Casts | None:
        """Begin a run of casts that nobody waits for, with this one. `None`: nothing was done, it goes alone."""
        door = self._doors.get(pid.node)
        if door is None or door.boot != pid.incarnation or (door.crowded and self._is_crowded(door)):
            return None
        serial, casts = pid.serial, Casts(pid, given, method, len(args))
        if not (method.isascii() and len(method) <= HEAVY and type(serial) is int and 0 < serial < _SERIALS):
            return None
        if not casts.add(args) or not self._begin(door, casts):
            return None
        door.casts = casts
        self._unheard.sent_in_run(door.peer, casts)
        return casts

    def cast_at_once(self, pid: Pid, method: str, args: tuple[Any, ...]) -> bool:
        """Send a cast that nobody waits for, if it need not wait. `False`: nothing was done, use `cast_nowait`."""
        door = self._doors.get(pid.node)
        if door is None or door.boot != pid.incarnation or (door.crowded and self._is_crowded(door)):
            return False
        arguments, target = array(args), self._targets.target(pid.serial, method)
        if arguments is None or target is None or len(arguments) > CHUNK:
            return False
        waiting = self._wire.write(door.peer, write_cast(target, arguments))
        if waiting < 0:
            return False
        door.crowded = waiting > ROOM
        self._unheard.sent(door.peer, pid, (method, args))
        return True

    async def _ask(self, number: int, peer: NodeId, pid: Pid, message: list[Any]) -> Any:
        if not self._wire.send(peer, message):
            raise _not_sent(pid)
        asked = self._seat(number, peer, pid)
        await wait_in(asked)
        return self._leave(asked)

    def cast_nowait(self, pid: Pid, request: Request) -> None:
        """Send a cast or plain message without waiting for anything. Raises `MailboxFull` if far too much waits already."""
        peer = node_id(pid.node, pid.incarnation)
        if (backlog := self._wire.backlog(peer)) > MOST_NOWAIT:
            msg = f"{backlog:,} bytes wait to be sent to node {pid.node!r} already: it does not keep up"
            raise MailboxFullNow(msg)
        arguments = pack_arguments(request.args, request.kwargs, self._payloads)
        message = message_of(request)
        if self._wire.send(peer, [CAST, 0, pid.serial, request.method, [], arguments]):
            self._unheard.sent(peer, pid, message)
        else:
            self.system.dead_letter(str(pid), message, f"there is no link to node {pid.node!r}")

    def _finish(self, number: int, value: Any, error: BaseException | None = None) -> None:
        asked = self._waiting.pop(number, None)
        if asked is not None:
            asked.value = value
            trio.lowlevel.reschedule(asked.task, WOKEN if error is None else Error(error))
