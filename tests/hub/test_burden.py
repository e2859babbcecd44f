"""How busy a node says it is: measured through the environment, smoothed, and said rarely."""

from __future__ import annotations

from hubkit.environment import Environment
from hubkit.hub.burden import Burden
from hubkit.strategies import CentralizedLoadBalancer, ConsistentHashing


class Clocks(Environment):
    """Moved by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.time = self.worked = self.taken = 0.0

    def now(self) -> float:
        return self.time

    def processor(self) -> float:
        return self.worked

    def memory(self) -> float:
        return self.taken


def burden(clocks: Clocks, half_life: float = 1.0, step: float = 0.25) -> Burden:
    return Burden(clocks, beat=1.0, half_life=half_life, step=step)


def pass_by(clocks: Clocks, one: Burden, seconds: float, work: float = 0.0) -> bool:
    clocks.time += seconds
    clocks.worked += work
    return one.sample(clocks.time)


def test_who_does_not_ask_is_not_told() -> None:
    assert Burden.of(ConsistentHashing(), Clocks(), 1.0) is None
    assert Burden.of(CentralizedLoadBalancer(), Clocks(), 1.0) is not None


def test_the_idle_say_nothing() -> None:
    clocks = Clocks()
    one = burden(clocks)
    assert not any(pass_by(clocks, one, 1.0, 0.01) for _ in range(1000))
    assert one.shown == 0.0
    assert not one.sample(clocks.time)  # no time has passed


def test_work_is_smoothed_rounded_and_forgotten() -> None:
    clocks = Clocks()
    one = burden(clocks)
    assert pass_by(clocks, one, 1.0, 1.0)
    assert one.shown == 0.5
    told = [pass_by(clocks, one, 1.0, 1.0) for _ in range(20)]
    assert sum(told) == 1
    assert one.shown == 0.75  # within a step of 1
    told = [pass_by(clocks, one, 1.0) for _ in range(20)]
    assert 1 <= sum(told) <= 3
    assert one.shown == 0.0 or one.shown == 0.25


def test_a_late_loop_and_much_memory_count_and_a_long_sleep_not_for_ever() -> None:
    clocks = Clocks()
    one = burden(clocks)
    pass_by(clocks, one, 1.1)
    assert 0.25 <= one.shown <= 0.75
    pass_by(clocks, one, 3600.0)
    assert one.shown == 4.0
    for _ in range(10):
        pass_by(clocks, one, 1.0)
    assert one.shown <= 0.25
    clocks.taken = 0.9
    for _ in range(10):
        pass_by(clocks, one, 1.0)
    assert one.shown == 0.75 or one.shown == 1.0


def test_the_real_environment_measures_something() -> None:
    environment = Environment()
    assert environment.processor() > 0.0
    assert 0.0 <= environment.memory() < 1.0
