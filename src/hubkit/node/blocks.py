"""How `Hub` and `Node` are used as blocks: once, and with the body's exception let out as it is.

Law of this room: the life of a block is one generator, from top to bottom; what it takes is given back in the same function.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import trio

from hubkit.actors.structured import StructuredNursery
from hubkit.errors import HubClosed

__all__ = ["Block", "bare_nursery", "is_cancelled"]


class Block:
    """What can be used in one ``async with``, and not again."""

    _block: AbstractAsyncContextManager[None] | None = None

    def _open(self) -> AbstractAsyncContextManager[None]:
        """The life of the block; its ``yield`` is the body."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        if self._block is not None:
            msg = f"{self!r} has been opened already: make a new one for another block"
            raise HubClosed(msg)
        self._block = self._open()
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(kind, error, traceback)


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


def is_cancelled(error: BaseException) -> bool:
    """Whether this is a cancellation, and nothing else."""
    return isinstance(error, trio.Cancelled) or (
        isinstance(error, BaseExceptionGroup) and error.split(trio.Cancelled)[1] is None
    )
