"""The policy of supervision: how an actor ended, what happened before, and the time now, give a verdict.

Law of this room: pure. It neither starts nor stops anything and reads no clock. The rules are those of OTP's supervisor:

==============  =====================  =====================
restart type    after a normal end     after a failure
==============  =====================  =====================
``permanent``   restarted              restarted
``transient``   kept, not running      restarted
``temporary``   forgotten              forgotten
==============  =====================  =====================

Restart intensity is a sliding window: when more than ``max_restarts`` restarts, this one included, lie within the last
``max_seconds``, both ends included, the supervisor gives up. Failed attempts to restart count as restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias, get_args

from hubkit.errors import ConfigurationError
from hubkit.specs import Backoff, ChildSpec, Restart, check_count, check_seconds

__all__ = [
    "AutoShutdown", "History", "Limits", "Strategy", "Verdict", "affected", "check_auto_shutdown", "check_significant",
    "check_strategy", "decide", "ends_supervisor", "restart_delay",
]  # fmt: skip

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]

#: The times of the latest restarts, oldest first.
History: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many restarts within how many seconds are borne."""

    max_restarts: int = 3
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        check_count(self.max_restarts, "max_restarts")
        check_seconds(self.max_seconds, "max_seconds", zero=False)


class Verdict(Enum):
    """What to do about a child that has ended."""

    RESTART = "restart"
    KEEP = "keep"
    """Keep its spec, do not run it: ``restart_child`` can."""
    FORGET = "forget"
    GIVE_UP = "give up"
    """Too many restarts: stop everything."""


def decide(restart: Restart, is_normal: bool, history: History, now: float, limits: Limits) -> tuple[Verdict, History]:
    """The verdict on a child that has ended, and the history from then on."""
    if restart == "temporary":
        return Verdict.FORGET, history
    if restart == "transient" and is_normal:
        return Verdict.KEEP, history
    window = (*(then for then in history if now <= then + limits.max_seconds), now)
    if len(window) > limits.max_restarts:
        return Verdict.GIVE_UP, window
    return Verdict.RESTART, window


def restart_delay(backoff: Backoff | None, attempt: int, chance: float) -> float:
    """Seconds to wait before restart number ``attempt`` in a row (from 1). ``chance``: a random number from 0 to 1."""
    return 0.0 if backoff is None else backoff.delay(attempt, chance)


def affected(strategy: Strategy, ids: Sequence[str], failed: str) -> tuple[str, ...]:
    """The children that are stopped and started again together with the one that failed, in starting order."""
    if strategy == "one_for_all":
        return tuple(ids)
    if strategy == "rest_for_one":
        return tuple(ids[ids.index(failed) :])
    return (failed,)


def ends_supervisor(auto_shutdown: AutoShutdown, significant: bool, other_significant_runs: bool) -> bool:
    """Whether a child that ended for good, and is not restarted, takes its supervisor along."""
    if not significant or auto_shutdown == "never":
        return False
    return auto_shutdown == "any_significant" or not other_significant_runs


def check_strategy(value: object) -> Strategy:
    """Return ``value`` if it is a strategy."""
    return _check_word(value, "strategy", Strategy)  # type: ignore[return-value]  # it is one of the words


def check_auto_shutdown(value: object) -> AutoShutdown:
    """Return ``value`` if it is a way to shut down."""
    return _check_word(value, "auto_shutdown", AutoShutdown)  # type: ignore[return-value]  # it is one of the words


def check_significant(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """A significant child needs a supervisor that heeds it, and an end of its own to be significant."""
    if not spec.significant:
        return
    if auto_shutdown == "never":
        msg = f"child {spec.id!r} is significant, but auto_shutdown is 'never': choose 'any_significant' or 'all_significant'"
        raise ConfigurationError(msg)
    if spec.restart == "permanent":
        msg = f"child {spec.id!r} is permanent, so it never ends of itself and cannot be significant"
        raise ConfigurationError(msg)


def _check_word(value: object, what: str, words: object) -> object:
    allowed = get_args(words)
    if value not in allowed:
        msg = f"{what} must be one of {', '.join(map(repr, allowed))}, not {value!r:.80}"
        raise ConfigurationError(msg)
    return value
