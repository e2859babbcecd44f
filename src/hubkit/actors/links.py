"""Links: two actors that end together.

Law of this room: a link joins two incarnations, and whoever made it, both are told of its end, once: the one that lives on
gets the other's end as an *exit signal*. An actor that traps exits (``trap_exits = True``) gets it as an `Exit` through
``on_info``. Any other ends, too, with the same reason, unless that was no failure of a kind that others need follow:
``"normal"``, or ``"moved"`` (the child goes on elsewhere, as another incarnation). Two actors have one link or none, however
often it is asked for.

An actor that is to end by a signal stops as by ``context.stop``: the message in progress is finished and ``on_stop`` is
called, and what has not ended within its ``shutdown`` seconds is ended by force. To end it in the middle of a message at
once, as Erlang does, was refused: a handler is trusted to finish what it began.

This room knows both ends of a link in this process, and one end of any other: see `hubkit.node.bonds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hubkit.actors import reports
from hubkit.actors.messages import Exit
from hubkit.actors.ref import Ref
from hubkit.actors.timers import Timer
from hubkit.errors import ConfigurationError
from hubkit.pids import ChildKey, Pid

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell
    from hubkit.actors.system import System

__all__ = ["Links", "LinksElsewhere"]

#: Ends that bring nobody down.
_HARMLESS = frozenset({"normal", "moved"})


class LinksElsewhere(Protocol):
    """What a node's shell does for links with actors of other nodes."""

    def link(self, mine: Pid, theirs: Pid) -> None:
        """Let the other node know of a link, and see to it that `Links.lost` or `Links.parted` is called when it is over."""
        ...

    def unlink(self, mine: Pid, theirs: Pid, reason: str | None, error: BaseException | None) -> None:
        """A link is over on this side: ``mine`` has ended, with this reason; or (`None`) has undone it."""
        ...


class _Force(Timer):
    """The time is up for an actor that a link brings down."""

    __slots__ = ()

    def expire(self, cell: Cell, message: Any) -> None:
        """End it by force."""
        cell.cancel()


class Links:
    """All links of the actors of one system."""

    __slots__ = ("_causes", "_pairs", "_system")

    def __init__(self, system: System) -> None:
        self._system = system
        #: serial of ours -> the others, and what each was called when it was linked here
        self._pairs: dict[int, dict[Pid, Pid | ChildKey]] = {}
        #: serial of what a link brings down -> the error that began it
        self._causes: dict[int, BaseException] = {}

    def of(self, serial: int) -> tuple[Pid, ...]:
        """Who is linked with this actor of ours."""
        return tuple(self._pairs.get(serial, ()))

    # What actors ask for.

    def link(self, cell: Cell, ref: Ref[Any]) -> None:
        """Link two actors. Who is gone already is told of at once, as ``"noproc"``."""
        system = self._system
        _check(ref, "link")
        pid = ref.pid
        if pid == cell.pid:
            msg = f"{cell.describe()} cannot be linked with itself"
            raise ConfigurationError(msg)
        if pid is None:
            self._signal(cell, None, "noproc", None)
            return
        if pid in self._pairs.get(cell.pid.serial, ()):
            self._pairs[cell.pid.serial][pid] = ref.address
            return
        if not system.is_mine(pid):
            if system.remote is None:
                self._signal(cell, pid, "noproc", None)
                return
            self._join(cell.pid.serial, pid, ref.address)
            system.remote.links.link(cell.pid, pid)
        elif pid.serial not in system.cells:
            self._signal(cell, pid, "noproc", None)
        else:
            self._join(cell.pid.serial, pid, ref.address)
            self._join(pid.serial, cell.pid, cell.pid)

    def unlink(self, cell: Cell, ref: Ref[Any]) -> bool:
        """Undo it, on both sides. Returns whether they were linked. No `Exit` of the other arrives any more."""
        _check(ref, "unlink")
        mine, address, now = cell.pid.serial, ref.address, ref.pid
        found = [pid for pid, called in self._pairs.get(mine, {}).items() if called == address or pid == now]
        for pid in found:
            self._part(mine, pid)
            if not self._system.is_mine(pid):
                if self._system.remote is not None:
                    self._system.remote.links.unlink(cell.pid, pid, None, None)
            else:
                self._part(pid.serial, cell.pid)
        gone = [*found, now]
        cell.forget(lambda message: type(message) is Exit and message.pid in gone)
        return bool(found)

    # What becomes of them.

    def joined(self, serial: int, other: Pid) -> None:
        """An actor elsewhere has linked itself with one of ours."""
        if serial in self._system.cells and other not in self._pairs.get(serial, ()):
            self._join(serial, other, other)

    def parted(self, serial: int, other: Pid) -> None:
        """An actor elsewhere has undone a link with one of ours."""
        self._part(serial, other)

    def lost(self, serial: int, other: Pid, reason: str, error: BaseException | None = None) -> None:
        """The actor at the other end is gone."""
        cell = self._system.cells.get(serial)
        if self._part(serial, other) and cell is not None:
            self._signal(cell, other, reason, error)

    def bury(self, cell: Cell, reason: str, error: BaseException | None) -> None:
        """An actor of ours has ended: tell those that it was linked with."""
        system, mine = self._system, cell.pid.serial
        cause = self._causes.pop(mine, None)
        others = self._pairs.pop(mine, None)
        for other in others or ():
            if system.is_mine(other):
                self.lost(other.serial, cell.pid, reason, error or cause)
            elif system.remote is not None:
                system.remote.links.unlink(cell.pid, other, reason, error or cause)

    def cause(self, cell: Cell) -> BaseException | None:
        """The error by which the actor ended that brought this one down."""
        return self._causes.get(cell.pid.serial)

    def _join(self, serial: int, other: Pid, called: Pid | ChildKey) -> None:
        self._pairs.setdefault(serial, {})[other] = called

    def _part(self, serial: int, other: Pid) -> bool:
        others = self._pairs.get(serial)
        if others is None or other not in others:
            return False
        del others[other]
        if not others:
            del self._pairs[serial]
        return True

    def _signal(self, cell: Cell, other: Pid | None, reason: str, error: BaseException | None) -> None:
        if getattr(cell.start, "trap_exits", False) is True:
            cell.inform(Exit(reason, error, other))
            return
        if reason in _HARMLESS or cell.stop_reason is not None:
            return
        reports.logger.warning("actor %s ends, as %s did, which it was linked with: %s", cell.describe(), other, reason)
        if error is not None:
            self._causes[cell.pid.serial] = error
        if cell.shutdown <= 0:
            cell.cancel()
            return
        cell.request_stop(reason)
        if cell.shutdown != float("inf"):
            self._system.timers.start(cell, cell.shutdown, None, _Force)


def _check(ref: object, what: str) -> None:
    if not isinstance(ref, Ref):
        msg = f"{what} needs a Ref, not {ref!r:.80}"
        raise ConfigurationError(msg)
