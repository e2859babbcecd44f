"""Under a quorum no child has two owners, whatever happens; and without any one ingredient of the lease one has.

Many more seeds are played by ``python -m tests.property.sweep --schedule quorum``.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.property.parted import KINDS, PartedWorld, run_parted
from tests.property.parted_ablation import doubles
from tests.property.test_core_machine import FaultyMachine, some_name


@pytest.mark.limit(180)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_no_child_has_two_owners(kind: str, seed: int) -> None:
    world = run_parted(seed, kind, 700)
    assert world.handovers, "nothing has run"


#: Without what, and a seed that shows it.
SHOWN = [
    ("a claim waits for a quorum", 0),
    ("a claim waits for rivals out of sight", 66),
    ("silence lasts for more than a lease", 32),
    ("acknowledgements count, not sight", 23),
    ("quorums intersect", 0),
    ("who was restarted does not vote", 19),
    ("a stop has a bound that counts from the lease", 8),
]


@pytest.mark.parametrize("seed", [600_965, 601_875])
def test_no_row_goes_because_what_replaces_it_is_still_to_come(seed: int) -> None:
    world = run_parted(seed, "static", 900)  # a whole map told of it, and its writer had not yet
    assert world.steps > 900


def test_nothing_is_taken_of_a_delta_that_begins_too_late_for_one_writer() -> None:
    world = run_parted(810_730, "fixed", 900)  # it told who let go of a child, and not to whom
    assert world.steps > 900


def test_a_child_may_end_by_itself_in_the_turn_in_which_it_is_told_to_stop() -> None:
    world = run_parted(501_339, "voters", 900)  # the word of the one and of the other have crossed
    assert world.steps > 900


@pytest.mark.limit(180)
@pytest.mark.parametrize(("ingredient", "seed"), SHOWN)
def test_without_it_a_child_has_two_owners(ingredient: str, seed: int) -> None:
    assert next(doubles(ingredient, range(seed, seed + 30)), None) is not None


class PartedMachine(FaultyMachine):
    """The same, drawn and shrunk by Hypothesis."""

    @initialize(seed=st.integers(0, 2**16), first=st.integers(3, 5), kind=st.sampled_from(sorted(KINDS)))
    def begin(self, seed: int, first: int, kind: str = "static") -> None:
        self.world: PartedWorld = PartedWorld(seed, kind)
        for name in "abcde"[:first]:
            self.world.join(name)
        for _ in range(80):
            self.world.step()

    @rule(steps=st.integers(10, 90))
    def wait_longer(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()

    @rule(name=some_name, seconds=st.floats(2.0, 20.0))
    def sleep(self, name: str, seconds: float) -> None:
        if name in self.world.names():
            self.world.pause(name, seconds)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()
            for _ in range(100):
                self.world.step()
            self.world.complete()
            self.world.quiet(120.0)


TestParted = pytest.mark.limit(180)(PartedMachine.TestCase)
TestParted.settings = settings(max_examples=20, stateful_step_count=30)
