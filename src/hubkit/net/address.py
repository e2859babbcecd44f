"""What a node's address is: ``ws://host:port`` or ``wss://host:port``, with an optional path for a proxy in front of it.

Law of this room: one address has one spelling. Hosts are in lower case, IPv6 in its shortest form, IPv4 that is dressed up as
IPv6 is IPv4 again, and the scope of a link-local address follows a bare ``%``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from hubkit.errors import ConfigurationError

__all__ = ["Address", "parse"]


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. ``str()`` gives its one normal form."""

    secure: bool
    host: str
    port: int
    path: str = "/"

    def __str__(self) -> str:
        path = "" if self.path == "/" else self.path
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{path}"

    @property
    def authority(self) -> str:
        """``host:port``, with brackets around an IPv6 host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def bare_host(self) -> str:
        """The host without the scope of an IPv6 address (``%eth0``), which means nothing at the other end."""
        return self.host.partition("%")[0]

    @property
    def bare_authority(self) -> str:
        """``host:port`` without a scope."""
        return replace(self, host=self.bare_host).authority

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        ip = _ip(self.host)
        return self.host == "localhost" if ip is None else ip.is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for all addresses of this machine: good to listen at, not to be dialled."""
        ip = _ip(self.host)
        return ip is not None and ip.is_unspecified


def _normal(host: str) -> str:
    """The one spelling of a host."""
    bare, mark, scope = host.partition("%")
    ip = _ip(f"{bare}%{scope.removeprefix('25') or scope}" if mark else host)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return host if ip is None else str(ip)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse(url: object, what: str = "an address", *, zero_port: bool = False) -> Address:
    """The address that ``url`` says. Raises `ConfigurationError`, which names the thing ``what`` and what was expected.

    Port 0 (any free port) is accepted only with ``zero_port``, for an address to listen at.
    """
    expected = "ws://host:port or wss://host:port"
    if not isinstance(url, str):
        msg = f"{what} must be a str, {expected}; not {url!r:.80}"
        raise ConfigurationError(msg)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        msg = f"{what} must be {expected}; {url!r:.200} is not: {error}"
        raise ConfigurationError(msg) from None
    wrong = None
    if parts.scheme not in ("ws", "wss"):
        wrong = f"its scheme is {parts.scheme!r}"
    elif not host or any(c.isspace() or not c.isprintable() for c in url):
        wrong = "it has no proper host"
    elif port is None:
        wrong = "it has no port"
    elif port == 0 and not zero_port:
        wrong = "nobody can be reached at port 0"
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        wrong = "a user, query or fragment has no meaning in it"
    elif not parts.path.isascii():
        wrong = "its path is not ASCII"
    if wrong is not None or host is None or port is None:
        msg = f"{what} must be {expected}; {url!r:.200} is not: {wrong}"
        raise ConfigurationError(msg)
    return Address(parts.scheme == "wss", _normal(host), port, parts.path or "/")
