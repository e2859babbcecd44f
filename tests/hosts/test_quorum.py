"""A quorum on three hosts: whoever is with the lesser part stops, before the others begin."""

from __future__ import annotations

import pytest
from tests.hosts.conftest import HostCluster
from tests.hosts.lan import Lan
from tests.processes.conftest import watched
from tests.processes.harness import many, until

BOUND = 30.0


@pytest.mark.limit(120)
async def test_no_child_ever_runs_on_both_sides_of_a_partition(lan: Lan) -> None:
    with HostCluster(lan) as cluster, watched(cluster):
        quorum = {"partition_tolerance": ["StaticQuorum", {"size": 2, "startup_confirm": True}], "cancel_grace": 1.0}
        await cluster.begin("a", "c", "e", hub=quorum)
        a, c, e = cluster
        ids = many(30)
        await cluster.started(a, ids)
        await cluster.agreed(ids, within=BOUND)
        assert set((await cluster.places(ids)).values()) == set(cluster.members)

        async def stopped() -> bool:
            return not (await e.ask("view"))["here"]

        lan.part([lan["a"], lan["c"]], [lan["e"]])
        await until(stopped, "the lesser part runs nothing", within=BOUND)
        await cluster.agreed(ids, among=[a, c], within=BOUND)
        cluster.runs_once(ids)

        lan.mend()
        await cluster.met(within=BOUND)
        await cluster.agreed(ids, within=BOUND)
        cluster.runs_once(ids)
        assert cluster.journal.overlaps() == []
