"""Round trips: measured by one clock, of what was asked, and never without end."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.net.peers import Peer, impostor, pair, running, until

from hubkit.net.pulse import Pasts, Pulse, RoundTrip
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.wire import Kind, decode_frame, encode, encode_frame
from hubkit.node.options import clocks_of


def test_nothing_measured_is_no_figure() -> None:
    pulse = Pulse()
    assert pulse.figures() is None
    pulse.answered(1, 5.0)  # nobody asked
    assert pulse.figures() is None


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=400))
def test_figures_are_of_the_latest_measurements(trips: list[float]) -> None:
    pulse = Pulse()
    for trip in trips:
        number = pulse.ask(0.0)
        assert number is not None
        pulse.answered(number, trip)
        pulse.answered(number, 1000.0)  # twice says nothing
    figures = pulse.figures()
    kept = sorted(trips[-256:])
    assert figures is not None
    assert figures.count == len(kept)
    assert figures.least == kept[0] <= figures.median <= figures.p99 <= kept[-1]
    assert sum(trip <= figures.p99 for trip in kept) >= 0.99 * len(kept)
    assert sum(trip <= figures.median for trip in kept) >= 0.5 * len(kept)


def test_questions_without_answers_are_bounded() -> None:
    pulse = Pulse()
    assert [pulse.ask(0.0) for _ in range(10)] == [1, 2, 3, 4, 5, 6, 7, 8, None, None]
    pulse.answered(3, 2.0)
    assert pulse.ask(2.0) == 9


def test_a_new_boot_has_the_past_of_the_old_one_and_the_past_is_bounded() -> None:
    pasts = Pasts()
    pasts.of("a#1").ups += 1
    assert pasts.of("a#2").ups == 1
    for n in range(5000):
        pasts.of(f"n{n}#1")
    assert len(pasts._known) == 4096


async def test_the_round_trip_of_a_link_is_that_of_the_network(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork(seed=1)
    ways = [network.transport(name) for name in "ab"]
    a = Peer("a", transport=ways[0], environment=clocks_of(None, ways[0]))
    b = Peer("b", transport=ways[1], environment=clocks_of(None, ways[1]), seeds=[network.address("a")])
    network.link("a", "b", latency=0.03, jitter=0.0)
    async with running(a, b):
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        await trio.sleep(9)
        for one, other in ((a, b), (b, a)):
            link = one.mesh.links[other.id]
            assert link.state == "up"
            assert link.age == pytest.approx(9, abs=0.5)
            trip = link.round_trip
            assert trip is not None
            assert trip.count == 3  # when it came up, and every four beats
            assert trip.least == pytest.approx(0.06, abs=0.001)
            assert trip.least <= trip.median <= trip.p99 < 0.07


async def test_a_measurement_over_a_real_socket() -> None:
    async with pair(beat=0.02) as (a, b):
        await until(lambda: (trip := a.mesh.links[b.id].round_trip) is not None and trip.count >= 3)
        trip = a.mesh.links[b.id].round_trip
        assert isinstance(trip, RoundTrip)
        assert 0 < trip.least < 1


async def test_who_does_not_say_that_it_answers_is_not_asked_and_whoever_asks_is_answered() -> None:
    async with pair(beat=0.02) as (a, _), impostor(a) as link:
        await link.send(encode_frame([encode(Kind.PING, 77)]))
        seen: list[int] = []
        while Kind.PONG not in seen:
            seen += [message[0] for message in decode_frame(await link.receive())]
        for _ in range(8):
            seen += [message[0] for message in decode_frame(await link.receive())]
        assert Kind.PING not in seen


async def test_a_malformed_measurement_ends_the_link() -> None:
    async with pair() as (a, b), impostor(a) as link:
        await until(lambda: "x#1" in a.mesh.links)
        await link.send(encode_frame([encode(Kind.PONG, "now")]))
        await until(lambda: a.said("down", "x#1", False))
        assert a.linked_to(b)


async def test_a_link_that_came_again_says_so_and_why_the_last_one_ended() -> None:
    async with pair(beat=0.05) as (a, b):
        before = a.mesh.links[b.id]
        assert (before.reconnects, before.last_error) == (0, None)
        a.mesh.close_link(b.id, "just so")
        await until(lambda: a.log.count(("up", b.id)) >= 2 and b.id in a.mesh.links)
        after = a.mesh.links[b.id]
        assert after.last_error
        if after.reconnects > 1:  # both have dialled at once
            assert "newer link" in after.last_error
        else:
            assert (after.reconnects, "just so" in after.last_error) == (1, True)


async def test_who_is_dialled_in_vain_is_told_with_why() -> None:
    a = Peer("a", seeds=["ws://127.0.0.1:9"])
    async with running(a):
        await until(lambda: a.mesh.missing)
        ((node, address, error),) = a.mesh.missing
        assert (node, address) == (None, "ws://127.0.0.1:9")
        assert "refused" in error.lower()
