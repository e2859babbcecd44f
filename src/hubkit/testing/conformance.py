"""What every transport must do: `check_transport`, for any implementation of `hubkit.net.transport.Transport`.

Law of this room: each check stands for one promise, and names it when it is broken. Nothing here knows what links are made
of, or which clock trio runs on. Cancellation is tried at every await of every operation, one after the other, until the
operation gets through uncancelled, and at moments in between.

A factory makes a new transport, which listens at a free address of its own and can dial::

    await check_transport(lambda: WebSocketTransport("ws://127.0.0.1:0"))

`CHECKS` are the single checks, for a parametrised test; each takes the factory. They log what transports log about errors
that they provoke on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import trio

from hubkit.errors import ConfigurationError, LinkClosed, ProtocolViolation
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.transport import MAX_FRAME, MAX_GREETING, Link, Transport
from hubkit.testing.cancelling import CANCELLATION_CHECKS
from hubkit.testing.promises import (
    PATIENCE,
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
)

__all__ = ["CHECKS", "PATIENCE", "Factory", "check_transport", "linked", "serving"]


_PLENTY = 64  # frames of MAX_FRAME bytes that no link takes before they are read


async def check_transport(factory: Factory | Callable[[], SimulatedNetwork]) -> None:
    """Run all checks, each on fresh transports. Raises `AssertionError`, which names the promise that is broken.

    A factory of networks will do, too, such as `SimulatedNetwork` itself: then all transports are of its first one.
    """
    first, numbers = factory(), count(1)

    def make() -> Transport:
        made = first.transport(f"host-{next(numbers)}") if isinstance(first, SimulatedNetwork) else factory()
        assert not isinstance(made, SimulatedNetwork)
        return made

    for check in CHECKS:
        await check(make)


@promise("the address is known once open() has returned, and is the one that serve() reports")
async def check_opening(factory: Factory) -> None:
    """Of `Transport.open` and `Transport.serve`."""
    transport = factory()
    early = await transport.open()
    expect(early is not None, "open() returned None")
    expect(await transport.open() == early, "open() returned another URL when called again")
    async with serving(transport, echo) as (url, _):
        expect(url == early, "serve() reported another URL than open()")
        link = await factory().dial(url)
        expect(link.remote, "a link does not say who is at the other end")
        await link.aclose()
        await check_works(factory, url)


@promise("frames arrive whole, once and in order, both ways at once")
async def check_order(factory: Factory) -> None:
    """Of all sizes."""
    frames = [bytes([n % 256]) * ((n * n * 7) % 9000) for n in range(150)] + [b"", b"x" * (MAX_FRAME // 2)]

    async def send(link: Link) -> None:
        for frame in frames:
            await link.send(frame)

    async def receive(link: Link) -> None:
        for number, frame in enumerate(frames):
            expect(await link.receive() == frame, f"frame {number} of a link is not the one that was sent as such")

    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        for link in (near, far):
            nursery.start_soon(send, link)
            nursery.start_soon(receive, link)


@promise("a frame of the largest size allowed passes; one byte more ends the link, and its receiver is told why")
async def check_limits(factory: Factory) -> None:
    """Of `Link.allow`."""
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        for sender, receiver in ((near, far), (far, near)):
            nursery.start_soon(sender.send, b"x" * MAX_FRAME)
            expect(len(await receiver.receive()) == MAX_FRAME, "a frame of MAX_FRAME bytes was cut")
    for dialer_sends in (True, False):
        async with linked(factory) as (near, far):
            sender, receiver = (near, far) if dialer_sends else (far, near)
            receiver.allow(MAX_GREETING)
            await sender.send(b"x" * MAX_GREETING)
            expect(len(await receiver.receive()) == MAX_GREETING, "a frame of MAX_GREETING bytes was cut")
            await sender.send(b"x" * (MAX_GREETING + 1))
            with raising(ProtocolViolation, "receive() of a frame that is too large"):
                await receiver.receive()
            with raising(LinkClosed, "send() after a violation"):
                await receiver.send(b"too late")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receiver.aclose)
                with raising(LinkClosed, "receive() of the peer of a violation's victim"):
                    await sender.receive()
                await sender.aclose()


@promise("until told otherwise, a link accepts no more than MAX_GREETING bytes")
async def check_new_link_is_modest(factory: Factory) -> None:
    """Of `Link.allow`."""

    async def accept(link: Link) -> None:
        await link.send(b"x" * (MAX_GREETING + 1))
        with suppress(LinkClosed):
            await link.receive()

    async with serving(factory(), accept) as (url, _):
        link = await factory().dial(url)
        with raising(ProtocolViolation, "receive() of a frame that is too large for a new link"):
            await link.receive()
        await link.aclose()


@promise("what was sent before a close arrives, then both ends are told of it")
async def check_close(factory: Factory) -> None:
    """Of `Link.aclose`."""
    for dialer_closes in (True, False):
        async with linked(factory) as (near, far):
            closer, other = (near, far) if dialer_closes else (far, near)
            for n in range(3):
                await closer.send(bytes([n]))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(closer.aclose)
                got = [await other.receive() for _ in range(3)]
                expect(got == [b"\0", b"\1", b"\2"], f"{got} came of what was sent before a close")
                with raising(LinkClosed, "receive() after the peer's close"):
                    await other.receive()
                await other.aclose()
            for link in (closer, other):
                await link.aclose()
                with raising(LinkClosed, "send() after a close"):
                    await link.send(b"")
                with raising(LinkClosed, "receive() after a close"):
                    await link.receive()


@promise("both ends may close at once, and who waits for a frame is told")
async def check_both_close(factory: Factory) -> None:
    """Of `Link.aclose`."""
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:

        async def receive() -> None:
            with raising(LinkClosed, "receive() during a close"):
                await near.receive()

        nursery.start_soon(receive)
        await trio.sleep(0.01)
        nursery.start_soon(near.aclose)
        nursery.start_soon(far.aclose)
    async with linked(factory) as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(near.aclose)
        await trio.sleep(0.01)
        nursery.start_soon(receive)  # as whoever was busy with a frame until now
        await trio.sleep(0.01)
        nursery.start_soon(far.aclose)


@promise("a close takes about a second at most, even if the peer does not read")
async def check_close_is_bounded(factory: Factory) -> None:
    """Of `Link.aclose`; with a send under way, or without."""
    for clogged in (False, True):
        async with linked(factory) as (near, _far), trio.open_nursery() as nursery:

            async def clog() -> None:
                with suppress(LinkClosed):
                    for _ in range(_PLENTY):
                        await near.send(b"x" * MAX_FRAME)  # used within the turn

            if clogged:
                nursery.start_soon(clog)
                await trio.sleep(0.05)
            began = trio.current_time()
            await near.aclose()
            took = trio.current_time() - began
            expect(took < 3.0, f"it took {took:.1f} s")


@promise("a sender is held back while the peer does not read")
async def check_back_pressure(factory: Factory) -> None:
    """Of `Link.send`: after 64 MiB at the latest."""
    async with linked(factory) as (near, _far):
        sent = 0
        with trio.move_on_after(0.5):
            while sent < _PLENTY:
                await near.send(b"x" * MAX_FRAME)
                sent += 1
        expect(sent < _PLENTY, f"{sent} MiB were sent to a peer that does not read")


@promise("a dial is refused where nobody listens any more, and an address that is none is a ConfigurationError")
async def check_dial_fails(factory: Factory) -> None:
    """Of `Transport.dial`."""
    async with serving(factory(), echo) as (url, scope):
        await check_works(factory, url)
        scope.cancel()
        await check_refused(factory, url)
    with raising(ConfigurationError, "dial('nonsense')"):
        await factory().dial("nonsense")


@promise("an error in the handling of one link closes that link, and harms no other")
async def check_errors_stay_inside(factory: Factory) -> None:
    """Of `Transport.serve`."""

    async def accept(link: Link) -> None:
        frame = await link.receive()
        if frame == b"fail":
            raise RuntimeError
        await link.send(frame)
        await echo(link)

    async with serving(factory(), accept) as (url, _):
        good = await factory().dial(url)
        bad = await factory().dial(url)
        await bad.send(b"fail")
        with raising(LinkClosed, "receive() from a peer whose handler has failed"):
            await bad.receive()
        await bad.aclose()
        await good.send(b"fine")
        expect(await good.receive() == b"fine", "another link was harmed")
        await good.aclose()
        await check_works(factory, url)


#: The single checks. Each takes a factory, and raises `AssertionError` with the promise that is broken.
CHECKS: tuple[Check, ...] = (
    check_opening,
    check_order,
    check_limits,
    check_new_link_is_modest,
    check_close,
    check_both_close,
    check_close_is_bounded,
    check_back_pressure,
    check_dial_fails,
    check_errors_stay_inside,
    *CANCELLATION_CHECKS,
)
