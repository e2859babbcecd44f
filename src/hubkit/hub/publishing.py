"""A message to all members of a group: one to each node, which gives it to its own.

Law of this room: whoever awaits waits until every mailbox has taken the message, or its owner has ended; whoever does not
wait, waits for nobody. Either way each member that does not get it is one `DeadLetter`, told by the node that found it out.
At most once: nothing is sent again.

A *sampled* value goes out at once if none has gone out to its group for so many seconds, else when these have passed, and
of several that came meanwhile only the latest: what was replaced is no dead letter, for that is what was asked for.

Refused: waiting for slow members one after the other (all nodes are asked at once, and in each mailbox only those wait
for whom there is no room), and acknowledgement by each single member (one answer for a node).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import trio

from hubkit.actors.cell import Cell, current_chain
from hubkit.actors.messages import NotBegun
from hubkit.errors import HubClosed, HubkitError, ProtocolViolation
from hubkit.events import DeadLetter
from hubkit.net.payload import Payloads
from hubkit.node.packing import pack, unpack
from hubkit.pids import NodeId, name_of, node_id

if TYPE_CHECKING:
    from hubkit.hub.gathering import Gathering

__all__ = ["FIRST", "Publishing"]

# Kinds of messages, beside those of `hubkit.cluster.groups`.
#   [PUBLISH, number, group, message, [serial, ...]]   to the members there; negative: without waiting for room
#   [TAKEN, number, count]                             so many have it       serials: of actors that wait for the sender
#   [GIVE_UP, number]                                  who has no room for it yet need not have it
FIRST = PUBLISH = 8
TAKEN, GIVE_UP = 9, 10
#: Messages of one node that wait here for room at a time; what comes beyond is a dead letter.
MOST = 1024


class _Awaited:
    """A message that nodes have not answered yet: ``nodes``. ``taken``: how many have it. ``event``: its sender waits."""

    __slots__ = ("closed", "event", "group", "message", "nodes", "taken")

    def __init__(self, group: str, message: object) -> None:
        self.group, self.message = group, message
        self.nodes: set[NodeId] = set()
        self.taken = 0
        self.closed = False
        self.event: trio.Event = trio.Event()


class _Sample:
    """A group to which sampled values go."""

    __slots__ = ("message", "seconds", "waits")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.message: object = None
        self.waits = False


class Publishing:
    """What one hub on one node publishes to groups, and takes for its own members."""

    def __init__(self, gathering: Gathering, payloads: Payloads, hub_id: str) -> None:
        self._gathering, self._payloads, self._hub_id = gathering, payloads, hub_id
        self.nursery: trio.Nursery | None = None
        self._number = 0
        self._awaited: dict[int, _Awaited] = {}
        self._serving: dict[tuple[NodeId, int], trio.CancelScope] = {}
        self._samples: dict[str, _Sample] = {}

    # -- from here -----------------------------------------------------------------------------------------------------

    async def publish(self, group: str, message: object) -> int:
        """Give it to all members, and wait until they have it. How many do."""
        await trio.lowlevel.checkpoint()
        packed = self._pack(message)
        chain = current_chain()
        self._number = number = self._number + 1
        awaited = _Awaited(group, message)
        for node in self._gathering.rosters.nodes(group):
            if node != self._gathering._me:
                waiting = [pid.serial for pid in chain if node_id(pid.node, pid.incarnation) == node]
                if self._gathering.send(node, [PUBLISH, number, group, packed, waiting]):
                    awaited.nodes.add(node)
                else:
                    self._lost(group, node, message, "there is no link to it")
        self._awaited[number] = awaited
        try:
            awaited.taken += await self._give(group, message, {pid.serial for pid in chain if self._is_mine(pid)})
            if awaited.nodes:
                await awaited.event.wait()
            if awaited.closed:
                msg = f"hub {self._hub_id!r} was closed before all members had the message"
                raise HubClosed(msg)
        finally:
            del self._awaited[number]
            for node in sorted(awaited.nodes):
                self._gathering.send(node, [GIVE_UP, number])
        return awaited.taken

    def publish_nowait(self, group: str, message: object) -> int:
        """Give it to all members that have room. How many there are, as far as is known here."""
        packed = self._pack(message)
        rosters, me = self._gathering.rosters, self._gathering._me
        self._number += 1
        unheard = _Awaited(group, message)
        for node in rosters.nodes(group):
            if node != me and self._gathering.send(node, [PUBLISH, -self._number, group, packed, []]):
                unheard.nodes.add(node)
            elif node != me:
                self._lost(group, node, message, "there is no link to it")
        if unheard.nodes:
            self._awaited[-self._number] = unheard
        count = len(rosters.members(group))
        for cell in self._cells(group):
            self._give_nowait(cell, message)
        return count

    def publish_sampled(self, group: str, message: object, seconds: float) -> None:
        """Give it to all members, but not more often than every so many seconds: of several, the latest."""
        self._pack(message)  # what cannot travel is told to whoever sends it
        sample = self._samples.get(group)
        if sample is not None:
            sample.seconds, sample.message, sample.waits = seconds, message, True
            return
        self._samples[group] = sample = _Sample(seconds)
        self.publish_nowait(group, message)
        assert self.nursery is not None
        self.nursery.start_soon(self._sample, group, sample)

    async def _sample(self, group: str, sample: _Sample) -> None:
        while True:
            await trio.sleep(sample.seconds)
            if not sample.waits:
                del self._samples[group]
                return
            message, sample.message, sample.waits = sample.message, None, False
            self.publish_nowait(group, message)

    def close(self) -> None:
        """The hub has ended here: nobody answers any more, and what still waits for its time is not sent."""
        for awaited in self._awaited.values():
            awaited.closed = bool(awaited.nodes)
            awaited.event.set()
        for group, sample in sorted(self._samples.items()):
            if sample.waits:
                sample.waits = False
                self._dead(f"group {group!r}", sample.message, "the hub was closed before its time came")

    def _pack(self, message: object) -> Any:
        return pack(message, self._payloads)

    def _is_mine(self, pid: Any) -> bool:
        return self._gathering.system.is_mine(pid)

    def _lost(self, group: str, node: NodeId, message: object, why: str) -> None:
        self._dead(f"the members of group {group!r} on node {name_of(node)!r}", message, why)

    def _dead(self, target: str, message: object, why: str) -> None:
        self._gathering.publish(DeadLetter(target, message, why, hub=self._hub_id))

    # -- to the members here ---------------------------------------------------------------------------------------------

    def _cells(self, group: str) -> list[Cell]:
        """The members here, but for copies that stand by: what is for their child is given to the active one."""
        cells = self._gathering.system.cells
        mine = [cells[serial] for serial in self._gathering.rosters.mine(group) if serial in cells]
        return [cell for cell in mine if not (cell.stands_by and cell.role == "passive")]

    def _give_nowait(self, cell: Cell, message: object) -> bool:
        """Put it into a mailbox, if there is room. Whether it is there; else it is a dead letter."""
        if cell.closed:
            self._dead(cell.describe(), message, "the actor has ended, or does not run yet")
        elif cell.full:
            self._dead(cell.describe(), message, f"its mailbox is full ({cell.capacity} messages)")
        else:
            cell.push(cell.message(message))
            return True
        return False

    async def _give(self, group: str, message: object, waiting: Iterable[int]) -> int:
        """Put it into all mailboxes here, once there is room. How many have it. ``waiting``: these wait for the sender."""
        taken, late = 0, []
        for cell in self._cells(group):
            if cell.full and not cell.closed and cell.pid.serial not in waiting:
                late.append(cell)
            else:
                taken += self._give_nowait(cell, message)
        for cell in late:
            try:
                if cell.closed:
                    self._give_nowait(cell, message)
                else:
                    await cell.push_when_room(cell.message(message))
                    taken += 1
            except NotBegun as ended:
                self._dead(cell.describe(), message, str(ended))
        return taken

    # -- from and to other nodes -----------------------------------------------------------------------------------------

    def link_down(self, peer: NodeId) -> None:
        """The link to a node is gone: nobody there will answer, and nobody there waits."""
        for number, awaited in list(self._awaited.items()):
            if peer in awaited.nodes:
                why = "the link to it ended before the answer came: it may have been handled"
                self._lost(awaited.group, peer, awaited.message, why)
                self._answered(number, awaited, peer)
        for key in [key for key in self._serving if key[0] == peer]:
            self._serving[key].cancel()

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A message of this room's. Raises `ProtocolViolation` when it makes no sense."""
        match message:
            case [8, int(number), str(group), packed, list(waiting)]:
                self._take(peer, number, group, packed, [serial for serial in waiting if type(serial) is int])
            case [9, int(number), int(count)] if 0 <= count < 1 << 32:
                awaited = self._awaited.get(number)
                if awaited is not None and peer in awaited.nodes:
                    awaited.taken += count
                    self._answered(number, awaited, peer)
            case [10, int(number)]:
                scope = self._serving.get((peer, number))
                if scope is not None:
                    scope.cancel()
            case _:
                msg = f"not a message about groups: {message!r:.80}"
                raise ProtocolViolation(msg)

    def _answered(self, number: int, awaited: _Awaited, peer: NodeId) -> None:
        awaited.nodes.discard(peer)
        if not awaited.nodes:
            awaited.event.set()
            if number < 0:  # nobody waits for it
                del self._awaited[number]

    def _take(self, peer: NodeId, number: int, group: str, packed: Any, waiting: list[Any]) -> None:
        try:
            message = unpack(packed, self._payloads)
        except HubkitError as error:
            why = f"it cannot be read on this node: {error}"
            self._dead(f"the members of group {group!r} here", f"a message of node {name_of(peer)!r}", why)
            self._reply(peer, number, 0)
            return
        full = any(cell.full and not cell.closed for cell in self._cells(group))
        if full and number >= 0:
            if (peer, number) in self._serving:
                msg = f"two messages to groups have the number {number}"
                raise ProtocolViolation(msg)
            full = sum(node == peer for node, _ in self._serving) < MOST
        if number < 0 or not full:  # in its order, and without a task
            self._reply(peer, number, sum(self._give_nowait(cell, message) for cell in self._cells(group)))
            return
        assert self.nursery is not None
        scope = self._serving[peer, number] = trio.CancelScope()
        self.nursery.start_soon(self._serve, peer, number, group, message, frozenset(waiting), scope)

    async def _serve(
        self, peer: NodeId, number: int, group: str, message: object, waiting: frozenset[int], scope: trio.CancelScope
    ) -> None:
        try:
            with scope:
                self._reply(peer, number, await self._give(group, message, waiting))
        finally:
            del self._serving[peer, number]

    def _reply(self, peer: NodeId, number: int, count: int) -> None:
        self._gathering.send(peer, [TAKEN, number, count])
