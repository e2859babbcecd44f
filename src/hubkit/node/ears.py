"""What the mesh tells a node, and to whom of it each thing goes.

Law of this room: it decides nothing but who is meant: a hub's driver, the directory, the exchange, or who answers operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubkit.errors import HandshakeRefused, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.handshake import Identity
from hubkit.node.operator import answer, objection
from hubkit.pids import NodeId, boot_of, name_of

if TYPE_CHECKING:
    from hubkit.node.node import Node

__all__ = ["Ears"]

log: Log = Log("hubkit.node")

#: [UNKNOWN, kind]: messages of this kind are not known here, and nothing has been done
UNKNOWN = -11
_KINDS = (0, -8, -9, UNKNOWN)  # beside those of the directory, which has been asked, and of the exchange

_FINAL = ("secret", "access", "certificate", "version", "name", "clock")


class Ears:
    """See `hubkit.net.owner.MeshEvents`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def link_up(self, peer: Identity) -> None:
        """A link is ready."""
        node = self._node
        node._refusal = None
        node._exchange.link_up(peer.node, peer.capabilities)
        node._directory.greet(peer.node, peer.capabilities)

    def link_down(self, peer: NodeId, said_goodbye: bool) -> None:
        """A link is gone."""
        node = self._node
        if said_goodbye:
            node.liveness.refuse(peer)
        node._directory.lost(peer)
        node._exchange.link_down(peer)
        node._exchange.look()
        if said_goodbye:
            node._touch()

    def refused(self, peer: NodeId) -> None:
        """A process is proven dead."""
        node = self._node
        node.liveness.refuse(peer)
        node._touch()
        node._exchange.look()

    def message(self, peer: NodeId, message: list[Any]) -> None:
        """A message has arrived. Whose messages make no sense loses its link, and is not let in for a while."""
        exchange = self._node._exchange
        try:
            if message and exchange.knows(message[0]):  # nearly all
                exchange.receive(peer, message)
            else:
                self._take(peer, message)
        except ProtocolViolation:
            self._node._bar(peer)
            raise

    def _take(self, peer: NodeId, message: list[Any]) -> None:
        node = self._node
        match message:
            case [0, str(hub_id), list(sync), *_]:
                if hub_id in node._drivers:
                    node._drivers[hub_id].receive(peer, sync)
            case [-8, str(hub_id), list(about), *_]:
                driver = node._drivers.get(hub_id)
                if driver is not None and not node._directory.bars(peer, driver):
                    driver.take_state(peer, about)
            case [-9, str(hub_id), list(about), *_]:
                driver = node._drivers.get(hub_id)
                if driver is not None and not node._directory.bars(peer, driver):
                    driver.take_group(peer, about)
            case _ if node._directory.receive(peer, message):
                pass
            case [int(kind), *_] if kind not in _KINDS and node._directory.answers(peer):
                node.send(peer, [UNKNOWN, kind])  # of a later release: its sender decides what that means
            case [-11, int(kind), *_] if node._directory.answers(peer):
                log.debug("%s does not know messages of kind %d", peer, kind)
            case _:
                node._exchange.receive(peer, message)

    def admit(self, peer: Identity) -> str | None:
        """Whether a node that has proved that it knows the secret may be linked: `None`, or why not.

        The mesh has refused other boots of this node's name, and of the names it is linked to; here it is about a name
        that lives behind others.
        """
        node, name = self._node, name_of(peer.node)
        if node._distrust.bars(peer.node, node.now()):
            return f"distrusted: {peer.node} has told lies here a moment ago"
        for other in node._members():
            if other == peer.node or name_of(other) != name or not node.liveness.alive(other, node.now()):
                continue
            if other in node._exchange.linked and node.liveness.speaks(other, node.now()):
                return f"busy: {other}, of the same name, speaks: come when it is silent"
            address = node._address_of(other)
            if boot_of(peer.node) < boot_of(other):
                return f"name: a newer node named {name!r} is alive"
            if address is None or address != peer.address:
                return f"name: another node named {name!r} is alive{f' at {address}' if address else ''}"
        ahead = node.liveness.superseded(peer.node)
        if ahead:  # whatever it did, all others would take it for dead
            late = f"clock: a newer boot of {name!r} has been here, by {ahead / 1000:g} s. If this one has started later, its "
            return f"{late}clock was set back: set it right and start again, or give the node another name"
        return None

    def seed_failed(self, address: str, error: Exception) -> None:
        """A node to join could not be joined, this time."""
        node = self._node
        if isinstance(error, HandshakeRefused) and error.code in _FINAL:
            node._refusal = error
            for driver in list(node._drivers.values()):
                driver.notice()

    def seeds_exhausted(self) -> None:
        """All nodes to join were tried, and none is there."""
        node = self._node
        node._directory.exhausted = True
        for driver in list(node._drivers.values()):
            node._directory.look_for_company(driver)

    def request(self, peer: Identity, message: list[Any]) -> list[Any]:
        """An operator asks."""
        node = self._node
        denied = objection(peer.access, message)
        if denied is not None:
            return ["error", denied]
        about = {"node": node.name, "url": node.url, "links": [name_of(peer) for peer in node.linked()]}
        return answer(about, node._drivers, message, links=node._roads)
