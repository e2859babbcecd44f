"""A plan of disasters: a value that can be drawn, shrunk, printed, pasted, and read back.

Law of this room: a plan is data. It is checked when it is made: it names known nodes, all its windows end with it, and it
leaves at least ``spare`` nodes up at any moment. Any part of a plan's faults is a plan as well, but for a `Join` that
another fault of its node needs; so shrinking one cannot break it.

What a plan does to a simulation is the business of `hubkit.testing.playing`. Refused: `eval` for reading one back, for a
plan comes from logs and command lines; and drawing one from a bare seed, for a seed cannot be shrunk.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from hubkit.errors import ConfigurationError
from hubkit.testing.faults import (
    Break,
    Crash,
    Fault,
    Hold,
    Join,
    Leave,
    Partition,
    Pause,
    Readable,
    Restart,
    Skew,
    Slow,
    number_of,
)

__all__ = ["FaultPlan", "What", "ending", "is_down", "names_of"]

_FAULTS: Final = (Partition, Hold, Slow, Break, Crash, Pause, Leave, Restart, Skew, Join)

What = Literal["start", "end"]


@dataclass(frozen=True, slots=True, repr=False)
class FaultPlan(Readable):
    """What goes wrong with which nodes, and when.

    ``nodes``: all names; those that a `Join` brings are not there at first (`founders` are the others). ``duration``:
    virtual seconds; every window ends by then. ``spare``: at least so many nodes are up at any moment; 0 allows a plan
    that takes all of them down. Raises `ConfigurationError` where names or times do not fit. Example::

        plan = FaultPlan(
            nodes=("a", "b", "c"),
            duration=60.0,
            faults=(Partition(at=3.0, until=10.5, groups=(("a",), ("b", "c"))), Crash(at=20.0, node="b", until=25.0)),
        )
        await sim.play(plan)
    """

    nodes: tuple[str, ...]
    duration: float
    faults: tuple[Fault, ...] = ()
    spare: int = 1

    def __post_init__(self) -> None:
        _check_nodes(self)
        object.__setattr__(self, "duration", number_of(self, "duration", self.duration, above=True))
        object.__setattr__(self, "faults", tuple(self.faults))
        if isinstance(self.spare, bool) or not isinstance(self.spare, int) or self.spare < 0:
            msg = f"spare of a FaultPlan must be a number of nodes, at least 0, not {self.spare!r}"
            raise ConfigurationError(msg)
        for fault in self.faults:
            _check_fault(self, fault)
        joining = [fault.node for fault in self.faults if isinstance(fault, Join)]
        twice = sorted({name for name in joining if joining.count(name) > 1})
        if twice:
            msg = f"{', '.join(twice)} cannot join twice: use Leave(at=..., until=..., node=...) for a node that comes back"
            raise ConfigurationError(msg)
        _check_spare(self)

    @property
    def founders(self) -> tuple[str, ...]:
        """The nodes that are there at first, in the order of ``nodes``: the scenario starts them before it plays the plan."""
        joining = {fault.node for fault in self.faults if isinstance(fault, Join)}
        return tuple(name for name in self.nodes if name not in joining)

    def actions(self) -> tuple[tuple[float, What, Fault], ...]:
        """Every beginning and end with its moment, in the order in which they happen.

        At the same moment ends come before beginnings; else the order of ``faults`` decides. What has no window, and what
        never ends, has a beginning only.
        """
        moments: list[tuple[float, int, int, What, Fault]] = []
        for position, fault in enumerate(self.faults):
            moments.append((fault.at, 1, position, "start", fault))
            until = ending(fault)
            if until is not None:
                moments.append((until, 0, position, "end", fault))
        moments.sort(key=lambda moment: moment[:3])
        return tuple((time, what, fault) for time, _, _, what, fault in moments)

    def up(self, time: float) -> tuple[str, ...]:
        """The nodes that are up at this moment if the plan alone decides; not those that come or go in that very moment."""
        downs = {names_of(fault)[0] for fault in self.faults if is_down(fault, time)}
        return tuple(name for name in self.nodes if name not in downs)

    @staticmethod
    def parse(text: str) -> FaultPlan:
        """The plan of which this is the repr. Nothing is executed: only plans, faults and literals are understood.

        Raises `ConfigurationError` for anything else, and where the plan itself is wrong. Example::

            FaultPlan.parse("FaultPlan(nodes=('a', 'b'), duration=9.0, faults=(Crash(at=1.0, node='a'),))")
        """
        try:
            tree = ast.parse(text.strip(), mode="eval").body
            plan = _value(tree)
        except ConfigurationError:
            raise
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
            msg = f"this is no fault plan: {error}. Expected is FaultPlan(nodes=(...), duration=..., faults=(...))"
            raise ConfigurationError(msg) from error
        if not isinstance(plan, FaultPlan):
            msg = f"this is no fault plan but {plan!r}. Expected is FaultPlan(nodes=(...), duration=..., faults=(...))"
            raise ConfigurationError(msg)
        return plan


def ending(fault: Fault) -> float | None:
    """When the fault is undone; `None` if it has no window or lasts."""
    until: float | None = getattr(fault, "until", None)
    return until


def names_of(fault: Fault) -> tuple[str, ...]:
    """The nodes that the fault names."""
    match fault:
        case Partition():
            return tuple(name for group in fault.groups for name in group)
        case Hold() | Slow() | Break():
            return (fault.a, fault.b)
        case _:
            return (fault.node,)


def is_down(fault: Fault, time: float) -> bool:
    """Whether the fault holds its node down in this moment. The moments of going and coming count as down."""
    match fault:
        case Crash() | Leave():
            return fault.at <= time and (fault.until is None or time <= fault.until)
        case Restart():
            return fault.at == time
        case Join():
            return time <= fault.at
        case _:
            return False


def _check_nodes(plan: FaultPlan) -> None:
    nodes = plan.nodes
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        msg = f"nodes of a FaultPlan must be a tuple of names, not {nodes!r}"
        raise ConfigurationError(msg)
    names = tuple(nodes)
    object.__setattr__(plan, "nodes", names)
    good = [name for name in names if isinstance(name, str) and name]
    if not names or len(set(good)) < len(names):
        msg = f"nodes of a FaultPlan must be different names, at least one, not {names!r}"
        raise ConfigurationError(msg)


def _check_fault(plan: FaultPlan, fault: object) -> None:
    if not isinstance(fault, _FAULTS):
        msg = f"faults of a FaultPlan must be faults as Crash(at=..., node=...), not {fault!r}"
        raise ConfigurationError(msg)
    unknown = sorted({name for name in names_of(fault) if name not in plan.nodes})
    if unknown:
        msg = f"{fault!r} names {', '.join(unknown)}, but the nodes of the plan are {', '.join(plan.nodes)}"
        raise ConfigurationError(msg)
    last = ending(fault)
    if fault.at > plan.duration or (last is not None and last > plan.duration):
        msg = f"{fault!r} is not over when the plan is, after {plan.duration:g} s: end it earlier, or make the duration longer"
        raise ConfigurationError(msg)


def _check_spare(plan: FaultPlan) -> None:
    for time in sorted({0.0, *(fault.at for fault in plan.faults)}):
        up = plan.up(time)
        if len(up) < plan.spare:
            msg = (
                f"at {time:g} s only {len(up)} of the {len(plan.nodes)} nodes are up ({', '.join(up) or 'none'}), but the plan"
                f" is to spare {plan.spare}: take fewer down at once, or say spare={len(up)}"
            )
            raise ConfigurationError(msg)


# -- reading a plan back ----------------------------------------------------------------------------------------------

_READABLE: Final[dict[str, type]] = {cls.__name__: cls for cls in (FaultPlan, *_FAULTS)}


def _value(tree: ast.expr) -> Any:
    """The value of a literal, or of a call of a plan or fault with such values."""
    match tree:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_value(part) for part in parts)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _READABLE:
            return _call(_READABLE[name], tree)
    msg = f"column {tree.col_offset + 1}: {ast.unparse(tree)[:60]!r} has no place in a plan"
    raise ValueError(msg)


def _call(cls: type, tree: ast.Call) -> Any:
    names = [field.name for field in fields(cls)]
    values = dict(zip(names, [_value(part) for part in tree.args], strict=False))
    if len(tree.args) > len(names):
        msg = f"a {cls.__name__} has only {len(names)} values"
        raise ValueError(msg)
    for keyword in tree.keywords:
        if keyword.arg not in names or keyword.arg in values:
            msg = f"a {cls.__name__} takes {', '.join(names)}, each once, and no {keyword.arg or 'dict'!r} here"
            raise ValueError(msg)
        values[keyword.arg] = _value(keyword.value)
    return cls(**values)
