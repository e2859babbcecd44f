"""Clusters in one process: several nodes over real sockets on loopback, for what needs no process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio

import hubkit

LISTEN = "ws://127.0.0.1:0"


async def until(condition: Callable[[], Any], within: float = 10.0) -> None:
    """Wait until the condition holds; fail after ``within`` seconds."""
    with trio.fail_after(within):
        while not condition():
            await trio.sleep(0.005)


@asynccontextmanager
async def cluster(size: int, hub_id: str = "shop", **options: Any) -> AsyncIterator[list[hubkit.Hub]]:
    """``size`` hubs of one id, on nodes named a, b, c, ..., which see each other."""
    async with AsyncExitStack() as stack:
        hubs: list[hubkit.Hub] = []
        for name in "abcdefgh"[:size]:
            join = [hub.node.url for hub in hubs if hub.node.url]
            hubs.append(
                await stack.enter_async_context(hubkit.Hub(hub_id, listen=LISTEN, name=name, join=join, **options))
            )
        await until(lambda: all(len(hub.nodes(include_local=True)) == size for hub in hubs))
        with trio.fail_after(10):
            for hub in hubs:
                await hub.settled()
        yield hubs


def agree(hubs: list[hubkit.Hub]) -> bool:
    """Whether all hubs have the same pids for the same children."""
    views = [{id: info.pids for id, info in hub.children().items()} for hub in hubs]
    return all(view == views[0] for view in views) and all(hub.is_settled for hub in hubs)
