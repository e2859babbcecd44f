"""`Supervisor`, which keeps children running by the rules of OTP's; `start`, one actor without a supervisor; `child`.

Law of this room: nothing outlives its block. Children are started in order, all or none, and stopped in reverse order.
What ``start`` started nobody restarts: when it crashes, its callers and those who monitor it learn it, the log tells
it, and the block goes on; what follows is the body's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, overload

import trio

from hubkit.actors import reports
from hubkit.actors.actor import Actor
from hubkit.actors.context import Context
from hubkit.actors.inspection import ActorInfo
from hubkit.actors.ref import Ref
from hubkit.actors.structured import StructuredNursery
from hubkit.actors.system import current_system
from hubkit.errors import AlreadyStarted, ConfigurationError, HubClosed, RestartIntensityExceeded, StartFailed
from hubkit.names import register_actor
from hubkit.specs import ChildSpec, check_count
from hubkit.supervision.children import GRACE, ChildCounts, ChildStatus, check_spec
from hubkit.supervision.manager import Manager
from hubkit.supervision.restarts import (
    AutoShutdown,
    Limits,
    Strategy,
    check_auto_shutdown,
    check_significant,
    check_strategy,
)
from hubkit.supervision.runner import Running, start_instance, stop_all
from hubkit.supervision.trees import tree

__all__ = ["Supervisor", "child", "start"]

P = ParamSpec("P")


class Supervisor:
    """Starts its children, restarts them when they fail, and stops them when the block is left. Example::

        async with hubkit.Supervisor(children=[hubkit.child("counter", Counter)]) as supervisor:
            ref = await supervisor.start_child(hubkit.child("other", Counter, 5))
            await ref.call(Counter.add, 1)

    ``strategy``: what is restarted with a child that failed: ``"one_for_one"`` that child, ``"one_for_all"`` all,
    ``"rest_for_one"`` that child and those started after it. ``max_restarts`` within ``max_seconds`` are borne; one more,
    and all children are stopped, the body is cancelled, and the block raises `RestartIntensityExceeded`, the last crash
    chained. ``auto_shutdown``: whether the end of one, or of all, significant children ends the block (quietly).
    ``max_children``: how many children there may be at a time.

    Refs of it follow a child through restarts: a call waits while the child is being restarted. As ``start`` of a
    `ChildSpec`, with the same arguments, it is itself a child.

    Left normally, each child has its ``shutdown`` to stop; left by an exception or a cancellation, it has at most 5 s,
    and all together 10 s. Raises `StartFailed` on entry if a child of ``children`` does not start; those before it are
    stopped again.
    """

    __hubkit_actor__: ClassVar[str] = "hubkit:Supervisor"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__hubkit_actor__ = register_actor(cls)

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        max_children: int | None = None,
    ) -> None:
        self._strategy: Strategy = check_strategy(strategy)
        self._limits = Limits(max_restarts, max_seconds)
        self._auto_shutdown: AutoShutdown = check_auto_shutdown(auto_shutdown)
        self._max_children = None if max_children is None else check_count(max_children, "max_children")
        if isinstance(children, ChildSpec) or not isinstance(children, Iterable):
            msg = f"children must be a list of ChildSpec, not {children!r:.80}"
            raise ConfigurationError(msg)
        self._initial = tuple(check_spec(spec) for spec in children)
        ids: set[str] = set()
        for spec in self._initial:
            check_significant(spec, self._auto_shutdown)
            if spec.id in ids:
                msg = f"two children have the id {spec.id!r}"
                raise ConfigurationError(msg)
            ids.add(spec.id)
        if self._max_children is not None and len(self._initial) > self._max_children:
            msg = f"{len(self._initial)} children, but max_children is {self._max_children}"
            raise ConfigurationError(msg)
        self._manager: Manager | None = None
        self._structured = StructuredNursery()
        #: That of the body: it is cancelled when the supervisor ends by itself.
        self._body = trio.CancelScope()

    def __repr__(self) -> str:
        manager = self._manager
        shown = "not entered" if manager is None else f"{manager.state}, {len(manager.children)} children"
        return f"<Supervisor {self._strategy}, {shown}>"

    # The block.

    async def __aenter__(self) -> Self:
        if self._manager is not None:
            msg = "a Supervisor can be entered once: make a new one"
            raise HubClosed(msg)
        nursery = await self._structured.enter()
        self._manager = Manager(
            current_system(), nursery, self._body.cancel, self._strategy, self._limits, self._auto_shutdown
        )
        try:
            async with self._manager.lock:
                for spec in self._initial:
                    await self._manager.start_new(spec)
            nursery.start_soon(self._manager.run, name="hubkit supervisor")
            self._body.__enter__()
        except BaseException as error:
            await self._manager.close(graceful=False)
            await self._structured.leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        manager = self._open_manager(closed=True)
        ours, error = self._leave_body(error)
        if error is not None and error is manager.refusal and (manager.failure is not None or manager.shut_down):
            ours, error = True, None  # the body came too late, for it ended by itself: that is no error of the body's
        try:
            await manager.close(graceful=error is None and manager.failure is None)
        except BaseException as interrupted:
            # Cancelled while it waited for a child: the children are gone, the cancellation goes on.
            if await self._structured.leave(interrupted, manager.failure):
                return True
            raise
        return await self._structured.leave(error, manager.failure) or ours

    def _leave_body(self, error: BaseException | None) -> tuple[bool, BaseException | None]:
        """Whether the body ended by our cancellation alone; and what it raised, without that."""
        cancelled, rest = error, None
        if isinstance(error, BaseExceptionGroup) and self._body.cancel_called:
            cancelled, rest = error.split(trio.Cancelled)
        traceback = cancelled.__traceback__ if cancelled is not None else None
        if self._body.__exit__(type(cancelled) if cancelled is not None else None, cancelled, traceback):
            return rest is None, rest
        return False, error

    def _open_manager(self, *, closed: bool = False) -> Manager:
        manager = self._manager
        if manager is None:
            msg = "the Supervisor is not open: use it inside `async with`"
            raise HubClosed(msg)
        if not closed:
            manager.check_open()
        return manager

    @classmethod
    async def __hubkit_main__(cls, context: Context, begun: Callable[[], None], *args: Any, **kwargs: Any) -> None:
        """As a child of another supervisor."""
        supervisor = cls(*args, **kwargs)
        try:
            async with supervisor:
                await trio.lowlevel.checkpoint_if_cancelled()
                begun()
                async for message in context:
                    context._cell.unhandled(message)
        except RestartIntensityExceeded as error:
            if error is not supervisor._open_manager(closed=True).failure:
                raise
            reports.logger.error("supervisor %s gives up: %s", context._cell.describe(), error, exc_info=error)
            context._cell.cause = error
            context.stop("shutdown")
        if supervisor._open_manager(closed=True).shut_down:
            context.stop("shutdown")

    # What users call.

    async def start_child(self, spec: ChildSpec) -> Ref[Any]:
        """Start one more child; returns when it runs.

        Raises `AlreadyStarted` for an id that is there already (running or not), `StartFailed` with the cause chained
        (the spec is forgotten then), also for ``max_children``; `HubClosed` outside the block.
        """
        check_significant(check_spec(spec), self._auto_shutdown)
        manager = self._open_manager()
        manager.check_turn()
        async with manager.lock:
            manager.check_open()
            present = manager.children.get(spec.id)
            if present is not None:
                msg = f"child {spec.id!r} is {present.state}" + (
                    "" if present.running else ": use restart_child, or delete_child first"
                )
                raise AlreadyStarted(msg)
            if self._max_children is not None and len(manager.children) >= self._max_children:
                msg = f"child {spec.id!r} was not started: max_children is {self._max_children}"
                raise StartFailed(msg)
            await manager.start_new(spec)
        return manager.ref(spec.id)

    async def terminate_child(self, id: str) -> None:
        """Stop a child, within its ``shutdown``. Its spec stays, to be restarted or deleted; a temporary's goes, too.

        Raises `NoSuchActor` for an unknown id. Without effect on a child that does not run.
        """
        manager = self._open_manager()
        manager.find(id)
        manager.check_turn(id)
        async with manager.lock:
            await manager.terminate(manager.find(id))

    async def restart_child(self, id: str) -> Ref[Any]:
        """Start a child that does not run, from its spec.

        Raises `NoSuchActor` for an unknown id, `AlreadyStarted` when it runs or is about to, `StartFailed`.
        """
        manager = self._open_manager()
        manager.find(id)
        manager.check_turn(id)
        async with manager.lock:
            child = manager.find(id)
            if child.state != "stopped":
                msg = f"child {id!r} is {child.state}"
                raise AlreadyStarted(msg)
            await manager.start(child, "restart")
        return manager.ref(id)

    async def delete_child(self, id: str) -> None:
        """Forget a child that does not run.

        Raises `NoSuchActor` for an unknown id, `AlreadyStarted` when it runs or is about to.
        """
        manager = self._open_manager()
        manager.find(id)
        manager.check_turn(id)
        async with manager.lock:
            child = manager.find(id)
            if child.state != "stopped":
                msg = f"child {id!r} is {child.state}: terminate_child first"
                raise AlreadyStarted(msg)
            manager.forget(child)

    def which_children(self) -> tuple[ChildStatus, ...]:
        """All children, in the order in which they were started."""
        return tuple(child.status() for child in self._open_manager().children.values())

    def count_children(self) -> ChildCounts:
        """How many children there are, and of which kind."""
        children = self._open_manager().children.values()
        specs = len(children)
        active = sum(child.running is not None for child in children)
        supervisors = sum(hasattr(child.spec.start, "__hubkit_main__") for child in children)
        return ChildCounts(specs, active, supervisors, specs - supervisors)

    def tree(self) -> ActorInfo:
        """This supervisor, its children, and theirs, as they are now: states, restarts, mailboxes. ``str`` of it shows it.

        A supervisor that an actor opened in its own task is shown beneath that actor. Raises `HubClosed`.
        """
        return tree(self._open_manager(), self.__hubkit_actor__)

    def ref(self, id: str) -> Ref[Any]:
        """A handle that follows the child through its restarts. Raises `NoSuchActor` for an unknown id."""
        manager = self._open_manager()
        manager.find(id)
        return manager.ref(id)


register_actor(Supervisor, "hubkit:Supervisor")


@overload
def child(
    id: str, start: Callable[Concatenate[Context, P], Coroutine[Any, Any, object]], /, *args: P.args, **kwargs: P.kwargs
) -> ChildSpec: ...
@overload
def child(id: str, start: Callable[P, Actor | Supervisor], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec: ...
def child(id: str, start: Any, /, *args: Any, **kwargs: Any) -> ChildSpec:
    """A `ChildSpec` with its defaults, the arguments checked by the type checker.

    `dataclasses.replace` changes the rest. Raises `ConfigurationError` as `ChildSpec` does. Example::

        hubkit.child("counter", Counter, 5)
    """
    return ChildSpec(id, start, args, kwargs)


class start:  # noqa: N801  # used as a function: `async with hubkit.start(spec) as ref`
    """Run one actor for the length of a block. Example::

        async with hubkit.start(hubkit.child("counter", Counter)) as ref:
            await ref.call(Counter.add, 1)

    It is not restarted, whatever its spec says. Raises `StartFailed` on entry, with the cause chained.
    """

    __slots__ = ("_nursery", "_running", "_spec")

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = check_spec(spec)
        self._nursery: StructuredNursery | None = None
        self._running: Running | None = None

    async def __aenter__(self) -> Ref[Any]:
        if self._nursery is not None:
            msg = "what hubkit.start returned can be entered once"
            raise HubClosed(msg)
        self._nursery = StructuredNursery()
        nursery = await self._nursery.enter()
        system = current_system()
        try:
            self._running = await start_instance(nursery, system, self._spec, on_exit=lambda running, end: None)
        except BaseException as error:
            await self._nursery.leave(error)
            raise
        return system.ref(self._running.pid)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._nursery is not None
        assert self._running is not None
        try:
            await stop_all([self._running], grace=None if error is None else GRACE)
        except BaseException as interrupted:
            if await self._nursery.leave(interrupted):
                return True
            raise
        return await self._nursery.leave(error)
