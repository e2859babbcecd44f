"""The real network: what every transport promises, and what strangers at the port get."""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket
from tests.net.raw import REQUEST as OPENING
from wsproto.events import BytesMessage

from hubkit.errors import ConfigurationError, DialFailed, DialRefused, LinkClosed, ProtocolViolation
from hubkit.net.frames import WebSocketLink
from hubkit.net.transport import MAX_FRAME, Link
from hubkit.net.websocket import SUBPROTOCOL, TLS, WebSocketTransport
from hubkit.testing.conformance import CHECKS, PATIENCE, Factory, serving

CERTS = Path(__file__).parent / "certs"


def contexts() -> TLS:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTS / "cert.pem", CERTS / "key.pem")
    return TLS(server=server, client=ssl.create_default_context(cafile=CERTS / "cert.pem"))


def plain() -> WebSocketTransport:
    return WebSocketTransport("ws://127.0.0.1:0")


def plain6() -> WebSocketTransport:
    return WebSocketTransport("ws://[::1]:0")


def secure() -> WebSocketTransport:
    return WebSocketTransport("wss://localhost:0", tls=contexts())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("factory", [plain, plain6, secure], ids=lambda factory: factory.__name__)
def test_conformance(check: Any, factory: Factory) -> None:
    async def main() -> None:
        with trio.fail_after(2 * PATIENCE):
            await check(factory)

    trio.run(main)


async def steps(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def echo(link: Link) -> None:
    try:
        while True:
            await link.send(await link.receive())
    except LinkClosed:
        pass


@asynccontextmanager
async def echoing(**options: Any) -> AsyncIterator[str]:
    with trio.fail_after(PATIENCE):
        async with serving(WebSocketTransport("ws://127.0.0.1:0", **options), echo) as (url, _):
            yield url


async def works(url: str) -> None:
    link = await WebSocketTransport().dial(url)
    await link.send(b"ping")
    assert await link.receive() == b"ping"
    await link.aclose()


async def say(url: str, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes to the port; returns what comes back until it hangs up."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    answer = b""
    try:
        await stream.send_all(data)
        if end:
            await stream.send_eof()
        while part := await stream.receive_some():
            answer += part
    except (trio.BrokenResourceError, OSError):
        pass
    await stream.aclose()
    return answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"400"),
        (OPENING.replace(b"13", b"12") + b"\r\n", b"426"),
        (OPENING.replace(b"Host: x", b"Host: \xff\xfe") + b"\r\n", b"400"),
        (OPENING.replace(b"hubkit.v1", b"hubkit.v2") + b"\r\n", b"400"),
        (OPENING + b"Origin: http://127.0.0.1\r\n\r\n", b"403"),
        (OPENING + b"oRiGiN: null\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, b"400"),
        (b"GET /" + b"a" * 100_000, b"400"),
        (b"GET / HT", b""),
        (b"", b""),
    ],
)
async def test_strangers_are_told_and_cut(data: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with echoing() as url:
        answer = await say(url, data)
        if answer:
            assert answer.split(b" ")[1] == status
        else:
            assert (
                status == b"" or len(data) > 10_000
            )  # unread bytes may reset the connection before the answer is read
        await works(url)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "hubkit.net"
    assert "127.0.0.1" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (b"\x82\x81\x00\x00\x00\x00", "ended"),  # truncated
        (b"\x82\x01x", "masked"),  # a client must mask
        (b"\x81\x81\x00\x00\x00\x00x", "text"),
        (b"\xf2\x81\x00\x00\x00\x00x", "Reserved"),
        (b"\x83\x81\x00\x00\x00\x00x", "opcode"),
        (b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00" + b"x" * 5000, "exceeds"),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "MSB"),
        (b"\x80\x81\x00\x00\x00\x00x", "CONTINUATION"),
        (b"\x88\x81\x00\x00\x00\x00x", "CLOSE"),
    ],
)
async def test_broken_framing_ends_the_link(frames: bytes, why: str) -> None:
    ends: list[Exception] = []

    async def accept(link: Link) -> None:
        try:
            await link.receive()
        except (LinkClosed, ProtocolViolation) as error:
            ends.append(error)
            raise

    with trio.fail_after(PATIENCE):
        async with serving(plain(), accept) as (url, _):
            answer = await say(url, OPENING + b"\r\n", end=False) if not frames else b""
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(OPENING + b"\r\n")
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 101")
            await stream.send_all(frames)
            await stream.send_eof()
            while await stream.receive_some():
                pass
            await stream.aclose()
    (end,) = ends
    assert why in str(end)
    assert isinstance(end, LinkClosed if why == "ended" else ProtocolViolation)


async def test_a_slow_opening_is_cut() -> None:
    async with echoing(opening=0.1) as url:
        assert await say(url, b"GET / HTTP/1.1\r\n", end=False) == b""
        await works(url)


async def test_idle_connections_crowd_out_each_other() -> None:
    async with echoing(max_opening=8) as url:
        port = int(url.rpartition(":")[2])
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(50)]
        await works(url)
        # All but the last few have been cut.
        for stream in idle[:40]:
            assert await stream.receive_some() == b""
        for stream in idle:
            await stream.aclose()


async def test_running_out_of_descriptors_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = trio.SocketListener.accept
    failures = [errno.EMFILE, errno.ENFILE, errno.ENOMEM]

    async def failing(self: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise OSError(failures.pop(), "too many")
        return await accept(self)

    monkeypatch.setattr(trio.SocketListener, "accept", failing)
    async with echoing() as url:
        await works(url)
    assert not failures


async def test_pings_are_answered_and_fragments_joined() -> None:
    """What other WebSocket clients do: here trio-websocket's."""
    async with echoing() as url:
        connection: trio_websocket.WebSocketConnection
        async with trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL]) as connection:
            assert connection.subprotocol == SUBPROTOCOL
            await connection.ping(b"one")
            await connection.send_message(b"hello")
            assert await connection.get_message() == b"hello"
            await connection.pong()
            await connection._send(BytesMessage(data=b"in ", message_finished=False))
            await connection._send(BytesMessage(data=b"pieces"))
            assert await connection.get_message() == b"in pieces"


async def test_empty_pieces_are_not_kept() -> None:
    """They weigh nothing, so no limit of size would ever end them."""
    kept: list[int] = []

    async def accept(link: Link) -> None:
        assert isinstance(link, WebSocketLink)
        assert await link.receive() == b"begin"
        link.allow(MAX_FRAME)
        with pytest.raises(LinkClosed):
            await link.receive()
        kept.append(len(link._parts))

    with trio.fail_after(PATIENCE):
        async with (
            serving(plain(), accept) as (url, _),
            trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL]) as connection,
        ):
            await connection.send_message(b"begin")
            for _ in range(100):
                await connection._send(BytesMessage(data=b"", message_finished=False))
            await connection.aclose()
            while not kept:
                await steps(1)
    assert kept == [0]


async def test_the_reason_of_a_stranger_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def accept(link: Link) -> None:
        await link.receive()

    with trio.fail_after(PATIENCE):
        async with (
            serving(plain(), accept) as (url, _),
            trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL]) as connection,
        ):
            await connection.aclose(reason="bye\nERROR all is lost \x1b[31m")
            while not caplog.records:
                await steps(1)
    (line,) = [record.getMessage() for record in caplog.records if "bye" in record.getMessage()]
    assert line.isprintable()
    assert "bye\\nERROR" in line


async def test_a_ping_while_the_answer_is_blocked_goes_with_the_next_frame() -> None:
    async def accept(link: Link) -> None:
        link.allow(MAX_FRAME)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(link.send, b"x" * 500_000)
            assert await link.receive() == b"after the ping"
        await link.send(b"done")
        await link.receive()

    with trio.fail_after(PATIENCE):
        async with (
            serving(plain(), accept) as (url, _),
            trio_websocket.open_websocket_url(url, subprotocols=[SUBPROTOCOL]) as connection,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(connection.ping, b"p")
            await steps(5)
            await connection.send_message(b"after the ping")
            while await connection.get_message() != b"done":
                pass


async def test_a_server_of_another_library_is_dialled() -> None:
    proposed: list[str] = []

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        proposed.extend(request.proposed_subprotocols)
        connection = await request.accept(
            subprotocol=SUBPROTOCOL if SUBPROTOCOL in request.proposed_subprotocols else None
        )
        await connection.send_message(await connection.get_message())

    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None)
        await works(f"ws://127.0.0.1:{server.port}")
        nursery.cancel_scope.cancel()
    assert proposed == [SUBPROTOCOL]


async def test_a_connection_to_its_own_socket_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echoing() as url:
        with trio.socket.socket() as any_socket:
            monkeypatch.setattr(type(any_socket), "getpeername", lambda self: self.getsockname())
        with pytest.raises(DialRefused, match="its own socket"):
            await WebSocketTransport().dial(url)


async def test_who_hangs_up_at_once_is_a_failed_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is closed, too: the tests fail when one is left open."""

    def gone(self: object) -> None:
        raise OSError(errno.ENOTCONN, "not connected")

    async with echoing() as url:
        with trio.socket.socket() as any_socket:
            monkeypatch.setattr(type(any_socket), "getpeername", gone)
        with pytest.raises(DialFailed, match="not connected"):
            await WebSocketTransport().dial(url)


async def serve_raw(nursery: trio.Nursery, answer: bytes, *, close: bool = True) -> str:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        if not close:
            await trio.sleep_forever()
        await stream.aclose()

    (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
    return f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed in the opening"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ""),
        (b"x" * 50_000, ""),
    ],
)
async def test_dialling_something_else(answer: bytes, why: str) -> None:
    async with trio.open_nursery() as nursery:
        url = await serve_raw(nursery, answer)
        with pytest.raises(DialFailed, match=why or None) as caught:
            await WebSocketTransport().dial(url)
        assert not isinstance(caught.value, DialRefused)
        nursery.cancel_scope.cancel()


async def test_dialling_a_websocket_that_is_no_hubkit() -> None:
    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        await request.accept()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, None)
        with pytest.raises(DialFailed, match="not hubkit"):
            await WebSocketTransport().dial(f"ws://127.0.0.1:{server.port}")
        nursery.cancel_scope.cancel()


async def test_dialling_someone_silent_is_bounded() -> None:
    async with trio.open_nursery() as nursery:
        url = await serve_raw(nursery, b"HTTP/1.1 101 Swi", close=False)
        with pytest.raises(DialFailed, match=r"no answer within 0\.1 s"):
            await WebSocketTransport(opening=0.1).dial(url)
        nursery.cancel_scope.cancel()


async def test_a_certificate_that_is_not_trusted() -> None:
    async with serving(secure(), echo) as (url, _):
        with pytest.raises(DialFailed, match="certificate"):
            await WebSocketTransport().dial(url)
        with pytest.raises(DialFailed):
            await WebSocketTransport().dial(url.replace("wss:", "ws:"))
        link = await WebSocketTransport(tls=contexts()).dial(url)
        await link.send(b"ok")
        assert await link.receive() == b"ok"
        await link.aclose()


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(DialFailed) as caught:
        await WebSocketTransport().dial("ws://nobody.invalid:1")
    assert not isinstance(caught.value, DialRefused)


@pytest.mark.parametrize("host", [f"{'a' * 70}.org", "a..b", ".", "xn--a", "\u2488com", "-"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_name_that_cannot_exist(scheme: str, host: str) -> None:
    """Addresses are heard of from others: one that is none is a failed dial like any other."""
    with pytest.raises(DialFailed):
        await WebSocketTransport().dial(f"{scheme}://{host}:1")


async def test_the_port_is_taken_and_freed() -> None:
    async with serving(plain(), echo) as (url, scope):
        with pytest.raises(ConfigurationError, match=r"cannot listen at ws://127\.0\.0\.1:\d+: .*in use"):
            await WebSocketTransport(url).open()
        scope.cancel()
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    async with serving(WebSocketTransport(url), echo) as (again, _):
                        assert again == url
                        await works(url)
                    break
                except* ConfigurationError:
                    await trio.lowlevel.checkpoint()


async def test_a_transport_that_does_not_listen() -> None:
    transport = WebSocketTransport()
    assert await transport.open() is None
    async with trio.open_nursery() as nursery:
        assert await nursery.start(transport.serve, echo) is None
        nursery.cancel_scope.cancel()


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigurationError, match="certificate"):
        WebSocketTransport("wss://127.0.0.1:0")
    with pytest.raises(ConfigurationError, match="listen"):
        WebSocketTransport("127.0.0.1:4040")
