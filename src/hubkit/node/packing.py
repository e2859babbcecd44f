"""Arguments and results on the wire: light ones as they are, all others as the bytes of a payload.

Law of this room: what is read is what was written, types and all. Most requests carry a few numbers and words; those need
no codec of their own, and skipping it saves a third of a remote call. Light are `None`, `bool`, `float`, `str` and `int`
of 63 bits, of exactly these types; bytes on the wire always mean a payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubkit.errors import HubkitError, ProtocolViolation
from hubkit.net.payload import Payloads

__all__ = ["pack", "pack_arguments", "shown", "unpack", "unpack_arguments"]

_LIGHT: frozenset[type] = frozenset({type(None), bool, float, str})
_INT: int = 1 << 63


def _is_light(value: object) -> bool:
    kind = type(value)
    return kind in _LIGHT or (kind is int and -_INT <= value < _INT)  # type: ignore[operator]  # it is an int


def pack(value: object, payloads: Payloads) -> Any:
    """A result for the wire. Raises `NotSerializable`."""
    return value if _is_light(value) else payloads.dumps(value)


def unpack(data: Any, payloads: Payloads) -> Any:
    """A result from the wire. Raises `ProtocolViolation`."""
    if type(data) is bytes:
        return payloads.loads(data)
    if _is_light(data):
        return data
    msg = "a result that is neither a light value nor a payload"
    raise ProtocolViolation(msg)


def shown(value: object, payloads: Payloads) -> object:
    """The value, if it can travel; else how it looks. Never raises."""
    try:
        pack(value, payloads)
    except HubkitError:
        try:
            return repr(value)[:1000]
        except Exception as error:  # a user's __repr__ may raise anything
            return f"(its repr raised {type(error).__name__})"
    return value


def pack_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], payloads: Payloads) -> Any:
    """The arguments of a request for the wire. Raises `NotSerializable`."""
    if not kwargs and all(map(_is_light, args)):
        return list(args)
    return payloads.dumps([list(args), dict(kwargs)])


def unpack_arguments(data: Any, payloads: Payloads) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a request from the wire. Raises `ProtocolViolation`."""
    if type(data) is list and all(map(_is_light, data)):
        return tuple(data), {}
    value = payloads.loads(data) if type(data) is bytes else None
    if type(value) is not list or [type(part) for part in value] != [list, dict]:
        msg = "the arguments of a request must be a list of light values, or a payload of a list and a dict"
        raise ProtocolViolation(msg)
    args, kwargs = value
    if not all(type(name) is str for name in kwargs):
        msg = "the names of arguments must be text"
        raise ProtocolViolation(msg)
    return tuple(args), kwargs
