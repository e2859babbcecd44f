"""The actors that member processes run.

They stand in a module of their own, at its top level, so that they have the same name in every process. Each instance
tells the journal when it starts and when it stops, and stands in `here` between the two.
"""

from __future__ import annotations

import builtins
import itertools
import os
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import trio
from tests.processes.journal import JOURNAL, Journal, clock

import hubkit

__all__ = ["Broken", "Child", "Order", "OutOfStock", "gate", "held", "here", "journal"]

#: all instances that run in this process
here: dict[str, Child] = {}

#: the gates at which somebody waits now
held: list[str] = []

_numbers = itertools.count(1)
_gates: dict[str, trio.Event] = {}


@cache
def journal() -> Journal:
    """The journal of this test."""
    return Journal(os.environ[JOURNAL])


def gate(name: str) -> trio.Event:
    """An event of this process that a test can set from outside."""
    return _gates.setdefault(name, trio.Event())


async def pass_gate(name: str) -> None:
    """Wait at a gate, visibly, until it is opened."""
    held.append(name)
    try:
        await gate(name).wait()
    finally:
        held.remove(name)


@hubkit.message
@dataclass(frozen=True)
class Order:
    """A message of the user's own type."""

    item: str
    count: int


class OutOfStock(hubkit.Reject):
    """A refusal of the user's own type."""


class Broken(Exception):
    """A failure that is no built-in one, so it cannot be rebuilt in another process."""


class Child(hubkit.Actor):
    """A counter that can do whatever the tests need."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.instance = f"{os.getpid()}.{next(_numbers)}"
        self.infos: list[Any] = []

    async def on_start(self) -> None:
        here[self.instance] = self
        journal().start(*self._label(), self.context.start_reason)

    async def on_stop(self, reason: str) -> None:
        if here.pop(self.instance, None) is not None:
            journal().stop(*self._label(), reason)

    async def on_info(self, message: Any) -> None:
        if message == "crash":
            raise Broken(message)
        self.infos.append(message)

    def _label(self) -> tuple[str, str, str, str]:
        context = self.context
        return context.node, context.hub.id, str(context.child_id), self.instance

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def get(self) -> int:
        return self.value

    async def about(self) -> dict[str, Any]:
        context = self.context
        return {
            "instance": self.instance,
            "node": context.node,
            "term": context.term,
            "reason": context.start_reason,
            "metadata": context.metadata,
        }

    async def echo(self, value: Any) -> Any:
        return value

    async def size(self, data: bytes) -> int:
        return len(data)

    async def me(self) -> hubkit.Ref[Any]:
        return self.context.ref

    async def heard(self) -> list[str]:
        return [str(info) for info in self.infos]

    async def downs(self) -> list[list[str]]:
        return [[str(info.pid), info.reason] for info in self.infos if isinstance(info, hubkit.Down)]

    async def watch(self, child: str) -> str:
        return str(self.context.monitor(self.context.hub.ref(child)).pid)

    async def ask(self, child: str, method: str, *args: Any) -> Any:
        """Call another child from within this call."""
        return await self.context.hub.ref(child).call(method, *args)

    async def outcome(self, child: str, method: str, *args: Any) -> list[Any]:
        """Call another child from within this call, and tell how that went."""
        try:
            return ["ok", await self.ask(child, method, *args)]
        except hubkit.errors.HubkitError as error:
            return [type(error).__name__, str(error)]

    async def tell(self, child: str, message: Any) -> None:
        """Send another child a message that says who sent it."""
        await self.context.hub.ref(child).send((self.context.ref, message))

    async def hold(self, name: str) -> str:
        """Be busy until the gate of this name in this process is opened."""
        await pass_gate(name)
        return name

    async def refuse(self, item: str, left: int) -> None:
        raise OutOfStock(item, left)

    async def crash(self, kind: str = "Broken", text: str = "on demand") -> None:
        raise getattr(builtins, kind, Broken)(text)

    async def lock(self) -> Any:
        return threading.Lock()

    async def finish(self, reason: str = "normal") -> None:
        self.context.stop(reason)


class Carried(Child):
    """Takes its value along."""

    async def keep(self, n: int = 1) -> int:
        """Add, and have that kept by all copies."""
        self.value += n
        await self.context.checkpoint()
        return self.value

    def handover_state(self) -> Any:
        return self.value

    def accept_handover(self, state: Any) -> None:
        self.value = state


class FailsToStart(Child):
    """Raises the built-in exception of this name from ``on_start``."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__()
        self.kind, self.text = kind, text

    async def on_start(self) -> None:
        raise getattr(builtins, self.kind)(self.text)


class CrashLoop(Child):
    """Crashes a moment after each of its starts."""

    async def on_start(self) -> None:
        await super().on_start()
        self.context.send_after(0.001, "crash")


class SlowToStart(Child):
    """Needs some seconds to start."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def on_start(self) -> None:
        await trio.sleep(self.seconds)
        await super().on_start()


class Ticking(Child):
    """Is never idle: writes down each message that it begins to handle, and sends itself the next."""

    async def on_start(self) -> None:
        await super().on_start()
        self.context.send_after(0.01, "tick")
        self.context.nursery.start_soon(self._note_the_end)

    async def _note_the_end(self) -> None:
        """One that is ended by force has no ``on_stop``."""
        try:
            await trio.sleep_forever()
        finally:
            if here.pop(self.instance, None) is not None:
                journal().stop(*self._label(), "by force")

    async def on_info(self, message: Any) -> None:
        moment, context = clock(), self.context
        journal().tick(moment, context.node, str(context.child_id), context.term)
        context.send_after(0.01, "tick")


class SlowToStop(Child):
    """Needs some seconds to stop."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def on_stop(self, reason: str) -> None:
        await trio.sleep(self.seconds)
        await super().on_stop(reason)


class HeldAtFailover(Child):
    """Waits at a gate when it is started again elsewhere after a crash of its node."""

    async def on_start(self) -> None:
        if self.context.start_reason == "failover":
            await pass_gate(f"failover of {self.context.child_id}")
        await super().on_start()


@hubkit.actor
async def echoer(context: hubkit.Context) -> None:
    """An actor function: sends back what it gets, in a pair with how many it has had."""
    number = 0
    async for sender, message in context:
        number += 1
        await sender.send([number, message])
