"""A peer that has the secret, and does what it likes: drawn scripts of frames, pieces, messages, dials and ends.

The law: no exception leaves the mesh, and no error of ours is logged; every link of the peer's ends or lives, and each that has
ended has one line that says so; two honest nodes keep their link, and what they send each other arrives; and of all that the
peer sent no more is kept than the bounds say.
"""

from __future__ import annotations

import logging
from typing import Any

import trio
import trio.testing
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from tests.fuzz.law import quiet
from tests.fuzz.linked import Stranger
from tests.net.peers import SECRET, Peer
from tests.net.test_meddling import overheard

from hubkit.net import cbor
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.wire import CHUNK, MAX_MESSAGE, Kind, encode, encode_frame

nodes = st.sampled_from(["x#1", "y#2", "a#1", "c#1", "c#9", "x", "", "x#99999999999999999999"])
texts = st.sampled_from(["", "ws://y:4040", "ws://a:4040", "ws://c:4040", "junk", "\x1b[2J\nforged", "x" * 501])
numbers = st.sampled_from([0, 1, 2, -1, 255, 2**63, 2**64 - 1, -(2**63)])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts | nodes | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(nodes | texts, inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from([int(kind) for kind in Kind]) | st.sampled_from([0, 9, 99, -1, 2**64 - 1])
own = st.one_of(
    st.dictionaries(nodes, numbers, max_size=3).map(lambda vector: [1, vector]),
    st.lists(st.tuples(nodes, texts).map(list), max_size=3).map(lambda peers: [2, peers]),
    st.tuples(st.just(3), st.sampled_from([0, 1, 2, True]), st.booleans(), st.binary(max_size=9)).map(list),
    st.just([4]),
    texts.map(lambda reason: [5, reason]),
    st.tuples(st.sampled_from([6, 7, 8]), numbers).map(list),
    st.lists(anything, max_size=3).map(lambda message: [16, message]),
    st.tuples(kinds, anything).map(list),
    kinds.map(lambda kind: [kind]),
)
damaged = st.builds(
    lambda message, at, item: [*message[:at], item, *message[at + 1 :]],
    own,
    st.sampled_from([1, 1, 1, 2, 2, 0, 3]),
    anything,
)
said = own | damaged
#: See `tests.fuzz.linked`: frames of messages, bytes, pauses, ends, other names.
steps = st.one_of(
    st.lists(said, max_size=4),
    st.lists(damaged, min_size=1, max_size=1),
    st.lists(damaged, min_size=1, max_size=2),
    st.binary(max_size=20),
    st.lists(own, min_size=1, max_size=2).map(lambda messages: cbor.encode(messages)[:-1]),
    st.integers(0, 20) | st.just(60),
    st.none(),
    st.builds(lambda node, address: {"node": node, "address": address}, nodes, texts),
)


class Staged:
    """Two honest nodes, and one that is not."""

    def __init__(self) -> None:
        self.network = SimulatedNetwork(1)
        self.a = Peer("a", transport=self.network.transport("a"))
        self.c = Peer("c", transport=self.network.transport("c"), seeds=[self.network.address("a")])
        self.stranger = Stranger(self.network, SECRET)

    async def play(self, script: list[Any]) -> None:
        a, c = self.a, self.c
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await nursery.start(c.run)
            while not (a.linked_to(c) and c.linked_to(a)):
                await trio.sleep(0.1)
            nursery.start_soon(self.stranger.read)
            for number, step in enumerate(script):
                a.mesh.send(c.id, [number])
                c.mesh.send(a.id, [number])
                await self.stranger.step(step)
            await self.stranger.hang_up()
            await trio.sleep(3)
            told = [message[0] for peer, message in c.messages if peer == a.id]
            assert told == list(range(len(script)))
            assert [m[0] for p, m in a.messages if p == c.id] == told
            for one, other in ((a, c), (c, a)):
                ends = [entry for entry in one.log if entry[0] in ("up", "down") and entry[1] == other.id]
                assert ends == [("up", other.id)], "the link between honest nodes has ended"
            assert set(a.mesh.links) == {c.id}, "a link of somebody who has gone"
            assert len(a.mesh._dialer._targets) <= 20
            nursery.cancel_scope.cancel()


def check(script: list[Any]) -> None:
    stage = Staged()
    with quiet(), overheard() as log:
        trio.run(stage.play, script, clock=trio.testing.MockClock(autojump_threshold=0))
    # Each link that was up has ended, and one line of the log says so.
    for peer in (stage.a, stage.c):
        up, down = ([entry[1] for entry in peer.log if entry[0] == what] for what in ("up", "down"))
        for node in set(up) - {"a#1", "c#1"}:
            assert up.count(node) == down.count(node), node
    gone = [entry[1] for entry in stage.a.log if entry[0] == "down"]
    for node in set(gone):
        lines = [line for line in log if line.startswith(f"link to {node}: down: ")]
        assert len(lines) >= gone.count(node), node


@given(st.lists(steps, min_size=1, max_size=12))
@settings(max_examples=120, phases=set(Phase) - {Phase.explain})
@example(
    [[[5, None]], [[8, []]], [[1, None]], [[2, [["x#1", 5]]]], [[2, [[5, "ws://x:1"]]]], [[6, None]], [[16, None]]]
)
@example([None, None, None, [[1, {"x#1": 1}]]])
@example([[[3, 1, False, b"\x82"], [4]], None, [[3, 1, True, b"\x10\x80"]]])
@example([{"node": "c#9", "address": "ws://x:4040"}, [[2, [["c#9", "ws://x:4040"]]]], 30])
@example([{"node": "y#2", "address": "ws://a:4040"}, [[2, [["a#1", "ws://x:4040"]]]], 30])
def test_whatever_a_peer_does_costs_its_own_link_alone(script: list[Any]) -> None:
    check(script)


def test_pieces_are_kept_up_to_the_largest_message_and_no_further() -> None:
    """Of a message that never ends, in both lanes at once."""

    async def main() -> None:
        network = SimulatedNetwork(1)
        a, stranger = Peer("a", transport=network.transport("a")), Stranger(network, SECRET)
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await stranger.dial()
            while not a.mesh.links:
                await trio.sleep(0.01)
            session = next(iter(a.mesh._sessions.values()))
            assert stranger.link is not None
            kept = 0
            for number in range(2 * MAX_MESSAGE // CHUNK + 4):
                piece = encode(Kind.CHUNK, number % 2, False, bytes(CHUNK))
                await stranger.step(encode_frame([piece]))
                await trio.sleep(0.01)
                kept = max(kept, sum(session._assembler._sizes))
            assert not a.mesh.links
            assert MAX_MESSAGE < kept <= 2 * (MAX_MESSAGE + CHUNK)
            nursery.cancel_scope.cancel()

    with overheard() as log:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [line for line in log if "exceeds 67,108,864 bytes" in line]
    assert logging.getLogger("hubkit.net").handlers == []
