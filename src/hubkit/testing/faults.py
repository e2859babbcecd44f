"""The faults that a plan is made of: plain values, one class for each disaster.

Law of this room: a fault that exists is possible. Its own values are checked when it is made; whether its names and times
fit a plan is the plan's business, and what a fault does to a simulation is the player's (`hubkit.testing.plans`).

All times are virtual seconds since the plan began to be played. A fault with ``until`` is a *window*: it begins at ``at``
and is undone at ``until``. The repr of a fault leaves out what is as usual, and can be pasted into a program.
Refused: faults that refer to one another ("the crash of whoever paused last"). They would shrink badly, and a plan must
be read without being run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

from hubkit.errors import ConfigurationError

__all__ = [
    "Break",
    "Crash",
    "Fault",
    "Hold",
    "Join",
    "Leave",
    "Partition",
    "Pause",
    "Restart",
    "Skew",
    "Slow",
    "node_names",
]


def node_names(count: int) -> tuple[str, ...]:
    """Short names for so many nodes: ``a``, ``b``, ``c`` ... up to 26 of them, else ``n001``, ``n002`` ... in order.

    Raises `ConfigurationError` if there is not at least one. Example: ``node_names(3) == ("a", "b", "c")``.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"the number of nodes must be an int of at least 1, not {count!r}"
        raise ConfigurationError(msg)
    if count <= 26:
        return tuple("abcdefghijklmnopqrstuvwxyz"[:count])
    width = len(str(count))
    return tuple(f"n{number:0{width}}" for number in range(1, count + 1))


class Readable:
    """A dataclass whose repr leaves out the fields that have their default."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __repr__(self) -> str:
        shown = [(field, getattr(self, field.name)) for field in fields(self)]
        parts = [f"{field.name}={value!r}" for field, value in shown if value != field.default]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The same in several lines where one is too short, as Hypothesis and IPython print it."""
        shown = [(field, getattr(self, field.name)) for field in fields(self)]
        _in_lines(
            printer,
            f"{type(self).__name__}(",
            [(f"{field.name}=", value) for field, value in shown if value != field.default],
        )


def _in_lines(printer: Any, opening: str, parts: list[tuple[str, Any]]) -> None:
    """Print ``opening``, the parts and a closing parenthesis: on one line, or each part on its own."""
    with printer.group(0, opening, ")"):
        with printer.indent(4):
            for position, (label, value) in enumerate(parts):
                printer.breakable(" " if position else "")
                if isinstance(value, tuple) and value and isinstance(value[0], Readable):
                    _in_lines(printer, f"{label}(", [("", part) for part in value])
                else:
                    printer.text(label)
                    printer.pretty(value)
                alone = not label and len(parts) == 1
                printer.text("," if position < len(parts) - 1 or alone else "")
        printer.breakable("")


def number_of(owner: object, field: str, value: object, *, least: float = 0.0, above: bool = False) -> float:
    """A finite number of at least ``least`` (``above``: of more than that), as a float; or `ConfigurationError`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not isinstance(value, int | float) or value < least or (above and value == least):
        wanted = "" if least == -math.inf else f" {'above' if above else 'of at least'} {least:g}"
        msg = f"{field} of a {type(owner).__name__} must be a finite number{wanted}, not {value!r}"
        raise ConfigurationError(msg)
    return float(value)


def _name(owner: object, field: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        msg = f"{field} of a {type(owner).__name__} must be the name of a node, not {value!r}"
        raise ConfigurationError(msg)


def _times(fault: Any) -> None:
    """Check ``at``, and ``until`` where there is one."""
    object.__setattr__(fault, "at", number_of(fault, "at", fault.at))
    until = getattr(fault, "until", None)
    if until is None:
        return
    object.__setattr__(fault, "until", number_of(fault, "until", until))
    if fault.until <= fault.at:
        msg = f"a {type(fault).__name__} must end after it begins: until={fault.until!r} is not above at={fault.at!r}"
        raise ConfigurationError(msg)


def _pair(fault: Any) -> None:
    _name(fault, "a", fault.a)
    _name(fault, "b", fault.b)
    if fault.a == fault.b:
        msg = f"a {type(fault).__name__} needs two nodes, not {fault.a!r} twice"
        raise ConfigurationError(msg)


def _group(fault: Partition, group: object) -> tuple[str, ...]:
    names = (group,) if isinstance(group, str) else group
    if not isinstance(names, Iterable):
        msg = f"a group of a Partition must be a tuple of names of nodes, not {group!r}"
        raise ConfigurationError(msg)
    names = sorted(names) if isinstance(names, set | frozenset) else tuple(names)
    for name in names:
        _name(fault, "a group", name)
    if not names:
        msg = f"a group of a Partition must name a node: leave the empty ones out of groups={fault.groups!r}"
        raise ConfigurationError(msg)
    return tuple(names)


@dataclass(frozen=True, slots=True, repr=False)
class Partition(Readable):
    """Nodes of different groups cannot reach each other. A node that is in no group still reaches all (a bridge).

    ``one_way``: the first group cannot reach the others, but hears them. At least two groups, which share no node.
    """

    at: float
    until: float
    groups: tuple[tuple[str, ...], ...]
    one_way: bool = False

    def __post_init__(self) -> None:
        _times(self)
        if isinstance(self.groups, str) or not isinstance(self.groups, Iterable):
            msg = f"groups of a Partition must be a tuple of tuples of names, not {self.groups!r}"
            raise ConfigurationError(msg)
        groups = tuple(_group(self, group) for group in self.groups)
        object.__setattr__(self, "groups", groups)
        if len(groups) < 2:
            msg = f"a Partition needs at least two groups, not groups={groups!r}"
            raise ConfigurationError(msg)
        names = [name for group in groups for name in group]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"a Partition names {', '.join(twice)} more than once in groups={groups!r}: each node is in one group at most"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True, repr=False)
class Hold(Readable):
    """Frames between two nodes wait, in both directions, and travel when they are released: nothing is lost."""

    at: float
    until: float
    a: str
    b: str

    def __post_init__(self) -> None:
        _times(self)
        _pair(self)


@dataclass(frozen=True, slots=True, repr=False)
class Slow(Readable):
    """Frames between two nodes take ``latency`` seconds, and up to ``jitter`` seconds more."""

    at: float
    until: float
    a: str
    b: str
    latency: float
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _times(self)
        _pair(self)
        object.__setattr__(self, "latency", number_of(self, "latency", self.latency))
        object.__setattr__(self, "jitter", number_of(self, "jitter", self.jitter))


@dataclass(frozen=True, slots=True, repr=False)
class Break(Readable):
    """The links between two nodes end. ``half_open``: without a word to them, so that they must find out."""

    at: float
    a: str
    b: str
    half_open: bool = False

    def __post_init__(self) -> None:
        _times(self)
        _pair(self)


@dataclass(frozen=True, slots=True, repr=False)
class Crash(Readable):
    """A node's process dies; a new incarnation starts at ``until`` (`None`: it stays dead).

    ``silent``: the machine loses power, so no peer is told that its links have ended.
    """

    at: float
    node: str
    until: float | None = None
    silent: bool = False

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)


@dataclass(frozen=True, slots=True, repr=False)
class Pause(Readable):
    """A node's process stands still, as in a long garbage collection, and then goes on."""

    at: float
    until: float
    node: str

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)


@dataclass(frozen=True, slots=True, repr=False)
class Leave(Readable):
    """A node is told to leave, and drains; it is started again at ``until`` (`None`: it stays away).

    If it still drains at ``until`` it is killed then, as by an orchestrator's period of grace.
    """

    at: float
    node: str
    until: float | None = None

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)


@dataclass(frozen=True, slots=True, repr=False)
class Restart(Readable):
    """A node's process dies, and a new incarnation starts in the same moment."""

    at: float
    node: str

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)


@dataclass(frozen=True, slots=True, repr=False)
class Skew(Readable):
    """From now on the node's wall clock is ``offset`` seconds off, and its clocks go at ``rate`` (0.01 to 100; 1 is true)."""

    at: float
    node: str
    offset: float = 0.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)
        object.__setattr__(self, "offset", number_of(self, "offset", self.offset, least=-math.inf))
        object.__setattr__(self, "rate", number_of(self, "rate", self.rate, least=0.01))
        if self.rate > 100:
            msg = f"rate of a Skew must be at most 100 (1.0 is true), not {self.rate!r}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True, repr=False)
class Join(Readable):
    """A node that is not there at first is started, with the same hubs and options as the first node of the plan."""

    at: float
    node: str

    def __post_init__(self) -> None:
        _times(self)
        _name(self, "node", self.node)


#: any of them
Fault = Partition | Hold | Slow | Break | Crash | Pause | Leave | Restart | Skew | Join
