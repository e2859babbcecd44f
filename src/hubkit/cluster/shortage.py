"""Copies that cannot be: more are wanted of each child than there are nodes for them.

Law of this room: a hub runs what it can, and says so. One line, not one for each child; not at once, for nodes come one after
the other; and not again while it lasts. Where the number follows the nodes (``Replication("all")``) nothing is missing.
"""

from __future__ import annotations

from hubkit.cluster.placement import Placement

__all__ = ["PATIENCE", "QUIET", "Shortage"]

#: Seconds for which copies may be missing before that is told.
PATIENCE = 3.0
#: Seconds between one line and the next, where it comes and goes.
QUIET = 60.0


class Shortage:
    """Whether copies are missing in one hub, as one node sees it."""

    __slots__ = ("_placement", "_said", "_since", "_told")

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._since: float | None = None  # when copies began to be missing
        self._told = False  # that they are
        self._said = -QUIET

    def take(self, now: float, *, acts: bool) -> list[str]:
        """What is to be told now; ``acts``: this node may run children."""
        short = self._placement.short if acts else 0
        if not short:
            self._since, self._told = None, False
            return []
        self._since = now if self._since is None else self._since
        if self._told or now - self._since < PATIENCE or now - self._said < QUIET:
            return []
        self._told, self._said = True, now
        copies, ready = self._placement.copies, len(self._placement.names())
        what = "1 child has" if short == 1 else f"{short} children have"
        nodes = "1 node is" if ready == 1 else f"{ready} nodes are"
        return [
            f"{what} fewer copies than the {copies} that are wanted of each: {nodes} ready, not all may be able to run it"
        ]
