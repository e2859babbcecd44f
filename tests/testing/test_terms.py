"""`monotonic_terms`: cores that hand terms out as promised pass, all others are caught."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.hub.actors import Counter

import hubkit
from hubkit.cluster.converge import Do, Rules, Step
from hubkit.cluster.effects import Effect, Start
from hubkit.cluster.rows import Run, Want
from hubkit.errors import InvariantViolated
from hubkit.hub.driver import Driver
from hubkit.hub.household import Household
from hubkit.testing.checkers import monotonic_terms
from hubkit.testing.simulation import Simulation
from hubkit.testing.terms import _TermsWatcher

Main = Callable[[Simulation], Awaitable[object]]


async def three(sim: Simulation) -> hubkit.Hub:
    first, *_ = [await sim.start_hub("h", node=name) for name in "abc"]
    await first.start_children([hubkit.child(f"c{i}", Counter) for i in range(12)])
    await sim.settled(within=30)
    return first


async def tour(sim: Simulation) -> None:
    """One child visits all nodes, and comes back to each."""
    hub = await three(sim)
    for node in "abcabc":
        await hub.move("c1", node)
        await sim.sleep(2)
    sim.check()


async def wished_anew(sim: Simulation) -> None:
    """A child that is stopped and started again begins at the first term: that is another life."""
    hub = await three(sim)
    for _ in range(3):
        for node in "abc":
            await hub.move("c1", node)
        await hub.stop_child("c1")
        await sim.sleep(5)  # until nobody remembers it
        await hub.start_child(hubkit.child("c1", Counter))
        assert (await hub.ref("c1", Counter).call(Counter.about))["term"] == 1
        await sim.sleep(2)
    sim.check()


async def parted(sim: Simulation) -> None:
    """Both sides begin at the same terms, many times: each for itself."""
    await three(sim)
    for _ in range(3):
        sim.partition({"a"}, {"b", "c"})
        await sim.sleep(15)
        sim.restart("b")
        await sim.sleep(15)
        sim.heal()
        await sim.settled(within=60)
        sim.check()


async def forgotten(sim: Simulation) -> None:
    """What only the dead knew is lost, and nobody can be blamed."""
    hub = await three(sim)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(10)
    for _ in range(4):
        await hub.move("c1", "a")
        with pytest.raises(hubkit.errors.ActorCrashed):
            await hub.ref("c1").call("fail")
    sim.crash("a")
    sim.heal()
    sim.restart("a")
    await sim.settled(within=60)
    sim.check()


@pytest.mark.parametrize("main", [tour, wished_anew, parted, forgotten])
@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_hubs_pass(main: Main, seed: int) -> None:
    Simulation.run(main, seed, checkers=[monotonic_terms()])


# -- broken ones --------------------------------------------------------------------------------------------------------


def caught(main: Main, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of it; and that the question at the end finds it, too."""
    with pytest.raises(InvariantViolated) as violated:
        Simulation.run(main, 1, checkers=[monotonic_terms()])

    async def asked_at_the_end(sim: Simulation) -> None:
        await main(sim)
        sim.check()

    with pytest.raises(InvariantViolated):
        Simulation.run(asked_at_the_end, 1)
    return str(violated.value)


@pytest.mark.parametrize("term", [lambda _: 1, lambda right: right - 1], ids=["first", "last"])
def test_a_failover_at_an_old_term_is_caught(term: Callable[[int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Rules.decide

    def broken(self: Rules, child: str) -> Step:
        step = decide(self, child)
        return step._replace(term=term(step.term)) if step.do is Do.BEGIN and step.reason == "failover" else step

    monkeypatch.setattr(Rules, "decide", broken)

    async def main(sim: Simulation) -> None:
        hub = await three(sim)
        pid = hub.pid("c3")
        assert pid is not None
        sim.crash(pid.node)
        await sim.sleep(20)

    text = caught(main, monkeypatch)
    assert "of hub 'h' at term 1, though its map had shown term 1 before" in text
    assert "the registries say" in text


def test_a_second_owner_of_the_same_term_in_one_process_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Simulation) -> None:
        hub = await three(sim)
        pid = hub.pid("c3")
        assert pid is not None
        driver = sim.hub(pid.node)._driver
        household = driver.household
        assert household is not None
        with monkeypatch.context() as patched:
            patched.setattr(driver, "stopped", lambda child: None)
            household.stop("c3", "nobody knows why")
            await sim.sleep(0.1)
        household.start("c3", driver.core.wants["c3"], 1, "start")
        driver.wake()
        await sim.sleep(5)

    assert "began to run child 'c3' of hub 'h' at term 1, after it had run there at term 1" in caught(main, monkeypatch)


def test_an_actor_of_another_term_than_the_map_says_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Household.start

    def later(self: Household, child: str, want: Want, term: int, why: str, **others: Any) -> None:
        start(self, child, want, term + 1, why, **others)

    monkeypatch.setattr(Household, "start", later)
    perform = Driver.started

    def reported(self: Driver, child: str, term: int, serial: int) -> None:
        perform(self, child, term - 1, serial)

    monkeypatch.setattr(Driver, "started", reported)

    async def main(sim: Simulation) -> None:
        await three(sim)
        await sim.sleep(3)

    assert "at term 2, and the map says that it is term 1" in caught(main, monkeypatch)


def test_a_term_that_falls_in_a_map_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Simulation) -> None:
        hub = await three(sim)
        for node in "abc":
            await hub.move("c1", node)
        await sim.sleep(3)
        driver = sim.hub("c")._driver
        core = driver.core
        row: Run = core.runs["c1"][core.id]
        driver.do(lambda now: core._store.put(("run", "c1", core.id), row._replace(term=1), now))
        await sim.sleep(3)

    text = caught(main, monkeypatch)
    assert "the term of child 'c1' of hub 'h' has fallen in the map of" in text
    assert "(of c) to 1; the rows there: c: active 1" in text


def test_a_survivor_of_a_lesser_term_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the greater one had never been written down."""

    async def main(sim: Simulation) -> None:
        hub = await three(sim)
        watcher = monotonic_terms().watch(sim._world)
        assert isinstance(watcher, _TermsWatcher)
        for runs in sim._world.running("h").values():
            watcher.began(runs[0])
        watcher.verdict()
        begins = watcher._begins["h", "c3"]
        (begin,) = begins.values()
        for node in hub._driver.core.alive:
            begins.setdefault(node, begin._replace(term=4))
        with pytest.raises(InvariantViolated, match=r"nothing else runs among a, b, c, where . had had term 4"):
            watcher.verdict()

    Simulation.run(main, 1)


# -- what is no fault ------------------------------------------------------------------------------------------------------


def test_orders_that_the_map_has_overtaken_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is removed while it starts, and wished anew, may begin for a moment at the old term."""
    effects: list[Effect] = []
    perform = Driver._perform

    def noted(self: Driver, effect: Effect) -> None:
        if isinstance(effect, Start):
            effects.append(effect)
        perform(self, effect)

    monkeypatch.setattr(Driver, "_perform", noted)

    async def main(sim: Simulation) -> None:
        hub = await three(sim)
        want: Want = hub._driver.core.wants["c1"]
        for _ in range(5):
            hub._driver.write_wants({"c1": None})
            await sim.sleep(0.001)
            hub._driver.write_wants({"c1": want})
            await sim.sleep(0.002)
        await sim.settled(within=30)
        sim.check()

    Simulation.run(main, 1, checkers=[monotonic_terms()])
    assert len([effect for effect in effects if isinstance(effect, Start) and effect.child == "c1"]) >= 3
