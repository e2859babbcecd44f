"""What every transport must do: one suite of plain async functions, for any implementation.

Law of this room: nothing here knows what the links are made of. A factory makes a new transport that listens at a free
address of its own and can dial; `check_transport` runs all checks, each on fresh transports. Cancellation is tried at
every step of the scheduler, not at chosen moments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from hubkit.errors import ConfigurationError, DialFailed, DialRefused, LinkClosed, ProtocolViolation
from hubkit.net.transport import MAX_FRAME, MAX_GREETING, Link, Transport

Factory = Callable[[], Transport]

PATIENCE = 10.0


async def steps(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def cancelled_after(count: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Run ``work``, cancelled after so many steps of the scheduler; whether that was before its end."""

    async def cancel(scope: trio.CancelScope) -> None:
        await steps(count)
        scope.cancel()

    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel, scope)
            try:
                await work()
            except Exception as error:
                failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return scope.cancelled_caught


@asynccontextmanager
async def serving(
    transport: Transport, accept: Callable[[Link], Awaitable[None]]
) -> AsyncIterator[tuple[str, trio.CancelScope]]:
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def serve(*, task_status: trio.TaskStatus[str | None]) -> None:
            with scope:
                await transport.serve(accept, task_status=task_status)

        url = await nursery.start(serve)
        assert url is not None
        yield url, scope
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def linked(factory: Factory) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends of one link, the dialer's first."""
    ends, get_end = trio.open_memory_channel[Link](1)
    done = trio.Event()

    async def accept(link: Link) -> None:
        await ends.send(link)
        await done.wait()

    with trio.fail_after(PATIENCE):
        async with serving(factory(), accept) as (url, _):
            near = await factory().dial(url)
            far = await get_end.receive()
            near.allow(MAX_FRAME)
            far.allow(MAX_FRAME)
            yield near, far
            with trio.CancelScope(shield=True):
                await near.aclose()
            done.set()


async def check_opening(factory: Factory) -> None:
    """The address is known before anybody is served, and is the one served."""
    transport = factory()
    early = await transport.open()
    assert early is not None
    assert await transport.open() == early

    async def accept(link: Link) -> None:
        await link.send(b"hello")

    async with serving(transport, accept) as (url, _):
        assert url == early
        link = await factory().dial(url)
        assert await link.receive() == b"hello"
        assert link.remote
        await link.aclose()


async def check_order(factory: Factory) -> None:
    """Frames of all sizes arrive whole, in order, in both directions at once."""
    frames = [bytes([n % 256]) * ((n * n * 7) % 9000) for n in range(150)] + [b"", b"x" * (MAX_FRAME // 2)]

    async def send(link: Link) -> None:
        for frame in frames:
            await link.send(frame)

    async def receive(link: Link) -> None:
        for frame in frames:
            assert await link.receive() == frame

    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        for link in (near, far):
            nursery.start_soon(send, link)
            nursery.start_soon(receive, link)


async def check_limits(factory: Factory) -> None:
    """The largest frame passes; one byte more ends the link, with the reason for the receiver."""
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        for sender, receiver in ((near, far), (far, near)):
            nursery.start_soon(sender.send, b"x" * MAX_FRAME)
            assert len(await receiver.receive()) == MAX_FRAME
    for dialer_sends in (True, False):
        async with linked(factory) as (near, far):
            sender, receiver = (near, far) if dialer_sends else (far, near)
            receiver.allow(MAX_GREETING)
            await sender.send(b"x" * MAX_GREETING)
            assert len(await receiver.receive()) == MAX_GREETING
            await sender.send(b"x" * (MAX_GREETING + 1))
            with pytest.raises(ProtocolViolation, match="4,096"):
                await receiver.receive()
            with pytest.raises(LinkClosed):
                await receiver.send(b"too late")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiver.aclose)
                with pytest.raises(LinkClosed):
                    await sender.receive()
                await sender.aclose()


async def check_new_link_is_modest(factory: Factory) -> None:
    """Until told otherwise, a link takes no more than a handshake needs."""

    async def accept(link: Link) -> None:
        await link.send(b"x" * (MAX_GREETING + 1))
        with pytest.raises(LinkClosed):
            await link.receive()

    async with serving(factory(), accept) as (url, _):
        link = await factory().dial(url)
        with pytest.raises(ProtocolViolation):
            await link.receive()
        await link.aclose()


async def check_close(factory: Factory) -> None:
    """After a close by either side, what was sent still arrives, then both ends are told."""
    for dialer_closes in (True, False):
        async with linked(factory) as (near, far):
            closer, other = (near, far) if dialer_closes else (far, near)
            for n in range(3):
                await closer.send(bytes([n]))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(closer.aclose)
                assert [await other.receive() for _ in range(3)] == [b"\0", b"\1", b"\2"]
                with pytest.raises(LinkClosed):
                    await other.receive()
                await other.aclose()
            for link in (closer, other):
                await link.aclose()
                with pytest.raises(LinkClosed):
                    await link.send(b"")
                with pytest.raises(LinkClosed):
                    await link.receive()


async def check_both_close(factory: Factory) -> None:
    """Both sides may close at once, and one that waits for a frame is woken."""
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(LinkClosed):
                await near.receive()

        nursery.start_soon(receive)
        await steps(3)
        nursery.start_soon(near.aclose)
        nursery.start_soon(far.aclose)


async def check_close_is_bounded(factory: Factory) -> None:
    """A peer that does not read cannot hold up a close, with a send under way or without."""
    for clogged in (False, True):
        async with linked(factory) as (near, _far), trio.open_nursery() as nursery:

            async def clog() -> None:
                with pytest.raises(LinkClosed):
                    while True:
                        await near.send(b"x" * MAX_FRAME)  # used within the turn

            if clogged:
                nursery.start_soon(clog)
                await steps(50)
            began = trio.current_time()
            await near.aclose()
            assert trio.current_time() - began < 5.0


async def check_dial_fails(factory: Factory) -> None:
    """Nobody there is a refusal; nonsense is the caller's mistake."""

    async def accept(link: Link) -> None:
        await link.receive()

    async with serving(factory(), accept) as (url, scope):
        scope.cancel()
        while True:
            try:
                link = await factory().dial(url)
                await link.aclose()
            except DialRefused as error:
                assert url in str(error)  # noqa: PT017
                break
            except DialFailed:
                await steps(1)
    with pytest.raises(ConfigurationError):
        await factory().dial("nonsense")


async def check_errors_stay_inside(factory: Factory) -> None:
    """An error in the handling of one link closes that link, and no other."""
    fail = True

    async def accept(link: Link) -> None:
        frame = await link.receive()
        if fail:
            raise RuntimeError
        await link.send(frame)

    async with serving(factory(), accept) as (url, _):
        link = await factory().dial(url)
        await link.send(b"1")
        with pytest.raises(LinkClosed):
            await link.receive()
        await link.aclose()
        fail = False
        link = await factory().dial(url)
        await link.send(b"2")
        assert await link.receive() == b"2"
        await link.aclose()


async def check_cancelled_receive(factory: Factory) -> None:
    """However often it is given up, no frame is lost, torn or doubled."""
    count = 60
    async with linked(factory) as (near, far):
        got: list[bytes] = []

        async def receive() -> None:
            got.append(await far.receive())

        async def send() -> None:
            for n in range(count):
                await near.send(bytes([n]) * (n * 300))
                await steps(n % 5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            attempt = 0
            while len(got) < count:
                attempt += 1
                await cancelled_after(attempt % 7, receive)
        assert got == [bytes([n]) * (n * 300) for n in range(count)]


async def check_cancelled_send(factory: Factory) -> None:
    """After a send was given up, the link has ended or is intact: no other frame is lost, torn or doubled."""
    for patience in range(12):
        got: list[bytes] = []
        finished: dict[bytes, bool] = {}
        async with linked(factory) as (near, far), trio.open_nursery() as nursery:
            nursery.start_soon(_receive_all, far, got, patience % 3)
            try:
                for n in range(30):
                    frame = bytes([n]) * (1 if n % 2 else MAX_FRAME)
                    finished[frame] = False
                    finished[frame] = not await cancelled_after(patience, partial(near.send, frame))
            except LinkClosed:
                ended = True
            else:
                ended = False
            await near.aclose()
        tried = list(finished)
        assert got == [frame for frame in tried if frame in got]
        last = tried.index(got[-1]) if got and ended else len(tried) if not ended else 0
        assert all(frame in got for frame in tried[:last] if finished[frame])


async def _receive_all(link: Link, got: list[bytes], slowness: int) -> None:
    with pytest.raises(LinkClosed):
        while True:
            await steps(slowness)
            got.append(await link.receive())
    await link.aclose()


async def check_cancelled_dial(factory: Factory) -> None:
    """However early or late a dial is given up, nothing stays behind, and the server goes on."""
    open_links = 0

    async def accept(link: Link) -> None:
        nonlocal open_links
        open_links += 1
        try:
            while True:
                await link.send(await link.receive())
        except LinkClosed:
            pass
        finally:
            open_links -= 1

    with trio.fail_after(PATIENCE):
        async with serving(factory(), accept) as (url, _):
            patience = 0

            async def dial() -> None:
                link = await factory().dial(url)
                await link.aclose()

            while await cancelled_after(patience, dial):
                patience += 1
            while open_links:
                await steps(1)
            link = await factory().dial(url)
            await link.send(b"still there?")
            assert await link.receive() == b"still there?"
            await link.aclose()


async def check_cancelled_close(factory: Factory) -> None:
    """A close that is given up has closed nonetheless."""
    for patience in range(6):
        async with linked(factory) as (near, far):
            await cancelled_after(patience, near.aclose)
            with pytest.raises(LinkClosed):
                await near.send(b"")
            with pytest.raises(LinkClosed):
                await far.receive()


async def check_cancelled_serve(factory: Factory) -> None:
    """When serving ends, so do the links that it has accepted."""

    async def accept(link: Link) -> None:
        await link.receive()

    with trio.fail_after(PATIENCE):
        async with serving(factory(), accept) as (url, scope):
            link = await factory().dial(url)
            scope.cancel()
            with pytest.raises(LinkClosed):
                await link.receive()
            await link.aclose()


CHECKS: tuple[Callable[[Factory], Awaitable[Any]], ...] = (
    check_opening,
    check_order,
    check_limits,
    check_new_link_is_modest,
    check_close,
    check_both_close,
    check_close_is_bounded,
    check_dial_fails,
    check_errors_stay_inside,
    check_cancelled_receive,
    check_cancelled_send,
    check_cancelled_dial,
    check_cancelled_close,
    check_cancelled_serve,
)


async def check_transport(factory: Factory) -> None:
    """All of it."""
    for check in CHECKS:
        await check(factory)
