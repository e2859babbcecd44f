"""Requests and answers whose values are too large for one message.

Law of this room: it is as it would be with small ones, but slower. A request is sent when all of its value is on the link, and
until then it has not been sent: it waits for a link as any other, goes on from where it stood, and can be taken back
without a trace. An answer is for whoever asked on this link: it ends with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import trio

from hubkit.actors.messages import Request
from hubkit.errors import NotSerializable
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.node.answers import Code, encode_error
from hubkit.node.freight import LADEN
from hubkit.node.packing import MANIFOLD, load, slowly, whole
from hubkit.node.passage import Passage
from hubkit.node.refs import plain_chain
from hubkit.node.relays import CALL
from hubkit.node.shapes import REPLY
from hubkit.node.writing import write_reply
from hubkit.pids import NodeId, Pid

__all__ = ["ARGUMENTS", "Laden"]

#: Which item of a CALL or CAST its arguments are, and of a REPLY its result.
ARGUMENTS, _RESULT = [5], [3]
#: Large answers that may wait to be sent to one node; what goes beyond is an error, and not memory.
MOST_ANSWERS = 256


class Laden(Passage):
    """The part of `hubkit.node.exchange.Exchange` that sends what is large."""

    _number: int
    _payloads: Payloads
    _serving: dict[NodeId, dict[int, Callable[..., object]]]
    _answering: dict[NodeId, int]

    async def _ask(self, number: int, peer: NodeId, pid: Pid, message: list[Any]) -> Any:
        raise NotImplementedError

    async def _ask_laden(self, kind: int, pid: Pid, peer: NodeId, request: Request, cargo: Cargo) -> Any:
        """Send a request with these arguments, and wait for its answer."""
        async with self._turns.take(peer, pid.serial):
            if cargo is MANIFOLD:
                cargo = await slowly(self._payloads.pack_slowly([list(request.args), dict(request.kwargs)]))
            with self.freight.consign(peer, cargo) as lot:
                while True:
                    if pid in request.chain and kind != CALL:  # as in `Exchange.cast`
                        if peer not in self.linked:
                            await self._link(pid, peer)
                    elif not self._may_go(pid, peer):
                        await self._wait_to_go(pid, peer)
                    lot.is_sent = self.freight.lacks(peer) or await lot.ship()
                    if lot.is_sent:
                        break
                message = self._request_message(kind, pid, request)
                number = message[1]
                if self.freight.lacks(peer):
                    message[ARGUMENTS[0]] = whole(cargo, self._payloads, peer)
                else:
                    message = [LADEN, lot.number, ARGUMENTS, message]
        return await self._ask(number, peer, pid, message)

    def _request_message(self, kind: int, pid: Pid, request: Request) -> list[Any]:
        self._number += 1
        chain = plain_chain(request.chain)
        message: list[Any] = [kind, self._number, pid.serial, request.method, chain, None]
        if kind == CALL:
            left = max(0.0, request.deadline - trio.current_time())
            message.append(None if request.deadline == math.inf else left)
        return message

    def _reply(self, peer: NodeId, number: int, result: Any, error: BaseException | None) -> None:
        if error is None:
            written = write_reply(number, result)
            if written is not None:
                self._wire.write(peer, written)
                return
        try:
            if error is None:
                payload = load(result, self._payloads)
                if type(payload) is not Cargo:
                    self._wire.send(peer, [REPLY, number, int(Code.OK), payload])
                elif not self.freight.lacks(peer):
                    self._reply_laden(peer, number, payload, result)
                elif payload is MANIFOLD:
                    self._wire.send(peer, [REPLY, number, int(Code.OK), self._payloads.dumps(result)])
                else:
                    self._wire.send(peer, [REPLY, number, int(Code.OK), whole(payload, self._payloads, peer)])
                return
        except NotSerializable as failure:
            error = NotSerializable(f"the request was handled, but its result cannot travel. {failure}")
        code, answer = encode_error(error, self._payloads)
        self._wire.send(peer, [REPLY, number, int(code), answer])

    def _reply_laden(self, peer: NodeId, number: int, cargo: Cargo, result: Any) -> None:
        if self._answering.get(peer, 0) >= MOST_ANSWERS:
            msg = f"{MOST_ANSWERS} large answers wait for your node already"
            raise NotSerializable(msg)
        scope = trio.CancelScope()

        def withdraw(*, expired: bool = False) -> None:
            scope.cancel()

        self._serving.setdefault(peer, {})[number] = withdraw
        self._answering[peer] = self._answering.get(peer, 0) + 1
        self.freight.nursery.start_soon(self._send_reply, peer, number, cargo, result, scope)

    async def _send_reply(self, peer: NodeId, number: int, cargo: Cargo, result: Any, scope: trio.CancelScope) -> None:
        try:
            with scope:
                if cargo is MANIFOLD:
                    cargo = await slowly(self._payloads.pack_slowly(result))
                answer = [REPLY, number, int(Code.OK), None]
                await self.freight.send(peer, cargo, answer, _RESULT, again=False)
        except NotSerializable as error:
            self._reply(
                peer, number, None, NotSerializable(f"the request was handled, but its result cannot travel. {error}")
            )
        finally:
            self._answering[peer] -= 1
            if not self._answering[peer]:
                del self._answering[peer]
            self._serving.get(peer, {}).pop(number, None)
