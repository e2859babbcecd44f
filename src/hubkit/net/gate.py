"""Who may come in: how many connections one remote address may have, how many new ones a second, and who makes room.

Law of this room: a flood hits itself first. What one address may have is bounded, so it cannot take what others need; and of
those who have not proved the secret yet, the ones of the address that has most of them make room, the oldest first: an
honest peer is through in milliseconds, and idle ones only wait. The room is pure: moments are given, and whoever acts is told.

An address is an IPv4 address, or the first 64 bits of an IPv6 one: that is what one customer, or one machine, is given at
least, and within it every connection can have another one. IPv4 in the clothes of IPv6 is IPv4.

Refused: exceptions for members, or for this very machine. Who is a member is not known before the handshake; and the limits
are such that a cluster of tens of nodes on one machine, in one network or behind one proxy stays below them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

__all__ = ["Gate", "Visit", "origin_of"]

#: Addresses that are remembered, besides those that have connections.
MOST = 4096
_LOOKS = 4  # at the longest known, each time that somebody comes


def origin_of(host: str) -> str:
    """What counts as one address. Example::

    assert origin_of("2001:db8::7") == "2001:db8::/64"
    """
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_loopback:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False))


@dataclass(slots=True, eq=False)
class Visit:
    """One connection. ``strange``: its peer has not proved anything yet."""

    origin: str
    number: int
    strange: bool = True


@dataclass(slots=True)
class _Origin:
    tokens: float  # new connections that it may have at once
    since: float  # ... as of then
    visits: int = 0
    strangers: dict[Visit, None] = field(default_factory=dict)  # in order of arrival


class Gate:
    """The connections that a port has accepted. ``strangers``: how many may be strange, of one address half of them.

    ``per_address``: how many one address may have; so many may also come at once, and a quarter of them a second from then on.
    """

    def __init__(self, *, per_address: int, strangers: int) -> None:
        self._per_address = per_address
        self._rate = per_address / 4
        self._most = strangers
        self._most_of_one = max(1, strangers // 2)
        self._known: dict[str, _Origin] = {}  # those heard of last come last
        self._crowds: dict[str, _Origin] = {}  # those that have strangers
        self._strangers = 0
        self._count = 0

    def __len__(self) -> int:
        return len(self._known)

    def enter(self, host: str, now: float) -> Visit | str:
        """A connection has come from ``host``: it is in, or why it is not."""
        name = origin_of(host)
        self._forget(now)
        origin = self._known.pop(name, None) or _Origin(self._per_address, now)
        self._known[name] = origin
        origin.tokens = min(self._per_address, origin.tokens + self._rate * max(0.0, now - origin.since))
        origin.since = now
        if origin.visits >= self._per_address:
            return f"it has {origin.visits} connections, and may not have more (per_address)"
        if origin.tokens < 1.0:
            return f"it opens more than {self._rate:g} connections a second (a quarter of per_address)"
        origin.tokens -= 1.0
        origin.visits += 1
        self._count += 1
        visit = Visit(name, self._count)
        origin.strangers[visit] = None
        self._crowds[name] = origin
        self._strangers += 1
        return visit

    def crowded_out(self, newcomer: Visit) -> Visit | None:
        """Who has to go, now that this one is in. From now on it is no stranger."""
        crowd = self._known[newcomer.origin]
        if len(crowd.strangers) <= self._most_of_one:
            if self._strangers <= self._most:
                return None
            crowd = max(
                self._crowds.values(), key=lambda crowd: (len(crowd.strangers), -next(iter(crowd.strangers)).number)
            )
        oldest = next(iter(crowd.strangers))
        self.proved(oldest)
        return oldest

    def proved(self, visit: Visit) -> None:
        """It is no stranger any more. May be said again."""
        if visit.strange:
            visit.strange = False
            origin = self._known[visit.origin]
            del origin.strangers[visit]
            self._strangers -= 1
            if not origin.strangers:
                del self._crowds[visit.origin]

    def left(self, visit: Visit) -> None:
        """Its connection has ended. Said once."""
        self.proved(visit)
        self._known[visit.origin].visits -= 1

    def _forget(self, now: float) -> None:
        """Those that are as if they had never been; and, if too many are known, those not heard of for longest."""
        for _ in range(_LOOKS):
            name = next(iter(self._known), None)
            if name is None:
                return
            origin = self._known[name]
            if origin.visits:
                self._known[name] = self._known.pop(name)
            elif len(self._known) >= MOST or origin.tokens + self._rate * (now - origin.since) >= self._per_address:
                del self._known[name]
            else:
                return
