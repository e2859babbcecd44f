"""`Simulation`: what API.md promises of it, and what it says to wrong use."""

from __future__ import annotations

import functools
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from tests.testing.scenarios import Counter, counters, disasters

import hubkit
from hubkit.errors import ConfigurationError, HubClosed, InvariantViolated, NodeDown, NotSettled, SimulationError
from hubkit.testing import FaultPlan, Partition, Simulation, Watcher, World

Main = Callable[[Simulation], Awaitable[None]]


def simulated(seeds: int = 1, **options: Any) -> Callable[[Main], Callable[[], None]]:
    """Run a scenario as a test."""

    def decorate(main: Main) -> Callable[[], None]:
        def test() -> None:
            for seed in range(seeds):
                Simulation.run(main, seed=seed, **options)

        test.__name__, test.__doc__ = main.__name__, main.__doc__
        return test

    return decorate


async def three(sim: Simulation, children: int = 30) -> tuple[hubkit.Hub, hubkit.Hub, hubkit.Hub]:
    a, b, c = [await sim.start_hub("shop", node=name) for name in "abc"]
    await a.start_children(counters(children))
    return a, b, c


def here(hub: hubkit.Hub) -> set[str]:
    return set(hub.children("local"))


# -- the scenario of the API ---------------------------------------------------------------------------------------------


def test_the_scenario_of_the_api() -> None:
    async def main(sim: Simulation) -> None:
        a, _b, c = await three(sim, 100)
        sim.partition({"a"}, {"b", "c"})
        await sim.sleep(60)
        assert here(a) == set(a.children())  # each side runs all of them
        assert a.is_partitioned
        assert c.nodes() == ("b",)
        sim.heal()
        await sim.settled(within=60)
        sim.check()
        assert a.nodes() == ("b", "c")
        assert sim.overlap > 50

    began = time.perf_counter()
    report = Simulation.run(main, seed=7)
    assert report.elapsed > 60
    assert time.perf_counter() - began < 30
    assert report.overlap > 50
    assert report.nodes == ("a", "b", "c")
    assert report.steps == len(report.trace)
    assert report.trace_hash == Simulation.run(main, seed=7).trace_hash
    assert [step.number for step in report.trace] == list(range(report.steps))
    assert {step.kind for step in report.trace} >= {
        "send",
        "deliver",
        "fault",
        "begin",
        "ending",
        "end",
        "event",
        "node",
    }


@simulated(seeds=3)
async def test_a_crash(sim: Simulation) -> None:
    a, b, c = await three(sim)
    told: list[str] = []
    lost = sorted(here(b))
    ref = a.ref(lost[0], Counter)
    through = b.ref(min(here(c)), Counter)
    async with trio.open_nursery() as nursery:

        async def ask(ref: hubkit.Ref[Counter]) -> None:
            try:
                await ref.call("sleep", 30)
            except (HubClosed, NodeDown, hubkit.errors.NoSuchMethod) as error:
                told.append(type(error).__name__)

        nursery.start_soon(ask, ref)
        await sim.sleep(0.1)
        began = sim.now
        sim.crash("b")
        assert not sim.alive("b")
        with pytest.raises(HubClosed):
            b.children()
        with pytest.raises(HubClosed):
            await through.call(Counter.add)
    assert told
    await sim.settled(within=5)
    assert sim.now - began < 1.5  # its links were reset, and its port answers that nobody listens: no need to wait
    assert a.nodes() == ("c",)
    assert here(a) | here(c) == set(a.children())
    sim.check()
    assert sim.overlap == 0


@simulated(seeds=3)
async def test_a_loss_of_power(sim: Simulation) -> None:
    a, _b, _c = await three(sim)
    began = sim.now
    sim.crash("b", silent=True)
    await sim.settled(within=15)
    assert 3 < sim.now - began < 8  # only silence tells: down_after, and a beat
    assert a.nodes() == ("c",)
    sim.check()


def test_nothing_of_a_crashed_process_runs() -> None:
    ran: list[str] = []

    class Tidy(hubkit.Actor):
        async def on_start(self) -> None:
            self.context.nursery.start_soon(self.work)

        async def work(self) -> None:
            try:
                while True:
                    await trio.sleep(0.5)
                    ran.append("work")
            finally:
                ran.append("finally")

        async def on_stop(self, reason: str) -> None:
            ran.append("on_stop")

    async def main(sim: Simulation) -> None:
        hub = await sim.start_hub("shop", node="a")
        # the class is of this function, and cannot travel: one node is enough
        async with hubkit.start(hubkit.child("x", Tidy)):
            pass
        ran.clear()
        await hub.start_child(hubkit.child("tidy", Busy, ran))
        await sim.sleep(1.2)
        assert ran
        sim.crash("a")
        ran.clear()
        await sim.sleep(30)
        assert ran == []

    with pytest.raises(
        hubkit.errors.NotSerializable
    ):  # a list is copied on its way, so that nobody shares it by accident
        Simulation.run(functools.partial(_crash_with, object()), seed=1)
    Simulation.run(functools.partial(_crash_with, "log"), seed=1)
    assert LOG.count("work") == 2
    assert "finally" not in LOG[: LOG.index("over")]
    assert "on_stop" not in LOG
    del main


LOG: list[str] = []


class Busy(hubkit.Actor):
    """Works, and would tidy up."""

    def __init__(self, what: object) -> None:
        self.what = what

    async def on_start(self) -> None:
        self.context.nursery.start_soon(self.work)

    async def work(self) -> None:
        try:
            while True:
                await trio.sleep(0.5)
                LOG.append("work")
        finally:
            LOG.append("finally")

    async def on_stop(self, reason: str) -> None:
        LOG.append("on_stop")


async def _crash_with(argument: object, sim: Simulation) -> None:
    LOG.clear()
    hub = await sim.start_hub("shop", node="a")
    await hub.start_child(hubkit.child("busy", Busy, argument))
    await sim.sleep(1.2)
    sim.crash("a")
    await sim.sleep(30)
    LOG.append("over")


@simulated(seeds=3)
async def test_a_restart_gives_a_new_incarnation_with_what_was_durable(sim: Simulation) -> None:
    a, b, _c = await three(sim)
    sim.disk("b")["kept"] = 42
    boot = b.node._id
    sim.restart("b")
    again = sim.hub("b")
    assert again is not b
    assert repr(again) == "<hubkit.Hub 'shop' new>"
    await sim.settled(within=30)
    assert again.node._id > boot
    assert again.nodes() == ("a", "c")
    assert a.nodes() == ("b", "c")
    assert sim.disk("b") == {"kept": 42}
    assert here(again)
    sim.crash("b")
    await sim.sleep(5)
    sim.restart("b")
    await sim.settled(within=30)
    assert len(sim.hub("b").children()) == 30
    sim.check()


@simulated(seeds=3)
async def test_a_pause_is_a_long_gc(sim: Simulation) -> None:
    a, b, _c = await three(sim)
    mine = here(b)
    assert mine
    sim.pause("b")
    assert sim.paused("b")
    assert sim.alive("b")
    before = sim.trace.count
    await sim.sleep(20)
    assert not any(step.kind == "send" and step.node == "b" for step in sim.trace.steps[before:])
    assert a.nodes() == ("c",)
    assert mine <= set(sim.hub("a").children("local")) | set(sim.hub("c").children("local"))
    assert sim.overlap == 0  # a paused process cannot begin to handle anything
    sim.resume("b")
    await sim.settled(within=30)
    assert a.nodes() == ("b", "c")
    assert sim.overlap < 5  # it ran on until it heard that others had taken over
    sim.check()


@simulated()
async def test_a_pause_before_the_first_step_and_a_crash_in_it(sim: Simulation) -> None:
    await three(sim)
    sim.start_soon("shop", node="d")
    sim.pause("d")
    await sim.sleep(3)
    assert not any(step.node == "d" and step.text == "started" for step in sim.trace.steps)
    sim.resume("d")
    await sim.settled(within=30)
    assert sim.hub("d").nodes() == ("a", "b", "c")
    sim.start_soon("shop", node="e")
    sim.crash("e")
    sim.start_soon("shop", node="f")
    sim.pause("f")
    sim.crash("f")
    assert not sim.paused("f")
    await sim.settled(within=30)
    sim.restart("f")
    sim.restart("f")
    await sim.settled(within=30)
    assert sim.hub("f").nodes() == ("a", "b", "c", "d")
    sim.check()


@simulated(seeds=3)
async def test_a_one_way_partition(sim: Simulation) -> None:
    a, b, c = await three(sim)
    sim.partition({"a"}, {"b", "c"}, one_way=True)
    await sim.sleep(30)
    assert b.nodes() == ("c",)  # they hear nothing of a
    assert set(b.children()) == here(b) | here(c)
    sim.heal()
    await sim.settled(within=30)
    assert a.nodes() == ("b", "c")
    sim.check()


@simulated(seeds=3)
async def test_a_partial_partition_is_none(sim: Simulation) -> None:
    """Two nodes that cannot reach each other but share a third see each other through it."""
    a, b, _c = await three(sim)
    cut = sim.partition({"a"}, {"b"})
    await sim.settled(within=30)
    await sim.sleep(30)
    await sim.settled(within=1)
    assert a.nodes() == ("b", "c")
    assert b.nodes() == ("a", "c")
    assert sim.overlap == 0
    cut.heal()
    await sim.settled(within=30)


@simulated()
async def test_hold_and_release(sim: Simulation) -> None:
    a, _b, c = await three(sim)
    ref = a.ref(min(here(c)), Counter)
    sim.hold("a", "c")
    with trio.move_on_after(2) as scope:
        await ref.call(Counter.add, 1)
    assert scope.cancelled_caught
    sim.release("a", "c")
    assert await ref.call(Counter.add, 1) <= 2
    await sim.settled(within=10)


@simulated(seeds=2)
async def test_links_that_break(sim: Simulation) -> None:
    a, _b, _c = await three(sim)
    assert sim.break_links("a") == 2
    assert sim.break_links("a", "b", half_open=True) in (0, 1)
    await sim.settled(within=30)
    sim.link("a", "b", break_rate=0.5)
    await sim.sleep(60)
    sim.link("a", "b", break_rate=0)
    await sim.settled(within=30)
    assert a.nodes() == ("b", "c")
    sim.check()


@simulated()
async def test_latency_and_bandwidth(sim: Simulation) -> None:
    a, b, _c = await three(sim)
    ref = a.ref(min(here(b)), Counter)
    sim.link("a", "b", latency=0.5, jitter=0.0)
    began = sim.now
    await ref.call(Counter.add)
    assert 1.0 <= sim.now - began < 1.2


@simulated(seeds=2)
async def test_clocks_are_each_their_own(sim: Simulation) -> None:
    a, b, _c = await three(sim)
    environment = b.node.environment
    monotonic, wall, true = environment.now(), environment.wall(), sim.now
    assert abs(a.node.environment.now() - monotonic) > 1
    assert wall == pytest.approx(a.node.environment.wall())
    sim.skew("b", offset=-200, rate=1.5)
    assert environment.now() == pytest.approx(monotonic)
    assert environment.wall() == pytest.approx(wall - 200)
    await sim.sleep(10)
    assert environment.now() - monotonic == pytest.approx((sim.now - true) * 1.5)
    await sim.settled(within=30)
    sim.restart("b")
    await sim.settled(within=30)
    assert sim.hub("b").node._id > b.node._id  # whatever the wall clock says
    assert sim.hub("b").node.environment.now() - monotonic == pytest.approx((sim.now - true) * 1.5)
    sim.check()


@simulated(seeds=2)
async def test_a_wall_clock_that_jumps_disturbs_nobody(sim: Simulation) -> None:
    """Hours there and back, under a running hub: nobody is missed, nothing moves, and what is started there runs."""
    a, b, c = await three(sim)
    before = {child: info.pids for child, info in a.children().items()}
    for number, offset in enumerate((3600, -3600, 86_400, 0)):
        sim.skew("b", offset=offset)
        await sim.sleep(10)
        await b.start_children([hubkit.child(f"after-{number}", Counter)])
        await sim.settled(within=30)
        assert (a.nodes(), b.nodes(), c.nodes()) == (("b", "c"), ("a", "c"), ("a", "b"))
        assert {child: a.pids(child) for child in before} == before
    assert all(link.reconnects == 0 for link in a.node._mesh.links.values())  # type: ignore[union-attr]  # it is up
    sim.check()


@simulated()
async def test_a_clock_that_is_far_off_is_refused_without_a_storm(sim: Simulation) -> None:
    a, _b, _c = await three(sim)
    sim.skew("b", offset=-3600)
    await sim.settled(within=5)  # what runs goes on: only what comes anew is looked at
    sim.restart("b")
    before = sim.trace.count
    await sim.sleep(60)
    assert a.nodes() == ("c",)
    dials = [step for step in sim.trace.steps[before:] if step.kind == "dial" and "b" in (step.node, step.peer)]
    assert len(dials) < 400
    sim.skew("b")
    sim.restart("b")  # a process looks at the wall clock when it starts
    await sim.settled(within=30)
    assert a.nodes() == ("b", "c")


# -- processes -----------------------------------------------------------------------------------------------------------


@simulated(seeds=2)
async def test_boot_at_once_and_leave_in_good_order(sim: Simulation) -> None:
    for name in "abcde":
        sim.start_soon("shop", node=name)
    await sim.settled(within=30)
    hub = sim.hub("a")
    await hub.start_children(counters(20))
    sim.clone_soon("a", "f")
    await sim.settled(within=30)
    assert here(sim.hub("f"))
    await sim.stop("f")
    assert not sim.alive("f")
    sim.stop_soon("e")
    await sim.settled(within=30)
    assert hub.nodes() == ("b", "c", "d")
    assert len(hub.children()) == 20
    assert sim.overlap == 0
    sim.check()


@simulated()
async def test_several_hubs_on_a_node(sim: Simulation) -> None:
    shop = await sim.start_hub("shop", node="a", secret="x", beat=0.5, down_after=2.0)
    mail = await sim.start_hub("mail", node="a")
    assert shop.node is mail.node
    await sim.start_hub("shop", node="b", secret="x")
    await mail.start_children(counters(5))
    await shop.start_children(counters(5))
    await sim.settled(within=30)
    assert sim.hub("a", "mail") is mail
    assert sim.hub("b") is not shop
    with pytest.raises(ConfigurationError, match=r"node 'a' has the hubs mail, shop: say which with hub_id"):
        sim.hub("a")
    with pytest.raises(ConfigurationError, match=r"not 'post'"):
        sim.hub("a", "post")
    sim.restart("a")
    await sim.settled(within=30)
    assert sim.hub("a", "shop").nodes() == ("b",)
    assert sorted(sim.hub("a", "shop").children()) == sorted(f"c{n:03}" for n in range(5))
    assert sim.hub("a", "mail").children() == {}  # it ran here alone
    with pytest.raises(ConfigurationError, match="belong to the node, and 'a' is running already"):
        await sim.start_hub("third", node="a", secret="y")


def test_a_hub_that_cannot_open_says_why_and_nothing_is_left() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(ConfigurationError, match="hub_id"):
            await sim.start_hub("", node="a")
        with pytest.raises(ConfigurationError, match="max_restarts"):
            await sim.start_hub("shop", node="a", max_restarts=-1)
        assert sim.nodes == ()
        for name in ("listen", "transport", "name", "environment"):
            with pytest.raises(ConfigurationError, match=rf"{name}= is given by the simulation"):
                await sim.start_hub("shop", node="a", **{name: "x"})
        await sim.start_hub("shop", node="a", secret="one")
        with pytest.raises(hubkit.errors.HandshakeRefused):
            await sim.start_hub("shop", node="b", secret="other")
        with pytest.raises(ConfigurationError, match="a hub 'shop' already"):
            await sim.start_hub("shop", node="a")
        assert (await sim.start_hub("mail", node="a")).nodes() == ()

    Simulation.run(main, seed=1)


# -- what is not settled, and what must not be ---------------------------------------------------------------------------


def test_not_settled_says_which_child_which_rule_and_whose_view() -> None:
    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a")
        await sim.start_hub("shop", node="b")
        await a.start_child(hubkit.child("slow", Sleeper, 0.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.start_child, hubkit.child("sleepy", Sleeper, 50.0))
            await sim.sleep(1)
            with pytest.raises(NotSettled) as caught:
                await sim.settled(within=5)
            text = str(caught.value)
            assert "not settled within 5 s" in text
            assert "sleepy" in text
            assert "rule: " in text
            assert "as a sees it" in text
            assert "as b sees it" in text
            assert "slow" not in text
            sim.start_soon("shop", node="c")
            sim.hold("b", "c")
            sim.hold("a", "c")
            with pytest.raises(NotSettled, match="node c is opening hub shop"):
                await sim.settled(within=3)
            sim.release("b", "c")
            sim.release("a", "c")
        await sim.settled(within=20)
        sim.crash("c", silent=True)
        with pytest.raises(NotSettled, match="a still believes in c, out of its reach or gone"):
            await sim.settled(within=1)

    Simulation.run(main, seed=1)


class Sleeper(hubkit.Actor):
    """Takes its time to start."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def on_start(self) -> None:
        await trio.sleep(self.seconds)


class _Never:
    """A checker that finds fault at the first chance it gets."""

    def __init__(self, when: str) -> None:
        self.when = when

    def watch(self, world: World) -> Watcher:
        checker = self

        class Finder(Watcher):
            def find(self, what: str) -> None:
                if what == checker.when:
                    raise InvariantViolated(f"found at {what}")

            def began(self, run: object) -> None:
                self.find("began")

            def look(self) -> None:
                self.find("look")

            def verdict(self) -> None:
                self.find("verdict")

        return Finder()


@pytest.mark.parametrize("when", ["began", "look", "verdict"])
def test_a_violated_invariant_ends_the_scenario(when: str) -> None:
    reached = False

    async def main(sim: Simulation) -> None:
        nonlocal reached
        await three(sim)
        await sim.sleep(5)
        reached = True

    with pytest.raises(InvariantViolated, match=f"found at {when}") as caught:
        Simulation.run(main, seed=5, checkers=[_Never(when)])
    assert reached == (when == "verdict")
    notes = "\n".join(caught.value.__notes__)
    assert "seed 5" in notes
    assert "replay it with" in notes
    assert caught.value.__hubkit_report__.seed == 5  # type: ignore[attr-defined]  # an attribute of ours

    async def watches(sim: Simulation) -> None:
        await three(sim)
        sim.watch(_Never(when))
        await sim.sleep(5)
        sim.check()
        if when == "began":
            await sim.hub("a").start_child(hubkit.child("one more", Counter))
            await sim.sleep(1)

    with pytest.raises(InvariantViolated, match=f"found at {when}"):
        Simulation.run(watches, seed=5)

    async def asks(sim: Simulation) -> None:
        sim.check(_Never("look"))

    with pytest.raises(InvariantViolated, match="found at look"):
        Simulation.run(asks, seed=5)


def test_what_main_raises_comes_out_as_it_is_with_the_command() -> None:
    error = ValueError("as asked")

    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        raise error

    with pytest.raises(ValueError, match="as asked") as caught:
        Simulation.run(main, seed=3)
    assert caught.value is error
    notes = "\n".join(error.__notes__)
    assert "hubkit simulation: seed 3, at 1." in notes
    assert "replay it with: pytest tests/testing/test_simulation.py::" in notes
    plan = FaultPlan(nodes=("a", "b"), duration=3.0, faults=(Partition(at=1.0, until=2.0, groups=(("a",), ("b",))),))
    with pytest.raises(RuntimeError) as failed:
        Simulation.run(fails, seed=4, plan=plan)
    assert f'replay it with: hubkit sim {__name__}:fails --seed 4 --plan "{plan!r}"' in "\n".join(
        failed.value.__notes__
    )


async def fails(sim: Simulation) -> None:
    """A scenario that fails."""
    raise RuntimeError


def test_a_plan_is_played() -> None:
    plan = FaultPlan(
        nodes=("a", "b", "c"), duration=20.0, faults=(Partition(at=1.0, until=9.0, groups=(("a",), ("b", "c"))),)
    )

    async def main(sim: Simulation) -> None:
        a, _b, _c = await three(sim)
        assert sim.plan is plan
        began = sim.now
        await sim.play()
        assert sim.now - began == pytest.approx(20.0)
        assert sim.overlap > 3
        assert a.nodes() == ("b", "c")
        await sim.play(FaultPlan(nodes=("a",), duration=1.0, faults=()))

    Simulation.run(main, seed=1, plan=plan)

    async def without(sim: Simulation) -> None:
        with pytest.raises(ConfigurationError, match="there is no plan to play"):
            await sim.play()

    Simulation.run(without, seed=1)


# -- wrong use -----------------------------------------------------------------------------------------------------------


@simulated()
async def test_wrong_arguments(sim: Simulation) -> None:
    await three(sim)
    with pytest.raises(ConfigurationError, match=r"there is no node 'z' in this simulation; there are a, b, c"):
        sim.crash("z")
    wrong: list[Callable[[], object]] = [
        lambda: sim.partition({"a", "z"}, {"b"}),
        lambda: sim.partition({"a", "b"}, {"b", "c"}),
        sim.partition,
        sim.heal,
        lambda: sim.release("a", "b"),
        lambda: sim.hold("a", "a"),
        lambda: sim.resume("a"),
        lambda: sim.link("a", "b", latency=-1.0),
        lambda: sim.skew("a", rate=0.0),
        lambda: sim.skew("a", offset=float("nan")),
        lambda: sim.skew("a", rate=True),
        lambda: sim.break_links("a", "q"),
        lambda: sim.start_soon("shop", node=""),
        lambda: sim.clone_soon("a", "b"),
        lambda: sim.clone_soon("q", "b"),
        lambda: sim.hub("q"),
        lambda: sim.disk("q"),
    ]
    for call in wrong:
        with pytest.raises(ConfigurationError):
            call()
    with pytest.raises(ConfigurationError, match="seconds"):
        await sim.sleep(-1)
    with pytest.raises(ConfigurationError, match="within"):
        await sim.settled(within=-1)
    cut = sim.partition({"a"}, {"b", "c"})
    cut.heal()
    with pytest.raises(ConfigurationError):
        cut.heal()
    with pytest.raises(ConfigurationError):
        sim.heal()
    sim.hold("a", "b")
    with pytest.raises(ConfigurationError):
        sim.hold("b", "a")
    sim.release("b", "a")
    sim.pause("a")
    with pytest.raises(ConfigurationError, match="paused already"):
        sim.pause("a")
    sim.crash("a")
    with pytest.raises(ConfigurationError, match=r"not there any more \(it crashed\): start it with sim.restart"):
        sim.crash("a")
    for call in (lambda: sim.pause("a"), lambda: sim.stop_soon("a")):
        with pytest.raises(ConfigurationError, match=r"sim\.restart"):
            call()


def test_wrong_arguments_of_run() -> None:
    async def main(sim: Simulation) -> None: ...

    async def greedy(sim: Simulation, more: int) -> None: ...

    wrong: list[tuple[str, Callable[[], object]]] = [
        ("seed must be an int", lambda: Simulation.run(main, seed="7")),  # type: ignore[arg-type]  # wrong on purpose
        ("seed must be an int", lambda: Simulation.run(main, seed=True)),
        ("main must be an async function", lambda: Simulation.run(7, seed=7)),  # type: ignore[arg-type]  # likewise
        ("main is called with one argument", lambda: Simulation.run(greedy, seed=7)),  # type: ignore[arg-type]  # likewise
        ("network must be", lambda: Simulation.run(main, seed=7, network="carrier pigeon")),
        ("network must be", lambda: Simulation.run(main, seed=7, network={"speed": 3})),
        ("latency", lambda: Simulation.run(main, seed=7, network={"latency": -3})),
        ("plan must be", lambda: Simulation.run(main, seed=7, plan=[])),  # type: ignore[arg-type]  # likewise
        ("limit", lambda: Simulation.run(main, seed=7, limit=0)),
    ]
    for text, call in wrong:
        with pytest.raises(ConfigurationError, match=text):
            call()

    async def nested() -> None:
        Simulation.run(main, seed=7)

    with pytest.raises(ConfigurationError, match="from outside of trio"):
        trio.run(nested)

    def plain(sim: Simulation) -> None: ...

    with pytest.raises(ConfigurationError, match="async"):
        Simulation.run(plain, seed=7)  # type: ignore[arg-type]  # wrong on purpose


def test_a_network_with_options() -> None:
    async def main(sim: Simulation) -> None:
        a, b, _c = await three(sim)
        began = sim.now
        await a.ref(min(here(b)), Counter).call(Counter.add)
        assert sim.now - began == pytest.approx(0.4, abs=0.01)

    Simulation.run(main, seed=7, network={"latency": 0.2, "jitter": 0.0})


# -- what would never end ------------------------------------------------------------------------------------------------


def test_a_scenario_that_never_ends_in_virtual_time() -> None:
    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        await trio.sleep_forever()

    with pytest.raises(SimulationError, match=r"goes on after 500 virtual seconds"):
        Simulation.run(main, seed=1, limit=500)


def test_a_scenario_that_waits_for_nothing() -> None:
    async def main(sim: Simulation) -> None:
        await trio.Event().wait()

    with pytest.raises(SimulationError, match=r"nothing can ever happen again .* in main"):
        Simulation.run(main, seed=1)

    async def stubborn(sim: Simulation) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    with pytest.raises(SimulationError, match="nothing can ever happen again"):
        Simulation.run(stubborn, seed=1)

    async def stubborn_child(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stubborn, sim)
            nursery.start_soon(stubborn, sim)

    with pytest.raises(SimulationError, match="nothing can ever happen again"):
        Simulation.run(stubborn_child, seed=1)

    async def all_dead(sim: Simulation) -> None:
        await three(sim)
        for node in "abc":
            sim.pause(node)
        await trio.sleep_forever()

    with pytest.raises(SimulationError, match="nothing can ever happen again"):
        Simulation.run(all_dead, seed=1)


def test_a_scenario_in_which_time_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkit.testing.production.TURNS", 10_000)

    async def main(sim: Simulation) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(SimulationError, match=r"10,000 turns .* time does not move"):
        Simulation.run(main, seed=1)


@pytest.mark.parametrize(
    ("event", "work"),
    [
        ("time.sleep", lambda: time.sleep(0.001)),
        ("socket.bind", lambda: _with_socket(lambda s: s.bind(("127.0.0.1", 0)))),
        ("socket.connect", lambda: _with_socket(lambda s: s.connect(("127.0.0.1", 9)))),
        ("socket.getaddrinfo", lambda: socket.getaddrinfo("localhost", 80)),
        ("_thread.start_new_thread", lambda: threading.Thread(target=print).start()),
        ("subprocess.Popen", lambda: subprocess.run(["true"], check=False)),
    ],
)
def test_real_waiting_and_real_sockets_are_named(event: str, work: Callable[[], object]) -> None:
    async def main(sim: Simulation) -> None:
        work()

    with pytest.raises(SimulationError, match=rf"\({event} at .*test_simulation.py:\d+, in "):
        Simulation.run(main, seed=1)

    async def swallows(sim: Simulation) -> None:
        try:
            work()
        except SimulationError:
            await sim.sleep(1)

    with pytest.raises(SimulationError, match=event):
        Simulation.run(swallows, seed=1)
    time.sleep(0.0001)  # outside, nobody minds


def _with_socket(work: Callable[[socket.socket], object]) -> None:
    with socket.socket() as sock:
        work(sock)


def test_a_real_sleep_in_an_actor_is_named_though_its_supervisor_swallows_it() -> None:
    async def main(sim: Simulation) -> None:
        hub = await sim.start_hub("shop", node="a")
        ref = await hub.start_child(hubkit.child("drowsy", Drowsy))
        await ref.cast("nap")
        await sim.sleep(60)

    with pytest.raises(SimulationError, match=r"time.sleep\(\) waits in real time"):
        Simulation.run(main, seed=1)


class Drowsy(hubkit.Actor):
    """Sleeps in real time."""

    async def nap(self) -> None:
        time.sleep(0.01)  # noqa: ASYNC251  # wrong on purpose


def test_a_main_that_leaves_tasks_behind() -> None:
    async def main(sim: Simulation) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep, 1000, name="left over")

    with pytest.raises(SimulationError, match=r"main has left tasks behind: left over"):
        Simulation.run(main, seed=1)


def test_an_interrupt_ends_it() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Simulation.run(main, seed=1)


def test_a_scenario_is_repeated_by_its_name() -> None:
    assert Simulation.run(disasters, seed=11).steps > 100


@simulated(seeds=2)
async def test_work_in_the_background_of_a_killed_process_ends(sim: Simulation) -> None:
    _a, b, _c = await three(sim)
    work = b.start_children_soon([hubkit.child("sleepy", Sleeper, 50.0)])
    done = b.start_children_soon([hubkit.child("quick", Counter)])
    await done.wait()
    sim.crash("b")
    with pytest.raises(HubClosed, match="was killed before the work was done"):
        await work.wait()
    assert (await done.wait()).status == "ok"


@pytest.mark.parametrize("within", [0.01, 0.05, 0.3, 2.3, 3.3])
def test_not_settled_comes_in_time_whatever_the_floats(within: float) -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        sim.crash("c", silent=True)
        sim.partition({"a"}, {"b"})
        began = sim.now
        with pytest.raises(NotSettled):
            await sim.settled(within=within)
        assert sim.now - began == pytest.approx(within, abs=1e-5)

    Simulation.run(main, seed=1)
