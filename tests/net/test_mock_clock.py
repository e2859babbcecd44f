"""Ordinary hubs on a `SimulatedNetwork`, under a clock of trio's that jumps: whatever they measure is in virtual time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

import hubkit
from hubkit.environment import EPOCH, Environment
from hubkit.errors import ConfigurationError
from hubkit.net.simulated import SimulatedNetwork
from hubkit.node.node import Node

DOWN_AFTER = 4.0


class Counter(hubkit.Actor):
    """A child that does nothing."""


def play(main: Callable[[], Any]) -> None:
    """Run under a clock that jumps. It is a matter of moments, though hours may pass."""
    began = time.monotonic()
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert time.monotonic() - began < 30


@asynccontextmanager
async def two(network: SimulatedNetwork) -> AsyncIterator[tuple[hubkit.Hub, hubkit.Hub]]:
    """Two hubs that see each other."""
    join = [network.address("a")]
    async with (
        hubkit.Hub("shop", transport=network.transport("a")) as a,
        hubkit.Hub("shop", transport=network.transport("b"), join=join) as b,
    ):
        await until(lambda: bool(a.nodes() and b.nodes()), 10)
        yield a, b


async def until(condition: Callable[[], bool], within: float) -> float:
    """Wait until it holds; how many virtual seconds it took."""
    began = trio.current_time()
    with trio.fail_after(within):
        while not condition():
            await trio.sleep(0.05)
    return trio.current_time() - began


def here(hub: hubkit.Hub) -> set[str]:
    return set(hub.children("local"))


@pytest.mark.parametrize("make", [hubkit.Node, lambda **options: hubkit.Hub("shop", **options)])
def test_a_transport_knows_itself_where_it_listens(make: Callable[..., object]) -> None:
    transport = SimulatedNetwork().transport("a")
    with pytest.raises(ConfigurationError, match="leave listen out"):
        make(listen="ws://127.0.0.1:1", transport=transport)


def test_a_partition_is_noticed_in_virtual_time() -> None:
    async def main() -> None:
        network = SimulatedNetwork(seed=7)
        async with two(network) as (a, b):
            await a.start_children([hubkit.child(f"c{n}", Counter) for n in range(10)])
            await until(lambda: a.is_settled and b.is_settled, 10)
            every = set(a.children())
            assert here(a) | here(b) == every
            assert here(a)
            assert here(b)
            network.partition({"a"}, {"b"})
            took = await until(lambda: here(a) == every == here(b), DOWN_AFTER + 3)
            assert took >= DOWN_AFTER - 1.0  # less the time since the last heartbeat
            assert a.nodes() == b.nodes() == ()
            network.heal()
            await until(lambda: not here(a) & here(b) and a.is_settled and b.is_settled, 20)
            assert here(a) | here(b) == every
            assert a.nodes() == (b.node.name,)
            await trio.sleep(3600)  # and all is quiet
            assert a.nodes() == (b.node.name,)

    play(main)


def test_chance_follows_from_the_seed_of_the_network() -> None:
    def chance(seed: int, names: str) -> list[object]:
        network = SimulatedNetwork(seed)
        nodes = [Node(transport=network.transport(name)) for name in names]
        return [(node.environment.token(8), node.environment.random.random()) for node in nodes]

    assert chance(3, "ab") == chance(3, "ab")
    assert chance(3, "ab")[0] != chance(3, "ab")[1]
    assert chance(3, "ab") != chance(4, "ab")


def test_the_clocks_of_a_network() -> None:
    async def main() -> None:
        await trio.sleep(100)
        network = SimulatedNetwork(seed=7)
        async with two(network) as (a, b):
            one, two_ = a.node.environment, b.node.environment
            await trio.sleep(50)
            assert one.now() == two_.now() == trio.current_time()
            assert one.wall() == two_.wall()
            assert 0 < one.wall() - EPOCH - 50 < 5
            assert one.token(8) != two_.token(8)
            assert one.random.random() != two_.random.random()
            assert one.label() == "a"

    play(main)


def test_each_life_has_a_greater_boot() -> None:
    async def main() -> None:
        network = SimulatedNetwork(seed=7)
        boots: list[int] = []
        for transport in (network.transport("a"), network.transport("a"), network.transport("b")):
            for _ in range(2):  # a transport may be used again
                async with hubkit.Hub("shop", transport=transport) as hub:
                    ref = await hub.start_child(hubkit.child("c", Counter))
                    assert ref.pid is not None
                    boots.append(ref.pid.incarnation)
        assert boots == sorted(set(boots))

    play(main)


def test_a_node_keeps_the_environment_that_it_is_given() -> None:
    network, mine = SimulatedNetwork(seed=7), Environment()
    before = network._board._random.getstate()
    assert Node(transport=network.transport("a"), environment=mine).environment is mine
    assert network._board._random.getstate() == before
    transport = network.transport("a")
    assert Node(transport=transport).environment is Node(transport=transport).environment
    assert type(Node().environment) is Environment
