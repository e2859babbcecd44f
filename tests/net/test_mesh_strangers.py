"""The mesh over real sockets: who is let in, what strangers and errors cost, and what operators get."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.net.peers import SECRET, Peer, impostor, pair, running, until, warnings
from trio.testing import MockClock

from hubkit.environment import Environment
from hubkit.errors import DialFailed, HandshakeRefused, LinkClosed, ProtocolViolation
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.operator import ask
from hubkit.net.simulated import SimulatedNetwork
from hubkit.net.transport import MAX_FRAME, Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import Kind, decode_frame, encode, encode_frame

# -- who is let in


async def test_a_wrong_secret_is_refused_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url], secrets=[b"another"])
        await nursery.start(b.run)
        await until(lambda: b.said("seed failed", a.url, HandshakeRefused))
        assert any("same secret" in line for line in warnings(caplog))
        assert not a.log[1:]


async def test_secrets_are_rotated_without_a_break() -> None:
    async with pair(secrets=[SECRET]) as (a, b), running() as nursery:
        c = Peer("c", seeds=[a.url], secrets=[SECRET, b"new"])
        await nursery.start(c.run)
        await until(lambda: c.linked_to(a, b))
        d = Peer("d", seeds=[c.url], secrets=[b"new", SECRET])
        await nursery.start(d.run)
        await until(lambda: c.id in d.mesh.links)


@pytest.mark.parametrize("named", ["a", "b"])
async def test_a_name_is_given_once(named: str, caplog: pytest.LogCaptureFixture) -> None:
    async with pair() as (a, b), running() as nursery:
        twin = Peer(named, boot=7, seeds=[a.url])
        await nursery.start(twin.run)
        await until(lambda: twin.said("seed failed", a.url, HandshakeRefused))
        assert any(f"the name {named!r} is taken by {named}#1" in line for line in warnings(caplog))
        assert a.linked_to(b)


async def test_a_newer_boot_from_the_same_address_takes_over_once_the_older_is_silent() -> None:
    a = Peer("a", beat=0.2)
    async with running(a), impostor(a, "x", boot=3, address="ws://127.0.0.1:9"):
        await until(lambda: a.mesh.links)
        with pytest.raises(HandshakeRefused, match="is taken"):
            async with impostor(a, "x", boot=2, address="ws://127.0.0.1:9"):
                pass
        with pytest.raises(HandshakeRefused, match="and speaks") as caught:  # an address is soon claimed
            async with impostor(a, "x", boot=4, address="ws://127.0.0.1:9"):
                pass
        assert caught.value.code == "busy"
        session = a.mesh._sessions["x#3"]
        await until(lambda: session._now() - session.heard > 0.4)
        async with impostor(a, "x", boot=4, address="ws://127.0.0.1:9"):
            await until(lambda: set(a.mesh.links) == {"x#4"})
            assert a.said("refused", "x#3")


@pytest.mark.parametrize(("said", "code"), [("clock: too far off", "clock"), ("no reason", "refused")])
async def test_the_owner_may_refuse(said: str, code: str) -> None:
    a = Peer("a")
    a.refusal = said
    async with running(a):
        with pytest.raises(HandshakeRefused) as caught:
            async with impostor(a):
                pass
        assert (caught.value.code, caught.value.by_peer) == (code, True)


# -- strangers and errors


async def test_nonsense_after_the_handshake_ends_that_link_only(caplog: pytest.LogCaptureFixture) -> None:
    frames = [
        b"garbage",
        b"",
        b"\xff" * 5000,
        encode_frame([encode(Kind.BEAT, "x")]),
        encode_frame([encode(Kind.BEAT, {"x": 1})]),
        encode_frame([encode(Kind.BEAT, {"x#1": "1"})]),
        encode_frame([encode(Kind.PEERS, [["x#1"]])]),
        encode_frame([encode(Kind.PEERS, [["x", "ws://x:1"]])]),
        encode_frame([encode(Kind.PEERS, [["x#1", "\x1b"]])]),
        encode_frame([encode(Kind.CHUNK, 0, True, b"x")]),
        encode_frame([encode(Kind.APP, 5)]),
        encode_frame([encode(Kind.APP)]),
        encode_frame([encode(Kind.UNKNOWN, "x")]),
        bytes(MAX_FRAME + 1),
    ]
    async with pair() as (a, b):
        for n, frame in enumerate(frames):
            async with impostor(a, f"x{n}") as link:
                await link.send(frame)
                await until(lambda n=n: a.said("down", f"x{n}#1", False))  # type: ignore[misc]  # bound now
        assert len(warnings(caplog)) == len(frames)
        assert a.mesh.send(b.id, ["fine"])
        await until(lambda: b.messages)


async def test_what_a_later_release_says_is_answered_or_overlooked(caplog: pytest.LogCaptureFixture) -> None:
    """A message of an unknown kind does not end the link, nor does one with more items than are known."""
    a = Peer("a")
    async with running(a), impostor(a) as link:
        beat, app = encode(Kind.BEAT, {"x#1": 3}, "more"), encode(Kind.APP, ["hello"], 5)
        await link.send(encode_frame([b"\x82\x18\x63\x00", beat, app, encode(Kind.UNKNOWN, 98)]))
        while [int(Kind.UNKNOWN), 99] not in decode_frame(await link.receive()):
            pass  # heartbeats
        assert a.messages == [("x#1", ["hello"])]
        assert a.heard_beats[-1] == {"x#1": 3}
        await link.send(encode_frame([encode(Kind.CLOSE, "", 1)]))
        await until(lambda: a.said("down", "x#1", False))
    assert not warnings(caplog)


async def test_a_node_that_hears_of_very_many_tells_of_as_many_as_others_take(autojump_clock: MockClock) -> None:
    """Or whoever tells it of ten thousand nodes would part it from all its peers."""
    network = SimulatedNetwork(1)
    a = Peer("a", transport=network.transport("a"))
    b = Peer("b", transport=network.transport("b"), seeds=[network.address("a")])
    numbers = {a.id: 7, **{f"x{n}#1": 1 for n in range(10_000)}}
    a.beat = lambda now: numbers  # type: ignore[method-assign]  # what it has heard of
    async with running(a, b):
        await until(lambda: len(b.heard_beats) > 3)
        assert all(a.id in vector for vector in b.heard_beats)
        assert b.log.count(("up", a.id)) == 1
        assert a.linked_to(b)


async def test_addresses_that_are_none_harm_nobody() -> None:
    """A peer tells of members that live nowhere, and gives such an address for its own."""
    bad = [f"ws://{'a' * 70}.org:1", "ws://a..b:1", "junk", "wss://.x:1", "ws://127.0.0.1:99999", "ws://127.0.0.1:1/?q"]
    async with pair() as (a, b):
        async with impostor(a, "x", address=bad[0]) as link:
            await link.send(encode_frame([encode(Kind.PEERS, [[f"y{n}#1", address] for n, address in enumerate(bad)])]))
            await until(lambda: all((t := a.mesh._dialer._targets.get(address)) and t.failures for address in bad))
        assert a.linked_to(b)
        assert a.mesh.send(b.id, ["fine"])
        await until(lambda: b.messages)


async def test_garbage_instead_of_a_handshake(caplog: pytest.LogCaptureFixture) -> None:
    a = Peer("a")
    async with running(a):
        for frame in (b"garbage", bytes(5000), b""):
            link = await WebSocketTransport().dial(a.url)
            await link.send(frame)
            with pytest.raises(LinkClosed):
                while True:
                    await link.receive()
            await link.aclose()
        link = await WebSocketTransport().dial(a.url)
        await link.aclose()
        await until(lambda: len(warnings(caplog)) == 4)
        async with impostor(a):
            await until(lambda: a.mesh.links)


async def test_a_slow_handshake_is_cut() -> None:
    a = Peer("a", greeting=0.1)
    async with running(a):
        link = await WebSocketTransport().dial(a.url)
        assert b"no handshake within 0.1 s" in await link.receive()
        with pytest.raises(LinkClosed):
            await link.receive()
        await link.aclose()


async def test_a_flood_of_strangers_does_not_keep_nodes_out(caplog: pytest.LogCaptureFixture) -> None:
    a = Peer("a", max_greetings=8)
    async with running(a) as nursery:
        flood = [await WebSocketTransport().dial(a.url) for _ in range(40)]
        b = Peer("b", seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a))
        assert b"too many" in await flood[0].receive()
        async with trio.open_nursery() as closing:
            for link in flood:
                closing.start_soon(link.aclose)


async def test_an_error_of_the_owner_ends_that_link_only(caplog: pytest.LogCaptureFixture) -> None:
    async with pair() as (a, b):

        def fail(peer: str, message: list[Any]) -> None:
            if message == ["fail"]:
                raise RuntimeError

        a.on_message = fail
        b.mesh.send(a.id, ["fail"])
        await until(lambda: a.log.count(("up", b.id)) >= 2 and b.linked_to(a))
        (line,) = warnings(caplog)
        assert "an error here" in line
        b.mesh.send(a.id, ["fine"])
        await until(lambda: a.messages[-1][1] == ["fine"])


@pytest.mark.parametrize("method", ["link_up", "admit", "link_down", "seed_failed"])
async def test_errors_in_other_events(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    def fail(*args: object) -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise RuntimeError

    a = Peer("a", seeds=["ws://127.0.0.1:1"])
    monkeypatch.setattr(a, method, fail)
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        if method == "link_down":
            a.mesh.close_link(b.id, "test")
        await until(lambda: failures and b.linked_to(a) and a.linked_to(b))
    assert any("error" in line for line in warnings(caplog))


# -- operators


async def ask_it(peer: Peer, message: list[Any], *secrets: bytes) -> list[Any]:
    return await ask(WebSocketTransport(), peer.url, message, secrets=secrets, environment=Environment())


async def test_an_operator_asks_and_goes() -> None:
    a = Peer("a")
    async with running(a):
        assert await ask_it(a, ["status"], SECRET) == ["answer", "operator", "status"]
        large = bytes(3 << 20)
        assert (await ask_it(a, [large], SECRET))[2] == large
        assert a.log == [("exhausted",)]
        assert not a.mesh.links
        with pytest.raises(HandshakeRefused) as caught:
            await ask_it(a, ["status"], b"wrong")
        assert caught.value.code == "secret"
    with pytest.raises(DialFailed):
        await ask_it(a, ["status"], SECRET)


async def test_an_operator_who_talks_nonsense_or_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hubkit.net.operator._IDLE", 0.1)
    a = Peer("a")
    async with running(a):
        for frame in (encode_frame([encode(Kind.BEAT, {})]), None):
            link = await WebSocketTransport().dial(a.url)
            me = Identity("operator#1", role="operator")
            handshake = Handshake(me, dialing=True, nonce=bytes(32), secrets=(SECRET,))
            await greet(link, handshake, within=5)
            if frame is not None:
                await guarded(link, handshake).send(frame)
            with pytest.raises(LinkClosed):
                await link.receive()
            await link.aclose()
        assert len(warnings(caplog)) == 1


async def test_an_operator_gets_an_answer_that_is_none() -> None:
    async def accept(link: Link) -> None:
        handshake = Handshake(Identity("a#1"), dialing=False, nonce=bytes(32), secrets=(SECRET,))
        await greet(link, handshake, within=5)
        link = guarded(link, handshake)
        await link.receive()
        await link.send(encode_frame([encode(Kind.BEAT, {})]))

    async with trio.open_nursery() as nursery:
        url = await nursery.start(WebSocketTransport("ws://127.0.0.1:0").serve, accept)
        with pytest.raises(ProtocolViolation):
            await ask(WebSocketTransport(), url, ["x"], secrets=(SECRET,), environment=Environment())
        nursery.cancel_scope.cancel()


async def test_a_mesh_that_does_not_listen() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b = Peer("b", listen=None, seeds=[a.url])
        await nursery.start(b.run)
        assert b.mesh.url is None
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        assert repr(b.mesh) == "<Mesh of b#1, 1 links>"
