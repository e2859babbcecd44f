"""Every message that cannot be delivered is told exactly once, by an exception or as a dead letter; none vanishes unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from tests.sim.stage import boot

import hubkit
from hubkit.errors import ActorCrashed, MailboxFull, NoSuchActor
from hubkit.events import DeadLetter, Event
from hubkit.testing import Simulation, simulated


class Sleeper(hubkit.Actor):
    """Sleeps in each message, and counts what it has begun."""

    def __init__(self) -> None:
        self.begun: list[Any] = []

    async def sleep(self, seconds: float) -> None:
        self.begun.append(seconds)
        await trio.sleep(seconds)

    async def fail(self) -> None:
        raise ValueError("as asked")

    async def on_info(self, message: Any) -> None:
        self.begun.append(message)


def listen(hubs: list[hubkit.Hub]) -> list[tuple[str, DeadLetter]]:
    """All dead letters of these hubs, with the nodes that tell them."""
    letters: list[tuple[str, DeadLetter]] = []

    def hear(node: str) -> Callable[[Event], None]:
        def handler(event: Any) -> None:
            letters.append((node, event))

        return handler

    for hub in hubs:
        hub.on(DeadLetter, hear(hub.node.name))
    return letters


async def stage(sim: Simulation, **options: Any) -> tuple[hubkit.Hub, hubkit.Hub, list[tuple[str, DeadLetter]]]:
    """The hub where the child ``s`` runs, another one, and the dead letters of both."""
    hubs = await boot(sim, "ab")
    await hubs[0].start_child(hubkit.ChildSpec("s", Sleeper, **options))
    await sim.settled(within=5)
    here, there = sorted(hubs, key=lambda hub: hub.node.name != hub.pid("s").node)  # type: ignore[union-attr]  # it runs
    return here, there, listen(hubs)


@simulated(seeds=2)
async def test_what_finds_no_room_elsewhere_is_told_there(sim: Simulation) -> None:
    here, there, letters = await stage(sim, mailbox=1)
    ref = there.ref("s", Sleeper)
    ref.cast_nowait(Sleeper.sleep, 100)
    await sim.sleep(1)
    for seconds in (1, 2, 3):
        ref.cast_nowait(Sleeper.sleep, seconds)
    await sim.sleep(1)
    with pytest.raises(MailboxFull):
        here.ref("s", Sleeper).cast_nowait(Sleeper.sleep, 5)
    assert [(node, letter.message) for node, letter in letters] == [
        (here.node.name, ("sleep", (2,))),
        (here.node.name, ("sleep", (3,))),
    ]
    assert all("is full" in letter.reason for _, letter in letters)
    assert (here.statistics().dead_letters, there.statistics().dead_letters) == (2, 0)


@simulated(seeds=2)
async def test_what_is_for_one_that_has_ended_is_told_once(sim: Simulation) -> None:
    here, there, letters = await stage(sim, restart="temporary")
    refs = [hub.ref("s", Sleeper) for hub in (here, there)]
    refs[0].cast_nowait(Sleeper.sleep, 1)
    refs[0].cast_nowait(Sleeper.fail)
    for number in range(3):
        refs[number % 2].send_nowait(number)
    pid = there.pid("s")
    assert pid is not None
    gone = there.node._system.ref(pid)
    await sim.sleep(3)
    gone.send_nowait("late")
    with pytest.raises(NoSuchActor):
        here.node._system.ref(pid).send_nowait("too late")
    await sim.sleep(1)
    assert sorted(str(letter.message) for _, letter in letters) == ["0", "1", "2", "late"]
    assert {node for node, _ in letters} == {here.node.name}


@simulated(seeds=2)
async def test_a_call_that_expires_before_it_begins_is_told_and_one_taken_back_is_not(sim: Simulation) -> None:
    here, there, letters = await stage(sim)
    for hub in (here, there):
        ref = hub.ref("s", Sleeper)
        ref.cast_nowait(Sleeper.sleep, 10)
        await sim.sleep(1)
        with trio.move_on_after(2):
            await ref.call(Sleeper.sleep, 0.1)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.call, Sleeper.sleep, 0.2)
                await sim.sleep(1)
                scope.cancel()
        with trio.move_on_after(20):  # this one begins, and only its reply is unheard
            await ref.call(Sleeper.sleep, 30)
        await sim.sleep(20)
    assert [(node, letter.message) for node, letter in letters] == [(here.node.name, ("sleep", (0.1,)))] * 2
    assert all(letter.reason == "the caller's deadline passed before it began" for _, letter in letters)
    cell = next(iter(here.node._system.cells.values()))
    assert cell.instance.begun == [10, 30, 10, 30]  # type: ignore[union-attr]  # it is a Sleeper


@simulated(seeds=3)
async def test_what_was_on_its_way_when_a_link_broke_is_told_by_who_sent_it(sim: Simulation) -> None:
    here, there, letters = await stage(sim)
    ref = there.ref("s", Sleeper)
    ref.send_nowait("before")
    await sim.sleep(3)  # a beat has passed: it is known to have come
    sim.hold(here.node.name, there.node.name)
    for number in range(5):
        ref.send_nowait(number)
    await sim.sleep(0.5)
    sim.break_links("a", "b")
    sim.release(here.node.name, there.node.name)
    await sim.sleep(10)
    ref.send_nowait("after")
    await sim.sleep(3)
    assert [(node, letter.message) for node, letter in letters] == [(there.node.name, number) for number in range(5)]
    assert all("it may not have come" in letter.reason for _, letter in letters)
    cell = next(iter(here.node._system.cells.values()))
    assert cell.instance.begun == ["before", "after"]  # type: ignore[union-attr]  # it is a Sleeper


@simulated(seeds=2)
async def test_what_goes_to_a_node_that_dies_is_told(sim: Simulation) -> None:
    here, there, letters = await stage(sim)
    ref = there.node._system.ref(here.pid("s"))  # type: ignore[arg-type]  # it runs
    sim.crash(here.node.name, silent=True)
    for number in range(3):
        ref.send_nowait(number)
    await sim.sleep(15)
    ref.send_nowait("much later")
    await sim.sleep(1)
    assert [letter.message for _, letter in letters] == [0, 1, 2, "much later"]
    assert letters[-1][1].reason == f"there is no link to node {here.node.name!r}"
    assert there.statistics().dead_letters == 4


@simulated(seeds=1)
async def test_a_crash_tells_what_still_waited_and_callers_are_told_themselves(sim: Simulation) -> None:
    here, there, letters = await stage(sim, restart="temporary")
    ref = there.ref("s", Sleeper)
    errors: list[Exception] = []

    async def call(method: Any, *args: Any) -> None:
        try:
            await ref.call(method, *args)
        except (ActorCrashed, NoSuchActor) as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        ref.cast_nowait(Sleeper.sleep, 1)
        nursery.start_soon(call, Sleeper.fail)
        await sim.sleep(0.1)
        nursery.start_soon(call, Sleeper.sleep, 1)
        await sim.sleep(0.1)
        ref.send_nowait("left")
    assert {type(error) for error in errors} == {ActorCrashed, NoSuchActor}
    assert [letter.message for _, letter in letters] == ["left"]
    assert "has ended (crash)" in letters[0][1].reason
    assert here.statistics().dead_letters == 1
