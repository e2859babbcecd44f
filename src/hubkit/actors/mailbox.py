"""One actor's queue: bounded for users, never for the system; and the requests that wait in it.

Law of this room: whatever enters leaves exactly once, as one of: handled, answered "not begun", or a dead letter. Senders
that wait for room are let in in the order in which they came, before anybody who comes later. `Down`, timers and the
like never wait and are never refused.

A queue is a `collections.deque` and at most one parked task; a reply is one reschedule. Memory channels were refused: they
pass through trio's scheduler twice as often (a call took 1.6 times as long), and cannot tell a system message from
a user's.

A request is checked, and its coroutine made, in the caller's task: arguments that do not fit the method are a
`TypeError` where they were written, and crash nobody. A coroutine that never began is closed, not forgotten. A cast is
a plain tuple, because making one costs a tenth of making an object; of a cast without a wait whose arguments can be
seen to fit by their number, it is the tuple that Python has made for the sender already, and the coroutine is made when it
is handled: a thousand that wait are a third as much work for the collector, and a cast takes 0.5 us where it took 1.2.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import trio
from outcome import Error, Value, capture

from hubkit.actors.messages import MailboxFullNow, NotBegun
from hubkit.actors.parking import ASLEEP, WOKEN, Berth, wake
from hubkit.pids import Pid

__all__ = [
    "AnyLetter",
    "Call",
    "Held",
    "Item",
    "Letter",
    "Mailbox",
    "Note",
    "RemoteCall",
    "close_letter",
    "has_expired",
    "is_note",
]

#: A cast or a plain message: (coroutine of its handler, method name, args, kwargs). A plain message has no method name;
#: for an actor function it has no coroutine either.
Letter: TypeAlias = tuple[Coroutine[Any, Any, Any] | None, str, tuple[Any, ...], dict[str, Any]]
#: A cast that needs no more: (the method as its sender gave it, and its arguments, of which it is known that they fit). Its
#: coroutine is made when it is handled. It is no more than what Python makes of ``cast_nowait(Counter.add, 2)``.
Note: TypeAlias = tuple[Any, ...]
AnyLetter: TypeAlias = Letter | Note

_SUCCEEDED = trio.lowlevel.Abort.SUCCEEDED
_reschedule = trio.lowlevel.reschedule


class Call:
    """A request whose sender, a task of this process, waits for the reply."""

    __slots__ = ("args", "chain", "coroutine", "kwargs", "mailbox", "method", "task", "value")

    #: An expired call is not begun. trio itself withdraws those of this process, by cancelling their caller.
    deadline: float = math.inf

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        chain: tuple[Pid, ...],
        mailbox: Mailbox,
        task: trio.lowlevel.Task | None,
    ) -> None:
        self.coroutine: Coroutine[Any, Any, Any] = coroutine
        self.method: str = method
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.chain: tuple[Pid, ...] = chain
        self.mailbox: Mailbox = mailbox
        self.task = task
        #: The reply, once the task is woken.
        self.value: Any = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the reply any more."""
        return self.task is None

    def answer(self, value: Any) -> None:
        """Reply, unless nobody waits any more."""
        task = self.task
        if task is not None:
            self.task = None
            self.value = value
            _reschedule(task, WOKEN)

    def fail(self, error: BaseException) -> None:
        """Reply with an exception, unless nobody waits any more."""
        task = self.task
        if task is not None:
            self.task = None
            _reschedule(task, Error(error))

    def abort(self, raise_cancel: Any = None, *, expired: bool = False) -> trio.lowlevel.Abort:
        """The caller gives up: a request that has not begun is withdrawn; one that has goes on, its reply unheard.

        ``expired``: because its time is over; trio's ``raise_cancel`` tells it, too.
        """
        self.task = None
        self.mailbox.withdraw(self, expired=expired or has_expired(raise_cancel))
        return _SUCCEEDED


class RemoteCall(Call):
    """A request from another node: its reply goes to a function, or to a task as any other's; it carries a deadline."""

    __slots__ = ("deadline", "on_reply")

    def __init__(
        self, deadline: float, on_reply: Callable[[Any, BaseException | None], None] | None, *call: Any
    ) -> None:
        super().__init__(*call)
        self.deadline: float = deadline
        self.on_reply = on_reply

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the reply any more."""
        return self.task is None and self.on_reply is None

    def answer(self, value: Any) -> None:
        """Reply, to the function if there is one."""
        on_reply, self.on_reply = self.on_reply, None
        if on_reply is not None:
            on_reply(value, None)
        if self.task is not None:
            super().answer(value)

    def fail(self, error: BaseException) -> None:
        """Reply with an exception, to the function if there is one."""
        on_reply, self.on_reply = self.on_reply, None
        if on_reply is not None:
            on_reply(None, error)
        super().fail(error)

    def abort(self, raise_cancel: Any = None, *, expired: bool = False) -> trio.lowlevel.Abort:
        """As that of any other call; the function hears no reply either."""
        self.on_reply = None
        return super().abort(raise_cancel, expired=expired)


class _Waiter:
    """A cast that waits for room; or (with no letter) who wants to know that all before it have got room.

    ``done`` is called once, with `None` when it has its room, or with why it will get none.
    """

    __slots__ = ("done", "letter", "mailbox")

    def __init__(self, letter: Letter | None, mailbox: Mailbox, done: Callable[[Exception | None], None]) -> None:
        self.letter = letter
        self.mailbox = mailbox
        self.done = done

    def abort(self, _: Any = None, *, expired: bool = False) -> trio.lowlevel.Abort:
        waiting = self.mailbox.waiting
        if waiting is not None and self in waiting:
            waiting.remove(self)
            if self.letter is not None:
                close_letter(self.letter)
        return _SUCCEEDED


#: What has left a mailbox, and what waits in one.
Item: TypeAlias = Letter | Call
Held: TypeAlias = AnyLetter | Call


def has_expired(raise_cancel: Callable[[], Any] | None) -> bool:
    """Whether trio cancels because a deadline has passed (before trio 0.31 that cannot be known: `False`)."""
    if raise_cancel is None:
        return False
    cancelled = capture(raise_cancel)
    return isinstance(cancelled, Error) and getattr(cancelled.error, "source", "") == "deadline"


def is_note(letter: AnyLetter) -> bool:
    """Whether it begins with a method, not with a coroutine or `None`."""
    return callable(letter[0]) or isinstance(letter[0], str)


def close_letter(letter: AnyLetter) -> None:
    """Close the coroutine of a letter that will not be handled."""
    if letter[0] is not None and not is_note(letter):
        letter[0].close()


class _Marked(tuple):  # type: ignore[type-arg]  # a letter of either kind
    """A letter whose coming was noted."""

    __slots__ = ()


class Mailbox(Berth):
    """The queue of a `Cell`, which inherits from it: one attribute less on the way of every message."""

    __slots__ = ("capacity", "closed", "current", "marked", "marked_at", "queue", "since", "waiting")

    parked: trio.lowlevel.Task | None

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity: int = capacity
        #: No message is taken: the actor has not begun yet, or has ended.
        self.closed: bool = True
        #: Made at the first message: an idle actor need not pay for it.
        self.queue: deque[Held] | None = None
        self.waiting: deque[Call | _Waiter] | None = None
        #: What the actor is in the middle of.
        self.current: Held | None = None
        #: A message that waits, and when it came; and since when at the earliest those before it wait: see `age`.
        self.marked: Held | None = None
        self.marked_at: float = 0.0
        self.since: float = 0.0

    @property
    def length(self) -> int:
        """How many messages wait, those of senders that wait for room included. (No ``__len__``: an idle actor is true.)"""
        return len(self.queue or ()) + len(self.waiting or ())

    @property
    def full(self) -> bool:
        """Whether a user's message has to wait, or is refused."""
        # Nobody waits while there is room: whatever makes room lets somebody in at once.
        return self.queue is not None and len(self.queue) >= self.capacity

    def push(self, item: Held) -> None:
        """Take a message, room or not, and wake the actor."""
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        queue.append(item)
        task = self.parked
        if task is not None:
            self.parked = None
            wake(task)
        elif self.current is not None and self.marked is None:
            self.mark(item)

    def mark(self, item: Held) -> None:
        """Note when this message came, which has just been put in while the actor is busy with another one.

        To note it for every message would cost too much; and until the actor has begun, all are as old as its waking.
        """
        if isinstance(item, tuple):  # a kind of its own, so that all others need not be looked at when they are taken
            assert self.queue is not None
            self.queue[-1] = item = _Marked(item)
        self.since = self.marked_at
        self.marked, self.marked_at = item, trio.current_time()

    def unmark(self) -> None:
        """The marked message has been taken: put it back as what it was."""
        item, self.marked = self.marked, None
        assert self.queue is not None
        assert item is not None
        self.queue.appendleft(tuple(item) if isinstance(item, tuple) else item)

    def age(self, now: float) -> float | None:
        """For how many seconds the oldest message waits; `None`: none does.

        Exact for the first that came while the actor was busy; of those behind it, it is known only between which two that
        were marked they came, and the earlier one counts.
        """
        if not self.queue:
            return None
        if self.marked is not None:
            return now - (self.marked_at if self.queue[0] is self.marked else self.since)
        return now - self.marked_at if self.current is not None else 0.0

    def push_nowait(self, letter: Letter) -> None:
        """Take a message if there is room; raise `MailboxFull` (a `trio.WouldBlock`) if not."""
        if self.full:
            close_letter(letter)
            raise self.no_room()
        self.push(letter)

    def no_room(self) -> MailboxFullNow:
        """The error for a sender that does not wait."""
        return MailboxFullNow(f"the mailbox of {self.describe()} is full ({self.capacity} messages)")

    def spelled_out(self, letter: AnyLetter) -> Letter:
        """What it holds as a `Letter`. (This one takes no notes.)"""
        return letter

    def describe(self) -> str:
        """The actor as a person would name it."""
        return "an actor"

    def push_call(self, call: Call) -> None:
        """Take a call as soon as there is room. Its caller waits for the reply anyway, so it waits for nothing more."""
        queue = self.queue
        if queue is None:
            self.push(call)
        elif len(queue) >= self.capacity:
            if self.waiting is None:
                self.waiting = deque()
            self.waiting.append(call)
        else:  # as `push` does it: each call takes this way
            queue.append(call)
            task = self.parked
            if task is not None:
                self.parked = None
                if task.custom_sleep_data is ASLEEP:
                    _reschedule(task, WOKEN)
            elif self.current is not None and self.marked is None:
                self.mark(call)

    async def push_when_room(self, letter: Letter) -> None:
        """Take a message once there is room, after all who wait already. Not a checkpoint when there is room at once.

        Raises `NotBegun` when the actor ends first. Cancelled: the message has not been taken.
        """
        if not self.full:
            self.push(letter)
            return
        task = trio.lowlevel.current_task()

        def done(error: Exception | None) -> None:
            _reschedule(task, Value(None) if error is None else Error(error))

        await trio.lowlevel.wait_task_rescheduled(self.queue_up(letter, done))

    def queue_up(
        self, letter: Letter | None, done: Callable[[Exception | None], None]
    ) -> Callable[..., trio.lowlevel.Abort]:
        """Take a message, once there is room, after all who wait already, and call ``done(None)`` then.

        ``done(error)``: the actor has ended first. No letter: only tell when all who wait already have got room. Returns what
        takes it back. For a mailbox that is full.
        """
        if self.waiting is None:
            self.waiting = deque()
        waiter = _Waiter(letter, self, done)
        self.waiting.append(waiter)
        return waiter.abort

    def admit(self) -> None:
        """There is room: let in those who have waited longest."""
        waiting, queue = self.waiting, self.queue
        while waiting and queue is not None and len(queue) < self.capacity:
            first = waiting.popleft()
            if isinstance(first, Call):
                queue.append(first)
                continue
            if first.letter is not None:
                queue.append(first.letter)
            first.done(None)

    def withdraw(self, call: Call, *, expired: bool = False) -> None:
        """Take a call out again, if it has not begun. ``expired``: its time is over, which is told."""
        for place in (self.queue, self.waiting):
            if not place:
                continue
            try:
                place.remove(call)
            except ValueError:
                continue
            if call is self.marked:
                self.marked = None
            call.coroutine.close()
            if self.waiting:
                self.admit()
            if expired:
                self.has_expired(call)
            return

    def has_expired(self, call: Call) -> None:
        """The time of a call was over before it began."""

    def forget(self, matches: Callable[[Any], bool]) -> None:
        """Take plain messages that match out again, if they still wait."""
        for item in list(self.queue or ()):
            if isinstance(item, tuple) and not is_note(item) and not item[1] and matches(item[2][0]):
                self.queue.remove(item)  # type: ignore[union-attr]  # it was found there
                close_letter(item)
                if item is self.marked:
                    self.marked = None
                self.admit()

    def close(self, why: str, lost: Callable[[AnyLetter, str], None]) -> None:
        """Take nothing more. Calls that wait are answered with `NotBegun`; ``lost`` is told every other message."""
        self.closed = True
        queue, self.queue = self.queue, None
        waiting, self.waiting = self.waiting, None
        for item in queue or ():
            if isinstance(item, Call):
                item.coroutine.close()
                item.fail(NotBegun(why))
            else:
                close_letter(item)
                lost(item, why)
        for late in waiting or ():
            if isinstance(late, Call):
                late.coroutine.close()
                late.fail(NotBegun(why))
            else:
                # Its sender learns it: no dead letter.
                if late.letter is not None:
                    close_letter(late.letter)
                late.done(NotBegun(why))
