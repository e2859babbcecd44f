"""Replies that come after the handler has returned: `LateReply`, and who owes them.

Law of this room: every call ends. The actor that took a call owes its reply until it ends, whoever holds the token: if it ends
first, the caller gets `ActorCrashed`, as for any call that had begun. A token can be sent to other actors, on other nodes
too; when nobody is left who could answer, the call fails: a token that Python throws away here is noticed at once, the last
one elsewhere is reported by its node, and one that is lost on its way is given up after a while (`Owed.patience`).

A token's number cannot be guessed: who was not sent it cannot answer for it. Answered twice on one node is an error there.
Of two answers from two nodes, the first counts.

Counting the tokens of all nodes exactly was refused: a node that was cut off and comes back says again what it holds, and the
time between is what patience is for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

import trio

from hubkit.actors import reports
from hubkit.actors.mailbox import Call, Mailbox, is_note
from hubkit.errors import ActorCrashed, ConfigurationError, Reject

if TYPE_CHECKING:
    from hubkit.actors.cell import Cell
    from hubkit.actors.system import System

__all__ = ["LateElsewhere", "LateReply", "Owed", "TokenId"]

R = TypeVar("R")

#: The node and boot whose actor owes the reply, and a number there.
TokenId: TypeAlias = tuple[str, int, int]


class LateElsewhere(Protocol):
    """What a node's shell does for replies that actors of other nodes owe."""

    def claim(self, token: TokenId) -> None:
        """Let that node know that a token of its is held here."""
        ...

    def release(self, token: TokenId) -> None:
        """It is held here no more."""
        ...

    def answer(self, token: TokenId, value: Any, refusal: Reject | None) -> None:
        """Send the answer. Raises `NotSerializable`, and `NodeDown` while there is no link to that node."""
        ...


class LateReply(Generic[R]):
    """The right to answer one call, after its handler has returned; `Context.reply_later` makes it.

    Answer with `reply` or `fail`, once, from anywhere: a later message, a background task, another actor that was sent it, on
    another node too. Thrown away unanswered, or when the actor that made it ends, its caller gets `ActorCrashed`. A type
    checker knows what may be replied from the annotation of the variable. Example::

        class Desk(hubkit.Actor):
            def __init__(self) -> None:
                self.waiting: list[hubkit.LateReply[str]] = []

            async def take(self) -> str:
                token: hubkit.LateReply[str] = self.context.reply_later()
                self.waiting.append(token)
                return token.later

            async def put(self, thing: str) -> None:
                self.waiting.pop(0).reply(thing)
    """

    __slots__ = ("__weakref__", "_answered", "_owed", "id")

    def __init__(self, owed: Owed, id: TokenId) -> None:
        self._owed = owed
        self._answered: bool = False
        self.id: TokenId = id

    def __repr__(self) -> str:
        node, incarnation, number = self.id
        return f"<LateReply {number} of {node}#{incarnation}{', answered' if self._answered else ''}>"

    def __copy__(self) -> LateReply[R]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LateReply[R]:
        return self

    def __del__(self) -> None:
        if not self._answered:
            self._owed.dropped(self.id)

    @property
    def later(self) -> R:
        """What the handler returns to please a type checker; it is not sent."""
        return cast("R", self)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the reply. On another node than its actor's: whether it is unanswered."""
        return not self._answered and self._owed.is_wanted(self.id)

    def reply(self, value: R) -> None:
        """Answer the call. Nothing happens if nobody waits any more.

        Raises `ConfigurationError` if it was answered already; and, for an actor of another node, `NotSerializable`, and
        `NodeDown` while there is no link to it: the call is not answered then.
        """
        self._answer(value, None)

    def fail(self, refusal: Reject) -> None:
        """Refuse the call, as if its handler had raised this. Raises as `reply`."""
        if not isinstance(refusal, Reject):
            msg = f"a call is refused with an instance of a subclass of hubkit.Reject, not with {refusal!r:.80}"
            raise ConfigurationError(msg)
        self._answer(None, refusal)

    def _answer(self, value: Any, refusal: Reject | None) -> None:
        if self._answered:
            msg = f"{self!r}: this call can be answered only once"
            raise ConfigurationError(msg)
        self._owed.answer(self.id, value, refusal)
        self._answered = True


class _Debt(Mailbox):
    """Where a call is whose reply comes later. Its caller may still give up."""

    __slots__ = ("call", "cell", "held", "holders", "number", "owed", "until")

    def __init__(self, owed: Owed, number: int, cell: Cell, call: Call) -> None:
        super().__init__(0)
        self.owed: Owed = owed
        self.number: int = number
        self.cell: Cell = cell
        self.call: Call = call
        self.held: bool = True  # by somebody of this process
        self.holders: set[str] = set()  # other nodes
        self.until: float = 0.0  # when a token that is on its way must have been heard of

    def withdraw(self, call: Call, *, expired: bool = False) -> None:
        """Nobody waits any more, or the handler itself has refused."""
        self.owed.forget(self)


class Owed:
    """What the actors of one system owe, and the tokens of others that are held here.

    ``patience``: seconds for which nobody need say that he holds a token that is on its way.
    """

    __slots__ = ("_debts", "_lent", "_of", "_system", "_tokens", "_trio", "patience")

    def __init__(self, system: System) -> None:
        self._system = system
        self.patience: float = 10.0
        self._debts: dict[int, _Debt] = {}
        self._of: dict[int, dict[int, _Debt]] = {}  # by the serial of the actor
        self._tokens: WeakValueDictionary[TokenId, LateReply[Any]] = WeakValueDictionary()
        #: Tokens of others that were sent on from here, and are still held for a while.
        self._lent: dict[TokenId, float] = {}
        self._trio: trio.lowlevel.TrioToken | None = None

    def __len__(self) -> int:
        return len(self._debts)

    # Tokens.

    def owe(self, cell: Cell) -> LateReply[Any]:
        """A token for the call that this actor handles."""
        item = cell.current
        inside = trio.lowlevel.current_task() is cell.task
        if not inside or item is None or not (isinstance(item, Call) or is_note(item) or (item[0] and item[1])):
            msg = f"{cell.describe()} handles no call here: reply_later() is for the body of a method that was called"
            raise ConfigurationError(msg)
        number = self._system.secret()  # who was not sent it cannot answer
        if isinstance(item, Call):
            if item.mailbox is not cell:
                msg = f"{cell.describe()} has asked for a late reply to {item.method} already: one call, one token"
                raise ConfigurationError(msg)
            debt = item.mailbox = _Debt(self, number, cell, item)
            if not item.is_abandoned:
                self._debts[number] = debt
                self._of.setdefault(cell.pid.serial, {})[number] = debt
        return self._token((self._system.node, self._system.incarnation, number))

    def adopt(self, id: TokenId) -> LateReply[Any]:
        """A token that has come from another node."""
        known = self._tokens.get(id)
        if known is not None:
            return known
        debt = self._debt(id)
        if debt is not None:
            debt.held = True
        elif self._system.remote is not None and not self._is_mine(id):
            self._lent.pop(id, None)
            self._system.remote.late.claim(id)
        return self._token(id)

    def travels(self, token: LateReply[Any]) -> TokenId:
        """A token is sent to another node; returns how to name it."""
        until = trio.current_time() + self.patience
        debt = self._debt(token.id)
        if debt is not None:
            debt.until = until
        elif not self._is_mine(token.id):
            self._lent[token.id] = until
        return token.id

    def dropped(self, id: TokenId) -> None:
        """Python has thrown away an unanswered token. In any thread, at any moment: so it is only noted here."""
        if self._trio is not None:
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(self._dropped, id)

    def _dropped(self, id: TokenId) -> None:
        if id in self._tokens:
            return
        debt = self._debt(id)
        if debt is not None:
            debt.held = False
            self._judge(debt)
        elif self._lent.get(id, 0.0) <= trio.current_time():
            self._release(id)

    def _release(self, id: TokenId) -> None:
        self._lent.pop(id, None)
        if self._system.remote is not None and not self._is_mine(id):
            self._system.remote.late.release(id)

    def _token(self, id: TokenId) -> LateReply[Any]:
        self._trio = trio.lowlevel.current_trio_token()
        token: LateReply[Any] = LateReply(self, id)
        self._tokens[id] = token
        return token

    def _is_mine(self, id: TokenId) -> bool:
        return id[0] == self._system.node and id[1] == self._system.incarnation

    def _debt(self, id: TokenId) -> _Debt | None:
        return self._debts.get(id[2]) if self._is_mine(id) else None

    # Answers.

    def is_wanted(self, id: TokenId) -> bool:
        """Whether somebody waits; of an actor elsewhere that is not known here."""
        return not self._is_mine(id) or id[2] in self._debts

    def answer(self, id: TokenId, value: Any, refusal: BaseException | None) -> None:
        """The reply is here."""
        if not self._is_mine(id):
            if self._system.remote is not None:
                assert refusal is None or isinstance(refusal, Reject)
                self._system.remote.late.answer(id, value, refusal)
            self._lent.pop(id, None)
            return
        debt = self._debts.get(id[2])
        if debt is None:
            return
        self.forget(debt)
        if refusal is None:
            debt.call.answer(value)
        else:
            debt.call.fail(refusal)

    def forget(self, debt: _Debt) -> None:
        """Nothing is owed any more."""
        if self._debts.pop(debt.number, None) is not None:
            serial = debt.cell.pid.serial
            debts = self._of[serial]
            del debts[debt.number]
            if not debts:
                del self._of[serial]

    def bury(self, cell: Cell, reason: str, error: BaseException | None) -> None:
        """An actor of ours has ended, with all that it owes."""
        for debt in list(self._of.get(cell.pid.serial, {}).values()):
            self._default(debt, f"ended ({reason}) before it replied", error)

    def close(self) -> None:
        """The node ends: so does everything that waits."""
        for debt in list(self._debts.values()):
            self._default(debt, "was on a node that was closed before it replied", None)

    def _default(self, debt: _Debt, why: str, error: BaseException | None) -> None:
        self.forget(debt)
        call = debt.call
        text = reports.request_text(call.method, call.args, call.kwargs)
        crashed = ActorCrashed(f"actor {debt.cell.describe()} {why} to {text}")
        crashed.__cause__ = error
        call.fail(crashed)

    # Other nodes.

    def claimed(self, number: int, node: str) -> None:
        """Another node holds a token."""
        debt = self._debts.get(number)
        if debt is not None:
            debt.holders.add(node)

    def released(self, number: int, node: str) -> None:
        """It does so no more."""
        debt = self._debts.get(number)
        if debt is not None:
            debt.holders.discard(node)
            self._judge(debt)

    def out_of_touch(self, node: str) -> None:
        """The link to a node is gone: when it comes back, it says again what it holds."""
        for debt in self._debts.values():
            if node in debt.holders:
                debt.holders.discard(node)
                debt.until = trio.current_time() + self.patience

    def look(self) -> None:
        """Time has passed."""
        for debt in list(self._debts.values()):
            self._judge(debt)
        now = trio.current_time()
        for id in [id for id, until in self._lent.items() if until <= now and id not in self._tokens]:
            self._release(id)

    def _judge(self, debt: _Debt) -> None:
        if not debt.held and not debt.holders and debt.until <= trio.current_time():
            self._default(debt, "or whoever was to answer for it has lost the token of its reply", None)
