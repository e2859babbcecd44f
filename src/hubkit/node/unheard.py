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
from typing import Any

from hubkit.pids import NodeId, Pid

__all__ = ["HEARD", "Unheard"]

#: The kind of the answer: [HEARD, count].
HEARD = 14
#: After so many it is given at once.
MANY = 256
#: No more are kept: of a node that does not answer, those that were sent first are forgotten.
MOST = 100_000


class Unheard:
    """What one node has sent so, and how much of the others' has come."""

    def __init__(self, send: Callable[[NodeId, list[Any]], bool]) -> None:
        self._send = send
        self._sent: dict[NodeId, deque[tuple[Pid, Any]]] = {}
        self._came: dict[NodeId, int] = {}

    def sent(self, peer: NodeId, pid: Pid, message: Any) -> None:
        """This is on its way."""
        waiting = self._sent.get(peer)
        if waiting is None:
            waiting = self._sent[peer] = deque(maxlen=MOST)
        waiting.append((pid, message))

    def heard(self, peer: NodeId, count: int) -> None:
        """So many of these have come."""
        waiting = self._sent.get(peer, deque())
        for _ in range(min(len(waiting), count)):
            waiting.popleft()

    def came(self, peer: NodeId) -> None:
        """One has come here."""
        count = self._came[peer] = self._came.get(peer, 0) + 1
        if count >= MANY:
            self._answer(peer)

    def beat(self) -> None:
        """Say what has come."""
        for peer in sorted(self._came):
            self._answer(peer)

    def _answer(self, peer: NodeId) -> None:
        self._send(peer, [HEARD, self._came.pop(peer)])

    def link_down(self, peer: NodeId) -> deque[tuple[Pid, Any]]:
        """The link has ended: what of it may not have come."""
        self._came.pop(peer, None)
        return self._sent.pop(peer, deque())
