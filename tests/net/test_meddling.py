"""Somebody sits on the way of a link, and changes, drops, repeats, moves, cuts or reflects a frame.

The law: what arrives is what was sent, once and in its order; the link that was meddled with ends on both sides, within bounded
time and with a reason; and both nodes live on, and link again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.net.peers import Peer

from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.transport import Link, Transport

FLIP, DROP, REPEAT, SWAP, CUT, REFLECT, END = KINDS = ("flip", "drop", "repeat", "swap", "cut", "reflect", "end")
PATIENCE = 12.0  # virtual seconds: a handshake may take five, silence ends a link after four


@dataclass(frozen=True)
class Fault:
    """What befalls frame number ``at`` of one direction. ``where``: of a bit, or a cut, from 0 to 1."""

    kind: str
    at: int
    outgoing: bool
    where: float = 0.5


class Meddled:
    """One end of a link, and somebody who sits on the way just behind it."""

    def __init__(self, inner: Link, fault: Fault | None) -> None:
        self.remote = inner.remote
        self.fault = fault
        self.struck: float | None = None
        self.ended: float | None = None
        self.inner = inner
        self.held: dict[bool, bytes] = {}
        self.counts = {True: 0, False: 0}
        self.incoming: deque[bytes] = deque()

    def allow(self, max_frame: int) -> None:
        self.inner.allow(max_frame)

    def pass_on(self, frame: bytes, outgoing: bool) -> list[tuple[bool, bytes]]:
        """What becomes of a frame: frames, and in which direction each goes."""
        number, fault = self.counts[outgoing], self.fault
        self.counts[outgoing] += 1
        after = [(outgoing, self.held.pop(outgoing))] if outgoing in self.held else []
        here = [(outgoing, frame)]
        if fault is None or (fault.at, fault.outgoing) != (number, outgoing):
            return here + after
        self.struck = trio.current_time()
        match fault.kind:
            case "flip":
                bit = min(int(fault.where * 8 * len(frame)), 8 * len(frame) - 1)
                changed = bytearray(frame)
                changed[bit // 8] ^= 1 << bit % 8
                return [(outgoing, bytes(changed))]
            case "cut":
                return [(outgoing, frame[: int(fault.where * (len(frame) - 1))])]
            case "drop":
                return []
            case "repeat":
                return here + here
            case "swap":
                self.held[outgoing] = frame
                return []
            case _:
                return [*here, (not outgoing, frame)]

    async def send(self, frame: bytes) -> None:
        passed = self.pass_on(frame, True)
        if self.struck is not None and self.fault is not None and self.fault.kind == END:
            await self.inner.aclose()
        for outgoing, one in passed:
            if outgoing:
                await self.inner.send(one)
            else:
                self.incoming.append(one)

    async def receive(self) -> bytes:
        while not self.incoming:
            passed = self.pass_on(await self.inner.receive(), False)
            if self.struck is not None and self.fault is not None and self.fault.kind == END:
                await self.inner.aclose()
            for outgoing, one in passed:
                if outgoing:
                    await self.inner.send(one)
                else:
                    self.incoming.append(one)
        return self.incoming.popleft()

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            self.ended = self.ended if self.ended is not None else trio.current_time()


class Meddler:
    """A transport whose first link is meddled with."""

    def __init__(self, inner: Transport, fault: Fault) -> None:
        self.inner, self.fault = inner, fault
        self.links: list[Meddled] = []

    async def open(self) -> str | None:
        return await self.inner.open()

    async def serve(self, accept: Any, **options: Any) -> None:
        await self.inner.serve(accept, **options)

    async def dial(self, address: str) -> Link:
        link = Meddled(await self.inner.dial(address), None if self.links else self.fault)
        self.links.append(link)
        return link


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    said: list[str] = []

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ears = logging.getLogger("hubkit.net"), Ears()
    level = logger.level
    logger.addHandler(ears)
    logger.setLevel(logging.INFO)
    try:
        yield said
    finally:
        logger.removeHandler(ears)
        logger.setLevel(level)


def in_order(peer: Peer) -> list[int]:
    """The numbers that a peer was sent; each must be the only one, and greater than those before."""
    numbers = [message[0] for _, message in peer.messages]
    assert numbers == sorted(set(numbers)), numbers
    assert all(message == [message[0], "payload" * 5] for _, message in peer.messages)
    return numbers


async def two_nodes(fault: Fault) -> None:
    network = SimulatedNetwork(1)
    meddler = Meddler(network.transport("b"), fault)
    a = Peer("a", transport=network.transport("a"))
    b = Peer("b", transport=meddler, seeds=["ws://a:4040"])
    async with trio.open_nursery() as nursery:
        await nursery.start(a.run)
        await nursery.start(b.run)
        began, number = trio.current_time(), 0
        while not meddler.links or meddler.links[0].struck is None or trio.current_time() < began + PATIENCE:
            if meddler.links and meddler.links[0].struck is None:
                began = trio.current_time()
            number += 1
            a.mesh.send(b.id, [number, "payload" * 5])
            b.mesh.send(a.id, [number, "payload" * 5])
            await trio.sleep(0.25)
        first = meddler.links[0]
        assert first.struck is not None
        assert first.ended is not None, "the link goes on, here"
        assert first.ended - first.struck <= PATIENCE
        assert a.log.count(("up", b.id)) == a.log.count(("down", b.id, False)) + 1, "the link goes on, there"
        assert a.linked_to(b)
        assert b.linked_to(a)
        assert in_order(a)[-1] > number - 3
        assert in_order(b)[-1] > number - 3
        nursery.cancel_scope.cancel()


def check(fault: Fault) -> None:
    with overheard() as said:
        trio.run(two_nodes, fault, clock=trio.testing.MockClock(autojump_threshold=0))
    reasons = ("down: ", "closed: ", "no link: ", "dialling ws://a:4040: ")
    assert any(reason in line for line in said for reason in reasons), said


@given(
    st.builds(Fault, st.sampled_from(KINDS), st.integers(0, 9), st.booleans(), st.floats(0, 1)),
)
@settings(max_examples=150)
@example(Fault(DROP, 2, True))  # the dialer's last word
@example(Fault(REPEAT, 2, True))
@example(Fault(REPEAT, 1, False))  # the acceptor's proof
@example(Fault(REFLECT, 3, True))
@example(Fault(SWAP, 3, True))
@example(Fault(END, 1, False))
def test_whoever_meddles_ends_the_link_and_nothing_else(fault: Fault) -> None:
    check(fault)


def test_the_reason_names_what_was_done() -> None:
    for kind, told in (
        (FLIP, "is not what the peer sent"),
        (REPEAT, "again"),
        (DROP, "is missing"),
        (SWAP, "is missing"),
    ):
        with overheard() as said:
            trio.run(two_nodes, Fault(kind, 5, True), clock=trio.testing.MockClock(autojump_threshold=0))
        assert any(told in line for line in said if "down: " in line), said
