"""The collector rests while very many children change, and is never left asleep."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from tests.hub.actors import Counter

import hubkit
from hubkit.hub.bulk import MANY, SECONDS, Bulk


@pytest.fixture(autouse=True)
def collector_is_on() -> Iterator[None]:
    assert gc.isenabled()
    yield
    assert gc.isenabled()


def test_it_rests_while_many_are_pending() -> None:
    one, two = Bulk(), Bulk()
    one.look(MANY, 0.0)
    assert gc.isenabled()
    one.look(MANY + 1, 0.0)
    two.look(MANY + 1, 1.0)
    assert not gc.isenabled()
    one.look(0, 2.0)
    assert not gc.isenabled()  # the other one is still busy
    two.end()
    two.end()
    assert gc.isenabled()


def test_it_does_not_rest_for_long() -> None:
    bulk = Bulk()
    bulk.look(MANY + 1, 0.0)
    bulk.look(MANY + 1, SECONDS)
    assert not gc.isenabled()
    bulk.look(MANY + 1, SECONDS + 1)
    assert gc.isenabled()
    bulk.look(MANY + 1, SECONDS + 2)
    assert gc.isenabled()


def test_a_program_that_has_turned_it_off_keeps_it_off() -> None:
    bulk = Bulk()
    gc.disable()
    try:
        bulk.look(MANY + 1, 0.0)
        bulk.end()
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_a_hub_leaves_it_on() -> None:
    async with hubkit.Hub("shop") as hub:
        result = await hub.start_children([hubkit.child(f"c{i}", Counter) for i in range(2 * MANY)])
        assert result.status == "ok"
        await hub.settled()
        assert gc.isenabled()
