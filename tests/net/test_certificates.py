"""TLS under a link: who a certificate is for, and what a man in the middle with another one can do: nothing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.net.peers import SECRET, Peer, running, until, warnings

import hubkit
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HandshakeRefused
from hubkit.net.certificates import is_for, names_in, secured, shown_by
from hubkit.net.greeting import greet
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.operator import ask
from hubkit.net.seal import SealedLink
from hubkit.net.websocket import TLS, WebSocketTransport

CERTS = Path(__file__).parent / "certs"
FREE = "wss://localhost:0"


def context(side: int, name: str | None, *, mutual: bool = False, trusts: str = "ca") -> ssl.SSLContext:
    made = ssl.SSLContext(side)
    made.load_verify_locations(CERTS / f"{trusts}.pem")
    if name is not None:
        made.load_cert_chain(CERTS / f"{name}.pem", CERTS / "key.pem" if name == "cert" else None)
    if mutual:
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def tls(name: str, *, mutual: bool = False, check_names: bool = True) -> TLS:
    """What the node of this name has: its certificate, and trust in the authority of these tests."""
    server = context(ssl.PROTOCOL_TLS_SERVER, name, mutual=mutual)
    return TLS(server, context(ssl.PROTOCOL_TLS_CLIENT, name if mutual else None), check_names)


def peer(name: str, seeds: Any = (), *, cert: str | None = None, **options: Any) -> Peer:
    secrets = options.pop("secrets", [SECRET])
    return Peer(
        name, transport=WebSocketTransport(FREE, tls=tls(cert or name, **options)), seeds=seeds, secrets=secrets
    )


def hash_of(name: str) -> bytes:
    return sha256(ssl.PEM_cert_to_DER_cert((CERTS / f"{name}.pem").read_text().split("-----BEGIN P")[0])).digest()


# -- what is found out


@pytest.mark.parametrize("mutual", [False, True])
def test_a_server_finds_out_which_certificate_it_shows(mutual: bool) -> None:
    server = context(ssl.PROTOCOL_TLS_SERVER, "one", mutual=mutual)
    assert shown_by(server) == hash_of("one")
    server.load_cert_chain(CERTS / "two.pem")
    assert shown_by(server) == hash_of("two")  # renewed while it runs


def test_a_server_without_a_certificate_shows_none() -> None:
    assert shown_by(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) is None


def test_who_a_certificate_is_for() -> None:
    found = {
        "subject": ((("organizationName", "shop"),), (("commonName", "one"),)),
        "subjectAltName": (("DNS", "one.example"), ("IP Address", "10.0.0.1"), ("email", "x@y"), ("DNS", "one")),
    }
    names = names_in(found)
    assert names == ("one", "one.example", "10.0.0.1")
    for node in ("one", "one.example", "one.example:4040", "10.0.0.1:4040"):
        assert is_for(names, node), node
    for node in ("two", "one.example:", "one.example:x", "example", "x:one", "", "10.0.0.1:4040:1"):
        assert not is_for(names, node), node
    assert is_for(("::1",), "[::1]:4040")
    assert names_in({}) == names_in(None) == ()


# -- links


@asynccontextmanager
async def linked(a: Peer, b: Any) -> AsyncIterator[Peer]:
    async with running(a) as nursery:
        other: Peer = b(a.url)
        await nursery.start(other.run)
        await until(lambda: a.linked_to(other) and other.linked_to(a))
        yield other


async def test_over_tls_frames_carry_no_tag_and_nothing_else_changes() -> None:
    async with linked(peer("one"), lambda url: peer("two", [url])) as two:
        session = next(iter(two.mesh._sessions.values()))
        assert not isinstance(session._link, SealedLink)
        assert secured(session._link) is not None


async def test_mutual_tls_needs_no_secret() -> None:
    a = peer("one", secrets=[], mutual=True)
    async with linked(a, lambda url: peer("two", [url], secrets=[], mutual=True)) as two:
        assert two.mesh.send(a.id, ["x"])
        await until(lambda: a.messages)
        with pytest.raises(hubkit.errors.LinkError):  # a client without a certificate
            await ask(WebSocketTransport(tls=tls("two")), a.url, ["status"], secrets=(), environment=Environment())
        own = WebSocketTransport(tls=tls("two", mutual=True))
        assert await ask(own, a.url, ["status"], secrets=(), environment=Environment()) == [
            "answer",
            "operator",
            "status",
        ]


async def test_under_mutual_tls_a_name_must_stand_in_the_certificate(caplog: pytest.LogCaptureFixture) -> None:
    a = peer("one", mutual=True)
    async with running(a) as nursery:
        thief = peer("three", [a.url], cert="two", mutual=True)
        await nursery.start(thief.run)
        await until(lambda: thief.said("seed failed", a.url, HandshakeRefused))
        text = "the certificate of three#1 is for 'two', 'localhost', '127.0.0.1': give the node such a name"
        assert any(text in line for line in warnings(caplog))
        assert not a.mesh.links
    # The dialer looks, too: nobody takes the place of another by answering at its address.
    wrong = peer("three", cert="two", mutual=True)
    async with running(wrong) as nursery:
        one = peer("one", [wrong.url], mutual=True)
        await nursery.start(one.run)
        await until(lambda: one.said("seed failed", wrong.url, HandshakeRefused))
        assert not one.mesh.links


async def test_nodes_may_share_a_certificate_where_that_is_said() -> None:
    share = partial(peer, cert="two", mutual=True, check_names=False)
    async with linked(share("three"), lambda url: share("four", [url])) as four:
        assert set(four.mesh.links) == {"three#1"}


async def test_a_hub_is_named_by_the_host_of_its_certificate() -> None:
    """A name by default, host and port, stands in the certificate of that host."""
    options: dict[str, Any] = {"listen": FREE, "tls": tls("one", mutual=True)}
    with trio.fail_after(15):
        async with hubkit.Hub("shop", **options) as a:
            assert a.node.url is not None
            async with hubkit.Hub("shop", join=[a.node.url], **options) as b:
                assert b.nodes()[0].startswith("localhost:")


# -- a man in the middle


@asynccontextmanager
async def between(url: str, server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Whoever sits on the way: ends TLS on one side if ``server``, begins it on the other if ``client``. Passes on all."""

    async def serve(stream: trio.SocketStream) -> None:
        near: Any = trio.SSLStream(stream, server, server_side=True) if server else stream
        host, port = url.rpartition("/")[2].split(":")
        onward = await trio.open_tcp_stream(host, int(port))
        far: Any = trio.SSLStream(onward, client, server_hostname="localhost") if client else onward

        async def pump(source: Any, target: Any) -> None:
            try:
                async for data in source:
                    await target.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, near, far)
                nursery.start_soon(pump, far, near)
        finally:
            for one in (stream, onward):
                one.socket.close()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"{'wss' if server else 'ws'}://localhost:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_man_in_the_middle_with_another_certificate_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    a = peer("one")
    # He has a certificate that the dialer trusts.
    server, client = context(ssl.PROTOCOL_TLS_SERVER, "two"), context(ssl.PROTOCOL_TLS_CLIENT, None)
    async with running(a) as nursery, between(a.url, server, client) as url:
        b = peer("two", [url])
        await nursery.start(b.run)
        await until(lambda: b.said("seed failed", url, HandshakeRefused))
        assert any("somebody in between ends the TLS" in line for line in warnings(caplog))
        assert not a.mesh.links
        assert not b.mesh.links
        with pytest.raises(HandshakeRefused) as caught:
            mine = WebSocketTransport(tls=tls("two"))
            await ask(mine, url, ["x"], secrets=(SECRET,), environment=Environment())
        assert (caught.value.code, caught.value.by_peer) == ("certificate", True)


async def test_a_proxy_that_does_the_tls_for_a_node_carries_sealed_frames() -> None:
    a = Peer("a")  # without TLS
    server = context(ssl.PROTOCOL_TLS_SERVER, "one")
    async with running(a) as nursery, between(a.url, server, None) as url:
        b = peer("two", [url])
        await nursery.start(b.run)
        await until(lambda: b.mesh.links and a.mesh.links)
        assert isinstance(next(iter(b.mesh._sessions.values()))._link, SealedLink)
        assert b.mesh.send(a.id, ["x"])
        await until(lambda: a.messages)


async def test_a_proxy_that_passes_tls_through_is_not_in_the_way() -> None:
    a = peer("one")
    async with running(a) as nursery, between(a.url, None, None) as url:
        b = peer("two", [url.replace("ws:", "wss:")])
        await nursery.start(b.run)
        await until(lambda: b.mesh.links and a.mesh.links)


def test_a_dialer_that_says_what_it_has_not_seen_is_refused() -> None:
    """Even one who knows the secret cannot talk the acceptor out of its own certificate."""
    dialer = Handshake(Identity("a#1"), dialing=True, nonce=bytes(32), secrets=(SECRET,), certificate=lambda: b"x" * 32)
    acceptor = Handshake(
        Identity("b#1"), dialing=False, nonce=b"n" * 32, secrets=(SECRET,), certificate=lambda: b"y" * 32
    )
    frame: bytes | None = dialer.start()
    for receiver in (acceptor, dialer, acceptor, dialer):
        assert frame is not None
        frame = receiver.receive(frame)
    for side in (dialer, acceptor):
        assert isinstance(side.failure, HandshakeRefused)
        assert side.failure.code == "certificate"


# -- who may listen where


@pytest.mark.parametrize("listen", ["ws://0.0.0.0:0", "ws://192.0.2.1:0", "wss://0.0.0.0:0", "ws://[::]:0"])
def test_off_loopback_nobody_listens_without_a_secret_or_certificates(listen: str) -> None:
    scheme = listen.partition(":")[0]
    options: dict[str, Any] = {"listen": listen, "advertise": f"{scheme}://shop.example:4040"}
    if scheme == "wss":
        options["tls"] = tls("one")
    for kind in (hubkit.Node, partial(hubkit.Hub, "shop")):
        with pytest.raises(ConfigurationError, match=r"open to other machines: give secret=\.\.\., or tls"):
            kind(**options)
        kind(**options, secret="x")
    if scheme == "wss":
        hubkit.Node(**{**options, "tls": tls("one", mutual=True)})


async def test_a_link_says_nothing_of_tls_where_there_is_none() -> None:
    a = Peer("a")
    async with running(a):
        link = await WebSocketTransport().dial(a.url)
        assert secured(link) is None
        handshake = Handshake(Identity("b#1"), dialing=True, nonce=Environment().token(32), secrets=(SECRET,))
        await greet(link, handshake, within=5)
        assert handshake.keys is not None
        await link.aclose()
