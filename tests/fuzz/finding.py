"""What others tell of where nodes are: datagrams, answers of name servers, lists, and addresses as text."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import dns.exception
import dns.message
import dns.resolver
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from tests.fuzz.law import Door
from tests.fuzz.values import read

from hubkit.discovery.announcements import Announcement, Heard, Refused, _mac, announce
from hubkit.discovery.announcements import read as read_datagram
from hubkit.discovery.records import _urls
from hubkit.discovery.sifting import MOST, sift
from hubkit.discovery.spelling import spelt
from hubkit.errors import ConfigurationError
from hubkit.net import cbor
from hubkit.net.address import parse
from hubkit.net.lines import one_line

__all__ = ["DOORS", "QUERY"]

QUERY = dns.message.make_query("shop.internal", "SRV", id=7)
KEYS = (b"k" * 32, b"older" * 6)


def heard(data: bytes) -> None:
    """`announcements.read` never raises. An input is a datagram; or a list: whose key, and what is said with it."""
    script = read(data)
    said = [read_datagram(data, "10.0.0.7", "shop", KEYS)]
    assert not isinstance(said[0], Announcement), "believed without the secret"
    if type(script) is list and len(script) == 2 and type(script[0]) is int and script[0] in (0, 1):
        body = script[1] if type(script[1]) is bytes else cbor.encode(script[1])
        datagram = cbor.encode([1, body, _mac(KEYS[script[0]], body)])
        said += [read_datagram(datagram, sender, "shop", KEYS) for sender in ("10.0.0.7", "127.0.0.1")]
    book = Heard(keep=15.0)
    for now, one in enumerate(said):
        if isinstance(one, Announcement):
            assert str(parse(one.url)) == one.url
            assert not parse(one.url).is_wildcard
            assert read_datagram(announce(one, KEYS), "127.0.0.1", "shop", KEYS) == one
            book.note(one, float(now))
        elif isinstance(one, Refused):
            assert one_line(one.text).isprintable()
    assert len(book.urls(1.0)) <= 2


def answered(data: bytes) -> None:
    """What a name server answers, byte by byte: URLs of which the proper ones are used, or an error of dnspython."""
    try:
        message = dns.message.from_wire(data)
        if not isinstance(message, dns.message.QueryMessage) or not QUERY.is_response(message):
            return  # dnspython looks no further, either
        answer = dns.resolver.Answer(message.question[0].name, RdataType.SRV, RdataClass.IN, message)
        urls = _urls(answer, secure=False)
    except (dns.exception.DNSException, IndexError):
        return
    _check_sifted(urls)


def listed(data: bytes) -> None:
    """`parse`, `spelt` and `sift`: addresses that mean the same when they are read again, or `ConfigurationError`."""
    script = read(data)
    items = script if type(script) is list else [data.decode("utf-8", "replace")]
    for item in items:
        text = item.decode("utf-8", "replace") if type(item) is bytes else item
        try:
            address = parse(text)
        except ConfigurationError:
            pass
        else:
            assert parse(str(address)) == address
            assert str(address).isprintable()
        if type(text) is str:
            with suppress(ConfigurationError):
                spelt(text)
    _check_sifted(items)


def _check_sifted(items: Any) -> None:
    sifted = sift(items, "ws://a:1", {"ws://b:2"})
    assert len(sifted.urls) <= MOST
    assert all(str(parse(url)) == url for url in sifted.urls)
    assert sift(sifted.urls, None).urls == sifted.urls
    assert all(one_line(text).isprintable() for _, text in sifted.complaints)


DOORS = (
    Door("heard", heard, longest=2048),
    Door("answered", answered, values=False, longest=1024),
    Door("listed", listed, longest=1024),
)
