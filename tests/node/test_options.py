"""Where a node finds others, and who may listen where."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import pytest
from tests.hub.clusters import LISTEN, until

import hubkit
from hubkit.discovery import DNS
from hubkit.discovery.finder import Joined
from hubkit.errors import ConfigurationError
from hubkit.net.websocket import TLS
from hubkit.node.options import check_endpoint, check_join, check_tls


class Directory:
    """A discovery that learns."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self.asked = 0

    async def addresses(self) -> Iterable[str]:
        self.asked += 1
        return self.known


async def test_a_discovery_is_asked_again_for_ever() -> None:
    directory = Directory()
    async with (
        hubkit.Hub("shop", listen=LISTEN, name="a") as a,
        hubkit.Hub("shop", listen=LISTEN, name="b", join=directory) as b,
    ):
        assert a.nodes() == ()
        assert a.node.url is not None
        directory.known.append(a.node.url)
        await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",), within=20)
        assert directory.asked > 1


def test_join_is_a_list_or_a_discovery() -> None:
    directory = Directory()
    assert check_join(directory) == Joined(discoveries=(directory,))
    assert check_join(["ws://127.0.0.1:4040/"]) == Joined(("ws://127.0.0.1:4040",))
    mixed = check_join([directory, "ws://127.0.0.1:4040", "dns://shop.internal:4040"])
    assert mixed == Joined(("ws://127.0.0.1:4040",), (directory, DNS("shop.internal", 4040)))
    assert Joined().hopeful(None) is False
    assert Joined(("ws://127.0.0.1:4040",)).hopeful("ws://127.0.0.1:4040") is False
    assert mixed.hopeful("ws://127.0.0.1:4040") is True
    with pytest.raises(ConfigurationError, match="addresses"):
        check_join(5)


def test_certificates_of_clients_stand_for_a_secret() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ConfigurationError, match="secret"):
        check_endpoint("wss://192.168.1.5:4040", None, (), TLS(server=server))
    server.verify_mode = ssl.CERT_REQUIRED
    endpoint = check_endpoint("wss://0.0.0.0:4040", "wss://shop.example:443", (), TLS(server=server))
    assert endpoint is not None
    assert (endpoint.listen, endpoint.advertise) == ("wss://0.0.0.0:4040", "wss://shop.example:443")
    with pytest.raises(ConfigurationError, match="wss"):
        check_endpoint("ws://127.0.0.1:4040", None, (), TLS(server=server))
    with pytest.raises(ConfigurationError, match="SSLContext"):
        check_tls(TLS(server="a file"))  # type: ignore[arg-type]  # wrong on purpose
