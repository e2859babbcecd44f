"""Scenarios on real sockets: they end as simulated ones do, every fault is felt for real, and nothing stays open."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
from collections import Counter as Counted
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any

import pytest
import trio
from tests.hub.actors import Counter

import hubkit
from hubkit.errors import ConfigurationError, DialFailed, DialRefused, HubClosed, LinkClosed, SimulationError
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing import loopback
from hubkit.testing.conformance import CHECKS, PATIENCE
from hubkit.testing.faults import Break, Crash, Hold, Partition, Pause, Skew, Slow
from hubkit.testing.loopback import LoopbackNetwork, LoopbackTransport
from hubkit.testing.plans import FaultPlan
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper
from hubkit.testing.trace import Report

Main = Callable[[Simulation], Awaitable[object]]

#: What all tickers have done, by node.
TICKS: Counted[str] = Counted()


class Ticker(hubkit.Actor):
    """Does something all the time."""

    async def on_start(self) -> None:
        self.context.nursery.start_soon(self._tick)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(0.01)
            TICKS[self.context.node] += 1

    async def on_stop(self, reason: str) -> None:
        TICKS[f"stopped on {self.context.node}"] += 1

    async def interrupt(self) -> None:
        signal.raise_signal(signal.SIGINT)


#: Impatient nodes, so that real seconds suffice.
FAST = {"beat": 0.2, "down_after": 1.0}
#: Real seconds that a scenario here may take.
LIMIT = 10.0


@contextmanager
def nothing_left() -> Iterator[None]:
    """Afterwards there are no more open files than before, and nothing was closed by the garbage collector."""
    gc.collect()
    before = _files()
    yield
    gc.collect()
    assert _files() == before


def _files() -> list[str]:
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return []  # ResourceWarning is an error here anyway
    return [name for name in sorted(os.listdir(folder), key=int) if os.path.islink(f"{folder}/{name}")]


def real(main: Main, **options: Any) -> Report:
    """Run it on real sockets."""
    with nothing_left():
        return Simulation.run(main, 1, network="websocket", **{"limit": LIMIT, **options})


async def three(sim: Simulation, children: int = 20, **options: Any) -> list[hubkit.Hub]:
    """Three nodes and some children, settled."""
    hubs = [await sim.start_hub("h", node=name, **{**FAST, **options}) for name in "abc"]
    if children:
        await hubs[0].start_children([hubkit.child(f"c{i}", Counter) for i in range(children)])
    await sim.settled(within=5)
    return hubs


def where(sim: Simulation) -> dict[str, list[str]]:
    """Child -> the nodes that really run it."""
    running = sim._world.running("h")
    return {child: sorted(run.node for run in running[child]) for child in sorted(running)}


def views(sim: Simulation) -> dict[str, tuple[str, ...]]:
    """Node -> whom it believes in, of those that can say so."""
    return {
        name: sim.hub(name).nodes(include_local=True) for name in sim.nodes if sim.alive(name) and not sim.paused(name)
    }


# -- the same scenario, twice -------------------------------------------------------------------------------------------


async def all_that_happens(sim: Simulation, seen: dict[str, Any]) -> None:
    def look(phase: str) -> None:
        seen[phase] = {"where": where(sim), "views": views(sim)}

    hubs = await three(sim)
    look("begun")
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(1.5)
    await sim.settled(within=3)
    look("parted")
    sim.heal()
    await sim.settled(within=5)
    look("healed")
    sim.crash("c")
    await sim.settled(within=3)
    look("crashed")
    sim.pause("b")
    await sim.sleep(1.2)
    await sim.settled(within=3)
    look("paused")
    sim.resume("b")
    await sim.settled(within=5)
    look("resumed")
    sim.restart("c")
    await sim.settled(within=5)
    look("restarted")
    await sim.stop("a")
    await sim.settled(within=3)
    look("left")
    with pytest.raises(HubClosed):
        hubs[2].children()
    sim.check()


def test_a_simulation_and_reality_agree() -> None:
    simulated: dict[str, Any] = {}
    actual: dict[str, Any] = {}
    Simulation.run(lambda sim: all_that_happens(sim, simulated), 1)
    report = real(lambda sim: all_that_happens(sim, actual), limit=20)
    for phase, what in simulated.items():
        assert actual[phase] == what, phase
    assert list(actual) == list(simulated)

    every = ("a", "b", "c")
    assert simulated["begun"]["views"] == dict.fromkeys(every, every)
    assert {len(nodes) for nodes in simulated["parted"]["where"].values()} == {2}
    assert simulated["parted"]["views"] == {"a": ("a",), "b": ("b", "c"), "c": ("b", "c")}
    for phase in ("begun", "healed", "crashed", "resumed", "restarted", "left"):
        assert len(simulated[phase]["where"]) == 20, phase
        assert {len(nodes) for nodes in simulated[phase]["where"].values()} == {1}, phase

    assert report.network == "websocket"
    assert report.nodes == every
    assert 3.0 < report.elapsed < 20.0
    assert 0.0 < report.overlap < 3.0
    kinds = {step.kind for step in report.trace}
    assert kinds == {"send", "deliver", "dial", "link", "break", "fault", "node", "begin", "ending", "end", "event"}
    assert [step.time for step in report.trace] == sorted(step.time for step in report.trace)


def test_a_plan_is_played_for_real() -> None:
    plan = FaultPlan(
        nodes=("a", "b", "c"),
        duration=2.2,
        faults=(
            Slow(0.1, 0.8, "a", "b", latency=0.02, jitter=0.01),
            Partition(0.2, 0.6, (("a",), ("b", "c"))),
            Hold(0.7, 0.9, "b", "c"),
            Break(1.0, "a", "c"),
            Pause(1.1, 1.4, "b"),
            Skew(1.2, "a", offset=30.0, rate=1.5),
            Crash(1.5, "c", until=2.0),
        ),
    )

    async def main(sim: Simulation) -> None:
        await three(sim)
        await sim.play()
        await sim.settled(within=5)
        sim.check()

    report = real(main, plan=plan)
    assert not [step for step in report.trace if step.kind == "note"], "nothing of it was skipped"
    assert [step.text for step in report.trace if step.kind == "fault" and step.node == "c"] == ["crash", "restart"]


# -- processes ----------------------------------------------------------------------------------------------------------


def test_a_crash_is_heard_at_once_and_the_port_is_closed() -> None:
    async def main(sim: Simulation) -> None:
        _, _, doomed = await three(sim, children=0, down_after=8.0)
        address = sim.network.address("c")
        await doomed.start_children([hubkit.child(f"t{i}", Ticker) for i in range(10)])
        await sim.sleep(0.1)
        assert TICKS["c"]
        sim.crash("c")
        await sim.sleep(0)  # what runs in that very turn has its step
        before = TICKS["c"]
        with pytest.raises(HubClosed):
            doomed.children()
        with pytest.raises(DialRefused):
            await WebSocketTransport().dial(address)
        await sim.settled(within=4)  # sooner than silence would tell
        assert views(sim) == {"a": ("a", "b"), "b": ("a", "b")}
        assert len(where(sim)) == 10
        assert TICKS["c"] == before
        assert not TICKS["stopped on c"], "no farewell of it was heard"
        sim.restart("c")
        await sim.settled(within=3)
        assert sim.network.address("c") == sim.hub("c").node.url == address

    TICKS.clear()
    real(main)


def test_a_machine_without_power_says_nothing() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        sim.crash("c", silent=True)
        await sim.sleep(0.3)
        assert views(sim)["a"] == ("a", "b", "c"), "nobody has told it"
        await sim.settled(within=3)
        assert views(sim)["a"] == ("a", "b")
        with trio.move_on_after(0.5) as patience:
            await WebSocketTransport().dial(sim.network.address("c"))
        assert patience.cancelled_caught, "somebody answered"
        sim.restart("c")
        await sim.settled(within=5)
        sim.check()

    real(main)


def test_a_paused_process_keeps_its_links_and_reads_nothing() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim, down_after=4.0)
        sim.pause("b")
        await sim.sleep(0)  # what runs in that very turn has its step
        sim.note("paused")
        await sim.sleep(0.6)
        sim.note("resumed")
        sim.resume("b")
        await sim.sleep(0.3)
        await sim.settled(within=3)
        sim.note("settled")

    steps = real(main).trace
    marks = {step.text: step.number for step in steps if step.kind == "note"}
    paused = [step for step in steps[marks["paused"] : marks["resumed"]] if step.kind in ("send", "deliver")]
    assert paused
    assert not [step for step in paused if step.node == "b"]
    assert [step for step in paused if step.peer == "b"], "the kernel took what was sent"
    after = steps[marks["resumed"] : marks["settled"]]
    assert [step for step in after if step.kind == "deliver" and step.node == "b"]
    assert not [step for step in steps[marks["paused"] : marks["settled"]] if step.kind == "break"]


def test_a_process_may_crash_while_it_is_paused_and_another_at_the_very_start() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        sim.pause("b")
        await sim.sleep(0.1)
        sim.crash("b")
        sim.start_soon("h", node="d", **FAST)
        sim.crash("d")
        await sim.settled(within=3)
        sim.restart("b")
        sim.restart("d")
        await sim.settled(within=5)
        assert views(sim)["d"] == ("a", "b", "c", "d")
        sim.check()

    real(main)


def test_clocks_are_those_of_the_machines() -> None:
    async def main(sim: Simulation) -> None:
        hub = await sim.start_hub("h", node="a", **FAST)
        clock = hub.node.environment
        began, wall = clock.now(), clock.wall()
        assert abs(wall - 1_893_456_000.0) < 1.0
        sim.skew("a", offset=100.0, rate=3.0)
        assert clock.wall() - wall == pytest.approx(100.0, abs=0.1)
        real_time = trio.current_time()
        await sim.sleep(0.3)
        assert clock.now() - began == pytest.approx(3 * (trio.current_time() - real_time), abs=0.1)
        assert 0.3 <= sim.now < 5.0

    real(main)


# -- links, alone -------------------------------------------------------------------------------------------------------


class Lab:
    """A network with hosts that keep the links they accept."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str, str, str]] = []
        self.network: LoopbackNetwork = LoopbackNetwork(random.Random(1), observe=self._observe)
        self.transports: dict[str, LoopbackTransport] = {}
        self.nursery: trio.Nursery
        self._accepted: dict[str, tuple[trio.MemorySendChannel[Link], trio.MemoryReceiveChannel[Link]]] = {}

    def _observe(self, *step: str) -> None:
        self.steps.append(step)  # type: ignore[arg-type]  # there are four of them

    def kinds(self, kind: str) -> list[tuple[str, str]]:
        return [(node, peer) for what, node, peer, _ in self.steps if what == kind]

    async def host(self, name: str) -> LoopbackTransport:
        transport = self.transports[name] = self.network.transport(name)
        channel = self._accepted[name] = trio.open_memory_channel[Link](10)

        async def accept(link: Link) -> None:
            await channel[0].send(link)
            await trio.sleep_forever()

        await self.nursery.start(transport.serve, accept)
        return transport

    async def dial(self, a: str, b: str) -> Link:
        return await self.transports[a].dial(self.network.address(b))

    async def linked(self, a: str, b: str) -> tuple[Link, Link]:
        near = await self.dial(a, b)
        return near, await self._accepted[b][1].receive()


@asynccontextmanager
async def lab(*names: str) -> AsyncIterator[Lab]:
    gc.collect()
    with trio.fail_after(8):
        async with trio.open_nursery() as nursery:
            it = Lab()
            it.nursery = nursery
            try:
                for name in names:
                    await it.host(name)
                yield it
            finally:
                it.network.close()
                nursery.cancel_scope.cancel()


async def nothing_comes(link: Link, seconds: float = 0.1) -> None:
    with trio.move_on_after(seconds) as patience:
        await link.receive()
    assert patience.cancelled_caught, "something came"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: Any) -> None:
    numbers = count()

    async def main() -> None:
        network = LoopbackNetwork(random.Random(1), observe=lambda *_: None)
        try:
            with trio.fail_after(2 * PATIENCE):
                await check(lambda: network.transport(f"n{next(numbers)}"))
        finally:
            network.close()

    trio.run(main)


async def test_a_cut_holds_frames_and_lets_them_go_in_order() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        cut = it.network.partition({"a"}, {"b"})
        assert not it.network.reaches("a", "b")
        for n in range(3):
            await near.send(bytes([n]))
            await far.send(bytes([n]))
        await nothing_comes(far)
        await nothing_comes(near)
        assert it.kinds("deliver") == []
        cut.heal()
        assert [await far.receive() for _ in range(3)] == [b"\0", b"\1", b"\2"]
        assert [await near.receive() for _ in range(3)] == [b"\0", b"\1", b"\2"]
        assert it.kinds("deliver") == [("b", "a")] * 3 + [("a", "b")] * 3


async def test_a_cut_also_holds_what_a_waiting_reader_would_have_got() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        got: list[bytes] = []

        async def read() -> None:
            with suppress(LinkClosed):
                while True:
                    got.append(await far.receive())

        it.nursery.start_soon(read)
        await trio.sleep(0.05)
        it.network.partition({"a"}, {"b"})
        await near.send(b"1")
        await near.send(b"2")
        await trio.sleep(0.1)
        assert got == []
        it.network.heal()
        await trio.sleep(0.05)
        assert got == [b"1", b"2"]


async def test_one_way() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        it.network.partition({"a"}, {"b"}, one_way=True)
        assert (it.network.reaches("a", "b"), it.network.reaches("b", "a")) == (False, True)
        await near.send(b"from a")
        await far.send(b"from b")
        assert await near.receive() == b"from b"
        await nothing_comes(far)
        it.network.heal()
        assert await far.receive() == b"from a"


async def test_a_hold_stands_beside_a_cut() -> None:
    async with lab("a", "b", "c") as it:
        near, far = await it.linked("a", "b")
        _, other = await it.linked("c", "b")
        it.network.partition({"a"}, {"b"})
        it.network.hold("a", "b")
        await near.send(b"x")
        it.network.heal()
        await nothing_comes(far)
        await other.send(b"c hears")
        it.network.release("b", "a")
        assert await far.receive() == b"x"


async def test_a_cut_hides_the_end_of_a_link() -> None:
    async with lab("a", "b", "c") as it:
        near, far = await it.linked("a", "b")
        lost, _ = await it.linked("a", "c")
        it.network.partition({"a"}, {"b", "c"})
        it.network.crash("c")
        with trio.CancelScope() as scope:
            scope.cancel()
            await far.aclose()
        for link in (near, lost):
            await nothing_comes(link)
            for _ in range(3):
                await link.send(b"into the void")
                await trio.sleep(0.02)
        assert it.kinds("break") == [("b", "a")]
        it.network.heal()
        for link in (near, lost):
            with pytest.raises(LinkClosed):
                await link.receive()
            with pytest.raises(LinkClosed):
                await link.send(b"too late")
        assert it.kinds("break") == [("b", "a"), ("a", "b"), ("a", "c")]


async def test_what_came_before_the_end_can_be_read_after_a_failed_send() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        for n in range(3):
            await near.send(bytes([n]))
        await trio.sleep(0.05)
        assert await far.receive() == b"\0"
        it.network.crash("a")
        await trio.sleep(0.05)
        with pytest.raises(LinkClosed):
            await far.send(b"too late")
        assert [await far.receive() for _ in range(2)] == [b"\1", b"\2"]
        with pytest.raises(LinkClosed):
            await far.receive()
        assert it.kinds("break") == [("b", "a")]


async def test_dials_wait_for_the_end_of_a_cut_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_DIAL_WITHIN", 0.4)
    async with lab("a", "b") as it:
        it.network.partition({"b"}, {"a"}, one_way=True)  # the answer would not come
        began = trio.current_time()
        with pytest.raises(DialFailed, match=r"no answer within 0\.4 s") as failed:
            await it.dial("a", "b")
        assert not isinstance(failed.value, DialRefused)
        assert 0.4 <= trio.current_time() - began < 2.0
        links: list[Link] = []

        async def dial() -> None:
            links.append(await it.dial("a", "b"))

        it.nursery.start_soon(dial)
        await trio.sleep(0.1)
        assert links == []
        it.network.heal()
        await trio.sleep(0.1)
        assert len(links) == 1


async def test_links_break() -> None:
    async with lab("a", "b", "c") as it:
        near, far = await it.linked("a", "b")
        other, end = await it.linked("c", "a")
        it.network.partition({"a"}, {"b"})
        assert it.network.break_links("b", "a") == 1
        for link in (near, far):  # the cut is no shelter from that
            with pytest.raises(LinkClosed, match="the connection broke"):
                await link.receive()
        await other.send(b"still there")
        assert await end.receive() == b"still there"
        assert it.network.break_links("a") == 1
        assert it.network.break_links("a") == 0
        for link in (other, end):
            with pytest.raises(LinkClosed):
                await link.send(b"")


async def test_a_half_open_link_is_found_out_by_sending() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        assert it.network.break_links("a", "b", half_open=True) == 1
        with pytest.raises(LinkClosed):
            await near.receive()
        await nothing_comes(far)
        assert it.kinds("break") == [("a", "b")]
        await far.send(b"is anybody there?")
        with pytest.raises(LinkClosed):
            await far.receive()
        assert it.kinds("break") == [("a", "b"), ("b", "a")]


async def test_latency_and_jitter() -> None:
    async with lab("a", "b") as it:
        near, far = await it.linked("a", "b")
        it.network.link("b", "a", latency=0.15)
        it.network.link("a", "b", jitter=0.05)
        times: list[float] = []
        began = trio.current_time()
        for n in range(20):
            await near.send(bytes([n]))
        for n in range(20):
            assert await far.receive() == bytes([n])
            times.append(trio.current_time() - began)
        assert times[0] >= 0.15
        assert times[-1] < 0.15 + 0.05 + 1.0, "they were on their way together"
        it.network.link("a", "b", latency=0.0, jitter=0.0)
        began = trio.current_time()
        await far.send(b"x")
        await near.receive()
        assert trio.current_time() - began < 0.1


async def test_who_does_not_read_holds_the_sender_back_across_a_cut() -> None:
    async with lab("a", "b") as it:
        near, _far = await it.linked("a", "b")
        it.network.partition({"a"}, {"b"})
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                await near.send(b"x" * 65536)
                sent += 1
        assert sent < 1000, "the kernel has taken 64 MB"


async def test_a_host_keeps_its_port_from_life_to_life() -> None:
    async with lab("a", "b") as it:
        address = it.network.address("b")
        near, _ = await it.linked("a", "b")
        await it.linked("b", "a")
        for silent in (False, True, False):
            it.network.crash("b", silent=silent)
            if not silent:
                with pytest.raises(DialRefused):
                    await it.dial("a", "b")
            with pytest.raises(DialFailed, match="has crashed"):
                await it.dial("b", "a")
            await it.host("b")
            assert it.network.address("b") == address
            with pytest.raises(LinkClosed):
                await near.receive()
            near, far = await it.linked("a", "b")
            await near.send(b"welcome")
            assert await far.receive() == b"welcome"


async def test_strangers_may_come_and_are_cut_off_by_nothing() -> None:
    async with lab("a", "b") as it:
        it.network.partition({"a"}, {"b"})
        stranger = await WebSocketTransport().dial(it.network.address("a"))
        far = await it._accepted["a"][1].receive()
        await stranger.send(b"hello")
        assert await far.receive() == b"hello"
        it.nursery.start_soon(far.aclose)
        await stranger.aclose()
        with pytest.raises(DialRefused):
            await it.transports["a"].dial("ws://127.0.0.1:1")
        assert it.steps[-1][:3] == ("dial", "a", "ws://127.0.0.1:1")


# -- bad input, and bad ends --------------------------------------------------------------------------------------------


WRONG: dict[str, Callable[[Simulation], object]] = {
    "unknown node": lambda sim: sim.crash("zz"),
    "unknown in a group": lambda sim: sim.partition({"a"}, {"zz"}),
    "overlapping groups": lambda sim: sim.partition({"a", "b"}, {"b", "c"}),
    "no groups": lambda sim: sim.partition(),
    "an empty group": lambda sim: sim.partition({"a"}, set()),
    "healing what is whole": lambda sim: sim.heal(),
    "holding with itself": lambda sim: sim.hold("a", "a"),
    "releasing what is free": lambda sim: sim.release("a", "b"),
    "breaking with itself": lambda sim: sim.break_links("a", "a"),
    "negative latency": lambda sim: sim.link("a", "b", latency=-1),
    "resuming what runs": lambda sim: sim.resume("a"),
}


def wrongs(said: dict[str, str]) -> Main:
    async def main(sim: Simulation) -> None:
        await three(sim, children=0)
        for name, do in WRONG.items():
            with pytest.raises(ConfigurationError) as error:
                do(sim)
            said[name] = str(error.value)

        cut = sim.partition({"a"}, {"b"})
        cut.heal()
        with pytest.raises(ConfigurationError) as error:
            cut.heal()
        said["healing twice"] = str(error.value)
        sim.hold("a", "b")
        with pytest.raises(ConfigurationError) as error:
            sim.hold("b", "a")
        said["holding twice"] = str(error.value)

    return main


def test_wrong_uses_get_the_same_answers_as_in_a_simulation() -> None:
    simulated: dict[str, str] = {}
    actual: dict[str, str] = {}
    Simulation.run(wrongs(simulated), 1)
    real(wrongs(actual))
    assert actual == simulated
    assert len(actual) == len(WRONG) + 2


@pytest.mark.parametrize("what", ["bandwidth", "break_rate"])
def test_what_cannot_be_had_is_said(what: str) -> None:
    async def main(sim: Simulation) -> None:
        await three(sim, children=0)
        sim.link("a", "b", **{what: 0.5})

    with pytest.raises(ConfigurationError, match=f"{what} cannot be had on real sockets") as error:
        real(main)
    assert "simulated network" in str(error.value)


def test_virtual_time_and_real_sockets_do_not_go_together() -> None:
    with pytest.raises(ConfigurationError, match=r"Simulation\.run"):
        Stepper(1, network="websocket")
    with pytest.raises(ConfigurationError, match="'websocket'"):
        Simulation.run(lambda sim: sim.sleep(1), 1, network="carrier pigeons")


def test_a_scenario_without_end_is_ended() -> None:
    async def main(sim: Simulation) -> None:
        await three(sim)
        sim.pause("b")
        await trio.sleep_forever()

    with pytest.raises(SimulationError, match=r"goes on after 1\.5 real seconds.*at most 600") as error:
        real(main, limit=1.5)
    notes = "\n".join(error.value.__notes__)
    assert "on real sockets: seed 1" in notes
    assert "real time does not repeat itself" in notes
    assert error.value.__hubkit_report__.network == "websocket"  # type: ignore[attr-defined]  # put there by the runner


@pytest.mark.parametrize("shielded", [False, True])
@pytest.mark.parametrize("caught", [trio.Cancelled, BaseException])
def test_a_main_that_goes_on_although_it_was_cancelled_is_ended(
    caught: type[BaseException], shielded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkit.testing.real.GRACE", 0.2)
    swallowed = 0

    async def main(sim: Simulation) -> None:
        nonlocal swallowed
        await three(sim)
        with trio.CancelScope(shield=shielded):
            while True:
                try:
                    await trio.sleep(0.01)  # here
                except caught:
                    swallowed += 1
                    if swallowed > 10_000_000:
                        raise

    settings = random.getstate(), gc.get_threshold(), signal.getsignal(signal.SIGINT)
    with pytest.raises(SimulationError, match=r"goes on after 1 real seconds.* It waits at .*test_real.py:") as error:
        real(main, limit=1.0)
    notes = "\n".join(error.value.__notes__)
    what = "is shielded from it" if shielded else "swallows trio.Cancelled"
    assert re.search(rf"and main goes on although it was cancelled: {re.escape(__file__)}:\d+ {what}", notes)
    assert settings == (random.getstate(), gc.get_threshold(), signal.getsignal(signal.SIGINT))
    real(three)


def test_failures_and_interrupts_leave_nothing_open() -> None:
    async def mess(sim: Simulation) -> None:
        await three(sim)
        sim.pause("a")
        sim.crash("b")
        sim.crash("c", silent=True)
        sim.start_soon("h", node="d", **FAST)
        await sim.sleep(0.1)
        sim.partition({"a", "b"}, {"c", "d"})

    async def fails(sim: Simulation) -> None:
        await mess(sim)
        raise ValueError("as meant")

    async def interrupted(sim: Simulation) -> None:
        await mess(sim)
        signal.raise_signal(signal.SIGINT)
        await sim.sleep(5)

    async def leaves_tasks(sim: Simulation) -> None:
        await mess(sim)
        trio.lowlevel.spawn_system_task(trio.sleep_forever)

    with pytest.raises(ValueError, match="as meant"):
        real(fails)
    with pytest.raises(KeyboardInterrupt):
        real(interrupted)
    with pytest.raises(SimulationError, match="left tasks behind"):
        real(leaves_tasks)


def test_an_interrupt_in_the_middle_of_a_process_ends_all_of_it() -> None:
    async def main(sim: Simulation) -> None:
        a, *_ = await three(sim, children=0)
        ref = await a.start_child(hubkit.child("interrupter", Ticker))
        where_it_is = where(sim)["interrupter"]
        sim.pause("b" if where_it_is != ["b"] else "a")
        await ref.call("interrupt")

    with pytest.raises(BaseException) as error:  # noqa: PT011  # bare, or in a group: trio says where it struck
        real(main)
    found: BaseException = error.value
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, KeyboardInterrupt)
