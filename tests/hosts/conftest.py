"""A network of five hosts for all tests of this directory, and a member of a cluster on each.

Where a machine cannot have network namespaces the tests are skipped, and say why. What keeps them from running where it could
(a tool that is not installed) fails them in CI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from tests.hosts.lan import Lan, ToolsMissing, Unable
from tests.processes.conftest import pytest_runtest_makereport, watched
from tests.processes.harness import HUB, Cluster

__all__ = ["VAULT", "HostCluster", "pytest_runtest_makereport"]

#: A hub beside the usual one, of which the lesser part of a torn network runs nothing.
VAULT = "vault"
QUORUM = {"partition_tolerance": ["StaticQuorum", {"size": 3, "stop": 1.0}]}

#: Quicker than by default, so that the tests are.
PACE = {"beat": 0.5, "down_after": 3.0}

NAMES = ("a", "b", "c", "d", "e")


class HostCluster(Cluster):
    """A cluster whose members live on hosts of their own."""

    def __init__(self, lan: Lan) -> None:
        super().__init__()
        self.lan = lan

    def places_for(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """At the host's address."""
        return {
            name: {"listen": "ws://0.0.0.0:4040", "advertise": f"ws://{self.lan[name].address}:4040"} for name in names
        }

    def prefix(self, name: str) -> Sequence[str]:
        """On its host."""
        return self.lan[name].prefix

    async def begin(self) -> None:
        """Start a member on every host."""
        await self.start(*NAMES, node=PACE, hubs=[HUB, VAULT], each={VAULT: QUORUM})


@pytest.fixture(scope="session")
def one_lan() -> Iterator[Lan]:
    """Five hosts."""
    try:
        lan = Lan(NAMES)
    except Unable as error:
        if isinstance(error, ToolsMissing) and os.environ.get("CI"):
            pytest.fail(f"these tests must run in CI: {error}")
        pytest.skip(str(error))
    with lan:
        yield lan


@pytest.fixture
def lan(one_lan: Lan) -> Iterator[Lan]:
    """Five hosts that reach each other."""
    yield one_lan
    one_lan.mend()


@pytest.fixture(scope="module")
def five_members(one_lan: Lan) -> Iterator[HostCluster]:
    """A member on every host."""
    with HostCluster(one_lan) as cluster, watched(cluster):
        trio.run(cluster.begin)
        yield cluster


@pytest.fixture
async def five(five_members: HostCluster, lan: Lan) -> HostCluster:
    """Five settled members without children, on hosts that reach each other."""
    await five_members.met(within=20)
    await five_members.clear()
    return five_members
