"""One seed, one trace: in another process, under another PYTHONHASHSEED, on another day."""

from __future__ import annotations

import gc
import random
import time

import pytest
import trio
from tests.house import python
from tests.testing.scenarios import disasters, impatience
from trio._core import _run

import hubkit
from hubkit.errors import SimulationError
from hubkit.testing import Report, Simulation, scheduling
from hubkit.testing.trace import Step, Trace

ELSEWHERE = """
import sys, time
real, perf = time.time, time.perf_counter
time.time = lambda: real() + float(sys.argv[2])            # another day
time.perf_counter = lambda: perf() * 1.5
from hubkit.testing import Simulation
from tests.testing import scenarios
print(Simulation.run(getattr(scenarios, sys.argv[3]), seed=int(sys.argv[1])).trace_hash)
"""


def elsewhere(seed: int, *, hashseed: str, days: float, scenario: str = "disasters") -> str:
    arguments = (str(seed), str(days * 86_400), scenario)
    done = python("-c", ELSEWHERE, *arguments, within=60, env={"PYTHONHASHSEED": hashseed})
    assert done.returncode == 0, done.stdout
    return done.stdout.split()[-1]  # warnings may come before


@pytest.mark.parametrize("seed", [1, 2])
def test_one_seed_gives_one_trace_everywhere(seed: int) -> None:
    here = Simulation.run(disasters, seed=seed)
    again = Simulation.run(disasters, seed=seed)
    assert again == here, here.divergence(again)
    assert elsewhere(seed, hashseed="1", days=0) == here.trace_hash
    assert elsewhere(seed, hashseed="4242", days=40_000) == here.trace_hash


def test_who_is_cancelled_at_once_is_cancelled_in_one_order() -> None:
    """Whoever waits for an answer takes its request back then: another node sees in which order."""
    seen = {elsewhere(1, hashseed=str(number), days=0, scenario="impatience") for number in range(3)}
    assert seen == {Simulation.run(impatience, seed=1).trace_hash}


def test_other_seeds_give_other_traces() -> None:
    assert len({Simulation.run(disasters, seed=seed).trace_hash for seed in range(3)}) == 3


def test_the_first_divergent_step_is_told() -> None:
    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        await sim.sleep(1)
        sim.note(f"it is {time.perf_counter_ns()}")
        await sim.sleep(1)

    first, second = Simulation.run(main, seed=1), Simulation.run(main, seed=1)
    divergence = first.divergence(second)
    assert divergence is not None
    assert "the runs part at step" in divergence
    lines = [line for line in divergence.splitlines() if "note" in line]
    assert [line.split()[0] for line in lines] == ["-", "+"]
    assert first.divergence(first) is None


def test_a_divergence_may_be_that_one_has_ended() -> None:
    def report(steps: int) -> Report:
        trace = Trace()
        for n in range(steps):
            trace.add(float(n), "note", "", "", str(n))
        return Report(1, trace.hash, 0.0, 0.0, trace.count, trace=trace.steps)

    assert "this run had ended" in str(report(3).divergence(report(4)))
    assert "this run had ended" in str(report(4).divergence(report(3)))


def test_of_a_long_trace_the_latest_steps_are_kept_and_all_are_hashed() -> None:
    short, long = Trace(kept=10), Trace()
    for n in range(5_000):
        for trace in (short, long):
            trace.add(n / 10, "note", "", "", str(n))
    assert short.hash == long.hash
    assert (len(short.steps), len(long.steps), short.count) == (10, 5_000, 5_000)
    assert short.steps[-1] == Step(4_999, 499.9, "note", "", "", "4999")
    other = Trace(kept=10)
    for n in range(5_000):
        other.add(n / 10, "note", "", "", str(n) if n else "?")
    one, two = (Report(1, t.hash, 0.0, 0.0, t.count, trace=t.steps) for t in (short, other))
    assert "not kept any more" in str(one.divergence(two))


def settings() -> object:
    put = _run.CancelStatus.__attrs_post_init__, _run.Deadlines.add
    return _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING, random.getstate(), gc.get_threshold(), put


def test_settings_of_trio_and_python_are_as_before() -> None:
    before = settings()
    Simulation.run(disasters, seed=3)
    assert settings() == before

    async def fails(sim: Simulation) -> None:
        raise ValueError("as asked")

    with pytest.raises(ValueError, match="as asked"):
        Simulation.run(fails, seed=3)
    assert settings() == before


def test_a_trio_that_does_not_do_what_is_needed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduling.self_check.cache_clear()
    monkeypatch.setattr(scheduling.Freezer, "task_scheduled", lambda self, task: None)
    with pytest.raises(SimulationError, match=rf"trio {trio.__version__} cannot be simulated.*a frozen task went on"):
        Simulation.run(disasters, seed=1)
    monkeypatch.undo()
    before = settings()
    monkeypatch.setattr(scheduling, "_ORDER", (("CancelStatus", "renamed", scheduling._orderly),))
    with pytest.raises(SimulationError, match="renamed"):
        scheduling.self_check()
    assert settings() == before
    for number in range(2):
        monkeypatch.undo()
        monkeypatch.setattr(scheduling, "_ORDER", scheduling._ORDER[number : number + 1])
        with pytest.raises(SimulationError, match="tasks were cancelled in no order"):
            scheduling.self_check()
    monkeypatch.undo()
    calls = iter([[1], [2], [3], [4], [5], [6]])
    monkeypatch.setattr(scheduling, "_schedule", lambda seed: next(calls))
    with pytest.raises(SimulationError, match="the same seed gave two schedules"):
        scheduling.self_check()
    monkeypatch.setattr(scheduling, "_schedule", lambda seed: [1])
    with pytest.raises(SimulationError, match="another seed gave no other schedule"):
        scheduling.self_check()


def test_the_self_check_passes_here() -> None:
    scheduling.self_check.cache_clear()
    scheduling.self_check()


def test_what_else_the_process_has_defined_is_no_part_of_a_trace() -> None:
    before = Simulation.run(disasters, seed=1).trace_hash

    @hubkit.actor(name="defined.in:between")
    async def bystander(context: hubkit.Context) -> None: ...

    assert Simulation.run(disasters, seed=1).trace_hash == before


def test_a_set_travels_in_one_order_under_any_hash_seed() -> None:
    source = "from hubkit.net.payload import Payloads; print(Payloads().dumps({'a', 'b', 'c', 'd', 7, (1, 2)}))"
    seen = {python("-c", source, within=30, env={"PYTHONHASHSEED": str(n)}).stdout for n in (1, 2, 3, 4)}
    assert len(seen) == 1
    assert "Traceback" not in seen.pop()
