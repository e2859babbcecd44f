"""Whether five values can be the strategies of a hub: what can be known before it opens.

Law of this room: what a strategy lacks is said where it is given to the hub, with the name of its family and of what it lacks.
What it will answer to a real cluster nobody can know: `hubkit.testing.laws` tries it, `hubkit.cluster.doubts` survives it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from hubkit.cluster.policy import Strategies
from hubkit.errors import ConfigurationError

__all__ = ["check_strategies"]


def _number(value: object, *, least: float = 0.0, zero: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value >= least if zero else value > least


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Fine = Callable[[Any], bool]

#: family -> the methods that it must have, and how many arguments each is called with
_METHODS: dict[str, dict[str, int]] = {
    "distribution": {"place": 3},
    "redundancy": {"copies": 1},
    "migration": {},
    "synchronization": {"targets": 2},
    "partition_tolerance": {"allowed": 1},
}
#: family -> methods that it may have, and what it must have then
_MORE: dict[str, dict[str, tuple[int, dict[str, int], tuple[str, ...]]]] = {
    "distribution": {"prepare": (1, {}, ()), "assign": (4, {}, ("half_life", "step"))},
    "partition_tolerance": {"is_quorum": (2, {"needs": 1}, ("lease", "stop", "drift"))},
}
#: family -> attributes that it must have
_NEEDED = {"migration": ("warm",), "synchronization": ("sync_interval",)}
#: attributes, what they must be, and whether that is so
_VALUES: dict[str, dict[str, tuple[str, Fine]]] = {
    "distribution": {
        "half_life": ("seconds above 0", _number),
        "step": ("a number above 0", _number),
    },
    "redundancy": {
        "active": ("'one' or 'all'", lambda value: value in ("one", "all")),
        "checkpoint": ("'manual', or seconds above 0", lambda value: value == "manual" or _number(value)),
    },
    "migration": {
        "warm": ("True or False", lambda value: isinstance(value, bool)),
        "handover": ("True or False", lambda value: isinstance(value, bool)),
        "retention": ("seconds, 0 or more", lambda value: _number(value, zero=True)),
        "max_moves": ("None, or a number of children from 1 on", lambda value: value is None or _count(value)),
        "max_rate": ("None, or children a second, above 0", lambda value: value is None or _number(value)),
        "veto": ("None, or a function of (child, source, target)", lambda value: value is None or _takes(value, 3)),
    },
    "synchronization": {"sync_interval": ("seconds above 0", _number)},
    "partition_tolerance": {
        "lease": ("seconds above 0", _number),
        "stop": ("seconds, 0 or more", lambda value: _number(value, zero=True)),
        "drift": ("a share from 0 to less than 1", lambda value: _number(value, zero=True) and value < 1),
    },
}


def check_strategies(strategies: Strategies) -> Strategies:
    """Return the strategies if each can do what its family must. Raises `ConfigurationError`, which says what is missing."""
    for family, methods in _METHODS.items():
        value = getattr(strategies, family)
        needed = _NEEDED.get(family, ())
        first = next(iter((*methods, *needed)))
        if isinstance(value, type) or not _has(value, first):
            msg = f"{family} must be a value with .{first} (see hubkit.strategies), not {value!r:.80}"
            raise ConfigurationError(msg)
        _check(family, value, methods, needed, "")
        for name, (arguments, others, attributes) in _MORE.get(family, {}).items():
            if _has(value, name):
                _check(family, value, {name: arguments, **others}, attributes, f" has {name}, so it")
        for name, (what, fine) in _VALUES[family].items():
            _check_value(family, value, name, what, fine)
    _check_copies(strategies.redundancy)
    return strategies


def _has(value: Any, name: str) -> bool:
    """Whether it has an attribute of this name, be it one that raises when it is read."""
    return hasattr(type(value), name) or hasattr(value, name)


def _check(family: str, value: Any, methods: dict[str, int], attributes: tuple[str, ...], why: str) -> None:
    for name in (*attributes, *methods):
        if not _has(value, name):
            msg = f"{family}{why} must have .{name}, too (see hubkit.strategies): {value!r:.80}"
            raise ConfigurationError(msg)
    for name, arguments in methods.items():
        if not _takes(getattr(value, name, None), arguments):
            msg = f"{family}.{name} must be a method that takes {arguments} argument{'s' * (arguments > 1)}: {value!r:.80}"
            raise ConfigurationError(msg)


def _takes(function: object, arguments: int) -> bool:
    """Whether this can be called with so many arguments."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # a built-in one, which does not say
        return True
    return True


def _check_value(family: str, value: Any, name: str, what: str, fine: Fine) -> None:
    if not _has(value, name):
        return
    try:
        found = getattr(value, name)
    except Exception as error:
        msg = f"{family}.{name} of {type(value).__qualname__} cannot be read"
        raise ConfigurationError(msg) from error
    if not fine(found):
        msg = f"{family}.{name} must be {what}, not {found!r:.80}"
        raise ConfigurationError(msg)


def _check_copies(redundancy: Any) -> None:
    """It is asked about numbers alone, so it can be tried at once."""
    for nodes in range(4):
        try:
            copies = redundancy.copies(nodes)
        except Exception as error:
            msg = f"redundancy.copies({nodes}) of {type(redundancy).__qualname__} raised {type(error).__name__}"
            raise ConfigurationError(msg) from error
        if not _count(copies):
            msg = f"redundancy.copies({nodes}) must be a number of copies, 1 at least, not {copies!r:.80}"
            raise ConfigurationError(msg)
