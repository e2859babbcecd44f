"""Which of two links between the same two nodes stays.

Law of this room: both sides, each with what it knows, keep the same one. The room is pure.

Two nodes that dial each other at once end up with two links. Of those, the one dialled by the lesser node id stays. But a
second link is no proof of that: a node whose old link broke, unseen by the other side, dials anew, and then the *new* one
must stay. The two cases are told apart by order, without clocks:

* a dialer commits to a link only if it has none with that peer, and is not about to have a better one (an accepted link for
  which it has given its own proof, from a peer with a lesser id). A dialer that commits once more has lost the older link;
* so an acceptor that had the old link *before the new greeting came in* takes the new one: the peer knew of the old one, and
  dialled nonetheless. If the two greetings crossed, the ids decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubkit.pids import NodeId

__all__ = ["Attempt", "Pairs"]


@dataclass(slots=True, eq=False)
class Attempt:
    """One link on its way to be, or being, the one of its pair. Numbers count this node's own events."""

    dialing: bool
    greeted: int = 0
    committed: bool = False
    established: int = 0
    peer: NodeId | None = field(default=None)


class Pairs:
    """The links of one node, by peer."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._clock = 0
        self._current: dict[NodeId, Attempt] = {}
        self._coming: dict[NodeId, list[Attempt]] = {}

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def greeted(self, attempt: Attempt) -> None:
        """The first frame of the peer has come in."""
        if not attempt.greeted:
            attempt.greeted = self._tick()

    def commit(self, attempt: Attempt, peer: NodeId) -> bool:
        """This side is about to send its last word. `False`: give this attempt up, there is, or will be, a better one."""
        coming = self._coming.get(peer, ())
        if attempt.dialing and (
            peer in self._current
            or any(other.dialing for other in coming)
            or (peer < self._me and any(not other.dialing for other in coming))
        ):
            return False
        attempt.committed = True
        attempt.peer = peer
        self._coming.setdefault(peer, []).append(attempt)
        return True

    def establish(self, attempt: Attempt) -> tuple[bool, Attempt | None]:
        """The handshake is done. Returns whether the attempt is the pair's link now, and the link whose place it takes."""
        peer = attempt.peer
        assert peer is not None
        self._drop_coming(attempt)
        attempt.established = self._tick()
        old = self._current.get(peer)
        if old is not None and not self._replaces(attempt, old, peer):
            return False, None
        self._current[peer] = attempt
        return True, old

    def _replaces(self, new: Attempt, old: Attempt, peer: NodeId) -> bool:
        if new.dialing:
            return self._me < peer
        if not old.dialing or new.greeted > old.established:
            return True
        return peer < self._me

    def ended(self, attempt: Attempt) -> None:
        """The attempt has failed, or its link has ended. May be said again."""
        self._drop_coming(attempt)
        if attempt.peer is not None and self._current.get(attempt.peer) is attempt:
            del self._current[attempt.peer]

    def _drop_coming(self, attempt: Attempt) -> None:
        if attempt.peer is None:
            return
        coming = self._coming.get(attempt.peer)
        if coming is not None and attempt in coming:
            coming.remove(attempt)
            if not coming:
                del self._coming[attempt.peer]
