"""A process that is stopped for longer than a lease lasts, and goes on: nothing that it held is its own any more."""

from __future__ import annotations

import pytest
import trio
from tests.processes.harness import Cluster, many

#: what a lease of 4 s, and 5 s to stop, make of a failover
WAIT = 9.2


@pytest.mark.limit(150)
async def test_an_owner_that_was_stopped_never_handles_a_message_again(cluster: Cluster) -> None:
    quorum = {"partition_tolerance": ["StaticQuorum", {"size": 2, "startup_confirm": True}]}
    a, b, c = cluster.add("a", "b", "c", hub=quorum)
    for member in (a, b, c):
        member.start()
    for member in (a, b, c):
        await member.ready(within=40)
    ids = many(30)
    await cluster.started(a, ids, actor="Ticking")
    await cluster.agreed(ids)
    places = await cluster.places(ids)
    lost = {id for id in ids if places[id] == b.name}
    assert lost, "nothing ran on b: the test would show nothing"
    await trio.sleep(1.0)

    frozen = b.freeze()
    took = await cluster.agreed(ids, among=[a, c], within=30) - frozen
    assert WAIT - 2 < took < WAIT + 6
    await trio.sleep(1.0)
    thawed = b.thaw()
    back = await cluster.agreed(ids, within=40)
    assert back > thawed

    ticks = cluster.journal.ticks()
    old = {id: max(term for moment, node, child, term in ticks if child == id and moment < frozen) for id in lost}
    assert [tick for tick in ticks if tick[0] > thawed and tick[2] in lost and tick[3] == old[tick[2]]] == []
    for id in ids:  # in the order in which they were handled, terms only grow: nobody acts after a later owner
        terms = [term for _, _, child, term in ticks if child == id]
        assert terms == sorted(terms)
        owners = {(term, node) for _, node, child, term in ticks if child == id}
        assert len(owners) == len({term for term, _ in owners})
