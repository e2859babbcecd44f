"""Floods of frames, of strangers and of those who know the secret: nobody else misses a heartbeat for them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from tests.net.peers import Peer, pair, until
from tests.net.raw import OPENING, PING, TEXT, frame, opened, proved
from wsproto.connection import Connection, ConnectionType

from hubkit.errors import LinkClosed
from hubkit.net.frames import WebSocketLink
from hubkit.net.outbox import Outbox
from hubkit.net.seal import SealedLink
from hubkit.net.transport import MAX_FRAME, Link
from hubkit.net.wire import Kind, encode, encode_app, encode_frame

QUICK: dict[str, Any] = {"beat": 0.02, "down_after": 1.0}
PIECE, MORE = 0x02, 0x00


@asynccontextmanager
async def undisturbed(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Peer]:
    """A node whose link to another lives on, whatever happens to it in this block, and is heard of at the end."""
    caplog.set_level(logging.INFO, "hubkit.net")
    async with pair(**QUICK) as (a, b):
        yield a
        for one, other in ((a, b), (b, a)):
            beats = len(one.heard_beats)
            await until(lambda one=one, beats=beats: len(one.heard_beats) > beats + 5)  # type: ignore[misc]  # bound now
            assert one.log.count(("up", other.id)) == 1
        assert a.mesh.send(b.id, ["fine"])
        await until(lambda: b.messages)
        assert not any(record.exc_info for record in caplog.records)


async def pour(stream: trio.SocketStream, data: bytes, times: int) -> None:
    """Send it all, as far as it is taken, and no more."""
    try:
        for _ in range(times):
            await stream.send_all(data)
        await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


# -- before anything is proved


@pytest.mark.parametrize(
    ("flood", "why"),
    [
        (frame(), "in the handshake: "),
        (frame(b"x"), "in the handshake: "),
        (frame(b"x" * 100), "in the handshake: "),
        (frame(b"x", PING), "more than 64 frames before the handshake is done"),
        (frame(b"", PING), "more than 64 frames before the handshake is done"),
        (frame(b"x", TEXT), "a text message"),
        (frame(b"", TEXT), "a text message"),
        (frame(b"", 0x8A), "more than 64 frames before the handshake is done"),  # pongs
    ],
    ids=["empty", "tiny", "small", "pings", "empty pings", "texts", "empty texts", "pongs"],
)
async def test_of_a_stranger(flood: bytes, why: str, caplog: pytest.LogCaptureFixture) -> None:
    async with undisturbed(caplog) as a:
        async with opened(a) as stream:
            await pour(stream, flood * 1000, 20)
            await until(lambda: any("closed: " in record.getMessage() for record in caplog.records))
        lines = [line for record in caplog.records if (line := record.getMessage()).startswith("127.0.0.1:")]
        assert len(lines) == 1, lines
        assert f"closed: {why}" in lines[0]


async def test_pieces_of_a_frame_of_a_stranger(caplog: pytest.LogCaptureFixture) -> None:
    """Empty ones: they weigh nothing, so no limit of size ever ends them."""
    async with undisturbed(caplog) as a:
        async with opened(a) as stream:
            await pour(stream, frame(b"", PIECE) + frame(b"", MORE) * 20_000, 1)
            await until(lambda: any("closed: " in record.getMessage() for record in caplog.records))
        (line,) = [line for record in caplog.records if (line := record.getMessage()).startswith("127.0.0.1:")]
        assert "closed: more than 64 frames before the handshake is done" in line


async def test_together_with_the_opening(caplog: pytest.LogCaptureFixture) -> None:
    """What comes in one piece with it nobody has asked for: most of it is dropped, and the rest makes no sense."""
    async with undisturbed(caplog) as a:
        async with await trio.open_tcp_stream("127.0.0.1", int(a.url.rpartition(":")[2])) as stream:
            await pour(stream, OPENING + frame(b"", PING) * 20_000, 1)
            await until(lambda: any("closed: " in record.getMessage() for record in caplog.records))
        (line,) = [line for record in caplog.records if (line := record.getMessage()).startswith("127.0.0.1:")]
        assert "closed: " in line


# -- of those who know the secret


@pytest.mark.parametrize("flood", [frame(b"x", PING), frame(b"", PING), frame(b"", 0x8A)])
async def test_pings_of_websocket(flood: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """They are no sign of life, and nothing is kept of them."""
    async with undisturbed(caplog) as a, proved(a) as (_, stream), trio.open_nursery() as nursery:
        await until(lambda: "x#1" in a.mesh.links)
        nursery.start_soon(pour, stream, flood * 1000, 1000)
        await until(lambda: a.said("down", "x#1", False))
        lines = [line for record in caplog.records if "x#1: down" in (line := record.getMessage())]
        assert len(lines) == 1
        assert "down: silent for 1." in lines[0]
        nursery.cancel_scope.cancel()


def frames_of(*messages: bytes) -> Callable[[Link], Any]:
    async def send(link: Link) -> None:
        await link.send(encode_frame([*messages]))

    return send


pings = frames_of(*[encode(Kind.PING, 1)] * 10_000)


@pytest.mark.parametrize(
    "send",
    [
        frames_of(),
        frames_of(encode(Kind.PING, 1)),
        pings,
        frames_of(*[encode(Kind.UNKNOWN, 99)] * 10_000),
        frames_of(*[encode(Kind.BEAT, {"x#1": 1})] * 5000),
        frames_of(encode_app([])),
        frames_of(*[encode_app([])] * 10_000),
    ],
    ids=["empty frames", "a ping each", "pings", "unknowns", "beats", "a message each", "tiny messages"],
)
async def test_of_a_peer(send: Callable[[Link], Any], caplog: pytest.LogCaptureFixture) -> None:
    """It reads nothing of what is answered. It is served, one after the other, in turns with all others."""
    async with undisturbed(caplog) as a, proved(a) as (link, _), trio.open_nursery() as nursery:
        await until(lambda: "x#1" in a.mesh.links)
        a.on_message = lambda peer, message: a.messages.clear()

        async def flood() -> None:
            try:
                while True:
                    await send(link)
            except LinkClosed:
                pass

        nursery.start_soon(flood)
        beats = a.beats
        await until(lambda: a.beats > beats + 20 and a.mesh.links["x#1"].frames_in > 10)
        if send is pings:
            assert a.mesh.links["x#1"].waiting < 10_000
        nursery.cancel_scope.cancel()


# -- what others have their turn between


async def turns_of(work: Callable[[], Any]) -> int:
    """How often others have had their turn by the end of it."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await work()
        nursery.cancel_scope.cancel()
    return turns


@pytest.mark.parametrize("flood", [frame(b"", PING), frame(b"", PIECE)[:1] + frame()[1:]], ids=["pings", "pieces"])
@pytest.mark.parametrize("rest", [False, True], ids=["", "all by the engine"])
async def test_what_came_at_once_is_not_taken_apart_at_once(flood: bytes, rest: bool) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    link = WebSocketLink(ours, Connection(ConnectionType.SERVER), "them", rest=rest)
    link.allow(MAX_FRAME)
    data = b"".join([flood, *[flood if flood[0] == PING else frame(b"", MORE)] * 9_998])
    end = frame(b"end") if flood[0] == PING else frame(b"end", 0x80)
    await theirs.send_all(data + end)

    async def receive() -> None:
        assert await link.receive() == b"end"

    assert await turns_of(receive) >= 9_999 // 512


async def test_frames_that_are_there_already_are_not_handled_at_once() -> None:
    """Ten thousand frames of one message each."""
    turns = seen = longest = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with pair(**QUICK) as (a, _), proved(a) as (link, stream), trio.open_nursery() as nursery:
        await until(lambda: "x#1" in a.mesh.links)
        assert isinstance(link, SealedLink)
        nursery.start_soon(others)
        since = [0, 0]  # the turn, and what was handled in it

        def handle(peer: str, message: list[Any]) -> None:
            nonlocal seen, longest
            seen += 1
            since[:] = [turns, since[1] + 1] if since[0] == turns else [turns, 1]
            longest = max(longest, since[1])

        a.on_message = handle
        blob = b""
        for _ in range(5000):
            blob += frame(link._seal.close(encode_frame([encode_app([])])))
            link._seal.sent += 1
        await stream.send_all(blob)
        await until(lambda: seen == 5000)
        nursery.cancel_scope.cancel()
    assert longest <= 64


def test_tiny_messages_that_wait_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes more memory than it weighs."""
    monkeypatch.setattr("hubkit.net.outbox._WAITING", 10)
    outbox = Outbox(1000)
    assert [outbox.put(b"x") for _ in range(12)] == [True] * 10 + [False] * 2
    assert outbox.put(b"x", urgent=True)
    outbox.take()
    assert outbox.put(b"x")
