"""Whole hubs under plans of disasters that Hypothesis draws and shrinks: what must hold after any of them, and during it.

Each property plays the same story (`tests.sim.story`): children, some of which watch each other; clients that start, stop,
call and cast from all nodes; a plan; then everything must be well within a bound, and stay so. ``HUBKIT_SOAK=20`` in the
environment plays twenty times as many plans.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.sim.story import CHECKERS, Story

from hubkit.testing import Checker, FaultPlan, Simulation, Skew, no_lost_child, single_owner
from hubkit.testing.strategies import fault_plans

SCALE = int(os.environ.get("HUBKIT_SOAK", "1"))

#: All but the explanation: it traces every line of every plan that it tries.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

seeds = st.integers(0, 2**32 - 1)
CUTS = ("partition", "one_way", "hold", "slow", "break")
DEATHS = ("crash", "restart", "power")


def examples(count: int) -> Callable[[Any], Any]:
    """Play so many plans, or more when soaking; a soak takes as long as it takes."""

    def decorate(test: Any) -> Any:
        return pytest.mark.limit(60 * max(2, SCALE))(settings(max_examples=count * SCALE, phases=PHASES)(test))

    return decorate


def tame(plan: FaultPlan) -> FaultPlan:
    """Clocks are a minute off at most: whose clock is off by more than five is refused for good, and that is right."""
    return replace(
        plan,
        faults=tuple(
            replace(fault, offset=fault.offset / 60) if isinstance(fault, Skew) and abs(fault.offset) > 60 else fault
            for fault in plan.faults
        ),
    )


def check(plan: FaultPlan, seed: int, story: Story, *checkers: Checker, survived: bool = True) -> None:
    """Play the story, and let it be judged."""
    story.survived = survived
    logging.disable(logging.CRITICAL)  # crashes by the thousand
    try:
        Simulation.run(story, seed, plan=plan, checkers=[*CHECKERS, *checkers], limit=20_000.0)
    finally:
        logging.disable(logging.NOTSET)


stories = st.builds(
    Story,
    children=st.integers(1, 12),
    clients=st.integers(0, 4),
    pace=st.sampled_from((0.7, 0.2, 2.0)),
    together=st.booleans(),
    second=st.booleans(),
)


@examples(24)
@given(plan=fault_plans(range(2, 6), 40.0, max_faults=10).map(tame), seed=seeds, story=stories)
def test_after_any_plan_all_is_well(plan: FaultPlan, seed: int, story: Story) -> None:
    check(plan, seed, story)


@examples(14)
@given(plan=fault_plans(range(2, 7), 30.0, DEATHS, max_faults=12), seed=seeds, story=stories)
def test_no_deaths_that_leave_a_node_lose_a_child_and_none_gives_it_two_owners(
    plan: FaultPlan, seed: int, story: Story
) -> None:
    # What is dead owns nothing; so without cuts and pauses two never own a child.
    check(plan, seed, story, no_lost_child(within=8.0), single_owner(0.0))


@examples(14)
@given(plan=fault_plans(range(3, 8), 40.0, ("leave", "join"), max_faults=8), seed=seeds, story=stories)
def test_nodes_that_join_and_leave_lose_and_double_no_child(plan: FaultPlan, seed: int, story: Story) -> None:
    check(plan, seed, story, no_lost_child(within=2.0), single_owner(0.0))


@examples(12)
@given(plan=fault_plans(range(2, 5), 30.0, CUTS, max_faults=12), seed=seeds, story=stories)
def test_whatever_is_cut_slow_or_broken_heals(plan: FaultPlan, seed: int, story: Story) -> None:
    check(plan, seed, story)


@examples(10)
@given(plan=fault_plans(range(2, 5), 30.0, ("pause", *DEATHS), max_faults=10), seed=seeds, story=stories)
def test_nodes_that_stand_still_and_wake_up_are_taken_in_again(plan: FaultPlan, seed: int, story: Story) -> None:
    check(plan, seed, story)


@examples(10)
@given(
    plan=fault_plans(range(1, 4), 20.0, (*DEATHS, "partition", "pause", "leave"), max_faults=12, survivors=0),
    seed=seeds,
    story=stories,
)
def test_even_when_all_is_lost_what_is_left_is_true(plan: FaultPlan, seed: int, story: Story) -> None:
    check(plan, seed, story, survived=False)
