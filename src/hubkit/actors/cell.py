"""One incarnation of one actor, from its start to its end.

Law of this room: a cell begins once and ends once, and says how (`Exit`); when it has ended nothing of it is left: no task,
no timer, no watch, no message. Every request in its mailbox was handled or answered by then. `trio.Cancelled` and
`KeyboardInterrupt` pass through; an `Exception` is a crash.

The actor runs in one task. Once started the task is shielded: only `Cell.cancel` ends it by force, so that whoever
leaves a block by an exception can still stop it in order, with its ``on_stop``. Whoever runs a cell must therefore stop
it. While it is idle only `Cell.run` and what it awaits are on its stack: a hundred thousand actors pay for each frame.

trio cannot end a task that never reaches a checkpoint, or shields itself; nor can we.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from hubkit.actors import reports
from hubkit.actors.actor import Actor, Method, methods_of
from hubkit.actors.background import Background
from hubkit.actors.context import Context
from hubkit.actors.current import current, current_cell, current_chain
from hubkit.actors.downs import Downs
from hubkit.actors.ending import end_background, finish, interrupted
from hubkit.actors.keeper import Keeper, OnDown
from hubkit.actors.mailbox import AnyLetter, Call, Held, Letter, is_note
from hubkit.actors.messages import Down, Exit
from hubkit.actors.serving import serve
from hubkit.actors.standing import ORDER, SYSTEM, Order, Standing
from hubkit.errors import ActorCrashed, NoSuchMethod
from hubkit.names import error_text
from hubkit.pids import ChildKey, Pid

if TYPE_CHECKING:
    from hubkit.actors.system import System
    from hubkit.actors.timers import Timer

__all__ = ["Cell", "Keeper", "OnDown", "current_cell", "current_chain"]


_NO_METHODS: dict[object, Method] = {}


class Cell(Standing):
    """One incarnation: its mailbox, its task, its end. `System.spawn` makes it, `run` runs it."""

    __slots__ = (
        "args", "background", "cause", "chain", "child_id", "downs", "function_scope", "gate", "hub", "hub_name",
        "instance", "killed", "kwargs", "metadata", "monitors", "pid", "reads_mailbox", "restarts",
        "restore", "role", "scope", "shutdown", "start", "start_reason", "started", "stop_reason", "system", "table", "task",
        "term", "timers", "watchers",
    )  # fmt: skip

    # Said again because they are also set here, from where a type checker would take them to be narrower.
    closed: bool
    current: Held | None
    handled: int
    marked_at: float
    parked: trio.lowlevel.Task | None
    queue: deque[Held] | None
    stop_reason: str | None

    def __init__(
        self,
        system: System,
        serial: int,
        start: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        mailbox: int,
        shutdown: float,
        child_id: str | None,
        hub: Any,
        hub_name: str,
        metadata: Any,
        term: int,
        start_reason: str,
        restarts: int,
    ) -> None:
        super().__init__(mailbox)
        self.system: System = system
        self.pid: Pid = Pid(system.node, system.incarnation, serial)
        self.start: Any = start
        self.args: tuple[Any, ...] = args
        self.kwargs: Mapping[str, Any] = kwargs
        self.shutdown: float = shutdown
        self.child_id: str | None = child_id
        self.hub: Any = hub
        self.hub_name: str = hub_name
        self.metadata: Any = metadata
        self.role: str = "active"
        self.term: int = term
        self.start_reason: str = start_reason
        self.restarts: int = restarts
        #: Who waits for what it does, itself the last; empty when nobody does, so that an idle actor pays for none.
        self.chain: tuple[Pid, ...] = ()
        self.instance: Actor | None = None
        #: What can be called, while messages are taken; empty before and after, and for functions.
        self.table: dict[object, Method] = _NO_METHODS
        self.task: trio.lowlevel.Task | None = None
        #: Its background tasks, if it has ever had any.
        self.background: Background | None = None
        #: What a supervisor ended for that gave up; to those above it, it has ended in order.
        self.cause: BaseException | None = None
        #: Whether it is to be ended by force.
        self.killed: bool = False
        self.scope: trio.CancelScope = trio.CancelScope()
        self.function_scope: trio.CancelScope | None = None
        self.reads_mailbox: bool = False
        self.started: bool = False
        self.stop_reason: str | None = None
        #: Asked before each message; what may not begin waits for the end.
        self.gate: Callable[[], bool] | None = None
        self.timers: set[Timer] | None = None
        #: Who watches this actor: token -> what to call.
        self.watchers: dict[object, OnDown] | None = None
        #: Which of its own watches have ended, and wait in its mailbox.
        self.downs: Downs | None = None
        #: The numbers of the monitors that this actor holds.
        self.monitors: set[int] | None = None
        #: Called after ``on_start``, before it counts as started: takes over the state of the incarnation before.
        self.restore: Order | None = None

    def __repr__(self) -> str:
        return f"<Cell {self.describe()}>"

    @property
    def context(self) -> Context:
        """What the actor sees of itself. (Not kept: each would keep the other until the collector comes.)"""
        return Context(self)

    @property
    def key(self) -> ChildKey | None:
        """The address that outlives this incarnation, if there is one."""
        return ChildKey(self.hub_name, self.child_id) if self.hub_name and self.child_id is not None else None

    @property
    def hub_id(self) -> str:
        """The id of its hub; empty outside any hub."""
        return self.hub_name if self.hub is not None else ""

    @property
    def is_stopping(self) -> bool:
        """Whether it is to end."""
        return self.stop_reason is not None

    def describe(self) -> str:
        """The actor as a person would name it."""
        name = f"{self.hub_id}/{self.child_id}" if self.hub_id else self.child_id
        return f"{name + ' ' if name else ''}{self.pid} ({getattr(self.start, '__hubkit_actor__', self.start)})"

    # What others ask of it.

    def letter(self, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Letter:
        """A cast of this method. Raises `NoSuchMethod`, or `TypeError` for arguments that do not fit."""
        name, handler, _ = self.table.get(method) or self.find_method(method)
        return (handler(self.instance, *args, **kwargs), name, args, kwargs)

    def spelled_out(self, letter: AnyLetter) -> Letter:
        """What a mailbox holds as a `Letter`, if it is a `Note`. Its handler has not begun, and nothing must be closed."""
        if not is_note(letter):
            return letter
        name = methods_of(type(self.instance)).by_key[letter[0]][0]  # type: ignore[arg-type]  # it has noted one: it is an actor
        return (None, name, letter[1:], {})

    @property
    def in_hand(self) -> Call | Letter | None:
        """What the actor is in the middle of."""
        current = self.current
        return self.spelled_out(current) if isinstance(current, tuple) else current

    def find_method(self, method: object) -> Method:
        """A method that the table does not show at once. Raises `NoSuchMethod`."""
        instance = self.instance
        if instance is None:
            msg = f"{self.describe()} is an actor function: it has no method {method!r:.80}, it reads what you send"
            raise NoSuchMethod(msg)
        return methods_of(type(instance)).find(method)

    def message(self, message: Any) -> Letter:
        """A plain message."""
        instance = self.instance
        return (None if instance is None else instance.on_info(message), "", (message,), {})

    def inform(self, message: Any) -> None:
        """Take a message of the system, room or not; of an actor that has ended it is dropped."""
        if not self.closed:
            instance = self.instance
            self.push((None if instance is None else instance.on_info(message), "", (message,), SYSTEM))

    def inform_of_down(self, down: Down) -> None:
        """The same for a message that may be forgotten again while it waits."""
        if not self.closed:
            downs = self.downs
            if downs is None:
                downs = self.downs = Downs(self)
            downs.add(down)
            self.push((None if self.instance is None else self._hear(self.instance, downs, down), "", (down,), SYSTEM))

    async def _hear(self, instance: Actor, downs: Downs, down: Down) -> None:
        if downs.take(down):
            await instance.on_info(down)

    @property
    def length(self) -> int:
        """How many messages wait."""
        return super().length - (0 if self.downs is None else self.downs.forgotten)

    def request_stop(self, reason: str = "shutdown") -> None:
        """Ask it to end once the message in progress is handled. The first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.wake()
            # A function that has never looked at its mailbox cannot notice; one that does finds its end there.
            if self.function_scope is not None and not self.reads_mailbox:
                self.function_scope.cancel()

    def cancel(self) -> None:
        """End it by force, at its next checkpoint, without ``on_stop``."""
        self.killed = True
        self.scope.cancel()

    def unhandled(self, message: Any) -> None:
        """A message came for which the actor has no ``on_info``."""
        self.system.dead_letter(self.pid, message, "the actor defines no on_info", self.hub_id)

    # Its life.

    async def run(
        self, *, task_status: trio.TaskStatus[Cell] = trio.TASK_STATUS_IGNORED, keeper: Keeper | None = None
    ) -> Exit:
        """Run it from its start to its end. A failing start raises; after the start there is always an `Exit`.

        ``keeper``, in place of ``task_status``, is told of the end, too; an error that it takes is not raised here.
        """
        before, self.task = current.get(), trio.lowlevel.current_task()
        current.set(self)
        self.system.cells[self.pid.serial] = self
        error: Exception | None = None
        reason, how = "killed", "interrupted"
        cause: BaseException | None = None
        try:
            try:
                try:
                    self.scope.__enter__()  # not ``with``, which keeps a bound method for each actor
                    try:
                        await (await self._begin(keeper or task_status))()
                        how = "normal"
                    except BaseException as failure:
                        if not self.scope.__exit__(type(failure), failure, failure.__traceback__):
                            raise
                    else:
                        self.scope.__exit__(None, None, None)
                except Exception as failure:
                    error, how = self._failed(failure), "crash"
                except BaseException:
                    await interrupted(self)
                    raise
                finally:
                    self._close(how)
                reason, error = await finish(self, error, broken_off=how == "interrupted")
                if not self.started:
                    raise error or ActorCrashed("killed before it had started")
            finally:
                if self.background is not None:
                    await end_background(self, self.background, error)
                current.set(before)
                cause = error or self.system.links.cause(self)
                self._bury(reason, error)
        except BaseException as failure:
            if keeper is None or not keeper.failed(failure):
                raise
            return Exit("killed", None, self.pid)
        end = Exit(reason, cause, self.pid)
        error = cause = None
        try:
            if keeper is not None:
                keeper.over(end)
            return end
        finally:
            del end, keeper  # a traceback keeps this frame: with them, nobody but the collector would ever free it

    def _failed(self, error: Exception) -> Exception:
        """Its own code has raised this: a crash, once it has started."""
        if not self.started:
            raise error
        doing = "in its function"
        if self.instance is not None:
            doing = f"while handling {reports.item_text(self.in_hand)}"
        self.crashed(error, doing)
        return error

    async def _begin(self, starter: trio.TaskStatus[Cell] | Keeper) -> Callable[[], Awaitable[None]]:
        """Make the actor and start it; returns what it does then."""
        start = self.start

        def begun() -> None:
            self.started = True
            self.scope.shield = True
            starter.started(self)

        if isinstance(start, type) and issubclass(start, Actor):
            instance: Actor = start.__new__(start, *self.args, **self.kwargs)
            object.__setattr__(instance, "context", self.context)
            self.instance = instance
            self.table = methods_of(start).by_key
            instance.__init__(*self.args, **self.kwargs)  # type: ignore[misc]  # as type.__call__ does, with a context
            self.closed = False
            await instance.on_start()
            if self.restore is not None:
                await self.restore()
            instance.__hubkit_begun__()
            # Not beyond this point if the starter has given up: the shield would keep it from ever noticing.
            await trio.lowlevel.checkpoint_if_cancelled()
            begun()
            return lambda: serve(self)
        main = getattr(start, "__hubkit_main__", None)
        self.closed = False
        if main is not None:
            if self.stands_by:
                begun()
                return lambda: self._call_later(lambda: main(self.context, lambda: None, *self.args, **self.kwargs))
            return lambda: self._call_function(main(self.context, begun, *self.args, **self.kwargs))
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.stands_by:
            begun()
            return lambda: self._call_later(lambda: start(self.context, *self.args, **self.kwargs))
        coroutine = start(self.context, *self.args, **self.kwargs)
        begun()
        return lambda: self._call_function(coroutine)

    async def _call_later(self, function: Callable[[], Awaitable[Any]]) -> None:
        """A function that stands by has not been called yet."""
        await self.stand_by()
        if self.stop_reason is None:
            await self._call_function(function())

    async def _call_function(self, coroutine: Awaitable[Any]) -> None:
        with trio.CancelScope() as self.function_scope:
            if self.stop_reason is not None and self.started and not self.reads_mailbox:
                self.function_scope.cancel()
            try:
                await coroutine
            except trio.EndOfChannel:
                # `receive` told it that it shall end, and it let that end it.
                if self.stop_reason is None:
                    raise

    # Its end.

    def crashed(self, error: BaseException, doing: str) -> None:
        """Tell the caller whose request is in progress, and the log."""
        current, self.current = self.in_hand, None
        if isinstance(current, Call):
            text = reports.item_text(current)
            where = f"while it handled {text}" if doing.startswith("while") else f"{doing} while it handled {text}"
            what = f"{type(error).__name__}: {error_text(error)}"
            crashed = ActorCrashed(f"actor {self.describe()} crashed {where}: {what}")
            crashed.__cause__ = error
            current.fail(crashed)
        if current is not None and not doing.startswith("while"):
            doing = f"{doing} while it handled {reports.item_text(current)}"
        waiting = None if self.closed else self.length
        reports.report_crash(self.describe(), doing, error, self.restarts, instance=self.instance, waiting=waiting)

    def _close(self, how: str = "killed") -> None:
        """Take no more messages; answer those that wait."""
        self.table = _NO_METHODS
        if not self.closed and self.successor is not None:
            self.queue = deque(self.pass_on(self.successor))
        if not self.closed:
            self.close(f"actor {self.describe()} has ended ({self.stop_reason or how})", self.undelivered)

    def has_expired(self, call: Call) -> None:
        """The time of a call was over before it began."""
        self.undelivered((None, call.method, call.args, call.kwargs), "the caller's deadline passed before it began")

    def undelivered(self, letter: AnyLetter, why: str) -> None:
        """Nobody handles this message."""
        _, method, args, kwargs = self.spelled_out(letter)
        if args is ORDER:
            return
        if kwargs is SYSTEM and self.downs is not None and type(args[0]) is Down and args[0] not in self.downs:
            return
        message = (method, (*args, *kwargs.items()) if kwargs else args) if method else args[0]
        self.system.dead_letter(self.pid, message, why, self.hub_id)

    def _bury(self, reason: str, error: BaseException | None) -> None:
        """It has ended: nothing of it may be left."""
        self._close()
        self.system.cells.pop(self.pid.serial, None)
        if self.system.witness is not None:
            self.system.witness.ended(self.pid)
        if isinstance(self.current, Call):
            self.current.fail(
                ActorCrashed(
                    f"actor {self.describe()} was stopped by force while it handled {reports.item_text(self.current)}"
                )
            )
        self.current = None
        for timer in list(self.timers or ()):
            timer.cancel()
        for number in sorted(self.monitors or ()):
            self.system.demonitor(self, number)
        self.system.owed.bury(self, reason, error)
        self.system.links.bury(self, reason, error)
        watchers, self.watchers = self.watchers, None
        for tell in (watchers or {}).values():
            tell(reason, error)
        self.instance = None
