"""A WebSocket: its opening, as the one who serves and as the one who dials, and its frames afterwards.

An input is a byte that says what the node is doing (`SERVES`, `DIALS`, `TALKS`, whether the peer has proved the secret before
it talks, and whether it hangs up at the end or stays silent), one for how many bytes come at a time, and all that the stranger
sends. Where a dialer is answered, `KEY` stands for the right answer to what it has asked. Who talks is heard twice: the second
time, all is left to the engine.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections import deque
from contextlib import suppress

import trio
from tests.fuzz.law import Door, in_time, quiet
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from hubkit.errors import LinkError, ProtocolViolation
from hubkit.net.address import parse
from hubkit.net.frames import WebSocketLink
from hubkit.net.gate import Visit
from hubkit.net.transport import MAX_FRAME, MAX_GREETING, Link
from hubkit.net.websocket import WebSocketTransport, _open_client

__all__ = ["DIALS", "DOORS", "KEY", "PROVED", "SERVES", "SILENT", "TALKS"]

SERVES, DIALS, TALKS = range(3)
PROVED, SILENT = 4, 8
KEY = b"@accept@"
_CAUGHT = (
    trio.BrokenResourceError,
    LocalProtocolError,
    RemoteProtocolError,
    ProtocolViolation,
    ssl.SSLError,
    ValueError,
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECES = 400  # that it comes in at most
_HANDED = 10_000  # frames that may be read of one input


class Tape(trio.abc.Stream):
    """A stream on which these bytes come, in pieces of ``size``; then its end, or nothing any more."""

    def __init__(self, data: bytes, size: int, *, silent: bool) -> None:
        self.waiting, self.silent = deque([data]), silent
        self.size = max(1, size, len(data) // _PIECES)
        self.sent = bytearray()
        self.closed = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.closed.is_set():
            raise trio.ClosedResourceError
        self.sent += data
        asked = re.search(rb"sec-websocket-key: *(\S+)", self.sent, re.IGNORECASE)
        if asked is not None and self.waiting and KEY in self.waiting[0]:
            answer = base64.b64encode(hashlib.sha1(asked[1] + _GUID).digest())  # what the standard has
            self.waiting[0] = self.waiting[0].replace(KEY, answer, 1)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.closed.is_set():
            raise trio.ClosedResourceError
        if not self.waiting or not self.waiting[0]:
            if self.silent:
                await self.closed.wait()
            return b""
        size = min(self.size, max_bytes or self.size)
        piece, self.waiting[0] = self.waiting[0][:size], self.waiting[0][size:]
        return piece

    async def aclose(self) -> None:
        self.closed.set()
        await trio.lowlevel.checkpoint()


def talk(data: bytes) -> None:
    """Nothing but the errors that are caught leaves an opening or a link, and a stranger holds up neither.

    A link hands over what one of the engine alone would.
    """
    if len(data) < 2:
        return
    what, limit = data[0] & 3, MAX_FRAME if data[0] & PROVED else MAX_GREETING
    heard: list[list[bytes]] = []
    with quiet():
        for rest in (False, True) if what >= TALKS else (False,):
            tape = Tape(data[2:], data[1] or 4096, silent=bool(data[0] & SILENT))
            heard.append([])
            in_time(_talk, what, tape, limit, rest, heard[-1])
    assert heard[0] == heard[-1]


async def _talk(what: int, tape: Tape, limit: int, rest: bool, heard: list[bytes]) -> None:
    with trio.fail_after(20):
        link: Link | None = None
        if what == SERVES:
            with suppress(ProtocolViolation):
                link = await WebSocketTransport("ws://127.0.0.1:0")._admit(tape, "x", Visit("x", 1))  # type: ignore[arg-type]  # any stream
        elif what == DIALS:
            target = parse("ws://a:4040")
            with trio.move_on_after(5):  # as `dial`, which catches the same
                with suppress(*_CAUGHT):
                    engine, rest = await _open_client(tape, target)
                    link = WebSocketLink(tape, engine, "x", rest=rest)
        else:
            link = WebSocketLink(tape, Connection(ConnectionType.SERVER), "x", rest=rest)
        if link is not None:
            link.allow(limit)
            await _listen(link, limit, heard)
        await trio.aclose_forcefully(tape)


async def _listen(link: Link, limit: int, heard: list[bytes]) -> None:
    try:
        with trio.move_on_after(5):
            while len(heard) < _HANDED:
                frame = await link.receive()
                assert len(frame) <= limit
                heard.append(frame)
                if len(heard) % 3 == 0:
                    with suppress(LinkError):  # what has come before its end is handed over
                        await link.send(frame)
    except LinkError:
        pass
    began = trio.current_time()
    await link.aclose()
    assert trio.current_time() - began < 2.5


DOORS = (Door("sockets", talk, values=False, longest=40_000),)
