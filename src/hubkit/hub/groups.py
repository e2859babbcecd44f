"""`Groups`: what ``hub.groups`` offers.

Law of this room: it is a face. It checks what users pass, and asks `gathering` (who is in which group) and `publishing`.

An actor joins on its own node, and only there: so each node alone says which of its actors are in a group, and the
groups need no agreement. A membership is that of one incarnation: whoever is restarted, or moves, joins again in its
``on_start``. Joining twice is joining once (OTP's ``pg`` counts): a step that may be repeated is one that can be retried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubkit.actors.cell import Cell, current_cell
from hubkit.actors.ref import Ref
from hubkit.errors import ConfigurationError, NoSuchActor
from hubkit.hub.gathering import Gathering
from hubkit.hub.wishes import check_open
from hubkit.specs import check_id, check_seconds

if TYPE_CHECKING:
    from hubkit.hub.driver import Driver

__all__ = ["Groups"]


class Groups:
    """Groups of actors, and topics, over all nodes of a hub: ``hub.groups``. A group is a name; it exists while it has members.

    Eventually consistent: what is read is what this node knows, without waiting. Members of nodes out of sight are not
    shown; they are there again when their node is. All of this raises `HubClosed` once the hub has ended here. Example::

        class Room(hubkit.Actor):
            async def on_start(self) -> None:
                self.context.hub.groups.join("lobby")

            async def on_info(self, message: object) -> None:
                print(message)

        await hub.groups.publish("lobby", "hello")
    """

    __slots__ = ("_driver",)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        return f"<Groups of hub {self._driver.hub_id!r}: {len(self._driver.gathering.rosters.names())}>"

    @property
    def _gathering(self) -> Gathering:
        check_open(self._driver)
        return self._driver.gathering

    # -- being in a group ----------------------------------------------------------------------------------------------

    def join(self, group: str, ref: Ref[Any] | None = None) -> None:
        """Put an actor of this node into a group: that of ``ref``, or the one that calls this. Once in, nothing changes.

        It leaves when it ends. Raises `ConfigurationError` for an actor of another node, or where no actor calls and no
        ``ref`` is given; `NoSuchActor` for one that does not run.
        """
        self._gathering.join(check_id(group, "a group"), self._cell(ref))

    def leave(self, group: str, ref: Ref[Any] | None = None) -> None:
        """Take an actor of this node out of a group; without effect if it is not in it. Raises as `join`."""
        self._gathering.leave(check_id(group, "a group"), self._cell(ref).pid.serial)

    def _cell(self, ref: Ref[Any] | None) -> Cell:
        mine = current_cell()
        if ref is None:
            if mine is None:
                msg = "which actor? Give its ref, or call this from within an actor"
                raise ConfigurationError(msg)
            return self._local(mine)
        if not isinstance(ref, Ref):
            msg = f"an actor is given as a Ref, not as {ref!r:.80}"
            raise ConfigurationError(msg)
        if mine is not None and ref.address in (mine.key, mine.pid):  # a child that starts is not yet in the registry
            return self._local(mine)
        system, pid = self._gathering.system, ref.pid
        if pid is not None and not system.is_mine(pid):
            msg = f"{pid} runs on node {pid.node!r}: an actor joins and leaves groups on its own node, in its on_start, say"
            raise ConfigurationError(msg)
        cell = None if pid is None else system.find(pid)
        if cell is None:
            msg = f"no actor runs behind {ref!r}"
            raise NoSuchActor(msg)
        return cell

    def _local(self, cell: Cell) -> Cell:
        if cell.system is not self._gathering.system:
            msg = f"{cell.describe()} is no actor of the node of this hub"
            raise ConfigurationError(msg)
        return cell

    # -- who is in a group ---------------------------------------------------------------------------------------------

    def members(self, group: str) -> tuple[Ref[Any], ...]:
        """The members of a group on all nodes in sight, in the order of their pids. Each ref is of one incarnation."""
        gathering = self._gathering
        return tuple(map(gathering.system.ref, gathering.members(check_id(group, "a group"))))

    def local_members(self, group: str) -> tuple[Ref[Any], ...]:
        """The members of a group on this node."""
        system = self._gathering.system
        pids = self._gathering.members(check_id(group, "a group"))
        return tuple(system.ref(pid) for pid in pids if system.is_mine(pid))

    def names(self) -> tuple[str, ...]:
        """All groups that have members in sight, sorted."""
        return tuple(self._gathering.rosters.names())

    def monitor(self, group: str) -> tuple[Ref[Any], ...]:
        """Let the actor that calls this hear of whoever joins or leaves, until it ends. Returns who is in the group now.

        It gets `hubkit.events.GroupChanged` through ``on_info``, only of what changes after this. While its mailbox is
        full it gets none, and then one that tells the difference. Others than actors use
        ``hub.events(hubkit.events.GroupChanged)``. Raises `ConfigurationError` where no actor calls.
        """
        cell = self._cell(None)
        self._gathering.monitor(check_id(group, "a group"), cell)
        return self.members(group)

    def demonitor(self, group: str) -> None:
        """Let the actor that calls this hear no more of a group."""
        self._gathering.demonitor(check_id(group, "a group"), self._cell(None).pid.serial)

    # -- talking to a group --------------------------------------------------------------------------------------------

    async def publish(self, group: str, message: object) -> int:
        """Send a plain message to every member, and wait until all mailboxes have it. Returns how many do. A checkpoint.

        The slowest member holds up its publisher: bound the time with `trio.move_on_after`, and who had no room by then
        does not get it. Whoever ends, or is cut off, before it had room for it is a `DeadLetter`; so is a full mailbox of
        an actor that waits for the publisher itself, which would wait for ever. Never raises for one member; raises
        `NotSerializable`, `HubClosed`.
        """
        return await self._gathering.publishing.publish(check_id(group, "a group"), message)

    def publish_nowait(self, group: str, message: object) -> int:
        """The same without waiting: each member without room is a `DeadLetter`. Returns how many members there are."""
        return self._gathering.publishing.publish_nowait(check_id(group, "a group"), message)

    def publish_sampled(self, group: str, message: object, every: float) -> None:
        """Send it as `publish_nowait` does, but at most once in ``every`` seconds, and of several always the latest.

        The first goes out at once. One that comes too soon waits for its time, and is replaced by the next: so the last
        of a burst always arrives. Replaced messages are no dead letters. Counted here, for this node and group.
        """
        check_seconds(every, "every", zero=False)
        self._gathering.publishing.publish_sampled(check_id(group, "a group"), message, every)
