"""Strategies of users' own, in whole hubs: right ones work, and wrong ones harm nobody."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from tests.sim.actors import Counter

import hubkit
from hubkit.errors import NoQuorum, StartFailed
from hubkit.strategies import ChildView, ClusterView, NodeView, Replication
from hubkit.testing import Simulation


@dataclass(frozen=True)
class Wrong:
    """As the first nodes by name; with three of them it does what ``how`` says."""

    how: str

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        names = [node.name for node in nodes]
        if len(nodes) < 3:
            return names[:copies]
        return {"None": None, "name": ["nowhere"], "text": "abc", "twice": names[:1] * 2}[self.how]


@dataclass(frozen=True)
class Closed:
    """It raises, always."""

    def allowed(self, view: ClusterView) -> bool:
        msg = "out of order"
        raise RuntimeError(msg)


def said(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if what in record.getMessage()]


@pytest.mark.parametrize("how", ["raises", "None", "name", "text", "twice"])
def test_a_distribution_that_breaks_moves_nothing(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main(sim: Simulation) -> None:
        a, b = [await sim.start_hub("shop", node=name, distribution=Wrong(how)) for name in "ab"]
        refs = await a.start_children([hubkit.child(f"c{number}", Counter) for number in range(5)])
        assert refs.status == "ok"
        await sim.settled(within=5)
        before = {child: info.pids for child, info in a.children().items()}
        c = await sim.start_hub("shop", node="c", distribution=Wrong(how))
        await sim.sleep(30)
        assert {child: info.pids for child, info in c.children().items()} == before
        assert await b.ref("c1", Counter).call(Counter.add) == 1
        assert "Wrong fails: place" in a.explain("c1").text
        with pytest.raises(StartFailed, match="Wrong fails: place"):
            await b.start_child(hubkit.child("new", Counter))
        await c.stop()
        await sim.settled(within=10)
        await b.start_child(hubkit.child("new", Counter))

    with caplog.at_level(logging.WARNING):
        Simulation.run(main, 1)
    assert len(said(caplog, "the distribution strategy Wrong fails: place")) == 3  # a line on each node


def test_a_tolerance_that_raises_lets_nothing_begin(caplog: pytest.LogCaptureFixture) -> None:
    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a", partition_tolerance=Closed())
        with pytest.raises(NoQuorum):
            await a.start_child(hubkit.child("c", Counter))

    with caplog.at_level(logging.WARNING):
        Simulation.run(main, 1)
    assert said(caplog, "the partition_tolerance strategy Closed fails: allowed raised RuntimeError: out of order")


def test_too_few_nodes_for_all_copies_are_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(sim: Simulation) -> None:
        a, _ = [await sim.start_hub("shop", node=name, redundancy=Replication(3)) for name in "ab"]
        await a.start_children([hubkit.child(f"c{number}", Counter) for number in range(10)])
        await sim.settled(within=5)
        await sim.sleep(60)
        assert "1 of 3 copies wait for more nodes that can run it" in a.explain("c3").in_flight
        await sim.start_hub("shop", node="c", redundancy=Replication(3))
        await sim.settled(within=10)
        assert a.explain("c3").in_flight == ()

    with caplog.at_level(logging.WARNING):
        Simulation.run(main, 1)
    lines = said(caplog, "fewer copies than the 3")
    assert sorted(line.partition(":")[0] for line in lines) == ["hub shop on node a", "hub shop on node b"]
