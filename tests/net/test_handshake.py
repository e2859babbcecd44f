"""The handshake, both sides back to back, and against everything that is no honest other side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from hubkit.errors import HandshakeRefused, LinkClosed, LinkError, ProtocolViolation
from hubkit.net.greeting import greet
from hubkit.net.handshake import Handshake, Identity, Refusal
from hubkit.net.transport import MAX_GREETING

A = Identity("a#1", "ws://127.0.0.1:1", capabilities=("x", "y"))
B = Identity("b#2", None)

_nonces = iter(range(1, 1_000_000))


def side(identity: Identity, *, dialing: bool, secrets: tuple[bytes, ...] = (b"secret",), **options: Any) -> Handshake:
    return Handshake(identity, dialing=dialing, nonce=next(_nonces).to_bytes(32, "big"), secrets=secrets, **options)


def meet(
    dialer: Handshake, acceptor: Handshake, tamper: Callable[[int, bytes], bytes] = lambda n, frame: frame
) -> list[bytes]:
    """Carry frames between the two until neither says more; returns them."""
    frames: list[bytes] = []
    sides, turn = (acceptor, dialer), 0
    frame: bytes | None = dialer.start()
    while frame is not None:
        frame = tamper(len(frames), frame)
        frames.append(frame)
        receiver = sides[turn % 2]
        frame = receiver.receive(frame) if receiver.failure is None and receiver.peer is None else None
        turn += 1
    return frames


def flipping(at: int, offset: int) -> Callable[[int, bytes], bytes]:
    """Changes one bit of frame number ``at``, so many bytes from its end."""

    def tamper(number: int, frame: bytes) -> bytes:
        if number != at:
            return frame
        changed = bytearray(frame)
        changed[-offset] ^= 2
        return bytes(changed)

    return tamper


def check_refused(handshake: Handshake, code: str, *, by_peer: bool) -> None:
    failure = handshake.failure
    assert isinstance(failure, HandshakeRefused)
    assert (failure.code, failure.by_peer) == (code, by_peer)
    assert handshake.peer is None


def test_two_that_agree() -> None:
    dialer, acceptor = side(A, dialing=True), side(B, dialing=False)
    frames = meet(dialer, acceptor)
    assert (dialer.peer, acceptor.peer) == (B, A)
    assert (dialer.failure, acceptor.failure) == (None, None)
    assert dialer.version == acceptor.version == 2
    assert len(frames) == 5
    assert all(len(frame) < 300 for frame in frames)
    assert not any(b"secret" in frame for frame in frames)


@pytest.mark.parametrize(
    ("dialer_has", "acceptor_has", "agree"),
    [
        ((b"old",), (b"old",), True),
        ((b"old",), (b"old", b"new"), True),
        ((b"old", b"new"), (b"new", b"old"), True),
        ((b"new", b"old"), (b"old", b"new"), True),
        ((b"new",), (b"new", b"old"), True),
        ((b"new",), (b"old",), False),
        ((b"new", b"old"), (b"old",), False),
        ((), (), True),
        ((), (b"old",), False),
        ((b"old",), (), False),
    ],
)
def test_secrets_and_their_rotation(
    dialer_has: tuple[bytes, ...], acceptor_has: tuple[bytes, ...], agree: bool
) -> None:
    dialer, acceptor = side(A, dialing=True, secrets=dialer_has), side(B, dialing=False, secrets=acceptor_has)
    meet(dialer, acceptor)
    if agree:
        assert (dialer.peer, acceptor.peer) == (B, A)
    else:
        check_refused(acceptor, "secret", by_peer=False)
        check_refused(dialer, "secret", by_peer=True)


def test_secrets_are_in_no_repr() -> None:
    handshake = side(A, dialing=True, secrets=(b"hunter2",))
    handshake.start()
    assert "hunter2" not in repr(handshake)


def test_versions() -> None:
    dialer, acceptor = side(A, dialing=True, versions=(3, 1)), side(B, dialing=False, versions=(4, 1))
    meet(dialer, acceptor)
    assert dialer.version == acceptor.version == 1
    dialer, acceptor = side(A, dialing=True, versions=(2,)), side(B, dialing=False, versions=(1,))
    meet(dialer, acceptor)
    check_refused(acceptor, "version", by_peer=False)
    check_refused(dialer, "version", by_peer=True)
    assert "speaks protocol version 1, the peer 2" in str(dialer.failure)


def test_a_later_version_may_say_the_rest_differently() -> None:
    acceptor = side(B, dialing=False)
    assert acceptor.receive(cbor2.dumps([1, [9], {"all": "new"}])) is not None
    check_refused(acceptor, "version", by_peer=False)


def test_an_acceptor_that_chooses_what_was_not_offered() -> None:
    dialer = side(A, dialing=True)
    dialer.start()
    answer = dialer.receive(cbor2.dumps([1, 7, bytes(32), ["b#2", None, "node", []]]))
    assert answer is not None
    check_refused(dialer, "version", by_peer=False)


def test_a_node_that_dials_itself() -> None:
    dialer, acceptor = side(A, dialing=True), side(A, dialing=False)
    meet(dialer, acceptor)
    check_refused(acceptor, "self", by_peer=False)
    check_refused(dialer, "self", by_peer=True)


def test_admission_is_asked_of_both_and_told_to_both() -> None:
    def refuse(peer: Identity) -> Refusal:
        return Refusal("name", f"the name of {peer.node} is taken")

    dialer, acceptor = side(A, dialing=True), side(B, dialing=False, admit=refuse)
    meet(dialer, acceptor)
    check_refused(acceptor, "name", by_peer=False)
    check_refused(dialer, "name", by_peer=True)
    dialer, acceptor = side(A, dialing=True, admit=refuse), side(B, dialing=False)
    meet(dialer, acceptor)
    check_refused(dialer, "name", by_peer=False)
    check_refused(acceptor, "name", by_peer=True)


def test_nobody_is_admitted_before_the_proof() -> None:
    asked: list[Identity] = []

    def admit(peer: Identity) -> None:
        asked.append(peer)

    for tampered in (2, 3):
        dialer = side(A, dialing=True, admit=admit if tampered == 3 else lambda peer: None)
        acceptor = side(B, dialing=False, admit=admit if tampered == 2 else lambda peer: None)
        meet(dialer, acceptor, flipping(tampered, 2))
        check_refused(dialer, "secret", by_peer=tampered == 2)
        check_refused(acceptor, "secret", by_peer=tampered == 3)
    assert not asked


@pytest.mark.parametrize("at", [0, 1])
def test_a_changed_greeting_voids_the_proofs(at: int) -> None:
    """Whoever changes a name, version or nonce on the way is found out."""
    for offset in range(1, 40):
        dialer, acceptor = side(A, dialing=True), side(B, dialing=False)
        meet(dialer, acceptor, flipping(at, offset))
        assert not (dialer.peer and acceptor.peer)


@pytest.mark.parametrize("at", [0, 1])
def test_nobody_is_talked_down_to_an_older_version(at: int) -> None:
    """Somebody in between lets both sides believe that the other speaks nothing but version 1."""

    def tamper(number: int, frame: bytes) -> bytes:
        if number != at:
            return frame
        message = cbor2.loads(frame)
        message[1] = [1] if at == 0 else 1
        return cbor2.dumps(message)

    dialer, acceptor = side(A, dialing=True), side(B, dialing=False)
    meet(dialer, acceptor, tamper)
    assert dialer.failure is not None
    assert acceptor.failure is not None
    assert (dialer.peer, acceptor.peer) == (None, None)


def test_who_speaks_only_the_new_version_is_not_answered_in_the_old() -> None:
    dialer = side(A, dialing=True, versions=(2,))
    dialer.start()
    dialer.receive(cbor2.dumps([1, 1, bytes(32), ["b#2", None, "node", []]]))
    check_refused(dialer, "version", by_peer=False)
    acceptor = side(B, dialing=False, versions=(2,))
    acceptor.receive(cbor2.dumps([1, [1], bytes(32), ["a#1", None, "node", []]]))
    check_refused(acceptor, "version", by_peer=False)
    assert "upgrade the one that is behind" in str(acceptor.failure)


@pytest.mark.parametrize("last", [[3], [3, b"x" * 32], [3, "x"], [3, None]])
def test_the_last_word_is_proved_too(last: Any) -> None:
    dialer, acceptor = side(A, dialing=True), side(B, dialing=False)
    meet(dialer, acceptor, lambda n, frame: cbor2.dumps(last) if n == 4 else frame)
    assert acceptor.peer is None
    assert acceptor.failure is not None


def test_both_sides_have_the_same_keys_and_each_link_has_others() -> None:
    seen = set()
    for _ in range(3):
        dialer, acceptor = side(A, dialing=True), side(B, dialing=False)
        meet(dialer, acceptor)
        assert dialer.keys is not None
        assert acceptor.keys is not None
        assert dialer.keys.sending == acceptor.keys.receiving != dialer.keys.receiving == acceptor.keys.sending
        seen |= {dialer.keys.sending, dialer.keys.receiving}
    assert len(seen) == 6


CERTIFICATE, OTHER = bytes(32), b"c" * 32


@pytest.mark.parametrize(
    ("sees", "shows", "outcome"),
    [
        (CERTIFICATE, CERTIFICATE, "plain"),  # TLS guards the frames
        (None, None, "sealed"),
        (CERTIFICATE, None, "sealed"),  # a proxy ends the TLS
        (None, CERTIFICATE, "sealed"),
        (OTHER, CERTIFICATE, "refused"),
    ],
)
def test_certificates(sees: bytes | None, shows: bytes | None, outcome: str) -> None:
    dialer = side(A, dialing=True, certificate=lambda: sees)
    acceptor = side(B, dialing=False, certificate=lambda: shows)
    meet(dialer, acceptor)
    if outcome == "refused":
        check_refused(acceptor, "certificate", by_peer=False)
        check_refused(dialer, "certificate", by_peer=True)
    else:
        assert (dialer.peer, acceptor.peer) == (B, A)
        assert (dialer.keys is None) == (acceptor.keys is None) == (outcome == "plain")


@pytest.mark.parametrize("at", [2, 3])
def test_a_certificate_in_a_proof_cannot_be_changed_on_the_way(at: int) -> None:
    """Not even to none, which would let the frames be sealed instead of the dialer warned."""

    def tamper(number: int, frame: bytes) -> bytes:
        return cbor2.dumps([*cbor2.loads(frame)[:2], None]) if number == at else frame

    dialer = side(A, dialing=True, certificate=lambda: OTHER)
    acceptor = side(B, dialing=False, certificate=lambda: OTHER)
    meet(dialer, acceptor, tamper)
    assert isinstance((acceptor if at == 2 else dialer).failure, HandshakeRefused)
    assert (dialer.peer, acceptor.peer) == (None, None)


def test_what_a_later_release_adds_is_overlooked_but_proved() -> None:
    acceptor = side(B, dialing=False)
    hello = cbor2.dumps([*HELLO[:3], [*HELLO[3], "more"], "more"])
    answer = acceptor.receive(hello)
    assert answer is not None
    assert acceptor.failure is None
    # The proof is of the very frames, whatever they hold.
    dialer = side(Identity("a#1"), dialing=True)
    dialer._hello = hello
    proof = dialer.receive(answer)
    assert proof is not None
    acceptor.receive(cbor2.dumps([*cbor2.loads(proof), "more"]))
    assert acceptor.proved


@pytest.mark.parametrize(("role", "secret", "access"), [("operator", b"look", "look"), ("operator", b"secret", "full")])
def test_what_an_operator_may(role: Any, secret: bytes, access: str) -> None:
    dialer = side(Identity("x#1", role=role), dialing=True, secrets=(secret,))
    acceptor = side(B, dialing=False, operators=(b"newer", b"look"))
    meet(dialer, acceptor)
    assert acceptor.peer is not None
    assert acceptor.peer.access == access
    assert dialer.peer == B


def test_a_node_needs_the_secret_of_the_nodes() -> None:
    dialer, acceptor = side(A, dialing=True, secrets=(b"look",)), side(B, dialing=False, operators=(b"look",))
    meet(dialer, acceptor)
    check_refused(acceptor, "access", by_peer=False)
    check_refused(dialer, "access", by_peer=True)


def test_replayed_frames_prove_nothing() -> None:
    frames = meet(side(A, dialing=True), side(B, dialing=False))
    acceptor = side(B, dialing=False)
    acceptor.receive(frames[0])
    acceptor.receive(frames[2])
    check_refused(acceptor, "secret", by_peer=False)
    dialer = side(A, dialing=True)
    dialer.start()
    dialer.receive(frames[1])
    dialer.receive(frames[3])
    check_refused(dialer, "secret", by_peer=False)


def test_reflected_frames_prove_nothing() -> None:
    """A stranger without the secret lets the node talk to itself, over one connection or two."""
    dialer = side(A, dialing=True)
    dialer.receive(dialer.start())
    assert dialer.failure is not None
    # Two connections: a stranger dials the node, and is dialled by it under another name.
    dialer, acceptor = side(A, dialing=True), side(A, dialing=False)
    hello = acceptor.receive(dialer.start())
    assert hello is not None
    check_refused(acceptor, "self", by_peer=False)
    # As the acceptor it would send the dialer's own proof back.
    dialer = side(A, dialing=True)
    dialer.start()
    proof = dialer.receive(cbor2.dumps([1, 1, bytes(32), ["b#2", None, "node", []]]))
    assert proof is not None
    dialer.receive(proof)
    check_refused(dialer, "secret", by_peer=False)


def test_ones_own_nonce_is_refused() -> None:
    acceptor = side(B, dialing=False)
    acceptor.receive(cbor2.dumps([1, [1], acceptor.nonce, ["a#1", None, "node", []]]))
    check_refused(acceptor, "self", by_peer=False)


HELLO: list[Any] = [1, [2, 1], bytes(32), ["a#1", None, "node", []]]
BAD_HELLOS: list[Any] = [
    [],
    5,
    ["1"],
    [True],
    [1],
    [1, []],
    [1, 1],
    [1, ["1"]],
    [1, [True]],
    [1, [1]],
    [1, [1], b"short", HELLO[3]],
    [1, [1], "x" * 32, HELLO[3]],
    [1, [1], bytes(32), None],
    [1, [1], bytes(32), ["a", None, "node", []]],
    [1, [1], bytes(32), ["#1", None, "node", []]],
    [1, [1], bytes(32), ["a#x", None, "node", []]],
    [1, [1], bytes(32), ["a#-1", None, "node", []]],
    [1, [1], bytes(32), ["a#" + "9" * 19, None, "node", []]],  # more than 64 bits: pids with it could not travel
    [1, [1], bytes(32), ["a\n#1", None, "node", []]],
    [1, [1], bytes(32), ["a" * 301 + "#1", None, "node", []]],
    [1, [1], bytes(32), [1, None, "node", []]],
    [1, [1], bytes(32), ["a#1", 5, "node", []]],
    [1, [1], bytes(32), ["a#1", "x\x1b[2J", "node", []]],
    [1, [1], bytes(32), ["a#1", "x" * 501, "node", []]],
    [1, [1], bytes(32), ["a#1", None, "king", []]],
    [1, [1], bytes(32), ["a#1", None, "node", [1]]],
    [1, [1], bytes(32), ["a#1", None, "node", ["x"] * 33]],
    [1, [1], bytes(32), ["a#1", None, "node", ["x" * 65]]],
    [2, bytes(32)],
    [3],
    [9],
]


@pytest.mark.parametrize("hello", BAD_HELLOS, ids=lambda hello: repr(hello)[:50])
def test_malformed_greetings(hello: Any) -> None:
    acceptor = side(B, dialing=False)
    answer = acceptor.receive(cbor2.dumps(hello))
    assert isinstance(acceptor.failure, ProtocolViolation)
    assert answer is not None
    dialer = side(A, dialing=True)
    dialer.start()
    dialer.receive(answer)
    check_refused(dialer, "malformed", by_peer=True)


@pytest.mark.parametrize("version", [None, "1", True, []])
def test_malformed_answers(version: Any) -> None:
    dialer = side(A, dialing=True)
    dialer.start()
    dialer.receive(cbor2.dumps([1, version, bytes(32), ["b#1", None, "node", []]]))
    assert isinstance(dialer.failure, ProtocolViolation)


def test_an_operator_accepts_no_links() -> None:
    dialer = side(A, dialing=True)
    dialer.start()
    dialer.receive(cbor2.dumps([1, 1, bytes(32), ["b#1", None, "operator", []]]))
    assert isinstance(dialer.failure, ProtocolViolation)


@pytest.mark.parametrize("proof", [[2], [2, b"x"], [2, "x" * 32], [2, None], [2, bytes(32), 1]])
def test_malformed_proofs(proof: Any) -> None:
    acceptor = side(B, dialing=False)
    acceptor.receive(cbor2.dumps(HELLO))
    acceptor.receive(cbor2.dumps(proof))
    assert isinstance(acceptor.failure, ProtocolViolation)


@pytest.mark.parametrize("refusal", [[4], [4, 1, "x"], [4, "not a word", "x"], [4, "x" * 40, "x"], [4, "x", None]])
def test_malformed_refusals(refusal: Any) -> None:
    dialer = side(A, dialing=True)
    dialer.start()
    assert dialer.receive(cbor2.dumps(refusal)) is None
    assert isinstance(dialer.failure, ProtocolViolation)


def test_a_refusal_cannot_write_to_the_terminal() -> None:
    dialer = side(A, dialing=True)
    dialer.start()
    dialer.receive(cbor2.dumps([4, "busy", "\x1b[2J" + "x" * 10_0]))
    assert "\x1b" not in str(dialer.failure)


def test_frames_have_a_limit() -> None:
    acceptor = side(B, dialing=False)
    acceptor.receive(cbor2.dumps([1, [1], bytes(MAX_GREETING)]))
    assert "at most 4096" in str(acceptor.failure)


@given(
    st.lists(st.binary(max_size=80) | st.sampled_from([cbor2.dumps(h) for h in [HELLO, *BAD_HELLOS]]), max_size=6),
    st.booleans(),
)
def test_garbage_at_every_step(frames: list[bytes], dialing: bool) -> None:
    handshake = side(B, dialing=dialing)
    if dialing:
        handshake.start()
    for frame in frames:
        handshake.receive(frame)
        if handshake.failure is not None:
            break
    assert handshake.peer is None
    assert handshake.failure is None or isinstance(handshake.failure, LinkError)


class Pipe:
    """One end of a link in memory; ``None`` ends it."""

    remote = "pipe"

    def __init__(self) -> None:
        self.send_end, self.receive_end = trio.open_memory_channel[bytes](10)
        self.sent: list[bytes] = []

    def allow(self, max_frame: int) -> None: ...

    async def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    async def receive(self) -> bytes:
        try:
            return await self.receive_end.receive()
        except trio.EndOfChannel:
            raise LinkClosed from None

    async def aclose(self) -> None: ...


async def test_a_handshake_that_takes_too_long(autojump_clock: Any) -> None:
    pipe = Pipe()
    with pytest.raises(ProtocolViolation, match="no handshake within 5 s"):
        await greet(pipe, side(B, dialing=False), within=5.0)
    assert trio.current_time() >= 5.0
    assert cbor2.loads(pipe.sent[-1])[:2] == [4, "slow"]


async def test_a_peer_that_goes_away() -> None:
    pipe = Pipe()
    pipe.send_end.close()
    with pytest.raises(LinkClosed):
        await greet(pipe, side(A, dialing=True), within=5.0)
