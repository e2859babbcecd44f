"""Checkers and networks as text, there and back."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from hubkit import testing
from hubkit.errors import ConfigurationError
from hubkit.testing.checkers import (
    balance,
    down_exactly_once,
    monotonic_terms,
    no_lost_child,
    registry_converges,
    single_owner,
)
from hubkit.testing.keeping import no_acked_message_lost
from hubkit.testing.watching import Checker
from hubkit.testing.written import CHECKERS, checker_text, network_text, read_checker, read_network

ALL = [
    balance(1.5),
    down_exactly_once(),
    monotonic_terms(),
    no_lost_child(30),
    registry_converges(0.1 + 0.2),
    single_owner(math.inf),
    no_acked_message_lost(),
]


def test_all_public_checkers_can_be_named() -> None:
    public = [getattr(testing, name) for name in testing.__all__ if inspect.isfunction(getattr(testing, name))]
    makers = {maker.__name__ for maker in public if maker.__annotations__.get("return") in (Checker, "Checker")}
    assert makers == set(CHECKERS) == {repr(checker).partition("(")[0] for checker in ALL}


@pytest.mark.parametrize("checker", ALL, ids=repr)
def test_a_checker_is_read_back_as_it_was(checker: Checker) -> None:
    text = checker_text(checker)
    assert text == repr(checker)
    assert read_checker(text) == checker


@pytest.mark.parametrize(
    ("text", "checker"),
    [
        ("single_owner(overlap=5.0)", single_owner(5.0)),
        ("  testing.single_owner( 5 ) ", single_owner(5.0)),
        ("single_owner(overlap=math.inf)", single_owner(math.inf)),
    ],
)
def test_a_checker_may_be_written_in_other_ways(text: str, checker: Checker) -> None:
    assert read_checker(text) == checker


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "no_lost_childs(5)",
            "is no checker that can be named. There are: balance, down_exactly_once, monotonic_terms, ",
        ),
        ("single_owner", "is no checker that can be named"),
        ("single_owner(", "is no checker that can be named"),
        ("", "is no checker that can be named"),
        ("single_owner(1) or x", "is no checker that can be named"),
        ("eval('1')", "is no checker that can be named"),
        ("single_owner(overlap=print(1))", "the arguments of single_owner must be numbers"),
        ("single_owner('1')", "the arguments of single_owner must be numbers"),
        ("single_owner(True)", "the arguments of single_owner must be numbers"),
        ("single_owner(*[1])", "the arguments of single_owner must be numbers"),
        ("single_owner(**{'overlap': 1})", "the arguments of single_owner must be numbers"),
        ("single_owner()", "missing 1 required positional argument: 'overlap'"),
        ("single_owner(within=1)", "unexpected keyword argument 'within'"),
        ("single_owner(-1)", "overlap must be seconds, zero or more, or math.inf; not -1"),
        ("single_owner(-'1')", "the arguments of single_owner must be numbers"),
    ],
)
def test_what_is_no_checker_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_checker(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ("simulated", "simulated"),
        ("websocket", "websocket"),
        ({"latency": 0.01}, "latency=0.01"),
        ({"bandwidth": 1e6, "jitter": 0, "break_rate": 1e-30}, "bandwidth=1000000.0,jitter=0,break_rate=1e-30"),
        ({"bandwidth": math.inf}, "bandwidth=inf"),
    ],
)
def test_a_network_is_read_back_as_it_was(network: Any, text: str) -> None:
    assert network_text(network) == text
    found = read_network(text)
    assert found == network
    if not isinstance(found, str):
        assert [type(value) for value in found.values()] == [type(value) for value in network.values()]


def test_no_options_are_the_usual_ones_and_strange_numbers_are_not_written() -> None:
    assert network_text({}) == "simulated"
    assert network_text({"latency": True}) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "carrier",
            "'carrier' is no network: write simulated, websocket, or some of latency, jitter, bandwidth, break_rate",
        ),
        ("", "is no network"),
        ("latency=1,latency=2", "each once"),
        ("latency=1,", "is no network"),
        ("latency", "latency must be a number, not ''"),
        ("latency=fast", "latency must be a number, not 'fast'"),
        ("latency=nan", "latency must be a number, at least 0, finite; not nan"),
        ("latency=-1", "latency must be a number, at least 0, finite; not -1"),
        ("bandwidth=0", "bandwidth must be a number, above 0"),
    ],
)
def test_what_is_no_network_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_network(text)
    assert complaint in str(caught.value)
