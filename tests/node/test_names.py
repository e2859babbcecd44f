"""Names, addresses and boots that change: a node that comes back as another, elsewhere, or with a clock that was set back."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.hub.clusters import LISTEN, until
from tests.net.peers import Peer, running
from tests.net.peers import until as soon

import hubkit
from hubkit.environment import Environment

QUICK: dict[str, Any] = {"beat": 0.1, "down_after": 1.0}


class Clock(Environment):
    """A machine whose wall clock is set."""

    def __init__(self, boot: int) -> None:
        super().__init__()
        self._boot = boot

    def boot(self) -> int:
        return self._boot


@asynccontextmanager
async def guest(of: hubkit.Hub, name: str, boot: int, listen: str = LISTEN) -> AsyncIterator[hubkit.Hub]:
    """A node that has started when its clock said ``boot``, in milliseconds."""
    node = hubkit.Node(listen=listen, name=name, join=[of.node.url or ""], environment=Clock(boot), **QUICK)
    async with node, hubkit.Hub("shop", node=node) as hub:
        await until(lambda: of.nodes() == (name,) and hub.nodes() == (of.node.name,))
        yield hub


@asynccontextmanager
async def host() -> AsyncIterator[hubkit.Hub]:
    with trio.fail_after(30):
        async with hubkit.Node(listen=LISTEN, name="a", **QUICK) as node, hubkit.Hub("shop", node=node) as hub:
            yield hub


async def test_a_clock_that_was_set_back_before_a_start_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """All others would take it for a boot that has ended, and nobody would know why it has no part in anything."""
    caplog.set_level(logging.INFO, "hubkit")
    async with host() as a:
        async with guest(a, "b", 600_000):
            pass
        caplog.clear()
        with pytest.raises(hubkit.errors.HandshakeRefused) as caught:
            async with guest(a, "b", 1_000):
                raise AssertionError("it was let in")
        assert caught.value.code == "clock"
        said = r"a newer boot of 'b' has been here, by 599 s\. If this one has started later, its clock was set back: "
        assert re.search(said, str(caught.value))
        lines = [record.getMessage() for record in caplog.records]
        assert len([line for line in lines if line.startswith("dialling ") and re.search(said, line)]) == 1
        assert not a.nodes()
        async with guest(a, "other", 1_000):  # under another name nobody minds
            pass
        async with guest(a, "b", 600_001):  # nor when the time has come
            pass


async def test_a_name_that_comes_back_elsewhere() -> None:
    async with host() as a:
        for boot in (1, 2, 3):  # each at a free port
            async with guest(a, "b", boot) as b:
                assert (await a.start_children([hubkit.child(f"c{boot}", Counter)])).status == "ok"
                assert a.node._mesh is not None
                (link,) = a.node._mesh.links.values()
                assert b.node.url is not None
                assert link.peer == f"b#{boot}"
        await until(lambda: a.nodes() == ())


async def test_another_name_at_the_same_address() -> None:
    """A port that somebody else has got: the one who was there has gone, and is nobody's proof of anything else."""
    with trio.fail_after(15):
        a = Peer("a", **QUICK)
        async with running(a) as nursery:
            b, c = Peer("b", seeds=[a.url], **QUICK), Peer("c", seeds=[a.url], **QUICK)
            for peer in (b, c):
                await nursery.start(peer.run)
            await soon(lambda: a.linked_to(b, c) and c.linked_to(a, b))
            b.scope.cancel()
            await soon(lambda: a.said("down", b.id, False) and c.said("down", b.id, False))
            other = Peer("other", listen=b.url, seeds=[a.url], **QUICK)
            await nursery.start(other.run)
            await soon(lambda: a.linked_to(other, c) and c.linked_to(a, other) and other.linked_to(a, c))
            beats = a.beats
            await soon(lambda: a.beats > beats + 10)
            for peer in (a, c):
                assert peer.log.count(("up", other.id)) == 1
                assert peer.log.count(("up", b.id)) == 1
            # And back: the first name, newer, where the second was.
            other.scope.cancel()
            await soon(lambda: a.said("down", other.id, False) and c.said("down", other.id, False))
            again = Peer("b", boot=2, listen=b.url, seeds=[c.url], **QUICK)
            await nursery.start(again.run)
            await soon(lambda: a.linked_to(again, c) and c.linked_to(a, again))


async def test_an_address_that_changes_while_the_name_lives_is_refused() -> None:
    """Two living processes must not share a name; whose address is another one is another process."""
    async with host() as a, guest(a, "b", 1):
        with pytest.raises(hubkit.errors.HandshakeRefused, match="the name 'b' is taken") as caught:
            async with guest(a, "b", 2):
                raise AssertionError("it was let in")
        assert caught.value.code == "name"
        assert a.nodes() == ("b",)


class Counter(hubkit.Actor):
    """Something to run."""
