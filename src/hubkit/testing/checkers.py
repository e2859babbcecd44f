"""What must hold of whole hubs: each law one value, to be given to ``Simulation.run``, ``sim.watch`` or ``sim.check``.

Law of this room: a checker says exactly what it demands, and demands only what hubkit promises. It compares what hubs believe
with what really runs, and patience is always reckoned from the last thing that could have caused a delay. The message says
which child, which nodes, since when, and what the registries said.

Looking costs what has changed: maps that are what they were at the last look are not read again. Demands of the form
"within so many seconds" were refused where a company of hubs *agrees* that all is well (`hubkit.testing.watching`): then it
must be well at once, and a verdict says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hubkit.errors import InvariantViolated
from hubkit.specs import check_seconds
from hubkit.strategies import PartitionTolerance
from hubkit.testing.arguments import check_number
from hubkit.testing.downs import down_exactly_once
from hubkit.testing.ownership import Meter, Running, promises_one_owner
from hubkit.testing.terms import monotonic_terms
from hubkit.testing.watching import Checker, Company, Watcher, World, companies, registries

__all__ = [
    "balance",
    "default_checks",
    "down_exactly_once",
    "monotonic_terms",
    "no_lost_child",
    "registry_converges",
    "single_owner",
]

#: What sums of floats may be wrong by.
EPSILON = 1e-9
#: How many children of one kind are put into one message.
MANY = 5


# -- single ownership ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _SingleOwner:
    overlap: float

    def __repr__(self) -> str:
        return f"single_owner({self.overlap!r})"

    def watch(self, world: World) -> Watcher:
        return _SingleOwnerWatcher(world, self.overlap)


def single_owner(overlap: float) -> Checker:
    """No child has two owners for longer than ``overlap`` seconds.

    An owner is an incarnation that could begin to handle a message: started, not ending, its process neither paused nor dead.
    What counts is the length of an unbroken stretch; two at one instant are no stretch. Looked at when an owner ends, and
    once a second while both go on. A watcher counts what happens from its beginning on; a verdict in the very moment in which
    it begins (``sim.check(single_owner(...))``) is about all that was before.
    """
    return _SingleOwner(check_seconds(overlap, "overlap", infinite=True))


class _SingleOwnerWatcher(Watcher):
    def __init__(self, world: World, overlap: float) -> None:
        self._world, self._overlap = world, overlap
        self._since = world.now()
        self._meter: Meter = world.ownership.meter(since=self._since)

    def ending(self, run: Running) -> None:
        self.look()

    def ended(self, run: Running) -> None:
        self.look()

    def look(self) -> None:
        _check_overlap(self._world, self._meter, self._overlap)

    def verdict(self) -> None:
        if self._world.now() == self._since:
            _check_overlap(self._world, self._world.ownership.all, self._overlap)
        self.look()


def _check_overlap(world: World, meter: Meter, most: float) -> None:
    now = world.now()
    if meter.longest(now) > most + EPSILON:
        worst = meter.worst(now)
        assert worst is not None
        msg = f"{worst}; allowed are {most:g} s; {registries(world, worst.hub, worst.child)}"
        raise InvariantViolated(msg)


# -- nothing is lost ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _NoLostChild:
    within: float

    def __repr__(self) -> str:
        return f"no_lost_child({self.within!r})"

    def watch(self, world: World) -> Watcher:
        return _NoLostChildWatcher(world, self.within)


def no_lost_child(within: float) -> Checker:
    """What is wanted runs.

    A child that all hubs of a company want (a company: nodes that reach each other) runs on one of its nodes, ``within``
    seconds after the later of: the last change of the topology, and the moment in which it was first seen not to run there.
    Excused is a child that is parked, or waits for its restart after a crash, and one that nobody there may run: no ready node
    knows its actor, has the labels that it needs and is one of those it was put on by `Guided`, or the partition strategy
    forbids it. A verdict allows nothing where the company agrees that all is well.
    """
    return _NoLostChild(check_seconds(within, "within"))


class _NoLostChildWatcher(Watcher):
    def __init__(self, world: World, within: float) -> None:
        self._world, self._within = world, within
        self._missing: dict[tuple[str, tuple[str, ...], str], float] = {}  # and since when
        self._here: dict[tuple[str, tuple[str, ...]], tuple[int, set[str]]] = {}  # what ran when so much had changed

    def look(self) -> None:
        world = self._world
        now, before, missing = world.now(), self._missing, {}
        changes = world.ownership.changes
        for hub_id in world.hub_ids():
            for company in companies(world, hub_id):
                known = self._here.get((hub_id, company.names))
                if known is None or known[0] != changes:
                    known = self._here[hub_id, company.names] = (changes, what_runs(world, company))
                for child in lost(company, known[1]):
                    key = (hub_id, company.names, child)
                    since = missing[key] = before.get(key, now)
                    late = now - max(since, world.changed_at) - self._within
                    if late > EPSILON:
                        when = f"since {since:.3f} s or longer; the topology last changed at {world.changed_at:.3f} s"
                        raise _lost(world, company, child, f"{when}; allowed are {self._within:g} s")
        self._missing = missing

    def verdict(self) -> None:
        self.look()
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                if company.agrees():
                    for child in lost(company, what_runs(self._world, company), starting=True):
                        raise _lost(self._world, company, child, "though all of them take it to be settled")


def what_runs(world: World, company: Company) -> set[str]:
    """The children that really run on a company's nodes."""
    nodes = frozenset(company.names)
    return {child for child, runs in world.running(company.hub_id).items() if any(run.node in nodes for run in runs)}


def lost(company: Company, running: set[str], *, starting: bool = False) -> Iterator[str]:
    """The children that all of a company want, that could run there, and do not; see `no_lost_child`."""
    drivers = list(company.drivers.values())
    wants = drivers[0].core.wants
    for child in sorted(wants.keys() - running):
        if not all(child in driver.core.wants for driver in drivers):
            continue
        if not company.waits_to_run(child, starting=starting) and company.can_run(child):
            yield child


def _lost(world: World, company: Company, child: str, when: str) -> InvariantViolated:
    return InvariantViolated(
        f"at {world.now():.3f} s child {child!r} of hub {company.hub_id!r} is wanted by all of {company}, and runs on none "
        f"of them, {when}; {registries(world, company.hub_id, child)}; {company.explain(child)}"
    )


# -- registries agree ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _RegistryConverges:
    within: float

    def __repr__(self) -> str:
        return f"registry_converges({self.within!r})"

    def watch(self, world: World) -> Watcher:
        return _RegistryWatcher(world, self.within)


def registry_converges(within: float) -> Checker:
    """Registries agree.

    Hubs that reach each other may differ about the pids of a child for at most ``within`` seconds after the latest of: the last
    change of the topology, the child's last start or end anywhere, and the moment in which they were first seen to differ. A
    verdict allows no difference where they agree that all is well.
    """
    return _RegistryConverges(check_seconds(within, "within"))


class _RegistryWatcher(Watcher):
    """While maps are in motion, all registries are compared a few times in ``within`` seconds only."""

    def __init__(self, world: World, within: float) -> None:
        self._world, self._within = world, within
        self._pause = min(5.0, within / 10)
        self._touched: dict[tuple[str, str], float] = {}
        self._equal: dict[tuple[str, tuple[str, ...]], object] = {}  # what their maps were when they were last equal
        self._next: dict[tuple[str, tuple[str, ...]], float] = {}
        self._differ: dict[tuple[str, tuple[str, ...], str], float] = {}  # and since when

    def began(self, run: Running) -> None:
        self._touched[run.hub, run.child] = self._world.now()

    def ended(self, run: Running) -> None:
        self._touched[run.hub, run.child] = self._world.now()

    def look(self) -> None:
        now = self._world.now()
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                key = (hub_id, company.names)
                maps = _maps(company)
                if self._equal.get(key) == maps or now < self._next.get(key, 0.0):
                    continue
                self._next[key] = now + self._pause
                self._compare(company, maps, now)

    def _compare(self, company: Company, maps: object, now: float) -> None:
        key = (company.hub_id, company.names)
        found = {(*key, child): self._differ.get((*key, child), now) for child in differing(company)}
        for old in [old for old in self._differ if old[:2] == key]:
            del self._differ[old]
        self._differ.update(found)
        if not found:
            self._equal[key] = maps
            return
        self._equal.pop(key, None)
        changed_at = self._world.changed_at
        for (_, _, child), since in found.items():
            touched = self._touched.get((company.hub_id, child), 0.0)
            if now - max(since, changed_at, touched) > self._within + EPSILON:
                raise _differ(
                    self._world,
                    company,
                    child,
                    f"since {since:.3f} s; the topology last changed at {changed_at:.3f} s, the child at {touched:.3f} s; "
                    f"allowed are {self._within:g} s",
                )

    def verdict(self) -> None:
        now = self._world.now()
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                if not company.agrees():
                    self._compare(company, _maps(company), now)
                    continue
                for child in differing(company):
                    raise _differ(self._world, company, child, "though all of them take it to be settled")


def _maps(company: Company) -> object:
    """What registries depend on: as long as it is equal, nothing has changed in them."""
    cores = [driver.core for driver in company.drivers.values()]
    if any(core.changed for core in cores):
        return object()  # about to change
    return [(core._store.digest, core.alive) for core in cores]


def differing(company: Company) -> list[str]:
    """The children about whose pids the registries of a company differ."""
    found: set[str] = set()
    first, *others = [driver.pids for driver in company.drivers.values()]
    for pids in others:
        if pids != first:
            found.update(child for child in first.keys() | pids.keys() if first.get(child) != pids.get(child))
    return sorted(found)


def _differ(world: World, company: Company, child: str, when: str) -> InvariantViolated:
    return InvariantViolated(
        f"at {world.now():.3f} s {company} differ about where child {child!r} of hub {company.hub_id!r} runs, {when}; "
        f"{registries(world, company.hub_id, child)}"
    )


# -- balance ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _Balance:
    max_over_mean: float

    def __repr__(self) -> str:
        return f"balance({self.max_over_mean!r})"

    def watch(self, world: World) -> Watcher:
        return _BalanceWatcher(world, self.max_over_mean)


def balance(max_over_mean: float) -> Checker:
    """Children are spread evenly: no node runs more than ``max_over_mean`` times as many as the mean of all ready nodes.

    Looked at whenever a company of hubs agrees that all is well. It takes many children to be even: with three on three nodes,
    chance alone puts two on one. Raises `ConfigurationError` for a bound below 1.
    """
    return _Balance(check_number(max_over_mean, "max_over_mean", 1, hint=" (1: all equal)"))


class _BalanceWatcher(Watcher):
    def __init__(self, world: World, most: float) -> None:
        self._world, self._most = world, most
        self._judged: dict[tuple[str, tuple[str, ...]], tuple[int, float]] = {}

    def look(self) -> None:
        state = (self._world.ownership.changes, self._world.changed_at)
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                key = (hub_id, company.names)
                if self._judged.get(key) != state and company.agrees():
                    self._judge(company)
                    self._judged[key] = state

    def _judge(self, company: Company) -> None:
        cores = [driver.core for driver in company.drivers.values()]
        ready = {name for name, core in zip(company.names, cores, strict=True) if core.id in core.ready}
        runs = (run for runs in self._world.running(company.hub_id).values() for run in runs)
        tally = Counter(run.node for run in runs if run.node in ready)
        if not tally:
            return
        mean = tally.total() / len(ready)
        name, most = min(tally.items(), key=lambda item: (-item[1], item[0]))
        if most > self._most * mean + EPSILON:
            counts = ", ".join(f"{name}: {tally[name]}" for name in sorted(ready))
            msg = (
                f"at {self._world.now():.3f} s node {name} runs {most} children of hub {company.hub_id!r}, which is "
                f"{most / mean:.3f} times the mean; allowed are {self._most:g}. All: {counts}"
            )
            raise InvariantViolated(msg)

    def verdict(self) -> None:
        self._judged.clear()
        self.look()


# -- what is always checked ---------------------------------------------------------------------------------------------


def default_checks(world: World) -> Watcher:
    """What ``sim.check()`` is about, without further words. Called at the start of a simulation, it watches from then on.

    Where a company of hubs agrees that all is well: whatever is wanted (and not parked) runs exactly once, nothing else does,
    and all registries name just that. At all times: `monotonic_terms`; and of hubs whose partition tolerance
    promises that, no child ever had two owners. It raises at the verdict only. Called again, it gives the same watcher.
    """
    for watcher in world.watchers:
        if isinstance(watcher, _Defaults):
            return watcher
    defaults = _Defaults(world)
    world.watchers.append(defaults)
    return defaults


class _Defaults(Watcher):
    def __init__(self, world: World) -> None:
        self._world = world
        self._terms = monotonic_terms().watch(world)
        self._meters: dict[str, Meter] = {}
        self._tolerances: dict[str, dict[str, PartitionTolerance]] = {}  # hub -> all names that it has had
        self._failure: InvariantViolated | None = None
        self.look()

    def began(self, run: Running) -> None:
        if run.hub not in self._meters:
            self._meters[run.hub] = self._world.ownership.meter(run.hub, since=self._world.now())
        try:
            self._terms.began(run)
        except InvariantViolated as error:
            self._failure = self._failure or error

    def ending(self, run: Running) -> None:
        self._terms.ending(run)

    def ended(self, run: Running) -> None:
        self._terms.ended(run)

    def look(self) -> None:
        for hub_id in self._world.hub_ids():
            known = self._tolerances.setdefault(hub_id, {})
            known.update({name: h._strategies.partition_tolerance for name, h in self._world.hubs(hub_id).items()})
        try:
            self._terms.look()
        except InvariantViolated as error:
            self._failure = self._failure or error

    def verdict(self) -> None:
        self.look()
        if self._failure is not None:
            raise self._failure
        self._terms.verdict()
        for hub_id, meter in sorted(self._meters.items()):
            if promises_one_owner(self._tolerances.get(hub_id, {}).values()):
                _check_overlap(self._world, meter, 0.0)
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                if company.agrees():
                    self._judge(company)

    def _judge(self, company: Company) -> None:
        world, hub_id, nodes = self._world, company.hub_id, frozenset(company.names)
        found = [
            f"{child!r} is wanted, and does not run"
            for child in lost(company, what_runs(world, company), starting=True)
        ]
        driver = next(iter(company.drivers.values()))
        wants = next(iter(company.drivers.values())).core.wants
        now = world.now()
        for child, runs in sorted(world.running(hub_id).items()):
            here = [run for run in runs if run.node in nodes]
            if len(here) > 1:
                found.append(f"{child!r} runs {len(here)} times: {', '.join(str(run.pid) for run in here)}")
            elif here and child not in wants:
                found.append(f"{child!r} runs at {here[0].pid}, and nobody wants it")
            elif here and driver.running(child) != here[0].pid and here[0].since < now:
                found.append(f"{child!r} runs at {here[0].pid}; {registries(world, hub_id, child)}")
        found += [
            f"the registries differ about {child!r}; {registries(world, hub_id, child)}" for child in differing(company)
        ]
        if found:
            more = f"\n  and {len(found) - MANY} more" if len(found) > MANY else ""
            text = "".join(f"\n  {what}" for what in found[:MANY])
            msg = f"at {now:.3f} s all of {company} take hub {hub_id!r} to be settled, but:{text}{more}"
            raise InvariantViolated(msg)
