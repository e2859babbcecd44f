"""Discoveries as text."""

from __future__ import annotations

import pytest

from hubkit.discovery import DNS, File, Multicast
from hubkit.discovery.protocol import Discovery
from hubkit.discovery.spelling import spelt
from hubkit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dns://shop.internal:4040", DNS("shop.internal", 4040)),
        ("dns+ws://shop.internal:4040/", DNS("shop.internal", 4040)),
        ("dns+wss://shop.internal:4040", DNS("shop.internal", 4040, secure=True)),
        ("srv://_hubkit._tcp.shop.internal", DNS("_hubkit._tcp.shop.internal")),
        ("srv+wss://_hubkit._tcp.shop.internal", DNS("_hubkit._tcp.shop.internal", secure=True)),
        ("file:///etc/shop/no%20des", File("/etc/shop/no des")),
        ("file:nodes", File("nodes")),
        ("multicast://239.1.2.3:5000", Multicast("239.1.2.3", 5000)),
        ("multicast://239.1.2.3:5000/shop", Multicast("239.1.2.3", 5000, "shop")),
        (
            "multicast://239.1.2.3:5000/shop?interface=127.0.0.1",
            Multicast("239.1.2.3", 5000, "shop", interface="127.0.0.1"),
        ),
        ("ws://10.0.0.1:4040", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_spelling_means_its_value(text: str, meant: Discovery | None) -> None:
    assert spelt(text) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dns://shop.internal", "it has no port"),
        ("dns://shop.internal:99999", "range"),
        ("dns://:4040", "needs a name"),
        ("dns://user@shop:4040", "more in it"),
        ("dns://shop:4040/path", "more in it"),
        ("srv://shop.internal:4040", "the records have the ports"),
        ("srv+tls://shop.internal", "only dns and srv"),
        ("file+wss:///nodes", "only dns and srv"),
        ("file://other/nodes", "a path must follow"),
        ("file://", "a path must follow"),
        ("multicast://239.1.2.3", "it has no port"),
        ("multicast://shop:4040", "an IPv4 address"),
        ("multicast://239.1.2.3:4040/shop?colour=red", "interface"),
    ],
)
def test_a_misspelling_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        spelt(text)
