"""The policy, case by case, and against a naive model."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.kit import Counter

from hubkit.errors import ConfigurationError
from hubkit.specs import Backoff, ChildSpec, Restart
from hubkit.supervision.restarts import (
    AutoShutdown,
    Limits,
    Strategy,
    Verdict,
    affected,
    check_auto_shutdown,
    check_significant,
    check_strategy,
    decide,
    ends_supervisor,
    restart_delay,
)

LIMITS = Limits(3, 5.0)


@pytest.mark.parametrize(
    ("restart", "is_normal", "verdict"),
    [
        ("permanent", True, Verdict.RESTART),
        ("permanent", False, Verdict.RESTART),
        ("transient", True, Verdict.KEEP),
        ("transient", False, Verdict.RESTART),
        ("temporary", True, Verdict.FORGET),
        ("temporary", False, Verdict.FORGET),
    ],
)
def test_the_table(restart: Restart, is_normal: bool, verdict: Verdict) -> None:
    found, history = decide(restart, is_normal, (1.0,), 2.0, LIMITS)
    assert found is verdict
    assert history == ((1.0, 2.0) if verdict is Verdict.RESTART else (1.0,))


def test_the_restart_after_the_last_that_is_borne_is_one_too_many() -> None:
    history: tuple[float, ...] = ()
    for now in (1.0, 2.0, 3.0):
        verdict, history = decide("permanent", False, history, now, LIMITS)
        assert verdict is Verdict.RESTART
    assert decide("permanent", False, history, 4.0, LIMITS)[0] is Verdict.GIVE_UP
    # At 6.0 the first is just inside, a moment later it is outside.
    assert decide("permanent", False, history, 6.0, LIMITS)[0] is Verdict.GIVE_UP
    assert decide("permanent", False, history, 6.001, LIMITS) == (Verdict.RESTART, (2.0, 3.0, 6.001))


def test_no_restart_at_all_may_be_borne() -> None:
    assert decide("permanent", False, (), 0.0, Limits(0, 1.0))[0] is Verdict.GIVE_UP


@given(
    st.lists(st.floats(0, 10, allow_nan=False), max_size=30),
    st.integers(0, 5),
    st.floats(0.5, 20, allow_nan=False),
)
def test_the_window_slides(steps: list[float], most: int, seconds: float) -> None:
    now = 0.0
    history: tuple[float, ...] = ()
    all_times: list[float] = []
    for step in steps:
        now += step
        all_times.append(now)
        verdict, history = decide("permanent", False, history, now, Limits(most, seconds))
        recent = [then for then in all_times if now <= then + seconds]
        assert (verdict is Verdict.GIVE_UP) == (len(recent) > most)


@pytest.mark.parametrize(
    ("strategy", "ids"),
    [("one_for_one", ("b",)), ("one_for_all", ("a", "b", "c")), ("rest_for_one", ("b", "c"))],
)
def test_whom_a_failure_concerns(strategy: Strategy, ids: tuple[str, ...]) -> None:
    assert affected(strategy, ["a", "b", "c"], "b") == ids


@pytest.mark.parametrize(
    ("auto_shutdown", "significant", "others", "ends"),
    [
        ("never", True, False, False),
        ("any_significant", False, False, False),
        ("any_significant", True, True, True),
        ("all_significant", True, True, False),
        ("all_significant", True, False, True),
    ],
)
def test_whom_a_significant_end_takes_along(
    auto_shutdown: AutoShutdown, significant: bool, others: bool, ends: bool
) -> None:
    assert ends_supervisor(auto_shutdown, significant, others) is ends


def test_the_wait_before_a_restart() -> None:
    assert restart_delay(None, 5, 0.5) == 0.0
    backoff = Backoff(1.0, 2.0, 10.0, 0.5)
    assert [restart_delay(backoff, attempt, 0.0) for attempt in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 10.0]
    assert restart_delay(backoff, 1, 1.0) == 0.5


def test_significant_children_are_checked_as_otp_does() -> None:
    plain = ChildSpec("a", Counter)
    significant = ChildSpec("a", Counter, significant=True, restart="transient")
    forever = ChildSpec("a", Counter, significant=True)
    check_significant(plain, "never")
    check_significant(significant, "any_significant")
    with pytest.raises(ConfigurationError, match="auto_shutdown is 'never'"):
        check_significant(significant, "never")
    with pytest.raises(ConfigurationError, match="permanent"):
        check_significant(forever, "all_significant")


@pytest.mark.parametrize("word", [*get_args(Strategy)])
def test_strategies_are_words(word: str) -> None:
    assert check_strategy(word) == word


@pytest.mark.parametrize("wrong", ["one for one", 5, None])
def test_other_words_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="strategy must be one of 'one_for_one'"):
        check_strategy(wrong)
    with pytest.raises(ConfigurationError, match="auto_shutdown must be one of 'never'"):
        check_auto_shutdown(wrong)
    assert check_auto_shutdown("never") == "never"


@pytest.mark.parametrize(
    ("most", "seconds"), [(-1, 5.0), (1.5, 5.0), (True, 5.0), (3, 0), (3, -1), (3, math.nan), (3, math.inf), (3, "5")]
)
def test_limits_are_checked(most: Any, seconds: Any) -> None:
    with pytest.raises(ConfigurationError):
        Limits(most, seconds)
