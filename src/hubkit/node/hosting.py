"""What comes in runs: calls for actors here, casts, and answers.

Law of this room: it does what the messages of a run would do one after the other. What is plain is done here, in one loop;
what is out of the ordinary (nobody lives there, arguments that may not fit, an inspection) goes the way of single messages.
What makes no sense ends the link; what stood before it in the same run has been done by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import trio

from hubkit.actors.parking import WOKEN
from hubkit.node.answers import Code
from hubkit.node.asking import Asking
from hubkit.node.bounds import CHAIN, SERVED
from hubkit.node.doors import Door, Hosted
from hubkit.node.laden import Laden
from hubkit.node.refs import read_pid
from hubkit.node.runs import CAPABILITY, Replies, check_calls, check_casts, check_replies, read_numbers
from hubkit.pids import NodeId, Pid, name_of

__all__ = ["Hosting"]

_OK = int(Code.OK)
_NUMBERS = 1 << 64  # a call with such a number, or a negative one, cannot be answered in a run
_NOBODY: list[Any] = []  # the chain of a call for which nobody waits but its caller
_reschedule = trio.lowlevel.reschedule


class Hosting(Asking, Laden):
    """The part of `hubkit.node.exchange.Exchange` that takes runs, and answers in them."""

    _serving: dict[NodeId, dict[int, Callable[..., object]]]

    def _open_door(self, peer: NodeId, capabilities: Collection[str]) -> None:
        before = self._doors.get(name_of(peer))
        if before is not None:  # of an earlier boot, the end of whose link is not told yet
            before.shut()
        serving = self._serving.setdefault(peer, {})
        self._doors[name_of(peer)] = Door(peer, serving, self._close_call, reads_runs=CAPABILITY in capabilities)

    def _shut_door(self, peer: NodeId) -> None:
        door = self._doors.get(name_of(peer))
        if door is not None and door.peer == peer:
            door.shut()
            del self._doors[name_of(peer)]

    def _close_call(self, door: Door, number: int, result: Any, error: BaseException | None) -> None:
        """A call of a run is answered."""
        door.serving.pop(number, None)
        if error is not None or not self._answer_in_run(door, number, result):
            self._reply(door.peer, number, result, error)

    def _answer(self, peer: NodeId, number: int, result: Any, error: BaseException | None) -> None:
        """A call that came alone is answered."""
        door = self._doors.get(name_of(peer)) if error is None and 0 <= number < _NUMBERS else None
        if door is None or door.peer != peer or not self._answer_in_run(door, number, result):
            self._reply(peer, number, result, error)

    def _answer_in_run(self, door: Door, number: int, result: Any) -> bool:
        replies = door.replies
        if replies.is_open:
            return replies.add(number, result)
        replies = Replies()
        if not door.reads_runs or not replies.add(number, result) or not self._wire.grow(door.peer, replies):
            return False
        door.replies = replies
        return True

    def _serve_calls(
        self,
        peer: NodeId,
        method: str,
        all_numbers: bytes,
        all_serials: bytes,
        args: list[Any],
        left: Any,
        chains: Any,
    ) -> None:
        numbers, serials = read_numbers(all_numbers), read_numbers(all_serials)
        check_calls(len(numbers), serials, args, left, chains)
        door, width, at = self._doors.get(name_of(peer)), len(args) // len(numbers), 0
        if door is not None and door.peer != peer:
            door = None
        now, chain, remaining = 0.0 if left is None else trio.current_time(), _NOBODY, None
        for index, number in enumerate(numbers):
            values = args[at : at + width]
            at += width
            if left is not None:
                remaining = left[index]
            if chains is not None:
                chain = chains[index]
            deadline = math.inf if remaining is None else now + remaining
            if door is None or not self._host(door, number, serials[index], method, values, chain, deadline):
                self._serve_call(peer, number, serials[index], method, chain, values, remaining)

    def _host(
        self, door: Door, number: int, serial: int, method: str, args: list[Any], chain: list[Any], deadline: float
    ) -> bool:
        """Take a call if there is nothing to be checked: else `False`."""
        cell, serving = self.system.cells.get(serial), door.serving
        known = None if cell is None else cell.table.get(method)
        if cell is None or known is None or known[2] != len(args) + 1 or number in serving or len(serving) >= SERVED:
            return False
        callers: tuple[Pid, ...] = ()
        if chain:
            callers = tuple(map(read_pid, chain))
            if cell.pid in callers or len(callers) >= CHAIN:
                return False
        name, handler, _ = known
        call = Hosted(door, number, cell, handler(cell.instance, *args), name, tuple(args), callers, deadline)
        serving[number] = call.abort
        cell.push_call(call)
        return True

    def _serve_casts(self, peer: NodeId, serial: int, method: str, count: int, args: list[Any]) -> None:
        check_casts(count, args)
        width = len(args) // count
        taken = self.system.deliver_notes(serial, method, count, args)
        self._unheard.came(peer, taken)
        for at in range(taken * width, count * width, width) if width else range(count - taken):
            self._serve_cast(peer, 0, serial, method, [], args[at : at + width])

    def _take_replies(self, peer: NodeId, all_numbers: bytes, results: list[Any]) -> None:
        numbers, waiting = read_numbers(all_numbers), self._waiting
        check_replies(len(numbers), results)
        for number, result in zip(numbers, results, strict=True):
            asked = waiting.pop(number, None)
            if asked is None:
                self._take_relayed(peer, number, result, _OK)
            elif asked.peer == peer:
                asked.value = result
                _reschedule(asked.task, WOKEN)
            else:  # nobody speaks for another node
                waiting[number] = asked

    def _serve_call(
        self, peer: NodeId, number: int, serial: int, method: str, chain: list[Any], arguments: Any, remaining: Any
    ) -> None:
        raise NotImplementedError

    def _serve_cast(
        self, peer: NodeId, number: int, serial: int, method: str, chain: list[Any], arguments: Any
    ) -> None:
        raise NotImplementedError

    def _take_relayed(self, peer: NodeId, number: int, payload: Any, code: int) -> bool:
        raise NotImplementedError
