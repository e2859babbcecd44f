"""Which nodes a hub lets in: by name, by label, and what those that it does not let in hear and leave behind."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from tests.sim.actors import Counter

import hubkit
from hubkit.errors import ConfigurationError, HandshakeRefused
from hubkit.testing import Simulation


def only(*names: str) -> Any:
    return lambda name, labels: name in names


def test_by_name_and_who_is_not_named_is_told() -> None:
    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a", admit=only("a", "b"))
        await sim.start_hub("shop", node="b", admit=only("a", "b"))
        with pytest.raises(HandshakeRefused, match=r"hub 'shop' on node '[ab]' does not admit node 'c'") as caught:
            await sim.start_hub("shop", node="c")
        assert (caught.value.code, caught.value.by_peer) == ("admission", True)
        await sim.settled(within=60)
        assert a.nodes(include_local=True) == ("a", "b")
        assert not any("c#" in node for node in a._driver.core.nodes)

    Simulation.run(main, seed=1)


def test_by_label() -> None:
    def admit(name: str, labels: Mapping[str, str]) -> bool:
        return labels.get("zone") == "eu"

    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a", labels={"zone": "eu"}, admit=admit)
        b = await sim.start_hub("shop", node="b", labels={"zone": "eu"}, admit=admit)
        for labels in ({"zone": "us"}, {}):
            with pytest.raises(HandshakeRefused, match="does not admit"):
                await sim.start_hub("shop", node="c", labels=labels, admit=admit)
        await a.start_children([hubkit.child(f"c{n}", Counter) for n in range(8)])
        await sim.settled(within=60)
        assert {pid.node for info in b.children().values() for pid in info.pids} == {"a", "b"}

    Simulation.run(main, seed=2)


def test_who_runs_already_stays_apart_and_takes_nothing_in(caplog: pytest.LogCaptureFixture) -> None:
    """Of two that cannot meet, each goes on as it was; another hub of the same two nodes is not touched."""
    caplog.set_level(logging.WARNING, "hubkit")

    async def main(sim: Simulation) -> None:
        free = [await sim.start_hub("market", node=name) for name in "ab"]
        sim.partition({"a"}, {"b"})
        a = await sim.start_hub("shop", node="a", admit=only("a"))
        b = await sim.start_hub("shop", node="b")
        await a.start_child(hubkit.child("from a", Counter))
        await b.start_child(hubkit.child("from b", Counter))
        sim.heal()
        await sim.sleep(60)
        assert free[0].nodes() == ("b",)
        assert (a.nodes(), b.nodes()) == ((), ())
        assert (set(a.children()), set(b.children())) == ({"from a"}, {"from b"})

    Simulation.run(main, seed=3)
    said = [record.getMessage() for record in caplog.records]
    for node in "ab":
        text = f"node {node} stays apart: hub 'shop' on node 'a' does not admit node 'b'"
        assert sum(text in line for line in said) == 1


def test_a_rule_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    def broken(name: str, labels: Mapping[str, str]) -> bool:
        raise LookupError(name)

    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a", admit=broken)
        with pytest.raises(HandshakeRefused):
            await sim.start_hub("shop", node="b")

    Simulation.run(main, seed=4)
    assert any("so that node is not admitted" in record.getMessage() for record in caplog.records)


def test_a_rule_is_a_function() -> None:
    with pytest.raises(ConfigurationError, match="admit must be a function"):
        hubkit.Hub("shop", admit=["a"])  # type: ignore[arg-type]  # wrong on purpose
