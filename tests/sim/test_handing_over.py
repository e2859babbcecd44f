"""Hostile actors, callers and nodes under moves and replication: one trouble each, at the worst moment."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from tests.sim.test_copies import Ledger

import hubkit
from hubkit.errors import ActorCrashed, HubClosed, NoSuchActor
from hubkit.events import ChildRestarted, DeadLetter, Event, MoveFailed, RoleChanged
from hubkit.strategies import (
    CentralizedLoadBalancer,
    ColdSwap,
    Guided,
    HotSwap,
    MajorityQuorum,
    Replication,
    StaticQuorum,
)
from hubkit.testing import Simulation, simulated

GATES: dict[str, trio.Event] = {}
NOTES: list[Any] = []

PAIR: dict[str, Any] = {"redundancy": Replication(2), "migration": HotSwap()}
HOT: dict[str, Any] = {"migration": HotSwap()}


class Stubborn(Ledger):
    """Does what it is told to, at the worst moment. What it is told stands in `ORDERS`, by what it is about to do."""

    async def at(self, moment: str) -> None:
        orders = ORDERS.get(moment, [])
        while orders:
            order = orders.pop(0)
            if isinstance(order, BaseException):
                raise order
            await order(self)

    async def on_start(self) -> None:
        await self.at("start")

    async def on_stop(self, reason: str) -> None:
        await self.at("stop")

    async def on_role(self, role: str) -> None:
        await self.at(role)
        self.roles.append(role)

    async def handover_state(self) -> Any:
        await self.at("give")
        return self.value

    async def accept_handover(self, state: Any) -> None:
        await self.at("accept")
        self.value = state

    async def slowly(self, seconds: float) -> int:
        await trio.sleep(seconds)
        return await self.add()

    async def crash(self) -> None:
        raise ValueError("as asked")

    async def hold(self, gate: str) -> int:
        await GATES[gate].wait()
        return await self.add()

    async def hold_and_keep(self, gate: str) -> int:
        await GATES[gate].wait()
        return int(await self.keep())

    async def itself(self) -> str:
        try:
            return str(await self.context.ref.call(Stubborn.add))
        except hubkit.errors.Deadlock as error:
            return type(error).__name__

    async def other(self, child: str) -> int:
        value: int = await self.context.hub.ref(child, Stubborn).call(Stubborn.slowly, 0.2)
        return value

    async def watch(self, child: str) -> None:
        self.context.monitor(self.context.hub.ref(child))

    async def on_info(self, message: object) -> None:
        NOTES.append((self.context.node, message))


ORDERS: dict[str, list[Any]] = {}


class No(hubkit.Reject):
    """A refusal."""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ORDERS.clear()
    GATES.clear()
    NOTES.clear()


def fresh() -> None:
    """A new simulation."""
    ORDERS.clear()
    GATES.clear()
    NOTES.clear()


async def cluster(sim: Simulation, names: str, **options: Any) -> dict[str, hubkit.Hub]:
    fresh()
    hubs = {name: await sim.start_hub("shop", node=name, **options) for name in names}
    await sim.settled(within=60)
    return hubs


async def child_at(hubs: dict[str, hubkit.Hub], node: str, start: Any = Stubborn, **options: Any) -> str:
    """A child whose active copy is on this node."""
    first = next(iter(hubs.values()))
    for number in range(100):
        id = f"c{number}"
        await first.start_child(hubkit.ChildSpec(id, start, **options))
        pid = first.pid(id)
        if pid is not None and pid.node == node:
            return id
        await first.stop_child(id)
    raise AssertionError(node)


def active(hub: hubkit.Hub, id: str) -> str:
    pid = hub._driver.running(id)
    return "" if pid is None else pid.node


async def until(sim: Simulation, condition: Any, within: float = 20.0) -> None:
    end = sim.now + within
    while not condition():
        assert sim.now < end, "not in time"
        await sim.sleep(0.005)


def pin(hub: hubkit.Hub, id: str, node: str) -> None:
    """Begin to move a child by hand."""
    driver = hub._driver
    driver.do(lambda now: driver.core.pin(id, (node,), now))


def frozen(hub: hubkit.Hub, id: str) -> bool:
    keeper = hub._driver.household.keepers.get(id)  # type: ignore[union-attr]  # the hub is open
    return keeper is not None and keeper.frozen is not None


# -- copies that stand by ------------------------------------------------------------------------------------------------


@simulated(seeds=1)
async def test_a_copy_that_rejects_a_state_begins_anew_and_handles_nothing(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    await hubs["a"].ref(id, Stubborn).call(Stubborn.keep)
    await hubs["a"].move(id, "b")  # what stands by now has been active
    await until(sim, lambda: active(hubs["a"], id) == "b")
    await sim.settled(within=20)
    ORDERS["accept"] = [No("not this")]
    with trio.fail_after(10):
        assert await hubs["a"].ref(id, Stubborn).call(Stubborn.keep) == 2
    cell = hubs["a"]._driver.household.keepers[id].cell  # type: ignore[union-attr]  # the hub is open
    assert cell is not None
    assert cell.stands_by
    sim.crash("b")
    await sim.settled(within=20)
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 2


@simulated(seeds=1)
async def test_a_copy_that_crashes_while_it_accepts_holds_nobody_up(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    id = await child_at(hubs, "a")
    failures: list[MoveFailed] = []
    hubs["a"].on(MoveFailed, failures.append)
    for _ in range(3):
        await hubs["b"].ref(id, Stubborn).call(Stubborn.add)

    async def die(actor: Stubborn) -> None:
        async def crash() -> None:
            raise ValueError("in the background")

        actor.context.nursery.start_soon(crash)
        await trio.sleep(1)

    ORDERS["accept"] = [die]
    began = sim.now
    with trio.fail_after(8):
        await hubs["a"].move(id, "b")
    assert sim.now - began < 3
    assert [failure.target for failure in failures] == ["b"]
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 3


@simulated(seeds=2)
async def test_a_copy_that_was_promoted_while_it_started_is_told(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    changes: list[str] = []
    hubs["b"].on(RoleChanged, lambda event: changes.append(event.role))

    async def wait(actor: Stubborn) -> None:
        await GATES["start"].wait()

    for moment in ("start", "passive"):
        changes.clear()
        GATES["start"] = trio.Event()
        copy = hubs["b"]._driver.household.keepers[id].cell  # type: ignore[union-attr]  # the hub is open
        assert copy is not None
        ORDERS[moment] = [wait]
        copy.cancel()  # it is started again on the spot, and waits
        await sim.sleep(0.1)
        sim.crash("a")
        await until(sim, lambda: active(hubs["b"], id) == "b" or sim.now < 0)
        await sim.sleep(1)
        GATES["start"].set()
        with trio.fail_after(5):
            found = await hubs["b"].ref(id, Stubborn).call(Stubborn.about)
        assert found[2] == "active"
        assert found[1][-1:] == ["active"]
        assert changes[-1] == "active"
        sim.restart("a")
        await sim.settled(within=20)
        await sim.hub("a").move(id, "a")
        await until(sim, lambda: active(hubs["b"], id) == "a")
        await sim.settled(within=20)


@simulated(seeds=1)
async def test_what_stood_in_line_for_a_copy_reaches_it_later(sim: Simulation) -> None:
    """A `Down` is about the copy that monitors: it does not go to another, and is not lost."""
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    other = next(f"o{n}" for n in range(100) if f"o{n}" != id)
    await hubs["a"].start_child(hubkit.child(other, Stubborn))
    await hubs["a"].ref(id, Stubborn).call(Stubborn.watch, other)
    await hubs["a"].move(id, "b")
    await until(sim, lambda: active(hubs["a"], id) == "b")
    await hubs["a"].stop_child(other)
    await sim.sleep(2)
    assert not NOTES
    await hubs["a"].move(id, "a")
    await until(sim, lambda: active(hubs["a"], id) == "a")
    await sim.sleep(1)
    assert [(node, type(note)) for node, note in NOTES] == [("a", hubkit.Down)]


# -- checkpoints -----------------------------------------------------------------------------------------------------------


@simulated(seeds=2)
async def test_a_checkpoint_is_held_though_a_move_begins_meanwhile(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    GATES["keep"] = trio.Event()
    told: list[int] = []
    sim.hold("a", "b")
    sim.release("a", "b")

    async def client() -> None:
        told.append(await hubs["a"].ref(id, Stubborn).call(Stubborn.hold_and_keep, "keep"))

    async def mover() -> None:
        with suppress(HubClosed):  # its process may crash before it has heard that all is done
            await hubs["a"].move(id, "b")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client)
        await sim.sleep(0.1)
        nursery.start_soon(mover)
        await until(sim, lambda: frozen(hubs["a"], id))
        sim.hold("a", "b")
        GATES["keep"].set()
        await sim.sleep(0.2)
        assert told == []  # nobody holds it yet
        sim.release("a", "b")
        with trio.fail_after(5):
            while not told:
                await sim.sleep(0.01)
        sim.crash("a")
        await sim.settled(within=20)
        assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == told[0]
        nursery.cancel_scope.cancel()


@simulated(seeds=1)
async def test_checkpoints_go_on_where_a_child_may_not_move(sim: Simulation) -> None:
    hot = PAIR | {"migration": HotSwap(veto=lambda child, source, target: source == "a")}
    hubs = await cluster(sim, "ab", **hot)
    id = await child_at(hubs, "a")
    pin(hubs["a"], id, "b")
    await sim.sleep(1)
    assert active(hubs["b"], id) == "a"
    with trio.fail_after(5):
        assert await hubs["b"].ref(id, Stubborn).call(Stubborn.keep) == 1
    sim.crash("a")
    await sim.settled(within=20)
    assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 1


@simulated(seeds=1)
async def test_an_idle_child_takes_no_checkpoints(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", redundancy=Replication(2, checkpoint=1.0))
    id = await child_at(hubs, "a", Counting)
    Counting.taken = 0
    await hubs["a"].ref(id, Counting).call(Counting.add)
    await sim.sleep(20)
    assert Counting.taken == 1


class Counting(Ledger):
    """Counts how often its state was taken."""

    taken = 0

    def handover_state(self) -> Any:
        Counting.taken += 1
        return self.value


@simulated(seeds=1)
async def test_a_checkpoint_before_the_state_is_back_overwrites_nothing(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    for _ in range(3):
        await hubs["a"].ref(id, Stubborn).call(Stubborn.keep)

    async def keep(actor: Stubborn) -> None:
        await actor.context.checkpoint()

    ORDERS["start"] = [keep]
    with pytest.raises(ActorCrashed):
        await hubs["a"].ref(id, Stubborn).call(Stubborn.crash)
    await sim.sleep(1)
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 3
    sim.crash("a")
    await sim.settled(within=20)
    assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 3


@simulated(seeds=3)
async def test_a_copy_stays_until_those_that_replace_it_have_its_state(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    for n in range(12):
        await hubs["a"].start_child(hubkit.child(f"c{n}", Stubborn))
        await hubs["a"].ref(f"c{n}", Stubborn).call(Stubborn.keep)

    sim.start_soon("shop", node="c", **PAIR)
    await until(
        sim,
        lambda: any(
            run.role == "passive"
            for runs in hubs["a"]._driver.core.runs.values()
            for node, run in runs.items()
            if node.startswith("c#")
        ),
    )
    sim.crash("a")
    await sim.settled(within=30)
    for n in range(12):
        assert (await hubs["b"].ref(f"c{n}", Stubborn).call(Stubborn.about))[0] == 1


# -- moves -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [HOT, {"migration": HotSwap(handover=False)}, PAIR], ids=["hot", "blank", "pair"])
@simulated(seeds=2)
async def test_a_full_mailbox_moves_with_all_who_wait_before_it(sim: Simulation, options: dict[str, Any]) -> None:
    hubs = await cluster(sim, "ab", **options)
    letters: list[Event] = []
    for hub in hubs.values():
        hub.on(DeadLetter, letters.append)
    id = await child_at(hubs, "a", mailbox=5)
    GATES["g"] = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hubs["a"].ref(id, Stubborn).call, Stubborn.hold, "g")
        await sim.sleep(0.1)
        for n in range(20):
            nursery.start_soon(hubs["ab"[n % 2]].ref(id, Stubborn).cast, Stubborn.add)
            nursery.start_soon(hubs["ab"[n % 2]].ref(id, Stubborn).call, Stubborn.add)
        await sim.sleep(0.1)
        nursery.start_soon(hubs["a"].move, id, "b")
        await sim.sleep(0.5)
        GATES["g"].set()
    await sim.settled(within=20)
    await sim.sleep(1)
    assert active(hubs["a"], id) == "b"
    assert letters == []
    blank = options == {"migration": HotSwap(handover=False)}
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == (40 if blank else 41)


@simulated(seeds=1)
async def test_a_crash_while_frozen_loses_nothing_that_was_acknowledged(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    id = await child_at(hubs, "a")
    failures: list[MoveFailed] = []
    hubs["a"].on(MoveFailed, failures.append)
    for _ in range(3):
        await hubs["a"].ref(id, Stubborn).call(Stubborn.add)

    async def crash_soon(actor: Stubborn) -> None:
        async def crash() -> None:
            await trio.sleep(0.5)
            raise ValueError("in the background")

        actor.context.nursery.start_soon(crash)

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(2)

    ORDERS["give"] = [crash_soon]
    ORDERS["accept"] = [wait]
    acknowledged = 0

    async def clients() -> None:
        nonlocal acknowledged
        for _ in range(40):
            acknowledged = max(acknowledged, await hubs["b"].ref(id, Stubborn).call(Stubborn.add))
            await sim.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients)
        await hubs["a"].move(id, "b")
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 43


@simulated(seeds=1)
async def test_a_target_that_dies_after_the_freeze_is_told_of(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    id = await child_at(hubs, "a")
    failures: list[MoveFailed] = []
    hubs["a"].on(MoveFailed, failures.append)
    await hubs["a"].ref(id, Stubborn).call(Stubborn.add)

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(4)

    ORDERS["accept"] = [wait]
    pin(hubs["a"], id, "b")
    await until(sim, lambda: frozen(hubs["a"], id))
    await sim.sleep(0.2)
    sim.crash("b")
    await until(sim, lambda: not frozen(hubs["a"], id))
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 1
    await sim.sleep(0.1)
    assert [failure.target for failure in failures] == ["b"]


@simulated(seeds=1)
async def test_a_drain_waits_for_the_answers_to_what_it_passed_on(sim: Simulation) -> None:
    hubs = await cluster(sim, "abc", **HOT)
    id = await child_at(hubs, "a")
    async with trio.open_nursery() as nursery:
        for n in range(30):
            nursery.start_soon(hubs["bc"[n % 2]].ref(id, Stubborn).call, Stubborn.slowly, 0.1)
        await sim.sleep(0.25)
        await sim.stop("a")
    assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 30


@simulated(seeds=1)
async def test_a_slow_end_of_the_old_copy_loses_no_cast(sim: Simulation) -> None:
    hubs = await cluster(sim, "abc", **HOT)
    letters: list[Event] = []
    for hub in hubs.values():
        hub.on(DeadLetter, letters.append)
    id = await child_at(hubs, "a")

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(2)

    ORDERS["stop"] = [wait]
    sent = 0

    async def clients() -> None:
        nonlocal sent
        for n in range(300):
            try:
                hubs["abc"[n % 3]].ref(id, Stubborn).cast_nowait(Stubborn.add)
                sent += 1
            except (NoSuchActor, trio.WouldBlock):
                pass
            await sim.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients)
        await hubs["a"].move(id, "b")
    await sim.sleep(1)
    assert letters == []
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == sent


@simulated(seeds=1)
async def test_a_caller_that_has_given_up_is_not_served_elsewhere(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    id = await child_at(hubs, "a")
    GATES["g"] = trio.Event()

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(1)

    ORDERS["stop"] = [wait]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hubs["a"].ref(id, Stubborn).call, Stubborn.hold, "g")
        await sim.sleep(0.1)
        nursery.start_soon(hubs["a"].move, id, "b")
        await until(sim, lambda: frozen(hubs["a"], id))
        async with trio.open_nursery() as impatient:
            for hub in hubs.values():
                impatient.start_soon(hub.ref(id, Stubborn).call, Stubborn.add)
            await sim.sleep(0.1)
            GATES["g"].set()
            await sim.sleep(0.5)  # they wait in the parcel
            impatient.cancel_scope.cancel()
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 1


@simulated(seeds=1)
async def test_actors_that_call_each_other_and_themselves_move_as_any(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    one = await child_at(hubs, "a")
    two = "other"
    await hubs["a"].start_child(hubkit.child(two, Stubborn))
    done = 0

    async def calls(name: str) -> None:
        nonlocal done
        for _ in range(20):
            assert await hubs[name].ref(one, Stubborn).call(Stubborn.itself) == "Deadlock"
            await hubs[name].ref(one, Stubborn).call(Stubborn.other, two)
            done += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls, "a")
        nursery.start_soon(calls, "b")
        for target in "baba":
            await sim.sleep(0.5)
            await hubs["a"].move(one, target)
            await hubs["b"].move(two, target)
    assert done == 40
    assert (await hubs["a"].ref(two, Stubborn).call(Stubborn.about))[0] == 40
    sim.check()


@simulated(seeds=2)
async def test_stops_and_updates_in_the_middle_of_a_move(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    for what in ("stop", "restart"):
        for moment in ("give", "accept", "stop"):
            id = await child_at(hubs, "a")
            GATES["m"] = reached = trio.Event()

            async def wait(actor: Stubborn, reached: trio.Event = reached) -> None:
                reached.set()
                await trio.sleep(1)

            ORDERS[moment] = [wait]
            pin(hubs["a"], id, "b")
            await reached.wait()
            with trio.fail_after(10):
                await hubs["b"].stop_child(id)
                if what == "restart":
                    await hubs["b"].start_child(hubkit.child(id, Stubborn))
                    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 0
                    await hubs["b"].stop_child(id)
            await sim.settled(within=20)
            ORDERS.clear()
            assert hubs["a"].children() == {}
            for hub in hubs.values():
                handovers = hub._driver.handovers
                assert handovers is not None
                assert not handovers._kept
                assert not handovers._parcels
    sim.check()


# -- kinds of children -----------------------------------------------------------------------------------------------------


SEEN: list[tuple[str, Any]] = []


@hubkit.actor
async def reader(context: hubkit.Context) -> None:
    """Notes what it reads, each for a moment."""
    async for message in context:
        SEEN.append((context.node, message))
        await trio.sleep(0.05)
        SEEN.append((context.node, message))


@pytest.mark.parametrize("options", [HOT, PAIR], ids=["hot", "pair"])
@simulated(seeds=2)
async def test_a_function_moves_with_what_it_has_not_read(sim: Simulation, options: dict[str, Any]) -> None:
    hubs = await cluster(sim, "ab", **options)
    SEEN.clear()
    id = await child_at(hubs, "a", reader)
    for n in range(40):
        await hubs["ab"[n % 2]].ref(id).send(n)
    await sim.sleep(0.3)
    await hubs["a"].move(id, "b")
    await sim.sleep(5)
    assert sorted(message for _, message in SEEN) == sorted([*range(40)] * 2)
    assert [one[1] for one in SEEN[::2]] == [one[1] for one in SEEN[1::2]]  # never two at a time
    assert {node for node, _ in SEEN} == {"a", "b"}
    await hubs["a"].move(id, "a")
    SEEN.clear()
    await hubs["b"].ref(id).send("back")
    await sim.sleep(1)
    assert SEEN == [("a", "back")] * 2
    sim.check()


@pytest.mark.parametrize("options", [HOT, PAIR, {"migration": ColdSwap()}], ids=["hot", "pair", "cold"])
@simulated(seeds=1)
async def test_a_supervisor_moves_as_any_child(sim: Simulation, options: dict[str, Any]) -> None:
    hubs = await cluster(sim, "ab", **options)
    await hubs["a"].start_child(hubkit.ChildSpec("team", hubkit.Supervisor))
    for target in "abab":
        with trio.fail_after(10):
            await hubs["a"].move("team", target)
        await sim.settled(within=10)
        assert active(hubs["b"], "team") == target
    sim.check()


# -- with other strategies -------------------------------------------------------------------------------------------------


@simulated(seeds=1)
async def test_a_move_by_hand_is_over_when_the_target_is_active(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    await hubs["a"].ref(id, Stubborn).call(Stubborn.add)
    for target in "baab":
        await hubs["a"].move(id, target)
        assert active(hubs["a"], id) == target
        assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 1


@simulated(seeds=2)
async def test_copies_outlive_a_lapse_of_the_quorum(sim: Simulation) -> None:
    for name in "abc":
        sim.start_soon("shop", node=name, partition_tolerance=StaticQuorum(2), **PAIR)
    await sim.settled(within=40)
    hubs = {name: sim.hub(name) for name in "abc"}
    with trio.fail_after(30):
        while not all(hub._driver.core.allowed for hub in hubs.values()):
            await sim.sleep(0.5)
    fresh()
    for n in range(6):
        await hubs["a"].start_child(hubkit.child(f"c{n}", Stubborn))
        for _ in range(n):
            await hubs["b"].ref(f"c{n}", Stubborn).call(Stubborn.keep)
    sim.partition({"a"}, {"b"}, {"c"})
    await sim.sleep(60)
    assert all(not hub._driver.core.allowed for hub in hubs.values())
    sim.heal()
    await sim.settled(within=90)
    with trio.fail_after(60):
        for n in range(6):
            assert (await hubs["a"].ref(f"c{n}", Stubborn).call(Stubborn.about))[0] == n
    assert sim.overlap == 0
    sim.check()


@simulated(seeds=1)
async def test_guided_children_are_replicated_where_they_were_put(sim: Simulation) -> None:
    hubs = await cluster(sim, "abc", distribution=Guided(), **PAIR)
    await hubs["a"].start_children([hubkit.child("c", Stubborn)], nodes=["c", "b"])
    assert [pid.node for pid in hubs["a"].pids("c")] == ["c", "b"]
    assert await hubs["a"].ref("c", Stubborn).call(Stubborn.keep) == 1
    sim.crash("c")
    await until(sim, lambda: active(hubs["a"], "c") == "b")
    assert (await hubs["a"].ref("c", Stubborn).call(Stubborn.about))[0] == 1


@simulated(seeds=1)
async def test_a_child_restarted_on_the_spot_goes_on_from_its_checkpoint(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    restarts: list[Event] = []
    hubs["a"].on(ChildRestarted, restarts.append)
    assert await hubs["a"].ref(id, Stubborn).call(Stubborn.keep) == 1
    await hubs["a"].ref(id, Stubborn).call(Stubborn.add)
    with pytest.raises(ActorCrashed):
        await hubs["b"].ref(id, Stubborn).call(Stubborn.crash)
    assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 1
    assert len(restarts) == 1
    assert active(hubs["a"], id) == "a"


class Doomed(Stubborn):
    """Cannot be started where it stands by, or crashes there."""

    where = ""

    async def on_start(self) -> None:
        if self.context.node == Doomed.where:
            raise ValueError("not here")


@pytest.mark.parametrize("options", [HOT, PAIR], ids=["hot", "pair"])
@simulated(seeds=1)
async def test_a_child_that_cannot_start_on_its_next_node_goes_on_where_it_is(
    sim: Simulation, options: dict[str, Any]
) -> None:
    Doomed.where = "b"
    hubs = await cluster(sim, "ab", **options)
    id = await child_at(hubs, "a", Doomed)
    await hubs["a"].ref(id, Doomed).call(Doomed.add)
    pin(hubs["a"], id, "b")
    await sim.sleep(10)
    assert active(hubs["b"], id) == "a"
    assert (await hubs["b"].ref(id, Doomed).call(Doomed.about))[0] == 1
    assert hubs["a"].explain(id).rule == "warming"
    Doomed.where = ""
    await sim.settled(within=120)
    assert active(hubs["b"], id) == "b"
    assert (await hubs["b"].ref(id, Doomed).call(Doomed.about))[0] == 1
    sim.check()


@simulated(seeds=2)
async def test_a_role_that_cannot_be_told_is_a_crash_and_the_child_goes_on(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **PAIR)
    id = await child_at(hubs, "a")
    assert await hubs["a"].ref(id, Stubborn).call(Stubborn.keep) == 1
    ORDERS["active"] = [ValueError("no"), No("nor now")]
    sim.crash("a")
    await sim.settled(within=20)
    with trio.fail_after(10):
        found = await hubs["b"].ref(id, Stubborn).call(Stubborn.about)
    assert (found[0], found[1][-1], found[2]) == (1, "active", "active")
    ORDERS["passive"] = [ValueError("no")]
    sim.restart("a")
    await sim.settled(within=20)
    with trio.fail_after(10):
        await sim.hub("a").move(id, "a")
        assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 1
        assert await hubs["b"].ref(id, Stubborn).call(Stubborn.keep) == 2
    sim.check()


@simulated(seeds=2)
async def test_a_target_that_drains_meanwhile_is_not_waited_for(sim: Simulation) -> None:
    hubs = await cluster(sim, "abc", **HOT)
    id = await child_at(hubs, "a")
    for _ in range(3):
        await hubs["a"].ref(id, Stubborn).call(Stubborn.add)

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(1)

    ORDERS["accept"] = [wait]
    pin(hubs["a"], id, "b")
    await until(sim, lambda: frozen(hubs["a"], id))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sim.stop, "b")
        with trio.fail_after(5):
            assert await hubs["c"].ref(id, Stubborn).call(Stubborn.add) == 4
    await sim.settled(within=20)
    assert (await hubs["c"].ref(id, Stubborn).call(Stubborn.about))[0] == 4
    sim.check()


@simulated(seeds=2)
async def test_calls_with_deadlines_end_in_time_across_a_move(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", **HOT)
    id = await child_at(hubs, "a")

    async def wait(actor: Stubborn) -> None:
        await trio.sleep(3)

    ORDERS["accept"] = [wait]
    pin(hubs["a"], id, "b")
    await until(sim, lambda: frozen(hubs["a"], id))
    for hub in hubs.values():
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.5):
            await hub.ref(id, Stubborn).call(Stubborn.add)
    await sim.settled(within=20)
    assert (await hubs["a"].ref(id, Stubborn).call(Stubborn.about))[0] == 0  # expired: never begun


@simulated(seeds=2)
async def test_a_monitor_of_a_child_that_moves_tells_once_and_of_one_that_stands_by_not_at_all(sim: Simulation) -> None:
    for options, downs in ((HOT, 1), (PAIR, 0)):
        hubs = {name: await sim.start_hub("h" + str(downs), node=name, **options) for name in "ab"}
        await sim.settled(within=20)
        fresh()
        id = await child_at(hubs, "a")
        await hubs["a"].start_child(hubkit.child("watcher", Stubborn))
        await hubs["a"].ref("watcher", Stubborn).call(Stubborn.watch, id)
        await hubs["a"].move(id, "b")
        await sim.sleep(2)
        assert [type(note) for _, note in NOTES] == [hubkit.Down] * downs


@simulated(seeds=2)
async def test_views_agree_about_copies(sim: Simulation) -> None:
    hubs = await cluster(sim, "abc", **PAIR)
    await hubs["a"].start_children([hubkit.child(f"c{n}", Stubborn) for n in range(9)], tag="t")
    await sim.settled(within=5)
    for hub in hubs.values():
        assert sorted(hub.tagged("t")) == sorted(hub.children())
        for id, info in hub.children().items():
            found = hub.lookup(id)
            assert found is not None
            assert found.pids == info.pids == hub.pids(id)
            assert hub.pid(id) == hub.pids(id)[0]
            assert len({pid.node for pid in info.pids}) == 2
            assert hub.explain(id).where == (hub.pids(id)[0].node,)
        local = hub.children("local")
        assert set(local) == {id for id in hub.children() if any(p.node == hub.node.name for p in hub.pids(id))}
    assert sum(hub.statistics().local_children for hub in hubs.values()) == 18
    moves = hubs["a"].plan(remove=["c"])
    assert {move.target for move in moves} <= {"a", "b"}
    assert all(move.source == "c" for move in moves)


@simulated(seeds=2)
async def test_a_crash_loop_parks_the_active_one_and_its_copy_stays(sim: Simulation) -> None:
    hubs = await cluster(sim, "ab", max_restarts=2, **PAIR)
    id = await child_at(hubs, "a")
    assert await hubs["a"].ref(id, Stubborn).call(Stubborn.keep) == 1
    for _ in range(3):
        with pytest.raises(ActorCrashed):
            await hubs["b"].ref(id, Stubborn).call(Stubborn.crash)
    await sim.sleep(0.1)
    await sim.settled(within=5)  # parked is settled
    with pytest.raises(NoSuchActor, match="parked"):
        await hubs["b"].ref(id, Stubborn).call(Stubborn.add)
    await sim.sleep(2)
    assert (await hubs["b"].ref(id, Stubborn).call(Stubborn.about))[0] == 1  # it was tried again


@pytest.mark.parametrize(
    "options",
    [
        PAIR | {"distribution": CentralizedLoadBalancer()},
        PAIR | {"partition_tolerance": StaticQuorum(2)},
        PAIR | {"partition_tolerance": MajorityQuorum(voters=("a", "b", "c"))},
        {"redundancy": Replication(3), "migration": ColdSwap()},
    ],
    ids=["balancer", "static", "majority", "three"],
)
@simulated(seeds=2)
async def test_checkpoints_outlive_joins_drains_and_deaths_under_other_strategies(
    sim: Simulation, options: dict[str, Any]
) -> None:
    fresh()
    for name in "abc":
        sim.start_soon("shop", node=name, **options)
    await sim.settled(within=60)
    a = sim.hub("a")
    with trio.fail_after(40):
        while not a._driver.core.allowed:
            await sim.sleep(0.5)
    await a.start_children([hubkit.child(f"c{n}", Stubborn) for n in range(8)])
    await sim.settled(within=60)
    for n in range(8):
        for _ in range(n):
            await a.ref(f"c{n}", Stubborn).call(Stubborn.keep)

    async def check() -> None:
        await sim.settled(within=120)
        for n in range(8):
            with trio.fail_after(60):
                assert (await a.ref(f"c{n}", Stubborn).call(Stubborn.about))[0] == n

    sim.start_soon("shop", node="d", **options)
    await check()
    await sim.stop("d")
    await check()
    sim.crash("b")
    await check()
    sim.restart("b")
    await check()
    assert sim.overlap == 0
    sim.check()


@simulated(seeds=2)
async def test_children_that_stay_apart_or_together_have_copies_as_any(sim: Simulation) -> None:
    hubs = await cluster(sim, "abcd", **PAIR)
    apart = {f"c{n}": hubkit.Placement(apart="one", slot=n) for n in range(2)}
    together = {f"t{n}": hubkit.Placement(together="two") for n in range(3)}
    await hubs["a"].start_children(
        [hubkit.child(id, Stubborn) for id in (*apart, *together)], placement=apart | together
    )
    await sim.settled(within=10)
    for id in (*apart, *together):
        assert await hubs["b"].ref(id, Stubborn).call(Stubborn.keep) == 1
    assert len({active(hubs["a"], id) for id in together}) == 1
    assert len({active(hubs["a"], id) for id in apart}) == 2
    victim = active(hubs["a"], "t0")
    sim.crash(victim)
    await sim.settled(within=20)
    other = next(hub for name, hub in hubs.items() if name != victim)
    for id in (*apart, *together):
        assert (await other.ref(id, Stubborn).call(Stubborn.about))[0] == 1
    sim.check()


@simulated(seeds=1)
async def test_hubs_of_one_node_do_not_mix_up_their_states(sim: Simulation) -> None:
    fresh()
    hubs = {(hub, node): await sim.start_hub(hub, node=node, **HOT) for hub in ("one", "two") for node in "ab"}
    await sim.settled(within=20)
    for number, hub in enumerate(("one", "two")):
        await hubs[hub, "a"].start_child(hubkit.child("c", Stubborn))
        for _ in range(number + 1):
            await hubs[hub, "b"].ref("c", Stubborn).call(Stubborn.add)
    for target in "baba":
        async with trio.open_nursery() as nursery:
            for hub in ("one", "two"):
                nursery.start_soon(hubs[hub, "a"].move, "c", target)
        for number, hub in enumerate(("one", "two")):
            assert (await hubs[hub, "b"].ref("c", Stubborn).call(Stubborn.about))[0] == number + 1
