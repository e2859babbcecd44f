"""Names: addresses by the resolver that trio is given, SRV records from a name server on loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
import trio
from tests.hub.clusters import LISTEN, until

import hubkit
from hubkit.discovery import DNS
from hubkit.errors import ConfigurationError


class Names(trio.abc.HostnameResolver):
    """The names that there are, to trio."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names
        self.asked: list[str] = []

    async def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found: list[Any] = []
        for address in self.names[name]:
            if ":" in address:
                found.append((socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)))
            else:
                found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)))
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    found = Names()
    before = trio.socket.set_custom_hostname_resolver(found)
    yield found
    trio.socket.set_custom_hostname_resolver(before)


async def test_addresses_of_both_families_become_urls(names: Names) -> None:
    names.names["shop"] = ["10.0.0.2", "10.0.0.1", "10.0.0.1", "2001:db8::1", "fe80::1%eth0"]
    assert list(await DNS("shop", 4040).addresses()) == [
        "ws://10.0.0.1:4040",
        "ws://10.0.0.2:4040",
        "ws://[2001:db8::1]:4040",
    ]
    assert "wss://10.0.0.1:4040" in await DNS("shop", 4040, secure=True).addresses()
    with pytest.raises(OSError, match="not known"):
        await DNS("shoop", 4040).addresses()


async def test_nodes_meet_by_a_name_that_learns(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    async with hubkit.Hub("shop", listen=LISTEN, name="a") as a:
        assert a.node.url is not None
        port = int(a.node.url.rpartition(":")[2])
        async with hubkit.Hub("shop", listen=LISTEN, name="b", join=DNS("shop", port)) as b:
            await until(lambda: len(names.asked) > 1)
            assert b.nodes() == ()
            names.names["shop"] = ["127.0.0.1"]
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",), within=20)
    told = [record.getMessage() for record in caplog.records if record.name == "hubkit.discovery"]
    assert len(told) == 1
    assert told[0].startswith("DNS(name='shop', port=")


@pytest.mark.parametrize("name", ["", "a b", "http://a", "[::1]", "a" * 300, 5, None])
def test_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a name like"):
        DNS(name, 4040)


@pytest.mark.parametrize("port", [0, 65536, True, "4040", -1])
def test_a_wrong_port_is_refused(port: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a port from 1 to 65535"):
        DNS("shop", port)


def test_srv_without_dnspython_is_refused_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hubkit\[dns\]'"):
        DNS("_hubkit._tcp.shop.internal")
    assert DNS("shop", 4040).port == 4040


# -- SRV


@asynccontextmanager
async def name_server(answers: dict[str, list[str]]) -> AsyncIterator[None]:
    """A name server on loopback, which dnspython asks while the block lasts."""
    line = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await line.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            data, sender = await line.recvfrom(4096)
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            (question,) = query.question
            records = answers.get(question.name.to_text(omit_final_dot=True))
            if records is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                answer.answer.append(dns.rrset.from_text_list(question.name, 5, "IN", "SRV", records))
            await line.sendto(answer.to_wire(), sender)

    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = line.getsockname()[1]
    dns.asyncresolver.default_resolver = resolver  # type: ignore[assignment]  # dnspython says that it is always None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield
            nursery.cancel_scope.cancel()
    finally:
        dns.asyncresolver.default_resolver = None
        line.close()


@pytest.fixture(autouse=True)
def _no_resolver() -> Iterator[None]:
    yield
    assert dns.asyncresolver.default_resolver is None


async def test_srv_records_say_host_and_port() -> None:
    records = ["20 0 4042 c.shop.internal.", "10 5 4041 a.shop.internal.", "10 5 4040 b.shop.internal.", "30 0 1 ."]
    async with name_server({"_hubkit._tcp.shop.internal": records}):
        assert list(await DNS("_hubkit._tcp.shop.internal").addresses()) == [
            "ws://a.shop.internal:4041",
            "ws://b.shop.internal:4040",
            "ws://c.shop.internal:4042",
        ]
        assert "wss://a.shop.internal:4041" in await DNS("_hubkit._tcp.shop.internal", secure=True).addresses()
        with pytest.raises(dns.resolver.NXDOMAIN):
            await DNS("_hubkit._tcp.other.internal").addresses()


async def test_nodes_meet_by_srv_records() -> None:
    async with hubkit.Hub("shop", listen=LISTEN, name="a") as a:
        assert a.node.url is not None
        port = int(a.node.url.rpartition(":")[2])
        async with (
            name_server({"_hubkit._tcp.shop.internal": [f"0 0 {port} localhost."]}),
            hubkit.Hub("shop", listen=LISTEN, name="b", join=["srv://_hubkit._tcp.shop.internal"]) as b,
        ):
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",), within=20)
