"""What a node announces on the local network, and what is believed of what others do.

Law of this room: an announcement means "this URL is worth dialling", and nothing more. It is pure: datagrams in, a verdict
out. Where the cluster has a secret, only what is authenticated with it counts: HMAC-SHA256 over all of it. An old one may
be played again; that makes a node dial an address where somebody was once.

The key is not the secret but is stretched from it (scrypt): datagrams reach everybody on the network, who may try guesses
on them at leisure. A secret that can be guessed is found out all the same; the stretching only makes guesses dear.

::

    [1, body, mac]      body: [cluster, url, leaving]
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hubkit.discovery.sifting import MOST
from hubkit.errors import ConfigurationError, ProtocolViolation
from hubkit.net import cbor
from hubkit.net.address import parse

__all__ = ["LONGEST", "Announcement", "Heard", "Refused", "announce", "read", "stretch"]

#: Bytes of a datagram that are read at most.
LONGEST: Final = 1024
_VERSION: Final = 1
_LABEL: Final = b"hubkit announcement 1\0"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A node of ``cluster`` can be dialled at ``url``; ``leaving``: not any more."""

    cluster: str
    url: str
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a datagram counts for nothing: ``kind`` is a word, ``text`` a sentence."""

    kind: str
    text: str


def stretch(secrets: Sequence[bytes], cluster: str) -> tuple[bytes, ...]:
    """The keys that belong to these secrets. Takes about 50 ms for each, on purpose."""
    salt = _LABEL + cluster.encode()
    return tuple(hashlib.scrypt(secret, salt=salt, n=2**14, r=8, p=1, dklen=32) for secret in secrets) or (b"",)


def announce(said: Announcement, keys: Sequence[bytes]) -> bytes:
    """The datagram that says it, authenticated with the first key."""
    body = cbor.encode([said.cluster, said.url, said.leaving])
    return cbor.encode([_VERSION, body, _mac(keys[0], body)])


def read(data: bytes, sender: str, cluster: str, keys: Sequence[bytes]) -> Announcement | Refused | None:
    """What a datagram from the host ``sender`` says; `None`: it is about another cluster. Never raises."""
    try:
        match cbor.decode(data) if len(data) <= LONGEST else None:
            case [1, bytes(body), bytes(mac)]:
                said = _body(body)
            case _:
                said = None
    except (ProtocolViolation, ConfigurationError):
        said = None
    if said is None:
        return Refused("malformed", f"what {sender} sends is no announcement")
    if said.cluster != cluster:
        return None
    # Every key is tried, so that the time taken does not tell which one it was.
    if not sum(hmac.compare_digest(mac, _mac(key, body)) for key in keys):
        return Refused("secret", f"{sender} announces {said.url}, but does not have the same secret")
    if parse(said.url).is_loopback and not sender.startswith("127."):
        return Refused(
            "loopback", f"{sender} announces {said.url}, which only it can dial: it should advertise another URL"
        )
    return said


def _body(body: bytes) -> Announcement | None:
    match cbor.decode(body):
        case [str(cluster), str(url), bool(leaving)]:
            here = parse(url)
            return None if here.is_wildcard else Announcement(cluster, str(here), leaving)
    return None


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _LABEL + body, "sha256")


@dataclass(slots=True)
class Heard:
    """What was announced, each URL for ``keep`` seconds after it was heard of last; at most `MOST` of them."""

    keep: float
    _until: dict[str, float] = field(default_factory=dict)

    def note(self, said: Announcement, now: float) -> bool:
        """Take an announcement; returns whether that changes what is known."""
        if said.leaving:
            return self._until.pop(said.url, None) is not None
        new = said.url not in self._until
        if new and len(self._until) >= MOST and len(self.urls(now)) >= MOST:
            return False  # those that were here first stay
        self._until[said.url] = now + self.keep
        return new

    def urls(self, now: float) -> tuple[str, ...]:
        """What is worth dialling now."""
        for url in [url for url, until in self._until.items() if until <= now]:
            del self._until[url]
        return tuple(sorted(self._until))
