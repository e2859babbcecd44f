"""What there is in one simulation: hosts with their processes, the ways between them, what runs, and who watches.

Law of this room: it knows the truth. Hubs have views, which may be old or wrong; here stands what really runs, who really
reaches whom, and since when. Whatever happens is recorded in the moment in which it does, told to the watchers, and the
first thing that must not be ends the scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import trio

from hubkit.errors import InvariantViolated
from hubkit.hub.hub import Hub
from hubkit.net.switchboard import Conditions
from hubkit.net.transport import Transport
from hubkit.testing.environment import Machine, Ticking
from hubkit.testing.host import Host
from hubkit.testing.keeping import Keeping
from hubkit.testing.monitors import Monitors
from hubkit.testing.ownership import Ownership, Running
from hubkit.testing.scheduling import Freezer
from hubkit.testing.settling import troubles
from hubkit.testing.trace import Report, Trace
from hubkit.testing.watching import Checker, Watcher, watcher_of

__all__ = ["Cut", "Network", "World"]


class Cut(Protocol):
    """A partition that is in force."""

    def heal(self) -> None:
        """End it."""


class Network(Protocol):
    """What a simulation needs of its network, simulated or real."""

    def transport(self, name: str) -> Transport:
        """A new transport for a new process of this host."""
        ...

    def address(self, name: str) -> str:
        """Where this host is dialled."""
        ...

    def partition(self, *groups: Any, one_way: bool = False) -> Cut:
        """Let the groups reach one another no more."""
        ...

    def heal(self) -> None:
        """End all partitions."""

    def hold(self, a: str, b: str) -> None:
        """Keep back whatever travels between the two."""

    def release(self, a: str, b: str) -> None:
        """Let it go."""

    def link(
        self,
        a: str,
        b: str,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
        break_rate: float | None = None,
    ) -> Conditions:
        """Say how the way between two hosts is; returns how it was."""
        ...

    def crash(self, name: str, *, silent: bool = False) -> None:
        """The process of this host is dead; ``silent``: its machine, too."""

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        """Break all links of a host, or between two; returns how many."""
        ...

    def reaches(self, a: str, b: str) -> bool:
        """Whether what ``a`` sends arrives at ``b``."""
        ...


class World:
    """The truth about one simulation. It is what checkers see."""

    def __init__(self, seed: int, clock: Ticking, kind: str) -> None:
        self.seed: int = seed
        self.kind: str = kind
        self.clock: Ticking = clock
        self.network: Network
        self.nursery: trio.Nursery
        self.freezer: Freezer = Freezer()
        self.trace: Trace = Trace()
        self.ownership: Ownership = Ownership()
        self.monitors: Monitors = Monitors(self.now)
        self.keeping: Keeping = Keeping(self.now, self._holds)
        self.hosts: dict[str, Host] = {}
        self.watchers: list[Watcher] = []
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] = lambda: None
        #: virtual seconds at which processes, or the ways between them, last came or went
        self.changed_at: float = 0.0
        self.over: bool = False
        self._began: float = clock.now()
        self._version = 0
        self._components: dict[str, tuple[tuple[int, list[str]], list[tuple[str, ...]]]] = {}
        self._looking = False
        self._news = trio.Event()

    # -- what happens --------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Virtual seconds since the start of the simulation."""
        return self.clock.now() - self._began

    def record(self, kind: str, node: str = "", peer: str = "", text: str = "") -> None:
        """Note a step in the trace."""
        if not self.over:
            self.trace.add(self.now(), kind, node, peer, text)

    def fault(self, text: str, node: str = "", peer: str = "") -> None:
        """Note a fault, or the end of one."""
        self.record("fault", node, peer, text)
        self.changed()

    def began(self, run: Running) -> None:
        """A child can handle messages."""
        if not self.over:
            self.ownership.began(run)
            self._tell(lambda watcher: watcher.began(run))

    def ending(self, run: Running) -> None:
        """It begins to handle no more."""
        if not self.over:
            self.ownership.ending(run, self.now())
            self._tell(lambda watcher: watcher.ending(run))

    def ended(self, run: Running) -> None:
        """It is gone."""
        if not self.over:
            self.ownership.ended(run, self.now())
            self._tell(lambda watcher: watcher.ended(run))

    def changed(self) -> None:
        """Processes have come or gone, or the ways between them have."""
        self.changed_at = self.now()
        self._version += 1
        self._news.set()
        self.look()

    async def wait_for_life(self) -> None:
        """Return when some process can do something by itself."""
        while not any(host.alive and not host.paused for host in self.hosts.values()):
            self._news = trio.Event()
            await self._news.wait()

    def failed(self, error: BaseException) -> None:
        """Something happened that must not: the scenario ends with it. The first counts."""
        if self.failure is None and not self.over:
            self.failure = error
            self.on_failure()

    def look(self) -> None:
        """Let all watchers look."""
        if self.over or self._looking:
            return
        self._looking = True
        try:
            self._tell(lambda watcher: watcher.look())
        finally:
            self._looking = False

    def _tell(self, what: Callable[[Watcher], None]) -> None:
        for watcher in self.watchers:
            try:
                what(watcher)
            except InvariantViolated as error:
                self.failed(error)

    def watch(self, checker: Checker) -> Watcher:
        """Let a checker watch from now on."""
        watcher = watcher_of(checker, self)
        self.watchers.append(watcher)
        return watcher

    # -- hosts ---------------------------------------------------------------------------------------------------------

    def transport(self, name: str) -> Transport:
        """A new transport for a new process."""
        return self.network.transport(name)

    def addresses(self) -> list[str]:
        """Where the nodes of this simulation can be dialled."""
        return [self.network.address(name) for name in sorted(self.hosts)]

    def host(self, name: str) -> Host:
        """The host of this name, made when it is new."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name, self, Machine(name, self.seed, self.clock))
        return host

    def crash(self, name: str, *, silent: bool) -> None:
        """Kill the process of a host."""
        host = self.hosts[name]
        assert host.life is not None
        runs = [
            run for hub in self.hub_ids() for runs in self.running(hub).values() for run in runs if run.node == name
        ]
        self.network.crash(name, silent=silent)
        self.monitors.crashed(name)
        host.life.kill()
        host.paused = False
        self.ownership.crashed(name, self.now())
        for run in runs:
            self._tell(lambda watcher, run=run: watcher.ended(run))  # type: ignore[misc]  # a lambda's default
        self.fault("loses power" if silent else "crash", name)

    def pause(self, name: str) -> None:
        """Let the process of a host stand still."""
        host = self.hosts[name]
        assert host.life is not None
        host.life.freeze()
        host.paused = True
        self.ownership.paused(name, self.now())
        self.fault("pause", name)

    def resume(self, name: str) -> None:
        """Let it go on."""
        host = self.hosts[name]
        assert host.life is not None
        host.paused = False
        self.ownership.resumed(name, self.now(), host.life.may_begin)
        self.fault("resume", name)
        host.life.thaw()

    # -- what checkers see ---------------------------------------------------------------------------------------------

    @property
    def overlap(self) -> float:
        """The longest double ownership so far, in virtual seconds."""
        return self.ownership.longest(self.now())

    def alive(self, node: str) -> bool:
        """Whether there is a process on this host, which may be starting, paused or about to leave."""
        host = self.hosts.get(node)
        return host is not None and host.alive

    def paused(self, node: str) -> bool:
        """Whether it stands still."""
        host = self.hosts.get(node)
        return host is not None and host.paused

    def _holds(self, node: str, incarnation: int, other: str) -> bool:
        """Whether this incarnation of a node is there, awake, and in reach of the other both ways."""
        host = self.hosts.get(node)
        if host is None or not host.alive or host.paused or host.life is None or not host.life.node.is_of(incarnation):
            return False
        reaches = self.network.reaches
        return node == other or (reaches(node, other) and reaches(other, node))

    def hub_ids(self) -> tuple[str, ...]:
        """All hubs that there were."""
        return tuple(sorted({hub_id for host in self.hosts.values() for hub_id in host.options}))

    def hubs(self, hub_id: str) -> dict[str, Hub]:
        """Node name -> hub: those that are open, on processes that are alive and not paused; sorted by name."""
        found: dict[str, Hub] = {}
        for name in sorted(self.hosts):
            host = self.hosts[name]
            life = host.life
            if life is not None and not host.paused and life.is_open(hub_id):
                hub = life.hubs[hub_id]
                if hub._driver_ is not None and not hub._driver_.core.left:  # drained by hand, it is a member no more
                    found[name] = hub
        return found

    def components(self, hub_id: str) -> list[tuple[str, ...]]:
        """Their names, grouped by who reaches whom in both directions, over others if need be."""
        names = list(self.hubs(hub_id))
        known = self._components.get(hub_id)
        if known is None or known[0] != (self._version, names):
            known = self._components[hub_id] = ((self._version, names), self._group(names))
        return known[1]

    def _group(self, names: list[str]) -> list[tuple[str, ...]]:
        reaches, groups, left = self.network.reaches, [], list(names)
        while left:
            group = [left.pop(0)]
            for here in group:
                near = [there for there in left if reaches(here, there) and reaches(there, here)]
                group += near
                left = [there for there in left if there not in near]
            groups.append(tuple(sorted(group)))
        return sorted(groups)

    def running(self, hub_id: str) -> Mapping[str, list[Running]]:
        """Child -> what really runs of it now, whatever any map says; paused and ending ones, too."""
        return self.ownership.running(hub_id)

    def is_settled(self) -> bool:
        """Whether all that reach each other agree, and everything runs where it belongs."""
        return not troubles(self, first=True)

    # -- the end -------------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """What has become of it so far."""
        return Report(
            seed=self.seed,
            trace_hash=self.trace.hash,
            elapsed=self.now(),
            overlap=self.overlap,
            steps=self.trace.count,
            network=self.kind,
            nodes=tuple(sorted(self.hosts)),
            trace=self.trace.steps,
        )

    def sweep(self) -> None:
        """It is over: cut all wires, and let go of all processes."""
        self.over = True
        for name in sorted(self.hosts):
            host = self.hosts[name]
            if host.alive:
                self.network.crash(name, silent=True)
            for life in host.lives:
                life.sweep()
