"""What an actor has put off: messages that it took out of its mailbox and will handle later.

Law of this room: what is put off has not begun. It comes back to the front of the mailbox, in its order, before anything
newer; it leaves with the mailbox when the actor ends or moves; its caller may withdraw it. And it takes room: the mailbox holds
so much less meanwhile, and the last place is never taken, so that what ends the waiting can still come in.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hubkit.actors.mailbox import Call, Held, Mailbox

if TYPE_CHECKING:
    from hubkit.actors.standing import Standing

__all__ = ["Shelf"]


class Shelf(Mailbox):
    """What one actor has put off, oldest first; a call among it is in this mailbox instead of the actor's."""

    __slots__ = ("_actor",)

    def __init__(self, actor: Standing) -> None:
        super().__init__(0)
        self._actor = actor
        self.queue: deque[Held] = deque()

    def put(self, item: Held) -> bool:
        """Put off what the actor handles. `False`: there is no room, and nothing was done."""
        actor = self._actor
        if actor.capacity <= 1:
            return False
        actor.capacity -= 1
        actor.handled -= 1
        self.queue.append(item)
        if isinstance(item, Call):
            item.mailbox = self
        return True

    def put_back(self) -> None:
        """Let all of it be handled again, before anything else that waits."""
        if self.queue:
            actor, queue = self._actor, self.queue
            self.queue = deque()
            actor.capacity += len(queue)
            for item in queue:
                if isinstance(item, Call):
                    item.mailbox = actor
            queue.extend(actor.queue or ())
            actor.queue = queue
            actor.wake()

    def withdraw(self, call: Call, *, expired: bool = False) -> None:
        """Its caller gives up, or has no time any more."""
        if call in self.queue:
            self.queue.remove(call)
            call.coroutine.close()
            self._actor.capacity += 1
            self._actor.admit()
            if expired:
                self._actor.has_expired(call)
