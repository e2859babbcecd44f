"""Looking into actors that run: what they are, what they hold, and keeping them still meanwhile.

Law of this room: who looks disturbs nothing. A look at an actor from outside takes no turn of its own and touches no
message; what must be seen from inside (its state) or done there (suspending) is an *order*, which the actor's own task
carries out between two messages, before all that wait. An actor of another node is asked in the same way, by a request
whose method has a name that no method can have; it answers when its actor ends, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from hubkit.actors.messages import NotBegun
from hubkit.errors import ConfigurationError, HubkitError, NoSuchMethod
from hubkit.messages import message
from hubkit.pids import Pid

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell
    from hubkit.actors.system import System

__all__ = [
    "MARK",
    "RESUME",
    "STATE",
    "STATUS",
    "SUSPEND",
    "TREE",
    "ActorInfo",
    "about",
    "attributes",
    "inspect",
    "look",
]

#: What the names of these requests begin with; no method's name does.
MARK = "sys:"
STATUS, STATE, SUSPEND, RESUME, TREE = (MARK + what for what in ("status", "state", "suspend", "resume", "tree"))

Answer = Callable[[Any, BaseException | None], None]


@message(name="hubkit:ActorInfo")
@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One actor, or one child that does not run, as it is at a moment.

    ``id``: its child id, or empty. ``actor``: its wire name. ``state``: ``"running"``, ``"suspended"``, ``"passive"`` (a
    copy that stands by), ``"frozen"`` (about to move), ``"starting"``, ``"stopping"``, ``"restarting"``, ``"parked"`` or
    ``"stopped"``.
    ``pid``: `None` unless it runs. ``restarts``: of this child here. ``mailbox``: how many messages wait. ``oldest``: for
    how many seconds the oldest of them has waited, `None` if none waits; exact for the first that came while the actor
    was busy, for one behind it at most that. ``handled``: how many messages this incarnation has handled; while
    it is busy with many in a row, the last 128 may be missing. ``children``: of a supervisor, in the order of their start.
    """

    id: str
    actor: str
    state: str
    pid: Pid | None = None
    restarts: int = 0
    mailbox: int = 0
    oldest: float | None = None
    handled: int = 0
    children: tuple[ActorInfo, ...] = field(default=())

    def __str__(self) -> str:
        """The tree as text, one line for each."""
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> list[str]:
        waits = "" if self.oldest is None else f", the oldest for {self.oldest:.1f} s"
        pid = "" if self.pid is None else f" {self.pid}"
        figures = f"restarts {self.restarts}, handled {self.handled}, waiting {self.mailbox}{waits}"
        line = f"{indent}{self.id or '-'} ({self.actor}){pid} {self.state}: {figures}"
        return [line, *(text for child in self.children for text in child._lines(f"{indent}  "))]


def about(
    cell: Cell, *, state: str = "", restarts: int | None = None, children: tuple[ActorInfo, ...] = ()
) -> ActorInfo:
    """What can be seen of an actor from outside. ``state``: what others know better."""
    if not state:
        state = "running" if cell.started else "starting"
        if cell.stop_reason is not None:
            state = "stopping"
        elif cell.suspended:
            state = "suspended"
        elif cell.stands_by:
            state = "passive" if cell.role == "passive" else "frozen"
    return ActorInfo(
        cell.child_id or "",
        str(getattr(cell.start, "__hubkit_actor__", cell.start)),
        state,
        cell.pid,
        cell.restarts if restarts is None else restarts,
        cell.length,
        cell.age(trio.current_time()),
        cell.handled,
        children,
    )


def attributes(instance: object) -> dict[str, Any]:
    """The attributes of an actor's instance, by name, but its ``context``; of a state machine its ``state`` first."""
    found: dict[str, Any] = {}
    for cls in type(instance).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(instance, name) and name != "__dict__":
                found[name] = getattr(instance, name)
    found |= getattr(instance, "__dict__", {})
    found.pop("context", None)
    found.pop("__weakref__", None)
    now = found.pop("__hubkit_now__", None)
    return found if now is None else {"state": now.state, **found}


def look(system: System, serial: int, what: str, args: tuple[Any, ...], answer: Answer) -> Callable[..., None]:
    """Do what is asked about an actor of this system; ``answer(result, error)`` is called once. Returns what calls it off."""
    called_off = False
    token = object()

    def once(result: Any, error: BaseException | None) -> None:
        nonlocal called_off
        if not called_off:
            called_off = True
            system.remove_remote_watch(serial, token)
            answer(result, error)

    def call_off(*, expired: bool = False) -> None:
        nonlocal called_off
        called_off = True
        system.remove_remote_watch(serial, token)

    try:
        if what == TREE:
            once(_tree(system, *args), None)
            return call_off
        cell = system.open_cell(Pid(system.node, system.incarnation, serial))
        ended = NotBegun(f"actor {cell.describe()} ended before it could be looked at")
        system.add_remote_watch(serial, token, lambda reason, error: once(None, ended))
        _ask(cell, what, once)
    except HubkitError as error:
        once(None, error)
    return call_off


def _tree(system: System, *args: Any) -> ActorInfo:
    if system.trees is None or len(args) != 1 or not isinstance(args[0], str):
        msg = f"node {system.node!r} has no hub that could be asked"
        raise ConfigurationError(msg)
    return system.trees(args[0])


def _ask(cell: Cell, what: str, once: Answer) -> None:
    if what == STATUS:
        once(about(cell), None)
        return
    if what == STATE:
        if cell.instance is None:
            msg = f"{cell.describe()} is an actor function: only an Actor has attributes to show"
            raise ConfigurationError(msg)

        async def read() -> None:
            once(attributes(cell.instance), None)

        cell.order(read)
    elif what == SUSPEND:
        cell.suspended = True

        async def hold() -> None:
            once(None, None)
            await cell.hold()

        cell.order(hold)
    elif what == RESUME:
        cell.suspended = False
        cell.wake()
        once(None, None)
    else:
        msg = f"there is no request {what!r:.40}: is that node of another version?"
        raise NoSuchMethod(msg)


async def inspect(system: System, pid: Pid, what: str, args: tuple[Any, ...]) -> Any:
    """The same, and wait for the answer. Raises `NotBegun` when the actor has ended."""
    done = trio.Event()
    outcome: list[tuple[Any, BaseException | None]] = []

    def answer(result: Any, error: BaseException | None) -> None:
        outcome.append((result, error))
        done.set()

    call_off = look(system, pid.serial, what, args, answer)
    try:
        await done.wait()
    finally:
        call_off()
    [(result, error)] = outcome
    if error is not None:
        raise error
    return result
