"""What users write: `Actor`, a class whose public coroutine methods are its protocol; ``@actor``, a coroutine function.

Law of this room: what can be called is decided when a class is defined, by what its author wrote there, and is looked up
in a table afterwards; never found with `getattr`. A callable method is a coroutine function, defined by a subclass
(or a mixin of it), whose name does not begin with ``_`` and is not that of a callback.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from hubkit.errors import ConfigurationError, NoSuchMethod
from hubkit.names import register_actor
from hubkit.specs import check_flag

if TYPE_CHECKING:
    from hubkit.actors.context import Context

__all__ = ["ASYNC_CALLBACKS", "Actor", "Handler", "Method", "Methods", "actor"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=type["Actor"])

#: A public coroutine method, unbound.
Handler = Callable[..., Coroutine[Any, Any, Any]]

#: What the table of a class knows of one: its name, its function, and with how many arguments, itself counted, it can
#: certainly be called and does nothing before it is awaited; 0 if its code alone does not say.
Method: TypeAlias = tuple[str, Handler, int]

#: The callbacks that may be coroutine functions, or not.
_HANDOVER = frozenset({"handover_state", "accept_handover", "merge_handover"})

#: The callbacks that are awaited, and the arguments that each gets.
ASYNC_CALLBACKS: dict[str, tuple[str, ...]] = {
    "on_start": (),
    "on_stop": ("reason",),
    "on_info": ("message",),
    "on_role": ("role",),
}


class Methods:
    """What of one actor class can be called: a table, made once per class.

    ``by_key`` finds a method by its name, and by the function that a caller gave (``Counter.add``), once that was seen
    and found to belong to the class.
    """

    __slots__ = ("by_key", "cls")

    def __init__(self, cls: type[Actor]) -> None:
        self.cls: type[Actor] = cls
        found: dict[str, Handler] = {}
        for base in reversed(cls.__mro__):
            if base in (object, Generic, Protocol) or "__hubkit_callbacks__" in vars(base):
                continue
            for name, value in vars(base).items():
                found.pop(name, None)
                if not (name.startswith("_") or name in callbacks_of(cls)) and inspect.iscoroutinefunction(value):
                    found[name] = value
        self.by_key: dict[object, Method] = {}
        for name, method in found.items():
            guard = getattr(method, "__hubkit_when__", None)
            known = (name, method, _arity(method)) if guard is None else (name, guard(method), 0)
            self.by_key[name] = self.by_key[method] = known

    def find(self, method: object) -> Method:
        """The method's name and function. ``method``: a name, or the function as a class of the actor's defines it.

        Raises `NoSuchMethod`, or `ConfigurationError` for what can be no method at all.
        """
        found = self.by_key.get(method) if isinstance(method, str) else self._find_function(method)
        if found is None:
            names = ", ".join(sorted(key for key in self.by_key if isinstance(key, str))) or "none"
            shown = method if isinstance(method, str) else getattr(method, "__qualname__", repr(method))
            msg = f"{self.cls.__qualname__} has no public coroutine method {shown}; it has: {names}"
            raise NoSuchMethod(msg)
        return found

    def _find_function(self, method: object) -> Method | None:
        name = method_name(method)
        found = self.by_key.get(name)
        if found is None:
            return None
        owners = {(base.__module__, f"{base.__qualname__}.{name}") for base in self.cls.__mro__}
        names = (getattr(method, "__module__", ""), getattr(method, "__qualname__", ""))
        if names not in owners and all(vars(base).get(name) is not method for base in self.cls.__mro__):
            return None
        self.by_key[method] = found
        return found


def _arity(method: Handler) -> int:
    """With how many arguments, all positional, it can certainly be called; 0: its code alone does not say."""
    if not isinstance(method, FunctionType):
        return 0
    code = method.__code__
    return code.co_argcount if code.co_flags & inspect.CO_COROUTINE and not code.co_kwonlyargcount else 0


def callbacks_of(cls: type[Actor]) -> frozenset[str]:
    """The names that are no methods to be called."""
    return _HANDOVER.union(cls.__hubkit_callbacks__)


def _check_marks(cls: type[Actor]) -> None:
    """Refuse ``@when`` where it would mean nothing."""
    for base in cls.__mro__:
        for name, value in vars(base).items():
            if hasattr(value, "__hubkit_when__") and (
                "on_enter" not in cls.__hubkit_callbacks__
                or name in callbacks_of(cls)
                or not inspect.iscoroutinefunction(value)
            ):
                msg = (
                    f"{cls.__qualname__}.{name} is marked with @hubkit.when, which is for public coroutine methods of a "
                    "hubkit.StateMachine; callbacks are called in every state"
                )
                raise ConfigurationError(msg)


def _check_callback(cls: type[Actor], name: str, arguments: tuple[str, ...]) -> None:
    """Refuse a callback that could not be called: it would fail far from the class, and much later."""
    callback = cls.__dict__.get(name)
    if callback is None:
        return
    fits = inspect.iscoroutinefunction(callback)
    if fits:
        try:
            inspect.signature(callback).bind("self", *arguments)
        except TypeError:
            fits = False
    if not fits:
        wanted = f"async def {name}({', '.join(('self', *arguments))})"
        msg = f"{cls.__qualname__}.{name} must be a coroutine method that can be called as: {wanted}"
        raise ConfigurationError(msg)


def method_name(method: object) -> str:
    """The name of a method given as a `str` or as an unbound function. Raises `ConfigurationError` for anything else."""
    if isinstance(method, str):
        return method
    if type(method) is FunctionType:  # nearly always
        return method.__name__
    if inspect.ismethod(method):
        msg = f"give the method of the class, not of an instance: Class.{method.__name__}, not {method!r:.80}"
        raise ConfigurationError(msg)
    name = getattr(method, "__name__", None)
    if not callable(method) or not isinstance(name, str):
        msg = f"a method must be given as a function of the actor's class (Counter.add) or as a str, not {method!r:.80}"
        raise ConfigurationError(msg)
    return name


class Actor:
    """Base of actor classes. Its subclasses' public coroutine methods can be called through a `Ref`.

    One message is handled at a time, in order of arrival. An exception that escapes a method crashes the actor;
    raise a `hubkit.Reject` to refuse a request and live on. ``self.context`` is there from before ``__init__`` on;
    ``super().__init__()`` need not be called. Example::

        class Counter(hubkit.Actor):
            def __init__(self, value: int = 0) -> None:
                self.value = value

            async def add(self, n: int = 1) -> int:
                self.value += n
                return self.value
    """

    #: The wire name: ``module:qualname``, or what ``@actor(name=...)`` fixed. `None` for `Actor` itself.
    __hubkit_actor__: ClassVar[str | None] = None
    #: Whether the end of an actor that this one is linked with comes as an `Exit` through ``on_info``, and ends it not.
    trap_exits: ClassVar[bool] = False
    __hubkit_methods__: ClassVar[Methods]
    #: The callbacks that are awaited, and the names of their arguments.
    __hubkit_callbacks__: ClassVar[dict[str, tuple[str, ...]]] = ASYNC_CALLBACKS

    context: Context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, arguments in cls.__hubkit_callbacks__.items():
            _check_callback(cls, name, arguments)
        _check_marks(cls)
        check_flag(cls.trap_exits, f"{cls.__qualname__}.trap_exits")
        is_base = "__hubkit_callbacks__" in vars(cls)  # as this class is: nobody starts one
        cls.__hubkit_actor__ = None if is_base else register_actor(cls)

    def __hubkit_begun__(self) -> None:
        """It has started; for what is built on actors."""

    async def on_start(self) -> None:
        """Called first. Raising fails the start; messages that arrive meanwhile wait."""

    async def on_stop(self, reason: str) -> None:
        """Called last, also after a crash (``"crash"``); not when the actor is killed. Bounded by the spec's ``shutdown``."""

    async def on_info(self, message: Any) -> None:
        """Called for everything that is neither call nor cast: `Down`, timers, plain sends.

        Unless overridden, the message is published as a `DeadLetter`.
        """
        self.context._cell.unhandled(message)

    async def on_role(self, role: str) -> None:
        """Called when a copy of a replicated child starts as, or becomes, ``"active"`` or ``"passive"``."""

    def handover_state(self) -> Any:
        """What a move or a checkpoint carries to the next incarnation; must be able to travel. Default: `None`.

        This and the next two may be ``async``; then they have 5 s.
        """
        return None

    def accept_handover(self, state: Any) -> Awaitable[None] | None:
        """Take over the state of the incarnation before. Default: ignore it."""
        return None

    def merge_handover(self, state: Any) -> Awaitable[None] | None:
        """Take in the state of a duplicate that lost after a partition healed. Default: ignore it."""
        return None


def methods_of(cls: type[Actor]) -> Methods:
    """The table of a class, made at the first need: decorators of the class have run by then."""
    methods = cls.__dict__.get("__hubkit_methods__")
    if methods is None:
        methods = cls.__hubkit_methods__ = Methods(cls)
    return methods


class _Marker(Protocol):
    """What ``@actor(name=...)`` gives: it returns what it marks."""

    @overload
    def __call__(self, start: T) -> T: ...
    @overload
    def __call__(
        self, start: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]
    ) -> Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]: ...


@overload
def actor(start: T) -> T: ...
@overload
def actor(
    start: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Context, P], Coroutine[Any, Any, R]]: ...
@overload
def actor(*, name: str | None = None, trap_exits: bool = False) -> _Marker: ...
def actor(start: Any = None, *, name: str | None = None, trap_exits: bool = False) -> Any:
    """Make an actor of a coroutine function, or fix the wire name of an actor class or function.

    The function's first parameter is its `Context`; it reads its mailbox with ``await context.receive()`` or
    ``async for message in context``. Returning is a normal exit. Example::

        @hubkit.actor
        async def printer(context: hubkit.Context, prefix: str) -> None:
            async for message in context:
                print(prefix, message)

    ``@hubkit.actor(name="shop.counter")`` keeps the name on the wire when the class is renamed or moved.
    ``@hubkit.actor(trap_exits=True)``: it receives an `Exit` when one that it is linked with ends, and lives on.
    Raises `ConfigurationError` for anything but a coroutine function or a subclass of `Actor`, and for a name that
    belongs to another actor.
    """

    def mark(thing: Any) -> Any:
        is_class = inspect.isclass(thing) and issubclass(thing, Actor) and thing is not Actor
        if not is_class and not inspect.iscoroutinefunction(thing):
            msg = f"@actor marks coroutine functions (async def) and subclasses of Actor, not {thing!r:.80}"
            raise ConfigurationError(msg)
        marked: Any = thing
        marked.__hubkit_actor__ = register_actor(thing, name)
        if trap_exits or not is_class:
            marked.trap_exits = check_flag(trap_exits, "trap_exits")
        return marked

    return mark if start is None else mark(start)
