"""The arguments of a node, checked where they are given.

Law of this room: what cannot work is refused before a socket is opened: a URL that is none, an address that others could
not dial, a port open to the world without a secret.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hubkit.discovery.finder import Joined
from hubkit.discovery.protocol import Discovery
from hubkit.discovery.spelling import spelt
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError
from hubkit.net.address import parse
from hubkit.net.handshake import VERSIONS
from hubkit.net.transport import Transport
from hubkit.net.websocket import TLS

__all__ = [
    "Endpoint",
    "check_endpoint",
    "check_join",
    "check_name",
    "check_operators",
    "check_per_address",
    "check_secret",
    "check_tls",
    "clocks_of",
    "versions_from",
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node listens, and the URL by which others dial it (`None`: they are the same)."""

    listen: str
    advertise: str | None


def check_tls(tls: object) -> TLS | None:
    """Return ``tls`` if its contexts are what they should be."""
    if tls is None:
        return None
    if not isinstance(tls, TLS):
        msg = f"tls must be hubkit.TLS(server=..., client=...), not {tls!r:.80}"
        raise ConfigurationError(msg)
    for name, value in (("server", tls.server), ("client", tls.client)):
        if value is not None and not isinstance(value, ssl.SSLContext):
            msg = f"TLS({name}=...) must be an ssl.SSLContext or None, not {value!r:.80}"
            raise ConfigurationError(msg)
    return tls


def check_endpoint(listen: object, advertise: object, secrets: Sequence[bytes], tls: TLS | None) -> Endpoint | None:
    """Return where to listen, or `None` for a node that does not."""
    if listen is None:
        if advertise is not None:
            msg = "advertise needs listen: a node that does not listen cannot be dialled"
            raise ConfigurationError(msg)
        return None
    here = parse(listen, "listen", zero_port=True)
    server = None if tls is None else tls.server
    if here.secure and server is None:
        msg = f"listen={listen!r} needs tls=hubkit.TLS(server=an ssl.SSLContext with this node's certificate)"
        raise ConfigurationError(msg)
    if not here.secure and server is not None:
        msg = f"listen={listen!r} would not use the TLS server context: listen on wss:// instead"
        raise ConfigurationError(msg)
    if here.is_wildcard and advertise is None:
        msg = f"listen={listen!r} is a wildcard address: say with advertise='ws://host:port' what others should dial"
        raise ConfigurationError(msg)
    certificates = server is not None and server.verify_mode == ssl.CERT_REQUIRED
    if not here.is_loopback and not secrets and not certificates:
        msg = (
            f"listen={listen!r} is open to other machines: give secret=..., or tls with a server context that requires "
            "client certificates (or listen on 127.0.0.1)"
        )
        raise ConfigurationError(msg)
    if advertise is None:
        return Endpoint(str(here), None)
    there = parse(advertise, "advertise")
    if there.is_wildcard:
        msg = f"advertise must name a host that others can dial, not {advertise!r}"
        raise ConfigurationError(msg)
    return Endpoint(str(here), str(there))


def check_secret(secret: object, what: str = "secret") -> tuple[bytes, ...]:
    """Return the secrets as bytes; the first is used, all are accepted."""
    if secret is None:
        return ()
    given = [secret] if isinstance(secret, str | bytes) else secret
    items = list(given) if isinstance(given, Sequence) else []
    found = [item.encode() if isinstance(item, str) else item for item in items if isinstance(item, str | bytes)]
    if not found or len(found) != len(items) or not all(found):
        # the value itself is not shown: it is, or is nearly, a secret
        msg = f"{what} must be a non-empty str or bytes, or a sequence of them; got {type(secret).__name__}"
        raise ConfigurationError(msg)
    return tuple(found)


def check_operators(secret: object, secrets: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the secrets that let operators look, as bytes. They are nothing without secrets of the nodes, and others."""
    found = check_secret(secret, "operator_secret")
    if found and not secrets:
        msg = "operator_secret needs secret: without one, whoever can dial this node may do everything"
        raise ConfigurationError(msg)
    if any(hmac.compare_digest(one, other) for one in found for other in secrets):
        msg = "operator_secret must be another one than secret: who has that may do everything"
        raise ConfigurationError(msg)
    return found


def versions_from(oldest: object) -> tuple[int, ...]:
    """The versions of the protocol that a node speaks, best first."""
    if type(oldest) is not int or oldest not in VERSIONS:
        msg = f"min_protocol must be one of {', '.join(map(str, sorted(VERSIONS)))}, not {oldest!r:.80}"
        raise ConfigurationError(msg)
    return tuple(version for version in VERSIONS if version >= oldest)


def check_per_address(count: object) -> int:
    """How many connections one remote address may have: enough for a second link, while the first ends."""
    if type(count) is not int or count < 2:
        msg = f"per_address must be an int, at least 2; not {count!r:.80}"
        raise ConfigurationError(msg)
    return count


def check_join(join: object) -> Joined:
    """Return the URLs to join, and the discoveries that know more."""
    if isinstance(join, Discovery):
        return Joined(discoveries=(join,))
    if isinstance(join, str) or not isinstance(join, Iterable):
        msg = f"join must be a list of URLs, or an object with `async def addresses()`; not {join!r:.80}"
        raise ConfigurationError(msg)
    urls: list[str] = []
    discoveries: list[Discovery] = []
    for item in join:
        found = spelt(item) if isinstance(item, str) else item
        if isinstance(found, Discovery):
            discoveries.append(found)
        else:
            urls.append(str(parse(item, "each of join")))
    return Joined(tuple(urls), tuple(discoveries))


def clocks_of(given: Environment | None, transport: Transport | None) -> Environment:
    """The clocks and the chance of a node: those that it is given, or its transport brings, else those of this machine.

    A transport in virtual time brings its own (its attribute ``environment``): silence must be measured by the clock by which
    frames travel.
    """
    if given is not None:
        return given
    brought: object = getattr(transport, "environment", None)
    return brought if isinstance(brought, Environment) else Environment()


def check_name(name: object) -> str | None:
    """Return the node's name, if one was given."""
    if name is None:
        return None
    if not isinstance(name, str) or not name or len(name) > 100 or not name.isprintable() or "#" in name:
        msg = f"a node's name must be a printable str of 1 to 100 characters without '#', not {name!r:.80}"
        raise ConfigurationError(msg)
    return name
