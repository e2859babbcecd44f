"""Limits of moves, and their veto: without a cluster."""

from __future__ import annotations

from hubkit.cluster.moves import Moves
from hubkit.strategies import ColdSwap, HotSwap


def test_without_limits_all_may_begin() -> None:
    moves = Moves("a#1", HotSwap())
    for number in range(100):
        assert moves.may_begin(f"c{number}", 0.0)
        moves.begun(f"c{number}")
    assert not moves.objects("c1", "b#1", leaving=False)
    assert not moves.over("c1"), "nobody waits"


def test_so_many_move_at_a_time() -> None:
    moves = Moves("a#1", ColdSwap(max_moves=2))
    for child in ("x", "y"):
        assert moves.may_begin(child, 0.0)
        moves.begun(child)
    assert not moves.may_begin("z", 0.0)
    assert moves.may_begin("x", 0.0), "it moves already"
    moves.begun("x")
    assert moves.waiting == {"z"}
    assert moves.over("x"), "somebody may look again"
    assert not moves.over("x"), "it does not move"
    assert moves.may_begin("z", 0.0)
    moves.begun("z")
    assert moves.waiting == set()


def test_so_many_begin_in_a_second() -> None:
    moves = Moves("a#1", HotSwap(max_rate=2.0))
    begun = []
    for tenth in range(40):
        child = f"c{tenth}"
        if moves.may_begin(child, tenth / 10):
            moves.begun(child)
            begun.append(tenth)
    assert begun[:2] == [0, 1]
    assert len(begun) == 9  # two at once, and two in each of four seconds, but for the last half
    assert moves.waiting


def test_less_than_one_in_a_second() -> None:
    moves = Moves("a#1", HotSwap(max_rate=0.25))
    assert moves.may_begin("x", 0.0)
    moves.begun("x")
    assert not moves.may_begin("y", 3.0)
    assert moves.may_begin("y", 4.0)


def test_a_veto_holds_nobody_who_leaves() -> None:
    asked = []

    def veto(child: str, source: str, target: str) -> bool:
        asked.append((child, source, target))
        return True

    moves = Moves("a#1", HotSwap(veto=veto))
    assert moves.objects("x", "b#7", leaving=False)
    assert not moves.objects("x", "b#7", leaving=True)
    assert asked == [("x", "a", "b")]
