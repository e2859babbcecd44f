"""Which hubs the linked nodes have, and whether they are run by the same strategies there.

Law of this room: two cores are linked while their nodes are linked, both have the hub, *and* both name the same strategies;
so nobody waits for an answer from a node without the hub, and nodes that would place children by different rules never meet
in one map. Where they differ, whoever joins is refused; of two that join, the later one. Whoever runs already is not disturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubkit.errors import ProtocolViolation
from hubkit.node.seams import Attached
from hubkit.pids import NodeId, boot_of

__all__ = ["CLOSE", "HUBS", "OPEN", "Directory"]

# Kinds of node messages, beside the node's own (0) and the exchange's (from 1 on).
#   [HUBS, [hub, ...]]  all that a node has, on a new link     hub  [id, whether it acts already, *strategies]
#   [OPEN, hub]         one more (or again, when it acts)
#   [CLOSE, id]         one less
HUBS, OPEN, CLOSE = -1, -2, -3

#: What a peer may say that it has; the names are kept as long as its link lasts.
HUBS_MAX = 4096
HUB_ID_MAX = 255
TEXT_MAX = 1000


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
        self._hubs: dict[NodeId, dict[str, tuple[bool, tuple[str, ...]]]] = {}
        #: when all nodes to be joined have been tried in vain
        self.exhausted: bool = False

    # -- here ---------------------------------------------------------------------------------------------------------

    def attach(self, driver: Attached) -> None:
        """A hub has been opened here."""
        for peer in self._linked():
            self._send(peer, [OPEN, _entry(driver)])
            if driver.hub_id in self._hubs.get(peer, ()):
                self._meet(peer, driver)
        self.look_for_company(driver)

    def detach(self, driver: Attached) -> None:
        """A hub has ended here."""
        for peer in self._linked():
            self._send(peer, [CLOSE, driver.hub_id])

    def look_for_company(self, driver: Attached) -> None:
        """Whoever joins waits for those who are there; but not for nodes that do not have its hub."""
        peers = self._linked()
        alone = all(peer in self._hubs and not self._agree(peer, driver) for peer in peers)
        if alone and (peers or self.exhausted):
            driver.seeds_exhausted()

    # -- there --------------------------------------------------------------------------------------------------------

    def greet(self, peer: NodeId) -> None:
        """A link is ready."""
        self._send(peer, [HUBS, [_entry(driver) for _, driver in sorted(self._drivers.items())]])

    def lost(self, peer: NodeId) -> None:
        """A link is gone."""
        for hub_id in sorted(self._hubs.get(peer, ())):
            if hub_id in self._drivers and self._agree(peer, self._drivers[hub_id]):
                self._drivers[hub_id].link_down(peer)
        self._hubs.pop(peer, None)

    def receive(self, peer: NodeId, message: list[Any]) -> bool:
        """Take in a message; whether it was one of these. Raises `ProtocolViolation` when it makes no sense."""
        match message:
            case [-1, list(entries)]:
                self._told(peer, [_read(entry) for entry in entries], [])
            case [-2, entry]:
                found = _read(entry)
                self._told(peer, [found], [found[0]])
            case [-3, str(hub_id)]:
                self._told(peer, [], [hub_id])
            case _:
                return False
        return True

    def _told(self, peer: NodeId, opened: list[tuple[str, bool, tuple[str, ...]]], closed: list[str]) -> None:
        known = self._hubs.setdefault(peer, {})
        if len(known) + len(opened) > HUBS_MAX:
            msg = f"more than {HUBS_MAX:,} hubs on one node"
            raise ProtocolViolation(msg)
        for hub_id in closed:
            if hub_id in known and hub_id in self._drivers and self._agree(peer, self._drivers[hub_id]):
                self._drivers[hub_id].link_down(peer)
            known.pop(hub_id, None)
        for hub_id, live, agreement in opened:
            fresh = hub_id not in known
            known[hub_id] = (live, agreement)
            if fresh and hub_id in self._drivers:
                self._meet(peer, self._drivers[hub_id])
        for driver in list(self._drivers.values()):
            self.look_for_company(driver)

    def _agree(self, peer: NodeId, driver: Attached) -> bool:
        """Whether this hub is there, too, with the same strategies."""
        told = self._hubs.get(peer, {}).get(driver.hub_id)
        return told is not None and told[1] == driver.agreement

    def _meet(self, peer: NodeId, driver: Attached) -> None:
        """Both have the hub."""
        if self._agree(peer, driver):
            driver.link_up(peer)
            return
        live, agreement = self._hubs[peer][driver.hub_id]
        mine = self._node()
        later = (boot_of(mine), mine) > (boot_of(peer), peer)
        driver.differ(peer, agreement, refused=not driver.live and (live or later))
        if driver.live and not live:
            self._send(peer, [OPEN, _entry(driver)])  # it may have heard of this hub when it did not act yet


def _entry(driver: Attached) -> list[Any]:
    return [driver.hub_id, driver.live, *driver.agreement]


def _read(entry: object) -> tuple[str, bool, tuple[str, ...]]:
    match entry:
        case [str(hub_id), bool(live), str(a), str(b), str(c), str(d), str(e)]:
            texts = (a, b, c, d, e)
            if len(hub_id) <= HUB_ID_MAX and max(map(len, texts)) <= TEXT_MAX:
                return hub_id, live, texts
    msg = f"not a hub's id and strategies: {entry!r:.80}"
    raise ProtocolViolation(msg)
