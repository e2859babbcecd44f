"""What a checker is, what it is told, and what it may look at.

Law of this room: a checker is a value that can be given to any number of simulations; what it remembers of one is in the
*watcher* that it makes for it. Watchers see the truth (`World`) beside what the hubs believe, and raise
`hubkit.errors.InvariantViolated`; they change nothing.

Hubs that reach each other are a *company*. A company *agrees* when all of it believes that all is well: the same map
everywhere, nobody missed, nobody believed in who is out of reach, and every child where it belongs. What a company
agrees on must be true: so much can be checked at any moment, and without patience.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hubkit.errors import ConfigurationError
from hubkit.hub.driver import Driver
from hubkit.hub.hub import Hub
from hubkit.pids import NodeId, Pid, name_of
from hubkit.testing.monitors import Monitors
from hubkit.testing.ownership import Ownership, Running

if TYPE_CHECKING:
    from hubkit.testing.keeping import Keeping

__all__ = ["Checker", "Company", "Reach", "Watcher", "World", "companies", "registries", "watcher_of"]

#: How many different answers of registries are put into one message.
ANSWERS = 6


class Reach(Protocol):
    """What a watcher may ask of the network."""

    def reaches(self, a: str, b: str) -> bool:
        """Whether what node ``a`` sends would arrive at node ``b``, if there were a link."""
        ...


class World(Protocol):
    """The truth about one simulation. All times are virtual seconds since its start."""

    @property
    def changed_at(self) -> float:
        """When processes, or the ways between them, last came or went."""
        ...

    @property
    def ownership(self) -> Ownership:
        """What really runs, and who could handle a message when."""
        ...

    @property
    def monitors(self) -> Monitors:
        """All monitors."""
        ...

    @property
    def keeping(self) -> Keeping:
        """Which states are promised to be kept."""
        ...

    @property
    def network(self) -> Reach:
        """The ways between the nodes."""
        ...

    @property
    def watchers(self) -> list[Watcher]:
        """All who watch."""
        ...

    @property
    def overlap(self) -> float:
        """The longest time in which two owners of one child could both begin handling a message."""
        ...

    def now(self) -> float:
        """Seconds since the start of the simulation."""
        ...

    def hub_ids(self) -> tuple[str, ...]:
        """The ids of all hubs that there were."""
        ...

    def hubs(self, hub_id: str) -> Mapping[str, Hub]:
        """Node name -> its hub: those that are open, on processes that are alive and not paused; sorted by name."""
        ...

    def components(self, hub_id: str) -> list[tuple[str, ...]]:
        """The names of those nodes, grouped by who reaches whom in both directions, over others if need be."""
        ...

    def running(self, hub_id: str) -> Mapping[str, list[Running]]:
        """Child -> what really runs of it now, on all nodes, whatever any map says."""
        ...

    def is_settled(self) -> bool:
        """Whether all that reach each other agree, and everything runs where it belongs."""
        ...

    def alive(self, node: str) -> bool:
        """Whether this node's process is there."""
        ...

    def paused(self, node: str) -> bool:
        """Whether it stands still."""
        ...


class Watcher:
    """What a checker makes for one simulation. All methods do nothing here; each may raise `InvariantViolated`."""

    def began(self, run: Running) -> None:
        """A node can begin to handle messages for a child."""

    def ending(self, run: Running) -> None:
        """It will begin no more."""

    def ended(self, run: Running) -> None:
        """It is gone (also when its process crashed)."""

    def look(self) -> None:
        """Called at least once per virtual second, and after every fault or change of the set of nodes."""

    def verdict(self) -> None:
        """Asked for a verdict about all that there was: ``sim.check()``, and the end of the run."""


class Checker(Protocol):
    """A frozen value that can be given to ``Simulation.run(..., checkers=[...])``, ``sim.watch`` and ``sim.check``."""

    def watch(self, world: World) -> Watcher:
        """Begin to watch a simulation."""
        ...


def watcher_of(checker: Checker, world: World) -> Watcher:
    """Let a checker begin to watch. Raises `ConfigurationError` if it does not do it as it should."""
    watcher = checker.watch(world)
    if not all(callable(getattr(watcher, name, None)) for name in ("began", "ending", "ended", "look", "verdict")):
        msg = f"the method watch of a checker must return a hubkit.testing.Watcher: {checker!r:.80} returned {watcher!r:.80}"
        raise ConfigurationError(msg)
    return watcher


@dataclass(frozen=True, slots=True)
class Company:
    """The open hubs of one id on nodes that reach each other, by node name, sorted; without those that have left."""

    hub_id: str
    names: tuple[str, ...]
    drivers: Mapping[str, Driver]

    def __str__(self) -> str:
        """Who it is."""
        return ", ".join(self.names)

    def agrees(self) -> bool:
        """Whether all of it believes that all is well, and nobody is about to say otherwise."""
        digest: int | None = None
        for driver in self.drivers.values():
            core = driver.core
            if not driver.is_settled or driver._reports or driver._endings:
                return False
            here = core._store.digest
            if digest is not None and here != digest:
                return False
            digest = here
            if tuple(sorted(map(name_of, core.alive))) != self.names:
                return False
        return len(self.drivers) == len(self.names)

    def can_run(self, child: str) -> bool:
        """Whether any of it may run this child now: it knows the actor, has the labels, and is a node where it was put."""
        for driver in self.drivers.values():
            core = driver.core
            row, want = core.nodes.get(core.id), core.wants.get(child)
            if row is None or want is None or row.state != "ready" or not core.allowed:
                continue
            if core.obstacle(child, want, row) is None:
                return True
        return False

    def waits_to_run(self, child: str, *, starting: bool) -> bool:
        """Whether the child is parked somewhere, or waits to be restarted after a crash.

        With ``starting``, also whether it has crashed and is being started again right now.
        """
        for driver in self.drivers.values():
            keeper = None if driver.household is None else driver.household.keepers.get(child)
            if keeper is None or keeper.stopping is not None:
                continue
            if (keeper.cell is None or starting) and (keeper.parked_times > 0 or keeper.last_pid is not None):
                return True
        return False

    def explain(self, child: str) -> str:
        """Why the child is where it is, in the words of its heir, or of the first node."""
        driver = self.drivers[self.names[0]] if self.names[0] in self.drivers else next(iter(self.drivers.values()))
        for heir in driver.core.owners(child)[:1]:
            driver = self.drivers.get(name_of(heir), driver)
        why = driver.core.why(child, driver.now())
        return f"{name_of(driver.node)} says: {str(why).replace(chr(10), ';')} (rule: {why.rule})"


def companies(world: World, hub_id: str) -> Iterator[Company]:
    """The hubs of one id, company by company."""
    hubs = world.hubs(hub_id)
    for names in world.components(hub_id):
        drivers: dict[str, Driver] = {}
        for name in names:
            driver = hubs[name]._driver_ if name in hubs else None
            if driver is not None and not driver.closed and not driver.core.left:
                drivers[name] = driver
        if drivers:
            yield Company(hub_id, tuple(drivers), drivers)


def registries(world: World, hub_id: str, child: str) -> str:
    """What the registries of all open hubs say of a child, and what really runs, in one line."""
    said: dict[tuple[Pid, ...], list[str]] = {}
    for name, hub in world.hubs(hub_id).items():
        driver = hub._driver_
        if driver is not None and not driver.closed:
            said.setdefault(driver.pids.get(child, ()), []).append(name)
    answers = [f"{', '.join(names)}: {pids_text(pids)}" for pids, names in list(said.items())[:ANSWERS]]
    if len(said) > ANSWERS:
        answers.append(f"and {len(said) - ANSWERS} other answers")
    runs = [f"{run.pid} term {run.term}" for run in world.running(hub_id).get(child, ())]
    return f"the registries say: {'; '.join(answers) or '(no hub is open)'}. There runs: {', '.join(runs) or 'nothing'}"


def pids_text(pids: tuple[Pid, ...]) -> str:
    """Some pids, for people."""
    return ", ".join(map(str, pids)) or "nowhere"


def wanted_at(driver: Driver, child: str) -> object:
    """What names one writing of a wish: as long as it is equal, the child was neither removed nor written anew."""
    row = driver.core._store.rows.get(("want", child))
    return None if row is None or row.value is None else row.stamp


def id_of(run: Running) -> NodeId:
    """The id of the process that it runs in."""
    return f"{run.pid.node}#{run.pid.incarnation}"
