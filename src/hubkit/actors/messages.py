"""The values that pass between actors, and between an actor system and the node that carries its messages.

Law of this room: frozen values without behaviour. What users see: `Down`, `Exit`, `Monitor`. What only a node's shell
sees: `Request`, and `NotBegun`, the one answer after which a request may be sent again, because it certainly had no
effect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import trio

from hubkit.errors import ActorError, MailboxFull, NoSuchActor
from hubkit.pids import Pid

__all__ = ["Down", "Exit", "Kind", "MailboxFullNow", "Monitor", "NotBegun", "NowhereNow", "Request", "message_of"]

Kind = Literal["call", "cast", "info"]

#: Reasons that are no failure: a `transient` child that ends with one of them is not restarted.
_NORMAL = frozenset({"normal", "shutdown"})


@dataclass(frozen=True, slots=True)
class Monitor:
    """One watch of one actor by another; `Context.monitor` makes it, `Down` carries it back.

    ``number`` is unique in the watching node's actor system.
    """

    number: int
    pid: Pid | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Down:
    """The actor that ``monitor`` watched is gone; arrives exactly once per monitor, through ``on_info``.

    ``pid`` is the incarnation that was watched (`None`: there was none). ``reason`` is that of its `Exit`, e.g.
    ``"normal"``, ``"shutdown"``, ``"crash"``, ``"killed"``; or ``"noproc"`` when it was gone before; or ``"node_down"``.
    ``error``: the exception of a crash, where it is known; from another process it is of the same type if that is a built-in
    one, a `Reject` or one of hubkit's own, else a `hubkit.errors.RemoteFailure`.
    """

    monitor: Monitor
    pid: Pid | None
    reason: str
    error: BaseException | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Exit:
    """How an incarnation ended. An actor that traps exits gets it, through ``on_info``, of each that it was linked with.

    ``reason``: ``"normal"``, ``"shutdown"``, ``"crash"``, ``"killed"`` (it did not stop in time), ``"moved"``, or what the
    actor gave to ``context.stop``; of a link also ``"noproc"`` (there was none to be linked with) and ``"node_down"``.
    ``error``: the exception of a crash, as in `Down`. ``pid``: who ended.
    """

    reason: str
    error: BaseException | None = field(default=None, compare=False)
    pid: Pid | None = None

    @property
    def is_normal(self) -> bool:
        """Whether this end is no failure: ``"normal"``, ``"shutdown"``, or ``"shutdown: ..."`` with details."""
        return self.error is None and (self.reason in _NORMAL or self.reason.startswith("shutdown:"))


class Request(NamedTuple):
    """One message on its way to an actor of another node. (A named tuple: two are made for every remote call.)

    ``kind``: ``"call"``, ``"cast"`` or ``"info"`` (then ``args`` is the message alone, and ``method`` is empty).
    ``chain``: the pids that wait for this request, the first caller first: a target among them is a `Deadlock`.
    ``deadline``: on trio's clock *of this process*; `math.inf` for none. A shell sends the seconds that remain.
    """

    kind: Kind
    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})
    chain: tuple[Pid, ...] = ()
    deadline: float = math.inf


def message_of(request: Request) -> Any:
    """What a `DeadLetter` of this request says: the message itself, or (method name, arguments)."""
    return (request.method, request.args) if request.method else request.args[0]


class NotBegun(ActorError):
    """The request certainly had no effect: its actor ended, or had ended, before it began."""


class MailboxFullNow(MailboxFull, trio.WouldBlock):
    """What ``_nowait`` raises for a full mailbox: both hubkit's error and trio's."""


class NowhereNow(NoSuchActor, trio.WouldBlock):
    """What ``_nowait`` raises for a child that runs nowhere at this moment: it would have to wait for it."""
