"""A node that does not read for a while: its senders stop, their memory does not grow, and all goes on when it reads again."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import hubkit
from hubkit.errors import MailboxFull
from hubkit.net.session import ROOM
from hubkit.node.passage import MOST_NOWAIT
from hubkit.testing import Simulation, simulated

SIZE = 20_000


class Taker(hubkit.Actor):
    """Counts what it gets."""

    def __init__(self) -> None:
        self.count = 0

    async def take(self, data: bytes) -> int:
        self.count += 1
        return self.count


@simulated(seeds=3)
async def test_a_node_that_does_not_read_holds_back_its_senders(sim: Simulation) -> None:
    for name in "ab":
        sim.start_soon("hub", node=name)
    await sim.settled(within=30)
    a = sim.hub("a")
    await a.start_children([hubkit.child(f"c{n}", Taker) for n in range(8)])
    await sim.settled(within=30)
    there = [child for child, info in sorted(a.children().items()) if info.pids[0].node == "b"]
    refs: list[hubkit.Ref[Any]] = [a.ref(child) for child in there]
    done: list[int] = []

    async def sender(number: int) -> None:
        ref = refs[number % len(refs)]
        if number % 2:
            await ref.call(Taker.take, bytes(SIZE))
        else:
            await ref.cast(Taker.take, bytes(SIZE))
        done.append(number)

    sim.hold("a", "b")
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(sender, number)
        await sim.sleep(1)
        waiting = a.statistics().links["b"].waiting_bytes
        assert ROOM / 2 < waiting < ROOM + 2 * SIZE
        with pytest.raises(MailboxFull, match="does not keep up"):
            for _ in range(1000):
                refs[0].cast_nowait(Taker.take, bytes(SIZE))
        waiting = a.statistics().links["b"].waiting_bytes
        assert MOST_NOWAIT / 2 < waiting < MOST_NOWAIT + 2 * SIZE
        await sim.sleep(1)
        assert len(done) < 100
        sim.release("a", "b")
    assert len(done) == 1000
    link = a.statistics().links["b"]
    assert link.reconnects == 0
    assert link.waiting_bytes < ROOM
    sim.check()
