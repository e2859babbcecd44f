"""Who is named as a forger, and that no honest node is."""

from __future__ import annotations

import pytest

from hubkit.cluster import suspicion
from hubkit.cluster.rows import Key, Row, Run
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.suspicion import Suspicion

KEY: Key = ("run", "x", "w#1")
SAID = (5, 0)
TOLD = Stamp(7, 0, "w#1")


def row(stamp: Stamp) -> Row:
    return Row(stamp, Run(1, "active"))


def suspecting(*, key: Key = KEY, stamp: Stamp = TOLD) -> Suspicion:
    """Node t has told of w what w has not said; and w's own word is without it."""
    suspects = Suspicion()
    suspects.heard("t#1", "w#1", SAID)
    suspects.gone("w#1", [(key, stamp)])
    return suspects


def beats(suspects: Suspicion, rows: dict[Key, Row], count: int = 5) -> list[tuple[str, str]]:
    for _ in range(count):
        suspects.beat(rows)
    return suspects.forgers


def test_who_told_what_nobody_wrote_is_named_once_after_two_beats() -> None:
    suspects = suspecting()
    assert beats(suspects, {}, 2) == []
    assert beats(suspects, {}) == [("t#1", "w#1")]
    suspects.gone("w#1", [(KEY, TOLD)])
    assert beats(suspects, {}) == [("t#1", "w#1")]


@pytest.mark.parametrize("by", ["w#1", "heir#1"])
def test_who_passed_on_what_was_replaced_is_not(by: str) -> None:
    suspects = suspecting()
    assert beats(suspects, {}, 1) == []
    assert beats(suspects, {KEY: row(Stamp(8, 0, by))}) == []
    assert beats(suspects, {}) == []


def test_an_older_row_is_no_excuse() -> None:
    assert beats(suspecting(), {KEY: row(Stamp(6, 0, "heir#1"))}) == [("t#1", "w#1")]


@pytest.mark.parametrize(
    ("key", "stamp"),
    [
        (("run", "x", "other#1"), TOLD),
        (KEY, Stamp(7, 0, "other#1")),
        (KEY, Stamp(5, 0, "w#1")),
    ],
    ids=["of another", "by another", "said already"],
)
def test_what_is_no_word_of_the_writers_own_says_nothing(key: Key, stamp: Stamp) -> None:
    assert beats(suspecting(key=key, stamp=stamp), {}) == []


def test_what_nobody_else_told_says_nothing() -> None:
    suspects = Suspicion()
    suspects.gone("w#1", [(KEY, TOLD)])
    assert not suspects.concerns("w#1")
    suspects.heard("t#1", "w#1", SAID)
    suspects.heard("u#1", "w#1", (4, 0))
    assert suspects.concerns("w#1")
    suspects.down("w#1")
    suspects.gone("w#1", [(KEY, TOLD)])
    assert beats(suspects, {}) == []


def test_who_is_outgrown_is_named_at_once() -> None:
    suspects = Suspicion()
    suspects.heard("t#1", "w#1", SAID)
    known = {KEY: row(TOLD)}
    anew: dict[Key, Row] = {("run", child, "w#1"): row(Stamp(9, 0, "w#1")) for child in "xy"}
    suspects.outgrown("w#1", anew, {}, SAID)
    suspects.outgrown("w#1", {KEY: row(Stamp(9, 0, "w#1"))}, known, SAID)
    suspects.outgrown("w#1", {**anew, KEY: row(TOLD)}, known, SAID)
    suspects.outgrown("w#1", anew, known, TOLD[:2])
    assert suspects.forgers == []
    suspects.outgrown("w#1", anew, known, SAID)
    assert suspects.forgers == [("t#1", "w#1")]
    nobody = Suspicion()
    nobody.outgrown("w#1", anew, known, SAID)
    assert nobody.forgers == []


def test_what_is_waited_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicion, "_MOST", 2)
    suspects = suspecting()
    suspects.gone("w#1", [(("run", child, "w#1"), TOLD) for child in "abc"])
    assert len(suspects._waiting) == 2
