"""Actors for the tests of hubs: at the top level of a module, so that other nodes can look them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

import hubkit


class Counter(hubkit.Actor):
    """Counts, and tells about itself."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.infos: list[Any] = []

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def where(self) -> str:
        return self.context.node

    async def about(self) -> dict[str, Any]:
        context = self.context
        return {
            "pid": context.pid,
            "child": context.child_id,
            "term": context.term,
            "reason": context.start_reason,
            "metadata": context.metadata,
            "hub": None if context.hub is None else context.hub.id,
        }

    async def fail(self, text: str = "as asked") -> None:
        raise ValueError(text)

    async def refuse(self, *args: Any) -> None:
        raise Refused(*args)

    async def finish(self, reason: str = "normal") -> None:
        self.context.stop(reason)

    async def slow(self, seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    async def echo(self, value: Any) -> Any:
        return value

    async def give_up_value(self) -> Any:
        return object()

    async def ask(self, other: hubkit.Ref[Any], method: str, *args: Any) -> Any:
        return await other.call(method, *args)

    async def watch(self, other: hubkit.Ref[Any]) -> None:
        self.context.monitor(other)

    async def heard(self) -> list[tuple[str, str]]:
        return [(str(info.pid), info.reason) for info in self.infos if isinstance(info, hubkit.Down)]

    async def on_info(self, message: Any) -> None:
        self.infos.append(message)


class Refused(hubkit.Reject):
    """A refusal that travels."""


class Unstartable(hubkit.Actor):
    """Raises when it starts."""

    def __init__(self, text: str = "no") -> None:
        self.text = text

    async def on_start(self) -> None:
        raise LookupError(self.text)


class Slow(hubkit.Actor):
    """Takes its time to start."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def on_start(self) -> None:
        await trio.sleep(self.seconds)

    async def ping(self) -> str:
        return "pong"


class Looping(hubkit.Actor):
    """Crashes soon after each start."""

    async def on_start(self) -> None:
        self.context.send_after(0, "crash")

    async def on_info(self, message: Any) -> None:
        raise RuntimeError("again")


class Stubborn(hubkit.Actor):
    """Does not stop when it is asked to."""

    async def on_stop(self, reason: str) -> None:
        await trio.sleep_forever()


class SelfStopping(hubkit.Actor):
    """Asks its hub for its own end, and waits for it."""

    async def end(self, how: str) -> str:
        hub, child = self.context.hub, self.context.child_id
        arguments = {"stop_child": (child,), "move": (child, self.context.node), "drain": ()}[how]
        try:
            await getattr(hub, how)(*arguments)
        except hubkit.errors.Deadlock as error:
            return type(error).__name__
        return "waited"

    async def end_other(self, child: str) -> str:
        result = await self.context.hub.stop_child(child)
        return str(result.status)


@hubkit.actor
async def brief(context: hubkit.Context) -> None:
    """Has nothing to do."""


@hubkit.actor
async def forwarder(context: hubkit.Context, to: hubkit.Ref[Any]) -> None:
    async for message in context:
        await to.call(Counter.add, message)


@hubkit.message
@dataclass(frozen=True)
class Order:
    """A message with a type of its own."""

    number: int
    items: tuple[str, ...] = ()


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Wordless(hubkit.Actor):
    """Fails with an error that cannot be printed, at its start if it is told to."""

    def __init__(self, *, early: bool = False) -> None:
        self.early = early

    async def on_start(self) -> None:
        if self.early:
            raise Unprintable

    async def fail(self) -> None:
        raise Unprintable
