"""Who may come in: what one address may have, and who makes room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.net import gate
from hubkit.net.gate import Gate, Visit, origin_of


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a client", "a client"),
    ],
)
def test_what_counts_as_one_address(host: str, origin: str) -> None:
    assert origin_of(host) == origin


def let_in(one: Gate, host: str, now: float = 0.0) -> Visit:
    visit = one.enter(host, now)
    assert isinstance(visit, Visit), visit
    return visit


def test_one_address_may_have_so_many_connections_and_others_are_not_touched() -> None:
    one = Gate(per_address=4, strangers=100)
    visits = [let_in(one, "10.0.0.1") for _ in range(4)]
    for visit in visits:
        one.proved(visit)  # what they have proved does not matter: links are counted, too
    assert one.enter("10.0.0.1", 100.0) == "it has 4 connections, and may not have more (per_address)"
    let_in(one, "10.0.0.2", 100.0)
    one.left(visits[2])
    let_in(one, "10.0.0.1", 100.0)


def test_so_many_come_at_once_and_then_a_quarter_a_second() -> None:
    one = Gate(per_address=8, strangers=100)
    for _ in range(8):
        one.left(let_in(one, "10.0.0.1"))
    assert one.enter("10.0.0.1", 0.4) == "it opens more than 2 connections a second (a quarter of per_address)"
    one.left(let_in(one, "10.0.0.2", 0.4))
    came = [moment / 10 for moment in range(4, 104) if not isinstance(one.enter("10.0.0.1", moment / 10), str)]
    assert len(came) == 8  # none has left
    assert came[0] == pytest.approx(0.5)
    assert came[-1] == pytest.approx(4.0)


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    one = Gate(per_address=1, strangers=100)
    one.left(let_in(one, "10.0.0.1", 100.0))
    assert isinstance(one.enter("10.0.0.1", 0.0), str)
    assert isinstance(one.enter("10.0.0.1", 3.9), str)
    let_in(one, "10.0.0.1", 4.0)


def test_of_one_address_half_may_be_strange_and_its_oldest_makes_room() -> None:
    one = Gate(per_address=100, strangers=8)
    honest = let_in(one, "10.0.0.2")
    assert one.crowded_out(honest) is None
    strangers = []
    for _ in range(4):
        strangers.append(let_in(one, "10.0.0.1"))
        assert one.crowded_out(strangers[-1]) is None
    one.proved(strangers[0])  # no stranger any more: it stays
    for out in strangers[1:3]:
        strangers.append(let_in(one, "10.0.0.1"))
        assert one.crowded_out(strangers[-1]) is (None if out is strangers[1] else strangers[1])
    assert honest.strange


def test_the_address_that_has_most_makes_room_for_others() -> None:
    one = Gate(per_address=100, strangers=4)
    honest, first = let_in(one, "10.0.0.3"), let_in(one, "10.0.0.1")
    for host in ("10.0.0.1", "10.0.0.2"):
        assert one.crowded_out(let_in(one, host)) is None
    assert one.crowded_out(let_in(one, "10.0.0.4")) is first
    # One of each: now the oldest of all.
    assert one.crowded_out(let_in(one, "10.0.0.5")) is honest


def test_strangers_may_be_one() -> None:
    one = Gate(per_address=100, strangers=1)
    first = let_in(one, "10.0.0.1")
    assert one.crowded_out(first) is None
    assert one.crowded_out(let_in(one, "10.0.0.2")) is first


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MOST", 50)
    one = Gate(per_address=8, strangers=100)
    stays = let_in(one, "10.0.0.1")
    for number in range(1000):
        for _ in range(8):
            visit = one.enter(f"10.1.{number // 250}.{number % 250}", 0.0)
            assert isinstance(visit, Visit)
            one.left(visit)
        assert len(one) <= 52
    assert stays.strange
    one.left(stays)
    one.left(let_in(one, "10.0.0.2", 1000.0))
    for moment in range(1001, 1030):
        one.left(let_in(one, "10.0.0.2", moment))
    assert len(one) == 1  # the others are as if they had never been


def hosts() -> Iterator[str]:
    yield from (f"10.0.0.{number}" for number in range(1, 5))


@given(st.lists(st.tuples(st.sampled_from([*hosts()]), st.sampled_from(["enter", "prove", "leave"]), st.floats(0, 2))))
def test_whatever_happens_the_counts_hold(steps: list[tuple[str, str, float]]) -> None:
    one, now = Gate(per_address=4, strangers=4), 0.0
    there: list[Visit] = []
    for host, step, pause in steps:
        now += pause
        mine = [visit for visit in there if visit.origin == host]
        if step == "enter":
            visit = one.enter(host, now)
            assert isinstance(visit, str) or len(mine) < 4
            if isinstance(visit, Visit):
                there.append(visit)
                out = one.crowded_out(visit)
                assert out is not visit
                if out is not None:
                    one.left(out)
                    there.remove(out)
        elif mine:
            if step == "prove":
                one.proved(mine[0])
            else:
                one.left(mine[0])
                there.remove(mine[0])
        strange = [visit.origin for visit in there if visit.strange]
        assert len(strange) <= 4
        assert all(strange.count(name) <= 2 for name in hosts())
        assert one._strangers == len(strange)
        assert set(one._crowds) == set(strange)
