"""How the life of an actor ends: its goodbye, and that of its background tasks.

Law of this room: ``on_stop`` is called at most once, bounded, and never of an actor that is ended by force; background
tasks outlive it, so that it can use them, and nothing else. Errors that meet at the end of an actor are told one by one,
and are one group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from hubkit.actors import reports
from hubkit.actors.actor import Actor
from hubkit.actors.background import Background, combined

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell

__all__ = ["end_background", "finish", "interrupted"]

#: How many seconds a goodbye may take when the program is interrupted, at most.
_PROMPT = 5.0


async def finish(cell: Cell, error: Exception | None, *, broken_off: bool = False) -> tuple[str, Exception | None]:
    """Say goodbye, and end the background tasks; returns how it has ended, all in all.

    ``broken_off``: it was cancelled in the middle of what it did.
    """
    background = cell.background
    interrupted = background is not None and bool(background.failures)
    if cell.killed or (broken_off and error is None and not interrupted):
        return "killed", None
    if background is not None and interrupted:
        error = await end_background(cell, background, error)
    if cell.started and cell.instance is not None and type(cell.instance).on_stop is not Actor.on_stop:
        forced, error = await _say_goodbye(cell, cell.instance, error)
        if forced:
            return "killed", error
    background = cell.background  # its goodbye may have been the first to use it
    if background is not None:
        error = await end_background(cell, background, error)
    return "crash" if error is not None else cell.stop_reason or "normal", error


async def interrupted(cell: Cell) -> None:
    """A Ctrl-C has struck this very actor, of all: it has its goodbye, before that ends the program."""
    if cell.started and not cell.killed:
        cell.request_stop("shutdown")
        cell.shutdown = min(cell.shutdown, _PROMPT)
        await finish(cell, None)


async def end_background(cell: Cell, background: Background, error: Exception | None) -> Exception | None:
    """End the background tasks; returns the error that the actor ends by."""
    await background.close()
    failures, background.failures = list(background.failures), ()
    if not failures:
        return error
    cell.crashed(combined(failures, cell.describe()), "in a background task")
    return combined(failures if error is None else [error, *failures], cell.describe())


async def _say_goodbye(cell: Cell, instance: Actor, error: Exception | None) -> tuple[bool, Exception | None]:
    """Call ``on_stop``, once, bounded. Returns whether it was ended by force, and the error that the actor ends by."""
    reason = "crash" if error is not None else cell.stop_reason or "normal"
    cell.chain = ()
    with trio.CancelScope(deadline=cell.scope.deadline, shield=True) as cell.scope:
        if cell.killed:
            cell.scope.cancel()
        try:
            with trio.move_on_after(cell.shutdown) as scope:
                await instance.on_stop(reason)
        except Exception as failure:
            cell.crashed(failure, "in on_stop")
            return False, error if error is not None else failure
        if scope.cancelled_caught:
            reports.logger.warning("on_stop of actor %s was cancelled after %g s", cell.describe(), cell.shutdown)
    failed = cell.background is not None and bool(cell.background.failures)
    return cell.scope.cancelled_caught and not failed, error
