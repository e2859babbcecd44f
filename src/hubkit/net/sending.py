"""What a mesh sends: each thing on the link to whom it is for.

Law of this room: nothing here waits but who asks to; and where there is no link, that is said at once.
"""

from __future__ import annotations

from typing import Any

import trio

from hubkit.net.outbox import Growing
from hubkit.net.session import Session
from hubkit.net.wire import encode_app
from hubkit.pids import NodeId

__all__ = ["Sending"]


class Sending:
    """The part of `hubkit.net.mesh.Mesh` that sends."""

    _sessions: dict[NodeId, Session]

    def send(self, peer: NodeId, message: list[Any], *, urgent: bool = False) -> bool:
        """Send a list of plain values (None, bool, int of 64 bits, float, str, bytes, list, dict with text keys) soon.

        Messages to one peer keep their order; urgent ones keep theirs, and overtake the others, a large one in the middle,
        too. `False`: there is no link, or its outbox was full, in which case it is given up. Never waits. Raises
        `NotSerializable` if it can never travel.
        """
        session = self._sessions.get(peer)
        return session is not None and session.put(encode_app(message), urgent=urgent)

    def write(self, peer: NodeId, message: bytes) -> int:
        """Send what `hubkit.net.wire.encode_app` would have made: how many bytes wait then; -1: there is no link, as `send`."""
        session = self._sessions.get(peer)
        return session.backlog if session is not None and session.put(message) else -1

    def grow(self, peer: NodeId, message: Growing) -> bool:
        """Send a message that may grow until it goes out. `False`: not now, or there is no link: use `write`, which tells."""
        session = self._sessions.get(peer)
        return session is not None and session.grow(message)

    def backlog(self, peer: NodeId) -> int:
        """How many bytes wait to be sent to ``peer``: beyond `ROOM`, whoever can should `wait_room`."""
        session = self._sessions.get(peer)
        return 0 if session is None else session.backlog

    async def wait_room(self, peer: NodeId) -> None:
        """Return once little waits to be sent to ``peer``, or there is no link to it."""
        await trio.lowlevel.checkpoint()
        if (session := self._sessions.get(peer)) is not None:
            await session.wait_room()
