"""Users' values as bytes: arguments, results, messages, states.

Law of this room: a value arrives as the same value of the same types, or is refused where it is sent; and what arrives is
built only from the types named here and classes that the program has marked, at a cost that its length bounds.

Plain scalars travel as they are. Everything else is an array whose first item says what it is, for two reasons: a tuple
stays a tuple and a dict may have any keys; and nothing relies on what a CBOR library makes of tags. Only exact types
travel: a subclass (a named tuple, an enum member that is an int) would arrive as its base.

Sets and dicts are rebuilt by hashing, and numbers hash predictably: thousands of keys that collide on purpose would freeze
the process. So the hashes of large ones are counted first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.messages import find_message, message_type
from hubkit.net import cbor
from hubkit.net.cargo import BLOB, INLINE, Cargo, packed
from hubkit.pids import Pid

__all__ = ["Payloads"]

_MAX_DEPTH = 64
_MAX_INT_BYTES = 4096
_MAX_DECIMAL = 4096  # digits, about
_MAX_COLLISIONS = 32  # keys of one hash; honest values have a handful

_LIST, _TUPLE, _DICT, _SET, _FROZENSET = range(5)
_INT, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _PID, _REF, _MESSAGE, _BLOB = range(5, 16)

_PLAIN = frozenset({type(None), bool, float})  # need no look when written
_SCALARS = _PLAIN | {bytes, int, str}  # need none when read
_CAN = (
    "None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, datetime, date, time, timedelta, Decimal, UUID, "
    "refs, pids, and dataclasses marked with @hubkit.message can travel"
)

EncodeRef = Callable[[object], "list[Any] | None"]
DecodeRef = Callable[[list[Any]], object]


class _Unfit(Exception):
    """A value that cannot travel; ``path`` grows on the way out, from the inside."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []


def _no_refs(value: object) -> None:
    return None


def _unknown_ref(data: list[Any]) -> object:
    msg = "refs are not known here"
    raise ProtocolViolation(msg)


class Payloads:
    """Users' values to bytes and back.

    ``encode_ref(value)`` gives a list of plain values for those things that the floors above let travel (refs), `None` for
    anything else; ``decode_ref(list)`` rebuilds one from an equal list, or raises. Example::

        payloads = Payloads()
        assert payloads.loads(payloads.dumps({1: ("a", {2})})) == {1: ("a", {2})}
    """

    def __init__(self, *, encode_ref: EncodeRef = _no_refs, decode_ref: DecodeRef = _unknown_ref) -> None:
        self._encode_ref = encode_ref
        self._weight = 0  # of the large bytes in what is being written
        self._blobs: list[bytes] | None = None  # those that are kept out of it, if they are
        self._given: tuple[bytes, ...] = ()  # those that were kept out of what is being read
        self._encoders: dict[type, Callable[[Any, int], Any]] = {
            bytes: self._encode_bytes,
            int: _encode_int,
            str: _encode_str,
            list: lambda value, depth: self._items([_LIST], value, depth),
            tuple: lambda value, depth: self._items([_TUPLE], value, depth),
            set: lambda value, depth: self._members([_SET], value, depth),
            frozenset: lambda value, depth: self._members([_FROZENSET], value, depth),
            dict: self._encode_dict,
            **_LEAVES,
        }
        self._decoders: tuple[Callable[[list[Any]], Any], ...] = (
            self._decode_items,
            lambda data: tuple(self._decode_items(data)),
            self._decode_dict,
            lambda data: self._decode_set(data, set),
            lambda data: self._decode_set(data, frozenset),
            _decode_int,
            _decode_datetime,
            lambda data: date.fromisoformat(_text(data)),
            _decode_time,
            _decode_timedelta,
            _decode_decimal,
            _decode_uuid,
            _decode_pid,
            lambda data: decode_ref(data[1:]),
            self._decode_message,
            self._decode_blob,
        )

    def dumps(self, value: object) -> bytes:
        """The bytes of a value. Raises `NotSerializable`, which says where in the value and what is wrong."""
        return cbor.encode(self._plain(value))

    def pack(self, value: object) -> bytes | Cargo:
        """The same, as a `Cargo` if it is large. Raises `NotSerializable`, also if it is too large."""
        self._weight = 0
        plain = self._plain(value)
        blobs: list[bytes] = []
        if self._weight > INLINE:
            self._blobs = blobs
            try:
                plain = self._plain(value)
            finally:
                self._blobs = None
        return packed(cbor.encode(plain), blobs)

    def _plain(self, value: object) -> Any:
        try:
            return self._encode(value, 0)
        except _Unfit as unfit:
            where = "".join(reversed(unfit.path))
            place = f" at {where.removeprefix('.')}" if where else ""
            msg = f"a value cannot travel to another process{place}: {unfit}"
            raise NotSerializable(msg) from None

    def loads(self, data: bytes | Cargo) -> Any:
        """The value of ``data``. Raises `ProtocolViolation` for anything that `dumps` and `pack` do not write."""
        if isinstance(data, Cargo):
            self._given = data.blobs
            try:
                return self._read(data.head)
            finally:
                self._given = ()
        return self._read(data)

    def _read(self, data: bytes) -> Any:
        plain = cbor.decode(data)
        try:
            return self._decode(plain)
        except ProtocolViolation:
            raise
        except Exception as error:
            # Also what a message class raises when it is built: a value that its own class refuses is no value.
            msg = f"not a value: {type(error).__name__}: {error}"
            raise ProtocolViolation(msg) from error

    # -- writing

    def _encode(self, value: object, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if depth > _MAX_DEPTH:
            msg = f"it is nested deeper than {_MAX_DEPTH} levels, or contains itself"
            raise _Unfit(msg)
        encoder = self._encoders.get(kind)
        if encoder is not None:
            return encoder(value, depth)
        return self._encode_other(value, depth)

    def _encode_bytes(self, value: bytes, depth: int) -> Any:
        if len(value) < BLOB:
            return value
        if self._blobs is None:
            self._weight += len(value)
            return value
        self._blobs.append(value)
        return [_BLOB, len(self._blobs) - 1]

    def _items(self, out: list[Any], values: Iterable[Any], depth: int) -> list[Any]:
        encode = self._encode
        start = len(out)
        depth += 1
        try:
            for value in values:
                out.append(value if type(value) in _PLAIN else encode(value, depth))  # noqa: PERF401  # its length is the path
        except _Unfit as unfit:
            unfit.path.append(f"[{len(out) - start}]")
            raise
        return out

    def _members(self, out: list[Any], values: Iterable[Any], depth: int) -> list[Any]:
        """The members of a set, in an order that does not depend on their hashes: equal sets are equal bytes."""
        try:
            return out + sorted(self._items([], values, depth), key=repr)
        except _Unfit as unfit:
            unfit.path[-1] = "{member}"
            raise

    def _encode_dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        out: list[Any] = [_DICT]
        key: object = None
        try:
            for key, item in value.items():
                out.append(self._encode(key, depth + 1))
                out.append(self._encode(item, depth + 1))
        except _Unfit as unfit:
            unfit.path.append(f"[{_show(key, 40)}]" if len(out) % 2 == 0 else f"{{key {_show(key, 40)}}}")
            raise
        return out

    def _encode_other(self, value: object, depth: int) -> list[Any]:
        entry = message_type(type(value))
        if entry is not None:
            if entry.name is None:
                msg = f"{type(value).__qualname__} is defined inside a function, so no other process can know it"
                raise _Unfit(msg)
            out: list[Any] = [_MESSAGE, entry.name]
            for name in entry.fields:
                try:
                    out += (name, self._encode(getattr(value, name), depth + 1))
                except _Unfit as unfit:
                    unfit.path.append(f".{name}")
                    raise
            return out
        ref = self._encode_ref(value)
        if ref is not None:
            return [_REF, *ref]
        msg = f"{_show(value, 60)} is of type {type(value).__module__}.{type(value).__qualname__}; {_CAN}"
        raise _Unfit(msg)

    # -- reading

    def _decode(self, data: Any) -> Any:
        kind = type(data)
        if kind in _SCALARS:
            return data
        if kind is list and data:
            code = data[0]
            if type(code) is int and 0 <= code < len(self._decoders):
                return self._decoders[code](data)
        msg = "not a value: an unknown kind"
        raise ProtocolViolation(msg)

    def _decode_items(self, data: list[Any]) -> list[Any]:
        decode = self._decode
        items = data[1:]
        for index, item in enumerate(items):
            if type(item) not in _SCALARS:
                items[index] = decode(item)
        return items

    def _decode_dict(self, data: list[Any]) -> dict[Any, Any]:
        keys = [self._decode(key) for key in data[1::2]]
        values = [self._decode(value) for value in data[2::2]]
        if len(keys) != len(values):
            msg = "not a value: a dict with a key too many"
            raise ProtocolViolation(msg)
        _check_hashes(keys)
        made = dict(zip(keys, values, strict=True))
        _unique(made, keys)
        return made

    def _decode_set(self, data: list[Any], make: Callable[[list[Any]], Any]) -> Any:
        members = [self._decode(member) for member in data[1:]]
        _check_hashes(members)
        made = make(members)
        _unique(made, members)
        return made

    def _decode_blob(self, data: list[Any]) -> bytes:
        match data:
            case [_, int(index)] if type(index) is int and 0 <= index < len(self._given):
                return self._given[index]
        msg = "not a value: bytes that did not come with it"
        raise ProtocolViolation(msg)

    def _decode_message(self, data: list[Any]) -> object:
        name = data[1]
        entry = find_message(name) if type(name) is str else None
        if entry is None:
            msg = f"not a value: a message of type {name!r:.200}, which is not defined in this process"
            raise ProtocolViolation(msg)
        names = data[2::2]
        unknown = [field for field in names if field not in entry.fields]
        if unknown or len(names) != len(data[3::2]) or len(set(names)) != len(names):
            msg = f"not a value: {name} with the fields {names!r:.200} where {', '.join(entry.fields)} were expected"
            raise ProtocolViolation(msg)
        fields = {field: self._decode(item) for field, item in zip(names, data[3::2], strict=True)}
        value: object = entry.cls(**{field: item for field, item in fields.items() if field in entry.init})
        for field, item in fields.items():
            if field not in entry.init:
                object.__setattr__(value, field, item)
        return value


def _show(value: object, most: int) -> str:
    try:
        return f"{value!r:.{most}}"
    except Exception:
        return "<a value whose repr fails>"


def _check_hashes(keys: list[Any]) -> None:
    if len(keys) > _MAX_COLLISIONS and max(Counter(map(hash, keys)).values()) > _MAX_COLLISIONS:
        msg = "not a value: too many keys with one hash"
        raise ProtocolViolation(msg)


def _unique(made: Collection[Any], keys: list[Any]) -> None:
    if len(made) != len(keys):
        msg = "not a value: a key twice"
        raise ProtocolViolation(msg)


# -- leaves, written


def _encode_int(value: int, depth: int) -> Any:
    if -0x8000_0000_0000_0000 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        return value
    size = (value.bit_length() + 8) // 8
    if size > _MAX_INT_BYTES:
        msg = f"an int of {size:,} bytes: at most {_MAX_INT_BYTES:,} can travel"
        raise _Unfit(msg)
    return [_INT, value.to_bytes(size, "big", signed=True)]


def _encode_str(value: str, depth: int) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            msg = f"the text {value!r:.60} holds half a surrogate pair, which no encoding can carry"
            raise _Unfit(msg) from None
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
        raise _Unfit(msg)
    return zone.utcoffset(None) // timedelta(microseconds=1)


def _encode_decimal(value: Decimal, depth: int) -> list[Any]:
    text = str(value)
    if len(text) > _MAX_DECIMAL:
        msg = f"a Decimal of {len(text):,} characters: at most {_MAX_DECIMAL:,} can travel"
        raise _Unfit(msg)
    return [_DECIMAL, text]


_LEAVES: dict[type, Callable[[Any, int], Any]] = {
    datetime: _encode_datetime,
    date: lambda value, depth: [_DATE, value.isoformat()],
    time: _encode_time,
    timedelta: lambda value, depth: [_TIMEDELTA, value.days, value.seconds, value.microseconds],
    Decimal: _encode_decimal,
    UUID: lambda value, depth: [_UUID, value.bytes],
    Pid: lambda value, depth: [_PID, value.node, value.incarnation, value.serial],
}


# -- leaves, read


def _malformed(what: str) -> NoReturn:
    msg = f"not a value: a malformed {what}"
    raise ProtocolViolation(msg)


def _text(data: list[Any]) -> str:
    if len(data) != 2 or type(data[1]) is not str:
        _malformed("date")
    return data[1]


def _decode_int(data: list[Any]) -> int:
    match data:
        case [_, bytes(digits)] if 8 <= len(digits) <= _MAX_INT_BYTES:
            return int.from_bytes(digits, "big", signed=True)
    _malformed("int")


def _decode_datetime(data: list[Any]) -> datetime:
    match data:
        case [_, str(text), (0 | 1) as fold, offset] if len(text) <= 32:
            return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(offset))
    _malformed("datetime")


def _decode_time(data: list[Any]) -> time:
    match data:
        case [_, str(text), (0 | 1) as fold, offset] if len(text) <= 32:
            return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone(offset))
    _malformed("time")


def _zone(offset: int | None) -> timezone | None:
    if not offset:
        return None if offset is None else UTC
    return timezone(timedelta(microseconds=offset))


def _decode_timedelta(data: list[Any]) -> timedelta:
    match data:
        case [_, int(days), int(seconds), int(microseconds)] if 0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000:
            return timedelta(days, seconds, microseconds)
    _malformed("timedelta")


def _decode_decimal(data: list[Any]) -> Decimal:
    match data:
        case [_, str(text)] if len(text) <= _MAX_DECIMAL and text.isascii():
            return Decimal(text)
    _malformed("Decimal")


def _decode_uuid(data: list[Any]) -> UUID:
    match data:
        case [_, bytes(octets)] if len(octets) == 16:
            return UUID(bytes=octets)
    _malformed("UUID")


def _decode_pid(data: list[Any]) -> Pid:
    match data:
        case [_, str(node), int(incarnation), int(serial)] if node and incarnation >= 0 and serial >= 0:
            return Pid(node, incarnation, serial)
    _malformed("pid")
