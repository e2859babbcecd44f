"""TLS over a trio stream: Python's `ssl.SSLObject`, which does no input or output, and the stream it is fed from.

Law of this room: `ssl` decides all that is about security; here bytes are only carried between it and the stream, in the order
in which it made them. A link ends with WebSocket's close, so the end of TLS itself is neither sent nor waited for; where the
stream ends without one, that is the end.

Refused: `trio.SSLStream`. It has no way to write without waiting, and the turns that its reads and writes take cost a small
message twice of what the encryption does.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

import trio

__all__ = ["SecureStream"]

_READ = 64 * 1024  # bytes asked of the stream at once
_ALERT = 0.5  # seconds that it may take to tell the peer why there is no agreement


class SecureStream(trio.abc.Stream):
    """A stream through TLS. ``handshake`` comes first. At most one task sends and one receives."""

    def __init__(
        self, under: trio.abc.Stream, context: ssl.SSLContext, *, server_side: bool = False, host: str | None = None
    ) -> None:
        self.under: trio.abc.Stream = under
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine: ssl.SSLObject = context.wrap_bio(self._in, self._out, server_side, host)

    async def handshake(self) -> None:
        """Agree with the peer. Raises `trio.BrokenResourceError`, its cause an `ssl.SSLError`, if that fails."""
        while True:
            try:
                self.engine.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self.feed(await self.under.receive_some(_READ))
            except ssl.SSLError as error:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(_ALERT):
                    await self._flush()  # why
                raise trio.BrokenResourceError from error
            else:
                await self._flush()
                return

    # -- without waiting

    def encrypt(self, data: bytes | bytearray) -> bytes:
        """What is to be sent on the stream below, in the order of the calls. Raises `trio.BrokenResourceError`."""
        try:
            if data:
                self.engine.write(data)
        except ssl.SSLError as error:  # also the wish for a new handshake, which TLS 1.3 does not know any more
            raise trio.BrokenResourceError from error
        return self._out.read()

    @property
    def owes(self) -> bool:
        """Whether TLS has something to say by itself: `encrypt` nothing, and send that."""
        return bool(self._out.pending)

    def feed(self, data: bytes | bytearray) -> None:
        """Take what has come on the stream below; nothing means its end."""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def take(self, most: int) -> bytes | None:
        """At most so many bytes of what the peer has said: nothing at the end, `None` if more must come first."""
        try:
            return self.engine.read(most)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error

    # -- as a stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        await self.under.send_all(self.encrypt(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room below."""
        await self.under.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; none at the end."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            data = self.take(max_bytes or _READ)
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()  # what was taken must not be lost
                return data
            self.feed(await self.under.receive_some(_READ))

    async def aclose(self) -> None:
        """Close the stream below."""
        await self.under.aclose()

    async def _flush(self) -> None:
        data = self._out.read()
        if data:
            await self.under.send_all(data)
