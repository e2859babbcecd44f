"""Calls that are right: no type checker says a word about any line here."""

from __future__ import annotations

from enum import Enum
from typing import Any, assert_type

import hubkit


class Counter(hubkit.Actor):
    def __init__(self, value: int = 0) -> None:
        self.value = value

    async def add(self, n: int = 1, *, twice: bool = False) -> int:
        self.value += 2 * n if twice else n
        return self.value

    async def name(self) -> str:
        return str(self.context.child_id)

    async def reset(self) -> None:
        self.value = 0


class LoudCounter(Counter):
    async def shout(self) -> str:
        return f"{self.value}!"


@hubkit.actor
async def worker(context: hubkit.Context, interval: float, *, label: str = "") -> None:
    async for message in context:
        print(label, interval, message)


async def calls(ref: hubkit.Ref[Counter], loud: hubkit.Ref[LoudCounter]) -> None:
    assert_type(await ref.call(Counter.add), int)
    assert_type(await ref.call(Counter.add, 2), int)
    assert_type(await ref.call(Counter.add, n=2, twice=True), int)
    assert_type(await ref.call(Counter.name), str)
    assert_type(await ref.call("anything", 1, key=2), Any)
    await ref.cast(Counter.add, 2)
    ref.cast_nowait(Counter.reset)
    await ref.send("anything")
    ref.send_nowait(("any", "thing"))
    assert_type(ref.pid, hubkit.Pid | None)

    # what the base class can do, and its own
    assert_type(await loud.call(Counter.add, 1), int)
    assert_type(await loud.call(LoudCounter.add, 1), int)
    assert_type(await loud.call(LoudCounter.shout), str)

    # covariant: a ref of a subclass is a ref of its base
    base: hubkit.Ref[Counter] = loud
    anyone: hubkit.Ref[hubkit.Actor] = base
    keys = {ref: 1, loud: 2, anyone: 3}
    print(keys)


def specs() -> list[hubkit.ChildSpec]:
    return [
        hubkit.child("a", Counter),
        hubkit.child("b", Counter, 5),
        hubkit.child("c", Counter, value=5),
        hubkit.child("d", worker, 0.5),
        hubkit.child("e", worker, 0.5, label="x"),
        hubkit.ChildSpec("f", Counter, (5,), restart="transient", shutdown=1.0, mailbox=10),
        hubkit.ChildSpec("g", Counter, backoff=hubkit.Backoff(first=0.1, factor=2.0, max=10.0)),
    ]


async def hubs() -> None:
    async with hubkit.Hub("shop", listen="ws://127.0.0.1:0", secret="s") as hub:
        assert_type(hub.ref("a", Counter), hubkit.Ref[Counter])
        assert_type(await hub.ref("a", Counter).call(Counter.add), int)
        assert_type(await hub.ref("a").call("add"), Any)
        assert_type(hub.pid("a"), hubkit.Pid | None)
        assert_type(hub.pids("a"), tuple[hubkit.Pid, ...])
        assert_type(hub.lookup("a"), hubkit.ChildInfo | None)
        assert_type(hub.nodes(), tuple[str, ...])
        assert_type(await hub.start_children(specs()), hubkit.StartResult)
        assert_type(await hub.stop_children(["a", "b"]), hubkit.StopResult)


class Door(hubkit.StateMachine[str]):
    initial = "closed"
    otherwise = "postpone"
    trap_exits = True

    def __init__(self) -> None:
        self.waiting: list[hubkit.LateReply[int]] = []

    @hubkit.when("open")
    async def walk(self, who: str) -> int:
        token: hubkit.LateReply[int] = self.context.reply_later()
        self.waiting.append(token)
        return token.later

    async def turn(self, state: str) -> None:
        assert_type(self.state, str)
        self.become(state, timeout=2.5)
        for token in self.waiting:
            token.reply(len(state))

    async def on_enter(self, state: str, previous: str | None) -> None:
        print(state, previous)

    async def on_timeout(self, state: str) -> None:
        self.become("closed")

    async def on_start(self) -> None:
        assert_type(self.context.send_interval(1, "tick"), hubkit.Timer)
        self.context.link(self.context.ref)
        assert_type(self.context.unlink(self.context.ref), bool)


class Color(Enum):
    RED = 1
    GREEN = 2


class Lamp(hubkit.StateMachine[Color]):
    initial = Color.RED

    @hubkit.when(Color.RED, otherwise="refuse")
    async def go(self) -> Color:
        self.become(Color.GREEN)
        return self.state


async def tools(door: hubkit.Ref[Door], lamps: list[hubkit.Ref[Lamp]]) -> None:
    assert_type(await door.call(Door.walk, "me"), int)
    ask = hubkit.MultiCall(lamps, Lamp.go)
    await ask.run(limit=3)
    assert_type(ask, hubkit.MultiCall[Color])
    assert_type(list(ask.replies.values()), list[Color])
    assert_type(list(hubkit.MultiCall([door], Door.walk, who="me").replies.values()), list[int])
    anything = hubkit.MultiCall(lamps, "go", 1, x=2)
    assert_type(list(anything.replies.values()), list[Any])


@hubkit.actor(trap_exits=True)
async def trapper(context: hubkit.Context, number: int) -> None:
    print(await context.receive(), number)


trapping = hubkit.child("trapper", trapper, 5)
