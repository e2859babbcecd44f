"""A lone message is answered on the spot, a crowd in one frame; and nothing overtakes what could not go at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
from tests.net.peers import Peer, pair, running, until

from hubkit.net.cbor import encode
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.simulated_link import SimulatedLink
from hubkit.net.wire import CHUNK, COUNTED
from hubkit.node.options import clocks_of


async def test_a_lone_message_is_answered_on_the_spot() -> None:
    async with pair() as (a, b):
        sent_at_once: list[int] = []
        expected: list[int] = []

        def answer(peer: str, message: list[Any]) -> None:
            before = b.mesh.links[a.id].frames_out
            b.mesh.send(peer, message)
            sent_at_once.append(b.mesh.links[a.id].frames_out - before)

        b.on_message = answer
        for number in range(20):
            a.mesh.send(b.id, [number])
            expected.append(number)
            await until(lambda: len(a.messages) == len(expected))
        assert sum(sent_at_once) >= 15  # a heartbeat may have come in between
        a.messages.clear()
        sent_at_once.clear()
        frames = b.mesh.links[a.id].frames_out
        for number in range(100):
            a.mesh.send(b.id, [number])
        await until(lambda: len(a.messages) == 100)
        assert [message for _, message in a.messages] == [[number] for number in range(100)]
        assert sum(sent_at_once) <= 1
        assert b.mesh.links[a.id].frames_out - frames < 20


@pytest.mark.parametrize("able", [True, False], ids=["it can", "it cannot"])
async def test_order_is_kept_whether_a_link_can_or_not(
    able: bool, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not able:
        monkeypatch.setattr(SimulatedLink, "send_now", lambda self, frame: False)
    async with simulated_pair() as (a, b):
        sent: list[list[int]] = []

        def answer(peer: str, message: list[Any]) -> None:
            for part in range(message[0] % 3):  # none, one, or two in a row
                sent.append([message[0], part])
                b.mesh.send(peer, sent[-1])

        b.on_message = answer
        for number in range(50):
            a.mesh.send(b.id, [number])
            if number % 5:
                await trio.sleep(0.001 * (number % 7))
        await until(lambda: len(a.messages) == len(sent) > 40)
        assert [message for _, message in a.messages] == sent
        links = b.mesh.links[a.id]
        assert links.messages_out >= len(sent)
        assert links.waiting == 0


class Run:
    """A message to which numbers are added."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = [*numbers]

    def close(self) -> tuple[bytes, int]:
        return encode([16, self.numbers, len(self.numbers)]), len(self.numbers)


@pytest.mark.parametrize("able", [True, False], ids=["it can", "it cannot"])
async def test_what_is_worth_a_frame_does_not_wait_for_the_rest(
    able: bool, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not able:
        monkeypatch.setattr(SimulatedLink, "send_now", lambda self, frame: False)
    async with simulated_pair() as (a, b):
        for turn in range(3):
            b.messages.clear()
            a.mesh.send(b.id, [-1])  # what has come alone may be a heartbeat: this is its answer
            await until(lambda: len(b.messages) == 1)
            b.messages.clear()
            count = before = a.mesh.links[b.id].frames_out
            for start in range(0, 640, 64):
                run = Run()
                assert a.mesh.grow(b.id, run)
                run.numbers += range(start, start + 64)
                count = a.mesh.links[b.id].frames_out
            assert count - before == (3 if able else 0), "64, 128, and 256 messages, before the writer has had a turn"
            a.mesh.send(b.id, [640])
            await until(lambda: len(b.messages) == 11)
            assert [number for _, message in b.messages for number in message] == [*range(641)]
            there, here = b.mesh.links[a.id], a.mesh.links[b.id]
            assert here.waiting == here.waiting_bytes == 0
            assert there.messages_in == here.messages_out >= 641 * (turn + 1)
        assert not a.mesh.grow("c#1", Run())


async def test_a_frame_that_is_on_its_way_is_not_overtaken(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_pair() as (a, b):
        for _ in range(20):
            b.messages.clear()
            a.mesh.send(b.id, [0])
            a.mesh.send(b.id, [1])  # wakes the writer
            while a.mesh.links[b.id].waiting:
                await trio.lowlevel.checkpoint()
            for start in range(2, 642, 64):  # the link may still be about to send what it has been given
                assert a.mesh.grow(b.id, Run(*range(start, start + 64)))
            await until(lambda: len(b.messages) == 12 or not b.linked_to(a))
            assert [number for _, message in b.messages for number in message] == [*range(642)]


async def test_an_answer_that_comes_alone_is_not_made_to_grow(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_pair() as (a, b):
        could: list[bool] = []
        b.on_message = lambda peer, message: could.append(b.mesh.grow(peer, Run(1)))
        for number in range(1, 21):
            a.mesh.send(b.id, [number])
            await until(lambda: len(could) == number)  # noqa: B023  # it is over before the next
        assert could.count(False) >= 10  # else a heartbeat came with it, or in between
        could.clear()
        for number in range(100):
            a.mesh.send(b.id, [number])
        await until(lambda: len(could) == 100)
        assert could.count(False) <= 2


async def test_what_follows_many_that_have_come_as_one_may_grow(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_pair() as (a, b):
        could: list[bool] = []
        b.on_message = lambda peer, message: could.append(b.mesh.grow(peer, Run(1, 2)))
        for number in range(1, 21):
            await trio.sleep(0.01)
            while not a.mesh.grow(b.id, Run(1, 2, 3)):
                await trio.sleep(0.01)
            await until(lambda: len(could) == number)  # noqa: B023  # it is over before the next
        assert could == [True] * 20


async def test_one_that_counts_for_many_may_come_in_pieces(autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_pair() as (a, b):
        message = encode([16, ["x" * CHUNK], COUNTED])
        assert len(message) < CHUNK + 20, "its last piece has fewer bytes than it counts for"
        a.mesh._sessions[b.id].put(message)
        before = b.mesh.links[a.id].messages_in
        await until(lambda: len(b.messages) == 1 or not b.linked_to(a))
        assert b.mesh.links[a.id].messages_in >= before + COUNTED


@pytest.mark.parametrize("size", [1, 2000])
async def test_others_have_their_turn_between_long_messages(size: int, autojump_clock: trio.testing.MockClock) -> None:
    async with simulated_pair() as (a, b), trio.open_nursery() as others:
        done: list[int] = []
        between: list[int] = []

        async def other() -> None:
            between.append(len(done))

        def take(peer: str, message: list[Any]) -> None:
            autojump_clock.jump(0.03)  # so long it took
            done.append(message[0])
            others.start_soon(other)

        b.on_message = take
        for number in range(20):
            a.mesh.send(b.id, [number, "x" * size])
        await until(lambda: len(done) == len(between) == 20)
        turns = sorted({0, *between})  # not how many had theirs each time: that is trio's to draw
        in_a_row = max(later - earlier for earlier, later in pairwise(turns))
        assert in_a_row <= 2 if size > 1 else in_a_row >= 8


@pytest.mark.parametrize("count", [0, -1, True, COUNTED + 1, "3", None])
async def test_a_message_that_counts_for_what_it_cannot_be_ends_the_link(
    count: Any, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated_pair() as (a, b):
        a.mesh._sessions[b.id].put(encode([16, [1], count]))
        await until(lambda: b.said("down", a.id, False))
        assert "counts for a number of messages that makes no sense" in caplog.text


@asynccontextmanager
async def simulated_pair() -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers with a link, in their own time."""
    network = SimulatedNetwork(seed=1)
    ways = [network.transport(name) for name in "ab"]
    a = Peer("a", transport=ways[0], environment=clocks_of(None, ways[0]))
    async with running(a) as nursery:
        b = Peer("b", transport=ways[1], environment=clocks_of(None, ways[1]), seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        yield a, b
