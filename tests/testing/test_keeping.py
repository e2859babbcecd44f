"""`no_acked_message_lost`: it is silent where nothing is lost, and catches hubs that lose states."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import hubkit
from hubkit.cluster.rows import Ticket
from hubkit.errors import InvariantViolated
from hubkit.hub.handovers import Handovers
from hubkit.pids import Pid
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import Simulation, no_acked_message_lost
from hubkit.testing.keeping import Keeping
from hubkit.testing.ownership import Running


class Tally(hubkit.Actor):
    def __init__(self) -> None:
        self.value = 0

    async def keep(self) -> int:
        self.value += 1
        await self.context.checkpoint()
        return self.value

    def handover_state(self) -> Any:
        return self.value

    def accept_handover(self, state: Any) -> None:
        self.value = state


class Restless(Tally):
    """Changes by itself all the time, also while it stands by."""

    async def on_start(self) -> None:
        self.context.nursery.start_soon(self._grow)

    async def _grow(self) -> None:
        while True:
            await trio.sleep(0.0005)
            self.value += 1


async def rolling(sim: Simulation) -> None:
    a = await sim.start_hub("shop", node="a", migration=HotSwap())
    await a.start_children([hubkit.child(f"c{n}", Tally) for n in range(8)])
    await sim.start_hub("shop", node="b", migration=HotSwap())
    await sim.settled(within=20)


async def restless(sim: Simulation) -> None:
    a = await sim.start_hub("shop", node="a", migration=HotSwap())
    await a.start_children([hubkit.child(f"c{n}", Restless) for n in range(8)])
    await sim.start_hub("shop", node="b", migration=HotSwap())
    await sim.settled(within=20)


async def failover(sim: Simulation) -> None:
    hubs = {name: await sim.start_hub("shop", node=name, redundancy=Replication(3)) for name in "abc"}
    await hubs["a"].start_children([hubkit.child(f"c{n}", Tally) for n in range(8)])
    await sim.settled(within=20)
    for n in range(8):
        await hubs["a"].ref(f"c{n}", Tally).call(Tally.keep)
    sim.crash("b")
    await sim.settled(within=20)


CHECKERS = [no_acked_message_lost()]


@pytest.mark.parametrize("main", [rolling, failover])
def test_nothing_is_said_where_nothing_is_lost(main: Any) -> None:
    Simulation.run(main, 1, checkers=CHECKERS)


def test_a_state_that_changes_after_it_was_taken_is_noticed() -> None:
    with pytest.raises(InvariantViolated, match="its state is no longer the one that was handed over"):
        Simulation.run(restless, 1, checkers=CHECKERS)


def test_a_hub_that_forgets_what_its_copies_hold_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    promote = Handovers.promote

    def forgetful(self: Handovers, child: str, term: int, reason: str) -> None:
        self._household.keepers[child].held = None
        promote(self, child, term, reason)

    monkeypatch.setattr(Handovers, "promote", forgetful)
    with pytest.raises(InvariantViolated, match=r"begins on . .* from no state, and .* hold the later one"):
        Simulation.run(failover, 1, checkers=CHECKERS)


def test_a_verdict_is_about_all_that_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(sim: Simulation) -> None:
        await restless(sim)
        sim.check(no_acked_message_lost())

    with pytest.raises(InvariantViolated, match="no longer the one"):
        Simulation.run(main, 1)


# -- the books themselves ----------------------------------------------------------------------------------------------


def books(*alive: str) -> Keeping:
    return Keeping(lambda: 1.0, lambda name, incarnation, other: name in alive)


def run(node: str = "b") -> Running:
    return Running("shop", "c", node, Pid(node, 1, 1), 2, 0.0)


OLD, NEW = Ticket(1, 1, "a#1"), Ticket(1, 2, "a#1")


def test_a_later_state_is_as_good() -> None:
    keeping = books("a", "b")
    keeping.kept("shop", "c", OLD, (("a", 1), ("b", 1)))
    keeping.began(run(), OLD)
    keeping.began(run(), NEW)
    assert keeping.faults == []


def test_an_earlier_one_is_a_fault_while_a_holder_is_there() -> None:
    keeping = books("c")
    keeping.kept("shop", "c", NEW, (("a", 1), ("c", 1)))
    keeping.kept("shop", "c", OLD, (("a", 1),))  # an older promise takes nothing back
    keeping.began(run(), OLD)
    assert len(keeping.faults) == 1
    assert "c hold the later one (1, 2, 'a#1')" in keeping.faults[0]


def test_when_all_holders_are_gone_nothing_is_promised_any_more() -> None:
    keeping = books()
    keeping.kept("shop", "c", NEW, (("a", 1), ("c", 1)))
    keeping.began(run(), None)
    keeping.began(run("c"), None)
    assert keeping.faults == []


def test_of_a_child_that_was_stopped_nothing_is_promised() -> None:
    keeping = books("a")
    keeping.kept("shop", "c", NEW, (("a", 1),))
    keeping.removed("shop", "c")
    keeping.began(run(), None)
    assert keeping.faults == []
