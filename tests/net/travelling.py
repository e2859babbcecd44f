"""Values of users' own for tests of what travels, and when two values are the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from datetime import time as clock_time
from typing import Any

from hubkit.messages import message
from hubkit.net.payload import Payloads

__all__ = ["PAYLOADS", "Counted", "Handle", "Point", "same"]


@message
@dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


@message(name="test:counted")
@dataclass
class Counted:
    items: list[Any]
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if not isinstance(self.items, list):
            msg = "items must be a list"
            raise TypeError(msg)


class Handle:
    """Stands for a ref."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)


PAYLOADS = Payloads(
    encode_ref=lambda value: ["handle", value.number] if isinstance(value, Handle) else None,
    decode_ref=lambda data: Handle(data[1]),
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types all the way down, and not a number where the other is not one."""
    return bool(canonical(one) == canonical(other))


def canonical(value: Any) -> Any:
    """A value that is equal to another one's only if both are the same; ``repr`` tells 0.0, -0.0, 0 and False apart."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return kind, [canonical(item) for item in value]
    if isinstance(value, dict):
        return kind, [(canonical(key), canonical(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(canonical(member)) for member in value)
    if isinstance(value, datetime | clock_time):
        return kind, repr(value)
    if isinstance(value, Point | Counted):
        return kind, [canonical(getattr(value, f)) for f in value.__dataclass_fields__]
    if isinstance(value, Handle):
        return kind, canonical(value.number)
    if isinstance(value, int):
        return kind, hex(value)  # Python refuses to write a very large one in digits
    return kind, repr(value)
