"""Bare cores under everything that can happen, drawn and shrunk by Hypothesis.

The invariants are the world's (`tests.property.world`), looked at in every step of its time. At the end of each run
everything is healed, and all must become well.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.property.schedules import BODIES, NAMES
from tests.property.world import World

some_name = st.sampled_from(NAMES)
some_child = st.sampled_from([f"c{i}" for i in range(4)] + ["r0"])
some_body = st.sampled_from(sorted(set(BODIES)))


class CalmMachine(RuleBasedStateMachine):
    """Joins, leaves and wishes, and no faults: nothing may ever exist twice."""

    calm = True

    @initialize(seed=st.integers(0, 2**16), first=st.integers(1, 3))
    def begin(self, seed: int, first: int) -> None:
        self.world = World(seed, calm=self.calm)
        for name in NAMES[:first]:
            self.world.join(name)

    def awake(self, *names: str) -> list[str]:
        awake = {box.name for box in self.world.awake()}
        return [name for name in names if name in awake]

    @rule(steps=st.integers(1, 30))
    def wait(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()

    @rule(child=some_child, names=st.sets(some_name, min_size=1, max_size=3), body=some_body, same=st.booleans())
    def want(self, child: str, names: set[str], body: bytes, same: bool) -> None:
        start = "Rare" if child == "r0" else "Common"
        self.world.want(child, body, *self.awake(*sorted(names)), start=start, same=same)

    @rule(child=some_child, name=some_name)
    def remove(self, child: str, name: str) -> None:
        for present in self.awake(name):
            self.world.remove(child, present)

    @rule(child=some_child, name=some_name, pins=st.lists(some_name, max_size=2, unique=True))
    def pin(self, child: str, name: str, pins: list[str]) -> None:
        for present in self.awake(name):
            self.world.pin(child, tuple(pins), present)

    @rule(name=some_name)
    def join(self, name: str) -> None:
        if name not in self.world.names():
            self.world.join(name)

    @rule(name=some_name)
    def leave(self, name: str) -> None:
        for present in self.awake(name):
            self.world.leave(present)

    @rule(name=some_name)
    def depart(self, name: str) -> None:
        for present in self.awake(name):
            self.world.depart(present)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.quiet()


class FaultyMachine(CalmMachine):
    """All faults: crashes of one and of several, restarts, partitions of every kind, silence, pauses."""

    calm = False

    @rule(names=st.sets(some_name, min_size=1, max_size=2), silently=st.booleans())
    def crash(self, names: set[str], silently: bool) -> None:
        present = [name for name in sorted(names) if name in self.world.names()]
        if len(present) < len(self.world.names()):
            self.world.crash(*present, silently=silently)

    @rule(name=some_name)
    def restart(self, name: str) -> None:
        if name in self.world.names() and len(self.world.names()) > 1:
            self.world.crash(name)
            self.world.join(name)

    @rule(side=st.sets(some_name, min_size=1, max_size=4), one_way=st.booleans())
    def cut(self, side: set[str], one_way: bool) -> None:
        pairs = {(a, b) for a in NAMES for b in NAMES if (a in side) != (b in side)}
        self.world.cuts = {(a, b) for a, b in pairs if a in side or not one_way}

    @rule(pairs=st.sets(st.tuples(some_name, some_name), max_size=6))
    def cut_some(self, pairs: set[tuple[str, str]]) -> None:
        self.world.cuts = pairs

    @precondition(lambda self: self.world.cuts)
    @rule()
    def heal(self) -> None:
        self.world.cuts = set()

    @rule(name=some_name, seconds=st.floats(0.5, 12))
    def pause(self, name: str, seconds: float) -> None:
        if name in self.world.names():
            self.world.pause(name, seconds)

    @rule()
    def forget(self) -> None:
        self.world.forget_the_dead()


TestCalm = CalmMachine.TestCase
TestCalm.settings = settings(max_examples=150, stateful_step_count=40)
TestFaults = FaultyMachine.TestCase
TestFaults.settings = settings(max_examples=250, stateful_step_count=50)
