"""The exchange: requests between actors of different nodes.

Law of this room: at most once. A request is sent on one link, and when that link breaks before the answer has come, its
sender is told that it may have been handled (`NodeDown`); nobody sends it again. `NotBegun`, the only answer after which a
ref may look further, is given when the request certainly had no effect. Requests of one link are taken in their order; a
call costs no task on the node that serves it.

Watches are level-triggered: whoever watches says so again on every new link, and is told what is true by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import trio

from hubkit.actors.inspection import STATE
from hubkit.actors.late import LateElsewhere
from hubkit.actors.links import LinksElsewhere
from hubkit.actors.messages import Kind, Request
from hubkit.actors.system import System
from hubkit.cluster.liveness import Liveness
from hubkit.errors import HubClosed, HubkitError, NodeDown, NotSerializable, ProtocolViolation
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.net.wire import CHUNK
from hubkit.node.answers import Code, decode_cause, decode_error, encode_cause
from hubkit.node.bonds import Bonds
from hubkit.node.bounds import CHAIN, PASSED_ON_MOST, SERVED, WATCHES, check_room
from hubkit.node.credits import Credits
from hubkit.node.freight import Freight
from hubkit.node.hosting import Hosting
from hubkit.node.packing import are_light, load_arguments, shown, unpack, unpack_arguments
from hubkit.node.passage import HINTS, Wire
from hubkit.node.refs import plain_chain, read_pid
from hubkit.node.relays import CALL, CAST, PASSED_ON, WITHDRAW, Relays
from hubkit.node.shapes import CALLS, CASTS, DEMONITOR, DOWN, MONITOR, REPLIES, REPLY, read_shape
from hubkit.node.tokens import Tokens
from hubkit.node.unheard import HEARD, Unheard
from hubkit.pids import ChildKey, NodeId, Pid, node_id

__all__ = ["CALL", "Exchange", "Wire"]

_OK = int(Code.OK)


class Exchange(Relays, Hosting):
    """All requests of one node to and from others."""

    _wire: Wire

    def __init__(self, wire: Wire, payloads: Payloads, liveness: Liveness) -> None:
        Hosting.__init__(self)
        self._wire, self._payloads, self._liveness = wire, payloads, liveness
        self.system: System
        self.linked: set[NodeId] = set()
        self._number = 0
        self._serving: dict[NodeId, dict[int, Callable[..., object]]] = {}
        self._watching: dict[int, tuple[Pid, NodeId]] = {}
        self._watched: dict[NodeId, dict[int, int]] = {}
        self._relayed = {}
        self._trains = {}
        self._answering = {}
        self._unheard = Unheard(wire.send)
        self._hints: dict[ChildKey, Pid] = {}
        self._gone: dict[Pid, None] = {}  # what could not be asked because its node was out of sight
        self._changed = trio.Event()
        self._closed: bool = False
        self.credits: Credits = Credits(wire.send)
        self.freight: Freight = Freight(wire, payloads)
        self.freight.deliver = self.receive
        self._turns = self.freight.turns
        self._bonds = Bonds(self, wire.send, payloads, liveness, wire.now)
        self._tokens = Tokens(self, wire.send, payloads)
        self.links: LinksElsewhere = self._bonds
        self.late: LateElsewhere = self._tokens
        self._takers: dict[int, Callable[..., None]] = {
            CALL: self._serve_call,
            REPLY: self._take_reply,
            CAST: self._serve_cast,
            WITHDRAW: self._take_withdrawal,
            MONITOR: self._serve_monitor,
            DEMONITOR: self._take_demonitor,
            DOWN: self._take_down,
            CALLS: self._serve_calls,
            REPLIES: self._take_replies,
            CASTS: self._serve_casts,
            **self.credits.takers,
            **self.freight.takers,
            **self._bonds.takers,
            **self._tokens.takers,
            HEARD: self._unheard.heard,
        }

    # -- where children are -------------------------------------------------------------------------------------------

    def hint(self, key: ChildKey, pid: Pid) -> None:
        """A ref that came from elsewhere says where its child ran; good until this node's own registry knows it."""
        if len(self._hints) >= HINTS:
            self._hints.pop(next(iter(self._hints)))
        self._hints[key] = pid

    def resolve(self, key: ChildKey) -> Pid | None:
        """Where the child runs: a local read."""
        hub = self._wire.hub(key.hub)
        return None if hub is None else hub.running(key.child)

    async def locate(self, key: ChildKey, after: Pid | None) -> Pid:
        """Where the child runs; waits while it is wanted but runs nowhere, or only at ``after``."""
        hub, hint = self._wire.hub(key.hub), self._hints.get(key)
        if hub is None or not hub.wanted(key.child):
            if hint is not None and hint != after:
                return hint
            if self._closed or hub is None:
                msg = f"hub {key.hub!r} is not open on this node, so its child {key.child!r} cannot be found"
                raise HubClosed(msg)
        if after not in self._gone:
            return await hub.locate(key.child, after)
        # Its node was out of sight, which is no proof that it has ended: it may come back, and be what it was.
        return await hub.locate(key.child, after, lambda: after not in self._gone)

    # -- requests of ours -----------------------------------------------------------------------------------------------

    async def call(self, pid: Pid, request: Request) -> Any:
        """Send a call and wait for its result."""
        arguments = load_arguments(request.args, request.kwargs, self._payloads)
        peer = node_id(pid.node, pid.incarnation)
        if type(arguments) is Cargo:
            return unpack(await self._ask_laden(CALL, pid, peer, request, arguments), self._payloads)
        if type(arguments) is bytes and len(arguments) > CHUNK:
            await trio.lowlevel.checkpoint()  # that took long, and to put it into a message will
        if not self._may_send(pid, peer):
            await self._wait_to_send(pid, peer)
        self._number = number = self._number + 1
        deadline = request.deadline
        remaining = None if deadline == math.inf else max(0.0, deadline - trio.current_time())
        chain = plain_chain(request.chain)
        message = [CALL, number, pid.serial, request.method, chain, arguments, remaining]
        return unpack(await self._ask(number, peer, pid, message), self._payloads)

    async def cast(self, pid: Pid, request: Request) -> None:
        """Send a cast or plain message; returns when it is in the mailbox there."""
        arguments = load_arguments(request.args, request.kwargs, self._payloads)
        peer = node_id(pid.node, pid.incarnation)
        if type(arguments) is Cargo:
            await self._ask_laden(CAST, pid, peer, request, arguments)
            return
        if type(arguments) is bytes and len(arguments) > CHUNK:
            await trio.lowlevel.checkpoint()  # that took long, and to put it into a message will
        if pid in request.chain:  # its actor waits for us: it must not wait here, where nobody sees that
            if peer not in self.linked:
                await self._link(pid, peer)
        elif not self._may_send(pid, peer):
            await self._wait_to_send(pid, peer)
        self._number = number = self._number + 1
        chain = plain_chain(request.chain)
        await self._ask(number, peer, pid, [CAST, number, pid.serial, request.method, chain, arguments])

    # -- watches of ours --------------------------------------------------------------------------------------------------

    def monitor(self, number: int, pid: Pid) -> None:
        """See to it that the system is told when that incarnation is gone."""
        peer = node_id(pid.node, pid.incarnation)
        if not self._liveness.alive(peer, self._wire.now()):
            self.system.down(number, pid, "noproc")
            return
        self._watching[number] = (pid, peer)
        self._wire.send(peer, [MONITOR, number, pid.serial])

    def demonitor(self, number: int, pid: Pid) -> None:
        """Nobody waits for that any more."""
        if self._watching.pop(number, None) is not None:
            self._wire.send(node_id(pid.node, pid.incarnation), [DEMONITOR, number])

    # -- what the node tells ------------------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId, capabilities: Collection[str] = ()) -> None:
        """A link is ready, to a node that can do this."""
        self.linked.add(peer)
        self._open_door(peer, capabilities)
        self.credits.link_up(peer, capabilities)
        self.freight.link_up(peer, capabilities)
        for number, (pid, node) in self._watching.items():
            if node == peer:
                self._wire.send(peer, [MONITOR, number, pid.serial])
        self._bonds.link_up(peer)
        self._tokens.link_up(peer)
        self._look_who_is_back()
        self._notice()

    def link_down(self, peer: NodeId) -> None:
        """A link is gone: what was asked on it may have been handled, what was asked of us is unheard."""
        self.linked.discard(peer)
        self._shut_door(peer)
        self.credits.link_down(peer)
        self.freight.link_down(peer)
        for number, waiting in list(self._waiting.items()):
            if waiting.peer == peer:
                msg = f"the link to node {waiting.pid.node!r} ended before the answer came: the request may have been handled"
                self._finish(number, None, NodeDown(msg, maybe_executed=True))
        self._end_relayed(peer)
        self.system.owed.out_of_touch(peer)
        self._tell_unheard(peer)
        serving = self._serving.pop(peer, {})
        while serving:  # one that is taken back may make room for another, which is answered then
            for number in list(serving):
                if (withdraw := serving.pop(number, None)) is not None:
                    withdraw()
        for number, serial in self._watched.pop(peer, {}).items():
            self.system.remove_remote_watch(serial, (peer, number))
        self._notice()

    def look(self) -> None:
        """Liveness has changed, or time has passed: tell who watches an actor of a node that is gone."""
        now = self._wire.now()
        for number, (pid, peer) in list(self._watching.items()):
            if not self._liveness.alive(peer, now):
                del self._watching[number]
                self.system.down(number, pid, "node_down")
        self._bonds.look()
        self.system.owed.look()
        self._unheard.beat()
        self.freight.look()
        self._look_who_is_back()
        self._notice()

    def _look_who_is_back(self) -> None:
        now = self._wire.now()
        back = [pid for pid in self._gone if self._liveness.alive(node_id(pid.node, pid.incarnation), now)]
        for pid in back:
            del self._gone[pid]
        if back:
            self._wire.notice()

    def close(self) -> None:
        """This node ends: so does everything that waits."""
        self._closed = self.system.closed = True
        for peer in list(self.linked):
            self._shut_door(peer)
        self.linked.clear()
        self.credits.close()
        for number in list(self._waiting):
            self._finish(number, None, HubClosed("this node was closed before the answer came"))
        self._end_relayed(None)
        self.system.owed.close()
        self._notice()

    def _notice(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- what arrives -------------------------------------------------------------------------------------------------------

    def receive(self, peer: NodeId, message: list[Any]) -> None:
        """A message of another node's exchange. Raises `ProtocolViolation` when it makes no sense."""
        kind = message[0] if message else None
        if kind == REPLY and len(message) == 4:  # what comes alone is mostly one of three: they take no detour
            _, number, code, payload = message
            if type(kind) is type(number) is type(code) is int:
                self._take_reply(peer, number, code, payload)
                return
        elif kind == CALL and len(message) == 7:
            _, number, serial, method, chain, arguments, left = message
            if type(kind) is type(number) is type(serial) is int and type(method) is str and type(chain) is list:
                self._serve_call(peer, number, serial, method, chain, arguments, left)
                return
        elif kind == CAST and len(message) == 6:
            _, number, serial, method, chain, arguments = message
            if (
                type(kind) is type(number) is type(serial) is int
                and number == 0
                and type(method) is str
                and type(arguments) is list
                and chain == []
                and are_light(arguments)
                and self.system.deliver_notes(serial, method, 1, arguments)
            ):
                self._unheard.came(peer)
                return
        kind, items = read_shape(message)
        self._takers[kind](peer, *items)

    def knows(self, kind: object) -> bool:
        """Whether messages of this kind are for the exchange."""
        return type(kind) is int and kind in self._takers

    def _take_reply(self, peer: NodeId, number: int, code: int, payload: Any) -> None:
        asked = self._waiting.get(number)
        if asked is not None and asked.peer == peer:  # nobody speaks for another node
            self._finish(number, payload, None if code == _OK else decode_error(code, payload, self._payloads))
        else:
            self._take_relayed(peer, number, payload, code)

    def _take_withdrawal(self, peer: NodeId, number: int) -> None:
        withdraw = self._serving.get(peer, {}).pop(abs(number), None)
        if withdraw is not None:
            withdraw(expired=number < 0)

    def _take_demonitor(self, peer: NodeId, number: int) -> None:
        serial = self._watched.get(peer, {}).pop(number, 0)
        self.system.remove_remote_watch(serial, (peer, number))

    def _take_down(self, peer: NodeId, number: int, reason: str, error: Any) -> None:
        watched = self._watching.get(number)
        if watched is not None and watched[1] == peer:  # nobody speaks for another node
            cause = decode_cause(error, self._payloads)  # before anything changes: it may make no sense
            del self._watching[number]
            self.system.down(number, watched[0], reason, cause)

    def _request(self, method: str, arguments: Any, remaining: Any, chain: list[Any], *, call: bool) -> Request:
        args, kwargs = unpack_arguments(arguments, self._payloads)
        deadline = math.inf
        if remaining is not None:
            if type(remaining) not in (float, int) or not math.isfinite(remaining):
                msg = "the time that a call has left must be a finite number"
                raise ProtocolViolation(msg)
            deadline = trio.current_time() + remaining
        check_room(len(chain), CHAIN, "callers in a chain")
        if not method and (len(args) != 1 or kwargs):
            msg = "a plain message must be one value"
            raise ProtocolViolation(msg)
        kind: Kind = "call" if call else "cast" if method else "info"
        return Request(kind, method, args, kwargs, tuple(map(read_pid, chain)) if chain else (), deadline)

    def _serve_call(
        self, peer: NodeId, number: int, serial: int, method: str, chain: list[Any], arguments: Any, remaining: Any
    ) -> None:
        serving, replied = self._served(peer, number), False

        def on_reply(result: Any, error: BaseException | None) -> None:
            nonlocal replied
            replied = True
            serving.pop(number, None)
            if method == STATE and error is None:
                result = {name: shown(value, self._payloads) for name, value in result.items()}
            self._answer(peer, number, result, error)

        try:
            request = self._request(method, arguments, remaining, chain, call=True)
        except HubkitError as error:
            on_reply(None, NotSerializable(f"the arguments cannot be read on this node: {error}"))
            return
        withdraw = self.system.deliver_call_soon(serial, request, on_reply)
        if not replied:
            serving[number] = withdraw

    def _serve_cast(
        self, peer: NodeId, number: int, serial: int, method: str, chain: list[Any], arguments: Any
    ) -> None:
        if number <= 0:
            self._unheard.came(peer)
        try:
            request = self._request(method, arguments, None, chain, call=False)
        except HubkitError as error:
            text = f"the arguments cannot be read on this node: {error}"
            if number > 0:
                self._reply(peer, number, None, NotSerializable(text))
            else:
                self.system.dead_letter(str(self.system._own(serial)), (method, arguments), text)
            return
        if number <= 0:
            self.system.deliver_cast_nowait(serial, request, always=number == PASSED_ON and self._has_room(serial))
            return
        serving = self._served(peer, number)

        def done(error: Exception | None) -> None:
            serving.pop(number, None)
            self._reply(peer, number, None, error)

        try:  # in its order, and without a task
            withdraw = self.system.deliver_cast_soon(serial, request, done)
        except (HubkitError, TypeError) as error:
            self._reply(peer, number, None, error)
            return
        if withdraw is None:
            self._reply(peer, number, None, None)
        else:
            serving[number] = withdraw

    def _served(self, peer: NodeId, number: int) -> dict[int, Callable[..., object]]:
        """What is served of a node, to which this is to be added. Raises `ProtocolViolation` if it cannot be."""
        serving = self._serving.get(peer)
        if serving is None:
            serving = self._serving[peer] = {}
        if number in serving or len(serving) >= SERVED:
            check_room(len(serving), SERVED, "requests without an answer")
            msg = f"two requests have the number {number}"
            raise ProtocolViolation(msg)
        return serving

    def _has_room(self, serial: int) -> bool:
        """Whether what was passed on may be put into this mailbox though it is full."""
        cell = self.system.cells.get(serial)
        return cell is None or cell.length < cell.capacity + PASSED_ON_MOST

    def _serve_monitor(self, peer: NodeId, number: int, serial: int) -> None:
        token, watched = (peer, number), self._watched.setdefault(peer, {})
        if number in watched:
            return
        check_room(len(watched), WATCHES, "watches")

        def on_down(reason: str, error: BaseException | None) -> None:
            watched.pop(number, None)
            self._wire.send(
                peer, [DOWN, number, reason, None if error is None else encode_cause(error, self._payloads)]
            )

        watched[number] = serial
        self.system.add_remote_watch(serial, token, on_down)
