"""Replicas of the map without any core: writings, exchanges, and histories drawn by Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from hubkit.cluster.rows import Key, NodeRow, Run, Want
from hubkit.cluster.stamps import HybridClock, Stamp, includes
from hubkit.cluster.store import Store
from hubkit.pids import name_of

NODES = ("a#1", "b#1", "c#1")


class Replica:
    """A store and its writings."""

    def __init__(self, node: str, offset: float = 0.0) -> None:
        self.node = node
        self.store = Store(HybridClock(node, offset))
        self.writings: list[tuple[Key, Stamp, bool]] = []
        self.now = 1000.0

    def want(self, child: str, removed: bool = False) -> None:
        """Write a want, or its removal."""
        key: Key = ("want", child)
        stamp = self.store.put(key, None if removed else Want("X", child.encode()), self.now)
        self.writings.append((key, stamp, removed))

    def run(self, child: str, term: int) -> None:
        """Write my run row; term 0 removes it."""
        self.store.put(("run", child, self.node), Run(term, "active") if term else None, self.now)

    def node_row(self) -> None:
        """Write my node row."""
        self.store.put(("node", self.node), NodeRow(name_of(self.node), None, "ready", ()), self.now)

    def bury(self, child: str, node: str) -> None:
        """Remove another node's row, as far as it has been seen."""
        if self.store.get(("run", child, node)) is not None:
            self.store.put(("run", child, node), None, self.now)

    def tell(self, other: Replica) -> None:
        """Send what the other lacks: a delta, or the whole map if its past has been collected here, or digests differ."""
        mine, since = self.store, dict(other.store.version)
        differ = mine.version == since and mine.digest != other.store.digest
        if mine.reaches_horizon(since) and not differ:
            writers = [writer for writer, moment in mine.version.items() if moment > since.get(writer, (-1, -1))]
            upto = {writer: mine.version[writer] for writer in writers}
            gaps = other.store.join(mine.delta(since, writers), upto, since)
            assert not gaps
        else:
            other.store.join_whole(dict(mine.rows), dict(mine.version), dict(mine.horizon))
        assert includes(other.store.version, mine.version)


def merge_all(replicas: list[Replica]) -> None:
    """Exchange until nothing is new."""
    for _ in range(3):
        for a in replicas:
            for b in replicas:
                if a is not b:
                    a.tell(b)


@st.composite
def some_history(draw: st.DrawFn) -> list[Replica]:
    """Three replicas with skewed clocks, and what they wrote and told each other."""
    replicas = [Replica(node, draw(st.sampled_from((0.0, 0.5, 30.0)))) for node in NODES]
    child, which = st.sampled_from("xyz"), st.integers(0, 2)
    for act, i, j, name in draw(st.lists(st.tuples(st.integers(0, 7), which, which, child), max_size=25)):
        one, two = replicas[i], replicas[j]
        one.now += (act % 3) / 10
        if act <= 1:
            one.want(name)
        elif act == 2:
            one.want(name, removed=True)
        elif act == 3:
            one.run(name, j)
        elif act == 4 and one is not two:
            one.bury(name, two.node)
        elif act == 5:
            one.node_row()
        elif one is not two:
            one.tell(two)
    return replicas
