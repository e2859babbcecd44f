"""Frames on a stream, of a peer that does as it likes: drawn frames in drawn pieces, pings while we close, extensions."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.sockets import DIALS, PROVED, SERVES, SILENT, TALKS, Tape
from tests.fuzz.sockets import talk as check_talk
from wsproto import ConnectionType
from wsproto.connection import Connection

from hubkit.errors import LinkClosed, ProtocolViolation
from hubkit.net.frames import WebSocketLink
from hubkit.net.gate import Visit
from hubkit.net.transport import MAX_FRAME, MAX_GREETING
from hubkit.net.websocket import WebSocketTransport

MASK = b"\0\0\0\0"
PING, CLOSE = b"\x89\x81" + MASK + b"p", b"\x88\x82" + MASK + b"\x03\xe8"


def framed(first: int, data: bytes, masked: bool, claimed: int | None) -> bytes:
    """One WebSocket frame; ``claimed``: the length that it says it has."""
    size = len(data) if claimed is None else claimed
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 1 << 16:
        head = bytes((first, mask | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, mask | 127)) + size.to_bytes(8, "big")
    return head + (MASK if masked else b"") + data


sizes = st.sampled_from([0, 1, 2, 125, 126, 4095, 4096, 4097, 65_536])
frames = st.builds(
    framed,
    st.sampled_from([0x82, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, 0x81, 0xC2, 0x83, 0x09]),
    st.sampled_from([0, 1, 125, 126, 4095, 4096, 4097]).map(bytes) | st.binary(max_size=5),
    st.sampled_from([True, True, True, False]),
    st.none() | st.none() | sizes | st.just((1 << 63) - 1) | st.just(1 << 63),
)


@given(
    st.lists(frames, max_size=5).map(b"".join),
    st.sampled_from([3, 50, 255]),
    st.sampled_from([0, SILENT, PROVED, PROVED | SILENT]),
    st.integers(0, 9),
)
@settings(max_examples=100)
def test_any_frames_in_any_pieces_are_taken_or_end_the_link(data: bytes, size: int, flags: int, less: int) -> None:
    check_talk(bytes((TALKS | flags, size)) + data[: len(data) - less])


@given(st.sampled_from([SERVES, DIALS]), st.binary(max_size=60), st.integers(1, 255), st.booleans())
def test_any_bytes_are_an_opening_or_none(what: int, data: bytes, size: int, silent: bool) -> None:
    check_talk(bytes((what | (SILENT if silent else 0), size)) + data)


async def test_a_ping_that_comes_while_the_link_is_closed_cancels_nobody() -> None:
    """The one who reads is told that the link has ended, and the close is answered."""
    ours, theirs = trio.testing.memory_stream_pair()
    link = WebSocketLink(ours, Connection(ConnectionType.SERVER), "x")
    ended: list[str] = []

    async def read() -> None:
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        ended.append(str(caught.value))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(link.aclose)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                await theirs.send_all(PING)
                await trio.testing.wait_all_tasks_blocked()
            assert not ended
            await theirs.send_all(PING + CLOSE + PING)
    assert len(ended) == 1
    assert (await theirs.receive_some())[:1] == b"\x88"


async def test_what_comes_while_the_link_is_closed_is_not_kept() -> None:
    """A peer that goes on sending would fill the memory for as long as the close lasts."""
    ours, theirs = trio.testing.memory_stream_pair()
    link = WebSocketLink(ours, Connection(ConnectionType.SERVER), "x")
    link.allow(MAX_FRAME)
    large = framed(0x82, bytes(MAX_FRAME), True, None)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.aclose)
            for _ in range(3):
                await theirs.send_all(large)
                await trio.testing.wait_all_tasks_blocked()
                assert not link._frames
            await theirs.send_all(CLOSE)
    with pytest.raises(LinkClosed, match="closed by the peer"):
        await link.receive()


async def test_compression_is_never_agreed_to_and_compressed_frames_end_the_link() -> None:
    """A few bytes of it become gigabytes."""
    asked = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: hubkit.v1\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    tape = Tape(asked + framed(0xC2, b"\x4b\x04\x00", True, None), len(asked), silent=False)
    link = await WebSocketTransport("ws://127.0.0.1:0")._admit(tape, "x", Visit("x", 1))  # type: ignore[arg-type]  # any stream
    assert tape.sent.startswith(b"HTTP/1.1 101")
    assert b"extensions" not in tape.sent.lower()
    with pytest.raises(ProtocolViolation, match="Reserved"):
        await link.receive()
    await link.aclose()


async def test_what_is_read_at_once_of_a_stranger_is_little() -> None:
    tape = Tape(b"\x82\x80\0\0\0\0" * 20_000, 1 << 20, silent=True)
    link = WebSocketLink(tape, Connection(ConnectionType.SERVER), "x")
    assert await link.receive() == b""
    assert len(link._frames) <= MAX_GREETING // 6
    await trio.aclose_forcefully(tape)
