"""Lines about strangers: some are told, the others are counted."""

from __future__ import annotations

import pytest

from hubkit.net import tally
from hubkit.net.tally import Tally


def test_so_many_are_told_and_then_one_a_period() -> None:
    told = Tally(period=60.0)
    assert [told.may_tell("x", "closed", 1.0, most=2) for _ in range(5)] == [True, True, False, False, False]
    assert told.may_tell("x", "refused", 1.0)  # another subject
    assert told.may_tell("y", "closed", 1.0)
    assert told.due(60.9) == []
    assert told.due(61.0) == [("x", "closed", 3)]
    assert len(told) == 1
    # It goes on: only the count is told.
    assert not any(told.may_tell("x", "closed", 70.0, most=2) for _ in range(7))
    assert told.due(120.9) == []
    assert told.due(121.0) == [("x", "closed", 7)]
    # It has stopped for a period: the next is told again.
    assert told.due(181.0) == []
    assert len(told) == 0
    assert told.may_tell("x", "closed", 181.0, most=2)


def test_too_many_subjects_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST", 10)
    told = Tally(period=60.0)
    said = [told.may_tell(str(number), "closed", 0.0) for number in range(1000)]
    assert sum(said) == 11
    assert len(told) == 11
    assert told.due(60.0) == [("others", "closed", 989)]
