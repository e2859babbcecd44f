"""What somebody who waits has not looked at yet.

Law of this room: registered once for all its children (`Driver.watching`), so that waiting for ten thousand of them costs
what changes.
"""

from __future__ import annotations

import trio

from hubkit.pids import Pid

__all__ = ["Watch"]


class Watch:
    """The view of one who waits: which of its children have changed since it looked last."""

    __slots__ = ("_event", "_touched", "ids", "seen")

    def __init__(self, ids: frozenset[str]) -> None:
        self.ids: frozenset[str] = ids
        #: where children of it ran in the meantime, however shortly
        self.seen: dict[str, Pid] = {}
        self._touched: set[str] = set()
        self._event = trio.Event()

    def touch(self, child: str | None = None) -> None:
        """Note a change, and wake whoever waits."""
        if child is not None:
            self._touched.add(child)
        self._event.set()

    async def next(self) -> list[str]:
        """Wait for a change; the children it concerns, sorted (none: acknowledgements or membership)."""
        await self._event.wait()
        self._event = trio.Event()
        touched, self._touched = sorted(self._touched), set()
        return touched
