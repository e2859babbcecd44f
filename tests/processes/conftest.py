"""Clusters for tests: each is cleaned up whatever happens, and tells what it knows when a test fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
import trio
from tests.processes.harness import Cluster

_open: list[Cluster] = []


@contextmanager
def watched(cluster: Cluster) -> Iterator[None]:
    """A test that fails in this block tells what the cluster knows."""
    _open.append(cluster)
    try:
        yield
    finally:
        _open.remove(cluster)


def _opened() -> Iterator[Cluster]:
    with Cluster() as cluster, watched(cluster):
        yield cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster without members, for this test alone."""
    yield from _opened()


@pytest.fixture(scope="module")
def three_members() -> Iterator[Cluster]:
    """Three members ``a``, ``b``, ``c`` for all tests of a module; see `three`."""
    for cluster in _opened():
        trio.run(_start, cluster, ("a", "b", "c"))
        yield cluster


@pytest.fixture(scope="module")
def five_members() -> Iterator[Cluster]:
    """Five members ``a`` to ``e`` for all tests of a module; see `five`."""
    for cluster in _opened():
        trio.run(_start, cluster, ("a", "b", "c", "d", "e"))
        yield cluster


@pytest.fixture
async def three(three_members: Cluster) -> Cluster:
    """Three settled members without children, for tests that leave the processes as they were."""
    await three_members.clear()
    return three_members


@pytest.fixture
async def five(five_members: Cluster) -> Cluster:
    """Five settled members without children, likewise."""
    await five_members.clear()
    return five_members


async def _start(cluster: Cluster, names: tuple[str, ...]) -> None:
    await cluster.start(*names)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the members' logs and explanations to the report of a failure, while they still live."""
    report = yield
    if report.when == "call" and report.failed:
        for number, cluster in enumerate(_open, 1):
            report.sections.append((f"cluster {number}", cluster.report()))
    return report
