"""File descriptors run out: nobody can connect, which is said once, and then everybody can again."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from tests.net.peers import Peer, pair, until

from hubkit.net.websocket import WebSocketTransport

ROOM = 64  # descriptors left to be taken


@contextmanager
def few() -> Iterator[None]:
    """Allow few more descriptors than are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def none_left() -> Iterator[None]:
    """Take all that may be had."""
    taken: list[int] = []
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for number in taken:
            os.close(number)


async def test_descriptors_run_out_and_come_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def said(text: str) -> int:
        return sum(text in record.getMessage() for record in caplog.records)

    async with pair(beat=0.05) as (a, b):
        with few(), socket.socket() as early:
            early.setblocking(False)
            with none_left():
                early.connect_ex(("127.0.0.1", int(a.url.rsplit(":", 1)[1])))
                await until(lambda: said("ulimit -n"))
                for n in range(5):  # links go on meanwhile
                    assert a.mesh.send(b.id, [n])
                await until(lambda: len(b.messages) == 5)
                beats = a.beats
                await until(lambda: a.beats > beats + 10)  # half a second, some more tries: nothing is said of them
                assert said("ulimit -n") == 1
            await until(lambda: said("accepting connections again"))
        assert said("ulimit -n") == said("accepting connections again") == 1
        assert not any(record.exc_info for record in caplog.records)
        late = Peer("c", seeds=[a.url])
        async with trio.open_nursery() as nursery:
            await nursery.start(late.run)
            await until(lambda: late.id in a.mesh.links)
            nursery.cancel_scope.cancel()


async def test_what_accept_fails_of_otherwise_is_no_shortage() -> None:
    transport = WebSocketTransport("ws://127.0.0.1:0")
    await transport.open()
    with pytest.RaisesGroup(trio.ClosedResourceError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(transport.serve, trio.sleep)
            assert transport._listeners is not None
            await transport._listeners[0].aclose()
