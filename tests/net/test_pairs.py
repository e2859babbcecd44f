"""Which link of a pair stays: every order of events, judged from both sides."""

from __future__ import annotations

import pytest

from hubkit.net.pairs import Attempt, Pairs


class Dial:
    """One dial, seen from its two ends, with the messages of its handshake in the order in which they pass.

    The steps: the greeting reaches the acceptor; the acceptor gives its proof; the dialer commits; the dialer's last word
    goes out and its link is up; it arrives and the acceptor's link is up.
    """

    STEPS = ("greet", "prove", "commit", "up here", "up there")

    def __init__(self, dialer: Pairs, acceptor: Pairs, dialer_name: str, acceptor_name: str) -> None:
        self.dialer, self.acceptor = dialer, acceptor
        self.names = dialer_name, acceptor_name
        self.out, self.into = Attempt(dialing=True), Attempt(dialing=False)
        self.given_up = False

    def step(self, step: str) -> None:
        if self.given_up:
            return
        if step == "greet":
            self.acceptor.greeted(self.into)
        elif step == "prove":
            assert self.acceptor.commit(self.into, self.names[0])
        elif step == "commit":
            if not self.dialer.commit(self.out, self.names[1]):
                self.given_up = True
                self.acceptor.ended(self.into)
                self.dialer.ended(self.out)
        elif step == "up here":
            self.dialer.establish(self.out)
        else:
            self.acceptor.establish(self.into)


def _interleavings(first: int, second: int) -> set[tuple[int, ...]]:
    if not first or not second:
        return {(0,) * first + (1,) * second}
    return {(0, *rest) for rest in _interleavings(first - 1, second)} | {
        (1, *rest) for rest in _interleavings(first, second - 1)
    }


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_both_sides_keep_the_same_link_whatever_the_order(first: str, second: str) -> None:
    for order in _interleavings(5, 5):
        sides = {name: Pairs(name) for name in "ab"}
        dials = [
            Dial(sides[first], sides[second], first, second),
            Dial(sides[second], sides[first], second, first),
        ]
        progress = [0, 0]
        for which in order:
            dials[which].step(Dial.STEPS[progress[which]])
            progress[which] += 1
        current = {name: sides[name]._current.get("b" if name == "a" else "a") for name in "ab"}
        kept = [dial for dial in dials if dial.out in current.values() or dial.into in current.values()]
        assert len(kept) == 1, order
        assert {kept[0].out, kept[0].into} == set(current.values()), order


@pytest.mark.parametrize("me", ["a", "c"])
@pytest.mark.parametrize("old_was_dialled", [True, False])
def test_a_peer_that_dials_anew_has_lost_the_old_link(me: str, old_was_dialled: bool) -> None:
    pairs = Pairs(me)
    old, new = Attempt(dialing=old_was_dialled), Attempt(dialing=False)
    pairs.greeted(old)
    assert pairs.commit(old, "b")
    assert pairs.establish(old) == (True, None)
    pairs.greeted(new)
    assert pairs.commit(new, "b")
    assert pairs.establish(new) == (True, old)
    pairs.ended(old)
    assert not pairs.commit(Attempt(dialing=True), "b")
    pairs.ended(new)
    pairs.ended(new)
    pairs.ended(Attempt(dialing=True))
    assert pairs.commit(Attempt(dialing=True), "b")


def test_one_dial_at_a_time_commits() -> None:
    pairs = Pairs("a")
    first, second = Attempt(dialing=True), Attempt(dialing=True)
    assert pairs.commit(first, "b")
    assert not pairs.commit(second, "b")
    pairs.ended(first)
    assert pairs.commit(second, "b")
