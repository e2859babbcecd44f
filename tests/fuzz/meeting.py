"""The handshake, from either side, with somebody who has the secret or does not, and says what it likes.

An input is a list: which side the node is on, whether the stranger has the secret (2: that of operators), and what the
stranger does, step by step. A step is a frame (bytes), a message (a list, which is written as a frame), or a map: the message
that an honest stranger would send now, with these of its items replaced. Of such a stranger the proofs are right, whatever
it has said.
"""

from __future__ import annotations

from typing import Any

import cbor2
from tests.fuzz.law import Door
from tests.fuzz.values import read

from hubkit.errors import LinkError
from hubkit.net import cbor
from hubkit.net.handshake import Handshake, Identity, Refusal, is_node_id
from hubkit.net.lines import one_line
from hubkit.net.transport import MAX_GREETING

__all__ = ["DOORS"]

SECRET, LOOK = b"the secret of the nodes", b"the secret of operators"
_HELLO = 1


def meet(data: bytes) -> None:
    """`Handshake`: never raises; ends in a peer or a failure; and nobody is a peer who has not the secret."""
    script = read(data)
    if type(script) is not list or len(script) < 3:
        return
    dialing, knows, steps = bool(script[0]), script[1] if script[1] in (1, 2) else 0, script[2:]
    admitted: list[Identity] = []

    def admit(peer: Identity) -> Refusal | None:
        admitted.append(peer)
        return None if "refuse" not in peer.capabilities else Refusal("name", peer.node)

    node = Handshake(
        Identity("a#1", "ws://a:1", capabilities=("hub.1",)),
        dialing=dialing,
        nonce=bytes(range(32)),
        secrets=(SECRET, b"older"),
        operators=(LOOK,),
        admit=admit,
    )
    stranger = Handshake(
        Identity("x#7", "ws://x:2"),
        dialing=not dialing,
        nonce=bytes(range(32, 64)),
        secrets=({0: b"wrong", 1: SECRET, 2: LOOK}[knows],),
    )
    said = _run(node, stranger, steps)
    if node.peer is not None:
        assert knows, "a peer without the secret"
        assert node.proved
        assert node.peer in admitted
        assert node.failure is None
        assert is_node_id(node.peer.node)
        assert knows == 1 or (node.peer.role, node.peer.access) == ("operator", "look") or dialing
        assert b"".join(said).count(SECRET) == 0
    assert knows or not (admitted or node.proved or node.keys), "believed without the secret"


def _run(node: Handshake, stranger: Handshake, steps: list[Any]) -> list[bytes]:
    """Let the two talk; returns what the node has said."""
    said = [node.start()] if node.dialing else []
    answer: bytes | None = stranger.receive(said[0]) if said else stranger.start()
    for step in steps[:20]:
        frame = _frame(stranger, step, answer)
        if frame is None:
            return said
        out = node.receive(frame)
        if node.failure is not None:
            assert isinstance(node.failure, LinkError)
            assert one_line(node.failure).isprintable()
            assert node.peer is None
        if out is not None:
            assert len(out) <= MAX_GREETING
            said.append(out)
        if out is None or node.failure is not None or node.peer is not None:
            return said
        answer = stranger.receive(out) if stranger.failure is None else None
    return said


def _frame(stranger: Handshake, step: Any, honest: bytes | None) -> bytes | None:
    if type(step) is bytes:
        return step
    if type(step) is not dict:
        return cbor.encode(step)
    if honest is None:
        return None
    message = cbor2.loads(honest)
    for key, item in step.items():
        if type(key) is int and 0 <= key < 8:
            message[key : key + 1] = [item]
    frame = cbor.encode(message)
    if message[:1] == [_HELLO] and frame != honest:  # the proofs are of what was really said
        if stranger.dialing:
            stranger._hello = frame
        else:
            stranger._transcript = stranger._transcript[: len(stranger._transcript) - len(honest)] + frame
            stranger._hello = frame
            if message[1:2] and type(message[1]) is int and message[1] in stranger.versions:
                stranger.version = message[1]
    return frame


DOORS = (Door("meeting", meet),)
