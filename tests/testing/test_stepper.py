"""`Stepper`: a simulation driven from code that is not async. And the clock beneath."""

from __future__ import annotations

import math
import time

import pytest
import trio
from tests.testing.scenarios import Counter, counters

from hubkit.errors import ConfigurationError, SimulationError
from hubkit.testing import Report, Stepper, single_owner
from hubkit.testing.clock import START, BrokenOff, VirtualClock
from hubkit.testing.scheduling import keep


def test_time_moves_while_it_runs_and_stands_in_between() -> None:
    with Stepper(seed=1) as stepper:
        sim = stepper.sim

        async def boot() -> str:
            await sim.start_hub("shop", node="a")
            await sim.start_hub("shop", node="b")
            return "booted"

        assert stepper.run(boot) == "booted"
        moment = sim.now
        time.sleep(0.001)  # outside of it real time is nobody's business
        assert sim.now == moment
        stepper.run(sim.hub("a").start_children, counters(4))
        sim.crash("b")  # plain calls need no time
        assert sim.now < moment + 1
        stepper.run(sim.settled, 30)
        assert stepper.run(sim.hub("a").ref("c001", Counter).call, Counter.add, 5) == 5
        assert sim.hub("a").nodes() == ()
    report = stepper.close()
    assert isinstance(report, Report)
    assert stepper.close() is report
    with pytest.raises(SimulationError, match="has ended"):
        stepper.run(boot)


def test_the_same_steps_give_the_same_trace() -> None:
    def steps(seed: int) -> str:
        with Stepper(seed) as stepper:
            for node in "abc":
                stepper.sim.start_soon("shop", node=node)
            stepper.run(stepper.sim.settled, 30)
            stepper.run(stepper.sim.sleep, 3)
            stepper.sim.crash("b")
            stepper.run(stepper.sim.settled, 30)
        return stepper.close().trace_hash

    assert steps(1) == steps(1) != steps(2)


def test_one_at_a_time() -> None:
    with Stepper(seed=1) as stepper:
        with pytest.raises(ConfigurationError, match="one at a time"):
            Stepper(seed=2)
        stepper.run(stepper.sim.sleep, 5)
    with Stepper(seed=2) as stepper:
        assert stepper.sim.now == 0


def test_what_a_step_raises_comes_out_and_the_simulation_goes_on() -> None:
    async def fails() -> None:
        raise ValueError("as asked")

    with Stepper(seed=1) as stepper:
        with pytest.raises(ValueError, match="as asked"):
            stepper.run(fails)
        stepper.run(stepper.sim.sleep, 1)
        assert stepper.sim.now == 1.0


def test_what_ends_a_simulation_ends_it() -> None:
    async def double() -> None:
        sim = stepper.sim
        await sim.start_hub("shop", node="a")
        await sim.start_hub("shop", node="b")
        await sim.hub("a").start_children(counters(5))
        sim.partition({"a"}, {"b"})
        await sim.sleep(60)

    with Stepper(seed=1, checkers=[single_owner(overlap=1.0)]) as stepper:
        with pytest.raises(AssertionError, match="owned by") as caught:
            stepper.run(double)
        assert "seed 1" in "".join(caught.value.__notes__)
        with pytest.raises(AssertionError, match="owned by"):
            stepper.run(stepper.sim.sleep, 1)

    async def sleeps() -> None:
        time.sleep(0.01)  # noqa: ASYNC251  # wrong on purpose

    with Stepper(seed=1) as stepper, pytest.raises(SimulationError, match="real time"):
        stepper.run(sleeps)
    with Stepper(seed=1) as stepper, pytest.raises(SimulationError, match="nothing can ever happen again"):
        stepper.run(trio.sleep_forever)


def test_it_is_for_code_outside_of_trio() -> None:
    async def main() -> None:
        Stepper(seed=1)

    with pytest.raises(ConfigurationError, match="outside of trio"):
        trio.run(main)


# -- the clock -----------------------------------------------------------------------------------------------------------


def test_the_clock_jumps_to_the_next_moment() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        clock.call_at(START + 5, lambda: seen.append(("five", clock.now())))
        clock.call_at(START + 2, lambda: seen.append(("two", clock.now())))
        clock.call_at(START + 2, lambda: seen.append(("two again", clock.now())))
        clock.call_at(START - 2, lambda: seen.append(("past", clock.now())))
        await trio.sleep(3)
        seen.append(("slept", trio.current_time()))
        await trio.sleep(1_000_000)  # noqa: ASYNC116  # it ends, soon

    began = time.perf_counter()
    trio.run(main, clock=clock)
    assert time.perf_counter() - began < 5
    assert seen == [
        ("past", START),
        ("two", START + 2),
        ("two again", START + 2),
        ("slept", START + 3),
        ("five", START + 5),
    ]
    assert repr(clock) == "<VirtualClock at 1001003.000000>"


def test_a_clock_without_anybody_to_tell_lets_trio_wait() -> None:
    assert VirtualClock().deadline_to_sleep_time(math.inf) == math.inf


def test_a_clock_that_is_told_to_breaks_off_trios_loop() -> None:
    clock = VirtualClock()
    clock.call_at(START + 3, clock.break_off)

    async def main() -> None:
        keep()  # nobody may close it, for it is no task of anybody then
        await trio.sleep(10)

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main, clock=clock)
    assert isinstance(caught.value.__cause__, BrokenOff)
    assert clock.now() == START + 3


def test_a_limit_can_be_set_again() -> None:
    passed: list[float] = []

    def expired() -> None:
        passed.append(clock.now())
        if len(passed) < 3:
            clock.limit = clock.now() + 10

    clock = VirtualClock(limit=START + 5, expired=expired)

    async def main() -> None:
        await trio.sleep(100)

    trio.run(main, clock=clock)
    assert passed == [START + 5, START + 15, START + 25]
