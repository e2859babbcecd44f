"""Actors for whole hubs under simulation. All simulated processes are one Python: what is applied can be counted here."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

import trio

import hubkit
from hubkit.errors import HubkitError

#: Token of a request -> how often an actor has applied it, on whatever node. `forget` before each simulation.
APPLIED: Tally[str] = Tally()


def forget() -> None:
    """A new simulation: nothing has been applied."""
    APPLIED.clear()


class Counter(hubkit.Actor):
    """Counts, notes what it applies, and does what it is told to."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    async def add(self, token: str = "") -> int:
        self.value += 1
        if token:
            APPLIED[token] += 1
        return self.value

    async def linger(self, token: str, seconds: float) -> int:
        """Be in the middle of it for a while, so that a fault can hit."""
        APPLIED[token] += 1
        await trio.sleep(seconds)
        self.value += 1
        return self.value

    async def finish(self) -> None:
        self.context.stop()

    async def fail(self) -> None:
        raise ValueError("as asked")

    async def about(self) -> dict[str, Any]:
        context = self.context
        return {"pid": context.pid, "term": context.term, "reason": context.start_reason, "value": self.value}


class Friend(Counter):
    """Watches another child of its hub, whichever incarnation of it there is, for as long as it lives."""

    def __init__(self, other: str) -> None:
        super().__init__()
        self.other = other
        self.downs = 0

    async def on_start(self) -> None:
        self.watch()

    def watch(self) -> None:
        try:
            self.context.monitor(self.context.hub.ref(self.other))
        except HubkitError:
            self.context.send_after(1.0, "watch")

    async def on_info(self, message: object) -> None:
        if isinstance(message, hubkit.Down):
            self.downs += 1
            self.context.send_after(0.5, "watch")
        else:
            self.watch()


class Unstartable(hubkit.Actor):
    """Raises when it starts."""

    async def on_start(self) -> None:
        raise LookupError("no")


class Slow(Counter):
    """Takes its time to start."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def on_start(self) -> None:
        await trio.sleep(self.seconds)


class Hesitant(Counter):
    """Takes its time to stop."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def on_stop(self, reason: str) -> None:
        await trio.sleep(self.seconds)


class Looping(hubkit.Actor):
    """Crashes as soon as it has started, again and again, with a short breath in between."""

    async def on_start(self) -> None:
        self.context.send_after(0.04, "crash")

    async def on_info(self, message: object) -> None:
        raise RuntimeError("again")
