"""Announcements: what is believed of what arrives from anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.discovery.announcements import LONGEST, Announcement, Heard, Refused, announce, read, stretch
from hubkit.discovery.sifting import MOST
from hubkit.net import cbor

URL = "ws://10.0.0.1:4040"
SAID = Announcement("shop", URL)
KEYS = stretch([b"secret"], "shop")
NONE = stretch([], "shop")


def kind(found: object) -> str:
    assert isinstance(found, Refused)
    assert found.text.isprintable()
    return found.kind


def test_what_is_announced_is_read() -> None:
    for said in (SAID, Announcement("shop", URL, leaving=True)):
        for keys in (KEYS, NONE):
            data = announce(said, keys)
            assert len(data) < LONGEST
            assert read(data, "10.0.0.1", "shop", keys) == said


def test_secrets_are_rotated() -> None:
    old, new = stretch([b"old", b"new"], "shop"), stretch([b"new", b"old"], "shop")
    assert read(announce(SAID, new), "10.0.0.1", "shop", old) == SAID
    assert read(announce(SAID, old), "10.0.0.1", "shop", new) == SAID


def test_another_cluster_is_passed_over_without_a_word() -> None:
    assert read(announce(Announcement("mail", URL), stretch([b"secret"], "mail")), "10.0.0.1", "shop", KEYS) is None


def test_who_has_another_secret_or_none_is_not_believed() -> None:
    for keys in (stretch([b"other"], "shop"), stretch([b"secret"], "mail"), NONE):
        assert kind(read(announce(SAID, keys), "10.0.0.1", "shop", KEYS)) == "secret"
    assert kind(read(announce(SAID, KEYS), "10.0.0.1", "shop", NONE)) == "secret"


def test_the_secret_itself_is_no_key() -> None:
    body = cbor.encode(["shop", URL, False])
    assert b"secret" not in announce(SAID, KEYS)
    assert KEYS[0] != b"secret"
    assert body in announce(SAID, KEYS)


def test_a_loopback_address_counts_on_loopback_only() -> None:
    data = announce(Announcement("shop", "ws://127.0.0.1:4040"), KEYS)
    assert isinstance(read(data, "127.0.0.1", "shop", KEYS), Announcement)
    assert kind(read(data, "10.0.0.1", "shop", KEYS)) == "loopback"


@pytest.mark.parametrize(
    "url", ["", "http://10.0.0.1:1", "ws://0.0.0.0:4040", "ws://10.0.0.1", "file:///etc/passwd", 7]
)
def test_what_cannot_be_dialled_is_malformed(url: object) -> None:
    assert kind(read(announce(Announcement("shop", url), KEYS), "10.0.0.1", "shop", KEYS)) == "malformed"  # type: ignore[arg-type]  # wrong on purpose


@given(st.binary(max_size=LONGEST + 10))
def test_garbage_is_malformed(data: bytes) -> None:
    assert kind(read(data, "10.0.0.1", "shop", KEYS)) == "malformed"


@given(st.data())
def test_a_changed_datagram_is_not_believed(data: st.DataObject) -> None:
    whole = bytearray(announce(SAID, KEYS))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    assert not isinstance(read(bytes(whole), "10.0.0.1", "shop", KEYS), Announcement)


def test_a_long_datagram_is_not_decoded() -> None:
    long = Announcement("shop", URL + "/" + "x" * LONGEST)
    assert kind(read(announce(long, KEYS), "10.0.0.1", "shop", KEYS)) == "malformed"


def test_what_was_heard_is_forgotten_in_time() -> None:
    heard = Heard(keep=15.0)
    assert heard.note(SAID, 0.0)
    assert not heard.note(SAID, 10.0)
    assert heard.urls(24.9) == (URL,)
    assert heard.urls(25.0) == ()
    assert heard.note(SAID, 30.0)
    assert heard.note(Announcement("shop", URL, leaving=True), 31.0)
    assert not heard.note(Announcement("shop", URL, leaving=True), 31.0)
    assert heard.urls(31.0) == ()


def test_what_is_heard_is_bounded_and_the_first_stay() -> None:
    heard = Heard(keep=15.0)
    many = [Announcement("shop", f"ws://10.0.{n // 250}.{n % 250}:4040") for n in range(2 * MOST)]
    assert [heard.note(said, 0.0) for said in many] == [True] * MOST + [False] * MOST
    assert len(heard.urls(1.0)) == MOST
    assert many[0].url in heard.urls(1.0)
    assert heard.note(many[-1], 20.0)  # by then the first are forgotten
    assert heard.urls(20.0) == (many[-1].url,)
