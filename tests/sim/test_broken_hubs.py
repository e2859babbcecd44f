"""A hub that ends by an error of its own: whoever waits for it is told of that error, and of nothing that it brought about."""

from __future__ import annotations

from typing import Any

import pytest
from tests.hub.actors import Counter

import hubkit
from hubkit.errors import HubClosed
from hubkit.hub.household import Household
from hubkit.testing import Simulation


def test_those_who_wait_are_told_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Household, *args: Any, **others: Any) -> None:
        msg = "no room"
        raise RuntimeError(msg)

    async def main(sim: Simulation) -> None:
        hub = await sim.start_hub("h", node="a")
        monkeypatch.setattr(Household, "start", broken)
        await hub.start_child(hubkit.child("x", Counter))

    said = "hub 'h' has ended on node 'a' by an error in it, which its block raises, too: RuntimeError: no room"
    with pytest.raises(HubClosed, match=said) as closed:
        Simulation.run(main, seed=1)
    assert isinstance(closed.value.__cause__, RuntimeError)
