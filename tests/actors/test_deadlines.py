"""The deadline that a call takes along is the one that trio would name."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from hubkit.actors import deadlines
from hubkit.actors.deadlines import effective_deadline

#: What is opened, one within the other: a scope or a nursery, its deadline, whether it is a shield, whether it is cancelled.
FORMS = st.tuples(
    st.sampled_from(["scope", "relative", "nursery", "task"]),
    st.sampled_from([math.inf, math.inf, 0.0, 1.0, 2.5, -1.0]),
    st.booleans(),
    st.sampled_from([False, False, False, True]),
)


async def opened(forms: list[tuple[str, float, bool, bool]], found: list[tuple[float, float]]) -> None:
    """Compare the two at each level."""
    found.append((effective_deadline(), trio.current_effective_deadline()))
    if not forms:
        return
    (kind, deadline, shield, cancelled), *rest = forms
    async with AsyncExitStack() as stack:
        if kind == "scope":
            scope = stack.enter_context(trio.CancelScope(deadline=trio.current_time() + deadline))
        elif kind == "relative":
            scope = stack.enter_context(trio.move_on_after(max(0.0, deadline)))
        else:
            nursery = await stack.enter_async_context(trio.open_nursery())
            scope = nursery.cancel_scope
            scope.deadline = trio.current_time() + deadline
        scope.shield = shield
        if cancelled:
            scope.cancel()
        if kind == "task":
            done = trio.Event()

            async def within() -> None:
                await opened(rest, found)
                done.set()

            nursery.start_soon(within)
            with trio.CancelScope(shield=True):
                await done.wait()
        else:
            await opened(rest, found)
        found.append((effective_deadline(), trio.current_effective_deadline()))


@given(st.lists(FORMS, max_size=6))
@example([("scope", 1.0, False, True), ("scope", 2.5, True, False), ("task", math.inf, False, False)])
@example([("nursery", 1.0, False, False), ("task", 2.5, False, False), ("relative", 0.0, True, False)])
def test_it_is_trios(forms: list[tuple[str, float, bool, bool]]) -> None:
    found: list[tuple[float, float]] = []
    trio.run(opened, forms, found, clock=trio.testing.MockClock())
    assert len(found) == 2 * len(forms) + 1
    assert [ours for ours, _ in found] == [trios for _, trios in found]


async def test_where_trio_looks_different_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Task:
        """Of a trio that has other names for things."""

    def current_task() -> Any:
        return Task()

    with trio.CancelScope(deadline=trio.current_time() + 60) as scope:
        await trio.lowlevel.checkpoint()
        assert effective_deadline() == scope.deadline
        monkeypatch.setattr(deadlines, "_current_task", current_task)
        assert effective_deadline() == scope.deadline
