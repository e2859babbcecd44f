"""When a request may be sent to another node: there is a link, little waits on it, and the mailbox there has room.

Law of this room: whoever waits, waits here, with one request each, and nothing of it is on the wire; so what stops a node or an
actor that does not keep up from filling the memory of another is that its senders stop. Who cannot wait is refused
(`MOST_NOWAIT`). A node that is gone cannot have begun anything.
"""

from __future__ import annotations

from typing import Any, Protocol

import trio

from hubkit.cluster.liveness import Liveness
from hubkit.errors import HubClosed, NodeDown
from hubkit.net.outbox import Growing
from hubkit.net.session import ROOM
from hubkit.node.credits import Credits
from hubkit.node.freight import Freight, Turns
from hubkit.node.refs import NodeGone
from hubkit.node.seams import Attached
from hubkit.pids import NodeId, Pid

__all__ = ["HINTS", "MOST_NOWAIT", "Passage", "Wire"]

HINTS = 10_000
#: Bytes that wait for one node, beyond which a sender that does not wait is refused.
MOST_NOWAIT = 8 << 20


class Wire(Protocol):
    """What the exchange needs of its node."""

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send to a linked node; `False`: there is no link."""
        ...

    def write(self, peer: NodeId, message: bytes) -> int:
        """Send what is bytes already: how many wait then; -1: there is no link."""
        ...

    def grow(self, peer: NodeId, message: Growing) -> bool:
        """Send what may grow until it goes out; `False`: not now, use `write`."""
        ...

    def hub(self, hub_id: str) -> Attached | None:
        """The hub of this id on this node."""
        ...

    def backlog(self, peer: NodeId) -> int:
        """How many bytes wait to be sent to a linked node."""
        ...

    async def wait_room(self, peer: NodeId) -> None:
        """Return once few do, or there is no link."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def notice(self) -> None:
        """Let those who wait for children look again."""


class Passage:
    """The part of `hubkit.node.exchange.Exchange` that waits before it sends."""

    credits: Credits
    freight: Freight
    linked: set[NodeId]
    _wire: Wire
    _liveness: Liveness
    _gone: dict[Pid, None]
    _changed: trio.Event
    _closed: bool
    _turns: Turns

    def _may_send(self, pid: Pid, peer: NodeId) -> bool:
        return not (self._turns and (peer, pid.serial) in self._turns) and self._may_go(pid, peer)

    def _may_go(self, pid: Pid, peer: NodeId) -> bool:
        return peer in self.linked and self._wire.backlog(peer) <= ROOM and self.credits.spend(peer, pid.serial)

    async def _wait_to_send(self, pid: Pid, peer: NodeId) -> None:
        """Wait for what is large and came before, for a link, for little to be on its way, and for room in the mailbox."""
        if self._turns and (peer, pid.serial) in self._turns:
            async with self._turns.take(peer, pid.serial):
                await self._wait_to_go(pid, peer)
        else:
            await self._wait_to_go(pid, peer)

    async def _wait_to_go(self, pid: Pid, peer: NodeId) -> None:
        granted = False
        try:
            while granted or not self._may_go(pid, peer):
                if peer not in self.linked:
                    granted = False
                    await self._link(pid, peer)
                elif self._wire.backlog(peer) > ROOM:
                    await self._wire.wait_room(peer)
                elif granted:
                    self.credits.use(peer, pid.serial)
                    return
                else:
                    granted = await self.credits.wait(peer, pid.serial)
        except BaseException:
            if granted:
                self.credits.release(peer, pid.serial)
            raise

    async def _link(self, pid: Pid, peer: NodeId) -> None:
        """Wait for a link to the node of a pid. A node that is gone cannot have begun anything."""
        until = self._wire.now() + self._liveness.down_after
        while peer not in self.linked:
            now = self._wire.now()
            if self._closed:
                msg = "this node is closed"
                raise HubClosed(msg)
            if not self._liveness.alive(peer, now):
                if len(self._gone) >= HINTS:
                    self._gone.pop(next(iter(self._gone)))
                self._gone[pid] = None
                msg = f"node {pid.node!r} is down"
                raise NodeGone(msg)
            if now >= until:
                msg = f"node {pid.node!r} lives, but cannot be reached from here"
                raise NodeDown(msg, maybe_executed=False)
            with trio.move_on_after(self._liveness.beat_interval / 4):
                await self._changed.wait()
