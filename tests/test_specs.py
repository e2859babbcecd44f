"""Child specs: good values are kept, wrong ones refused where they are written down."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hub.actors import Counter

from hubkit.errors import ConfigurationError
from hubkit.specs import Backoff, ChildSpec, UnknownStart, check_count, check_flag, check_id, check_seconds


def test_a_spec_keeps_what_it_was_given() -> None:
    spec = ChildSpec("c", Counter, [1, 2], {"value": 3}, restart="transient", shutdown=math.inf)  # type: ignore[arg-type]  # a list will do
    assert (spec.id, spec.start, spec.args, dict(spec.kwargs)) == ("c", Counter, (1, 2), {"value": 3})
    assert (spec.restart, spec.shutdown, spec.mailbox, spec.backoff, spec.significant) == (
        "transient", math.inf, 1000, None, False,
    )  # fmt: skip
    assert hash(spec) == hash(replace(spec))
    with pytest.raises(FrozenInstanceError):
        spec.id = "d"  # type: ignore[misc]  # wrong on purpose
    with pytest.raises(TypeError):
        spec.kwargs["value"] = 4  # type: ignore[index]  # wrong on purpose


def test_a_spec_can_be_copied_pickled_and_varied() -> None:
    spec = ChildSpec("c", Counter, (1,), {"a": 1}, backoff=Backoff(first=1), mailbox=5)
    assert copy.deepcopy(spec) == spec == pickle.loads(pickle.dumps(spec))
    assert replace(spec, id="d").kwargs == spec.kwargs


def test_an_actor_that_is_not_known_here_can_stand_in_a_spec() -> None:
    assert ChildSpec("c", UnknownStart("elsewhere:Actor")).start.name == "elsewhere:Actor"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": ""}, "non-empty str"),
        ({"id": 5}, "non-empty str"),
        ({"id": "x" * 256}, "at most 255"),
        ({"start": object}, "Actor subclass"),
        ({"start": print}, "Actor subclass"),
        ({"start": None}, "Actor subclass"),
        ({"args": 5}, "args=\\(value,\\)"),
        ({"args": "text"}, "must be a tuple"),
        ({"kwargs": {1: 2}}, "str keys"),
        ({"kwargs": []}, "mapping"),
        ({"restart": "sometimes"}, "'permanent', 'transient', 'temporary'"),
        ({"restart": None}, "'permanent'"),
        ({"restart": ["permanent"]}, "'permanent'"),
        ({"shutdown": -1}, "zero or more"),
        ({"shutdown": math.nan}, "shutdown"),
        ({"shutdown": "5"}, "shutdown"),
        ({"shutdown": True}, "shutdown"),
        ({"mailbox": 0}, "at least 1"),
        ({"mailbox": 2.5}, "int"),
        ({"mailbox": True}, "int"),
        ({"significant": 1}, "True or False"),
        ({"backoff": 1.0}, "hubkit.Backoff"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        ChildSpec(**{**dict[str, Any](id="c", start=Counter), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"first": -1},
        {"first": 30.5},
        {"max": math.inf},
        {"max": 0, "first": 0},
        {"factor": 0.5},
        {"factor": True},
        {"jitter": 2},
        {"jitter": "0"},
    ],
)
def test_wrong_backoffs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"Backoff.{next(iter(change))}"):
        Backoff(**change)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_backoff_grows_to_its_bound_and_jitter_only_shortens_it(attempt: int, chance: float) -> None:
    backoff = Backoff(first=0.5, factor=3, max=20, jitter=0.25)
    full = Backoff(first=0.5, factor=3, max=20, jitter=0).delay(attempt, chance)
    assert full <= 20
    assert full == 20 or full == pytest.approx(0.5 * 3 ** (attempt - 1))
    assert full * 0.75 <= backoff.delay(attempt, chance) <= full


def test_the_checks_return_what_they_were_given() -> None:
    assert check_id("x") == "x"
    assert check_seconds(3, "it") == 3.0
    assert check_seconds(math.inf, "it", infinite=True) == math.inf
    assert check_count(0, "it") == 0
    assert check_flag(value=True, what="it") is True
    with pytest.raises(ConfigurationError, match="more than zero"):
        check_seconds(0, "it", zero=False)
    with pytest.raises(ConfigurationError, match="it must be"):
        check_seconds(math.inf, "it")
    with pytest.raises(ConfigurationError, match="it must be seconds"):
        check_seconds(10**400, "it", infinite=True)
    for value in (0, 1, None, "yes"):
        with pytest.raises(ConfigurationError, match="it must be True or False, not"):
            check_flag(value, "it")
