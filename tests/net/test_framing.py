"""The plain road through WebSocket framing is the engine's, only shorter; and what goes out on the spot is in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from hubkit.environment import Environment
from hubkit.errors import LinkClosed
from hubkit.net.frames import WebSocketLink
from hubkit.net.framing import PLAIN, Sieve, frame_of
from hubkit.net.masking import Masks
from hubkit.net.transport import at_once
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing.conformance import PATIENCE, linked


def engine(*, server: bool) -> Connection:
    return Connection(ConnectionType.SERVER if server else ConnectionType.CLIENT)


class Heard:
    """What a connection has said: whole messages, pings, and how it ended; nothing after that."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.parts: list[bytes] = []
        self.ended = False

    def drain(self, connection: Connection) -> None:
        for event in connection.events():
            if self.ended:
                return
            match event:
                case BytesMessage():
                    self.parts.append(bytes(event.data))
                    if event.message_finished:
                        self.said.append(("frame", b"".join(self.parts)))
                        self.parts.clear()
                case TextMessage():
                    self.said.append(("text", event.data.encode()))
                case Ping() | Pong():
                    self.said.append((type(event).__name__, bytes(event.payload)))
                case CloseConnection():
                    self.said.append(("close", repr((event.code, event.reason)).encode()))
                    self.ended = True


def alone(pieces: list[bytes], *, server: bool) -> Heard:
    heard, connection = Heard(), engine(server=server)
    for piece in pieces:
        connection.receive_data(piece)
        heard.drain(connection)
        if heard.ended:
            break
    return heard


def sieved(pieces: list[bytes], *, server: bool, limit: int = 1 << 20) -> Heard:
    heard, connection, sieve = Heard(), engine(server=server), Sieve(masked=server, limit=limit)
    for piece in pieces:
        for plain, data in sieve.feed(piece):
            if plain:
                assert len(data) <= limit
                heard.said.append(("frame", bytes(data)))
            else:
                connection.receive_data(bytes(data))
                heard.drain(connection)
            if heard.ended:
                return heard
    connection.receive_data(sieve._rest)  # what of a head has come; it would have waited for the rest
    heard.drain(connection)
    return heard


SIZES = st.one_of(st.integers(0, 200), st.sampled_from([125, 126, 127, 65_535, 65_536, PLAIN - 1, PLAIN, PLAIN + 1]))


@st.composite
def frames(draw: st.DrawFn, *, server: bool) -> bytes:
    """One frame: mostly right, and mostly what the plain road is for."""
    first = draw(st.sampled_from([0x82] * 6 + [0x02, 0x00, 0x80, 0x81, 0x01, 0x89, 0x8A, 0x88, 0xC2, 0x83, 0x09]))
    size = draw(SIZES)
    payload = bytes([draw(st.integers(0, 255))]) * size
    form = draw(st.sampled_from(["least"] * 8 + ["two", "eight"]))
    masked = server if draw(st.integers(0, 19)) else not server
    flag = 0x80 if masked else 0
    if form == "least":
        form = "one" if size < 126 else "two" if size < 65_536 else "eight"
    if form == "one":
        head = bytes((first, flag | size))
    elif form == "two":
        head = bytes((first, flag | 126)) + (size & 0xFFFF).to_bytes(2, "big")
    else:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    return head + (draw(st.binary(min_size=4, max_size=4)) if masked else b"") + payload


@st.composite
def reads(draw: st.DrawFn) -> tuple[bool, list[bytes]]:
    """What comes from a peer, as it is read: frames, seldom garbage, cut anywhere."""
    server = draw(st.booleans())
    stream = b"".join(draw(st.lists(frames(server=server), max_size=8)))
    if not draw(st.integers(0, 9)):
        stream += draw(st.binary(max_size=30))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    if draw(st.booleans()) and len(stream) < 300:
        cuts = list(range(len(stream)))
    return server, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(reads(), st.sampled_from([0, 125, 65_535, 1 << 20]))
@example((True, [b"\x82\x80abcd", b"\x82\x81abcdx"]), 1 << 20)
@example((False, [b"\x02\x01a", b"\x82\x01b"]), 1 << 20)  # a new message within another
@example((False, [b"\x00\x80"]), 1 << 20)  # wrong already, but no whole head
@example((False, [b"\x82\x7e\x00\x01a"]), 1 << 20)  # a length that is not in its least form
@example((False, [b"\x82\x7f" + (200).to_bytes(8, "big") + bytes(200)]), 1 << 20)
@example((False, [b"\x82\x7f" + (65_535).to_bytes(8, "big") + bytes(65_535)]), 1 << 20)
@example(
    (True, [b"\x82\xff" + (65_536).to_bytes(8, "big"), b"mask" + bytes(9), bytes(65_527) + b"\x82\x80abcd"]), 1 << 20
)
@example((True, [b"\x82\x85abcdx", b"yz", b"", b"ab\x89\x80abcd"]), 1 << 20)  # a small one in pieces, and a ping
def test_the_sieve_changes_nothing(given: tuple[bool, list[bytes]], limit: int) -> None:
    server, pieces = given
    expected, found = alone(pieces, server=server), sieved(pieces, server=server, limit=limit)
    assert found.said == expected.said
    assert found.ended == expected.ended


EDGES = [125, 126, PLAIN, PLAIN + 1, 65_535, 65_536, 300_001]


@given(st.binary(max_size=300) | st.sampled_from(EDGES).map(bytes), st.booleans())
def test_frames_are_the_standards(data: bytes, server: bool) -> None:
    masks = Masks(Environment().token)
    frame = bytes(frame_of(data, masks.next() if server else None))
    heard = alone([frame], server=server)
    assert heard.said == [("frame", data)]
    assert sieved([frame], server=server).said == heard.said
    assert sieved([frame[:100], frame[100:70_000], frame[70_000:]], server=server).said == heard.said


def test_room_is_taken_for_no_more_than_the_limit() -> None:
    sieve = Sieve(masked=False, limit=4096)
    head = b"\x82\x7f" + ((1 << 63) - 1).to_bytes(8, "big")
    assert list(sieve.feed(head + b"x")) == [(False, head + b"x")]
    assert sieve._open is None


# -- on the spot, over real sockets


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[WebSocketLink, WebSocketLink]]:
    with trio.fail_after(PATIENCE):
        async with linked(lambda: WebSocketTransport("ws://127.0.0.1:0")) as (a, b):
            assert isinstance(a, WebSocketLink)
            assert isinstance(b, WebSocketLink)
            a.allow(1 << 20)
            b.allow(1 << 20)
            yield a, b


def numbered(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PLAIN // 4)


def filled(link: WebSocketLink) -> int:
    """Send numbered frames on the spot until the socket is full; returns the number of the one that was begun."""
    now = at_once(link)
    assert now is not None
    sent = 0
    while now(numbered(sent)):
        sent += 1
    return sent


async def test_what_goes_out_on_the_spot_arrives_in_its_order() -> None:
    async with pair() as (a, b):
        for here, there in ((a, b), (b, a)):
            sent = filled(here)
            assert sent > 2
            now = at_once(here)
            assert now is not None
            assert not now(b"no other frame may come between")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(here.send, numbered(sent))
                for number in range(sent + 1):
                    assert await there.receive() == numbered(number)
            assert now(b"and the road is free again")
            assert await there.receive() == b"and the road is free again"


async def test_a_frame_that_was_begun_is_finished_before_the_close() -> None:
    async with pair() as (a, b):
        sent = filled(a)
        received: list[bytes] = []

        async def read() -> None:
            with pytest.raises(LinkClosed, match="closed by the peer"):
                while True:
                    received.append(await b.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await a.aclose()
        assert received == [numbered(number) for number in range(sent + 1)]


async def test_a_frame_that_was_begun_and_is_given_up_ends_the_link() -> None:
    """Else the next one would be taken for its rest."""
    async with pair() as (a, b):
        sent = filled(a)
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.send(numbered(sent))
        assert scope.cancelled_caught
        with pytest.raises(LinkClosed, match="given up half sent"):
            await a.send(b"another")
        with pytest.raises(LinkClosed):
            for number in range(sent + 1):
                assert await b.receive() == numbered(number)


async def test_a_ping_is_answered_after_the_frame_that_was_begun() -> None:
    async with pair() as (a, b):
        sent = filled(a)
        await b._transmit(b._engine.send(Ping(b"are you there?")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.send, b"read the ping")
            assert await a.receive() == b"read the ping"
            nursery.start_soon(a.send, numbered(sent))
            for number in range(sent + 1):
                assert await b.receive() == numbered(number)
        await a.send(b"last")
        assert await b.receive() == b"last"


async def test_a_link_that_has_ended_sends_nothing_on_the_spot() -> None:
    async with pair() as (a, b):
        now = at_once(a)
        assert now is not None
        await trio.aclose_forcefully(b._stream)
        with pytest.raises(LinkClosed):
            await a.receive()
        assert not now(b"in vain")
        await a.aclose()
        assert not now(b"in vain")
