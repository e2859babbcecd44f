"""The groups of one hub on one node: the rosters, the actors in them, and those who want to know.

Law of this room: nothing is decided here. What happens is fed to `hubkit.cluster.groups`, and what comes of it is sent, and
told, once for all that came in the same turn of the scheduler. An actor that ends leaves its groups, because its end is
watched from its first join on. Who monitors a group is owed the difference between what it was told and what is: it
waits while there is no room in its mailbox, and grows no larger than the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hubkit.actors.cell import Cell
from hubkit.actors.system import System
from hubkit.cluster.groups import Groups, News
from hubkit.cluster.tidings import from_wire, to_wire
from hubkit.errors import NoSuchActor
from hubkit.events import Event, GroupChanged
from hubkit.hub.publishing import FIRST, Publishing
from hubkit.pids import NodeId, Pid, boot_of, name_of

if TYPE_CHECKING:
    from hubkit.hub.driver import Driver
    from hubkit.hub.wires import Wires

__all__ = ["Gathering"]


class Gathering:
    """What `hubkit.hub.driver.Driver` keeps about groups."""

    def __init__(self, driver: Driver, wires: Wires) -> None:
        self._driver = driver
        self._wires = wires
        self._me: NodeId = driver.node
        self.system: System = wires._system
        self.publish: Callable[[Event], None] = driver.publish
        self.rosters: Groups = Groups(self._me, max(0, round(wires.environment.wall() * 1000)))
        self.publishing: Publishing = Publishing(self, wires._payloads, driver.hub_id)
        self._memberships: dict[int, set[str]] = {}  # of the actors of this node, by their serials
        self._owed: dict[int, dict[str, News]] = {}  # who monitors which group, and is to be told what
        self._watched: set[int] = set()
        self._alive: frozenset[NodeId] = frozenset()

    # -- what happens here ---------------------------------------------------------------------------------------------

    def join(self, group: str, cell: Cell) -> None:
        """An actor of this node joins. Raises `NoSuchActor` when it has ended."""
        self._watch(cell)
        if self.rosters.join(group, cell.pid.serial):
            self._memberships.setdefault(cell.pid.serial, set()).add(group)
            self._driver.wake()

    def leave(self, group: str, serial: int) -> None:
        """An actor of this node leaves."""
        if self.rosters.leave(group, serial):
            self._memberships[serial].discard(group)
            self._driver.wake()
            self._unwatch(serial)

    def monitor(self, group: str, cell: Cell) -> None:
        """Tell this actor what changes in the group from now on."""
        self._watch(cell)
        self._tell(self.rosters.news())  # so that nothing from before comes later
        self._owed.setdefault(cell.pid.serial, {}).setdefault(group, News(set(), set()))

    def demonitor(self, group: str, serial: int) -> None:
        """Tell it no more."""
        if self._owed.get(serial, {}).pop(group, None) is not None:
            self._unwatch(serial)

    def _watch(self, cell: Cell) -> None:
        serial = cell.pid.serial
        if serial not in self.system.cells:
            msg = f"no actor lives at {cell.pid} any more"
            raise NoSuchActor(msg)
        if serial not in self._watched:
            self._watched.add(serial)
            self.system.add_remote_watch(
                serial, ("groups", self._driver.hub_id), lambda reason, error: self._ended(serial)
            )

    def _unwatch(self, serial: int) -> None:
        """Nothing need be known of it any more, if it is in no group and monitors none."""
        for table in (self._memberships, self._owed):
            if serial in table and not table[serial]:
                del table[serial]
        if serial not in self._memberships and serial not in self._owed and serial in self._watched:
            self._watched.discard(serial)
            self.system.remove_remote_watch(serial, ("groups", self._driver.hub_id))

    def _ended(self, serial: int) -> None:
        self._watched.discard(serial)
        self._owed.pop(serial, None)
        for group in sorted(self._memberships.pop(serial, ())):
            self.rosters.leave(group, serial)
        self._driver.wake()

    # -- what the driver tells -----------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId) -> None:
        """Hubs of this id on two nodes have been linked."""
        self.rosters.link_up(peer)

    def link_down(self, peer: NodeId) -> None:
        """They are not any more."""
        self.rosters.link_down(peer)
        self.publishing.link_down(peer)

    def beat(self) -> None:
        """One beat has passed."""
        core = self._driver.core
        self.rosters.keep(core.nodes.keys())
        self.rosters.beat()

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A message about groups has arrived. Raises `ProtocolViolation` when it makes no sense."""
        if peer not in self._driver.core.links:
            return
        if message and type(message[0]) is int and message[0] >= FIRST:
            self.publishing.receive(peer, message)
        else:
            wall = round(self._wires.environment.wall() * 1000)
            self.rosters.receive(peer, from_wire(message), self._driver.core.nodes.keys(), wall)
        self._driver.wake()

    def look(self) -> None:
        """Send what is to be sent, and tell what has changed: once a turn."""
        alive = self._driver.core.alive
        if alive is not self._alive:
            self._alive = alive
            self.rosters.see(alive)
        for peer, message in self.rosters.take():
            self.send(peer, to_wire(message))
        news = self.rosters.news()
        if news or self._owed:
            self._tell(news)

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send a message about groups to this hub on a linked node; `False`: there is no link."""
        return self._wires.group(peer, self._driver.hub_id, message)

    def close(self) -> None:
        """The hub has ended here: nothing is watched for it any more."""
        self.publishing.close()
        for serial in sorted(self._watched):
            self.system.remove_remote_watch(serial, ("groups", self._driver.hub_id))
        self._watched.clear()
        self._owed.clear()

    def _tell(self, news: dict[str, News]) -> None:
        for group, change in news.items():
            self.publish(self._event(group, change))
        for serial, owed in list(self._owed.items()):
            cell = self.system.cells.get(serial)
            for group, debt in owed.items():
                change = news.get(group, _NOTHING)
                for here, members in ((True, change.joined), (False, change.left)):
                    for member in members:
                        debt.add(member, here=here)
                if (debt.joined or debt.left) and cell is not None and not cell.full:
                    owed[group] = News(set(), set())
                    cell.inform(self._event(group, debt))

    def _event(self, group: str, change: News) -> GroupChanged:
        return GroupChanged(group, _pids(change.joined), _pids(change.left), hub=self._driver.hub_id)

    def members(self, group: str) -> tuple[Pid, ...]:
        """The members in sight, sorted."""
        return _pids(self.rosters.members(group))


_NOTHING = News(set(), set())


def _pids(members: Iterable[tuple[NodeId, int]]) -> tuple[Pid, ...]:
    return tuple(sorted(Pid(name_of(node), boot_of(node), serial) for node, serial in members))
