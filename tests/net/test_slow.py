"""Whoever says, or takes, a byte now and then: wherever it happens, it ends in bounded time, and with one line of the log."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import trio
from tests.net.peers import SECRET, Peer, pair, running, until
from tests.net.raw import OPENING, PING, drip, frame, opened, proved, raw
from tests.net.test_websocket import contexts

from hubkit.environment import Environment
from hubkit.errors import DialFailed, LinkClosed, ProtocolViolation
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import Kind, encode, encode_app, encode_frame

QUICK: dict[str, Any] = {"beat": 0.05, "down_after": 0.5}
BOUND = 5.0  # generous: each of these takes half a second or a second


@contextmanager
def one_line(caplog: pytest.LogCaptureFixture, *texts: str) -> Iterator[None]:
    """What happens meanwhile is over within its bound, and one line says why."""
    caplog.set_level(logging.INFO, "hubkit.net")
    caplog.clear()
    with trio.fail_after(BOUND):
        yield
    lines = [record.getMessage() for record in caplog.records]
    lines = [line for line in lines if not line.endswith(("up (accepted)", "up (dialled)"))]
    assert len(lines) == 1, lines
    assert all(text in lines[0] for text in texts), lines


def logged(caplog: pytest.LogCaptureFixture, text: str) -> Callable[[], bool]:
    return lambda: any(text in record.getMessage() for record in caplog.records)


def listening(**options: Any) -> Peer:
    return Peer("a", transport=WebSocketTransport("ws://127.0.0.1:0", opening=0.3, **options), greeting=0.3, **QUICK)


async def test_in_the_opening(caplog: pytest.LogCaptureFixture) -> None:
    a = listening()
    async with running(a):
        with one_line(caplog, "closed: no WebSocket opening within 0.3 s"):
            async with raw(a) as stream:
                await drip(stream, OPENING)
                await until(logged(caplog, "no WebSocket opening"))


async def test_in_tls(caplog: pytest.LogCaptureFixture) -> None:
    hello, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = contexts()
    assert tls.client is not None
    with pytest.raises(ssl.SSLWantReadError):
        tls.client.wrap_bio(hello, outgoing, server_hostname="localhost").do_handshake()
    a = Peer("a", transport=WebSocketTransport("wss://localhost:0", tls=tls, opening=0.3), **QUICK)
    async with running(a):
        with one_line(caplog, "closed: no WebSocket opening within 0.3 s"):
            host, port = a.url.removeprefix("wss://").rsplit(":", 1)
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await drip(stream, outgoing.read())
                await until(logged(caplog, "no WebSocket opening"))


async def test_in_the_handshake_before_it_has_said_anything(caplog: pytest.LogCaptureFixture) -> None:
    a = listening()
    async with running(a):
        with one_line(caplog, "closed: no handshake within 0.3 s"):
            async with opened(a) as stream:
                await drip(stream, frame(bytes(4000)))
                await until(logged(caplog, "no handshake"))


async def test_in_the_handshake_with_its_second_word(caplog: pytest.LogCaptureFixture) -> None:
    a = listening()
    me = Handshake(Identity("x#1"), dialing=True, nonce=Environment().token(32), secrets=(SECRET,))
    async with running(a):
        with one_line(caplog, "closed: no handshake within 0.3 s"):
            async with opened(a) as stream:
                await stream.send_all(frame(me.start()))
                hello = await stream.receive_some()
                proof = me.receive(hello[4:])
                assert proof is not None
                await drip(stream, frame(proof), 0.1)
                await until(logged(caplog, "no handshake"))


@pytest.mark.parametrize("between", [b"", frame(b"x", PING)], ids=["", "with pings"])
async def test_in_the_middle_of_a_frame_of_a_link_that_stands(between: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It grows, and nothing can be made of it: that is silence. Pings tell of the peer's kernel, not of its node."""
    a = Peer("a", **QUICK)
    async with running(a):
        with one_line(caplog, "link to x#1: down: silent for 0."):
            async with proved(a) as (_, stream):
                await until(lambda: a.mesh.links)
                await drip(stream, b"".join([between, frame(b"", says=60_000), *[b"x"] * 5000]))
                await until(lambda: a.said("down", "x#1", False))


async def test_half_a_frame_after_another_ends_as_soon(caplog: pytest.LogCaptureFixture) -> None:
    """What was whole counts, until then."""
    a = Peer("a", **QUICK)
    async with running(a):
        with one_line(caplog, "link to x#1: down: silent for 0."):
            async with proved(a) as (link, stream):
                await until(lambda: a.mesh.links)
                for number in range(20):
                    await link.send(encode_frame([encode(Kind.BEAT, {"x#1": number})]))
                    beats = a.beats
                    await until(lambda beats=beats: a.beats > beats)  # type: ignore[misc]  # bound now
                assert set(a.mesh.links) == {"x#1"}
                await drip(stream, frame(b"", says=60_000) + b"x" * 5000)
                await until(lambda: a.said("down", "x#1", False))


@pytest.mark.parametrize("takes", [0, 1], ids=["nothing", "a byte"])
async def test_a_reader_who_takes_a_byte_now_and_then(takes: int, caplog: pytest.LogCaptureFixture) -> None:
    """It says that it lives, and would have us keep what it does not take for ever."""
    caplog.set_level(logging.INFO, "hubkit.net")
    async with pair(**QUICK) as (a, b):
        async with proved(a) as (link, stream), trio.open_nursery() as nursery:
            await until(lambda: "x#1" in a.mesh.links)

            async def live() -> None:
                number = 0
                try:
                    while True:
                        number += 1
                        await link.send(encode_frame([encode(Kind.BEAT, {"x#1": number})]))
                        if takes:
                            await stream.receive_some(takes)
                        await trio.sleep(0.02)
                except (LinkClosed, trio.BrokenResourceError):
                    pass

            nursery.start_soon(live)
            while a.mesh.backlog("x#1") < 16 << 20:  # more than kernels keep
                assert a.mesh.send("x#1", [bytes(1 << 20)])
            waiting = trio.Event()

            async def wait_room() -> None:
                await a.mesh.wait_room("x#1")
                waiting.set()

            nursery.start_soon(wait_room)
            with trio.fail_after(BOUND):
                await until(lambda: a.said("down", "x#1", False))
                await waiting.wait()
        assert a.log.count(("up", b.id)) == 1
        lines = [r.getMessage() for r in caplog.records if "x#1: down" in r.getMessage()]
        assert len(lines) == 1
        assert "it reads nothing, or too slowly: no frame could be sent for 1." in lines[0]


async def test_an_operator_with_half_a_question(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkit.net.operator._IDLE", 0.3)
    a = Peer("a", **QUICK)
    async with running(a):
        with one_line(caplog, "closed: no whole question of this operator within 0.3 s"):
            link = await WebSocketTransport().dial(a.url)
            me = Identity("operator#1", role="operator")
            handshake = Handshake(me, dialing=True, nonce=bytes(32), secrets=(SECRET,))
            await greet(link, handshake, within=5)
            question = frame(encode_frame([encode_app(["x" * 4000])]))
            await drip(link._stream, question)
            await link.aclose()


async def test_an_operator_who_does_not_take_the_answer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkit.net.operator._IDLE", 0.3)
    a = Peer("a", **QUICK)
    monkeypatch.setattr(a, "request", lambda peer, message: [bytes(32 << 20)])
    async with running(a):
        with one_line(caplog, "closed: this operator did not take an answer within 0.3 s"):
            link = await WebSocketTransport().dial(a.url)
            me = Identity("operator#1", role="operator")
            handshake = Handshake(me, dialing=True, nonce=bytes(32), secrets=(SECRET,))
            await greet(link, handshake, within=5)
            await guarded(link, handshake).send(encode_frame([encode_app(["x"])]))
            await until(logged(caplog, "did not take an answer"))
            await link.aclose()


# -- those who are dialled


async def serve(nursery: trio.Nursery, handle: Callable[[trio.SocketStream], Awaitable[None]]) -> str:
    (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
    return f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"


async def test_one_who_is_dialled_and_answers_byte_by_byte(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        url = await serve(nursery, lambda stream: drip(stream, b"HTTP/1.1 101 Switching Protocols\r\n" * 100))
        with trio.fail_after(BOUND), pytest.raises(DialFailed, match=r"no answer within 0\.3 s"):
            await WebSocketTransport(opening=0.3).dial(url)
        nursery.cancel_scope.cancel()


async def test_one_who_is_dialled_and_greets_byte_by_byte(caplog: pytest.LogCaptureFixture) -> None:
    async def accept(link: Link) -> None:
        assert await link.receive()
        await drip(link._stream, b"\x82\x7e\x0f\xff" + bytes(5000))  # type: ignore[attr-defined]  # of a WebSocketLink

    async with trio.open_nursery() as nursery:
        url = await nursery.start(WebSocketTransport("ws://127.0.0.1:0").serve, accept)
        a = Peer("a", seeds=[url], greeting=0.3, **QUICK)
        with one_line(caplog, f"dialling {url}: no handshake within 0.3 s"):
            await nursery.start(a.run)
            await until(lambda: a.said("seed failed", url, ProtocolViolation))
        nursery.cancel_scope.cancel()
