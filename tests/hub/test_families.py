"""What a strategy lacks is said where it is given to the hub."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import hubkit
from hubkit.errors import ConfigurationError
from hubkit.strategies import StaticQuorum


def place(child: Any, nodes: Any, copies: Any) -> list[str]:
    return []


def one(argument: Any) -> int:
    return 1


def two(first: Any, second: Any) -> bool:
    return True


def own(**attributes: Any) -> Any:
    return SimpleNamespace(**attributes)


def unlucky(nodes: int) -> int:
    raise KeyError(nodes)


class Unreadable:
    @property
    def warm(self) -> bool:
        msg = "no"
        raise ValueError(msg)


@pytest.mark.parametrize(
    ("family", "strategy", "what"),
    [
        ("distribution", object(), r"distribution must be a value with \.place"),
        ("distribution", StaticQuorum, r"distribution must be a value with \.place"),
        ("distribution", own(place="here"), r"distribution\.place must be a method that takes 3 arguments"),
        ("distribution", own(place=one), r"distribution\.place must be a method that takes 3 arguments"),
        (
            "distribution",
            own(place=place, prepare=None),
            r"distribution\.prepare must be a method that takes 1 argument:",
        ),
        ("distribution", own(place=place, assign=one), r"distribution has assign, so it must have \.half_life, too"),
        (
            "distribution",
            own(place=place, assign=one, half_life=1, step=1),
            r"distribution\.assign must be a method that takes 4",
        ),
        ("distribution", own(place=place, step=0), r"distribution\.step must be a number above 0, not 0"),
        ("redundancy", own(copies=two), r"redundancy\.copies must be a method that takes 1 argument:"),
        ("redundancy", own(copies=len), r"redundancy\.copies\(0\) of SimpleNamespace raised TypeError"),
        ("redundancy", own(copies=unlucky), r"redundancy\.copies\(0\) of SimpleNamespace raised KeyError"),
        (
            "redundancy",
            own(copies=lambda nodes: nodes),
            r"redundancy\.copies\(0\) must be a number of copies, 1 at least",
        ),
        ("redundancy", own(copies=one, active="both"), r"redundancy\.active must be 'one' or 'all', not 'both'"),
        ("redundancy", own(copies=one, checkpoint=-1), r"redundancy\.checkpoint must be 'manual', or seconds above 0"),
        ("migration", own(), r"migration must be a value with \.warm"),
        ("migration", own(warm=1), r"migration\.warm must be True or False, not 1"),
        ("migration", Unreadable(), r"migration\.warm of Unreadable cannot be read"),
        ("migration", own(warm=True, handover="yes"), r"migration\.handover must be True or False"),
        ("migration", own(warm=True, retention=None), r"migration\.retention must be seconds, 0 or more"),
        ("migration", own(warm=True, max_moves=0), r"migration\.max_moves must be None, or a number of children"),
        ("migration", own(warm=True, max_rate=float("inf")), r"migration\.max_rate must be None, or children a second"),
        ("migration", own(warm=True, veto=two), r"migration\.veto must be None, or a function of"),
        ("synchronization", own(targets=two), r"synchronization must have \.sync_interval, too"),
        ("synchronization", own(sync_interval=1), r"synchronization must be a value with \.targets"),
        (
            "synchronization",
            own(targets=two, sync_interval=0),
            r"synchronization\.sync_interval must be seconds above 0",
        ),
        (
            "synchronization",
            own(targets=one, sync_interval=1),
            r"synchronization\.targets must be a method that takes 2",
        ),
        (
            "partition_tolerance",
            own(allowed=two),
            r"partition_tolerance\.allowed must be a method that takes 1 argument:",
        ),
        ("partition_tolerance", own(allowed=one, is_quorum=two), r"partition_tolerance has is_quorum, so it must have"),
        (
            "partition_tolerance",
            own(allowed=one, is_quorum=two, needs=two, lease=1, stop=1, drift=0),
            r"partition_tolerance\.needs must be a method that takes 1",
        ),
        (
            "partition_tolerance",
            own(allowed=one, is_quorum=two, needs=one, lease=1, stop=1, drift=1),
            r"partition_tolerance\.drift must be a share",
        ),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said_at_once(family: str, strategy: Any, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        hubkit.Hub("shop", **{family: strategy})


def test_anything_that_has_the_methods_will_do() -> None:
    class Wide:
        def __call__(self, *arguments: Any) -> bool:
            return True

    hub = hubkit.Hub(
        "shop",
        distribution=own(place=place, prepare=one),
        redundancy=own(copies=one, active="all", checkpoint=1.5),
        migration=own(warm=False, handover=False, retention=0, max_moves=1, max_rate=0.5, veto=Wide()),
        synchronization=own(targets=max, sync_interval=1),  # a built-in one, which does not say what it takes
        partition_tolerance=own(allowed=one, is_quorum=two, needs=one, lease=4.0, stop=0, drift=0),
    )
    assert not hasattr(hub, "missing")
