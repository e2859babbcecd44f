"""A lone message is answered on the spot, a crowd in one frame; and nothing overtakes what could not go at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.net.peers import Peer, pair, running, until

from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.simulated_link import SimulatedLink
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
    network = SimulatedNetwork(seed=1)
    ways = [network.transport(name) for name in "ab"]
    a = Peer("a", transport=ways[0], environment=clocks_of(None, ways[0]))
    async with running(a) as nursery:
        b = Peer("b", transport=ways[1], environment=clocks_of(None, ways[1]), seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: a.linked_to(b) and b.linked_to(a))
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
