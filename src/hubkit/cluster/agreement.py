"""What the nodes of one hub must agree on: the strategies, written down so that two processes can compare them.

Law of this room: equal strategies have equal texts in any process, and a text says all that matters to agreement. Strategies
are dataclasses, or have a `repr` that says what they are; so those that users write are covered, too. A field that each node
may choose for itself is marked: ``field(..., metadata={"local": True})``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

from hubkit.cluster.policy import Strategies

__all__ = ["FAMILIES", "agreement", "differences"]

#: The families, in the order in which a node names its strategies.
FAMILIES = ("distribution", "redundancy", "migration", "synchronization", "partition_tolerance")

LENGTH = 500


def agreement(strategies: Strategies) -> tuple[str, ...]:
    """The text of each family."""
    return tuple(_bounded(written(getattr(strategies, family))) for family in FAMILIES)


def differences(here: tuple[str, ...], there: tuple[str, ...]) -> Iterator[str]:
    """What differs, a phrase for each family."""
    for family, mine, theirs in zip(FAMILIES, here, there, strict=True):
        if mine != theirs:
            yield f"{family} is {theirs} there and {mine} here"


def written(value: Any) -> str:
    """A value in words that are the same in every process."""
    if is_dataclass(value) and not isinstance(value, type):
        shared = [item.name for item in fields(value) if not item.metadata.get("local")]
        return f"{type(value).__qualname__}({', '.join(f'{name}={written(getattr(value, name))}' for name in shared)})"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{written(key)}: {written(item)}' for key, item in value.items()))}}}"
    if isinstance(value, AbstractSet):
        return f"{{{', '.join(sorted(map(written, value)))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if getattr(type(value), "__repr__", None) is object.__repr__:  # it would say where in memory it is
        return f"{type(value).__qualname__}()"
    return repr(value)


def _bounded(text: str) -> str:
    """A text that is not too long to be sent; what is cut off still counts."""
    if len(text) <= LENGTH:
        return text
    return f"{text[: LENGTH - 40]}... ({blake2b(text.encode(), digest_size=8).hexdigest()})"
