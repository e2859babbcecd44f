"""The clocks and the chance of one simulated machine.

Law of this room: each machine has clocks of its own, which agree with nobody's: its monotonic clock began at some moment of
its own, and may go too fast or too slow; its wall clock may be wrong. All of it follows from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from hubkit.environment import EPOCH, Environment

__all__ = ["Machine", "SimulatedEnvironment", "Ticking", "seeded"]


def seeded(what: str, seed: object) -> random.Random:
    """The source of all chance in one respect, from a simulation's seed."""
    return random.Random(f"hubkit {what} {seed}")


class Ticking(Protocol):
    """What says how much time has passed."""

    def now(self) -> float:
        """Seconds."""
        ...


class Machine:
    """The clocks of a machine. They outlive the processes on it.

    ``name``: of the node that lives on it. ``seed``: of the simulation. ``clock``: true time.
    """

    def __init__(self, name: str, seed: int, clock: Ticking) -> None:
        self.name: str = name
        self.seed: int = seed
        self._clock = clock
        self.rate: float = 1.0
        self.offset: float = 0.0
        self._began = self._anchor = clock.now()
        self._monotonic = seeded("machine", f"{seed} {name}").uniform(100.0, 1_000_000.0)
        self._wall = EPOCH
        self._boot = 0
        self.lives: int = 0

    def skew(self, *, offset: float, rate: float) -> None:
        """Set the wall clock ``offset`` seconds off true time; from now on both clocks go ``rate`` times as fast."""
        true = EPOCH + self._clock.now() - self._began
        self._monotonic = self.now()
        self._anchor = self._clock.now()
        self._wall = true + offset
        self.offset, self.rate = offset, rate

    def now(self) -> float:
        """Its monotonic clock."""
        return self._monotonic + (self._clock.now() - self._anchor) * self.rate

    def wall(self) -> float:
        """Its wall clock."""
        return self._wall + (self._clock.now() - self._anchor) * self.rate

    def boot(self) -> int:
        """A number for a process that starts: greater than that of any earlier one here, by whatever clock."""
        self._boot = max(self._boot + 1, int(self.wall() * 1000))
        return self._boot


class SimulatedEnvironment(Environment):
    """What one process on a machine sees of time and chance; of chance only after `begin`."""

    _tokens: random.Random

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.now: Callable[[], float] = machine.now  # asked for each message: without a call in between
        self.wall: Callable[[], float] = machine.wall  # likewise

    def begin(self) -> None:
        """The process begins: its chance is that of the next life on this machine."""
        self._machine.lives += 1
        source = f"{self._machine.seed} {self._machine.name} {self._machine.lives}"
        self.random: random.Random = seeded("process", source)
        self._tokens = seeded("tokens", source)

    def token(self, size: int) -> bytes:
        """``size`` bytes that follow from the seed."""
        return self._tokens.randbytes(size)

    def boot(self) -> int:
        """The number of this process."""
        return self._machine.boot()

    def processor(self) -> float:
        """No work takes time here."""
        return 0.0

    def memory(self) -> float:
        """Nor memory."""
        return 0.0

    def label(self) -> str:
        """The machine's name."""
        return self._machine.name
