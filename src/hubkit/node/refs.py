"""Pids and refs in plain values, as they travel between nodes.

Law of this room: a ref to a child of a hub travels as the child, any other as the pid that it means now; so what arrives
means the same actor everywhere, or says that it cannot.
"""

from __future__ import annotations

from typing import Any, Protocol

from hubkit.actors.late import LateReply
from hubkit.actors.messages import NotBegun
from hubkit.actors.system import System
from hubkit.errors import NodeDown, NoSuchActor, ProtocolViolation
from hubkit.pids import ChildKey, Pid, is_sound

__all__ = ["NodeGone", "decode_ref", "encode_ref", "plain_chain", "read_pid"]


class Hints(Protocol):
    """Who makes refs, and remembers where their children were."""

    system: System

    def hint(self, key: ChildKey, pid: Pid) -> None:
        """The child ran there."""


def plain_chain(chain: tuple[Pid, ...]) -> list[Any]:
    """The callers of a request, in plain values."""
    return [[pid.node, pid.incarnation, pid.serial] for pid in chain]


def read_pid(item: Any) -> Pid:
    """The pid that another node has sent. Raises `ProtocolViolation`."""
    match item:
        case [node, incarnation, serial] if is_sound(node, incarnation, serial):
            return Pid(node, incarnation, serial)
    msg = "a pid that makes no sense"
    raise ProtocolViolation(msg)


class NodeGone(NotBegun, NodeDown):
    """The node is down, so the request did not begin: a ref that follows a child looks for its next home."""

    def __init__(self, message: str) -> None:
        NodeDown.__init__(self, message, maybe_executed=False)


def encode_ref(value: object) -> list[Any] | None:
    """A `Ref`, or the token of a late reply, in plain values; `None` for anything else.

    A child of a hub travels as such, with where it runs now as a hint; any other ref as the pid that it means now.
    """
    from hubkit.actors.ref import Ref

    if isinstance(value, LateReply):
        return [0, *value._owed.travels(value)]
    if not isinstance(value, Ref):
        return None
    pid, address = value.pid, value.address
    plain = None if pid is None else [pid.node, pid.incarnation, pid.serial]
    if isinstance(address, ChildKey) and address.hub not in value._system.directories:
        return [address.hub, address.child, plain]
    if plain is None:
        msg = f"{value!r} means no actor that runs now, so it cannot travel"
        raise NoSuchActor(msg)
    return plain


def decode_ref(exchange: Hints, value: list[Any]) -> Any:
    """The `Ref`, or token, that another node has sent."""
    match value:
        case [0, str(node), int(incarnation), int(number)]:
            return exchange.system.owed.adopt((node, incarnation, number))
        case [node, incarnation, serial] if is_sound(node, incarnation, serial):
            return exchange.system.ref(Pid(node, incarnation, serial))
        case [str(hub), str(child), pid]:
            key = ChildKey(hub, child)
            if pid is not None:
                exchange.hint(key, read_pid(pid))
            return exchange.system.ref(key)
    msg = "a ref that makes no sense"
    raise ProtocolViolation(msg)
