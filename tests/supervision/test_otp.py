"""What OTP 27 says of its supervisor, statement by statement, in our words: the reference page of ``supervisor``, then the
chapter of the design principles.

Where hubkit differs on purpose, the test says so (``differs``), shows what it does, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self, TypeVar

import pytest
import trio
from tests.actors.kit import Counter
from tests.supervision.kit import Clock, Worker, World, crash, found, quiet, states, worker

from hubkit.actors import Actor, current_system
from hubkit.errors import (
    AlreadyStarted,
    ConfigurationError,
    Deadlock,
    HubClosed,
    NoSuchActor,
    RestartIntensityExceeded,
    StartFailed,
)
from hubkit.specs import Backoff, ChildSpec
from hubkit.supervision import ChildCounts, Supervisor, child

Test = TypeVar("Test", bound=Callable[..., Any])


def differs(test: Test) -> Test:
    """A mark for readers: here hubkit does not do as OTP does, on purpose."""
    return test


def nested(id: str, world: World, *children: ChildSpec, shutdown: float = math.inf, **options: Any) -> ChildSpec:
    """A supervisor as a child; ``restart`` and ``significant`` are its own, the rest goes to it."""
    own = {key: options.pop(key) for key in ("restart", "significant") if key in options}
    return ChildSpec(id, Supervisor, (list(children),), options, shutdown=shutdown, **own)


def cells(id: str) -> list[Any]:
    return [cell for cell in current_system().cells.values() if cell.child_id == id]


async def leave(id: str, reason: str = "normal") -> None:
    await found(id).call(Worker.leave, reason)
    await quiet()


# -- the reference page: what a supervisor does ---------------------------------------------------------------------------


async def test_children_are_started_from_left_to_right_and_terminated_from_right_to_left() -> None:
    """They start in the order of the list; when the supervisor ends, it first ends them in the reverse order."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"]):
        assert world.log == ["+a", "+b", "+c"]
    assert world.log[3:] == ["-c shutdown", "-b shutdown", "-a shutdown"]


async def test_it_keeps_children_alive_by_restarting_them() -> None:
    """That is its purpose."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        await crash(supervisor.ref("a"))
        assert await supervisor.ref("a").call(Worker.add) == 1


@pytest.mark.parametrize("options", [{}, {"strategy": "one_for_one"}])
async def test_one_for_one_affects_the_failed_child_alone_and_is_the_default(options: dict[str, Any]) -> None:
    """One child ends and is to be restarted: nothing happens to the others. Nothing said means this strategy."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"], **options) as supervisor:
        world.log.clear()
        await crash(supervisor.ref("b"))
        await quiet()
        assert world.log == ["-b crash", "+b"]


async def test_one_for_all_terminates_all_others_then_restarts_all() -> None:
    """One child ends and is to be restarted: the others are ended, and then all are started."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"], strategy="one_for_all") as supervisor:
        world.log.clear()
        await crash(supervisor.ref("b"))
        await quiet()
        assert world.log == ["-b crash", "-c shutdown", "-a shutdown", "+a", "+b", "+c"]


async def test_rest_for_one_terminates_those_started_after_it_then_restarts_them_with_it() -> None:
    """One child ends and is to be restarted: those after it in the order of starting are ended, then it and they start."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abcd"], strategy="rest_for_one") as supervisor:
        world.log.clear()
        await crash(supervisor.ref("b"))
        await quiet()
        assert world.log == ["-b crash", "-d shutdown", "-c shutdown", "+b", "+c", "+d"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_child_that_ends_and_is_not_to_be_restarted_affects_nobody(strategy: Any) -> None:
    """Every strategy speaks of a child that is to be restarted."""
    world = World()
    specs = [worker("a", world, restart="transient"), worker("t", world, restart="temporary"), worker("b", world)]
    async with Supervisor(children=specs, strategy=strategy) as supervisor:
        world.log.clear()
        await leave("a")
        await crash(supervisor.ref("t"))
        await quiet()
        assert world.log == ["-a normal", "-t crash"]


@differs
async def test_there_is_no_simple_one_for_one() -> None:
    """OTP's fourth strategy is for many children of one kind, addressed by pid. API.md has three: here such children are
    added by ``start_child``, each with an id of its own; a large supervisor costs no more for that."""
    with pytest.raises(ConfigurationError, match="strategy must be one of"):
        Supervisor(strategy="simple_one_for_one")  # type: ignore[arg-type]  # wrong on purpose
    async with Supervisor() as supervisor:
        for number in range(3):
            await supervisor.start_child(ChildSpec(f"call-{number}", Counter, restart="temporary"))
        assert supervisor.count_children().active == 3


# -- restart intensity ----------------------------------------------------------------------------------------------------


async def test_more_restarts_than_the_intensity_within_the_period_end_all_children_then_the_supervisor() -> None:
    """``max_restarts`` are borne within ``max_seconds``; one more ends everything, in order."""
    world = World()
    with pytest.raises(RestartIntensityExceeded, match="'b' failed: more than 2 restarts in 10 s"):
        async with Supervisor(
            children=[worker(name, world) for name in "abc"], max_restarts=2, max_seconds=10
        ) as supervisor:
            await crash(supervisor.ref("a"))
            await crash(supervisor.ref("b"))
            assert set(states(supervisor).values()) <= {"running", "restarting", "starting"}
            await crash(supervisor.ref("b"))
            await trio.sleep_forever()
    assert world.log[-3:] == ["-b crash", "-c shutdown", "-a shutdown"]


async def test_its_own_reason_is_shutdown_then() -> None:
    """So a transient supervisor that gave up is, to the one above it, a child that has ended in order."""
    world = World()
    inner = nested("sub", world, worker("x", world), max_restarts=0, restart="transient")
    async with Supervisor(children=[inner]) as supervisor:
        await crash(found("x"))
        await quiet()
        assert states(supervisor) == {"sub": "stopped"}


@differs
def test_the_defaults_of_intensity_and_period() -> None:
    """OTP: 1 restart in 5 seconds. API.md: 3 in 5. Periods are seconds, and may have a fraction."""
    supervisor = Supervisor()
    assert (supervisor._limits.max_restarts, supervisor._limits.max_seconds) == (3, 5.0)
    Supervisor(max_seconds=0.5)


@differs
async def test_giving_up_is_an_exception_of_the_block() -> None:
    """OTP ends with the reason ``shutdown``, and reports why. A block that ends because its children cannot be kept must not
    look like one that has done its work: API.md has it raise, the last crash chained."""
    world = World()
    with pytest.raises(RestartIntensityExceeded) as caught:
        async with Supervisor(children=[worker("a", world)], max_restarts=0) as supervisor:
            await crash(supervisor.ref("a"))
            await trio.sleep_forever()
    assert type(caught.value.__cause__) is ValueError


async def test_that_error_names_the_first_cause_through_all_levels() -> None:
    """What the inner supervisor gave up for is not lost above it."""
    world = World()
    inner = nested("sub", world, worker("x", world), max_restarts=0)
    with pytest.raises(RestartIntensityExceeded, match="'sub' failed") as caught:
        async with Supervisor(children=[inner], max_restarts=0):
            await crash(found("x"))
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, RestartIntensityExceeded)
    assert type(caught.value.__cause__.__cause__) is ValueError


# -- automatic shutdown ---------------------------------------------------------------------------------------------------

SIGNIFICANT: dict[str, Any] = {"significant": True, "restart": "transient"}


@pytest.mark.parametrize("options", [{}, {"auto_shutdown": "never"}])
async def test_never_is_the_default_and_significant_children_are_refused_then(options: dict[str, Any]) -> None:
    """At the start of the supervisor, and when one is added."""
    world = World()
    with pytest.raises(ConfigurationError, match="auto_shutdown is 'never'"):
        Supervisor(children=[worker("s", world, **SIGNIFICANT)], **options)
    async with Supervisor(children=[worker("a", world)], **options) as supervisor:
        with pytest.raises(ConfigurationError, match="auto_shutdown is 'never'"):
            await supervisor.start_child(worker("s", world, **SIGNIFICANT))
        assert states(supervisor) == {"a": "running"}


@pytest.mark.parametrize(
    ("restart", "way", "ends"),
    [
        ("transient", "normal", True),
        ("transient", "crash", False),
        ("temporary", "normal", True),
        ("temporary", "crash", True),
    ],
)
async def test_any_significant(restart: Any, way: str, ends: bool) -> None:
    """A transient significant child that ends normally ends it; so does a temporary one, however it ends."""
    world = World()
    specs = [worker("a", world), worker("s", world, restart=restart, significant=True), worker("b", world)]
    over = True
    async with Supervisor(children=specs, auto_shutdown="any_significant"):
        if way == "crash":
            await crash(found("s"))
        else:
            await leave("s")
        await quiet()
        over = False
    assert over is ends
    assert [line[:2] for line in world.log][-2:] == (["-b", "-a"] if ends else ["-s", "-a"])


async def test_all_significant() -> None:
    """The last one that is active ends it; one that is restarted is active; the rules are those of one child else."""
    world = World()
    specs = [worker(name, world, **SIGNIFICANT) for name in "st"]
    specs.append(worker("u", world, significant=True, restart="temporary"))
    stages = []
    async with Supervisor(children=specs, auto_shutdown="all_significant"):
        await leave("s")
        stages.append("s")
        await crash(found("u"))
        stages.append("u")
        await crash(found("t"))
        await quiet()
        stages.append("t again")
        await leave("t")
        stages.append("not reached")
    assert stages == ["s", "u", "t again"]


async def test_a_significant_child_that_waits_for_its_restart_is_active(autojump_clock: Clock) -> None:
    """It is about to run: it counts among those that are left."""
    world = World()
    specs = [
        worker("s", world, backoff=Backoff(first=5.0, jitter=0.0), **SIGNIFICANT),
        worker("t", world, **SIGNIFICANT),
    ]
    async with Supervisor(children=specs, auto_shutdown="all_significant") as supervisor:
        await crash(found("s"))
        await leave("t")
        assert states(supervisor) == {"s": "restarting", "t": "stopped"}
        await trio.sleep(6)
        assert states(supervisor) == {"s": "running", "t": "stopped"}


async def test_the_reason_of_an_automatic_shutdown_is_shutdown() -> None:
    """So a transient supervisor is not restarted after one."""
    world = World()
    inner = nested(
        "sub", world, worker("s", world, **SIGNIFICANT), auto_shutdown="any_significant", restart="transient"
    )
    async with Supervisor(children=[inner]) as supervisor:
        await leave("s")
        assert states(supervisor) == {"sub": "stopped"}


# -- child specifications -------------------------------------------------------------------------------------------------


def test_id_and_start_are_mandatory() -> None:
    """The rest has defaults: permanent, not significant, five seconds."""
    with pytest.raises(TypeError):
        ChildSpec()  # type: ignore[call-arg]  # wrong on purpose
    with pytest.raises(TypeError):
        ChildSpec("a")  # type: ignore[call-arg]  # wrong on purpose
    spec = ChildSpec("a", Counter)
    assert (spec.restart, spec.significant, spec.shutdown, spec.args) == ("permanent", False, 5.0, ())


@differs
@pytest.mark.parametrize("wrong", [5, ("a", 1), None, ""])
def test_an_id_is_a_str(wrong: Any) -> None:
    """OTP takes any term. Ids travel between nodes and stand in logs and tables here: API.md has names."""
    with pytest.raises(ConfigurationError, match="child id must be a non-empty str"):
        ChildSpec(wrong, Counter)


@pytest.mark.parametrize("wrong", [5, "Counter", len, Counter(), lambda: None])
def test_a_start_that_starts_no_child_is_refused(wrong: Any) -> None:
    """It must be something that starts a child which adheres to the rules: an actor, a marked function, a supervisor."""
    with pytest.raises(ConfigurationError, match="start of child 'a' must be"):
        ChildSpec("a", wrong)


@differs
async def test_a_start_cannot_ask_to_be_ignored() -> None:
    """In OTP a start may return ``ignore``: the specification is kept, no child runs. Here a start succeeds or raises; who
    wants no child does not add it."""
    world = World()
    world.fail_starts = {"a": 1}
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed):
            await supervisor.start_child(worker("a", world))
        assert states(supervisor) == {}


@pytest.mark.parametrize(
    ("restart", "way", "state"),
    [
        *[("permanent", way, "running") for way in ("normal", "shutdown", "shutdown: done", "bored", "crash")],
        *[("transient", way, "stopped") for way in ("normal", "shutdown", "shutdown: done")],
        *[("transient", way, "running") for way in ("bored", "crash")],
        *[("temporary", way, None) for way in ("normal", "shutdown", "shutdown: done", "bored", "crash")],
    ],
)
async def test_restart_types(restart: Any, way: str, state: str | None) -> None:
    """Permanent: always restarted. Temporary: never, and forgotten. Transient: unless it ended normally, which is for one of
    the reasons ``normal``, ``shutdown``, and ``shutdown`` with details."""
    world = World()
    async with Supervisor(children=[worker("a", world, restart=restart)]) as supervisor:
        if way == "crash":
            await crash(supervisor.ref("a"))
            await quiet()
        else:
            await leave("a", way)
        assert states(supervisor).get("a") == state
        assert world.log.count("+a") == (2 if state == "running" else 1)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_temporary_child_is_not_restarted_after_a_siblings_death_either(strategy: Any) -> None:
    """It is ended with the others, and forgotten."""
    world = World()
    specs = [worker("a", world), worker("t", world, restart="temporary"), worker("b", world)]
    async with Supervisor(children=specs, strategy=strategy) as supervisor:
        world.log.clear()
        await crash(supervisor.ref("a"))
        await quiet()
        assert world.log == ["-a crash", "-b shutdown", "-t shutdown", "+a", "+b"]
        assert states(supervisor) == dict.fromkeys("ab", "running")


def test_a_permanent_child_cannot_be_significant() -> None:
    """It never ends for good."""
    with pytest.raises(ConfigurationError, match="permanent"):
        Supervisor(children=[ChildSpec("a", Counter, significant=True)], auto_shutdown="any_significant")


@pytest.mark.parametrize(
    ("shutdown", "takes", "log"),
    [(0, 0.0, []), (2.0, 2.0, []), (5.0, 3.0, ["-a shutdown"]), (math.inf, 3.0, ["-a shutdown"])],
)
async def test_shutdown(shutdown: float, takes: float, log: list[str], autojump_clock: Clock) -> None:
    """Brutally: killed at once, unasked. Seconds: asked to end, with the reason ``shutdown``, and killed when they are over.
    Infinitely: asked, and waited for; that is allowed for workers, too. (What OTP calls ``brutal_kill`` is 0 here.)"""
    world = World()
    world.slow_stops = {"a": 3.0}
    async with Supervisor(children=[worker("a", world, shutdown=shutdown)]) as supervisor:
        world.log.clear()
        began = trio.current_time()
        await supervisor.terminate_child("a")
        assert trio.current_time() - began == pytest.approx(takes)
    assert world.log == log


async def test_a_supervisor_with_an_infinite_shutdown_has_ample_time_for_its_tree(autojump_clock: Clock) -> None:
    """That is what it is recommended for."""
    world = World()
    world.slow_stops = {"x": 50.0, "y": 50.0}
    inner = nested("sub", world, *[worker(name, world, shutdown=100.0) for name in "xy"])
    began = trio.current_time()
    async with Supervisor(children=[inner]):
        pass
    assert trio.current_time() - began == pytest.approx(100.0)
    assert world.log[2:] == ["-y shutdown", "-x shutdown"]


@differs
async def test_a_supervisor_has_five_seconds_if_nothing_is_said(autojump_clock: Clock) -> None:
    """OTP's default for supervisors is infinity; API.md has one default for all. And OTP warns that a supervisor which is
    killed may leave children behind: here none outlives it."""
    world = World()
    world.slow_stops = {"x": 50.0}
    inner = ChildSpec("sub", Supervisor, ([worker("x", world, shutdown=100.0), worker("y", world)],))
    began = trio.current_time()
    async with Supervisor(children=[inner]) as supervisor:
        await supervisor.terminate_child("sub")
        assert trio.current_time() - began == pytest.approx(5.0)
        assert not cells("x")
        assert not cells("y")


async def test_a_supervisor_that_is_killed_brutally_takes_its_tree_along_at_once(autojump_clock: Clock) -> None:
    """Nothing is asked, on any level."""
    world = World()
    world.slow_stops = dict.fromkeys("xy", 3.0)
    inner = nested("mid", world, nested("low", world, worker("x", world)), worker("y", world), shutdown=0)
    async with Supervisor(children=[inner]) as supervisor:
        began = trio.current_time()
        await supervisor.terminate_child("mid")
        assert trio.current_time() == began
        assert cells("x") == cells("y") == cells("low") == []
    assert world.log == ["+x", "+y"]


@differs
async def test_kinds_and_modules_are_known_from_the_class() -> None:
    """OTP's specifications say ``type`` and ``modules``; here ``start`` itself says what it is, and code is not replaced."""
    world = World()
    async with Supervisor(children=[worker("a", world), nested("sub", world)]) as supervisor:
        assert supervisor.count_children() == ChildCounts(specs=2, active=2, supervisors=1, workers=1)


# -- the reference page: functions ----------------------------------------------------------------------------------------


async def test_the_start_of_a_supervisor_returns_when_all_children_have_started(autojump_clock: Clock) -> None:
    """It is synchronous."""
    world = World()
    world.slow_starts = {"a": 2.0, "b": 3.0}
    began = trio.current_time()
    async with Supervisor(children=[worker(name, world) for name in "ab"]):
        assert trio.current_time() - began == pytest.approx(5.0)
        assert world.log == ["+a", "+b"]


async def test_if_a_child_does_not_start_those_before_it_are_terminated_and_the_start_fails() -> None:
    """With the reason ``shutdown``, the last first; the error tells which child, and why."""
    world = World()
    world.fail_starts = {"c": 1}
    with pytest.raises(StartFailed, match=r"child 'c'.*cannot start"):
        async with Supervisor(children=[worker(name, world) for name in "abcd"]):
            pytest.fail("it has not started")
    assert world.log == ["+a", "+b", "-b shutdown", "-a shutdown"]


async def test_start_child_adds_and_starts() -> None:
    """The specification is checked, the child started, and both kept, after all others in the order of starting."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        ref = await supervisor.start_child(worker("b", world))
        assert await ref.call(Worker.add) == 1
        with pytest.raises(ConfigurationError):
            await supervisor.start_child("c")  # type: ignore[arg-type]  # wrong on purpose
    assert world.log[-2:] == ["-b shutdown", "-a shutdown"]


async def test_start_child_with_an_id_that_is_there() -> None:
    """The new specification is dropped; the error tells whether the child runs, or is merely present."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        with pytest.raises(AlreadyStarted, match="'a' is running"):
            await supervisor.start_child(worker("a", world, restart="temporary"))
        await supervisor.terminate_child("a")
        with pytest.raises(AlreadyStarted, match="'a' is stopped: use restart_child, or delete_child first"):
            await supervisor.start_child(worker("a", world, restart="temporary"))
        assert supervisor.which_children()[0].spec.restart == "permanent"


async def test_start_child_whose_start_fails_leaves_nothing() -> None:
    """The specification is dropped, and the error carries the reason."""
    world = World()
    world.fail_starts = {"a": 1}
    async with Supervisor() as supervisor:
        with pytest.raises(StartFailed) as caught:
            await supervisor.start_child(worker("a", world))
        assert type(caught.value.__cause__) is OSError
        assert supervisor.which_children() == ()


async def test_restart_child() -> None:
    """The specification must be there, and its child must not run; a start that fails leaves it as it was."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        with pytest.raises(NoSuchActor):
            await supervisor.restart_child("nobody")
        with pytest.raises(AlreadyStarted, match="is running"):
            await supervisor.restart_child("a")
        await supervisor.terminate_child("a")
        world.fail_starts = {"a": 1}
        with pytest.raises(StartFailed):
            await supervisor.restart_child("a")
        assert states(supervisor) == {"a": "stopped"}
        ref = await supervisor.restart_child("a")
        assert await ref.call(Worker.add) == 1


async def test_restart_and_delete_of_a_child_that_is_about_to_be_restarted(autojump_clock: Clock) -> None:
    """Both are refused: it is ``restarting``."""
    world = World()
    async with Supervisor(children=[worker("a", world, backoff=Backoff(first=9.0))]) as supervisor:
        await crash(supervisor.ref("a"))
        await quiet()
        with pytest.raises(AlreadyStarted, match="is restarting"):
            await supervisor.restart_child("a")
        with pytest.raises(AlreadyStarted, match="is restarting"):
            await supervisor.delete_child("a")
        with pytest.raises(AlreadyStarted, match="is restarting"):
            await supervisor.start_child(worker("a", world))


@pytest.mark.parametrize("way", ["crash", "normal", "terminate"])
async def test_the_specification_of_a_temporary_child_goes_when_the_child_does(way: str) -> None:
    """So it can be neither restarted nor deleted."""
    world = World()
    async with Supervisor(children=[worker("t", world, restart="temporary")]) as supervisor:
        if way == "crash":
            await crash(supervisor.ref("t"))
        elif way == "normal":
            await leave("t")
        else:
            await supervisor.terminate_child("t")
        await quiet()
        for ask in (supervisor.restart_child, supervisor.delete_child, supervisor.terminate_child):
            with pytest.raises(NoSuchActor):
                await ask("t")


async def test_delete_child() -> None:
    """The child must not run: ``terminate_child`` ends it first."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        with pytest.raises(NoSuchActor):
            await supervisor.delete_child("nobody")
        with pytest.raises(AlreadyStarted, match="is running"):
            await supervisor.delete_child("a")
        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        assert supervisor.which_children() == ()


async def test_terminate_child() -> None:
    """It is ended, if it runs; its specification stays; it can be started again by hand. An unknown id is an error."""
    world = World()
    async with Supervisor(children=[worker("a", world)]) as supervisor:
        with pytest.raises(NoSuchActor):
            await supervisor.terminate_child("nobody")
        for _ in range(2):
            await supervisor.terminate_child("a")
            assert states(supervisor) == {"a": "stopped"}
        assert world.log == ["+a", "-a shutdown"]
        await supervisor.restart_child("a")


async def test_a_terminated_child_may_be_restarted_by_the_supervisor() -> None:
    """When a sibling's failure restarts all."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "ab"], strategy="one_for_all") as supervisor:
        await supervisor.terminate_child("a")
        await crash(supervisor.ref("b"))
        await quiet()
        assert states(supervisor) == dict.fromkeys("ab", "running")


async def test_terminate_child_calls_off_a_restart(autojump_clock: Clock) -> None:
    """What is about to be restarted has no process to end; it is not restarted any more."""
    world = World()
    async with Supervisor(children=[worker("a", world, backoff=Backoff(first=9.0))]) as supervisor:
        await crash(supervisor.ref("a"))
        await quiet()
        await supervisor.terminate_child("a")
        await trio.sleep(100)
        assert states(supervisor) == {"a": "stopped"}


async def test_which_children(autojump_clock: Clock) -> None:
    """Of each child: its id, its pid or that it is restarting or has none, and its specification (OTP: ``get_childspec``)."""
    world = World()
    specs = [worker("a", world), worker("b", world), worker("c", world, backoff=Backoff(first=9.0))]
    async with Supervisor(children=specs) as supervisor:
        await supervisor.terminate_child("b")
        await crash(supervisor.ref("c"))
        await quiet()
        a, b, c = supervisor.which_children()
        assert (a.id, a.pid, a.state, a.spec) == ("a", supervisor.ref("a").pid, "running", specs[0])
        assert (b.id, b.pid, b.state, b.spec) == ("b", None, "stopped", specs[1])
        assert (c.id, c.pid, c.state, c.spec) == ("c", None, "restarting", specs[2])


async def test_count_children(autojump_clock: Clock) -> None:
    """All specifications; those that run; supervisors and workers, whether they run or not."""
    world = World()
    specs = [worker("a", world), worker("b", world, backoff=Backoff(first=9.0)), nested("s", world), nested("t", world)]
    async with Supervisor(children=specs) as supervisor:
        await supervisor.terminate_child("s")
        await crash(supervisor.ref("b"))
        await quiet()
        assert supervisor.count_children() == ChildCounts(specs=4, active=2, supervisors=2, workers=2)


@differs
def test_specifications_check_themselves() -> None:
    """OTP has ``check_childspecs``. Here a `ChildSpec` cannot be made wrong; what depends on the supervisor it checks."""
    with pytest.raises(ConfigurationError, match="restart of child 'a' must be one of"):
        ChildSpec("a", Counter, restart="always")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="shutdown of child 'a' must be seconds"):
        ChildSpec("a", Counter, shutdown=-1)
    with pytest.raises(ConfigurationError, match="significant of child 'a' must be True or False"):
        ChildSpec("a", Counter, significant=1)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="two children have the id 'a'"):
        Supervisor(children=[child("a", Counter), child("a", Counter)])


async def test_every_function_fails_if_the_supervisor_is_gone() -> None:
    """Whatever is asked of it."""
    async with Supervisor(children=[child("a", Counter)]) as supervisor:
        pass
    for ask in (supervisor.terminate_child, supervisor.restart_child, supervisor.delete_child):
        with pytest.raises(HubClosed, match="not open"):
            await ask("a")
    with pytest.raises(HubClosed, match="not open"):
        await supervisor.start_child(child("b", Counter))
    for plain in (supervisor.which_children, supervisor.count_children, lambda: supervisor.ref("a")):
        with pytest.raises(HubClosed, match="not open"):
            plain()


# -- the design principles ------------------------------------------------------------------------------------------------


async def test_when_a_supervisor_terminates_the_one_above_it_restarts_it_or_terminates_itself() -> None:
    """It is a child like any other."""
    world = World()
    inner = nested("sub", world, worker("x", world), max_restarts=0)
    with pytest.raises(RestartIntensityExceeded, match="'sub' failed"):
        async with Supervisor(children=[worker("a", world), inner], max_restarts=1):
            await crash(found("x"))
            await quiet()
            assert world.log == ["+a", "+x", "-x crash", "+x"]
            await crash(found("x"))
            await trio.sleep_forever()
    assert world.log[-1] == "-a shutdown"


async def test_the_restarts_of_all_levels_multiply() -> None:
    """A child that always fails is started as often as the product of what the levels above it bear, each plus its first."""
    world = World()

    class Doomed(Actor):
        async def on_start(self) -> None:
            world.log.append("+")
            self.context.nursery.start_soon(self.fall)

        async def fall(self) -> None:
            await trio.lowlevel.checkpoint()
            raise ValueError

    inner = nested("sub", world, child("x", Doomed), max_restarts=2)
    with pytest.raises(RestartIntensityExceeded):
        async with Supervisor(children=[inner], max_restarts=3):
            await trio.sleep_forever()
    assert len(world.log) == 3 * 4


async def test_a_burst_is_borne_and_a_steady_rate_is_not_if_it_is_too_high(autojump_clock: Clock) -> None:
    """The period slides: what lies behind it is forgotten, so a rate below ``max_restarts / max_seconds`` is borne for ever."""
    world = World()
    async with Supervisor(children=[worker("a", world)], max_restarts=5, max_seconds=30) as supervisor:
        for _ in range(5):
            await crash(supervisor.ref("a"))
        await trio.sleep(30.5)
        for _ in range(20):
            await crash(supervisor.ref("a"))
            await trio.sleep(6.5)
        assert states(supervisor) == {"a": "running"}


async def test_children_must_end_by_themselves_to_end_their_supervisor() -> None:
    """Neither ``terminate_child`` nor the death of a sibling makes a significant child end it."""
    world = World()
    specs = [
        worker("a", world), worker("s", world, **SIGNIFICANT), worker("t", world, significant=True, restart="temporary")
    ]  # fmt: skip
    async with Supervisor(children=specs, strategy="one_for_all", auto_shutdown="any_significant") as supervisor:
        await supervisor.terminate_child("s")
        assert states(supervisor) == {"a": "running", "s": "stopped", "t": "running"}
        await supervisor.restart_child("s")
        await crash(supervisor.ref("a"))
        await quiet()
        assert states(supervisor) == {"a": "running", "s": "running"}
        await supervisor.start_child(worker("t", world, significant=True, restart="temporary"))
        await supervisor.terminate_child("t")
        assert states(supervisor) == {"a": "running", "s": "running"}


async def test_an_automatic_shutdown_gives_every_child_its_time(autojump_clock: Clock) -> None:
    """The rest are ended in the reverse order, each according to its own ``shutdown``; then the supervisor ends."""
    world = World()
    world.slow_stops = {"a": 30.0, "b": 30.0, "c": 30.0}
    specs = [
        worker("a", world, shutdown=math.inf), worker("b", world, shutdown=2.0), worker("c", world, shutdown=40.0),
        worker("s", world, **SIGNIFICANT),
    ]  # fmt: skip
    began = trio.current_time()
    async with Supervisor(children=specs, auto_shutdown="any_significant"):
        await leave("s")
        await trio.sleep_forever()
    assert trio.current_time() - began == pytest.approx(62.0)
    assert world.log[4:] == ["-s normal", "-c shutdown", "-a shutdown"]


async def test_a_permanent_supervisor_that_shuts_itself_down_is_restarted_until_the_one_above_has_enough() -> None:
    """That is why it should not be permanent."""
    world = World()
    inner = nested("sub", world, worker("s", world, **SIGNIFICANT), auto_shutdown="any_significant")
    with pytest.raises(RestartIntensityExceeded, match="'sub' failed"):
        async with Supervisor(children=[inner], max_restarts=2):
            for _ in range(3):
                await leave("s")
            await trio.sleep_forever()
    assert world.log.count("+s") == 3


async def test_what_was_added_or_deleted_is_lost_when_the_supervisor_is_restarted() -> None:
    """It begins again with the children that it was written down with."""
    world = World()
    kept: list[Supervisor] = []

    class Kept(Supervisor):
        async def __aenter__(self) -> Self:
            kept.append(self)
            return await super().__aenter__()

    inner = ChildSpec("sub", Kept, ([worker("x", world), worker("y", world)],), {"max_restarts": 0}, shutdown=math.inf)
    async with Supervisor(children=[inner]):
        await kept[0].start_child(worker("z", world))
        await kept[0].terminate_child("y")
        await kept[0].delete_child("y")
        assert states(kept[0]) == dict.fromkeys("xz", "running")
        await crash(found("x"))
        await quiet()
        assert states(kept[1]) == dict.fromkeys("xy", "running")


async def test_starting_restarting_and_terminating_block_the_supervisor(autojump_clock: Clock) -> None:
    """While it does one of them, it does nothing else: children are to be short about it."""
    world = World()
    world.slow_starts = {"slow": 10.0}
    world.slow_stops = {"b": 3.0}
    async with Supervisor(children=[worker("a", world), worker("b", world)]) as supervisor:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.start_child, worker("slow", world))
            await quiet()
            await crash(supervisor.ref("a"))
            nursery.start_soon(supervisor.terminate_child, "b")
            await trio.sleep(9.5)
            assert states(supervisor) == {"a": "running", "b": "running", "slow": "starting"}
            assert supervisor.which_children()[0].pid is not None, "it has ended, but that has not been looked at"
        await quiet()
        assert trio.current_time() - began == pytest.approx(13.0)
        assert states(supervisor) == {"a": "running", "b": "stopped", "slow": "running"}


async def test_a_supervisor_that_is_told_to_shut_down_ends_its_children_in_reverse_then_itself() -> None:
    """As part of a tree it is ended by the one above it."""
    world = World()
    inner = nested("sub", world, *[worker(name, world) for name in "xy"])
    async with Supervisor(children=[worker("a", world), inner, worker("b", world)]):
        world.log.clear()
    assert world.log == ["-b shutdown", "-y shutdown", "-x shutdown", "-a shutdown"]


@differs
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_child_that_stops_a_supervisor_above_it_is_told(depth: int) -> None:
    """OTP warns of a deadlock until the child's time is over. Here it is an error at once; in a background task it works."""
    world = World()
    errors: list[str] = []

    class Rebel(Actor):
        async def revolt(self) -> None:
            try:
                await top.terminate_child("sub")
            except Deadlock as error:
                errors.append(str(error))

        async def plan(self) -> None:
            top._open_manager().nursery.start_soon(top.terminate_child, "sub")

    tree = child("rebel", Rebel)
    if depth == 2:
        tree = nested("low", world, tree)
    async with Supervisor(children=[nested("sub", world, tree)]) as top:
        await found("rebel").call(Rebel.revolt)
        assert len(errors) == 1
        assert "child 'rebel' asks a supervisor above it" in errors[0]
        await found("rebel").cast(Rebel.plan)
        await quiet()
        assert states(top) == {"sub": "stopped"}


async def test_an_automatic_shutdown_does_not_block_the_supervisor_above(autojump_clock: Clock) -> None:
    """It hears of it when it is over."""
    world = World()
    world.slow_stops = {"x": 50.0}
    specs = [worker("x", world, shutdown=math.inf), worker("s", world, **SIGNIFICANT)]
    inner = nested("sub", world, *specs, auto_shutdown="any_significant", restart="transient")
    async with Supervisor(children=[inner]) as supervisor:
        began = trio.current_time()
        await leave("s")
        await supervisor.start_child(worker("b", world))
        assert trio.current_time() == began
        assert states(supervisor) == {"sub": "running", "b": "running"}
        await trio.sleep(51)
        assert states(supervisor) == {"sub": "stopped", "b": "running"}


# -- what its report of errors and its source say -------------------------------------------------------------------------


async def test_a_restart_that_fails_is_tried_again_through_the_queue_and_counts() -> None:
    """Other requests come in between: here the end of the supervisor's patience with another child's id."""
    world = World()
    async with Supervisor(children=[worker("a", world), worker("b", world)], max_restarts=50) as supervisor:
        world.fail_starts = {"a": 30}
        await crash(supervisor.ref("a"))
        await supervisor.terminate_child("a")
        assert world.fail_starts["a"] > 0, "the request did not wait until all attempts had been made"
        assert states(supervisor) == {"a": "stopped", "b": "running"}


async def test_a_group_whose_restart_fails_is_tried_again_from_the_child_that_failed() -> None:
    """``rest_for_one``: those before it keep running; it and those after it are started again."""
    world = World()
    async with Supervisor(children=[worker(name, world) for name in "abc"], strategy="rest_for_one") as supervisor:
        world.log.clear()
        world.fail_starts = {"b": 1}
        await crash(supervisor.ref("a"))
        await quiet()
        assert world.log == ["-a crash", "-c shutdown", "-b shutdown", "+a", "+b", "+c"]


async def test_a_message_that_a_supervisor_does_not_expect_is_told_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It takes none."""
    world = World()
    async with Supervisor(children=[nested("sub", world)]) as supervisor:
        await supervisor.ref("sub").send("hello")
        await quiet()
        assert states(supervisor) == {"sub": "running"}
    assert "'hello'" in caplog.text
