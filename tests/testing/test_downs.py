"""`down_exactly_once`, and the bookkeeping behind it: monitors that end as promised pass, all others are caught."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.hub.actors import Counter

import hubkit
from hubkit.actors import Down, Monitor
from hubkit.actors.cell import Cell, OnDown
from hubkit.actors.system import System
from hubkit.errors import ActorCrashed, InvariantViolated
from hubkit.node.exchange import Exchange
from hubkit.pids import Pid
from hubkit.testing.checkers import down_exactly_once
from hubkit.testing.monitors import Monitors
from hubkit.testing.simulation import Simulation

WATCHED = [f"c{i}" for i in range(12)]


class Observer(hubkit.Actor):
    """Watches children, and counts what it hears."""

    def __init__(self) -> None:
        self.monitors: dict[int, Monitor] = {}
        self.heard: list[str] = []

    async def watch(self, *ids: str) -> list[int]:
        hub = self.context.hub
        assert hub is not None
        made = [self.context.monitor(hub.ref(id)) for id in ids]
        self.monitors |= {monitor.number: monitor for monitor in made}
        return [monitor.number for monitor in made]

    async def forget(self, number: int) -> None:
        self.context.demonitor(self.monitors.pop(number))

    async def reasons(self) -> list[str]:
        return self.heard

    async def on_info(self, message: Any) -> None:
        if isinstance(message, Down):
            self.heard.append(message.reason)


async def observed(sim: Simulation) -> hubkit.Hub:
    """Three nodes; on each an observer that watches all children."""
    first, *_ = [await sim.start_hub("h", node=name) for name in "abc"]
    await first.start_children([hubkit.child(id, Counter) for id in WATCHED])
    for name in "abc":
        await first.start_child(hubkit.child(f"on {name}", Observer))
        await first.move(f"on {name}", name)
    await sim.settled(within=30)
    for name in "abc":
        await observe(first, name)
    return first


async def observe(hub: hubkit.Hub, name: str, *ids: str) -> list[int]:
    numbers: list[int] = await hub.ref(f"on {name}", Observer).call(Observer.watch, *(ids or WATCHED))
    return numbers


def at(hub: hubkit.Hub, node: str) -> list[str]:
    """The children that run on this node."""
    return [id for id in WATCHED if (pid := hub.pid(id)) is not None and pid.node == node]


# -- healthy hubs -------------------------------------------------------------------------------------------------------


async def ended(sim: Simulation) -> None:
    hub = await observed(sim)
    await hub.stop_children(WATCHED[:4])
    for id in WATCHED[4:8]:
        with pytest.raises(ActorCrashed):
            await hub.ref(id).call("fail")
    await hub.move(WATCHED[9], "a")
    numbers = await observe(hub, "b", *WATCHED[6:])
    for number in numbers:
        await hub.ref("on b", Observer).call(Observer.forget, number)
    await hub.stop_child("on c")
    await sim.sleep(40)
    reasons = await hub.ref("on a", Observer).call(Observer.reasons)
    assert {"removed", "crash"} <= set(reasons)
    assert 8 <= len(reasons) <= 9


async def lost(sim: Simulation) -> None:
    hub = await observed(sim)
    sim.crash("b", silent=True)
    assert "node_down" not in await hub.ref("on a", Observer).call(Observer.reasons)
    await sim.sleep(40)
    assert "node_down" in await hub.ref("on a", Observer).call(Observer.reasons)
    sim.restart("b")
    await sim.settled(within=60)
    await observe(hub, "a")
    sim.restart("c")
    await sim.sleep(40)


async def cut_off(sim: Simulation) -> None:
    hub = await observed(sim)
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(40)
    sim.heal()
    await sim.settled(within=60)
    await observe(hub, "a")
    sim.partition({"a"}, {"b"})  # they see each other over c: nobody is down, but no Down passes
    with pytest.raises(ActorCrashed):
        await sim.hub("b").ref(at(hub, "b")[0]).call("fail")
    await sim.sleep(40)
    sim.heal()
    await sim.sleep(40)


async def asleep(sim: Simulation) -> None:
    await observed(sim)
    sim.pause("b")
    await sim.sleep(40)
    sim.resume("b")
    await sim.sleep(40)


@pytest.mark.parametrize("main", [ended, lost, cut_off, asleep])
@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_hubs_pass(main: Callable[[Simulation], Awaitable[None]], seed: int) -> None:
    async def checked(sim: Simulation) -> None:
        await main(sim)
        sim.check(down_exactly_once())

    Simulation.run(checked, seed, checkers=[down_exactly_once()])


# -- broken ones --------------------------------------------------------------------------------------------------------


def caught(main: Callable[[Simulation], Awaitable[object]]) -> str:
    with pytest.raises(InvariantViolated) as violated:
        Simulation.run(main, 1, checkers=[down_exactly_once()])
    return str(violated.value)


def twice(down: Callable[..., None]) -> Callable[..., None]:
    def broken(self: System, number: int, pid: Pid | None, reason: str, error: BaseException | None = None) -> None:
        held = self._monitors.get(number)
        down(self, number, pid, reason, error)
        if held is not None:
            self._monitors[number] = held
            down(self, number, pid, reason)

    return broken


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_second_down_is_caught_at_once(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(System, "down", twice(System.down))

    async def main(sim: Simulation) -> None:
        hub = await observed(sim)
        await hub.stop_child(at(hub, where)[0])
        await sim.sleep(2)
        raise AssertionError("this comes too late")

    text = caught(main)
    assert "got a Down (removed) of its monitor" in text
    assert "which was over: it had got one (removed) at" in text


def test_a_down_after_demonitor_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    demonitor = System.demonitor

    def broken(self: System, cell: Cell, number: int) -> bool:
        held = self._monitors[number]
        done = demonitor(self, cell, number)
        self._monitors[number] = held
        assert held[1].pid is not None
        self.down(number, held[1].pid, "late")
        return done

    monkeypatch.setattr(System, "demonitor", broken)

    async def main(sim: Simulation) -> None:
        hub = await observed(sim)
        await hub.ref("on a", Observer).call(Observer.forget, 1)
        await sim.sleep(2)

    assert "which was over: demonitored" in caught(main)


def test_a_down_of_an_actor_that_lives_is_caught_unless_its_node_is_said_to_be_down() -> None:
    async def main(sim: Simulation, reason: str) -> None:
        hub = await observed(sim)
        target = hub.node._system._monitors[1][1].pid
        hub.node._system.down(1, target, reason)
        await sim.sleep(2)

    Simulation.run(lambda sim: main(sim, "node_down"), 1, checkers=[down_exactly_once()])
    assert "which has not ended" in caught(lambda sim: main(sim, "crash"))


def test_a_missing_down_of_the_same_process_is_caught_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    add = System.add_remote_watch

    def broken(self: System, serial: int, token: object, on_down: OnDown) -> None:
        if not isinstance(token, int):
            add(self, serial, token, on_down)

    monkeypatch.setattr(System, "add_remote_watch", broken)

    async def main(sim: Simulation) -> None:
        hub = await observed(sim)
        await sim.hub("b").stop_child(at(hub, "b")[0])
        await sim.sleep(2)
        raise AssertionError("this comes too late")

    text = caught(main)
    assert "there has been no Down for monitor" in text
    assert "it has ended in the same process" in text


def nothing(*_: object) -> None:
    return None


def test_a_missing_down_of_another_process_is_caught() -> None:
    async def main(sim: Simulation) -> None:
        hub = await observed(sim)
        sim.hub("a").node._exchange._takers[7] = nothing
        await hub.stop_child(at(hub, "b")[0])
        await sim.sleep(40)

    text = caught(main)
    assert "there has been no Down for monitor" in text
    assert "of <a#" in text
    assert "on <b#" in text
    assert ": it ended, and all of a, b, c take all to be settled at" in text


@pytest.mark.parametrize("silent", [True, False])
def test_a_missing_down_of_a_dead_process_is_caught(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "look", lambda self: self._notice())

    async def main(sim: Simulation) -> None:
        await observed(sim)
        sim.crash("b", silent=silent)
        await sim.sleep(40)

    text = caught(main)
    assert "on <b#" in text
    assert ": it ended, and all of a, c take all to be settled at" in text


@pytest.mark.parametrize("way", ["partition", "pause"])
def test_a_missing_down_of_a_node_that_is_cut_off_is_caught(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exchange, "look", lambda self: self._notice())

    async def main(sim: Simulation) -> None:
        await observed(sim)
        if way == "partition":
            sim.partition({"b"}, {"a", "c"})
        else:
            sim.pause("b")
        await sim.sleep(40)

    assert "its node is cut off, and all of" in caught(main)


# -- the bookkeeping ------------------------------------------------------------------------------------------------------

A, B, OLD = Pid("a", 1, 1), Pid("b", 1, 1), Pid("b", 0, 1)


class Book:
    """Two systems without actors, and what is noted of them."""

    def __init__(self) -> None:
        self.time = 5.0
        self.monitors = Monitors(lambda: self.time)
        self.systems = [System("a", 1), System("b", 1)]
        for system in self.systems:
            self.monitors.attach(system)

    @property
    def open(self) -> list[tuple[int, float | None]]:
        return [(watched.number, watched.lost) for watched in self.monitors.open()]


def test_what_is_watched_is_open_until_its_down() -> None:
    book = Book()
    book.monitors.monitored(A, Monitor(1, B))
    assert book.open == [(1, None)]
    book.monitors.ended(B)
    assert book.open == [(1, 5.0)]
    assert str(next(book.monitors.open())) == "monitor 1 of <a#1.1> on <b#1.1>, made at 5.000 s"
    book.monitors.down(A, Monitor(1, B), "crash")
    assert book.open == []
    assert book.monitors.faults == []


def test_what_has_ended_before_is_lost_from_the_beginning() -> None:
    book = Book()
    book.monitors.ended(B)
    for number, target in enumerate([B, OLD, None, Pid("nobody", 1, 1)]):
        book.monitors.monitored(A, Monitor(number, target))
    assert book.open == [(0, 5.0), (1, 5.0), (2, 5.0), (3, 5.0)]


def test_who_has_ended_waits_for_nothing() -> None:
    book = Book()
    book.monitors.monitored(A, Monitor(1, B))
    book.monitors.ended(A)
    book.monitors.demonitored(A, Monitor(1, B))
    book.monitors.monitored(A, Monitor(2, B))
    book.monitors.down(A, Monitor(1, B), "crash")
    assert book.open == []
    assert book.monitors.faults == []


def test_with_a_process_all_its_actors_end() -> None:
    book = Book()
    book.monitors.monitored(A, Monitor(1, B))
    book.monitors.monitored(B, Monitor(1, A))
    book.time = 7.0
    book.monitors.crashed("b")
    book.monitors.ended(B)
    assert book.open == [(1, 7.0)]
    assert not book.monitors.has_process(B)
    book.monitors.attach(System("b", 2))
    assert book.monitors.has_process(Pid("b", 2, 9))
    assert not book.monitors.lives(B)


def test_to_attach_again_changes_nothing() -> None:
    book = Book()
    book.monitors.ended(B)
    book.monitors.attach(book.systems[1])
    assert not book.monitors.lives(B)
    assert book.monitors.lives(Pid("b", 1, 2))


def test_the_second_end_of_a_monitor_is_noted() -> None:
    book = Book()
    book.monitors.monitored(A, Monitor(1, B))
    book.monitors.demonitored(A, Monitor(1, B))
    book.monitors.demonitored(A, Monitor(1, B))
    book.monitors.down(A, Monitor(1, B), "crash")
    book.monitors.down(A, Monitor(7, B), "of a monitor made before anybody looked")
    assert len(book.monitors.faults) == 1
    assert "over: demonitored" in book.monitors.faults[0]
