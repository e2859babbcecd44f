"""A little world for bare cores: processes, links, faults, and a shell that performs what the cores decide.

Law of this room: nothing here is fair. Links are first-in-first-out and reliable until they break, and that is all that a
core may count on: messages are late, links come up at different times on both sides, cuts hold what is under way and then
lose it, processes die, sleep, and come back under their old name, starts fail and stops take their time.

`World.step` advances a tenth of a second and checks, for every child that anything has happened to on any node:

* terms never fall on a node while the child is wanted there;
* a removed child stays removed unless it is created again;
* orders are well formed: no `Start` of what exists, no `Stop` of what does not;
* while there are no faults, nothing ever exists twice, and every start has a greater term than all before it.

`World.quiet` then heals everything and demands, within a bounded time, that all maps are equal and everything wanted runs
exactly once, exactly where it belongs.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from operator import itemgetter
from typing import NoReturn

from hubkit.cluster.core import Core
from hubkit.cluster.effects import (
    Demote,
    Discard,
    Forward,
    Freeze,
    Offer,
    Promote,
    Publish,
    Refuse,
    Send,
    Start,
    Stop,
    Thaw,
    Warn,
)
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Key, Run, Ticket, Want
from hubkit.cluster.stamps import Moment, Stamp, covers
from hubkit.cluster.sync import Sync, from_wire, to_wire
from hubkit.events import ChildRegistered, ChildUnregistered, Event
from hubkit.pids import NodeId, Pid, name_of, node_id
from hubkit.strategies import ColdSwap, ConsistentHashing, Divergence, PubSub, Singularity

STRATEGIES = Strategies(ConsistentHashing(), Singularity(), ColdSwap(), PubSub(), Divergence())
STEP = 0.1

#: What the nodes can start: ``Common`` everybody, ``Rare`` only some.
RARE_NODES = frozenset("ab")


def actors_of(name: str) -> tuple[str, ...]:
    return ("Common", "Rare") if name in RARE_NODES else ("Common",)


#: Which fresh start it goes back to, and how many messages have been handled since.
State = tuple[int, int]
_NOBODY: list[Pid] = []
_NO_TERMS: dict[NodeId, tuple[int, Stamp | None]] = {}
_NO_RUNS: Mapping[NodeId, Run] = {}
_COPIES = (Promote, Demote, Freeze, Thaw, Offer, Forward, Discard)  # effects about copies that stand by


class InvariantViolated(AssertionError):
    """The world has seen what must not be."""


@dataclass
class Actor:
    """What exists of a child in a process."""

    term: int
    want: Want
    state: str = "starting"  # starting | running | parked | stopping
    due: float | None = None  # when the state will change by itself
    by: float | None = None  # when it will have stopped, if it was told to
    serial: int = 0
    born: int = 0
    since: float = 0.0
    passive: bool = False
    frozen: Ticket | None = None
    freezes: tuple[float, Ticket] | None = None  # when its state will have been taken, and for which ticket
    value: State = (0, 0)  # how many messages it has handled, by its state
    held: tuple[Ticket, State] | None = None  # the newest state that it has accepted, or that was taken of it
    asked: tuple[Ticket, State] | None = None  # a checkpoint that others do not hold yet


@dataclass
class Link:
    """One direction of one connection."""

    queue: deque[tuple[float, object]] = field(default_factory=deque)
    last: float = 0.0


class Box:
    """A process: a core, and a shell that performs its orders in its own time."""

    def __init__(self, world: World, node: NodeId, seeds: bool) -> None:
        self.world = world
        self.node = node
        self.name = name_of(node)
        self.rate = world.rate(self.name)
        self.phase = world.random.random()
        self.beats = 0
        self.liveness = Liveness(node, self.clock, beat=1.0, down_after=world.down_after)
        self.core = Core(
            node, hub="h", liveness=self.liveness, now=self.clock, strategies=world.strategies, seeds=seeds,
            wall_offset=1e9 + world.skew(self.name), actors=actors_of(self.name), forget_after=world.forget_after,
        )  # fmt: skip
        self.born = world.now
        self.asleep = 0.0
        self.slept = 0.0
        self.serials = 0
        self.actors: dict[str, Actor] = {}
        self.kept: dict[str, tuple[Ticket, State]] = {}  # the states of children that have stopped here
        self.over: set[str] = set()  # children that have ended by themselves in this turn
        self.events: list[Event] = []
        self.registry: dict[str, list[Pid]] = {}
        self.tops: dict[str, tuple[int, Stamp | None]] = {}
        self.terms: dict[str, dict[NodeId, tuple[int, Stamp | None]]] = {}

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> float:
        """What its own monotonic clock says."""
        return self.world.now * self.rate

    def step(self) -> None:
        now, clock = self.world.now, self.clock
        if self.asleep > now:
            return
        quiet = True  # there is nothing to be performed that has not been
        if self.slept:
            quiet = False
            self.liveness.woke(now - self.slept, clock)
            self.slept = 0.0
            self.core.touch(clock)
            if self.core.quorum.strict:  # what it may not do any more it must not begin
                self.flush()
        if now >= self.born + self.phase + self.beats:
            quiet = False
            self.beats = int(now - self.born - self.phase) + 1
            vector = self.liveness.beat(clock)
            for peer in sorted(self.core.links):
                self.world.post(self.node, peer, vector)
            self.core.tick(clock)
        deadline = self.core.deadline
        if deadline is not None and deadline <= clock:
            quiet = False
            self.core.touch(clock)
            if self.core.quorum.strict:
                self.flush()
        due = [(child, actor) for child, actor in self.actors.items() if actor.due is not None and actor.due <= now]
        if due:
            quiet = False
            with self.core.together(clock):  # as the shell does
                for child, actor in sorted(due, key=itemgetter(0)):
                    self.turn(child, actor)
        if self.world.has_copies:
            quiet = False
            self.work()
        if not quiet:
            self.flush()

    def turn(self, child: str, actor: Actor) -> None:
        now, clock, chance = self.world.now, self.clock, self.world.random.random
        actor.due = None
        if actor.state == "stopping":
            del self.actors[child]
            if actor.held is not None:
                self.kept[child] = actor.held
            self.core.stopped(child, clock)
        elif actor.state == "starting" and b"fails" in actor.want.body:
            actor.state = "parked"
            self.core.failed(child, actor.born, "it fails", clock)
        elif actor.state == "starting" and b"flaky" in actor.want.body and chance() < 0.5:
            actor.state, actor.due = "parked", now + 3 * chance()
            self.core.failed(child, actor.born, "it is flaky", clock)
        elif actor.state == "running" and b"brief" in actor.want.body and not actor.passive:
            del self.actors[child]
            self.over.add(child)
            key: Key = ("want", child)
            store = self.core._store
            want = store.get(key)
            self.core.ended(child, actor.born, clock)
            if want is not None and store.get(key) is None:
                self.world.removed(child, self)
        else:
            self.serials += 1
            actor.state, actor.serial = "running", self.serials
            if b"brief" in actor.want.body:
                actor.due = now + 2 * chance()
            elif b"crashes" in actor.want.body:
                actor.due = now + 1 + 5 * chance()  # and is restarted in place, under a new number
                actor.value = actor.held[1] if actor.held is not None else self.world.fresh_state()
            self.core.started(child, actor.born, self.serials, clock)

    def work(self) -> None:
        """The actors handle messages, take checkpoints, and have their states taken."""
        now, clock, chance = self.world.now, self.clock, self.world.random.random
        for child, actor in sorted(self.actors.items()):
            if actor.freezes is not None and actor.freezes[0] <= now:
                ticket, actor.freezes = actor.freezes[1], None
                stubborn = b"stubborn" in actor.want.body and chance() < 0.3 and not self.world.healed
                error = "it has no state" if stubborn else None
                if error is None:
                    actor.held = (ticket, actor.value)
                self.core.froze(child, ticket, error, clock)
            if actor.passive or actor.frozen is not None or actor.state != "running":
                continue
            if chance() < 0.2:
                actor.value = (actor.value[0], actor.value[1] + 1)
                self.world.handled(self, child, actor)
            if chance() < 0.05 and (given := self.core.checkpoint(child, actor.born, clock)) is not None:
                actor.held = (given, actor.value)
                actor.asked = actor.held
            if actor.asked is not None and not self.core.lack(child, actor.asked[0]):
                self.world.completed(self, child, actor)

    def take_state(self, peer: NodeId, child: str, ticket: Ticket, value: State) -> None:
        """A state has been offered to a copy here."""
        actor = self.actors.get(child)
        why = ""
        if actor is None or not actor.passive or actor.state != "running":
            why = "no copy stands by here"
        elif b"refuses" in actor.want.body and self.world.random.random() < 0.3 and not self.world.healed:
            why = "the copy does not like it"
        if why or actor is None:
            self.world.post(self.node, peer, ("declined", child, ticket, why))
        else:
            actor.held, actor.value = (ticket, value), value
            self.core.accepted(child, actor.born, ticket, self.clock)

    def flush(self) -> None:
        """Perform what the core has decided."""
        world = self.world
        for effect in self.core.take():
            if isinstance(effect, Send):
                world.post(self.node, effect.peer, from_wire(to_wire(effect.sync)))
            elif isinstance(effect, Publish):
                self.hear(effect.event)
            elif isinstance(effect, Start):
                if effect.child in self.actors:
                    world.fail(f"{self.node} starts {effect.child}, which exists")
                slow = 3.0 if b"slow" in effect.want.body else 0.2
                self.actors[effect.child] = born = Actor(
                    effect.term, effect.want, due=world.now + slow * world.random.random(), born=effect.term,
                    passive=effect.passive, value=world.fresh_state(), since=world.now,
                )  # fmt: skip
                kept = self.kept.pop(effect.child, None)
                if effect.ticket is not None:
                    world.check(kept is not None and kept[0] == effect.ticket, f"{effect} has not been kept: {kept}")
                    assert kept is not None
                    born.held, born.value = kept, kept[1]
                if not effect.passive:
                    world.note_start(self, effect.child, effect.term, effect.want)
            elif isinstance(effect, _COPIES):
                self.with_copies(effect)
            elif isinstance(effect, Stop):
                actor = self.actors.get(effect.child)
                if actor is None and effect.child in self.over:
                    continue  # the word of its end and that of its stop have crossed: a shell bears that
                if actor is None or actor.state == "stopping":
                    world.fail(f"{self.node} stops {effect.child}, which is not")
                slow = 3.0 if b"slow" in actor.want.body else 0.2
                actor.state, actor.due = "stopping", world.now + slow * world.random.random()
                actor.freezes = None
                if effect.by is not None:
                    actor.by = world.now + (effect.by - self.clock) / self.rate
                    actor.due = max(world.now, min(actor.due, actor.by))
            elif isinstance(effect, Refuse):
                world.fail(f"{self.node} refused {effect.peer}: {effect.reason}")
            else:
                assert isinstance(effect, Warn)  # a line in a log
        self.over.clear()
        changed = self.core.changed
        if changed:
            for child in sorted(changed):
                world.inspect(self, child)
            changed.clear()

    def with_copies(self, effect: Promote | Demote | Freeze | Thaw | Offer | Forward | Discard) -> None:
        """Perform what concerns copies that stand by."""
        world, child = self.world, effect.child if not isinstance(effect, Discard) else ""
        if isinstance(effect, Discard):
            self.kept.pop(effect.child, None)
            return
        actor = self.actors.get(child)
        if isinstance(effect, Forward) or (isinstance(effect, Offer) and actor is None):
            return
        if actor is None and child in self.over:
            return  # it has ended by itself since that was decided: a shell bears that
        world.check(actor is not None and actor.state != "stopping", f"{self.node}: {effect}, of what does not exist")
        assert actor is not None
        match effect:
            case Promote():
                world.check(actor.passive, f"{self.node}: {effect} of {actor}")
                actor.passive, actor.term = False, effect.term
                world.note_start(self, child, effect.term, actor.want)
            case Demote():
                world.check(not actor.passive, f"{self.node}: {effect} of {actor}")
                actor.passive, actor.frozen, actor.freezes = True, None, None
            case Freeze(_, ticket):
                world.check(not actor.passive and actor.frozen is None, f"{self.node}: {effect} of {actor}")
                actor.frozen, actor.freezes = ticket, (world.now + 0.3 * world.random.random(), ticket)
            case Thaw():
                world.check(actor.frozen is not None, f"{self.node}: {effect} of {actor}")
                actor.frozen = actor.freezes = None
            case Offer(_, peer, ticket):
                world.check(actor.held is not None and actor.held[0] >= ticket, f"{self.node}: {effect} of {actor}")
                assert actor.held is not None
                world.post(self.node, peer, ("state", child, *actor.held))

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ChildRegistered):
            known = self.registry.setdefault(event.child, [])
            if event.pid in known:
                self.world.fail(f"{event} twice")
            known.append(event.pid)
        elif isinstance(event, ChildUnregistered):
            known = self.registry[event.child]
            if event.pid not in known:
                self.world.fail(f"{event} of nothing")
            known.remove(event.pid)

    def receive(self, *messages: tuple[NodeId, object]) -> None:
        with self.core.together(self.clock):
            for peer, message in messages:
                self._take_in(peer, message)
        self.flush()

    def _take_in(self, peer: NodeId, message: object) -> None:
        now = self.clock
        if isinstance(message, Sync):
            self.core.receive(peer, message, now)
        elif message == "up":
            self.liveness.linked(peer, now)
            self.core.link_up(peer, now)
        elif isinstance(message, tuple) and message[0] == "state":
            self.take_state(peer, *message[1:])
        elif isinstance(message, tuple):
            _, child, ticket, why = message
            self.core.declined(child, ticket, peer, why, now)
        elif isinstance(message, dict) and self.liveness.heard(message, now, peer):
            self.core.touch(now)


class World:
    """Processes and what lies between them. ``calm``: no faults will happen, and delays are short.

    ``sighted``: all see each other while they live, so that no checkpoint is lost which one of them has.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        calm: bool = False,
        refusals: bool = True,
        skewed: bool = True,
        forget_after: float = 3600.0,
        strategies: Strategies = STRATEGIES,
        sighted: bool = False,
    ) -> None:
        self.sighted = sighted
        self.down_after = 4.0
        self.random = random.Random(seed)
        self.strategies = strategies
        self.has_copies = strategies.migration.warm or strategies.redundancy.copies(2) > 1
        self.states: dict[str, State] = {}  # what the active copy of each child last was
        self.checkpoints: dict[str, tuple[Ticket, State]] = {}  # the last that was completed
        self.given: dict[str, set[NodeId]] = {}  # who was given it, as one of those who were knows
        self.renewed: dict[str, float] = {}  # when children were last removed or changed: they may begin anew
        self.fresh = 0
        self.calm = calm
        self.refusals = refusals
        self.skewed = skewed
        self.forget_after = forget_after
        self.now = 0.0
        self.steps = 0
        self.boots = 0
        self.delay = 0.15 if calm else 0.6
        #: Then nothing is refused any more: moves are tried ever more rarely, and must come to an end.
        self.healed = False
        self.boxes: dict[NodeId, Box] = {}
        self.links: dict[tuple[NodeId, NodeId], Link] = {}
        self.cuts: set[tuple[str, str]] = set()  # (from, to), by name
        self.notices: list[tuple[float, NodeId, NodeId, str]] = []  # what someone will learn of somebody's end
        self.skews: dict[str, float] = {}
        self.removals: dict[str, list[tuple[Stamp, dict[NodeId, Moment]]]] = {}  # and what the remover had seen
        self.starts: dict[str, tuple[int, Stamp | None]] = {}
        self.revision = 0
        self.leavers: set[NodeId] = set()
        self.dead_silently: set[str] = set()  # names whose host is down: not even a refusal comes from there

    def check(self, fine: bool, what: str) -> None:
        """As `fail`, for what is looked at rarely: the words are made in any case."""
        if not fine:
            self.fail(what)

    def fail(self, what: str) -> NoReturn:
        """Something that must not be is. (Asked for only then: what is said costs more than the look.)"""
        raise InvariantViolated(f"at {self.now:.1f}: {what}")

    def skew(self, name: str) -> float:
        return self.skews.setdefault(name, self.random.uniform(-20, 20) if self.skewed else 0.0)

    def rate(self, name: str) -> float:
        """How fast its monotonic clock goes."""
        return 1.0

    def names(self) -> list[str]:
        return sorted(box.name for box in self.boxes.values())

    def box(self, name: str) -> Box:
        return next(box for box in self.boxes.values() if box.name == name)

    def awake(self) -> list[Box]:
        return [box for box in self.boxes.values() if box.asleep <= self.now]

    # -- what happens to processes ------------------------------------------------------------------------------------

    def join(self, name: str) -> Box:
        """Start a process. The first of all has no seeds to look for."""
        self.boots += 1
        node = node_id(name, self.boots)
        self.dead_silently.discard(name)
        box = self.boxes[node] = Box(self, node, seeds=len(self.boxes) > 0)
        box.flush()
        return box

    def crash(self, *names: str, silently: bool = False) -> None:
        for name in names:
            box = self.box(name)
            if silently:
                self.dead_silently.add(name)
            self._end(box, "silent" if silently else "broken")

    def _end(self, box: Box, how: str) -> None:
        self._forget_checkpoints()  # what it knows counts
        del self.boxes[box.node]
        self.leavers.discard(box.node)
        self._forget_checkpoints()
        for pair in [pair for pair in self.links if box.node in pair]:
            del self.links[pair]
        for other in self.boxes:
            late = 0.0 if how == "goodbye" else self.random.choice((0.0, 0.2, 2.0))
            self.notices.append((self.now + late, other, box.node, how))

    def leave(self, name: str) -> None:
        box = self.box(name)
        if box.node not in self.leavers and self._has_company(box):
            self.leavers.add(box.node)
            box.core.leave(box.clock)
            box.flush()

    def depart(self, name: str) -> None:
        """Leave at once: the shell stops everything, and says goodbye."""
        box = self.box(name)
        if not self._has_company(box):
            return
        box.actors.clear()
        box.core.depart(box.clock)
        for effect in box.core.take():
            if isinstance(effect, Send):
                self.post(box.node, effect.peer, effect.sync)
        self._goodbye(box)

    def _has_company(self, box: Box) -> bool:
        """Whether there is anybody to whom this node can leave what it knows."""
        if self.calm and not all(other.core.live for other in self.boxes.values()):
            return False  # else newcomers that do not know each other yet may be all that is left
        peers = [self.boxes[node].core for node in box.core.links if node in self.boxes and node not in self.leavers]
        return any(box.node in core.links and core.live and box.core._replication.met(core.id) for core in peers)

    def _goodbye(self, box: Box) -> None:
        for (sender, target), link in list(self.links.items()):
            if sender == box.node and target in self.boxes and not self.cut(box.name, name_of(target)):
                while link.queue and (sender, target) in self.links:
                    self.boxes[target].receive((sender, link.queue.popleft()[1]))
        self._end(box, "goodbye")

    def pause(self, name: str, seconds: float) -> None:
        box = self.box(name)
        box.asleep = self.now + seconds
        box.slept = box.slept or self.now

    # -- what happens to children -------------------------------------------------------------------------------------

    def want(self, child: str, body: bytes, *names: str, start: str = "Common", same: bool = True) -> None:
        """Create or update a child, on several nodes in the same instant."""
        for name in names:
            box = self.box(name)
            if box.core.left or not box.core.live:
                continue  # the shell waits
            self.revision += not same
            if not same:
                self.renewed[child] = self.now
                self.checkpoints.pop(child, None)
            content = body if same else body + str(self.revision).encode()
            box.core.write_wants({child: Want(start, content)}, box.clock)
            box.flush()

    def remove(self, child: str, name: str) -> None:
        box = self.box(name)
        if child in box.core.wants and box.core.live:
            box.core.write_wants({child: None}, box.clock)
            self.removed(child, box)
            box.flush()

    def removed(self, child: str, box: Box) -> None:
        store = box.core._store
        self.renewed[child] = self.now
        self.checkpoints.pop(child, None)
        self.removals.setdefault(child, []).append((store.rows["want", child].stamp, dict(store.version)))

    def pin(self, child: str, pins: tuple[str, ...], name: str) -> None:
        box = self.box(name)
        if child in box.core.wants and box.core.live:
            box.core.pin(child, pins, box.clock)
            box.flush()

    # -- links --------------------------------------------------------------------------------------------------------

    def cut(self, a: str, b: str) -> bool:
        return (a, b) in self.cuts

    def post(self, sender: NodeId, target: NodeId, message: object) -> None:
        link = self.links.get((sender, target))
        if link is not None:
            arrives = self.now + self.random.random() * self.delay
            link.last = max(link.last, arrives)
            if isinstance(message, dict):  # heartbeats overtake
                link.queue.appendleft((self.now, message)) if self.opened(link) else None
            else:
                link.queue.append((link.last, message))

    @staticmethod
    def opened(link: Link) -> bool:
        return not link.queue or not isinstance(link.queue[0][1], str)  # the only one is "up"

    def _links(self) -> None:
        chance = self.random.random
        for (a, one), (b, two) in combinations(list(self.boxes.items()), 2):
            linked = (a, b) in self.links
            shut = bool(self.cuts) and (self.cut(one.name, two.name) or self.cut(two.name, one.name))
            if not shut and not linked and chance() < 0.3 and max(one.asleep, two.asleep) <= self.now:
                if not (one.core.left or two.core.left):
                    self._connect(one, two)
            elif linked and (shut or max(one.asleep, two.asleep) > self.now) and chance() < 0.02:
                self._break(a, b)

    def _connect(self, one: Box, two: Box) -> None:
        if self.random.random() < 0.5:
            one, two = two, one
        self.links[one.node, two.node] = Link(deque([(self.now, "up")]))
        self.links[two.node, one.node] = Link()
        one.receive((two.node, "up"))

    def _break(self, a: NodeId, b: NodeId) -> None:
        del self.links[a, b], self.links[b, a]
        for here, there in ((a, b), (b, a)):
            self.notices.append((self.now + self.random.choice((0.0, 0.0, 1.0)), here, there, "cut"))

    def _notify(self) -> None:
        due, self.notices = (
            [n for n in self.notices if n[0] <= self.now],
            [n for n in self.notices if n[0] > self.now],
        )
        for moment, here, there, how in due:
            box = self.boxes.get(here)
            if box is None:
                continue
            if box.asleep > self.now:
                self.notices.append((moment, here, there, how))
            elif (here, there) not in self.links:
                if there in box.core.links:
                    box.core.link_down(there, box.clock)
                if how == "goodbye":
                    box.liveness.refuse(there)
                    box.core.touch(box.clock)
                box.flush()

    def _redial(self) -> None:
        """Whoever is known, not linked, and dead, refuses: unless its host is down or cut off."""
        for box in self.awake():
            strangers = box.core.nodes.keys() - self.boxes.keys()
            for node in sorted(strangers) if strangers else ():
                name = name_of(node)
                if name in self.dead_silently or self.cut(box.name, name) or self.cut(name, box.name):
                    continue
                if node in box.core.links or not (self.refusals or name in self.names()):
                    continue
                if self.random.random() < 0.3:
                    box.liveness.refuse(node)
                    box.core.touch(box.clock)
                    box.flush()

    # -- time ---------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.now = round(self.now + STEP, 3)
        self.steps += 1
        self._links()
        self._notify()
        self._redial()
        for box in list(self.boxes.values()):
            box.step()
        pairs = list(self.links)
        self.random.shuffle(pairs)
        links, now = self.links, self.now
        for a, b in pairs:
            link = links.get((a, b))
            if link is not None and link.queue and link.queue[0][0] <= now:
                self._deliver(a, b)
        for node in sorted(self.leavers & self.boxes.keys()):
            if self.boxes[node].core.left:
                if self.boxes[node].actors:
                    self.fail(f"{node} has left, and still runs {self.boxes[node].actors}")
                self._goodbye(self.boxes[node])
        if self.calm:
            self._never_twice()
        if self.checkpoints:
            self._forget_checkpoints()

    def _deliver(self, a: NodeId, b: NodeId) -> None:
        while True:
            link, box = self.links.get((a, b)), self.boxes.get(b)
            if link is None or not link.queue or link.queue[0][0] > self.now:
                return
            if box is None or box.asleep > self.now or (self.cuts and self.cut(name_of(a), name_of(b))):
                return
            batch = [(a, link.queue.popleft()[1])]
            while link.queue and link.queue[0][0] <= self.now and self.random.random() < 0.5:
                batch.append((a, link.queue.popleft()[1]))
            box.receive(*batch)

    # -- what must hold at every step ---------------------------------------------------------------------------------

    def note_start(self, box: Box, child: str, term: int, want: Want) -> None:
        before, since = self.starts.get(child, (0, None))
        if self.calm and before >= term:
            removed = since is not None and any(removal > since for removal, _ in self.removals.get(child, ()))
            self.check(removed, f"{box.node} starts {child} at term {term} after {before}")
        self.starts[child] = (term, want.rev)

    def handled(self, box: Box, child: str, actor: Actor) -> None:
        """An actor has handled one more message: its state knows of the last checkpoint, and in quiet of all before."""
        strategies = self.strategies
        if self.sighted and (done := self.checkpoints.get(child)) is not None and actor.want.body == b"plain":
            number, count = done[1]
            fine = actor.value[0] == number and actor.value[1] > count
            self.check(fine, f"{child} on {box.node} is behind its checkpoint {done}: {actor.value}")
        if not self.calm or getattr(strategies.redundancy, "active", "one") == "all" or actor.want.body != b"plain":
            return
        if not (strategies.redundancy.copies(2) > 1 or getattr(strategies.migration, "handover", False)):
            return
        if any(removal > actor.want.rev for removal, _ in self.removals.get(child, ()) if actor.want.rev is not None):
            return  # it has been removed, and that is on its way here: who goes on with it may begin anew
        before = self.states.get(child)
        if before is not None and actor.value != (before[0], before[1] + 1):
            self.check(
                child in self.renewed, f"{child} on {box.node} has lost its state: {actor.value}, before {before}"
            )
            if self.renewed[child] < actor.since:
                del self.renewed[child]
        self.states[child] = actor.value

    def completed(self, box: Box, child: str, actor: Actor) -> None:
        """All copies in sight hold what was in a checkpoint."""
        done, actor.asked = actor.asked, None
        redundancy = self.strategies.redundancy
        has_one = redundancy.copies(2) > 1 and getattr(redundancy, "active", "one") == "one"
        if done is not None and actor.want.body == b"plain" and has_one:
            self.checkpoints[child] = done
            self.given[child] = {box.node}

    def _forget_checkpoints(self) -> None:
        """They bind as long as somebody who stays was given them, and there are no two truths about the child.

        A copy that nobody knew of when a checkpoint was completed counts once one who has that knows that it has it, too: not
        before, for then it is given what is lost with the one who gives it.
        """
        for child, (ticket, _) in list(self.checkpoints.items()):
            given = self.given[child]
            for node in sorted(given & self.boxes.keys()):
                runs = self.boxes[node].core.runs.get(child, _NO_RUNS).items()
                given |= {other for other, run in runs if run.role == "passive" and (run.ticket or (0,)) >= ticket}
            actors = [box.actors[child] for box in self.boxes.values() if child in box.actors]
            staying = [box for node, box in self.boxes.items() if node in given and node not in self.leavers]
            held = [box.actors[child].held for box in staying if child in box.actors]
            held += [box.kept.get(child) for box in staying]
            active = [actor for actor in actors if not actor.passive and actor.frozen is None]
            if len(active) > 1 or not any(one is not None and one[0] >= ticket for one in held):
                del self.checkpoints[child]

    def fresh_state(self) -> State:
        self.fresh += 1
        return (self.fresh, 0)

    def inspect(self, box: Box, child: str) -> None:
        """Something about this child has changed on this node."""
        core = box.core
        want = core.wants.get(child)
        runs, last = core.runs.get(child, _NO_RUNS), box.terms.get(child, _NO_TERMS)
        terms: dict[NodeId, tuple[int, Stamp | None]] = {}
        strict = core.quorum.strict
        for node, run in runs.items():
            if run.role != "claiming":
                terms[node] = (run.term - (strict and run.to == node), run.rev)  # a grant to oneself is a claim, too
            elif node in last:
                terms[node] = last[node]  # a claim stands for what it has replaced
        box.terms[child] = terms
        top, rev = max(terms.values(), default=(0, None))
        before, since = box.tops.get(child, (0, None))
        if want is None:
            box.tops.pop(child, None)
        else:
            if top < before:
                removed = since is not None and any(removal > since for removal, _ in self.removals.get(child, ()))
                if not removed:
                    self.fail(f"the term of {child} fell from {before} to {top} on {box.node}")
            box.tops[child] = (top, rev)
            row = core._store.rows["want", child]
            for removal, seen in self.removals.get(child, ()):
                if covers(seen, row.stamp) and covers(core._store.version, removal) and not self._replaced(box, child):
                    self.fail(f"{child}, removed at {removal}, is back on {box.node} from {row.stamp}")
        pids, known = core.pids(child), box.registry.get(child, _NOBODY)
        if len(pids) != len(known) or not all(pid in known for pid in pids):
            self.fail(f"registry of {child} on {box.node}")

    def _replaced(self, box: Box, child: str) -> bool:
        """Whether this child was wished or removed anew, and that is on its way here: then its removal need not come."""
        key, version = ("want", child), box.core._store.version
        rows = [other.core._store.rows[key] for other in self.boxes.values() if key in other.core._store.rows]
        return any(not covers(version, row.stamp) for row in rows)

    def _never_twice(self) -> None:
        seen: dict[str, NodeId] = {}
        for box in self.boxes.values():
            for child, actor in box.actors.items():
                if actor.passive or actor.frozen is not None:
                    continue
                if child in seen:
                    self.fail(f"{child} exists on {seen[child]} and {box.node}")
                seen[child] = box.node

    # -- the end ------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        self.healed = True
        self.cuts.clear()
        self.delay = 0.15
        for box in self.boxes.values():
            box.asleep = min(box.asleep, self.now)

    def quiet(self, seconds: float = 90.0) -> float:
        """Heal everything and wait until all is well; the seconds it took."""
        self.heal()
        began, why = self.now, "not looked at"
        while self.now < began + seconds:
            self.step()
            if self.now > began + 6 and self.steps % 10 == 0:
                self.forget_the_dead()
            if self.steps % 5 == 0:
                why = next(self.complaints(), "")
                if not why:
                    return self.now - began
        raise InvariantViolated(f"not well {seconds:.0f} s after the heal: {why}")

    def forget_the_dead(self) -> None:
        """An operator clears up."""
        for box in self.boxes.values():
            for node in sorted(box.core.nodes.keys() - self.boxes.keys()):
                if not box.liveness.alive(node, box.clock) and name_of(node) not in self.names():
                    box.core.forget(name_of(node), box.clock)
                    box.flush()
                    return

    def complaints(self) -> Iterator[str]:
        """What is not as it should be after a heal and quiet."""
        cores = {node: box.core for node, box in self.boxes.items()}
        if not cores:
            return
        first = next(iter(cores.values()))
        for node, core in cores.items():
            if node in self.leavers:
                yield f"{node} still leaves"
            if core.nodes.keys() != cores.keys():
                yield f"{node} knows {sorted(core.nodes)}, there are {sorted(cores)}"
            yield from self._differences(core, first)
            if core._store.tombstones():
                yield f"{node} has tombstones: {[k for k, r in core._store.rows.items() if r.value is None]}"
        yield from self._misplaced(first)
        for node, core in cores.items():
            if not core.is_settled and not self._unplaceable(core):
                yield f"{node} is not settled: {sorted(core._reconciler.unsettled)}"
            if core.partitioned or core.alive != cores.keys() or core.ready != cores.keys():
                yield f"{node} sees {sorted(core.alive)}, ready {sorted(core.ready)}"

    def _differences(self, core: Core, first: Core) -> Iterator[str]:
        if core._store.rows != first._store.rows:
            yield f"the maps of {core.id} and {first.id} differ"
        if core._store.digest != first._store.digest:
            yield f"the digests of {core.id} and {first.id} differ"
        if core._store.version != first._store.version:
            yield f"the versions of {core.id} and {first.id} differ"

    def _unplaceable(self, core: Core) -> set[str]:
        names = self.names()
        return {c for c, w in core.wants.items() if not any(w.start in actors_of(name) for name in names)}

    def _misplaced(self, core: Core) -> Iterator[str]:
        """Compare what runs with what a fresh placement says."""
        from hubkit.cluster.policy import ChildView, NodeView

        nodes = [NodeView(name, 0.0, actors_of(name)) for name in self.names()]
        unplaceable = self._unplaceable(core)
        for child, want in core.wants.items():
            holders = [box for box in self.boxes.values() if child in box.actors]
            if child in unplaceable:
                if holders or any(
                    run.role == "active" and n in core.nodes for n, run in core.runs.get(child, {}).items()
                ):
                    yield f"{child} cannot be placed, and exists on {[box.node for box in holders]}"
                continue
            able = [node for node in nodes if want.start in node.actors]
            copies = self.strategies.redundancy.copies(len(nodes))
            owners = ConsistentHashing().place(ChildView(child, want.start, want.tag, want.pins), able, copies)
            standing = {box.name for box in holders if box.actors[child].passive}
            holders = [box for box in holders if not box.actors[child].passive]
            if [box.name for box in holders] != [owners[0]] or standing != set(owners[1:]):
                yield f"{child} exists on {[box.node for box in holders]} and {standing}, not on {owners}"
                continue
            box = holders[0]
            actor, runs = box.actors[child], core.runs[child]
            if sorted(map(name_of, runs)) != sorted(owners) or box.node not in runs:  # of this boot, not of one before
                yield f"{child} has rows of {sorted(runs)}, not of {owners} alone"
                continue
            if actor.frozen is not None:
                yield f"{child} is frozen on {box.node}"
            if standing:
                yield from self._stale(child, box, actor)
                continue
            run = runs[box.node]
            phase = {"running": "running", "parked": "failed"}.get(actor.state)
            same = (run.role, run.phase, run.term, run.rev) == ("active", phase, actor.term, want.rev)
            if not same or (actor.want.start, actor.want.body) != (want.start, want.body):
                yield f"{child} is {actor} on {box.node}, and the row says {run} of {want}"
            pids = (Pid(box.name, int(box.node.rpartition("#")[2]), actor.serial),) if phase == "running" else ()
            if any(other.core.pids(child) != pids for other in self.boxes.values()):
                yield f"the registries differ about {child}: {[o.core.pids(child) for o in self.boxes.values()]}, not {pids}"
        for box in self.boxes.values():
            for child in box.actors.keys() - core.wants.keys():
                yield f"{child} is a zombie on {box.node}"
            if box.kept:
                yield f"{box.node} still keeps the states of {sorted(box.kept)}"
        for child in core.runs.keys() - core.wants.keys():
            yield f"{child} has leftover rows: {core.runs[child]}"

    def _stale(self, child: str, holder: Box, actor: Actor) -> Iterator[str]:
        """Copies that do not have what was in the last checkpoint."""
        for box in self.boxes.values():
            copy = box.actors.get(child)
            if copy is None or not copy.passive or copy.state != "running" or actor.state != "running":
                continue
            if getattr(self.strategies.redundancy, "active", "one") == "one" and actor.held and copy.held != actor.held:
                yield f"the copy of {child} on {box.node} has {copy.held}, the one on {holder.node} {actor.held}"
