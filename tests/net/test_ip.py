"""IPv4 and IPv6: where a node listens, how it is dialled, and that one peer stays one however it is written."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.net.peers import Peer, running, until

from hubkit.errors import ConfigurationError, DialFailed, DialRefused
from hubkit.net.websocket import WebSocketTransport
from hubkit.testing.conformance import PATIENCE, serving


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with closing(socket.socket(socket.AF_INET6)) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


both = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


#: A name that has an address in both families. (Not every machine says so of ``localhost``.)
NAME = "shop.internal"


class Names(trio.abc.HostnameResolver):
    """A name service that knows one name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0):  # type: ignore[no-untyped-def]  # as trio's
        assert host in (NAME.encode(), b"localhost")
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in self.addresses]
        where = [(address, port, 0, 0) if ":" in address else (address, port) for address in self.addresses]
        return [(one, socket.SOCK_STREAM, 6, "", at) for one, at in zip(families, where, strict=True)]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def hang_up(link: Any) -> None:
    await link.aclose()


async def reaches(url: str) -> bool:
    try:
        link = await WebSocketTransport(opening=2.0).dial(url)
    except DialFailed:
        return False
    await link.aclose()
    return True


@both
@pytest.mark.parametrize(
    ("listen", "at", "not_at"),
    [
        ("[::1]", ["[::1]", NAME], ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1", NAME, "[::ffff:127.0.0.1]"], ["[::1]"]),
        (NAME, ["[::1]", "127.0.0.1", NAME], []),
        ("localhost", ["localhost"], []),
        ("[::]", ["[::1]", "127.0.0.1", NAME], []),
        ("0.0.0.0", ["127.0.0.1", NAME], ["[::1]"]),
    ],
)
async def test_where_it_listens(listen: str, at: Sequence[str], not_at: Sequence[str]) -> None:
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    with trio.fail_after(PATIENCE):
        async with serving(WebSocketTransport(f"ws://{listen}:0"), hang_up) as (url, _):
            port = int(url.rpartition(":")[2])
            assert url == f"ws://{listen}:{port}"
            for host in at:
                assert await reaches(f"ws://{host}:{port}"), host
            for host in not_at:
                assert not await reaches(f"ws://{host}:{port}"), host
            for again in (f"ws://{host}:{port}" for host in at):
                with pytest.raises(ConfigurationError, match="in use"):
                    await WebSocketTransport(again).open()


@both
@pytest.mark.parametrize("listen", [NAME, "[::]"])
async def test_a_port_that_is_taken_in_one_family(listen: str) -> None:
    """To listen in the other alone would lead whoever dials the name to somebody else."""
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match="in use"):
            await WebSocketTransport(f"ws://{listen}:{port}").open()
        with closing(socket.socket(socket.AF_INET6)) as free:
            free.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            free.bind(("::1", port))  # nothing is left of the attempt


@both
async def test_a_free_port_is_free_in_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that the system gives may be taken in the other one: then it is another."""
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    with closing(socket.socket()) as other, ExitStack() as taken:
        other.bind(("127.0.0.1", 0))
        given: list[int] = []
        open_listeners = trio.open_tcp_listeners

        async def unlucky(port: int, *, host: str) -> list[trio.SocketListener]:
            found = await open_listeners(other.getsockname()[1] if port == 0 and not given else port, host=host)
            if port == 0:
                given.append(found[0].socket.getsockname()[1])
            return found

        monkeypatch.setattr(trio, "open_tcp_listeners", unlucky)
        transport = WebSocketTransport(f"ws://{NAME}:0")
        url = await transport.open()
        assert url is not None
        assert given[0] == other.getsockname()[1]
        assert url == f"ws://{NAME}:{given[1]}"
        assert transport._listeners is not None
        assert {listener.socket.getsockname()[1] for listener in transport._listeners} == {given[1]}
        for listener in transport._listeners:
            taken.callback(listener.socket.close)


async def test_an_address_that_the_machine_does_not_have() -> None:
    for host in ("192.0.2.1", "[2001:db8::1]"):
        with pytest.raises(ConfigurationError, match="cannot listen at"):
            await WebSocketTransport(f"ws://{host}:0").open()
    with pytest.raises(ConfigurationError, match="cannot listen at"):
        await WebSocketTransport("ws://nobody.invalid:0").open()
    with pytest.raises(ConfigurationError, match="cannot listen at"):
        await WebSocketTransport(f"ws://{'a' * 70}.org:0").open()


async def test_a_family_that_the_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in many containers, where ``localhost`` has an address that nobody can listen at."""
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    open_listeners = trio.open_tcp_listeners

    async def without(port: int, *, host: str) -> list[trio.SocketListener]:
        if ":" in host:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return await open_listeners(port, host=host)

    monkeypatch.setattr(trio, "open_tcp_listeners", without)
    for listen in (NAME, "[::]"):
        async with serving(WebSocketTransport(f"ws://{listen}:0"), hang_up) as (url, _):
            assert await reaches(f"ws://127.0.0.1:{url.rpartition(':')[2]}")
    with pytest.raises(ConfigurationError, match="Cannot assign"):
        await WebSocketTransport("ws://[::1]:0").open()


# -- names with several addresses


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """Somebody who takes no more connections, nor refuses them: what is sent there is lost."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)))
        if ":" in host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            caller = stack.enter_context(closing(socket.socket(listener.family)))
            caller.setblocking(False)
            caller.connect_ex((host, port))
        yield


@both
@pytest.mark.parametrize("order", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
@pytest.mark.parametrize("answers", ["::1", "127.0.0.1"])
@pytest.mark.parametrize("other", ["refuses", "is deaf"])
async def test_the_address_that_answers_is_taken(order: Sequence[str], answers: str, other: str) -> None:
    listen = f"[{answers}]" if ":" in answers else answers
    with trio.fail_after(PATIENCE):
        async with serving(WebSocketTransport(f"ws://{listen}:0"), hang_up) as (url, _):
            port = int(url.rpartition(":")[2])
            (silent,) = set(order) - {answers}
            with ExitStack() as stack:
                if other == "is deaf":
                    stack.enter_context(deaf(silent, port))
                trio.socket.set_custom_hostname_resolver(Names(*order))
                assert await reaches(f"ws://{NAME}:{port}")


@both
async def test_refused_is_who_is_refused_everywhere() -> None:
    """A refusal is proof of death; an address that does not answer proves nothing."""
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(DialRefused):
            await WebSocketTransport().dial(f"ws://{NAME}:{port}")
    with deaf("127.0.0.1", port), pytest.raises(DialFailed) as caught:
        await WebSocketTransport(opening=0.5).dial(f"ws://{NAME}:{port}")
    assert not isinstance(caught.value, DialRefused)


# -- one peer


@both
async def test_a_peer_that_is_written_in_many_ways_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hubkit.net")
    trio.socket.set_custom_hostname_resolver(Names("::1", "127.0.0.1"))
    a = Peer("a", listen=f"ws://{NAME}:0")
    async with running(a) as nursery:
        port = a.url.rpartition(":")[2]
        hosts = [NAME, NAME.upper(), "127.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"]
        b = Peer("b", seeds=[f"ws://{host}:{port}" for host in hosts], beat=0.02)
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a) and a.linked_to(b))
        # Every one of them has been dialled, and it was found out who lives there.
        await until(lambda: all(target.node == a.id for target in b.mesh._dialer._targets.values()))
        beats = b.beats
        await until(lambda: b.beats > beats + 20)
        assert b.log.count(("up", a.id)) == a.log.count(("up", b.id)) == 1
        assert not [entry for entry in b.log if entry[0] == "seed failed"]
        lines = [record.getMessage() for record in caplog.records]
        assert sorted(lines) == ["link to a#1: up (dialled)", "link to b#1: up (accepted)"]
        assert b.mesh.missing == []


def _link_local() -> str | None:
    """An address of this machine that is good on one of its interfaces only."""
    known = Path("/proc/net/if_inet6")
    for line in known.read_text().splitlines() if known.exists() else []:
        digits, _, _, scope, flags, interface = line.split()
        if scope == "20" and not int(flags, 16) & 0x40:  # 0x40: not sure yet that it is its own
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))}%{interface}"
    return None


@pytest.mark.skipif(_link_local() is None, reason="this machine has no link-local address (tests/hosts has some)")
async def test_a_link_local_address() -> None:
    a = Peer("a", listen=f"ws://[{_link_local()}]:0")
    async with running(a) as nursery:
        assert a.url.startswith(f"ws://[{_link_local()}]:")
        b = Peer("b", seeds=[a.url.replace("%", "%25")])
        await nursery.start(b.run)
        await until(lambda: b.linked_to(a) and a.linked_to(b))
