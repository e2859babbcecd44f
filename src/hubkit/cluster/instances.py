"""What the shell reports of the instances that it was told to start: one half of the inputs of a core.

Law of this room: a report is about one instance, by the term of its start, and is passed over when that instance is none
of ours any more. It is recorded, and then things are brought in line.
"""

from __future__ import annotations

from hubkit.cluster.converge import Rules
from hubkit.cluster.copies import Copies, Instance
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.reconciler import Reconciler
from hubkit.cluster.rows import Ticket
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, Pid, name_of, node_id

__all__ = ["Instances", "Together"]


class Instances:
    """The part of `hubkit.cluster.core.Core` that hears of instances."""

    id: NodeId
    _copies: Copies
    _ledger: Ledger
    _members: Members
    _placement: Placement
    _reconciler: Reconciler
    _rules: Rules
    _store: Store
    _together: bool

    def _reconcile(self, now: float, *, further: bool = False) -> None:
        """Bring things in line."""
        raise NotImplementedError

    def started(self, child: str, term: int, serial: int, now: float) -> None:
        """The instance of this term runs, under this number: for the first time, or again after a crash or parking."""
        instance = self._running(child, term)
        if instance is not None:
            instance.phase, instance.serial, instance.error = "running", serial, ""
            if not instance.passive:
                self._reconciler.arrived(child)
            self._reconciler.report(child, instance, now)
        self._reconcile(now)

    def failed(self, child: str, term: int, error: str, now: float) -> None:
        """The instance of this term could not be started, or crashed too often: it is parked. `started` may follow."""
        instance = self._running(child, term)
        if instance is not None:
            instance.phase, instance.serial, instance.error = "failed", 0, error
            self._reconciler.report(child, instance, now)
        self._reconcile(now)

    def stopped(self, child: str, now: float) -> None:
        """Nothing is left of the instance that was to stop."""
        instance = self._rules.instances.get(child)
        if instance is not None and instance.stopping is not None:
            self._reconciler.vanish(child)
        self._reconcile(now)

    def ended(self, child: str, term: int, now: float) -> None:
        """The instance of this term has ended for good, by its restart type: it is not wanted any more.

        (If a newer spec has come in the meantime, that is started.)
        """
        instance = self._rules.instances.get(child)
        if instance is not None and instance.born == term:
            want = self._ledger.wants.get(child)
            fulfilled = want is not None and (want.start, want.body) == (instance.want.start, instance.want.body)
            if fulfilled and instance.stopping is None and not instance.passive:
                self._store.put(("want", child), None, now)
            self._reconciler.vanish(child)
        self._reconcile(now)

    def froze(self, child: str, ticket: Ticket, error: str | None, now: float) -> None:
        """The instance was frozen, and its state is kept under this ticket; or, for the reason ``error``, it was not."""
        instance = self._rules.instances.get(child)
        if instance is not None and instance.frozen == ticket:
            if error is None:
                instance.taken, instance.ticket = True, ticket
                self._ledger.dirty.add(child)
            else:
                self._move_failed(child, error, now)
        self._reconcile(now)

    def declined(self, child: str, ticket: Ticket, peer: NodeId, error: str, now: float) -> None:
        """The copy on that node, to which it was offered, does not take the state of this ticket."""
        instance = self._rules.instances.get(child)
        if instance is not None and instance.stopping is None and instance.offers.get(peer, (None,))[0] == ticket:
            if instance.frozen == ticket:
                self._move_failed(child, error, now, peer)
            else:
                self._copies.declined(instance, ticket, peer)
        self._reconcile(now)

    def progressed(self, child: str, ticket: Ticket, peer: NodeId, now: float) -> None:
        """Some more of the state of this ticket is on its way to that node: it is waited for from now on."""
        instance = self._rules.instances.get(child)
        if instance is not None and instance.offers.get(peer, (None,))[0] == ticket:
            instance.offers[peer] = (ticket, now)
            if instance.frozen == ticket:
                instance.frozen_at = now

    def accepted(self, child: str, term: int, ticket: Ticket, now: float) -> None:
        """The instance of this term, which stands by here, goes by the state of this ticket now."""
        instance = self._running(child, term)
        if instance is not None and instance.passive:
            instance.ticket = ticket
            self._reconciler.report(child, instance, now)
        self._reconcile(now)

    def checkpoint(self, child: str, term: int, now: float) -> Ticket | None:
        """The active instance of this term has given a state to be kept by all that stand by; under which ticket?

        One that is about to be frozen gives it before that: so the state that is then taken is the later one.
        """
        instance = self._running(child, term)
        if instance is None or instance.passive or instance.taken:
            return None
        if instance.frozen is not None:
            self._reconciler.thaw(child)
        instance.ticket = ticket = instance.next_ticket(self.id)
        self._ledger.dirty.add(child)
        self._reconcile(now)
        return ticket

    def _move_failed(self, child: str, error: str, now: float, peer: NodeId | None = None) -> None:
        target = peer or self._placement.heir(child, self._ledger.wants[child]) or self.id
        self._reconciler.move_failed(child, target, error, now)
        self._ledger.dirty.add(child)

    def _running(self, child: str, term: int) -> Instance | None:
        """This instance, if it is to go on."""
        instance = self._rules.instances.get(child)
        return None if instance is None or instance.born != term or instance.stopping is not None else instance

    @property
    def written(self) -> tuple[int, int]:
        """How many rows this node has written that stand, and the bytes of specs in them."""
        return self._store.count(self.id), self._store.weight.get(self.id, 0)

    # -- what is seen of copies ----------------------------------------------------------------------------------------

    @property
    def has_copies(self) -> bool:
        """Whether copies of children may stand by."""
        return self._copies.warm

    @property
    def all_active(self) -> bool:
        """Whether all copies of a child handle messages."""
        return self._copies.all_active

    @property
    def is_replicated(self) -> bool:
        """Whether there is more than one copy of each child, or would be if there were nodes for them."""
        return self._copies.replicated

    def active(self, child: str) -> Pid | None:
        """Which copy of a child is to be asked: the active one, or the nearest where all are."""
        pids = self._ledger.registry.get(child, ())
        if self._copies.all_active:
            return next((pid for pid in pids if pid.node == name_of(self.id)), pids[0] if pids else None)
        if not pids:
            return None
        run = self._ledger.runs[child][node_id(pids[0].node, pids[0].incarnation)]
        return pids[0] if run.role == "active" else None  # the first of them, if there is one

    def lack(self, child: str, ticket: Ticket) -> bool:
        """Whether some copy in sight that stands by does not have this state, nor a later one."""
        alive = self._members.alive
        return any(
            run.role == "passive" and run.phase == "running" and node in alive and (run.ticket or (0,)) < ticket
            for node, run in self._ledger.runs.get(child, {}).items()
        )

    def is_complete(self, child: str) -> bool:
        """Whether all copies of a child that there are to be run, or are parked, by its current spec."""
        want, runs = self._ledger.wants.get(child), self._ledger.runs.get(child)
        if not self._copies.replicated or want is None or runs is None:
            return True
        return self._copies.placed(runs, self._placement.owners(child, want), want)


class Together:
    """See `Core.together`. (Written out: it is entered for whatever comes in, and a generator costs more than it does.)"""

    __slots__ = ("_core", "_now")

    def __init__(self, core: Instances, now: float) -> None:
        self._core, self._now = core, now

    def __enter__(self) -> None:
        self._core._together = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._core._together = False
        if kind is None:
            self._core._reconcile(self._now)
