"""Monitors, links and late replies between whole nodes: under plans of disasters, and over real sockets."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import hubkit
from hubkit.errors import ActorCrashed, NodeDown, NoSuchActor, RemoteFailure, WrongState
from hubkit.pids import Pid
from hubkit.strategies import Guided, HotSwap
from hubkit.testing import FaultPlan, Simulation
from hubkit.testing.strategies import fault_plans

#: Seconds after the last disaster within which all is said: see tests.sim.story.
QUIET = 25.0
KINDS = ("partition", "one_way", "restart", "crash", "power", "pause", "hold", "break", "slow")


class Log:
    """What all actors of a simulation have asked for, and heard."""

    def __init__(self) -> None:
        self.downs: dict[tuple[Pid, int], int] = {}  # by who watches, and the number of the monitor
        self.links: Counter[tuple[Pid, Pid]] = Counter()
        self.exits: Counter[tuple[Pid, Pid]] = Counter()
        self.faults: list[str] = []


LOG = Log()


class Victim(hubkit.Actor):
    trap_exits = True

    async def on_info(self, message: Any) -> None:
        if isinstance(message, hubkit.Exit):
            assert message.pid is not None
            LOG.exits[self.context.pid, message.pid] += 1


class Prober(Victim):
    """Sees to it that it watches, and is linked with, every victim that it knows; counts what it hears."""

    def __init__(self, victims: list[str]) -> None:
        self.victims = victims
        self.watched: dict[int, Pid] = {}

    async def on_start(self) -> None:
        self.timer = self.context.send_interval(0.5, "look")

    async def quiet(self) -> None:
        self.timer.cancel()

    async def on_info(self, message: Any) -> None:
        me = self.context.pid
        if isinstance(message, hubkit.Down):
            number = message.monitor.number
            LOG.downs[me, number] += 1
            if self.watched.pop(number, None) is None:
                LOG.faults.append(f"{me} got {message}, and did not wait for it")
        elif isinstance(message, hubkit.Exit):
            await super().on_info(message)
            assert message.pid is not None
            if LOG.exits[me, message.pid] > LOG.links[me, message.pid]:
                LOG.faults.append(f"{me} got {message}, and has no link")
        else:
            for victim in self.victims:
                self.look(victim)

    def look(self, victim: str) -> None:
        me, hub = self.context.pid, self.context.hub
        try:
            ref = hub.ref(victim)
        except NoSuchActor:
            return
        pid = ref.pid
        if pid is None:
            return
        if pid not in self.watched.values():
            monitor = self.context.monitor(ref)
            LOG.downs[me, monitor.number] = 0
            self.watched[monitor.number] = pid
        if pid not in linked(self.context._cell):
            LOG.links[me, pid] += 1
            self.context.link(ref)


def linked(cell: Any) -> tuple[Pid, ...]:
    return cell.system.links.of(cell.pid.serial)  # type: ignore[no-any-return]  # of any cell


def cells(sim: Simulation) -> dict[Pid, Any]:
    """All actors that run."""
    hubs = sim._world.hubs("shop").values()
    return {cell.pid: cell for hub in hubs for cell in hub.node._system.cells.values()}


async def ties(sim: Simulation) -> None:
    global LOG
    LOG = Log()
    assert sim.plan is not None
    founders = sim.plan.founders
    for name in founders:
        sim.start_soon("shop", node=name, distribution=Guided())
    await sim.settled(within=30)
    hub = sim.hub(founders[0], "shop")
    victims = [f"v-{name}" for name in founders]
    for name in founders:
        await hub.start_child(hubkit.child(f"v-{name}", Victim), nodes=[name])
        await hub.start_child(hubkit.child(f"p-{name}", Prober, victims), nodes=[name])
    await sim.play(sim.plan)
    await sim.sleep(QUIET)
    running = cells(sim)
    probers = [cell for cell in running.values() if isinstance(cell.instance, Prober)]
    assert probers
    for cell in probers:
        await cell.context.ref.call(Prober.quiet)
    await sim.sleep(1)
    for pid, cell in running.items():
        for other in linked(cell):
            assert other in running, f"{pid} is linked with {other}, which has ended"
            assert pid in linked(running[other]), f"{pid} is linked with {other}, and it knows nothing of it"
    nodes = {cell.pid.node for cell in probers}
    result = await sim.hub(min(nodes), "shop").stop_children(victims)
    assert not result.errors, result.errors
    await sim.sleep(QUIET)
    assert LOG.faults == []
    for cell in probers:
        downs = {number: count for (pid, number), count in LOG.downs.items() if pid == cell.pid}
        assert set(downs.values()) <= {1}, (cell.pid, downs)
        for (pid, other), count in LOG.links.items():
            if pid == cell.pid:
                assert LOG.exits[pid, other] == count, (pid, other)
        assert linked(cell) == ()


@pytest.mark.limit(120)
@settings(max_examples=20, deadline=None)
@given(plan=fault_plans(3, 30.0, KINDS, max_faults=6), seed=st.integers(0, 2**32 - 1))
def test_each_monitor_has_one_down_and_each_link_one_exit_after_any_plan(plan: FaultPlan, seed: int) -> None:
    logging.disable(logging.CRITICAL)
    try:
        Simulation.run(ties, seed, plan=plan)
    finally:
        logging.disable(logging.NOTSET)


# -- two nodes, simulated and real ---------------------------------------------------------------------------------------


class Odd(Exception):
    pass


class Refused(hubkit.Reject):
    pass


class Friend(hubkit.Actor):
    """Linked with others; takes calls and answers them late."""

    def __init__(self) -> None:
        self.tokens: list[hubkit.LateReply[Any]] = []

    async def link(self, ref: hubkit.Ref[Any]) -> None:
        self.context.link(ref)

    async def take(self) -> Any:
        token: hubkit.LateReply[Any] = self.context.reply_later()
        self.tokens.append(token)
        return token.later

    async def pass_on(self, ref: hubkit.Ref[Any]) -> None:
        await ref.send(self.tokens.pop())

    async def reply(self, value: Any) -> None:
        self.tokens.pop().reply(value)

    async def refuse(self) -> None:
        self.tokens.pop().fail(Refused("no"))

    async def count(self) -> int:
        return len(self.tokens)

    async def drop(self) -> None:
        self.tokens.clear()

    async def fail(self, kind: str) -> None:
        raise {"value": ValueError("x"), "odd": Odd("y"), "gone": NoSuchActor("z")}[kind]

    async def on_info(self, message: Any) -> None:
        self.tokens.append(message)


class Keen(Friend):
    """Hears of the ends of those that it is linked with."""

    trap_exits = True

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[Any] = []

    async def heard(self) -> list[tuple[str, str, str]]:
        return [(end.reason, type(end.error).__name__, str(end.error)) for end in self.ends]

    async def on_info(self, message: Any) -> None:
        if isinstance(message, hubkit.Exit):
            self.ends.append(message)
        else:
            await super().on_info(message)


both = pytest.mark.parametrize("network", ["simulated", "websocket"])


async def on_two(sim: Simulation) -> tuple[hubkit.Hub, hubkit.Hub]:
    options: dict[str, Any] = {"distribution": Guided(), "migration": HotSwap()}
    a, b = [await sim.start_hub("shop", node=name, **options) for name in "ab"]
    await sim.settled(within=20)
    for node, id, kind in (("a", "one", Friend), ("b", "two", Friend), ("a", "keen", Keen), ("b", "far", Keen)):
        spec = hubkit.ChildSpec(id, kind, restart="temporary")
        await a.start_child(spec, nodes=[node])
    await sim.settled(within=10)
    return a, b


async def until(sim: Simulation, condition: Any, within: float = 12.0) -> None:
    for _ in range(int(within / 0.05)):
        if condition():
            return
        await sim.sleep(0.05)
    assert condition()


def run(main: Any, network: Any) -> None:
    logging.disable(logging.CRITICAL)
    try:
        Simulation.run(main, 1, network=network)
    finally:
        logging.disable(logging.NOTSET)


@both
@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [("value", "ValueError", "x"), ("odd", RemoteFailure.__name__, "Odd: y"), ("gone", "NoSuchActor", "z")],
)
def test_a_crash_brings_down_who_is_linked_on_another_node(network: Any, kind: str, name: str, text: str) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await on_two(sim)
        one, two, keen = b.ref("one", Friend), a.ref("two", Friend), b.ref("keen", Keen)
        await two.call(Friend.link, one)
        await keen.call(Keen.link, two)
        with pytest.raises(ActorCrashed):
            await two.call(Friend.fail, kind)
        await until(sim, lambda: a.pids("one") == a.pids("two") == ())
        await sim.sleep(0.2)
        [(reason, error, said)] = await keen.call(Keen.heard)
        assert (reason, error) == ("crash", name)
        assert said.endswith(text)

    run(main, network)


@both
def test_a_call_is_answered_late_by_an_actor_of_another_node(network: Any) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await on_two(sim)
        got: list[Any] = []

        async def ask(hub: hubkit.Hub) -> None:
            try:
                got.append(await hub.ref("one", Friend).call(Friend.take))
            except Refused as error:
                got.append(error)

        for hub in (a, b):
            for answer in ("reply", "refuse"):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, hub)
                    while not await a.ref("one", Friend).call(Friend.count):
                        await sim.sleep(0.05)
                    await a.ref("one", Friend).call(Friend.pass_on, a.ref("two"))
                    while not await b.ref("two", Friend).call(Friend.count):
                        await sim.sleep(0.05)
                    if answer == "reply":
                        await a.ref("two", Friend).call(Friend.reply, {"x": [1]})
                    else:
                        await a.ref("two", Friend).call(Friend.refuse)
        assert [value if isinstance(value, dict) else value.args for value in got] == [{"x": [1]}, ("no",)] * 2

    run(main, network)


def test_when_the_node_with_the_token_dies_the_call_ends() -> None:
    async def main(sim: Simulation) -> None:
        a, _ = await on_two(sim)
        got: list[Any] = []

        async def ask() -> None:
            try:
                await a.ref("one", Friend).call(Friend.take)
            except ActorCrashed as error:
                got.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await sim.sleep(0.1)
            await a.ref("one", Friend).call(Friend.pass_on, a.ref("two"))
            await sim.sleep(0.1)
            sim.crash("b", silent=True)
            with trio.fail_after(60):
                while not got:
                    await sim.sleep(0.5)
        assert "has lost the token" in got[0]

    run(main, "simulated")


def test_when_the_node_that_owes_the_reply_dies_the_caller_is_told() -> None:
    async def main(sim: Simulation) -> None:
        _, b = await on_two(sim)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_one, b)
            await sim.sleep(0.1)
            await b.ref("one", Friend).call(Friend.pass_on, b.ref("two"))
            await sim.sleep(0.1)
            sim.crash("a")
        # its token on b is good for nothing any more, and harms nobody
        with pytest.raises(ActorCrashed):
            await b.ref("two", Friend).call(Friend.reply, 1)

    async def ask_one(hub: hubkit.Hub) -> None:
        with pytest.raises((NodeDown, NoSuchActor)):
            await hub.ref("one", Friend).call(Friend.take)

    run(main, "simulated")


def test_a_cut_ends_links_on_both_sides_and_a_move_says_so() -> None:
    async def main(sim: Simulation) -> None:
        a, _ = await on_two(sim)
        await a.ref("keen", Keen).call(Keen.link, a.ref("far"))
        await a.ref("keen", Keen).call(Keen.link, a.ref("two"))
        await a.move("two", "a")
        await sim.settled(within=20)
        assert await a.ref("keen", Keen).call(Keen.heard) == [("moved", "NoneType", "None")]
        sim.partition({"a"}, {"b"})
        await sim.sleep(10)
        assert (await a.ref("keen", Keen).call(Keen.heard))[1:] == [("node_down", "NoneType", "None")]
        sim.heal()
        await sim.settled(within=30)
        assert len(await a.ref("keen", Keen).call(Keen.heard)) == 2

    run(main, "simulated")


# -- state machines that move --------------------------------------------------------------------------------------------


class Door(hubkit.StateMachine[str]):
    initial = "closed"

    def __init__(self) -> None:
        self.passed: list[int] = []

    @hubkit.when("open", otherwise="postpone")
    async def walk(self, number: int) -> str:
        self.passed.append(number)
        return self.context.node

    @hubkit.when("open")
    async def look_in(self) -> str:
        return self.context.node

    async def turn(self, state: str) -> None:
        self.become(state)

    async def about(self) -> tuple[str, list[int]]:
        return self.state, self.passed

    def handover_state(self) -> Any:
        return self.state, self.passed

    def accept_handover(self, state: Any) -> None:
        where, self.passed = state
        self.become(where)


@both
def test_what_a_machine_has_put_off_travels_first_when_it_moves(network: Any) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await on_two(sim)
        await a.start_child(hubkit.child("door", Door), nodes=["a"])
        await a.ref("door", Door).call(Door.turn, "ajar")
        answers: list[str] = []

        async def walk() -> None:
            answers.append(await b.ref("door", Door).call(Door.walk, 0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(walk)
            await sim.sleep(0.2)
            for number in (1, 2, 3):
                await a.ref("door", Door).cast(Door.walk, number)
            await sim.sleep(0.2)
            await a.move("door", "b")
            await sim.settled(within=20)
            assert await b.ref("door", Door).call(Door.about) == ("ajar", [])
            await b.ref("door", Door).call(Door.turn, "open")
            await b.ref("door", Door).cast(Door.walk, 4)
            await sim.sleep(0.5)
        assert await a.ref("door", Door).call(Door.about) == ("open", [0, 1, 2, 3, 4])
        assert answers == ["b"]

    run(main, network)


@both
def test_many_are_asked_at_once_wherever_they_are(network: Any) -> None:
    async def main(sim: Simulation) -> None:
        a, b = await on_two(sim)
        for id, node in (("front", "a"), ("back", "b"), ("side", "b")):
            await a.start_child(hubkit.child(id, Door), nodes=[node])
        await sim.settled(within=10)
        front, back, side = (b.ref(id, Door) for id in ("front", "back", "side"))
        for door in (front, back):
            await door.call(Door.turn, "open")
        ask = hubkit.MultiCall([front, back, side], Door.look_in)
        await ask.run()
        assert ask.replies == {front: "a", back: "b"}
        assert {ref: type(error) for ref, error in ask.errors.items()} == {side: WrongState}
        waiting = hubkit.MultiCall([a.ref(id, Door) for id in ("front", "back", "side")], Door.walk, 1)
        with trio.move_on_after(2):
            await waiting.run()
        assert (len(waiting.replies), waiting.missing) == (2, (a.ref("side"),))
        await sim.sleep(0.2)
        await side.call(Door.turn, "open")
        assert (await side.call(Door.about))[1] == [], "what nobody waits for any more was withdrawn"

    run(main, network)


def test_tokens_that_are_thrown_away_leave_a_simulation_the_same_each_time() -> None:
    async def main(sim: Simulation) -> None:
        a, b = await on_two(sim)
        for hub in (a, b, a):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect, hub)
                await sim.sleep(0.1)
                await hub.ref("one", Friend).call(Friend.drop)
            await sim.sleep(0.1)

    async def expect(hub: hubkit.Hub) -> None:
        with pytest.raises(ActorCrashed):
            await hub.ref("one", Friend).call(Friend.take)

    assert Simulation.run(main, 3).trace_hash == Simulation.run(main, 3).trace_hash
