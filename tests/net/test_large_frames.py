"""Frames of all sizes on the plain road: a link that takes it is one that leaves all to the engine, only quicker."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz.sockets import Tape
from tests.net.test_framing import frames as drawn_frames
from tests.net.test_websocket import plain, secure
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping

from hubkit.errors import LinkError
from hubkit.net import masking
from hubkit.net.frames import WebSocketLink
from hubkit.net.framing import PLAIN, frame_of
from hubkit.net.seal import TAG, Keys, SealedLink
from hubkit.net.transport import MAX_FRAME, MAX_GREETING, Link, at_once, buffers
from hubkit.testing.conformance import PATIENCE, linked

# -- drawn


def whole(size: int) -> bytes:
    """A frame of a client."""
    return bytes(frame_of(b"x" * size, b"mask"))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bool, bytes]:
    """What a peer says: plain frames around the limits, and among them any."""
    server = draw(st.booleans())
    edges = [MAX_GREETING, MAX_GREETING + 1, PLAIN + 1, 65_536, MAX_FRAME, MAX_FRAME + 1]
    sizes = st.sampled_from(edges) | st.integers(0, 300)
    plain_ones = sizes.map(lambda size: bytes(frame_of(b"x" * size, b"mask" if server else None)))
    return server, b"".join(draw(st.lists(plain_ones | drawn_frames(server=server), min_size=1, max_size=8)))


async def heard(link: WebSocketLink, raised: int, limit: int) -> tuple[list[bytes], str]:
    """All frames of a link, and how it ended. After ``raised`` frames, up to ``limit`` bytes are allowed."""
    found: list[bytes] = []
    try:
        while True:
            if len(found) == raised:
                link.allow(limit)
            found.append(await link.receive())
            assert type(found[-1]) is bytes
            assert len(found[-1]) <= limit
    except LinkError as error:
        return found, repr(error)


@given(
    streams(),
    st.sampled_from([1, 9, 1000, 4096, 70_000, 1 << 20]),
    st.integers(0, 3),
    st.sampled_from([MAX_FRAME, MAX_FRAME + TAG, 70_000]),
)
@example(
    (True, whole(1) + whole(5000) + whole(2)), 1000, 1, MAX_FRAME
)  # it crosses the moment when the limit is raised
@example((True, whole(1) + whole(5000) + whole(2)), 1 << 20, 1, MAX_FRAME)  # its head has come before that moment
@example((True, whole(MAX_FRAME)[:-1]), 4096, 0, MAX_FRAME)  # the end, in the middle of a frame
@example((True, whole(MAX_FRAME + 9)[:-5]), 4096, 0, MAX_FRAME)
@example((True, b"\x02\x81abcdx" + whole(70_000)), 9, 0, MAX_FRAME)  # a message within another
@example((True, b"\x02\x81abcdx\x89\x80abcd\x80\x81abcdy" + whole(70_000)), 9, 0, MAX_FRAME)  # a ping between pieces
@example((True, b"\x02\x81abcdx\x88\x80abcd" + whole(70_000)), 9, 0, MAX_FRAME)  # a close between pieces
@settings(max_examples=60)
def test_a_link_takes_what_one_of_the_engine_alone_would(
    said: tuple[bool, bytes], size: int, raised: int, limit: int
) -> None:
    server, data = said

    async def main() -> None:
        links, told = [], []
        for rest in (False, True):
            tape = Tape(data, size, silent=False)
            engine = Connection(ConnectionType.SERVER if server else ConnectionType.CLIENT)
            links.append(WebSocketLink(tape, engine, "x", rest=rest))
            told.append(await heard(links[-1], raised, limit))
        (ours, end), (engines, its_end) = told
        assert ours == engines
        sieve = links[0]._sieve
        assert sieve is not None
        if end != its_end:  # the engine may find fault with less than a whole head
            assert sieve._rest
            assert "the connection ended" in end

    trio.run(main)


# -- over real sockets

SIZES = [0, 1, 125, 126, 5000, PLAIN - TAG, PLAIN, PLAIN + 1, 65_535 - TAG, 65_536, 300_000, MAX_FRAME]
COUNT = 40
SETTLED = 0.3  # seconds without room after which there will be none


def inner(link: Link) -> WebSocketLink:
    found = link._link if isinstance(link, SealedLink) else link
    assert isinstance(found, WebSocketLink)
    return found


@asynccontextmanager
async def ends(scheme: str, *, sealed: bool) -> AsyncIterator[tuple[Link, Link]]:
    with trio.fail_after(PATIENCE):
        async with linked({"ws": plain, "wss": secure}[scheme]) as (near, far):
            if sealed:
                one, other = b"1" * 32, b"2" * 32
                near, far = SealedLink(near, Keys(one, other)), SealedLink(far, Keys(other, one))
                near.allow(MAX_FRAME)
                far.allow(MAX_FRAME)
            yield near, far


async def say(link: Link, frames: list[bytes], drawn: random.Random) -> None:
    """Send them, in all ways there are, with pings before them and within."""
    under, now = inner(link), at_once(link)
    assert now is not None
    for frame in frames:
        way = drawn.choice(["now", "now", "send", "ping", "pieces"])
        if way in ("ping", "pieces"):
            async with under._lock:
                await under._transmit(under._engine.send(Ping(b"?" * drawn.randrange(126))))
                if way == "pieces" and under is link:
                    for part, last in ((frame[:5], False), (frame[5:], True)):
                        await under._transmit(under._engine.send(BytesMessage(part, message_finished=last)))
                        await under._transmit(under._engine.send(Ping(b"between")))
                    continue
        if way != "now" or not now(frame):
            await link.send(frame)


async def hear(link: Link, count: int, drawn: random.Random) -> list[bytes | bytearray]:
    """So many frames, though receiving is given up again and again."""
    kept: list[bytes | bytearray] = []
    while len(kept) < count:
        with trio.move_on_after(drawn.choice([0, 0, 0.0001, 0.001, PATIENCE])):
            if drawn.randrange(2):
                frame = await link.receive()
                assert type(frame) is bytes
                kept.append(frame)
            else:
                kept.append(await buffers(link)())
    return kept


@pytest.mark.parametrize("in_c", [True, False], ids=["in C", "in Python"])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "bare"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_frames_of_all_sizes_both_ways_at_once(
    scheme: str, sealed: bool, in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.setattr(masking, "_in_c", None)
    drawn = random.Random(scheme)
    async with ends(scheme, sealed=sealed) as (near, far), trio.open_nursery() as nursery:

        async def check(here: Link, there: Link) -> None:
            frames = [drawn.randbytes(drawn.choice(SIZES)) for _ in range(COUNT)]
            nursery.start_soon(say, here, frames, random.Random(drawn.random()))
            assert await hear(there, COUNT, random.Random(drawn.random())) == frames  # and they stay as they came

        nursery.start_soon(check, near, far)
        await check(far, near)


async def fill(link: WebSocketLink, peer: Link) -> None:
    """Leave no room in the socket of who was dialled, with empty frames that are all whole."""
    assert link._socket is not None
    link._socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
    empty, written, settled = b"\x82\0" * 4096, 0, False
    while True:
        try:
            while True:
                written += os.write(link._socket.fileno(), empty[written % 2 :])
        except BlockingIOError:
            if written % 2:
                await peer.receive()  # half a frame did not fit
                settled = False
            elif settled:
                return
            with trio.move_on_after(
                SETTLED
            ) as waiting:  # what is under way is counted, too, until the peer's kernel has it
                await trio.lowlevel.wait_writable(link._socket)
            settled = waiting.cancelled_caught


async def test_whoever_receives_does_not_wait_for_pongs_to_go_out() -> None:
    """Of a peer that pings and reads nothing: its frames come, and to give up receiving harms nothing."""
    async with ends("ws", sealed=False) as (near, far):
        peer, us = inner(near), inner(far)
        await fill(us, near)
        await peer._transmit(peer._engine.send(Ping(b"are you there?")))
        await peer.send(b"I am")
        with trio.move_on_after(1) as patience:
            assert await us.receive() == b"I am"
        assert not patience.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(us.send, b"me too")
            while not (frame := await peer.receive()):
                pass
            assert frame == b"me too"
