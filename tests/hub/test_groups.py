"""Publishing to groups with slow members: who waits for whom, and what becomes of what finds no room."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import hubkit
from hubkit.errors import ConfigurationError, HubClosed, NotSerializable
from hubkit.events import DeadLetter, GroupChanged
from hubkit.testing import Probe, Simulation, simulated


class Slow(hubkit.Actor):
    """Takes as long as it is told to for each message, and publishes itself, if it is told to."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def on_start(self) -> None:
        self.context.hub.groups.join("g")

    async def on_info(self, message: Any) -> None:
        self.heard.append(message)

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def shout(self, message: Any) -> int:
        published: int = await self.context.hub.groups.publish("g", message)
        return published

    async def told(self) -> list[Any]:
        return self.heard


class Watcher(hubkit.Actor):
    """Is told of a group, when it has time."""

    def __init__(self) -> None:
        self.changes: list[GroupChanged] = []

    async def on_start(self) -> None:
        self.context.hub.groups.monitor("g")

    async def on_info(self, message: Any) -> None:
        self.changes.append(message)

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def told(self) -> list[tuple[int, int]]:
        return [(len(change.joined), len(change.left)) for change in self.changes]


async def stage(sim: Simulation, mailbox: int = 1) -> tuple[hubkit.Hub, hubkit.Hub, hubkit.Ref[Slow], list[DeadLetter]]:
    """The hub where a slow member runs, another one, the member, and the dead letters of both."""
    hubs = [await sim.start_hub("shop", node=name) for name in "ab"]
    letters: list[DeadLetter] = []
    for hub in hubs:
        hub.on(DeadLetter, letters.append)
    await hubs[0].start_child(hubkit.ChildSpec("slow", Slow, mailbox=mailbox, restart="temporary"))
    await sim.settled(within=5)
    await sim.sleep(1)
    pid = hubs[0].pid("slow")
    assert pid is not None
    here, there = sorted(hubs, key=lambda hub: hub.node.name != pid.node)
    return here, there, here.ref("slow", Slow), letters


async def fill(sim: Simulation, ref: hubkit.Ref[Slow], seconds: float) -> None:
    """Let it be busy for so long, its mailbox full."""
    await ref.cast(Slow.rest, seconds)
    await sim.sleep(0.1)
    await ref.send("before")


@pytest.mark.parametrize("local", [True, False])
@simulated(seeds=2)
async def test_who_awaits_waits_for_room_and_who_does_not_is_told(sim: Simulation, local: bool) -> None:
    here, there, ref, letters = await stage(sim)
    hub = here if local else there
    await fill(sim, ref, 10)
    began = sim.now
    assert hub.groups.publish_nowait("g", "at once") == 1
    assert await hub.groups.publish("g", "patient") == 1
    assert 9 < sim.now - began < 11
    await sim.sleep(1)
    assert await ref.call(Slow.told) == ["before", "patient"]
    assert [letter.message for letter in letters] == ["at once"]
    assert "is full (1 messages)" in letters[0].reason


@pytest.mark.parametrize("local", [True, False])
@simulated(seeds=2)
async def test_who_gives_up_leaves_nothing_behind(sim: Simulation, local: bool) -> None:
    here, there, ref, letters = await stage(sim)
    hub = here if local else there
    await fill(sim, ref, 10)
    with trio.move_on_after(2) as scope:
        await hub.groups.publish("g", "given up")
    assert scope.cancelled_caught
    await sim.sleep(15)
    assert await ref.call(Slow.told) == ["before"]
    assert letters == []


@pytest.mark.parametrize("local", [True, False])
@simulated(seeds=2)
async def test_a_member_that_ends_before_it_has_room_is_a_dead_letter(sim: Simulation, local: bool) -> None:
    here, there, ref, letters = await stage(sim)
    hub = here if local else there
    await fill(sim, ref, 100)
    taken: list[int] = []

    async def publish() -> None:
        taken.append(await hub.groups.publish("g", "late"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        await sim.sleep(1)
        await there.stop_child("slow")
    assert taken == [0]
    assert sorted(letter.message for letter in letters) == ["before", "late"]


@simulated(seeds=2)
async def test_a_member_that_waits_for_its_publisher_is_not_waited_for(sim: Simulation) -> None:
    here, _, ref, letters = await stage(sim)
    async with Probe(here) as probe:
        here.groups.join("g", probe.ref)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.call, Slow.rest, 1)
            await sim.sleep(0.1)
            nursery.start_soon(ref.call, Slow.shout, "hey")
            await sim.sleep(0.1)
            nursery.start_soon(ref.cast, Slow.rest, 1)
        assert await probe.expect(str) == "hey"
    assert [letter.message for letter in letters] == ["hey"]


@simulated(seeds=2)
async def test_a_link_that_breaks_ends_the_wait(sim: Simulation) -> None:
    _, there, ref, letters = await stage(sim)
    await fill(sim, ref, 100)
    taken: list[int] = []

    async def publish() -> None:
        taken.append(await there.groups.publish("g", "cut off"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        await sim.sleep(1)
        sim.partition({"a"}, {"b"})
    assert taken == [0]
    assert [letter.message for letter in letters] == ["cut off"]


@simulated(seeds=2)
async def test_the_end_of_the_hub_ends_the_wait(sim: Simulation) -> None:
    _, there, ref, _ = await stage(sim)
    await fill(sim, ref, 100)
    groups = there.groups
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises_closed, groups.publish, "g", "too late")
        await sim.sleep(1)
        sim.crash(there.node.name)
    with pytest.raises(HubClosed):
        groups.names()
    with pytest.raises(HubClosed):
        await groups.publish("g", 1)


async def raises_closed(work: Any, *args: Any) -> None:
    with pytest.raises(HubClosed):
        await work(*args)


@simulated(seeds=2)
async def test_who_has_no_room_is_told_the_difference_later(sim: Simulation) -> None:
    hub = await sim.start_hub("shop", node="a")
    ref = await hub.start_child(hubkit.ChildSpec("watcher", Watcher, mailbox=1))
    async with Probe(hub) as one, Probe(hub) as two:
        hub.groups.join("g", one.ref)
        await sim.sleep(1)
        await ref.cast(Watcher.rest, 10)
        await sim.sleep(0.1)
        await ref.cast(Watcher.rest, 0)
        for _ in range(5):
            hub.groups.leave("g", one.ref)
            hub.groups.join("g", two.ref)
            await sim.sleep(0.5)
            hub.groups.join("g", one.ref)
            hub.groups.leave("g", two.ref)
            await sim.sleep(0.5)
        hub.groups.leave("g", one.ref)
        hub.groups.join("g", two.ref)
        await sim.sleep(15)
        assert await ref.call(Watcher.told) == [(1, 0), (1, 1)]


async def test_on_one_node_over_no_network_groups_are_as_anywhere() -> None:
    with trio.fail_after(10):
        async with hubkit.Hub("shop") as hub, Probe(hub) as probe, hub.events(GroupChanged) as changes:
            hub.groups.join("topic", probe.ref)
            assert await anext(aiter(changes)) == GroupChanged("topic", (probe.ref.pid,), (), hub="shop")  # type: ignore[arg-type]  # it runs
            assert hub.groups.members("topic") == hub.groups.local_members("topic") == (probe.ref,)
            assert await hub.groups.publish("topic", 1) == 1
            assert await probe.expect(int) == 1
            with pytest.raises(NotSerializable):
                hub.groups.publish_nowait("topic", object())
            for wrong in ("", 7, "x" * 256):
                with pytest.raises(ConfigurationError):
                    hub.groups.join(wrong, probe.ref)  # type: ignore[arg-type]  # that is what is tested
            with pytest.raises(ConfigurationError):
                hub.groups.publish_sampled("topic", 1, every=0)
            with pytest.raises(ConfigurationError, match="which actor"):
                hub.groups.monitor("topic")
