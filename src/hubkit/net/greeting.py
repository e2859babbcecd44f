"""The handshake on a link: who is there, within a few seconds, and among how many others.

Law of this room: strangers cannot keep others out. When too many want to be greeted at once, the one that has taken
longest makes room: an honest handshake takes milliseconds, so a flood of idle connections hits itself first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from hubkit.errors import LinkClosed, ProtocolViolation
from hubkit.net.handshake import Handshake, Identity, Refusal
from hubkit.net.seal import SealedLink
from hubkit.net.transport import MAX_FRAME, Link

__all__ = ["Reception", "greet", "guarded"]

_LAST_WORD = 1.0  # seconds to tell the peer why it is refused


def _nothing() -> None:
    return None


async def greet(
    link: Link, handshake: Handshake, *, within: float, greeted: Callable[[], object] = _nothing
) -> Identity:
    """Perform ``handshake`` over ``link``. ``greeted()`` is called when the peer's first frame has come in.

    Afterwards the link accepts frames of `MAX_FRAME` bytes. Raises `HandshakeRefused` if either side refuses (the peer
    has been told), `ProtocolViolation` if the peer breaks the protocol or takes longer than ``within`` seconds,
    `LinkClosed` if it goes. The caller closes the link, and uses it only as `guarded`.
    """
    with trio.move_on_after(within):
        if handshake.dialing:
            await link.send(handshake.start())
        while True:
            frame = await link.receive()
            greeted()
            answer = handshake.receive(frame)
            if handshake.failure is not None:
                await _last_word(link, answer)
                raise handshake.failure
            if handshake.proved:
                link.allow(MAX_FRAME)
            if answer is not None:
                await link.send(answer)
            if handshake.peer is not None:
                return handshake.peer
    msg = f"no handshake within {within:g} s"
    await _last_word(link, handshake.cut(Refusal("slow", msg)))
    raise ProtocolViolation(msg)


def guarded(link: Link, handshake: Handshake) -> Link:
    """The link as it is to be used after ``handshake`` is done: with a tag on every frame, unless TLS does that."""
    return link if handshake.keys is None else SealedLink(link, handshake.keys)


class Reception:
    """Greets dialers, at most ``most`` at a time, each within ``within`` seconds."""

    def __init__(self, most: int, *, within: float) -> None:
        self._most = most
        self._within = within
        self._greetings: dict[Handshake, trio.CancelScope] = {}  # in order of arrival

    async def greet(self, link: Link, handshake: Handshake, *, greeted: Callable[[], object]) -> Identity:
        """See `greet`. Raises `HandshakeRefused` with the code ``"busy"`` if this dialer had to make room."""
        if len(self._greetings) >= self._most:
            self._greetings.pop(next(iter(self._greetings))).cancel()
        with trio.CancelScope() as scope:
            self._greetings[handshake] = scope
            try:
                return await greet(link, handshake, within=self._within, greeted=greeted)
            finally:
                self._greetings.pop(handshake, None)
        await _last_word(link, handshake.cut(Refusal("busy", "too many others want to be greeted")))
        assert handshake.failure is not None
        raise handshake.failure


async def _last_word(link: Link, frame: bytes | None) -> None:
    """Tell the peer why, if it still listens."""
    if frame is not None:
        with suppress(LinkClosed), trio.move_on_after(_LAST_WORD):
            await link.send(frame)
