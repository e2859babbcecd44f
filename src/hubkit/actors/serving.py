"""How an actor handles its messages, one after the other.

Law of this room: an actor whose mailbox never empties lets others run after so many messages, and before a call that
might have expired meanwhile; one that is idle keeps nothing of what it was sent. Between two messages it looks
whether it is to stop, and whether it may begin the next.
"""

from __future__ import annotations

import math
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import trio

from hubkit.actors.mailbox import Call
from hubkit.actors.parking import ASLEEP, WOKEN
from hubkit.errors import Reject
from hubkit.names import error_text

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["serve"]

#: After so many messages in a row, or seconds, an actor whose mailbox never empties lets others run; and after how many it
#: looks at the clock.
_BURST = 256
_TURN = 0.001
_LOOK = 32

_NEVER = math.inf


# A generator, so that an idle actor sleeps in this very frame: a coroutine less for each of a hundred thousand.
@types.coroutine
def serve(cell: Cell) -> Generator[Any, Any, None]:
    """Handle messages until the actor is asked to stop. Long, because a call of a helper costs as much."""
    current_time = cell.system.clock()
    if cell.stands_by:
        yield from cell.stand_by()
    item: Any  # an `Item`
    burst, limit, gate, resumed, table, instance = 0, _LOOK, cell.gate, current_time(), cell.table, cell.instance
    while cell.stop_reason is None:
        queue = cell.queue
        if not queue or burst >= limit or (gate is not None and not gate()):
            if queue and limit <= burst < _BURST and current_time() - resumed < _TURN:
                limit += _LOOK
                continue
            cell.handled += burst
            burst, limit = 0, _LOOK
            cell.current = item = None
            idle = not queue
            if not idle and (gate is None or gate()):
                yield from trio.lowlevel.checkpoint()  # noqa: ASYNC105  # this is a generator
                resumed = current_time()
                continue
            cell.parked = cell.task
            cell.task.custom_sleep_data = ASLEEP  # type: ignore[union-attr]  # it is this one
            value = yield ASLEEP
            if value is not WOKEN:
                cell.parked = None
                value.unwrap()
            if idle:
                resumed = cell.marked_at = current_time()
            continue
        cell.current = item = queue.popleft()
        if type(item) is tuple:
            burst += 1
            if cell.waiting:
                cell.admit()
            try:
                if len(item) == 2:  # most have one argument
                    yield from table[item[0]][1](instance, item[1])
                elif (known := table.get(item[0])) is not None:
                    yield from known[1](instance, *item[1:])
                else:
                    yield from item[0]
            except Reject as refusal:
                cell.undelivered(item, f"rejected: {type(refusal).__name__}: {error_text(refusal)}")
        elif item is cell.marked:
            cell.unmark()
        elif burst and current_time() - resumed > _TURN:
            # Time has passed since trio last looked at deadlines: let it withdraw the calls that expired.
            queue.appendleft(item)
            burst, cell.handled = _BURST, cell.handled - (_BURST - burst)
        else:
            burst += 1
            if cell.waiting:
                cell.admit()
            if item.deadline < _NEVER and _is_late(cell, item):
                continue
            if item.chain:  # else it is the actor alone, which goes without saying
                cell.chain = (*item.chain, cell.pid)
            try:
                value = yield from item.coroutine
            except Reject as refusal:
                item.fail(refusal)
                if item.mailbox is not cell:
                    item.mailbox.withdraw(item)
            else:
                if item.mailbox is cell:  # else it is answered later
                    item.answer(value)
                value = None
            cell.chain = ()
    cell.current, cell.handled = None, cell.handled + burst


def _is_late(cell: Cell, call: Call) -> bool:
    """Whether the time of a call is over; it is answered then."""
    if call.deadline > trio.current_time():
        return False
    call.coroutine.close()
    cell.has_expired(call)
    call.fail(trio.TooSlowError("the caller's deadline passed before the call began"))
    return True
