"""What was sent to other nodes by those who do not wait: kept until it is heard that it has come.

Law of this room: nobody waits, and nothing vanishes. Of what was on its way when a link broke nobody can say whether it
came; each such message is told as one dead letter that says so. A link keeps its order, so the answer is a number: so many
more have come. It is given at each beat, and sooner where many come.

What has come is the other node's: it hands it to an actor, or tells that it could not. What waits in a mailbox when its
node dies is lost unseen, as everything that this node knew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hubkit.pids import NodeId, Pid

__all__ = ["HEARD", "Unheard"]

#: The kind of the answer: [HEARD, count].
HEARD = 14
#: After so many it is given at once.
MANY = 256
#: No more are kept: of a node that does not answer, those that were sent first are forgotten.
MOST = 100_000


class Run(Protocol):
    """Several of one sender, which may become more as long as it is the last that was sent. See `hubkit.node.runs.Casts`."""

    count: int
    heard: int

    def messages(self) -> list[tuple[Pid, Any]]:
        """Those that are not known to have come."""
        ...

    def forget(self) -> None:
        """Nobody asks for them any more: whoever still has the run must not keep what was in it."""
        ...


class _Sent:
    """What was sent to one node. ``count``: how many that is without the last entry, which may grow."""

    __slots__ = ("count", "entries")

    def __init__(self) -> None:
        self.count = 0
        self.entries: deque[tuple[Pid, Any] | Run] = deque()

    def add(self, entry: tuple[Pid, Any] | Run) -> None:
        if self.entries:
            self.count += _size(self.entries[-1])
        self.entries.append(entry)
        while self.count >= MOST:
            first = self.entries.popleft()
            self.count -= _size(first)
            if not isinstance(first, tuple):
                first.forget()

    def take(self, count: int) -> None:
        """So many have come, or as many as there are."""
        entries = self.entries
        while entries and count > 0:
            first, is_last = entries[0], len(entries) == 1
            taken = min(_size(first), count)
            count -= taken
            if not is_last:
                self.count -= taken
            if isinstance(first, tuple):
                entries.popleft()
                continue
            first.heard += taken
            if first.heard < first.count or is_last:  # an empty one may grow
                return
            first.forget()
            entries.popleft()


def _size(entry: tuple[Pid, Any] | Run) -> int:
    return 1 if isinstance(entry, tuple) else entry.count - entry.heard


class Unheard:
    """What one node has sent so, and how much of the others' has come."""

    def __init__(self, send: Callable[[NodeId, list[Any]], bool]) -> None:
        self._send = send
        self._sent: dict[NodeId, _Sent] = {}
        self._came: dict[NodeId, int] = {}

    def sent(self, peer: NodeId, pid: Pid, message: Any) -> None:
        """This is on its way."""
        self._add(peer, (pid, message))

    def sent_in_run(self, peer: NodeId, run: Run) -> None:
        """These are on their way, and what is added to them before anything else is sent."""
        self._add(peer, run)

    def _add(self, peer: NodeId, entry: tuple[Pid, Any] | Run) -> None:
        sent = self._sent.get(peer)
        if sent is None:
            sent = self._sent[peer] = _Sent()
        sent.add(entry)

    def heard(self, peer: NodeId, count: int) -> None:
        """So many of these have come."""
        sent = self._sent.get(peer)
        if sent is not None:
            sent.take(count)

    def came(self, peer: NodeId, count: int = 1) -> None:
        """So many have come here."""
        count += self._came.get(peer, 0)
        self._came[peer] = count
        if count >= MANY:
            self._answer(peer)

    def beat(self) -> None:
        """Say what has come."""
        for peer in sorted(self._came):
            self._answer(peer)

    def _answer(self, peer: NodeId) -> None:
        self._send(peer, [HEARD, self._came.pop(peer)])

    def link_down(self, peer: NodeId) -> list[tuple[Pid, Any]]:
        """The link has ended: what of it may not have come."""
        self._came.pop(peer, None)
        sent = self._sent.pop(peer, None)
        rest: list[tuple[Pid, Any]] = []
        while sent is not None and sent.entries:
            entry = sent.entries.popleft()
            if isinstance(entry, tuple):
                rest.append(entry)
                continue
            rest += entry.messages()
            if sent.entries:  # the last one may not be written yet
                entry.forget()
        return rest
