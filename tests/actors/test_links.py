"""Links: both are told of an end, once; who does not trap exits ends, too."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, cell_of, running

import hubkit
from hubkit.actors import Actor, Context, Exit, Ref, actor, current_system
from hubkit.errors import ActorCrashed, ConfigurationError
from hubkit.pids import ChildKey, Pid
from hubkit.specs import ChildSpec


class Linker(Actor):
    """Links itself with whom it is told to, and notes how it ends."""

    def __init__(self, ends: list[str] | None = None) -> None:
        self.ends = [] if ends is None else ends
        self.heard: list[Any] = []

    async def link(self, ref: Ref[Any]) -> None:
        self.context.link(ref)

    async def unlink(self, ref: Ref[Any]) -> bool:
        return self.context.unlink(ref)

    async def unlink_late(self, ref: Ref[Any]) -> bool:
        """The other ends while this one is busy; its `Exit` waits."""
        cell_of(ref).request_stop("odd")
        await trio.testing.wait_all_tasks_blocked()
        return self.context.unlink(ref)

    async def fail(self, error: Exception) -> None:
        raise error

    async def stop(self, reason: str) -> None:
        self.context.stop(reason)

    async def hang(self) -> None:
        await trio.sleep_forever()

    async def read(self) -> list[Any]:
        return list(self.heard)

    async def on_info(self, message: Any) -> None:
        self.heard.append(message)

    async def on_stop(self, reason: str) -> None:
        self.ends.append(reason)


class Trapper(Linker):
    trap_exits = True


async def still(*refs: Ref[Any]) -> None:
    await trio.testing.wait_all_tasks_blocked()


def lives(ref: Ref[Any]) -> bool:
    return ref._find() is not None


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("way", ["crash", "odd", "shutdown", "killed"])
async def test_two_that_are_linked_end_together_whoever_asked_for_it(who: int, way: str) -> None:
    ends: list[Any] = []
    said: list[str] = []
    async with running(Linker, said, ends=ends) as one, running(Linker, said, ends=ends) as two:
        await one.call(Linker.link, two)
        await one.call(Linker.link, two)
        await two.call(Linker.link, one)
        first = (one, two)[who]
        error = ValueError("x")
        if way == "crash":
            with pytest.raises(ActorCrashed):
                await first.call(Linker.fail, error)
        elif way == "killed":
            cell_of(first).cancel()
        else:
            await first.call(Linker.stop, way)
        await still()
        assert not lives(one)
        assert not lives(two)
        assert [end.reason for end in ends] == [way, way]
        assert said == ([way, way] if way != "killed" else [way])
        assert [end.error for end in ends] == ([error, error] if way == "crash" else [None, None])
    assert current_system().links._pairs == {}
    assert current_system().links._causes == {}


@pytest.mark.parametrize("reason", ["normal", "moved"])
async def test_a_normal_end_brings_nobody_down(reason: str) -> None:
    async with running(Linker) as one, running(Linker) as two, running(Trapper) as three:
        await one.call(Linker.link, two)
        await three.call(Linker.link, one)
        pid = one.pid
        await one.call(Linker.stop, reason)
        await still()
        assert await two.call(Linker.read) == []
        assert await three.call(Linker.read) == [Exit(reason, None, pid)]
        assert current_system().links._pairs == {}


async def test_who_traps_exits_hears_of_each_once_with_its_error() -> None:
    async with running(Trapper) as trapper:
        refs = []
        errors = [ValueError("x"), KeyError("y")]
        for error in errors:
            async with running(Linker) as ref:
                refs.append(ref)
                await trapper.call(Linker.link, ref)
                await ref.call(Linker.link, trapper)
                with pytest.raises(ActorCrashed):
                    await ref.call(Linker.fail, error)
        heard = await trapper.call(Linker.read)
        assert heard == [Exit("crash", None, ref.pid) for ref in refs]
        assert [end.error for end in heard] == errors
        assert not any(end.is_normal for end in heard)


async def test_an_end_travels_along_a_chain_with_the_error_that_began_it(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[Any] = []
    async with running(Trapper) as last:
        async with running(Linker, ends=ends) as a, running(Linker, ends=ends) as b, running(Linker, ends=ends) as c:
            for one, two in ((a, b), (b, c), (c, last)):
                await one.call(Linker.link, two)
            with caplog.at_level(logging.WARNING), pytest.raises(ActorCrashed):
                await a.call(Linker.fail, error := ValueError("x"))
            await still()
        assert [(end.reason, end.error) for end in ends] == [("crash", error)] * 3
        [heard] = await last.call(Linker.read)
        assert (heard.pid, heard.error) == (c.pid, error)
        assert f"ends, as {b.pid} did, which it was linked with: crash" in caplog.text


async def test_a_link_with_nobody_is_an_exit_at_once() -> None:
    system = current_system()
    gone: list[Pid | ChildKey] = [Pid("local", 0, 999), ChildKey("no hub", "x"), Pid("other", 1, 1)]
    ends: list[Any] = []
    async with running(Trapper) as trapper:
        for address in gone:
            await trapper.call(Linker.link, system.ref(address))
        assert await trapper.call(Linker.read) == [
            Exit("noproc", None, address if isinstance(address, Pid) else None) for address in gone
        ]
    for address in gone:
        async with running(Linker, ends=ends) as linker:
            await linker.call(Linker.link, system.ref(address))
            await still()
            assert not lives(linker)
    assert [end.reason for end in ends] == ["noproc"] * 3


async def test_after_unlink_neither_hears_of_the_other() -> None:
    async with running(Trapper) as one, running(Trapper) as two:
        await one.call(Linker.link, two)
        assert await two.call(Linker.unlink, one) is True
        assert await one.call(Linker.unlink, two) is False
        await two.call(Linker.stop, "odd")
        await still()
        assert await one.call(Linker.read) == []
    assert current_system().links._pairs == {}


async def test_unlink_takes_a_waiting_exit_out_of_the_mailbox() -> None:
    async with running(Trapper) as one, running(Linker) as two:
        await one.call(Linker.link, two)
        assert await one.call(Linker.unlink_late, two) is False
        assert await one.call(Linker.read) == []


async def test_what_a_link_brings_down_finishes_its_message_and_has_its_shutdown_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ends: list[Any] = []
    async with running(Linker, shutdown=3.0, ends=ends) as busy, running(Linker) as other:
        await busy.call(Linker.link, other)
        busy.cast_nowait(Linker.hang)
        await still()
        began = trio.current_time()
        await other.call(Linker.stop, "odd")
        while lives(busy):
            await trio.sleep(0.5)
        assert 2.9 < trio.current_time() - began < 4.1
    assert [end.reason for end in ends] == ["killed"]
    assert len(current_system().timers) == 0


async def test_with_no_shutdown_time_it_is_killed_at_once() -> None:
    ends: list[Any] = []
    async with running(Linker, shutdown=0, ends=ends) as busy, running(Linker) as other:
        await busy.call(Linker.link, other)
        busy.cast_nowait(Linker.hang)
        await other.call(Linker.stop, "odd")
        await still()
        assert [end.reason for end in ends] == ["killed"]


async def test_functions_can_be_linked_and_can_trap_exits() -> None:
    heard: list[Any] = []

    @actor
    async def plain(context: Context, other: Ref[Any]) -> None:
        context.link(other)
        await trio.sleep_forever()

    @actor(trap_exits=True)
    async def trapping(context: Context, other: Ref[Any]) -> None:
        context.link(other)
        heard.extend([await context.receive(), await context.receive()])

    ends: list[Any] = []
    async with running(Linker) as other, running(plain, other, ends=ends), running(trapping, other, ends=ends) as ref:
        await still()
        await other.call(Linker.stop, "odd")
        await still()
        assert [end.reason for end in ends] == ["odd"]
        await ref.send("still here")
        await still()
        assert heard == [Exit("odd", None, other.pid), "still here"]


@pytest.mark.parametrize("what", ["itself", 7, None, "child", Pid("local", 0, 1), Counter])
async def test_what_cannot_be_linked_is_said(what: Any) -> None:
    async with running(Linker) as ref:
        with pytest.raises(
            ActorCrashed, match="cannot be linked with itself" if what == "itself" else "needs a Ref, not"
        ):
            await ref.call(Linker.link, ref if what == "itself" else what)
    async with running(Linker) as ref:
        if what != "itself":
            with pytest.raises(ActorCrashed, match="unlink needs a Ref, not"):
                await ref.call(Linker.unlink, what)


def test_trap_exits_is_a_flag() -> None:
    with pytest.raises(ConfigurationError, match=r"Odd\.trap_exits must be True or False, not 1"):
        type("Odd", (Actor,), {"trap_exits": 1})
    with pytest.raises(ConfigurationError, match="trap_exits must be True or False, not 'yes'"):
        actor(trap_exits="yes")(Linker)  # type: ignore[call-overload]  # wrong on purpose


async def test_a_supervisor_restarts_what_a_link_brought_down(autojump_clock: trio.testing.MockClock) -> None:
    specs = [hubkit.child("a", Linker), hubkit.child("b", Linker), ChildSpec("c", Linker, restart="transient")]
    async with hubkit.Supervisor(children=specs) as supervisor:
        a, b, c = (supervisor.ref(spec.id) for spec in specs)
        before = {ref.pid for ref in (a, b, c)}
        await a.call(Linker.link, b)
        await c.call(Linker.link, a)
        with pytest.raises(ActorCrashed):
            await b.call(Linker.fail, ValueError("x"))
        assert [await ref.call(Linker.read) for ref in (a, b, c)] == [[], [], []]
        await still()
        assert not before & {ref.pid for ref in (a, b, c)}
