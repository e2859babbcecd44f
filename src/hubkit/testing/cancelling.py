"""What a transport promises about cancellation, tried at every await of every operation, and at moments in between.

Law of this room: no moment is chosen by hand. Each operation is given up at its first await, then at its second, and so on,
until it gets through; what must hold then is looked at every time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import outcome
import trio

from hubkit.errors import DialFailed, LinkClosed
from hubkit.net.transport import MAX_FRAME, Link
from hubkit.testing.promises import (
    Check,
    Factory,
    check_refused,
    check_works,
    echo,
    expect,
    linked,
    promise,
    raising,
    serving,
    soon,
)

__all__ = ["CANCELLATION_CHECKS"]

Work = Callable[[], Awaitable[object]]
GiveUp = Callable[[Work], Awaitable[bool]]

_MOST_AWAITS = 500  # of one operation


class _GivenUp:
    """Awaits ``work``, and calls ``give_up`` at its await number ``at``. A cancellation that vanishes in it is an error."""

    def __init__(self, work: Coroutine[Any, Any, object], at: int, give_up: Callable[[], None]) -> None:
        self._work = work
        self._at = at
        self._give_up = give_up

    def __await__(self) -> Generator[Any, Any, None]:
        step = self._work.__await__()
        reply: Any = None
        cancelled = False
        for number in count():
            try:
                trap = step.send(reply)
            except StopIteration:
                expect(not cancelled, "it swallows a cancellation")
                return
            except Exception as error:
                expect(not cancelled, f"it makes {error!r} of a cancellation")
                raise
            if number == self._at:
                self._give_up()
            reply = yield trap
            if number >= self._at and isinstance(reply, outcome.Error) and isinstance(reply.error, trio.Cancelled):
                cancelled = True


async def _given_up(at: int, work: Work) -> bool:
    """Do ``work``, cancelled at its await number ``at``; whether it came to that."""

    async def working() -> None:
        await work()

    expect(at < _MOST_AWAITS, f"it is not done after {at} awaits")
    with trio.CancelScope() as scope:
        await _GivenUp(working(), at, scope.cancel)
    return scope.cancelled_caught


async def _each_await(attempt: Callable[[GiveUp], Awaitable[None]]) -> None:
    """Call ``attempt(give_up)`` for one await after the other, until what it gives up gets through."""
    for at in count():
        through = True

        async def give_up(work: Work, at: int = at) -> bool:
            nonlocal through
            cancelled = await _given_up(at, work)
            through = through and not cancelled
            return cancelled

        await attempt(give_up)
        if through:
            return


@promise("a cancelled receive() loses nothing")
async def check_cancelled_receive(factory: Factory) -> None:
    """However often it is given up, no frame is lost, torn or doubled."""
    frames = [bytes([n]) * (n * n * 97 % 30_000) for n in range(80)]
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def receive() -> None:
            got.append(await far.receive())

        async def send() -> None:
            for number, frame in enumerate(frames):
                await near.send(frame)
                await trio.sleep(0.0002 * (number % 5))

        nursery.start_soon(send)
        for attempt in count():
            if len(got) == len(frames):
                break
            if attempt % 2:
                with trio.move_on_after(0.0001 * (attempt % 9)):
                    await receive()
            else:
                await _given_up(attempt // 2 % 5, receive)
            expect(got == frames[: len(got)], f"frame {len(got) - 1} is not the one that was sent as such")


@promise("a cancelled send() has sent nothing, or the link has ended for both sides")
async def check_cancelled_send(factory: Factory) -> None:
    """At every await, of small frames and large ones, to a peer that reads and one that does not yet."""

    async def attempt(give_up: GiveUp, before_reading: float) -> None:
        done: list[bytes] = []
        doubtful: list[bytes] = []
        got: list[bytes] = []
        async with linked(factory) as (near, far), trio.open_nursery() as nursery:
            nursery.start_soon(_read_all, far, got, before_reading)
            try:
                for number in range(12):
                    frame = bytes([number]) * (1 if number % 2 else MAX_FRAME)
                    cancelled = await give_up(partial(near.send, frame))
                    doubtful = [frame] if cancelled else []
                    done += [] if cancelled else [frame]
                await near.send(b"last")
                done.append(b"last")
            except LinkClosed:
                await near.aclose()
            else:
                await soon(lambda: b"last" in got)
                await near.aclose()
        if b"last" in done:
            expect(got == done, "on a link that goes on, other frames arrived than those that were not cancelled")
        else:
            expect(got == (done + doubtful)[: len(got)], "on a link that has ended, there is a gap in what arrived")

    for before_reading in (0.0, 0.05):
        await _each_await(partial(attempt, before_reading=before_reading))


async def _read_all(link: Link, got: list[bytes], delay: float) -> None:
    await trio.sleep(delay)
    with suppress(LinkClosed):
        while True:
            got.append(await link.receive())
    await link.aclose()


@promise("a cancelled dial() leaves nothing behind")
async def check_cancelled_dial(factory: Factory) -> None:
    """At every await and at moments in between; the server goes on, and keeps no link."""
    links = 0

    async def accept(link: Link) -> None:
        nonlocal links
        links += 1
        try:
            await echo(link)
        finally:
            links -= 1

    async with serving(factory(), accept) as (url, _):

        async def dial() -> None:
            made.append(await factory().dial(url))

        async def attempt(give_up: GiveUp) -> None:
            await give_up(dial)

        made: list[Link] = []
        began = trio.current_time()
        await _each_await(attempt)
        took = trio.current_time() - began
        for part in range(10):
            with trio.move_on_after(took * part / 10):
                await dial()
        for link in made:
            await link.aclose()
        await soon(lambda: not links)
        await check_works(factory, url)


@promise("a cancelled aclose() has closed the link nonetheless")
async def check_cancelled_close(factory: Factory) -> None:
    """At every await, and while the peer does not answer."""

    async def answer(link: Link) -> None:
        with raising(LinkClosed, "receive() of the peer after a cancelled close"):
            await link.receive()
        await link.aclose()

    async def check_closed(link: Link) -> None:
        with raising(LinkClosed, "send() after a cancelled close"):
            await link.send(b"")
        with raising(LinkClosed, "receive() after a cancelled close"):
            await link.receive()

    async def attempt(give_up: GiveUp) -> None:
        async with linked(factory) as (near, far), trio.open_nursery() as nursery:
            nursery.start_soon(answer, far)
            await give_up(near.aclose)
            await check_closed(near)

    await _each_await(attempt)
    async with linked(factory) as (near, far):
        with trio.move_on_after(0.05):
            await near.aclose()  # nobody answers it yet
        await check_closed(near)
        await answer(far)


@promise("a cancelled open() can be called again")
async def check_cancelled_open(factory: Factory) -> None:
    """At every await."""

    async def attempt(give_up: GiveUp) -> None:
        transport = factory()
        await give_up(transport.open)
        url = await transport.open()
        async with serving(transport, echo) as (served, _):
            expect(url == served, "serve() reported another URL than open()")
            await check_works(factory, served)

    await _each_await(attempt)


class _Status:
    """Takes what `Transport.serve` reports."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.reported = trio.Event()

    def started(self, value: str | None = None) -> None:
        self.url = value
        self.reported.set()


@promise("when serve() is cancelled, its port is free and its links are closed")
async def check_cancelled_serve(factory: Factory) -> None:
    """At every await, until it has served somebody."""

    async def attempt(give_up: GiveUp) -> None:
        status = _Status()
        async with trio.open_nursery() as nursery:

            async def use() -> None:
                await status.reported.wait()
                assert status.url is not None
                with suppress(DialFailed, LinkClosed):
                    await check_works(factory, status.url)
                    scope.cancel()

            nursery.start_soon(use)
            with trio.CancelScope() as scope:
                await give_up(partial(factory().serve, echo, task_status=status))
            nursery.cancel_scope.cancel()
        if status.url is not None:
            await check_refused(factory, status.url)

    await _each_await(attempt)
    async with serving(factory(), echo) as (url, scope):
        link = await factory().dial(url)
        scope.cancel()
        with raising(LinkClosed, "receive() from a transport that serves no more"):
            await link.receive()
        await link.aclose()


CANCELLATION_CHECKS: tuple[Check, ...] = (
    check_cancelled_receive,
    check_cancelled_send,
    check_cancelled_dial,
    check_cancelled_close,
    check_cancelled_open,
    check_cancelled_serve,
)
