"""The schedules can fail: without one of its safeguards, the core does.

(Those whose absence shows in one schedule of a thousand only are in tests/cluster, step by step.)
"""

from __future__ import annotations

import pytest
from tests.property.ablation import failures


@pytest.mark.parametrize(
    "safeguard",
    [
        "claims are announced",
        "a newcomer meets all it has heard of",
        "removals come with their reasons",
        "tombstones wait for all",
    ],
)
def test_without_it_something_goes_wrong(safeguard: str) -> None:
    assert next(failures(safeguard, range(60)), None) is not None
