"""Arguments and results on the wire: light ones as they are, all others as the bytes of a payload.

Law of this room: what is read is what was written, types and all. Most requests carry a few numbers and words; those need
no codec of their own, and skipping it saves a third of a remote call. Light are `None`, `bool`, `float`, `str` and `int`
of 63 bits, of exactly these types; bytes on the wire always mean a payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import trio

from hubkit.errors import HubkitError, NotSerializable, ProtocolViolation
from hubkit.net.cargo import MAX_HEAD, Cargo
from hubkit.net.lengthy import Slices
from hubkit.net.payload import Payloads
from hubkit.pids import NodeId, name_of

__all__ = [
    "MANIFOLD",
    "are_light",
    "load",
    "load_arguments",
    "pack",
    "pack_arguments",
    "shown",
    "slowly",
    "unpack",
    "unpack_arguments",
    "whole",
]

#: In the place of a value that has too many parts to be written in one go: it is to be written `slowly`.
MANIFOLD: Final = Cargo(b"")

_LIGHT: frozenset[type] = frozenset({type(None), bool, float, str})
_INT: int = 1 << 63
#: Where an object is in memory, as the plain ``repr`` of objects ends.
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def _is_light(value: object) -> bool:
    return are_light((value,))


def are_light(values: Iterable[object]) -> bool:
    """Whether all of these are light."""
    for value in values:
        kind = type(value)
        if kind not in _LIGHT and (kind is not int or not -_INT <= value < _INT):  # type: ignore[operator]  # it is an int
            return False
    return True


def pack(value: object, payloads: Payloads) -> Any:
    """A result for the wire. Raises `NotSerializable`."""
    return value if _is_light(value) else payloads.dumps(value)


async def slowly(slices: Slices) -> Any:
    """What comes of it, while others run between its slices."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value
        await trio.lowlevel.checkpoint()


def load(value: object, payloads: Payloads) -> Any:
    """A result for the wire; a `Cargo` if it is too large for one message, or `MANIFOLD`. Raises `NotSerializable`."""
    return value if _is_light(value) else _packed(value, payloads)


def _packed(value: object, payloads: Payloads) -> Any:
    data = payloads.pack(value)
    return MANIFOLD if data is None else data


def whole(cargo: Cargo, payloads: Payloads, peer: NodeId) -> bytes:
    """The same for a node of the release before, which takes one message. Raises `NotSerializable`."""
    if cargo.size > MAX_HEAD:
        msg = (
            f"a value of {cargo.size:,} bytes cannot travel to node {name_of(peer)!r}: that is of a release which takes "
            f"{MAX_HEAD:,} bytes at most; upgrade it, or send it in several messages"
        )
        raise NotSerializable(msg)
    return payloads.dumps(payloads.loads(cargo))


def unpack(data: Any, payloads: Payloads) -> Any:
    """A result from the wire. Raises `ProtocolViolation`."""
    kind = type(data)
    if kind in _LIGHT or (kind is int and -_INT <= data < _INT):
        return data
    if kind is bytes or kind is Cargo:
        return payloads.loads(data)
    msg = "a result that is neither a light value nor a payload"
    raise ProtocolViolation(msg)


def shown(value: object, payloads: Payloads) -> object:
    """The value, if it can travel; else how it looks, without addresses: they mean nothing elsewhere. Never raises."""
    try:
        pack(value, payloads)
    except HubkitError:
        try:
            return _ADDRESS.sub("", repr(value))[:1000]
        except Exception as error:  # a user's __repr__ may raise anything
            return f"(its repr raised {type(error).__name__})"
    return value


def pack_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], payloads: Payloads) -> Any:
    """The arguments of a request for the wire. Raises `NotSerializable`."""
    if not kwargs and are_light(args):
        return list(args)
    return payloads.dumps([list(args), dict(kwargs)])


def load_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], payloads: Payloads) -> Any:
    """The arguments of a request for the wire, a `Cargo`, or `MANIFOLD`. Raises `NotSerializable`."""
    if not kwargs and are_light(args):
        return list(args)
    return _packed([list(args), dict(kwargs)], payloads)


def unpack_arguments(data: Any, payloads: Payloads) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a request from the wire. Raises `ProtocolViolation`."""
    if type(data) is list and are_light(data):
        return tuple(data), {}
    value = payloads.loads(data) if type(data) is bytes or type(data) is Cargo else None
    if type(value) is not list or [type(part) for part in value] != [list, dict]:
        msg = "the arguments of a request must be a list of light values, or a payload of a list and a dict"
        raise ProtocolViolation(msg)
    args, kwargs = value
    if not all(type(name) is str for name in kwargs):
        msg = "the names of arguments must be text"
        raise ProtocolViolation(msg)
    return tuple(args), kwargs
