"""`Ref`: the handle that users keep.

Law of this room: a ref is the same for an actor in this process, on another node, or moved since. It holds an address,
not an actor: a `Pid` (one incarnation), or a `ChildKey` (a child, wherever it runs now), which is looked up at every use. Only
of a supervisor's child, which runs nowhere else until it has ended, is the actor kept till then.

At most once: only `NotBegun`, which says that a request certainly had no effect, lets a ref that follows a child look
for the next incarnation and send again. Everything else is raised.

Every awaited operation is a checkpoint, as trio's own are, with one economy: of the casts and sends that one task
makes in a row, all can be cancelled, but only the first and then every eighth lets other tasks run. A trip through
the scheduler costs ten times as much as the cast.

The local way is written out in `call` and `cast_nowait`, nearly without helpers, because a Python call costs as much as
the work done there: see ``benchmarks/actors.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

import trio

from hubkit.actors.actor import Method, method_name
from hubkit.actors.cell import Cell, current_cell, current_chain
from hubkit.actors.deadlines import effective_deadline
from hubkit.actors.mailbox import Call, Letter, Note
from hubkit.actors.messages import Kind, NotBegun, NowhereNow, Request
from hubkit.actors.parking import ASLEEP, WOKEN, sit, wait_in
from hubkit.errors import Deadlock, HubkitError, NodeDown, NoSuchActor
from hubkit.pids import ChildKey, Pid

if TYPE_CHECKING:
    from hubkit.actors.seams import Stream
    from hubkit.actors.system import System

__all__ = ["Ref"]

A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")

#: How many casts follow one that let others run, before the next one does.
_CASTS_IN_A_ROW = 7
#: Seconds by which the clocks of two nodes may disagree on when a caller's time is over.
_CLOCKS = 1.0

_current_task = trio.lowlevel.current_task
_reschedule = trio.lowlevel.reschedule


class _Nobody:
    """What stands for the actor of a ref as long as none is known: it can do nothing, and takes nothing."""

    closed = True

    queue = None
    table: Mapping[object, Method] = MappingProxyType({})


_NOBODY = cast("Cell", _Nobody)


class _NoStream:
    """What stands for the casts of a ref as long as none have been sent elsewhere."""

    is_open = False


_NO_STREAM = cast("Stream", _NoStream)


class Ref(Generic[A_co]):
    """A handle to an actor: hashable, equal by address, can be sent in messages.

    Typed by the method that is given: ``await ref.call(Counter.add, 2)`` is an `int` if ``add`` returns one, and
    the arguments are checked; ``await ref.call("add", 2)`` is `Any`.
    """

    __slots__ = ("_cell", "_stream", "_system", "address")

    def __init__(self, system: System, address: Pid | ChildKey) -> None:
        self._system = system
        #: What this ref is bound to: one incarnation, or a child.
        self.address: Pid | ChildKey = address
        self._stream: Stream = _NO_STREAM  # the casts to another node that were begun last
        self._cell: Cell = (system.find(address) if isinstance(address, Pid) else None) or _NOBODY

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<Ref {self.address}>"

    def __copy__(self) -> Ref[A_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Ref[A_co]:
        return self

    @property
    def pid(self) -> Pid | None:
        """The incarnation that a message sent now would go to; `None` while the child runs nowhere. No network."""
        address, system = self.address, self._system
        if isinstance(address, Pid):
            return address
        running = system.hubs.get(address.hub)
        return system.locator(address).resolve(address) if running is None else running(address.child)

    # Calls.

    @overload
    async def call(
        self, method: Callable[Concatenate[A_co, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any: ...
    async def call(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Send a request and wait for the reply.

        Raises what the method raised, if that is a `Reject`; `ActorCrashed`, `NoSuchActor`, `NoSuchMethod`,
        `Deadlock`; `NodeDown`, `NoQuorum`, `NotSerializable` where another node is concerned; `HubClosed` when the node
        that this ref is of has ended; `TypeError` when the arguments do not fit the method. Bound its time with
        `trio.fail_after`: a call that is cancelled before it began is withdrawn, one that began is finished unheard.
        Example::

            with trio.fail_after(5):
                total = await ref.call(Counter.add, 2)
        """
        cell = self._cell
        found = cell.table.get(method)
        if found is None:
            pid, remote = self.pid, self._system.remote
            if pid is not None and remote is not None and pid.node != self._system.node and not kwargs:  # far away
                self._cell = _NOBODY
                chain = current_chain()
                if chain and pid in chain:
                    raise deadlock(pid, chain)
                asked = remote.ask(pid, method if type(method) is str else method_name(method), args, chain)
                if asked is None:
                    return await self._call_anywhere(method, args, kwargs, None, pid)
                try:
                    await wait_in(asked)
                    return remote.answer_of(asked)
                except trio.TooSlowError:
                    await _time_out()
                    raise
                except NotBegun as ended:
                    if isinstance(self.address, Pid):
                        raise self._nobody(ended) from None
                return await self._call_anywhere(method, args, kwargs, pid)
            cell = self._at(pid) or _NOBODY
            found = cell.table.get(method)
            if found is None:
                return await self._call_anywhere(method, args, kwargs, None, pid)
        chain = current_chain()
        if chain and cell.pid in chain:
            raise deadlock(cell.pid, chain)
        name, handler, _ = found
        call = Call(handler(cell.instance, *args, **kwargs), name, args, kwargs, chain, cell, _current_task())
        cell.push_call(call)
        try:
            return await sit(call)
        except NotBegun as ended:
            if isinstance(self.address, Pid):
                raise self._nobody(ended) from None
        return await self._call_anywhere(method, args, kwargs, cell.pid)

    async def _call_anywhere(
        self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], after: Pid | None, pid: Pid | None = None
    ) -> Any:
        """Call wherever the actor is (at ``pid``?), or will be; ``after``: the incarnation that is known to have ended."""
        system, address = self._system, self.address
        system.check_open()
        chain = current_chain()
        name = method_name(method)
        while True:
            if pid is None:
                pid = await self._locate(after)
            if pid in chain:
                raise deadlock(pid, chain)
            try:
                if system.is_mine(pid):
                    return await system.call_here(pid, method, args, kwargs, chain)
                deadline = effective_deadline()
                return await system.other_nodes(pid).call(pid, Request("call", name, args, kwargs, chain, deadline))
            except trio.TooSlowError:
                await _time_out()
                raise
            except NotBegun as ended:
                if isinstance(address, Pid):
                    raise self._nobody(ended) from None
                after, pid = pid, None

    # Casts and plain messages.

    @overload
    async def cast(
        self, method: Callable[Concatenate[A_co, P], Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    async def cast(self, method: str, /, *args: Any, **kwargs: Any) -> None: ...
    async def cast(self, method: Any, /, *args: Any, **kwargs: Any) -> None:
        """Send a request without a reply; waits only for room in the mailbox. A checkpoint.

        Raises `NoSuchActor`, `NoSuchMethod`, `TypeError`; `Deadlock` when the mailbox is full and its actor waits,
        directly or through others, for the sender; `HubClosed`; and for another node what `call` raises.
        """
        await self._take_turn()
        cell = self._find()
        if cell is None or cell.full:
            await self._deliver("cast", method, args, kwargs)
        else:
            cell.push(cell.letter(method, args, kwargs))

    @overload
    def cast_nowait(
        self, method: Callable[Concatenate[A_co, P], Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def cast_nowait(self, method: str, /, *args: Any, **kwargs: Any) -> None: ...
    def cast_nowait(self, /, *note: Any, **kwargs: Any) -> None:
        """Send a request without a reply, and do not wait for anything.

        Raises `trio.WouldBlock` (a `MailboxFull`) when there is no room, or (a `NoSuchActor`) when the child runs
        nowhere at this moment; `NoSuchActor` when the actor has ended, `HubClosed` when this ref's own node has. To
        another node it may be lost later: then there is a `DeadLetter` event.
        """
        cell = self._cell
        queue = cell.queue
        if queue is None:
            self._cast_anywhere_nowait(note, kwargs)
            return
        try:
            fits = cell.table[note[0]][2] == len(note)
        except (LookupError, TypeError):
            fits = False
        if not fits or kwargs:
            self._cast_anywhere_nowait(note, kwargs)
            return
        if len(queue) >= cell.capacity:
            raise cell.no_room()
        queue.append(note)
        task = cell.parked
        if task is not None:
            cell.parked = None
            if task.custom_sleep_data is ASLEEP:
                _reschedule(task, WOKEN)
        elif cell.current is not None and cell.marked is None:
            cell.mark(queue[-1])

    def _cast_anywhere_nowait(self, note: Note, kwargs: dict[str, Any]) -> None:
        stream = self._stream
        if stream.is_open and note and stream.given == note[0] and not kwargs:  # to another node, as the last one
            pid = self.pid
            if pid is stream.pid and stream.add(note[1:]):
                return
        if not note:
            msg = "cast_nowait() needs a method and its arguments: ref.cast_nowait(Counter.add, 2)"
            raise TypeError(msg)
        cell, pid, method, args = self._cell, None, note[0], note[1:]
        if cell.closed:
            pid = self.pid
            cell = self._at(pid) or _NOBODY
        if cell is not _NOBODY:
            cell.push_nowait(cell.letter(method, args, kwargs))
            return
        name, remote = method if type(method) is str else method_name(method), self._system.remote
        if not kwargs and pid is not None and remote is not None:
            begun = remote.stream(pid, method, name, args)
            if begun is not None:
                self._stream = begun
                return
            if remote.cast_at_once(pid, name, args):
                return
        self._send_elsewhere_nowait(Request("cast", name, args, kwargs), pid)

    async def send(self, message: object) -> None:
        """Send a plain message; it arrives through ``on_info`` or ``receive``. Waits and raises as `cast`."""
        await self._take_turn()
        cell = self._find()
        if cell is None or cell.full:
            await self._deliver("info", "", (message,), {})
        else:
            cell.push(cell.message(message))

    def send_nowait(self, message: object) -> None:
        """Send a plain message without waiting for anything. Raises as `cast_nowait`."""
        cell = self._find()
        if cell is None:
            self._send_elsewhere_nowait(Request("info", "", (message,)), self.pid)
        else:
            cell.push_nowait(cell.message(message))

    async def _take_turn(self) -> None:
        """A checkpoint; of casts in a row only some let others run."""
        system = self._system
        task = _current_task()
        if system.credit and system.caster is task:
            system.credit -= 1
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            system.caster = task
            system.credit = _CASTS_IN_A_ROW
            await trio.lowlevel.checkpoint()

    async def _deliver(self, kind: Kind, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Cast or send wherever the actor is, or will be, once there is room."""
        system = self._system
        system.check_open()
        chain = current_chain()
        name = "" if kind == "info" else method_name(method)
        after: Pid | None = None
        while True:
            pid = await self._locate(after)
            try:
                if system.is_mine(pid):
                    cell = system.open_cell(pid)
                    if cell.full and pid in chain:
                        raise deadlock(pid, chain)
                    letter: Letter = cell.message(args[0]) if kind == "info" else cell.letter(method, args, kwargs)
                    await cell.push_when_room(letter)
                else:
                    deadline = effective_deadline()
                    await system.other_nodes(pid).cast(pid, Request(kind, name, args, kwargs, chain, deadline))
                return
            except NotBegun as ended:
                if isinstance(self.address, Pid):
                    raise self._nobody(ended) from None
                after = pid

    def _send_elsewhere_nowait(self, request: Request, pid: Pid | None) -> None:
        self._system.check_open()
        if pid is None:
            msg = (
                f"child {self.address} runs nowhere at this moment; `await ref.send(...)` waits, if it is still wanted"
            )
            raise NowhereNow(msg)
        if self._system.is_mine(pid):
            successor = self._system.successors.get(pid.serial)
            if successor is not None:  # the child has moved this moment, and the registry does not know it yet
                self._system.pass_on(successor, request)
                return
            msg = f"no actor lives at {pid} any more"
            raise NoSuchActor(msg)
        self._system.other_nodes(pid).cast_nowait(pid, request)

    # Where it is.

    def _find(self) -> Cell | None:
        """The actor, if it runs in this process and takes messages."""
        cell = self._cell
        return self._at(self.pid) if cell.closed else cell

    def _at(self, pid: Pid | None) -> Cell | None:
        """The same, where ``pid`` is known."""
        if pid is None:  # only an actor that is about to start can be sent to already, and by itself
            cell = current_cell()
            return None if cell is None or cell.closed or cell.key != self.address else cell
        system = self._system
        if pid.node != system.node:
            self._cell = _NOBODY
            return None
        cell = system.find(pid)
        if cell is not None and cell.closed:
            cell = None
        keep = cell is not None and (pid is self.address or cell.hub_name in system.directories)
        self._cell = cell if cell is not None and keep else _NOBODY
        return cell

    async def _locate(self, after: Pid | None) -> Pid:
        """The incarnation to send to; waits for one, if this ref follows a child that runs nowhere."""
        address = self.address
        if isinstance(address, Pid):
            return address
        locator = self._system.locator(address)
        pid = locator.resolve(address)
        return await locator.locate(address, after) if pid is None or pid == after else pid

    def _nobody(self, ended: NotBegun) -> HubkitError:
        """What a ref to one incarnation raises: that one will not come back."""
        if self._system.closed:
            return self._system.has_ended()
        if isinstance(ended, NodeDown):
            return NodeDown(str(ended), maybe_executed=False)
        return NoSuchActor(str(ended))


async def _time_out() -> None:
    """By the clock of the other node, the time of a call was over before it began: the caller's own timeout ends it.

    That is due as well, but its task had no turn since; or it is about to be, as no two clocks are alike.
    """
    deadline = effective_deadline()
    if deadline - trio.current_time() < _CLOCKS:  # else it has been put off meanwhile
        await trio.sleep_until(deadline)


def deadlock(pid: Pid, chain: tuple[Pid, ...]) -> Deadlock:
    """The error of a request to ``pid`` that carries a ``chain`` with ``pid`` in it."""
    path = " -> ".join(map(str, (*chain, pid)))
    return Deadlock(f"{pid} waits for the sender of this request, so neither could go on: {path}")
