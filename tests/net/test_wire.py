"""Frames, pieces and outboxes: everything arrives once, in order, urgent messages first; and nothing else gets in."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import NotSerializable, ProtocolViolation
from hubkit.net.outbox import Outbox
from hubkit.net.transport import MAX_FRAME
from hubkit.net.wire import (
    BULK,
    CHUNK,
    MAX_MESSAGE,
    URGENT,
    Assembler,
    Kind,
    chunk,
    decode_frame,
    encode,
    encode_app,
    encode_frame,
)

sizes = st.integers(0, 300) | st.sampled_from([CHUNK - 20, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
actions = st.lists(st.tuples(sizes, st.booleans()) | st.none() | st.just("grow"), max_size=40)


class Grown:
    """A message to which numbers are added."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_open = True

    def close(self) -> tuple[bytes, int]:
        assert self.is_open
        self.is_open = False
        return encode_app([self.numbers, False, b""]), len(self.numbers)


@settings(max_examples=60)
@given(actions)
def test_what_is_put_is_what_arrives(actions: list[tuple[int, bool] | str | None]) -> None:
    """Put, take and add to the last in any order: both lanes keep their order, and frames stay small."""
    outbox, assembler = Outbox(1 << 30), Assembler()
    put: tuple[list[int], list[int]] = ([], [])
    got: tuple[list[int], list[int]] = ([], [])
    ended, grown = 0, Grown()

    def take() -> bool:
        nonlocal ended
        taken = outbox.take()
        if taken is None:
            return False
        frame, count = taken
        ended += count
        assert len(frame) <= 2 * CHUNK + 1000 <= MAX_FRAME
        for message in decode_frame(frame):
            whole = assembler.add(message) if message[0] == Kind.CHUNK else message
            if whole is not None:
                number, urgent, _ = whole[1]
                got[urgent].extend(number if type(number) is list else [number])
        return True

    for number, action in enumerate(actions):
        if action is None:
            take()
        elif isinstance(action, str):
            if not grown.is_open or not grown.numbers:
                grown = Grown()
                assert outbox.grow(grown)
            grown.numbers.append(number)
            put[0].append(number)
            assert len(outbox) > 0
        else:
            size, urgent = action
            put[urgent].append(number)
            assert outbox.put(encode_app([number, urgent, bytes(size)]), urgent=urgent)
    while take():
        pass
    assert got == put
    assert ended == len(put[0]) + len(put[1])
    assert outbox.size == len(outbox) == 0


def test_urgent_messages_slip_between_pieces() -> None:
    outbox = Outbox(1 << 30)
    outbox.put(encode_app([bytes(10 * CHUNK)]))
    outbox.take()
    outbox.put(encode(Kind.BEAT, {}), urgent=True)
    taken = outbox.take()
    assert taken is not None
    assert decode_frame(taken[0])[0] == [Kind.BEAT, {}]


def test_small_messages_share_a_frame() -> None:
    outbox = Outbox(1 << 30)
    for n in range(1000):
        outbox.put(encode_app([n]))
    taken = outbox.take()
    assert taken is not None
    frame, count = taken
    assert count == 1000
    assert [message[1] for message in decode_frame(frame)] == [[n] for n in range(1000)]


def test_an_outbox_is_bounded_by_its_limit_and_one_message_more() -> None:
    outbox = Outbox(100)
    assert outbox.put(b"x")
    assert outbox.put(bytes(1000))
    assert not outbox.put(b"x")
    assert len(outbox) == 2


def test_what_grows_counts_for_all_that_was_added_and_ends_where_the_limit_does() -> None:
    outbox = Outbox(100)
    grown, more = Grown(), Grown()
    grown.numbers += range(50)
    assert outbox.grow(grown)
    assert (outbox.settle(), len(outbox), grown.is_open) == (50, 1, False)
    assert outbox.grow(more)
    more.numbers += range(50)
    assert not outbox.grow(Grown())
    assert not outbox.put(b"x")
    assert outbox.settle() == 100
    taken = outbox.take()
    assert taken is not None
    assert [len(message[1][0]) for message in decode_frame(taken[0])] == [50, 50]
    assert taken[1] == 100
    assert (outbox.take(), outbox.settle(), outbox.size) == (None, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 10_000])
def test_frames_of_any_count(count: int) -> None:
    assert len(decode_frame(encode_frame([encode_app([])] * count))) == count


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\xa0",
        b"\x81\x00",
        b"\x81\x80",
        b"\x81\x81\xf5",
        b"\x81\x81\x61a",
        b"\x80\x80",
        b"\x81\xd8\x1c\x80",
        b"\xff",
    ],
)
def test_malformed_frames(frame: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_frame(frame)


@given(st.binary())
def test_any_bytes_are_a_frame_or_a_violation(data: bytes) -> None:
    try:
        messages = decode_frame(data)
    except ProtocolViolation:
        return
    assert all(type(message[0]) is int for message in messages)


@pytest.mark.parametrize(
    "piece",
    [
        [3],
        [3, 0, True],
        [3, 2, True, b"x"],
        [3, -1, True, b"x"],
        [3, True, True, b"x"],
        [3, 0, 1, b"x"],
        [3, 0, True, "x"],
        [3, 0, True, b""],
        [3, 0, True, b"x", 1],
        [3, 0, True, b"\x00"],
        [3, 0, True, b"\x80"],
        [3, 0, True, b"\x81\x03"],
        [3, 0, True, b"\xff"],
    ],
)
def test_malformed_pieces(piece: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        Assembler().add(piece)


def test_pieces_have_a_limit_in_each_lane() -> None:
    assembler = Assembler(limit=100)
    for lane in (URGENT, BULK):
        assert assembler.add(decode_frame(encode_frame([chunk(lane, bytes(80), last=False)]))[0]) is None
    with pytest.raises(ProtocolViolation, match="exceeds 100"):
        assembler.add([3, BULK, False, bytes(21)])


def test_what_can_never_travel() -> None:
    for value in (object(), "\ud800"):
        with pytest.raises(NotSerializable):
            encode_app([value])
    with pytest.raises(NotSerializable, match="too large"):
        encode_app([bytes(MAX_MESSAGE)])
    assert cbor2.loads(encode_app([1])) == [16, [1]]
