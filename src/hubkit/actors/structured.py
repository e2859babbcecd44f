"""How a block is left: the body's exception bare, hubkit's own failure bare, a group only when both fail.

Law of this room: the exception that a program raised inside ``async with`` is the one that comes out, the same object.
trio wraps whatever crosses a nursery in a group; users of hubkit never opened that nursery, so it is taken off here
and nowhere else.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType

import trio

__all__ = ["StructuredNursery", "collapse"]


def collapse(error: BaseException) -> BaseException:
    """Take groups of one apart, however deep."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_cancelled, error.exceptions))
    return isinstance(error, trio.Cancelled)


def _but_for_cancellations(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        rest = error.split(trio.Cancelled)[1]
        return None if rest is None else collapse(rest)
    return None if isinstance(error, trio.Cancelled) else error


class StructuredNursery:
    """A nursery for objects that are used as ``async with``: enter it in ``__aenter__``, leave it in ``__aexit__``.

    `leave` cancels what still runs in it, waits for that, and raises by the law of this room. Its return value is
    that of ``__aexit__``.
    """

    __slots__ = ("_manager", "nursery")

    _manager: AbstractAsyncContextManager[trio.Nursery]
    nursery: trio.Nursery

    async def enter(self) -> trio.Nursery:
        """Open the nursery."""
        # Not before: whoever uses this may be made before there is a trio run.
        self._manager = trio.open_nursery()
        self.nursery = await self._manager.__aenter__()
        return self.nursery

    async def leave(self, error: BaseException | None, own: BaseException | None = None) -> bool:
        """Close the nursery. ``error``: what the body raised; ``own``: a failure of ours that is known already."""
        self.nursery.cancel_scope.cancel()
        # Cancelled belongs to trio's scopes, this nursery's own among them; the rest is the body's.
        passed = error if error is not None and _is_cancelled(error) else None
        failures = [] if own is None else [own]
        try:
            swallowed = await self._manager.__aexit__(type(passed) if passed else None, passed, _traceback(passed))
        except BaseException as left:
            swallowed = False
            left = collapse(left)
            if error is not None and passed is None:
                # The body's error comes out, also where a scope around the block is cancelled: that scope stays so.
                failure = _but_for_cancellations(left)
                failures += [] if failure is None else [failure]
            elif passed is not None and not isinstance(left, BaseExceptionGroup) and isinstance(left, trio.Cancelled):
                # Somebody outside cancelled: that goes on as it came, unless we have failed.
                if not failures:
                    raise left from None
            else:
                failures.append(left)
        if error is not None and passed is None:
            if not failures:
                return False
            for failure in failures:
                if not isinstance(failure, Exception | BaseExceptionGroup):
                    # Ctrl-C, met in an actor: the program's end, and nobody's failure.
                    raise failure from error
            msg = "both the block and hubkit failed"
            raise BaseExceptionGroup(msg, [error, *failures])
        if failures:
            failure = failures[0] if len(failures) == 1 else BaseExceptionGroup("hubkit failed", failures)
            raise failure from failure.__cause__
        return bool(swallowed) or passed is not None


def _traceback(error: BaseException | None) -> TracebackType | None:
    return None if error is None else error.__traceback__
