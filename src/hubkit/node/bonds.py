"""Links between actors of different nodes.

Law of this room: a link has one number, given by the node whose actor asked for it, and numbers only grow. On either side it
is opened once and closed once, and whoever closes it says so; so both sides agree as soon as they are in touch. What a broken
connection swallowed is made good by the next: whoever gave a number says again that it is open, whoever was given it asks
whether it still is, and who has closed it answers with why. A number that is no higher than the highest seen, and is not
open, was closed here: nothing need be remembered of it.

A node that is taken for down ends every link with its actors, for good: when it comes back it is told so.

On the wire: ``[LINK, number, to, of]`` (serials: whom, and who asks); ``[HOLD, number, of]``: is this one of yours still open;
``[END, 0, number, reason, error]``: mine is over, ``[END, 1, ...]``: yours is. A reason of `None`: it was undone.

Two actors that link each other at once have two numbers for a time; they close together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hubkit.actors.system import System
from hubkit.cluster.liveness import Liveness
from hubkit.errors import ProtocolViolation
from hubkit.net.payload import Payloads
from hubkit.node.answers import decode_cause, encode_cause
from hubkit.node.bounds import BONDS, check_room
from hubkit.pids import NodeId, Pid, boot_of, name_of, node_id

__all__ = ["SHAPES", "Bonds"]

LINK, HOLD, END = 8, 9, 10
#: Nodes without a link about which something is remembered.
_PEERS = 10_000

#: An actor of ours, and one elsewhere.
_Pair = tuple[int, Pid]


class _Shell(Protocol):
    """What this room needs of the exchange."""

    system: System
    linked: set[NodeId]


@dataclass(slots=True, eq=False)
class _Peer:
    """What is open with another node. ``mine``, ``theirs``: by the numbers of ours and of theirs.

    ``seen``: their highest number so far. ``broken``: up to which of our, and of their numbers it was taken for down.
    """

    mine: dict[int, _Pair] = field(default_factory=dict)
    theirs: dict[int, _Pair] = field(default_factory=dict)
    numbers: dict[_Pair, list[tuple[int, int]]] = field(default_factory=dict)  # (0 or 1: whose, number)
    seen: int = 0
    broken: tuple[int, int] = (0, 0)

    def table(self, whose: int) -> dict[int, _Pair]:
        return self.theirs if whose else self.mine

    def open(self, whose: int, number: int, pair: _Pair) -> None:
        self.table(whose)[number] = pair
        self.numbers.setdefault(pair, []).append((whose, number))

    def close(self, pair: _Pair) -> list[tuple[int, int]]:
        """Close all that is open between two; returns their numbers."""
        numbers = self.numbers.pop(pair, [])
        for whose, number in numbers:
            del self.table(whose)[number]
        return numbers


class Bonds:
    """The links of one node's actors with those of others."""

    def __init__(
        self,
        shell: _Shell,
        send: Callable[[NodeId, list[Any]], bool],
        payloads: Payloads,
        liveness: Liveness,
        now: Callable[[], float],
    ) -> None:
        self._shell, self._send, self._payloads = shell, send, payloads
        self._liveness, self._now = liveness, now
        self._peers: dict[NodeId, _Peer] = {}
        self._number = 0
        #: kind -> who takes it; and its length, and the types of its first items
        self.takers: dict[int, Callable[..., None]] = {
            LINK: self._take_link,
            HOLD: self._take_hold,
            END: self._take_end,
        }

    # -- what our actors do ---------------------------------------------------------------------------------------------

    def link(self, mine: Pid, theirs: Pid) -> None:
        """One of ours has linked itself with one of theirs."""
        node = node_id(theirs.node, theirs.incarnation)
        if not self._liveness.alive(node, self._now()):
            self._shell.system.links.lost(mine.serial, theirs, "noproc")
            return
        self._number += 1
        self._peer(node).open(0, self._number, (mine.serial, theirs))
        if node in self._shell.linked:  # else it is said as soon as it is
            self._send(node, [LINK, self._number, theirs.serial, mine.serial])

    def unlink(self, mine: Pid, theirs: Pid, reason: str | None, error: BaseException | None) -> None:
        """A link is over on this side."""
        self._close(node_id(theirs.node, theirs.incarnation), (mine.serial, theirs), reason, error)

    # -- what the node tells --------------------------------------------------------------------------------------------

    def link_up(self, node: NodeId) -> None:
        """A connection is ready."""
        peer = self._peers.get(node)
        if peer is not None:
            for number, (serial, pid) in peer.mine.items():
                self._send(node, [LINK, number, pid.serial, serial])
            for number, (_, pid) in peer.theirs.items():
                self._send(node, [HOLD, number, pid.serial])

    def look(self) -> None:
        """Liveness has changed, or time has passed."""
        now = self._now()
        for node, peer in list(self._peers.items()):
            if peer.numbers and not self._liveness.alive(node, now):
                peer.broken = (self._number, peer.seen)
                for serial, pid in list(peer.numbers):
                    self._close(node, (serial, pid), "node_down", None)
                    self._shell.system.links.lost(serial, pid, "node_down")

    def _peer(self, node: NodeId) -> _Peer:
        peer = self._peers.get(node)
        if peer is None:
            if len(self._peers) >= _PEERS:
                idle = (other for other, peer in self._peers.items() if not peer.numbers)
                self._peers.pop(next(idle, ""), None)
            peer = self._peers[node] = _Peer()
        return peer

    def _close(self, node: NodeId, pair: _Pair, reason: str | None, error: BaseException | None) -> None:
        peer = self._peers.get(node)
        for whose, number in () if peer is None else peer.close(pair):
            self._end(node, whose, number, reason, error)

    def _end(self, node: NodeId, whose: int, number: int, reason: str | None, error: BaseException | None) -> None:
        payload = None if error is None else encode_cause(error, self._payloads)
        self._send(node, [END, whose, number, reason, payload])

    def _why(self, serial: int, number: int, broken: int) -> str | None:
        """Why a link is not open here that the other side takes to be open."""
        if serial not in self._shell.system.cells:
            return "noproc"
        return "node_down" if number <= broken else None

    # -- what arrives ---------------------------------------------------------------------------------------------------

    def _take_link(self, node: NodeId, number: int, serial: int, of: int) -> None:
        peer, system = self._peer(node), self._shell.system
        if number in peer.theirs:
            return
        check_room(len(peer.theirs), BONDS, "links")
        fresh, peer.seen = number > peer.seen, max(number, peer.seen)
        if fresh and serial in system.cells:
            pid = Pid(name_of(node), boot_of(node), of)
            peer.open(1, number, (serial, pid))
            system.links.joined(serial, pid)
        else:
            self._end(node, 1, number, self._why(serial, number, peer.broken[1]), None)

    def _take_hold(self, node: NodeId, number: int, serial: int) -> None:
        peer = self._peer(node)
        if number not in peer.mine:
            self._end(node, 0, number, self._why(serial, number, peer.broken[0]), None)

    def _take_end(self, node: NodeId, whose: int, number: int, reason: Any, error: Any) -> None:
        if not isinstance(reason, str | None) or not isinstance(error, bytes | None) or whose not in (0, 1):
            msg = "the end of a link that makes no sense"
            raise ProtocolViolation(msg)
        peer = self._peer(node)
        if number not in peer.table(1 - whose):
            return
        cause = decode_cause(error, self._payloads)  # before anything changes: it may make no sense
        pair = peer.table(1 - whose).pop(number)
        numbers = peer.numbers[pair]
        numbers.remove((1 - whose, number))
        if not numbers:
            del peer.numbers[pair]
        if reason is not None:
            self._close(node, pair, reason, None)
            self._shell.system.links.lost(*pair, reason, cause)
        elif not numbers:
            self._shell.system.links.parted(*pair)


SHAPES: dict[int, tuple[int, tuple[type, ...]]] = {
    LINK: (4, (int, int, int, int)),
    HOLD: (3, (int, int, int)),
    END: (5, (int, int, int)),
}
