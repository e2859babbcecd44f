"""What the partition strategies answer, and what they refuse to be made of."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hubkit.errors import ConfigurationError
from hubkit.strategies import ClusterView, DynamicQuorum, MajorityQuorum, QuorumView, StaticQuorum

VIEW = QuorumView()


def view(nodes: str, alive: str, now: float = 100.0, **lost: float) -> ClusterView:
    return ClusterView(tuple(nodes), tuple(alive), now, tuple(sorted(lost.items())))


def test_they_are_values() -> None:
    assert StaticQuorum(3) == StaticQuorum(3)
    assert hash(DynamicQuorum(50)) == hash(DynamicQuorum(50, 30.0))
    assert MajorityQuorum(voters=["b", "a"]) == MajorityQuorum(voters=("a", "b"))
    assert hash(MajorityQuorum(voters=["a"])) == hash(MajorityQuorum(voters={"a"}))
    assert (MajorityQuorum().initial_size, MajorityQuorum().track_max_size, MajorityQuorum().voters) == (1, True, None)


def test_a_static_quorum_counts() -> None:
    quorum = StaticQuorum(2)
    assert not quorum.allowed(view("abc", "a"))
    assert quorum.allowed(view("abc", "ab"))
    assert not quorum.is_quorum({"a"}, VIEW)
    assert quorum.is_quorum({"a", "b"}, VIEW)
    assert not quorum.is_quorum({"a", "b"}, QuorumView(3))
    assert quorum.needs(QuorumView(3)) == "3 nodes"
    assert [quorum.is_exact(names) for names in (3, 4)] == [True, False]
    assert quorum.check_size(7, 2) == 7


def test_a_majority_of_a_size() -> None:
    quorum = MajorityQuorum(initial_size=4)
    assert quorum.allowed(view("abcde", "abc"))
    assert not quorum.allowed(view("abcde", "ab"))
    assert not quorum.allowed(view("ab", "ab"))
    assert quorum.is_quorum("abc", VIEW)
    assert not quorum.is_quorum("ab", VIEW)
    assert quorum.is_quorum("ab", QuorumView(3))
    assert quorum.needs(QuorumView(5)) == "3 nodes"
    assert (quorum.grows, quorum.admits) == (4, None)
    assert not quorum.is_exact(4)
    assert MajorityQuorum(5, track_max_size=False).is_exact(5)
    assert not MajorityQuorum(5, track_max_size=False).is_exact(6)
    assert MajorityQuorum(5, track_max_size=False).grows is None
    assert MajorityQuorum(5, track_max_size=False).check_size(2, 4) == 2


def test_a_majority_of_voters() -> None:
    quorum = MajorityQuorum(voters=("a", "b", "c"))
    assert quorum.allowed(view("abc", "abc"))
    assert quorum.is_exact(100)
    assert (quorum.grows, quorum.admits) == (None, frozenset("abc"))
    assert not quorum.is_quorum("abde", VIEW)  # until it is known who votes: all of the first
    assert quorum.is_quorum("abc", VIEW)
    assert quorum.needs(VIEW) == "3 of the voters a, b, c"
    later = QuorumView(voters=frozenset("abcd"))
    assert not quorum.is_quorum("abx", later)
    assert quorum.is_quorum("bcd", later)
    assert quorum.needs(later) == "3 of the voters a, b, c, d"


def test_a_majority_of_voters_that_stay_the_same() -> None:
    quorum = MajorityQuorum(voters=("a", "b", "c"), track_max_size=False)
    assert quorum.admits is None
    assert quorum.is_quorum("ab", VIEW)
    assert not quorum.is_quorum("ad", QuorumView(voters=frozenset("ad")))
    assert quorum.needs(QuorumView(voters=frozenset("ad"))) == "2 of the voters a, b, c"


def test_a_dynamic_quorum_counts_what_was_lost_lately() -> None:
    quorum = DynamicQuorum(50, window=30.0)
    assert quorum.allowed(view("abcd", "abcd"))
    assert quorum.allowed(view("abcd", "abc", d=90.0))
    assert not quorum.allowed(view("abcd", "ab", c=90.0, d=95.0))
    assert quorum.allowed(view("abcd", "ab", c=69.0, d=95.0))  # c: too long ago
    assert not quorum.allowed(view("ab", "ab", c=90.0, d=95.0))  # removed meanwhile, and lost all the same
    assert quorum.needs(VIEW) == "more than 50 % of the nodes that there were 30 s ago"
    assert not quorum.is_exact(1)


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "3", None])
def test_sizes_are_counts(size: Any) -> None:
    with pytest.raises(ConfigurationError):
        StaticQuorum(size)
    with pytest.raises(ConfigurationError):
        MajorityQuorum(initial_size=size)
    with pytest.raises(ConfigurationError):
        StaticQuorum(2).check_size(size, 3)
    with pytest.raises(ConfigurationError):
        MajorityQuorum().check_size(size, 0)


def test_a_size_must_have_a_meaning() -> None:
    with pytest.raises(ConfigurationError, match="nodes in sight"):
        MajorityQuorum().check_size(2, 3)
    with pytest.raises(ConfigurationError, match="voters"):
        MajorityQuorum(voters=("a",)).check_size(2, 1)


@pytest.mark.parametrize("percent", [0, -5, 100.1, True, "50", None, math.nan])
def test_percentages_are_shares(percent: Any) -> None:
    with pytest.raises(ConfigurationError, match="percent"):
        DynamicQuorum(percent)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, True, "1"])
def test_windows_and_leases_are_times(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="window"):
        DynamicQuorum(50, window=seconds)
    with pytest.raises(ConfigurationError, match="lease"):
        StaticQuorum(2, lease=seconds)
    with pytest.raises(ConfigurationError, match="lease"):
        MajorityQuorum(lease=seconds)


@pytest.mark.parametrize("drift", [1, 2.0, -0.1, math.nan])
def test_drift_is_a_share(drift: Any) -> None:
    with pytest.raises(ConfigurationError, match="drift"):
        StaticQuorum(2, drift=drift)


@pytest.mark.parametrize("voters", ["abc", (), [""], [1], 7, ["a\nb"]])
def test_voters_are_names(voters: Any) -> None:
    with pytest.raises(ConfigurationError, match="voter"):
        MajorityQuorum(voters=voters)


def test_flags_are_flags() -> None:
    with pytest.raises(ConfigurationError, match="startup_confirm"):
        StaticQuorum(2, startup_confirm=1)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(ConfigurationError, match="track_max_size"):
        MajorityQuorum(track_max_size=None)  # type: ignore[arg-type]  # that is the mistake
