"""Values that come in pieces: put together whatever happens to the link, within bounds whatever a peer says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hubkit.errors import ProtocolViolation
from hubkit.net.cargo import BLOB, MAX_CARGO, MOST, Cargo, Cutter
from hubkit.node.assembly import GRANT, IDLE, KEEP, LEAST, OPEN, READ, REFUSE, WINDOW, Assembly

PEERS = ("a#1", "b#1", "c#1")


def filled(sizes: list[int], seed: int) -> Cargo:
    """A value of these parts, different for each seed."""
    parts = [bytes([(seed + n) % 256]) * size for n, size in enumerate(sizes)]
    return Cargo(parts[0], tuple(parts[1:]))


class Transfers(RuleBasedStateMachine):
    """Honest senders on links that break and return; some give up."""

    def __init__(self) -> None:
        super().__init__()
        self.link, self.node = 40 * BLOB, 60 * BLOB
        self.assembly = Assembly(self.link, self.node)
        self.now = 0.0
        self.number = 0
        self.cargos: dict[tuple[str, int], Cargo] = {}
        self.sent: dict[tuple[str, int], int] = {}
        self.until: dict[tuple[str, int], int] = {}
        self.up = set(PEERS)

    def hear(self, says: list[tuple[str, list[Any]]]) -> None:
        for peer, message in says:
            key = (peer, message[1])
            if key not in self.cargos:
                continue
            if message[0] == REFUSE:
                self.forget(key)
                continue
            assert message[0] == GRANT
            _, _, come, until = message
            assert 0 <= come <= until <= self.cargos[key].size
            if key in self.until:
                assert come <= self.sent[key]
                assert until >= self.until[key]
            else:
                self.sent[key] = come
            self.until[key] = until

    def forget(self, key: tuple[str, int]) -> None:
        for table in (self.cargos, self.sent, self.until):
            table.pop(key, None)

    @rule(peer=st.sampled_from(PEERS), sizes=st.lists(st.integers(BLOB, 8 * BLOB), min_size=1, max_size=4))
    def begin(self, peer: str, sizes: list[int]) -> None:
        if peer in self.up:
            self.number += 1
            cargo = self.cargos[peer, self.number] = filled(sizes, self.number)
            self.hear(self.assembly.begin(peer, self.number, cargo.sizes, self.now))

    @precondition(lambda self: self.until)
    @rule(data=st.data(), most=st.integers(1, 3 * BLOB))
    def piece(self, data: st.DataObject, most: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.until)))
        cargo, start = self.cargos[key], self.sent[key]
        piece = Cutter(cargo).piece(start, min(most, self.until[key] - start))
        if piece:
            self.sent[key] = start + len(piece)
            self.hear(self.assembly.piece(*key, start, piece, self.now))
        if self.sent[key] == cargo.size:
            assert self.assembly.take(*key) == cargo
            self.forget(key)
            self.hear(self.assembly.look(self.now))

    @precondition(lambda self: self.until)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.until)))
        self.assembly.drop(*key)
        self.forget(key)
        self.hear(self.assembly.look(self.now))

    @rule(peer=st.sampled_from(PEERS))
    def cut(self, peer: str) -> None:
        self.up.discard(peer)
        self.assembly.link_down(peer, self.now)
        self.until = {key: until for key, until in self.until.items() if key[0] != peer}

    @rule(peer=st.sampled_from(PEERS))
    def mend(self, peer: str) -> None:
        if peer in self.up:
            return
        self.up.add(peer)
        for key in [key for key in self.cargos if key[0] == peer]:
            self.hear(self.assembly.begin(*key, self.cargos[key].sizes, self.now))

    @rule(seconds=st.floats(0, 1.2 * KEEP))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.hear(self.assembly.look(self.now))

    @invariant()
    def within_bounds(self) -> None:
        figures = [self.assembly.figures(peer) for peer in PEERS]
        assert all(total <= self.link for _, total, _ in figures)
        assert sum(total for _, total, _ in figures) <= self.node
        assert all(come <= total for _, total, come in figures)

    def teardown(self) -> None:
        """Nobody waits for ever: when all links are up and senders go on, everything arrives."""
        for peer in PEERS:
            self.mend(peer)
        for _ in range(1000):
            if not self.cargos:
                return
            for key in sorted(self.until):
                while key in self.until and self.sent[key] < self.until[key]:
                    start = self.sent[key]
                    piece = Cutter(self.cargos[key]).piece(start, self.until[key] - start)
                    self.sent[key] += len(piece)
                    self.hear(self.assembly.piece(*key, start, piece, self.now))
                if key in self.until and self.sent[key] == self.cargos[key].size:
                    assert self.assembly.take(*key) == self.cargos[key]
                    self.forget(key)
            self.hear(self.assembly.look(self.now))
        raise AssertionError(self.cargos.keys())


Transfers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTransfers = Transfers.TestCase


@given(st.lists(st.integers(BLOB, 3 * BLOB), min_size=1, max_size=9), st.integers(500, 10 * BLOB))
def test_pieces_of_any_size_make_the_parts(sizes: list[int], most: int) -> None:
    assembly, cargo = Assembly(), filled(sizes, 0)
    assembly.begin("a#1", 1, cargo.sizes, 0.0)
    cutter = Cutter(cargo)
    for start in range(0, cutter.size, most):
        assembly.piece("a#1", 1, start, cutter.piece(start, most), 0.0)
    assert assembly.take("a#1", 1) == cargo


def test_a_value_of_many_parts_is_read_before_it_is_taken() -> None:
    head = b"\x83\x20\x00\x01\x82\x00\x05"
    assembly = Assembly()
    assembly.begin("a#1", 1, [len(head)], 0.0)
    assert assembly.unread("a#1", 1) is None
    assembly.piece("a#1", 1, 0, head, 0.0)
    cargo = assembly.unread("a#1", 1)
    assert cargo == Cargo(head)
    with pytest.raises(ProtocolViolation, match="before the large value in it"):
        assembly.take("a#1", 1)
    assert assembly.look(2 * IDLE) == []  # it is being read, however long that takes
    assert assembly.has_read("a#1", 2, cargo) == []
    assert assembly.has_read("a#1", 1, Cargo(head)) == []  # of another with that number, which was given up
    assembly.link_down("a#1", 2 * IDLE)
    assert assembly.has_read("a#1", 1, cargo) == []
    assert assembly.begin("a#1", 1, [len(head)], 2 * IDLE) == [("a#1", [GRANT, 1, 7, 7]), ("a#1", [READ, 1])]
    assert assembly.take("a#1", 1) is cargo
    assert assembly.unread("b#1", 1) is None


# -- peers that lie


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [-1], [True], ["1"], [1.0], [1, BLOB - 1], [1, -BLOB], [1 << 40], [1] + [BLOB] * (MOST // BLOB + 1)],
)
def test_parts_that_make_no_sense(sizes: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        Assembly().begin("a#1", 1, sizes, 0.0)


def test_what_is_too_large_is_refused_with_the_limit() -> None:
    ((peer, message),) = Assembly().begin("a#1", 1, [MOST, BLOB], 0.0)
    assert peer == "a#1"
    assert message[:2] == [REFUSE, 1]
    assert "at most 1,074,790,400 can come here" in message[2]


def begun(total: int = 10 * BLOB, **limits: int) -> Assembly:
    assembly = Assembly(**limits)
    assert assembly.begin("a#1", 1, [total], 0.0) == [("a#1", [GRANT, 1, 0, min(total, WINDOW)])]
    return assembly


@pytest.mark.parametrize(
    ("offset", "data"), [(1, b"x"), (-1, b"x"), (0, b""), (0, "x"), (0, None), (0, bytes(10 * BLOB + 1))]
)
def test_pieces_that_make_no_sense(offset: int, data: Any) -> None:
    with pytest.raises(ProtocolViolation):
        begun().piece("a#1", 1, offset, data, 0.0)


def test_more_than_was_granted_ends_it() -> None:
    assembly = begun(MAX_CARGO)
    with pytest.raises(ProtocolViolation, match="more of a large value has come than was granted"):
        assembly.piece("a#1", 1, 0, bytes(WINDOW + 1), 0.0)


def test_what_has_not_come_cannot_be_taken() -> None:
    for number in (1, 2):
        with pytest.raises(ProtocolViolation, match="before the large value in it"):
            begun().take("a#1", number)


@pytest.mark.parametrize("sizes", [[10 * BLOB], [11 * BLOB]])
def test_nothing_begins_twice_on_one_link(sizes: list[int]) -> None:
    with pytest.raises(ProtocolViolation, match="begins again"):
        begun().begin("a#1", 1, sizes, 0.0)


def test_what_comes_again_must_be_the_same() -> None:
    assembly = begun()
    assembly.piece("a#1", 1, 0, b"x", 0.0)
    assembly.link_down("a#1", 0.0)
    with pytest.raises(ProtocolViolation, match="begins again"):
        assembly.begin("a#1", 1, [11 * BLOB], 0.0)


def test_pieces_of_what_is_not_expected_are_dropped() -> None:
    assembly = begun()
    assert assembly.piece("a#1", 2, 0, b"x", 0.0) == []
    assert assembly.piece("b#1", 1, 0, b"x", 0.0) == []
    assert assembly.figures("a#1") == (1, 10 * BLOB, 0)


def test_who_begins_a_thousand_is_stopped_and_keeps_nobody_else_from_theirs() -> None:
    assembly = Assembly()
    says = [say for number in range(1000) for say in assembly.begin("a#1", number, [MAX_CARGO // 2], 0.0)]
    granted = [message for _, message in says if message[0] == GRANT]
    refused = [message for _, message in says if message[0] == REFUSE]
    assert (len(granted), len(refused)) == (2, 1000 - OPEN)
    assert f"{OPEN} others of your node have begun" in refused[0][2]
    assert assembly.begin("b#1", 1, [MAX_CARGO], 0.0)[0][1][0] == GRANT
    says = assembly.look(IDLE + 1)  # it never sent a byte
    assert [message[:2] for peer, message in says if peer == "a#1"] == [[REFUSE, number] for number in range(OPEN)]
    assert assembly.figures("a#1") == (0, 0, 0)


def test_a_window_is_shared_by_what_is_under_way_on_a_link() -> None:
    assembly = Assembly()
    grants = [assembly.begin("a#1", number, [MAX_CARGO // 16], 0.0)[0][1][3] for number in range(1, 13)]
    assert grants == [max(LEAST, WINDOW // number) for number in range(1, 13)]


def test_what_waits_for_a_link_makes_room_for_what_has_one() -> None:
    assembly = begun(10 * BLOB, link=10 * BLOB, node=10 * BLOB)
    assembly.piece("a#1", 1, 0, b"x", 0.0)
    assert assembly.begin("b#1", 1, [BLOB], 0.0) == []  # it waits
    assembly.link_down("a#1", 0.0)
    assert assembly.look(0.0) == [("b#1", [GRANT, 1, 0, BLOB])]
    assert assembly.figures("a#1") == (0, 0, 0)


def test_what_has_come_is_kept_for_a_while() -> None:
    assembly = begun()
    assembly.piece("a#1", 1, 0, bytes(BLOB), 0.0)
    assembly.link_down("a#1", 1.0)
    assert assembly.look(1.0 + KEEP) == []
    assert assembly.begin("a#1", 1, [10 * BLOB], 1.0 + KEEP) == [("a#1", [GRANT, 1, BLOB, 10 * BLOB])]
    assembly.link_down("a#1", 40.0)
    assembly.look(41.0 + KEEP)
    assert assembly.begin("a#1", 1, [10 * BLOB], 80.0) == [("a#1", [GRANT, 1, 0, 10 * BLOB])]


def test_the_largest_does_not_wait_for_ever_behind_small_ones() -> None:
    assembly = begun(10 * BLOB, link=10 * BLOB, node=12 * BLOB)
    assert assembly.begin("b#1", 1, [10 * BLOB], 0.0) == []
    assert assembly.begin("c#1", 1, [BLOB], 0.0) == []  # there would be room, but it is not its turn
    assembly.drop("a#1", 1)
    assert assembly.look(0.0) == [("b#1", [GRANT, 1, 0, 10 * BLOB]), ("c#1", [GRANT, 1, 0, BLOB])]
