"""One simulated host: the process on it with its node and hubs, the one before that, and the clocks that outlive them.

Law of this room: a process lives as a real one does. It is a task with everything below it; it starts, it may leave in good
order, it may stand still, and it may be killed: then not one step of it runs any more, no ``finally``, no farewell. Its
hubs raise `HubClosed` for whoever still holds them, and what others waited for through them ends with an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import trio

from hubkit.actors.mailbox import Call
from hubkit.cluster.rows import EVERY, Ticket
from hubkit.errors import ConfigurationError, HubClosed, NodeDown
from hubkit.events import Event
from hubkit.hub.driver import Driver
from hubkit.hub.household import Keeper
from hubkit.hub.hub import Hub
from hubkit.net.transport import Transport
from hubkit.node.node import Node
from hubkit.pids import NodeId, boot_of, name_of
from hubkit.testing.environment import Machine, SimulatedEnvironment
from hubkit.testing.keeping import Keeping
from hubkit.testing.monitors import Monitors
from hubkit.testing.ownership import Running
from hubkit.testing.scheduling import Freezer

__all__ = ["Host", "Life", "Stage"]

#: Stands for the network of a process that does not exist yet.
_UNPLUGGED: Any = object()

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


class Stage(Protocol):
    """What a host needs of the simulation."""

    nursery: trio.Nursery
    freezer: Freezer
    monitors: Monitors
    keeping: Keeping

    def now(self) -> float:
        """Virtual seconds since the start of the simulation."""
        ...

    def record(self, kind: str, node: str = "", peer: str = "", text: str = "") -> None:
        """Note a step in the trace."""

    def began(self, run: Running) -> None:
        """A child can handle messages."""

    def ending(self, run: Running) -> None:
        """It begins to handle no more."""

    def ended(self, run: Running) -> None:
        """It is gone."""

    def changed(self) -> None:
        """Processes have come or gone, or the ways between them have."""

    def failed(self, error: BaseException) -> None:
        """A process ended by an error of its own."""

    def addresses(self) -> list[str]:
        """Where the nodes of this simulation can be dialled."""
        ...

    def transport(self, name: str) -> Transport:
        """A new transport for a new process."""
        ...


class _Everybody:
    """The discovery of simulated nodes: all hosts that there are, at the time of the question."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def addresses(self) -> Iterable[str]:
        """The addresses of all of them, also of those that are down."""
        return self._stage.addresses()


class _SimulatedHub(Hub):
    """A hub whose inner moments are told to the simulation."""

    _life: Life

    def __init__(self, hub_id: str, *, actors: Iterable[Any] | None = None, **options: Any) -> None:
        super().__init__(hub_id, actors=actors, **options)
        if actors is None:  # all processes here are one: what it happens to have defined is no part of the scenario
            self._actors = lambda: (EVERY,)

    @property
    def _driver(self) -> Driver:
        driver = self._driver_
        if driver is None or driver.closed:
            raise HubClosed(self._life.why_closed(self._id))
        return driver

    def _assemble(self, node: Node, nursery: trio.Nursery) -> Driver:
        driver = super()._assemble(node, nursery)
        assert self._household_ is not None
        self._household_.witness = _Witness(self._life, self.id)
        self._bulletin.tap = self._life.event
        if node._system.witness is None:
            self._life.stage.monitors.attach(node._system)
        return driver


class _Witness:
    """Tells the simulation what the children of one hub on one process can do."""

    def __init__(self, life: Life, hub: str) -> None:
        self._life, self._hub = life, hub
        self._runs: dict[Keeper, Running] = {}

    def began(self, keeper: Keeper) -> None:
        """The actor has started."""
        if self._life.dead:
            return
        assert keeper.last_pid is not None
        stage, name = self._life.stage, self._life.host.name
        run = Running(self._hub, keeper.child, name, keeper.last_pid, keeper.term, stage.now())
        self._runs[keeper] = run
        stage.record("begin", name, "", f"{run.hub} {run.child} term={run.term} serial={run.pid.serial}")
        stage.keeping.began(run, None if keeper.held is None else keeper.held[0])
        stage.began(run)

    def kept(self, keeper: Keeper, ticket: Ticket, holders: tuple[NodeId, ...]) -> None:
        """A checkpoint is complete."""
        if not self._life.dead:
            parties = tuple((name_of(node), boot_of(node)) for node in holders)
            self._life.stage.record("kept", self._life.host.name, "", f"{self._hub} {keeper.child} {tuple(ticket)}")
            self._life.stage.keeping.kept(self._hub, keeper.child, ticket, parties)

    def changed(self, keeper: Keeper) -> None:
        """It is let go, and is no longer what was handed over."""
        if not self._life.dead and keeper.last_pid is not None:
            stage, name = self._life.stage, self._life.host.name
            run = Running(self._hub, keeper.child, name, keeper.last_pid, keeper.term, stage.now())
            stage.keeping.changed(run)

    def ending(self, keeper: Keeper) -> None:
        """It is told to stop."""
        run = self._runs.get(keeper)
        if run is not None and not self._life.dead:
            self._life.stage.record(
                "ending", run.node, "", f"{run.hub} {run.child} term={run.term} serial={run.pid.serial}"
            )
            self._life.stage.ending(run)

    def ended(self, keeper: Keeper) -> None:
        """It is gone."""
        if keeper.stopping in ("removed", "updated") and not self._life.dead:
            self._life.stage.keeping.removed(self._hub, keeper.child)
        run = self._runs.pop(keeper, None)
        if run is not None and not self._life.dead:
            self._life.stage.record(
                "end", run.node, "", f"{run.hub} {run.child} term={run.term} serial={run.pid.serial}"
            )
            self._life.stage.ended(run)


class Life:
    """One process: a node and its hubs, from its start to its end.

    ``state``: "starting", "open", "leaving", "left", "crashed" or "failed".
    """

    def __init__(self, host: Host, options: Mapping[str, Any]) -> None:
        self.host: Host = host
        self.stage: Stage = host.stage
        self.state: str = "starting"
        self.task: trio.lowlevel.Task | None = None
        self.scope: trio.CancelScope = trio.CancelScope()
        self.hubs: dict[str, _SimulatedHub] = {}
        self.failure: BaseException | None = None
        self.frozen: bool = False
        self.left: trio.Event = trio.Event()
        self._waiting: list[str] = []
        self._opened: dict[str, trio.Event] = {}
        self._open: set[str] = set()
        self._wake = trio.Event()
        self._leave = False
        self._environment = SimulatedEnvironment(host.machine)
        self.node: Node = Node(
            **{"join": _Everybody(host.stage), **options},
            name=host.name,
            transport=_UNPLUGGED,
            environment=self._environment,
        )

    def begin(self) -> None:
        """Become a process of its machine. What is wrong with its options has been said before, and has changed nothing."""
        self._environment.begin()
        self.node._transport = self.stage.transport(self.host.name)

    @property
    def dead(self) -> bool:
        """Whether nothing of it counts any more."""
        return self.state in ("crashed", "failed", "left")

    @property
    def up(self) -> bool:
        """Whether all its hubs are open, and it is not about to leave."""
        return self.state == "open" and not self._leave and len(self._open) == len(self.hubs)

    def is_open(self, hub_id: str) -> bool:
        """Whether this hub is open."""
        return hub_id in self._open and not self.dead

    # -- what it does --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be this process."""
        self.task = trio.lowlevel.current_task()
        name = self.host.name
        if self.frozen:  # before its first step
            self.stage.freezer.freeze(self.task)
            await trio.lowlevel.checkpoint()
        self.stage.record("node", name, "", "started")
        try:
            with self.scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                async with self.node, trio.open_nursery() as nursery:
                    await self._serve(nursery)
            self._set("left")
        except Exception as error:
            if not self.dead:
                self.failure = _bare(error)
                self._set("failed")
                self.stage.failed(self.failure)
        finally:
            for opened in self._opened.values():
                opened.set()
            self.left.set()

    async def _serve(self, nursery: trio.Nursery) -> None:
        if not self.dead:
            self.state = "open"
        while not self._leave:
            while self._waiting:
                nursery.start_soon(self._be_hub, self._waiting.pop(0))
            self._wake = trio.Event()
            await self._wake.wait()
        self._set("leaving")
        # The hubs' tasks have seen it, and leave; then the nursery ends, and the node says goodbye.

    async def _be_hub(self, hub_id: str) -> None:
        hub, name = self.hubs[hub_id], self.host.name
        try:
            async with hub:
                self._open.add(hub_id)
                self._opened[hub_id].set()
                self.stage.record("node", name, "", f"open {hub_id}")
                self.stage.changed()
                while not self._leave:
                    await self._wake.wait()
        except Exception as error:
            if hub_id in self._open or self.dead:
                raise
            # It could not be opened: whoever asked for it is told, and the process goes on without.
            self.hubs.pop(hub_id)
            self.host.options.pop(hub_id, None)
            self.failure = _bare(error)
        finally:
            self._open.discard(hub_id)
            self._opened[hub_id].set()

    def add(self, hub_id: str, options: Mapping[str, Any]) -> Hub:
        """Have a hub opened."""
        if hub_id in self.hubs:
            msg = f"node {self.host.name!r} has a hub {hub_id!r} already: hub ids are unique on a node"
            raise ConfigurationError(msg)
        hub = _SimulatedHub(hub_id, node=self.node, **options)
        hub._life = self
        self.hubs[hub_id] = hub
        self._opened[hub_id] = trio.Event()
        self._waiting.append(hub_id)
        self._wake.set()
        return hub

    async def opened(self, hub_id: str) -> None:
        """Wait until a hub is open. Raises what it failed by, or `HubClosed` if the process ended before."""
        await self._opened[hub_id].wait()
        if self.is_open(hub_id):
            return
        if self.failure is not None:
            raise self.failure
        msg = f"node {self.host.name!r} ended ({self.state}) before its hub {hub_id!r} was open"
        raise HubClosed(msg)

    def why_closed(self, hub_id: str) -> str:
        """Why this hub, which is not open, is not, and what to do now."""
        name = self.host.name
        hub = f"hub {hub_id!r} on node {name!r}"
        if self.dead:
            how = {"crashed": "was killed", "left": "has left"}.get(self.state, "has failed")
            new = "there is a new one" if self.host.life is not self else f"sim.restart({name!r}) starts a new one"
            return f"{hub} is closed, because its process {how}: {new}, whose hub is sim.hub({name!r})"
        if hub_id in self.hubs and not self._opened[hub_id].is_set():
            first = f"it is paused, sim.resume({name!r}) lets it go on, and " if self.host.paused else ""
            return f"{hub} is not open yet: {first}`await sim.settled(within=...)` waits for it"
        return f"{hub} is closed: its process runs on without it"

    def leave(self) -> None:
        """Begin to leave in good order."""
        self._leave = True
        self._wake.set()

    def _set(self, state: str) -> None:
        if self.dead:  # killed at the moment at which it takes this step
            return
        self.state = state
        self.stage.record("node", self.host.name, "", state)
        self.stage.changed()

    def event(self, event: Event) -> None:
        """An event of one of its hubs."""
        if not self.dead:
            self.stage.record("event", self.host.name, "", _ADDRESS.sub("0x...", repr(event)))

    # -- standing still, and its end by force --------------------------------------------------------------------------

    def freeze(self) -> None:
        """From now on none of its tasks runs."""
        if not self.frozen:
            self.frozen = True
            if self.task is not None:
                self.stage.freezer.freeze(self.task)

    def may_begin(self, run: Running) -> bool:
        """Whether a child of this process can begin to handle a message, once it goes on."""
        hub = self.hubs.get(run.hub)
        keeper = None if hub is None or hub._household_ is None else hub._household_.keepers.get(run.child)
        return keeper is None or keeper.gate is None or keeper.gate.is_open

    def thaw(self) -> None:
        """They go on."""
        if self.frozen:
            self.frozen = False
            if self.task is not None:
                self.stage.freezer.thaw(self.task)

    def kill(self) -> None:
        """It is dead: not a step more; its hubs raise `HubClosed`, and who waits through them is told."""
        self.freeze()
        self.state = "crashed"
        for hub in self.hubs.values():
            if hub._driver_ is not None:
                hub._driver_.close()
            hub._bulletin.close()
            for future in list(hub._futures):
                future._finish(None, HubClosed(f"node {self.host.name!r} was killed before the work was done"))
        node = self.node
        node._state = "closed"
        if hasattr(node, "_exchange"):
            node._system.witness = None
            node._exchange.close()
            for cell in list(node._system.cells.values()):
                current = cell.current
                cell._close()
                if isinstance(current, Call):
                    current.fail(NodeDown(f"node {node.name!r} was killed while it handled this"))
        for opened in self._opened.values():
            opened.set()
        self.left.set()

    def sweep(self) -> None:
        """The simulation is over: let go of what is left, without a word to anybody."""
        if hasattr(self.node, "_system"):
            for cell in list(self.node._system.cells.values()):
                cell.cancel()
                if cell.background is not None:
                    cell.background.cancel()
        self.scope.cancel()
        self.thaw()


class Host:
    """A name in the simulation, with its clocks, what lasts on its disk, and its latest process."""

    def __init__(self, name: str, stage: Stage, machine: Machine) -> None:
        self.name: str = name
        self.stage: Stage = stage
        self.machine: Machine = machine
        self.node_options: dict[str, Any] = {}
        #: hub id -> its options, as first given: what the next process opens
        self.options: dict[str, dict[str, Any]] = {}
        self.disk: dict[str, Any] = {}
        self.life: Life | None = None
        self.lives: list[Life] = []
        self.paused: bool = False

    @property
    def alive(self) -> bool:
        """Whether there is a process on it."""
        return self.life is not None and not self.life.dead

    def start(self, node_options: Mapping[str, Any], hubs: Mapping[str, Mapping[str, Any]]) -> Life:
        """Start a new process with these hubs. Raises `ConfigurationError` for wrong options, and starts nothing."""
        life = Life(self, node_options)
        for hub_id, options in hubs.items():
            life.add(hub_id, options)
        life.begin()
        self.node_options = dict(node_options)
        self.options = {hub_id: dict(options) for hub_id, options in hubs.items()}
        self.life = life
        self.lives.append(life)
        self.stage.nursery.start_soon(life.run, name=f"simulated process {self.name}")
        return life

    def restart(self) -> Life:
        """Start a new process with the same hubs and options."""
        return self.start(self.node_options, self.options)

    def add(self, hub_id: str, options: Mapping[str, Any]) -> Life:
        """Open one more hub on the process that runs."""
        assert self.life is not None
        self.life.add(hub_id, options)
        self.options[hub_id] = dict(options)
        return self.life


def _bare(error: BaseException) -> BaseException:
    """The one exception of a group of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
