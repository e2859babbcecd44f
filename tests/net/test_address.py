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
    ("host", "loopback", "wildcard"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("[::1]", True, False),
        ("localhost", True, False),
        ("0.0.0.0", False, True),
        ("[::]", False, True),
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
