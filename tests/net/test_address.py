"""Addresses: every wrong one says what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from hubkit.environment import Environment
from hubkit.errors import ConfigurationError
from hubkit.net.address import Address, parse


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "must be a str"),
        (5, "must be a str"),
        ("", "scheme"),
        ("localhost:4040", "scheme"),
        ("http://localhost:1", "scheme is 'http'"),
        ("ws://", "no proper host"),
        ("ws://:4040", "no proper host"),
        ("ws://host name:1", "no proper host"),
        ("ws://host", "no port"),
        ("ws://host:0", "port 0"),
        ("ws://host:99999", "out of range"),
        ("ws://host:abc", "abc"),
        ("ws://[::1:1", "Invalid IPv6"),
        ("ws://user:pass@host:1", "no meaning"),
        ("ws://host:1/?q", "no meaning"),
        ("ws://host:1/#f", "no meaning"),
        ("ws://host:1/\u00fc", "ASCII"),
    ],
)
def test_wrong(url: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        parse(url, "listen")
    assert str(caught.value).startswith("listen must be")


def test_right() -> None:
    assert parse("ws://127.0.0.1:4040") == Address(False, "127.0.0.1", 4040)
    assert str(parse("wss://[::1]:1/hub")) == "wss://[::1]:1/hub"
    assert str(parse("ws://host:0/", zero_port=True)) == "ws://host:0"


@pytest.mark.parametrize(
    ("url", "one"),
    [
        ("WS://LocalHost:1/", "ws://localhost:1"),
        ("ws://[0:0:0:0:0:0:0:1]:1", "ws://[::1]:1"),
        ("ws://[::0001]:1", "ws://[::1]:1"),
        ("ws://[2001:DB8::A]:1", "ws://[2001:db8::a]:1"),
        ("ws://[::ffff:127.0.0.1]:1", "ws://127.0.0.1:1"),
        ("ws://[::FFFF:7f00:1]:1", "ws://127.0.0.1:1"),
        ("ws://127.0.0.1:0001", "ws://127.0.0.1:1"),
        ("ws://[fe80::0:1%25eth0]:1", "ws://[fe80::1%eth0]:1"),
        ("ws://[FE80::1%Eth0]:1", "ws://[fe80::1%Eth0]:1"),
        ("ws://[fe80::1%25]:1", "ws://[fe80::1%25]:1"),  # an interface can be told by its number
    ],
)
def test_an_address_has_one_spelling(url: str, one: str) -> None:
    assert str(parse(url)) == one
    assert parse(one) == parse(url)


def test_the_scope_of_an_address_stays_here() -> None:
    address = parse("ws://[fe80::1%eth0]:1")
    assert (address.host, address.bare_host, address.bare_authority) == ("fe80::1%eth0", "fe80::1", "[fe80::1]:1")
    assert parse("ws://shop.internal:1").bare_authority == "shop.internal:1"


@pytest.mark.parametrize(
    ("host", "loopback", "wildcard"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("[::1]", True, False),
        ("localhost", True, False),
        ("0.0.0.0", False, True),
        ("[::]", False, True),
        ("[::ffff:0.0.0.0]", False, True),
        ("[::ffff:127.0.0.1]", True, False),
        ("[0:0::0]", False, True),
        ("[fe80::1%eth0]", False, False),
        ("10.0.0.1", False, False),
        ("example.org", False, False),
    ],
)
def test_reach(host: str, loopback: bool, wildcard: bool) -> None:
    address = parse(f"ws://{host}:1")
    assert (address.is_loopback, address.is_wildcard) == (loopback, wildcard)


def test_the_environment_moves_on() -> None:
    environment = Environment()
    assert environment.now() <= environment.now()
    assert environment.wall() > 1e9
    assert environment.boot() > 1e12
    assert len(environment.token(16)) == 16
    assert environment.token(16) != environment.token(16)
    assert 0 <= environment.random.random() < 1
