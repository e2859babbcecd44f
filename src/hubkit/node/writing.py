"""The messages that are nearly all: calls, casts without a wait, and their answers, as bytes at once.

Law of this room: byte for byte what `hubkit.net.wire.encode_app` would make of the list; what holds more than a few light
values is left to that. So nothing on the other side differs, and to send takes a fifth of the time.
"""

from __future__ import annotations

from typing import Any

from hubkit.net.cbor import array_head, encode
from hubkit.net.scalars import array, integer, real, text
from hubkit.net.wire import APP_HEAD, CHUNK
from hubkit.node.answers import Code
from hubkit.node.relays import CALL, CAST
from hubkit.node.shapes import REPLY
from hubkit.pids import Pid

__all__ = ["NO_CHAIN", "Targets", "write_call", "write_cast", "write_chain", "write_reply"]


def _head(length: int, kind: int) -> bytes:
    return APP_HEAD + array_head(length) + integer(kind)


_CALL, _CAST, _REPLY = _head(7, CALL), _head(6, CAST) + integer(0), _head(4, REPLY)
_OK, _FOR_EVER = integer(Code.OK), encode(None)
_TARGETS, _LONG_CHAIN = 10_000, 24
NO_CHAIN = array_head(0)


class Targets:
    """Whom requests are for, as bytes: what was written once is remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], bytes] = {}

    def target(self, serial: int, method: str) -> bytes | None:
        """An actor of the node that it goes to, and a method; `None`: its name cannot be written."""
        return self._known.get((serial, method)) or self._write(serial, method)

    def _write(self, serial: int, method: str) -> bytes | None:
        name = text(method)
        if name is None:
            return None
        if len(self._known) >= _TARGETS:
            self._known.clear()
        target = self._known[serial, method] = integer(serial) + name
        return target


def write_call(number: int, target: bytes, chain: bytes, arguments: bytes, remaining: float | None) -> bytes:
    """A CALL. ``arguments``: an `array`; ``remaining``: the seconds that it has left, `None` for all the time."""
    left = _FOR_EVER if remaining is None else real(remaining)
    return b"".join((_CALL, integer(number), target, chain, arguments, left))


def write_cast(target: bytes, arguments: bytes) -> bytes:
    """A CAST that nobody waits for."""
    return b"".join((_CAST, target, NO_CHAIN, arguments))


def write_chain(chain: tuple[Pid, ...]) -> bytes | None:
    """The pids that wait for a request; `None`: they are too many."""
    callers = [array((pid.node, pid.incarnation, pid.serial)) for pid in chain]
    if len(callers) >= _LONG_CHAIN or None in callers:
        return None
    return array_head(len(callers)) + b"".join(callers)  # type: ignore[arg-type]  # none of them is `None`


def write_reply(number: int, result: Any) -> bytes | None:
    """The REPLY of a request that went well; `None`: its result is no light value, or a long one."""
    written = array((result,))
    return None if written is None or len(written) > CHUNK else b"".join((_REPLY, integer(number), _OK, written[1:]))
