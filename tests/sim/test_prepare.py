"""``prepare`` alters a child on the node that is about to start it, whyever it starts there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.sim.actors import Counter
from tests.sim.test_copies import Ledger

import hubkit
from hubkit.errors import ConfigurationError, StartFailed
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import Simulation, simulated

Prepare = Callable[[hubkit.ChildSpec, Any], Any]


class Told(Ledger):
    """Says how it was made."""

    def __init__(self, where: str = "", number: int = 0) -> None:
        super().__init__()
        self.where, self.number = where, number

    async def made(self) -> tuple[str, int, Any, str]:
        return self.where, self.number, self.context.metadata, self.context.start_reason

    async def fail(self) -> None:
        raise ValueError("as asked")


class Preparer:
    """Writes the node, and how often it was asked there, into what a child is made with."""

    def __init__(self, node: str) -> None:
        self.node, self.asked = node, 0

    def __call__(self, spec: hubkit.ChildSpec, metadata: Any) -> tuple[hubkit.ChildSpec, Any]:
        self.asked += 1
        assert spec.args == ()  # what was altered before is not altered again
        assert metadata == {"zone": "eu"}
        metadata["at"] = self.node
        return hubkit.child(spec.id, Told, self.node, self.asked), metadata


async def boot(sim: Simulation, **options: Any) -> dict[str, hubkit.Hub]:
    hubs = {n: await sim.start_hub("shop", node=n, prepare=Preparer(n), **options) for n in "abc"}
    await hubs["a"].start_child(hubkit.child("x", Told), metadata={"zone": "eu"})
    await sim.settled(within=5)
    return hubs


async def made(hub: hubkit.Hub) -> tuple[str, int, Any, str]:
    return await hub.ref("x", Told).call(Told.made)


@simulated(seeds=2)
async def test_at_a_start_a_restart_a_move_and_a_failover(sim: Simulation) -> None:
    hubs = await boot(sim)
    first = hubs["a"].pids("x")[0].node
    assert await made(hubs["a"]) == (first, 1, {"zone": "eu", "at": first}, "start")
    await hubs["a"].ref("x", Told).cast(Told.fail)
    await sim.sleep(1)
    assert await made(hubs["a"]) == (first, 2, {"zone": "eu", "at": first}, "restart")
    info = hubs["a"].lookup("x")
    assert info is not None
    assert (info.spec.args, info.metadata) == ((), {"zone": "eu"})  # the wish is what it was
    target = next(node for node in hubs if node != first)
    await hubs[first].move("x", target)
    assert await made(hubs[first]) == (target, 1, {"zone": "eu", "at": target}, "migration")
    await sim.settled(within=5)
    sim.crash(target)
    await sim.settled(within=10)
    where, _, metadata, reason = await made(hubs[first])
    assert where == metadata["at"] == hubs[first].pids("x")[0].node != target
    assert reason == "failover"


@simulated(seeds=2)
async def test_of_a_copy_that_stands_by_too(sim: Simulation) -> None:
    hubs = await boot(sim, redundancy=Replication(2), migration=HotSwap())
    active, passive = hubs["a"].pids("x")
    sim.crash(active.node)
    await sim.settled(within=10)
    hub = next(hub for name, hub in hubs.items() if name != active.node)
    assert await made(hub) == (passive.node, 1, {"zone": "eu", "at": passive.node}, "failover")


async def _slowly(spec: hubkit.ChildSpec, metadata: Any) -> Any:
    raise LookupError("it was not to be")


def _raise(spec: hubkit.ChildSpec, metadata: Any) -> Any:
    raise LookupError("it was not to be")


@pytest.mark.parametrize("prepare", [_raise, _slowly])
@simulated(seeds=1)
async def test_what_it_raises_is_why_the_start_failed(sim: Simulation, prepare: Prepare) -> None:
    hubs = [await sim.start_hub("shop", node=node, prepare=prepare) for node in "ab"]
    for number in range(4):  # on either node
        with pytest.raises(StartFailed) as caught:
            await hubs[0].start_child(hubkit.child(f"c{number}", Counter))
        assert "it was not to be" in str(caught.value.__cause__)
    await sim.settled(within=5)
    assert not hubs[1].children()


@pytest.mark.parametrize(
    "answer",
    [None, (), "xy", (hubkit.child("other", Counter), None), (None, None)],
    ids=repr,
)
@simulated(seeds=1)
async def test_what_makes_no_sense_fails_the_start(sim: Simulation, answer: Any) -> None:
    hub = await sim.start_hub("shop", node="a", prepare=lambda spec, metadata: answer)
    with pytest.raises(StartFailed) as caught:
        await hub.start_child(hubkit.child("x", Counter))
    assert isinstance(caught.value.__cause__, ConfigurationError)


@simulated(seeds=2)
async def test_an_error_at_a_restart_parks_the_child_until_it_works_again(sim: Simulation) -> None:
    broken: list[bool] = []

    def prepare(spec: hubkit.ChildSpec, metadata: Any) -> Any:
        if broken:
            raise LookupError("not now")
        return spec, metadata

    hub = await sim.start_hub("shop", node="a", prepare=prepare, max_restarts=2)
    ref = await hub.start_child(hubkit.child("x", Counter))
    failed: list[str] = []
    hub.on(hubkit.events.ChildFailed, lambda event: failed.append(event.error))
    broken.append(True)
    await ref.cast(Counter.fail)
    await sim.sleep(3)
    assert set(failed) == {"LookupError: not now"}
    broken.clear()
    await sim.settled(within=70)
    await sim.sleep(70)
    assert await hub.ref("x", Counter).call(Counter.add) == 1
