"""What TLS says of a link: which certificate the server shows, and for whom the peer's was made.

Law of this room: a certificate is taken at its word only if its chain has been verified; of one that has not, nothing but its
hash is used. Both ends must know the server's certificate, so that they can find out whether they mean the same. The
dialer sees it; a server cannot ask its own `ssl.SSLContext` for it, so it dials itself, in memory, and looks. It does so each
time, for a peer that has proved itself: certificates are renewed while the process lives.

Refused: the channel binding of Python's `ssl` (``tls-unique``). It is not defined for TLS 1.3, and the TLS libraries of most
other languages do not offer it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hubkit.net.transport import Link

__all__ = ["Secured", "is_for", "names_in", "secured", "shown_by"]


@dataclass(frozen=True, slots=True)
class Secured:
    """What TLS says of one link. ``names``: for whom the peer's certificate was made; `None`: that is not to be checked."""

    engine: ssl.SSLObject
    names: tuple[str, ...] | None

    def certificate(self) -> bytes | None:
        """The SHA-256 of the server's certificate, as this side knows it; `None` if it cannot be found out."""
        if self.engine.server_side:
            return shown_by(self.engine.context)
        der = self.engine.getpeercert(binary_form=True)
        return sha256(der).digest() if der else None


def secured(link: Link) -> Secured | None:
    """What TLS says of ``link``: its attribute ``tls``, if it has one."""
    found: object = getattr(link, "tls", None)
    return found if isinstance(found, Secured) else None


def shown_by(context: ssl.SSLContext) -> bytes | None:
    """The SHA-256 of the certificate that a server with this context shows; `None` if it shows none to who has none itself."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialer = client.wrap_bio(back, there)
    sides = (dialer, context.wrap_bio(there, back, server_side=True))
    for _ in range(4):
        for side in sides:
            with suppress(
                ssl.SSLError
            ):  # it waits for the other; or misses a certificate, but has shown its own by then
                side.do_handshake()
        try:
            der = dialer.getpeercert(binary_form=True)
        except ValueError:
            continue  # the handshake is not done
        return sha256(der).digest() if der else None
    return None


def names_in(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """For whom a verified certificate (as `ssl.SSLSocket.getpeercert` gives it) was made: its common and alternative names."""
    found = certificate or {}
    common = [value for pairs in found.get("subject", ()) for key, value in pairs if key == "commonName"]
    other = [value for kind, value in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address", "URI")]
    return tuple(dict.fromkeys([*common, *other]))


def is_for(names: tuple[str, ...], node: str) -> bool:
    """Whether a certificate with these names is that of a node: it says the node's name, or the host of ``host:port``."""
    host, colon, port = node.rpartition(":")
    return node in names or bool(colon and port.isdigit() and host.strip("[]") in names)
