"""A nursery for generators: what `StructuredNursery` is for classes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from hubkit.actors.structured import StructuredNursery

__all__ = ["bare_nursery"]


@asynccontextmanager
async def bare_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that lets the body's exception out as it is, and is cancelled when the body ends."""
    structured = StructuredNursery()
    nursery = await structured.enter()
    try:
        yield nursery
    except BaseException as error:
        if not await structured.leave(error):
            raise
    else:
        await structured.leave(None)
