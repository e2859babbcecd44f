"""What is known by whom, of all processes there are: so that only what somebody could still know is asked for afterwards.

A fact (a child was started; a child was stopped) lives as long as a process that knows it. Who has learnt of it, and lives,
tells the others. A fact *perishes* when the last who knew it dies; then nothing can be demanded any more. It must not vanish
while one of them lives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hubkit.cluster.core import Core
from hubkit.cluster.stamps import Stamp, covers
from hubkit.errors import InvariantViolated
from hubkit.pids import NodeId
from hubkit.testing import Simulation, Watcher
from hubkit.testing.watching import World

__all__ = ["Memory", "check_events", "cores", "every_core", "wish_of"]


def cores(sim: Simulation, hub_id: str = "shop") -> Iterator[Core]:
    """The cores of this hub in all processes that live, paused ones too."""
    for host in sim._world.hosts.values():
        if host.alive and host.life is not None and hub_id in host.life.hubs:
            driver = host.life.hubs[hub_id]._driver_
            if driver is not None and not driver.closed and not driver.core.left:
                yield driver.core


def every_core(sim: Simulation, hub_id: str = "shop") -> Iterator[Core]:
    """The same of all processes that there ever were."""
    for host in sim._world.hosts.values():
        for life in host.lives:
            driver = life.hubs[hub_id]._driver_ if hub_id in life.hubs else None
            if driver is not None:
                yield driver.core


def wish_of(core: Core, child: str) -> Stamp | None:
    """The stamp of what this core knows to have been said last about a child being wanted or not."""
    row = core._store.rows.get(("want", child))
    return None if row is None else row.stamp


@dataclass
class _Fact:
    text: str
    known_by: Callable[[Core], bool]
    since: float
    knowers: frozenset[NodeId] = frozenset()
    perished: float | None = None


@dataclass
class Memory(Watcher):
    """Facts, and who knows them. It is its own checker: one for each simulation."""

    sim: Simulation
    facts: dict[str, _Fact] = field(default_factory=dict)

    def watch(self, world: World) -> Watcher:
        return self

    def started(self, child: str) -> None:
        """This child is wanted, and was said to be."""
        self._note(f"start of {child}", lambda core: child in core.wants)

    def stopped(self, child: str, stamp: Stamp) -> None:
        """This child is not wanted any more."""
        self.facts.pop(f"start of {child}", None)
        self._note(f"stop of {child}", lambda core: covers(core._store.version, stamp))

    def doubted(self, child: str) -> None:
        """Somebody begins to stop it: until that is answered, both may be."""
        self.facts.pop(f"start of {child}", None)

    def _note(self, text: str, known_by: Callable[[Core], bool]) -> None:
        fact = self.facts[text] = _Fact(text, known_by, self.sim.now)
        fact.knowers = frozenset(core.id for core in cores(self.sim) if known_by(core))
        if not fact.knowers:
            fact.perished = self.sim.now

    def perished(self) -> set[str]:
        """The facts that nobody can know any more."""
        return {text for text, fact in self.facts.items() if fact.perished is not None}

    def look(self) -> None:
        living = list(cores(self.sim))
        ids = {core.id for core in living}
        for fact in self.facts.values():
            if fact.perished is not None:
                continue
            knowers = frozenset([core.id for core in living if fact.known_by(core)])
            if not knowers:
                if fact.knowers & ids:
                    witnesses = ", ".join(sorted(fact.knowers & ids))
                    msg = f"at {self.sim.now:.3f} s nobody knows the {fact.text} any more; {witnesses} did, and live"
                    raise InvariantViolated(msg)
                fact.perished = self.sim.now
            fact.knowers = knowers

    def verdict(self) -> None:
        """All that has not perished is known to everybody by now, and is so."""
        self.look()
        for fact in self.facts.values():
            if fact.perished is None:
                missing = sorted(core.id for core in cores(self.sim) if not fact.known_by(core))
                if missing:
                    who = ", ".join(missing)
                    msg = f"at {self.sim.now:.3f} s the {fact.text} (at {fact.since:.3f} s) is not known to {who}"
                    raise InvariantViolated(msg)
                child = fact.text.removeprefix("stop of ")
                if child != fact.text and any(child in core.wants for core in cores(self.sim)):
                    msg = f"at {self.sim.now:.3f} s {child} is wanted, although it was stopped at {fact.since:.3f} s"
                    raise InvariantViolated(msg)


_TOLD = re.compile(r"(\w+)\(hub='(\w+)', (?:child|node)='([^']*)'(?:.*?pid=(Pid\([^)]*\)))?")


def check_events(sim: Simulation, hub_id: str = "shop") -> None:
    """Who has heard all events of a hub knows what the hub knows: which children run where, and which nodes are there."""
    pids: dict[str, dict[str, set[str]]] = {}
    nodes: dict[str, dict[str, str]] = {}
    for step in sim.trace.steps:
        if step.kind == "node" and step.text == "started":
            pids[step.node], nodes[step.node] = {}, {}
        if step.kind != "event" or (told := _TOLD.match(step.text)) is None or told[2] != hub_id:
            continue
        kind, _, name, pid = told.groups()
        if kind == "ChildRegistered":
            pids[step.node].setdefault(name, set()).add(pid)
        elif kind == "ChildUnregistered":
            pids[step.node][name].remove(pid)
        elif kind.startswith("Node"):
            nodes[step.node][name] = kind
    for node, hub in sim._world.hubs(hub_id).items():
        heard = {child: sorted(found) for child, found in pids[node].items() if found}
        known = {child: sorted(map(repr, found)) for child, found in hub._driver.pids.items()}
        assert heard == known, f"{node} told other pids than it knows of"
        there = sorted(name for name, kind in nodes[node].items() if kind == "NodeJoined")
        assert there == sorted(hub.nodes()), f"{node} told that {there} are there, and knows of {sorted(hub.nodes())}"
