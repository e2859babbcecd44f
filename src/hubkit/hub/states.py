"""The state of an actor, taken from it and given to it, as bytes.

Law of this room: both happen in the actor's own task, and are bounded: in time, and in size.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, TypeAlias

import trio

from hubkit.actors.cell import Cell
from hubkit.net.cargo import Cargo
from hubkit.net.payload import Payloads
from hubkit.node.packing import slowly

__all__ = ["State", "States"]

#: As it is kept, and travels.
State: TypeAlias = bytes | Cargo

#: Seconds that an actor may take to give its state, or to accept one.
PATIENCE = 5.0


class States:
    """Takes and gives states."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        #: of an actor that has none
        self.nothing: bytes = payloads.dumps(None)

    async def take(self, cell: Cell) -> State:
        """``handover_state()`` of an actor. Raises what it raises, `NotSerializable`, `trio.TooSlowError`."""
        instance = cell.instance
        state = None if instance is None else instance.handover_state()
        if isinstance(state, Awaitable):
            with trio.fail_after(PATIENCE):
                state = await state
        data: State | None = self._payloads.pack(state)
        if data is None:
            data = await slowly(self._payloads.pack_slowly(state))
        return data

    def differs(self, cell: Cell, data: State) -> bool:
        """Whether the state of an actor is not this one, as far as that can be seen at once."""
        try:
            state = None if cell.instance is None else cell.instance.handover_state()
            if isinstance(state, Coroutine):
                state.close()
                return False
            return self._payloads.pack_now(state) != data
        except Exception:
            return False  # of the actor's own code: it was asked once too often

    async def give(self, cell: Cell, data: State) -> None:
        """Call ``accept_handover`` with the state. Raises what it raises, and `trio.TooSlowError`."""
        instance = cell.instance
        if instance is not None:
            accept: Any = instance.accept_handover
            answer = accept(await self._read(data))
            if isinstance(answer, Awaitable):
                with trio.fail_after(PATIENCE):
                    await answer

    async def _read(self, data: State) -> Any:
        if isinstance(data, Cargo):
            return await slowly(self._payloads.load_slowly(data))
        return self._payloads.loads(data)

    async def merge(self, cell: Cell, data: State) -> None:
        """Call ``merge_handover`` with the state. Raises what it raises, and `trio.TooSlowError`."""
        instance = cell.instance
        if instance is not None:
            merge: Any = instance.merge_handover
            answer = merge(await self._read(data))
            if isinstance(answer, Awaitable):
                with trio.fail_after(PATIENCE):
                    await answer
