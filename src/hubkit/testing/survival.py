"""Who survives a plan of disasters with everything that was known before it.

Law of this room: it promises too little rather than too much. A node that has been down knows nothing, until it has been in
undisturbed touch, for long enough, with one that does. What "long enough" is, the caller says; by default it is for ever, so
that only nodes count that nothing ever takes down. Pure: a plan goes in, a number comes out.

Taking a fault out of a plan, or making its window shorter at either side, never makes the number smaller: so plans with
survivors shrink to plans with survivors. Refused: to ask a real hub. A rule about plans must not depend on what it is to test.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise

from hubkit.testing.faults import Break, Crash, Fault, Hold, Join, Leave, Partition, Pause, Restart, Slow
from hubkit.testing.plans import FaultPlan, ending

__all__ = ["survivors"]

Pair = tuple[str, str]


def survivors(plan: FaultPlan, catch_up: float = math.inf) -> int:
    """How many nodes know, at any moment of the plan, what all founders knew at its beginning: the least number.

    ``catch_up``: after how many seconds of undisturbed touch with one that knows another one knows, too. A node is in touch
    with another while both are up and unpaused, and no partition, hold or slowness is between them; a broken link begins
    touch anew. By default nobody ever catches up.
    """
    known_since = dict.fromkeys(plan.founders, -math.inf)
    touch_since: dict[Pair, float] = {}
    least = len(known_since)
    moments = sorted({0.0, plan.duration, *(time for time, _, _ in plan.actions())})
    for now, then in pairwise([*moments, math.inf]):
        for name in _falling(plan, now):
            known_since.pop(name, None)
        least = min(least, len(known_since))
        touch_since = _touch(plan, now, touch_since)
        if math.isfinite(then):
            _learn(known_since, touch_since, then, catch_up)
    return least


def _falling(plan: FaultPlan, now: float) -> list[str]:
    """Those whose process ends in this moment, or who are not there."""
    falling = [fault.node for fault in plan.faults if isinstance(fault, Crash | Leave | Restart) and fault.at == now]
    return falling + [fault.node for fault in plan.faults if isinstance(fault, Join) and fault.at >= now]


def _touch(plan: FaultPlan, now: float, before: dict[Pair, float]) -> dict[Pair, float]:
    """Who is in touch with whom from this moment until the next, and since when."""
    open = [fault for fault in plan.faults if _is_open(fault, now)]
    absent = {fault.node for fault in open if isinstance(fault, Crash | Leave | Pause | Join)}
    sudden = [fault for fault in plan.faults if fault.at == now]
    torn = {_pair(fault.a, fault.b) for fault in sudden if isinstance(fault, Break)}
    reborn = {fault.node for fault in sudden if isinstance(fault, Restart)}
    touch: dict[Pair, float] = {}
    for pair in combinations(sorted(plan.nodes), 2):
        if not absent.intersection(pair) and not any(_parts(fault, pair) for fault in open):
            anew = pair in torn or bool(reborn.intersection(pair))
            touch[pair] = now if anew else before.get(pair, now)
    return touch


def _is_open(fault: Fault, now: float) -> bool:
    """Whether the fault is in force right after this moment."""
    if isinstance(fault, Join):
        return fault.at > now
    until = ending(fault)
    lasts = isinstance(fault, Crash | Leave) and until is None
    return fault.at <= now and (lasts or (until is not None and now < until))


def _parts(fault: Fault, pair: Pair) -> bool:
    """Whether the fault stands between the two."""
    if isinstance(fault, Hold | Slow):
        return _pair(fault.a, fault.b) == pair
    if isinstance(fault, Partition):
        sides = [[name in group for group in fault.groups] for name in pair]
        return all(map(any, sides)) and sides[0] != sides[1]
    return False


def _pair(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)


def _learn(known_since: dict[str, float], touch_since: dict[Pair, float], then: float, catch_up: float) -> None:
    """Let those catch up who do so before ``then``, the earliest first: from then on others learn from them."""
    while True:
        learned = [
            (max(since, known_since[teacher]) + catch_up, pupil)
            for (a, b), since in touch_since.items()
            for teacher, pupil in ((a, b), (b, a))
            if teacher in known_since and pupil not in known_since
        ]
        time, pupil = min(learned, default=(math.inf, ""))
        if time > then or not pupil:
            return
        known_since[pupil] = time
