"""What operators are answered about a hub, and the one thing that they may have done: let its node leave.

Law of this room: the same readings that programs have, in plain values. Whoever asks for a drain is told that it has begun;
how far it has come is to be read, as everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from hubkit.hub.driver import Driver
from hubkit.hub.planning import plan
from hubkit.hub.views import explanation

__all__ = ["HubDesk"]


class HubDesk:
    """The desk of one hub. ``leave`` begins to drain."""

    __slots__ = ("_driver", "_leave")

    def __init__(self, driver: Driver, leave: Callable[[], None]) -> None:
        self._driver = driver
        self._leave = leave

    def knows(self, child: str) -> bool:
        """Whether it is wanted, or something of it is left."""
        return child in self._driver.core.wants or child in self._driver.core.runs

    def explain(self, child: str) -> Mapping[str, Any]:
        """All that `hubkit.Explanation` says."""
        found = explanation(self._driver, child)
        return {**asdict(found), "summary": str(found)}

    def plan(self, add: list[str], remove: list[str]) -> list[Mapping[str, Any]]:
        """All that `Hub.plan` says. Raises `ConfigurationError`."""
        moves = plan(self._driver, add, remove)
        return [{"child": move.child_id, "source": move.source, "target": move.target} for move in moves]

    def drain(self) -> None:
        """Begin to leave, once."""
        if not self._driver.core.left and not self._driver.closed:
            self._leave()
