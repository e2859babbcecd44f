"""The suite for transports finds what it is for: every transport here breaks one promise, and is told which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import trio
import trio.testing

from hubkit.errors import ConfigurationError, DialFailed, DialRefused, LinkClosed
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.transport import MAX_FRAME, Link, Transport
from hubkit.testing.conformance import CHECKS, Factory, check_transport


class Wrapped:
    """A link that hands everything on."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.remote = link.remote

    def allow(self, max_frame: int) -> None:
        self.link.allow(max_frame)

    async def send(self, frame: bytes) -> None:
        await self.link.send(frame)

    async def receive(self) -> bytes:
        return await self.link.receive()

    async def aclose(self) -> None:
        await self.link.aclose()


class Carrier:
    """A transport that hands everything on, with links of its own."""

    link: type[Wrapped] = Wrapped

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def open(self) -> str | None:
        return await self.inner.open()

    async def serve(
        self, accept: Callable[[Link], Awaitable[None]], *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        async def wrap(link: Link) -> None:
            await accept(self.link(link))

        await self.inner.serve(wrap, task_status=task_status)

    async def dial(self, address: str) -> Link:
        return self.link(await self.inner.dial(address))


def run(transport: type[Carrier], check: Callable[[Factory], Awaitable[None]] = check_transport) -> None:
    network = SimulatedNetwork(7)
    names = (f"host{n}" for n in count())
    trio.run(
        check,
        lambda: transport(network.transport(next(names))),
        clock=trio.testing.MockClock(autojump_threshold=0),
    )


def named(name: str) -> Callable[[Factory], Awaitable[None]]:
    (check,) = [check for check in CHECKS if check.__name__ == f"check_{name}"]
    return check


def broken(link: type[Wrapped]) -> type[Carrier]:
    return type("Broken", (Carrier,), {"link": link})


def test_handing_everything_on_breaks_nothing() -> None:
    run(Carrier)
    assert len(CHECKS) == len({check.__name__ for check in CHECKS})


class LosesWhenCancelled(Wrapped):
    async def receive(self) -> bytes:
        frame = await super().receive()
        await trio.lowlevel.checkpoint()
        return frame


class Reorders(Wrapped):
    held: bytes | None = None

    async def send(self, frame: bytes) -> None:
        if self.held is None and len(frame) == 28:
            self.held = frame
            return
        await super().send(frame)
        if self.held is not None:
            held, self.held = self.held, None
            await super().send(held)


class Doubles(Wrapped):
    async def send(self, frame: bytes) -> None:
        await super().send(frame)
        if len(frame) == 28:
            await super().send(frame)


class Tears(Wrapped):
    async def receive(self) -> bytes:
        return (await super().receive())[:8000]


class SwallowsInSend(Wrapped):
    async def send(self, frame: bytes) -> None:
        with suppress(trio.Cancelled):
            await super().send(frame)


class ReplacesInSend(Wrapped):
    async def send(self, frame: bytes) -> None:
        done = False
        try:
            await super().send(frame)
            done = True
        except LinkClosed:
            done = True
            raise
        finally:
            if not done:
                raise LinkClosed("interrupted")  # instead of the cancellation


class SendsThoughCancelled(Wrapped):
    async def send(self, frame: bytes) -> None:
        await super().send(frame)
        await trio.lowlevel.checkpoint()


class SwallowsInReceive(Wrapped):
    async def receive(self) -> bytes:
        with suppress(trio.Cancelled):
            return await super().receive()
        return b""


class Unlimited(Wrapped):
    def allow(self, max_frame: int) -> None:
        super().allow(2 * MAX_FRAME)


class Immodest(Wrapped):
    def __init__(self, link: Link) -> None:
        super().__init__(link)
        link.allow(MAX_FRAME)


class Greedy(Wrapped):
    """Takes all that it is given, though nobody reads it."""

    buffered = 0

    async def send(self, frame: bytes) -> None:
        if len(frame) == MAX_FRAME:
            self.buffered += 1
            if self.buffered > 1:
                return
        await super().send(frame)


class NeverEndsClosing(Wrapped):
    async def aclose(self) -> None:
        await trio.sleep(9)
        await super().aclose()


class ClosesTooLate(Wrapped):
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        await super().aclose()


class LosesAtTheEnd(Wrapped):
    """Keeps one frame back, and forgets it at the close."""

    kept: bytes | None = None

    async def send(self, frame: bytes) -> None:
        if self.kept is not None:
            await super().send(self.kept)
            self.kept = None
        if frame == b"\2":
            self.kept = frame
            await trio.lowlevel.checkpoint()
        else:
            await super().send(frame)


class ReceivesAfterTheEnd(Wrapped):
    async def receive(self) -> bytes:
        try:
            return await super().receive()
        except LinkClosed:
            await trio.lowlevel.checkpoint()
            return b""


class Nameless(Wrapped):
    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.remote = ""


@pytest.mark.parametrize(
    ("link", "check", "promise"),
    [
        (LosesWhenCancelled, "cancelled_receive", r"a cancelled receive\(\) loses nothing"),
        (Reorders, "order", "in order"),
        (Doubles, "order", "once and in order"),
        (Tears, "order", "arrive whole"),
        (SwallowsInSend, "cancelled_send", r"a cancelled send\(\).*swallows a cancellation"),
        (
            ReplacesInSend,
            "cancelled_send",
            r"a cancelled send\(\).*makes LinkClosed\('interrupted'\) of a cancellation",
        ),
        (SendsThoughCancelled, "cancelled_send", r"a cancelled send\(\) has sent nothing"),
        (SwallowsInReceive, "cancelled_receive", r"a cancelled receive\(\).*swallows a cancellation"),
        (Unlimited, "limits", r"one byte more ends the link.*did not raise ProtocolViolation"),
        (Immodest, "new_link_is_modest", "until told otherwise"),
        (Greedy, "back_pressure", "a sender is held back"),
        (NeverEndsClosing, "close_is_bounded", "a close takes about a second at most.*it took"),
        (ClosesTooLate, "cancelled_close", r"a cancelled aclose\(\) has closed the link"),
        (LosesAtTheEnd, "close", "what was sent before a close arrives"),
        (ReceivesAfterTheEnd, "both_close", "did not raise LinkClosed"),
        (Nameless, "opening", "who is at the other end"),
    ],
)
def test_a_broken_link_is_found(link: type[Wrapped], check: str, promise: str) -> None:
    with pytest.raises(AssertionError, match=f"broken promise: .*{promise}"):
        run(broken(link), named(check))


class NeverRefuses(Carrier):
    async def dial(self, address: str) -> Link:
        try:
            return await super().dial(address)
        except DialRefused:
            raise DialFailed("nobody there") from None


class RefusesWithoutAName(Carrier):
    async def dial(self, address: str) -> Link:
        try:
            return await super().dial(address)
        except DialRefused:
            raise DialRefused("nobody there") from None


class DialsNonsense(Carrier):
    async def dial(self, address: str) -> Link:
        try:
            return await super().dial(address)
        except ConfigurationError as error:
            raise DialFailed("no such thing") from error


class LeaksWhenCancelled(Carrier):
    async def dial(self, address: str) -> Link:
        link = await super().dial(address)
        await trio.lowlevel.checkpoint()
        return link


class SwallowsInDial(Carrier):
    async def dial(self, address: str) -> Link:
        with suppress(trio.Cancelled):
            return await super().dial(address)
        raise DialFailed("given up")


class FallsOver(Carrier):
    """An error in the handling of one link ends all."""

    async def serve(
        self, accept: Callable[[Link], Awaitable[None]], *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        async def wrap(link: Link) -> None:
            try:
                await accept(link)
            except RuntimeError:
                scope.cancel()

        with trio.CancelScope() as scope:
            await super().serve(wrap, task_status=task_status)


class ForgetsItsAddress(Carrier):
    async def open(self) -> str | None:
        await super().open()
        return "ws://elsewhere:1"


class DoesNotSay(Carrier):
    async def open(self) -> str | None:
        await super().open()
        return None


class StaysOpen(Carrier):
    """Its port is taken for ever."""

    async def serve(
        self, accept: Callable[[Link], Awaitable[None]], *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            await super().serve(accept, task_status=task_status)
        finally:
            with trio.CancelScope(shield=True):
                await self.inner.open()


class OpensOnce(Carrier):
    """What is left of a cancelled open is in the way of the next."""

    opening = False

    async def open(self) -> str | None:
        if self.opening:
            raise ConfigurationError("it is open already")
        self.opening = True
        url = await super().open()
        self.opening = False
        return url


class KeepsLinks(Carrier):
    """Links that it has accepted outlive it."""

    kept: list[Link] = []  # noqa: RUF012

    async def serve(
        self, accept: Callable[[Link], Awaitable[None]], *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        class Kept(Wrapped):
            async def aclose(self) -> None:
                await trio.lowlevel.checkpoint()

        async def wrap(link: Link) -> None:
            try:
                await accept(Kept(link))
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(100)

        await self.inner.serve(wrap, task_status=task_status)


@pytest.mark.parametrize(
    ("transport", "check", "promise"),
    [
        (NeverRefuses, "dial_fails", "a dial is refused where nobody listens any more.*not within 20 s"),
        (RefusesWithoutAName, "dial_fails", r"the text of DialRefused does not say ws://host\d+:4040"),
        (DialsNonsense, "dial_fails", "an address that is none is a ConfigurationError"),
        (LeaksWhenCancelled, "cancelled_dial", r"a cancelled dial\(\) leaves nothing behind"),
        (SwallowsInDial, "cancelled_dial", r"a cancelled dial\(\) leaves nothing behind: it makes DialFailed"),
        (FallsOver, "errors_stay_inside", "an error in the handling of one link"),
        (ForgetsItsAddress, "opening", "the address is known"),
        (DoesNotSay, "opening", r"open\(\) returned None"),
        (StaysOpen, "cancelled_serve", r"when serve\(\) is cancelled, its port is free"),
        (OpensOnce, "cancelled_open", r"a cancelled open\(\) can be called again"),
        (KeepsLinks, "cancelled_serve", "its links are closed: not within"),
    ],
)
def test_a_broken_transport_is_found(transport: type[Carrier], check: str, promise: str) -> None:
    with pytest.raises(AssertionError, match=f"broken promise: .*{promise}"):
        run(transport, named(check))


@pytest.mark.parametrize(
    "link", [LosesWhenCancelled, Reorders, Doubles, Tears, SwallowsInSend, Unlimited, ClosesTooLate]
)
def test_the_whole_suite_finds_it_too(link: type[Wrapped]) -> None:
    with pytest.raises(AssertionError, match="broken promise: "):
        run(broken(link))


def test_the_single_checks_can_be_run_alone() -> None:
    network = SimulatedNetwork(7)
    names = (f"host{n}" for n in count())
    for check in CHECKS:
        trio.run(check, lambda: network.transport(next(names)), clock=trio.testing.MockClock(autojump_threshold=0))
    assert all(check.__doc__ for check in CHECKS)


def test_a_network_makes_its_transports_itself() -> None:
    trio.run(check_transport, SimulatedNetwork, clock=trio.testing.MockClock(autojump_threshold=0))
    trio.run(check_transport, lambda: SimulatedNetwork(3), clock=trio.testing.MockClock(autojump_threshold=0))
