"""What nodes tell each other about groups: as values, and on the wire.

Law of this room: what is read is what was written; anything else is refused before it touches a roster. So is what is
larger than a hub makes it, and a version of a time that is not near: whoever counts on from it could not be told of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hubkit.cluster.bounds import MEMBERSHIPS, MOMENT, NODES_ASKED
from hubkit.cluster.stamps import Moment
from hubkit.errors import ProtocolViolation
from hubkit.pids import NodeId

__all__ = [
    "NOTHING",
    "Ask",
    "Change",
    "Message",
    "Serials",
    "Tell",
    "Whole",
    "following",
    "from_wire",
    "is_near",
    "to_wire",
]

#: The version of a roster of which nothing has been said.
NOTHING: Moment = (0, 0)

#: Counts within a millisecond; then the next one has begun.
COUNTS = 1 << 53

#: A group and the serials of members.
Serials: TypeAlias = Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Tell:
    """The sender has these rosters, in these versions."""

    versions: Mapping[NodeId, Moment]


@dataclass(frozen=True, slots=True)
class Ask:
    """The sender lacks the rosters of these nodes."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """From version ``since`` to ``upto`` the sender's own roster has changed by this."""

    since: Moment
    upto: Moment
    joined: Serials
    left: Serials


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a node's roster."""

    node: NodeId
    version: Moment
    groups: Serials


Message: TypeAlias = Tell | Ask | Change | Whole


def following(version: Moment, born: int = 0) -> Moment:
    """The version after this one, of a life that began then."""
    ms, count = max(version[0], born), version[1] + 1
    return (ms, count) if count < COUNTS else (ms + 1, 0)


def is_near(peer: NodeId, message: Message, limit: int) -> bool:
    """Whether all versions that a peer tells of itself are of times before ``limit``, in milliseconds, and it is none's lie."""
    match message:
        case Change(_, upto, _, _):
            return upto[0] <= limit
        case Whole(node, version, _):
            return node != peer or version[0] <= limit
        case Tell(versions):
            return versions.get(peer, NOTHING)[0] <= limit
    return True


# -- on the wire -----------------------------------------------------------------------------------------------------------
#   tell    [0, node, ms, count, node, ms, count, ...]
#   ask     [1, node, node, ...]
#   change  [2, ms, count, ms, count, joined, left]        groups  [group, [serial, ...], group, [serial, ...], ...]
#   whole   [3, node, ms, count, groups]


def to_wire(message: Message) -> list[Any]:
    """The message as a list of int, str and lists of these."""
    match message:
        case Tell(versions):
            return [0, *(part for node, moment in versions.items() for part in (node, *moment))]
        case Ask(nodes):
            return [1, *nodes]
        case Change(since, upto, joined, left):
            return [2, *since, *upto, _groups_out(joined), _groups_out(left)]
        case _:
            return [3, message.node, *message.version, _groups_out(message.groups)]


def _groups_out(groups: Serials) -> list[Any]:
    return [part for group, serials in groups.items() for part in (group, sorted(serials))]


def from_wire(message: object) -> Message:
    """The message that `to_wire` made this list of. Raises `ProtocolViolation` for anything else."""
    match message:
        case [0, *parts] if len(parts) % 3 == 0 and len(parts) <= 3 * NODES_ASKED:
            triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
            return Tell({_text(node): _moment(ms, count) for node, ms, count in triples})
        case [1, *nodes] if len(nodes) <= NODES_ASKED:
            return Ask(tuple(map(_text, nodes)))
        case [2, ms, count, to_ms, to_count, joined, left]:
            return Change(_moment(ms, count), _moment(to_ms, to_count), _groups_in(joined), _groups_in(left))
        case [3, node, ms, count, groups]:
            return Whole(_text(node), _moment(ms, count), _groups_in(groups))
    raise _wrong(message)


def _wrong(value: object) -> ProtocolViolation:
    return ProtocolViolation(f"not a message about groups: {value!r:.80}")


def _text(value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= 300:
        raise _wrong(value)
    return value


def _natural(value: object) -> int:
    if type(value) is not int or not 0 <= value < MOMENT:
        raise _wrong(value)
    return value


def _moment(ms: object, count: object) -> Moment:
    if _natural(count) > COUNTS:
        raise _wrong(count)
    return _natural(ms), _natural(count)


def _groups_in(value: object) -> Serials:
    if type(value) is not list or len(value) % 2:
        raise _wrong(value)
    groups: dict[str, frozenset[int]] = {}
    for group, serials in zip(value[::2], value[1::2], strict=True):
        if type(serials) is not list or not serials:
            raise _wrong(value)
        groups[_text(group)] = frozenset(map(_natural, serials))
    if sum(map(len, groups.values())) > MEMBERSHIPS:
        raise _wrong(value)
    return groups
