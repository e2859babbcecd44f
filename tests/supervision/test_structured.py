"""Blocks that are left in the middle of something: in order, within bounds, and nothing begins or remains."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter
from tests.supervision.kit import Clock, Worker, World, crash, found, quiet, states, worker

import hubkit
from hubkit.actors import current_system
from hubkit.errors import HubClosed, NoSuchActor, RestartIntensityExceeded, StartFailed
from hubkit.specs import Backoff, ChildSpec
from hubkit.supervision import Supervisor, child, start


def nested(id: str, *children: ChildSpec, shutdown: float = math.inf) -> ChildSpec:
    return ChildSpec(id, Supervisor, (list(children),), shutdown=shutdown)


def test_a_block_can_be_made_before_there_is_a_run() -> None:
    supervisor, block = Supervisor(children=[child("a", Counter)]), start(child("b", Counter))

    async def main() -> int:
        async with supervisor, block as ref:
            return await ref.call(Counter.add) + await supervisor.ref("a").call(Counter.add)

    assert trio.run(main) == 2


@pytest.mark.parametrize("how", ["error", "cancel"])
async def test_a_tree_is_left_in_order_and_within_ten_seconds(how: str, autojump_clock: Clock) -> None:
    """However deep it is, and however long its children would like to have."""
    world = World()
    world.slow_stops = {"x": math.inf, "z": 1.0, "b": math.inf}
    low = nested("low", worker("x", world, shutdown=math.inf), worker("y", world))
    tree = [worker("a", world), nested("mid", low, worker("z", world)), worker("b", world, shutdown=math.inf)]
    began = trio.current_time()
    with trio.CancelScope() as scope:
        try:
            async with Supervisor(children=tree):
                world.log.clear()
                if how == "error":
                    raise KeyError
                scope.cancel()
                await trio.sleep_forever()
        except KeyError:
            assert how == "error"
    assert trio.current_time() - began == pytest.approx(10.0)
    assert world.log == ["-z shutdown", "-y shutdown"], "b and x used up the time; a was ended by force"
    assert current_system().cells == {}
    assert current_system().directories == {}


@pytest.mark.parametrize("how", ["normal", "cancel"])
async def test_no_restart_begins_while_the_block_is_left(how: str, autojump_clock: Clock) -> None:
    """It is left while a group is stopped, which was to be started again."""
    world = World()
    world.slow_stops = {"b": 3.0}
    with trio.CancelScope() as scope:
        async with Supervisor(children=[worker(name, world) for name in "abc"], strategy="one_for_all") as supervisor:
            world.log.clear()
            await crash(supervisor.ref("c"))
            await trio.sleep(1)
            if how == "cancel":
                scope.cancel()
                await trio.sleep_forever()
    assert "+a" not in world.log
    assert sorted(line[:2] for line in world.log) == ["-a", "-b", "-c"] if how == "normal" else ["-a", "-c"]
    assert current_system().cells == {}


async def test_a_stop_in_progress_does_not_hold_up_the_end(autojump_clock: Clock) -> None:
    """Somebody outside waits for a child that never stops; the block is left by an error all the same."""
    world = World()
    world.slow_stops = {"a": math.inf}
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        with pytest.raises(KeyError):
            async with Supervisor(children=[worker("a", world, shutdown=math.inf)]) as supervisor:
                nursery.start_soon(supervisor.terminate_child, "a")
                await quiet()
                raise KeyError
        assert trio.current_time() - began == pytest.approx(5.0)


async def test_a_cancelled_terminate_child_has_ended_the_child_for_good(autojump_clock: Clock) -> None:
    """By force; it is no crash that would have it restarted."""
    world = World()
    world.slow_stops = dict.fromkeys("at", math.inf)
    specs = [worker("a", world, shutdown=math.inf), worker("t", world, shutdown=math.inf, restart="temporary")]
    async with Supervisor(children=specs) as supervisor:
        for id in "at":
            with trio.move_on_after(1) as scope:
                await supervisor.terminate_child(id)
            assert scope.cancelled_caught
        await trio.sleep(10)
        assert states(supervisor) == {"a": "stopped"}


async def test_a_cancelled_restart_child_is_undone(autojump_clock: Clock) -> None:
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        await supervisor.terminate_child("a")
        world.slow_starts = {"a": math.inf}
        with trio.move_on_after(1):
            await supervisor.restart_child("a")
        assert states(supervisor) == {"a": "stopped"}
        assert current_system().cells == {}


async def test_a_call_waits_while_its_child_is_restarted_with_another(autojump_clock: Clock) -> None:
    """A sibling's failure stops it; it is going to run again."""
    world = World()
    world.slow_starts = {"a": 0.0}
    async with Supervisor(children=[worker(name, world) for name in "ab"], strategy="one_for_all") as supervisor:
        world.slow_starts = {"a": 7.0}
        world.slow_stops = {"a": 1.0}
        await crash(supervisor.ref("b"))
        await trio.sleep(0.5)
        began = trio.current_time()
        assert await supervisor.ref("a").call(Worker.add) == 1
        assert trio.current_time() - began == pytest.approx(7.5)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_siblings_are_stopped_when_one_dies_though_it_has_to_wait(strategy: Any, autojump_clock: Clock) -> None:
    world = World()
    specs = [
        worker("a", world),
        worker("b", world, backoff=Backoff(first=10.0, jitter=0.0)),
        worker("c", world),
        worker("t", world, restart="temporary"),
    ]
    async with Supervisor(children=specs, strategy=strategy) as supervisor:
        del world.log[:]
        await crash(supervisor.ref("b"))
        await trio.sleep(1)
        stops = ["-b crash", "-t shutdown", "-c shutdown"] + ["-a shutdown"] * (strategy == "one_for_all")
        assert world.log == stops
        assert states(supervisor)["b"] == "restarting"
        began = trio.current_time()
        assert await supervisor.ref("c").call(Worker.add) == 1  # it is wanted, and waits
        assert trio.current_time() - began == 9
        assert world.log[len(stops) :] == ["+a"] * (strategy == "one_for_all") + ["+b", "+c"]
        assert set(states(supervisor).values()) == {"running"}


async def test_such_a_call_fails_when_that_is_called_off(autojump_clock: Clock) -> None:
    world = World()
    backoff = Backoff(first=100.0, max=100.0, jitter=0.0)
    specs = [worker("a", world, backoff=backoff), worker("b", world), worker("c", world)]
    told: list[float] = []

    async def ask(supervisor: Supervisor) -> None:
        with pytest.raises(NoSuchActor, match="is not going to"):
            await supervisor.ref("b").call(Worker.add)
        told.append(trio.current_time())

    async with Supervisor(children=specs, strategy="one_for_all", max_restarts=9) as supervisor:
        world.fail_starts = {"a": 1}
        await crash(supervisor.ref("c"))
        await quiet()
        assert states(supervisor) == {"a": "restarting", "b": "stopped", "c": "stopped"}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, supervisor)
            await trio.sleep(10)
            assert told == []
            await supervisor.terminate_child("a")
        assert told == [trio.current_time()]


@pytest.mark.parametrize("how", ["error", "cancel", "normal"])
async def test_a_block_that_is_left_while_it_gives_up(how: str) -> None:
    """Two reasons to end: every child is stopped once, in order."""
    world = World()
    with trio.CancelScope() as scope:
        try:
            async with Supervisor(children=[worker(name, world) for name in "abc"], max_restarts=0) as supervisor:
                await crash(supervisor.ref("b"))
                if how == "error":
                    raise KeyError
                if how == "cancel":
                    scope.cancel()
        except* Exception:
            pass
    assert world.log[3:] == ["-b crash", "-c shutdown", "-a shutdown"]
    assert current_system().cells == {}


async def test_an_automatic_shutdown_can_be_cut_short_by_a_cancellation(autojump_clock: Clock) -> None:
    """It gives its children their time; whoever cancels does not."""
    world = World()
    world.slow_stops = {"a": math.inf}
    specs = [worker("a", world, shutdown=math.inf), worker("s", world, significant=True, restart="temporary")]
    began = trio.current_time()
    with trio.move_on_after(20) as scope:
        async with Supervisor(children=specs, auto_shutdown="any_significant"):
            await found("s").call(Worker.leave)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert 20.0 <= trio.current_time() - began <= 30.0


async def test_a_start_fails_with_what_its_start_raised_even_if_that_is_a_group() -> None:
    class Many(Worker):
        async def on_start(self) -> None:
            raise ExceptionGroup("many", [KeyError(1), ValueError(2)])

    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(ChildSpec("m", Many, ("m", World())))
        assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_a_call_that_waits_for_its_turn_when_the_block_is_left_is_refused(autojump_clock: Clock) -> None:
    world = World()
    world.slow_stops = {"a": 3.0}
    told: list[Any] = []

    async def ask(supervisor: Supervisor) -> None:
        with pytest.raises(HubClosed) as caught:
            await supervisor.start_child(worker("late", world))
        told.append(caught.value)

    async with trio.open_nursery() as nursery, Supervisor(children=[worker("a", world)]) as supervisor:
        nursery.start_soon(supervisor.terminate_child, "a")
        await quiet()
        nursery.start_soon(ask, supervisor)
        await quiet()
    assert len(told) == 1
    assert "+late" not in world.log


@pytest.mark.parametrize("how", ["ref", "call", "start_child"])
@pytest.mark.parametrize("quietly", [True, False])
async def test_a_body_that_comes_too_late_fails_for_the_supervisors_reason_alone(how: str, quietly: bool) -> None:
    """It has ended by itself, and the body has not noticed yet: what it is told then is no failure of its own."""
    world = World()
    specs = [worker("a", world), worker("s", world, significant=True, restart="temporary")]
    reached = False
    try:
        async with Supervisor(children=specs, auto_shutdown="any_significant", max_restarts=0) as supervisor:
            ref = supervisor.ref("a")
            supervisor.ref("s" if quietly else "a").cast_nowait(Worker.crash)
            with trio.CancelScope(shield=True):
                await quiet()
            if how == "ref":
                supervisor.ref("a")
            elif how == "call":
                await ref.call(Worker.add)
            else:
                await supervisor.start_child(worker("b", world))
            reached = True
    except RestartIntensityExceeded:
        assert not quietly
    else:
        assert quietly
    assert not reached


async def test_what_a_body_raises_beside_its_cancellation_is_its_own() -> None:
    """The supervisor gives up, and a task of the body's own nursery fails on its way out."""

    async def fails_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("mine")

    world = World()
    with pytest.raises(BaseExceptionGroup) as caught:
        async with (
            Supervisor(children=[worker("a", world)], max_restarts=0) as supervisor,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(fails_at_the_end)
            await crash(supervisor.ref("a"))
            await trio.sleep_forever()
    group, own = caught.value.exceptions
    assert isinstance(group, ExceptionGroup)
    assert [type(error) for error in group.exceptions] == [KeyError]
    assert isinstance(own, RestartIntensityExceeded)


@pytest.mark.parametrize("error", [ValueError("late"), KeyboardInterrupt("late")])
@pytest.mark.parametrize("scope", [trio.move_on_after, trio.fail_after])
@pytest.mark.parametrize("block", ["supervisor", "start", "node", "hub"])
async def test_what_a_body_raises_comes_out_of_a_cancelled_scope(
    block: str, scope: Any, error: BaseException, autojump_clock: Clock
) -> None:
    blocks: dict[str, Any] = {
        "supervisor": lambda: Supervisor(children=[child("a", Counter)]),
        "start": lambda: start(child("a", Counter)),
        "node": hubkit.Node,
        "hub": lambda: hubkit.Hub("shop"),
    }
    with pytest.raises(BaseException) as caught, scope(1):  # noqa: PT011  # the very object counts
        async with blocks[block]():
            try:
                await trio.sleep_forever()
            finally:
                raise error
    assert caught.value is error


async def test_nobody_starts_again_what_ctrl_c_has_struck(autojump_clock: Clock) -> None:
    starts: list[str] = []

    class Struck(hubkit.Actor):
        async def on_start(self) -> None:
            starts.append("started")

        async def go(self) -> None:
            await trio.lowlevel.checkpoint()
            raise KeyboardInterrupt

        async def on_stop(self, reason: str) -> None:
            await trio.lowlevel.checkpoint()

    for _ in range(10):  # who comes first is trio's choice, each time anew
        with pytest.raises(KeyboardInterrupt):
            async with Supervisor(children=[child("other", Counter), child("struck", Struck)]) as supervisor:
                supervisor.ref("struck").cast_nowait(Struck.go)
                await trio.sleep(10)
    assert starts == ["started"] * 10
