"""Nodes of one local network that announce themselves to each other by UDP.

Law of this room: a thin shell around `hubkit.discovery.announcements`. It reads so many datagrams a second and no more: who
floods the group fills a buffer of the kernel, and takes no time from the children. It sends one every few seconds. The
socket is opened anew every minute: an interface that went and came back has forgotten the group.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final

import trio

from hubkit.discovery.announcements import LONGEST, Announcement, Heard, Refused, announce, read, stretch
from hubkit.discovery.protocol import Here, Pace
from hubkit.discovery.sifting import Complaints
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError
from hubkit.logs import Log
from hubkit.net.lines import one_line

__all__ = ["Multicast"]

log: Log = Log("hubkit.discovery")

#: So many datagrams are read, then none for so many seconds.
BURST: Final = 64
PAUSE: Final = 0.25
REOPEN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Multicast:
    """Nodes of the same local network, found by announcements to a multicast group, or to a broadcast address. Example::

        hubkit.Hub("shop", listen="ws://10.0.0.1:4040", secret=..., join=hubkit.discovery.Multicast())

    The node announces its own URL every ``every`` seconds, and when it leaves; one that has not been heard of for three times
    as long is no longer dialled (unless it is a member: members are dialled as long as they are). Only nodes with the same
    ``cluster`` and a secret in common find each other. ``group``: an IPv4 multicast group, or a broadcast address like
    ``"10.0.0.255"``. ``interface``: the IPv4 address of the network card to use; by default the system chooses. An
    announcement does not pass a router. Spelt ``multicast://group:port/cluster?interface=ADDRESS``; what follows the
    port may be left out.

    The announcements show to everybody on the network the URLs and the cluster's name, and let it try guesses of
    the secret: use a long, random one. Raises `ConfigurationError` for what cannot be.
    """

    group: str = "239.255.40.40"
    port: int = 4040
    cluster: str = "hubkit"
    every: float = 5.0
    interface: str | None = None
    _pace: ClassVar[Pace] = Pace(every=1.0, first=0.5, most=5.0)

    def __post_init__(self) -> None:
        _address(self.group, "Multicast(group=...)")
        if self.interface is not None:
            _address(self.interface, "Multicast(interface=...)")
        port: object = self.port
        if type(port) is not int or not 0 < port < 65536:
            msg = f"Multicast(port=...) must be from 1 to 65535, not {port!r:.80}"
            raise ConfigurationError(msg)
        cluster: object = self.cluster
        if not isinstance(cluster, str) or not cluster or len(cluster) > 100 or not cluster.isprintable():
            msg = f"Multicast(cluster=...) must be a printable str of 1 to 100 characters, not {cluster!r:.80}"
            raise ConfigurationError(msg)
        every: object = self.every
        if type(every) not in (int, float) or not 0.05 <= self.every <= 3600:
            msg = f"Multicast(every=...) must be from 0.05 to 3600 s, not {every!r:.80}"
            raise ConfigurationError(msg)

    async def addresses(self) -> Iterable[str]:
        """What is announced without a secret during the next ``every`` seconds and a half of that.

        A node does not ask this: it listens all the time, and knows its secret.
        """
        ear = _Ear(self, Here(None, (), Environment(), lambda: None))
        with trio.move_on_after(self.every * 1.5):
            await ear.run()
        return await ear.addresses()

    def reside(self, here: Here) -> _Ear:
        """This discovery, at work on a node."""
        return _Ear(self, here)


def _address(text: object, what: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text if isinstance(text, str) else "")
    except ValueError:
        msg = f"{what} must be an IPv4 address like '239.255.40.40', not {text!r:.80}"
        raise ConfigurationError(msg) from None


@dataclass(eq=False, slots=True)
class _Ear:
    """Hears and announces, on one node."""

    settings: Multicast
    here: Here
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    heard: Heard = field(init=False)
    complaints: Complaints = field(default_factory=Complaints)

    def __post_init__(self) -> None:
        self.heard = Heard(keep=3 * self.settings.every)

    async def addresses(self) -> Iterable[str]:
        """What was announced of late."""
        return self.heard.urls(self.here.environment.now())

    async def run(self) -> None:
        """Hear and announce, until cancelled. Raises `OSError` when the network does not let it."""
        if not self.keys:
            secrets, cluster = self.here.secrets, self.settings.cluster
            self.keys = await trio.to_thread.run_sync(stretch, secrets, cluster, abandon_on_cancel=True)
        while True:
            plain = self._open()
            with trio.socket.from_stdlib_socket(plain) as line:
                try:
                    with trio.move_on_after(REOPEN) as fresh:
                        await self._work(line)
                finally:
                    if not fresh.cancelled_caught and (farewell := self._datagram(leaving=True)):
                        with suppress(OSError):
                            plain.sendto(farewell, self._group)

    @property
    def _group(self) -> tuple[str, int]:
        return self.settings.group, self.settings.port

    def _open(self) -> socket.socket:
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several nodes on one machine
            if sys.platform == "darwin":  # pragma: no cover
                line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if ipaddress.IPv4Address(self.settings.group).is_multicast:
                card = socket.inet_aton(self.settings.interface or "0.0.0.0")
                line.bind(self._group)
                group = socket.inet_aton(self.settings.group)
                line.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + card)
                line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, card)
            else:
                line.bind(("", self.settings.port))
                line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        except OSError:
            line.close()
            raise
        return line

    async def _work(self, line: trio.socket.SocketType) -> None:
        due, taken = trio.current_time(), 0
        announced = self._datagram(leaving=False)
        while True:
            if announced and trio.current_time() >= due:
                await line.sendto(announced, self._group)
                due = trio.current_time() + self.settings.every * (1.0 - 0.2 * self.here.environment.random.random())
            with trio.move_on_at(due) if announced else trio.CancelScope() as waiting:
                data, (sender, _) = await line.recvfrom(LONGEST + 1)
                self._take(data, sender)
                taken += 1
            if not waiting.cancelled_caught and taken % BURST == 0:
                await trio.sleep(PAUSE)  # whatever is due meanwhile

    def _datagram(self, *, leaving: bool) -> bytes:
        """What this node announces; nothing if it cannot be dialled."""
        url = self.here.url
        return announce(Announcement(self.settings.cluster, url, leaving), self.keys) if url is not None else b""

    def _take(self, data: bytes, sender: str) -> None:
        said = read(data, sender, self.settings.cluster, self.keys)
        if isinstance(said, Refused):
            if self.complaints.news(said.kind):
                log.warning("multicast %s:%d: passed over: %s (told once)", *self._group, one_line(said.text))
        elif said is not None and said.url != self.here.url and self.heard.note(said, self.here.environment.now()):
            self.here.changed()
