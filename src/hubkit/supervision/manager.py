"""What goes on inside a supervisor: the taking of turns, and the acting on verdicts.

Law of this room: one thing at a time. Restarts and the methods that change children hold one lock in turn, in order of
arrival, so every rule of `restarts` meets a settled state; a child that is slow to start delays the others, as in
OTP. A restart that fails goes to the end of the queue, so that a shutdown, or ``terminate_child``, can overtake it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import trio

from hubkit.actors import reports
from hubkit.actors.cell import Cell, current_cell, current_chain
from hubkit.actors.messages import Exit
from hubkit.actors.parking import Berth
from hubkit.actors.ref import Ref
from hubkit.actors.system import System
from hubkit.errors import Deadlock, HubClosed, NoSuchActor, RestartIntensityExceeded, StartFailed
from hubkit.pids import ChildKey, Pid
from hubkit.specs import ChildSpec, check_id
from hubkit.supervision.children import GRACE, Child
from hubkit.supervision.restarts import (
    AutoShutdown,
    History,
    Limits,
    Strategy,
    Verdict,
    affected,
    decide,
    ends_supervisor,
    restart_delay,
)
from hubkit.supervision.runner import Running, start_instance, stop_all

__all__ = ["Manager"]

#: What waits in the supervisor's queue: an instance has ended; a restart has failed; the wait before one is over.
_Event: TypeAlias = (
    tuple[Literal["ended"], Running, Exit]
    | tuple[Literal["failed"], Child, StartFailed]
    | tuple[Literal["due"], Child, int]
)

#: How much that has happened is taken before others run.
_IN_A_ROW = 64


class Manager:
    """The children of one open supervisor; a `Locator` for their refs."""

    def __init__(
        self,
        system: System,
        nursery: trio.Nursery,
        end_body: Callable[[], None],
        strategy: Strategy,
        limits: Limits,
        auto_shutdown: AutoShutdown,
    ) -> None:
        self.system = system
        self.nursery = nursery
        #: The actor in whose task its block is: itself, where it is a child of another one.
        self.owner: Cell | None = current_cell()
        self._end_body = end_body
        self.name: str = system.new_directory("supervisor", self)
        #: The actor in whose task it was opened, if any: see `hubkit.supervision.trees`.
        self.keeper: Cell | None = current_cell()
        self.children: dict[str, Child] = {}
        self.lock: trio.Lock = trio.Lock()
        self.state: Literal["open", "closed"] = "open"
        #: Why it gave up, if it did; whether it ended by ``auto_shutdown``.
        self.failure: RestartIntensityExceeded | None = None
        self.shut_down: bool = False
        #: What it last told somebody who came too late; it is set when all is over.
        self.refusal: HubClosed | None = None
        self.closed: trio.Event = trio.Event()
        self._strategy: Strategy = strategy
        self._limits = limits
        self._auto_shutdown: AutoShutdown = auto_shutdown
        self._history: History = ()
        self._starting: set[Running] = set()
        self._stopping: dict[trio.CancelScope, None] = {}  # in the order in which they began: a set would have none
        #: What has happened. (A memory channel lets others run before each, which is a fifth of a restart.)
        self._events: deque[_Event] = deque()
        self._berth = Berth()
        #: One for all children: each of them keeps it.
        self._on_exit: Callable[[Running, Exit], None] = self._has_ended

    def check_open(self) -> None:
        """Raise `HubClosed` unless the block is open."""
        if self.state != "open":
            why = "use it inside `async with`"
            if self.failure is not None or self.shut_down:
                why = "it has shut itself down" if self.failure is None else f"it has given up ({self.failure})"
            self.refusal = HubClosed(f"the Supervisor is not open: {why}")
            raise self.refusal

    def find(self, id: str) -> Child:
        """The child of this id. Raises `NoSuchActor`, `ConfigurationError`, `HubClosed`."""
        check_id(id)
        self.check_open()
        child = self.children.get(id)
        if child is None:
            msg = f"no child has the id {id!r}"
            raise NoSuchActor(msg)
        return child

    def ref(self, id: str) -> Ref[Any]:
        """A handle that follows this child."""
        return self.system.ref(ChildKey(self.name, id))

    def check_turn(self, id: str = "") -> None:
        """Raise `Deadlock` if this supervisor waits, or would wait, for the caller meanwhile: one of its tree."""
        cell = current_cell()
        if cell is None or not current_chain():
            return
        caller = cell.child_id
        while cell is not None and cell.hub_name != self.name:
            above = self.system.directories.get(cell.hub_name)
            cell = above.owner if isinstance(above, Manager) else None
        if cell is not None and (not cell.started or cell.stop_reason is not None or cell.child_id == id):
            msg = (
                f"child {caller!r} asks a supervisor above it to change children while that waits for it to start "
                f"or to stop: do it in a background task (context.nursery), or from on_info later"
            )
            raise Deadlock(msg)

    async def close(self, *, graceful: bool) -> None:
        """Stop everything, the child that was started last first. By force at once, if the supervisor is so ended itself."""
        self.state = "closed"
        for running in self._starting:
            running.cell.cancel()
        grace = 0.0 if self.owner is not None and self.owner.killed else GRACE
        try:
            if graceful:
                async with self.lock:
                    await self._stop_children(None)
        finally:
            with trio.CancelScope(shield=True):
                for scope in self._stopping:
                    scope.deadline = min(scope.deadline, trio.current_time() + grace)
                async with self.lock:
                    await self._stop_children(grace)
            self.closed.set()
            self.system.directories.pop(self.name, None)
            for child in self.children.values():
                child.become("stopped")

    async def _stop_children(self, grace: float | None) -> None:
        running = [child.running for child in self.children.values() if child.running is not None]
        try:
            await stop_all(running, grace=grace)
        finally:
            for child in self.children.values():
                if child.running is None or child.running.exit is not None:
                    child.become("stopped")

    # Where children run: a Locator.

    def resolve(self, key: ChildKey) -> Pid | None:
        """Where the child runs now."""
        child = self.children.get(key.child)
        return None if child is None or child.running is None else child.running.pid

    async def locate(self, key: ChildKey, after: Pid | None) -> Pid:
        """Where the child runs; waits while it is restarted."""
        await trio.lowlevel.checkpoint()
        while True:
            child = self.children.get(key.child)
            if child is None or (child.state == "stopped" and not child.due):
                if (self.failure is not None or self.shut_down) and current_cell() is self.owner:
                    await self.closed.wait()  # whoever asks in the body is being cancelled, and hears why
                msg = f"child {key.child!r} does not run, and is not going to"
                raise NoSuchActor(msg)
            if child.running is not None and child.running.pid != after:
                return child.running.pid
            await child.wait()

    # What happens inside: all of it in turn, under the lock.

    async def start_new(self, spec: ChildSpec) -> None:
        """Add a child and start it; if that fails, it is forgotten."""
        child = self.children[spec.id] = Child(spec)
        try:
            await self.start(child, "start")
        except BaseException:
            self.forget(child)
            raise

    async def start(self, child: Child, reason: str) -> None:
        """Start an instance. The end of the block interrupts it, and begins none."""
        self.check_open()
        before, child.state = child.state, "starting"
        try:
            running = await start_instance(
                self.nursery,
                self.system,
                child.spec,
                hub_name=self.name,
                start_reason=reason,
                restarts=child.restarts,
                on_exit=self._on_exit,
                starting=self._starting,
            )
        except BaseException as error:
            child.become(before)
            if self.state != "open" and isinstance(error, StartFailed):
                msg = f"the Supervisor was left while child {child.spec.id!r} started"
                raise HubClosed(msg) from None
            raise
        child.since = trio.current_time()
        child.become("running", running)

    def _post(self, event: _Event) -> None:
        self._events.append(event)
        self._berth.wake()

    def _has_ended(self, running: Running, end: Exit) -> None:
        self._post(("ended", running, end))

    async def stop(self, child: Child) -> None:
        """Stop a child, if it runs, and call off its restart, if one is due. Cancelled, it is stopped by force."""
        running = child.running
        if running is not None:
            with trio.CancelScope() as scope:
                self._stopping[scope] = None
                try:
                    await running.stop()
                finally:
                    del self._stopping[scope]
                    child.become("stopped")
        child.become("stopped")

    async def terminate(self, child: Child) -> None:
        """Stop a child for good; a temporary one is forgotten."""
        try:
            await self.stop(child)
        finally:
            if child.spec.restart == "temporary":
                self.forget(child)
            alone = self._strategy == "one_for_one"
            if not alone and not any(other.state == "restarting" for other in self.children.values()):
                for other in self.children.values():
                    if other.due:  # with whom they were to be started is not
                        other.become("stopped")

    def forget(self, child: Child) -> None:
        """Drop a child that does not run."""
        if self.children.get(child.spec.id) is child:
            del self.children[child.spec.id]
        child.become("stopped")

    async def run(self) -> None:
        """The supervisor's task: take what has happened, one after the other."""
        turns = 0
        while True:
            while not self._events:
                await self._berth.park()
            turns += 1
            if turns % _IN_A_ROW == 0:
                await trio.lowlevel.checkpoint()
            # As `async with`, but for the turn of the scheduler that this takes even when nobody else is in there.
            try:
                self.lock.acquire_nowait()
            except trio.WouldBlock:
                await self.lock.acquire()
            try:
                if self.state != "open":
                    return
                await self._handle(self._events.popleft())
            except HubClosed:
                # The block was left in the middle of a restart.
                return
            finally:
                self.lock.release()

    async def _handle(self, event: _Event) -> None:
        if event[0] == "ended":
            _, running, end = event
            child = self.children.get(running.cell.child_id or "")
            # What was stopped or replaced meanwhile is no news.
            if child is not None and child.running is running:
                await self._ended(child, end.is_normal, end.error or running.cell.cause)
        elif event[0] == "failed":
            _, child, error = event
            if child.state == "restarting" and not child.waits:
                await self._ended(child, False, error)
        else:
            _, child, wait = event
            if child.state == "restarting" and child.waits == wait:
                child.waits = 0
                await self._restart(child)

    async def _ended(self, child: Child, is_normal: bool, error: BaseException | None) -> None:
        """A child ended by itself, or could not be restarted."""
        now = trio.current_time()
        verdict, self._history = decide(child.spec.restart, is_normal, self._history, now, self._limits)
        if verdict is Verdict.RESTART:
            attempt = child.count_attempt(now)
            delay = restart_delay(child.spec.backoff, attempt, self.system.chance() if child.spec.backoff else 0.0)
            child.become("restarting")
            if delay > 0:
                self.nursery.start_soon(self._wait, child, delay, child.new_wait())
                await self._stop_others(self._group(child), child)  # at once, as without a wait
            else:
                await self._restart(child)
            return
        child.become("stopped")
        if verdict is Verdict.GIVE_UP:
            limits = self._limits
            msg = (
                f"child {child.spec.id!r} failed: more than {limits.max_restarts} restarts in {limits.max_seconds:g} s"
            )
            self.failure = RestartIntensityExceeded(msg)
            self.failure.__cause__ = error
            await self._end(GRACE)
            return
        if verdict is Verdict.FORGET:
            self.forget(child)
        if not child.spec.significant:
            return
        others = any(other.spec.significant and other.state != "stopped" for other in self.children.values())
        if ends_supervisor(self._auto_shutdown, child.spec.significant, others):
            self.shut_down = True
            await self._end(None)

    async def _wait(self, child: Child, delay: float, wait: int) -> None:
        await trio.sleep(delay)
        self._post(("due", child, wait))

    async def _restart(self, child: Child) -> None:
        """Restart a child, with those that its failure concerns."""
        group = self._group(child)
        child.become("stopped")
        child.due = True
        await self._stop_others(group, child)
        for other in group:
            if self.children.get(other.spec.id) is not other:
                continue
            other.state = "restarting"
            other.restarts += 1
            try:
                await self.start(other, "restart")
            except StartFailed as error:
                reports.logger.error("%s (attempt %d to restart it)", error, max(other.attempts, 1), exc_info=error)
                other.become("restarting")
                self._post(("failed", other, error))
                return

    def _group(self, child: Child) -> list[Child]:
        """A child that has failed, and all that its failure concerns, in the order of their start."""
        if self._strategy == "one_for_one":
            return [child]
        return [self.children[id] for id in affected(self._strategy, list(self.children), child.spec.id)]

    async def _stop_others(self, group: list[Child], child: Child) -> None:
        """Stop those that are to be started again with this child, the last first."""
        for other in reversed(group):
            if other is not child:
                await self.stop(other)
                other.due = True
                if other.spec.restart == "temporary":
                    self.forget(other)

    async def _end(self, grace: float | None) -> None:
        """This supervisor ends by itself: cancel the body, and stop the children without waiting for it."""
        self.state = "closed"
        self._end_body()
        await self._stop_children(grace)
