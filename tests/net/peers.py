"""Nodes for tests of the mesh: each with a record of all that its mesh has said."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from hubkit.environment import Environment
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.mesh import Mesh
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport

SECRET = b"the secret of these tests"
PATIENCE = 15.0


class Peer:
    """A node of a test: a mesh, and a record of all that it has said."""

    def __init__(
        self, name: str, *, boot: int = 1, listen: str | None = "ws://127.0.0.1:0", seeds: Any = (), **options: Any
    ) -> None:
        self.id = f"{name}#{boot}"
        self.log: list[tuple[Any, ...]] = []
        self.messages: list[tuple[str, list[Any]]] = []
        self.on_message: Callable[[str, list[Any]], None] = lambda peer, message: None
        self.refusal: str | None = None
        self.heard_beats: list[Mapping[str, int]] = []
        self.slept = 0.0
        self.beats = 0
        self.scope = trio.CancelScope()
        transport = options.pop("transport", None) or WebSocketTransport(listen)
        self.mesh = Mesh(
            Identity(self.id, options.pop("address", None)),
            transport,
            secrets=options.pop("secrets", [SECRET]),
            seeds=seeds,
            events=self,
            environment=options.pop("environment", None) or Environment(),
            liveness=self,
            **options,
        )

    async def run(self, *, task_status: trio.TaskStatus[str | None]) -> None:
        with self.scope:
            await self.mesh.run(task_status=task_status)

    @property
    def url(self) -> str:
        assert self.mesh.url is not None
        return self.mesh.url

    def linked_to(self, *others: Peer) -> bool:
        return set(self.mesh.links) == {other.id for other in others}

    def said(self, *entry: Any) -> bool:
        return entry in self.log

    # MeshEvents

    def admit(self, peer: Identity) -> str | None:
        return self.refusal

    def link_up(self, peer: Identity) -> None:
        self.log.append(("up", peer.node))

    def link_down(self, peer: str, said_goodbye: bool) -> None:
        self.log.append(("down", peer, said_goodbye))

    def refused(self, node: str) -> None:
        self.log.append(("refused", node))

    def message(self, peer: str, message: list[Any]) -> None:
        self.messages.append((peer, message))
        self.on_message(peer, message)

    def request(self, peer: Identity, message: list[Any]) -> list[Any]:
        return ["answer", peer.role, *message]

    def seed_failed(self, address: str, error: Exception) -> None:
        self.log.append(("seed failed", address, type(error)))

    def seeds_exhausted(self) -> None:
        self.log.append(("exhausted",))

    # Liveness

    def beat(self, now: float) -> dict[str, int]:
        self.beats += 1
        return {self.id: self.beats}

    def heard(self, vector: Mapping[str, int], now: float, by: str | None = None) -> None:
        self.heard_beats.append(vector)

    def linked(self, node: str, now: float) -> None:
        self.log.append(("linked", node))

    def woke(self, late: float, now: float) -> None:
        self.slept += late


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds. Bounded by the test's own limit."""
    while not condition():
        await trio.sleep(0.002)


@asynccontextmanager
async def running(*peers: Peer) -> AsyncIterator[trio.Nursery]:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for peer in peers:
                await nursery.start(peer.run)
            yield nursery
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[tuple[Peer, Peer]]:
    a = Peer("a", **options)
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url], **options)
        await nursery.start(b.run)
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        yield a, b


@asynccontextmanager
async def impostor(peer: Peer, name: str = "x", *, boot: int = 1, address: str | None = None) -> AsyncIterator[Link]:
    """A link to ``peer`` that has been greeted, and does nothing by itself."""
    link = await WebSocketTransport().dial(peer.url)
    handshake = Handshake(
        Identity(f"{name}#{boot}", address), dialing=True, nonce=Environment().token(32), secrets=(SECRET,)
    )
    try:
        await greet(link, handshake, within=5)
        yield guarded(link, handshake)
    finally:
        await link.aclose()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(record.name == "hubkit.net" for record in records)
    assert not any(SECRET.decode() in record.getMessage() for record in caplog.records)
    return [record.getMessage() for record in records]
