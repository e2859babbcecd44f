"""`System`: all actors of one node, and the seam to the actors of other nodes.

Law of this room: nothing here knows how messages travel. What is elsewhere is asked of `Remote`, which the node's shell
implements; what arrives from elsewhere enters through ``deliver_...`` and ``add_remote_watch``, and is treated
exactly as what comes from here. A program without a node has one system per trio run, named ``"local"``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from functools import partial
from itertools import repeat
from types import MappingProxyType
from typing import Any

import trio

from hubkit.actors import reports
from hubkit.actors.cell import Cell, OnDown, current_cell
from hubkit.actors.inspection import MARK, ActorInfo, inspect, look
from hubkit.actors.late import Owed
from hubkit.actors.links import Links
from hubkit.actors.mailbox import Call, Item, Letter, RemoteCall
from hubkit.actors.messages import Down, Monitor, NotBegun, Request, message_of
from hubkit.actors.parking import sit
from hubkit.actors.ref import Ref, deadlock
from hubkit.actors.seams import Locator, MonitorWitness, Remote
from hubkit.actors.timers import Timers
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HubClosed, HubkitError, NoSuchActor
from hubkit.events import DeadLetter, Event
from hubkit.pids import ChildKey, Pid, is_sound

__all__ = ["Locator", "MonitorWitness", "Remote", "System", "current_system", "system_var"]


class _Nowhere:
    """The locator of a system without a node, for keys that no directory knows."""

    def resolve(self, key: ChildKey) -> Pid | None:
        return None

    async def locate(self, key: ChildKey, after: Pid | None) -> Pid:
        msg = f"no child {key} is known: its hub or supervisor has ended, or is of another process"
        raise NoSuchActor(msg)


_NOWHERE = _Nowhere()


class System:
    """All actors of one node.

    ``node``, ``incarnation``: the first two parts of its pids. ``remote``: how to reach other nodes (may be set later).
    ``publish``: takes the events, `DeadLetter` here; without it they are logged as warnings. ``environment``: where
    chance comes from.
    """

    def __init__(
        self,
        node: str = "local",
        incarnation: int = 0,
        *,
        remote: Remote | None = None,
        publish: Callable[[Event], None] | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self.remote = remote
        self.publish = publish
        self._environment = environment
        #: The actors that run, by the serial of their pid.
        self.cells: dict[int, Cell] = {}
        #: Who takes what still arrives for an actor that has moved, by its serial.
        self.successors: dict[int, Callable[[Item], None]] = {}
        self.witness: MonitorWitness | None = None
        #: Who knows the children of a supervisor of this process, by the ``hub`` of their keys.
        self.directories: dict[str, Locator] = {}
        #: Where the children of the hubs on this node run, by the ids of the hubs.
        self.hubs: dict[str, Callable[[str], Pid | None]] = {}
        self.timers: Timers = Timers()
        self.links: Links = Links(self)
        self.owed: Owed = Owed(self)
        #: The task that cast last, and how many more casts it may make before it lets others run: see `Ref`.
        self.caster: trio.lowlevel.Task | None = None
        self.credit = 0
        #: Who knows the tree of a hub on this node, by its id.
        self.trees: Callable[[str], ActorInfo] | None = None
        #: Whether its node has ended: nothing can be sent from here any more.
        self.closed: bool = False
        self._clock: Callable[[], float] | None = None
        self._serial = 0
        self._monitor = 0
        self._directory = 0
        #: number -> who watches, and with which monitor.
        self._monitors: dict[int, tuple[Cell, Monitor]] = {}

    def __repr__(self) -> str:
        return f"<System {self.node}#{self.incarnation}, {len(self.cells)} actors>"

    def spawn(
        self,
        start: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        mailbox: int = 1000,
        shutdown: float = 5.0,
        child_id: str | None = None,
        hub: Any = None,
        hub_name: str = "",
        metadata: Any = None,
        term: int = 0,
        start_reason: str = "start",
        restarts: int = 0,
    ) -> Cell:
        """Make a cell with the next serial. It does not run yet: see `Cell.run`."""
        self._serial += 1
        return Cell(
            self,
            self._serial,
            start,
            args,
            kwargs,
            mailbox=mailbox,
            shutdown=shutdown,
            child_id=child_id,
            hub=hub,
            hub_name=hub_name,
            metadata=metadata,
            term=term,
            start_reason=start_reason,
            restarts=restarts,
        )

    def secret(self) -> int:
        """A number that nobody can guess, of 62 bits."""
        if self._environment is None:
            self._environment = Environment()
        return int.from_bytes(self._environment.token(8), "big") >> 2

    def chance(self) -> float:
        """A random number from 0 to 1, for waits that shall not all be equal."""
        if self._environment is None:
            self._environment = Environment()
        return self._environment.random.random()

    def clock(self) -> Callable[[], float]:
        """What tells the time, as `trio.current_time` does by a longer way: one for all actors. Inside of the run alone."""
        if self._clock is None:
            self._clock = trio.lowlevel.current_clock().current_time
        return self._clock

    # Addresses.

    def new_directory(self, kind: str, locator: Locator) -> str:
        """Let ``locator`` answer for the keys of a new ``hub`` name, which is returned, until it is taken out again."""
        self._directory += 1
        name = f"{kind}:{self._directory}"
        self.directories[name] = locator
        return name

    def ref(self, address: Pid | ChildKey) -> Ref[Any]:
        """A handle to one incarnation, or to a child wherever it runs."""
        pid = address if isinstance(address, Pid) else None
        if not isinstance(address, ChildKey) and not (pid and is_sound(pid.node, pid.incarnation, pid.serial)):
            msg = f"an address is a Pid or a ChildKey that there can be, not {address!r:.200}"
            raise ConfigurationError(msg)
        return Ref(self, address)

    def is_mine(self, pid: Pid) -> bool:
        """Whether the pid is of this life of this node."""
        return pid.incarnation == self.incarnation and pid.node == self.node

    def check_open(self) -> None:
        """Raise `HubClosed` when its node has ended."""
        if self.closed:
            raise self.has_ended()

    def has_ended(self) -> HubClosed:
        """What whoever uses a ref of a node that has ended is told."""
        return HubClosed(f"node {self.node!r}, which this ref is of, has ended: take a ref from a hub that is open")

    def find(self, pid: Pid) -> Cell | None:
        """The actor at this pid, if it runs here."""
        return self.cells.get(pid.serial) if self.is_mine(pid) else None

    def open_cell(self, pid: Pid) -> Cell:
        """The actor at this pid of ours. Raises `NotBegun` when it takes no messages any more."""
        cell = self.cells.get(pid.serial)
        if cell is None or cell.closed:
            msg = f"no actor lives at {pid} any more"
            raise NotBegun(msg)
        return cell

    def locator(self, key: ChildKey) -> Locator:
        """Who knows where this child runs."""
        return self.directories.get(key.hub) or self.remote or _NOWHERE

    def other_nodes(self, pid: Pid) -> Remote:
        """The way to a pid of another node."""
        if self.remote is None:
            msg = f"{pid} is of another node, and this program is on no network"
            raise NoSuchActor(msg)
        return self.remote

    # Requests, from here and from elsewhere.

    async def call_here(
        self, pid: Pid, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], chain: tuple[Pid, ...]
    ) -> Any:
        """Call an actor of ours. Raises `NotBegun` when it has ended before it began."""
        if isinstance(method, str) and method.startswith(MARK):
            return await inspect(self, pid, method, args)
        cell = self.open_cell(pid)
        coroutine, name = _prepare(cell, method, args, kwargs, chain)
        return await _wait_for(Call(coroutine, name, args, kwargs, chain, cell, trio.lowlevel.current_task()))

    def _own(self, serial: int) -> Pid:
        return Pid(self.node, self.incarnation, serial)

    async def deliver_call(self, serial: int, request: Request) -> Any:
        """Handle a call from another node; returns its result, or raises what the caller is to get.

        `NotBegun`: the actor had ended, or ended before the call began. Cancelling this withdraws the call.
        """
        return await _wait_for(self._remote_call(serial, request, trio.lowlevel.current_task(), None))

    def deliver_call_soon(
        self, serial: int, request: Request, on_reply: Callable[[Any, BaseException | None], None]
    ) -> Callable[..., object]:
        """The same without a task of its own: ``on_reply(result, error)`` is called once, perhaps before this returns.

        ``on_reply`` runs in the actor's task and must not raise. Returns what withdraws the call: it is not begun any
        more if it has not, and ``on_reply`` is not called; ``expired=True``: because its time is over.
        """
        if request.method.startswith(MARK):
            return look(self, serial, request.method, request.args, on_reply)
        try:
            call = self._remote_call(serial, request, None, on_reply)
        except (HubkitError, TypeError) as error:
            on_reply(None, error)
            return lambda **_: None
        call.mailbox.push_call(call)
        return call.abort

    def _remote_call(
        self,
        serial: int,
        request: Request,
        task: trio.lowlevel.Task | None,
        on_reply: Callable[[Any, BaseException | None], None] | None,
    ) -> Call:
        cell = self.cells.get(serial)
        if cell is None or cell.closed:
            cell = self.open_cell(self._own(serial))
        _, method, args, given, chain, deadline = request
        kwargs = given if type(given) is dict else dict(given)
        coroutine, name = _prepare(cell, method, args, kwargs, chain)
        return RemoteCall(deadline, on_reply, coroutine, name, args, kwargs, chain, cell, task)

    async def deliver_cast(self, serial: int, request: Request) -> None:
        """Put a cast or plain message from another node into its mailbox, once there is room. Raises as `deliver_call`."""
        cell = self.open_cell(self._own(serial))
        if cell.full and cell.pid in request.chain:
            raise deadlock(cell.pid, request.chain)
        await cell.push_when_room(self._letter(cell, request))

    def deliver_cast_soon(
        self, serial: int, request: Request, done: Callable[[Exception | None], None]
    ) -> Callable[[], object] | None:
        """The same without a task: `None` if it is in the mailbox, else what takes it back. See `Mailbox.queue_up`."""
        cell = self.open_cell(self._own(serial))
        if not cell.full:
            cell.push(self._letter(cell, request))
            return None
        if cell.pid in request.chain:
            raise deadlock(cell.pid, request.chain)
        return cell.queue_up(self._letter(cell, request), done)

    def deliver_notes(self, serial: int, method: str, count: int, arguments: list[Any]) -> int:
        """Put casts into a mailbox as `Ref.cast_nowait` does, as far as there is nothing to be checked, and room.

        They are of one method; the arguments of each follow those of the one before. Returns how many were put in.
        """
        cell, width = self.cells.get(serial), len(arguments) // count
        if cell is None or (self.successors and serial in self.successors):
            return 0
        known = cell.table.get(method)
        if known is None or known[2] != width + 1 or cell.full:
            return 0
        cell.push((method, *arguments[:width]))
        queue = cell.queue
        assert queue is not None
        more = min(count - 1, cell.capacity - len(queue))
        if more > 0:
            columns = (arguments[width + at :: width] for at in range(width))
            queue.extend(zip(repeat(method, more), *columns, strict=False))
        return 1 + more

    def deliver_cast_nowait(self, serial: int, request: Request, *, always: bool = False) -> None:
        """The same for a sender that did not wait. Never raises: what cannot be delivered becomes a `DeadLetter`.

        ``always``: room or not.
        """
        successor = self.successors.get(serial)
        if successor is not None:
            self.pass_on(successor, request)
            return
        cell = self.cells.get(serial)
        try:
            if cell is None or cell.closed:
                cell = self.open_cell(self._own(serial))
            take = cell.push if always else cell.push_nowait
            take(self._letter(cell, request))
        except (HubkitError, TypeError) as error:
            there = self.cells.get(serial)
            hub = "" if there is None else there.hub_id
            self.dead_letter(self._own(serial), message_of(request), f"{type(error).__name__}: {error}", hub)

    def _letter(self, cell: Cell, request: Request) -> Letter:
        if request.kind == "info":
            return cell.message(request.args[0])
        return cell.letter(request.method, request.args, dict(request.kwargs))

    def pass_on(self, successor: Callable[[Item], None], request: Request) -> None:
        """A cast or plain message for an actor that has moved away."""
        successor((None, request.method, request.args, dict(request.kwargs)))

    # Watches.

    def monitor(self, cell: Cell, ref: Ref[Any]) -> Monitor:
        """Watch the actor of ``ref`` for ``cell``."""
        if not isinstance(ref, Ref):
            msg = f"monitor needs a Ref, not {ref!r:.80}"
            raise ConfigurationError(msg)
        pid = ref.pid
        self._monitor += 1
        number = self._monitor
        monitor = Monitor(number, pid)
        self._monitors[number] = (cell, monitor)
        if cell.monitors is None:
            cell.monitors = set()
        cell.monitors.add(number)
        if self.witness is not None:
            self.witness.monitored(cell.pid, monitor)
        if pid is not None and self.is_mine(pid):
            self.add_remote_watch(pid.serial, number, partial(self.down, number, pid))
        elif pid is not None and self.remote is not None:
            self.remote.monitor(number, pid)
        else:
            self.down(number, pid, "noproc")
        return monitor

    def demonitor(self, cell: Cell, number: int) -> bool:
        """Undo `monitor`. Returns whether the `Down` was still to come."""
        held = self._monitors.get(number)
        if held is None or held[0] is not cell:
            return False
        del self._monitors[number]
        if self.witness is not None:
            self.witness.demonitored(cell.pid, held[1])
        pid = held[1].pid
        if cell.monitors is not None:
            cell.monitors.discard(number)
        if pid is not None and self.is_mine(pid):
            self.remove_remote_watch(pid.serial, number)
        elif pid is not None and self.remote is not None:
            self.remote.demonitor(number, pid)
        return True

    def down(self, number: int, pid: Pid | None, reason: str, error: BaseException | None = None) -> None:
        """The incarnation that monitor ``number`` of ours watches is gone. May be called more than once: the first counts."""
        held = self._monitors.pop(number, None)
        if held is not None:
            cell, monitor = held
            if cell.monitors is not None:
                cell.monitors.discard(number)
            cell.inform_of_down(Down(monitor, pid, reason, error))
            if self.witness is not None:
                self.witness.down(cell.pid, monitor, reason)

    def add_remote_watch(self, serial: int, token: object, on_down: OnDown) -> None:
        """Call ``on_down(reason, error)`` once when that actor of ours has ended; at once, as ``"noproc"``, if it has."""
        cell = self.cells.get(serial)
        if cell is None:
            on_down("noproc", None)
            return
        if cell.watchers is None:
            cell.watchers = {}
        cell.watchers[token] = on_down

    def remove_remote_watch(self, serial: int, token: object) -> None:
        """Undo `add_remote_watch`."""
        cell = self.cells.get(serial)
        if cell is not None and cell.watchers is not None:
            cell.watchers.pop(token, None)

    # What cannot be delivered.

    def dead_letter(self, target: Pid | ChildKey | str, message: Any, reason: str, hub: str = "") -> None:
        """Publish a message that nobody will handle."""
        if self.publish is not None:
            self.publish(DeadLetter(str(target), message, reason, hub=hub))
            return
        cell = self.find(target) if isinstance(target, Pid) else None
        name = target if cell is None else cell.describe()
        reports.logger.warning("a message to %s was not handled (%s): %.200r", name, reason, message)


def _prepare(
    cell: Cell, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], chain: tuple[Pid, ...]
) -> tuple[Coroutine[Any, Any, Any], str]:
    if chain and cell.pid in chain:
        raise deadlock(cell.pid, chain)
    name, handler, _ = cell.table.get(method) or cell.find_method(method)
    return handler(cell.instance, *args, **kwargs), name


async def _wait_for(call: Call) -> Any:
    call.mailbox.push_call(call)
    return await sit(call)


#: The system of the node in whose block the current task runs, if any.
system_var: ContextVar[System | None] = ContextVar("hubkit_system", default=None)
_run_system: trio.lowlevel.RunVar[System | None] = trio.lowlevel.RunVar("hubkit_run_system", default=None)


def current_system() -> System:
    """The system of the current actor; else of the node whose block this is; else the one of this trio run."""
    cell = current_cell()
    system = cell.system if cell is not None else system_var.get()
    if system is None:
        system = _run_system.get()
        if system is None:
            system = System()
            _run_system.set(system)
    return system
