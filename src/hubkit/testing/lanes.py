"""A trace, read as a story: the lives of processes, who owned which child when, what was sent and when it came.

Law of this room: every judgement of the timeline is made here, in plain values that tests can look at; the page only draws.
A trace may begin in the middle (it keeps the latest steps), and may hold steps that this room has never heard of: what
has no beginning begins with the trace, what has no end lasts until its end, what makes no sense is left to the listing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hubkit.testing.trace import Step

__all__ = ["Double", "Life", "Message", "Run", "Span", "Story", "natural", "read"]

#: What a node sends in the same size in at least so many of so many seconds is routine: heartbeats, and the like.
_ROUTINE, _ROUTINE_SECONDS = 4, 5
#: A message is late when it took that many times as long as usual, and at least so many virtual seconds.
_LATE_FACTOR, _LATE_LEAST = 8.0, 0.1

_CHILD = re.compile(r"(?P<hub>\S+) (?P<child>.*) term=(?P<term>\d+) serial=(?P<serial>\d+)", re.DOTALL)
_GROUP = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[\w.-]+")
_LINK = re.compile(r"link (\d+)")

#: What begins a stretch of disaster, and what ends it.
_ENDS = {"partition": "heal", "hold": "release", "pause": "resume"}


@dataclass(slots=True)
class Life:
    """A stretch of a process's life. ``state``: "starting", "open", "paused", "leaving", "left", "crashed" or "failed"."""

    node: str
    state: str
    since: float
    until: float


@dataclass(slots=True, eq=False)
class Run:
    """One incarnation of a child on a node: it could begin to handle messages from ``begin`` on until ``ending``, and was
    gone at ``end``. `None`: the trace does not show it."""

    node: str
    hub: str
    child: str
    term: int
    serial: int
    begin: float
    ending: float | None = None
    end: float | None = None


@dataclass(slots=True)
class Double:
    """A stretch of time in which a child had more than one owner; ``runs``: those that owned it, as places in `Story.runs`."""

    hub: str
    child: str
    since: float
    until: float
    runs: tuple[int, ...]


@dataclass(slots=True)
class Span:
    """A fault that lasted: "partition", "hold" or "pause". ``groups``: the nodes of each side."""

    kind: str
    since: float
    until: float
    text: str
    groups: tuple[tuple[str, ...], ...]
    is_open: bool = True


@dataclass(slots=True, eq=False)
class Message:
    """A frame. ``at`` is when it arrived, or was lost; of one that is under way, the end of the trace.

    ``number``: that of the step that sent it; ``arrival``: that of the step that delivered it, or -1.
    """

    number: int
    source: str
    target: str
    sent: float
    text: str
    at: float = 0.0
    arrival: int = -1
    state: str = "under way"  # or "delivered", or "lost"
    is_routine: bool = False
    is_late: bool = False

    @property
    def size(self) -> int:
        """Its size in bytes: the second number of its text (the first is that of the link)."""
        numbers = [word for word in _WORD.findall(self.text) if word.isdecimal()]
        return int(numbers[1]) if len(numbers) > 1 and len(numbers[1]) < 12 else 0


@dataclass(slots=True)
class Story:
    """All that a page shows. Times are virtual seconds; `steps` are all but those of messages."""

    nodes: list[str] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    doubles: list[Double] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def read(steps: Sequence[Step], until: float, nodes: Sequence[str] = ()) -> Story:
    """The story of a trace that ends at ``until`` (virtual seconds). ``nodes`` are shown even if nothing is said of them."""
    reader = _Reader()
    names = set(nodes)
    for step in steps:
        reader.take(step)
        if step.node:
            names.add(step.node)
        if step.peer and step.kind in ("send", "deliver"):
            names.add(step.peer)
    reader.close(max(until, steps[-1].time if steps else 0.0))
    reader.story.nodes = sorted(names, key=natural)
    _judge(reader.story.messages)
    return reader.story


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts ``n2`` before ``n10``."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


class _Reader:
    """Reads one step after the other."""

    def __init__(self) -> None:
        self.story = Story()
        self._life: dict[str, Life] = {}
        self._before_pause: dict[str, str] = {}
        self._running: dict[str, dict[str, int]] = defaultdict(dict)  # node -> text of a child's step -> its run
        self._owners: dict[tuple[str, str], _Owners] = defaultdict(_Owners)
        self._under_way: dict[tuple[str, str, str], deque[Message]] = defaultdict(deque)
        self._breaks: dict[tuple[str, ...], list[float]] = defaultdict(
            list
        )  # of a link, of a pair of nodes, or of a node

    def take(self, step: Step) -> None:
        """One more step."""
        if step.kind == "send":
            message = Message(step.number, step.node, step.peer, step.time, step.text)
            self.story.messages.append(message)
            self._under_way[step.node, step.peer, step.text].append(message)
            return
        if step.kind == "deliver":
            waiting = self._under_way.get((step.peer, step.node, step.text))
            if waiting:
                message = waiting.popleft()
                message.at, message.arrival, message.state = step.time, step.number, "delivered"
            return
        self.story.steps.append(step)
        match step.kind:
            case "begin" | "ending" | "end":
                self._child(step)
            case "node":
                self._process(step)
            case "fault":
                self._fault(step)
            case "break":
                link = _LINK.match(step.text)
                self._breaks[(link[1],) if link else _pair(step.node, step.peer)].append(step.time)

    def close(self, now: float) -> None:
        """The trace has ended."""
        for life in self._life.values():
            life.until = now
        for span in self.story.spans:
            span.until = now if span.is_open else span.until
        for (hub, child), owners in self._owners.items():
            owners.close(now)
            self.story.doubles += [Double(hub, child, *stretch) for stretch in owners.stretches]
        self.story.doubles.sort(key=lambda double: (double.since, double.hub, double.child))
        for waiting in self._under_way.values():
            for message in waiting:
                self._give_up(message, now)

    # -- processes -----------------------------------------------------------------------------------------------------

    def _process(self, step: Step) -> None:
        state = step.text.partition(" ")[0]
        self._be(step.node, "starting" if state == "started" else state, step.time)

    def _be(self, node: str, state: str, now: float) -> None:
        if state in ("crashed", "failed", "left"):
            self._breaks[node, ""].append(now)
            for run in self._running.pop(node, {}).values():
                self._lose(run, now)
                self.story.runs[run].end = now
        self._before_pause.pop(node, None)
        self._live(node, state, now)

    def _live(self, node: str, state: str, now: float) -> None:
        life = self._life.get(node)
        if life is not None:
            life.until = now
            if life.state == state:
                return
        self._life[node] = life = Life(node, state, now, now)
        self.story.lives.append(life)

    def _pause(self, node: str, now: float) -> None:
        life = self._life.get(node)
        if life is None or life.state != "paused":
            self._before_pause[node] = life.state if life is not None else "open"
            self._live(node, "paused", now)
            for run in self._running.get(node, {}).values():
                self._lose(run, now)

    def _resume(self, node: str, now: float) -> None:
        state = self._before_pause.pop(node, None)
        if state is not None:
            self._live(node, state, now)
            for run in self._running.get(node, {}).values():
                if self.story.runs[run].ending is None:
                    self._gain(run, now)

    # -- children ------------------------------------------------------------------------------------------------------

    def _child(self, step: Step) -> None:
        found = _CHILD.fullmatch(step.text)
        if found is None:
            return
        running = self._running[step.node]
        if step.kind == "begin":
            hub, child, term, serial = found.group("hub", "child", "term", "serial")
            self.story.runs.append(Run(step.node, hub, child, int(term), int(serial), step.time))
            running[step.text] = number = len(self.story.runs) - 1
            if step.node not in self._before_pause:
                self._gain(number, step.time)
            return
        if step.text not in running:  # it had begun before the trace did
            began = self.story.steps[0].time if self.story.steps else step.time
            hub, child, term, serial = found.group("hub", "child", "term", "serial")
            self.story.runs.append(Run(step.node, hub, child, int(term), int(serial), began))
            running[step.text] = len(self.story.runs) - 1
        number = running[step.text]
        run = self.story.runs[number]
        self._lose(number, step.time)
        run.ending = step.time if run.ending is None else run.ending
        if step.kind == "end":
            run.end = step.time
            del running[step.text]

    def _gain(self, number: int, now: float) -> None:
        run = self.story.runs[number]
        self._owners[run.hub, run.child].gain(number, now)

    def _lose(self, number: int, now: float) -> None:
        run = self.story.runs[number]
        self._owners[run.hub, run.child].lose(number, now)

    # -- disasters -----------------------------------------------------------------------------------------------------

    def _fault(self, step: Step) -> None:
        verb, _, rest = step.text.removeprefix("one-way ").partition(" ")
        match verb:
            case "partition" | "hold" | "pause":
                groups = tuple(tuple(name.strip() for name in group.split(",")) for group in _GROUP.findall(rest))
                ends = tuple((name,) for name in (step.node, step.peer) if name)
                self.story.spans.append(Span(verb, step.time, step.time, step.text, groups or ends))
            case "heal" | "release" | "resume":
                for span in self.story.spans:
                    if span.is_open and _ENDS[span.kind] == verb and _is_meant(span, step, rest):
                        span.until, span.is_open = step.time, False
        if step.node and verb == "pause":
            self._pause(step.node, step.time)
        elif step.node and verb == "resume":
            self._resume(step.node, step.time)
        elif step.node and verb in ("crash", "loses"):
            for span in self.story.spans:
                if span.is_open and span.kind == "pause" and span.groups == ((step.node,),):
                    span.until, span.is_open = step.time, False
            self._be(step.node, "crashed", step.time)

    def _give_up(self, message: Message, now: float) -> None:
        """It never arrived: because its link broke, or because the trace ended first."""
        link, pair = message.text.partition(" ")[0], _pair(message.source, message.target)
        for keys in ([(link,), pair], [(message.source, ""), (message.target, "")]):
            times = [self._breaks.get(key, []) for key in keys]
            losses = [at[first] for at in times if (first := bisect_left(at, message.sent)) < len(at)]
            if losses:
                message.at, message.state = min(losses), "lost"
                return
        message.at = now


class _Owners:
    """Who owns one child, and the stretches of time in which more than one did."""

    __slots__ = ("_owners", "_seen", "_since", "stretches")

    def __init__(self) -> None:
        self._owners: list[int] = []
        self._since: float | None = None
        self._seen: list[int] = []
        self.stretches: list[tuple[float, float, tuple[int, ...]]] = []

    def gain(self, run: int, now: float) -> None:
        self._owners.append(run)
        if self._since is not None:
            self._seen.append(run)
        elif len(self._owners) == 2:
            self._since, self._seen = now, list(self._owners)

    def lose(self, run: int, now: float) -> None:
        if run in self._owners:
            self._owners.remove(run)
            if len(self._owners) == 1:
                self.close(now)

    def close(self, now: float) -> None:
        if self._since is not None and now > self._since:
            self.stretches.append((self._since, now, tuple(dict.fromkeys(self._seen))))
        self._since = None


def _is_meant(span: Span, step: Step, rest: str) -> bool:
    """Whether what ends such spans ends this one: it names the same nodes or the same cut, or nothing, which means all."""
    if span.kind == "partition":
        return rest in ("", span.text)
    return {(name,) for name in (step.node, step.peer) if name} == set(span.groups)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _judge(messages: list[Message]) -> None:
    """Tell routine from news, and what was late from what was in time."""
    took = sorted(message.at - message.sent for message in messages if message.state == "delivered")
    late = max(_LATE_LEAST, _LATE_FACTOR * took[len(took) // 2]) if took else _LATE_LEAST
    seconds: dict[tuple[str, int], set[int]] = defaultdict(set)
    sizes = [message.size for message in messages]
    for message, size in zip(messages, sizes, strict=True):
        message.is_late = message.state == "delivered" and message.at - message.sent > late
        seconds[message.source, size].add(int(message.sent))
    routine = {key: _regular(seen) for key, seen in seconds.items()}
    for message, size in zip(messages, sizes, strict=True):
        message.is_routine = int(message.sent) in routine[message.source, size]


def _regular(seconds: set[int]) -> set[int]:
    """Those of these seconds that have enough of the others around them."""
    regular: set[int] = set()
    for first in seconds:
        near = [second for second in range(first, first + _ROUTINE_SECONDS) if second in seconds]
        if len(near) >= _ROUTINE:
            regular.update(near)
    return regular
