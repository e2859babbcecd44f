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

from hubkit.actors.mailbox import Item, Mailbox, close_letter

__all__ = ["ORDER", "SYSTEM", "Order", "Standing"]

#: What an actor's own task is to do for its keeper.
Order = Callable[[], Coroutine[Any, Any, None]]
#: The arguments of an order among the messages.
ORDER: tuple[Any, ...] = (None,)
#: The keywords of a message that is about one incarnation alone. Never written to.
SYSTEM: dict[str, Any] = {}


class Standing(Mailbox):
    """A mailbox whose actor may stand by. ``stands_by``: it handles nothing but orders.

    ``successor``: who takes the messages that still wait at its end, or come while it stands by.
    """

    __slots__ = ("orders", "stands_by", "successor")

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.stands_by: bool = False
        self.orders: deque[Order] | None = None
        self.successor: Callable[[Item], None] | None = None

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
        if not self.stands_by and len(orders) == 1:
            queue = self.queue
            if queue is None:
                queue = self.queue = deque()
            queue.appendleft((self._obey(), "", ORDER, {}))
        self.wake()

    async def _obey(self) -> None:
        while self.orders:
            await self.orders.popleft()()

    async def stand_by(self) -> None:
        """Handle nothing but orders, until one of them clears ``stands_by``, or the actor is to stop."""
        while self.stands_by and not self.is_stopping:
            if self.orders:
                await self.orders.popleft()()
            elif self.successor is not None and self.queue:
                self.pass_on(self.successor)
            else:
                await self.park()

    def pass_on(self, successor: Callable[[Item], None]) -> None:
        """Let somebody else have the messages that wait; those of the system are about this incarnation alone."""
        queue, self.queue = self.queue, None
        for item in queue or ():
            if isinstance(item, tuple) and (item[3] is SYSTEM or item[2] is ORDER):
                close_letter(item)
            else:
                successor(item)
        if self.waiting:
            self.queue = deque()
            self.admit()
            self.pass_on(successor)
