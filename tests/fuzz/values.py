"""Plain values as inputs of a fuzzer: read from bytes, and changed so that they stay plain values.

Bytes that are changed at random are hardly ever CBOR, and what is not CBOR gets no further than the codec. So most changes are
made to the value: an item is dropped, doubled, moved, replaced by another or by one of `ATOMS`. Bytes within a value that are
CBOR themselves (a payload in a message, a piece of one) are changed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import cbor2

__all__ = ["ATOMS", "cross", "mutate", "read"]

#: What is worth a try at any place: the ends of ranges, and the names that the doors know.
ATOMS: tuple[Any, ...] = (
    *(0, 1, 2, 3, -1, 23, 24, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
    *(None, True, False, 0.0, -0.0, 0.5, 1e308, float("inf"), float("nan")),
    *("", "a", "a#1", "c#1", "x#1", "y#2", "x#99999999999999999999", "shop", "child", "add", "echo", "ws://x:4040"),
    *("\x00", "\x1b[2J", "\n", "\u20ac", "\U0001f600", "x" * 300, "#", "#1", "os:system"),
    *(b"", b"\x00", b"\x80", b"\x81\x00", bytes(16), bytes(32), b"\xff" * 9),
    *([], {}, [[]], [0, 0], {"": 0}),
)

_DEEPEST = 200  # what is built here; the codec's own limit lies below

Bytes = Callable[[bytes, int], bytes]


def read(data: bytes) -> Any:
    """The value of ``data``; where there is none, what can be said of the bytes in a list."""
    try:
        return cbor2.loads(data, max_depth=_DEEPEST)
    except Exception:
        return [data]


def mutate(data: bytes, most: int, seed: int, plain: Bytes) -> bytes:
    """``data``, changed. ``plain(data, most)`` changes bytes that stand for nothing."""
    random = Random(seed)
    if random.random() < 0.1:
        return plain(data, most)
    value = read(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        value = _change(value, random, plain)
    return _written(value, most) or plain(data, most)


def cross(one: bytes, other: bytes, most: int, seed: int) -> bytes:
    """Something of both."""
    random = Random(seed)
    left, right = read(one), read(other)
    parts = [part for part, _, _ in _places(right)]
    if isinstance(left, list) and isinstance(right, list) and random.random() < 0.5:
        at, to = random.randint(0, len(left)), random.randint(0, len(right))
        return _written(left[:at] + right[to:], most) or one[:most]
    return _written(_put(left, random, random.choice(parts)), most) or one[:most]


def _written(value: Any, most: int) -> bytes:
    """The bytes of a value; empty if it has none that fit."""
    try:
        data = cbor2.dumps(value)
    except Exception:  # a cycle, half a surrogate pair, a key that is none
        return b""
    return data if len(data) <= most else b""


Place = tuple[Any, Any, Any]


def _places(value: Any) -> list[Place]:
    """Every part of a value, with the container that holds it, and where; the whole has `None` for both."""
    found: list[Place] = [(value, None, None)]
    for part, _, _ in found:
        if len(found) > 5000:
            break
        if isinstance(part, list):
            found.extend((item, part, at) for at, item in enumerate(part))
        elif isinstance(part, dict):
            found.extend((item, part, key) for key, item in part.items())
    return found


def _copy(part: Any) -> Any:
    """The same once more: two containers must not be one, or there would be cycles."""
    if isinstance(part, list):
        return [_copy(item) for item in part]
    return {key: _copy(item) for key, item in part.items()} if isinstance(part, dict) else part


def _atom(random: Random) -> Any:
    return _copy(random.choice(ATOMS))


def _put(value: Any, random: Random, part: Any) -> Any:
    """``part`` in the place of something."""
    _, holder, at = random.choice(_places(value))
    if holder is None:
        return part if random.random() < 0.1 else [value, part]
    holder[at] = part
    return value


def _change(value: Any, random: Random, plain: Bytes) -> Any:
    places = _places(value)
    part, holder, at = random.choice(places)
    kind = random.randrange(10)
    if kind < 4:
        new = _changed(part, random, plain)
    elif kind < 6:
        new = _atom(random)
    elif kind == 6:
        new = _copy(random.choice(places)[0])
    elif kind == 7:
        new = [part] if random.random() < 0.5 or not isinstance(part, list) or not part else part[0]
    else:
        return _moved(value, random, holder, at)
    if holder is None:
        return new
    holder[at] = new
    return value


def _moved(value: Any, random: Random, holder: Any, at: Any) -> Any:
    """One item less, or more, or in another place."""
    if isinstance(holder, dict):
        item = holder.pop(at)
        if random.random() < 0.7:
            holder[random.choice(("", "a#1", "x#1", "n", f"{at}0"))] = item
    elif isinstance(holder, list):
        what = random.randrange(4)
        if what == 0:
            del holder[at]
        elif what == 1:
            holder.insert(at, _atom(random))
        elif what == 2:
            holder.insert(at, _copy(holder[at]))
        else:
            holder.insert(random.randint(0, len(holder) - 1), holder.pop(at))
    return value


def _changed(part: Any, random: Random, plain: Bytes) -> Any:
    """Nearly the same."""
    match part:
        case bool():
            return not part
        case int():
            return max(-(2**63), min(2**64 - 1, part + random.choice((1, -1, 7, 256, -part * 2, part))))
        case float():
            return random.choice((-part, part + 1, part * 2, int(part) if abs(part) < 1e9 else 0))
        case str():
            cut = random.randint(0, len(part))
            return (
                part[:cut] + random.choice(("", "#", "0", "x", "\n", "\x00", part)) + part[cut + random.randint(0, 2) :]
            )
        case bytes():
            if part and random.random() < 0.7:
                inner = read(part)
                if inner != [part]:
                    return _written(_change(inner, random, plain), 1 << 16) or part
            return plain(part, max(8, 2 * len(part)))
        case list():
            items = [*part, _atom(random)] if random.random() < 0.5 else part[: random.randint(0, len(part))]
            random.shuffle(items)
            return items
        case dict():
            return {**part, str(random.randrange(9)): _atom(random)}
        case _:
            return _atom(random)
