"""Who is in which group: what each node says of its own actors, and how all nodes come to know it.

Law of this room: one writer per *roster*. A node says which of its actors are in which groups, and nobody else does; its
version grows with each change, and of two copies of one roster the later stands. So merging is a join: any order, any
repetition, the same rosters. A roster is of one life of a node, and is dropped with the node's membership: what is kept
is as much as there are members.

What changes here goes to everybody who is linked, at once, as a *change*, which says where it starts; what does not join
on to what is known is answered by a question for the whole. At a beat each peer is *told* the versions of whatever it has
not been told yet on this link, of others' rosters, too: so whoever has no link to the writer asks for them elsewhere. Every
so many beats, and on a new link, all versions are told.

Nobody speaks for who is linked here: of that node only its own word counts. Of others it is hearsay, which lasts until the node
hears of it, and outgrows it. A version of the day after tomorrow is passed over.

Members of nodes out of sight are not shown, but their rosters are kept while the node is a member of the hub: when a
partition heals they are there again at once, and what has changed meanwhile follows.

Refused: rows of the hub's map. A group may change a thousand times a second (a member for each open page of a chat); the
map weighs each change for every child, and keeps a tombstone for each removal until all have seen it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hubkit.cluster.bounds import MEMBERSHIPS, MOMENT
from hubkit.cluster.stamps import Moment
from hubkit.cluster.tidings import NOTHING, Ask, Change, Message, Serials, Tell, Whole, following, is_near
from hubkit.errors import ProtocolViolation
from hubkit.pids import NodeId

__all__ = ["ROUND", "Groups", "News"]

#: After so many beats all versions are told again, in case anything went wrong.
ROUND = 15
#: Times in a beat that a peer is given one roster: an honest one asks once.
GIVEN = 4
#: Milliseconds by which a version may be ahead of my clock.
AHEAD = 300_000


@dataclass(slots=True)
class _Roster:
    version: Moment
    groups: dict[str, set[int]]
    size: int = 0  # of others' rosters


@dataclass(slots=True)
class News:
    """What has changed in one group since it was last asked for: (node, serial) of those who came, and who went."""

    joined: set[tuple[NodeId, int]]
    left: set[tuple[NodeId, int]]

    def add(self, member: tuple[NodeId, int], *, here: bool) -> None:
        """One has come, or gone; who has done both has done nothing."""
        new, old = (self.joined, self.left) if here else (self.left, self.joined)
        if member in old:
            old.discard(member)
        else:
            new.add(member)


class Groups:
    """All rosters as one node of one hub knows them. ``born``: when this life began, in milliseconds of a wall clock."""

    __slots__ = (
        "_asked",
        "_beats",
        "_born",
        "_come",
        "_given",
        "_gone",
        "_later",
        "_me",
        "_news",
        "_out",
        "_owed",
        "_rosters",
        "_told",
        "_visible",
    )

    def __init__(self, me: NodeId, born: int) -> None:
        self._me = me
        self._born = born
        self._rosters: dict[NodeId, _Roster] = {me: _Roster(NOTHING, {})}
        self._visible: frozenset[NodeId] = frozenset({me})
        self._news: dict[str, News] = {}
        self._come: dict[str, set[int]] = {}  # mine that are not told yet
        self._gone: dict[str, set[int]] = {}
        self._told: dict[NodeId, dict[NodeId, Moment]] = {}  # peer -> the versions that it was told, or has told me
        #: whom I have asked for which roster since the last beat; "": anybody, of a node that I have no link to
        self._asked: set[tuple[NodeId, NodeId]] = set()
        self._later: dict[NodeId, dict[NodeId, Moment]] = {}  # rosters that others have, later than I, and who has
        self._owed: dict[tuple[NodeId, NodeId], None] = {}  # who is to get which roster
        self._given: dict[tuple[NodeId, NodeId], int] = {}  # ... and how often it got it since the last beat
        self._out: list[tuple[NodeId, Message]] = []
        self._beats = 0

    # -- reading -------------------------------------------------------------------------------------------------------

    def members(self, group: str) -> list[tuple[NodeId, int]]:
        """The members in sight: (node, serial), sorted."""
        found = ((node, self._rosters[node].groups.get(group, ())) for node in self._visible if node in self._rosters)
        return sorted((node, serial) for node, serials in found for serial in serials)

    def nodes(self, group: str) -> list[NodeId]:
        """The nodes in sight that have members, sorted."""
        rosters = self._rosters
        return sorted(node for node in self._visible if node in rosters and group in rosters[node].groups)

    def mine(self, group: str) -> list[int]:
        """The serials of the members on this node, sorted."""
        return sorted(self._rosters[self._me].groups.get(group, ()))

    def names(self) -> list[str]:
        """The groups that have members in sight, sorted."""
        return sorted({g for node in self._visible if node in self._rosters for g in self._rosters[node].groups})

    def size(self) -> int:
        """How many memberships are kept, in sight or not."""
        return sum(len(serials) for roster in self._rosters.values() for serials in roster.groups.values())

    def writers(self) -> frozenset[NodeId]:
        """Whose rosters are kept."""
        return frozenset(self._rosters)

    # -- inputs: what happens here -------------------------------------------------------------------------------------

    def join(self, group: str, serial: int) -> bool:
        """An actor of this node joins. Whether that was news."""
        serials = self._rosters[self._me].groups.setdefault(group, set())
        if serial in serials:
            return False
        serials.add(serial)
        _undo_or_add(self._come, self._gone, group, serial)
        self._note(group, self._me, serial, here=True)
        return True

    def leave(self, group: str, serial: int) -> bool:
        """An actor of this node leaves, or has ended. Whether that was news."""
        groups = self._rosters[self._me].groups
        serials = groups.get(group, set())
        if serial not in serials:
            return False
        serials.discard(serial)
        if not serials:
            del groups[group]
        _undo_or_add(self._gone, self._come, group, serial)
        self._note(group, self._me, serial, here=False)
        return True

    def see(self, visible: Collection[NodeId]) -> None:
        """These nodes are in sight."""
        seen = frozenset(visible) | {self._me}
        before, self._visible = self._visible, seen
        for node in sorted(seen ^ before):
            roster = self._rosters.get(node)
            for group, serials in () if roster is None else roster.groups.items():
                for serial in serials:
                    self._tell_of(group, node, serial, here=node in seen)

    def keep(self, members: Collection[NodeId]) -> None:
        """Only these nodes, this one, and who is linked, are of the hub: drop what the others have said."""
        for node in [node for node in self._rosters if not self._is_known(node, members)]:
            self._replace(node, NOTHING, {})
            del self._rosters[node]
        for node in [node for node in self._later if not self._is_known(node, members)]:
            del self._later[node]
        for told in self._told.values():
            for node in [node for node in told if node not in self._rosters]:
                del told[node]

    def _is_known(self, node: NodeId, members: Collection[NodeId]) -> bool:
        return node == self._me or node in self._told or node in members

    # -- inputs: links -------------------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId) -> None:
        """A new link: whatever was told on an earlier one counts no more."""
        self._told[peer] = {}
        self._tell(peer)

    def link_down(self, peer: NodeId) -> None:
        """The link has ended."""
        self._told.pop(peer, None)
        self._asked.clear()
        for tellers in self._later.values():
            tellers.pop(peer, None)

    def beat(self) -> None:
        """One beat has passed."""
        self._asked.clear()
        self._given.clear()
        self._ask()
        self._beats += 1
        for peer, told in sorted(self._told.items()):
            if self._beats % ROUND == 0:
                told.clear()
            self._tell(peer)

    def _tell(self, peer: NodeId) -> None:
        told = self._told[peer]
        news = {node: r.version for node, r in self._rosters.items() if r.version > told.get(node, NOTHING)}
        if news:
            told.update(news)
            self._out.append((peer, Tell(dict(sorted(news.items())))))

    # -- inputs: messages ----------------------------------------------------------------------------------------------

    def receive(self, peer: NodeId, message: Message, members: Collection[NodeId], wall: int | None = None) -> None:
        """A message of a linked peer. ``members``: the nodes of the hub, in sight or not. ``wall``: my clock, in milliseconds.

        Raises `ProtocolViolation` for a roster that is larger than any, or of a time that is not near.
        """
        if peer not in self._told:
            return
        limit = (MOMENT if wall is None else wall + AHEAD, 0)
        if not is_near(peer, message, limit[0]):
            msg = f"its version of who is in which group is of {(limit[0] - AHEAD) / 1000:.0f} + {AHEAD / 1000:.0f} s or later"
            raise ProtocolViolation(msg)
        match message:
            case Tell(versions):
                self._compare(peer, {n: v for n, v in versions.items() if v < limit}, members)
            case Ask(nodes):
                for node in nodes:
                    if node in self._rosters and self._given.get((peer, node), 0) < GIVEN:
                        self._owed[peer, node] = None
            case Whole(_, version, _) if version > limit:
                pass
            case Change(since, upto, joined, left):
                self._change(peer, since, upto, joined, left)
            case _:
                self._whole(peer, message, members)

    def _whole(self, peer: NodeId, whole: Whole, members: Collection[NodeId]) -> None:
        node, known = whole.node, self._rosters.get(whole.node)
        if node != peer and node in self._told:
            return
        if node == self._me:
            self._outgrow(whole.version)
        elif (known is None or whole.version > known.version) and self._is_known(node, members):
            self._replace(node, whole.version, whole.groups)
            self._told[peer][node] = whole.version

    def _compare(self, peer: NodeId, versions: Mapping[NodeId, Moment], members: Collection[NodeId]) -> None:
        told = self._told[peer]
        for node, version in versions.items():
            roster = self._rosters.get(node)
            known = NOTHING if roster is None else roster.version
            if node == self._me:
                self._outgrow(version)
            elif version > known:
                if self._is_known(node, members):
                    self._later.setdefault(node, {})[peer] = version
            elif version == known and roster is not None:
                told[node] = version
        self._ask()

    def _ask(self) -> None:
        """Ask for what others have later than I: the writer itself where there is a link to it, else whoever has most."""
        for node, tellers in list(self._later.items()):
            roster = self._rosters.get(node)
            known = NOTHING if roster is None else roster.version
            later = {peer: version for peer, version in tellers.items() if version > known}
            if not later:
                del self._later[node]
                continue
            self._later[node] = later
            linked = node in self._told
            whom = node if linked else max(later, key=lambda peer: (later[peer], peer))
            key = (whom if linked else "", node)
            if whom in later and key not in self._asked:
                self._asked.add(key)
                self._out.append((whom, Ask((node,))))

    def _outgrow(self, version: Moment) -> None:
        """Somebody remembers a later roster of mine, of an earlier life of this hub here: mine must be later."""
        mine = self._rosters[self._me]
        if version > mine.version:
            mine.version = following(version)
            self._born = max(self._born, version[0])
            for peer, told in sorted(self._told.items()):
                told.pop(self._me, None)
                self._tell(peer)

    def _change(self, peer: NodeId, since: Moment, upto: Moment, joined: Serials, left: Serials) -> None:
        roster = self._rosters.setdefault(peer, _Roster(NOTHING, {}))
        if upto <= roster.version:
            return
        if since != roster.version:
            if (peer, peer) not in self._asked:
                self._asked.add((peer, peer))
                self._out.append((peer, Ask((peer,))))
            return
        _check_size(roster.size, joined)
        groups = {group: frozenset(roster.groups.get(group, ())) for group in joined.keys() | left.keys()}
        for group, serials in groups.items():
            self._set(peer, roster, group, (serials | joined.get(group, frozenset())) - left.get(group, frozenset()))
        roster.version = self._told[peer][peer] = upto

    def _replace(self, node: NodeId, version: Moment, groups: Serials) -> None:
        _check_size(0, groups)
        roster = self._rosters.setdefault(node, _Roster(NOTHING, {}))
        for group in sorted(roster.groups.keys() | groups.keys()):
            self._set(node, roster, group, groups.get(group, frozenset()))
        roster.version = version

    def _set(self, node: NodeId, roster: _Roster, group: str, serials: Collection[int]) -> None:
        before = roster.groups.get(group, set())
        after = set(serials)
        roster.size += len(after) - len(before)
        for serial in before ^ after:
            self._note(group, node, serial, here=serial in after)
        if after:
            roster.groups[group] = after
        else:
            roster.groups.pop(group, None)

    def _note(self, group: str, node: NodeId, serial: int, *, here: bool) -> None:
        if node in self._visible:
            self._tell_of(group, node, serial, here=here)

    def _tell_of(self, group: str, node: NodeId, serial: int, *, here: bool) -> None:
        self._news.setdefault(group, News(set(), set())).add((node, serial), here=here)

    # -- outputs -------------------------------------------------------------------------------------------------------

    def take(self) -> list[tuple[NodeId, Message]]:
        """Everything that is to be sent now, in order."""
        if self._come or self._gone:
            mine = self._rosters[self._me]
            since = mine.version
            mine.version = following(since, self._born)
            change = Change(since, mine.version, _frozen(self._come), _frozen(self._gone))
            self._come, self._gone = {}, {}
            for peer, told in sorted(self._told.items()):
                told[self._me] = mine.version
                self._out.append((peer, change))
        owed, self._owed = self._owed, {}
        for peer, node in owed:  # only now: what is in it is what its version says
            self._given[peer, node] = self._given.get((peer, node), 0) + 1
            roster = self._rosters.get(node)
            if peer in self._told and roster is not None and roster.version > NOTHING:
                self._out.append((peer, Whole(node, roster.version, _frozen(roster.groups))))
        out, self._out = self._out, []
        return out

    def news(self) -> dict[str, News]:
        """What has changed in sight since this was last asked, by group."""
        if not self._news:
            return {}
        news, self._news = self._news, {}
        return {group: change for group, change in sorted(news.items()) if change.joined or change.left}


def _check_size(size: int, more: Serials) -> None:
    if size + sum(map(len, more.values())) > MEMBERSHIPS:
        msg = f"more than {MEMBERSHIPS:,} memberships in groups on one node"
        raise ProtocolViolation(msg)


def _undo_or_add(to: dict[str, set[int]], other: dict[str, set[int]], group: str, serial: int) -> None:
    """What is undone before it was told need not be told."""
    undone = other.get(group)
    if undone is not None and serial in undone:
        undone.discard(serial)
        if not undone:
            del other[group]
    else:
        to.setdefault(group, set()).add(serial)


def _frozen(groups: Mapping[str, Iterable[int]]) -> dict[str, frozenset[int]]:
    return {group: frozenset(serials) for group, serials in sorted(groups.items()) if serials}
