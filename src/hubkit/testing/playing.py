"""Playing a plan of disasters on a simulation, in virtual time.

Law of this room: what cannot happen does not. A fault that turns out to be impossible when its moment has come is skipped
and noted in the trace ("skipped Pause(...): a is not up"), and is never an error. The rules for what overlaps:

* A node is down while any ``Crash``, ``Leave`` or ``Join`` holds it down, and is started when the last of them ends.
  A ``Crash``, ``Leave`` or ``Restart`` of a node that is not up kills nothing.
* A pause, a hold and a slowness end when the last of their kind on that node or pair ends. A pause of a node that is not
  up is skipped as a whole; a node that crashes while it is paused comes back unpaused, and a paused one cannot leave. Of
  two slownesses that which began last is felt.
* Partitions add up, and each heals for itself. A node that joins while a partition names it is behind it from the start.
* A node that is among the last ``spare`` that are up is not taken down.

What is skipped when it should begin does not end either. Refused: tasks. All that a plan does, it does between two steps
of everybody else, so that a trace shows one fault after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from hubkit.errors import ConfigurationError
from hubkit.testing.faults import Break, Crash, Fault, Hold, Join, Leave, Partition, Pause, Restart, Skew, Slow
from hubkit.testing.plans import FaultPlan, What

__all__ = ["Cut", "Playable", "Speed", "play"]


class Cut(Protocol):
    """A partition that can be healed by itself."""

    def heal(self) -> None:
        """Undo it."""


class Speed(Protocol):
    """How fast a link is: seconds."""

    @property
    def latency(self) -> float:
        """What every frame takes."""
        ...

    @property
    def jitter(self) -> float:
        """What it may take besides."""
        ...


class Playable(Protocol):
    """What `play` needs of a simulation. All but ``sleep`` are plain calls."""

    @property
    def now(self) -> float:
        """Virtual seconds."""
        ...

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes that were ever started, or have begun to start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""

    def alive(self, node: str) -> bool:
        """Whether its process is up: starting, open, or draining."""
        ...

    def paused(self, node: str) -> bool:
        """Whether it stands still."""
        ...

    def note(self, text: str) -> None:
        """Write a line into the trace."""

    def partition(self, *groups: Iterable[str], one_way: bool = False) -> Cut:
        """Cut groups off from each other."""
        ...

    def hold(self, a: str, b: str) -> None:
        """Keep frames back."""

    def release(self, a: str, b: str) -> None:
        """Let them go."""

    def link(self, a: str, b: str, *, latency: float | None = None, jitter: float | None = None) -> Speed:
        """Set how fast frames travel between the two. Returns what it was before."""
        ...

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        """End the links between the two; how many there were."""
        ...

    def crash(self, node: str, *, silent: bool = False) -> None:
        """Kill its process."""

    def restart(self, node: str) -> None:
        """Begin a new incarnation of a known node; one that still lives is killed."""

    def clone_soon(self, source: str, node: str) -> None:
        """Begin to start a new node with the hubs and options of another."""

    def stop_soon(self, node: str) -> None:
        """Begin to drain it."""

    def pause(self, node: str) -> None:
        """Let it stand still."""

    def resume(self, node: str) -> None:
        """Let it go on."""

    def skew(self, node: str, *, offset: float = 0.0, rate: float = 1.0) -> None:
        """Set its wall clock."""


async def play(sim: Playable, plan: FaultPlan) -> None:
    """Let everything in the plan happen at its moment, from now on; return when its ``duration`` has passed.

    Every window is closed then; who has crashed or left for good is still away. If this is cancelled, what is open stays
    open. Raises `ConfigurationError`, before anything happens, if the simulation does not know a node that the plan
    expects to be there: start ``plan.founders`` first.
    """
    missing = [name for name in plan.founders if name not in sim.nodes]
    if missing:
        msg = (
            f"the plan is about {', '.join(plan.founders)}, but nobody has started {', '.join(missing)}: start one node for"
            " each name in plan.founders before you play it"
        )
        raise ConfigurationError(msg)
    begin = sim.now
    player = Player(sim, plan)
    for time, what, fault in plan.actions():
        await _until(sim, begin + time)
        player.act(what, fault)
    await _until(sim, begin + plan.duration)


async def _until(sim: Playable, moment: float) -> None:
    if moment > sim.now:
        await sim.sleep(moment - sim.now)


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


class Player:
    """What of a plan is open at the moment."""

    def __init__(self, sim: Playable, plan: FaultPlan) -> None:
        self._sim, self._plan = sim, plan
        self._down: defaultdict[str, list[Fault]] = defaultdict(list)
        self._paused: defaultdict[str, list[Pause]] = defaultdict(list)
        self._held: defaultdict[tuple[str, str], list[Hold]] = defaultdict(list)
        self._slow: defaultdict[tuple[str, str], list[Slow]] = defaultdict(list)
        self._usual: dict[tuple[str, str], Speed] = {}
        self._cuts: list[tuple[Partition, Cut]] = []
        for fault in plan.faults:
            if isinstance(fault, Join) and not self._up(fault.node):
                self._down[fault.node].append(fault)

    def act(self, what: What, fault: Fault) -> None:
        """Begin or end a fault, or note why that cannot be."""
        try:
            if what == "start":
                self._start(fault)
            else:
                self._end(fault)
        except ConfigurationError as error:
            # The scenario has its own hands on this simulation; what the plan meant to do makes no sense any more.
            self._skip(fault, str(error))

    def _start(self, fault: Fault) -> None:
        match fault:
            case Partition():
                self._cut(fault)
            case Hold():
                self._hold(fault)
            case Slow():
                self._slow_down(fault)
            case Break():
                self._break(fault)
            case Pause():
                self._pause(fault)
            case Crash() | Leave() | Restart():
                self._fell(fault)
            case Join():
                self._raise(fault)
            case Skew():
                self._skew(fault)

    def _end(self, fault: Fault) -> None:
        match fault:
            case Partition():
                self._heal(fault)
            case Hold():
                self._release(fault)
            case Slow():
                self._speed_up(fault)
            case Pause():
                self._resume(fault)
            case Crash() | Leave():
                self._raise(fault)
            case _:
                msg = f"{fault!r} has no end"
                raise AssertionError(msg)

    def _skip(self, fault: Fault, why: str) -> None:
        self._sim.note(f"skipped {fault!r}: {why}")

    def _up(self, node: str) -> bool:
        return node in self._sim.nodes and self._sim.alive(node)

    def _both_known(self, fault: Hold | Slow | Break) -> bool:
        unknown = [name for name in (fault.a, fault.b) if name not in self._sim.nodes]
        if unknown:
            self._skip(fault, f"{' and '.join(unknown)} has not joined yet")
        return not unknown

    # -- nodes that go and come ---------------------------------------------------------------------------------------

    def _fell(self, fault: Crash | Leave | Restart) -> None:
        node, sim = fault.node, self._sim
        if not self._up(node):
            if not isinstance(fault, Restart):
                self._down[node].append(fault)
            self._skip(fault, f"{node} is not up")
            return
        others = [name for name in sim.nodes if name != node and sim.alive(name) and not self._down[name]]
        if len(others) < self._plan.spare:
            self._skip(fault, f"{node} is to be spared, for only {', '.join(others) or 'nobody'} is up besides")
        elif isinstance(fault, Restart):
            if self._down[node]:
                self._skip(fault, f"{node} is leaving")
            else:
                sim.restart(node)
        elif isinstance(fault, Leave) and sim.paused(node):
            self._skip(fault, f"{node} is paused")
        else:
            self._down[node].append(fault)
            if isinstance(fault, Leave):
                sim.stop_soon(node)
            else:
                sim.crash(node, silent=fault.silent)

    def _raise(self, fault: Crash | Leave | Join) -> None:
        node, sim = fault.node, self._sim
        windows = self._down[node]
        if fault not in windows:
            if isinstance(fault, Join):
                self._skip(fault, f"{node} was there from the start")
            return
        windows.remove(fault)
        if windows:
            self._skip(fault, f"{node} stays down for {windows[0]!r}")
        elif self._up(node) and not isinstance(fault, Leave):
            self._skip(fault, f"{node} is up already")
        elif node in sim.nodes:
            sim.restart(node)
        else:
            source = next((name for name in self._plan.nodes if name in sim.nodes), node)
            sim.clone_soon(source, node)
            self._cut_again(node)

    def _pause(self, fault: Pause) -> None:
        if not self._up(fault.node):
            self._skip(fault, f"{fault.node} is not up")
            return
        if not self._sim.paused(fault.node):
            self._sim.pause(fault.node)
        self._paused[fault.node].append(fault)

    def _resume(self, fault: Pause) -> None:
        open = self._paused[fault.node]
        if fault not in open:
            return
        open.remove(fault)
        if not open and self._up(fault.node) and self._sim.paused(fault.node):
            self._sim.resume(fault.node)

    def _skew(self, fault: Skew) -> None:
        if fault.node in self._sim.nodes:
            self._sim.skew(fault.node, offset=fault.offset, rate=fault.rate)
        else:
            self._skip(fault, f"{fault.node} has not joined yet")

    # -- what is between nodes ----------------------------------------------------------------------------------------

    def _cut(self, fault: Partition) -> None:
        known = [[name for name in group if name in self._sim.nodes] for group in fault.groups]
        sides = [group for group in known if group]
        cut: Cut = _Nothing()
        if len(sides) > 1 and (known[0] or not fault.one_way):
            cut = self._sim.partition(*sides, one_way=fault.one_way)
        else:
            self._skip(fault, "only one side of it has joined yet")
        self._cuts.append((fault, cut))

    def _cut_again(self, joined: str) -> None:
        """Put a node that has just joined behind the partitions that name it."""
        cuts, self._cuts = self._cuts, []
        for fault, cut in cuts:
            if any(joined in group for group in fault.groups):
                cut.heal()
                self._cut(fault)
            else:
                self._cuts.append((fault, cut))

    def _heal(self, fault: Partition) -> None:
        for position, (open, cut) in enumerate(self._cuts):
            if open == fault:
                del self._cuts[position]
                cut.heal()
                return

    def _hold(self, fault: Hold) -> None:
        if self._both_known(fault):
            pair = _pair(fault.a, fault.b)
            open = self._held[pair]
            if not open:
                self._sim.hold(*pair)
            open.append(fault)

    def _release(self, fault: Hold) -> None:
        pair = _pair(fault.a, fault.b)
        open = self._held[pair]
        if fault in open:
            open.remove(fault)
            if not open:
                self._sim.release(*pair)

    def _slow_down(self, fault: Slow) -> None:
        if self._both_known(fault):
            pair = _pair(fault.a, fault.b)
            before = self._sim.link(*pair, latency=fault.latency, jitter=fault.jitter)
            if not self._slow[pair]:
                self._usual[pair] = before
            self._slow[pair].append(fault)

    def _speed_up(self, fault: Slow) -> None:
        pair = _pair(fault.a, fault.b)
        open = self._slow[pair]
        if fault in open:
            open.remove(fault)
            now: Speed = open[-1] if open else self._usual[pair]
            self._sim.link(*pair, latency=now.latency, jitter=now.jitter)

    def _break(self, fault: Break) -> None:
        known = self._both_known(fault)
        if known and not self._sim.break_links(fault.a, fault.b, half_open=fault.half_open):
            self._skip(fault, "no link is between them")


class _Nothing:
    """The cut of a partition of which one side is not there yet."""

    def heal(self) -> None:
        """Undo nothing."""
