"""`Simulation`: whole hubs under virtual time, on a network that obeys, from one seed.

Law of this room: it is a face. It checks what users pass, asks the rooms behind it (`world`: what is; `host`: processes;
`hubkit.net.simulated`: the network), and says what it does in the trace. Faults are plain calls that take effect at once;
whatever takes time is awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

from hubkit.errors import ConfigurationError, NotSettled
from hubkit.hub.hub import Hub
from hubkit.net.switchboard import Conditions
from hubkit.specs import check_flag, check_id, check_seconds
from hubkit.testing.arguments import check_checker, check_checkers, check_number, check_plan, groups_of, split_options
from hubkit.testing.environment import seeded
from hubkit.testing.host import Host, Life
from hubkit.testing.plans import FaultPlan
from hubkit.testing.playing import play
from hubkit.testing.settling import troubles
from hubkit.testing.trace import Report, Trace
from hubkit.testing.watching import Checker, watcher_of
from hubkit.testing.world import Cut, Network, World

if TYPE_CHECKING:
    from random import Random

__all__ = ["PartitionHandle", "Simulation"]

#: seconds between two looks of `Simulation.settled`
LOOK = 0.1
#: seconds that are too few to wait for: a clock that reads thousands would not move
INSTANT = 1e-6


class PartitionHandle:
    """A partition that is in force: what `Simulation.partition` returns."""

    def __init__(self, world: World, cut: Cut, text: str) -> None:
        self._world, self._cut, self._text = world, cut, text

    def __repr__(self) -> str:
        return f"<PartitionHandle {self._text}>"

    def heal(self) -> None:
        """End this one, and no other. Raises `ConfigurationError` when it has ended already."""
        self._cut.heal()
        self._world.fault(f"heal {self._text}")


class Simulation:
    """Whole hubs on simulated machines. ``Simulation.run(main, seed)`` makes it, and hands it to ``main``::

        async def main(sim: Simulation) -> None:
            a, b, c = [await sim.start_hub("shop", node=name) for name in "abc"]
            await a.start_children([hubkit.child(f"c{i}", Counter) for i in range(100)])
            sim.partition({"a"}, {"b", "c"})
            await sim.sleep(60)
            sim.heal()
            await sim.settled(within=60)
            sim.check()

        report = Simulation.run(main, seed=7)

    All times are virtual seconds. ``main`` itself is on no node: it is who watches, and does what it likes with any hub.
    Wrong arguments raise `ConfigurationError`.
    """

    def __init__(self, world: World, plan: FaultPlan | None = None) -> None:
        self._world = world
        #: the plan that `run` was given
        self.plan: FaultPlan | None = plan
        #: for the scenario's own choices: seeded, and used by nobody else
        self.random: Random = seeded("scenario", world.seed)

    def __repr__(self) -> str:
        return f"<Simulation seed={self.seed} at {self.now:.3f} s, nodes {', '.join(self.nodes) or 'none'}>"

    @staticmethod
    def run(
        main: Callable[[Simulation], Awaitable[object]],
        seed: int,
        *,
        network: Any = "simulated",
        plan: FaultPlan | None = None,
        checkers: Iterable[Checker] = (),
        limit: float = 3_600.0,
    ) -> Report:
        """Run ``main`` from beginning to end, and report. A plain function, to be called outside of trio.

        ``seed`` decides everything that is left to chance; the same seed gives the same ``trace_hash``, anywhere.
        ``network``: ``"simulated"``, a mapping of `SimulatedNetwork`'s options (``latency``, ``jitter``, ``bandwidth``,
        ``break_rate``), or ``"websocket"``: real links on this machine's loopback, in real time. ``plan``: see `play`.
        ``checkers`` watch at every step. ``limit``: virtual seconds after which the scenario is taken to be endless.

        Raises what ``main`` raises, `InvariantViolated`, or `SimulationError` (the scenario does what has no place in one),
        with a note of the seed and the command that replays it.
        """
        from hubkit.testing.runner import run

        return run(main, seed, network=network, plan=plan, checkers=checkers, limit=limit)

    # -- what is -------------------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The seed."""
        return self._world.seed

    @property
    def now(self) -> float:
        """Virtual seconds since the start of the simulation."""
        return self._world.now()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes that there were, sorted."""
        return tuple(sorted(self._world.hosts))

    @property
    def network(self) -> Network:
        """The network itself."""
        return self._world.network

    @property
    def trace(self) -> Trace:
        """What has happened so far."""
        return self._world.trace

    @property
    def overlap(self) -> float:
        """The longest time, in virtual seconds, in which two owners of one child could both begin handling a message."""
        return self._world.overlap

    def alive(self, node: str) -> bool:
        """Whether the node's process is there: starting, open, paused or about to leave."""
        return self._known(node).alive

    def paused(self, node: str) -> bool:
        """Whether it stands still."""
        return self._known(node).paused

    def hub(self, node: str, hub_id: str | None = None) -> Hub:
        """The hub on this node, of its latest process; ``hub_id`` is needed if there are several."""
        host = self._known(node)
        if hub_id is not None:
            check_id(hub_id, "hub_id")
        hubs: dict[str, Hub] = {} if host.life is None else dict(host.life.hubs)
        if hub_id is None and len(hubs) == 1:
            return next(iter(hubs.values()))
        if hub_id is None or hub_id not in hubs:
            which = "say which with hub_id" if hub_id is None else f"not {hub_id!r}"
            msg = f"node {node!r} has the hubs {', '.join(sorted(hubs)) or '(none)'}: {which}"
            raise ConfigurationError(msg)
        return hubs[hub_id]

    def disk(self, node: str) -> dict[str, Any]:
        """What is durable on this node's machine: it outlives the process, and power losses."""
        return self._known(node).disk

    # -- time ----------------------------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        await trio.sleep(check_seconds(seconds, "seconds", zero=True))

    async def settled(self, within: float) -> None:
        """Wait until all hubs that reach each other agree, and everything runs where it belongs.

        Raises `NotSettled` after ``within`` seconds, with what is not: which child, by which rule, in which node's view; also
        where none of a hub's nodes is left to settle, because they have crashed or stand still.
        """
        deadline = self.now + check_seconds(within, "within", zero=True)
        if not self._world.hub_ids():
            msg = "there is no hub in this simulation that could settle: start one with `await sim.start_hub('shop', node='a')`"
            raise ConfigurationError(msg)
        while not self._world.is_settled():
            if deadline - self.now < INSTANT:
                text = "\n".join(f"  {trouble}" for trouble in troubles(self._world))
                msg = f"not settled within {within:g} s, at {self.now:.3f} s:\n{text}"
                raise NotSettled(msg)
            await trio.sleep(min(LOOK, max(0.0, deadline - self.now)))
        await trio.lowlevel.checkpoint()

    # -- nodes ---------------------------------------------------------------------------------------------------------

    async def start_hub(self, hub_id: str, *, node: str, **options: Any) -> Hub:
        """Open a hub on a node, and return it when it is open. A node that is not there is started first.

        ``options`` are those of `hubkit.Hub`, and of the node: ``secret``, ``beat``, ``down_after``, ``join`` (by default it
        joins all others). Network and name are the simulation's to give. Wrong ones raise `ConfigurationError`.
        """
        self.start_soon(hub_id, node=node, **options)
        life = self._life(node)
        await life.opened(hub_id)
        return life.hubs[hub_id]

    def start_soon(self, hub_id: str, *, node: str, **options: Any) -> None:
        """Begin to open a hub on a node, as `start_hub`: for many nodes that boot in one moment."""
        check_id(hub_id, "hub_id")
        check_id(node, "node")
        for_node, for_hub = split_options(options)
        host = self._world.hosts.get(node)
        if host is None or not host.alive:
            host = self._world.host(node)
            try:
                host.start(for_node, {hub_id: for_hub})
            except BaseException:
                if host.life is None:
                    del self._world.hosts[node]
                raise
            self._world.changed()
            return
        if for_node:
            msg = f"{', '.join(for_node)} belong to the node, and {node!r} is running already: leave them out"
            raise ConfigurationError(msg)
        host.add(hub_id, for_hub)

    def clone_soon(self, source: str, node: str) -> None:
        """Begin to start ``node`` with the hubs and options of ``source``."""
        pattern = self._known(source)
        check_id(node, "node")
        if node in self._world.hosts:
            msg = f"there is a node {node!r} already: sim.restart({node!r}) starts it anew"
            raise ConfigurationError(msg)
        self._world.host(node).start(pattern.node_options, pattern.options)
        self._world.changed()

    async def stop(self, node: str) -> None:
        """Let a node leave in good order, and wait until it has: its hubs drain, and it says goodbye."""
        self.stop_soon(node)
        await self._life(node).left.wait()

    def stop_soon(self, node: str) -> None:
        """Let a node begin to leave in good order."""
        life = self._life(node)
        self._world.fault("leaves", node)
        life.leave()

    def crash(self, node: str, *, silent: bool = False) -> None:
        """Kill a node's process: not a step more of it runs. Its hubs raise `HubClosed`.

        The others' links to it are reset, as the kernel does; ``silent``: the machine has lost its power, and nobody hears
        anything.
        """
        self._life(node)
        self._world.crash(node, silent=check_flag(silent, "silent"))

    def restart(self, node: str) -> None:
        """Start a new process with the same hubs and options, killing the one that is there. `hub` gives the new hub."""
        host = self._known(node)
        if host.alive:
            self._world.crash(node, silent=False)
        host.restart()
        self._world.fault("restart", node)

    def pause(self, node: str) -> None:
        """Let a node's process stand still, as in a long collection of garbage: time passes, and it does not notice."""
        self._life(node)
        if self._known(node).paused:
            msg = f"node {node!r} is paused already: sim.resume({node!r}) lets it go on"
            raise ConfigurationError(msg)
        self._world.pause(node)

    def resume(self, node: str) -> None:
        """Let a paused node go on."""
        if not self._known(node).paused:
            msg = f"node {node!r} is not paused: only a node that stands still can go on"
            raise ConfigurationError(msg)
        self._world.resume(node)

    def skew(self, node: str, *, offset: float = 0.0, rate: float = 1.0) -> None:
        """Set a node's wall clock ``offset`` seconds off true time, and let its clocks go ``rate`` times as fast."""
        host = self._known(node)
        offset = check_number(offset, "offset")
        rate = check_number(rate, "rate", 0.01, 100, " (1 is true)")
        host.machine.skew(offset=offset, rate=rate)
        self._world.fault(f"skew offset={offset:g} rate={rate:g}", node)

    # -- the ways between them -----------------------------------------------------------------------------------------

    def partition(self, *groups: Iterable[str], one_way: bool = False) -> PartitionHandle:
        """Cut the ways between groups of nodes. Nodes in no group reach everybody; one group alone is cut off from all others.

        ``one_way``: the first group does not reach the others; they do reach it. Links do not notice: what is sent is held,
        and arrives after the end of the cut, unless somebody gives up the link before. Several partitions add up.
        """
        named = groups_of(groups)
        for group in named:
            for name in group:
                self._known(name)
        check_flag(one_way, "one_way")
        text = f"{'one-way ' if one_way else ''}partition {' | '.join('{' + ', '.join(sorted(g)) + '}' for g in named)}"
        cut = self._world.network.partition(*named, one_way=one_way)
        self._world.fault(text)
        return PartitionHandle(self._world, cut, text)

    def heal(self) -> None:
        """End all partitions. Raises `ConfigurationError` if there is none."""
        self._world.network.heal()
        self._world.fault("heal")

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
        """Say how the way between two nodes is; what is not given stays as it is. Returns how it was.

        ``latency`` and ``jitter`` (at most so much more, at random) in seconds, ``bandwidth`` in bytes a second,
        ``break_rate``: how often a second a link breaks, on average.
        """
        self._known(a), self._known(b)
        given = {"latency": latency, "jitter": jitter, "bandwidth": bandwidth, "break_rate": break_rate}
        before = self._world.network.link(a, b, **given)
        said = " ".join(f"{name}={value:g}" for name, value in given.items() if value is not None)
        self._world.record("fault", a, b, f"link {said}")
        return before

    def hold(self, a: str, b: str) -> None:
        """Keep back whatever travels between two nodes, until `release`."""
        self._known(a), self._known(b)
        self._world.network.hold(a, b)
        self._world.fault("hold", a, b)

    def release(self, a: str, b: str) -> None:
        """Let go what `hold` keeps back."""
        self._known(a), self._known(b)
        self._world.network.release(a, b)
        self._world.fault("release", a, b)

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        """Break the links of ``a``, or those between ``a`` and ``b``; returns how many there were.

        ``half_open``: only ``a`` learns of it now; the others do when they send.
        """
        self._known(a)
        if b is not None:
            self._known(b)
        check_flag(half_open, "half_open")
        broken = self._world.network.break_links(a, b, half_open=half_open)
        self._world.fault("break, half open" if half_open else "break", a, b or "")
        return broken

    async def play(self, plan: FaultPlan | None = None) -> None:
        """Let the faults of a plan happen, each at its time from now; returns at the plan's end, with all windows closed."""
        plan = plan if plan is not None else self.plan
        if plan is None:
            msg = "there is no plan to play: pass one, or give it to Simulation.run(..., plan=plan)"
            raise ConfigurationError(msg)
        self._played: FaultPlan | None = check_plan(plan)  # the command that replays this run may need it
        await play(self, self._played)

    # -- looking -------------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Write a line into the trace."""
        self._world.record("note", "", "", str(text))

    def watch(self, checker: Checker) -> None:
        """Let a checker watch at every step from now on."""
        self._world.watch(check_checker(checker, "the argument of watch"))

    def check(self, *checkers: Checker) -> None:
        """Check now; raises `InvariantViolated`.

        Without arguments: nothing that is wanted is lost or runs twice when settled, registries agree, terms never fall,
        under the quorum strategies nothing ever had two owners, and whatever `watch` and `run` were given. With arguments:
        these, as things are now.
        """
        if checkers:
            several = checkers[0] if len(checkers) == 1 and isinstance(checkers[0], list | tuple) else checkers
            for checker in check_checkers(several, "arguments of check"):
                watcher = watcher_of(checker, self._world)
                watcher.look()
                watcher.verdict()
            return
        for watcher in self._world.watchers:  # the first of them are the default checks
            watcher.verdict()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _known(self, node: str) -> Host:
        host = self._world.hosts.get(node) if isinstance(node, str) else None
        if host is None:
            msg = (
                f"there is no node {node!r:.80} in this simulation; there are {', '.join(self.nodes) or 'none so far'}"
            )
            raise ConfigurationError(msg)
        return host

    def _life(self, node: str) -> Life:
        host = self._known(node)
        if host.life is None or host.life.dead:
            state = "has not been started" if host.life is None else f"is not there any more (it {host.life.state})"
            msg = f"node {node!r} {state}: start it with sim.restart({node!r})"
            raise ConfigurationError(msg)
        return host.life
