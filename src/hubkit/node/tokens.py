"""Tokens of late replies on other nodes: who holds them, and their answers.

Law of this room: the node whose actor owes a reply decides; others say what they hold, again on every new link, and when they
hold it no more. An answer is sent once, over a link that is there, or refused to whoever gives it. If it is lost on its way,
the token is not claimed again, and the call fails when patience ends: at most once, and every call ends.

On the wire, to the node that owes: ``[CLAIM, number]``, ``[RELEASE, number]``, and ``[ANSWER, number, code, payload]``, as a
reply is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hubkit.actors.late import TokenId
from hubkit.actors.system import System
from hubkit.errors import NodeDown, ProtocolViolation, Reject
from hubkit.net.payload import Payloads
from hubkit.node.answers import Code, decode_error, encode_error
from hubkit.node.packing import pack, unpack
from hubkit.pids import NodeId, node_id

__all__ = ["SHAPES", "Tokens"]

CLAIM, RELEASE, ANSWER = 11, 12, 13

SHAPES: dict[int, tuple[int, tuple[type, ...]]] = {
    CLAIM: (2, (int, int)),
    RELEASE: (2, (int, int)),
    ANSWER: (4, (int, int, int)),
}


class _Shell(Protocol):
    """What this room needs of the exchange."""

    system: System


class Tokens:
    """The tokens of others that are held on this node, and what others say of ours."""

    def __init__(self, shell: _Shell, send: Callable[[NodeId, list[Any]], bool], payloads: Payloads) -> None:
        self._shell, self._send, self._payloads = shell, send, payloads
        #: node -> the numbers of its tokens that are held here
        self._held: dict[NodeId, dict[int, None]] = {}
        self.takers: dict[int, Callable[..., None]] = {
            CLAIM: self._take_claim,
            RELEASE: self._take_release,
            ANSWER: self._take_answer,
        }

    def claim(self, token: TokenId) -> None:
        """It is held here."""
        node, number = node_id(token[0], token[1]), token[2]
        self._held.setdefault(node, {})[number] = None
        self._send(node, [CLAIM, number])

    def release(self, token: TokenId) -> None:
        """It is held here no more."""
        node, number = node_id(token[0], token[1]), token[2]
        if self._forget(node, number):
            self._send(node, [RELEASE, number])

    def answer(self, token: TokenId, value: Any, refusal: Reject | None) -> None:
        """Send the answer."""
        node, number = node_id(token[0], token[1]), token[2]
        if refusal is None:
            code, payload = Code.OK, pack(value, self._payloads)
        else:
            code, payload = encode_error(refusal, self._payloads)
        if not self._send(node, [ANSWER, number, int(code), payload]):
            msg = f"there is no link to node {token[0]!r}, whose actor owes this reply: the call is not answered"
            raise NodeDown(msg, maybe_executed=False)
        self._forget(node, number)

    def _forget(self, node: NodeId, number: int) -> bool:
        held = self._held.get(node, {})
        known = number in held
        if known:
            del held[number]
            if not held:
                del self._held[node]
        return known

    def link_up(self, node: NodeId) -> None:
        """A link is ready."""
        for number in self._held.get(node, ()):
            self._send(node, [CLAIM, number])

    def _take_claim(self, node: NodeId, number: int) -> None:
        self._shell.system.owed.claimed(number, node)

    def _take_release(self, node: NodeId, number: int) -> None:
        self._shell.system.owed.released(number, node)

    def _take_answer(self, node: NodeId, number: int, code: int, payload: Any) -> None:
        owed, id = self._shell.system.owed, (self._shell.system.node, self._shell.system.incarnation, number)
        if code != Code.OK:
            owed.answer(id, None, decode_error(code, payload, self._payloads))
            return
        try:
            value = unpack(payload, self._payloads)
        except ProtocolViolation as error:
            owed.answer(id, None, error)
        else:
            owed.answer(id, value, None)
