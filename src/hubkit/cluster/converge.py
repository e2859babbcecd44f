"""The rules: what one node does next about one child, given what the map says and what runs here.

Law of this room: rules look at what is, never at how it came about. A rule names one step and knows nothing of the next; the
step is taken, and the rules are asked again, until they say rest. Every step may be repeated, and whoever dies between two
steps leaves rows, from which the next to look goes on.

The *token* of a child is with the living holder, or grantee, of the greatest ``(term, node)``. The *heir* is where the child
belongs. In order:

1. *Unwanted, forbidden*: let go of what must not run.
2. *Yield*: somebody living holds it by a greater token. So duplicates end when a partition heals.
3. *Release*: the token is here, and the heir is another: stop, and then, not before, say to whom it goes. (Where a
   copy stands by there, the steps between are those of `hubkit.cluster.copies`.)
4. *Keep*: the token is here, and so it should be: run it, from its newest spec.
5. *Claim*: nobody living holds it, nobody who might is unaccounted for, and I am the heir. A claim is announced by a row;
   when all believed alive have acknowledged that row (or patience has run out) look again, and act if no rival is left. Two
   that differ on who is ready would otherwise both act. A grant needs no announcement: its giver held the token
   (under a lease it does: `hubkit.cluster.quorum` has the other answers to what is asked here).

A term grows whenever a child changes hands or is started anew, and it is never lost while the child is wanted: rows of the
dead stay until a greater term stands, and who sees one go without that keeps the term (`Ledger.passed`). It is what a child
hands to databases to fence off its predecessors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hubkit.cluster.copies import Copies, Do, Instance, Step
from hubkit.cluster.credence import LEAP
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.quorum import Quorum
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Key, Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.pids import NodeId

__all__ = ["Do", "Instance", "Rules", "Step"]


_NO_RUNS: Mapping[NodeId, Run] = {}
_THEIRS = Step(Do.REST, "elsewhere")
_UNWANTED = Step(Do.REST, "unwanted")
_STOPPING = Step(Do.REST, "stopping")
_HOME = Step(Do.REST, "home")


class Rules:
    """The rules, and everything that they look at.

    ``announced``: my claims that still wait for acknowledgements.

    A row is removed only when all who will miss it know why: rows of different writers travel on different roads, and the
    removal of a term could arrive long before the greater one. (To those out of sight the reason is sent along.) And where
    the reason is another's row, its writer must have held to it in knowledge of the one that goes: it may have let go of the
    child long ago, as of one that nobody wants any more, and then nobody would know how far the terms had come.
    """

    __slots__ = ("_disputes", "_ledger", "_liveness", "_me", "_members", "_placement", "_replication", "_strays", "allowed",
                 "announced", "copies", "instances", "leaving", "now", "quorum")  # fmt: skip

    def __init__(
        self, me: NodeId, ledger: Ledger, members: Members, placement: Placement, liveness: Liveness,
        replication: Replication, copies: Copies, quorum: Quorum,
    ) -> None:  # fmt: skip
        self._me = me
        self.quorum: Quorum = quorum
        self._replication = replication
        self._ledger = ledger
        self._members = members
        self._placement = placement
        self._liveness = liveness
        self.copies: Copies = copies
        self.instances: dict[str, Instance] = {}
        self.announced: dict[str, tuple[tuple[int, int], float]] = {}  # child -> moment of the claim, end of patience
        self.allowed: bool = True
        self.leaving: bool = False
        self.now: float = 0.0
        #: children with rows of the living that others have removed; the newest such removal, and since when it is known
        self._disputes: dict[str, tuple[Stamp, float]] = {}
        self._strays: dict[str, float] = {}  # children with rows of strangers about a want never seen, and since when

    def decide(self, child: str) -> Step:
        """The next step for this child."""
        me = self._me
        runs = self._ledger.runs.get(child, _NO_RUNS)
        want = self._ledger.wants.get(child)
        instance = self.instances.get(child)
        mine = runs.get(me)
        if want is None:
            return self._unwanted(child, runs, mine, instance)
        if self._strays:
            self._strays.pop(child, None)
        if child in self._disputes and not self._replication.buried(child):
            del self._disputes[child]
        if not self.allowed:
            return self._forbidden(mine, instance)
        if instance is not None and instance.stopping is not None:
            return _STOPPING
        if instance is not None and mine is None and not instance.passive:
            return Step(Do.STOP, "row lost", reason="conflict")
        if self.copies.warm and want.start:
            return self._with_copies(child, want, runs, mine, instance)
        heir = self._placement.heir(child, want)
        if mine is None and heir != me and instance is None and not any(run.to == me for run in runs.values()):
            return _THEIRS
        return self._decide(child, want, runs, heir, mine, instance) or _THEIRS

    def _with_copies(
        self, child: str, want: Want, runs: Mapping[NodeId, Run], mine: Run | None, instance: Instance | None
    ) -> Step:
        """The same where copies may stand by."""
        owners = self._placement.owners(child, want)
        heir = owners[0] if owners else None
        at, giver, missing = self._token(runs)
        is_held = giver is not None and not self.quorum.claims(giver, runs[giver])
        if missing is None and (giver is None or not is_held or self._is_idle(child, at, giver, runs[giver], instance)):
            heir = self.copies.claimant(child, owners, runs, instance)
        step = self._decide(child, want, runs, heir, mine, instance)
        if step is None and self.leaving and not owners and instance is not None and not self._awaits_company():
            return Step(Do.STOP, "unplaced", reason="shutdown")  # a copy, and nobody to leave it to
        return step or self.copies.stand_by(runs, owners, want, instance, is_held=is_held)

    def _is_idle(self, child: str, at: NodeId | None, giver: NodeId, last: Run, instance: Instance | None) -> bool:
        """Whether the token is here, and I neither run the child nor have its state: it was not kept, or not given to me."""
        if child in self.copies.kept:
            return False
        if giver == self._me:
            return instance is None or instance.passive
        return at == self._me and instance is None and last.ticket is None

    def _decide(
        self, child: str, want: Want, runs: Mapping[NodeId, Run], heir: NodeId | None, mine: Run | None,
        instance: Instance | None,
    ) -> Step | None:  # fmt: skip
        """What is to be done because of the token; `None`: it is elsewhere."""
        me = self._me
        at, giver, missing = self._token(runs)
        if at != me and (step := self._yield(child, runs, mine, instance, at)) is not None:
            return step
        if missing is not None:
            return Step(Do.REST, "granted to a missing node", nodes=(missing,), unsure=True)
        if at == me:
            return self._held(child, want, runs, heir, giver or me)
        if at is None and heir == me:
            return self._claim(child, runs)
        return None

    # -- 1 -------------------------------------------------------------------------------------------------------------

    def _unwanted(self, child: str, runs: Mapping[NodeId, Run], mine: Run | None, instance: Instance | None) -> Step:
        if instance is not None:
            return _STOPPING if instance.stopping is not None else Step(Do.STOP, "unwanted", reason="removed")
        if mine is not None and mine.role == "active":
            return Step(Do.GRANT, "unwanted", mine.term)
        strangers = [node for node in runs if node not in self._ledger.nodes]
        if mine is None and not strangers:
            self._strays.pop(child, None)
            return _UNWANTED
        if not self._known(("want", child)) or not self._is_removed(child, runs):
            return Step(Do.REST, "unwanted", unsure=True)
        if mine is not None:
            return Step(Do.DROP, "unwanted")
        # One is enough to clear up; should it see things otherwise, the next look finds another.
        dead = tuple(sorted(node for node in strangers if self._buriable(node, runs[node])))
        if dead and self._me == min(self._members.alive, default=self._me):
            return Step(Do.BURY, "unwanted", nodes=dead)
        return Step(Do.REST, "unwanted", unsure=True)

    def _is_removed(self, child: str, runs: Mapping[NodeId, Run]) -> bool:
        """Whether the want has been removed; or else is it only on its way? In the end it must have been lost."""
        if all(run.rev is None or self._replication.seen(run.rev) for run in runs.values()):
            return True
        return self.now - self._strays.setdefault(child, self.now) > self._liveness.down_after

    def _known(self, key: Key) -> bool:
        gone, links = self._liveness.gone, self._replication.links
        return self._replication.known(
            key, {*self._members.alive, *(node for node in links if not gone(node, self.now))}
        )

    def _forbidden(self, mine: Run | None, instance: Instance | None) -> Step:
        if instance is not None and instance.passive and instance.stopping is None and not self.copies.all_active:
            if mine is None or mine.role == "passive":  # it handles nothing, and has a state that may be needed
                return Step(Do.REST, "forbidden")
        elif instance is not None:
            return _STOPPING if instance.stopping is not None else Step(Do.STOP, "forbidden", reason="partition")
        if mine is not None and (mine.role == "passive" or (self.quorum.strict and mine.role == "claiming")):
            return Step(Do.DROP, "forbidden")
        if mine is not None and (mine.role != "released" or (mine.to is not None and self.quorum.strict)):
            return Step(
                Do.GRANT, "forbidden", self.quorum.held_term(self._me, mine) if self.quorum.strict else mine.term
            )
        return Step(Do.REST, "forbidden")

    # -- 2 -------------------------------------------------------------------------------------------------------------

    def _token(self, runs: Mapping[NodeId, Run]) -> tuple[NodeId | None, NodeId | None, NodeId | None]:
        """Where the token is, whose row says so, and which missing grantee has to be accounted for first."""
        alive = self._members.alive
        held, claims = self.quorum.held_term, self.quorum.claims
        holder = _greatest(runs, alive, held)
        if holder is not None:
            run = runs[holder]
            if run.role == "active":
                return holder, holder, None
            if run.to is not None and not claims(holder, run):
                if run.to in alive and (run.to in self._members.ready or not self.quorum.strict):
                    return run.to, holder, None
                if run.to not in alive and not self.quorum.gone(run.to, self.now):
                    return None, holder, run.to
                return holder, holder, None
        claimed = [_bid(node, run) for node, run in runs.items() if node in alive and claims(node, run)]
        claimant = max(claimed)[-1] if claimed else None
        return claimant, claimant, None

    def _yield(
        self, child: str, runs: Mapping[NodeId, Run], mine: Run | None, instance: Instance | None, at: NodeId | None
    ) -> Step | None:
        if mine is None or mine.role == "passive":
            return None
        if mine.role == "claiming":
            return None if at is None else Step(Do.DROP, "outbid", nodes=(at,))
        alive, held = self._members.alive, self.quorum.held_term
        token = (held(self._me, mine), self._me)
        for node, run in runs.items():
            # (Whoever runs what I have let go of for it, at the very same term, shall not wait for my copy in vain.)
            tied = self.copies.warm and mine.to == node and run.role == "active" and run.term == mine.term
            if ((held(node, run), node) > token or tied) and node in alive:
                if instance is None or instance.passive:
                    known, answered = self._known(("run", child, node)), self._replication.answered
                    known = known and answered(node, ("run", child, self._me))
                    return Step(Do.DROP if known else Do.REST, "superseded", nodes=(node,), unsure=not known)
                if not self._replication.vouches(node, self._replication.stamp_of(("run", child, node))):
                    return Step(Do.REST, "unconfirmed", nodes=(node,), unsure=True)  # it will say so itself, or deny it
                if self.copies.all_active:
                    return Step(Do.DEMOTE, "superseded", mine.term)
                return Step(Do.STOP, "superseded", run.term, (node if at is None else at,), "conflict")
        if at is not None and self.quorum.claims(self._me, mine):
            return Step(Do.GRANT, "outbid", mine.term - 1)  # granted to myself in vain: what that replaced stands again
        return None

    # -- 3, 4 ----------------------------------------------------------------------------------------------------------

    def _held(self, child: str, want: Want, runs: Mapping[NodeId, Run], heir: NodeId | None, giver: NodeId) -> Step:
        """The token is here."""
        mine, instance = runs.get(self._me), self.instances.get(child)
        if instance is not None and not instance.passive:
            return self._running(child, want, runs, instance, heir, giver)
        last = self._last(child, runs)
        if instance is not None and (instance.want.start, instance.want.body) != (want.start, want.body):
            return Step(Do.STOP, "updated", reason="updated")
        ticket = runs[giver].ticket
        if giver != self._me and heir is not None and (heir == self._me or instance is not None or ticket is not None):
            if not self.copies.has_state(instance, ticket):
                return Step(Do.GRANT, "state lost", last + 1, (giver,))  # it has it still, and gives it again
            if self.quorum.strict:
                return (
                    self._claim(child, runs, giver)
                    if heir == self._me
                    else Step(Do.GRANT, "not the heir", last + 1, (giver,))
                )
            return Step(Do.BEGIN, "granted", last + 1, (giver,), "migration")
        if mine is not None and mine.role == "claiming":
            return self._claim(child, runs) if heir == self._me else Step(Do.DROP, "not the heir")
        if heir == self._me:
            if mine is not None and mine.role == "active":
                rivals = self._rivals(runs) if self.quorum.strict else ()
                if rivals:  # I have not been allowed to run it for a while
                    return Step(Do.REST, "rival claims", nodes=rivals, unsure=True)
                return Step(Do.BEGIN, "home", last + 1, reason="start")
            return self._claim(child, runs)
        if heir is not None and child in self.copies.kept:
            return self._kept(child, want, runs, heir, last)
        term = mine.term if mine is not None and mine.role == "active" else last + 1
        return Step(Do.GRANT, "unplaced" if heir is None else "not the heir", term, () if heir is None else (heir,))

    def _kept(self, child: str, want: Want, runs: Mapping[NodeId, Run], heir: NodeId, last: int) -> Step:
        """The token is here, and the state, but nothing runs any more: the heir must have both."""
        theirs, mine, ticket = runs.get(heir), runs.get(self._me), self.copies.kept_ticket(child)
        if theirs is not None and theirs.role == "passive" and theirs.ticket == ticket and theirs.rev == want.rev:
            return Step(Do.GRANT, "not the heir", mine.term if mine and mine.role == "active" else last + 1, (heir,))
        if mine is None or mine.role != "active":  # it was let go of
            return self._claim(child, runs)
        return Step(
            Do.BEGIN, "not taken over", last + 1, reason="failover"
        )  # it is served here until it can be handed over

    def _running(
        self, child: str, want: Want, runs: Mapping[NodeId, Run], instance: Instance, heir: NodeId | None,
        giver: NodeId,
    ) -> Step:  # fmt: skip
        """The token is here, and so is an instance."""
        mine, alive = runs[self._me], self._members.alive
        if giver != self._me and self.copies.warm and want.start:  # it takes the greater term, and keeps its state
            return Step(Do.DEMOTE, "outranked", mine.term)
        if heir is not None and heir != self._me and self.copies.warm and want.start:
            if (instance.want.start, instance.want.body) == (want.start, want.body) and mine.rev == want.rev:
                owners = self._placement.owners(child, want)
                hand_over = self.copies.hand_over(child, want, runs, owners, instance, leaving=self.leaving)
                behind = None if instance.taken else self.copies.lacking(runs, instance)
                return behind if behind and hand_over.do is Do.REST and behind.do is Do.OFFER else hand_over
        elif heir is not None and heir != self._me:
            obstacle = self.copies.may_move(child, heir, leaving=self.leaving)
            return obstacle or Step(Do.STOP, "not the heir", nodes=(heir,), reason="moved")
        if instance.frozen is not None:
            return Step(Do.THAW, "home")
        if heir is None and self.leaving:
            if self.copies.carries_state and self._awaits_company():
                return Step(Do.REST, "unplaced", unsure=True)  # whoever joins may take it, and its state
            return Step(Do.STOP, "unplaced", reason="shutdown")
        if (instance.want.start, instance.want.body) != (want.start, want.body):
            return Step(Do.STOP, "updated", reason="updated")
        if mine.rev != want.rev:
            if mine.phase == "failed":
                return Step(Do.STOP, "updated", reason="updated")
            return Step(Do.ADOPT, "updated")
        if len(runs) == 1:
            return _HOME
        # Somebody had a greater term: what runs here must not go on under a lesser one.
        if giver != self._me:
            return Step(Do.STOP, "outranked", runs[giver].term, (giver,), "conflict")
        greater = [(run.term, node) for node, run in runs.items() if node not in alive and run.term > mine.term]
        if greater:
            term, node = max(greater)
            return Step(Do.STOP, "outranked", term, (node,), "conflict")
        strangers = [node for node in runs if node not in self._ledger.nodes]
        dead = tuple(sorted(node for node in strangers if self._buriable(node, runs[node])))
        if dead:
            return Step(Do.BURY, "home", nodes=dead)
        if instance.ticket is not None and (behind := self.copies.lacking(runs, instance)) is not None:
            return behind
        return Step(Do.REST, "home", unsure=True) if strangers else _HOME

    def _awaits_company(self) -> bool:
        """Whether somebody in sight is about to become ready."""
        nodes = self._ledger.nodes
        return any(nodes[node].state == "joining" for node in self._members.alive)

    # -- 5 -------------------------------------------------------------------------------------------------------------

    def _claim(self, child: str, runs: Mapping[NodeId, Run], giver: NodeId | None = None) -> Step:
        """Nobody living holds it, or it was I who let go of it, or ``giver``; and I am the heir."""
        me, alive = self._me, self._members.alive
        unaccounted = self._unaccounted(runs)
        if unaccounted:
            return Step(Do.REST, "a former holder is missing", nodes=unaccounted, unsure=True)
        if removed := self._disputed(child):
            return Step(Do.REST, "a removal may be disputed", nodes=removed, unsure=True)
        last = self._last(child, runs)
        mine = runs.get(me)
        if mine is None or mine.role == "passive":
            return Step(Do.CLAIM, "claim", last + 1)
        if mine.role == "released" and mine.to != me:
            # What I say of its last term must stand: so I claim it by granting it to myself.
            return Step(Do.CLAIM, "claim", last + 1, (me,))
        if child in self.announced:
            return Step(Do.REST, "announced", nodes=tuple(sorted(alive - {me})))
        others = {node: run for node, run in runs.items() if node != me and run.role != "passive"}
        rivals = self._rivals(others)
        if rivals:
            return Step(Do.REST, "rival claims", nodes=rivals, unsure=self.quorum.strict)
        term = mine.term if mine.term > self._last(child, others) else last + 1
        first = mine.role == "claiming" and all(run.role == "claiming" for run in others.values())
        if giver is not None:
            return Step(Do.BEGIN, "granted", term, (giver,), "migration")
        return Step(Do.BEGIN, "claim", term, reason="start" if first else "failover")

    def _disputed(self, child: str) -> tuple[NodeId, ...]:
        """Nodes that speak to me, and whose rows about this child others have removed: for a moment they may object."""
        buried = self._replication.buried(child)
        found = [node for node in buried if self._liveness.speaks(node, self.now)]
        if not found:
            return ()
        newest = max(buried[node] for node in found)
        removal, since = self._disputes.get(child, (None, self.now))
        if removal != newest:  # to that nobody has had the time to object
            self._disputes[child] = newest, (since := self.now)
        return tuple(found) if self.now - since <= self._liveness.beat_interval else ()

    def _last(self, child: str, runs: Mapping[NodeId, Run]) -> int:
        """The greatest term that is known, be it that its row was removed.

        (Others may not know of that, and a claim of mine must not be beyond what they believe: so there is a limit.)
        """
        last = max([run.term for run in runs.values()], default=0)
        return max(last, min(self._ledger.passed.get(child, 0), last + LEAP // 2))

    def _rivals(self, runs: Mapping[NodeId, Run]) -> tuple[NodeId, ...]:
        """Others that may run it, or be about to."""
        competes, now = self.quorum.competes, self.now
        return tuple(sorted(node for node, run in runs.items() if node != self._me and competes(node, run, now)))

    def _unaccounted(self, runs: Mapping[NodeId, Run]) -> tuple[NodeId, ...]:
        """Holders, claimants and grantees who are out of sight, and yet cannot be taken for gone."""
        traces = {node for node, run in runs.items() if run.role in ("active", "claiming")}
        traces.update(run.to for run in runs.values() if run.to is not None)
        return tuple(sorted(node for node in traces - self._members.alive if not self.quorum.gone(node, self.now)))

    def _buriable(self, node: NodeId, run: Run) -> bool:
        """Whether a stranger's row says nothing any more: it has let go, or it is gone."""
        return run.role == "released" or (self.allowed and self.quorum.gone(node, self.now))


def _bid(node: NodeId, run: Run) -> tuple[tuple[int, int, NodeId], int, NodeId]:
    """What a claim weighs against others: who has the newest state of the child must not be outbid by who has none."""
    return run.ticket or (-1, -1, ""), run.term, node


def _greatest(
    runs: Mapping[NodeId, Run], alive: frozenset[NodeId], term_of: Callable[[NodeId, Run], int]
) -> NodeId | None:
    """The living node of the greatest token, where each has this term; less than nothing: none."""
    best: tuple[int, NodeId] = (-1, "")
    for node, run in runs.items():
        if node in alive and (term_of(node, run), node) > best:
            best = (term_of(node, run), node)
    return best[1] if best[0] >= 0 else None
