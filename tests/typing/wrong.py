"""Calls that are wrong: mypy and pyright each complain of every line that is marked so, and of no other."""

from __future__ import annotations

import hubkit


class Counter(hubkit.Actor):
    def __init__(self, value: int = 0) -> None:
        self.value = value

    async def add(self, n: int = 1) -> int:
        return self.value + n


class Stranger(hubkit.Actor):
    async def greet(self) -> str:
        return "hello"


@hubkit.actor
async def worker(context: hubkit.Context, interval: float) -> None:
    async for _ in context:
        print(interval)


async def calls(ref: hubkit.Ref[Counter], anyone: hubkit.Ref[hubkit.Actor]) -> None:
    await ref.call(Counter.add, "two")  # wrong: not an int
    await ref.call(Counter.add, 1, 2)  # wrong: one argument too many
    await ref.call(Counter.add, m=1)  # wrong: no such argument
    await ref.call(Stranger.greet)  # wrong: another actor's method
    await ref.cast(Counter.add, "two")  # wrong: not an int
    ref.cast_nowait(Stranger.greet)  # wrong: another actor's method
    text: str = await ref.call(Counter.add)  # wrong: an int
    print(text)
    narrow: hubkit.Ref[Counter] = anyone  # wrong: not every actor is a Counter
    print(narrow)


def specs() -> None:
    hubkit.child("a", Counter, "five")  # wrong: not an int
    hubkit.child("b", Counter, amount=5)  # wrong: no such argument
    hubkit.child("c", worker)  # wrong: the interval is missing
    hubkit.child("d", worker, "often")  # wrong: not a float
    hubkit.child(5, Counter)  # wrong: an id is a str
    hubkit.ChildSpec("e", Counter, restart="sometimes")  # wrong: no such restart type


async def hubs(hub: hubkit.Hub) -> None:
    await hub.ref("a", Counter).call(Stranger.greet)  # wrong: another actor's method
    hub.pid(5)  # wrong: an id is a str
    await hub.stop_child()  # wrong: which one?


class Door(hubkit.StateMachine[str]):
    initial = 5  # wrong: a state is a str here

    @hubkit.when("open", otherwise="wait")  # wrong: no such word
    async def walk(self, who: str) -> int:
        token: hubkit.LateReply[int] = self.context.reply_later()
        token.reply("five")  # wrong: not an int
        token.fail(ValueError())  # wrong: no Reject
        self.become(5)  # wrong: a state is a str here
        return token.later

    @hubkit.when("open")
    async def leave(self) -> str:
        token: hubkit.LateReply[int] = self.context.reply_later()
        return token.later  # wrong: an int

    @hubkit.when("open")  # wrong: no coroutine function
    def plain(self) -> None: ...


async def tools(doors: list[hubkit.Ref[Door]]) -> None:
    await doors[0].call(Door.walk, 5)  # wrong: not a str
    ask = hubkit.MultiCall(doors, Door.walk, "me")
    texts: list[str] = list(ask.replies.values())  # wrong: ints
    print(texts)
    hubkit.MultiCall(doors, Stranger.greet)  # wrong: another actor's method
    hubkit.MultiCall(doors, Door.walk, 5)  # wrong: not a str
