"""What a hub on one node says of the same hub on another: whether it may take part, and whether both decide alike.

Law of this room: who joins and may not gives up, and its user is told why; who is there already stays apart, and says so once.
So does one that joins and has met somebody who agrees: a single node does not keep others apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from hubkit.cluster.agreement import differences
from hubkit.cluster.core import Core
from hubkit.errors import ConfigurationError, HandshakeRefused, HubkitError
from hubkit.hub.admission import Admission, denial
from hubkit.logs import Log
from hubkit.net.lines import one_line
from hubkit.pids import NodeId, name_of

__all__ = ["Meeting"]

_MOST = 1000  # names that are remembered

log: Log = Log("hubkit.hub")

_DIFFERENCES = 1500  # characters of what differs that are told


class Meeting:
    """The part of `hubkit.hub.driver.Driver` that meets others. ``refusal``: why this node cannot join."""

    hub_id: str
    node: NodeId
    agreement: tuple[str, ...]
    refusal: HubkitError | None
    _admission: Admission
    _differing: set[str]  # names that this was said of
    core: Core

    @property
    def live(self) -> bool:
        """Whether this node acts in the hub."""
        raise NotImplementedError

    def rouse(self) -> None:
        """Let those who wait look again."""
        raise NotImplementedError

    def differ(self, peer: NodeId, agreement: tuple[str, ...], *, refused: bool) -> None:
        """The hub has other strategies on a linked node. Who joins gives up; who is there already stays apart."""
        what = "; ".join(differences(self.agreement, agreement))
        what = one_line(what, _DIFFERENCES)  # the other node's words
        text = f"hub {self.hub_id!r} has other strategies on node {name_of(peer)!r}: {what}. All nodes of a hub need the same"
        if refused and not self.core.links:
            self.refusal = self.refusal or ConfigurationError(text)
            self.rouse()
        else:
            self._say_apart(peer, text)

    def _say_apart(self, peer: NodeId, text: str) -> None:
        name = name_of(peer)
        if name not in self._differing and len(self._differing) < _MOST:
            self._differing.add(name)
            log.warning("node %s stays apart: %s", name_of(self.node), text)

    @property
    def guarded(self) -> bool:
        """Whether it admits only some nodes."""
        return self._admission.rule is not None

    def admits(self, peer: NodeId, labels: Mapping[str, str]) -> bool:
        """Whether a node that is linked may take part."""
        return self._admission.admits(self.hub_id, name_of(self.node), name_of(peer), labels)

    def denied(self, peer: NodeId) -> None:
        """A linked node does not admit this one. Who joins gives up; who is there already stays apart."""
        text = denial(self.hub_id, name_of(peer), name_of(self.node))
        if not self.live and not self.core.links:
            self.refusal = self.refusal or HandshakeRefused(text, code="admission", by_peer=True)
            self.rouse()
        else:
            self._say_apart(peer, text)
