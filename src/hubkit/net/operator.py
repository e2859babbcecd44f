"""A question to a node from outside the cluster: what the command line asks.

Law of this room: an operator proves the same secret as a node, or one that lets it look and no more; asks, and goes. It is
no member: it has no place in the mesh, hears no heartbeats, and nothing of it is remembered. What a secret allows is the
business of who answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio

from hubkit.environment import Environment
from hubkit.errors import LinkClosed, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.certificates import secured
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import NONCE, Handshake, Identity
from hubkit.net.outbox import Outbox
from hubkit.net.transport import Link, Transport
from hubkit.net.wire import MAX_MESSAGE, Assembler, Kind, decode_frame, encode_app
from hubkit.pids import node_id

__all__ = ["answer", "ask"]

logger: Log = Log("hubkit.net")

_IDLE = 30.0  # seconds that a node waits for an operator's next question


async def ask(
    transport: Transport,
    address: str,
    message: list[Any],
    *,
    secrets: Sequence[bytes] = (),
    environment: Environment,
    within: float = 5.0,
) -> list[Any]:
    """Ask the node at ``address`` one question, and return its answer.

    ``within`` bounds the handshake; bound the whole with `trio.fail_after`. Raises `DialFailed`, `HandshakeRefused`, or
    another `LinkError`. Example::

        with trio.fail_after(10):
            status = await ask(WebSocketTransport(), "ws://127.0.0.1:4040", ["status"], environment=Environment())
    """
    link = await transport.dial(address)
    try:
        me = Identity(node_id(f"operator-{environment.token(6).hex()}", environment.boot()), role="operator")
        tls = secured(link)
        handshake = Handshake(
            me,
            dialing=True,
            nonce=environment.token(NONCE),
            secrets=tuple(secrets),
            certificate=lambda: tls.certificate() if tls is not None else None,
        )
        await greet(link, handshake, within=within)
        safe = guarded(link, handshake)
        await _send(safe, message)
        reply = await _receive(safe, Assembler())
    finally:
        await link.aclose()
    return reply


async def answer(link: Link, peer: Identity, request: Callable[[Identity, list[Any]], list[Any]]) -> None:
    """Answer an operator's questions until it goes, or asks nothing, or does not take an answer, for half a minute."""
    assembler = Assembler()
    while True:
        with trio.move_on_after(_IDLE) as patience:
            try:
                question = await _receive(link, assembler)
            except LinkClosed:
                return
        if patience.cancelled_caught:
            logger.info("%s: closed: no whole question of this operator within %g s", link.remote, _IDLE)
            return
        reply = request(peer, question)
        with trio.move_on_after(_IDLE) as patience:
            await _send(link, reply)
        if patience.cancelled_caught:
            logger.info("%s: closed: this operator did not take an answer within %g s", link.remote, _IDLE)
            return


async def _send(link: Link, message: list[Any]) -> None:
    outbox = Outbox(MAX_MESSAGE)
    outbox.put(encode_app(message))
    while (taken := outbox.take()) is not None:
        await link.send(taken[0])


async def _receive(link: Link, assembler: Assembler) -> list[Any]:
    while True:
        for message in decode_frame(await link.receive()):
            whole = assembler.add(message) if message[0] == Kind.CHUNK else message
            if whole is None:
                continue
            if whole[0] != Kind.APP or len(whole) < 2 or type(whole[1]) is not list:
                msg = "a question or answer is malformed"
                raise ProtocolViolation(msg)
            return whole[1]
