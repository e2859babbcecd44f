"""State machines: `StateMachine`, an actor whose methods may be for some of its states only.

Law of this room:

* A method marked with `when` begins in the states that it names, and in no other. A call that comes in another one is refused
  (`WrongState`), or put off, as the mark or the class says.
* What was put off is handled as soon as the state has changed, in the order in which it came, before anything newer; it may be
  put off again. It takes room in the mailbox; the last place stays free, and what finds none is refused (`MailboxFull`).
* A state timeout comes once, in the state for which it was set: any change of state calls it off, even one that waits in the
  mailbox already.
* ``on_enter`` is called before the next message, once for all changes that one handler made. The first call is for the state
  that the actor starts in.

A function per state, and a table of transitions, were refused: the methods are the actor's protocol, typed and called as
those of any other. So was a timeout that any message calls off: a handler that wants it uses `Context.send_after`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterator
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from hubkit.actors.actor import ASYNC_CALLBACKS, Actor, Handler
from hubkit.actors.mailbox import Call, Held
from hubkit.actors.shelf import Shelf
from hubkit.actors.standing import ORDER, SYSTEM
from hubkit.actors.timers import Timer
from hubkit.errors import ConfigurationError, MailboxFull, WrongState
from hubkit.specs import check_seconds

if TYPE_CHECKING:
    from typing import Self

    from hubkit.actors.cell import Cell

__all__ = ["StateMachine", "when"]

S = TypeVar("S")
F = TypeVar("F", bound=Handler)

Otherwise: TypeAlias = Literal["refuse", "postpone"]


def when(*states: Any, otherwise: Otherwise | None = None) -> Callable[[F], F]:
    """Mark a method of a `StateMachine`: it can be called in these states only.

    ``otherwise``: what becomes of a call in another state: ``"refuse"`` (the caller gets `hubkit.errors.WrongState`), or
    ``"postpone"`` (it waits for a change of state); by default what the class says. The method itself is not changed:
    ``self.method()`` in another method just runs it. Raises `ConfigurationError` for what is no coroutine function, and
    without states. Example::

        class Door(hubkit.StateMachine[str]):
            initial = "closed"

            @hubkit.when("closed")
            async def open(self) -> None:
                self.become("open", timeout=30)

            @hubkit.when("open", otherwise="postpone")
            async def walk_through(self, who: str) -> None: ...

            async def on_timeout(self, state: str) -> None:
                self.become("closed")
    """
    for state in states:
        _check_state(state, "a state of when()")
    if not states:
        msg = 'when() needs the states in which the method can be called: @hubkit.when("open")'
        raise ConfigurationError(msg)
    _check_otherwise(otherwise, "otherwise of when()", none=True)

    def mark(method: F) -> F:
        if not callable(method) or not hasattr(method, "__qualname__"):
            msg = f"when() marks coroutine methods (async def) of a StateMachine, not {method!r:.80}"
            raise ConfigurationError(msg)
        method.__hubkit_when__ = partial(_guard, frozenset(states), otherwise)  # type: ignore[attr-defined]  # a function
        return method

    return mark


def _guard(states: frozenset[Any], otherwise: Otherwise | None, method: Handler) -> Handler:
    """The handler of a method that is for some states only. Its arguments are checked when it is called, as any other's."""

    def handler(machine: StateMachine[Any], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        coroutine = method(machine, *args, **kwargs)
        return cast("Coroutine[Any, Any, Any]", _Guarded(machine, method.__name__, coroutine, states, otherwise))

    return handler


class _Guarded:
    """A handler that has not begun; as much of a coroutine as a mailbox needs. It may be awaited again if it was put off."""

    __slots__ = ("_coroutine", "_machine", "_name", "_otherwise", "_states")

    def __init__(
        self,
        machine: StateMachine[Any],
        name: str,
        coroutine: Coroutine[Any, Any, Any],
        states: frozenset[Any],
        otherwise: Otherwise | None,
    ) -> None:
        self._machine = machine
        self._name = name
        self._coroutine = coroutine
        self._states = states
        self._otherwise = otherwise

    def __await__(self) -> Generator[Any, Any, Any] | Iterator[Any]:
        machine = self._machine
        if machine.state in self._states:
            return self._coroutine.__await__()
        if (self._otherwise or machine.otherwise) == "postpone":
            self._put_off(machine.context._cell)
            return iter(())
        self.close()
        raise WrongState(self._text())

    __iter__ = __await__  # for the actor's loop, which is a generator

    def close(self) -> None:
        self._coroutine.close()

    def _text(self) -> str:
        machine, states = self._machine, sorted(map(repr, self._states))
        return f"{machine.context._cell.describe()} is in state {machine.state!r}, and {self._name} is for {', '.join(states)}"

    def _put_off(self, cell: Cell) -> None:
        item: Held | None = cell.current
        assert item is not None
        if cell.shelf is None:
            cell.shelf = Shelf(cell)
        if cell.shelf.put(item):
            return
        self.close()
        why = f"{self._text()}; and there is no room to put it off"
        if isinstance(item, Call):
            item.fail(MailboxFull(why))
        else:
            cell.undelivered(item, why)


class _StateTimeout(Timer):
    """The timeout of a state. ``message``: its number."""

    __slots__ = ()

    def expire(self, cell: Cell, message: Any) -> None:
        """Let the actor find it in its mailbox, after what waits there."""
        machine = cell.instance
        if not cell.closed and isinstance(machine, StateMachine):
            cell.push((machine.__hubkit_expired__(message), "", ORDER, SYSTEM))


class _Now:
    """Where a machine is. ``entered``: the state that ``on_enter`` was last called for; ``timeout``: the number of the last."""

    __slots__ = ("begun", "entered", "state", "timeout", "timer")

    def __init__(self, state: Any) -> None:
        self.state: Any = state
        self.entered: Any = None
        self.begun: bool = False
        self.timeout: int = 0
        self.timer: Timer | None = None


class StateMachine(Actor, Generic[S]):
    """An `Actor` that is in one of several states; its methods can be for some of them only (`when`).

    States are a `str` or members of one `enum.Enum`. ``initial``: the first one; ``otherwise``: what becomes of calls to a
    marked method in another state, ``"refuse"`` (the default) or ``"postpone"``. ``self.state`` is the state, ``self.become``
    changes it. Methods without a mark can be called in every state, and ``on_info`` gets its messages in every state.

    A machine that moves or is copied carries its state as any actor does: return it from ``handover_state``, and ``become``
    it in ``accept_handover``. Example::

        class Breaker(hubkit.StateMachine[str]):
            initial = "closed"
            failures = 0

            @hubkit.when("closed", "half_open")
            async def report(self, good: bool) -> None:
                self.failures = 0 if good else self.failures + 1
                if self.failures > 4:
                    self.become("open", timeout=30)
                elif good:
                    self.become("closed")

            async def on_timeout(self, state: str) -> None:
                self.become("half_open")
    """

    __hubkit_callbacks__: ClassVar[dict[str, tuple[str, ...]]] = {
        **ASYNC_CALLBACKS,
        "on_enter": ("state", "previous"),
        "on_timeout": ("state",),
    }

    #: The state that it starts in.
    initial: S
    #: What becomes of calls to a marked method in another state.
    otherwise: ClassVar[Otherwise] = "refuse"

    __hubkit_now__: _Now

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_otherwise(cls.otherwise, f"{cls.__qualname__}.otherwise")
        if hasattr(cls, "initial"):
            _check_state(cls.initial, f"{cls.__qualname__}.initial")

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if not hasattr(cls, "initial"):
            msg = f'{cls.__qualname__} does not say in which state it starts: initial = "closed"'
            raise ConfigurationError(msg)
        machine = super().__new__(cls)
        object.__setattr__(machine, "__hubkit_now__", _Now(cls.initial))
        return machine

    @property
    def state(self) -> S:
        """The state that it is in."""
        return cast("S", self.__hubkit_now__.state)

    def become(self, state: S, *, timeout: float | None = None) -> None:
        """Change the state, at once; ``on_enter`` and what was put off follow when the handler has returned.

        ``timeout``: seconds after which ``on_timeout`` is called, unless the state changes before. Of the same state: nothing
        changes, but that a new ``timeout`` takes the place of the old one. Raises `ConfigurationError` for what is no
        state, for wrong seconds, and for a timeout without an ``on_timeout``.
        """
        now, cell = self.__hubkit_now__, self.context._cell
        _check_state(state, f"a state of {type(self).__qualname__}", like=now.state)
        if timeout is not None:
            check_seconds(timeout, "timeout of become")
            if type(self).on_timeout is StateMachine.on_timeout:
                msg = f"{type(self).__qualname__} sets a timeout, but defines no on_timeout(self, state)"
                raise ConfigurationError(msg)
        changed = state != now.state
        now.state = state
        if changed or timeout is not None:
            now.timeout += 1
            if now.timer is not None:
                now.timer.cancel()
            now.timer = None
            if timeout is not None:
                now.timer = cell.system.timers.start(cell, timeout, now.timeout, _StateTimeout)
        if changed and now.begun:
            if cell.shelf is not None:
                cell.shelf.put_back()
            self._arrive(cell)

    async def on_enter(self, state: S, previous: S | None) -> None:
        """Called when the state has changed, before the next message; at the start with the first state and `None`."""

    async def on_timeout(self, state: S) -> None:
        """Called when ``state`` has lasted for the seconds that `become` was given."""

    def _arrive(self, cell: Cell) -> None:
        if type(self).on_enter is not StateMachine.on_enter:
            cell.order(self.__hubkit_enter__)

    def __hubkit_begun__(self) -> None:
        self.__hubkit_now__.begun = True
        self._arrive(self.context._cell)

    async def __hubkit_enter__(self) -> None:
        now = self.__hubkit_now__
        state, previous = now.state, now.entered
        if state != previous:
            now.entered = state
            self.context._cell.current = (None, "on_enter", (state, previous), {})
            await self.on_enter(state, previous)

    async def __hubkit_expired__(self, number: int) -> None:
        now, cell = self.__hubkit_now__, self.context._cell
        if number == now.timeout:
            now.timer = None
            cell.current = (None, "on_timeout", (now.state,), {})
            await cell._do(partial(self.on_timeout, now.state))


def _check_state(state: object, what: str, like: object = None) -> None:
    if not isinstance(state, str | Enum) or state == "":
        msg = f"{what} must be a non-empty str or a member of an Enum, not {state!r:.80}"
        raise ConfigurationError(msg)
    if isinstance(like, Enum) and type(state) is not type(like):
        msg = f"{what} must be a member of {type(like).__qualname__}, as the others are, not {state!r:.80}"
        raise ConfigurationError(msg)


def _check_otherwise(value: object, what: str, *, none: bool = False) -> None:
    if value not in get_args(Otherwise) and not (none and value is None):
        msg = f"{what} must be one of {', '.join(map(repr, get_args(Otherwise)))}, not {value!r:.80}"
        raise ConfigurationError(msg)
