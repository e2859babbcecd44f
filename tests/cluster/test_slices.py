"""Many children are looked at in slices: others get their turn in between, and in the end all is as it would have been."""

from __future__ import annotations

from tests.cluster.crowd import Crowd, strategies

from hubkit.cluster.effects import Stop
from hubkit.cluster.policy import ClusterView
from hubkit.cluster.reconciler import SLICE
from hubkit.cluster.rows import Want

MANY = 3 * SLICE + 7


class Gate:
    """A partition strategy that a test opens and shuts."""

    def __init__(self) -> None:
        self.open = True

    def allowed(self, view: ClusterView) -> bool:
        return self.open


def wants(count: int = MANY) -> dict[str, Want | None]:
    return {f"c{number:04}": Want("A", b"") for number in range(count)}


def test_a_few_are_looked_at_at_once() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")
    core.write_wants(wants(SLICE), crowd.now)
    assert not core.backlog
    assert core.unsettled == SLICE


def test_many_take_several_turns_and_it_is_not_settled_before() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")
    core.write_wants(wants(), crowd.now)
    turns = 0
    while core.backlog:
        assert not core.is_settled
        assert len(core.changed) == turns * SLICE
        core.proceed(crowd.now)
        turns += 1
    assert turns == 4
    crowd.settle()
    assert core.is_settled
    assert len(core.pids("c0000")) == len(core.pids(f"c{MANY - 1:04}")) == 1


def test_what_comes_in_meanwhile_has_its_turn_first() -> None:
    crowd = Crowd("a")
    core = crowd.core("a")
    core.write_wants(wants(), crowd.now)
    core.write_wants({"z": Want("A", b"")}, crowd.now)
    assert core.backlog
    assert "z" in core.runs
    core.write_wants({"nobody": None, **dict.fromkeys(list(wants())[-3:])}, crowd.now)
    crowd.settle()
    assert core.is_settled
    assert len(core.wants) == MANY + 1 - 3
    assert all(core.pids(child) for child in core.wants)


def test_more_on_top_of_many_are_put_in_line() -> None:
    crowd = Crowd("a", "b")
    core = crowd.core("a")
    core.write_wants(wants(), crowd.now)
    core.write_wants({f"d{number:04}": Want("A", b"") for number in range(MANY)}, crowd.now)
    assert core.backlog
    crowd.settle()
    assert core.is_settled
    assert crowd.core("b").is_settled
    assert len(core.wants) == 2 * MANY


def test_what_may_not_run_any_longer_is_stopped_at_once() -> None:
    gate = Gate()
    crowd = Crowd("a", strategies=strategies(partition_tolerance=gate))
    core = crowd.core("a")
    core.write_wants(wants(), crowd.now)
    crowd.settle()
    gate.open = False
    core.touch(crowd.now)
    assert not core.backlog
    stops = [effect for effect in core.take() if isinstance(effect, Stop)]
    assert len(stops) == MANY
    for stop in stops:
        core.stopped(stop.child, crowd.now)
    gate.open = True
    core.touch(crowd.now)
    assert core.backlog
    gate.open = False  # in the middle of it
    core.touch(crowd.now)
    assert not core.backlog
    assert not core._rules.instances or {effect.child for effect in core.take() if isinstance(effect, Stop)}
