"""The one room with clocks and chance.

Law of this room: time, randomness and boot numbers enter hubkit here and nowhere else. Whoever needs them is handed an
`Environment`, so that a simulated one (virtual time, one seed) can take its place.

Time is read from a clock that goes on while the machine sleeps, where there is one: a laptop that was closed for an hour
has been silent for an hour, and must not believe its old view of the others.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable

__all__ = ["EPOCH", "Environment", "VirtualEnvironment"]

#: What wall clocks read at the beginning of virtual time: 2030-01-01 00:00 UTC, in seconds since 1970.
EPOCH = 1_893_456_000.0

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else -1


class Environment:
    """The real clocks and the real randomness of this process.

    ``random`` is for choices that need not be secret (jitter, samples); `token` for those that must be.
    """

    random: random.Random

    def __init__(self) -> None:
        self.random = random.Random(os.urandom(16))

    def now(self) -> float:
        """Monotonic seconds since some fixed moment, including the time for which the machine was suspended."""
        if _CLOCK < 0:  # pragma: no cover  # platforms without clock_gettime
            return time.monotonic()
        return time.clock_gettime(_CLOCK)

    def wall(self) -> float:
        """Seconds since the epoch, by the machine's clock. It may jump; nothing but stamps and displays uses it."""
        return time.time()

    def token(self, size: int) -> bytes:
        """``size`` unpredictable bytes."""
        return os.urandom(size)

    def jitter(self) -> float:
        """Between a half and one: the part of a pause to make, so that not all come back at once."""
        return 1.0 - 0.5 * self.random.random()

    def boot(self) -> int:
        """A number that grows with every start of a process on this machine: milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def processor(self) -> float:
        """Seconds that processors have worked for this process."""
        return time.process_time()

    def memory(self) -> float:
        """The share of the machine's memory that this process takes, from 0 to 1; 0 where that cannot be read."""
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) / os.sysconf("SC_PHYS_PAGES")
        except (OSError, ValueError, IndexError, AttributeError):  # pragma: no cover  # not on Linux
            return 0.0

    def label(self) -> str:
        """A name for this process that people recognise: its machine and process number."""
        return f"{platform.node() or 'localhost'}-{os.getpid()}"


class VirtualEnvironment(Environment):
    """What a process sees whose time is not that of the machine it runs on.

    ``label``: its name for people. ``now`` and ``wall``: its clocks. ``boot``: gives the numbers of processes that start.
    ``seed``: all chance follows from it, secret or not.
    """

    def __init__(
        self, label: str, *, now: Callable[[], float], wall: Callable[[], float], boot: Callable[[], int], seed: int
    ) -> None:
        self._label = label
        self.now: Callable[[], float] = now  # asked for each message: without a call in between
        self.wall: Callable[[], float] = wall
        self.boot: Callable[[], int] = boot
        self.random: random.Random = random.Random(f"process {seed}")
        self._tokens = random.Random(f"tokens {seed}")

    def token(self, size: int) -> bytes:
        """``size`` bytes that follow from the seed."""
        return self._tokens.randbytes(size)

    def label(self) -> str:
        """The name that it was given."""
        return self._label
