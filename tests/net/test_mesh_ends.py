"""The mesh over real sockets: what the end of a peer, or of a link, looks like, and which link stays."""

from __future__ import annotations

import logging

import pytest
import trio
from tests.net.peers import SECRET, Peer, impostor, pair, running, until

from hubkit.environment import Environment
from hubkit.errors import HandshakeRefused, LinkClosed
from hubkit.net.greeting import greet
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.session import Session
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import CHUNK, Kind, decode_frame


async def test_a_killed_process_is_proven_dead_at_once() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b, c = Peer("b", seeds=[a.url]), Peer("c", seeds=[a.url])
        for peer in (b, c):
            await nursery.start(peer.run)
        await until(lambda: b.linked_to(a, c) and c.linked_to(a, b) and a.linked_to(b, c))
        began = trio.current_time()
        b.scope.cancel()
        await until(lambda: a.said("refused", b.id) and c.said("refused", b.id))
        assert trio.current_time() - began < 0.5
        assert a.said("down", b.id, False)
        assert a.log.count(("refused", b.id)) == 1
        a.mesh.forget(b.id)
        again = Peer("b", boot=2, listen=b.url, seeds=[c.url])
        await nursery.start(again.run)
        await until(lambda: a.linked_to(again, c) and again.linked_to(a, c))


async def test_a_newer_boot_at_the_same_address_proves_the_older_dead() -> None:
    async with pair() as (a, b):
        url, frozen = b.url, b.id
        b.scope.cancel()
        await until(lambda: a.said("down", frozen, False))
        async with running(Peer("b", boot=2, listen=url)):
            await until(lambda: a.said("up", "b#2"))
            assert a.log.count(("refused", frozen)) == 1


async def test_a_seed_goes_and_comes_back() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b, c = Peer("b", seeds=[a.url]), Peer("c", seeds=[a.url])
        for peer in (b, c):
            await nursery.start(peer.run)
        await until(lambda: b.linked_to(a, c) and c.linked_to(a, b))
        a.scope.cancel()
        await until(lambda: b.linked_to(c) and c.linked_to(b))
        again = Peer("a", boot=2, listen=a.url)
        await nursery.start(again.run)
        await until(lambda: again.linked_to(b, c) and b.linked_to(again, c))


async def test_goodbye_comes_after_all_else_and_is_no_failure() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b, c = Peer("b", seeds=[a.url]), Peer("c", seeds=[a.url])
        for peer in (b, c):
            await nursery.start(peer.run)
        await until(lambda: b.linked_to(a, c) and c.linked_to(a, b))
        for n in range(20):
            b.mesh.send(a.id, [n, bytes(CHUNK)])
        await b.mesh.goodbye(within=5)
        assert not b.mesh.send(a.id, ["too late"])
        assert a.said("down", b.id, True)
        assert c.said("down", b.id, True)
        assert [message[0] for _, message in a.messages] == list(range(20))
        # Those who leave take no new links.
        with pytest.raises(HandshakeRefused, match="is leaving"):
            async with impostor(b):
                pass
        b.scope.cancel()
        assert not a.said("refused", b.id)


async def test_goodbye_is_bounded() -> None:
    a = Peer("a")
    async with running(a), impostor(a):  # which never reads, nor hangs up
        await until(lambda: a.mesh.links)
        began = trio.current_time()
        await a.mesh.goodbye(within=0.1)
        assert 0.1 <= trio.current_time() - began < 3


async def test_silence_ends_a_link() -> None:
    a = Peer("a", beat=0.05, down_after=0.3)
    async with running(a), impostor(a) as link:
        await until(lambda: a.said("down", "x#1", False))
        with pytest.raises(LinkClosed):
            while True:
                await link.receive()
        assert not a.said("refused", "x#1")  # it has no address: nothing is proven


async def test_a_process_that_slept_does_not_blame_the_others() -> None:
    class Sleeper(Environment):
        skipped = 0.0

        def now(self) -> float:
            return super().now() + self.skipped

    environment = Sleeper()
    async with pair(beat=0.1, down_after=1.0, environment=environment) as (a, b):
        await until(lambda: a.beats > 2 and b.beats > 2)
        environment.skipped += 100.0
        await until(lambda: a.slept and b.slept)
        assert a.slept == pytest.approx(100, abs=5)
        beats = a.beats
        await until(lambda: a.beats > beats + 5)
        assert not a.said("down", b.id, False)


async def test_a_half_open_link_is_replaced() -> None:
    """The peer lost the old link without our noticing, and dials anew; in whichever direction the old one was made."""
    a = Peer("m")
    async with running(a), impostor(a, "x") as old:
        await until(lambda: a.mesh.links)
        async with impostor(a, "x") as new:
            await until(lambda: a.log.count(("up", "x#1")) == 2)
            assert a.log.index(("down", "x#1", False)) > a.log.index(("up", "x#1"))
            a.mesh.send("x#1", ["hello"])
            while [Kind.APP, ["hello"]] not in decode_frame(await new.receive()):
                pass
        with pytest.raises(LinkClosed):
            while True:
                await old.receive()


@pytest.mark.parametrize("name", ["a", "z"])
async def test_a_half_open_link_that_we_dialled_is_replaced(name: str) -> None:
    async def accept(link: Link) -> None:
        handshake = Handshake(Identity(f"{name}#1"), dialing=False, nonce=bytes(range(32)), secrets=(SECRET,))
        await greet(link, handshake, within=5)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        url = await nursery.start(WebSocketTransport("ws://127.0.0.1:0").serve, accept)
        m = Peer("m", seeds=[url])
        async with running(m):
            await until(lambda: m.mesh.links)
            async with impostor(m, name):
                await until(lambda: m.log.count(("up", f"{name}#1")) == 2)
                assert not m.mesh.links[f"{name}#1"].dialed
        nursery.cancel_scope.cancel()


async def test_a_link_closed_on_purpose_says_why_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    async with pair() as (a, b):
        a.mesh.close_link(b.id, "your clock is wrong")
        a.mesh.close_link(b.id, "again")
        a.mesh.close_link("nobody#1", "x")
        await until(lambda: b.log.count(("up", a.id)) >= 2)
        assert any("your clock is wrong" in record.getMessage() for record in caplog.records)
        assert not b.said("refused", a.id)


async def test_a_link_whose_closing_is_cancelled_is_gone_nevertheless() -> None:
    class Endless:
        """A link that does not close by itself."""

        async def aclose(self) -> None:
            await trio.sleep_forever()

    session = object.__new__(Session)  # only its end is looked at
    session._hard, session._link, session.gone = False, Endless(), trio.Event()  # type: ignore[assignment]  # a link's last part
    with trio.CancelScope() as scope:
        scope.cancel()
        await session.aclose()
    assert session.gone.is_set()  # else a node that leaves at this moment would wait for ever
