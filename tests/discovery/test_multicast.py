"""Announcements over real UDP, on loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import trio
from tests.hub.clusters import LISTEN, until

import hubkit
from hubkit.discovery import Multicast, multicast
from hubkit.discovery.announcements import Announcement, announce, read, stretch
from hubkit.discovery.protocol import Here
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError

A, B = "ws://127.0.0.1:4041", "ws://127.0.0.1:4042"


@pytest.fixture(params=["239.255.40.41", "127.255.255.255"], ids=["multicast", "broadcast"])
def settings(request: pytest.FixtureRequest) -> Multicast:
    """Both ways, on a port of this test's own."""
    port = random.SystemRandom().randrange(20_000, 32_000)
    return Multicast(request.param, port, "shop", every=0.1, interface="127.0.0.1")


class Ear:
    """A discovery at work on a node that is only a URL."""

    def __init__(self, settings: Multicast, url: str | None, *secrets: bytes) -> None:
        self.changes = 0
        self.work = settings.reside(Here(url, secrets, Environment(), self._changed))
        self.scope = trio.CancelScope()

    def _changed(self) -> None:
        self.changes += 1

    async def run(self) -> None:
        with self.scope:
            await self.work.run()

    @property
    def urls(self) -> tuple[str, ...]:
        return self.work.heard.urls(self.work.here.environment.now())


@pytest.fixture
def shouting() -> Iterator[socket.socket]:
    """A stranger's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        yield line


async def test_nodes_hear_each_other_and_of_each_others_end(settings: Multicast, nursery: trio.Nursery) -> None:
    a, b = Ear(settings, A, b"secret"), Ear(settings, B, b"secret", b"old")
    nursery.start_soon(a.run)
    nursery.start_soon(b.run)
    await until(lambda: a.urls == (B,) and b.urls == (A,))
    assert (a.changes, b.changes) == (1, 1)
    patient = replace(b.work.heard, keep=1e6)
    patient.note(Announcement("shop", A), b.work.here.environment.now())
    b.work.heard = patient  # so that only a farewell can end it
    a.scope.cancel()
    await until(lambda: b.urls == ())


async def test_who_says_nothing_any_more_is_forgotten(
    settings: Multicast, nursery: trio.Nursery, shouting: socket.socket
) -> None:
    a = Ear(settings, A)
    nursery.start_soon(a.run)

    def told() -> bool:
        shouting.sendto(announce(Announcement("shop", B), stretch((), "shop")), (settings.group, settings.port))
        return a.urls == (B,)

    await until(told)
    await until(lambda: a.urls == ())
    assert a.changes == 1


async def test_strangers_are_told_of_once_and_not_believed(
    settings: Multicast, nursery: trio.Nursery, shouting: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    a = Ear(settings, A, b"secret")
    nursery.start_soon(a.run)
    good = stretch((b"secret",), "shop")
    datagrams = [
        announce(Announcement("shop", "ws://127.0.0.1:1"), stretch((b"other",), "shop")),
        announce(Announcement("shop", "ws://127.0.0.1:2"), stretch((), "shop")),
        announce(Announcement("mail", "ws://127.0.0.1:3"), stretch((b"secret",), "mail")),
        b"garbage",
        b"",
        bytes(5000),
    ]

    def told() -> bool:
        for datagram in [*datagrams, announce(Announcement("shop", B), good)]:
            shouting.sendto(datagram, (settings.group, settings.port))
        return a.urls == (B,)

    await until(told)
    await until(told)
    records = [record.getMessage() for record in caplog.records]
    assert len(records) == 2
    assert all("(told once)" in record and "127.0.0.1" in record for record in records)
    assert not any("secret\x00" in record or "b'secret'" in record for record in records)


async def test_a_flood_is_read_at_a_bounded_rate(
    settings: Multicast, nursery: trio.Nursery, shouting: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return read(*args)

    monkeypatch.setattr(multicast, "read", counted)
    a = Ear(settings, A)
    nursery.start_soon(a.run)
    await until(lambda: reads > 0)  # its own
    began = trio.current_time()
    flood = [announce(Announcement("shop", f"ws://127.0.0.1:{n}"), stretch((), "shop")) for n in range(1, 1001)]
    for _ in range(5):
        for datagram in flood:
            shouting.sendto(datagram, (settings.group, settings.port))
        await trio.lowlevel.checkpoint()
    await until(lambda: reads >= 3 * multicast.BURST)
    bursts = 1 + (trio.current_time() - began) / multicast.PAUSE
    assert reads <= (bursts + 1) * multicast.BURST
    assert len(a.urls) <= 256


async def test_without_a_node_it_listens_for_a_while(settings: Multicast, nursery: trio.Nursery) -> None:
    a = Ear(settings, A)
    nursery.start_soon(a.run)
    await until(lambda: trio.lowlevel.current_statistics().tasks_living > 0)
    assert list(await settings.addresses()) == [A]


async def test_nodes_meet_by_announcements(settings: Multicast) -> None:
    secret = "for tests only"
    async with (
        hubkit.Hub("shop", listen=LISTEN, name="a", secret=secret, join=settings) as a,
        hubkit.Hub("shop", listen=LISTEN, name="b", secret=secret, join=settings) as b,
        hubkit.Hub("shop", listen=LISTEN, name="c", secret="another", join=settings) as c,
    ):
        await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",), within=20)
        assert c.nodes() == ()


async def test_a_network_that_is_not_there_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Multicast(interface="192.0.2.1")
    async with hubkit.Hub("shop", listen=LISTEN, name="a", join=nowhere) as a:
        await until(lambda: caplog.records)
        assert a.nodes() == ()
    assert "does not work: OSError" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"group": "shop"}, "IPv4"),
        ({"group": None}, "IPv4"),
        ({"interface": "eth0"}, "IPv4"),
        ({"port": 0}, "65535"),
        ({"port": True}, "65535"),
        ({"cluster": ""}, "printable"),
        ({"cluster": 5}, "printable"),
        ({"every": 0}, "3600"),
        ({"every": "5"}, "3600"),
    ],
)
def test_wrong_settings_are_refused(changed: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Multicast(**changed)
