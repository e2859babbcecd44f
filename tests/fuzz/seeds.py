"""Where a fuzzer begins: one input of each kind, as honest peers send them. ``python -m tests.fuzz.seeds DIRECTORY``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import dns.message
import dns.rrset
from tests.fuzz.finding import QUERY
from tests.fuzz.sockets import DIALS, KEY, PROVED, SERVES, SILENT, TALKS
from tests.net import golden
from tests.net.travelling import PAYLOADS, Counted, Handle, Point

from hubkit.cluster.rows import NodeRow, Row, Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync, to_wire
from hubkit.cluster.tidings import Ask, Change, Tell, Whole
from hubkit.cluster.tidings import to_wire as tidings_to_wire
from hubkit.net.wire import BULK, URGENT, Kind, chunk, encode, encode_app

__all__ = ["seeds"]

_WALL = 1_893_456_000_000  # milliseconds; when simulated time begins
_STRATEGIES = ["ConsistentHashing()", "Singularity()", "ColdSwap()", "PubSub()", "Divergence()"]
_HELLO: list[Any] = [1, [2, 1], bytes(32), ["x#1", None, "node", []]]
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a:4040\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: hubkit.v1\r\n"
)
_ANSWER = (
    b"HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + KEY + b"\r\n"
    b"Sec-WebSocket-Protocol: hubkit.v1\r\n"
)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Doors, and an input for each."""
    yield from _codec()
    for dialing in (0, 1):
        for knows in (0, 1, 2):
            yield "meeting", cbor2.dumps([dialing, knows, {}, {}, {}])
        yield "meeting", cbor2.dumps([dialing, 1, {3: ["y#2", "ws://y:1", "node", ["refuse"]]}, {}, {}])
        yield "meeting", cbor2.dumps([dialing, 2, {3: ["y#2", None, "operator", []]}, {}, {}])
        yield "meeting", cbor2.dumps([dialing, 1, {1: [1] if not dialing else 1}, {}, {}])
        yield "meeting", cbor2.dumps([dialing, 1, {}, {2: bytes(32)}, {}])
        yield "meeting", cbor2.dumps([dialing, 1, _HELLO, [2, bytes(32), None], [3, bytes(32)]])
        yield "meeting", cbor2.dumps([dialing, 1, {}, [4, "busy", "too many"]])
    yield from _sockets()
    yield from _linked()
    yield from _finding()


def _codec() -> Iterator[tuple[str, bytes]]:
    for value in (*golden.VALUE, golden.VALUE, Point(1, [Point("x")]), Counted([1]), Handle(3), {1: {2: (3, 4.5)}}):
        yield "payload", PAYLOADS.dumps(value)
    yield "plain", cbor2.dumps({"a": [1, -1, 0.5, None, True, b"x", "\u20ac"], b"b": {}})
    yield "plain", cbor2.dumps(cbor2.CBORTag(258, [1]))
    messages = [encode(Kind.BEAT, {"a#1": 7}), encode_app(["status"]), encode(Kind.PING, 1)]
    pieces = [
        chunk(lane, data, last=last)
        for lane in (URGENT, BULK)
        for data, last in ((b"\x82\x10", False), (b"\x80", True))
    ]
    for frame in ([messages], [pieces], [pieces[:1], messages, pieces[1:]]):
        yield "frames", cbor2.dumps([[cbor2.loads(message) for message in part] for part in frame])
    yield from (("frames", data) for data in golden.session().values())


def _sockets() -> Iterator[tuple[str, bytes]]:
    frames = b"\x82\x81\0\0\0\0a\x02\x81\0\0\0\0b\x80\x81\0\0\0\0c\x89\x81\0\0\0\0p\x88\x82\0\0\0\0\x03\xe8"
    plain = b"\x82\x01a\x89\x00\x88\x02\x03\xe8"
    for what, data in (
        (SERVES, _REQUEST + b"\r\n" + frames),
        (SERVES, _REQUEST + b"Origin: http://a\r\n\r\n"),
        (SERVES, _REQUEST.replace(b"hubkit.v1", b"chat") + b"\r\n"),
        (SERVES, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (SERVES, b"\x16\x03\x01\x02\x00"),
        (DIALS, _ANSWER + b"\r\n" + plain),
        (DIALS, b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!"),
        (DIALS, _ANSWER.replace(b"101 ", b"100 ") + b"\r\n" + _ANSWER + b"\r\n"),
        (TALKS, frames),
        (TALKS, b"\x82\xfe\x10\x01\0\0\0\0" + bytes(4097)),
        (TALKS | PROVED, b"\x82\xfe\x50\x00mask" + bytes(20_480) + frames),
        (TALKS, b"\x81\x81\0\0\0\0a"),
        (TALKS, b"\xc2\x81\0\0\0\0a"),
    ):
        for flags, size in ((0, 255), (SILENT, 3)):
            yield "sockets", bytes((what | flags, size)) + data


def _linked() -> Iterator[tuple[str, bytes]]:
    own: list[list[Any]] = [cbor2.loads(data) for data in golden.session().values()][:8]
    for message in own:
        yield "mesh", cbor2.dumps([[message], 1])
    yield (
        "mesh",
        cbor2.dumps([[[1, {"x#1": 3, "y#2": 4}]], 12, [[2, [["y#2", "ws://y:4040"]]]], 30, None, {"node": "y#2"}]),
    )
    yield "mesh", cbor2.dumps([own[6:8], {"address": "ws://x:4040"}, b"\x80", b"\xff"])
    exchanged = [cbor2.loads(data)[1] for data in golden.exchange().values()]
    exchanged += [cbor2.loads(data)[1] for data in golden.runs().values()]
    for message in exchanged:
        yield "exchange", cbor2.dumps([message])
    arguments = PAYLOADS.dumps([[1], {}])
    calls = [
        [1, 9, serial, method, [], [1], None] for serial, method in ((1, "add"), (2, "echo"), (1, "slow"), (7, "add"))
    ]
    yield (
        "exchange",
        cbor2.dumps([*calls, [3, 10, 1, "add", [], arguments], [3, 0, 1, "", [], [5]], [3, -1, 1, "add", [], []]]),
    )
    yield (
        "exchange",
        cbor2.dumps(
            [calls[2], [4, 9], [4, -9], [5, 3, 1], 1, [6, 3], [2, 1, 0, 5], [2, 2, 1, PAYLOADS.dumps(["x", None])]]
        ),
    )
    yield (
        "exchange",
        cbor2.dumps([[8, 1, 1, 5], [9, 1, 5], [10, 1, 1, "gone", None], [8, 2, 2, 6], [10, 0, 1, None, None]]),
    )
    yield (
        "exchange",
        cbor2.dumps([[11, 1], [12, 1], [13, 1, 0, 5], [14, 3], [15, 1, 1], [16, 1], [7, 70, "crashed", None]]),
    )
    yield (
        "exchange",
        cbor2.dumps([[7, 70, "x", PAYLOADS.dumps([None, ["builtins.OSError", "[Errno 5] x", ""]])], [13, 1, 2, b""]]),
    )
    hubs = [-1, [["shop", True, *_STRATEGIES, {"zone": "eu"}]]]
    about = [cbor2.loads(data)[1] for data in golden.node().values()]
    yield from (("node", cbor2.dumps([[message], 1])) for message in about)
    yield from (("node", cbor2.dumps([[hubs], [message], 5])) for message in exchanged)
    for wanted in _syncs():
        yield "wires", cbor2.dumps(to_wire(wanted))
        yield "node", cbor2.dumps([[hubs, [0, "shop", to_wire(wanted)]], 20])
    for told in (
        Tell({"x#1": (_WALL, 1)}),
        Ask(("a#1",)),
        Change((0, 0), (_WALL, 1), {"g": frozenset({5})}, {}),
        Whole("x#1", (_WALL, 1), {"g": frozenset({5})}),
    ):
        yield "wires", cbor2.dumps(tidings_to_wire(told))
        yield "node", cbor2.dumps([[hubs, [-9, "shop", tidings_to_wire(told)]], 20])
    states = [[0, "child", [1, 1, "x#1"], b"\x05"], [1, "child", [1, 1, "x#1"], "no"], [2, "child", 0, b"\x05"]]
    yield "node", cbor2.dumps([[hubs, *([-8, "shop", state] for state in states)], 20])
    groups = [[8, 1, "g", 5, [1]], [8, -1, "g", b"\x05", []], [9, 1, 1], [10, 1]]
    yield "node", cbor2.dumps([[hubs, *([-9, "shop", group] for group in groups)], 20])
    detours = [
        [-20, "c#1", [0, 1, None, []]],
        [-21, "A#1", [0, 1, None, ["hub.1"]]],
        [-21, "A#1", [3, 1, hubs]],
        [-21, "A#1", [2, 1, True]],
        [-22, "A#1"],
    ]
    yield "node", cbor2.dumps([[hubs, *detours], 20])
    for question in (
        ["status"],
        ["links"],
        ["children", "shop"],
        ["children", None],
        ["tree", None],
        ["explain", None, "child"],
        ["plan", None, ["z"], ["a"]],
        ["drain", "shop"],
        ["top"],
    ):
        yield "operator", cbor2.dumps([[question], 1])


def _syncs() -> Iterator[Sync]:
    yield from golden.SYNCS.values()
    x = "x#1"
    stamps = [Stamp(_WALL, tick, x) for tick in range(4)]
    rows: dict[Any, Row] = {
        ("node", x): Row(stamps[0], NodeRow("x", "ws://x:4040", "ready", ("tests.hub.actors:Counter",), 0.0, 1.0, ())),
        ("want", "y"): Row(stamps[1], Want("tests.hub.actors:Counter", PAYLOADS.dumps(None), rev=stamps[1])),
        ("run", "child", x): Row(stamps[2], Run(2, "active", None, stamps[1], "running", 5)),
    }
    for kind in ("hello", "delta", "whole"):
        have: dict[str, Any] = {x: (_WALL, 3)}
        yield Sync({} if kind == "hello" else rows, {} if kind == "hello" else have, {}, have, kind, False, 0)


def _finding() -> Iterator[tuple[str, bytes]]:
    for key in (0, 1, 2):
        yield "heard", cbor2.dumps([key, ["shop", "ws://10.0.0.9:4040", False]])
        yield "heard", cbor2.dumps([key, ["shop", "ws://127.0.0.1:4040", True]])
    yield "heard", cbor2.dumps([1, cbor2.dumps(["shop", "ws://10.0.0.9:4040", False]), bytes(32)])
    answer = dns.message.make_response(QUERY)
    records = ("0 0 4040 a.shop.internal.", "1 0 4041 b.shop.internal.", "0 0 1 .")
    answer.answer.append(dns.rrset.from_text("shop.internal.", 30, "IN", "SRV", *records))
    yield "answered", QUERY.to_wire()
    yield "answered", answer.to_wire()
    texts = [
        *("ws://a:4040", "wss://[::1]:4040/x", "ws://127.0.0.1:0", "ws://u:p@a:1", "ws://a:1?q#f", "ws://\u00e4:1"),
        *("dns://shop:4040", "srv+wss://shop", "file:///etc/nodes", "multicast://239.1.1.1:4040/c?interface=10.0.0.1"),
    ]
    yield "listed", cbor2.dumps(texts)
    yield from (("listed", text.encode()) for text in texts)


def write(directory: Path) -> None:
    """Write all of them, each under the hash of what it holds."""
    for door, data in seeds():
        (directory / door).mkdir(parents=True, exist_ok=True)
        (directory / door / sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
