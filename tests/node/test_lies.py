"""Lies, door by door: a member that knows the secret says what is not so to a hub of three honest nodes.

Whatever it says: no child is started, stopped or moved by it, the honest nodes keep their links, and each that hears of it says
so in a line, or a few, that name the liar. When it is gone the hub is as if it had never been there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.hub.actors import Counter
from tests.node.liar import HUB, NODES, Liar, boot, check, liar, overheard, rows_of

import hubkit
from hubkit.cluster.bounds import BOOT, MOMENT
from hubkit.cluster.rows import Key, NodeRow, Row, Run, Ticket, Want
from hubkit.cluster.stamps import Stamp
from hubkit.environment import EPOCH
from hubkit.hub.handovers import DECLINE, OFFER
from hubkit.net.dialer import HEARSAY
from hubkit.net.wire import Kind, encode
from hubkit.node.detours import FROM, LOST, VIA
from hubkit.node.directory import CLOSE, DENY, HUBS, OPEN
from hubkit.node.exchange import CALL
from hubkit.node.relays import CAST, WITHDRAW
from hubkit.node.runs import pack_numbers
from hubkit.node.shapes import CALLS, CASTS, DOWN, MONITOR, REPLIES, REPLY
from hubkit.node.tokens import ANSWER, CLAIM
from hubkit.node.unheard import HEARD
from hubkit.pids import NodeId
from hubkit.testing import Simulation

MOST = (1 << 64) - 1
NAN, INF = float("nan"), float("inf")
Hubs = dict[str, hubkit.Hub]
Tell = Callable[[Liar, Hubs], Awaitable[object]]
CHILDREN = [f"c{number:02}" for number in range(12)]


@dataclass(frozen=True)
class Lie:
    """What is told, what is said of it (`None`: nothing, for it is passed over), and whether it costs the links."""

    tell: Tell
    says: str | None
    closes: bool = True
    terms: bool = True  # no honest map shows a term that is not true, even for a moment


def node_of(hubs: Hubs, name: str) -> NodeId:
    return hubs[name]._driver.node


def held(hubs: Hubs, name: str) -> list[tuple[str, Run]]:
    """What this node runs."""
    node = node_of(hubs, name)
    runs = hubs[name]._driver.core.runs
    return [(child, runs[child][node]) for child in CHILDREN if node in runs.get(child, {})]


def want(one: Liar, child: str = "junk", **fields: Any) -> dict[Key, Row]:
    stamp = one.stamp()
    return {
        ("want", child): Row(stamp, Want(**{"start": "x:y", "body": b"", "pins": ("nowhere",), "rev": stamp} | fields))
    }


def run(one: Liar, child: str = "junk", **fields: Any) -> dict[Key, Row]:
    values: dict[str, Any] = {"term": 1, "role": "released"} | fields
    return {("run", child, one.node): Row(one.stamp(), Run(**values))}


def in_the_name(one: Liar, hubs: Hubs, value: Callable[[Run], Run | None]) -> dict[Key, Row]:
    b = node_of(hubs, "b")
    return {("run", child, b): Row(one.stamp(1, node=b), value(found)) for child, found in held(hubs, "b")}


def removed(one: Liar, hubs: Hubs, ahead: float) -> dict[Key, Row]:
    b = node_of(hubs, "b")
    seen = (int((one.sim.now + EPOCH + ahead) * 1000), 0)
    rows: dict[Key, Row] = {("run", child, b): Row(one.stamp(), None, seen) for child, _ in held(hubs, "b")}
    return {**rows, ("node", b): Row(one.stamp(), None, seen)}


def garbled(one: Liar, change: Callable[[list[Any]], object]) -> list[Any]:
    """A sync of its own row, in which one thing is another on the wire."""
    sync = one.syncs(one.me(state="joining"))
    change(sync)
    return [0, HUB, sync]


async def many(one: Liar, message: Callable[[int], list[Any]], count: int) -> None:
    for number in range(count):
        await one.say(message(number))


def packed(*numbers: int) -> bytes:
    return pack_numbers([*numbers])


def future(one: Liar, seconds: float) -> tuple[int, int]:
    return (int((one.sim.now + EPOCH + seconds) * 1000), 0)


#: a boot of b that never was
B9 = f"b#{BOOT - 1}"
ahead, not_a = "ahead of mine", "not a (sync|message about groups|hub's id)"

MAP: dict[str, Lie] = {
    "a stamp of the year 3000": Lie(
        lambda one, hubs: one.sync({("want", "junk"): Row(one.stamp(3e10), Want("x:y", b""))}), ahead
    ),
    "others' stamps of the year 3000": Lie(
        lambda one, hubs: one.sync({}, upto={"z#1": future(one, 3e10)}), ahead
    ),
    "a moment beyond counting": Lie(lambda one, hubs: one.sync({}, upto={"z#1": (MOMENT, 0)}), not_a),
    "a negative moment": Lie(lambda one, hubs: one.say(garbled(one, lambda s: s[4].__setitem__(1, -1))), not_a),
    "a tick of 2^31": Lie(lambda one, hubs: one.say(garbled(one, lambda s: s[4].__setitem__(2, 1 << 31))), not_a),
    "a digest of 2^64-1 that is negative": Lie(
        lambda one, hubs: one.say(garbled(one, lambda s: s.__setitem__(2, -1))), not_a
    ),
    "a term of 2^62": Lie(lambda one, hubs: one.sync(run(one, term=MOMENT - 1)), "terms grow one by one"),
    "a term of 2^63": Lie(lambda one, hubs: one.sync(run(one, term=MOST >> 1)), not_a),
    "a state of a term of 2^61": Lie(
        lambda one, hubs: one.sync(run(one, "c00", role="passive", term=0, ticket=Ticket(1 << 61, 1, one.node))),
        "terms grow one by one",
    ),
    "a serial of 2^64-1": Lie(lambda one, hubs: one.sync(run(one, serial=MOST)), not_a),
    "a revision of 2^64-1": Lie(lambda one, hubs: one.sync(run(one, rev=Stamp(MOST, 0, one.node))), not_a),
    "rows of others, removed for ever": Lie(
        lambda one, hubs: one.sync(removed(one, hubs, 3e9)), "removes (run|node) rows of .* that will be written"
    ),
    "rows of others, removed": Lie(
        lambda one, hubs: one.sync(removed(one, hubs, 0)), "it removes the row of this node about", closes=False
    ),
    "rows of others, removed a little ahead": Lie(
        lambda one, hubs: one.sync(removed(one, hubs, 100)), "it removes the row of this node about", closes=False
    ),
    "a goodbye in another's name": Lie(
        lambda one, hubs: one.sync({("node", node_of(hubs, "b")): Row(one.stamp(1, node_of(hubs, "b")), None)}),
        "is to have written, and has not", closes=False,
    ),
    "another is leaving": Lie(
        lambda one, hubs: one.sync(
            {("node", (b := node_of(hubs, "b"))): Row(one.stamp(1, b), NodeRow("b", None, "leaving", ("*",)))}
        ),
        "is to have written, and has not", closes=False,
    ),
    "greater terms in another's name": Lie(
        lambda one, hubs: one.sync(
            {
                ("run", child, (b := node_of(hubs, "b"))): Row(
                    one.stamp(1, b), Run(1 << 20, "active", phase="running", serial=3)
                )
                for child in CHILDREN
            }
        ),
        "is to have written, and has not", closes=False,
    ),
    "greater terms in another's name, told to others": Lie(
        lambda one, hubs: one.sync(
            {
                ("run", child, (b := node_of(hubs, "b"))): Row(
                    one.stamp(1, b), Run(1 << 20, "active", phase="running", serial=3)
                )
                for child in CHILDREN
            },
            to="ac",
        ),
        "it told rows in the name of b", closes=False, terms=False,
    ),
    "another is joining, told to one": Lie(
        lambda one, hubs: one.sync(
            {("node", (b := node_of(hubs, "b"))): Row(one.stamp(1, b), NodeRow("b", None, "joining", ("*",)))}, to="a"
        ),
        "it told rows in the name of b", closes=False,
    ),
    "rows of others, removed, told to others": Lie(
        lambda one, hubs: one.sync(removed(one, hubs, 0), to="ac"), "so liar#7 is to have written", closes=False, terms=False
    ),
    "another has let go": Lie(
        lambda one, hubs: one.sync(in_the_name(one, hubs, lambda run: run._replace(role="released", to=one.node))),
        "is to have written, and has not", closes=False,
    ),
    "another has removed its rows": Lie(
        lambda one, hubs: one.sync(in_the_name(one, hubs, lambda run: None)), "and has not", closes=False
    ),
    "others have seen what I never wrote": Lie(
        lambda one, hubs: one.sync({}, have={node_of(hubs, name): future(one, 100) for name in NODES}),
        "is to have written, and has not", closes=False,
    ),
    "a newer boot of another": Lie(
        lambda one, hubs: one.sync({("node", B9): Row(one.stamp(1, B9), NodeRow("b", None, "ready", ("*",)))}),
        f"{B9} is said to live", closes=False,
    ),
    "a grant to a newer boot of another": Lie(
        lambda one, hubs: one.sync(run(one, to=B9)), f"{B9} is said to live", closes=False
    ),
    "a boot of 2^63": Lie(lambda one, hubs: one.sync({}, upto={f"b#{BOOT}": (1, 0)}), not_a),
    "a node id of a megabyte": Lie(lambda one, hubs: one.sync({}, upto={"b" * 1_000_000 + "#1": (1, 0)}), not_a),
    "a child id of a megabyte": Lie(lambda one, hubs: one.sync(want(one, "x" * 1_000_000)), not_a),
    "an actor of a megabyte": Lie(lambda one, hubs: one.sync(want(one, start="x" * 1_000_000)), not_a),
    "a tag of a megabyte": Lie(lambda one, hubs: one.sync(want(one, tag="x" * 1_000_000)), not_a),
    "ten thousand pins": Lie(lambda one, hubs: one.sync(want(one, pins=("a",) * 10_000)), not_a),
    "an error of a megabyte": Lie(
        lambda one, hubs: one.sync(run(one, role="active", phase="failed", error="x" * 1_000_000)), not_a
    ),
    "an address of a megabyte": Lie(lambda one, hubs: one.sync(one.me(address="ws://" + "x" * 1_000_000)), not_a),
    "a hundred thousand actors": Lie(lambda one, hubs: one.sync(one.me(actors=("x",) * 100_000)), not_a),
    "a load of NaN": Lie(lambda one, hubs: one.sync(one.me(load=NAN)), not_a),
    "a load of -1e308": Lie(lambda one, hubs: one.sync(one.me(load=-1e308)), not_a),
    "an infinite load": Lie(lambda one, hubs: one.sync(one.me(load=INF)), not_a),
    "a weight of NaN": Lie(lambda one, hubs: one.sync(one.me(weight=NAN)), not_a),
    "a weight of 1e308": Lie(lambda one, hubs: one.sync(one.me(weight=1e308)), not_a),
    "a negative weight": Lie(lambda one, hubs: one.sync(one.me(weight=-1.0)), not_a),
    "a thousand labels": Lie(
        lambda one, hubs: one.sync(one.me(labels=tuple((f"l{n:04}", "x") for n in range(1000)))), not_a
    ),
    "a row of one in the name of another": Lie(
        lambda one, hubs: one.sync({("run", "c00", node_of(hubs, "b")): Row(one.stamp(), Run(9, "active"))}), not_a
    ),
    "removals that nobody has seen": Lie(
        lambda one, hubs: one.sync({}, kind="whole", since={"z#1": future(one, 1)}), "removals that it has never seen"
    ),
    "twenty thousand writers": Lie(
        lambda one, hubs: one.sync({}, upto={f"z{n}#1": (1, 0) for n in range(20_000)}), "new writers"
    ),
    "a hundred thousand nodes": Lie(
        lambda one, hubs: one.sync({}, have={f"z{n}#1": (1, 0) for n in range(100_000)}), not_a
    ),
    "a quorum of 10^19": Lie(
        lambda one, hubs: one.sync(want(one, f"@quorum/size/1/{10**19}", start="")), "none that a hub can have"
    ),
    "a quorum of an epoch of 2^63": Lie(
        lambda one, hubs: one.sync(want(one, f"@quorum/size/{1 << 63}/3", start="")), "none that a hub can have"
    ),
    "five thousand voters": Lie(
        lambda one, hubs: one.sync(want(one, "@quorum/voters/1/1", start="", body=b"x\n" * 5000)), "none that a hub can"
    ),
    "everything, again and again": Lie(
        lambda one, hubs: many(one, lambda n: [0, HUB, one.syncs(kind="hello")], 300), "it has to wait", closes=False
    ),
    "digests that are never equal": Lie(
        lambda one, hubs: many(
            one, lambda n: [0, HUB, one.syncs({}, have=dict(hubs["a"]._driver.core._store.version), digest=n)], 300
        ),
        None, closes=False,
    ),
    "deltas that start in the middle": Lie(
        lambda one, hubs: many(
            one, lambda n: [0, HUB, one.syncs({}, since={"z#1": (n + 1, 0)}, upto={"z#1": (n + 2, 0)})], 300
        ),
        None, closes=False,
    ),
    "whole maps that never end": Lie(
        lambda one, hubs: many(one, lambda n: [0, HUB, one.syncs(want(one, f"j{n}"), kind="whole", more=True)], 300),
        None, closes=False,
    ),
    "nothing is left of others' rows": Lie(
        lambda one, hubs: one.sync(
            {key: row for key, row in rows_of(hubs["a"]).items() if key[0] == "want"},
            kind="whole", upto={node: future(one, 1) for node in hubs["a"]._driver.core._store.version},
        ),
        "is to have written, and has not", closes=False,
    ),
}  # fmt: skip

OTHERS: dict[str, Lie] = {
    "a heartbeat of a boot that never was": Lie(
        lambda one, hubs: one.tell(encode(Kind.BEAT, {B9: 1})), f"{B9} is said to live, by liar#7", closes=False
    ),
    "heartbeats of others of 2^63": Lie(
        lambda one, hubs: one.tell(encode(Kind.BEAT, {node_of(hubs, name): MOST >> 1 for name in NODES})), None, closes=False
    ),
    "heartbeats of nobody, by the thousand": Lie(
        lambda one, hubs: one.tell(*(encode(Kind.BEAT, {f"n{n}-{m}#1": 1 for m in range(500)}) for n in range(40))),
        None, closes=False,
    ),
    "a thousand nodes that nobody has met": Lie(
        lambda one, hubs: one.tell(encode(Kind.PEERS, [[f"n{n}#1", f"ws://nowhere{n}:1"] for n in range(1000)])),
        f"liar#7 tells of more than {HEARSAY} nodes", closes=False,
    ),
    "another lives elsewhere": Lie(
        lambda one, hubs: one.tell(encode(Kind.PEERS, [[B9, "ws://nowhere:1"]])), None, closes=False
    ),
    "a roster of another, of 2^64-1": Lie(
        lambda one, hubs: one.say([-9, HUB, [3, node_of(hubs, "b"), MOST, MOST, ["g", [1]]]]), not_a
    ),
    "a roster of another, of now": Lie(
        lambda one, hubs: one.say([-9, HUB, [3, node_of(hubs, "b"), *future(one, 1), ["g", [1]]]], to="ac"),
        None, closes=False,
    ),
    "my roster, of next year": Lie(
        lambda one, hubs: one.say([-9, HUB, [2, 0, 0, *future(one, 3e7), ["g", [1]], []]]), "who is in which group"
    ),
    "rosters of others, of next year": Lie(
        lambda one, hubs: one.say([-9, HUB, [0, node_of(hubs, "b"), *future(one, 3e7)]]), None, closes=False
    ),
    "a negative member": Lie(lambda one, hubs: one.say([-9, HUB, [2, 0, 0, 1, 1, ["g", [-1]], []]]), not_a),
    "a million members": Lie(
        lambda one, hubs: one.say([-9, HUB, [2, 0, 0, 1, 1, ["g", list(range(1 << 20))], []]], to="a"), not_a
    ),
    "twenty thousand rosters": Lie(
        lambda one, hubs: one.say([-9, HUB, [1, *(f"z{n}#1" for n in range(20_000))]]), not_a
    ),
    "one roster, again and again": Lie(
        lambda one, hubs: many(one, lambda n: [-9, HUB, [1, node_of(hubs, "a")]], 300), None, closes=False
    ),
    "so many have it: -1": Lie(lambda one, hubs: one.say([-9, HUB, [9, 1, -1]]), not_a),
    "an answer to what nobody asked": Lie(
        lambda one, hubs: one.say([REPLY, 1, 0, "x"], [DOWN, 1, "normal", None], [HEARD, MOST], [HEARD, -5]),
        None, closes=False,
    ),
    "withdrawals of what nobody asked": Lie(
        lambda one, hubs: one.say([WITHDRAW, 1], [WITHDRAW, -MOST // 2]), None, closes=False
    ),
    "two calls of one number": Lie(
        lambda one, hubs: one.say(
            [MONITOR, 1, 1], [CALL, 7, serial_on(hubs, "a"), "slow", [], [1.0], None],
            [CALL, 7, serial_on(hubs, "a"), "slow", [], [1.0], None], to="a",
        ),
        "two requests have the number 7",
    ),
    "a call of an infinite time": Lie(
        lambda one, hubs: one.say([CALL, 1, 1, "add", [], [1], INF], [CALL, 2, 1, "add", [], [1], NAN]), None, closes=False
    ),
    "a run with two calls of one number": Lie(
        lambda one, hubs: one.say(
            [MONITOR, 1, 1], [CALLS, "slow", packed(7, 7), packed(*[serial_on(hubs, "a")] * 2), [1.0, 1.0], None, None],
            to="a",
        ),
        "two requests have the number 7",
    ),
    "a run of calls without an end": Lie(
        lambda one, hubs: one.say([CALLS, "add", packed(*range(10_001)), packed(*range(10_001)), [], None, None]),
        "the numbers of a run",
    ),
    "a run of calls for ever": Lie(
        lambda one, hubs: one.say([CALLS, "add", packed(1), packed(1), [1], [INF], None]), "a run of calls"
    ),
    "a run of calls with a chain of nobody": Lie(
        lambda one, hubs: one.say([CALLS, "add", packed(1), packed(serial_on(hubs, "a")), [1], None, [[5]]]),
        "a pid that makes no sense",
    ),
    "a run of casts that hold more than they may": Lie(
        lambda one, hubs: one.say([CASTS, serial_on(hubs, "a"), "add", 1, [[1]]]), "a run of casts"
    ),
    "a run of no casts": Lie(lambda one, hubs: one.say([CASTS, 1, "add", 0, []]), "a run of casts"),
    "a run of casts out of nothing": Lie(
        lambda one, hubs: one.say([CASTS, serial_on(hubs, "a"), "about", 1000, []]), "a run of casts"
    ),
    "a message that counts for a million": Lie(
        lambda one, hubs: one.tell(encode(Kind.APP, [REPLIES, packed(*range(100)), ["x"] * 100], 1_000_000)),
        "counts for a number of messages that makes no sense",
    ),
    "a caller that nobody can be": Lie(
        lambda one, hubs: one.say([CALL, 1, serial_on(hubs, "a"), "add", [["b", True, True]], [1], None], to="a"),
        None, closes=False,
    ),
    "a run of answers to what nobody asked": Lie(
        lambda one, hubs: one.say([REPLIES, packed(*range(100)), ["x"] * 100]), None, closes=False
    ),
    "a run of casts for who is not there": Lie(
        lambda one, hubs: one.say([CASTS, 999_999, "add", 100, [1] * 100]), None, closes=False
    ),
    "a chain of ten thousand callers": Lie(
        lambda one, hubs: one.say([CALL, 1, 1, "add", [["x", 1, 1]] * 10_000, [1], None]), None, closes=False
    ),
    "messages that were passed on by nobody": Lie(
        lambda one, hubs: many(one, lambda n: [CAST, -1, serial_on(hubs, "a"), "add", [], [0]], 300), None, closes=False
    ),
    "tokens that nobody was sent": Lie(
        lambda one, hubs: one.say(*([CLAIM, n] for n in range(99)), *([ANSWER, n, 0, "x"] for n in range(99))),
        None, closes=False,
    ),
    "a state of who has no child": Lie(
        lambda one, hubs: one.say(
            *([-8, HUB, [OFFER, child, [1 << 40, 1, one.node], b"\xf6"]] for child in CHILDREN),
            *([-8, HUB, [DECLINE, child, [1, 1, node_of(hubs, "a")], "no"]] for child in CHILDREN),
        ),
        None, closes=False,
    ),
    "states of duplicates, by the hundred": Lie(
        lambda one, hubs: many(one, lambda n: [-8, HUB, [2, "c00", 5, b"\xf6"]], 300), None, closes=False
    ),
    "hops without end": Lie(lambda one, hubs: one.say([-8, HUB, [2, "c00", 1 << 60, b""]]), "makes no sense"),
    "my hub does not admit you": Lie(lambda one, hubs: one.say([DENY, HUB]), "does not admit node", closes=False),
    "hubs that do not exist": Lie(
        lambda one, hubs: one.say([HUBS, [[f"h{n}", True, *"abcde"] for n in range(5000)]]), "more than 4,096 hubs"
    ),
    "a hub id of a megabyte": Lie(lambda one, hubs: one.say([OPEN, ["x" * 1_000_000, True, *"abcde"]]), not_a),
    "open and closed, again and again": Lie(
        lambda one, hubs: many(
            one, lambda n: [CLOSE, HUB] if n % 2 else [OPEN, [HUB, True, *hubs["a"]._driver.agreement, {}]], 100
        ),
        None, closes=False,
    ),
    "a detour in the name of one that is linked": Lie(
        lambda one, hubs: one.say([FROM, node_of(hubs, "a"), [0, 1, None, []]], [FROM, node_of(hubs, "a"), [3, 1, [0]]]),
        None, closes=False,
    ),
    "detours of nobody, by the hundred": Lie(
        lambda one, hubs: many(one, lambda n: [FROM, f"a{n}#1", [0, 1, None, []]], 300), None, closes=False
    ),
    "a way that is none": Lie(
        lambda one, hubs: one.say(
            [VIA, "z#1", [3, 1, [0]]], [VIA, one.node, [3, 1, [0]]], [LOST, node_of(hubs, "b")], [FROM, one.node, [3, 1, [0]]]
        ),
        None, closes=False,
    ),
}  # fmt: skip


def serial_on(hubs: Hubs, name: str) -> int:
    return held(hubs, name)[0][1].serial


def pids(hubs: Hubs) -> dict[str, tuple[hubkit.Pid, ...]]:
    return {child: hubs["a"].pids(child) for child in CHILDREN}


def check_lie(lie: Lie) -> None:
    ends: dict[str, Any] = {}

    async def main(sim: Simulation) -> None:
        hubs = await boot(sim)
        before, links = pids(hubs), {name: set(hubs[name].statistics().links) for name in NODES}
        values = {key: row.value for key, row in rows_of(hubs["a"]).items()}
        async with liar(sim) as one:
            for _ in range(2):
                await lie.tell(one, hubs)
                await sim.sleep(3)
            ends["closed"] = len(one.links) < len(NODES)
            ends["linked"] = {name: links[name] <= set(hubs[name].statistics().links) for name in NODES}
            ends["moved"] = [child for child, was in before.items() if pids(hubs)[child] != was]
            # What differs is the liar's own.
            found = rows_of(hubs["a"]).items()
            ends["changed"] = [
                key
                for key, row in found
                if values.get(key) != row.value and key[-1] not in (one.node, B9) and row.stamp.node != one.node
                and "@quorum" not in key[1]
            ]  # fmt: skip
        await sim.sleep(8)
        await check(sim, terms=lie.terms)
        assert pids(hubs) == before
        await hubs["b"].start_child(hubkit.child("later", Counter))
        await hubs["c"].stop_child("later")
        await sim.settled(within=20)
        assert not any("liar" in name for hub in hubs.values() for name in hub.nodes())

    with overheard() as said:
        Simulation.run(main, seed=1)
    assert ends["moved"] == []
    assert ends["changed"] == []
    assert all(ends["linked"].values()), f"honest nodes lost their links: {said}"
    assert ends["closed"] is lie.closes, said
    assert not any(line.startswith(("ERROR", "CRITICAL")) for line in said), said
    if lie.says is None:
        assert said == []
        return
    about = [line for line in said if re.search(lie.says, line)]
    assert about, said
    assert any("liar" in line for line in about) or lie.says.startswith(B9), about
    assert len(said) <= 9, said


@pytest.mark.parametrize("what", MAP)
def test_a_lie_about_the_map(what: str) -> None:
    check_lie(MAP[what])


@pytest.mark.parametrize("what", OTHERS)
def test_a_lie_to_the_node(what: str) -> None:
    check_lie(OTHERS[what])
