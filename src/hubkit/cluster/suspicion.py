"""Who told rows in the name of a writer that never wrote them.

Law of this room: what is said of a liar must be true of no honest node. Whoever passes on a row may be ahead of its writer,
whose own word then comes without that row for a good reason: somebody has replaced or removed it meanwhile, and that is on its
way. So who told is named only when nothing has taken the row's place for two beats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hubkit.cluster.rows import Key, Row
from hubkit.cluster.stamps import NEVER, Moment, Stamp
from hubkit.pids import NodeId

__all__ = ["Suspicion"]

_PATIENCE = 2  # beats
_MOST = 10_000  # rows that are waited for


class Suspicion:
    """What one node suspects. ``forgers``: (who told, in whose name), for whoever clears it."""

    __slots__ = ("_hearsay", "_waiting", "forgers")

    def __init__(self) -> None:
        self.forgers: list[tuple[NodeId, NodeId]] = []
        #: linked writer -> who told more of it than it had said, and how much that was
        self._hearsay: dict[NodeId, tuple[NodeId, Moment]] = {}
        #: rows that have gone -> who told them, what they were, and for how many beats nothing has taken their place
        self._waiting: dict[Key, tuple[NodeId, Stamp, int]] = {}

    def concerns(self, writer: NodeId) -> bool:
        """Whether somebody has told more of this writer than it had said."""
        return writer in self._hearsay

    def heard(self, peer: NodeId, writer: NodeId, said: Moment) -> None:
        """A peer has told more of a writer than that has ``said``."""
        if writer not in self._hearsay or self._hearsay[writer][1] < said:
            self._hearsay[writer] = (peer, said)

    def down(self, writer: NodeId) -> None:
        """The link to a writer has ended: it says nothing any more."""
        self._hearsay.pop(writer, None)

    def gone(self, writer: NodeId, removed: Iterable[tuple[Key, Stamp]]) -> None:
        """These rows go, by their writer's own word. Were they told by another before it had written so far?"""
        teller, said = self._hearsay.get(writer, ("", NEVER))
        if teller:
            for key, stamp in removed:
                if key[-1] == stamp.node == writer and stamp[:2] > said and len(self._waiting) < _MOST:
                    self._waiting[key] = (teller, stamp, 0)

    def outgrown(self, writer: NodeId, rows: Mapping[Key, Row], known: Mapping[Key, Row], said: Moment) -> None:
        """It has written all anew, later than what another has told of it: what that told was none of its own.

        (A single row may just have been written again.) ``said``: up to where it has spoken for itself.
        """
        told = [row.stamp[:2] for row in known.values() if row.stamp.node == writer and row.stamp[:2] > said]
        own = [row.stamp[:2] for row in rows.values() if row.stamp.node == writer]
        if told and len(told) < len(own) and min(own) > max(told):
            teller, before = self._hearsay.get(writer, ("", NEVER))
            if teller and max(told) > before:
                self.forgers.append((teller, writer))

    def beat(self, rows: Mapping[Key, Row]) -> None:
        """A beat has passed, and these rows stand."""
        waiting, self._waiting = self._waiting, {}
        for key, (teller, stamp, beats) in waiting.items():
            row = rows.get(key)
            if row is not None and row.stamp > stamp:
                continue
            if beats < _PATIENCE:
                self._waiting[key] = (teller, stamp, beats + 1)
            elif (teller, stamp.node) not in self.forgers:
                self.forgers.append((teller, stamp.node))
