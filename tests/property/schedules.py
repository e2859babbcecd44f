"""Seeded schedules of faults for the world of bare cores."""

from __future__ import annotations

from itertools import accumulate

from tests.property.world import STRATEGIES, World

from hubkit.cluster.policy import Strategies
from hubkit.strategies import (
    ColdSwap,
    ConsistentHashing,
    Divergence,
    Gossip,
    HotSwap,
    PubSub,
    Replication,
    Singularity,
)

BODIES = (b"plain", b"plain", b"plain", b"slow", b"fails", b"flaky", b"brief", b"crashes")
WITH_COPIES = (b"plain", b"plain", b"plain", b"slow", b"refuses", b"stubborn", b"brief", b"crashes")
NAMES = "abcde"

_CALM: dict[str, float] = {
    "wait": 60, "want": 10, "update": 3, "remove": 4, "pin": 2, "join": 4, "leave": 3, "depart": 1,
}  # fmt: skip
_CHAOS: dict[str, float] = _CALM | {
    "crash": 2, "crash_many": 0.7, "restart": 1.5, "cut": 1.5, "one_way": 1.5, "partial": 1.5, "heal": 4, "pause": 1.5,
    "forget": 0.5,
}  # fmt: skip


def _copies(redundancy: Replication | Singularity, migration: HotSwap) -> Strategies:
    return Strategies(ConsistentHashing(), redundancy, migration, PubSub(), Divergence())


#: Strategies under which copies stand by.
COPIES = {
    "hot": _copies(Singularity(), HotSwap()),
    "blank": _copies(Singularity(), HotSwap(handover=False)),
    "pair": _copies(Replication(2), HotSwap()),
    "all": _copies(Replication("all"), HotSwap()),
    "active": _copies(Replication(2, "active_active"), HotSwap()),
}
#: Other strategies that are played under faults of all kinds.
OTHERS = COPIES | {
    "gossip": Strategies(ConsistentHashing(), Singularity(), ColdSwap(), Gossip(fanout=2), Divergence()),
    "rumour": Strategies(ConsistentHashing(), Singularity(), ColdSwap(), Gossip(fanout=1), Divergence()),
    "gossip hot": Strategies(ConsistentHashing(), Replication(2), HotSwap(), Gossip(fanout=2), Divergence()),
}
#: How often what happens, by schedule.
SCHEDULES: dict[str, dict[str, float]] = {
    "calm": _CALM,
    "chaos": _CHAOS,
    "silence": _CHAOS,
    "oblivion": _CHAOS,
    "restarts": _CALM | {"crash": 4, "restart": 8, "pause": 2},
}
SCHEDULES |= {f"{name} {how}": SCHEDULES[how] for name in OTHERS for how in ("calm", "chaos", "silence")}
for _name in ("pair", "all"):
    SCHEDULES[f"{_name} deaths"] = {k: v for k, v in _CALM.items() if k != "depart"} | {"crash": 2, "restart": 2}
for _name in (*COPIES, "gossip hot"):  # who leaves at once takes its states along
    SCHEDULES[f"{_name} calm"] = {event: weight for event, weight in _CALM.items() if event != "depart"}


def make(seed: int, schedule: str) -> World:
    """A world for a schedule."""
    others, _, how = schedule.rpartition(" ")
    return World(
        seed,
        calm=how == "calm",
        refusals=how != "silence",
        forget_after=25.0 if schedule == "oblivion" else 3600.0,
        strategies=OTHERS[others] if others else STRATEGIES,
        sighted=how in ("calm", "deaths"),
    )


def run(seed: int, schedule: str, length: int = 250) -> World:
    """Play a schedule, heal, and wait for quiet."""
    world = make(seed, schedule)
    events, weights = list(SCHEDULES[schedule]), list(accumulate(SCHEDULES[schedule].values()))
    draw = world.random
    for name in NAMES[: draw.randint(1, 3)]:
        world.join(name)
    for _ in range(draw.choice((1, 30))):
        world.step()
    for _ in range(length):
        play(world, draw.choices(events, cum_weights=weights)[0])
        world.step()
    world.quiet()
    return world


def play(world: World, event: str) -> None:
    """Let something happen."""
    draw = world.random
    names = world.names()
    child = f"c{draw.randrange(8)}"
    some = draw.sample(names, min(len(names), draw.choice((1, 1, 2, 3))))
    awake = [box.name for box in world.awake()]
    some = [name for name in some if name in awake]
    start = "Rare" if child == "c7" else "Common"
    absent = [name for name in NAMES if name not in names]
    others = [name for name in names if world.box(name).node not in world.leavers]
    if event == "join" and absent:
        world.join(draw.choice(absent))
    elif event == "want":
        world.want(child, (WITH_COPIES if world.has_copies else BODIES)[int(child[1:])], *some, start=start)
    elif event == "update":
        world.want(child, draw.choice(BODIES), *some, start=start, same=False)
    elif event == "remove" and some:
        world.remove(child, some[0])
    elif event == "pin" and some:
        world.pin(child, tuple(draw.sample(NAMES, draw.randint(0, 2))), some[0])
    elif event == "leave" and len(others) > 1 and (others := [name for name in others if name in awake]):
        world.leave(draw.choice(others))
    elif event == "depart" and len(others) > 1 and some:
        world.depart(some[0])
    elif event in ("crash", "restart") and len(names) > 1:
        victim = draw.choice(names)
        world.crash(victim, silently=event == "crash" and not world.refusals)
        if event == "restart":
            world.join(victim)
    elif event == "crash_many" and len(names) > 2:
        world.crash(*draw.sample(names, 2), silently=not world.refusals)
    else:
        trouble(world, event)


def trouble(world: World, event: str) -> None:
    """Let something happen between the nodes."""
    draw, names = world.random, world.names()
    if event in ("cut", "one_way"):
        side = set(draw.sample(NAMES, draw.randint(1, len(NAMES) - 1)))
        pairs = {(a, b) for a in NAMES for b in NAMES if (a in side) != (b in side)}
        world.cuts = pairs if event == "cut" else {(a, b) for a, b in pairs if a in side}
    elif event == "partial":
        pairs = {(a, b) for a, b in (draw.sample(NAMES, 2) for _ in range(draw.randint(1, len(NAMES))))}
        world.cuts = {(a, b) for a, b in pairs} | {(b, a) for a, b in sorted(pairs) if draw.random() < 0.7}
    elif event == "heal":
        world.cuts = set()
    elif event == "pause" and names:
        world.pause(draw.choice(names), draw.uniform(0.5, 12))
    elif event == "forget":
        world.forget_the_dead()
