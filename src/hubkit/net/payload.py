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
from collections.abc import Callable, Collection
from datetime import date
from typing import Any

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.messages import find_message, message_type
from hubkit.net import cbor
from hubkit.net.cargo import BLOB, INLINE, Cargo, packed
from hubkit.net.leaves import (
    WRITTEN,
    Unfit,
    decode_datetime,
    decode_decimal,
    decode_int,
    decode_pid,
    decode_time,
    decode_timedelta,
    decode_uuid,
    encode_int,
    encode_str,
    text_of,
)
from hubkit.net.lengthy import COLLISIONS, LONG_TEXT, MANY, Heavy, Slices, exhaust, is_long, opens, read, write

__all__ = ["Payloads"]

_MAX_DEPTH = 64

_LIST, _TUPLE, _DICT, _SET, _FROZENSET = range(5)
_REF, _MESSAGE, _BLOB = range(13, 16)  # and those before, in `hubkit.net.leaves`

_PLAIN = frozenset({type(None), bool, float})  # need no look when written
_SCALARS = _PLAIN | {bytes, int, str}  # need none when read
_CAN = (
    "None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, datetime, date, time, timedelta, Decimal, UUID, "
    "refs, pids, and dataclasses marked with @hubkit.message can travel"
)

_NO_LIMIT = 1 << 62

EncodeRef = Callable[[object], "list[Any] | None"]
DecodeRef = Callable[[list[Any]], object]


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
        self._left = _NO_LIMIT  # how many parts it may still have
        self._blobs: list[bytes] | None = None  # those that are kept out of it, if they are
        self._given: tuple[bytes, ...] = ()  # those that were kept out of what is being read
        self._depth = 0  # how deep in a value what is being read is
        self._encoders: dict[type, Callable[[Any, int], Any]] = {
            bytes: self._encode_bytes,
            int: encode_int,
            str: self._encode_text,
            list: lambda value, depth: self._items([_LIST], value, depth),
            tuple: lambda value, depth: self._items([_TUPLE], value, depth),
            set: lambda value, depth: self._members([_SET], value, depth),
            frozenset: lambda value, depth: self._members([_FROZENSET], value, depth),
            dict: self._encode_dict,
            **WRITTEN,
        }
        self._decoders: tuple[Callable[[list[Any]], Any], ...] = (
            self._decode_items,
            lambda data: tuple(self._decode_items(data)),
            self._decode_dict,
            lambda data: self._decode_set(data, set),
            lambda data: self._decode_set(data, frozenset),
            decode_int,
            decode_datetime,
            lambda data: date.fromisoformat(text_of(data)),
            decode_time,
            decode_timedelta,
            decode_decimal,
            decode_uuid,
            decode_pid,
            lambda data: decode_ref(data[1:]),
            self._decode_message,
            self._decode_blob,
        )

    def dumps(self, value: object) -> bytes:
        """The bytes of a value. Raises `NotSerializable`, which says where in the value and what is wrong."""
        return _written(self._plain(value))

    def pack(self, value: object) -> bytes | Cargo | None:
        """The same, as a `Cargo` if it is large; `None`: it has too many parts to be written in one go.

        Raises `NotSerializable`, also if it is too large.
        """
        self._weight, self._left = 0, MANY
        blobs: list[bytes] = []
        try:
            plain = self._plain(value)
            if self._weight > INLINE:
                self._left = 2 * MANY
                self._blobs = blobs
                plain = self._plain(value)
        except Heavy:
            return None
        finally:
            self._blobs, self._left = None, _NO_LIMIT
        return packed(cbor.encode(plain), blobs)

    def pack_slowly(self, value: object) -> Slices:
        """What `pack` gives for fewer parts, made in slices."""
        blobs: list[bytes] = []
        if opens(value):
            head = yield from write(_Slice(self, blobs), value)
            return packed(head, blobs, long=True)
        self._blobs = blobs
        try:
            head = _written(self._plain(value))
        finally:
            self._blobs = None
        data = packed(head, blobs)
        return Cargo(data) if isinstance(data, bytes) else data

    def pack_now(self, value: object) -> bytes | Cargo:
        """The same, in one go."""
        data: bytes | Cargo | None = self.pack(value)
        return exhaust(self.pack_slowly(value)) if data is None else data

    def _plain(self, value: object, depth: int = 0) -> Any:
        try:
            return self._encode(value, depth)
        except Unfit as unfit:
            where = "".join(reversed(unfit.path))
            place = f" at {where.removeprefix('.')}" if where else ""
            msg = f"a value cannot travel to another process{place}: {unfit}"
            raise NotSerializable(msg) from None

    def loads(self, data: bytes | Cargo) -> Any:
        """The value of ``data``. Raises `ProtocolViolation` for anything that `dumps` and `pack` do not write."""
        return exhaust(self.load_slowly(data)) if isinstance(data, Cargo) else self._read(data)

    def load_slowly(self, data: Cargo) -> Slices:
        """The same, in slices, if it was made so."""
        if data.ready:
            return data.ready.pop()
        if is_long(data.head):
            return (yield from read(_Slice(self, data.blobs), data.head))
        self._given = data.blobs
        try:
            return self._read(data.head)
        finally:
            self._given = ()

    def _read(self, data: bytes) -> Any:
        return self.part(cbor.decode(data))

    def part(self, plain: Any, depth: int = 0) -> Any:
        """The value of a plain one, so deep in another one. Raises `ProtocolViolation`."""
        before, self._depth = self._depth, depth
        try:
            return self._decode(plain)
        except ProtocolViolation:
            raise
        except Exception as error:
            # Also what a message class raises when it is built: a value that its own class refuses is no value.
            msg = f"not a value: {type(error).__name__}: {error}"
            raise ProtocolViolation(msg) from error
        finally:
            self._depth = before

    # -- writing

    def _encode(self, value: object, depth: int) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if depth > _MAX_DEPTH and not self._is_bare(value, depth):
            msg = f"it is nested deeper than {_MAX_DEPTH} levels, or contains itself"
            raise Unfit(msg)
        encoder = self._encoders.get(kind)
        if encoder is not None:
            return encoder(value, depth)
        return self._encode_other(value, depth)

    def _is_bare(self, value: object, depth: int) -> bool:
        """Whether it is written as it is: then it is no level of its own."""
        return type(value) in _SCALARS and type(self._encoders[type(value)](value, depth)) is not list

    def _encode_bytes(self, value: bytes, depth: int) -> Any:
        if len(value) < BLOB:
            return value
        if self._blobs is None:
            self._weight += len(value)
            return value
        self._blobs.append(value)
        return [_BLOB, len(self._blobs) - 1]

    def _spend(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise Heavy

    def _encode_text(self, value: str, depth: int) -> str:
        if len(value) > LONG_TEXT:
            self._spend(len(value) // LONG_TEXT)
        return value if value.isascii() else encode_str(value, depth)

    def _items(self, out: list[Any], values: Collection[Any], depth: int) -> list[Any]:
        encode = self._encode
        start = len(out)
        depth += 1
        self._spend(len(values))
        try:
            for value in values:
                out.append(value if type(value) in _PLAIN else encode(value, depth))  # noqa: PERF401  # its length is the path
        except Unfit as unfit:
            unfit.path.append(f"[{len(out) - start}]")
            raise
        return out

    def _members(self, out: list[Any], values: Collection[Any], depth: int) -> list[Any]:
        """The members of a set, in an order that does not depend on their hashes: equal sets are equal bytes."""
        try:
            return out + sorted(self._items([], values, depth), key=repr)
        except Unfit as unfit:
            unfit.path[-1] = "{member}"
            raise

    def _encode_dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        out: list[Any] = [_DICT]
        key: object = None
        self._spend(2 * len(value))
        try:
            for key, item in value.items():
                out.append(self._encode(key, depth + 1))
                out.append(self._encode(item, depth + 1))
        except Unfit as unfit:
            unfit.path.append(f"[{_show(key, 40)}]" if len(out) % 2 == 0 else f"{{key {_show(key, 40)}}}")
            raise
        return out

    def _encode_other(self, value: object, depth: int) -> list[Any]:
        entry = message_type(type(value))
        if entry is not None:
            if entry.name is None:
                msg = f"{type(value).__qualname__} is defined inside a function, so no other process can know it"
                raise Unfit(msg)
            self._spend(2 * len(entry.fields))
            out: list[Any] = [_MESSAGE, entry.name]
            for name in entry.fields:
                try:
                    out += (name, self._encode(getattr(value, name), depth + 1))
                except Unfit as unfit:
                    unfit.path.append(f".{name}")
                    raise
            return out
        ref = self._encode_ref(value)
        if ref is not None:
            return [_REF, *ref]
        msg = f"{_show(value, 60)} is of type {type(value).__module__}.{type(value).__qualname__}; {_CAN}"
        raise Unfit(msg)

    # -- reading

    def _decode(self, data: Any) -> Any:
        kind = type(data)
        if kind in _SCALARS:
            return data
        if kind is list and data:
            code = data[0]
            if type(code) is int and 0 <= code < len(self._decoders):
                if self._depth > _MAX_DEPTH:
                    msg = f"not a value: it is nested deeper than {_MAX_DEPTH} levels"
                    raise ProtocolViolation(msg)
                self._depth += 1
                value = self._decoders[code](data)
                self._depth -= 1  # (what raises ends all of it)
                return value
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
        return self._message(
            [data[1], *(part if n % 2 == 0 else self._decode(part) for n, part in enumerate(data[2:]))]
        )

    def _message(self, parts: list[Any]) -> object:
        """Of its name, and names and values of its fields in turn."""
        name = parts[0] if parts else None
        entry = find_message(name) if type(name) is str else None
        if entry is None:
            msg = f"not a value: a message of type {name!r:.200}, which is not defined in this process"
            raise ProtocolViolation(msg)
        names, values = parts[1::2], parts[2::2]
        unknown = [field for field in names if field not in entry.fields]
        if unknown or len(names) != len(values) or len(set(names)) != len(names):
            msg = f"not a value: {name} with the fields {names!r:.200} where {', '.join(entry.fields)} were expected"
            raise ProtocolViolation(msg)
        fields = dict(zip(names, values, strict=True))
        value: object = entry.cls(**{field: item for field, item in fields.items() if field in entry.init})
        for field, item in fields.items():
            if field not in entry.init:
                object.__setattr__(value, field, item)
        return value

    def assemble(self, code: int, parts: list[Any]) -> Any:
        """A list, tuple or message of these parts. Raises `ProtocolViolation`."""
        if code == _MESSAGE:
            try:
                return self._message(parts)
            except ProtocolViolation:
                raise
            except Exception as error:
                msg = f"not a value: {type(error).__name__}: {error}"
                raise ProtocolViolation(msg) from error
        if code not in (_LIST, _TUPLE):
            msg = "not a value: a long one of an unknown kind"
            raise ProtocolViolation(msg)
        return parts if code == _LIST else tuple(parts)


def _written(plain: Any) -> bytes:
    """The bytes of a plain value that is written, and will be read, in one go. Raises `NotSerializable`."""
    data = cbor.encode(plain)
    if cbor.is_too_much(data):
        msg = f"a value has more than {cbor.ITEMS:,} parts: only lists and dicts can, where their sender waits for them"
        raise NotSerializable(msg)
    return data


def _show(value: object, most: int) -> str:
    try:
        return f"{value!r:.{most}}"
    except Exception:
        return "<a value whose repr fails>"


def _check_hashes(keys: list[Any]) -> None:
    if len(keys) > COLLISIONS and max(Counter(map(hash, keys)).values()) > COLLISIONS:
        msg = "not a value: too many keys with one hash"
        raise ProtocolViolation(msg)


def _unique(made: Collection[Any], keys: list[Any]) -> None:
    if len(made) != len(keys):
        msg = "not a value: a key twice"
        raise ProtocolViolation(msg)


class _Slice:
    """One value that is written or read in slices, among others: see `hubkit.net.lengthy.Writer`."""

    def __init__(self, payloads: Payloads, blobs: Any) -> None:
        self._payloads, self._blobs = payloads, blobs

    def light(self, value: object, depth: int, most: int) -> tuple[Any, int]:
        """The plain value, and how many parts it has. Raises `Heavy`."""
        payloads, before = self._payloads, len(self._blobs)
        payloads._left, payloads._blobs = most - 1, self._blobs
        try:
            return payloads._plain(value, depth), most - payloads._left
        except Heavy:
            del self._blobs[before:]  # they will be met again
            raise
        finally:
            payloads._left, payloads._blobs = _NO_LIMIT, None

    def part(self, plain: Any, depth: int) -> Any:
        """The value of a plain one, so deep in another one."""
        payloads = self._payloads
        payloads._given = self._blobs
        try:
            return payloads.part(plain, depth)
        finally:
            payloads._given = ()

    def assemble(self, code: int, parts: list[Any]) -> Any:
        """A value of these parts, which have been read."""
        return self._payloads.assemble(code, parts)
