"""Keys and tags: RFC 5869's own examples, and frames that are not what the peer sent next."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from hubkit.errors import ProtocolViolation
from hubkit.net.seal import LARGE, TAG, Keys, Seal, SealedLink, expand, extract
from hubkit.net.transport import MAX_GREETING, Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing.conformance import CHECKS, PATIENCE

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))

# RFC 5869, appendix A.1 to A.3: secret, salt, info, key, result (of the second, the first 56 bytes)
EXAMPLES = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8",
    ),
    (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "key", "result"), EXAMPLES)
def test_the_examples_of_rfc_5869(secret: str, salt: str, info: str, key: str, result: str) -> None:
    found = extract(bytes.fromhex(salt), bytes.fromhex(secret))
    assert found.hex() == key
    assert expand(found, bytes.fromhex(info), len(result) // 2).hex() == result


def two() -> tuple[Seal, Seal]:
    return Seal(Keys(ONE, OTHER)), Seal(Keys(OTHER, ONE))


def sent(seal: Seal, frame: bytes) -> bytes:
    sealed = seal.close(frame)
    seal.sent += 1
    return sealed


def check_refused(seal: Seal, sealed: bytes) -> str:
    """As bytes, and as a buffer: which is refused for the same reason."""
    said = []
    for form in (bytes, bytearray):
        with pytest.raises(ProtocolViolation) as caught:
            seal.open(form(sealed))
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


def test_a_tag_is_a_keyed_blake2s_of_number_and_frame() -> None:
    a, _ = two()
    for number in range(3):
        tag = hashlib.blake2s(number.to_bytes(8, "big") + b"frame", key=ONE, digest_size=TAG).digest()
        assert sent(a, b"frame") == b"frame" + tag


def test_the_tag_of_a_large_frame_is_one_of_its_hash() -> None:
    a, _ = two()
    for size, hashed in ((LARGE, False), (LARGE + 1, True)):
        frame = bytes(size)
        number = (a.sent | hashed << 63).to_bytes(8, "big")
        what = hashlib.sha256(frame).digest() if hashed else frame
        assert sent(a, frame)[size:] == hashlib.blake2s(number + what, key=ONE, digest_size=TAG).digest()


def test_frames_arrive_in_both_directions() -> None:
    a, b = two()
    for frame in (b"", b"x", bytes(LARGE), bytes(LARGE + 1), bytes(100_000)):
        assert b.open(sent(a, frame)) == frame
        assert a.open(sent(b, frame)) == frame
        buffer = bytearray(sent(a, frame))
        assert b.open(buffer) is buffer
        assert buffer == frame


def test_what_went_wrong_is_told() -> None:
    a, b = two()
    frames = [sent(a, b"%d" % n) for n in range(4)]
    own = sent(b, b"mine")
    assert "frame 0 is missing" in check_refused(b, frames[1])
    assert b.open(frames[0]) == b"0"
    assert "is frame 0 again" in check_refused(b, frames[0])
    assert "one of this node's own, sent back" in check_refused(b, own)
    assert "is too short" in check_refused(b, b"x")
    assert "is not what the peer sent" in check_refused(b, frames[1][:-1] + b"\0")
    assert "somebody on the way meddles" in check_refused(b, bytes(100))
    assert b.open(frames[1]) == b"1"


@given(st.binary(max_size=200), st.data())
def test_one_changed_bit_is_noticed(frame: bytes, data: st.DataObject) -> None:
    a, b = two()
    sealed = bytearray(sent(a, frame))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    check_refused(b, bytes(sealed))


@given(st.binary(max_size=200), st.data())
def test_a_frame_cut_short_or_with_something_added_is_noticed(frame: bytes, data: st.DataObject) -> None:
    a, b = two()
    sealed = sent(a, frame)
    check_refused(b, sealed[: data.draw(st.integers(0, len(sealed) - 1))])
    check_refused(b, sealed + data.draw(st.binary(min_size=1, max_size=40)))
    assert b.open(sealed) == frame


@given(st.lists(st.integers(0, 5), max_size=8))
def test_only_the_very_order_is_taken(order: list[int]) -> None:
    """Whatever is left out, repeated or moved: what is taken is a beginning of what was sent."""
    a, b = two()
    frames = [sent(a, b"%d" % n) for n in range(6)]
    taken: list[bytes] = []
    with suppress(ProtocolViolation):
        taken += (bytes(b.open(frames[n])) for n in order)
    assert taken == [b"%d" % n for n in range(len(taken))]
    assert len(taken) == len(order) or order[len(taken)] != len(taken)


class Stuck:
    """A link on which nothing moves, until it is told to."""

    remote = "stuck"

    def __init__(self) -> None:
        self.go = trio.Event()
        self.frames: list[bytes] = []

    def allow(self, max_frame: int) -> None: ...

    async def send(self, frame: bytes) -> None:
        await self.go.wait()
        self.frames.append(frame)

    async def receive(self) -> bytes:
        return self.frames.pop(0)

    async def aclose(self) -> None: ...


async def test_a_frame_that_was_given_up_unsent_is_not_counted() -> None:
    inner = Stuck()
    link = SealedLink(inner, Keys(ONE, OTHER))
    with trio.CancelScope() as scope:
        scope.cancel()
        await link.send(b"never")
    inner.go.set()
    await link.send(b"first")
    assert SealedLink(inner, Keys(OTHER, ONE)).remote == "stuck"
    assert await SealedLink(inner, Keys(OTHER, ONE)).receive() == b"first"


class SealedTransport(WebSocketTransport):
    """Seals all links, with keys that everybody knows."""

    def __init__(self) -> None:
        super().__init__("ws://127.0.0.1:0")

    async def serve(self, accept: Any, **options: Any) -> None:
        async def accept_sealed(link: Link) -> None:
            await accept(sealed(link, Keys(OTHER, ONE)))

        await super().serve(accept_sealed, **options)

    async def dial(self, address: str) -> Any:
        return sealed(await super().dial(address), Keys(ONE, OTHER))


def sealed(link: Link, keys: Keys) -> SealedLink:
    made = SealedLink(link, keys)
    made.allow(MAX_GREETING)
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sealed_link_keeps_the_promises_of_links(check: Any) -> None:
    """Above all those about cancellation: a number is counted if, and only if, its frame was sent."""

    async def main() -> None:
        with trio.fail_after(2 * PATIENCE):
            await check(SealedTransport)

    trio.run(main)


def test_keys_are_in_no_repr() -> None:
    assert repr(Keys(ONE, OTHER)) == "Keys()"
