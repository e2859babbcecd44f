"""Users' own message types: the mark `message`, and the table that it fills.

Law of this room: what arrives from another process is rebuilt only from classes that this one has defined and marked,
found by name in a table; nothing is imported, and no attribute is looked up, on a peer's word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, overload

from hubkit.errors import ConfigurationError
from hubkit.names import is_local_name, wire_name

__all__ = ["MessageType", "find_message", "message", "message_type"]

C = TypeVar("C", bound=type)


@dataclasses.dataclass(frozen=True, slots=True)
class MessageType:
    """A class that can travel: its name on the wire, and its fields in order.

    ``name`` is `None` for a class defined inside a function: it has no name that another process could know it by.
    ``init`` are the fields that its ``__init__`` takes, ``extra`` those that are set afterwards.
    """

    cls: type
    name: str | None
    init: frozenset[str]
    fields: tuple[str, ...]


_by_class: dict[type, MessageType] = {}
_by_name: dict[str, MessageType] = {}


@overload
def message(cls: C, /) -> C: ...
@overload
def message(*, name: str) -> Callable[[C], C]: ...
def message(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Mark a dataclass: its instances may travel in messages, arguments and results.

    Both processes must have defined the class. Its name on the wire is ``module:qualname``, or ``name``. Fields travel
    by name, so a new field with a default does not break the other side. Example::

        @hubkit.message
        @dataclass(frozen=True)
        class Order:
            number: int
            items: tuple[str, ...] = ()

    Raises `ConfigurationError` for anything but a dataclass, for one with `dataclasses.InitVar` fields, and for a
    ``name`` that another class has already.
    """
    if cls is None:
        return lambda cls: _register(cls, name)
    return _register(cls, name)


def _register(cls: Any, name: str | None) -> Any:
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        msg = f"@hubkit.message marks dataclasses, not {cls!r:.80}: put @dataclass beneath it"
        raise ConfigurationError(msg)
    pseudo = [f.name for f in cls.__dataclass_fields__.values() if f._field_type is dataclasses._FIELD_INITVAR]  # type: ignore[attr-defined]  # dataclasses offers no public way to see InitVars
    if pseudo:
        msg = f"{cls.__qualname__} has InitVar fields ({', '.join(pseudo)}): their values are not kept, so it cannot travel"
        raise ConfigurationError(msg)
    if name is not None and (not isinstance(name, str) or not name or len(name) > 200):
        msg = f"the wire name of a message must be a non-empty str of at most 200 characters, not {name!r}"
        raise ConfigurationError(msg)
    other = _by_name.get(name) if name is not None else None
    if other is not None and wire_name(other.cls) != wire_name(cls):
        msg = (
            f"the wire name {name!r} belongs to {wire_name(other.cls)} already: choose another one for {wire_name(cls)}"
        )
        raise ConfigurationError(msg)
    if name is None and not is_local_name(wire_name(cls)):
        name = wire_name(cls)
    fields = dataclasses.fields(cls)
    entry = MessageType(cls, name, frozenset(f.name for f in fields if f.init), tuple(f.name for f in fields))
    _by_class[cls] = entry
    if name is not None:
        _by_name[name] = entry
    return cls


def message_type(cls: type) -> MessageType | None:
    """The entry of a class, if it carries the mark itself (a subclass needs its own)."""
    return _by_class.get(cls)


def find_message(name: str) -> MessageType | None:
    """The entry of this wire name, if this process has defined it."""
    return _by_name.get(name)
