"""How a hub leaves: with all its children handed over, or at once.

Law of this room: leaving is two sentences in the map. *I am leaving* (a drain): the others take the children over, one by
one, and the last word is the node's own removal. *I am gone* (a stop): children stop here in order, within a bound, and
the map says so at once, so that the others fail over without waiting for silence.
"""

from __future__ import annotations

import trio

from hubkit.hub.driver import Driver
from hubkit.hub.household import Household
from hubkit.logs import Log

__all__ = ["drain", "stop_now"]

log: Log = Log("hubkit.hub")


async def drain(driver: Driver, timeout: float, grace: float) -> None:
    """Hand everything over, at most ``timeout`` seconds; what has not gone by then is stopped here."""
    core = driver.core
    driver.do(core.leave)
    with trio.move_on_after(timeout), driver.watching(other=True) as watch:
        while not core.left:
            await watch.next()
        driver.rouse()
        # Callers whose calls were passed on still wait for this node: rarely, and not worth an event for each.
        while driver.relaying:  # noqa: ASYNC110
            await trio.sleep(0.02)
        return
    left = len(driver.household.keepers) if driver.household is not None else 0
    log.error(
        "hub %s: after %g s of draining %d children are still here; they are stopped now", driver.hub_id, timeout, left
    )
    with trio.CancelScope(shield=True):
        await stop_now(driver, grace, "drain")


async def stop_now(driver: Driver, grace: float, reason: str) -> None:
    """Stop all children here, the last started first, each within ``grace``, all within twice that; then say so."""
    household = driver.household
    if household is None or driver.core.left or driver.closed:
        return
    driver.bulletin.stopping(reason)
    with trio.move_on_after(2 * grace) as scope:
        for child in reversed(list(household.keepers)):
            household.stop(child, "shutdown", grace)
            await _stopped(household, child)
    if scope.cancelled_caught:
        log.error("hub %s: %d children did not stop in time and are cancelled", driver.hub_id, len(household.keepers))
        for child in list(household.keepers):
            household.stop(child, "shutdown", 0)
    driver.do(driver.core.depart)
    driver.pump(hold=False)
    await trio.lowlevel.checkpoint()


async def _stopped(household: Household, child: str) -> None:
    keeper = household.keepers.get(child)
    if keeper is not None:
        await keeper.gone.wait()
