"""The rules put into practice: each step becomes rows and effects.

Law of this room: a step is taken whole, rows first; so whatever the shell does about an effect, the map has said it before.
Children are looked at in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubkit.cluster.balance import Balance
from hubkit.cluster.converge import Do, Instance, Rules, Step
from hubkit.cluster.effects import (
    Demote,
    Discard,
    Effect,
    Forward,
    Freeze,
    Offer,
    Promote,
    Publish,
    Start,
    StartReason,
    Stop,
    Thaw,
    Warn,
)
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Run
from hubkit.cluster.shortage import Shortage
from hubkit.cluster.store import Store
from hubkit.events import (
    ChildMoved,
    ChildMoving,
    ChildRegistered,
    ChildUnregistered,
    ConflictResolved,
    Event,
    MoveFailed,
)
from hubkit.pids import NodeId, Pid, boot_of, name_of

__all__ = ["Reconciler"]

#: Children that are looked at before others get their turn. (Each takes 5 to 40 us, by what is to be done about it.)
SLICE = 500


class Reconciler:
    """Takes steps. ``unsettled``: children that do not run exactly where they belong; ``moved``: whose heir has changed."""

    __slots__ = ("_backlog", "_balance", "_hub", "_ledger", "_me", "_members", "_patience", "_placement", "_replication",
                 "_rules", "_shortage", "_store", "_vacated", "effects", "stirred", "unsettled", "unsure")  # fmt: skip

    def __init__(
        self, me: NodeId, hub: str, store: Store, ledger: Ledger, members: Members, placement: Placement,
        replication: Replication, rules: Rules, patience: float, balance: Balance,
    ) -> None:  # fmt: skip
        self._me = me
        self._hub = hub
        self._store = store
        self._ledger = ledger
        self._members = members
        self._placement = placement
        self._replication = replication
        self._rules = rules
        self._patience = patience
        self._balance = balance
        self._shortage = Shortage(placement)
        self._backlog: list[str] = []  # children still to be looked at, the last first
        self._vacated: set[str] = set()  # children that have moved away without their state: of their messages
        self.effects: list[Effect] = []
        self.unsettled: set[str] = set()
        self.stirred: set[str] = set()  # children that must be looked at again, for a place in line is free
        self.unsure: set[str] = set()  # children about which time alone may change the answer

    def run(self, live: bool, now: float, *, further: bool = False) -> None:
        """Bring every child that is concerned in line. ``further``: also a slice of those for which there was no time."""
        ledger, rules = self._ledger, self._rules
        rules.now = rules.copies.now = now
        acts = live and rules.allowed
        if rules.announced:
            self._mature(now)
        if ledger.dirty or self._backlog:
            todo = self._slice(rules.allowed, further)
            ledger.changed.update(todo)
            if acts:
                self._pin(todo, now)
            for child in todo:
                if live:
                    self._bring_in_line(child, now)
                self._review(child)
            ledger.dirty = self.stirred  # each step concerned its own child only, but for those that wait for it
            self.stirred = set()
        for warning in (*self._placement.doubts.take(now), *self._shortage.take(now, acts=acts)):
            self.effects.append(Warn(warning))

    @property
    def backlog(self) -> int:
        """How many more children are to be looked at: let others have their turn, and then `run` further."""
        return len(self._backlog)

    def _slice(self, allowed: bool, further: bool) -> list[str]:
        """Children to be looked at now. Many wait for their turn, but not those that may not run here any longer."""
        dirty, backlog = self._ledger.dirty, self._backlog
        if len(dirty) > SLICE or (backlog and not allowed):
            self._backlog = backlog = sorted(dirty.union(backlog), reverse=True)
            todo = []
        else:
            todo = sorted(dirty)
        size = len(backlog) if not allowed else SLICE if further else 0
        while backlog and len(todo) < size:
            todo.append(backlog.pop())
        return todo

    def _pin(self, children: Iterable[str], now: float) -> None:
        """Before anything else is done about them, children that need a place are given one."""
        wants = self._ledger.wants
        for child, pins in self._balance.due(children).items():
            self._store.put(("want", child), replace(wants[child], pins=pins), now)
            self._placement.forget(child)
        if self._store.changed:
            self._ledger.absorb()

    def _bring_in_line(self, child: str, now: float) -> None:
        self.unsure.discard(child)
        copies = self._rules.copies
        if copies.kept and copies.is_stale(child, self._ledger.wants.get(child), self._ledger.runs.get(child, {})):
            self._discard(child)
        for _ in range(12):
            step = self._rules.decide(child)
            if step.do is Do.REST:
                if step.unsure:
                    self.unsure.add(child)
                return
            self._take(child, step, now)
            self._ledger.absorb()
        msg = f"no rest for {child!r}: {self._rules.decide(child)}"  # pragma: no cover
        raise AssertionError(msg)  # pragma: no cover

    def _mature(self, now: float) -> None:
        """Claims that have been acknowledged, or waited for long enough, are looked at again."""
        announced = self._rules.announced
        floor = self._rules.quorum.floor(now)
        ripe = []
        for child, (moment, end) in announced.items():
            if moment > floor and now < end:
                break
            ripe.append(child)
        for child in ripe:
            del announced[child]
            self._ledger.dirty.add(child)

    def _take(self, child: str, step: Step, now: float) -> None:
        match step.do:
            case Do.STOP:
                mine = self._ledger.runs.get(child, {}).get(self._me)
                if mine is not None and mine.role == "released" and mine.phase:
                    self._write(child, mine._replace(phase="", serial=0), now)
                self._stop(child, step)
            case Do.DROP:
                self._write(child, None, now)
                self._give_reasons(child, step)
                if child in self._rules.copies.kept:
                    self._discard(child)
                self._clear(child)
            case Do.CLAIM:
                rev, instance = self._ledger.wants[child].rev, self._rules.instances.get(child)
                ticket = self._rules.copies.kept_ticket(child) if instance is None else instance.ticket
                claim = Run(step.term, "released", self._me, rev) if step.nodes else Run(step.term, "claiming", rev=rev)
                claim = claim._replace(ticket=ticket)
                moment = self._write(child, claim, now)
                if len(self._members.alive) > 1 or self._rules.quorum.strict:
                    self._rules.announced[child] = (moment, now + self._patience)
                    self._replication.announce()
            case Do.BEGIN:
                self._begin(child, step, now)
            case Do.GRANT:
                mine, to = self._ledger.runs[child].get(self._me), step.nodes[0] if step.nodes else None
                rev = mine.rev if mine is not None else self._ledger.wants[child].rev
                ticket, _ = self._rules.copies.kept.get(child, (None, None)) if to is not None else (None, None)
                self._write(child, Run(step.term, "released", to, rev, ticket=ticket), now)
                if to is not None and self._rules.copies.warm:
                    self._forward(child, to)
                self._clear(child)
            case Do.ADOPT:
                mine = self._ledger.runs[child][self._me]
                self._rules.instances[child].want = want = self._ledger.wants[child]
                self._write(child, mine._replace(rev=want.rev), now)
            case Do.WARM | Do.FREEZE | Do.THAW | Do.OFFER | Do.DEMOTE:
                self._with_copies(child, step, now)
            case _:
                for node in step.nodes:
                    self._store.put(("run", child, node), None, now)
                self._give_reasons(child, step)

    def _give_reasons(self, child: str, step: Step) -> None:
        """A row has been removed: whoever may not know why is told with it."""
        if step.rule == "unwanted":
            self._replication.accompany(("want", child))
        elif step.rule == "superseded":
            self._replication.accompany(("run", child, step.nodes[0]))

    def _write(self, child: str, run: Run | None, now: float) -> tuple[int, int]:
        self._rules.announced.pop(child, None)
        return self._store.put(("run", child, self._me), run, now)[:2]

    def _begin(self, child: str, step: Step, now: float) -> None:
        want, instance = self._ledger.wants[child], self._rules.instances.get(child)
        giver = step.nodes[0] if step.nodes else None
        if instance is None:
            kept, _ = self._rules.copies.kept.pop(child, (None, None))
            self._vacated.discard(child)
            self._write(child, Run(step.term, "active", rev=want.rev, phase="starting"), now)
            self._rules.instances[child] = Instance(step.term, want, giver, born=step.term, ticket=kept)
            self.effects.append(Start(child, want, step.term, step.reason, ticket=kept))  # type: ignore[arg-type]  # of a BEGIN step
            return
        instance.passive, instance.term, instance.giver, instance.count = False, step.term, giver, 0
        instance.offers.clear()
        self._write(child, self._shown(child, instance), now)
        self.effects.append(Promote(child, step.term, step.reason))  # type: ignore[arg-type]  # of a BEGIN step
        if instance.phase == "running":
            self.arrived(child)

    def _shown(self, child: str, instance: Instance) -> Run:
        """The row of an instance."""
        rev = self._ledger.wants[child].rev
        if instance.passive:
            return Run(0, "passive", None, rev, instance.phase, instance.serial, instance.error, ticket=instance.ticket)
        return Run(instance.term, "active", None, rev, instance.phase, instance.serial, instance.error)

    def _with_copies(self, child: str, step: Step, now: float) -> None:
        """Steps about copies that stand by."""
        instance = self._rules.instances.get(child)
        if step.do is Do.WARM:
            want = self._ledger.wants[child]
            if instance is None:
                born = max((run.term for run in self._ledger.runs[child].values()), default=0)
                instance = self._rules.instances[child] = Instance(born, want, born=born, passive=True)
                reason: StartReason = (
                    "start" if self._rules.copies.replicated else "migration"
                )  # else it is here to move
                self.effects.append(Start(child, want, born, reason, passive=True))
            self._write(child, self._shown(child, instance), now)
            return
        assert instance is not None
        if step.do is Do.FREEZE:
            self._rules.copies.moves.begun(child)
            instance.frozen, instance.taken, instance.frozen_at = instance.next_ticket(self._me), False, now
            self._moving(child, step.nodes[0])
            self.effects.append(Freeze(child, instance.frozen))
        elif step.do is Do.THAW:
            self.thaw(child)
            self.move_over(child)
            self._tell_why(child, step, now)
        elif step.do is Do.OFFER:
            ticket = instance.ticket
            assert ticket is not None
            for node in step.nodes:
                instance.offers[node] = (ticket, now)
                self.effects.append(Offer(child, node, ticket))
        else:
            self._demote(child, instance, step, now)

    def thaw(self, child: str) -> None:
        """Let a frozen instance go on."""
        instance = self._rules.instances[child]
        instance.frozen, instance.taken = None, False
        self.effects.append(Thaw(child))

    def _tell_why(self, child: str, step: Step, now: float) -> None:
        """A child goes on here that was frozen to go elsewhere: so say why, if that has not been said yet."""
        target = self._rules.instances[child].bound or self._me
        if step.rule == "no answer":
            self.move_failed(child, target, "it neither accepted nor declined the state in time", now)
        elif target not in self._members.alive:
            self._not_moved(child, "that node is gone")
        elif step.rule == "home":
            self._not_moved(child, "it belongs here again")
        elif target not in step.nodes:
            self._not_moved(child, "it belongs elsewhere by now")
        else:
            self._not_moved(child, "no copy is ready there any more")

    def _demote(self, child: str, instance: Instance, step: Step, now: float) -> None:
        to, ticket = step.nodes[0] if step.nodes else None, instance.frozen
        rev = self._ledger.runs[child][self._me].rev
        if to is not None and ticket is None:
            self._moving(child, to)
        instance.bound = None
        instance.passive, instance.frozen, instance.taken = True, None, False
        self.move_over(child)
        instance.offers.clear()
        self._write(child, _standing(Run(step.term, "released", to, rev, ticket=ticket), instance), now)
        self.effects.append(Demote(child))
        if to is not None:
            self._forward(child, to)

    def _discard(self, child: str) -> None:
        """Nobody needs the state that was kept here any more."""
        del self._rules.copies.kept[child]
        self.effects.append(Discard(child))

    def _clear(self, child: str) -> None:
        """What waited for a child that has moved away has been sent on, or nobody goes on with it."""
        if child in self._vacated:
            self._vacated.discard(child)
            self.effects.append(Discard(child))

    def _forward(self, child: str, to: NodeId) -> None:
        theirs = self._ledger.runs[child].get(to)
        if theirs is not None and theirs.role == "passive" and theirs.serial:
            self.effects.append(Forward(child, Pid(name_of(to), boot_of(to), theirs.serial)))

    def move_over(self, child: str) -> None:
        """A child does not move any more: those that wait for that look again."""
        moves = self._rules.copies.moves
        if moves.over(child):
            self.stirred |= moves.waiting

    def move_failed(self, child: str, target: NodeId, error: str, now: float) -> None:
        """A move to this node has come to nothing: the child goes on here, and it is tried again later."""
        instance = self._rules.instances[child]
        instance.move_failed(now)
        self.unsure.add(child)
        instance.bound = instance.bound and target
        self._not_moved(child, error)

    def _moving(self, child: str, to: NodeId) -> None:
        """It is about to move: that is told once, and so is what comes of it."""
        instance = self._rules.instances[child]
        if instance.bound == to:
            return
        instance.bound = to
        self._publish(ChildMoving(child, name_of(self._me), name_of(to), hub=self._hub))

    def _not_moved(self, child: str, error: str) -> None:
        instance = self._rules.instances[child]
        if instance.bound is not None:
            self._publish(MoveFailed(child, name_of(self._me), name_of(instance.bound), error, hub=self._hub))
            instance.bound = None

    def _stop(self, child: str, step: Step) -> None:
        reason = step.reason
        self._rules.instances[child].stopping = reason  # type: ignore[assignment]  # of a STOP step
        here = name_of(self._me)
        if reason == "moved":
            self._rules.copies.moves.begun(child)
        if reason == "moved" and self._rules.instances[child].frozen is None:
            self._moving(child, step.nodes[0])
        elif reason == "conflict" and step.nodes:
            self._publish(ConflictResolved(child, name_of(step.nodes[0]), here, step.term, hub=self._hub))
        by = self._rules.quorum.stop_by(reason)
        self.effects.append(Stop(child, reason, by))  # type: ignore[arg-type]  # of a STOP step

    # -- what the shell reports ----------------------------------------------------------------------------------------

    def report(self, child: str, instance: Instance, now: float) -> None:
        """The instance here has changed: say so, unless my row is about something else now."""
        mine = self._ledger.runs.get(child, {}).get(self._me)
        if mine is not None and mine.role == "released" and instance.passive:
            run = _standing(mine, instance)
        elif mine is None or mine.role != ("passive" if instance.passive else "active"):
            return
        else:
            ticket = instance.ticket if instance.passive else None
            run = mine._replace(phase=instance.phase, serial=instance.serial, error=instance.error, ticket=ticket)
        if run != mine:
            self._write(child, run, now)

    def instance(self, child: str) -> Instance | None:
        """What exists of this child here."""
        return self._rules.instances.get(child)

    def vanish(self, child: str) -> None:
        """Nothing is left of the instance here; of one that moves its state may be kept."""
        instance, copies = self._rules.instances.pop(child), self._rules.copies
        self._ledger.dirty.add(child)
        if copies.moves.over(child):
            self._ledger.dirty |= copies.moves.waiting
        ticket = instance.frozen if instance.stopping == "moved" and instance.taken else None
        if instance.stopping == "partition" and copies.replicated and not instance.passive:
            ticket = instance.ticket
        if ticket is not None:
            copies.kept[child] = (ticket, instance.want)
        elif copies.warm and instance.stopping == "moved":
            self._vacated.add(child)  # it will be said where to
        elif copies.warm:
            self.effects.append(Discard(child))

    def arrived(self, child: str) -> None:
        """The instance here runs for the first time."""
        instance = self._rules.instances[child]
        if instance.giver is not None:
            self._publish(ChildMoved(child, name_of(instance.giver), name_of(self._me), hub=self._hub))
            instance.giver = None

    # -- what is seen from here ----------------------------------------------------------------------------------------

    def _review(self, child: str) -> None:
        old, new = self._ledger.register(child, self._members.alive, copies=self._rules.copies.replicated)
        if old != new:
            for pid in _missing_in(new, old):
                self._publish(ChildUnregistered(child, pid, hub=self._hub))
            for pid in _missing_in(old, new):
                self._publish(ChildRegistered(child, pid, hub=self._hub))
        if self._is_settled(child):
            self.unsettled.discard(child)
        else:
            self.unsettled.add(child)

    def _is_settled(self, child: str) -> bool:
        """Whether this child runs, or is parked, exactly where it belongs, by its current spec, and nowhere else."""
        want, runs = self._ledger.wants.get(child), self._ledger.runs.get(child)
        instance = self._rules.instances.get(child)
        if instance is not None and instance.stopping is not None:
            return False
        alive = self._members.alive
        holders = (
            [] if runs is None
            else [node for node, run in runs.items() if run[1] in ("active", "claiming") and node in alive]
        )  # fmt: skip
        if want is None:
            return not holders and instance is None
        heir = self._placement.heir(child, want)
        if runs is None or heir is None or holders != [heir]:
            return False
        copies = self._rules.copies
        if copies.warm and want.start and not copies.placed(runs, self._placement.owners(child, want), want):
            return False
        run = runs[heir]
        return run.role == "active" and run.rev == want.rev and run.phase in ("running", "failed")

    def _publish(self, event: Event) -> None:
        self.effects.append(Publish(event))


def _standing(row: Run, instance: Instance) -> Run:
    """The row of a node that has let go of the token, and where a copy stands by: whether it runs, and who it is."""
    running = instance.phase == "running"
    return row._replace(phase="running" if running else "", serial=instance.serial if running else 0)


def _missing_in(these: Iterable[Pid], those: Iterable[Pid]) -> list[Pid]:
    return [pid for pid in those if pid not in these]
