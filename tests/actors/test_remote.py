"""The seam to other nodes: two systems, joined by the simplest `Remote` there can be.

The wire here is a function call; what is tested is what a ref does with an actor that is elsewhere, and what a system does
with requests that come from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, Gate, OutOfStock, cell_of, running
from tests.actors.test_watches import Watcher

from hubkit.actors import Actor, Down, NotBegun, Ref, Request, System, actor
from hubkit.actors.late import LateElsewhere, TokenId
from hubkit.actors.links import LinksElsewhere
from hubkit.actors.parking import Seat
from hubkit.errors import (
    ActorCrashed,
    ConfigurationError,
    Deadlock,
    MailboxFull,
    NoSuchActor,
    NoSuchMethod,
    Reject,
)
from hubkit.events import DeadLetter, Event
from hubkit.pids import ChildKey, Pid


class Wire:
    """Both ends of a wire between systems, and the registry that both read."""

    def __init__(self) -> None:
        self.systems: dict[str, System] = {}
        self.places: dict[ChildKey, Pid] = {}
        self.changed = trio.Event()
        self.requests: list[Request] = []
        self.events: list[Event] = []

    def system(self, name: str) -> System:
        system = self.systems[name] = System(name, 1, remote=self.end(name), publish=self.events.append)
        return system

    def end(self, name: str) -> End:
        return End(self, name)

    def place(self, key: ChildKey, pid: Pid | None) -> None:
        if pid is None:
            self.places.pop(key, None)
        else:
            self.places[key] = pid
        self.changed.set()
        self.changed = trio.Event()


class End:
    def __init__(self, wire: Wire, name: str) -> None:
        self.wire = wire
        self.name = name
        self.links: LinksElsewhere = self
        self.late: LateElsewhere = self

    def resolve(self, key: ChildKey) -> Pid | None:
        return self.wire.places.get(key)

    async def locate(self, key: ChildKey, after: Pid | None) -> Pid:
        while True:
            pid = self.wire.places.get(key)
            if pid is not None and pid != after:
                return pid
            await self.wire.changed.wait()

    def other(self, pid: Pid) -> System:
        return self.wire.systems[pid.node]

    def ask(self, pid: Pid, method: str, args: tuple[Any, ...], chain: tuple[Pid, ...]) -> Seat | None:
        return None  # every call may wait here

    def answer_of(self, value: Any) -> Any:
        raise NotImplementedError

    def stream(self, pid: Pid, given: object, method: str, args: tuple[Any, ...]) -> None:
        return None

    def cast_at_once(self, pid: Pid, method: str, args: tuple[Any, ...]) -> bool:
        return False

    async def call(self, pid: Pid, request: Request) -> Any:
        self.wire.requests.append(request)
        return await self.other(pid).deliver_call(pid.serial, request)

    async def cast(self, pid: Pid, request: Request) -> None:
        await self.other(pid).deliver_cast(pid.serial, request)

    def cast_nowait(self, pid: Pid, request: Request) -> None:
        self.other(pid).deliver_cast_nowait(pid.serial, request)

    def monitor(self, number: int, pid: Pid) -> None:
        me = self.wire.systems[self.name]
        self.other(pid).add_remote_watch(pid.serial, (self.name, number), partial(me.down, number, pid))

    def demonitor(self, number: int, pid: Pid) -> None:
        self.other(pid).remove_remote_watch(pid.serial, (self.name, number))

    def claim(self, token: TokenId) -> None:
        self.wire.systems[token[0]].owed.claimed(token[2], self.name)

    def release(self, token: TokenId) -> None:
        self.wire.systems[token[0]].owed.released(token[2], self.name)

    def answer(self, token: TokenId, value: Any, refusal: Reject | None) -> None:
        self.wire.systems[token[0]].owed.answer(token, value, refusal)

    def link(self, mine: Pid, theirs: Pid) -> None:
        self.other(theirs).links.joined(theirs.serial, mine)

    def unlink(self, mine: Pid, theirs: Pid, reason: str | None, error: BaseException | None) -> None:
        if reason is None:
            self.other(theirs).links.parted(theirs.serial, mine)
        else:
            self.other(theirs).links.lost(theirs.serial, mine, reason, error)


@pytest.fixture
def wire() -> Wire:
    return Wire()


class Asker(Actor):
    async def ask(self, ref: Ref[Any], method: str, *args: Any) -> Any:
        return await ref.call(method, *args)

    async def cast_to(self, ref: Ref[Any], method: str, *args: Any) -> None:
        await ref.cast(method, *args)
        await ref.cast(method, *args)

    async def nothing(self) -> None: ...


async def test_calls_and_casts_reach_another_node(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Gate, system=b) as there:
        here: Ref[Gate] = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
        await here.cast(Gate.note, 1)
        here.cast_nowait(Gate.note, 2)
        await here.send(3)
        here.send_nowait(4)
        with trio.fail_after(30):
            assert await here.call(Gate.read) == [1, 2, 3, 4]
        assert wire.requests[0].deadline == pytest.approx(trio.current_time() + 30, abs=5)
        await here.call("read")
        assert wire.requests[1].deadline == math.inf


async def test_errors_of_another_node(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Counter, system=b) as there:
        here = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
        with pytest.raises(NoSuchMethod):
            await here.call("missing")
        with pytest.raises(NoSuchMethod):
            await here.cast("missing")
        with pytest.raises(TypeError):
            await here.call("add", 1, 2, 3)
        with pytest.raises(OutOfStock):
            await here.call(Counter.refuse, "x")
        with pytest.raises(ConfigurationError):
            await here.call(5)  # type: ignore[call-overload]  # wrong on purpose
        here.cast_nowait("missing", 1)
        with pytest.raises(ActorCrashed):
            await here.call(Counter.fail, "boom")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NoSuchActor):
            await here.call(Counter.add)
        with pytest.raises(NoSuchActor):
            await here.cast(Counter.add)
        here.send_nowait("x")
    letters = [event for event in wire.events if isinstance(event, DeadLetter)]
    assert [letter.message for letter in letters] == [("missing", (1,)), "x"]
    assert "NoSuchMethod" in letters[0].reason
    assert "NotBegun" in letters[1].reason


async def test_a_dead_letter_names_the_incarnation_wherever_it_is_told(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Counter, system=b, child_id="c") as there:
        assert isinstance(there.address, Pid)
        here = a.ref(there.address)
        there.send_nowait("nobody heeds it")
        here.send_nowait("nor this")
        here.cast_nowait("missing")
        await trio.testing.wait_all_tasks_blocked()
        there.cast_nowait(Counter.add)
        await there.call(Counter.stop)
    here.send_nowait("late")
    await trio.testing.wait_all_tasks_blocked()
    letters = [event for event in wire.events if isinstance(event, DeadLetter)]
    assert [letter.target for letter in letters] == [str(there.address)] * 4


async def test_a_full_mailbox_elsewhere(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Gate, system=b, mailbox=1) as there, trio.open_nursery() as nursery:
        here = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
        here.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        here.cast_nowait(Gate.note, "kept")
        here.cast_nowait(Gate.note, "lost")
        nursery.start_soon(here.cast, Gate.note, "waits")
        await trio.testing.wait_all_tasks_blocked()
        gate = cell_of(there).instance
        assert isinstance(gate, Gate)
        gate.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await here.call(Gate.read) == ["waited", "kept", "waits"]
    [letter] = wire.events
    assert isinstance(letter, DeadLetter)
    assert MailboxFull.__name__ in letter.reason


async def test_a_cast_from_elsewhere_that_may_not_wait(wire: Wire) -> None:
    b = wire.system("b")
    async with running(Gate, system=b, mailbox=1) as there:
        serial = there.pid.serial  # type: ignore[union-attr]  # bound to a pid
        told: list[tuple[str, Exception | None]] = []

        def deliver(request: Request, name: str = "") -> Callable[[], object] | None:
            return b.deliver_cast_soon(serial, request, lambda error: told.append((name, error)))

        assert deliver(Request("cast", "wait")) is None
        await trio.testing.wait_all_tasks_blocked()
        assert deliver(Request("info", "", ("kept",))) is None
        assert deliver(Request("info", "", ("waits",)), "waits") is not None
        withdraw = deliver(Request("info", "", ("withdrawn",)), "withdrawn")
        assert withdraw is not None
        withdraw()
        cell_of(there).queue_up(None, lambda error: told.append(("all before", error)))
        withdraw()
        with pytest.raises(Deadlock):
            deliver(Request("cast", "note", ("circle",), chain=(there.pid,)))  # type: ignore[arg-type]  # bound to a pid
        with pytest.raises(NoSuchMethod):
            deliver(Request("cast", "missing"))
        assert told == []
        gate = cell_of(there).instance
        assert isinstance(gate, Gate)
        gate.gate.set()
        assert await there.call(Gate.read) == ["waited", "kept", "waits"]
        assert told == [("waits", None), ("all before", None)]
    with pytest.raises(NotBegun):
        deliver(Request("cast", "note", ("gone",)))


async def test_a_circle_over_nodes_is_a_deadlock(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Asker, system=a) as first, running(Asker, system=b) as second:
        second_from_a = a.ref(second.pid)  # type: ignore[arg-type]  # bound to a pid
        first_from_b = b.ref(first.pid)  # type: ignore[arg-type]  # bound to a pid
        assert await first.call(Asker.ask, second_from_a, "nothing") is None
        with pytest.raises(ActorCrashed) as caught:
            await first.call(Asker.ask, second_from_a, "ask", first_from_b, "nothing")
        innermost: BaseException | None = caught.value
        while isinstance(innermost, ActorCrashed):
            innermost = innermost.__cause__
        assert isinstance(innermost, Deadlock)


async def test_a_request_whose_chain_holds_its_target_is_refused_on_arrival(wire: Wire) -> None:
    b = wire.system("b")
    async with running(Gate, system=b, mailbox=1) as there:
        pid = there.pid
        assert pid is not None
        with pytest.raises(Deadlock):
            await b.deliver_call(pid.serial, Request("call", "read", chain=(pid,)))
        there.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        await b.deliver_cast(pid.serial, Request("cast", "note", (1,), chain=(pid,)))
        with pytest.raises(Deadlock):
            await b.deliver_cast(pid.serial, Request("cast", "note", (2,), chain=(pid,)))
        cell_of(there).cancel()


async def test_an_expired_call_from_elsewhere_is_not_begun(wire: Wire) -> None:
    b = wire.system("b")
    async with running(Gate, system=b) as there:
        assert there.pid is not None
        with pytest.raises(trio.TooSlowError):
            await b.deliver_call(there.pid.serial, Request("call", "note", (1,), deadline=trio.current_time() - 1))
        assert await there.call(Gate.read) == []


async def test_calls_without_a_task(wire: Wire) -> None:
    b = wire.system("b")
    replies: list[Any] = []

    def on_reply(value: Any, error: BaseException | None) -> None:
        replies.append(error or value)

    async with running(Counter, 1, system=b) as there:
        serial = there.pid.serial  # type: ignore[union-attr]  # bound to a pid
        b.deliver_call_soon(serial, Request("call", "add", (1,)), on_reply)
        b.deliver_call_soon(serial, Request("call", "refuse", ("x",)), on_reply)
        b.deliver_call_soon(serial, Request("call", "add", (1, 2, 3)), on_reply)
        b.deliver_call_soon(serial, Request("call", "missing"), on_reply)
        b.deliver_call_soon(99, Request("call", "add"), on_reply)
        b.deliver_call_soon(serial, Request("call", "add", (10,)), on_reply)()  # withdrawn
        await trio.testing.wait_all_tasks_blocked()
        assert [type(reply) for reply in replies] == [TypeError, NoSuchMethod, NotBegun, int, OutOfStock]
        b.deliver_call_soon(serial, Request("call", "fail", ("boom",)), on_reply)
        b.deliver_call_soon(serial, Request("call", "add", (1,)), on_reply)
        await trio.testing.wait_all_tasks_blocked()
        assert [type(reply) for reply in replies[5:]] == [ActorCrashed, NotBegun]
        assert replies[3] == 2


async def test_a_call_without_a_task_can_be_withdrawn_until_it_begins(wire: Wire) -> None:
    b = wire.system("b")
    async with running(Gate, system=b) as there:
        serial = there.pid.serial  # type: ignore[union-attr]  # bound to a pid
        replies: list[Any] = []
        withdraw = b.deliver_call_soon(serial, Request("call", "wait"), lambda *reply: replies.append(reply))
        await trio.testing.wait_all_tasks_blocked()
        withdraw()
        gate = cell_of(there).instance
        assert isinstance(gate, Gate)
        gate.gate.set()
        assert await there.call(Gate.read) == ["waited"]
        assert replies == []


async def test_down_comes_over_nodes_once(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Watcher, system=a) as watcher:
        async with running(Counter, system=b) as there:
            here = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
            monitor = await watcher.call(Watcher.watch, here)
            dropped = await watcher.call(Watcher.watch, here)
            assert await watcher.call(Watcher.unwatch, dropped) is True
            assert len(cell_of(there).watchers or ()) == 1
        a.down(monitor.number, there.pid, "node down")
        assert await watcher.call(Watcher.read) == [Down(monitor, there.pid, "shutdown")]
        late = await watcher.call(Watcher.watch, here)
        assert (await watcher.call(Watcher.read))[1:] == [Down(late, there.pid, "noproc")]


async def test_the_watches_of_an_actor_that_ended_are_taken_back_elsewhere(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Counter, system=b) as there:
        async with running(Watcher, system=a) as watcher:
            here = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
            await watcher.call(Watcher.watch, here)
            assert len(cell_of(there).watchers or ()) == 1
        assert cell_of(there).watchers == {}
    b.remove_remote_watch(99, "nobody")


# Refs that follow a child.

KEY = ChildKey("shop", "c")


async def test_a_ref_follows_its_child_from_node_to_node(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    ref: Ref[Counter] = a.ref(KEY)
    assert ref.pid is None
    async with running(Counter, 1, system=a) as here, running(Counter, 100, system=b) as there:
        wire.place(KEY, here.pid)
        assert ref.pid == here.pid
        assert await ref.call(Counter.add) == 2
        await ref.cast(Counter.add)
        ref.cast_nowait(Counter.add)
        wire.place(KEY, there.pid)
        assert await ref.call(Counter.add) == 101
        ref.cast_nowait(Counter.add)
        assert await ref.call(Counter.add) == 103
        assert await here.call(Counter.add) == 5


async def test_a_call_waits_while_its_child_runs_nowhere(wire: Wire) -> None:
    a = wire.system("a")
    ref = a.ref(KEY)
    results: list[Any] = []

    async def call() -> None:
        results.append(await ref.call(Counter.add))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(ref.cast, Counter.add)
        nursery.start_soon(ref.send, "x")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            ref.cast_nowait(Counter.add)
        async with running(Counter, system=a) as here:
            wire.place(KEY, here.pid)
            await trio.testing.wait_all_tasks_blocked()
            assert await here.call(Counter.add) == 3
    assert results in ([1], [2])


@pytest.mark.parametrize("where", ["a", "b"])
async def test_what_had_not_begun_goes_to_the_next_incarnation(wire: Wire, where: str) -> None:
    a, b = wire.system("a"), wire.system("b")
    ref: Ref[Gate] = a.ref(KEY)
    answers: list[Any] = []

    async def call(method: Any, *args: Any) -> None:
        try:
            answers.append(await ref.call(method, *args))
        except ActorCrashed:
            answers.append("crashed")

    async with trio.open_nursery() as nursery, running(Gate, system=b) as second:
        async with running(Gate, system=wire.systems[where], mailbox=2) as first:
            wire.place(KEY, first.pid)
            nursery.start_soon(call, Gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            for name in ("in the mailbox", "in the mailbox, too", "waits for room"):
                nursery.start_soon(call, Gate.note, name)
                await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ref.cast, Gate.note, "cast")
            await trio.testing.wait_all_tasks_blocked()
            cell_of(first).cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["crashed"]
        wire.place(KEY, second.pid)
        await trio.testing.wait_all_tasks_blocked()
        # At most once: the begun one was not repeated.
        assert sorted(await second.call(Gate.read)) == [
            "cast",
            "in the mailbox",
            "in the mailbox, too",
            "waits for room",
        ]


async def test_a_child_in_the_own_chain_is_a_deadlock_wherever(wire: Wire) -> None:
    a = wire.system("a")
    async with running(Asker, system=a) as here:
        wire.place(KEY, here.pid)
        with pytest.raises(ActorCrashed) as caught:
            await here.call(Asker.ask, a.ref(KEY), "nothing")
        assert isinstance(caught.value.__cause__, Deadlock)


async def test_a_monitor_of_a_child_watches_the_incarnation_of_now(wire: Wire) -> None:
    a, b = wire.system("a"), wire.system("b")
    async with running(Watcher, system=a) as watcher, running(Counter, system=a) as second:
        async with running(Counter, system=b) as first:
            wire.place(KEY, first.pid)
            monitor = await watcher.call(Watcher.watch, a.ref(KEY))
            assert monitor.pid == first.pid
            wire.place(KEY, second.pid)
            assert await watcher.call(Watcher.read) == []
        assert await watcher.call(Watcher.read) == [Down(monitor, first.pid, "shutdown")]


async def test_messages_to_a_function_elsewhere(wire: Wire) -> None:
    log: list[Any] = []

    @actor
    async def listener(context: Any) -> None:
        while True:
            log.append(await context.receive())

    a, b = wire.system("a"), wire.system("b")
    async with running(listener, system=b) as there:
        here = a.ref(there.pid)  # type: ignore[arg-type]  # bound to a pid
        await here.send(1)
        here.send_nowait(2)
        with pytest.raises(NoSuchMethod):
            await here.call("x")
        await trio.testing.wait_all_tasks_blocked()
        assert log == [1, 2]
