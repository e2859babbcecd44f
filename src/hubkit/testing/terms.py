"""`monotonic_terms`: a child's term, its fencing token, grows with each new owner.

Law of this room: what is checked holds under any faults, also under `Divergence`. Two sides of a partition know nothing of
each other, and may give the same term twice; and what only the dead knew is lost. So terms are compared only along what one
living process knew. A wish that was written anew begins a new life of its child: nothing is compared across it.

Maps are read only when they have changed, and only so many rows at a time: whatever may not fall can be looked at
now and then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hubkit.cluster.rows import Run
from hubkit.errors import InvariantViolated
from hubkit.hub.driver import Driver
from hubkit.pids import NodeId, name_of
from hubkit.testing.ownership import Running
from hubkit.testing.watching import Checker, Company, Watcher, World, companies, id_of, registries, wanted_at

__all__ = ["monotonic_terms"]

#: How many children are looked at in one look, over all maps that have changed.
BUDGET = 25_000

_NO_RUNS: Mapping[NodeId, Run] = {}


@dataclass(frozen=True, slots=True, repr=False)
class _MonotonicTerms:
    def __repr__(self) -> str:
        return "monotonic_terms()"

    def watch(self, world: World) -> Watcher:
        return _TermsWatcher(world)


def monotonic_terms() -> Checker:
    """Terms never fall. As long as the wish for a child is not written anew:

    * On one process, a child's next owner (after the one before was told to stop) has a greater term than the one before; a
      restart in place keeps its term.
    * No process starts a child at a term that is not greater than all that its own map showed of it at the last look, if it
      did not run it then. (What was only announced does not count.)
    * In no map does the greatest term of a child fall.
    * Where hubs that reach each other agree that all is well, the one that runs is of the term that the map says, and no
      process among them has ever run it at a greater one.
    """
    return _MonotonicTerms()


class _Begin(NamedTuple):
    term: int
    wish: object  # which writing of the wish it was about
    ended: bool = False  # it was told to stop


class _Top(NamedTuple):
    """The greatest term of a child in one map, and whose row says so.

    ``passed``: the same without what a node has only announced. ``held``: something of the child was there. ``row``: the row
    that says all this, if it is the only one.
    """

    term: int
    node: NodeId
    passed: int
    wish: object
    held: bool
    row: Run | None


class _Map:
    """What was seen of one hub's map on one process."""

    __slots__ = ("digest", "tops")

    def __init__(self) -> None:
        self.digest: int | None = None
        self.tops: dict[str, _Top] = {}


class _TermsWatcher(Watcher):
    def __init__(self, world: World) -> None:
        self._world = world
        self._maps: dict[tuple[str, NodeId], _Map] = {}
        self._begins: dict[tuple[str, str], dict[NodeId, _Begin]] = {}
        self._turn = 0
        self._judged: dict[tuple[str, tuple[str, ...]], tuple[int, float]] = {}

    # -- what happens --------------------------------------------------------------------------------------------------

    def began(self, run: Running) -> None:
        """Compare a begin with those before it in the same process, and with what the map there showed."""
        hub = self._world.hubs(run.hub).get(run.node)
        driver = None if hub is None else hub._driver_
        node = id_of(run)
        if driver is None or driver.core.id != node:
            return
        instance = driver.core._rules.instances.get(run.child)
        if instance is None or instance.stopping is not None or instance.term != run.term:
            return  # the map has moved on, and it will stop at once
        wish = wanted_at(driver, run.child)
        begins = self._begins.setdefault((run.hub, run.child), {})
        before = begins.get(node)
        if before is not None and before.wish == wish and run.term < before.term + before.ended:
            self._fail(run, f"after it had run there at term {before.term}")
        known = self._maps.get((run.hub, node))
        top = None if known is None else known.tops.get(run.child)
        if top is not None and top.wish == wish and not top.held and run.term <= top.passed:
            self._fail(run, f"though its map had shown term {top.passed} before")
        begins[node] = _Begin(run.term, wish)

    def ending(self, run: Running) -> None:
        """From now on another owner is another one."""
        begins = self._begins.get((run.hub, run.child), {})
        begin = begins.get(id_of(run))
        if begin is not None and begin.term == run.term:
            begins[id_of(run)] = begin._replace(ended=True)

    def _fail(self, run: Running, why: str) -> None:
        msg = (
            f"at {self._world.now():.3f} s node {run.node} began to run child {run.child!r} of hub {run.hub!r} at term "
            f"{run.term}, {why}: terms grow with each new owner; {registries(self._world, run.hub, run.child)}"
        )
        raise InvariantViolated(msg)

    # -- what is seen --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        self._read(BUDGET)
        self._judge_all()

    def verdict(self) -> None:
        self._read(None)
        self._judged.clear()
        self._judge_all()

    def _read(self, budget: int | None) -> None:
        """Read the maps that have changed, the next in turn first."""
        drivers = list(self._drivers())
        count = len(drivers)
        for i in range(count):
            driver = drivers[(self._turn + i) % count]
            known = self._maps.get((driver.hub_id, driver.core.id))
            if known is None:
                known = self._maps[driver.hub_id, driver.core.id] = _Map()
            digest = driver.core._store.digest
            if known.digest == digest:
                continue
            if budget is not None and budget <= 0:
                self._turn = (self._turn + i) % count
                return
            known.digest = digest
            self._read_map(driver, known)
            budget = None if budget is None else budget - len(driver.core.wants)

    def _drivers(self) -> Iterator[Driver]:
        world, seen = self._world, set()
        for hub_id in world.hub_ids():
            for name, hub in world.hubs(hub_id).items():
                driver = hub._driver_
                if driver is not None and not driver.closed:
                    seen.add((hub_id, driver.core.id))
                    if world.alive(name):
                        yield driver
        for key in [key for key in self._maps if key not in seen and not world.paused(name_of(key[1]))]:
            del self._maps[key]  # that process is no more

    def _read_map(self, driver: Driver, known: _Map) -> None:
        core, tops = driver.core, known.tops
        wants, rows, all_runs, instances = core.wants, core._store.rows, core.runs, core._rules.instances
        for child in [child for child in tops if child not in wants]:
            del tops[child]
        for child in wants:
            runs, wish, held, old = (
                all_runs.get(child, _NO_RUNS),
                rows["want", child][0],
                child in instances,
                tops.get(child),
            )
            row = None
            if len(runs) == 1:
                (row,) = runs.values()
                if old is not None and old.row is row and old.wish is wish and old.held is held:
                    continue  # as it mostly is
            term, node, passed = 0, "", 0
            for at, run in runs.items():
                if run.role != "claiming":
                    reached = run.term - (run.to == at)  # what is granted to oneself is a claim
                    if reached > term:
                        term, node = reached, at
                    passed = max(passed, reached)
            if old is not None and old.wish == wish and term < old.term:
                claim = runs.get(old.node)
                if claim is None or claim.role != "claiming":  # a claim stands for what it has replaced
                    raise self._fallen(driver, child, old, term)
                term, node, row = old.term, old.node, None
            tops[child] = _Top(term, node, passed, wish, held, row)

    def _fallen(self, driver: Driver, child: str, old: _Top, term: int) -> InvariantViolated:
        rows = ", ".join(
            f"{name_of(node)}: {run.role} {run.term}" for node, run in sorted(driver.core.runs.get(child, {}).items())
        )
        return InvariantViolated(
            f"at {self._world.now():.3f} s the term of child {child!r} of hub {driver.hub_id!r} has fallen in the map of "
            f"{name_of(driver.node)} from {old.term} (of {name_of(old.node)}) to {term}; the rows there: {rows or 'none'}; "
            f"{registries(self._world, driver.hub_id, child)}"
        )

    # -- what is agreed ------------------------------------------------------------------------------------------------

    def _judge_all(self) -> None:
        state = (self._world.ownership.changes, self._world.changed_at)
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                key = (hub_id, company.names)
                if self._judged.get(key) != state and company.agrees():
                    self._judge(company)
                    self._judged[key] = state

    def _judge(self, company: Company) -> None:
        cores = {driver.core.id: driver.core for driver in company.drivers.values()}
        rows = next(iter(cores.values()))._store.rows
        for child, runs in self._world.running(company.hub_id).items():
            here = [run for run in runs if id_of(run) in cores]
            row = rows.get(("want", child))
            if len(here) != 1 or row is None:
                continue
            run = here[0]
            said = cores[id_of(run)].runs.get(child, {}).get(id_of(run))
            if said is not None and said.role == "active" and said.term != run.term:
                self._fail(run, f"and the map says that it is term {said.term}")
            for node, begin in self._begins.get((company.hub_id, child), {}).items():
                if begin.term > run.term and node in cores and begin.wish == row.stamp:
                    self._fail(
                        run, f"and nothing else runs among {company}, where {name_of(node)} had had term {begin.term}"
                    )
