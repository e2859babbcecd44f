"""What guards a link after its handshake: keys made of all that was said in it, and a tag on every frame.

Law of this room: a frame is taken only from the peer of this handshake, once, and in its place. The keys come from the secret
and from both greetings (nonces, identities, roles, versions), one for each direction; the tag covers the frame and its
number, which both sides count and nobody sends. So whoever sits on the way can cut the link, and nothing else: what is
altered, left out, repeated, moved, or sent back ends it. It can read along: against that there is TLS.

Over TLS, where both sides have seen the same certificate, frames carry no tag: it would say again what TLS says already.

Refused: a number in each frame (eight bytes that say nothing which the tag does not), and going on after a wrong tag.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from hubkit.errors import ProtocolViolation
from hubkit.net.transport import Link, at_once, buffers

__all__ = ["LARGE", "TAG", "Keys", "Seal", "SealedLink", "expand", "extract"]

#: The size of a frame's tag, in bytes.
TAG = 16
#: A frame of more bytes than this is taken in by its SHA-256, for which processors have instructions: a fifth of the price.
LARGE = 2048

_HASHED = 1 << 63  # beside the number of such a frame, so that none is taken for a small one that looks like its hash

_HASH = 32  # bytes of a SHA-256
# To tell what went wrong so many numbers are tried, for frames of so many bytes at most.
_NEAR, _SMALL = 8, 16 * 1024


def extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract of RFC 5869, with SHA-256: a key for `expand`."""
    return hmac.digest(salt or bytes(_HASH), secret, "sha256")


def expand(key: bytes, info: bytes, size: int = _HASH) -> bytes:
    """HKDF-Expand of RFC 5869, with SHA-256: ``size`` bytes, at most 8,160, for the use that ``info`` names."""
    made = block = b""
    for number in range(1, -(-size // _HASH) + 1):
        block = hmac.digest(key, block + info + bytes((number,)), "sha256")
        made += block
    return made[:size]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one end of one link: for the frames that it sends, and for those that it receives."""

    sending: bytes = field(repr=False)
    receiving: bytes = field(repr=False)


class Seal:
    """Puts tags on frames, and takes them off. One for each end of each link."""

    __slots__ = ("_incoming", "_outgoing", "received", "sent")

    def __init__(self, keys: Keys) -> None:
        # A keyed hash that has taken in its key is copied for each frame: two thirds of the price of a new one.
        self._outgoing = hashlib.blake2s(key=keys.sending, digest_size=TAG)
        self._incoming = hashlib.blake2s(key=keys.receiving, digest_size=TAG)
        self.sent: int = 0
        self.received: int = 0

    def close(self, frame: bytes) -> bytes:
        """The next frame to send, with its tag. It counts as sent only when ``sent`` says so: that is the caller's to add."""
        return frame + _tag(self._outgoing, self.sent, frame)

    def open(self, sealed: bytes | bytearray) -> bytes | bytearray:
        """The next frame received, without its tag. Raises `ProtocolViolation`, which says what went wrong."""
        tag = bytes(sealed[-TAG:])
        if isinstance(sealed, bytearray):
            frame: bytes | bytearray = sealed
            del sealed[-TAG:]  # nothing is copied
        else:
            frame = sealed[:-TAG]
        if not hmac.compare_digest(_tag(self._incoming, self.received, frame), tag):
            what = self._blame(frame, tag)
            msg = f"frame {self.received:,} {what}; somebody on the way meddles with the link, or it is faulty"
            raise ProtocolViolation(msg)
        self.received += 1
        return frame

    def _blame(self, frame: bytes | bytearray, tag: bytes) -> str:
        """What has befallen the frame, as far as a few trials tell."""
        if len(tag) < TAG:
            return "is too short to be one"
        if len(frame) <= _SMALL:
            now = self.received
            for number in range(max(0, now - _NEAR), now + _NEAR + 1):
                if hmac.compare_digest(_tag(self._incoming, number, frame), tag):
                    return "is missing" if number > now else f"is frame {number:,} again"
            for number in range(max(0, self.sent - _NEAR), self.sent + 1):
                if hmac.compare_digest(_tag(self._outgoing, number, frame), tag):
                    return "is one of this node's own, sent back"
        return "is not what the peer sent"


def _tag(keyed: hashlib.blake2s, number: int, frame: bytes | bytearray) -> bytes:
    mac = keyed.copy()
    if len(frame) > LARGE:
        number |= _HASHED
        frame = hashlib.sha256(frame).digest()
    mac.update(number.to_bytes(8, "big"))
    mac.update(frame)
    return mac.digest()


class SealedLink:
    """A `hubkit.net.transport.Link` on which every frame carries a tag."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self.remote: str = link.remote
        self._link = link
        self._at_once, self._buffers = at_once(link), buffers(link)
        self._seal = Seal(keys)

    def allow(self, max_frame: int) -> None:
        """Accept frames of up to ``max_frame`` bytes, and their tags."""
        self._link.allow(max_frame + TAG)

    async def send(self, frame: bytes) -> None:
        """Send one frame. One that was given up before any of it was sent has not been counted."""
        await self._link.send(self._seal.close(frame))
        self._seal.sent += 1

    def send_now(self, frame: bytes) -> bool:
        """Send one frame, if that takes no waiting. See `hubkit.net.transport.at_once`."""
        sent = self._at_once is not None and self._at_once(self._seal.close(frame))
        self._seal.sent += sent
        return sent

    async def receive(self) -> bytes:
        """The next frame. Raises `ProtocolViolation` if it is not exactly the one that the peer sent next."""
        return bytes(await self.receive_buffer())

    async def receive_buffer(self) -> bytes | bytearray:
        """The same. See `hubkit.net.transport.buffers`."""
        return self._seal.open(await self._buffers())

    async def aclose(self) -> None:
        """End the link."""
        await self._link.aclose()
