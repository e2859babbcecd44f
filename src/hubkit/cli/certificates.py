"""What ``wss://`` needs, from PEM files.

Law of this room: nobody is asked for anything. A node starts unattended, so a key with a password is of no use to it; what
guards the key is who may read its file.
"""

from __future__ import annotations

import ssl

from hubkit.cli.failure import WrongUsage
from hubkit.net.websocket import TLS

__all__ = ["read_tls"]


def read_tls(certificate: str | None, authorities: str | None) -> TLS | None:
    """The contexts made of this end's certificate and key, and of the authorities that are trusted; `None`: of nothing.

    With both, peers need a certificate, too. Raises `WrongUsage` for a file that cannot be used.
    """
    if certificate is None and authorities is None:
        return None
    try:
        client = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise WrongUsage(_unusable(f"the authorities in {authorities}", error)) from error
    server = None
    if certificate is not None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            for context in (server, client):
                context.load_cert_chain(certificate, password=_no_password)
        except OSError as error:
            raise WrongUsage(_unusable(f"the certificate and key in {certificate}", error)) from error
        if authorities is not None:
            server.verify_mode = ssl.CERT_REQUIRED
            server.load_verify_locations(authorities)
    return TLS(server=server, client=client)


def _no_password() -> str:
    return ""


def _unusable(what: str, error: OSError) -> str:
    reason = "no PEM, not both in it, or a key with a password" if isinstance(error, ssl.SSLError) else error.strerror
    return f"cannot read {what}: {reason}"
