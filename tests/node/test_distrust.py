"""What one node may want of another at a time, and what becomes of who is found to lie."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
from tests.node.liar import overheard
from tests.node.pair import spawn, wired

from hubkit.actors.late import LateReply
from hubkit.actors.system import System
from hubkit.environment import Environment
from hubkit.errors import ProtocolViolation
from hubkit.net.dialer import GIVEN_UP, HEARSAY, Dialer
from hubkit.node import bonds, exchange
from hubkit.node import credits as marks
from hubkit.node.bonds import LINK
from hubkit.node.bounds import CHAIN
from hubkit.node.credits import MARK
from hubkit.node.distrust import BARRED, MOST, QUIET, Distrust
from hubkit.node.exchange import CALL
from hubkit.node.relays import CAST, PASSED_ON
from hubkit.node.shapes import MONITOR, REPLY
from hubkit.pids import name_of


def test_who_lies_is_barred_for_a_while_and_told_of_once_in_a_while() -> None:
    distrust = Distrust()
    assert distrust.found("x#1", 0.0)
    assert distrust.bars("x#2", BARRED - 0.1)  # a new boot number is soon made up
    assert not distrust.bars("x#1", BARRED)
    assert not distrust.found("x#3", QUIET - 0.1)
    assert distrust.bars("x#1", QUIET)
    assert distrust.found("x#1", QUIET)
    for number in range(2 * MOST):
        assert distrust.found(f"n{number}#1", QUIET)
    assert len(distrust._found) == len(distrust._said) == MOST


async def test_there_is_an_end_to_what_a_node_may_want(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    for room, name in ((exchange, "SERVED"), (exchange, "WATCHES"), (bonds, "BONDS"), (marks, "MARKS")):
        monkeypatch.setattr(room, name, 3)
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=1)
        serial = cell.pid.serial

        def told(*messages: list[Any]) -> None:
            for message in messages:
                b.exchange.receive(a.id, message)

        calls = [[CALL, number, serial, "slow", [], [5.0], None] for number in (1, 2, 3)]
        told(*calls)
        with pytest.raises(ProtocolViolation, match="more than 3 requests without an answer"):
            told([CALL, 4, serial, "slow", [], [5.0], None])
        told(*([MARK, number, serial] for number in (1, 2, 3)))
        with pytest.raises(ProtocolViolation, match="more than 3 marks"):
            told([MARK, 4, serial])
        told(*([MONITOR, number, serial] for number in (1, 2, 3, 3, 2)))
        with pytest.raises(ProtocolViolation, match="more than 3 watches"):
            told([MONITOR, 4, serial])
        told(*([LINK, number, serial, 70 + number] for number in (1, 2, 3)))
        with pytest.raises(ProtocolViolation, match="more than 3 links"):
            told([LINK, 4, serial, 74])
        b.exchange.link_down(a.id)  # which is what becomes of it
        assert not b.exchange._serving
        assert not b.exchange._watched
        assert not b.exchange.credits._theirs
        cell.cancel()


async def test_what_is_passed_on_fills_no_mailbox_without_end(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(exchange, "PASSED_ON_MOST", 5)
    async with wired() as (nursery, a, b):
        cell = await spawn(b, nursery, mailbox=1)
        for _ in range(50):
            b.exchange.receive(a.id, [CAST, PASSED_ON, cell.pid.serial, "slow", [], [1.0]])
        assert cell.length <= 7
        assert len(b.events) >= 43  # dead letters
        b.exchange.receive(a.id, [CALL, 1, cell.pid.serial, "add", [["x", 1, 1]] * (CHAIN + 1), [1], None])
        assert [message[:2] for message in b.sent if message[0] == REPLY] == [[REPLY, 1]]
        cell.cancel()


async def test_a_token_cannot_be_guessed() -> None:
    system = System("a", 1)
    numbers = {system.secret() for _ in range(100)}
    assert len(numbers) == 100
    assert all(0 <= number < 1 << 62 for number in numbers)
    assert max(numbers) > 1 << 58
    assert LateReply.__slots__  # (its id is what travels)


class Nobody:
    """A mesh that reaches nobody."""

    leaving = False

    def __init__(self, *linked: str) -> None:
        self.linked = linked

    def is_linked(self, node: str) -> bool:
        return node in self.linked

    async def connect(self, target: Any) -> None:
        raise AssertionError

    def refused(self, node: str) -> None:
        raise AssertionError

    def seed_failed(self, address: str, error: Exception) -> None:
        raise AssertionError

    def seeds_exhausted(self) -> None:
        pass


def test_names_at_one_address_are_bounded_as_other_hearsay_and_who_tells_is_named() -> None:
    dialer = Dialer("me#1", Nobody("b#1"), Environment())
    dialer.know("b#1", "ws://b:1")
    with overheard() as said:
        for number in range(3 * HEARSAY):
            dialer.know(f"n{number}#1", "ws://b:1", by="liar#7")
            dialer.know(f"n{number}#2", "ws://b:1", by="liar#8")  # the same name once more
    assert len(dialer._members) == HEARSAY + 1
    assert dialer._targets.keys() == {"ws://b:1"}
    (line,) = said
    assert f"liar#8 tells of more than {HEARSAY} nodes" in line
    dialer.know("n0#2", "ws://b:1")  # it is there, and says so itself
    dialer.know("late#1", "ws://b:1", by="liar#7")
    assert dialer._members["late#1"] == "ws://b:1"
    for node in list(dialer._members):
        dialer.forget(node)
    assert not dialer._targets
    assert not dialer._surplus
    assert not dialer._living
    assert not dialer._names


def test_to_hear_of_a_node_costs_the_same_however_many_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    for size in (100, 1000):
        dialer = Dialer("me#1", Nobody(), Environment())
        looks = Counter[str]()

        def counted(node: str, looks: Counter[str] = looks) -> str:
            looks[node] += 1
            return name_of(node)

        monkeypatch.setattr("hubkit.net.dialer.name_of", counted)
        for number in range(size):
            dialer.know(f"n{number}#1", f"ws://n{number}:1")
        counts.append(looks.total())
    assert counts[1] <= 11 * counts[0]


def test_what_others_tell_of_addresses_is_bounded_and_displaces_nobody() -> None:
    environment = Environment()
    dialer = Dialer("me#1", Nobody("b#1"), environment)
    dialer.know("b#1", "ws://b:1")
    dialer.know("b#9", "ws://evil:1", by="liar#7")
    assert dialer._members == {"b#1": "ws://b:1"}
    for number in range(2 * HEARSAY):
        dialer.know(f"n{number}#1", f"ws://n{number}:1", by="liar#7")
    assert len(dialer._members) == HEARSAY + 1
    dialer.know("n0#1", "ws://n0:1")  # it has come by itself
    assert len(dialer._unmet) == HEARSAY - 1
    target = dialer._targets["ws://n1:1"]
    dialer._failure(target, OSError("nobody there"))
    assert "n1#1" in dialer._members
    dialer._unmet["ws://n1:1"] -= GIVEN_UP + 1
    dialer._failure(target, OSError("nobody there"))
    assert "n1#1" not in dialer._members
    assert "ws://n1:1" not in dialer._targets
