"""Work that goes on in the hub's nursery while its asker does something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import trio

__all__ = ["Future"]

T = TypeVar("T")


class Future(Generic[T]):
    """The coming result of ``hub.start_children_soon`` or ``hub.stop_children_soon``.

    The work belongs to the hub: cancelling `wait` does not cancel it, and it ends with the hub.
    """

    def __init__(self) -> None:
        self._event = trio.Event()
        self._waiters = 0
        self._result: T | None = None
        self._error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether the work has ended, well or badly."""
        return self._event.is_set()

    async def wait(self) -> T:
        """Wait for the result. May be called by many tasks, and again.

        Raises what the work raised; `HubClosed` if the hub ended first.
        """
        self._waiters += 1
        try:
            await self._event.wait()
        except BaseException:
            self._waiters -= 1  # who was cancelled has not heard of a failure
            raise
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set before the event, unless there is an error

    def _finish(self, result: T | None, error: Exception | None = None) -> bool:
        """Set the outcome; tell whether somebody has asked for it so far."""
        if not self._event.is_set():
            self._result, self._error = result, error
            self._event.set()
        return self._waiters > 0

    async def _fulfil(
        self,
        work: Callable[[], Awaitable[T]],
        ended: Exception,
        unobserved: Callable[[Mapping[str, Exception]], None],
    ) -> None:
        """Do the work. ``ended``: the outcome if this is cancelled; ``unobserved``: told of failures nobody has asked for."""
        try:
            result = await work()
        except Exception as error:
            if not self._finish(None, error):
                unobserved({"*": error})
        except BaseException:
            self._finish(None, ended)
            raise
        else:
            if not self._finish(result):
                unobserved(getattr(result, "errors", {}))
