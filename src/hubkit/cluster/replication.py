"""How maps become equal: what each linked peer has, what it has been sent, and what it lacks.

Law of this room: nothing is sent twice on one link, and nothing is left out. Links are first-in-first-out and reliable until
they break; a new link is a new life and begins with a *hello* from both sides. What a peer has *acknowledged*, together
with what was sent to it on this link, is where its next delta starts.

What this node writes goes out at once, to everybody whom the synchronization strategy names. What others wrote is left to
them; only if a peer still lacks it a beat later is it passed on. (Exceptions: who becomes a member, or leaves, passes on all
that it has learnt; and who is told of a claim, and knows something about that child that the claimant may not know,
passes it on with the acknowledgement.) A sync with rows is acknowledged at once, others are not;
at a beat acknowledgements go along with the digest, wherever either has changed.

A strategy that *forwards* tells only a few, and whoever hears of something for the first time passes it on to a few, row by
row as it came (also what stands no longer: a removal that was followed by a creation must not be missing where the creation
comes later). Nobody knows then who has what. So acknowledgements go out at once only to the writer itself, and to a few peers
at each beat; what is passed on starts where it started here, and who lacks what was before asks for it; and at a beat a row
is passed on only to who has just said that it lacks it (who is shown that it lacks something says so). What a *claim* is
written with goes to everybody, from its writer: all must answer, and nobody need pass it on.

Two safeguards that should never be needed: a delta that starts later than what is known here is answered by a hello, and
unequal digests at equal versions by the whole map. And three against who lies: hellos are answered `HELLOS` times in a beat; a
whole map removes no row of mine that I hold to, nor one that its writer has told me on a link of its own (what it tells beyond
that writer's word is left to the writer, and asked for a beat later); and what others told in a writer's name goes with that
writer's next delta, which does not have it (`Store.join`).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from hubkit.cluster.bounds import HELLOS, WRITERS
from hubkit.cluster.effects import Send
from hubkit.cluster.knowledge import Knowledge
from hubkit.cluster.linkstate import LinkState
from hubkit.cluster.policy import Synchronization
from hubkit.cluster.rows import Key, Row, Run
from hubkit.cluster.stamps import NEVER, Moment, Stamp, Version, covers
from hubkit.cluster.store import Store
from hubkit.cluster.suspicion import Suspicion
from hubkit.cluster.sync import Kind, Sync
from hubkit.pids import NodeId

__all__ = ["CHUNK", "Replication"]

#: The most rows in one message.
CHUNK = 500


def _is_claim(peer: NodeId, row: Row) -> bool:
    """Whether this peer claims a child by this row (or grants it to itself, which is the same)."""
    stamp, value, _ = row
    if stamp.node != peer or not isinstance(value, Run):
        return False
    return value.role == "claiming" or value.to == peer


def _stamp_of(item: tuple[Key, Row]) -> Stamp:
    return item[1][0]


class Replication(Knowledge):
    """All links of one core. ``acked``: what each peer is known to have, and still has when its link is broken.

    ``complete``: whatever is sent carries all that the peer lacks, so that an acknowledgement never comes before what its
    sender knew; and everybody is told at once, whatever the strategy says. ``votes``: my acknowledgements count for a
    quorum. ``holds``: whether I hold to this row of mine. ``kept``: rows of mine that others have removed, though I do.
    ``unwanted``: children that somebody's whole map did not have any more. ``floods``: who asks for everything all the time.
    ``suspicion``: of who has told rows in whose name that it never wrote.
    """

    __slots__ = ("_announced", "_forwards", "_heard", "_idle", "_me", "_owes", "_proclaimed", "_pruned", "_ripe",
                 "_round", "_store", "_strategy", "acked", "complete", "floods", "holds", "kept", "links",
                 "suspicion", "unwanted", "votes")  # fmt: skip

    def __init__(self, me: NodeId, store: Store, strategy: Synchronization) -> None:
        self._me = me
        self._store = store
        self._strategy = strategy
        self._forwards: bool = bool(getattr(strategy, "forwards", False))
        self._heard: dict[NodeId, tuple[Moment, dict[Key, Row]]] = {}  # what is to be passed on, and where it starts
        self._announced = False  # what I have written is for everybody
        self._owes = False  # since all was sent that was to be, something has happened
        self._round = 0
        self._proclaimed = NEVER  # my newest write that has been told to whom it is to be told at once
        self._ripe: dict[NodeId, Moment] = {}  # the version at the last beat
        self._idle: dict[NodeId, float] = {}  # writers of whom nothing is left, and since when
        self._pruned: dict[NodeId, Moment] = {}  # those that were forgotten, and what had been seen of them
        self.links: dict[NodeId, LinkState] = {}  # in the order of their ids, which is that of what is sent
        self.acked: dict[NodeId, dict[NodeId, Moment]] = {}
        self.complete: bool = False
        self.votes: bool = False
        self.holds: Callable[[Key], bool] = lambda key: False
        self.kept: list[Key] = []
        self.unwanted: list[tuple[NodeId, str]] = []
        self.floods: list[NodeId] = []
        self.suspicion: Suspicion = Suspicion()

    def demand_all(self) -> None:
        """A lease hangs on what is acknowledged: see ``complete``."""
        self.complete, self._forwards = True, False

    # -- links ---------------------------------------------------------------------------------------------------------

    def up(self, peer: NodeId, now: float) -> None:
        """A new link."""
        self._owes = True
        self.links[peer] = LinkState(now)
        self.links = dict(sorted(self.links.items()))

    def down(self, peer: NodeId) -> None:
        """The link has ended."""
        self.links.pop(peer, None)
        self.suspicion.down(peer)

    def pass_on(self) -> None:
        """Do not wait for a beat to pass on what others wrote."""
        self._owes = True
        for link in self.links.values():
            link.relay = link.greeted

    def announce(self) -> None:
        """What I have just written must be acknowledged by all: tell everybody at once."""
        self._announced = True

    def tell(self, peer: NodeId, keys: Iterable[Key]) -> None:
        """Do not wait for a beat to pass on these rows to a peer that may lack them: with all that their writers wrote."""
        link = self.links.get(peer)
        if link is not None:
            self._owes = True
            rows = self._store.rows
            link.passing.update(rows[key].stamp.node for key in keys if key in rows)

    def accompany(self, key: Key) -> None:
        """What I have just written goes together with this row to whoever may not have it."""
        self._owes = True
        row = self._store.rows.get(key)
        for peer, link in self.links.items():
            have = self.acked.get(peer, {})
            if row is not None and not covers(have, row.stamp):
                writer = row.stamp.node
                link.passing.update((writer, self._me))
                if self._forwards:  # what was passed over may be lacking, and there may be no time to ask for it
                    link.told.pop(writer, None)
                    link.told.update({writer: have[writer]} if writer in have else {})

    # -- what comes in -------------------------------------------------------------------------------------------------

    def ask_again(self, peer: NodeId, *, later: bool = False) -> None:
        """What came was not all taken: ask for it, once in a beat; ``later``: and not before the next."""
        link = self.links[peer]
        if later:
            link.lacks = True
        elif not link.asked:
            link.asked = link.hello = self._owes = True

    def receive(self, peer: NodeId, sync: Sync) -> None:
        """Take in a message of a linked peer."""
        link, store, self._owes = self.links[peer], self._store, True
        if sync.kind == "hello":
            self.acked[peer] = dict(sync.have)
            link.told, link.caught_up = dict(sync.have), None
            link.hellos += 1
            link.greeted, link.answer = True, link.hellos <= HELLOS
            if link.hellos == HELLOS + 1:
                self.floods.append(peer)
        else:
            own = self.acked.get(peer, {}).get(peer, NEVER)  # how far it had told of itself before
            self._acknowledge(peer, link, sync.have.items())
            link.spoke = True
            before = store.version.copy() if self._forwards else {}
            if sync.kind == "whole":
                link.chunks.update(sync.rows)
                if sync.more:
                    return
                told, link.chunks = link.chunks, {}
                rows, upto = self._own_words(peer, told, sync.upto)
                if upto is not sync.upto:  # who wrote it may die before it says so, and the peer takes it for told
                    self.ask_again(peer, later=True)
                known = dict(store.rows) if self.suspicion.concerns(peer) else {}
                removed = store.join_whole(rows, upto, sync.since, partial(self._is_kept, peer, told))
                self.suspicion.gone(peer, [(key, known[key].stamp) for key in removed if key in known])
                self.suspicion.outgrown(peer, rows, known, own)
                self.unwanted += [(peer, key[1]) for key in removed if key[0] == "want" and not key[1].startswith("@")]
                link.news = link.met = True
                for other in self.links.values():  # what I have just learnt to be removed, a delta does not tell
                    if other is not link and other.greeted and not store.reaches_horizon(other.told):
                        other.whole = True
            else:
                if len(sync.upto) > (peer in sync.upto):
                    self._note_hearsay(peer, sync)
                gaps = store.join(sync.rows, sync.upto, sync.since, peer, whole=not self._forwards)
                if store.forged:
                    self.suspicion.gone(peer, store.forged)
                    store.forged = []
                link.news = link.news or (bool(sync.rows) and (not self._forwards or peer in sync.upto))
                if gaps:
                    self.ask_again(peer)
                link.met = link.met or not (gaps or sync.more)
            if self._forwards:
                self._learn(peer, link, sync, before)
        if sync.digest != store.digest and not link.repaired and self.acked[peer] == store.version:
            link.repaired = link.whole = True

    def _note_hearsay(self, peer: NodeId, sync: Sync) -> None:
        """Who has told more of others than they have said themselves, in case they never wrote it."""
        for writer, moment in sync.upto.items():
            said = self.acked.get(writer, {}).get(writer, NEVER)
            if moment <= said or writer == peer or writer not in self.links:
                continue
            self.suspicion.heard(peer, writer, said)

    def show_all(self, peer: NodeId) -> None:
        """This peer has seen of me what I never wrote: it gets all that I have, once in a beat."""
        link = self.links[peer]
        if not link.repaired:
            link.repaired = link.whole = self._owes = True

    def _learn(self, peer: NodeId, link: LinkState, sync: Sync, before: Version) -> None:
        """What of this is to be passed on; and does the peer have what I lack? Then it must hear that I do."""
        version = self._store.version
        claims = any(key[0] == "run" and _is_claim(peer, row) for key, row in sync.rows.items())
        fresh = {writer for writer in sync.upto if before.get(writer, NEVER) < version.get(writer, NEVER)}
        if sync.kind == "delta":  # (what a whole map tells by what it lacks cannot be passed on in part)
            for writer in fresh - {peer} if claims else fresh:
                self._heard.setdefault(writer, (before.get(writer, NEVER), {}))
            for key, row in sync.rows.items():
                writer = row.stamp.node
                if writer in fresh and writer in self._heard and before.get(writer, NEVER) < row.stamp[:2]:
                    self._heard[writer][1][key] = row
        if any(version.get(writer, NEVER) < moment for writer, moment in sync.have.items()):
            link.news = True

    def _acknowledge(self, peer: NodeId, link: LinkState, have: Iterable[tuple[NodeId, Moment]]) -> None:
        acked = self.acked.setdefault(peer, {})
        told = link.told
        for writer, moment in have:
            acked[writer] = moment
            if told.get(writer, NEVER) < moment:
                told[writer] = moment

    # -- what goes out -------------------------------------------------------------------------------------------------

    def compose(self) -> list[Send]:
        """Everything that is to be sent now."""
        sends: list[Send] = []
        newest = self._store.version.get(self._me, NEVER)
        if not self._owes and newest <= self._proclaimed:
            return sends
        eager, self._owes = self._eager(newest), False
        for peer, link in self.links.items():
            if link.hello:
                link.hello = False
                link.have.clear()
                sends.append(Send(peer, self._sync(link, {}, {}, "hello", False)))
            if link.greeted:
                is_eager = peer in eager
                if is_eager or link.news or link.answer or link.passing or link.relay or link.whole:
                    sends += self._to_greeted(peer, link, is_eager)
        return sends

    def _eager(self, newest: Moment) -> Collection[NodeId]:
        """Whom I tell at once of what I wrote; what is to be forwarded is added to what they must not wait for."""
        announced, self._announced = self._announced, False
        if newest <= self._proclaimed or not self.links:
            mine: Collection[NodeId] = ()
        elif self.complete:
            mine = self.links.keys()
        elif self._forwards:
            mine = self.links.keys() if announced else self._targets(newest)
        else:
            self._round += 1
            mine = frozenset(self._strategy.targets(list(self.links), self._round))
        if self.links:
            self._proclaimed = max(newest, self._proclaimed)
        for writer in sorted(self._heard):
            since, rows = self._heard[writer]
            self._forward(writer, since, rows)
        self._heard.clear()
        return mine

    def _forward(self, writer: NodeId, since: Moment, rows: Mapping[Key, Row]) -> None:
        """Pass on what I have heard of a writer, and who holds what it lets go of; who lacks what was before asks for it."""
        moment, greater = self._store.version.get(writer, NEVER), self._greater(rows)
        for peer in self._targets(moment):
            link = self.links[peer]
            told = link.told.get(writer, NEVER)
            if peer != writer and told < moment and not (link.answer or link.relay or link.whole):
                if told < since and writer not in link.passing:  # (what accompanies another row is told in full)
                    link.told[writer] = told = since
                link.passing.add(writer)
                link.passing.update(stamp.node for stamp in greater if link.told.get(stamp.node, NEVER) < stamp[:2])
                link.outdated.update((key, row) for key, row in rows.items() if row.stamp[:2] > told)

    def _targets(self, moment: Moment) -> Collection[NodeId]:
        """Whom to tell of what was written then: all who forward it ask in the same round, each from its own place."""
        return frozenset(self._strategy.targets(self._around(self.links), moment[0] // 1000))

    def _around(self, peers: Iterable[NodeId]) -> list[NodeId]:
        """These peers as they follow me in the circle of all."""
        order = sorted(peers)
        mine = bisect(order, self._me)
        return order[mine:] + order[:mine]

    def _to_greeted(self, peer: NodeId, link: LinkState, eager: bool) -> Iterable[Send]:
        told, version = link.told, self._store.version
        sends: Iterable[Send] = ()
        if link.whole or (link.answer and not self._store.reaches_horizon(told)):
            sends = list(self._whole(peer, link))
        else:
            writers: list[NodeId] = []
            if link.answer or link.relay:
                writers = [writer for writer, moment in version.items() if told.get(writer, NEVER) < moment]
            elif eager or link.passing:
                wanted = sorted({self._me, *link.passing} if eager else link.passing)
                writers = [w for w in wanted if told.get(w, NEVER) < version.get(w, NEVER)]
            if writers or link.answer or link.news:
                if self.complete:
                    writers = [w for w, moment in version.items() if told.get(w, NEVER) < moment]
                sends = self._delta(peer, link, writers)
        link.answer = link.whole = link.relay = link.news = False
        link.passing.clear()
        link.outdated.clear()
        return sends

    def _delta(self, peer: NodeId, link: LinkState, writers: list[NodeId]) -> list[Send]:
        """What these writers wrote that the peer lacks: a small delta, or many, in the order in which it was written."""
        if not writers:  # an acknowledgement
            return [Send(peer, self._sync(link, {}, {}, "delta", False))]
        sends: list[Send] = []
        store = self._store
        upto = {writer: store.version[writer] for writer in writers}
        rows = store.delta(link.told, writers)
        if link.outdated:
            rows = {key: row for key, row in link.outdated.items() if row.stamp.node in upto} | rows
        if len(rows) > CHUNK:
            queue = sorted(rows.items(), key=_stamp_of)
            last = (len(queue) - 1) // CHUNK * CHUNK
            for start in range(0, last, CHUNK):
                chunk = queue[start : start + CHUNK]
                part = {row.stamp.node: row.stamp[:2] for _, row in chunk}
                sends.append(Send(peer, self._sync(link, dict(chunk), part, "delta", True)))
            rows = dict(queue[last:])
        sends.append(Send(peer, self._sync(link, rows, upto, "delta", False)))
        return sends

    def _sync(self, link: LinkState, rows: dict[Key, Row], upto: Version, kind: Kind, more: bool) -> Sync:
        since: Version = {}
        if upto:
            since = {writer: link.told[writer] for writer in upto if writer in link.told}
            link.told.update(upto)
        return Sync(rows, upto, since, self._news(link), kind, more, self._store.digest, self.votes)

    def _news(self, link: LinkState) -> dict[NodeId, Moment]:
        """The part of my version that this peer has not been told of."""
        known = link.have
        news = {writer: moment for writer, moment in self._store.version.items() if known.get(writer) != moment}
        known.update(news)
        link.digest = self._store.digest
        return news

    def _whole(self, peer: NodeId, link: LinkState) -> Iterator[Send]:
        store = self._store
        upto, horizon, have = dict(store.version), dict(store.horizon), self._news(link)
        link.told.update({w: m for w, m in upto.items() if link.told.get(w, NEVER) < m})
        rows, left = iter(store.rows.items()), len(store.rows)
        while True:
            chunk = dict(islice(rows, CHUNK))
            left -= len(chunk)
            yield Send(peer, Sync(chunk, upto, horizon, have, "whole", left > 0, store.digest, self.votes))
            if left <= 0:
                return

    # -- at each beat --------------------------------------------------------------------------------------------------

    def beat(self, known: Collection[NodeId], now: float, forget_after: float) -> None:
        """Pass on what has ripened, acknowledge, compare, and forget what all know. ``known``: the members."""
        store, ripe, self._owes = self._store, self._ripe, True
        self.suspicion.beat(store.rows)
        owed: list[NodeId] = []
        for peer, link in self.links.items():
            told = link.told
            if link.caught_up is not ripe:  # what it was told it stays told: of nothing new there is nothing to relay
                lacks = link.greeted and any(told.get(writer, NEVER) < moment for writer, moment in ripe.items())
                link.caught_up = ripe if link.greeted and not lacks else None
                link.relay = lacks and (link.spoke or not self._forwards)
            link.hello, link.asked = link.hello or link.lacks, link.lacks
            link.lacks = link.repaired = link.spoke = False
            if link.hellos > HELLOS:
                link.answer = link.greeted
            link.hellos = 0
            if now - link.since >= self._strategy.sync_interval:
                link.have.clear()
            if link.have != store.version or link.digest != store.digest:
                owed.append(peer)
        if self._forwards and owed:
            self._round += 1
            few = len(self._strategy.targets(self._around(owed), self._round))
            owed = sorted(self._around(owed), key=lambda peer: self.links[peer].since)[
                :few
            ]  # whoever has waited longest
        for peer in owed:
            self.links[peer].news, self.links[peer].since = True, now
        if ripe != store.version:
            self._ripe = dict(store.version)
        concerned = {*known, *self.links} - {self._me}
        if concerned <= self.acked.keys():
            store.collect([self.acked[node] for node in concerned])
        for node in self.acked.keys() - concerned:
            del self.acked[node]
        self._prune(known, now, forget_after)

    def _prune(self, known: Collection[NodeId], now: float, forget_after: float) -> None:
        idle = self._store.version.keys() - {self._me, *known, *self.links, *self._store.writers()}
        for writer in self._idle.keys() - idle:
            del self._idle[writer]
        crowd = len(idle) - WRITERS // 16
        for writer in sorted(idle, key=lambda writer: (self._idle.get(writer, now), writer)):
            if now - self._idle.setdefault(writer, now) > forget_after or crowd > 0:
                crowd -= 1
                self._pruned[writer] = self._store.version[writer]
                self._store.prune(writer)
                self._ripe.pop(writer, None)
                del self._idle[writer]
                for link in self.links.values():
                    link.have.pop(writer, None)
        if len(self._pruned) > WRITERS:
            told = {writer for version in self.acked.values() for writer in version}
            self._pruned = {writer: moment for writer, moment in self._pruned.items() if writer in told}
