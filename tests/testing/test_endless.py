"""Scenarios that do not end: they are ended, the lines are named, and all is as before."""

from __future__ import annotations

import gc
import inspect
import random
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from tests.house import python
from tests.testing.scenarios import disasters
from trio._core import _run

import hubkit
from hubkit.errors import SimulationError
from hubkit.testing import Report, Simulation, Stepper, Watcher, scheduling
from hubkit.testing.clock import VirtualClock
from hubkit.testing.production import _interrupt_in
from hubkit.testing.scheduling import self_check
from hubkit.testing.turns import Busy, Turns, _Steps
from hubkit.testing.world import World

Main = Callable[[Simulation], Awaitable[object]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round in circles is told early."""
    monkeypatch.setattr("hubkit.testing.production.TURNS", 5_000)


def settings() -> object:
    return (
        (_run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING, vars(_run.GLOBAL_RUN_CONTEXT)),
        (random.getstate(), gc.get_threshold(), sys.get_asyncgen_hooks(), signal.getsignal(signal.SIGINT)),
        (time.sleep, select.select, vars(threading.Condition)["wait"], vars(threading.Thread)["start"]),
    )


@pytest.fixture(autouse=True)
def nothing_is_left(soon: None) -> Any:
    self_check()  # it runs trio
    before = settings()
    yield
    gc.collect()  # what is printed of it, or warned, is an error here
    assert settings() == before


def said(main: Main, seed: int = 1, **options: Any) -> tuple[BaseException, str]:
    """What it ends with, and all that is said."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is
        Simulation.run(main, seed, **{"limit": 100, **options})
    assert isinstance(caught.value.__hubkit_report__, Report)  # type: ignore[attr-defined]  # an attribute of ours
    return caught.value, "\n".join([str(caught.value), *caught.value.__notes__])


def line(function: Any, text: str) -> str:
    """Where this stands in that function."""
    lines, first = inspect.getsourcelines(function)
    [number] = [n for n, source in enumerate(lines, first) if text in source]
    return f"{__file__}:{number}"


# -- what does not end ---------------------------------------------------------------------------------------------------


async def swallow(*_: object) -> None:
    while True:
        try:
            await trio.sleep(1)  # here
        except trio.Cancelled:
            if not STUBBORN:
                raise


async def swallow_all(*_: object) -> None:
    while True:
        try:
            await trio.sleep(1)  # here
        except BaseException:
            if not STUBBORN:
                raise


async def shield(*_: object) -> None:
    with trio.CancelScope(shield=True):
        while True:
            await trio.sleep(1)  # here


async def shield_all(*_: object) -> None:
    with trio.CancelScope(shield=True):
        while True:
            try:
                await trio.sleep(1)  # here
            except BaseException:
                if not STUBBORN:
                    raise


async def spin(*_: object) -> None:
    with trio.CancelScope(shield=True):
        while True:
            await trio.lowlevel.checkpoint()  # here


async def wait_in_vain(*_: object) -> None:
    while True:
        with trio.CancelScope(shield=True):
            try:
                await trio.Event().wait()  # here
            except BaseException:
                if not STUBBORN:
                    raise


STUBBORN = True  # so that they are

SWALLOWS, SHIELDED = "swallows trio.Cancelled; let it pass on", "is shielded from it; give that shield a deadline"
ROUND, NEVER = "goes round shielded from it; let it end", "waits for what will never happen, and cannot be ended"
ENDLESS: dict[Any, str] = {
    swallow: SWALLOWS,
    swallow_all: SWALLOWS,
    shield: SHIELDED,
    shield_all: SHIELDED,
    spin: ROUND,
    wait_in_vain: NEVER,
}

each = pytest.mark.parametrize("work", ENDLESS, ids=lambda work: work.__name__)


class Host(hubkit.Actor):
    """Has a task that does not end."""

    def __init__(self, work: str) -> None:
        self.work = work

    async def on_start(self) -> None:
        self.context.nursery.start_soon(globals().get(self.work, trio.sleep_forever))


async def with_actor(sim: Simulation, work: Any) -> None:
    hub = await sim.start_hub("shop", node="a")
    await sim.start_hub("shop", node="b")
    await hub.start_child(hubkit.child("host", Host, work.__name__))
    await sim.sleep(3)


@each
def test_a_main_that_goes_on_although_it_was_cancelled(work: Any) -> None:
    error, text = said(work)
    assert isinstance(error, SimulationError)
    first = {spin: "5,000 turns of the scheduler", wait_in_vain: "nothing can ever happen again"}
    assert str(error).startswith(first.get(work, "the scenario goes on after 100 virtual seconds"))
    assert f"at {line(work, '# here')}, in {work.__name__}" in str(error)
    assert f"and main goes on although it was cancelled: {line(work, '# here')} {ENDLESS[work]}" in text
    Simulation.run(disasters, 1)


@each
def test_a_task_of_main_that_does(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await sim.sleep(2)
            raise LookupError("as asked")

    error, text = said(main)
    assert isinstance(error, SimulationError)
    what = SHIELDED if work is wait_in_vain else ENDLESS[work]  # there is life on the node, so one never knows
    name = f"task {work.__module__}.{work.__name__}"
    assert f"and {name} goes on although it was cancelled: {line(work, '# here')} {what}" in text


@each
def test_a_task_of_an_actor_that_does(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        await with_actor(sim, work)

    error, text = said(main)
    if work is spin:
        assert "5,000 turns of the scheduler" in text
        assert f"task {work.__module__}.spin at {line(work, '# here')}, in spin" in text
        return
    assert isinstance(error, SimulationError)
    assert str(error) == (
        f"the simulation did not end by itself: task {work.__module__}.{work.__name__} goes on although it was cancelled: "
        f"{line(work, '# here')} {ENDLESS[work]}"
    )

    async def fails(sim: Simulation) -> None:
        await with_actor(sim, work)
        raise failure

    failure = LookupError("as asked")
    found, text = said(fails)
    assert found is failure, "the first failure is the first thing that is said"
    assert failure.__context__ is None
    assert f"and task {work.__module__}.{work.__name__} goes on although it was cancelled" in text


@pytest.mark.parametrize("work", [swallow, swallow_all])
def test_a_task_that_belongs_to_nobody(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        trio.lowlevel.spawn_system_task(work, name="left over")
        await sim.sleep(1)

    error, text = said(main)
    assert "main has left tasks behind: left over" in str(error)
    assert f"and task left over goes on although it was cancelled: {line(work, '# here')}" in text


ENDED: list[str] = []


async def tidy(*_: object) -> None:
    try:
        await trio.sleep_forever()
    finally:
        ENDED.append("tidy")


@pytest.mark.parametrize("work", [swallow_all, shield_all])
def test_all_else_ends_in_good_order(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        await with_actor(sim, tidy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(swallow)

    ENDED.clear()
    said(main)
    assert ENDED == ["tidy"], "the processes are let go, though main is not over"


@pytest.mark.parametrize("work", [swallow, shield, spin])
def test_who_only_swallows_cancellations_is_ended_in_good_order_too(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        try:
            await work()
        finally:
            ended.append(True)

    ended: list[bool] = []
    said(main)
    assert ended == [True]


def test_many_are_counted() -> None:
    async def main(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(7):
                nursery.start_soon(swallow_all, name=f"number {number}")

    _, text = said(main)
    assert "task number 0 goes on" in text
    assert "task number 2 goes on" in text
    assert "task number 3 goes on" not in text
    assert ", and 4 more" in text


# -- where it waits ------------------------------------------------------------------------------------------------------


async def delegate(sim: Simulation) -> None:
    """Waits deep in other functions."""
    await _deeper(sim)


async def _deeper(sim: Simulation) -> None:
    await sim.sleep(1_000_000)  # the line


def test_the_limit_names_the_line_at_which_main_waits() -> None:
    async def main(sim: Simulation) -> None:
        await delegate(sim)

    for one in (main, delegate):  # also where it is called by something else
        error, _ = said(one)
        assert f"It waits at {line(_deeper, '# the line')}, in _deeper" in str(error)


def test_a_scenario_that_can_never_go_on_names_it_too() -> None:
    async def main(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:  # here
            nursery.start_soon(trio.sleep_forever)

    error, _ = said(main)
    assert "nothing can ever happen again at 0.000000 s: main waits for something" in str(error)
    assert line(main, "# here") in str(error)


def test_who_goes_round_is_named() -> None:
    async def ping(near: Any, far: Any) -> None:
        while True:
            await near.send(1)
            await far.receive()  # ping

    async def pong(near: Any, far: Any) -> None:
        while True:
            await far.receive()  # pong
            await near.send(1)

    async def main(sim: Simulation) -> None:
        there, here = [trio.open_memory_channel[int](0) for _ in range(2)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping, there[0], here[1], name="ping")
            nursery.start_soon(pong, here[0], there[1], name="pong")
            await sim.sleep(1)

    error, _ = said(main)
    assert "5,000 turns of the scheduler passed at 0.000000 s, and time does not move" in str(error)
    places = re.findall(rf"task (ping|pong) at {re.escape(__file__)}:\d+, in (ping|pong)", str(error))
    assert places == [("ping", "ping"), ("pong", "pong")]
    assert "main at" not in str(error)


def test_what_has_ended_does_not_go_round() -> None:
    async def main(sim: Simulation) -> None:
        while True:
            async with trio.open_nursery() as nursery:  # here
                nursery.start_soon(trio.lowlevel.checkpoint, name="short")

    error, _ = said(main)
    assert f"round without ever sleeping: main at {line(main, '# here')}, in main" in str(error)
    assert "short" not in str(error)


@pytest.mark.parametrize("steps", [4_990, 5_020])
def test_a_long_way_in_one_moment_is_no_livelock(steps: int) -> None:
    async def main(sim: Simulation) -> None:
        for _ in range(3):
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            await sim.sleep(1)
            await sim.sleep(1)
            assert "before_task_step" not in _run.GLOBAL_RUN_CONTEXT.runner.instruments, "nobody pays for it any more"

    Simulation.run(main, 1)


def test_those_that_have_been_told_to_end_are_given_a_tenth_of_that() -> None:
    steps: list[int] = []

    def endless(busy: Busy) -> None:
        [task] = busy
        steps.append(task._schedule_points)
        turns.hasten()
        if len(steps) == 3:
            scope.cancel()

    async def main() -> None:
        with scope:
            while True:
                await trio.lowlevel.checkpoint()

    clock, scope = VirtualClock(), trio.CancelScope()
    turns = Turns(clock, 1_000, endless)
    with scheduling.Deterministic(1):
        trio.run(main, clock=clock, instruments=[turns])
    assert steps[0] > 1_000
    assert [later - sooner for sooner, later in pairwise(steps)] == [150, 150]


def test_who_makes_one_step_in_all_that_time_is_not_named() -> None:
    steps = _Steps()
    names: list[str] = []

    async def rare() -> None:
        await trio.lowlevel.checkpoint()
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rare)
            await trio.lowlevel.checkpoint()
            trio.lowlevel.add_instrument(steps)
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            trio.lowlevel.remove_instrument(steps)
            names.extend(task.name.rpartition(".")[2] for task in steps.busy())
            assert len(steps._seen) == 2
            nursery.cancel_scope.cancel()

    with scheduling.Deterministic(1):
        trio.run(main, clock=VirtualClock())
    assert names == ["main"]


def test_time_that_is_needed_to_end_is_given() -> None:
    async def main(sim: Simulation) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(590)
                ended.append(True)

    ended: list[bool] = []
    _, text = said(main)
    assert ended == [True]
    assert "although it was cancelled" not in text


# -- again, and elsewhere ------------------------------------------------------------------------------------------------

ELSEWHERE = """
import sys
from hubkit.testing import Simulation
from tests.testing import test_endless
from tests.testing.scenarios import disasters
if sys.argv[1:]:
    try: Simulation.run(getattr(test_endless, sys.argv[1]), 1, limit=20)
    except Exception as error: print(error.__hubkit_report__.trace_hash, *error.__notes__)
print(Simulation.run(disasters, 3).trace_hash)
"""


def test_the_next_simulation_is_as_in_a_fresh_process_and_nothing_is_printed() -> None:
    fresh = python("-X", "dev", "-c", ELSEWHERE, within=60).stdout.split()[-1]
    for work in ("swallow_all", "shield_all"):
        done = [
            python("-X", "dev", "-W", "error", "-c", ELSEWHERE, work, within=60, env={"PYTHONHASHSEED": seed})
            for seed in ("1", "77")
        ]
        assert {run.returncode for run in done} == {0}
        assert done[0].stdout == done[1].stdout, "one seed, one trace, and one thing said"
        assert done[0].stdout.split()[-1] == fresh
        for noise in ("Traceback", "ignored", "Warning", "TrioInternalError", "never awaited"):
            assert noise not in done[0].stdout


def test_one_seed_gives_one_trace_and_one_message() -> None:
    async def main(sim: Simulation) -> None:
        await with_actor(sim, swallow_all)
        await swallow_all()

    (first, one), (second, two) = said(main, 5), said(main, 5)
    assert first.__hubkit_report__ == second.__hubkit_report__  # type: ignore[attr-defined]  # as above
    assert one == two


# -- a Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [trio.sleep_forever, *(work for work in ENDLESS if work is not spin)])
def test_an_interrupt_comes_out_whatever_goes_on(work: Any) -> None:
    async def main(sim: Simulation) -> None:
        await with_actor(sim, work)
        signal.raise_signal(signal.SIGINT)
        await sim.sleep(5)

    async def interrupted(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await sim.sleep(1)
            trio.lowlevel.current_trio_token().run_sync_soon(_interrupt)
            await sim.sleep(5)

    for one in (main, interrupted):
        with pytest.raises(KeyboardInterrupt):
            Simulation.run(one, 1, limit=100)
    assert Simulation.run(disasters, 1).steps > 100


@trio.lowlevel.enable_ki_protection
def _interrupt() -> None:
    """Where trio must not be hit, and tells main."""
    signal.raise_signal(signal.SIGINT)


def test_what_goes_wrong_by_an_interrupt_is_an_interrupt() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise RuntimeError("half done")

    with pytest.raises(KeyboardInterrupt) as caught:
        Simulation.run(main, 1)
    assert str(caught.value.__cause__) == "half done"


def test_an_interrupt_of_those_who_look_comes_out_bare() -> None:
    class Looker(Watcher):
        def __init__(self, world: Any) -> None:
            self.world = world

        def look(self) -> None:
            if self.world.now() > 3:
                raise KeyboardInterrupt

    class Looks:
        def watch(self, world: Any) -> Watcher:
            return Looker(world)

    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        await sim.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        Simulation.run(main, 1, checkers=[Looks()])


def test_an_interrupt_is_found_among_all_that_it_has_broken() -> None:
    interrupt = KeyboardInterrupt()
    broken = ExceptionGroup("", [LookupError()])
    assert _interrupt_in(interrupt) is interrupt
    assert (
        _interrupt_in(BaseExceptionGroup("", [broken, BaseExceptionGroup("", [interrupt, LookupError()])])) is interrupt
    )
    assert _interrupt_in(broken) is None


def test_no_interrupt_strikes_where_half_of_it_would_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, bool] = {}

    def watch(owner: type, name: str) -> None:
        really = getattr(owner, name)

        def call(*args: Any) -> Any:
            caller = sys._getframe(1).f_code.co_name
            seen[f"{name} in {caller}"] = trio.lowlevel.currently_ki_protected()
            return really(*args)

        monkeypatch.setattr(owner, name, call)

    watch(scheduling.Freezer, "_root_of")
    watch(World, "report")
    watch(World, "sweep")

    async def main(sim: Simulation) -> None:
        await with_actor(sim, trio.sleep_forever)
        assert not trio.lowlevel.currently_ki_protected()
        sim.start_soon("shop", node="c")  # somebody is ready to run
        sim.pause("a")
        await sim.sleep(1)
        sim.resume("a")

    Simulation.run(main, 1)
    places = ["_root_of in freeze", "_root_of in task_scheduled", "report in _conclude", "sweep in _sweep"]
    assert seen == dict.fromkeys(places, True)


def test_what_was_to_be_frozen_when_an_interrupt_came_can_be_let_go() -> None:
    async def main() -> None:
        scheduling.Freezer().thaw(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()
        done.append(True)

    done: list[bool] = []
    with scheduling.Deterministic(1):
        trio.run(main)
    assert done == [True]


@pytest.mark.parametrize(("name", "wrong"), [("wake", lambda *_: False), ("is_shielded", lambda _: True)])
def test_a_trio_whose_tasks_cannot_be_woken_is_named(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any) -> None:
    self_check.cache_clear()
    with scheduling.Deterministic(1):
        monkeypatch.setattr(scheduling, name, wrong)
        with pytest.raises(SimulationError, match="a task that swallows its cancellation could not be woken"):
            self_check()
        monkeypatch.undo()
        self_check()


# -- a Stepper -----------------------------------------------------------------------------------------------------------


@each
def test_a_step_that_does_not_end_is_ended(work: Any) -> None:
    stepper = Stepper(1, limit=100)
    with pytest.raises(SimulationError, match=r"goes on after|5,000 turns|nothing can ever") as caught:
        stepper.run(work)
    assert "goes on although it was cancelled" in "\n".join(caught.value.__notes__)
    with pytest.raises(SimulationError) as again:
        stepper.run(stepper.sim.sleep, 1)
    assert again.value is caught.value
    report = stepper.close()
    assert isinstance(report, Report)
    assert stepper.close() is report


@pytest.mark.parametrize("work", [swallow, swallow_all, shield_all])
def test_what_does_not_end_at_the_end_is_told_by_close(work: Any) -> None:
    stepper = Stepper(1)
    stepper.run(with_actor, stepper.sim, work)
    with pytest.raises(SimulationError, match=f"did not end by itself: task .*{work.__name__} goes on") as caught:
        stepper.close()
    assert caught.value.__hubkit_report__ is stepper.close()  # type: ignore[attr-defined]  # as above
    with pytest.raises(SimulationError, match="has ended"):
        stepper.run(stepper.sim.sleep, 1)


def test_another_error_on_its_way_is_not_hidden_by_that() -> None:
    with pytest.raises(LookupError, match="as asked") as caught, Stepper(1) as stepper:
        stepper.run(with_actor, stepper.sim, swallow_all)
        raise LookupError("as asked")
    assert "swallow_all goes on although it was cancelled" in "\n".join(caught.value.__notes__)


def test_an_interrupt_of_a_step_and_between_two() -> None:
    async def interrupted() -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(_interrupt)
        await trio.sleep(5)

    with Stepper(1) as stepper:
        stepper.run(with_actor, stepper.sim, trio.sleep_forever)
        with pytest.raises(KeyboardInterrupt):  # at once, and the simulation is as it was
            signal.raise_signal(signal.SIGINT)
        stepper.run(stepper.sim.sleep, 1)
        with pytest.raises(KeyboardInterrupt):
            stepper.run(interrupted)
        with pytest.raises(SimulationError, match="has ended"):
            stepper.run(stepper.sim.sleep, 1)
    assert isinstance(stepper.close(), Report)
