"""A ref of a node that has ended: it can send nothing, and says so."""

from __future__ import annotations

import pytest
from tests.hub.clusters import cluster

import hubkit
from hubkit.errors import HubClosed


class Counter(hubkit.Actor):
    """Counts."""

    async def add(self, n: int) -> None:
        """Take it in."""


@pytest.mark.parametrize("place", [0, 1])
async def test_a_ref_of_a_node_that_has_ended(place: int) -> None:
    async with cluster(2) as hubs:
        first = hubs[0]
        await first.start_children([hubkit.child(f"c{n}", Counter) for n in range(20)])
        child = min(hubs[place].children("local"))
        ref = first.ref(child, Counter)
        assert ref.pid is not None
        refs = [ref, first.node._system.ref(ref.pid)]
    for ref in refs:
        with pytest.raises(HubClosed, match="has ended"):
            ref.cast_nowait(Counter.add, 1)
        with pytest.raises(HubClosed, match="has ended"):
            ref.send_nowait("hello")
        with pytest.raises(HubClosed, match="has ended"):
            await ref.cast(Counter.add, 1)
        with pytest.raises(HubClosed, match="has ended"):
            await ref.send("hello")
        with pytest.raises(HubClosed, match="has ended"):
            await ref.call(Counter.add, 1)
