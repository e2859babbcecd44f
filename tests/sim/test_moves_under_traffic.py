"""Children that are moved about at random, and nodes that die one at a time, under calls, casts and checkpoints."""

from __future__ import annotations

from typing import Any

import trio
from tests.sim.test_copies import Ledger

import hubkit
from hubkit.errors import ActorCrashed, HubClosed, HubkitError, NodeDown, NoSuchActor
from hubkit.events import DeadLetter, Event
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import Simulation, simulated

COUNT = 6


class Account(Ledger):
    """Also notes what it was told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int]] = []

    async def note(self, sender: str, number: int) -> None:
        self.told.append((sender, number))

    async def notes(self) -> list[tuple[str, int]]:
        return self.told

    def handover_state(self) -> Any:
        return [self.value, [list(each) for each in self.told]]

    def accept_handover(self, state: Any) -> None:
        self.value, told = state
        self.told = [tuple(each) for each in told]


@simulated(seeds=6)
async def test_nothing_is_lost_doubled_or_overtaken_while_children_are_moved_about(sim: Simulation) -> None:
    hubs = {name: await sim.start_hub("shop", node=name, migration=HotSwap()) for name in "abc"}
    await sim.settled(within=10)
    letters: list[Event] = []
    for hub in hubs.values():
        hub.on(DeadLetter, letters.append)
    await hubs["a"].start_children([hubkit.ChildSpec(f"c{n}", Account, mailbox=4) for n in range(COUNT)])
    await sim.settled(within=10)
    told = dict.fromkeys((f"c{n}" for n in range(COUNT)), 0)
    sent: dict[tuple[str, str], int] = {}
    over = False

    async def caller(name: str, turn: int) -> None:
        while not over:
            turn += 5
            await hubs[name].ref(f"c{turn % COUNT}", Account).call(Account.add)
            told[f"c{turn % COUNT}"] += 1
            await sim.sleep(0.003)

    async def caster(name: str, turn: int) -> None:
        while not over:
            turn += 5
            child = f"c{turn % COUNT}"
            number = sent[child, name] = sent.get((child, name), 0) + 1
            await hubs[name].ref(child, Account).cast(Account.note, name, number)
            await sim.sleep(0.003)

    async with trio.open_nursery() as nursery:
        for turn, name in enumerate("abcabc"):
            nursery.start_soon(caller, name, turn)
        for turn, name in enumerate("abc"):
            nursery.start_soon(caster, name, turn)
        for step in range(40):
            pins = "abc"[(step * 7 + step // 5) % 3]
            with trio.fail_after(5):
                await hubs["abc"[step % 3]].move(f"c{step % COUNT}", pins)
            await sim.sleep(0.01 * (step % 4))
        over = True
    await sim.settled(within=10)
    await sim.sleep(1)
    assert letters == []
    for child, value in told.items():
        ref = hubs["a"].ref(child, Account)
        assert (await ref.call(Account.about))[0] == value
        notes = await ref.call(Account.notes)
        for name in "abc":
            assert [number for sender, number in notes if sender == name] == [*range(1, sent.get((child, name), 0) + 1)]
    assert sim.overlap == 0
    sim.check()


@simulated(seeds=6)
async def test_no_checkpoint_is_lost_while_nodes_die_one_at_a_time(sim: Simulation) -> None:
    options: dict[str, Any] = {"redundancy": Replication(2), "migration": HotSwap()}
    for name in "abc":
        await sim.start_hub("shop", node=name, **options)
    await sim.hub("a").start_children([hubkit.child(f"c{n}", Ledger) for n in range(COUNT)])
    await sim.settled(within=10)
    kept = dict.fromkeys((f"c{n}" for n in range(COUNT)), 0)
    over = False

    async def client(turn: int) -> None:
        while not over:
            turn += 5
            child = f"c{turn % COUNT}"
            names = [name for name in "abc" if sim.alive(name)]
            try:
                with trio.move_on_after(20):
                    value = await sim.hub(names[turn % len(names)]).ref(child, Ledger).call(Ledger.keep)
                    assert value > 0
                    kept[child] = max(kept[child], value)
            except (NodeDown, HubClosed, ActorCrashed, NoSuchActor):
                pass  # it was on a node that died
            except HubkitError as error:
                raise AssertionError(error) from error
            await sim.sleep(0.02)

    async with trio.open_nursery() as nursery:
        for turn in range(4):
            nursery.start_soon(client, turn)
        for step in range(6):
            victim = "abc"[(step * 2) % 3]
            await sim.sleep(0.5 + 0.013 * step)
            sim.crash(victim)
            await sim.settled(within=20)
            seen = dict(kept)
            for child, value in seen.items():
                other = next(name for name in "abc" if sim.alive(name))
                assert (await sim.hub(other).ref(child, Ledger).call(Ledger.about))[0] >= value
            await sim.sleep(0.5)
            sim.restart(victim)
            await sim.settled(within=20)
        over = True
    assert min(kept.values()) > 5
    assert sim.overlap == 0
    sim.check()
