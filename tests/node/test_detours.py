"""Detours, without a network: who passes on what to whom, and what ends them."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net.cbor import decode
from hubkit.net.handshake import Identity
from hubkit.net.outbox import Growing
from hubkit.net.wire import encode_app
from hubkit.node.detours import CAPABILITY, FROM, LOST, PATIENCE, VIA, Detours
from hubkit.node.passage import MOST_NOWAIT

Wire = deque[tuple[str, str, list[Any]]]


class Node:
    """The mesh of a node, and what stands above it; both only take notes."""

    def __init__(self, name: str, wire: Wire, *capabilities: str) -> None:
        self.identity = Identity(f"{name}#1", f"ws://{name}:1", capabilities=capabilities or (CAPABILITY,))
        self.wire = wire
        self.linked: set[str] = set()
        self.said: list[Any] = []
        self.got: list[Any] = []
        self.waiting = 0
        self.objection: str | None = None
        self.limit = 1000
        self.detours = Detours(self)
        self.detours.attach(self)

    @property
    def id(self) -> str:
        return self.identity.node

    def is_linked(self, node: str) -> bool:
        return node in self.linked

    def send(self, peer: str, message: list[Any]) -> bool:
        if len(str(message)) > self.limit:
            raise NotSerializable("too large")
        if peer in self.linked:
            self.wire.append((self.id, peer, message))
        return peer in self.linked

    def write(self, peer: str, message: bytes) -> int:
        _, content = decode(message)
        return self.waiting if self.send(peer, content) else -1

    def grow(self, peer: str, message: Growing) -> bool:
        return False

    def backlog(self, peer: str) -> int:
        return self.waiting

    def admit(self, peer: Identity) -> str | None:
        return self.objection

    def link_up(self, peer: Identity) -> None:
        self.said.append(("up", peer.node, peer.address))
        self.detours.send(peer.node, ["hello of", self.id])

    def link_down(self, peer: str, said_goodbye: bool) -> None:
        self.said.append(("down", peer, said_goodbye))

    def message(self, peer: str, message: list[Any]) -> None:
        if message == ["nonsense"]:
            raise ProtocolViolation("that makes no sense")
        self.got.append((peer, message))

    def refused(self, node: str) -> None: ...
    def request(self, peer: Identity, message: list[Any]) -> list[Any]:
        return message

    def seed_failed(self, address: str, error: Exception) -> None: ...
    def seeds_exhausted(self) -> None: ...


class Triangle:
    """``a`` and ``b`` are linked to ``c``, and not to each other."""

    def __init__(self, *of_c: str) -> None:
        self.wire: Wire = deque()
        self.a, self.b = Node("a", self.wire), Node("b", self.wire)
        self.c = Node("c", self.wire, *of_c)
        self.nodes = {node.id: node for node in (self.a, self.b, self.c)}
        self.link(self.a, self.c)
        self.link(self.b, self.c)

    def link(self, one: Node, two: Node) -> None:
        one.linked.add(two.id)
        two.linked.add(one.id)
        one.detours.link_up(two.identity)
        two.detours.link_up(one.identity)
        self.run()

    def cut(self, one: Node, two: Node, *, said_goodbye: bool = False) -> None:
        one.linked.discard(two.id)
        two.linked.discard(one.id)
        one.detours.link_down(two.id, said_goodbye)
        two.detours.link_down(one.id, said_goodbye)
        self.run()

    def run(self) -> None:
        while self.wire:
            sender, peer, message = self.wire.popleft()
            if sender in self.nodes[peer].linked:
                self.nodes[peer].detours.message(sender, message)

    def beats(self, count: int) -> None:
        for _ in range(count):
            for node in self.nodes.values():
                node.detours.look(self.nodes)
            self.run()

    def hears(self, node: Node, sender: Node, *message: Any) -> None:
        node.detours.message(sender.id, list(message))
        self.run()


def opened() -> Triangle:
    found = Triangle()
    found.beats(PATIENCE + 1)
    assert found.a.said[-1] == ("up", "b#1", "ws://b:1")
    assert found.b.said[-1] == ("up", "a#1", "ws://a:1")
    return found


def test_a_detour_opens_after_a_while_and_carries_in_order() -> None:
    triangle = Triangle()
    triangle.beats(PATIENCE)
    assert triangle.a.said == [("up", "c#1", "ws://c:1")]
    triangle.beats(1)
    a, b, c = triangle.a, triangle.b, triangle.c
    assert (a.detours.way("b#1"), b.detours.way("a#1"), a.detours.way("c#1")) == ("c#1", "c#1", "c#1")
    for n in range(20):
        assert a.detours.send("b#1", [n])
        assert b.detours.send("a#1", [-n])
    triangle.run()
    assert [m for peer, m in b.got if peer == "a#1"] == [["hello of", "a#1"], *([n] for n in range(20))]
    assert [m for peer, m in a.got if peer == "b#1"] == [["hello of", "b#1"], *([-n] for n in range(20))]
    assert {peer for peer, _ in c.got} == {"a#1", "b#1"}
    assert len(c.got) == 2  # their own greetings: what it passes on it does not take for its own


def test_what_is_bytes_already_goes_the_same_ways() -> None:
    triangle = opened()
    a, b, c = triangle.a, triangle.b, triangle.c
    a.waiting = 7
    written = encode_app([1, "by hand"])
    assert a.detours.write(b.id, written) == 7
    assert a.detours.write(c.id, written) == 7
    assert a.detours.write("nobody#1", written) == -1
    assert Detours(a).write(b.id, written) == -1  # it knows of no mesh yet
    triangle.run()
    assert b.got[-1] == (a.id, [1, "by hand"])
    assert c.got[-1] == (a.id, [1, "by hand"])
    triangle.cut(a, c)
    assert a.detours.write(b.id, written) == -1


def test_a_link_takes_the_place_of_a_detour() -> None:
    triangle = opened()
    a, b = triangle.a, triangle.b
    triangle.link(a, b)
    for node, other in ((a, b), (b, a)):
        assert node.said[-2:] == [("down", other.id, False), ("up", other.id, other.identity.address)]
        assert node.detours.way(other.id) == other.id
    triangle.beats(10)
    assert len(a.said) == 4
    triangle.cut(a, b)
    triangle.beats(PATIENCE + 1)
    assert a.detours.way("b#1") == "c#1"


@pytest.mark.parametrize("end", ["a", "b"])
def test_when_a_link_of_the_one_between_ends_so_does_the_detour(end: str) -> None:
    triangle = opened()
    triangle.cut(triangle.nodes[f"{end}#1"], triangle.c, said_goodbye=True)
    for node, other in ((triangle.a, "b#1"), (triangle.b, "a#1")):
        assert ("down", other, False) in node.said  # that one has said goodbye to another is hearsay
        assert not node.detours.send(other, ["lost"])
        assert ("down", other, True) not in node.said
    assert not triangle.c.detours._served or not any(triangle.c.detours._served.values())


def test_who_leaves_says_so_on_its_detours() -> None:
    triangle = opened()
    triangle.b.detours.goodbye()
    triangle.run()
    assert triangle.a.said[-1] == ("down", "b#1", True)


def test_nothing_goes_over_two() -> None:
    """``d`` is linked to ``c`` only, over which it reaches ``a``; ``a`` passes on only to whom it has a link itself."""
    triangle = opened()
    sent = len(triangle.b.got)
    triangle.cut(triangle.b, triangle.c)
    triangle.hears(triangle.a, triangle.c, VIA, "b#1", [0, 1, None, []])
    triangle.hears(triangle.c, triangle.a, VIA, "c#1", [0, 1, None, []])
    triangle.hears(triangle.c, triangle.a, VIA, "a#1", [0, 1, None, []])
    triangle.beats(10)
    assert len(triangle.b.got) == sent
    assert ("up", "c#1") not in triangle.b.said[2:]


def test_a_node_of_an_earlier_release_is_not_bothered() -> None:
    triangle = Triangle("another.1")
    triangle.beats(10)
    assert triangle.a.said == [("up", "c#1", "ws://c:1")]
    assert [message for _, message in triangle.c.got] == [["hello of", "a#1"], ["hello of", "b#1"]]


def test_who_would_not_be_linked_gets_no_detour_either() -> None:
    triangle = Triangle()
    triangle.b.objection = "name: taken"
    triangle.beats(10)
    assert len(triangle.a.said) == len(triangle.b.said) == 1
    triangle.b.objection = None
    triangle.beats(1)
    assert len(triangle.a.said) == len(triangle.b.said) == 2


def test_nonsense_ends_the_detour_and_not_the_link_to_who_passed_it_on() -> None:
    triangle = opened()
    triangle.a.detours.send("b#1", ["nonsense"])
    triangle.run()
    assert triangle.a.said[-1] == ("down", "b#1", False)
    assert triangle.b.said[-1] == ("down", "a#1", False)
    assert triangle.b.linked == {"c#1"}


def test_a_node_that_is_refused_loses_its_detour() -> None:
    triangle = opened()
    triangle.a.detours.close("b#1")
    triangle.run()
    assert triangle.a.said[-1] == ("down", "b#1", False)
    assert triangle.b.said[-1] == ("down", "a#1", False)
    triangle.a.detours.close("b#1")  # once more says nothing
    assert not triangle.wire


def test_who_passes_on_gives_up_on_whoever_does_not_read() -> None:
    triangle = opened()
    triangle.c.waiting = MOST_NOWAIT + 1
    triangle.a.detours.send("b#1", ["one too many"])
    triangle.run()
    for node, other in ((triangle.a, "b#1"), (triangle.b, "a#1")):
        assert node.said[-1] == ("down", other, False)
    assert ("a#1", ["one too many"]) not in triangle.b.got


def test_what_is_too_large_to_be_passed_on_ends_the_detour() -> None:
    triangle = opened()
    triangle.c.limit = 100
    triangle.a.detours.send("b#1", ["x" * 200])
    triangle.run()
    assert triangle.a.said[-1] == ("down", "b#1", False)
    assert triangle.b.said[-1] == ("down", "a#1", False)


def test_what_belongs_to_a_detour_that_has_ended_is_not_taken() -> None:
    triangle = opened()
    a, c = triangle.a, triangle.c
    number = a.detours._detours["b#1"].number
    before = list(a.got), list(a.said)
    items: list[list[Any]] = [[3, number + 1, ["late"]], [2, number - 1, True], [1, number + 1, None, []]]
    for item in items:
        triangle.hears(a, c, FROM, "b#1", item)
    triangle.hears(a, triangle.b, FROM, "b#1", [3, number, ["over another"]])
    triangle.hears(a, triangle.b, LOST, "b#1")  # nobody speaks for others' detours
    triangle.hears(a, c, LOST, "x#1")
    triangle.hears(a, c, FROM, "x#1", [3, 1, ["from nobody"]])
    assert (a.got, a.said) == before


@pytest.mark.parametrize(
    "message",
    [
        [VIA, "no id", []], [FROM, "no id", []], [FROM, "a#1", []], [FROM, "a#1", [9]], [FROM, "a#1", [0, "1", None, []]],
        [FROM, "a#1", [0, 1, 5, []]], [FROM, "a#1", [0, 1, "\n", []]], [FROM, "a#1", [0, 1, None, [5]]],
        [FROM, "a#1", [0, 1, None, ["x"] * 33]], [FROM, "a#1", [0, 1, "x" * 501, []]],
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_violation(message: list[Any]) -> None:
    triangle = Triangle()
    with pytest.raises(ProtocolViolation):
        triangle.hears(triangle.b, triangle.c, *message)
