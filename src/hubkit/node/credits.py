"""Credits: how many requests one node may have under way to one actor of another.

Law of this room: a full mailbox holds back those who send to it, where they are, and nobody else. The node of the actor keeps
at most `WINDOW` requests of each other node that wait for room; its neighbours are on the same link, and do not notice.

After every `BATCH` requests to one actor, before the next, goes a mark, on the same link: ``[MARK, number, serial]``. It is
answered, ``[ROOM, number]``, when all that went before it is in the mailbox (or nobody lives there any more). So to know costs
one small message in hundreds. What waits here waits in its order.

Refused: to count a call until its answer. An actor may owe ten thousand answers and still take the request on which they
depend (`LateReply`). And to hold back a request of a chain in which the actor itself waits: it must come there to be refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import trio
from outcome import Value

from hubkit.actors.system import System
from hubkit.node.bounds import MARKS, check_room
from hubkit.pids import NodeId

__all__ = ["CAPABILITY", "MARK", "ROOM", "SHAPES", "Credits"]

#: The word of who answers marks.
CAPABILITY = "flow.1"
MARK, ROOM = 15, 16
WINDOW = 1024
BATCH = 256
_FEW = WINDOW // BATCH - 1  # marks without an answer with which there is credit in any case
#: Actors of one node to which requests are counted; beyond, those forgotten first are the ones that nothing waits for.
_ACTORS = 10_000


@dataclass(slots=True, eq=False)
class _Account:
    """What is under way to one actor. ``sent``: since the last mark; ``marks``: those without an answer.

    ``granted``: to requests that have waited, and are not on the link yet.
    """

    sent: int = 0
    marks: int = 0
    granted: int = 0
    waiting: deque[trio.lowlevel.Task] = field(default_factory=deque)

    @property
    def left(self) -> int:
        return WINDOW - self.granted - self.sent - BATCH * self.marks


class Credits:
    """The credits of one node with all others. ``system``: whose actors the marks of others are about."""

    system: System

    def __init__(self, send: Callable[[NodeId, list[Any]], bool]) -> None:
        self._send = send
        self._number = 0
        self._marks: dict[int, tuple[NodeId, int]] = {}
        self._accounts: dict[NodeId, dict[int, _Account]] = {}  # of those who answer marks
        self._theirs: dict[NodeId, set[int]] = {}  # the marks of others that wait here for room
        self.takers: dict[int, Callable[..., None]] = {MARK: self._take_mark, ROOM: self._take_room}

    # -- requests of ours -------------------------------------------------------------------------------------------------

    def spend(self, peer: NodeId, serial: int) -> bool:
        """A request is sent next. `False`: not now, `wait` first."""
        accounts = self._accounts.get(peer)
        if accounts is None:
            return True
        account = accounts.get(serial)
        if account is None:
            if len(accounts) >= _ACTORS:
                self._tidy(accounts)
            account = accounts[serial] = _Account()
        # Nearly always:
        if account.sent < BATCH and account.marks < _FEW and not account.granted and not account.waiting:
            account.sent += 1
            return True
        if account.waiting or account.left <= 0:
            return False
        if account.sent >= BATCH:
            self._mark(peer, serial, account)
        account.sent += 1
        return True

    def use(self, peer: NodeId, serial: int) -> None:
        """What was granted to a request that has waited is spent now: it is sent next."""
        account = self._accounts.get(peer, {}).get(serial)
        if account is not None:
            account.granted = max(0, account.granted - 1)
            if account.sent >= BATCH:
                self._mark(peer, serial, account)
            account.sent += 1

    def release(self, peer: NodeId, serial: int) -> None:
        """What was granted is not used."""
        account = self._accounts.get(peer, {}).get(serial)
        if account is not None:
            account.granted = max(0, account.granted - 1)
            self._grant(account)

    def _mark(self, peer: NodeId, serial: int, account: _Account) -> None:
        account.sent -= BATCH
        account.marks += 1
        self._number = number = self._number + 1
        self._marks[number] = (peer, serial)
        self._send(peer, [MARK, number, serial])

    async def wait(self, peer: NodeId, serial: int) -> bool:
        """Wait for credit, after all who wait already. `True`: it is granted; `False`: look again, the link has ended."""
        waiting = self._accounts[peer][serial].waiting
        task = trio.lowlevel.current_task()
        waiting.append(task)

        def abort(_: Any) -> trio.lowlevel.Abort:
            waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        granted: bool = await trio.lowlevel.wait_task_rescheduled(abort)
        return granted

    def held(self, peer: NodeId) -> int:
        """How many requests wait here for credit."""
        return sum(len(account.waiting) for account in self._accounts.get(peer, {}).values())

    def _tidy(self, accounts: dict[int, _Account]) -> None:
        for serial in [
            serial for serial, account in accounts.items() if not (account.marks or account.granted or account.waiting)
        ]:
            del accounts[serial]

    def link_up(self, peer: NodeId, capabilities: Collection[str]) -> None:
        """A link is ready: nothing is under way on it."""
        self.link_down(peer)
        if CAPABILITY in capabilities:
            self._accounts[peer] = {}

    def link_down(self, peer: NodeId) -> None:
        """A link has ended: who waits for credit on it looks again."""
        accounts = self._accounts.pop(peer, {})
        self._theirs.pop(peer, None)
        for number in [number for number, (node, _) in self._marks.items() if node == peer]:
            del self._marks[number]
        for account in accounts.values():
            for task in account.waiting:
                trio.lowlevel.reschedule(task, Value(False))
            account.waiting.clear()

    def close(self) -> None:
        """This node ends."""
        for peer in list(self._accounts):
            self.link_down(peer)

    def _grant(self, account: _Account) -> None:
        while account.waiting and account.left > 0:
            account.granted += 1
            trio.lowlevel.reschedule(account.waiting.popleft(), Value(True))

    # -- what arrives -----------------------------------------------------------------------------------------------------

    def _take_room(self, peer: NodeId, number: int) -> None:
        if self._marks.get(number, ("", 0))[0] != peer:  # of a link that has ended, or nobody asked
            return
        _, serial = self._marks.pop(number)
        account = self._accounts[peer].get(serial)
        if account is not None:
            account.marks -= 1
            self._grant(account)

    def _take_mark(self, peer: NodeId, number: int, serial: int) -> None:
        waiting = self._theirs.setdefault(peer, set())
        check_room(len(waiting), MARKS, "marks")

        def done(_: object) -> None:
            waiting.discard(number)
            self._send(peer, [ROOM, number])

        cell = self.system.cells.get(serial)
        if cell is None or cell.closed or not cell.full:
            done(None)
        else:
            waiting.add(number)
            cell.queue_up(None, done)


SHAPES: dict[int, tuple[int, tuple[type, ...]]] = {MARK: (3, (int, int, int)), ROOM: (2, (int, int))}
