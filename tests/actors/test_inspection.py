"""Looking into actors that run: nothing is disturbed, nothing waits behind messages, and every question is answered."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing
from tests.actors.kit import Counter, Gate, cell_of, running

import hubkit
from hubkit import debug
from hubkit.actors import Actor, actor
from hubkit.actors.inspection import attributes
from hubkit.errors import ConfigurationError, Deadlock, NoSuchActor, NoSuchMethod


class Slotted(Actor):
    __slots__ = ("kept", "unset")

    def __init__(self) -> None:
        self.kept = 1

    async def look_at_me(self) -> Any:
        with pytest.raises(Deadlock):
            await debug.state(self.context.ref)
        return (await debug.status(self.context.ref)).state


class Fragile(Actor):
    def __init__(self) -> None:
        self.value = Unprintable()
        self.name = "x" * 500
        self.many = list(range(1000))

    async def fail(self, n: int) -> None:
        raise ValueError(n)

    async def fail_behind(self) -> None:
        self.context.nursery.start_soon(self.fail, 2)
        await trio.sleep_forever()


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


class Reticent(Fragile):
    def __repr__(self) -> str:
        return "<Reticent,\n nothing more>"


@actor
async def reader(context: hubkit.Context) -> None:
    async for _ in context:
        await trio.sleep(10)


async def test_the_status_of_an_idle_actor(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Counter, child_id="c", restarts=2) as ref:
        await ref.call(Counter.add, 1)
        pid = ref.pid
        assert await debug.status(ref) == debug.ActorInfo(
            "c", "tests.actors.kit:Counter", "running", pid, 2, 0, None, 1
        )
    with pytest.raises(NoSuchActor):
        await debug.status(ref)


async def test_the_age_of_the_oldest_message(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Gate, mailbox=3) as ref, trio.open_nursery() as nursery:
        ages = []

        async def look() -> None:
            info = await debug.status(ref)
            ages.append((info.mailbox, info.oldest))

        ref.cast_nowait(Gate.wait)
        assert cell_of(ref).age(trio.current_time()) == 0.0
        await trio.sleep(5)
        await look()
        ref.cast_nowait(Gate.note, 1)
        await trio.sleep(2)
        ref.cast_nowait(Gate.note, 2)
        await trio.sleep(1)
        await look()
        cell_of(ref).instance.gate.set()  # type: ignore[union-attr]  # it is a Gate
        await trio.testing.wait_all_tasks_blocked()
        await look()
        cell_of(ref).instance.gate = trio.Event()  # type: ignore[union-attr]  # it is a Gate
        ref.cast_nowait(Gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(4):  # it gives up: what it left behind has no age
            await ref.call(Gate.read)
        await look()
        for _ in range(3):
            ref.cast_nowait(Gate.note, 3)
        nursery.start_soon(ref.cast, Gate.note, 4)
        await trio.sleep(7)
        await look()
        cell_of(ref).instance.gate.set()  # type: ignore[union-attr]  # it is a Gate
    assert ages == [(0, None), (2, 3.0), (0, None), (0, None), (4, 7.0)]


async def test_behind_the_first_that_waited_an_age_is_at_most_that(autojump_clock: trio.testing.MockClock) -> None:
    class Slow(Actor):
        async def work(self) -> None:
            await trio.sleep(10)

    async with running(Slow) as ref:
        for _ in range(4):  # at 0, 1, 2, 3
            ref.cast_nowait(Slow.work)
            await trio.sleep(1)
        oldest = []
        for _ in range(4):
            oldest.append((await debug.status(ref)).oldest)
            await trio.sleep(8)
        assert oldest[0] == pytest.approx(3.0)  # at 4, the one of 1
        assert oldest[1] is not None
        assert 10.0 <= oldest[1] <= 11.0  # at 12, the one of 2
        assert oldest[2] is not None
        assert 17.0 <= oldest[2] <= 19.0  # at 20, the one of 3
        assert oldest[3] is None or oldest[3] >= 25.0
        cell_of(ref).cancel()


async def test_the_state_is_read_before_what_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with running(Counter, 5) as ref:
        for _ in range(3):
            ref.cast_nowait(Counter.add, 1)
        assert await debug.state(ref) == {"value": 5}
        assert await ref.call(Counter.add, 1) == 9
        assert await debug.state(ref) == {"value": 9}
        assert (await debug.status(ref)).handled == 4
    async with running(Slotted) as ref:
        assert await debug.state(ref) == {"kept": 1}
        assert await ref.call(Slotted.look_at_me) == "running"


async def test_a_suspended_actor_begins_nothing_and_goes_on_where_it_was(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Counter) as ref, trio.open_nursery() as nursery:
        await debug.suspend(ref)
        await debug.suspend(ref)
        nursery.start_soon(ref.call, Counter.add, 1)
        await trio.sleep(5)
        info = await debug.status(ref)
        assert (info.state, info.mailbox) == ("suspended", 1)
        assert await debug.state(ref) == {"value": 0}
        await debug.resume(ref)
        await debug.resume(ref)
        assert await ref.call(Counter.add, 1) == 2
        assert (await debug.status(ref)).state == "running"
        assert (await debug.status(ref)).handled == 2


async def test_a_function_stands_still_where_it_reads(autojump_clock: trio.testing.MockClock) -> None:
    read: list[Any] = []

    async def slow(context: Any) -> None:
        async for message in context:
            read.append(message)
            await trio.sleep(1)

    async with running(slow) as ref:
        await debug.suspend(ref)
        ref.send_nowait("a")
        ref.send_nowait("b")
        await trio.sleep(5)
        info = await debug.status(ref)
        assert (info.state, info.mailbox, info.oldest, read) == ("suspended", 2, 5, [])
        await debug.resume(ref)
        await trio.sleep(0.5)
        assert read == ["a"]
        began = trio.current_time()
        await debug.suspend(ref)  # it finishes what it does
        assert trio.current_time() - began == 0.5
        await debug.suspend(ref)
        await trio.sleep(5)
        info = await debug.status(ref)
        assert (info.state, info.mailbox, info.handled, read) == ("suspended", 1, 1, ["a"])
    assert read == ["a"]


async def test_a_function_that_gives_up_reading_is_still_suspended(autojump_clock: trio.testing.MockClock) -> None:
    read: list[Any] = []

    async def impatient(context: Any) -> None:
        with trio.move_on_after(1):
            await context.receive()
        read.append(await context.receive())
        await trio.sleep_forever()

    async with running(impatient) as ref:
        await debug.suspend(ref)
        await trio.sleep(5)
        ref.send_nowait("a")
        await trio.sleep(5)
        info = await debug.status(ref)
        assert (info.state, info.mailbox, read) == ("suspended", 1, [])
        with trio.move_on_after(1) as patience:
            await debug.suspend(ref)
        assert not patience.cancelled_caught
        await debug.resume(ref)
        await trio.sleep(1)
        assert read == ["a"]
        with trio.move_on_after(1) as patience:
            await debug.suspend(ref)  # it does not read
        assert patience.cancelled_caught
        cell_of(ref).cancel()


async def test_a_suspended_actor_can_be_stopped(autojump_clock: trio.testing.MockClock) -> None:
    ends: list[Any] = []
    async with running(Counter, ends=ends) as ref:
        await debug.suspend(ref)
    assert [end.reason for end in ends] == ["shutdown"]
    assert trio.current_time() < 1


async def test_who_asks_a_stuck_actor_can_give_up_and_is_answered_at_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(Gate) as ref, trio.open_nursery() as nursery:
        ref.cast_nowait(Gate.wait)
        await trio.sleep(1)
        with trio.move_on_after(3) as scope:
            await debug.state(ref)
        assert scope.cancelled_caught
        assert (await debug.status(ref)).state == "running"
        nursery.start_soon(end_of, cell_of(ref))
        with pytest.raises(NoSuchActor, match="before it could be looked at"):
            await debug.state(ref)


async def end_of(cell: Any) -> None:
    await trio.sleep(1)
    cell.cancel()


async def test_what_cannot_be_asked() -> None:
    async with running(reader) as ref:
        assert (await debug.status(ref)).state == "running"
        with pytest.raises(ConfigurationError, match="actor function"):
            await debug.state(ref)
    async with running(Counter) as ref:
        with pytest.raises(NoSuchMethod, match="another version"):
            await ref.call("sys:dance")
    with pytest.raises(ConfigurationError, match="as a Ref"):
        await debug.status("counter")  # type: ignore[arg-type]  # that is what is tested


async def test_attributes_are_those_of_the_instance() -> None:
    async with running(Counter, 3) as ref:
        assert attributes(cell_of(ref).instance) == {"value": 3}


async def test_a_crash_is_one_report_with_all_that_helps(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Fragile, child_id="f", restarts=1) as ref:
        ref.cast_nowait(Fragile.fail, 7)
        ref.cast_nowait(Fragile.fail, 8)
        await trio.testing.wait_all_tasks_blocked()
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    first, state, waiting = record.getMessage().splitlines()
    assert first.startswith("actor f <local#0.")
    assert first.endswith("crashed while handling fail(7): ValueError: 7 (restarted 1 time before)")
    assert state.startswith("  state: value=")
    assert "many=[0, 1, 2, 3, 4, 5, ...]" in state
    assert len(state) < 500
    assert waiting == "  waiting: 1 message"
    [letter] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "has ended (crash)" in letter.getMessage()


async def test_an_actor_says_what_of_it_may_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Reticent) as ref:
        with pytest.raises(hubkit.errors.ActorCrashed):
            await ref.call(Reticent.fail_behind)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    first, state = record.getMessage().splitlines()
    assert first.endswith("crashed in a background task while it handled fail_behind(): ValueError: 2")
    assert state == "  state: <Reticent,\\n nothing more>"


async def test_the_state_of_a_state_machine_is_the_first_that_is_shown() -> None:
    class Door(hubkit.StateMachine[str]):
        initial = "shut"

        def __init__(self) -> None:
            self.opened = 0

    async with hubkit.start(hubkit.child("door", Door)) as ref:
        assert list((await hubkit.debug.state(ref)).items()) == [("state", "shut"), ("opened", 0)]
