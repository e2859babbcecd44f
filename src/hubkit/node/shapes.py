"""What the messages between two exchanges look like: their kinds, lengths, and the types of their first items.

Law of this room: what is shorter than it must be, or has other types, makes no sense; what is longer is of a later release, and
what follows is left alone. The readers of the other items check them.
"""

from __future__ import annotations

from typing import Any

from hubkit.errors import ProtocolViolation
from hubkit.node.bonds import SHAPES as BONDS
from hubkit.node.credits import SHAPES as CREDITS
from hubkit.node.freight import SHAPES as FREIGHT
from hubkit.node.relays import CALL, CAST, WITHDRAW
from hubkit.node.tokens import SHAPES as TOKENS
from hubkit.node.unheard import HEARD

__all__ = ["CALLS", "CASTS", "DEMONITOR", "DOWN", "MONITOR", "REPLIES", "REPLY", "read_shape"]

# Kinds; 0 is the node's own, and other rooms have the others.
REPLY, MONITOR, DEMONITOR, DOWN = 2, 5, 6, 7
#: Many of the same in one message: see `hubkit.node.runs`.
CALLS, REPLIES, CASTS = 24, 25, 26

_SHAPES: dict[int, tuple[int, tuple[type, ...]]] = {
    CALL: (7, (int, int, int, str, list)),
    REPLY: (4, (int, int, int)),
    CAST: (6, (int, int, int, str, list)),
    WITHDRAW: (2, (int, int)),
    MONITOR: (3, (int, int, int)),
    DEMONITOR: (2, (int, int)),
    DOWN: (4, (int, int, str)),
    HEARD: (2, (int, int)),
    CALLS: (7, (int, str, bytes, bytes, list)),
    REPLIES: (3, (int, bytes, list)),
    CASTS: (5, (int, int, str, int, list)),
    **CREDITS,
    **FREIGHT,
    **BONDS,
    **TOKENS,
}
_NONE: tuple[int, tuple[type, ...]] = (-1, ())


def read_shape(message: list[Any]) -> tuple[int, list[Any]]:
    """The kind of a message, and its other items. Raises `ProtocolViolation` when it makes no sense."""
    kind = message[0] if message else None
    length, typed = _SHAPES.get(kind, _NONE) if type(kind) is int else _NONE
    if kind == DOWN and len(message) == 3:
        message = [*message, None]  # of the release before, which does not tell the error
    if length < 0 or len(message) < length or tuple(map(type, message[: len(typed)])) != typed:
        msg = f"a message of kind {kind!r:.40} that makes no sense"
        raise ProtocolViolation(msg)
    return message[0], message[1:length]
