"""An actor that handles nothing for now: it stands by, or it is frozen; and what its keeper has it do meanwhile.

Law of this room: an *order* runs in the actor's own task, between two messages; so it sees the actor as a handler does, and
needs no lock. An actor that stands by does nothing but orders; its messages wait, or go to a successor if it has one.
Whatever is asked of it, it can be stopped.

An order among the messages is a letter like any other, put before all of them. A flag that the loop of every actor had to
look at for each message was refused: hardly any actor is ever frozen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from hubkit.actors.mailbox import AnyLetter, Held, Item, Mailbox
from hubkit.actors.shelf import Shelf
from hubkit.errors import Reject
from hubkit.names import error_text

__all__ = ["ORDER", "SYSTEM", "Order", "Standing"]

#: What an actor's own task is to do for its keeper.
Order = Callable[[], Coroutine[Any, Any, None]]
#: The arguments of an order among the messages.
ORDER: tuple[Any, ...] = (None,)
#: The keywords of a message that is about one incarnation alone. Never written to.
SYSTEM: dict[str, Any] = {}


class Standing(Mailbox):
    """A mailbox whose actor may stand by. ``stands_by``: it handles nothing but orders. ``suspended``: it is to `hold`.

    ``successor``: who takes the messages that still wait at its end, or come while it stands by. ``handled``: how many it
    has handled; orders do not count. ``shelf``: what it has put off, if it ever has.
    """

    __slots__ = ("handled", "holds", "orders", "shelf", "stands_by", "successor", "suspended")

    queue: deque[Held] | None  # said again, for they are also set here
    marked: Held | None

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.handled: int = 0
        self.stands_by: bool = False
        self.suspended: bool = False
        self.holds: bool = False
        self.orders: deque[Order] | None = None
        self.successor: Callable[[Item], None] | None = None
        self.shelf: Shelf | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether it is to end."""
        raise NotImplementedError

    def order(self, work: Order) -> None:
        """Let the actor's own task do this, after all orders before it, before it begins another message.

        Nobody does it once the actor has ended, or says its goodbye.
        """
        if self.closed:
            return
        orders = self.orders
        if orders is None:
            orders = self.orders = deque()
        orders.append(work)
        if not self.stands_by and not self.holds and len(orders) == 1:
            queue = self.queue
            if queue is None:
                queue = self.queue = deque()
            queue.appendleft((self._obey(), "", ORDER, {}))
        self.wake()

    async def _obey(self) -> None:
        self.handled -= 1
        while self.orders:
            await self._do(self.orders.popleft())

    async def _do(self, work: Order) -> None:
        """An order that fails is a crash, whatever it raises: nobody is there to be refused."""
        try:
            await work()
        except Reject as refusal:
            msg = f"{type(refusal).__name__}: {error_text(refusal)} (there is no request to reject here)"
            raise RuntimeError(msg) from refusal

    async def hold(self) -> None:
        """Handle nothing but orders until ``suspended`` is cleared, or the actor is to stop. (To be ordered.)"""
        before, self.holds = self.holds, True
        while (self.suspended or self.orders) and not self.is_stopping:
            if self.orders:
                await self._do(self.orders.popleft())
            else:
                await self.park()
        self.holds = before

    async def stand_by(self) -> None:
        """Handle nothing but orders, until one of them clears ``stands_by``, or the actor is to stop."""
        kept: deque[Held] = deque()
        while self.stands_by and not self.is_stopping:
            if self.orders:
                await self._do(self.orders.popleft())
                continue
            if self.successor is not None and self.queue:
                kept += self.pass_on(self.successor)
            await self.park()
        if kept:
            self.queue = kept + (self.queue or deque())
        while self.orders and not self.is_stopping:  # that came after the one which let it go on
            await self._do(self.orders.popleft())

    def pass_on(self, successor: Callable[[Item], None]) -> list[Held]:
        """Let somebody else have the messages that wait, but for those of the system, which are about this incarnation."""
        if self.shelf is not None:
            self.shelf.put_back()
        kept: list[Held] = []
        while self.queue or self.waiting:
            queue, self.queue = self.queue, deque()
            self.marked = None
            for item in queue or ():
                if not isinstance(item, tuple):
                    successor(item)
                    continue
                letter = self.spelled_out(item)
                if letter[3] is SYSTEM or letter[2] is ORDER:
                    kept.append(item)
                else:
                    successor(letter)
            self.admit()
        return kept

    def close(self, why: str, lost: Callable[[AnyLetter, str], None]) -> None:
        """Take nothing more, as any mailbox; what was put off waits in it again."""
        if self.shelf is not None:
            self.shelf.put_back()
        super().close(why, lost)
