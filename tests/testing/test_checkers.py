"""Each checker lets healthy hubs pass, whatever befalls them, and catches a hub that is broken in its very way."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.hub.actors import Counter, Unstartable

import hubkit
from hubkit.cluster.effects import Effect, Start
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.policy import ChildView, NodeView
from hubkit.cluster.rows import Run, Want
from hubkit.errors import ConfigurationError, InvariantViolated
from hubkit.hub.driver import Driver
from hubkit.hub.household import Household
from hubkit.pids import NodeId, name_of
from hubkit.strategies import ConsistentHashing
from hubkit.testing.checkers import (
    balance,
    down_exactly_once,
    monotonic_terms,
    no_lost_child,
    registry_converges,
    single_owner,
)
from hubkit.testing.simulation import Simulation
from hubkit.testing.watching import Checker, Watcher, World

Main = Callable[[Simulation], Awaitable[object]]


def specs(count: int) -> list[hubkit.ChildSpec]:
    return [hubkit.child(f"c{i}", Counter) for i in range(count)]


async def three(sim: Simulation, count: int = 20, **options: Any) -> hubkit.Hub:
    """Three nodes and some children."""
    first, *_ = [await sim.start_hub("h", node=name, **options) for name in "abc"]
    await first.start_children(specs(count))
    return first


def caught(main: Main, *checkers: Checker, seed: int = 1) -> str:
    """What the checkers say of it."""
    with pytest.raises(InvariantViolated) as violated:
        Simulation.run(main, seed, checkers=checkers)
    return str(violated.value)


# -- healthy hubs -------------------------------------------------------------------------------------------------------


async def calm(sim: Simulation) -> None:
    first = await three(sim)
    await sim.sleep(10)
    await first.stop_children([f"c{i}" for i in range(5)])
    await sim.sleep(10)
    await first.start_children(specs(5))
    await first.move("c3", "b")
    await sim.sleep(10)


async def parted(sim: Simulation) -> None:
    await three(sim)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(40)
    sim.heal()
    await sim.settled(within=60)
    sim.partition({"a"}, {"b"})  # they reach each other over c
    await sim.sleep(40)
    sim.heal()
    sim.partition({"c"}, {"a", "b"}, one_way=True)
    await sim.sleep(40)
    sim.heal()
    await sim.settled(within=60)


async def killed(sim: Simulation) -> None:
    await three(sim)
    sim.crash("b")
    await sim.sleep(30)
    sim.restart("b")
    await sim.settled(within=60)
    sim.crash("c", silent=True)
    sim.restart("a")
    await sim.sleep(30)
    sim.restart("c")
    await sim.settled(within=60)


async def slept(sim: Simulation) -> None:
    await three(sim)
    sim.pause("b")
    await sim.sleep(30)
    sim.resume("b")
    await sim.settled(within=60)


async def came_and_went(sim: Simulation) -> None:
    await three(sim)
    await sim.start_hub("h", node="d")
    await sim.settled(within=60)
    await sim.stop("a")
    sim.partition({"b"}, {"c", "d"})
    sim.stop_soon("c")
    await sim.sleep(90)
    sim.heal()
    await sim.settled(within=60)


async def crashing(sim: Simulation) -> None:
    """Children that crash, are restarted, are parked, and such that nobody can start."""
    first = await three(sim)
    backoff = hubkit.Backoff(first=60.0, factor=1.0, max=60.0)
    await first.start_child(hubkit.ChildSpec("rests", Counter, backoff=backoff))
    with pytest.raises(hubkit.errors.StartFailed):
        await first.start_child(hubkit.child("never", Unstartable))
    for id in ("rests", "c1"):
        await sim.sleep(1)
        with pytest.raises(hubkit.errors.ActorCrashed):
            await first.ref(id).call("fail")
        sim.check()
    await sim.sleep(120)


ALL = [no_lost_child(30), registry_converges(30), down_exactly_once(), monotonic_terms(), single_owner(100)]


@pytest.mark.parametrize("main", [calm, parted, killed, slept, came_and_went, crashing])
@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_hubs_pass(main: Main, seed: int) -> None:
    async def checked(sim: Simulation) -> None:
        await main(sim)
        sim.check()
        sim.check(*ALL)

    Simulation.run(checked, seed, checkers=ALL)


def test_many_children_are_balanced() -> None:
    async def main(sim: Simulation) -> None:
        first, *_ = [await sim.start_hub("h", node=name) for name in "abcd"]
        await first.start_children(specs(400))
        sim.crash("d")
        await sim.sleep(20)

    Simulation.run(main, 1, checkers=[balance(1.35)])


# -- single_owner -------------------------------------------------------------------------------------------------------


async def heal_after_20(sim: Simulation) -> None:
    await three(sim)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(20)
    sim.heal()
    await sim.sleep(30)


def test_a_hub_that_does_not_stop_its_duplicates_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    Simulation.run(heal_after_20, 1, checkers=[single_owner(22)])
    monkeypatch.setattr(Household, "stop", lambda *_: None)

    async def until_caught(sim: Simulation) -> None:
        await heal_after_20(sim)
        raise AssertionError("it is caught at once, not only at the end")

    text = caught(until_caught, single_owner(22))
    assert "of hub 'h' was owned by" in text
    assert "allowed are 22 s" in text
    assert "the registries say: a" in text


def test_an_overlap_of_any_length_is_caught_when_none_is_allowed() -> None:
    assert "allowed are 0 s" in caught(heal_after_20, single_owner(0))
    Simulation.run(calm, 1, checkers=[single_owner(0)])


def test_a_watcher_that_comes_late_counts_from_then_on_and_a_question_is_about_all() -> None:
    async def main(sim: Simulation) -> None:
        await heal_after_20(sim)
        sim.watch(single_owner(0))
        await sim.sleep(5)
        sim.check(single_owner(25))
        sim.check(single_owner(math.inf))
        with pytest.raises(InvariantViolated, match=r"was owned by ., . at once"):
            sim.check(single_owner(10))

    Simulation.run(main, 1)


# -- no_lost_child ------------------------------------------------------------------------------------------------------


def lose(monkeypatch: pytest.MonkeyPatch, child: str, *, reason: str = "") -> None:
    """Nothing comes of the orders to start this child."""
    perform = Driver._perform

    def forgetful(self: Driver, effect: Effect) -> None:
        if not (isinstance(effect, Start) and effect.child == child and effect.reason.startswith(reason)):
            perform(self, effect)

    monkeypatch.setattr(Driver, "_perform", forgetful)


def test_a_child_that_is_never_started_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "c7")

    async def main(sim: Simulation) -> None:
        first = await three(sim, 5)
        first.start_children_soon(specs(10)[5:])
        await sim.sleep(8)
        sim.watch(no_lost_child(20))
        await sim.sleep(60)

    text = caught(main, no_lost_child(10))
    assert "child 'c7' of hub 'h' is wanted by all of a, b, c, and runs on none of them" in text
    assert "allowed are 10 s" in text
    assert "the registries say: a, b, c: nowhere. There runs: nothing" in text
    assert "being started on" in text


def test_a_child_that_nobody_takes_over_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "c3", reason="failover")

    async def main(sim: Simulation) -> None:
        first = await three(sim)
        pid = first.pid("c3")
        assert pid is not None
        sim.crash(pid.node)
        await sim.sleep(60)

    text = caught(main, no_lost_child(15))
    assert "child 'c3'" in text
    assert "the topology last changed at" in text


def test_a_child_that_vanishes_is_caught_at_once_where_all_is_said_to_be_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Simulation) -> None:
        first = await three(sim)
        pid = first.pid("c3")
        assert pid is not None
        driver = sim.hub(pid.node)._driver
        assert driver.household is not None
        with monkeypatch.context() as patched:
            patched.setattr(driver, "stopped", lambda child: None)
            driver.household.stop("c3", "nobody knows why")
            await sim.sleep(1)
        with pytest.raises(
            InvariantViolated, match="take hub 'h' to be settled, but:\n  'c3' is wanted, and does not run"
        ):
            sim.check()
        sim.check(single_owner(0))
        sim.check(no_lost_child(1000))

    assert "though all of them take it to be settled" in caught(main)


def test_what_nobody_there_may_run_is_not_lost() -> None:
    class Majority:
        """No quorum that anything could rely on; enough to forbid what it should."""

        def allowed(self, view: hubkit.strategies.ClusterView) -> bool:
            return len(view.alive) >= 2

    async def main(sim: Simulation) -> None:
        await three(sim, partition_tolerance=Majority())
        sim.partition({"a"}, {"b", "c"})
        await sim.sleep(60)
        assert not sim.hub("a").children("local")
        sim.heal()
        await sim.settled(within=60)

    Simulation.run(main, 1, checkers=[no_lost_child(20), registry_converges(20), monotonic_terms()])


# -- registry_converges -------------------------------------------------------------------------------------------------


def deafen(monkeypatch: pytest.MonkeyPatch, hub: hubkit.Hub, prefix: str) -> None:
    """A node has the rows about certain children, and overlooks them."""
    absorb, deaf = Ledger._absorb_run, hub._driver.core._ledger

    def overlook(self: Ledger, child: str, node: NodeId, run: Run | None) -> None:
        if self is not deaf or not child.startswith(prefix) or hub.node.name == name_of(node):
            absorb(self, child, node, run)

    monkeypatch.setattr(Ledger, "_absorb_run", overlook)


def test_a_registry_that_misses_a_child_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Simulation) -> None:
        first = await three(sim, 3)
        deafen(monkeypatch, sim.hub("b"), "new")
        first.start_children_soon([hubkit.child(f"new{i}", Counter) for i in range(6)])
        await sim.sleep(60)

    text = caught(main, registry_converges(10))
    assert "a, b, c differ about where child 'new" in text
    assert "of hub 'h' runs, since" in text
    assert "allowed are 10 s" in text
    assert "b: nowhere" in text


def test_registries_that_differ_though_all_is_said_to_be_well_are_caught_at_once() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        await sim.sleep(5)
        del sim.hub("b")._driver.pids["c4"]
        with pytest.raises(InvariantViolated, match="the registries differ about 'c4'; the registries say: "):
            sim.check()

    text = caught(main, registry_converges(1000))
    assert "differ about where child 'c4' of hub 'h' runs, though all of them take it to be settled" in text
    assert "b: nowhere" in text


def test_registries_that_all_name_what_does_not_run_are_caught() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        await sim.sleep(5)
        for name in "abc":
            pids = sim.hub(name)._driver.pids
            pids["c4"] = pids["c5"]
            sim.hub(name)._driver._where["c4"] = pids["c5"][0]
        sim.check()

    text = caught(main)
    assert "all of a, b, c take hub 'h' to be settled, but:\n  'c4' runs at <" in text
    assert "the registries say: a, b, c: <" in text


# -- balance ------------------------------------------------------------------------------------------------------------


class Favourite(ConsistentHashing):
    """Puts all children on one node."""

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        return [nodes[0].name]


def test_a_distribution_that_favours_a_node_is_caught() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim, distribution=Favourite())
        await sim.sleep(5)

    text = caught(main, balance(2.5))
    assert (
        "node a runs 20 children of hub 'h', which is 3.000 times the mean; allowed are 2.5. All: a: 20, b: 0, c: 0"
        in text
    )
    Simulation.run(main, 1, checkers=[balance(3)])


# -- what is always checked ---------------------------------------------------------------------------------------------


def test_an_overlap_under_a_quorum_is_caught_and_allowed_without() -> None:
    async def main(sim: Simulation, **options: Any) -> None:
        await three(sim, **options)
        sim.partition({"a"}, {"b", "c"})
        await sim.sleep(20)
        sim.check()

    class Quorum:
        def allowed(self, view: hubkit.strategies.ClusterView) -> bool:
            return True

    Simulation.run(main, 1)
    assert "allowed are 0 s" in caught(lambda sim: main(sim, partition_tolerance=Quorum()))


@pytest.mark.parametrize(("child", "what"), [("c1", "'c1' runs 3 times: <"), ("x", "'x' runs at <b#")])
def test_what_runs_twice_or_unwanted_is_caught(child: str, what: str) -> None:
    async def main(sim: Simulation) -> None:
        first = await three(sim)
        await sim.sleep(5)
        want: Want = first._driver.core.wants["c1"]
        want = replace(want, body=want.body.replace(b"c1", b"x")) if child == "x" else want
        for name in "abc" if child == "c1" else "b":
            household = sim.hub(name)._driver.household
            assert household is not None
            if child not in household.keepers:
                household.start(child, want, 1, "start")
                sim.hub(name)._driver.wake()
        await sim.sleep(1)
        sim.check()

    text = caught(main)
    assert what in text
    assert ("nobody wants it" in text) is (child == "x")


# -- arguments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [single_owner, no_lost_child, registry_converges])
@pytest.mark.parametrize("wrong", [-1, math.nan, "1", None, True])
def test_seconds_must_be_seconds(make: Callable[[Any], Checker], wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="must be seconds, zero or more"):
        make(wrong)


@pytest.mark.parametrize("wrong", [0.99, math.inf, math.nan, "2", None, True])
def test_a_balance_better_than_even_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_over_mean must be a finite number of at least 1"):
        balance(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "single_owner(2.5)",
        "no_lost_child(30.0)",
        "registry_converges(5.0)",
        "balance(1.5)",
        "down_exactly_once()",
        "monotonic_terms()",
    ],
)
def test_a_checker_is_a_value_that_reads_like_its_call(text: str) -> None:
    checker = eval(text)
    assert repr(checker) == text
    assert checker == eval(text)
    assert hash(checker) == hash(eval(text))
    with pytest.raises((AttributeError, TypeError)):
        checker.overlap = 3


def test_a_checker_of_ones_own_need_only_look() -> None:
    looks: list[float] = []

    class Clock:
        def watch(self, world: World) -> Watcher:
            return Looking(world)

    class Looking(Watcher):
        def __init__(self, world: World) -> None:
            self.world = world

        def look(self) -> None:
            looks.append(self.world.now())

    async def main(sim: Simulation) -> None:
        await three(sim)
        await sim.sleep(10)

    Simulation.run(main, 1, checkers=[Clock()])
    assert len(looks) >= 10
    assert looks == sorted(looks)
