"""The links of a node, as it uses them and as an operator sees them, in plain values.

Law of this room: it asks the mesh, and knows nothing itself. For operators keys are only ever
added, and what is not known is `None`. A peer without a link has a row, too, as long as this node dials it: with why there is
none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import trio

from hubkit.cluster.liveness import Liveness
from hubkit.net.mesh import Mesh
from hubkit.net.outbox import Growing
from hubkit.net.session import LinkStatistics
from hubkit.node.detours import Detours
from hubkit.node.distrust import Distrust
from hubkit.node.exchange import Exchange
from hubkit.pids import NodeId, name_of

__all__ = ["Roads", "listing"]


class Roads:
    """The part of `hubkit.node.node.Node` that looks at links."""

    _mesh: Mesh | None = None
    _detours: Detours | None = None
    _distrust: Distrust
    _exchange: Exchange
    liveness: Liveness

    def send(self, peer: NodeId, message: list[Any]) -> bool:
        """Send to a linked node, soon; `False`: there is no link."""
        return self._detours is not None and self._detours.send(peer, message)

    def write(self, peer: NodeId, message: bytes) -> int:
        """Send what is bytes already: how many wait then; -1: there is no link."""
        return -1 if self._detours is None else self._detours.write(peer, message)

    def grow(self, peer: NodeId, message: Growing) -> bool:
        """Send what may grow until it goes out; `False`: not now, use `write`."""
        return self._detours is not None and self._detours.grow(peer, message)

    def _look_for_detours(self, now: float) -> None:
        if self._detours is not None:
            alive = self.liveness.alive
            bars = self._distrust.bars
            self._detours.look([m for m in self._members() if alive(m, now) and not bars(m, now)])

    def _members(self) -> list[NodeId]:
        raise NotImplementedError

    def _links(self) -> Mapping[NodeId, LinkStatistics]:
        held, figures = self._exchange.credits.held, self._exchange.freight.figures
        links = {} if self._mesh is None else self._mesh.links
        return {peer: replace(link, held=held(peer), **asdict(figures(peer))) for peer, link in links.items()}

    def _roads(self) -> list[dict[str, Any]]:
        if self._mesh is None or self._detours is None:
            return []
        return listing(self._links(), self._mesh.missing, self._detours.open)

    def backlog(self, peer: NodeId) -> int:
        """How many bytes wait to be sent to a linked node."""
        return 0 if self._mesh is None or self._detours is None else self._mesh.backlog(self._detours.way(peer))

    async def wait_room(self, peer: NodeId) -> None:
        """Return once few do, or there is no link."""
        if self._mesh is None or self._detours is None:
            await trio.lowlevel.checkpoint()
        else:
            await self._mesh.wait_room(self._detours.way(peer))


Missing = Sequence[tuple[NodeId | None, str, str]]


def listing(
    links: Mapping[NodeId, LinkStatistics], missing: Missing, detours: Mapping[NodeId, NodeId]
) -> list[dict[str, Any]]:
    """A row for each link, then one for each address that is dialled in vain. Times in seconds, sizes in bytes."""
    return [*(_up(link) for link in links.values()), *(_down(*entry, detours) for entry in missing)]


def _up(link: LinkStatistics) -> dict[str, Any]:
    trip = link.round_trip
    return {
        "peer": name_of(link.peer),
        "state": link.state,
        "remote": link.remote,
        "dialed": link.dialed,
        "age": link.age,
        "silent": link.silent,
        "rtt_min": None if trip is None else trip.least,
        "rtt_median": None if trip is None else trip.median,
        "rtt_p99": None if trip is None else trip.p99,
        "rtt_count": 0 if trip is None else trip.count,
        "bytes_in": link.bytes_in,
        "bytes_out": link.bytes_out,
        "frames_in": link.frames_in,
        "frames_out": link.frames_out,
        "messages_in": link.messages_in,
        "messages_out": link.messages_out,
        "messages_per_frame": link.messages_per_frame,
        "outbox": link.waiting,
        "outbox_bytes": link.waiting_bytes,
        "held": link.held,
        "sending": link.sending,
        "sending_bytes": link.sending_bytes,
        "sent_bytes": link.sent_bytes,
        "receiving": link.receiving,
        "receiving_bytes": link.receiving_bytes,
        "received_bytes": link.received_bytes,
        "reconnects": link.reconnects,
        "last_error": link.last_error,
    }


def _down(node: NodeId | None, address: str, error: str, detours: Mapping[NodeId, NodeId]) -> dict[str, Any]:
    row = {
        "peer": None if node is None else name_of(node),
        "state": "down",
        "remote": address,
        "last_error": error or None,
    }
    over = None if node is None else detours.get(node)
    return row if over is None else {**row, "state": "detour", "over": name_of(over)}
