"""The rules for copies that stand by, and for handing a child over with its state.

Law of this room: as in `hubkit.cluster.converge`, whose rules these are, too: they look at what is, name one step, and
may be asked again at any time. A copy that stands by is *passive*: it holds no token and handles nothing. Where a child is
replicated they are kept for good, on all owners but the heir; where it moves hot there is one for the time of the move.

A child is handed over in steps, each of which may be the last that its node takes:

1. *Warm*: the heir, to which the token does not belong yet, starts a passive copy.
2. *Freeze*: the holder lets its instance begin nothing more and takes its state, under a *ticket*.
3. *Offer*: the state travels to the heir, point to point. That its copy has accepted it is said by its row: the ticket.
4. *Let go*: only then the holder stops (or stands by itself), and grants the token, and the ticket with it.
5. The heir, which holds the state that was granted, goes on with it. Until its row says so, the holder keeps the state.

Whatever fails before 4 leaves the old copy in charge: it thaws and goes on, and the move is tried again, later and later.
The copies of a replicated child get states in between the same way, without freezing: that is a checkpoint.

Of passive copies whose active one has died that with the newest ticket claims the child. So nothing is lost that was in
a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from hubkit.cluster.effects import StopReason
from hubkit.cluster.members import Members
from hubkit.cluster.moves import Moves
from hubkit.cluster.placement import Placement
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Phase, Run, Ticket, Want
from hubkit.pids import NodeId

__all__ = ["Copies", "Do", "Instance", "Step"]

#: Seconds for which a child may be frozen; then the move has failed.
PATIENCE = 10.0
#: Seconds until a failed move is tried again, at first and at the most.
FIRST, MOST = 1.0, 15.0
#: Seconds for which a copy that belongs elsewhere waits, at the most, until those that replace it have a state.
RELIEF = 30.0


class Do(Enum):
    """What a step does."""

    REST = auto()  #: nothing, for now
    STOP = auto()  #: stop the instance here
    DROP = auto()  #: remove my run row
    CLAIM = auto()  #: announce that I am about to start it
    BEGIN = auto()  #: start it, or promote the copy that stands by, and say so
    GRANT = auto()  #: say that it has stopped here, and who may have it
    ADOPT = auto()  #: what runs here is of the newest spec already: say so
    BURY = auto()  #: remove the rows of nodes that are no more
    WARM = auto()  #: let a copy stand by here, and say so
    FREEZE = auto()  #: let the instance begin nothing more, and take its state
    THAW = auto()  #: let it go on
    OFFER = auto()  #: send its state to copies that lack it
    DEMOTE = auto()  #: let it stand by from now on, and say who may have the token


class Step(NamedTuple):
    """One step, and the rule that asks for it.

    ``nodes``: whom it concerns (to whom it is granted, who gave it, whose rows are removed, who is waited for).
    ``unsure``: time alone may change the answer.
    """

    do: Do
    rule: str
    term: int = 0
    nodes: tuple[NodeId, ...] = ()
    reason: str = ""
    unsure: bool = False


@dataclass(slots=True)
class Instance:
    """What exists of a child here, from its `Start` until it has stopped. ``giver``: who handed it over.

    ``born``: the term with which it was started; its name, for the shell. ``term``: that with which it is active.
    ``phase``, ``serial`` and ``error``: as in its row, also while that says something else. ``ticket``: the newest state
    that it has accepted, or that was taken of it. ``frozen``: the ticket that it was frozen for, ``frozen_at``: since when;
    ``taken``: that state is there. ``count``: of tickets made in this term. ``offers``: node -> what it was offered last, and
    when. ``bound``: where it is about to move, as has been told. ``failures``: of moves, in a row; ``retry_at``: when the
    next may begin. ``relieved_by``: until when a copy that belongs elsewhere stays, at the most.
    """

    term: int
    want: Want
    giver: NodeId | None = None
    stopping: StopReason | None = None
    born: int = 0
    passive: bool = False
    phase: Phase = "starting"
    serial: int = 0
    error: str = ""
    ticket: Ticket | None = None
    frozen: Ticket | None = None
    frozen_at: float = 0.0
    taken: bool = False
    count: int = 0
    offers: dict[NodeId, tuple[Ticket, float]] = field(default_factory=dict)
    bound: NodeId | None = None
    relieved_by: float | None = None
    failures: int = 0
    retry_at: float = 0.0

    def next_ticket(self, me: NodeId) -> Ticket:
        """A new ticket."""
        self.count += 1
        return Ticket(self.term, self.count, me)

    def move_failed(self, now: float) -> float:
        """Note a failed move; seconds until the next may begin."""
        delay = min(MOST, FIRST * 2.0**self.failures)
        self.failures += 1
        self.retry_at = now + delay
        return delay


_THEIRS = Step(Do.REST, "elsewhere")


class Copies:
    """The rules about copies, for one core. ``warm``: there are any at all; the others are never asked otherwise.

    ``kept``: of children that have stopped here, the ticket of the state that is kept until somebody goes on with it, and
    what was wanted then.
    """

    __slots__ = ("_all", "_handover", "_me", "_members", "_migrates_warm", "_placement", "kept", "moves", "now")

    def __init__(self, me: NodeId, members: Members, placement: Placement, strategies: Strategies) -> None:
        self._me = me
        self._members = members
        self._placement = placement
        self._migrates_warm = bool(strategies.migration.warm)
        self._all = getattr(strategies.redundancy, "active", "one") == "all"
        self._handover = bool(getattr(strategies.migration, "handover", False))
        self.kept: dict[str, tuple[Ticket, Want]] = {}
        self.moves: Moves = Moves(me, strategies.migration)
        self.now: float = 0.0

    @property
    def replicated(self) -> bool:
        """Whether there is more than one copy of each child, or would be if there were nodes for them."""
        return self._placement.copies > 1

    @property
    def warm(self) -> bool:
        """Whether copies may stand by."""
        return self._migrates_warm or self._placement.copies > 1

    @property
    def all_active(self) -> bool:
        """Whether all copies handle messages, and only the map tells them apart."""
        return self._all

    @property
    def carries_state(self) -> bool:
        """Whether the state goes along when a child changes nodes."""
        return not self._all and (self._handover or self.replicated)

    # -- who stands by -------------------------------------------------------------------------------------------------

    def kept_ticket(self, child: str) -> Ticket | None:
        """Of the state that is kept of a child which has stopped here."""
        kept = self.kept.get(child)
        return None if kept is None else kept[0]

    def claimant(
        self, child: str, owners: tuple[NodeId, ...], runs: Mapping[NodeId, Run], instance: Instance | None
    ) -> NodeId | None:
        """Who is to have a child that runs nowhere: the first of those with the newest state."""
        if self._all or not owners or not self.replicated:
            return owners[0] if owners else None
        best, newest = owners[0], None
        for node in (*owners, *sorted(runs.keys() - set(owners))):  # those that wait to be relieved have a state, too
            run = runs.get(node)
            if node == self._me:
                ticket = self.kept_ticket(child) if instance is None else instance.ticket
            elif run is None or run.role not in ("passive", "claiming") or node not in self._members.alive:
                continue
            else:
                ticket = run.ticket
            if ticket is not None and (newest is None or ticket > newest):
                best, newest = node, ticket
        return best

    def stand_by(
        self, runs: Mapping[NodeId, Run], owners: tuple[NodeId, ...], want: Want, instance: Instance | None, *,
        is_held: bool,
    ) -> Step:  # fmt: skip
        """The token is not here: is there to be a passive copy? ``is_held``: somebody in sight has the token."""
        mine = runs.get(self._me)
        belongs = self._me in owners
        if instance is None:
            if mine is not None and mine.role == "passive":
                return Step(Do.DROP, "no copy")
            return Step(Do.WARM, "stands by") if mine is None and belongs and is_held else _THEIRS
        if (instance.want.start, instance.want.body) != (want.start, want.body):
            return Step(Do.STOP, "updated", reason="updated")
        if mine is not None and mine.role == "passive" and mine.rev != want.rev:
            return Step(Do.STOP, "updated", reason="updated") if mine.phase == "failed" else Step(Do.ADOPT, "updated")
        if not belongs and is_held and (owners or not self._placement.failing):
            if self._is_relieved(runs, owners, instance):
                return Step(Do.STOP, "no copy", reason="removed")
            return Step(Do.REST, "to be relieved", unsure=True)
        instance.relieved_by = None
        if mine is None and is_held:
            return Step(Do.WARM, "stands by")
        return Step(Do.REST, "stands by")

    def _is_relieved(self, runs: Mapping[NodeId, Run], owners: tuple[NodeId, ...], instance: Instance) -> bool:
        """Whether all who are to have a copy have one, and a state in it; or else they must have had the time for it.

        (What was granted with the token is kept until it is taken over: it may be that it is given back.)
        """
        mine = runs.get(self._me)
        if mine is not None and mine.role == "released" and mine.ticket is not None:
            return False
        if instance.ticket is None or not self.replicated:
            return True
        if instance.relieved_by is None:
            instance.relieved_by = self.now + RELIEF
        if self.now >= instance.relieved_by:
            return True
        theirs = [runs.get(node) for node in owners if node in self._members.alive]
        return all(run is not None and (run.holds or run.phase == "failed" or run.ticket is not None) for run in theirs)

    # -- handing over --------------------------------------------------------------------------------------------------

    def may_move(self, child: str, heir: NodeId, *, leaving: bool) -> Step | None:
        """Why a child that belongs on another node may not leave this one yet; `None`: it may."""
        if self.moves.objects(child, heir, leaving=leaving):
            return Step(Do.REST, "vetoed", nodes=(heir,), unsure=True)
        if not self.moves.may_begin(child, self.now):
            return Step(Do.REST, "in line", nodes=(heir,), unsure=True)
        return None

    def hand_over(
        self,
        child: str,
        want: Want,
        runs: Mapping[NodeId, Run],
        owners: tuple[NodeId, ...],
        instance: Instance,
        *,
        leaving: bool,
    ) -> Step:
        """The token and an active instance are here, and belong to another."""
        heir = owners[0]
        theirs = runs.get(heir)
        is_warm = theirs is not None and theirs.role == "passive" and theirs.rev == want.rev
        if instance.frozen is None and (step := self.may_move(child, heir, leaving=leaving)) is not None:
            return step
        if theirs is not None and is_warm and theirs.phase == "failed" and (leaving or instance.phase == "failed"):
            return self._let_go(owners, instance)  # it is parked there then, as it is here, or would be
        if self.now < instance.retry_at or not is_warm or theirs is None or theirs.phase != "running":
            if instance.frozen is not None:
                return Step(Do.THAW, "move failed" if is_warm else "warming", nodes=(heir,))
            if self.now < instance.retry_at:
                return Step(Do.REST, "move failed", nodes=(heir,), unsure=True)
            return Step(Do.REST, "warming", nodes=(heir,), unsure=True)
        if self.carries_state and instance.ticket is not None and instance.phase == "starting":
            return Step(Do.REST, "warming", nodes=(heir,))
        if self.carries_state and (instance.ticket is not None or instance.phase == "running"):
            if instance.frozen is not None and self.now - instance.frozen_at > PATIENCE:
                return Step(Do.THAW, "no answer", nodes=(heir,))
            if instance.frozen is None:
                return Step(Do.FREEZE, "not the heir", nodes=(heir,))
            if not instance.taken:
                return Step(Do.REST, "freezing", nodes=(heir,), unsure=True)
            if theirs.ticket != instance.frozen:
                return self.offer(instance, instance.frozen, (heir,))
        return self._let_go(owners, instance)

    def _let_go(self, owners: tuple[NodeId, ...], instance: Instance) -> Step:
        if self._me in owners:
            return Step(Do.DEMOTE, "not the heir", instance.term, owners[:1])
        return Step(Do.STOP, "not the heir", nodes=owners[:1], reason="moved")

    def offer(self, instance: Instance, ticket: Ticket, nodes: Iterable[NodeId]) -> Step:
        """Let these nodes have the state of this ticket: each is offered it once, and then waited for."""
        due = tuple(node for node in nodes if instance.offers.get(node, (None, 0.0))[0] != ticket)
        if due:
            return Step(Do.OFFER, "handing over", nodes=due)
        return Step(Do.REST, "handing over", nodes=tuple(nodes), unsure=True)

    def lacking(self, runs: Mapping[NodeId, Run], instance: Instance) -> Step | None:
        """The token is at home: do all copies that stand by have the newest state?"""
        ticket, alive = instance.ticket, self._members.alive
        if ticket is None or self._all:
            return None
        waiting: list[NodeId] = []
        due: list[NodeId] = []
        for node, run in runs.items():
            if run.role == "passive" and run.phase == "running" and node in alive and (run.ticket or (0,)) < ticket:
                offered, since = instance.offers.get(node, (None, 0.0))
                (waiting if offered == ticket and self.now - since <= PATIENCE else due).append(node)
        if due:
            return Step(Do.OFFER, "checkpoint", nodes=tuple(sorted(due)))
        return Step(Do.REST, "home", unsure=True) if waiting else None

    def declined(self, instance: Instance, ticket: Ticket, peer: NodeId) -> None:
        """A copy does not take what was in a checkpoint that it was offered: it is offered it again a little later."""
        instance.offers[peer] = (ticket, self.now - PATIENCE + FIRST)

    def linked(self, peer: NodeId, instances: Mapping[str, Instance]) -> set[str]:
        """A new link to this peer: what was offered on the old one may be lost. The children that this is about."""
        return {child for child, instance in instances.items() if instance.offers.pop(peer, None) is not None}

    def is_stale(self, child: str, want: Want | None, runs: Mapping[NodeId, Run]) -> bool:
        """Whether the state that is kept is of no use: the child is not wanted, or is another one, or went on elsewhere.

        (That it did is certain when a copy in sight has a later state: who went on may be gone by now.)
        """
        kept = self.kept.get(child)
        if kept is None:
            return False
        if want is None or (want.start, want.body) != (kept[1].start, kept[1].body):
            return True
        ticket, alive = kept[0], self._members.alive
        return any(
            run.role == "passive" and (run.ticket or (0,)) > ticket and node in alive for node, run in runs.items()
        )

    def has_state(self, instance: Instance | None, ticket: Ticket | None) -> bool:
        """Whether what was granted with this ticket has arrived here."""
        return ticket is None or (instance is not None and instance.ticket == ticket)

    def placed(self, runs: Mapping[NodeId, Run], owners: tuple[NodeId, ...], want: Want) -> bool:
        """Whether exactly the copies that are to stand by do so."""
        alive = self._members.alive
        standing = [node for node, run in runs.items() if run.role == "passive" and node in alive]
        if set(standing) != set(owners[1:]):
            return False
        return all(runs[node].rev == want.rev and runs[node].phase in ("running", "failed") for node in standing)
