"""Drawing plans of disasters with Hypothesis.

Law of this room: whatever is drawn is a plan, and so is whatever it shrinks to; nothing is thrown away. Faults are drawn
one by one, and one that would break the rules of those before it is left out. A failing plan shrinks to fewer faults, of
simpler kinds, which touch fewer nodes, begin earlier, end sooner, and have rounder times.

What is drawn: whole seconds as often as not, for disasters love to come together; windows short and long alike. Refused:
drawing from a seed (it would not shrink), `assume` and filters (they would make the search slow and the shrinking poor).
Needs Hypothesis: ``pip install "hubkit[testing]"``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from hypothesis import strategies as st

from hubkit.errors import ConfigurationError
from hubkit.testing.dictated import plan_to_draw, remember_drawn
from hubkit.testing.faults import (
    Break,
    Crash,
    Fault,
    Hold,
    Join,
    Leave,
    Partition,
    Pause,
    Restart,
    Skew,
    Slow,
    node_names,
    number_of,
)
from hubkit.testing.plans import FaultPlan
from hubkit.testing.survival import survivors as count_survivors

__all__ = ["ALL_KINDS", "fault_plans"]

#: Every kind of fault that `fault_plans` draws, the simplest first: what can be any of them shrinks to the earliest.
ALL_KINDS: Final = (
    "partition",
    "one_way",
    "crash",
    "restart",
    "power",
    "leave",
    "pause",
    "hold",
    "slow",
    "break",
    "skew",
    "join",
)

_OF_TWO: Final = ("partition", "one_way", "hold", "slow", "break")
#: These take a node down, or bring one that knows nothing: not all nodes can survive them.
_OF_MORTALS: Final = ("crash", "restart", "power", "leave", "join")
#: of so many nodes besides the first two it is drawn on which side of a partition they are; the others do as these do
_SIDES: Final = 8
#: Slow, but a way: beyond about a second two nodes can no longer greet each other in time, which is a cut by another name.
_LATENCIES: Final = (0.05, 0.1, 0.2, 0.5)
_JITTERS: Final = (0.0, 0.1, 0.3)
#: None beyond what hubs put up with: a process that starts with a clock that is five minutes off is refused by all others.
_OFFSETS: Final = (1.0, -1.0, 60.0, -60.0, 120.0, -120.0)
_RATES: Final = (1.0, 1.01, 0.99, 1.1, 0.9)


def fault_plans(
    nodes: int | range | Sequence[str],
    duration: float = 60.0,
    kinds: Collection[str] = ALL_KINDS,
    *,
    max_faults: int = 8,
    survivors: int = 1,
    catch_up: float = math.inf,
    quiet: float = 0.0,
) -> st.SearchStrategy[FaultPlan]:
    """Draw a `FaultPlan`.

    ``nodes``: names, or how many (then they are called ``a``, ``b``, ``c`` ...), or a `range` of how many. ``duration``:
    virtual seconds. ``kinds``: of faults, out of `ALL_KINDS`: ``partition``, ``one_way`` (partition), ``crash``, ``restart`` (a
    crash, and at once a new process), ``power`` (a crash that nobody is told of), ``leave`` (drained), ``pause``, ``hold``,
    ``slow``, ``break`` (of links, half open ones too), ``skew`` (of clocks), ``join``. ``quiet``: no fault in the last so many
    seconds of the plan.

    ``survivors``: so many nodes, at any moment, know all that was known when the plan began; 0 allows plans in which
    everything is lost. A node that is taken down (``crash``, ``restart``, ``power``, ``leave``) or joins knows nothing until it
    has been in undisturbed touch with a survivor for ``catch_up`` seconds; by default it never counts again, and the
    survivors are nodes that nothing takes down. They may be paused and cut off: a survivor has lost nothing by it. But what
    is begun *during* the plan where no survivor can hear of it may be lost with those who know of it.

    Raises `ConfigurationError` when called with what makes no sense, also if no fault of ``kinds`` is possible with so few
    nodes and so many survivors. Under ``pytest --hubkit-plan PLAN``, the replay of a failure, that plan is drawn and no
    other. Example::

        @given(plan=fault_plans(3, kinds=("crash", "partition")), seed=st.integers(0, 2**32))
        def test_nothing_is_lost(plan: FaultPlan, seed: int) -> None:
            Simulation.run(scenario, seed, plan=plan, checkers=[no_lost_child(within=60)])
    """
    counts, names = _nodes(nodes)
    asked = _asked(kinds)
    owner = _FaultPlans()
    milliseconds = math.floor(number_of(owner, "duration", duration, above=True) * 1000)
    last = milliseconds - math.ceil(number_of(owner, "quiet", quiet) * 1000)
    if last < 1:
        msg = f"a plan of {duration:g} s with {quiet:g} s of quiet at its end has no room for faults: make it longer"
        raise ConfigurationError(msg)
    for field, value in (("max_faults", max_faults), ("survivors", survivors)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            msg = f"{field} of fault_plans must be an int of at least 0, not {value!r}"
            raise ConfigurationError(msg)
    if survivors > min(counts):
        msg = f"{survivors} of {min(counts)} nodes cannot survive: draw plans for more nodes, or with fewer survivors"
        raise ConfigurationError(msg)
    if catch_up != math.inf:
        number_of(owner, "catch_up", catch_up)
    if asked and not _possible(asked, max(counts), survivors):
        raise ConfigurationError(_impossible(asked, max(counts), survivors))
    return _noted(_plans(counts, names, float(duration), asked, max_faults, survivors, catch_up, last))


@st.composite
def _noted(draw: st.DrawFn, plans: st.SearchStrategy[FaultPlan]) -> FaultPlan:
    """The plan that is dictated, or else one of these; the command that replays a failure tells which."""
    dictated = plan_to_draw()
    plan = draw(plans) if dictated is None else dictated
    remember_drawn(plan)
    return plan


class _FaultPlans:
    """Whose values are wrong, for the words of an error."""


_FaultPlans.__name__ = "fault_plans"


def _nodes(nodes: int | range | Sequence[str]) -> tuple[Sequence[int], tuple[str, ...]]:
    """How many nodes there may be, and what they are called (empty: by their number)."""
    if isinstance(nodes, range):
        if not nodes or min(nodes) < 1:
            msg = f"a range of numbers of nodes must begin at 1 or above, and not be empty, not {nodes!r}"
            raise ConfigurationError(msg)
        return sorted(nodes), ()
    if isinstance(nodes, int):
        return [len(node_names(nodes))], ()
    plan = FaultPlan(nodes=nodes, duration=1.0)  # type: ignore[arg-type]  # it checks them, and makes a tuple of them
    return [len(plan.nodes)], plan.nodes


def _asked(kinds: Collection[str]) -> tuple[str, ...]:
    """The kinds of faults in their order."""
    asked = [kinds] if isinstance(kinds, str) else sorted(kinds)
    unknown = [kind for kind in asked if kind not in ALL_KINDS]
    if unknown:
        msg = f"unknown kinds of faults: {', '.join(map(repr, unknown))}. There are: {', '.join(ALL_KINDS)}"
        raise ConfigurationError(msg)
    return tuple(kind for kind in ALL_KINDS if kind in asked)


def _possible(kinds: Sequence[str], count: int, survivors: int) -> tuple[str, ...]:
    """Those kinds of faults that so many nodes can have, if so many are to survive."""
    return tuple(
        kind for kind in kinds if (count > 1 or kind not in _OF_TWO) and (count > survivors or kind not in _OF_MORTALS)
    )


def _impossible(kinds: Sequence[str], count: int, survivors: int) -> str:
    """Why none of these kinds is possible, and what to do."""
    two = [kind for kind in kinds if kind in _OF_TWO]
    mortals = [kind for kind in kinds if kind in _OF_MORTALS]
    reasons = [f"faults of the kinds {', '.join(two)} need two nodes"] if two else []
    if mortals:
        who = "the one node" if count == 1 else f"{survivors} of {count} nodes"
        reasons.append(f"{who} must survive, so there are no faults of the kinds {', '.join(mortals)}")
        fewer = "survivors=0" if survivors == 1 else f"survivors={survivors - 1} or fewer"
        return f"{'; '.join(reasons)}: draw plans for more nodes, or say {fewer}"
    return f"{reasons[0]}: draw plans for more than one"


@st.composite
def _plans(
    draw: st.DrawFn,
    counts: Sequence[int],
    names: tuple[str, ...],
    duration: float,
    kinds: tuple[str, ...],
    max_faults: int,
    survivors: int,
    catch_up: float,
    last: int,
) -> FaultPlan:
    count = draw(st.sampled_from(counts)) if len(counts) > 1 else counts[0]
    plan = FaultPlan(nodes=names or node_names(count), duration=duration, spare=survivors)
    usable = _possible(kinds, count, survivors)
    if not usable:
        return plan
    slot = _slots(plan.nodes, usable, last)
    order: list[tuple[float, int, Fault]] = []
    for _ in range(max_faults):
        fault, kind = draw(slot)
        if fault is None:
            continue
        try:
            longer = replace(plan, faults=(*plan.faults, fault))
        except ConfigurationError:
            continue  # it joins twice, or takes down who must stay up
        if count_survivors(longer, catch_up) >= survivors:
            plan = longer
            order.append((fault.at, kind, fault))
    order.sort(key=lambda entry: entry[:2])
    return replace(plan, faults=tuple(fault for _, _, fault in order))


def _slots(nodes: tuple[str, ...], kinds: tuple[str, ...], last: int) -> st.SearchStrategy[tuple[Fault | None, int]]:
    """One fault or none, and which of the kinds it is.

    Whatever comes of it, it takes the same number of choices. So when Hypothesis takes a fault out, or makes it one of
    another kind, all others stay what they are; a list of faults of different lengths shrinks to a heap of rubble.
    """
    parts: list[st.SearchStrategy[int]] = [
        st.integers(0, most)
        for most in (
            1,
            len(kinds) - 1,
            len(nodes) - 1,
            max(0, len(nodes) - 2),
            59,
            4 ** min(_SIDES, max(0, len(nodes) - 2)) - 1,
            (last - 1) // 1000,
            1999,
            _lengths(last),
            1999,
        )
    ]

    @st.composite
    def slot(draw: st.DrawFn) -> tuple[Fault | None, int]:
        # Not `st.tuples`: Hypothesis would look for an explanation of each of these numbers, with hundreds of runs.
        there, kind, first, second, option, sides, at, at_fine, length, length_fine = [draw(part) for part in parts]
        if not there:
            return None, kind
        begin = min(_milliseconds(at, at_fine), last - 1)
        # Short windows are as likely as long ones.
        end = begin + max(1, _milliseconds(int(last / 1000 * (length / _lengths(last)) ** 3), length_fine))
        two = first, second + (second >= first)
        return _fault(nodes, kinds[kind], two, option, sides, begin / 1000, min(end, last) / 1000), kind

    return slot()


def _lengths(last: int) -> int:
    """The number of lengths of windows to draw from: so many that no second is left out of them."""
    return max(1000, last * 3 // 1000)


def _milliseconds(seconds: int, fine: int) -> int:
    """Seconds, and as often as not thousandths of them."""
    return seconds * 1000 + max(0, fine - 1000)


def _fault(
    nodes: tuple[str, ...], kind: str, two: tuple[int, int], option: int, sides: int, begin: float, end: float
) -> Fault:
    first, second = two
    if kind not in _OF_TWO:
        return _of_one(kind, nodes[first], begin, end, option)
    if kind not in ("partition", "one_way"):
        return _between(kind, nodes[first], nodes[second], begin, end, option)
    groups = _groups(nodes, first, second, option, sides)
    if kind == "one_way":
        return Partition(at=begin, until=end, groups=groups, one_way=True)
    return Partition(at=begin, until=end, groups=tuple(sorted(groups, key=lambda group: nodes.index(group[0]))))


def _of_one(kind: str, node: str, begin: float, end: float, option: int) -> Fault:
    """A fault of one node. One in four of those who go away stays away."""
    match kind:
        case "crash" | "power":
            return Crash(at=begin, node=node, until=None if option % 4 == 3 else end, silent=kind == "power")
        case "leave":
            return Leave(at=begin, node=node, until=None if option % 4 == 3 else end)
        case "pause":
            return Pause(at=begin, until=end, node=node)
        case "skew":
            offset, rate = _OFFSETS[option % len(_OFFSETS)], _RATES[option // len(_OFFSETS) % len(_RATES)]
            return Skew(at=begin, node=node, offset=offset, rate=rate)
        case "restart":
            return Restart(at=begin, node=node)
        case _:
            return Join(at=begin, node=node)


def _between(kind: str, first: str, second: str, begin: float, end: float, option: int) -> Fault:
    """A fault between two nodes."""
    a, b = sorted((first, second))
    match kind:
        case "hold":
            return Hold(at=begin, until=end, a=a, b=b)
        case "slow":
            latency, jitter = _LATENCIES[option % len(_LATENCIES)], _JITTERS[option // len(_LATENCIES) % len(_JITTERS)]
            return Slow(at=begin, until=end, a=a, b=b, latency=latency, jitter=jitter)
        case _:
            return Break(at=begin, a=first, b=second, half_open=option % 2 == 1)


def _groups(nodes: tuple[str, ...], first: int, second: int, option: int, sides: int) -> tuple[tuple[str, ...], ...]:
    """The sides of a partition. A node that is left out is on none, and a bridge.

    Two nodes alone; one against all others; two sides; or anything, with bridges and a third side.
    """
    groups: list[list[str]] = [[], [], []]
    others = 0
    for position, name in enumerate(nodes):
        if position in (first, second):
            groups[position == second].append(name)
            continue
        digit = sides // 4 ** (others % _SIDES) % 4
        side = (3, 1, digit % 2, digit)[option % 4]
        others += 1
        if side < 3:
            groups[side].append(name)
    return tuple(tuple(group) for group in groups if group)
