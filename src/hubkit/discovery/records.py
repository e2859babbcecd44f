"""The name service: the addresses of a name, or what its SRV records say.

Law of this room: the operating system's resolver is asked for addresses, in a thread that nobody waits for longer than for
an answer. SRV records it does not know: for those dnspython is asked, which is an extra, and is missed when the discovery
is made, not when it is first asked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import trio

from hubkit.errors import ConfigurationError
from hubkit.net.address import Address

__all__ = ["DNS"]


@dataclass(frozen=True, slots=True)
class DNS:
    """Nodes at every address (A and AAAA) of a name, all at one port; without a port: where its SRV records say. Example::

        hubkit.Hub("shop", listen="ws://0.0.0.0:4040", advertise="ws://10.0.0.1:4040", secret=...,
                   join=hubkit.discovery.DNS("shop-nodes.default.svc.cluster.local", 4040))

    ``secure``: dial ``wss://``. Certificates are then checked for what is dialled: the addresses, or the hosts that the SRV
    records name. Asked every five seconds; this node's own address among the answers does no harm. A name that does not
    exist is logged once, and asked for again. SRV needs dnspython, ``pip install 'hubkit[dns]'``, and asks the servers of
    its ``dns.asyncresolver.get_default_resolver()``. Spelt ``dns://name:port``, ``srv://name``, and with TLS
    ``dns+wss://name:port``, ``srv+wss://name``.

    Raises `ConfigurationError` for a name or port that are none, and where dnspython is needed and missing.
    """

    name: str
    port: int | None = None
    secure: bool = False

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name or len(name) > 253 or not set(name).isdisjoint(" /:@[]%?#"):
            msg = f"DNS needs a name like 'shop.internal', not {name!r:.80}"
            raise ConfigurationError(msg)
        port: object = self.port
        if port is not None and (type(port) is not int or not 0 < port < 65536):
            msg = f"DNS({name!r}) needs a port from 1 to 65535, or None to ask for SRV records; not {port!r:.80}"
            raise ConfigurationError(msg)
        if port is None and importlib.util.find_spec("dns") is None:
            msg = f"DNS({name!r}) without a port asks for SRV records, which needs dnspython: pip install 'hubkit[dns]'"
            raise ConfigurationError(msg)

    async def addresses(self) -> Iterable[str]:
        """Ask now. Raises `OSError`, or an error of dnspython, when there is no answer."""
        return await self._hosts(self.port) if self.port is not None else await self._services()

    async def _hosts(self, port: int) -> list[str]:
        found = await trio.socket.getaddrinfo(self.name, port, type=trio.socket.SOCK_STREAM)
        hosts = {str(address[0]) for family, _, _, _, address in found}
        # An address with a zone, fe80::1%eth0, means something on one link of one machine only.
        return sorted(str(Address(self.secure, host, port)) for host in hosts if "%" not in host)

    async def _services(self) -> list[str]:
        import dns.asyncresolver

        return _urls(await dns.asyncresolver.resolve(self.name, "SRV"), secure=self.secure)


def _urls(answer: Iterable[Any], *, secure: bool) -> list[str]:
    """What SRV records say, the most wanted first."""
    records = sorted((record.priority, record.target.to_text(omit_final_dot=True), record.port) for record in answer)
    return [str(Address(secure, host, port)) for _, host, port in records if host != "."]
