"""Looking into actors that run, as OTP's ``sys`` does, here or on other nodes: status, state, and keeping them still.

These are for people who look for a fault, not for programs. Each takes a `Ref`: of an actor of this process, or one got
from a hub, wherever its child runs. Bound their time with `trio.fail_after`: an actor that is stuck in the middle of
a message shows its status, but nothing else. They raise what a call raises: `NoSuchActor`, `NodeDown`, `Deadlock`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from hubkit.actors.inspection import RESUME, STATE, STATUS, SUSPEND, ActorInfo, inspect
from hubkit.actors.ref import Ref
from hubkit.errors import ConfigurationError

__all__ = ["ActorInfo", "resume", "state", "status", "suspend"]


async def status(ref: Ref[Any]) -> ActorInfo:
    """What an actor is doing, seen from outside: also of one that is stuck. Example::

    print(await hubkit.debug.status(hub.ref("counter")))
    """
    found: ActorInfo = await _ask(ref, STATUS)
    return found


async def state(ref: Ref[Any]) -> Mapping[str, Any]:
    """The attributes of an actor by name, read between two messages, before all that wait.

    Of an actor in this process these are the objects themselves. From another node comes what can travel, and of
    the rest its ``repr``. Raises `ConfigurationError` for an actor function.
    """
    found: Mapping[str, Any] = await _ask(ref, STATE)
    return found


async def suspend(ref: Ref[Any]) -> None:
    """Let an actor begin no further message until `resume`; returns when it stands still.

    Messages wait meanwhile, and its mailbox may fill. It can be stopped, moved, and looked into; its next incarnation is
    not suspended. Suspending it twice is suspending it once. An actor function stands still where it reads its mailbox: one
    that never does is never still.
    """
    await _ask(ref, SUSPEND)


async def resume(ref: Ref[Any]) -> None:
    """Let a suspended actor go on; without effect on any other."""
    await _ask(ref, RESUME)


async def _ask(ref: Ref[Any], what: str) -> Any:
    if not isinstance(ref, Ref):
        msg = f"an actor is given as a Ref, not as {ref!r:.80}"
        raise ConfigurationError(msg)
    cell = ref._find() if what in (STATUS, RESUME) else None
    if cell is not None:  # takes no turn of the actor's: also one that waits for whoever asks can be asked
        await trio.lowlevel.checkpoint()
        return await inspect(cell.system, cell.pid, what, ())
    return await ref._call_anywhere(what, (), {}, None)
