"""Doors: one for each linked node, with what goes out to it in runs and what it has asked for.

Law of this room: a door stands as long as its link, and not a moment longer: what is answered after that is not heard. A
call that came in a run costs one object, and its answer none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from hubkit.actors.mailbox import Call, Mailbox
from hubkit.node.runs import Calls, Casts, Replies
from hubkit.pids import NodeId, Pid, life_of

__all__ = ["Door", "Hosted"]

_NO_CALLS, _NO_REPLIES = Calls("", 0), Replies()
_NO_CALLS.is_open = _NO_REPLIES.is_open = False

_NO_KWARGS: dict[str, Any] = {}


class Door:
    """What this node has to do with one linked node. ``reads_runs``: whether that one can.

    ``serving``: what withdraws each of the calls that it waits for.
    """

    __slots__ = ("answer", "boot", "calls", "casts", "crowded", "peer", "reads_runs", "replies", "serving")

    def __init__(
        self,
        peer: NodeId,
        serving: dict[int, Callable[..., object]],
        answer: Callable[[Door, int, Any, BaseException | None], None],
        *,
        reads_runs: bool,
    ) -> None:
        self.peer: NodeId = peer
        self.boot: int = life_of(peer)[1]
        self.serving: dict[int, Callable[..., object]] = serving
        self.answer: Callable[[Door, int, Any, BaseException | None], None] = answer
        self.reads_runs: bool = reads_runs
        #: Much waited to be sent when something was written last.
        self.crowded: bool = False
        #: What goes out next, if it is open.
        self.calls: Calls = _NO_CALLS
        self.casts: Casts | None = None
        self.replies: Replies = _NO_REPLIES

    def shut(self) -> None:
        """The link has ended: nothing may be added to what will not go out."""
        self.calls = _NO_CALLS
        self.replies = _NO_REPLIES
        if self.casts is not None:  # its sender has it, too
            self.casts.is_open = False


class Hosted(Call):
    """A call that has come in a run: it is answered in one, at its door."""

    __slots__ = ("deadline", "door", "number")

    def __init__(
        self,
        door: Door,
        number: int,
        mailbox: Mailbox,
        coroutine: Coroutine[Any, Any, Any],
        method: str,
        args: tuple[Any, ...],
        chain: tuple[Pid, ...],
        deadline: float,
    ) -> None:
        self.coroutine: Coroutine[Any, Any, Any] = coroutine
        self.method: str = method
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = _NO_KWARGS
        self.chain: tuple[Pid, ...] = chain
        self.mailbox: Mailbox = mailbox
        self.task: trio.lowlevel.Task | None = None
        self.value: Any = None
        self.deadline: float = deadline
        self.door: Door | None = door
        self.number: int = number

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the reply any more."""
        return self.door is None

    def answer(self, value: Any) -> None:
        """Reply, unless nobody waits any more."""
        door, self.door = self.door, None
        if door is None:
            return
        number = self.number
        if door.replies.is_open and door.replies.add(number, value):
            door.serving.pop(number, None)
        else:
            door.answer(door, number, value, None)

    def fail(self, error: BaseException) -> None:
        """Reply with an exception, unless nobody waits any more."""
        door, self.door = self.door, None
        if door is not None:
            door.answer(door, self.number, None, error)

    def abort(self, raise_cancel: Any = None, *, expired: bool = False) -> trio.lowlevel.Abort:
        """As that of any other call; no reply is sent."""
        self.door = None
        return super().abort(raise_cancel, expired=expired)
