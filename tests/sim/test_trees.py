"""Looking into hubs on other nodes: their trees, and their actors' states; and keeping those still."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.sim.stage import boot

import hubkit
from hubkit import debug
from hubkit.errors import ConfigurationError, HubkitError, NodeDown
from hubkit.strategies import HotSwap
from hubkit.testing import Simulation, simulated


class Keeper(hubkit.Actor):
    """Holds what can travel, and what cannot."""

    def __init__(self) -> None:
        self.value = 1
        self.lock = trio.Lock()
        self.broken = Broken()

    async def add(self) -> int:
        self.value += 1
        return self.value

    def handover_state(self) -> Any:
        return self.value

    def accept_handover(self, state: Any) -> None:
        self.value = state


class Broken:
    def __repr__(self) -> str:
        raise ValueError


class Boss(hubkit.Supervisor):
    """A supervisor that is a child of a hub."""

    def __init__(self) -> None:
        super().__init__([hubkit.child("leaf", Keeper)])


@simulated(seeds=2)
async def test_the_tree_of_any_node_is_that_of_the_node_itself(sim: Simulation) -> None:
    a, *_ = await boot(sim, "abc")
    specs = [hubkit.child(f"k{n}", Keeper) for n in range(6)]
    await a.start_children([*specs, hubkit.child("boss", Boss)])
    await sim.settled(within=5)
    seen: list[str] = []
    for node in "abc":
        tree = await a.tree(node)
        assert tree == await sim.hub(node).tree()
        assert (tree.id, tree.actor, tree.state) == ("shop", "hubkit:Hub", "running")
        assert all(child.pid is not None and child.pid.node == node for child in tree.children)
        seen += [child.id for child in tree.children]
        for child in tree.children:
            assert [leaf.id for leaf in child.children] == (["leaf"] if child.id == "boss" else [])
    assert sorted(seen) == sorted(["boss", *(spec.id for spec in specs)])
    with pytest.raises(ConfigurationError, match="has no node 'z'"):
        await a.tree("z")
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(10)
    with pytest.raises(NodeDown):
        await a.tree("b")


@simulated(seeds=2)
async def test_the_state_of_a_child_elsewhere_shows_what_can_travel(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await a.start_children([hubkit.child("k", Keeper)])
    await sim.settled(within=5)
    pid = a.pid("k")
    assert pid is not None
    here, there = (a, b) if pid.node == "a" else (b, a)
    near, far = await debug.state(here.ref("k")), await debug.state(there.ref("k"))
    assert isinstance(near["lock"], trio.Lock)
    assert far["value"] == near["value"] == 1
    assert "Lock" in far["lock"]
    assert " at 0x" in repr(near["lock"])
    assert " at 0x" not in far["lock"]  # it means nothing here, and would be another one in each run
    assert far["broken"] == "(its repr raised ValueError)"
    assert await debug.status(there.ref("k")) == await debug.status(here.ref("k"))
    with pytest.raises(HubkitError):
        await there.ref("k").call("sys:dance")


@simulated(seeds=2)
async def test_a_child_suspended_from_elsewhere_can_still_be_moved(sim: Simulation) -> None:
    a, b = await boot(sim, "ab", migration=HotSwap())
    await a.start_children([hubkit.child("k", Keeper)])
    await sim.settled(within=5)
    pid = a.pid("k")
    assert pid is not None
    here, there = (a, b) if pid.node == "a" else (b, a)
    await debug.suspend(there.ref("k"))
    there.ref("k").cast_nowait(Keeper.add)
    await sim.sleep(1)
    [child] = (await there.tree(here.node.name)).children
    assert (child.state, child.mailbox) == ("suspended", 1)
    await there.move("k", there.node.name)
    assert (await debug.status(here.ref("k"))).state == "running"
    assert await here.ref("k").call(Keeper.add) == 3
