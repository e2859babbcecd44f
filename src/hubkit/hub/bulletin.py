"""How a hub tells what happened: handlers in order of priority, and bounded streams.

Law of this room: publishing never waits and never fails. Events go into one queue; one task hands them to the handlers,
each within `HANDLER_SECONDS`; what a handler raises is reported and harms nothing. (What is meant for the whole program goes
through: a cancellation of the hub, `KeyboardInterrupt`, `SystemExit`.) A stream that is read too slowly loses
its *newest* events and says how many (`EventsLost`), because a reader that is behind wants an unbroken past first.

Refused: handlers that can veto or change what they are told (``prepare`` is the one place for that), and calling them
from inside the core, where a slow handler would hold up placement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from hubkit.errors import ConfigurationError
from hubkit.events import Event, EventsLost, HubStopping
from hubkit.logs import Log

__all__ = ["HANDLER_SECONDS", "Bulletin", "EventStream", "Hook", "check_hooks"]

HANDLER_SECONDS = 5.0
QUEUE = 10_000
STREAM = 1_000

log: Log = Log("hubkit.hub")

Handler = Callable[[Any], Any]

#: What is not for this room to catch.
_PASSING = (trio.Cancelled, KeyboardInterrupt, SystemExit)


@dataclass(slots=True, eq=False)
class Hook:
    """A handler that is registered with ``hub.on``. `cancel` takes it back; it may be cancelled twice."""

    event_type: type[Event]
    handler: Handler
    priority: int
    _bulletin: Bulletin

    def cancel(self) -> None:
        """From now on no event reaches the handler; if it is being called at this moment, that call goes on."""
        self._bulletin._remove(self)


class EventStream:
    """An async iterator over the events of some types; see ``hub.events``."""

    def __init__(self, types: tuple[type[Event], ...], hub: str) -> None:
        self._types, self._hub = types, hub
        self._queue: deque[Event] = deque()
        self._lost = 0
        self._wake = trio.Event()
        self._closed = False

    def _push(self, event: Event) -> None:
        if self._closed or not isinstance(event, self._types):
            return
        if len(self._queue) >= STREAM:
            self._lost += 1
            return
        self._mark_gap()
        self._queue.append(event)
        self._wake.set()

    def _mark_gap(self) -> None:
        if self._lost:
            self._queue.append(EventsLost(self._lost, hub=self._hub))
            self._lost = 0

    def _close(self) -> None:
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        """The next event; ends when the hub has ended."""
        while not self._queue:
            self._mark_gap()
            if self._queue:
                break
            if self._closed:
                await trio.lowlevel.checkpoint()
                raise StopAsyncIteration
            if self._wake.is_set():  # (several tasks may read one stream, and wait for the same)
                self._wake = trio.Event()
            await self._wake.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self._queue.popleft()


def check_event_type(value: object) -> type[Event]:
    """Return ``value`` if it is an event class of `hubkit.events`."""
    if not (isinstance(value, type) and issubclass(value, Event)):
        msg = f"an event type must be a class of hubkit.events (hubkit.events.Event for all of them), not {value!r:.80}"
        raise ConfigurationError(msg)
    return value


def _name(handler: Handler) -> str:
    """A handler as a person would name it."""
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What goes through, and what is the handler's own."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_PASSING)
    return (error, None) if isinstance(error, _PASSING) else (None, error)


class Bulletin:
    """The events of one hub."""

    def __init__(self, hub: str) -> None:
        self._hub = hub
        self._hooks: list[Hook] = []
        self._streams: list[EventStream] = []
        self._queue: deque[tuple[Event, tuple[Hook, ...]]] = deque()
        self._parked: trio.lowlevel.Task | None = None
        self._lost = 0
        self._stopping = False
        self._idle = trio.Event()
        self._idle.set()
        #: Told of every event as it is published: for simulations. It must not raise.
        self.tap: Callable[[Event], None] | None = None

    def on(self, event_type: type[Event], handler: Handler, priority: int = 0) -> Hook:
        """Register a handler."""
        check_event_type(event_type)
        if not callable(handler):
            msg = f"an event handler must be a function of one argument, not {handler!r:.80}"
            raise ConfigurationError(msg)
        if not isinstance(priority, int) or isinstance(priority, bool):
            msg = f"the priority of a handler must be an int (the highest is called first), not {priority!r}"
            raise ConfigurationError(msg)
        hook = Hook(event_type, handler, priority, self)
        self._hooks.append(hook)
        self._hooks.sort(key=lambda h: -h.priority)  # stable: equal priorities in order of registration
        return hook

    def _remove(self, hook: Hook) -> None:
        if hook in self._hooks:
            self._hooks.remove(hook)

    @asynccontextmanager
    async def events(self, *types: type[Event]) -> AsyncIterator[EventStream]:
        """A stream of the events of these types (without any: all) published while the block is open."""
        stream = EventStream(tuple(check_event_type(t) for t in types) or (Event,), self._hub)
        self._streams.append(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)
            stream._close()

    def publish(self, event: Event) -> None:
        """Tell everybody who wants to know, soon. Never blocks, never raises."""
        if self.tap is not None:
            self.tap(event)
        for stream in self._streams:
            stream._push(event)
        hooks = tuple(hook for hook in self._hooks if isinstance(event, hook.event_type))
        if not hooks:
            return
        if len(self._queue) >= QUEUE:
            self._lost += 1
            return
        if self._lost:
            log.error("hub %s: %d events were not handed to handlers: they are too slow", self._hub, self._lost)
            self._lost = 0
        self._queue.append((event, hooks))
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None

    def stopping(self, reason: str) -> None:
        """The hub has begun to stop: that is told once, with the first reason."""
        if not self._stopping:
            self._stopping = True
            self.publish(HubStopping(reason, hub=self._hub))

    async def run(self) -> None:
        """Hand events to handlers until cancelled."""
        while True:
            if not self._queue:
                self._idle.set()
                await self._park()
                continue
            event, hooks = self._queue.popleft()
            for hook in hooks:
                await self._handle(hook, event)

    async def _park(self) -> None:
        self._parked = trio.lowlevel.current_task()

        def abort(_: Any) -> trio.lowlevel.Abort:
            self._parked = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _handle(self, hook: Hook, event: Event) -> None:
        if hook not in self._hooks:
            return
        with trio.move_on_after(HANDLER_SECONDS) as scope:
            try:
                result = hook.handler(event)
                if isinstance(result, Awaitable):
                    await result
                else:
                    await trio.lowlevel.checkpoint()
            except BaseException as error:  # whatever it is, it is the handler's: but for what is meant for others
                passing, rest = _split(error)
                if rest is not None:
                    self._raised(hook, event, rest)
                if passing is not None:
                    raise passing from passing.__cause__
        if scope.cancelled_caught:
            name = _name(hook.handler)
            log.error(
                "hub %s: the handler %s took more than %g s on %s: it is cancelled",
                self._hub,
                name,
                HANDLER_SECONDS,
                event,
            )

    def _raised(self, hook: Hook, event: Event, error: BaseException) -> None:
        log.error("hub %s: the handler %s raised on %s", self._hub, _name(hook.handler), event, exc_info=error)

    async def flush(self, within: float) -> None:
        """Wait until all handlers have seen what was published, at most ``within`` seconds."""
        with trio.move_on_after(within):
            await self._idle.wait()

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream._close()


def check_hooks(hooks: object) -> list[Any]:
    """Return the hooks as a list, if each is a pair or a triple. Raises `ConfigurationError`."""
    if not isinstance(hooks, Iterable):
        msg = f"hooks must be a list of (EventType, handler) or (EventType, handler, priority), not {hooks!r:.80}"
        raise ConfigurationError(msg)
    found = list(hooks)
    for hook in found:
        if not isinstance(hook, tuple) or len(hook) not in (2, 3):
            msg = f"each of hooks must be (EventType, handler) or (EventType, handler, priority), not {hook!r:.80}"
            raise ConfigurationError(msg)
    return found
