"""The law of all families: a strategy is a value.

Law of this room: nodes compare their strategies by a text (`hubkit.cluster.agreement`). So the text must say all that a
strategy is, and say the same in every process: no address in memory, no order of a set.
"""

from __future__ import annotations

import copy
import re
from dataclasses import is_dataclass
from typing import Any

from hubkit.cluster.agreement import written
from hubkit.testing.laws.running import Bench

__all__ = ["check_value", "names_in"]

VALUE = "it is a value: it can be hashed, it equals its copy, and it does not change"
TEXT = "its text is the same in every process, and says all that it is"

#: names of its own that a strategy is asked about
MOST = 5

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+|0x[0-9a-fA-F]{8,}")


def check_value(bench: Bench) -> None:
    """Raise `AssertionError` if a strategy is no value."""
    bench.hold_once(VALUE, lambda: _value(bench.strategy))
    bench.hold_once(TEXT, lambda: _text(bench.strategy))


def _value(strategy: Any) -> str | None:
    twin = copy.copy(strategy)
    try:
        same = hash(strategy) == hash(strategy)
    except TypeError as error:
        return f"hash(...) raised TypeError: {error}; a dataclass has frozen=True, and fields that can be hashed"
    made = getattr(type(strategy), "__dataclass_params__", None)
    if made is not None and not made.frozen:
        return "its dataclass is not frozen"
    if _defines(strategy, "__eq__") and (twin != strategy or hash(twin) != hash(strategy)):
        return "its copy is not equal to it, or has another hash"
    return None if same else "its hash changes"


def _text(strategy: Any) -> str | None:
    text, state = written(strategy), _state(strategy)
    if _ADDRESS.search(text):
        return f"other nodes would be told {text:.200}: that has an address in memory in it"
    if written(copy.copy(strategy)) != text:
        return f"other nodes would be told {text:.200}, of its copy {written(copy.copy(strategy)):.200}"
    if is_dataclass(strategy):
        return None
    if state and not _defines(strategy, "__repr__"):
        what = f"other nodes would be told {text:.200}, and nothing of {', '.join(sorted(state))}"
        return f"{what}: give it a __repr__, or make it a frozen dataclass"
    for name, value in sorted(state.items()):
        if isinstance(value, set | frozenset) and len(value) > 1 and repr(value) in text:
            return f"other nodes would be told {text:.200}: the order of the set {name} differs from process to process"
    return None


def names_in(strategy: Any) -> tuple[str, ...]:
    """Names that a strategy may know nodes by: every `str` that it has of its own, a few at most."""
    found: set[str] = set()
    for value in _state(strategy).values():
        items = value if isinstance(value, tuple | list | set | frozenset) else [value]
        found.update(item for item in items if isinstance(item, str) and 0 < len(item) <= 255)
    return tuple(sorted(found)[:MOST])


def _defines(strategy: Any, method: str) -> bool:
    """Whether its class has this method of its own, and not that of `object`."""
    return any(method in kind.__dict__ for kind in type(strategy).__mro__ if kind is not object)


def _state(strategy: Any) -> dict[str, Any]:
    """What it has of its own."""
    state = dict(getattr(strategy, "__dict__", {}))
    for kind in type(strategy).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(strategy, name):
                state[name] = getattr(strategy, name)
    return state
