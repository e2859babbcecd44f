"""The wire format stands still: what is written today is, byte for byte, what the files in ``golden/`` hold."""

from __future__ import annotations

from typing import Any

import pytest
from tests.net.golden import ACCEPTOR, DIALER, GROUPS, SECRET, SYNCS, kept, meeting, written

from hubkit.cluster.sync import from_wire
from hubkit.net import cbor
from hubkit.net.handshake import VERSIONS, Handshake
from hubkit.net.seal import Keys, Seal
from hubkit.net.wire import decode_frame, encode_frame


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_written_is_what_was_written(group: str) -> None:
    """If the protocol is to change: see the note at the head of ``golden.py``."""
    assert written(GROUPS[group]()) == written(kept(group))


@pytest.mark.parametrize("group", ["session", "node", "exchange", "freight", "sync"])
def test_what_was_written_can_be_read(group: str) -> None:
    for name, data in kept(group).items():
        messages = decode_frame(data if name.startswith("frame") else encode_frame([data]))
        assert messages, name


@pytest.mark.parametrize("name", SYNCS)
def test_a_sync_that_was_written_is_read_as_what_it_was(name: str) -> None:
    (message,) = decode_frame(encode_frame([kept("sync")[name]]))
    assert from_wire(message[1][2]) == SYNCS[name]
    assert from_wire([*message[1][2], "of a later release"]) == SYNCS[name]


def test_frames_that_were_sealed_are_opened() -> None:
    lines = kept("handshake-2")
    dialers, acceptors = lines["key of the dialer's frames"], lines["key of the acceptor's frames"]
    for sender, keys in (("dialer", Keys(acceptors, dialers)), ("acceptor", Keys(dialers, acceptors))):
        seal = Seal(keys)
        assert seal.open(lines[f"first frame of the {sender}, sealed"]) == b"\x80"
        assert seal.open(lines[f"second frame of the {sender}, sealed"]) == b"\x81\x81\x04"


def replayed(versions: tuple[int, ...], lines: dict[str, bytes]) -> tuple[Handshake, Handshake]:
    """Today's two sides, each of which meets what was written then."""
    dialer = Handshake(DIALER, dialing=True, nonce=bytes(range(32)), secrets=(SECRET,), versions=versions)
    acceptor = Handshake(ACCEPTOR, dialing=False, nonce=bytes(range(32, 64)), secrets=(SECRET,))
    assert dialer.start() == lines["hello of the dialer"]
    dialer.receive(lines["hello of the acceptor"])
    dialer.receive(lines["proof of the acceptor"])
    for name in ("hello of the dialer", "proof of the dialer", "ready"):
        acceptor.receive(lines[name])
    return dialer, acceptor


@pytest.mark.parametrize("version", [1, 2])
def test_who_spoke_then_is_understood_today(version: int) -> None:
    """The release before speaks version 1 and nothing else; this one speaks with it, unless told not to."""
    lines = kept(f"handshake-{version}")
    dialer, acceptor = replayed((1,) if version == 1 else VERSIONS, lines)
    assert (dialer.peer, acceptor.peer) == (ACCEPTOR, DIALER)
    assert dialer.version == acceptor.version == version
    assert (dialer.keys is None) == (version == 1)


def test_the_release_before_takes_the_greeting_of_this_one() -> None:
    """Version 1 wants exactly four items in a HELLO and four in an identity, whatever versions are offered."""
    message: Any = cbor.decode(meeting((2, 1))[0]["hello of the dialer"])
    assert len(message) == len(message[3]) == 4
    assert message[1] == [2, 1]
