"""What the hub has agreed on about itself, in rows of its own: the size of the quorum, and its voters.

Law of this room: a setting only grows. Each is a ``want`` row whose id says its rank, and the greatest rank counts: so nothing
depends on whose clock was ahead, and two sides that meet again take the greater of what each had. Who writes a greater one
removes the lesser ones *after* it: the rows of a writer travel together, in order, so nobody sees the removal alone.

=================================  ====================  ==============================================================
id                                 body                  says
=================================  ====================  ==============================================================
``@quorum/size/<epoch>/<size>``                          so many nodes; setting it by hand begins a new epoch
``@quorum/voters/<term>/<number>``  names, one a line    they vote; ``term`` of the `VOTERS` child whose owner says so
``@quorum``                                              a child without an actor, `VOTERS`: whoever owns it may add voters
=================================  ====================  ==============================================================

Refused: the voters in the run row of that child. A row that is released, or removed because a greater term stands, would
forget them.
"""

from __future__ import annotations

from hubkit.cluster.bounds import MOMENT, NAME, SIZE
from hubkit.cluster.policy import QuorumView
from hubkit.cluster.rows import Want
from hubkit.cluster.store import Store

__all__ = ["PREFIX", "VOTERS", "Rank", "Settings", "is_plausible"]

#: The reserved child; ids that begin with `PREFIX` are settings.
VOTERS = "@quorum"
PREFIX = "@quorum/"

Rank = tuple[int, int]


def is_plausible(id: str, want: Want) -> bool:
    """Whether a hub can have this setting, as far as that shows. (What a later release may set is let through.)"""
    _, kind, *rank = id.split("/")
    if kind not in ("size", "voters"):
        return True
    if len(rank) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in rank):
        return False
    if int(rank[0]) >= MOMENT or int(rank[1]) > (SIZE if kind == "size" else MOMENT):
        return False
    names = want.body.split(b"\n") if want.body else []
    return len(names) <= SIZE and all(0 < len(name) <= 4 * NAME for name in names)


class Settings:
    """The settings of a map. ``view``: what they come to. ``size``, ``voters``: the greatest ranks."""

    __slots__ = ("_sizes", "_voters", "view")

    def __init__(self) -> None:
        self._sizes: dict[Rank, frozenset[str]] = {}
        self._voters: dict[Rank, frozenset[str]] = {}
        self.view: QuorumView = QuorumView()

    def absorb(self, id: str, value: Want | None) -> None:
        """A row has changed. (One that says nothing that can be understood is left alone.)"""
        _, kind, *rank = id.split("/")
        table = {"size": self._sizes, "voters": self._voters}.get(kind)
        if table is None or len(rank) != 2 or not all(part.isascii() and part.isdigit() for part in rank):
            return
        key = (int(rank[0]), int(rank[1]))
        if value is None:
            table.pop(key, None)
        else:
            table[key] = frozenset(value.body.decode(errors="replace").split("\n"))
        voters = self._voters[max(self._voters)] if self._voters else frozenset()
        self.view = QuorumView(max(self._sizes, default=(0, 0))[1], voters)

    @property
    def size(self) -> Rank | None:
        """The epoch and the size that count; `None`: nothing has been said."""
        return max(self._sizes, default=None)

    @property
    def voters(self) -> Rank | None:
        """The term and the number of the voters that count; `None`: nothing has been said."""
        return max(self._voters, default=None)

    def set_size(self, rank: Rank, store: Store, now: float) -> None:
        """Say a size."""
        self._set("size", self._sizes, rank, "", store, now)

    def set_voters(self, rank: Rank, names: frozenset[str], store: Store, now: float) -> None:
        """Say who votes."""
        self._set("voters", self._voters, rank, "\n".join(sorted(names)), store, now)

    def _set(
        self, kind: str, table: dict[Rank, frozenset[str]], rank: Rank, body: str, store: Store, now: float
    ) -> None:
        store.put(("want", f"{PREFIX}{kind}/{rank[0]}/{rank[1]}"), Want("", body.encode()), now)
        for lesser in sorted(table):
            if lesser < rank:
                store.put(("want", f"{PREFIX}{kind}/{lesser[0]}/{lesser[1]}"), None, now)
