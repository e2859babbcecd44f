"""Plans of disasters from plain seeds, for soaks: no Hypothesis, so nothing shrinks, but a plan costs next to nothing.

A *mix* says what may go wrong together. What is drawn is a `FaultPlan` like any other, and is printed as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from hubkit.errors import ConfigurationError
from hubkit.testing import Break, Crash, FaultPlan, Hold, Join, Leave, Partition, Pause, Restart, Skew, Slow
from hubkit.testing.faults import Fault, node_names

__all__ = ["MIXES", "Mix", "draw_plan"]


@dataclass(frozen=True)
class Mix:
    """Which faults are drawn, each as often as it is named here, and how many of them.

    ``lengths``: of windows, in seconds, from a to b. ``lull``: seconds between two faults, on average. ``spare``: nodes that
    are up at any moment. ``network``: what the simulated network is like. ``children``: how many there may be.
    ``down_after``: seconds of silence after which a node is taken for gone; the beat is a quarter of that.
    ``quorum``: the kind it is played under, with clocks that are wrong within one per cent: no child may have two owners.
    """

    kinds: tuple[str, ...]
    faults: tuple[int, int] = (2, 10)
    lengths: tuple[float, float] = (0.5, 25.0)
    lull: float = 5.0
    nodes: tuple[int, int] = (2, 6)
    spare: int = 1
    network: Mapping[str, float] = field(default_factory=dict)
    children: tuple[int, ...] = (3, 12, 30)
    down_after: float = 4.0
    quorum: str | None = None


_CUTS = ("partition", "one_way", "hold", "break", "slow")
_DEATHS = ("crash", "restart", "power")
_ANY = (*_CUTS, *_DEATHS, "pause", "skew")
#: Hubs refuse whose clock is more than 300 s ahead of theirs: no two may differ by as much.
_OFFSETS = (-120.0, -60.0, -1.0, 0.0, 1.0, 60.0, 120.0)
_RATES = (0.8, 0.9, 0.99, 1.0, 1.0, 1.01, 1.1, 2.0)

MIXES: dict[str, Mix] = {
    # Nobody dies, nothing is cut: no child may ever have two owners, or none for long.
    "members": Mix(("leave", "join", "stay"), (2, 8), (20.0, 60.0), lull=6.0, nodes=(3, 7), spare=2),
    "crashes": Mix((*_DEATHS, "crash"), (2, 12)),
    "cuts": Mix(_CUTS, (2, 12)),
    "breaks": Mix(("break", "break", "slow", "hold"), (5, 25), (0.1, 6.0), lull=1.5),
    "pauses": Mix(("pause", "pause", "crash", "restart"), (2, 12)),
    "rolling": Mix(("leave", "restart", "join", "crash"), (3, 14), (2.0, 20.0), lull=3.0, nodes=(3, 6)),
    "all": Mix((*_CUTS, *_DEATHS, "pause", "leave", "join", "skew"), (3, 14)),
    "storm": Mix((*_CUTS, *_DEATHS, "pause", "leave", "join"), (12, 30), (0.05, 9.0), lull=1.0),
    "together": Mix((*_CUTS, *_DEATHS, "pause", "leave", "join"), (3, 10), (3.0, 20.0), lull=0.02),
    "boots": Mix(("join", "join", "restart", "leave", "slow", "hold"), (4, 12), (0.5, 8.0), lull=0.7, nodes=(4, 8)),
    # Maps that take many messages, over lines that take seconds for them, and break meanwhile.
    "bulk": Mix(("break", "break", "crash", "restart", "leave", "partition"), (2, 8), (0.5, 9.0), lull=3.0, nodes=(2, 4),
                network={"bandwidth": 150_000.0, "latency": 0.02}, children=(700, 1300)),
    "far": Mix((*_CUTS, *_DEATHS, "leave", "join"), (3, 10), network={"latency": 0.25, "jitter": 0.25}),
    "shaky": Mix((*_DEATHS, "leave", "join", "partition"), (2, 8), network={"break_rate": 0.3}),
    "nervous": Mix((*_CUTS, *_DEATHS, "pause", "leave"), (4, 16), (0.1, 8.0), lull=2.0, down_after=0.8),
    "clocks": Mix(("skew", "skew", *_DEATHS, "partition", "leave", "join"), (3, 12), lull=3.0),
    "static": Mix(_ANY, (2, 10), nodes=(3, 5), children=(1, 4, 8), quorum="static"),
    "fixed": Mix(_ANY, (2, 10), nodes=(3, 5), children=(1, 4, 8), quorum="fixed"),
    "voters": Mix((*_CUTS, "pause", "skew", "leave"), (2, 8), nodes=(3, 5), children=(1, 4, 8), quorum="voters"),
    "doom": Mix((*_CUTS, *_DEATHS, "pause", "leave"), (4, 16), (0.5, 15.0), lull=2.0, nodes=(2, 4), spare=0),
}  # fmt: skip


def draw_plan(random: Random, mix: Mix) -> FaultPlan:
    """Draw a plan. Faults that would break the rules of those before them are left out."""
    names = node_names(random.randint(*mix.nodes))
    times = [random.expovariate(1 / mix.lull) + 0.001 for _ in range(random.randint(*mix.faults))]
    at, faults = 0.0, []
    for pause in times:
        at = round(at + pause, 3)
        faults.append(_draw(random, mix, names, at))
    duration = round(max([at, *(getattr(fault, "until", None) or 0.0 for fault in faults)]) + 0.1, 3)
    plan = FaultPlan(nodes=names, duration=duration, spare=mix.spare)
    for fault in sorted(faults, key=lambda fault: not isinstance(fault, Join)):
        try:
            plan = replace(plan, faults=(*plan.faults, fault))
        except ConfigurationError:
            continue
    if len(plan.founders) < 1 + mix.spare:
        return draw_plan(random, mix)
    return replace(plan, faults=tuple(sorted(plan.faults, key=lambda fault: fault.at)))


def _draw(random: Random, mix: Mix, names: tuple[str, ...], at: float) -> Fault:
    kind, node = random.choice(mix.kinds), random.choice(names)
    low, high = mix.lengths
    length = low * (high / low) ** random.random()  # short ones as often as long ones
    until = round(at + length, 3)
    simple: dict[str, Callable[[], Fault]] = {
        "crash": lambda: Crash(at=at, node=node, until=None if random.random() < 0.25 else until),
        "power": lambda: Crash(at=at, node=node, until=None if random.random() < 0.25 else until, silent=True),
        "restart": lambda: Restart(at=at, node=node),
        "leave": lambda: Leave(at=at, node=node, until=until),
        "stay": lambda: Leave(at=at, node=node),
        "join": lambda: Join(at=at, node=node),
        "pause": lambda: Pause(at=at, until=until, node=node),
        "skew": lambda: Skew(at=at, node=node, offset=random.choice(_OFFSETS), rate=random.choice(_RATES)),
    }  # fmt: skip
    if kind in simple:
        return simple[kind]()
    return _between(random, kind, names, at, until)


def _between(random: Random, kind: str, names: tuple[str, ...], at: float, until: float) -> Fault:
    a, b = random.sample(names, 2)
    if kind == "hold":
        return Hold(at=at, until=until, a=a, b=b)
    if kind == "break":
        return Break(at=at, a=a, b=b, half_open=random.random() < 0.5)
    if kind == "slow":
        return Slow(
            at=at,
            until=until,
            a=a,
            b=b,
            latency=random.choice((0.05, 0.2, 0.5)),  # with a second and more nobody can greet anybody in time
            jitter=random.choice((0.0, 0.1, 0.3)),
        )
    groups: list[list[str]] = [[a], [b], []]
    for name in names:
        if name not in (a, b):
            side = random.choices((0, 1, 2, 3), (4, 4, 1, 1))[0]  # the last: a bridge
            if side < 3:
                groups[side].append(name)
    return Partition(
        at=at, until=until, groups=tuple(tuple(group) for group in groups if group), one_way=kind == "one_way"
    )
