"""What is to run: `ChildSpec`, `Backoff`, and the check of every value in them.

Law of this room: a wrong value is refused where it is written down, with what was wrong and what was expected; whoever
holds a spec need not check it again. The words and defaults are those of OTP's supervisor, in seconds.

What a spec may start is decided by a mark, not by an import: actor classes and ``@actor`` functions carry
``__hubkit_actor__`` (their wire name), so this room needs to know neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from hubkit.errors import ConfigurationError

__all__ = ["Backoff", "ChildSpec", "Restart", "check_count", "check_flag", "check_id", "check_seconds"]

Restart = Literal["permanent", "transient", "temporary"]

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


def check_id(value: object, what: str = "a child id") -> str:
    """Return ``value`` if it can be an id: a non-empty `str` of at most 255 characters."""
    if not isinstance(value, str) or not value or len(value) > 255:
        shown = f"{value!r:.60}"
        msg = f"{what} must be a non-empty str of at most 255 characters, not {shown} ({type(value).__name__})"
        raise ConfigurationError(msg)
    return value


def check_seconds(value: object, what: str, *, infinite: bool = False, zero: bool = True) -> float:
    """Return ``value`` as seconds: a number, not negative, not NaN; infinite or zero only where that has a meaning."""
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # an int that is too large for a float
            number = float(value)
    if not number >= 0 or (math.isinf(number) and not infinite) or (number == 0 and not zero):
        kind = "zero or more" if zero else "more than zero"
        msg = f"{what} must be seconds, {kind}{', or math.inf' if infinite else ''}; not {value!r:.80}"
        raise ConfigurationError(msg)
    return number


def check_count(value: object, what: str, *, least: int = 0) -> int:
    """Return ``value`` if it is an `int` of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{what} must be an int of at least {least}, not {value!r}"
        raise ConfigurationError(msg)
    return value


def check_flag(value: object, what: str) -> bool:
    """Return ``value`` if it is `True` or `False`, and not merely something that counts as one of them."""
    if not isinstance(value, bool):
        msg = f"{what} must be True or False, not {value!r:.80}"
        raise ConfigurationError(msg)
    return value


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row: ``first * factor ** (n - 1)`` seconds, at most ``max``.

    ``jitter`` is the share of each wait that is drawn at random (0: none, 1: all of it), so that children which failed
    together do not come back together. Raises `ConfigurationError` for what is no number of its kind, and for a ``first``
    longer than ``max``.
    """

    first: float = 0.1
    factor: float = 2.0
    max: float = 30.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        check_seconds(self.first, "Backoff.first")
        check_seconds(self.max, "Backoff.max", zero=False)
        for name, value, low, high in (("factor", self.factor, 1.0, 100.0), ("jitter", self.jitter, 0.0, 1.0)):
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                msg = f"Backoff.{name} must be a number from {low:g} to {high:g}, not {value!r}"
                raise ConfigurationError(msg)
        if self.first > self.max:
            msg = f"Backoff.first, {self.first:g} s, is longer than any wait may be: Backoff.max is {self.max:g} s; say both"
            raise ConfigurationError(msg)

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before restart number ``attempt`` (from 1); ``chance`` is a random number from 0 to 1."""
        try:
            full = min(self.max, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            full = self.max
        return full * (1.0 - self.jitter * chance)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to start, and what to do when it ends. A frozen value; `dataclasses.replace` makes variations.

    ``id``: the child's name, unique in its supervisor or hub.
    ``start``: an `Actor` subclass, an ``@actor`` function, or `Supervisor`; called with ``args`` and ``kwargs``.
    ``restart``: ``"permanent"`` (always), ``"transient"`` (after a crash only), ``"temporary"`` (never).
    ``shutdown``: seconds that the child has to stop; `math.inf`, or ``0`` to cancel it at once.
    ``significant``: its end may end its supervisor (see ``auto_shutdown``).
    ``mailbox``: how many messages may wait.
    ``backoff``: `None` restarts at once.

    Raises `ConfigurationError` for any wrong value.
    """

    id: str
    start: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: _NO_KWARGS, hash=False)
    restart: Restart = field(default="permanent", kw_only=True)
    shutdown: float = field(default=5.0, kw_only=True)
    significant: bool = field(default=False, kw_only=True)
    mailbox: int = field(default=1000, kw_only=True)
    backoff: Backoff | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_id(self.id)
        # An instance of an actor class has its class's mark: it is the class that is to be given.
        unmarked = getattr(self.start, "__hubkit_actor__", None) is None or not hasattr(self.start, "__qualname__")
        if unmarked and not isinstance(self.start, UnknownStart):
            msg = (
                f"start of child {self.id!r} must be an Actor subclass, a function marked with @hubkit.actor, or "
                f"Supervisor; not {self.start!r:.80}"
            )
            raise ConfigurationError(msg)
        if not isinstance(self.args, tuple | list):
            msg = f"args of child {self.id!r} must be a tuple, not {self.args!r:.80} (one argument: args=(value,))"
            raise ConfigurationError(msg)
        if not isinstance(self.kwargs, Mapping) or not all(isinstance(key, str) for key in self.kwargs):
            msg = f"kwargs of child {self.id!r} must be a mapping with str keys, not {self.kwargs!r:.80}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "args", tuple(self.args))
        object.__setattr__(self, "kwargs", MappingProxyType(dict(self.kwargs)) if self.kwargs else _NO_KWARGS)
        if self.restart not in get_args(Restart):
            msg = f"restart of child {self.id!r} must be one of {', '.join(map(repr, get_args(Restart)))}, not {self.restart!r}"
            raise ConfigurationError(msg)
        check_seconds(self.shutdown, f"shutdown of child {self.id!r}", infinite=True)
        check_count(self.mailbox, f"mailbox of child {self.id!r}", least=1)
        check_flag(self.significant, f"significant of child {self.id!r}")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            msg = f"backoff of child {self.id!r} must be a hubkit.Backoff or None, not {self.backoff!r}"
            raise ConfigurationError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mappingproxy cannot be copied or pickled; a plain dict can.
        options = (self.restart, self.shutdown, self.significant, self.mailbox, self.backoff)
        return (_rebuild, (self.id, self.start, self.args, dict(self.kwargs), options))


@dataclass(frozen=True, slots=True)
class UnknownStart:
    """Stands for an actor that this process has not defined, in specs read from other nodes. It cannot be started."""

    name: str


def _rebuild(id: str, start: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: tuple[Any, ...]) -> ChildSpec:
    restart, shutdown, significant, mailbox, backoff = options
    spec = ChildSpec(id, start, args, kwargs, restart=restart, shutdown=shutdown)
    return replace(spec, significant=significant, mailbox=mailbox, backoff=backoff)
