"""Detours: two members that have no link to each other are joined by a third that is linked to both.

Law of this room: for everything above, a detour is a link like any other: it comes up and goes down, what is sent on it arrives
in order and once, or not at all, and what was asked on it when it ended may have been handled. It goes over one node, never
two: who stands between passes on only to whom it has a link itself, and only what comes from the one who sends. So nothing
goes round in circles. As soon as there is a link, it takes the detour's place.

The lesser of the two ids asks one of its links, when the other member has been in sight but without a link for `PATIENCE`
beats; and the next, when there is no way over that one, or no answer for some beats. Each detour has a number of its asker's;
what bears another is of one that has ended. The node between remembers nothing but whom to tell when one of its links ends;
and it gives up on whoever does not read, before its own outbox is full of what is not its own.

What a detour proves about who speaks is the word of the node between, which has proved the secret. So it is taken only about
members that are in sight and have no link to here, and about no more than `MOST` of them. Refused: to take its word that
somebody has died; who leaves says so itself, on the detour.

On the wire, ``[VIA, to, item]`` goes to the node between, ``[FROM, of, item]`` to the end, ``[LOST, of]`` says that there is no
way; an item is ``[0, number, address, capabilities]`` (open), ``[1, ...]`` (it is), ``[2, number, leaving]`` (it is over) or
``[3, number, message]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.cbor import decode
from hubkit.net.handshake import Identity, check_node
from hubkit.net.lines import one_line
from hubkit.net.outbox import Growing
from hubkit.net.owner import MeshEvents
from hubkit.node.passage import MOST_NOWAIT
from hubkit.pids import NodeId

__all__ = ["CAPABILITY", "FROM", "LOST", "MOST", "PATIENCE", "VIA", "Detours"]

log: Log = Log("hubkit.node")

#: The word of who passes on, and can be reached so.
CAPABILITY = "detour.1"
VIA, FROM, LOST = -20, -21, -22
#: Beats without a link after which a detour is looked for.
PATIENCE = 2
#: Beats that an answer may take before the next is asked: on slow ways two rounds must fit.
_ANSWER = 4
_OPEN, _OPENED, _OVER, _MESSAGE = range(4)
_PAIRS = 10_000  # of nodes for which one passes on
#: Detours to here at a time.
MOST = 256


class Links(Protocol):
    """What this room needs of the mesh."""

    @property
    def identity(self) -> Identity:
        """Who this node is."""
        ...

    def is_linked(self, node: NodeId) -> bool:
        """Whether there is a link to it."""
        ...

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send on a link."""
        ...

    def write(self, peer: NodeId, message: bytes) -> int:
        """The same of what is bytes already: how many wait then; -1: there is no link."""
        ...

    def grow(self, peer: NodeId, message: Growing) -> bool:
        """Send what may grow until it goes out; `False`: not now, or there is no link."""
        ...

    def backlog(self, peer: NodeId) -> int:
        """Bytes that wait to be sent on a link."""
        ...


@dataclass(slots=True, eq=False)
class _Detour:
    """One way to a node: over which other, by which number, and whether it is open yet."""

    between: NodeId
    number: int
    is_up: bool = False
    beats: int = 1  # that have passed without an answer


class Detours:
    """What the mesh tells a node passes through here, and what a node sends. ``above``: whom all of it is for."""

    def __init__(self, above: MeshEvents) -> None:
        self._above = above
        self._mesh: Links | None = None
        self._able: dict[NodeId, None] = {}  # the linked nodes that pass on
        self._detours: dict[NodeId, _Detour] = {}
        self._members: frozenset[NodeId] = frozenset()  # in sight, at the last beat
        self._missing: dict[NodeId, int] = {}  # members in sight without a link -> for how many beats
        self._served: dict[NodeId, set[NodeId]] = {}  # for whom I have passed on, by to whom
        self._number = 0

        # What is not about a way goes straight through.
        self.admit: Callable[[Identity], str | None] = above.admit
        self.refused: Callable[[NodeId], None] = above.refused
        self.request: Callable[[Identity, list[Any]], list[Any]] = above.request
        self.seed_failed: Callable[[str, Exception], None] = above.seed_failed
        self.seeds_exhausted: Callable[[], None] = above.seeds_exhausted

    def attach(self, mesh: Links) -> None:
        """This is the mesh; told before it runs."""
        self._mesh = mesh

    @property
    def _links(self) -> Links:
        assert self._mesh is not None
        return self._mesh

    # -- for the node -----------------------------------------------------------------------------------------------------

    def way(self, peer: NodeId) -> NodeId:
        """Whose link carries what is sent to this node."""
        detour = self._detours.get(peer)
        return peer if detour is None or not detour.is_up else detour.between

    @property
    def open(self) -> Mapping[NodeId, NodeId]:
        """The nodes that are joined by a detour, and over which other."""
        return {peer: detour.between for peer, detour in sorted(self._detours.items()) if detour.is_up}

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send to a linked node, or on a detour; `False`: there is neither."""
        detour = self._detours.get(peer)
        if detour is None or not detour.is_up:
            return self._links.send(peer, message)
        return self._send(peer, detour, [_MESSAGE, detour.number, message])

    def write(self, peer: NodeId, message: bytes) -> int:
        """Send what is bytes already: how many wait then; -1: there is no way."""
        if self._detours:
            detour = self._detours.get(peer)
            if detour is not None and detour.is_up:
                _, content = decode(message)
                return self._links.backlog(detour.between) if self.send(peer, content) else -1
        return -1 if self._mesh is None else self._mesh.write(peer, message)

    def grow(self, peer: NodeId, message: Growing) -> bool:
        """Send what may grow until it goes out; `False`: not now, or there is no link: a detour takes messages one by one."""
        return self._mesh is not None and peer not in self._detours and self._mesh.grow(peer, message)

    def _send(self, peer: NodeId, detour: _Detour, item: list[Any]) -> bool:
        return self._links.send(detour.between, [VIA, peer, item])

    def look(self, members: Iterable[NodeId]) -> None:
        """A beat has passed: look for ways to these members, which are in sight."""
        if self._mesh is None:
            return
        me, linked = self._mesh.identity.node, self._mesh.is_linked
        missing: dict[NodeId, int] = {}
        self._members = frozenset(members)
        for peer in sorted(self._members):
            detour = self._detours.get(peer)
            if peer == me or linked(peer) or (detour is not None and detour.is_up):
                continue
            beats = missing[peer] = self._missing.get(peer, 0) + 1
            if detour is not None and detour.beats < _ANSWER:
                detour.beats += 1
            elif beats > PATIENCE and me < peer and self._able:
                between = sorted(self._able)[self._number % len(self._able)]
                self._number += 1
                detour = self._detours[peer] = _Detour(between, self._number)
                self._send(peer, detour, [_OPEN, self._number, *self._about_me()])
        for peer in self._missing.keys() - missing.keys():
            if peer in self._detours and not self._detours[peer].is_up:
                del self._detours[peer]
        self._missing = missing

    def close(self, peer: NodeId) -> None:
        """End the detour to this node, if there is one."""
        detour = self._detours.get(peer)
        if detour is not None:
            self._send(peer, detour, [_OVER, detour.number, False])
            self._end(peer, "it was closed here")

    def goodbye(self) -> None:
        """This node leaves: say so on all detours."""
        for peer, detour in list(self._detours.items()):
            self._send(peer, detour, [_OVER, detour.number, True])

    def _about_me(self) -> tuple[str | None, list[str]]:
        me = self._links.identity
        return me.address, list(me.capabilities)

    def _end(self, peer: NodeId, why: str, *, said_goodbye: bool = False) -> None:
        detour = self._detours.pop(peer, None)
        if detour is not None and detour.is_up:
            log.info("detour to %s over %s: down: %s", peer, detour.between, one_line(why))
            self._above.link_down(peer, said_goodbye)

    # -- what the mesh tells ----------------------------------------------------------------------------------------------

    def link_up(self, peer: Identity) -> None:
        """A link is up: it takes the place of a detour."""
        if CAPABILITY in peer.capabilities:
            self._able[peer.node] = None
        self.close(peer.node)
        self._above.link_up(peer)

    def link_down(self, peer: NodeId, said_goodbye: bool) -> None:
        """A link has ended, and with it what went over its other end."""
        self._able.pop(peer, None)
        for other in sorted(other for other, detour in self._detours.items() if detour.between == peer):
            self._end(other, f"the link to {peer} ended")
        for other in sorted(self._served.pop(peer, ())):
            self._links.send(other, [LOST, peer])
        for others in self._served.values():
            others.discard(peer)
        self._above.link_down(peer, said_goodbye)

    def message(self, peer: NodeId, message: list[Any]) -> None:
        """Something has arrived."""
        if message and type(message[0]) is int and message[0] >= 0:  # nearly all: none of this room's kinds
            self._above.message(peer, message)
            return
        match message:
            case [-20, str(to), list(item), *_]:
                self._pass_on(peer, check_node(to), item)
            case [-21, str(of), list(item), *_]:
                self._take(check_node(of), peer, item)
            case [-22, str(of), *_]:
                detour = self._detours.get(of)
                if detour is not None and detour.between == peer:  # nobody speaks for others' detours
                    self._end(of, f"{peer} cannot reach it")
            case _:
                self._above.message(peer, message)

    def _pass_on(self, peer: NodeId, to: NodeId, item: list[Any]) -> None:
        """I stand between: give it to whom it is for, if I have a link to it."""
        links, served = self._links, self._served.setdefault(to, set())
        new = peer not in served and sum(map(len, self._served.values())) >= _PAIRS
        passed = to in self._able and to != peer and not new and links.backlog(to) <= MOST_NOWAIT
        if passed:
            served.add(peer)
            self._served.setdefault(peer, set()).add(to)
            try:
                passed = links.send(to, [FROM, peer, item])
            except NotSerializable:  # too large by the few bytes that it is wrapped in
                passed = False
        if not passed:
            if not served:
                del self._served[to]
            links.send(peer, [LOST, to])
            if peer in served:  # what comes later must not arrive without this
                links.send(to, [LOST, peer])

    # -- at the ends ------------------------------------------------------------------------------------------------------

    def _take(self, of: NodeId, between: NodeId, item: list[Any]) -> None:
        match item:
            case [0, int(number), address, capabilities, *_]:
                self._asked(of, between, number, _identity(of, address, capabilities))
            case [1, int(number), address, capabilities, *_]:
                detour = self._mine(of, between, number)
                if detour is not None and not detour.is_up:
                    self._up(detour, _identity(of, address, capabilities))
            case [2, int(number), bool(leaving), *_]:
                if self._mine(of, between, number) is not None:
                    self._end(of, "it was closed there", said_goodbye=leaving)
            case [3, int(number), list(message), *_]:
                detour = self._mine(of, between, number)
                if detour is not None and detour.is_up:
                    self._deliver(of, message)
            case _:
                msg = "what came over another node makes no sense"
                raise ProtocolViolation(msg)

    def _mine(self, of: NodeId, between: NodeId, number: int) -> _Detour | None:
        detour = self._detours.get(of)
        return detour if detour is not None and (detour.between, detour.number) == (between, number) else None

    def _asked(self, of: NodeId, between: NodeId, number: int, identity: Identity) -> None:
        """A detour is wanted: there is one, unless there is better, or that node would not be linked either."""
        detour = _Detour(between, number)
        wanted = of in self._members and of < self._links.identity.node and not self._links.is_linked(of)
        if not wanted or len(self._detours) >= MOST or self._above.admit(identity) is not None:
            self._send(of, detour, [_OVER, number, False])
            return
        self._end(of, "another takes its place")
        self._detours[of] = detour
        self._send(of, detour, [_OPENED, number, *self._about_me()])
        self._up(detour, identity)

    def _up(self, detour: _Detour, identity: Identity) -> None:
        detour.is_up = True
        log.info("detour to %s over %s: up", identity.node, detour.between)
        self._above.link_up(identity)

    def _deliver(self, of: NodeId, message: list[Any]) -> None:
        """What makes no sense ends the detour, and not the link to who passed it on."""
        try:
            self._above.message(of, message)
        except ProtocolViolation as error:
            log.warning("detour to %s: closed: %s", of, one_line(error))
            self.close(of)


def _identity(node: NodeId, address: object, capabilities: object) -> Identity:
    known = address is None or (isinstance(address, str) and len(address) <= 500 and address.isprintable())
    words: list[Any] = capabilities if isinstance(capabilities, list) and len(capabilities) <= 32 else [None]
    if not known or not all(type(word) is str and len(word) <= 64 for word in words):
        msg = "who asks for a detour says something of itself that makes no sense"
        raise ProtocolViolation(msg)
    return Identity(node, address if isinstance(address, str) else None, "node", tuple(words))
