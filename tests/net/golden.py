"""What goes over the wire, byte by byte, from fixed beginnings: the files in ``golden/`` hold it still.

``python -m tests.net.golden`` (in the repository's root) writes the files anew. Do so only when the protocol is to change, and
say in ``docs/protocol.md`` what has. ``handshake-1.txt`` never changes: the release before is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import trio
import trio.testing
from tests.hub.actors import Counter, Refused
from tests.node.pair import Side, pair

from hubkit.cluster.affinity import Placement
from hubkit.cluster.rows import NodeRow, Row, Run, Ticket, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync, to_wire
from hubkit.net.cargo import INLINE, Cargo
from hubkit.net.handshake import Handshake, Identity, Refusal
from hubkit.net.lengthy import exhaust
from hubkit.net.outbox import Growing
from hubkit.net.payload import Payloads
from hubkit.net.seal import Seal
from hubkit.net.wire import BULK, Kind, chunk, encode, encode_app, encode_frame
from hubkit.node.assembly import ABANDON, BEGIN, GRANT, PIECE, READ, REFUSE
from hubkit.node.directory import CLOSE, DENY, HUBS, OPEN
from hubkit.node.ears import UNKNOWN
from hubkit.node.freight import LADEN
from hubkit.node.runs import Calls, Casts, Replies
from hubkit.pids import Pid

FILES = Path(__file__).parent / "golden"

SECRET = b"correct horse battery staple"
DIALER = Identity("b#2", "ws://127.0.0.1:4041", "node", ("hub.1", "actors.1", "node.2"))
ACCEPTOR = Identity("a#1", "ws://127.0.0.1:4040", "node", ("hub.1", "actors.1", "node.2"))
CERTIFICATE = bytes(range(32))

Lines = dict[str, bytes]


def meeting(versions: tuple[int, ...], certificate: bytes | None = None) -> tuple[Lines, Handshake, Handshake]:
    """The frames of one handshake; the acceptor, and the dialer if there is a ``certificate``, know TLS."""
    dialer = Handshake(
        DIALER,
        dialing=True,
        nonce=bytes(range(32)),
        secrets=(SECRET,),
        versions=versions,
        certificate=lambda: certificate,
    )
    acceptor = Handshake(
        ACCEPTOR,
        dialing=False,
        nonce=bytes(range(32, 64)),
        secrets=(b"newer", SECRET),
        versions=versions,
        certificate=lambda: certificate,
    )
    frames: Lines = {}
    frame: bytes | None = dialer.start()
    names = ("hello of the dialer", "hello of the acceptor", "proof of the dialer", "proof of the acceptor", "ready")
    for name, receiver in zip(names, (acceptor, dialer, acceptor, dialer, acceptor), strict=True):
        assert frame is not None
        frames[name] = frame
        frame = receiver.receive(frame)
    assert (dialer.peer, acceptor.peer) == (ACCEPTOR, DIALER)
    return frames, dialer, acceptor


def handshake_1() -> Lines:
    """Version 1, as the release before speaks it."""
    return meeting((1,))[0]


def handshake_2() -> Lines:
    """Version 2: the handshake, the keys that it gives, and the first frames that they seal."""
    frames, dialer, acceptor = meeting((2, 1))
    assert dialer.keys is not None
    assert acceptor.keys is not None
    frames["key of the dialer's frames"] = dialer.keys.sending
    frames["key of the acceptor's frames"] = acceptor.keys.sending
    for name, keys in (("dialer", dialer.keys), ("acceptor", acceptor.keys)):
        seal = Seal(keys)
        frames[f"first frame of the {name}, sealed"] = seal.close(b"\x80")
        seal.sent += 1
        frames[f"second frame of the {name}, sealed"] = seal.close(b"\x81\x81\x04")
    frames["tag of 3000 zero bytes, as the dialer's first frame"] = Seal(dialer.keys).close(bytes(3000))[-16:]
    secured, dialer, _ = meeting((2, 1), CERTIFICATE)
    assert dialer.keys is None
    frames |= {f"{name}, over TLS": secured[name] for name in secured if not name.startswith("hello")}
    frames["refusal"] = Handshake(ACCEPTOR, dialing=False, nonce=bytes(32)).cut(Refusal("busy", "a#1 is leaving"))
    return frames


def session() -> Lines:
    """The mesh's own messages, and frames of them."""
    messages = {
        "beat": encode(Kind.BEAT, {"a#1": 7, "b#2": 300}),
        "peers": encode(Kind.PEERS, [["c#3", "ws://127.0.0.1:4042"]]),
        "goodbye": encode(Kind.GOODBYE),
        "close": encode(Kind.CLOSE, "the clock is off"),
        "unknown": encode(Kind.UNKNOWN, 99),
        "message of the floor above": encode_app(["status"]),
        "first piece": chunk(BULK, b"\x82\x10", last=False),
        "last piece": chunk(BULK, b"\x81\x66status", last=True),
    }
    frame = encode_frame([messages["beat"], messages["message of the floor above"]])
    return {
        **messages,
        "frame of two messages": frame,
        "frame of 24 messages": encode_frame([encode(Kind.GOODBYE)] * 24),
    }


def node() -> Lines:
    """Messages of nodes about hubs."""
    strategies = ["ConsistentHashing()", "Singularity()", "ColdSwap()", "PubSub()", "Divergence()"]
    lists: dict[str, list[Any]] = {
        "hubs": [HUBS, [["shop", True, *strategies, {"zone": "eu"}]]],
        "hubs, to a node without node.2": [HUBS, [["shop", True, *strategies]]],
        "open": [OPEN, ["shop", False, *strategies, {}]],
        "close": [CLOSE, "shop"],
        "deny": [DENY, "shop"],
        "unknown": [UNKNOWN, 99],
        "sync": [0, "shop", to_wire(HELLO)],
        "question": ["children", "shop"],
        "answer": ["ok", []],
    }
    return {name: encode_app(message) for name, message in lists.items()}


def exchange() -> Lines:
    """Requests between actors of two nodes, a#1 and b#1, and their answers, in the order in which they are sent."""
    said = trio.run(_converse, clock=trio.testing.MockClock(autojump_threshold=0))
    return {f"{number:02} {sender} {message[0]}": encode_app(message) for number, (sender, message) in enumerate(said)}


async def _converse() -> list[tuple[str, list[Any]]]:
    said: list[tuple[str, list[Any]]] = []

    def overhear(side: Side) -> None:
        plain = side.send

        def send(peer: str, message: list[Any]) -> bool:
            side.close_growing()
            said.append((side.id, message))
            return plain(peer, message)

        side.send = send  # type: ignore[method-assign]  # all that is sent is written down

    async with trio.open_nursery() as nursery:
        a, b = pair(nursery)
        overhear(a)
        overhear(b)
        cell = b.system.spawn(Counter, (), mailbox=10)
        nursery.start_soon(cell.run)
        while not cell.started:
            await trio.sleep(0.001)
        ref = a.system.ref(cell.pid)
        await ref.call(Counter.add, 2)
        await ref.call(Counter.echo, VALUE)
        with suppress(trio.TooSlowError):
            with trio.fail_after(2):
                await ref.call(Counter.slow, 5.0)
        await ref.cast("add", n=3)
        ref.cast_nowait(Counter.add, 4)
        await ref.send("news")
        with suppress(Refused):
            await ref.call(Counter.refuse)
        a.exchange.monitor(70, cell.pid)
        a.exchange.monitor(71, cell.pid)
        a.exchange.demonitor(71, cell.pid)
        await trio.sleep(1)
        cell.request_stop()
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    return said


def runs() -> Lines:
    """Many calls, answers and casts in one message each."""
    calls, timed, replies, casts = (
        Calls("add", 1),
        Calls("move", 2),
        Replies(),
        Casts(Pid("b", 1, 7), "note", "note", 1),
    )
    for number, text in enumerate(("one", "two", "three"), 8):
        calls.add(number, number % 2 + 1, (number,), None, (), 9)
        last = number == 10
        timed.add(number, 3, (text, -0.5), None if last else 2.5, (Pid("a", 1, 4), Pid("b", 1, 2)) if last else (), 20)
        replies.add(number, text)
        casts.add((text,))
    made: dict[str, Growing] = {
        "calls": calls,
        "calls with deadlines and a chain": timed,
        "answers": replies,
        "casts": casts,
    }
    return {name: run.close()[0] for name, run in made.items()}


def heads() -> Lines:
    """Of large values: what goes ahead of their large bytes, and how that begins where there are many parts."""
    pieces = exhaust(Payloads().pack_slowly([[*range(5)], {"name": (1, "x" * 3_000_000)}]))
    assert isinstance(pieces, Cargo)
    return {"head": _cargo().head, "start of a long head": pieces.head[:60]}


def _cargo() -> Cargo:
    cargo = Payloads().pack([[[1, bytes(INLINE + 1)]], {"name": bytes(INLINE + 1)}])
    assert isinstance(cargo, Cargo)
    return cargo


def freight() -> Lines:
    """Large values, ahead of the messages that they belong to."""
    cargo = _cargo()
    lists: dict[str, list[Any]] = {
        "begin": [BEGIN, 1, cargo.sizes],
        "grant": [GRANT, 1, 0, 6 << 20],
        "first piece": [PIECE, 1, 0, cargo.head],
        "second piece": [PIECE, 1, len(cargo.head), b"large"],
        "abandon": [ABANDON, 1],
        "read": [READ, 1],
        "refuse": [REFUSE, 1, "nothing more of it has come for 60 s"],
        "laden call": [LADEN, 1, [5], [1, 7, 2, "echo", [], None, 1.5]],
        "laden reply": [LADEN, 2, [3], [2, 7, 0, None]],
        "laden state": [LADEN, 3, [2, 3], [-8, "shop", [0, "c1", [3, 1, "a#1"], None]]],
    }
    return {name: encode_app(message) for name, message in lists.items()}


def sync() -> Lines:
    """What two cores of one hub tell each other."""
    return {name: encode_app([0, "shop", to_wire(value)]) for name, value in SYNCS.items()}


_A, _B = "a#1", "b#2"
_WANT = Want("shop:Counter", b"\x80", "tag", ("a",), Stamp(5, 0, _A), Placement({"zone": "eu"}, None, "k", 3))
HELLO = Sync({}, {}, {}, {_A: (5, 1)}, "hello", False, 0)
DELTA = Sync(
    {
        ("node", _A): Row(
            Stamp(5, 0, _A),
            NodeRow("a", "ws://127.0.0.1:4040", "ready", ("shop:Counter",), 0.5, 2.0, (("zone", "eu"),)),
        ),
        ("want", "c1"): Row(Stamp(5, 1, _A), _WANT),
        ("want", "c2"): Row(Stamp(6, 0, _A), None),
        ("run", "c1", _A): Row(Stamp(7, 0, _A), Run(3, "active", None, Stamp(5, 0, _A), "running", 9)),
        ("run", "c3", _A): Row(Stamp(8, 0, _A), Run(4, "released", _B, None, "", 0, "", Ticket(3, 1, _A))),
        ("run", "c4", _B): Row(Stamp(8, 1, _A), None, (4, 0)),
    },
    {_A: (8, 1)},
    {_A: (4, 0)},
    {_B: (3, 0)},
    "delta",
    False,
    1 << 63,
    True,
)
WHOLE = Sync({("node", _B): Row(Stamp(9, 0, _A), None, (4, 0))}, {_A: (9, 0)}, {}, {}, "whole", True, 7)
SYNCS = {"hello": HELLO, "delta": DELTA, "whole, to be continued": WHOLE}


#: One of each kind of value that travels.
VALUE: list[Any] = [
    *(None, True, -1, 1 << 70, 0.5, "text", b"bytes", [1], (1, 2), {"a": 1, 2: "b"}, {3, 4}, frozenset({5})),
    *(
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2026, 1, 2),  # noqa: DTZ001  # one without a zone travels, too
        date(2026, 1, 2),
        time(3, 4),
        timedelta(1, 2, 3),
    ),
    *(Decimal("1.50"), UUID(int=7), Pid("a", 1, 2)),
]

GROUPS: dict[str, Callable[[], Lines]] = {
    "handshake-1": handshake_1,
    "handshake-2": handshake_2,
    "session": session,
    "node": node,
    "exchange": exchange,
    "runs": runs,
    "freight": freight,
    "heads": heads,
    "sync": sync,
}


def written(lines: Lines) -> str:
    """A file: a name and bytes in hexadecimal on each line."""
    return "".join(f"{name}: {data.hex()}\n" for name, data in lines.items())


def kept(group: str) -> Lines:
    """What a file holds."""
    lines = (FILES / f"{group}.txt").read_text(encoding="utf-8").splitlines()
    return {name: bytes.fromhex(data) for name, data in (line.rsplit(": ", 1) for line in lines)}


if __name__ == "__main__":
    for group, make in GROUPS.items():
        if group != "handshake-1":
            (FILES / f"{group}.txt").write_text(written(make()), encoding="utf-8")
