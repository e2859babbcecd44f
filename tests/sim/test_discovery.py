"""Asking again, in whole simulated clusters: by what they are told nodes find each other, and by what they are not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.sim.actors import Counter

from hubkit import child
from hubkit.testing import Simulation


class Board:
    """A discovery that all nodes share: what is written on it is what they are told."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.error: Exception | None = None
        self.asked = 0

    async def addresses(self) -> Iterable[str]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.urls


@pytest.mark.parametrize("seed", range(3))
def test_nodes_meet_when_they_are_told_of_each_other(seed: int) -> None:
    board = Board()

    async def main(sim: Simulation) -> None:
        board.urls = []
        a, b, c = [await sim.start_hub("shop", node=name, join=board) for name in "abc"]
        await a.start_children([child(f"c{n}", Counter) for n in range(6)])
        await sim.sleep(30)
        assert (a.nodes(), b.nodes(), c.nodes()) == ((), (), ())
        board.error = OSError("the board is away")
        await sim.sleep(30)
        board.error = None
        assert b.node.url is not None
        board.urls = [b.node.url, "garbage"]
        await sim.settled(within=90)
        assert c.nodes() == ("a", "b")
        sim.check()

    Simulation.run(main, seed=seed)
    assert board.asked > 10


def test_nodes_that_are_torn_apart_meet_again_although_nobody_tells_of_them_any_more() -> None:
    async def main(sim: Simulation) -> None:
        board = Board()
        a, b = [await sim.start_hub("shop", node=name, join=board) for name in "ab"]
        board.urls = [hub.node.url for hub in (a, b) if hub.node.url]
        await sim.sleep(20)
        assert a.nodes() == ("b",)
        board.urls = []
        sim.partition({"a"}, {"b"})
        await sim.sleep(30)
        sim.heal()
        await sim.settled(within=60)
        assert a.nodes() == ("b",)

    Simulation.run(main, seed=1)
