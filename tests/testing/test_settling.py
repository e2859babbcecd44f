"""`Simulation.settled`: where nobody is left to settle, nothing has."""

from __future__ import annotations

import pytest
from tests.testing.scenarios import counters

from hubkit.errors import ConfigurationError, NotSettled
from hubkit.testing import Simulation


async def start(sim: Simulation, names: str = "ab", hub_id: str = "shop") -> None:
    for name in names:
        await sim.start_hub(hub_id, node=name)
    await sim.settled(within=30)


def test_without_any_hub() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(ConfigurationError, match=r"no hub in this simulation .* sim\.start_hub"):
            await sim.settled(within=30)
        assert sim.now == 0.0

    Simulation.run(main, seed=1)


def test_with_all_crashed_or_paused() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim)
        sim.crash("a")
        sim.pause("b")
        began = sim.now
        with pytest.raises(NotSettled, match="hub shop: no hub is open: a has crashed, b is paused"):
            await sim.settled(within=7)
        assert sim.now == pytest.approx(began + 7)
        sim.resume("b")
        await sim.settled(within=30)
        assert sim.hub("b").nodes() == ()

    Simulation.run(main, seed=1)


def test_while_the_only_one_starts_again() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim)
        await sim.hub("a").start_children(counters(3))
        sim.crash("a")
        sim.crash("b", silent=True)
        sim.restart("a")
        with pytest.raises(NotSettled, match="no hub is open: a is starting, b has crashed"):
            await sim.settled(within=0)
        await sim.settled(within=30)

    Simulation.run(main, seed=1)


def test_after_all_have_left_in_good_order() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim)
        await sim.stop("a")
        await sim.stop("b")
        await sim.settled(within=0)
        sim.crash(await _again(sim))
        with pytest.raises(NotSettled, match="no hub is open: a has crashed, b has left"):
            await sim.settled(within=1)

    async def _again(sim: Simulation) -> str:
        sim.restart("a")
        await sim.settled(within=30)
        return "a"

    Simulation.run(main, seed=1)


def test_each_hub_for_itself() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim, "ab")
        await start(sim, "cd", "bar")
        sim.crash("c")
        sim.pause("d")
        with pytest.raises(NotSettled, match="hub bar: no hub is open: c has crashed, d is paused") as caught:
            await sim.settled(within=1)
        assert "hub shop" not in str(caught.value)
        sim.restart("c")
        await sim.settled(within=30)

    Simulation.run(main, seed=1)


def test_one_that_was_drained_by_hand_has_left() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim)
        await sim.hub("a").drain()
        await sim.hub("b").drain()
        await sim.settled(within=0)
        sim.crash("a")
        with pytest.raises(NotSettled, match="a has crashed, b has drained it"):
            await sim.settled(within=0)

    Simulation.run(main, seed=1)


def test_while_all_stand_still() -> None:
    async def main(sim: Simulation) -> None:
        await start(sim)
        sim.pause("a")
        sim.pause("b")
        with pytest.raises(NotSettled, match="no hub is open: a is paused, b is paused"):
            await sim.settled(within=1)

    Simulation.run(main, seed=1)
