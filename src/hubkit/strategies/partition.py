"""Whether children may run while some nodes are out of sight.

Law of this room: a strategy here says what is promised, and nothing that it cannot keep.

=================  ==========================================  ==================================================
strategy           children run                                two owners of one child at once
=================  ==========================================  ==================================================
`Divergence`       on every side                               while parted: yes; afterwards one of them yields
`DynamicQuorum`    unless too many were lost lately            possible
`StaticQuorum`     where so many nodes are in touch            never, if that is more than half of all names
`MajorityQuorum`   where a majority is in touch                never, if its first voters are named
=================  ==========================================  ==================================================

The last two hold a *lease* (`hubkit.cluster.lease` has the reasons): a node runs children while a quorum has acknowledged one
of its heartbeats less than ``lease`` seconds ago, each child has stopped ``stop`` seconds after that has ended, and another
node takes over ``wait`` seconds after it last heard of it: ``(lease + max(lease, stop)) * (1 + drift) / (1 - drift)``, 9.2 s
with the defaults. A node that was just started does not vote for as long: so that is also how long a new hub takes to begin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from hubkit.cluster.policy import ClusterView, QuorumView
from hubkit.errors import ConfigurationError
from hubkit.specs import check_count, check_id, check_seconds

__all__ = ["Divergence", "DynamicQuorum", "MajorityQuorum", "StaticQuorum"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Availability first: every part of a parted hub runs all children, and after the heal duplicates yield."""

    def allowed(self, view: ClusterView) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class DynamicQuorum:
    """Children stop where ``percent`` of the known nodes, or more, were lost within the last ``window`` seconds.

    Lost is who goes out of sight without a goodbye. Each node judges by what it sees, and each loss is forgotten after
    ``window``: so a small part of a parted hub stops for that long, and then begins again.

    *No single ownership is promised*: two halves of a hub may both believe that they have lost little, and a node that is cut
    off goes on until it has noticed. For a promise, use `StaticQuorum` or `MajorityQuorum`.

    Raises `ConfigurationError` unless ``0 < percent <= 100`` and ``window > 0``.
    """

    percent: float
    window: float = 30.0

    def __post_init__(self) -> None:
        percent: object = self.percent
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 < percent <= 100:
            msg = f"DynamicQuorum.percent must be more than 0 and at most 100, not {percent!r}"
            raise ConfigurationError(msg)
        check_seconds(self.window, "DynamicQuorum.window", zero=False)

    def allowed(self, view: ClusterView) -> bool:
        """Whether less than ``percent`` of the nodes were lost within the window."""
        lost = {name for name, since in view.lost if view.now - since <= self.window}
        known = {*view.nodes, *lost}
        return not lost or 100 * len(lost) < self.percent * len(known)

    def needs(self, view: QuorumView) -> str:
        """Who makes a quorum, in words."""
        return f"more than {100 - self.percent:g} % of the nodes that there were {self.window:g} s ago"

    def is_exact(self, names: int) -> bool:
        """Never."""
        return False


def _check_terms(strategy: Any) -> None:
    """The three numbers that a lease is made of."""
    name = type(strategy).__name__
    check_seconds(strategy.lease, f"{name}.lease", zero=False)
    check_seconds(strategy.stop, f"{name}.stop")
    if check_seconds(strategy.drift, f"{name}.drift") >= 1:
        msg = f"{name}.drift is a share (0.01: one per cent) and must be less than 1, not {strategy.drift!r}"
        raise ConfigurationError(msg)


def _check_flag(value: object, what: str) -> None:
    if not isinstance(value, bool):
        msg = f"{what} must be True or False, not {value!r}"
        raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class StaticQuorum:
    """Children run where ``size`` nodes, this one included, are in touch; elsewhere all stop, and starts are refused.

    *Promise*: a child never has two owners that could both begin to handle a message, whatever is cut, slow, paused or
    restarted, **if** ``2 * size`` is more than the number of names that ever take part at the same time. (With less, two
    parts may both be a quorum.) Assumed are one process per name at a time, clocks whose rates are right within ``drift``
    and that go on while a machine sleeps, and children that end when they are cancelled. What a child does to the world
    outside, its ``context.term`` protects.

    *Price*: failover takes ``wait`` (9.2 s with the defaults, whatever proves a death sooner), and a new hub as long to begin.

    ``startup_confirm``: entering the hub's block waits for the quorum, at most two ``wait``, and then raises `NoQuorum`.
    ``lease``, ``stop``: seconds; see this module. No child may have a ``shutdown`` of more than ``stop``.
    `Hub.resize` sets another size for the whole hub, for as long as any of it runs: grow before names are added, shrink after
    they have gone, and leave ``wait`` in between.

    Raises `ConfigurationError` for a size below 1, and numbers that make no sense.
    """

    size: int
    startup_confirm: bool = False
    lease: float = 4.0
    stop: float = 5.0
    drift: float = 0.01

    def __post_init__(self) -> None:
        check_count(self.size, "StaticQuorum.size", least=1)
        _check_flag(self.startup_confirm, "StaticQuorum.startup_confirm")
        _check_terms(self)

    def allowed(self, view: ClusterView) -> bool:
        """Whether so many are in sight. (What counts in a hub is `is_quorum`: being seen is less than being in touch.)"""
        return len(view.alive) >= self.size

    def is_quorum(self, names: Collection[str], view: QuorumView) -> bool:
        """Whether there are so many of them."""
        return len(names) >= (view.size or self.size)

    def needs(self, view: QuorumView) -> str:
        """How many it takes."""
        return f"{view.size or self.size} nodes"

    def is_exact(self, names: int) -> bool:
        """Whether single ownership is promised with so many names."""
        return 2 * self.size > names

    def check_size(self, size: int, names: int) -> int:
        """Any size can be set."""
        return check_count(size, "size", least=1)


@dataclass(frozen=True, slots=True, init=False)
class MajorityQuorum:
    """Children run where a majority is in touch; elsewhere all stop, and starts are refused.

    *With* ``voters``, the names of the first nodes that vote: a majority of the voters. With ``track_max_size`` others are
    made voters once they are ready, one at a time (and cease to be when they have left or were forgotten; the first ones
    never). *Promise*: as that of `StaticQuorum`, **if** all nodes name the same voters. Until it has learnt who votes now, a
    node waits for *all* of the first voters; so a new hub needs all of them to begin, and the promise ends where all of them
    are restarted at once, cut off from all the rest. With ``track_max_size=False`` the named ones are all that ever vote, a
    majority of them is enough from the beginning, and any of them may be restarted at any time.

    *Without* ``voters``: a majority of the largest number of nodes that were ever in sight (``initial_size`` at least). That
    is kept in the hub's map, never falls by itself, and is set by `Hub.resize`. It is right as long as everybody knows the
    size: two parts that have never met are two hubs, so no promise is made for the time in which a hub grows.

    Prices, ``lease``, ``stop`` and ``drift`` are those of `StaticQuorum`. Raises `ConfigurationError` for an ``initial_size``
    below 1, and for voters that are not names of nodes.
    """

    initial_size: int = 1
    track_max_size: bool = True
    voters: frozenset[str] | None = None
    lease: float = 4.0
    stop: float = 5.0
    drift: float = 0.01

    def __init__(
        self,
        initial_size: int = 1,
        track_max_size: bool = True,
        voters: Iterable[str] | None = None,
        lease: float = 4.0,
        stop: float = 5.0,
        drift: float = 0.01,
    ) -> None:
        assign = object.__setattr__
        assign(self, "initial_size", check_count(initial_size, "MajorityQuorum.initial_size", least=1))
        _check_flag(track_max_size, "MajorityQuorum.track_max_size")
        assign(self, "track_max_size", track_max_size)
        assign(self, "voters", None if voters is None else _check_voters(voters))
        assign(self, "lease", lease)
        assign(self, "stop", stop)
        assign(self, "drift", drift)
        _check_terms(self)

    @property
    def admits(self) -> frozenset[str] | None:
        """The first voters, where others can become voters, too."""
        return self.voters if self.track_max_size else None

    @property
    def grows(self) -> int | None:
        """The least size, where the largest size seen counts."""
        return self.initial_size if self.voters is None and self.track_max_size else None

    def allowed(self, view: ClusterView) -> bool:
        """Whether a majority of the known is in sight. (What counts in a hub is `is_quorum`.)"""
        return self.is_quorum(view.alive, QuorumView(0 if self.voters else max(self.initial_size, len(view.nodes))))

    def is_quorum(self, names: Collection[str], view: QuorumView) -> bool:
        """Whether these are a majority of the voters, or of the size."""
        if self.voters is None:
            return 2 * len(names) > (view.size or self.initial_size)
        if self.track_max_size and not view.voters:
            return self.voters.issubset(names)
        voters = view.voters if self.track_max_size else self.voters
        return 2 * len(voters.intersection(names)) > len(voters)

    def needs(self, view: QuorumView) -> str:
        """Who makes a majority."""
        if self.voters is None:
            return f"{(view.size or self.initial_size) // 2 + 1} nodes"
        voters = (view.voters if self.track_max_size else None) or self.voters
        count = len(voters) if self.track_max_size and not view.voters else len(voters) // 2 + 1
        return f"{count} of the voters {', '.join(sorted(voters))}"

    def is_exact(self, names: int) -> bool:
        """Whether single ownership is promised."""
        return self.voters is not None or (not self.track_max_size and 2 * (self.initial_size // 2 + 1) > names)

    def check_size(self, size: int, names: int) -> int:
        """Whether this size can be set while so many names are in sight; with named voters, none can."""
        if self.voters is not None:
            msg = "the voters of this MajorityQuorum are named: its majority is one of them, and has no size to be set"
            raise ConfigurationError(msg)
        if check_count(size, "size", least=1) < names and self.track_max_size:
            msg = (
                f"size must be at least the number of nodes in sight ({names}), which it grows to by itself; not {size}"
            )
            raise ConfigurationError(msg)
        return size


def _check_voters(voters: object) -> frozenset[str]:
    if isinstance(voters, str) or not isinstance(voters, Iterable):
        msg = f"MajorityQuorum.voters must be names of nodes, not {voters!r:.80}"
        raise ConfigurationError(msg)
    names = frozenset(check_id(name, "a voter's name") for name in voters)
    if not names or any("\n" in name for name in names):
        msg = "MajorityQuorum.voters must be names of nodes, one at least, each of one line"
        raise ConfigurationError(msg)
    return names
