"""The smallest parts of users' values, as plain ones and back: numbers, texts, moments, pids.

Law of this room: that of `hubkit.net.payload`, whose part it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from hubkit.errors import ProtocolViolation
from hubkit.pids import Pid, is_sound

__all__ = ["WRITTEN", "Unfit", "decode_datetime", "decode_decimal", "decode_int", "decode_pid", "decode_time",
           "decode_timedelta", "decode_uuid", "encode_int", "encode_str", "text_of"]  # fmt: skip

_MAX_INT_BYTES = 4096
_MAX_DECIMAL = 4096  # digits, about

#: The codes of these parts; `hubkit.net.payload` has the others.
_INT, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _PID = range(5, 13)


class Unfit(Exception):
    """A value that cannot travel; ``path`` grows on the way out, from the inside."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []


# -- leaves, written


def encode_int(value: int, depth: int) -> Any:
    if -0x8000_0000_0000_0000 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        return value
    size = (value.bit_length() + 8) // 8
    if size > _MAX_INT_BYTES:
        msg = f"an int of {size:,} bytes: at most {_MAX_INT_BYTES:,} can travel"
        raise Unfit(msg)
    return [_INT, value.to_bytes(size, "big", signed=True)]


def encode_str(value: str, depth: int) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            msg = f"the text {value!r:.60} holds half a surrogate pair, which no encoding can carry"
            raise Unfit(msg) from None
    return value


def _encode_datetime(value: datetime, depth: int) -> list[Any]:
    return [_DATETIME, value.replace(tzinfo=None).isoformat(), value.fold, _offset(value.tzinfo)]


def _encode_time(value: time, depth: int) -> list[Any]:
    return [_TIME, value.replace(tzinfo=None).isoformat(), value.fold, _offset(value.tzinfo)]


def _offset(zone: tzinfo | None) -> int | None:
    """A zone of a fixed offset, in microseconds east."""
    if zone is None:
        return None
    if type(zone) is not timezone:
        msg = f"the time zone {zone!r:.60} is no fixed offset; use value.astimezone(datetime.timezone.utc)"
        raise Unfit(msg)
    return zone.utcoffset(None) // timedelta(microseconds=1)


def _encode_decimal(value: Decimal, depth: int) -> list[Any]:
    text = str(value)
    if len(text) > _MAX_DECIMAL:
        msg = f"a Decimal of {len(text):,} characters: at most {_MAX_DECIMAL:,} can travel"
        raise Unfit(msg)
    return [_DECIMAL, text]


def _encode_pid(value: Pid, depth: int) -> list[Any]:
    if not is_sound(value.node, value.incarnation, value.serial):
        msg = f"{value!r:.200} is the pid of no actor"
        raise Unfit(msg)
    return [_PID, value.node, value.incarnation, value.serial]


WRITTEN: dict[type, Callable[[Any, int], Any]] = {
    datetime: _encode_datetime,
    date: lambda value, depth: [_DATE, value.isoformat()],
    time: _encode_time,
    timedelta: lambda value, depth: [_TIMEDELTA, value.days, value.seconds, value.microseconds],
    Decimal: _encode_decimal,
    UUID: lambda value, depth: [_UUID, value.bytes],
    Pid: _encode_pid,
}


# -- leaves, read


def _malformed(what: str) -> NoReturn:
    msg = f"not a value: a malformed {what}"
    raise ProtocolViolation(msg)


def text_of(data: list[Any]) -> str:
    if len(data) != 2 or type(data[1]) is not str:
        _malformed("date")
    return data[1]


def decode_int(data: list[Any]) -> int:
    match data:
        case [_, bytes(digits)] if 8 <= len(digits) <= _MAX_INT_BYTES:
            return int.from_bytes(digits, "big", signed=True)
    _malformed("int")


def decode_datetime(data: list[Any]) -> datetime:
    match data:
        case [_, str(text), (0 | 1) as fold, offset] if len(text) <= 32:
            return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(offset))
    _malformed("datetime")


def decode_time(data: list[Any]) -> time:
    match data:
        case [_, str(text), (0 | 1) as fold, offset] if len(text) <= 32:
            return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone(offset))
    _malformed("time")


def _zone(offset: int | None) -> timezone | None:
    if not offset:
        return None if offset is None else UTC
    return timezone(timedelta(microseconds=offset))


def decode_timedelta(data: list[Any]) -> timedelta:
    match data:
        case [_, int(days), int(seconds), int(microseconds)] if 0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000:
            return timedelta(days, seconds, microseconds)
    _malformed("timedelta")


def decode_decimal(data: list[Any]) -> Decimal:
    match data:
        case [_, str(text)] if len(text) <= _MAX_DECIMAL and text.isascii():
            value = Decimal(text)
            if len(str(value)) <= _MAX_DECIMAL:  # it may be written otherwise than it was
                return value
    _malformed("Decimal")


def decode_uuid(data: list[Any]) -> UUID:
    match data:
        case [_, bytes(octets)] if len(octets) == 16:
            return UUID(bytes=octets)
    _malformed("UUID")


def decode_pid(data: list[Any]) -> Pid:
    match data:
        case [_, node, incarnation, serial] if node and is_sound(node, incarnation, serial):
            return Pid(node, incarnation, serial)
    _malformed("pid")
