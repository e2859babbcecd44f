"""A network of real sockets on this machine's loopback, whose ways can be cut: `LoopbackNetwork`.

Law of this room: every connection is one, made and broken by the kernel. A host is a port that stays its own from life to
life; a process that dies loses all its sockets in one moment, listening and connected, without doing anything for it. What is
cut from whom is kept by a `SimulatedNetwork` without any frames on it, so that both networks mean the same by the same words.

What cannot be had for real in one process:

* *A machine that vanishes* (``silent``): its sockets stay open and are never read. Its kernel goes on to take connections, so
  a dial to it hears nothing after that, instead of nothing at all; either way it fails for want of an answer. What the kernel
  took is reset when the machine starts again.
* *A connection that is open at one end only*: the kernel tells both at once; the news is kept from one end, until it sends.
* *Bandwidth, and breaks by chance*: `ConfigurationError`. Latency and jitter are had by holding frames back at their end.
"""

from __future__ import annotations

import contextvars
import math
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from hubkit.errors import ConfigurationError, DialFailed
from hubkit.net.address import Address, parse
from hubkit.net.gate import Visit
from hubkit.net.simulated import Cut, SimulatedNetwork
from hubkit.net.switchboard import Conditions
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing.cuttable import CuttableLink, Wire, reset

if TYPE_CHECKING:
    from random import Random

__all__ = ["LoopbackCut", "LoopbackNetwork", "LoopbackTransport"]

_HERE = "127.0.0.1"
_DIAL_WITHIN = 5.0  # seconds for the answer to a dial
_MANY = 1 << 16  # connections of one address

Socket = trio.socket.SocketType
_notebook: contextvars.ContextVar[Callable[[Socket], None] | None] = contextvars.ContextVar(
    "hubkit sockets", default=None
)


class _Workshop(trio.abc.SocketFactory):
    """Makes all sockets of a run, and notes each with whoever has it made."""

    def socket(
        self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0
    ) -> trio.socket.SocketType:
        """A new socket."""
        made = trio.socket.from_stdlib_socket(socket.socket(family, type, proto))
        note = _notebook.get()
        if note is not None:
            note(made)
        return made


@contextmanager
def _noting(note: Callable[[Socket], None]) -> Iterator[None]:
    """Sockets that are made meanwhile, by this task and for it, are noted."""
    token = _notebook.set(note)
    try:
        yield
    finally:
        _notebook.reset(token)


class _Listening(WebSocketTransport):
    """The real transport; it tells of every connection that comes in, and of the link that comes of it."""

    def __init__(self, listen: str, note: Callable[[Socket], None], met: Callable[[Link, Socket], Link]) -> None:
        super().__init__(listen, opening=_DIAL_WITHIN, per_address=_MANY)  # all hosts have one address
        self._note, self._met = note, met

    async def _handle(
        self, stream: trio.SocketStream, remote: str, visit: Visit, accept: Callable[[Link], Awaitable[None]]
    ) -> None:
        self._note(stream.socket)

        async def meet(inner: Link) -> None:
            link = self._met(inner, stream.socket)
            try:
                await accept(link)
            finally:
                await link.aclose()

        await super()._handle(stream, remote, visit, meet)


class LoopbackTransport:
    """See `hubkit.net.transport.Transport`. Each is one process on ``host``, with all its sockets."""

    def __init__(self, network: LoopbackNetwork, host: str, address: str) -> None:
        self.host: str = host
        self.is_dead: bool = False
        self._network, self._address = network, address
        self._inner = _Listening(address, self._note, self._met)
        self._sockets: list[Socket] = []

    def __repr__(self) -> str:
        return f"<LoopbackTransport of {self.host} at {self._address}>"

    def _note(self, one: Socket) -> None:
        self._sockets = [other for other in self._sockets if other.fileno() >= 0]
        self._sockets.append(one)
        if self.is_dead:
            reset(one)

    def die(self, *, silent: bool) -> None:
        """The process is gone. Its kernel resets all its connections, and refuses new ones; ``silent``: it does not."""
        self.is_dead = True
        if not silent:
            for one in self._sockets:
                reset(one)
            self._sockets.clear()

    async def open(self) -> str | None:
        """Listen at the host's port. Raises `ConfigurationError` if it cannot be had."""
        if self.is_dead:
            await trio.lowlevel.checkpoint()
            return self._address
        with _noting(self._note):
            return await self._inner.open()

    async def serve(
        self,
        accept: Callable[[Link], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hand every new link to ``accept``, until cancelled."""
        await self.open()
        try:
            await self._inner.serve(accept, task_status=task_status)
        except Exception:
            if not self.is_dead:
                raise
        await trio.sleep_forever()  # the port was taken away from a dead process

    def _met(self, inner: Link, own: Socket) -> Link:
        """The link for a connection that was accepted: one that can be cut, if another host of this network dialled it."""
        try:
            name = own.getpeername()
        except OSError:
            return inner  # it has ended already
        wire = self._network.wire_from(name, self.host)
        if wire is None:
            return inner
        wire.far = CuttableLink(inner, wire, self._network, own, dialing=False)
        return wire.far

    async def dial(self, address: str) -> Link:
        """A new link to the host that has this address. While the way there or back is cut, the dial waits."""
        target = parse(address, "the address to dial")
        if self.is_dead:
            await trio.lowlevel.checkpoint()
            msg = f"no link to {target}: this host has crashed"
            raise DialFailed(msg)
        wire = self._network.dialled(self.host, target)
        if wire is None:
            return await self._inner.dial(address)

        def note(one: Socket) -> None:
            self._note(one)
            wire.sockets.append(one)

        try:
            with trio.move_on_after(_DIAL_WITHIN):
                await self._network.free(wire)
                with _noting(note):
                    inner = await self._inner.dial(address)
                own = next((one for one in wire.sockets if one.fileno() >= 0), wire.sockets[-1])
                wire.near = CuttableLink(inner, wire, self._network, own, dialing=True)
                self._network.observe("link", wire.dialer, wire.acceptor, f"link {wire.number}")
                return wire.near
        finally:
            wire.is_dialling = False
            self._network.ended(wire)
        msg = f"no link to {target}: no answer within {_DIAL_WITHIN:g} s"
        raise DialFailed(msg)


class LoopbackCut:
    """One partition, to be healed alone."""

    def __init__(self, cut: Cut, healed: Callable[[], None]) -> None:
        self._cut, self._healed = cut, healed

    def __repr__(self) -> str:
        return repr(self._cut)

    def heal(self) -> None:
        """End this cut; other cuts stay. Raises `ConfigurationError` if it has been healed."""
        self._cut.heal()
        self._healed()


class _Host:
    """A port of its own, and the process that has it now."""

    def __init__(self, name: str) -> None:
        self.transport: LoopbackTransport | None = None
        self.reservation = socket.socket()
        try:
            self.reservation.bind((_HERE, 0))
            self.port: int = self.reservation.getsockname()[1]
            # On Linux a port that is bound so can be listened at by others, and is given to nobody who wants any free one.
            self.reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError as error:
            self.reservation.close()
            msg = f"there is no port for node {name!r} on {_HERE}: {error.strerror or error}"
            raise ConfigurationError(msg) from error
        if sys.platform != "linux":
            self.reservation.close()
        self.address: str = str(Address(secure=False, host=_HERE, port=self.port))


class LoopbackNetwork:
    """See the room's law. ``random``: for the jitter. ``observe(kind, node, peer, text)`` is told of all that happens.

    It is used in one trio run. After `close`, nothing of it is left.
    """

    def __init__(self, random: Random, *, observe: Callable[[str, str, str, str], None]) -> None:
        self.observe: Callable[[str, str, str, str], None] = observe
        self._random = random
        self._ways = SimulatedNetwork(0)
        self._hosts: dict[str, _Host] = {}
        self._slow: dict[tuple[str, str], tuple[float, float]] = {}
        self._wires: dict[int, Wire] = {}
        self._dials = 0
        self._waiting = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<LoopbackNetwork of {len(self._hosts)} hosts, {len(self._wires)} links>"

    # -- hosts

    def transport(self, name: str) -> LoopbackTransport:
        """A new process's transport. What is left of older lives of this host is reset: its port belongs to this one now."""
        address = self.address(name)
        host = self._hosts[name]
        trio.socket.set_custom_socket_factory(_Workshop())
        if host.transport is not None:
            self._die(host.transport, silent=False)
        host.transport = LoopbackTransport(self, name, address)
        return host.transport

    def address(self, name: str) -> str:
        """Where this host listens, will listen, or has listened. Raises `ConfigurationError` if there is no port for it."""
        if name not in self._hosts:
            self._ways.address(name)
            self._hosts[name] = _Host(name)
        return self._hosts[name].address

    def crash(self, name: str, *, silent: bool = False) -> None:
        """The process on this host is gone at once, and its connections are reset; ``silent``: they are never read again."""
        self.reaches(name, name)  # knows the name, or says that there is no such host
        transport = self._hosts[name].transport
        if transport is not None:
            self._die(transport, silent=silent)

    def _die(self, transport: LoopbackTransport, *, silent: bool) -> None:
        for end in [end for wire in self._wires.values() for end in wire.ends if end.host == transport.host]:
            end.abandon()
        transport.die(silent=silent)

    def close(self) -> None:
        """End everything: all connections are reset, and all ports are given back."""
        for host in self._hosts.values():
            if host.transport is not None:
                self._die(host.transport, silent=False)
            host.reservation.close()
        self._stir()

    # -- wires

    def dialled(self, host: str, target: Address) -> Wire | None:
        """A host dials: what becomes of it. `None`: the address is none of this network's."""
        found = (name for name, other in self._hosts.items() if other.port == target.port)
        acceptor = next(found, None) if target.is_loopback else None
        self._dials += 1
        self.observe("dial", host, str(target) if acceptor is None else acceptor, f"link {self._dials}")
        if acceptor is None:
            return None
        wire = self._wires[self._dials] = Wire(self._dials, host, acceptor)
        return wire

    def wire_from(self, name: object, host: str) -> Wire | None:
        """The dial to ``host`` from the socket of this name; `None`: somebody else's."""
        waiting = (wire for wire in self._wires.values() if wire.acceptor == host and wire.far is None)
        return next((wire for wire in waiting if wire.is_dialled_from(name)), None)

    async def free(self, wire: Wire) -> None:
        """Return when a dial can get there, and its answer back."""
        while not (self.reaches(wire.dialer, wire.acceptor) and self.reaches(wire.acceptor, wire.dialer)):
            await self._waiting.park()

    def ended(self, wire: Wire) -> None:
        """See `hubkit.testing.cuttable.Surroundings`."""
        if not wire.is_dialling and all(end.has_ended for end in wire.ends):
            self._wires.pop(wire.number, None)

    def _stir(self) -> None:
        self._waiting.unpark_all()
        for wire in self._wires.values():
            for end in wire.ends:
                end.stir()

    # -- the ways between them

    def partition(self, *groups: Iterable[str], one_way: bool = False) -> LoopbackCut:
        """Cut groups of hosts off from each other, as `SimulatedNetwork.partition`."""
        return LoopbackCut(self._ways.partition(*groups, one_way=one_way), self._stir)

    def heal(self) -> None:
        """End all cuts. Raises `ConfigurationError` if there is none."""
        self._ways.heal()
        self._stir()

    def hold(self, a: str, b: str) -> None:
        """Hold all that travels between two hosts, both ways, until `release`."""
        self._ways.hold(a, b)

    def release(self, a: str, b: str) -> None:
        """End a `hold`."""
        self._ways.release(a, b)
        self._stir()

    def reaches(self, a: str, b: str) -> bool:
        """Whether what ``a`` sends arrives at ``b``, as far as cuts and holds are concerned."""
        return self._ways.reaches(a, b)

    def link(
        self,
        a: str,
        b: str,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
        break_rate: float | None = None,
    ) -> Conditions:
        """Let frames take so long, on top of what they take anyway; returns what was. The rest is a `ConfigurationError`."""
        for name, value in (("bandwidth", bandwidth), ("break_rate", break_rate)):
            if value is not None:
                msg = (
                    f"{name} cannot be had on real sockets, {name}={value!r:.80} was given: leave it out (latency and "
                    "jitter can be had), or run the scenario on the simulated network"
                )
                raise ConfigurationError(msg)
        self._ways.link(a, b, latency=latency, jitter=jitter)
        pair = (a, b) if a <= b else (b, a)
        old = self._slow.get(pair, (0.0, 0.0))
        self._slow[pair] = (old[0] if latency is None else latency, old[1] if jitter is None else jitter)
        return Conditions(*old, bandwidth=math.inf, break_rate=0.0)

    def delay(self, a: str, b: str) -> float:
        """For how many seconds a frame is to be on its way."""
        latency, jitter = self._slow.get((a, b) if a <= b else (b, a), (0.0, 0.0))
        return latency + jitter * self._random.random() if jitter else latency

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        """Reset the connections between two hosts, or all of ``a``'s; returns how many. ``half_open``: see above."""
        self._ways.break_links(a, b)  # knows both names, or says what is wrong with them
        ends = [end for wire in self._wires.values() for end in wire.ends if end.host == a and not end.has_ended]
        ends = [end for end in ends if b is None or end.peer == b]
        for end in ends:
            end.snap("the connection broke", half=half_open)
        return len(ends)
