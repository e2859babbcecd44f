"""Links that do not last, in virtual time: they are dialled again at a bounded rate, and each end is a line of the log."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing
from tests.net.peers import Peer, until

from hubkit.net.simulated import SimulatedNetwork
from hubkit.node.options import clocks_of

SECONDS = 120


def two_nodes() -> tuple[SimulatedNetwork, Peer, Peer]:
    """On a network of their own; the second dials the first."""
    network = SimulatedNetwork(seed=3)
    ways = [network.transport(name) for name in "ab"]
    a = Peer("a", transport=ways[0], environment=clocks_of(None, ways[0]))
    return network, a, Peer("b", transport=ways[1], environment=clocks_of(None, ways[1]), seeds=[network.address("a")])


@pytest.mark.parametrize(
    ("lasts", "most"), [(0.05, 2 * SECONDS), (0.5, 2 * SECONDS), (1.5, SECONDS / 1.5 + 2), (20.0, 8)]
)
async def test_a_link_that_always_breaks_is_dialled_at_a_bounded_rate(
    lasts: float, most: float, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a proxy that cuts every connection after so many seconds. Both dial, each no more than once a second."""
    caplog.set_level(logging.INFO, "hubkit.net")
    network, a, b = two_nodes()
    async with trio.open_nursery() as nursery:
        for peer in (a, b):
            await nursery.start(peer.run)
        with trio.move_on_after(SECONDS):
            while True:
                await until(lambda: a.linked_to(b) and b.linked_to(a))
                await trio.sleep(lasts)
                network.break_links("a", "b")
                await until(lambda: not a.mesh.links and not b.mesh.links)
        ups = a.log.count(("up", b.id))
        assert 4 <= ups <= most
        lines = [record.getMessage() for record in caplog.records]
        ends = [line for line in lines if line.startswith(f"link to {b.id}: down: ")]
        assert ups - 1 <= len(ends) <= ups
        assert len(lines) <= 8 * ups  # of both sides: up, down, and at most what became of the dials between
        assert not any(record.exc_info for record in caplog.records)
        await until(lambda: a.linked_to(b) and b.linked_to(a))  # and when nothing breaks it any more, it stays
        figures = a.mesh.links[b.id]
        assert figures.reconnects >= ups - 1
        assert figures.last_error
        nursery.cancel_scope.cancel()


async def test_a_connection_that_carries_nothing_any_more_is_given_up_and_replaced(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a proxy that forgets a connection and tells nobody: both wait in vain, and say for how long they did."""
    caplog.set_level(logging.INFO, "hubkit.net")
    network, a, b = two_nodes()
    async with trio.open_nursery() as nursery:
        for peer in (a, b):
            await nursery.start(peer.run)
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        await trio.sleep(10)
        began = trio.current_time()
        network.partition({"a"}, {"b"})
        with trio.fail_after(10):
            await until(lambda: a.said("down", b.id, False) and b.said("down", a.id, False))
            assert trio.current_time() - began < 7
            network.heal()
            await until(lambda: a.linked_to(b) and b.linked_to(a))
        ends = [record.getMessage() for record in caplog.records if ": down: " in record.getMessage()]
        assert len(ends) == 2
        assert all("down: silent for 4." in end or "down: silent for 5." in end for end in ends)
        nursery.cancel_scope.cancel()
