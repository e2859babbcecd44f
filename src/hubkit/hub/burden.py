"""How busy this node is: a number for the others, where the distribution asks for it.

Law of this room: it samples once a beat and tells little. What is measured (all through the `Environment`) is smoothed,
rounded to steps, and said anew only when it has really changed; a quiet node says nothing.
"""

from __future__ import annotations

from typing import Any

from hubkit.environment import Environment

__all__ = ["Burden"]

#: a trio loop that is so many seconds late is as busy as it can be
LATE = 0.1
#: one measurement is at most so much: a process that stood still for an hour was not busy for an hour
MOST = 4.0


class Burden:
    """The smoothed load of one node. ``shown``: what the others are to know: 0 is idle, 1 as busy as it can be.

    It is the sum of the share of one processor that the process used, the delay of the trio loop in tenths of a second, and the
    share of the machine's memory that the process takes.
    """

    def __init__(self, environment: Environment, *, beat: float, half_life: float, step: float) -> None:
        self._environment = environment
        self._beat, self._half_life, self._step = beat, half_life, step
        self._last = environment.now()
        self._worked = environment.processor()
        self._smooth = 0.0
        self.shown: float = 0.0

    @classmethod
    def of(cls, distribution: Any, environment: Environment, beat: float) -> Burden | None:
        """What a distribution asks for; `None`: nothing."""
        if not hasattr(distribution, "assign"):
            return None
        return cls(environment, beat=beat, half_life=distribution.half_life, step=distribution.step)

    def sample(self, now: float) -> bool:
        """Once a beat: measure. Whether ``shown`` has changed."""
        passed, worked = now - self._last, self._environment.processor()
        if passed <= 0:
            return False
        late = max(0.0, passed - self._beat) / LATE
        load = min(MOST, (worked - self._worked) / passed + late + self._environment.memory())
        self._last, self._worked = now, worked
        kept = 0.5 ** (passed / self._half_life)
        self._smooth = kept * self._smooth + (1.0 - kept) * load
        if abs(self._smooth - self.shown) < self._step:
            return False
        rounded = round(round(self._smooth / self._step) * self._step, 6)
        changed, self.shown = rounded != self.shown, rounded
        return changed
