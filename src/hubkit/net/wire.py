"""What travels between two nodes that know each other: frames of messages.

Law of this room: a frame is one CBOR array of messages; a message is an array whose first item says its kind; the order
of messages within a lane is the order in which they were given. A message above `CHUNK` bytes travels in pieces, so that
heartbeats and other urgent messages slip between them; each lane has at most one message in pieces at any time, so
reassembly needs no more than one buffer a lane.

======== ======================================= ==================================================================
kind     message                                 meaning
======== ======================================= ==================================================================
BEAT     ``[1, {node id: beat}]``                I live, and so did these, by the newest beat I know of
PEERS    ``[2, [[node id, address], ...]]``      these are linked to me; keep links to them
CHUNK    ``[3, lane, last, bytes]``              a piece of an encoded message
GOODBYE  ``[4]``                                 my process leaves; do not take the link's end for a failure
CLOSE    ``[5, reason]``                         this link ends, my process lives on
UNKNOWN  ``[6, kind]``                           I do not know messages of this kind, and have done nothing (version 2)
PING     ``[7, number]``                         answer this at once (sent to who says that it does: ``ping.1``)
PONG     ``[8, number]``                         the answer
APP      ``[16, message]``                       for the floor above
======== ======================================= ==================================================================

What a message has beyond these items is of a later release, and ignored; a kind that is not known is answered.
"""

from __future__ import annotations

from enum import IntEnum
from io import BytesIO
from typing import Any, cast

import cbor2

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net import cbor

__all__ = [
    "APP_HEAD",
    "BULK",
    "CHUNK",
    "COUNTED",
    "MAX_MESSAGE",
    "URGENT",
    "Assembler",
    "Kind",
    "chunk",
    "decode_frame",
    "encode",
    "encode_app",
    "encode_frame",
]

#: Messages above this many bytes travel in pieces of this size; frames are not filled much beyond it.
CHUNK = 256 * 1024
#: For how many messages one may count: see `hubkit.net.outbox.Growing`.
COUNTED = 1024
#: The largest message, encoded.
MAX_MESSAGE = 64 * 1024 * 1024

URGENT = 0
BULK = 1


class Kind(IntEnum):
    """The first item of every message."""

    BEAT = 1
    PEERS = 2
    CHUNK = 3
    GOODBYE = 4
    CLOSE = 5
    UNKNOWN = 6
    PING = 7
    PONG = 8
    APP = 16


_APP = int(Kind.APP)
#: What a message for the floor above begins with; the message itself follows.
APP_HEAD: bytes = cbor.encode([_APP, 0])[:-1]


def encode(kind: Kind, *items: object) -> bytes:
    """One message of the mesh's own."""
    return cbor.encode([int(kind), *items])


def encode_app(message: list[Any]) -> bytes:
    """A message of the floor above, which is nested at most 60 deep. Raises `NotSerializable` if it can never travel."""
    try:
        large = message and type(message[-1]) is bytes
        data = cbor.encode_ending([_APP, message]) if large else cbor.encode([_APP, message])
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        msg = f"a message between nodes holds a value that cannot travel: {error}"
        raise NotSerializable(msg) from error
    if len(data) > MAX_MESSAGE:
        msg = (
            f"a message of {len(data):,} bytes is too large to travel: at most {MAX_MESSAGE:,} bytes can; "
            "calls, casts and sends that are awaited carry more"
        )
        raise NotSerializable(msg)
    if cbor.is_too_much(data):
        msg = f"a message of more than {cbor.ITEMS:,} items is too large to travel"
        raise NotSerializable(msg)
    return data


def encode_frame(messages: list[bytes]) -> bytes:
    """One frame of messages that are encoded already (at most 65,535 of them)."""
    return cbor.array_head(len(messages)) + b"".join(messages)


def decode_frame(frame: bytes | bytearray) -> list[list[Any]]:
    """The messages of a frame. What they hold is for their readers to check. Raises `ProtocolViolation`."""
    messages = cbor.decode_ending(frame)
    if type(messages) is not list:
        msg = "a frame is not an array of messages"
        raise ProtocolViolation(msg)
    for message in messages:
        _check(message)
    return cast("list[list[Any]]", messages)


def _check(message: object) -> None:
    if type(message) is not list or not message or type(message[0]) is not int:
        msg = "a message is not an array that begins with its kind"
        raise ProtocolViolation(msg)


def chunk(lane: int, data: bytes, *, last: bool) -> bytes:
    """One piece of a large message, as a message."""
    return cbor.encode_ending([int(Kind.CHUNK), lane, last, data])


class Assembler:
    """Joins the pieces of large messages again: one of each lane at a time, none above ``limit`` bytes."""

    __slots__ = ("_limit", "_parts", "_sizes")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._parts = [BytesIO(), BytesIO()]
        self._sizes = [0, 0]

    def add(self, piece: list[Any]) -> list[Any] | None:
        """Take a CHUNK message; returns the whole message if this was its last piece. Raises `ProtocolViolation`."""
        match piece:
            case [_, int(lane), bool(last), bytes(data), *_] if lane in (URGENT, BULK) and type(lane) is int and data:
                pass
            case _:
                msg = "a piece of a message is malformed"
                raise ProtocolViolation(msg)
        self._sizes[lane] += len(data)
        if self._sizes[lane] > self._limit:
            msg = f"a message exceeds {self._limit:,} bytes"
            raise ProtocolViolation(msg)
        self._parts[lane].write(data)  # each piece when it comes: to join them in the end would hold up everybody
        if not last:
            return None
        whole, self._parts[lane] = self._parts[lane], BytesIO()
        self._sizes[lane] = 0
        whole.seek(0)
        message = cbor.decode(whole)
        _check(message)
        if message[0] == Kind.CHUNK:
            msg = "a message in pieces is itself a piece"
            raise ProtocolViolation(msg)
        return cast("list[Any]", message)
