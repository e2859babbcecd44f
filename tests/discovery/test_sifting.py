"""What is made of answers: bounded, proper, and the same whatever the order they come in."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.discovery.protocol import USUAL, Pace
from hubkit.discovery.sifting import FORGIVEN, MOST, READ, Complaints, patience, sift
from hubkit.net.address import parse

A, B, OWN = "ws://10.0.0.1:4040", "ws://10.0.0.2:4040", "ws://10.0.0.9:4040"

items = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.builds("ws://10.0.0.{}:4040".format, st.integers(0, 300)),
)


def url(number: int) -> str:
    return f"ws://10.0.{number // 250}.{number % 250}:4040"


@given(st.lists(items, max_size=30))
def test_whatever_the_answer_is_proper_urls_come_out(answer: list[object]) -> None:
    sifted = sift(answer, OWN)
    assert len(sifted.urls) == len(set(sifted.urls)) <= MOST
    assert OWN not in sifted.urls
    assert all(str(parse(found)) == found for found in sifted.urls)
    assert sift(sifted.urls, OWN).complaints == ()


@given(st.sets(st.integers(0, 600), max_size=400), st.randoms(use_true_random=False))
def test_the_order_of_an_answer_that_was_good_before_does_not_matter(numbers: set[int], chance: object) -> None:
    answer = [url(number) for number in sorted(numbers)]
    first = sift(answer, None)
    chance.shuffle(answer)  # type: ignore[attr-defined]  # Hypothesis has no type for it
    assert sift(answer, None, first.urls) == first


def test_an_answer_is_cleaned() -> None:
    sifted = sift([B, A, f"{A}/", f"{OWN}/", A], OWN)
    assert sifted.urls == (A, B)
    assert sifted.complaints == ()


def test_garbage_is_left_out_and_told_in_one_line() -> None:
    sifted = sift([A, "http://10.0.0.3", "ws://evil\n:1", 7, None], None)
    assert sifted.urls == (A,)
    ((kind, text),) = sifted.complaints
    assert kind == "garbage"
    assert text.startswith("4 of 5 answers are no addresses; the first: it must be ws://host:port")
    assert text.isprintable()


def test_of_thousands_those_stay_that_were_there() -> None:
    known = [url(number) for number in range(1000, 1010)]
    sifted = sift([url(number) for number in range(2000)], None, known)
    assert len(sifted.urls) == MOST
    assert set(known) <= set(sifted.urls)
    assert sifted.complaints == (("many", f"of 2000 addresses only {MOST} are used"),)


def test_an_answer_without_end_has_one() -> None:
    sifted = sift((url(number % 60000) for number in count()), None)
    assert len(sifted.urls) == MOST
    assert sifted.complaints == (("many", f"of more than {READ} addresses only {MOST} are used"),)


@pytest.mark.parametrize("answer", [A, A.encode(), 5, None])
def test_what_is_no_list_is_an_error(answer: object) -> None:
    with pytest.raises(TypeError):
        sift(answer, None)  # type: ignore[arg-type]  # wrong on purpose


def test_patience_grows_up_to_its_limit() -> None:
    assert [patience(USUAL, failures) for failures in range(9)] == [5, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert patience(Pace(1, 0.5, 2), 10**6) == 2


def test_trouble_is_told_once_until_it_has_long_been_good() -> None:
    complaints = Complaints()
    assert [complaints.news(kind) for kind in ("slow", "slow", "garbage", "slow")] == [True, False, True, False]
    for _ in range(FORGIVEN - 1):
        complaints.good()
    assert not complaints.news("slow")
    for _ in range(FORGIVEN):
        complaints.good()
    assert complaints.news("slow")


def test_kinds_of_trouble_are_bounded() -> None:
    complaints = Complaints()
    told = sum(complaints.news(f"Error{number}") for number in range(10 * MOST))
    assert told == MOST
