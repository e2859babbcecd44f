"""`Probe`: an actor for tests, which notes what it gets, and of which a test can expect something.

Law of this room: a probe takes whatever comes, and forgets nothing. What a test expects it takes out of what has come, or
waits for it; what was expected once is not expected again. Time is trio's, so under a mock clock, and in simulations, a
wait costs nothing. What fails says what was expected, and what came instead.

Expecting is selective, as ``receive`` is in Erlang: the first message that fits, wherever it stands. Whoever wants an order
reads `Probe.received`.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import trio

from hubkit.actors.actor import Actor, Method, Methods, method_name
from hubkit.actors.mailbox import Call
from hubkit.actors.messages import Monitor
from hubkit.actors.ref import Ref
from hubkit.actors.structured import StructuredNursery
from hubkit.actors.system import current_system
from hubkit.errors import ConfigurationError, HubClosed, NoSuchMethod, Reject
from hubkit.specs import ChildSpec, check_seconds
from hubkit.supervision.runner import Running, start_instance

if TYPE_CHECKING:
    from hubkit.hub.hub import Hub

__all__ = ["Asked", "Probe"]

T = TypeVar("T")

_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = 50
_short.maxother = _short.maxstring = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A call or a cast that a `Probe` got. ``waits``: it is a call, whose caller waits for the answer."""

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    waits: bool = False

    def __str__(self) -> str:
        values = [repr(value) for value in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{'call' if self.waits else 'cast'} of {self.method}({', '.join(values)})"


class NoAnswer(Reject):
    """The call came to a `Probe` that was not told what to answer."""


class _AnyMethod(Methods):
    """What can be called of a probe: everything."""

    def find(self, method: object) -> Method:
        """The method's name, and what notes the request."""
        name = method_name(method)
        if name.startswith("_"):
            msg = f"{name} is private: no actor can be asked for it"
            raise NoSuchMethod(msg)

        async def note(recorder: _Recorder, *args: Any, **kwargs: Any) -> Any:
            return await recorder.probe._asked(Asked(name, args, kwargs, recorder.is_called))

        return name, note, 0


class _Recorder(Actor):
    """The actor behind a probe."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    async def on_info(self, message: Any) -> None:
        self.probe._take(message)

    @property
    def is_called(self) -> bool:
        return isinstance(self.context._cell.current, Call)


_Recorder.__hubkit_methods__ = _AnyMethod(_Recorder)


class Probe:
    """An actor that notes what it gets: plain messages as they are, calls and casts as `Asked`. Example::

        async with hubkit.testing.Probe() as probe:
            shop = await supervisor.start_child(hubkit.child("shop", Shop, probe.ref))
            await shop.cast(Shop.sell, "apple")
            assert (await probe.expect(Sold)).what == "apple"
            await probe.expect_nothing(within=60)

    ``hub``: whose node it is to live on; by default it lives where an actor of `hubkit.start` would. It lives as long as
    its block.
    """

    def __init__(self, hub: Hub | None = None) -> None:
        self._hub = hub
        self._nursery: StructuredNursery | None = None
        self._running: Running | None = None
        self._received: list[Any] = []
        self._unexpected: list[Any] = []  # what came, and was not expected so far
        self._news = trio.Event()
        self._answers: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Probe, {len(self._received)} received, {len(self._unexpected)} of them not expected>"

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            msg = "a Probe can be entered once: make a new one"
            raise HubClosed(msg)
        self._nursery = StructuredNursery()
        nursery = await self._nursery.enter()
        system = current_system() if self._hub is None else self._hub.node._system
        spec = ChildSpec("probe", _Recorder, (self,), mailbox=1_000_000)
        try:
            self._running = await start_instance(nursery, system, spec, on_exit=lambda running, end: None)
        except BaseException as error:
            await self._nursery.leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._nursery is not None
        assert self._running is not None
        with trio.CancelScope(shield=True):
            with trio.move_on_after(1.0):
                while self._running.cell.queue:  # what has come is noted
                    await self._news.wait()
            await self._running.stop(within=1.0)
        return await self._nursery.leave(error)

    # -- what tests use ------------------------------------------------------------------------------------------------

    @property
    def ref(self) -> Ref[Any]:
        """The handle to give to others. Raises `HubClosed` outside of the block."""
        running = self._open()
        return running.cell.system.ref(running.pid)

    @property
    def received(self) -> tuple[Any, ...]:
        """All that has come, in its order."""
        return tuple(self._received)

    def monitor(self, ref: Ref[Any]) -> Monitor:
        """Watch an actor: its `hubkit.Down` comes here."""
        return self._open().cell.context.monitor(ref)

    def answer(self, method: str | Callable[..., Any], answer: Any) -> None:
        """From now on answer calls of a method: with a value, by raising it if it is a `Reject`, or by calling a function.

        A function gets the arguments of the call, and may be async. Calls of other methods are noted, and refused.
        """
        self._answers[method_name(method)] = answer

    @overload
    async def expect(self, what: type[T], *, within: float = 1.0) -> T: ...
    @overload
    async def expect(self, what: object, *, within: float = 1.0) -> Any: ...
    async def expect(self, what: Any, *, within: float = 1.0) -> Any:
        """The first message that fits and was not expected before; waits for it at most ``within`` seconds.

        ``what``: a type; a method of an actor (``Shop.sell``), for a call or cast of it; any other function, which is
        called with each message; or a value that it is to equal. Raises `AssertionError` with what came instead.
        """
        check_seconds(within, "within")
        fits = _fitting(what)
        await trio.lowlevel.checkpoint()
        found = self._find(fits)
        with trio.move_on_after(within):
            while found is None:
                await self._news.wait()
                found = self._find(fits)
        if found is not None:
            return self._unexpected.pop(found)
        msg = f"{_name(what)} did not come within {within:g} s; {self._what_came()}"
        raise AssertionError(msg)

    async def expect_nothing(self, within: float = 1.0) -> None:
        """Nothing has come that was not expected, and nothing comes for ``within`` seconds. Else raises `AssertionError`."""
        check_seconds(within, "within")
        with trio.move_on_after(within):
            while not self._unexpected:
                await self._news.wait()
        if self._unexpected:
            msg = f"nothing was to come for {within:g} s; {self._what_came()}"
            raise AssertionError(msg)

    def _find(self, fits: Callable[[Any], object]) -> int | None:
        return next((index for index, message in enumerate(self._unexpected) if fits(message)), None)

    def _what_came(self) -> str:
        if not self._unexpected:
            return "nothing came that had not been expected before" if self._received else "nothing came at all"
        lines = [
            f"  {message if isinstance(message, Asked) else _short.repr(message)}" for message in self._unexpected[:20]
        ]
        more = len(self._unexpected) - len(lines)
        return "\n".join(["what came:", *lines, *([f"  and {more} more"] if more else [])])

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _open(self) -> Running:
        if self._running is None or self._running.exit is not None:
            msg = "the Probe is not open: use it inside `async with`"
            raise HubClosed(msg)
        return self._running

    def _take(self, message: Any) -> None:
        self._received.append(message)
        self._unexpected.append(message)
        news, self._news = self._news, trio.Event()
        news.set()

    async def _asked(self, asked: Asked) -> Any:
        self._take(asked)
        if asked.method not in self._answers:
            if not asked.waits:
                return None
            msg = f"the probe has no answer to the {asked}: tell it with probe.answer({asked.method!r}, ...)"
            raise NoAnswer(msg)
        answer = self._answers[asked.method]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(*asked.args, **asked.kwargs)
            if isinstance(answer, Awaitable):
                answer = await answer
        if isinstance(answer, Reject):
            raise answer
        return answer


def _fitting(what: Any) -> Callable[[Any], object]:
    if isinstance(what, type):
        return lambda message: isinstance(message, what)
    if inspect.iscoroutinefunction(what):
        name = method_name(what)
        return lambda message: isinstance(message, Asked) and message.method == name
    if callable(what):
        if not _takes_one(what):
            msg = f"a function that tells what fits takes the message alone, which {what!r:.80} does not"
            raise ConfigurationError(msg)
        fits: Callable[[Any], object] = what
        return fits
    return lambda message: type(message) is type(what) and bool(message == what)


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a built-in one that does not say
        return True
    return True


def _name(what: Any) -> str:
    if isinstance(what, type):
        return f"a {what.__qualname__}"
    if inspect.iscoroutinefunction(what):
        return f"a request for {method_name(what)}"
    if callable(what):
        return f"a message for which {getattr(what, '__name__', repr(what))} holds"
    return _short.repr(what)
