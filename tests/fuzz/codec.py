"""The codec: plain values, users' values, frames of messages and their pieces."""

from __future__ import annotations

from typing import Any

from tests.fuzz.law import Door
from tests.fuzz.values import read
from tests.net.travelling import PAYLOADS, same

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net import cbor
from hubkit.net.wire import Assembler, Kind, decode_frame, encode_frame

__all__ = ["DOORS"]

_PLAIN = (type(None), bool, int, float, str, bytes)
_LIMIT = 1000  # bytes of a message in pieces


def plain(data: bytes) -> None:
    """`cbor.decode`: a plain value that survives, or `ProtocolViolation`."""
    try:
        value = cbor.decode(data)
    except ProtocolViolation:
        return
    _check_plain(value)
    assert same(cbor.decode(cbor.encode(value)), value)


def _check_plain(value: Any) -> None:
    todo = [value]
    while todo:
        part = todo.pop()
        if type(part) is list:
            todo += part
        elif type(part) is dict:
            assert all(type(key) in (str, bytes) for key in part)
            todo += part.values()
        else:
            assert type(part) in _PLAIN, type(part)
            assert type(part) is not int or -(2**64) <= part < 2**64


def payload(data: bytes) -> None:
    """`Payloads.loads`: a value that can be sent on and survives, or `ProtocolViolation`."""
    try:
        value = PAYLOADS.loads(data)
    except ProtocolViolation:
        return
    try:
        again = PAYLOADS.dumps(value)
    except NotSerializable as error:
        # What is read may be nested somewhat deeper than what is written, and nothing else.
        if "nested deeper than" not in str(error):
            raise
        return
    assert same(PAYLOADS.loads(again), value)


def frames(data: bytes) -> None:
    """`decode_frame` and `Assembler`: messages, or `ProtocolViolation`; never more in pieces than the limit."""
    assembler = Assembler(_LIMIT)
    script = read(data)
    for frame in script if type(script) is list else [data]:
        try:
            messages = decode_frame(frame if type(frame) is bytes else cbor.encode(frame))
            for message in messages:
                assert type(message) is list
                assert type(message[0]) is int
                whole = assembler.add(message) if message[0] == Kind.CHUNK else message
                assert sum(part.getbuffer().nbytes for part in assembler._parts) <= 2 * _LIMIT
                if whole is not None:
                    assert type(whole) is list
                    assert type(whole[0]) is int
                    assert whole[0] != Kind.CHUNK
                    assert same(decode_frame(encode_frame([cbor.encode(whole)])), [whole])
        except ProtocolViolation:
            return


DOORS = (Door("plain", plain), Door("payload", payload), Door("frames", frames))
