"""`no_acked_message_lost`: what was acknowledged is in the state that goes on.

Law of this room: what is demanded is what moves and checkpoints promise, no more. A state that was taken for a move is the
last that its old copy had: nothing may change in it afterwards. And when a child goes on elsewhere, it goes on from the
newest state that a completed checkpoint gave to all copies, as long as one of those that were given it is there and in reach.
What was in no checkpoint may be lost with its node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubkit.cluster.rows import Ticket
from hubkit.errors import InvariantViolated
from hubkit.testing.ownership import Running
from hubkit.testing.watching import Checker, Watcher, World

__all__ = ["Keeping", "no_acked_message_lost"]


@dataclass(frozen=True, slots=True)
class _Promise:
    """A state that all of these nodes were given: name -> incarnation."""

    ticket: Ticket
    holders: tuple[tuple[str, int], ...]


class Keeping:
    """Which states are promised to be kept, and what became of them. ``faults``: what must not be, in words, in its order.

    ``now``: virtual seconds. ``living``: whether this incarnation of a node is there, and reaches the other node.
    """

    def __init__(self, now: Callable[[], float], living: Callable[[str, int, str], bool]) -> None:
        self._now, self._living = now, living
        self._promises: dict[tuple[str, str], _Promise] = {}
        self.faults: list[str] = []

    def kept(self, hub: str, child: str, ticket: Ticket, holders: tuple[tuple[str, int], ...]) -> None:
        """A checkpoint is complete: all of these nodes hold it."""
        before = self._promises.get((hub, child))
        if before is None or before.ticket < ticket:
            self._promises[hub, child] = _Promise(ticket, holders)

    def changed(self, run: Running) -> None:
        """The state of this copy has changed after it was taken for a move."""
        self.faults.append(
            f"at {self._now():.3f} s the copy of child {run.child!r} of hub {run.hub!r} on {run.node} ({run.pid}) is let go, "
            "and its state is no longer the one that was handed over: what changed it meanwhile is lost"
        )

    def began(self, run: Running, ticket: Ticket | None) -> None:
        """A child begins to handle messages, from the state of this ticket."""
        promise = self._promises.get((run.hub, run.child))
        if promise is None or (ticket is not None and ticket >= promise.ticket):
            return
        there = [name for name, incarnation in promise.holders if self._living(name, incarnation, run.node)]
        if there:
            self.faults.append(
                f"at {self._now():.3f} s child {run.child!r} of hub {run.hub!r} begins on {run.node} ({run.pid}) from "
                f"{'no state' if ticket is None else f'the state {tuple(ticket)}'}, and {', '.join(there)} hold the later "
                f"one {tuple(promise.ticket)} that a checkpoint gave them"
            )
        else:
            del self._promises[run.hub, run.child]

    def removed(self, hub: str, child: str) -> None:
        """The child was stopped, or is another one now: nothing is promised of it."""
        self._promises.pop((hub, child), None)


@dataclass(frozen=True, slots=True, repr=False)
class _NoAckedMessageLost:
    def __repr__(self) -> str:
        return "no_acked_message_lost()"

    def watch(self, world: World) -> Watcher:
        return _KeepingWatcher(world)


def no_acked_message_lost() -> Checker:
    """Moves carry the last state, and completed checkpoints are kept.

    Two things are watched: a copy that is let go after a hot move has the very state that it handed over (so no message
    was handled, and acknowledged, after that); and a child that begins anew, by a failover or a restart on the spot, begins
    from the newest state for which ``context.checkpoint()`` has returned, while any node that held it is there and in reach.
    States are compared as bytes: ``handover_state()`` is called once more for that, and must not change anything.
    """
    return _NoAckedMessageLost()


class _KeepingWatcher(Watcher):
    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = len(world.keeping.faults)
        self._since = world.now()

    def look(self) -> None:
        faults = self._world.keeping.faults
        if len(faults) > self._seen:
            self._seen += 1
            raise InvariantViolated(faults[self._seen - 1])

    def verdict(self) -> None:
        if self._world.now() == self._since:
            self._seen = 0
        self.look()
