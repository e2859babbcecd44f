"""Groups over whole hubs: whatever happens, in the end all nodes see the same members, exactly the living ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.stage import boot
from tests.sim.story import SETTLED
from tests.sim.test_plans import examples, seeds, tame

import hubkit
from hubkit.errors import ConfigurationError, HubkitError, NoSuchActor
from hubkit.events import DeadLetter, GroupChanged
from hubkit.node.blocks import bare_nursery
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import FaultPlan, Simulation, simulated
from hubkit.testing.strategies import fault_plans

ROOM = "room"


class Guest(hubkit.Actor):
    """In the room from its start; notes what it hears there."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def on_start(self) -> None:
        self.context.hub.groups.join(ROOM, self.context.ref)

    async def on_info(self, message: Any) -> None:
        self.heard.append(message)

    async def go(self) -> None:
        self.context.hub.groups.leave(ROOM)

    async def come(self) -> None:
        self.context.hub.groups.join(ROOM)

    async def fail(self) -> None:
        raise ValueError("as asked")

    async def told(self) -> list[Any]:
        return self.heard


class Usher(Guest):
    """Knows who is in the room, from being told alone."""

    async def on_start(self) -> None:
        self.inside = {ref.pid for ref in self.context.hub.groups.monitor(ROOM)}

    async def on_info(self, message: Any) -> None:
        if isinstance(message, GroupChanged):
            assert not self.inside & set(message.joined), "told twice that it has come"
            assert self.inside >= set(message.left), "told that it went, not that it came"
            self.inside |= set(message.joined)
            self.inside -= set(message.left)

    async def whom(self) -> list[hubkit.Pid]:
        return sorted(pid for pid in self.inside if pid is not None)

    async def enough(self) -> None:
        self.context.hub.groups.demonitor(ROOM)


def guests(count: int) -> list[hubkit.ChildSpec]:
    return [hubkit.child(f"g{number}", Guest) for number in range(count)]


def living(sim: Simulation) -> list[hubkit.Pid]:
    """The guests that run on nodes that live, and have not left: the truth."""
    hubs = [sim.hub(node) for node in sim.nodes if sim.alive(node)]
    cells = [(hub, cell) for hub in hubs for cell in hub.node._system.cells.values()]
    mine = [(cell.pid, hub._driver.gathering.rosters.mine(ROOM)) for hub, cell in cells if cell.start is Guest]
    return sorted(pid for pid, serials in mine if pid.serial in serials)


def seen(hub: hubkit.Hub) -> list[hubkit.Pid]:
    return [ref.pid for ref in hub.groups.members(ROOM) if ref.pid is not None]


@dataclass
class Party:
    """Guests come, go, and fall while a plan is played; then all must see who is there."""

    guests: int
    clients: int
    believed: dict[str, set[hubkit.Pid]] = field(default_factory=dict)

    async def __call__(self, sim: Simulation) -> None:
        assert sim.plan is not None
        hubs = await boot(sim, sim.plan.founders)
        for hub in hubs:
            believed = self.believed[hub.node.name] = set()
            hub.on(GroupChanged, partial(self.hear, believed))
        await hubs[0].start_children(guests(self.guests))
        async with bare_nursery() as nursery:
            for _ in range(self.clients):
                nursery.start_soon(self.client, sim)
            await sim.play()
            nursery.cancel_scope.cancel()
        if not any(sim.alive(node) for node in sim.nodes):
            return
        await sim.settled(within=SETTLED)
        await sim.sleep(3.0)
        expected = living(sim)
        assert expected, "nobody is left in the room"
        for node in sim.nodes:
            if sim.alive(node):
                hub = sim.hub(node)
                assert seen(hub) == expected, f"as {node} sees it"
                kept, core = hub._driver.gathering.rosters, hub._driver.core
                assert kept.writers() <= core.nodes.keys(), f"{node} keeps what nodes said that are gone"
                if len(core.nodes) == len(core.alive):
                    assert kept.size() == len(expected), f"what {node} keeps"
                if hub in hubs:
                    assert sorted(self.believed[node]) == expected, f"as {node} was told"

    @staticmethod
    def hear(believed: set[hubkit.Pid], event: GroupChanged) -> None:
        assert not believed & set(event.joined)
        assert believed >= set(event.left)
        believed |= set(event.joined)
        believed -= set(event.left)

    async def client(self, sim: Simulation) -> None:
        while True:
            await sim.sleep(0.2 + sim.random.random())
            node = sim.random.choice(sim.nodes)
            child = f"g{sim.random.randrange(1, max(2, self.guests))}"  # g0 stays
            try:
                ref = sim.hub(node).ref(child)
                ref.cast_nowait(sim.random.choice(("go", "come", "fail")))
            except (HubkitError, ConfigurationError):
                continue


def run_party(plan: FaultPlan, seed: int, story: Party) -> None:
    logging.disable(logging.CRITICAL)  # crashes by the dozen
    try:
        Simulation.run(story, seed, plan=plan, limit=20_000.0)
    finally:
        logging.disable(logging.NOTSET)


@examples(20)
@given(
    plan=fault_plans(range(2, 6), 40.0, max_faults=8).map(tame),
    seed=seeds,
    story=st.builds(Party, guests=st.integers(1, 9), clients=st.integers(0, 3)),
)
def test_after_any_plan_all_see_the_living_members(plan: FaultPlan, seed: int, story: Party) -> None:
    run_party(plan, seed, story)


@simulated(seeds=2)
async def test_a_member_that_crashes_is_out_and_its_next_life_in_again(sim: Simulation) -> None:
    a, b, _ = await boot(sim, "abc")
    await a.start_children(guests(1))
    await sim.sleep(1)
    before = seen(b)
    assert before == living(sim)
    a.ref("g0").cast_nowait("fail")
    await sim.sleep(1)
    assert len(seen(b)) == 1
    assert seen(b) != before
    assert seen(b) == living(sim)


@simulated(seeds=2)
async def test_a_partition_hides_members_and_its_end_shows_them(sim: Simulation) -> None:
    a, b, c = await boot(sim, "abc")
    await a.start_children(guests(6))
    await sim.sleep(1)
    assert seen(a) == seen(b) == seen(c) == living(sim)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(30)
    assert {pid.node for pid in seen(a)} == {"a"}
    assert {pid.node for pid in seen(b)} == {"b", "c"}
    sim.heal()
    await sim.settled(within=30)
    await sim.sleep(2)
    assert seen(a) == seen(b) == seen(c) == living(sim)


@simulated(seeds=2)
async def test_who_monitors_a_group_is_told_all_of_it_once(sim: Simulation) -> None:
    a, b, _ = await boot(sim, "abc")
    await a.start_children(guests(4))
    usher = await b.start_child(hubkit.child("usher", Usher))
    await sim.sleep(1)
    assert await usher.call(Usher.whom) == living(sim)
    victim = next(node for node in "abc" if node != usher.pid.node)  # type: ignore[union-attr]  # it runs
    sim.crash(victim)
    await sim.settled(within=20)
    await sim.sleep(1)
    other = sim.hub(usher.pid.node)  # type: ignore[union-attr]  # it runs
    assert await usher.call(Usher.whom) == living(sim) == seen(other)
    await usher.call(Usher.enough)
    before = await usher.call(Usher.whom)
    await other.stop_child("g0")
    await sim.sleep(1)
    assert await usher.call(Usher.whom) == before


@simulated(seeds=2)
async def test_what_is_published_reaches_every_member_once(sim: Simulation) -> None:
    a, b, c = await boot(sim, "abc")
    await a.start_children(guests(9))
    await sim.sleep(1)
    assert {pid.node for pid in seen(a)} == {"a", "b", "c"}
    assert await b.groups.publish(ROOM, "one") == 9
    assert c.groups.publish_nowait(ROOM, ["two"]) == 9
    await sim.sleep(1)
    for number in range(9):
        assert await a.ref(f"g{number}").call("told") == ["one", ["two"]]
    assert await a.groups.publish("nobody", 1) == 0


@simulated(seeds=2)
async def test_what_a_node_that_is_cut_off_does_not_get_is_a_dead_letter(sim: Simulation) -> None:
    letters: list[DeadLetter] = []
    a, *_ = await boot(sim, "abc")
    a.on(DeadLetter, letters.append)
    await a.start_children(guests(9))
    await sim.sleep(1)
    remote = {pid.node for pid in seen(a)} - {"a"}
    assert remote == {"b", "c"}
    sim.partition({"a"}, {"b", "c"})
    here = sum(pid.node == "a" for pid in seen(a))
    assert await a.groups.publish(ROOM, "lost") == here
    await sim.sleep(1)
    assert sorted(letter.target for letter in letters) == [f"the members of group 'room' on node '{n}'" for n in "bc"]
    assert all("may have been handled" in letter.reason for letter in letters)
    assert a.statistics().dead_letters == 2


@simulated(seeds=2)
async def test_of_sampled_values_the_first_and_the_latest_arrive(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await a.start_children(guests(2))
    await sim.sleep(1)
    for value in range(25):
        b.groups.publish_sampled(ROOM, value, every=1.0)
        await sim.sleep(0.1)
    await sim.sleep(3)
    b.groups.publish_sampled(ROOM, "later", every=1.0)
    await sim.sleep(1)
    for child in ("g0", "g1"):
        heard = await a.ref(child).call("told")
        assert heard[0] == 0
        assert heard[-2:] == [24, "later"]
        assert len(heard) == 5
    letters: list[DeadLetter] = []
    b.on(DeadLetter, letters.append)
    for text in ("at once", "replaced", "never"):
        b.groups.publish_sampled("rare", text, every=60.0)
    await sim.stop("b")
    assert [(letter.target, letter.message) for letter in letters] == [("group 'rare'", "never")]


@simulated(seeds=2)
async def test_of_copies_only_the_active_one_gets_what_is_published(sim: Simulation) -> None:
    a, b = await boot(sim, "ab", redundancy=Replication(factor=2, model="active_passive"), migration=HotSwap())
    await a.start_children([hubkit.ChildSpec("g0", Guest, mailbox=2)])
    await sim.settled(within=5)
    await sim.sleep(1)
    assert len(seen(a)) == 2
    for number in range(10):
        assert await b.groups.publish(ROOM, number) == 1
    assert await a.ref("g0").call("told") == list(range(10))


@simulated(seeds=2)
async def test_while_a_member_moves_each_message_is_for_one_of_its_lives(sim: Simulation) -> None:
    a, b = await boot(sim, "ab", migration=HotSwap())
    await a.start_children([hubkit.child("g0", Guest)])
    await sim.sleep(1)
    source = a.pid("g0")
    assert source is not None
    old = next(cell for cell in sim.hub(source.node).node._system.cells.values() if cell.start is Guest).instance
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.move, "g0", "b" if source.node == "a" else "a")
        for number in range(200):
            b.groups.publish_nowait(ROOM, number)
            await sim.sleep(0.01)
    new = await a.ref("g0").call("told")
    heard = [*old.heard, *new]  # type: ignore[union-attr]  # it is a Guest
    assert len(new) > 50
    assert len(heard) == len(set(heard)), "heard twice"
    assert len(heard) > 190


@simulated(seeds=1)
async def test_an_actor_joins_on_its_own_node_only(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await a.start_children(guests(4))
    await sim.sleep(1)
    elsewhere = next(ref for ref in a.groups.members(ROOM) if ref.pid is not None and ref.pid.node == "b")
    with pytest.raises(ConfigurationError, match="on its own node"):
        a.groups.join("other", elsewhere)
    b.groups.join("other", elsewhere)
    await sim.sleep(1)
    assert [ref.pid for ref in a.groups.members("other")] == [elsewhere.pid]
    assert a.groups.names() == b.groups.names() == ("other", ROOM)
    b.groups.leave("other", elsewhere)
    b.groups.leave("other", elsewhere)
    await sim.sleep(1)
    assert a.groups.names() == (ROOM,)
    with pytest.raises(ConfigurationError, match="which actor"):
        a.groups.join(ROOM)
    with pytest.raises(ConfigurationError, match="not as"):
        a.groups.join(ROOM, "g0")  # type: ignore[arg-type]  # that is what is tested
    gone = b.groups.local_members(ROOM)[0]
    await b.stop_children([f"g{number}" for number in range(4)])
    with pytest.raises(NoSuchActor):
        b.groups.join("other", gone)
    await sim.sleep(1)
    assert a.groups.names() == ()
