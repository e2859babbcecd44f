"""Hypothesis traces no line of a simulation; others may."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis.internal.scrutineer import Tracer

from hubkit.testing.explaining import unexplained
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper


@pytest.fixture
def before() -> Iterator[None]:
    """Whatever traces the tests goes on after them."""
    trace = sys.gettrace()
    yield
    sys.settrace(trace)


def _others(frame: FrameType, event: str, argument: object) -> None:
    return None


def _of_hypothesis() -> Any:
    return Tracer(should_trace=False).trace


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(("make", "kept"), [(_of_hypothesis, False), (lambda: _others, True)])
def test_a_simulation_is_not_traced_by_hypothesis_and_by_others_is(make: Any, kept: bool) -> None:
    trace, found = make(), []

    async def main(sim: Simulation) -> None:
        found.append(sys.gettrace())

    sys.settrace(trace)
    Simulation.run(main, 1)
    after = sys.gettrace()
    sys.settrace(None)
    assert (found, after) == ([trace if kept else None], trace)


@pytest.mark.usefixtures("before")
def test_nor_is_a_step_of_a_machine() -> None:
    trace, found = _of_hypothesis(), []

    async def look() -> None:
        found.append(sys.gettrace())

    with Stepper(1) as stepper:
        sys.settrace(trace)
        stepper.run(look)
        after = sys.gettrace()
        sys.settrace(None)
    assert (found, after) == ([None], trace)


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(("tool", "inside"), [("scrutineer", 0), ("coverage", 32), (None, 32)])
def test_the_monitoring_of_newer_pythons_is_paused_too(
    tool: str | None, inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = {3: 32}
    monitoring = SimpleNamespace(
        get_tool=lambda number: tool if number == 3 else None,
        get_events=events.__getitem__,
        set_events=events.__setitem__,
    )
    monkeypatch.setattr(sys, "monitoring", monitoring, raising=False)
    with unexplained():
        assert events == {3: inside}
    assert events == {3: 32}
