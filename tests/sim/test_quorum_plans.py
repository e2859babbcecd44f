"""Whole hubs under a quorum and plans that Hypothesis draws: no child ever has two owners, and in the end all is well.

``HUBKIT_SOAK=20`` plays twenty times as many; ``python -m tests.sim.soak --mix static --mix fixed --mix voters`` plays others,
from plain seeds.
"""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st
from tests.sim.parted import Parted, tame
from tests.sim.test_plans import CUTS, DEATHS, examples, seeds

from hubkit.testing import FaultPlan, Simulation, single_owner
from hubkit.testing.strategies import fault_plans


def check(plan: FaultPlan, seed: int, story: Parted) -> None:
    """Play the story, and let it be judged."""
    logging.disable(logging.CRITICAL)
    try:
        Simulation.run(story, seed, plan=plan, checkers=[single_owner(0.0)], limit=20_000.0)
    finally:
        logging.disable(logging.NOTSET)


stories = st.builds(Parted, kind=st.sampled_from(("static", "fixed")), children=st.integers(1, 10))


@examples(10)
@given(
    plan=fault_plans(range(3, 6), 60.0, ("pause", "skew", *CUTS, *DEATHS), max_faults=10).map(tame),
    seed=seeds,
    story=stories,
)
def test_no_child_has_two_owners_under_any_plan(plan: FaultPlan, seed: int, story: Parted) -> None:
    check(plan, seed, story)


@examples(6)
@given(plan=fault_plans(range(3, 6), 60.0, ("pause", "skew", "leave", *CUTS), max_faults=8).map(tame), seed=seeds)
def test_nor_while_voters_are_admitted(plan: FaultPlan, seed: int) -> None:
    check(plan, seed, Parted("voters"))
