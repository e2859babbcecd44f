"""The world of bare cores under a quorum: clocks that go wrong, long pauses, and no child with two owners, ever.

Law of this room: at every step, for every child, at most one process *acts*: it starts, runs or stops the child, is awake, and
the bound for its stop, if it has one, has not passed. So much more is demanded than that two never begin to handle a message:
one that has been told to stop may act for as long as it is allowed to.

Names are restarted at any time. Of the first voters of a hub that admits others, one that remembers goes on (`safe`): that is
what `MajorityQuorum` assumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.property.schedules import NAMES, SCHEDULES, play
from tests.property.world import STEP, STRATEGIES, Actor, Box, World

from hubkit.cluster.core import Core
from hubkit.cluster.settings import VOTERS
from hubkit.strategies import MajorityQuorum, StaticQuorum

__all__ = ["KINDS", "PARTED", "PartedWorld", "run_parted"]

#: A lease of few beats, and a bound just above the slowest stop: little is left for luck.
TERMS: dict[str, Any] = {"lease": 2.5, "stop": 3.2, "drift": 0.01}
FIRST = ("a", "b", "c")

#: What is promised to be exact with the names a to e.
KINDS: dict[str, Any] = {
    "static": StaticQuorum(3, **TERMS),
    "voters": MajorityQuorum(voters=FIRST, **TERMS),
    "fixed": MajorityQuorum(voters=FIRST, track_max_size=False, **TERMS),
}

#: How often what happens. Most of the time nothing does: a quorum must have the time to come about.
PARTED: dict[str, float] = SCHEDULES["chaos"] | {
    "wait": 500, "want": 8, "update": 2, "remove": 2, "join": 6, "crash": 2, "restart": 3, "sleep": 3, "flip": 2, "cut": 2.5,
    "one_way": 2.5, "partial": 2, "heal": 5, "leave": 1, "depart": 0.7,
}  # fmt: skip

#: Voters that die and are back at once on the other side of a cut that lasts.
FLIPS: dict[str, float] = PARTED | {
    "wait": 300, "flip": 5, "crash": 0.3, "restart": 0.3, "sleep": 0.5, "cut": 0, "one_way": 0, "partial": 0, "heal": 0.3,
    "leave": 0, "depart": 0, "want": 6,
}  # fmt: skip


class PartedWorld(World):
    """A world whose strategy promises single ownership, and that looks whether it is kept."""

    def __init__(self, seed: int = 0, kind: str = "static", **options: Any) -> None:
        self.rates: dict[str, float] = {}
        self.kind = kind
        self.tolerance = KINDS[kind]
        super().__init__(seed, strategies=replace(STRATEGIES, partition_tolerance=self.tolerance), **options)
        self.down_after = 2.0  # others are soon taken for gone: that must not matter
        self.handovers = 0
        self.side: set[str] = set()
        self._last: dict[str, str] = {}

    def rate(self, name: str) -> float:
        drift = self.tolerance.drift
        return self.rates.setdefault(name, 1 + self.random.choice((-drift, drift, self.random.uniform(-drift, drift))))

    def step(self) -> None:
        for box in list(self.boxes.values()):
            if box.slept and box.asleep <= self.now + STEP and self.random.random() < 0.5:
                box.asleep = self.now  # what waits for it is read before it looks at anything else
                for a, b in [pair for pair in self.links if pair[1] == box.node]:
                    self._deliver(a, b)
        super().step()
        acting: dict[str, Box] = {}
        for box in self.boxes.values():
            for child, actor in box.actors.items():
                if self.acts(box, actor):
                    other = acting.setdefault(child, box)
                    self.check(other is box, f"{child} acts on {other.node} and on {box.node}")
        for child, box in acting.items():
            self.handovers += self._last.get(child) != box.node
            self._last[child] = box.node

    def acts(self, box: Box, actor: Actor) -> bool:
        """Whether this child can do anything now."""
        late = actor.by is not None and actor.by <= self.now
        return box.asleep <= self.now and actor.state != "parked" and not late

    def safe(self, name: str) -> bool:
        """Whether the promise outlasts the death of this node: another of the first voters knows who votes now."""
        if self.kind != "voters" or name not in FIRST:
            return True
        others = [box for box in self.boxes.values() if box.name in FIRST and box.name != name]
        return any(box.core._ledger.settings.voters is not None for box in others) or not any(
            box.core._ledger.settings.voters is not None for box in self.boxes.values()
        )

    def crash(self, *names: str, silently: bool = False) -> None:
        for name in names:
            if self.safe(name):
                super().crash(name, silently=silently)

    def join(self, name: str) -> Box:
        if name in self.names():  # it was to die first, and did not
            return self.box(name)
        return super().join(name)

    def leave(self, name: str) -> None:
        if self.safe(name):
            super().leave(name)

    def depart(self, name: str) -> None:
        if self.safe(name):
            super().depart(name)

    def complete(self) -> None:
        """Start whoever a quorum may need, and let those stay who were about to leave."""
        for name in NAMES:
            if name not in self.names():
                self.join(name)

    def complaints(self) -> Iterator[str]:
        for core in (box.core for box in self.boxes.values()):
            if not core.allowed:
                yield f"{core.id} is not allowed: {core.quorum.missing(self.now)}"
        yield from (what for what in super().complaints() if VOTERS not in what)

    def _differences(self, core: Core, first: Core) -> Iterator[str]:
        """Beats are stamped all the time, and are on their way: only what the rows say is compared."""
        one, two = ({key: row.value for key, row in c._store.rows.items()} for c in (core, first))
        if one != two:
            differ = sorted(str(key) for key in one.keys() | two.keys() if one.get(key) != two.get(key))
            yield f"the maps of {core.id} and {first.id} differ about {differ}"


def run_parted(seed: int, kind: str, length: int = 1200, after: float = 120.0) -> PartedWorld:
    """Play a schedule, heal, and wait for quiet."""
    world = PartedWorld(seed, kind, refusals=seed % 3 != 0)
    draw = world.random
    for name in draw.sample(NAMES, draw.randint(3, 5)) if kind == "static" else NAMES[: draw.randint(3, 5)]:
        world.join(name)
    for _ in range(draw.choice((1, 80, 80))):
        world.step()
    plan = FLIPS if seed % 3 == 1 else PARTED
    events, weights = list(plan), list(plan.values())
    for _ in range(length):
        happen(world, draw.choices(events, weights)[0])
        world.step()
    world.heal()
    for _ in range(200):
        if not world.leavers:
            break
        world.step()
    world.complete()
    world.quiet(after)
    return world


def happen(world: PartedWorld, event: str) -> None:
    """Let something happen."""
    draw = world.random
    names = world.names()
    if event == "sleep" and names:
        world.pause(draw.choice(names), draw.uniform(2, 25))
    elif event == "flip" and len(names) > 1:  # it dies, and is back at once on the other side of the cut
        name = draw.choice([name for name in names if name in FIRST] or names)
        world.side ^= {name}
        world.cuts = {(a, b) for a in NAMES for b in NAMES if (a in world.side) != (b in world.side)}
        world.crash(name)
        world.join(name)
    elif event not in ("sleep", "flip"):
        play(world, event)
