"""The children that run on this node: one task each, which starts, restarts, parks and stops it.

Law of this room: a child's trouble stays its own. Each child has its own restart history; one that passes the limit, or
cannot be started, is *parked*: its siblings keep their tasks, their state and their pids, and it is tried again with
backoff until it is no longer wanted here. Supervision restarts instances; whether a child belongs here is not decided in
this room but told to it (`start`, `stop`).

The keeper of a child is the task its actor runs in: a running child costs one task, and stopping one in bounded time is
a deadline on the cancel scope around it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import trio

from hubkit.actors.cell import Cell
from hubkit.actors.messages import Exit
from hubkit.actors.system import System
from hubkit.cluster.rows import Ticket, Want
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError
from hubkit.events import ChildFailed, ChildRestarted, ChildStarted, ChildStarting, ChildStopped, Event
from hubkit.hub.quorum import Gate
from hubkit.hub.states import State
from hubkit.hub.wants import Wish, WishReader, check_spec
from hubkit.logs import Log
from hubkit.names import error_name, error_text
from hubkit.pids import NodeId, Pid
from hubkit.specs import Backoff, ChildSpec, Restart
from hubkit.supervision.restarts import History, Limits, Verdict, decide, restart_delay

if TYPE_CHECKING:
    from hubkit.hub.handovers import Handovers

__all__ = ["Household", "Keeper", "Prepare", "Reports", "Witness", "failure_text"]

log: Log = Log("hubkit.hub")

#: how many children begin to start in one turn of the scheduler
STARTS = 100

PARKED = Backoff(first=0.5, factor=2.0, max=60.0, jitter=0.2)

Prepare = Callable[[ChildSpec, Any], Any]


def failure_text(error: BaseException) -> str:
    """An exception in one bounded line, as other nodes will read it."""
    return f"{error_name(error)}: {error_text(error)[:1000]}"


class Reports(Protocol):
    """Whom the household tells what has happened. All plain calls that only take note."""

    def started(self, child: str, term: int, serial: int) -> None:
        """The child runs."""

    def failed(self, child: str, term: int, error: BaseException) -> None:
        """It could not be started, or crashed too often."""

    def stopped(self, child: str) -> None:
        """It has stopped, as it was told to."""

    def ended(self, child: str, term: int) -> None:
        """It ended on its own account and is not to be restarted."""


class Witness(Protocol):
    """Who is told, in the very moment, what a child on this node can do: for simulations."""

    def began(self, keeper: Keeper) -> None:
        """From now on it may begin to handle a message."""

    def ending(self, keeper: Keeper) -> None:
        """From now on it begins to handle no more."""

    def ended(self, keeper: Keeper) -> None:
        """It is gone."""

    def kept(self, keeper: Keeper, ticket: Ticket, holders: tuple[NodeId, ...]) -> None:
        """A checkpoint is complete: the copies on these nodes hold it."""

    def changed(self, keeper: Keeper) -> None:
        """It is let go, and its state is no longer what was handed over."""


class _Started:
    """What a cell calls when its actor has started, in the place of a `trio.TaskStatus`."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def started(self, value: object = None) -> None:
        self._call()


@dataclass(slots=True, eq=False)
class Keeper:
    """One child on this node.

    ``born``: the term of its start, by which the core knows it. ``passive``: it stands by. ``role``: told last.
    ``frozen``: for which move. ``held``: the newest state that was taken of it, or that it has accepted; ``owed``: nothing
    was handled since, so the next incarnation goes on from there. ``offers``: how many states of others wait for it;
    ``offered``: who has offered it one that it has not accepted yet. ``recalled``: it was told to end, and to begin anew
    when it is called again.
    """

    child: str
    want: Want
    term: int
    reason: str
    cell: Cell | None = None
    running: bool = False
    stopping: str | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    unpark: trio.Event = field(default_factory=trio.Event)
    gone: trio.Event = field(default_factory=trio.Event)
    parked_times: int = 0
    last_pid: Pid | None = None
    crash: BaseException | None = None
    shutdown: float = 5.0
    restarts: int = 0
    born: int = 0
    passive: bool = False
    role: str = ""
    frozen: Ticket | None = None
    held: tuple[Ticket, State] | None = None
    owed: bool = False
    offered: tuple[NodeId, Ticket] | None = None
    offers: int = 0
    recalled: bool = False
    gate: Gate | None = None


class Household:
    """All children of one hub that run on this node."""

    def __init__(
        self,
        *,
        hub_id: str,
        hub: Any,
        system: System,
        reader: WishReader,
        reports: Reports,
        publish: Callable[[Event], None],
        environment: Environment,
        limits: Limits,
        prepare: Prepare | None,
        gate: Callable[[], Gate | None] = lambda: None,
        most: float = math.inf,
    ) -> None:
        self._hub_id, self._hub, self._system = hub_id, hub, system
        self.reader: WishReader = reader
        self._reports, self._publish, self._environment = reports, publish, environment
        self._limits, self._prepare = limits, prepare
        self._gate, self._most = gate, most
        self.keepers: dict[str, Keeper] = {}
        self._queue: deque[Keeper] = deque()
        self._handled = 0
        self.starts: int = 0
        self.restarts: int = 0
        self.stops: int = 0
        self.witness: Witness | None = None
        self.publish: Callable[[Event], None] = publish
        self.handovers: Handovers | None = None
        #: whether copies that stand by handle messages nonetheless
        self.all_active: bool = False

    def start(
        self,
        child: str,
        want: Want,
        term: int,
        reason: str,
        *,
        passive: bool = False,
        held: tuple[Ticket, State] | None = None,
    ) -> None:
        """Take a child in; `launch` begins to run it."""
        assert child not in self.keepers, f"{child} is kept already"
        keeper = Keeper(child, want, term, reason, born=term, passive=passive, held=held, gate=self._gate())
        keeper.owed = held is not None
        self.keepers[child] = keeper
        self._queue.append(keeper)

    def launch(self, nursery: trio.Nursery) -> bool:
        """Begin to run the next children in line; whether there are more.

        A thousand starts in one turn of the scheduler would hold up the heartbeats for a second.
        """
        for _ in range(min(STARTS, len(self._queue))):
            nursery.start_soon(self._keep, self._queue.popleft())
        return bool(self._queue)

    def stop(self, child: str, reason: str, grace: float = math.inf, by: float | None = None) -> None:
        """Begin to stop a child: at once while it starts or is parked, else as its spec's ``shutdown`` allows.

        ``by``: the time by this node's clock at which it must have stopped, whatever else is allowed.
        """
        keeper = self.keepers.get(child)
        if keeper is None:
            return
        allowed = min(keeper.shutdown, grace, self._most)
        if by is not None:
            allowed = min(allowed, by - self._environment.now())
        first, keeper.stopping = keeper.stopping is None, keeper.stopping or reason
        keeper.unpark.set()
        cell = keeper.cell
        if first:
            self.ending(keeper)
            if self.handovers is not None and reason == "moved":
                self.handovers.moves(keeper)
        if cell is None:
            keeper.scope.cancel()
        elif allowed <= 0 or not keeper.running:
            cell.cancel()
        else:
            cell.scope.deadline = min(cell.scope.deadline, trio.current_time() + allowed)
            if not first:
                return
            if reason == "conflict" and self.handovers is not None and cell.instance is not None and not keeper.passive:
                cell.order(self.handovers.merges.leave(keeper, cell))
            else:
                cell.request_stop(reason)

    def begins(self, keeper: Keeper) -> None:
        """From now on it may begin to handle messages (again)."""
        if self.witness is not None and keeper.running and keeper.stopping is None and self._handles(keeper):
            self.witness.began(keeper)

    def rests(self, keeper: Keeper) -> None:
        """For a time it handles no messages: `begins` ends that."""
        if self.witness is not None and keeper.running:
            self.witness.ended(keeper)

    def ending(self, keeper: Keeper) -> None:
        """From now on it begins to handle no more messages."""
        if self.witness is not None and keeper.running:
            self.witness.ending(keeper)

    def _handles(self, keeper: Keeper) -> bool:
        """Whether it is the one copy that handles messages. (Where all do there is no such one.)"""
        return not keeper.passive and not self.all_active

    def enforce(self) -> None:
        """End by force what must have stopped by now, for whatever reason it was told to.

        (It has been, in most cases; but the deadline of a scope stands still while a machine is suspended.)
        """
        for keeper in self.keepers.values():
            if keeper.gate is not None and keeper.cell is not None and keeper.gate.is_overdue:
                keeper.cell.cancel()

    def running(self) -> int:
        """How many children really run here, whatever the map says."""
        return sum(keeper.running for keeper in self.keepers.values())

    def messages(self) -> int:
        """How many messages the children here have handled."""
        return self._handled + sum(keeper.cell.handled for keeper in self.keepers.values() if keeper.cell is not None)

    # -- the life of one child ----------------------------------------------------------------------------------------

    async def _keep(self, keeper: Keeper) -> None:
        over = False
        try:
            over = await self._live(keeper)
        finally:
            self.keepers.pop(keeper.child, None)
            if self.handovers is not None:
                self.handovers.gone(keeper)
            keeper.gone.set()
            if over and keeper.stopping is None:
                self._reports.ended(keeper.child, keeper.born)
            else:
                self._reports.stopped(keeper.child)

    async def _live(self, keeper: Keeper) -> bool:
        """Run the child until it is told to stop (`False`) or has ended for good (`True`)."""
        history: History = ()
        reason = keeper.reason
        while keeper.stopping is None:
            while keeper.frozen is not None and keeper.cell is None and keeper.stopping is None:
                await self._parked(keeper, 0.1)  # its state is on its way: nothing begins before that is settled
            if keeper.stopping is not None:
                break
            wish, exit = await self._incarnation(keeper, reason)
            if keeper.stopping is not None:
                break
            # A child that has never run is parked at once: whoever asked for it is told, and decides.
            restart: Restart = "permanent" if wish is None or exit is None else wish.spec.restart
            if keeper.recalled:
                keeper.recalled, reason = False, "start"
                continue
            normal = exit is not None and exit.is_normal
            verdict, history = decide(restart, normal, history, self._environment.now(), self._limits)
            if verdict in (Verdict.KEEP, Verdict.FORGET):
                return True
            reason = keeper.reason if keeper.last_pid is None else "restart"
            if verdict is Verdict.GIVE_UP or keeper.last_pid is None:
                await self._park(keeper, keeper.crash or RuntimeError("it ended too often, each time without an error"))
                history = ()
                continue
            self.restarts += 1
            keeper.restarts += 1
            await self._back_off(keeper, wish, len(history))
        return False

    async def _incarnation(self, keeper: Keeper, reason: str) -> tuple[Wish | None, Exit | None]:
        """Run one instance to its end. No `Exit` means that it did not start; ``keeper.crash`` says why."""
        self._publish(ChildStarting(keeper.child, reason, hub=self._hub_id))
        wish, exit, keeper.running = None, None, False
        try:
            with keeper.scope:
                if keeper.gate is not None and not keeper.passive and not keeper.gate():
                    await trio.sleep_forever()  # until it is told to stop
                wish = await self._wish(keeper)
                spec, keeper.shutdown = wish.spec, wish.spec.shutdown
                keeper.cell = cell = self._system.spawn(
                    spec.start,
                    spec.args,
                    spec.kwargs,
                    mailbox=spec.mailbox,
                    shutdown=spec.shutdown,
                    restarts=keeper.restarts,
                    child_id=keeper.child,
                    hub=self._hub,
                    hub_name=self._hub_id,
                    metadata=wish.metadata,
                    term=keeper.term,
                    start_reason=reason,
                )
                cell.stands_by = keeper.passive and not self.all_active
                cell.role = "passive" if cell.stands_by else "active"
                if self.handovers is not None:
                    cell.restore = self.handovers.restore(keeper, cell)
                cell.gate = keeper.gate
                exit = await cell.run(task_status=_Started(lambda: self._on_started(keeper, cell, reason)))
        except Exception as error:
            keeper.crash = error
        self._on_ended(keeper, exit)
        keeper.scope = trio.CancelScope()
        return wish, exit

    async def _wish(self, keeper: Keeper) -> Wish:
        if self._prepare is None:
            return self.reader.open(keeper.child, keeper.want)
        wish = self.reader.open_anew(keeper.child, keeper.want)
        answer = self._prepare(wish.spec, wish.metadata)
        if isinstance(answer, Awaitable):
            answer = await answer
        match answer:
            case (ChildSpec() as spec, metadata) if spec.id == keeper.child:
                return Wish(check_spec(spec), metadata, wish.tag)
        msg = f"prepare must return the pair (spec, metadata) of child {keeper.child!r}, its id unchanged; not {answer!r:.80}"
        raise ConfigurationError(msg)

    def _on_started(self, keeper: Keeper, cell: Cell, reason: str) -> None:
        keeper.running = True
        self.starts += 1
        if reason == "restart" and keeper.last_pid is not None:
            restarted = ChildRestarted(keeper.child, keeper.last_pid, cell.pid, keeper.crash, hub=self._hub_id)
            self._publish(restarted)
        self._publish(ChildStarted(keeper.child, cell.pid, reason, hub=self._hub_id))
        keeper.last_pid = cell.pid
        if self.handovers is None:
            self.begins(keeper)
        else:
            self.handovers.began(keeper, cell)
        self._reports.started(keeper.child, keeper.born, cell.pid.serial)
        if keeper.stopping is not None:  # told to stop in the very moment of its start
            self.ending(keeper)
            cell.request_stop(keeper.stopping)
            self.stop(keeper.child, keeper.stopping)

    def _on_ended(self, keeper: Keeper, exit: Exit | None) -> None:
        cell, keeper.cell, was = keeper.cell, None, keeper.running
        keeper.running = False
        if cell is not None and keeper.stopping is None and self.handovers is not None:
            self.handovers.ended(keeper, cell)
        if exit is not None:
            keeper.crash = exit.error
        if cell is not None and was:
            if self.witness is not None:
                self.witness.ended(keeper)
            self.stops += 1
            self._handled += cell.handled
            why = keeper.stopping or (exit.reason if exit is not None else "killed")
            self._publish(ChildStopped(keeper.child, cell.pid, why, hub=self._hub_id))

    async def _back_off(self, keeper: Keeper, wish: Wish | None, attempt: int) -> None:
        backoff = None if wish is None else wish.spec.backoff
        if backoff is None:
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(restart_delay(backoff, attempt, self._environment.random.random())):
            await keeper.unpark.wait()

    async def _park(self, keeper: Keeper, error: BaseException) -> None:
        keeper.parked_times += 1
        delay = PARKED.delay(keeper.parked_times, self._environment.random.random())
        text = failure_text(error)
        if keeper.last_pid is None:  # whoever asked for it is told, and may well withdraw it
            log.warning("hub %s: child %s did not start: %s", self._hub_id, keeper.child, text)
        else:
            log.error("hub %s: child %s is parked for %.1f s: %s", self._hub_id, keeper.child, delay, text)
        self._publish(ChildFailed(keeper.child, text, delay, hub=self._hub_id))
        self._reports.failed(keeper.child, keeper.born, error)
        await self._parked(keeper, delay)

    async def _parked(self, keeper: Keeper, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await keeper.unpark.wait()
