"""The rules put into practice: each step becomes rows and effects.

Law of this room: a step is taken whole, rows first; so whatever the shell does about an effect, the map has said it before.
Children are looked at in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubkit.cluster.balance import Balance
from hubkit.cluster.converge import Do, Instance, Rules, Step
from hubkit.cluster.effects import Effect, Publish, Start, Stop
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Run
from hubkit.cluster.store import Store
from hubkit.events import ChildMoved, ChildMoving, ChildRegistered, ChildUnregistered, ConflictResolved
from hubkit.pids import NodeId, Pid, name_of

__all__ = ["Reconciler"]


#: Children that are looked at before others get their turn. (Each takes 5 to 40 us, by what is to be done about it.)
SLICE = 500


class Reconciler:
    """Takes steps. ``unsettled``: children that do not run exactly where they belong; ``moved``: whose heir has changed."""

    __slots__ = ("_backlog", "_balance", "_hub", "_ledger", "_me", "_members", "_patience", "_placement", "_replication",
                 "_rules", "_store", "effects", "unsettled", "unsure")  # fmt: skip

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
        self._backlog: list[str] = []  # children still to be looked at, the last first
        self.effects: list[Effect] = []
        self.unsettled: set[str] = set()
        self.unsure: set[str] = set()  # children about which time alone may change the answer

    def run(self, live: bool, now: float, *, further: bool = False) -> None:
        """Bring every child that is concerned in line. ``further``: also a slice of those for which there was no time."""
        ledger, rules = self._ledger, self._rules
        rules.now = now
        self._mature(now)
        todo = self._slice(rules.allowed, further)
        ledger.changed.update(todo)
        if live and rules.allowed:
            self._pin(todo, now)
        for child in todo:
            if live:
                self._bring_in_line(child, now)
            self._review(child)
        ledger.dirty.clear()  # each step concerned its own child only

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
        if not announced:
            return
        floor = self._replication.floor(self._members.alive)
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
                self._stop(child, step)
            case Do.DROP:
                self._write(child, None, now)
                self._give_reasons(child, step)
            case Do.CLAIM:
                rev = self._ledger.wants[child].rev
                claim = Run(step.term, "released", self._me, rev) if step.nodes else Run(step.term, "claiming", rev=rev)
                moment = self._write(child, claim, now)
                if len(self._members.alive) > 1:
                    self._rules.announced[child] = (moment, now + self._patience)
            case Do.BEGIN:
                self._begin(child, step, now)
            case Do.GRANT:
                mine, to = self._ledger.runs[child].get(self._me), step.nodes[0] if step.nodes else None
                rev = mine.rev if mine is not None else self._ledger.wants[child].rev
                self._write(child, Run(step.term, "released", to, rev), now)
            case Do.ADOPT:
                mine = self._ledger.runs[child][self._me]
                self._rules.instances[child].want = want = self._ledger.wants[child]
                self._write(child, mine._replace(rev=want.rev), now)
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
        want = self._ledger.wants[child]
        self._write(child, Run(step.term, "active", rev=want.rev, phase="starting"), now)
        giver = step.nodes[0] if step.nodes else None
        self._rules.instances[child] = Instance(step.term, want, giver)
        self.effects.append(Start(child, want, step.term, step.reason))  # type: ignore[arg-type]  # of a BEGIN step

    def _stop(self, child: str, step: Step) -> None:
        reason = step.reason
        self._rules.instances[child].stopping = reason  # type: ignore[assignment]  # of a STOP step
        here = name_of(self._me)
        if reason == "moved":
            self._publish(ChildMoving(child, here, name_of(step.nodes[0]), hub=self._hub))
        elif reason == "conflict" and step.nodes:
            self._publish(ConflictResolved(child, name_of(step.nodes[0]), here, step.term, hub=self._hub))
        self.effects.append(Stop(child, reason))  # type: ignore[arg-type]  # of a STOP step

    # -- what the shell reports ----------------------------------------------------------------------------------------

    def report(self, child: str, run: Run, now: float) -> None:
        """The instance here has changed: say so."""
        if run != self._ledger.runs[child][self._me]:
            self._write(child, run, now)

    def arrived(self, child: str) -> None:
        """The instance here runs for the first time."""
        instance = self._rules.instances[child]
        if instance.giver is not None:
            self._publish(ChildMoved(child, name_of(instance.giver), name_of(self._me), hub=self._hub))
            instance.giver = None

    # -- what is seen from here ----------------------------------------------------------------------------------------

    def _review(self, child: str) -> None:
        old, new = self._ledger.register(child, self._members.alive)
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
        holders = [] if runs is None else [node for node, run in runs.items() if run[1] != "released" and node in alive]
        if want is None:
            return not holders and instance is None
        heir = self._placement.heir(child, want)
        if runs is None or heir is None or holders != [heir]:
            return False
        run = runs[heir]
        return run.role == "active" and run.rev == want.rev and run.phase in ("running", "failed")

    def _publish(
        self, event: ChildMoving | ChildMoved | ChildRegistered | ChildUnregistered | ConflictResolved
    ) -> None:
        self.effects.append(Publish(event))


def _missing_in(these: Iterable[Pid], those: Iterable[Pid]) -> list[Pid]:
    return [pid for pid in those if pid not in these]
