"""A lease on the right to run children, won by acknowledgements of a quorum: its arithmetic, and what it knows of others.

Law of this room: let ``L`` be the lease, ``S`` the bound on a child's last act after it, ``d`` the drift of clocks, and
``W = (L + max(L, S))(1 + d)/(1 - d)``; all times are seconds by this node's own monotonic clock, which goes on while the
process or its machine sleeps.

* *Lease.* Children may run here while a quorum has acknowledged one of my own *beats* that I stamped less than ``L`` ago. An
  acknowledgement counts once everything that its sender had seen has been seen here, too.
* *Lapse.* Whoever takes in a message looks at the lease first: what is read after it has ended does not undo that.
* *Silence.* Another has let go for certain when nothing that it wrote has come in, by any path, for ``W``.
* *Amnesia.* Who was started less than ``W`` ago may have acknowledged things in an earlier life: it does not vote.

Why that is enough, together with announced claims (`hubkit.cluster.converge`): let N start a child at ``T`` while X runs it.
X was allowed at ``T - max(L, S)`` at the latest, so by then a quorum had a beat of X stamped ``L`` before or later; and N is
allowed at ``T``, so a quorum has acknowledged a beat of N of ``T - L`` or later. Somebody is in both, and had the beat of X
before that of N. So N has seen it, knows every row that X wrote before it, and has heard of X within ``W``: it waits.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import TypeVar

from hubkit.cluster.policy import Leased, QuorumView
from hubkit.cluster.stamps import NEVER, Moment
from hubkit.pids import NodeId, name_of

__all__ = ["Lease"]

Reached = TypeVar("Reached", float, Moment)


class Lease:
    """The lease of one node in one hub.

    ``held``: children may run here. ``until``: when the lease ends, unless it is renewed. ``ended``: when it last did.
    ``lapses``: how often it has; whoever began before a lapse must not go on after it. ``wait``: ``W``.
    """

    __slots__ = ("_beats", "_fresh", "_heard", "_me", "_name", "_noticed", "_seen", "_terms", "born", "ended", "held", "lapses",
                 "until", "wait")  # fmt: skip

    def __init__(self, me: NodeId, terms: Leased, now: float) -> None:
        self._me = me
        self._name = name_of(me)
        self._terms = terms
        self.wait: float = (terms.lease + max(terms.lease, terms.stop)) * (1 + terms.drift) / (1 - terms.drift)
        self.born: float = now
        self.held: bool = False
        self.until: float = -math.inf
        self.ended: float = -math.inf
        self.lapses: int = 0
        self._noticed = False  # a lapse that has not been acted on
        self._beats: deque[tuple[Moment, float]] = deque()  # my latest, and when I stamped them
        self._fresh: dict[str, float] = {}  # name -> when I stamped the newest beat that it has acknowledged
        self._seen: dict[str, Moment] = {}  # name -> my newest writing that it has acknowledged
        self._heard: dict[NodeId, float] = {}  # when something new of this writer came in

    # -- what comes in -------------------------------------------------------------------------------------------------

    def beat(self, moment: Moment, now: float) -> None:
        """I have stamped a row of mine."""
        beats = self._beats
        beats.append((moment, now))
        while now - beats[0][1] > self._terms.lease:
            beats.popleft()

    def heard(self, writer: NodeId, now: float) -> None:
        """Something has come in that was not known of this writer."""
        self._heard[writer] = now

    def acknowledged(self, voter: str, moment: Moment) -> None:
        """This voter has everything that I wrote up to this moment, and I have all that it had."""
        if moment > self._seen.get(voter, NEVER):
            self._seen[voter] = moment
            for stamped, at in reversed(self._beats):
                if stamped <= moment:
                    self._fresh[voter] = max(at, self._fresh.get(voter, at))
                    break

    # -- the lease -----------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Has it ended? To be asked before anything is taken in."""
        if self.held and now >= self.until:
            self.held = False
            self.ended = self.until
            self.lapses += 1
            self._noticed = True

    def allowed(self, now: float, view: QuorumView) -> bool:
        """Whether children may run here. After a lapse they may not until `acted` says that all of them were told."""
        self.look(now)
        if not self._noticed:
            newest = self._newest(now, self._fresh, now, view)
            self.until = -math.inf if newest is None else newest + self._terms.lease
            if self.held and now >= self.until:  # there are more voters, or others, than there were
                self.until = now
                self.look(now)
            else:
                self.held = now < self.until
        return self.held

    def acted(self) -> None:
        """What a lapse ends has been told to end."""
        self._noticed = False

    @property
    def stop_bound(self) -> float:
        """``S``."""
        return self._terms.stop

    @property
    def stop_by(self) -> float:
        """When the last child must have stopped that ran when the lease ended."""
        return self.ended + self._terms.stop

    def may_act(self, lapses: int, now: float) -> bool:
        """Whether what began after so many lapses may begin something now."""
        return self.held and lapses == self.lapses and now < self.until

    # -- others --------------------------------------------------------------------------------------------------------

    def votes(self, now: float) -> bool:
        """Whether my acknowledgements count, also for myself."""
        return now - self.born > self.wait

    def gone(self, node: NodeId, now: float) -> bool:
        """Whether this node runs nothing any more, for certain, that I may not know of."""
        return now - self._heard.get(node, self.born) > self.wait

    def floor(self, mine: Moment, now: float, view: QuorumView) -> Moment:
        """How far a quorum has what I wrote; ``mine``: my newest writing."""
        return self._newest(mine, self._seen, now, view) or NEVER

    def in_touch(self, now: float) -> tuple[str, ...]:
        """Names of those who have acknowledged a beat of mine that is still good, sorted."""
        names = {name for name, at in self._fresh.items() if now - at < self._terms.lease}
        return tuple(sorted(names | {self._name} if self.votes(now) else names))

    def _newest(self, mine: Reached, others: Mapping[str, Reached], now: float, view: QuorumView) -> Reached | None:
        """The newest of these moments that a quorum has reached; `None`: no quorum is there."""
        reached = dict(others)
        reached.pop(self._name, None)  # of an earlier life
        if self.votes(now):
            reached[self._name] = mine
        names: set[str] = set()
        for name in sorted(reached, key=lambda name: reached[name], reverse=True):
            names.add(name)
            if self._terms.is_quorum(names, view):
                return reached[name]
        return None
