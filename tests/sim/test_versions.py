"""Nodes of two releases in one hub: the one before, which speaks protocol version 1, and this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.sim.actors import Counter

import hubkit
from hubkit.errors import HandshakeRefused
from hubkit.net.seal import SealedLink
from hubkit.node import node as room
from hubkit.node.options import versions_from
from hubkit.testing import Simulation


@contextmanager
def release_before() -> Iterator[None]:
    """Nodes that are started meanwhile speak as the release before did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "versions_from", lambda oldest: (1,))
        patch.setattr(room, "CAPABILITIES", ("hub.1", "actors.1"))
        yield


def versions(hub: hubkit.Hub) -> dict[str, int]:
    """By node name: which version its link to that node speaks. Only version 2 guards the frames."""
    mesh = hub.node._mesh
    assert mesh is not None
    sessions = mesh._sessions.values()
    assert all(isinstance(session._link, SealedLink) == (session.version == 2) for session in sessions)
    return {session.peer.node.partition("#")[0]: session.version for session in sessions}


async def upgrade(sim: Simulation) -> None:
    """Two nodes of the release before; a third of this one joins them, then they are replaced one after the other."""
    with release_before():
        a = await sim.start_hub("shop", node="a", labels={"zone": "eu"})
        await sim.start_hub("shop", node="b")
    c = await sim.start_hub("shop", node="c")
    await c.start_children([hubkit.child(f"c{n}", Counter) for n in range(20)])
    await sim.settled(within=60)
    assert versions(a) == {"b": 1, "c": 1}
    assert versions(c) == {"a": 1, "b": 1}
    assert {pid.node for info in c.children().values() for pid in info.pids} == {"a", "b", "c"}
    for hub in (a, c):
        assert [await hub.ref(f"c{n}", Counter).call(Counter.add) for n in range(20)]
    for name in "ab":
        sim.crash(name)
        await sim.sleep(20)
        sim.restart(name)
        await sim.sleep(5)
        await sim.settled(within=60)
        assert len(c.children()) == 20
    assert versions(c) == {"a": 2, "b": 2}
    assert versions(sim.hub("a")) == {"b": 2, "c": 2}
    sim.check()


def test_a_cluster_is_upgraded_node_by_node() -> None:
    report = Simulation.run(upgrade, seed=5)
    assert Simulation.run(upgrade, seed=5).trace_hash == report.trace_hash


def test_a_node_may_refuse_the_release_before() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "versions_from", lambda oldest: versions_from(2))
            await sim.start_hub("shop", node="a")
        with release_before(), pytest.raises(HandshakeRefused, match="speaks protocol version 2, the peer 1: upgrade"):
            await sim.start_hub("shop", node="b")
        c = await sim.start_hub("shop", node="c")
        assert versions(c)["a"] == 2

    Simulation.run(main, seed=6)


def test_who_is_not_admitted_is_turned_away_in_the_words_of_its_release() -> None:
    """The release before does not understand a denial: it is told that there is no such hub, and goes on alone."""

    async def main(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a", admit=lambda name, labels: False)
        with release_before():
            b = await sim.start_hub("shop", node="b")
        await sim.sleep(30)
        assert (a.nodes(), b.nodes()) == ((), ())
        assert versions(a) == {"b": 1}

    Simulation.run(main, seed=7)
