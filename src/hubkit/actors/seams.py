"""What `hubkit.actors.system.System` asks of others: who knows where children run, what reaches other nodes, and who watches.

Law of this room: questions only; the floors above answer them.
"""

from __future__ import annotations

from typing import Any, Protocol

from hubkit.actors.late import LateElsewhere
from hubkit.actors.links import LinksElsewhere
from hubkit.actors.messages import Monitor, Request
from hubkit.actors.parking import Seat
from hubkit.pids import ChildKey, Pid

__all__ = ["Locator", "MonitorWitness", "Remote", "Stream"]


class Locator(Protocol):
    """Who knows where children run."""

    def resolve(self, key: ChildKey) -> Pid | None:
        """Where the child runs now; `None`: nowhere. A local read."""
        ...

    async def locate(self, key: ChildKey, after: Pid | None) -> Pid:
        """Where the child runs; waits while it is wanted but runs nowhere, or only at ``after``, which has ended.

        Raises `NoSuchActor` for a child that is not wanted; `HubClosed`, `NodeDown`, `NoQuorum`.
        """
        ...


class Stream(Protocol):
    """Casts to one actor of another node that go out together: more may be added as long as it ``is_open``.

    ``given``: their method, as their sender gave it.
    """

    is_open: bool
    pid: Pid
    given: object

    def add(self, args: tuple[Any, ...]) -> bool:
        """One more. `False`: it does not go with them, and nothing was done."""
        ...


class Remote(Locator, Protocol):
    """What a node's shell does for refs whose actor is elsewhere."""

    links: LinksElsewhere
    late: LateElsewhere

    def ask(self, pid: Pid, method: str, args: tuple[Any, ...], chain: tuple[Pid, ...]) -> Seat | None:
        """Send a call at once; its sender waits in what this returns. `None`: nothing was done, use `call`."""
        ...

    def answer_of(self, asked: Any) -> Any:
        """The result that such a call was answered with. Its seat may be another's then."""
        ...

    def stream(self, pid: Pid, given: object, method: str, args: tuple[Any, ...]) -> Stream | None:
        """Send a cast that nobody waits for, with which more may go. `None`: nothing was done, use `cast_at_once`.

        ``method`` is the name of what was ``given``.
        """
        ...

    def cast_at_once(self, pid: Pid, method: str, args: tuple[Any, ...]) -> bool:
        """Send a cast that nobody waits for. `False`: nothing was done, use `cast_nowait`."""
        ...

    async def call(self, pid: Pid, request: Request) -> Any:
        """Send a call and wait for its result. Raises `NotBegun` when it certainly did not begin and the actor has ended."""
        ...

    async def cast(self, pid: Pid, request: Request) -> None:
        """Send a cast or plain message; returns when it is in the mailbox there. Raises as `call`."""
        ...

    def cast_nowait(self, pid: Pid, request: Request) -> None:
        """Send it without waiting. What is lost later becomes a `DeadLetter` on either node."""
        ...

    def monitor(self, number: int, pid: Pid) -> None:
        """See to it that `System.down` is called with this number when that incarnation, or its node, is gone."""
        ...

    def demonitor(self, number: int, pid: Pid) -> None:
        """Nobody waits for that any more."""
        ...


class MonitorWitness(Protocol):
    """Who is told, in the very moment, what becomes of monitors and of those they watch: for simulations."""

    def monitored(self, watcher: Pid, monitor: Monitor) -> None:
        """``watcher`` watches ``monitor.pid`` from now on."""

    def demonitored(self, watcher: Pid, monitor: Monitor) -> None:
        """It does so no more, by its own wish or because it ends."""

    def down(self, watcher: Pid, monitor: Monitor, reason: str) -> None:
        """A `Down` is put into its mailbox."""

    def ended(self, pid: Pid) -> None:
        """This actor is gone; its watchers have not been told yet."""
