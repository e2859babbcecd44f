"""Who could handle a message when: the measure of double ownership.

Law of this room: pure bookkeeping. Whoever watches says what has happened and when; nothing here looks at a hub, a map or a
clock. An owner of a child is an incarnation of it that could begin to handle a message now: it has started, it is not
ending, and its process is neither paused nor dead. A process that wakes up can go on where it was: so it owns again, unless
its right to run children has ended meanwhile, at which each of them looks before it begins a message.

An *overlap* is a stretch of time in which a child had two or more owners. Only time counts, not the order of what happens in
one instant: a stretch of no length is none, and two that touch are one. A change costs little, however many children
there are (a pause costs what runs on that node). Measuring at intervals was refused: it misses what is shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from hubkit.pids import Pid
from hubkit.strategies import Divergence, PartitionTolerance

__all__ = ["Meter", "Overlap", "Ownership", "Running", "promises_one_owner"]


def promises_one_owner(tolerances: Collection[PartitionTolerance]) -> bool:
    """Whether these, of all names that a hub has had, promise that no child has two owners: see their ``is_exact``."""
    found = [getattr(tolerance, "is_exact", None) for tolerance in tolerances]
    return any(
        not isinstance(tolerance, Divergence) if is_exact is None else is_exact(len(tolerances))
        for tolerance, is_exact in zip(tolerances, found, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Running:
    """One incarnation of a child of a hub.

    ``node``: the name of the node that runs it. ``since``: the virtual second in which it could begin to handle messages.
    """

    hub: str
    child: str
    node: str
    pid: Pid
    term: int
    since: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """A stretch of time, in virtual seconds, in which a child had two owners or more.

    ``nodes``: all that owned it meanwhile, in the order in which they came (two of one node are named twice).
    """

    hub: str
    child: str
    nodes: tuple[str, ...]
    start: float
    end: float

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.start

    def __str__(self) -> str:
        """All of it in words."""
        return (
            f"child {self.child!r} of hub {self.hub!r} was owned by {', '.join(self.nodes)} at once "
            f"from {self.start:.6f} to {self.end:.6f} s: {self.length:.6f} s"
        )


@dataclass(slots=True, eq=False)
class _Stretch:
    """An overlap that goes on."""

    hub: str
    child: str
    nodes: list[str]
    start: float
    open: bool = True

    def until(self, end: float, since: float) -> Overlap:
        return Overlap(self.hub, self.child, tuple(self.nodes), max(self.start, since), end)


@dataclass(slots=True, eq=False)
class _Child:
    """One child: what runs of it, who owns it, and its last overlap."""

    runs: list[Running] = field(default_factory=list)
    owners: dict[Pid, Running] = field(default_factory=dict)
    stretch: _Stretch | None = None
    ended: float = 0.0


class Meter:
    """The longest overlap of one hub, or of all, from the moment on in which the meter was made; see `Ownership.meter`."""

    __slots__ = ("_hub", "_ownership", "_since", "_worst")

    def __init__(self, ownership: Ownership, hub: str | None, since: float) -> None:
        self._ownership, self._hub, self._since = ownership, hub, since
        self._worst: Overlap | None = None

    def worst(self, now: float) -> Overlap | None:
        """The longest overlap, also one that still goes on; `None`: there was none."""
        open = self._ownership._oldest(self._hub)
        if open is not None:
            overlap = open.until(now, self._since)
            if overlap.length > (0.0 if self._worst is None else self._worst.length):
                return overlap
        return self._worst

    def longest(self, now: float) -> float:
        """The length of it, in seconds."""
        worst = self.worst(now)
        return 0.0 if worst is None else worst.length

    def _take(self, stretch: _Stretch, end: float) -> None:
        if self._hub is None or self._hub == stretch.hub:
            overlap = stretch.until(end, self._since)
            if overlap.length > (0.0 if self._worst is None else self._worst.length):
                self._worst = overlap


class Ownership:
    """What runs in a simulation, whatever any map says of it. Times are virtual seconds, and never fall."""

    def __init__(self) -> None:
        self._hubs: dict[str, dict[str, list[Running]]] = {}
        self._children: dict[tuple[str, str], _Child] = {}
        self._nodes: dict[str, dict[Pid, Running]] = {}
        self._ending: set[Pid] = set()
        self._paused: set[str] = set()
        self._open: dict[str, list[tuple[float, int, _Stretch]]] = {}  # hub -> a heap; what has ended falls out later
        self._number = 0
        #: how often something has begun or ended
        self.changes: int = 0
        self._meters: list[Meter] = []
        #: of all hubs, from the beginning
        self.all: Meter = self.meter()

    # -- what happens --------------------------------------------------------------------------------------------------

    def began(self, run: Running) -> None:
        """This incarnation can begin to handle messages, since ``run.since``."""
        child = self._children.get((run.hub, run.child))
        if child is None:
            child = self._children[run.hub, run.child] = _Child()
        if not child.runs:
            self._hubs.setdefault(run.hub, {})[run.child] = child.runs
        self.changes += 1
        child.runs.append(run)
        self._nodes.setdefault(run.node, {})[run.pid] = run
        if run.node not in self._paused:
            self._gain(child, run, run.since)

    def ending(self, run: Running, now: float) -> None:
        """It will begin no more."""
        if run.pid in self._nodes.get(run.node, ()):
            self._ending.add(run.pid)
            self._lose(self._children[run.hub, run.child], run, now)

    def ended(self, run: Running, now: float) -> None:
        """It is gone. (Of what is gone already this may be said again.)"""
        if self._nodes.get(run.node, {}).pop(run.pid, None) is None:
            return
        self.changes += 1
        self._ending.discard(run.pid)
        child = self._children[run.hub, run.child]
        child.runs.remove(run)
        if not child.runs:
            del self._hubs[run.hub][run.child]
        self._lose(child, run, now)

    def paused(self, node: str, now: float) -> None:
        """The process of this node stands still."""
        if node not in self._paused:
            self._paused.add(node)
            for run in self._nodes.get(node, {}).values():
                self._lose(self._children[run.hub, run.child], run, now)

    def resumed(self, node: str, now: float, may: Callable[[Running], bool] = lambda run: True) -> None:
        """It goes on, and what ran there can handle messages again; not what ``may`` not, for its gate has shut meanwhile."""
        if node in self._paused:
            self._paused.discard(node)
            for run in self._nodes.get(node, {}).values():
                if run.pid not in self._ending and may(run):
                    self._gain(self._children[run.hub, run.child], run, now)

    def crashed(self, node: str, now: float) -> None:
        """The process of this node is dead, and all that ran in it. Another process may take its name."""
        for run in list(self._nodes.get(node, {}).values()):
            self.ended(run, now)
        self._paused.discard(node)

    def _gain(self, child: _Child, run: Running, now: float) -> None:
        owners = child.owners
        owners[run.pid] = run
        if len(owners) == 1:
            return
        stretch = child.stretch
        if len(owners) > 2 and stretch is not None:
            stretch.nodes.append(run.node)
            return
        nodes, start = [owner.node for owner in owners.values()], now
        if stretch is not None and child.ended == now and stretch.start < now:
            nodes, start = stretch.nodes + [node for node in nodes if node not in stretch.nodes], stretch.start
        child.stretch = stretch = _Stretch(run.hub, run.child, nodes, start)
        self._number += 1
        heappush(self._open.setdefault(run.hub, []), (start, self._number, stretch))

    def _lose(self, child: _Child, run: Running, now: float) -> None:
        owners = child.owners
        if owners.pop(run.pid, None) is None or len(owners) != 1:
            return
        stretch = child.stretch
        assert stretch is not None
        stretch.open, child.ended = False, now
        for meter in self._meters:
            meter._take(stretch, now)

    # -- what there is -------------------------------------------------------------------------------------------------

    def running(self, hub: str) -> Mapping[str, list[Running]]:
        """All that runs of a hub, child by child, paused and ending ones too. A live view, to be read at once."""
        return self._hubs.get(hub, {})

    def owners(self, hub: str, child: str) -> list[Running]:
        """Who can begin to handle a message for this child now, in the order in which they came."""
        found = self._children.get((hub, child))
        return [] if found is None else list(found.owners.values())

    # -- what there was ------------------------------------------------------------------------------------------------

    def meter(self, hub: str | None = None, since: float = 0.0) -> Meter:
        """Measure from now on (``since``, in virtual seconds), one hub or all."""
        meter = Meter(self, hub, since)
        self._meters.append(meter)
        return meter

    def worst(self, now: float) -> Overlap | None:
        """The longest overlap so far, also one that still goes on; `None`: there was none."""
        return self.all.worst(now)

    def longest(self, now: float) -> float:
        """The longest time, in seconds, in which two owners of one child could both begin to handle a message."""
        return self.all.longest(now)

    def _oldest(self, hub: str | None) -> _Stretch | None:
        """Of the overlaps that go on, that which has gone on for longest."""
        found: tuple[float, int, _Stretch] | None = None
        for open in self._open.values() if hub is None else [self._open.get(hub, [])]:
            while open and not open[0][2].open:
                heappop(open)
            if open and (found is None or open[0] < found):
                found = open[0]
        return None if found is None else found[2]
