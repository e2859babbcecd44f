"""What a hub says of the same hub on another node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hubkit.errors import HubkitError
from hubkit.hub.meeting import Meeting


@pytest.mark.parametrize("acts", [True, False])
def test_what_a_peer_calls_its_strategies_stays_in_its_line(acts: bool, caplog: pytest.LogCaptureFixture) -> None:
    class Met(Meeting):
        hub_id, node, agreement, live = "shop", "a#1", ("x",) * 5, acts
        refusal: HubkitError | None = None
        core: Any = SimpleNamespace(links={})  # it has met nobody of the same mind

        def rouse(self) -> None: ...

    met = Met()
    met._differing = set()
    met.differ("b#1", ("y\nERROR forged \x1b[2J" + "z" * 5000,) * 5, refused=not acts)
    said = [record.getMessage() for record in caplog.records] if acts else [str(met.refusal)]
    assert len(said) == 1
    assert said[0].isprintable()
    assert len(said[0]) < 2000
