"""This node's own part in the hub: how it joins, whom it meets and writes off, and how it leaves.

Law of this room: membership is rows, too. A node says of itself that it is joining, ready or leaving, and removes its own
row as its last word; of others it only removes the row, when they are dead. One that finds itself removed while it lives
writes its row again, and whoever sees that takes back what it held for proof.

And it alone writes of itself. What comes in its name from elsewhere is not taken; all that it has said is written anew, later,
and so the others drop what was forged (`hubkit.cluster.replication`). Who told it is named.

A newcomer acts when everybody it has heard of has told it what it knows. Not before: it would start what already runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from hubkit.cluster.affinity import Labels
from hubkit.cluster.bounds import HELLOS
from hubkit.cluster.effects import Effect, Publish
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.liveness import Liveness
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.quorum import Quorum
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Key, NodeRow, NodeState, Row, Run
from hubkit.cluster.stamps import NEVER, Moment
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Sync
from hubkit.pids import NodeId, name_of

__all__ = ["Membership", "Moved"]

#: Children whose place may have changed, and the names of the nodes where they belonged before.
Moved = dict[str, str | None]


class Membership:
    """What this node says about itself, and concludes about others.

    ``live``: it may act. ``leaving``, ``left``: it is about to go, it has gone. ``allowed``: by the partition strategy.
    """

    __slots__ = ("_born", "_exhausted", "_farewell", "_forget_after", "_found", "_hub", "_ledger", "_liveness", "_me",
                 "_members", "_met_since", "_outgrow", "_outgrown", "_placement", "_quorum", "_replication", "_row", "_seeds",
                 "_store", "_written_off", "allowed", "leaving", "left", "live")  # fmt: skip

    def __init__(
        self, me: NodeId, hub: str, store: Store, ledger: Ledger, members: Members, placement: Placement,
        replication: Replication, liveness: Liveness, quorum: Quorum, *, seeds: bool, now: float,
        address: str | None, actors: tuple[str, ...], forget_after: float, weight: float = 1.0, labels: Labels = (),
        found: list[tuple[NodeId, str]],
    ) -> None:  # fmt: skip
        self._me = me
        self._hub = hub
        self._store = store
        self._ledger = ledger
        self._members = members
        self._placement = placement
        self._replication = replication
        self._liveness = liveness
        self._quorum = quorum
        self._seeds = seeds
        self._born = now
        self._forget_after = forget_after
        self._exhausted: float | None = None  # when all seeds had been tried in vain
        self._met_since: float | None = None  # when the first of the others had told me what it knew
        self._farewell: Moment | None = None  # when I removed my own node row
        self._written_off: set[NodeId] = set()  # nodes that were members, and were removed by others
        self._row = NodeRow(name_of(me), address, "joining", actors, 0.0, weight, labels)  # what is to be said of me
        self._outgrow: Moment = NEVER  # what others have seen of me, and I must outgrow at the next beat
        self._outgrown = False  # since the last one I have
        self._found = found
        self.live: bool = False
        self.left: bool = False
        self.leaving: bool = False
        self.allowed: bool = not quorum.strict

    # -- looking around ------------------------------------------------------------------------------------------------

    def observe(self, unsure: Collection[str], effects: list[Effect], now: float) -> Moved | None:
        """Look at the rows and at who is there until nothing new turns up. `None`: the ready nodes are what they were."""
        moved: Moved | None = None
        ledger, members = self._ledger, self._members
        while True:
            nodes: list[NodeId] = []
            if self._store.changed:
                nodes, wants = ledger.absorb()
                for child in wants:
                    self._placement.forget(child)
            if nodes or ledger.newcomers:
                self._meet(nodes, now)
            concerned = members.update(ledger.nodes, now) if nodes or members.is_stale(now) else None
            if nodes or concerned:
                self._quorum.others()
                ledger.concern({*(concerned or ()), *nodes})
                ledger.dirty.update(unsure)
                moved = self._replace(moved)
                effects.extend(map(Publish, members.events(ledger.nodes)))
            if self.left:
                return None
            self._look_around(now)
            if not self._store.changed:
                return moved

    def _meet(self, nodes: list[NodeId], now: float) -> None:
        """These nodes' rows have changed, and some are spoken of for the first time: what does that say of them?"""
        for node in self._ledger.newcomers:
            self._liveness.mention(node, now)
        self._ledger.newcomers.clear()
        for node in nodes:
            if node == self._me:
                continue
            if node in self._ledger.nodes:
                if node in self._written_off:
                    self._written_off.discard(node)
                    self._liveness.refuted(node, now)
                self._liveness.mention(node, now)
            else:
                row = self._store.rows.get(("node", node))
                if row is not None and row.seen is not None:
                    self._written_off.add(node)
                    if node not in self._replication.links:
                        self._liveness.refuse(node)

    def _replace(self, moved: Moved | None) -> Moved | None:
        before, nodes = self._placement.names(), self._ledger.nodes
        found = self._placement.update({node: nodes[node] for node in self._members.ready})
        self._ledger.dirty |= found.keys()
        names = self._placement.names()
        if names != before:
            moved = {} if moved is None else moved
        return None if moved is None else found | moved

    def _look_around(self, now: float) -> None:
        """What time and the others' rows say about membership, mine included."""
        nodes = self._ledger.nodes
        if len(nodes) > len(self._members.alive):
            for node in self._members.forgettable(nodes, now, self._forget_after):
                self._store.put(("node", node), None, now)
        allowed = self._quorum.allowed(now)
        live = self.live or self._has_met_all(now)
        if allowed != self.allowed or live != self.live:
            if live != self.live:
                self._replication.pass_on()
            self.allowed, self.live = allowed, live
            self._ledger.dirty |= self._ledger.wants.keys() | self._ledger.runs.keys()
        if self._farewell is None:
            state: NodeState = "leaving" if self.leaving else "ready" if live and allowed else "joining"
            if state != self._row.state:
                self._row = replace(self._row, state=state)
            mine = nodes.get(self._me)
            if mine is not self._row and mine != self._row:
                self._quorum.stamped(self._store.put(("node", self._me), self._row, now), now)

    def tell(self, **news: Any) -> None:
        """Something about this node is different from now on: these fields of its row."""
        self._row = replace(self._row, **news)

    def beat(self, now: float) -> None:
        """Under a lease: stamp my node row anew, so that others may acknowledge it."""
        self._outgrown = False
        if self._outgrow > self._store.version.get(self._me, NEVER):
            self._must_outgrow(self._outgrow, now)
        row = self._ledger.nodes.get(self._me)
        if self._quorum.strict and row is not None and self._farewell is None:
            self._quorum.stamped(self._store.put(("node", self._me), row, now), now)

    def tidy(self) -> None:
        """Drop what was remembered of nodes of whom nothing is left."""
        self._written_off &= self._store.version.keys()

    # -- joining -------------------------------------------------------------------------------------------------------

    def seeds_exhausted(self, now: float) -> None:
        """All seeds have been tried in vain."""
        if self._exhausted is None:
            self._exhausted = now

    def _has_met_all(self, now: float) -> bool:
        """Whether everybody I have heard of has told me what it knows; in the end patience must do.

        Newcomers that have met only each other wait a beat for somebody who is settled.
        """
        liveness, nodes = self._liveness, self._ledger.nodes
        known = (self._members.alive | self._replication.links.keys()) - {self._me}
        if not self._seeds or now - self._born > 2 * liveness.down_after:
            return True
        if not known:
            return self._exhausted is not None and now - self._exhausted >= liveness.beat_interval
        met = [node for node in known if self._replication.met(node)]
        if met and self._met_since is None:
            self._met_since = now
        if self._met_since is None or (len(met) < len(known) and now - self._met_since <= liveness.down_after):
            return False
        settled = any(node in nodes and nodes[node].state != "joining" for node in met)
        return settled or now - self._met_since >= liveness.beat_interval

    # -- what others say in my name --------------------------------------------------------------------------------------

    def defend(self, peer: NodeId, sync: Sync, now: float) -> Sync:
        """Take out of a message what speaks in my name, and write anew what it would remove of mine; else it is as it was."""
        me, store = self._me, self._store
        known, seen = store.version.get(me, NEVER), max(sync.have.get(me, NEVER), sync.upto.get(me, NEVER))
        if seen > known:
            if self.live:
                self._found.append((peer, "it tells of what this node is to have written, and has not"))
                self._replication.show_all(peer)
            self._must_outgrow(seen, now)
        for key, row in sync.rows.items():
            if row[1] is None and row[2] is not None and key[-1] == me and self.live and self._replication.holds(key):
                mine = store.rows.get(key)
                if mine is not None and mine.value is not None and mine.stamp[:2] <= row[2]:
                    by = "" if row.stamp.node == peer else f" (so {row.stamp.node} is to have written)"
                    what = f"it removes the row of this node about {key[1]!r:.80}, as of a dead one{by}"
                    self._found.append((peer, what))
                    store.clock.outdo(row[2])
                    store.put(key, mine.value, now)
        return self._unforged(sync, known, now) if self.live and sync.upto.get(me, NEVER) > known else sync

    def _unforged(self, sync: Sync, known: Moment, now: float) -> Sync:
        """The same without what I am to have written after what I know of."""
        rows: dict[Key, Row] = {}
        for key, row in sync.rows.items():
            if row.stamp.node != self._me or row.stamp[:2] <= known:
                rows[key] = row
            elif row.value is not None and key[0] != "want" and self._store.get(key) is None:
                self._store.put(key, None, now)  # whoever has heard of it hears that it is none of mine
        return sync._replace(rows=rows, upto={**sync.upto, self._me: known})

    def _must_outgrow(self, seen: Moment, now: float) -> None:
        """Somebody has seen later writes of mine than I remember: of an earlier life of this id. Mine must be later."""
        if self._outgrown and self.live:  # once in a beat: it tells everybody everything
            self._outgrow = max(seen, self._outgrow)
            return
        self._outgrown = True
        self._store.clock.outdo(seen)
        for key, row in list(self._store.rows.items()):
            if row.stamp.node == self._me:
                self._store.put(key, row.value, now)

    def restore(self, now: float) -> None:
        """A whole map has removed rows of mine that I hold to: they are written anew. And who removed children is named."""
        for key in self._replication.kept:
            self._store.put(key, self._store.get(key), now)
        self._replication.kept.clear()
        unwanted = self._replication.unwanted
        if unwanted and self.live:
            what = f"{unwanted[0][1]!r:.80}" + (f" and {len(unwanted) - 1} more" if len(unwanted) > 1 else "")
            self._found.append((unwanted[0][0], f"its whole map has no child {what} any more, and so this one has not"))
        unwanted.clear()
        for peer in self._replication.floods:
            self._found.append((peer, f"it asks for everything more than {HELLOS} times in a beat: it has to wait"))
        self._replication.floods.clear()
        for peer, writer in self._replication.suspicion.forgers:
            self._found.append((peer, f"it told rows in the name of {writer} that this node has not written"))
        self._replication.suspicion.forgers.clear()

    # -- leaving -------------------------------------------------------------------------------------------------------

    def finish_leaving(self, busy: bool, now: float) -> bool:
        """Once nothing here is held or promised any more, the last word; once that is known, I have left.

        ``busy``: something still runs here. Returns whether rows have been written.
        """
        last_word = False
        mine = self._ledger.stakes.get(self._me, ())
        if self._farewell is None and not busy and all(map(self._is_handed_over, mine)):
            self._bid_farewell(now)
            last_word = True
        if self._farewell is not None:
            listeners = self._members.alive & self._replication.links.keys()
            if self._replication.floor(listeners) >= self._farewell:
                self.live, self.left = False, True
        return last_word

    def _is_handed_over(self, child: str) -> bool:
        """Whether nothing hangs on me: I promised it to nobody, or whom I promised it to holds it by now.

        (My row may stay behind: its heir clears it away once all know better.)
        """
        runs = self._ledger.runs[child]
        mine = runs.get(self._me)
        if mine is None or mine.to is None:
            return mine is None or mine.role == "released"
        heir = runs.get(mine.to)
        return heir is not None and heir.role == "active" and heir.term > mine.term

    def depart(self, now: float) -> None:
        """Leave at once: nothing runs here any more."""
        for child in sorted(self._ledger.stakes.get(self._me, ())):
            mine = self._ledger.runs[child].get(self._me)
            if mine is not None and mine.role != "released":
                kept = mine.role == "active" and child in self._ledger.wants
                run = Run(mine.term, "released", rev=mine.rev) if kept else None
                self._store.put(("run", child, self._me), run, now)
        if self._farewell is None:
            self._bid_farewell(now)
        self.live, self.left = False, True

    def _bid_farewell(self, now: float) -> None:
        self._farewell = self._store.put(("node", self._me), None, now)[:2]
        self._replication.pass_on()
