"""The handshake against a stranger that says what it likes: drawn sequences of frames, with the secret and without.

The law is that of `tests.fuzz.meeting.meet`: the handshake never raises; it ends in a peer or in a failure, with a last word of
bounded length; and nobody is a peer, or is even looked at, who has not proved the secret.
"""

from __future__ import annotations

from typing import Any

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz.meeting import meet as check_meeting
from tests.net.test_handshake import BAD_HELLOS, HELLO

digests = st.sampled_from([bytes(32), b"\xff" * 32, bytes(31), b"", None, "x" * 32])
identities = st.builds(
    lambda node, address, role, words: [node, address, role, words],
    st.sampled_from(["x#7", "a#1", "y#2", "", "#1", "x#" + "9" * 18, "x#" + "9" * 19, "x\n#1", "x" * 299 + "#1"]),
    st.sampled_from([None, "", "ws://x:1", "\x1b[2J", "x" * 501, 5]),
    st.sampled_from(["node", "operator", "king", None]),
    st.sampled_from([[], ["hub.1"], ["refuse"], ["x" * 65], ["x"] * 33, [1], None]),
)
versions = st.sampled_from([2, 1, 0, 3, -1, 2**64 - 1, [2, 1], [1], [2], [], [True], ["2"], None, "2", [9] * 500])
replaced = st.dictionaries(st.integers(0, 4), versions | digests | identities | st.none(), max_size=2)
messages = st.one_of(
    st.sampled_from([HELLO, *BAD_HELLOS]),
    st.tuples(st.just(1), versions, digests, identities).map(list),
    st.tuples(st.just(2), digests, digests).map(list),
    st.tuples(st.just(3), digests).map(list),
    st.tuples(st.just(4), st.sampled_from(["busy", "not a word", "", 5]), st.text(max_size=600) | st.none()).map(list),
)
steps = st.one_of(st.just({}), st.just({}), replaced, messages, st.binary(max_size=60))


@given(st.booleans(), st.integers(0, 2), st.lists(steps, max_size=5))
@settings(max_examples=400)
@example(False, 1, [{}, {}, {}])
@example(True, 1, [{}, {}, {}])
@example(False, 2, [{3: ["x#7", None, "operator", []]}, {}, {}])
@example(False, 2, [{}, {}, {}])
@example(False, 1, [{1: [1]}, {}, {}])
@example(False, 0, [{}, {}, {}])
@example(True, 1, [{1: 1}, {}, {}])
def test_a_stranger_is_a_peer_or_told_why_not(dialing: bool, knows: int, script: list[Any]) -> None:
    check_meeting(cbor2.dumps([dialing, knows, *script]))
