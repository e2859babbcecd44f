"""Which hubs the linked nodes have, and whether they are run by the same strategies there.

Law of this room: two cores are linked while their nodes are linked, both have the hub, *and* both name the same strategies;
so nobody waits for an answer from a node without the hub, and nodes that would place children by different rules never meet
in one map. Where they differ, whoever joins is refused; of two that join, the later one. Whoever runs already is not disturbed.

A hub may admit only some nodes (`Attached.admits`). One that it does not admit is told so, and is not linked to it: nothing of
it is taken in. A node's name and labels are what it says of itself, unless certificates vouch for the name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hubkit.cluster.affinity import check_labels
from hubkit.errors import ProtocolViolation
from hubkit.node.seams import Attached
from hubkit.pids import NodeId, boot_of

__all__ = ["ANSWERS", "CLOSE", "DENY", "HUBS", "OPEN", "Directory"]

# Kinds of node messages, beside the node's own (0) and the exchange's (from 1 on).
#   [HUBS, [hub, ...]]  all that a node has, on a new link     hub  [id, whether it acts already, *strategies]
#   [OPEN, hub]         one more (or again, when it acts)
#   [CLOSE, id]         one less
#   [DENY, id]          yours of this id is not admitted to mine
# To peers that have the capability `ANSWERS` a hub says its labels, too: [id, whether it acts, *strategies, {name: value}].
HUBS, OPEN, CLOSE, DENY = -1, -2, -3, -10

#: A word in the handshake: this node understands the labels of hubs, DENY, and UNKNOWN (see `hubkit.node.ears`).
ANSWERS = "node.2"

#: What a peer may say that it has; the names are kept as long as its link lasts.
HUBS_MAX = 4096
HUB_ID_MAX = 255
TEXT_MAX = 1000


@dataclass(frozen=True, slots=True)
class _Told:
    """What a peer has said of one of its hubs."""

    id: str
    live: bool
    agreement: tuple[str, ...]
    labels: Mapping[str, str]


class Directory:
    """The hubs of the nodes that one node is linked to."""

    def __init__(
        self,
        node: Callable[[], NodeId],
        drivers: dict[str, Attached],
        linked: Callable[[], tuple[NodeId, ...]],
        send: Callable[[NodeId, list[Any]], object],
    ) -> None:
        self._node, self._drivers, self._linked, self._send = node, drivers, linked, send
        #: linked node -> the hubs that it has, and what it said of them; absent: it has not said yet
        self._hubs: dict[NodeId, dict[str, _Told]] = {}
        #: linked nodes that understand labels, and the hubs on which they have denied us
        self._denials: dict[NodeId, set[str]] = {}
        #: what the hubs here have said of the nodes that have them, too: each is asked once
        self._admitted: dict[tuple[NodeId, str], bool] = {}
        #: when all nodes to be joined have been tried in vain
        self.exhausted: bool = False

    # -- here ---------------------------------------------------------------------------------------------------------

    def attach(self, driver: Attached) -> None:
        """A hub has been opened here."""
        for peer in self._linked():
            self._send(peer, [OPEN, self._entry(peer, driver)])
            if driver.hub_id in self._hubs.get(peer, ()):
                self._meet(peer, driver)
        self.look_for_company(driver)

    def detach(self, driver: Attached) -> None:
        """A hub has ended here."""
        for peer in self._linked():
            self._admitted.pop((peer, driver.hub_id), None)
            self._send(peer, [CLOSE, driver.hub_id])

    def look_for_company(self, driver: Attached) -> None:
        """Whoever joins waits for those who are there; but not for nodes that do not have its hub."""
        peers = self._linked()
        alone = all(peer in self._hubs and not self._agree(peer, driver) for peer in peers)
        if alone and (peers or self.exhausted):
            driver.seeds_exhausted()

    # -- there --------------------------------------------------------------------------------------------------------

    def greet(self, peer: NodeId, capabilities: Collection[str]) -> None:
        """A link is ready."""
        if ANSWERS in capabilities:
            self._denials[peer] = set()
        self._send(peer, [HUBS, [self._entry(peer, driver) for _, driver in sorted(self._drivers.items())]])

    def answers(self, peer: NodeId) -> bool:
        """Whether it understands what has been added since the first release."""
        return peer in self._denials

    def lost(self, peer: NodeId) -> None:
        """A link is gone."""
        for hub_id in sorted(self._hubs.get(peer, ())):
            if hub_id in self._drivers and self._agree(peer, self._drivers[hub_id]):
                self._drivers[hub_id].link_down(peer)
        for hub_id in self._hubs.pop(peer, ()):
            self._admitted.pop((peer, hub_id), None)
        self._denials.pop(peer, None)

    def receive(self, peer: NodeId, message: list[Any]) -> bool:
        """Take in a message; whether it was one of these. Raises `ProtocolViolation` when it makes no sense."""
        match message:
            case [-1, list(entries), *_]:
                self._told(peer, [_read(entry) for entry in entries], [])
            case [-2, entry, *_]:
                found = _read(entry)
                self._told(peer, [found], [found.id])
            case [-3, str(hub_id), *_]:
                self._told(peer, [], [hub_id])
            case [-10, str(hub_id), *_]:
                self._denied(peer, hub_id)
            case _:
                return False
        return True

    def _told(self, peer: NodeId, opened: list[_Told], closed: list[str]) -> None:
        known = self._hubs.setdefault(peer, {})
        if len(known) + len(opened) > HUBS_MAX:
            msg = f"more than {HUBS_MAX:,} hubs on one node"
            raise ProtocolViolation(msg)
        for hub_id in closed:
            if hub_id in known and hub_id in self._drivers and self._agree(peer, self._drivers[hub_id]):
                self._drivers[hub_id].link_down(peer)
            known.pop(hub_id, None)
            self._admitted.pop((peer, hub_id), None)
            self._denials.get(peer, set()).discard(hub_id)
        for told in opened:
            fresh = told.id not in known
            known[told.id] = told
            if fresh and told.id in self._drivers:
                self._meet(peer, self._drivers[told.id])
        for driver in list(self._drivers.values()):
            self.look_for_company(driver)

    def _denied(self, peer: NodeId, hub_id: str) -> None:
        """A hub there does not admit this node."""
        driver = self._drivers.get(hub_id)
        if driver is None:
            return
        if self._agree(peer, driver):
            driver.link_down(peer)
        if len(denials := self._denials.setdefault(peer, set())) < HUBS_MAX:
            denials.add(hub_id)
        driver.denied(peer)
        self.look_for_company(driver)

    def _agree(self, peer: NodeId, driver: Attached) -> bool:
        """Whether this hub is there, too, with the same strategies, and each of the two admits the other."""
        told = self._hubs.get(peer, {}).get(driver.hub_id)
        if told is None or told.agreement != driver.agreement or driver.hub_id in self._denials.get(peer, ()):
            return False
        admitted = self._admitted.get((peer, driver.hub_id))
        if admitted is None:
            admitted = self._admitted[peer, driver.hub_id] = driver.admits(peer, told.labels)
        return admitted

    def _meet(self, peer: NodeId, driver: Attached) -> None:
        """Both have the hub."""
        if self._agree(peer, driver):
            driver.link_up(peer)
            return
        told = self._hubs[peer][driver.hub_id]
        if told.agreement == driver.agreement:
            if driver.hub_id not in self._denials.get(
                peer, ()
            ):  # who does not understand it is told that there is no hub
                self._send(peer, [DENY if peer in self._denials else CLOSE, driver.hub_id])
            return
        mine = self._node()
        later = (boot_of(mine), mine) > (boot_of(peer), peer)
        driver.differ(peer, told.agreement, refused=not driver.live and (told.live or later))
        if driver.live and not told.live:
            self._send(peer, [OPEN, self._entry(peer, driver)])  # it may have heard of this hub when it did not act yet

    def bars(self, peer: NodeId, driver: Attached) -> bool:
        """Whether a hub here, which admits only some, takes nothing from that node: it is none of them, or has not asked."""
        return driver.guarded and not self._agree(peer, driver)

    def _entry(self, peer: NodeId, driver: Attached) -> list[Any]:
        entry = [driver.hub_id, driver.live, *driver.agreement]
        return [*entry, dict(driver.labels)] if peer in self._denials else entry


def _read(entry: object) -> _Told:
    match entry:
        case [str(hub_id), bool(live), str(a), str(b), str(c), str(d), str(e), *more]:
            texts = (a, b, c, d, e)
            if len(hub_id) <= HUB_ID_MAX and max(map(len, texts)) <= TEXT_MAX:
                return _Told(hub_id, live, texts, _read_labels(more[0]) if more else {})
    msg = f"not a hub's id and strategies: {entry!r:.80}"
    raise ProtocolViolation(msg)


def _read_labels(value: object) -> Mapping[str, str]:
    try:
        if isinstance(value, dict):
            return check_labels(value)
    except ValueError:
        pass
    msg = f"not the labels of a hub: {value!r:.80}"
    raise ProtocolViolation(msg)
