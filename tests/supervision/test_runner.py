"""One child, from its start to its bounded stop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import trio
from tests.actors.kit import Counter, cell_of

from hubkit.actors import Actor, Exit, current_system
from hubkit.errors import ActorCrashed, ConfigurationError, StartFailed
from hubkit.specs import ChildSpec
from hubkit.supervision import Running, child, start_instance, stop_all

Ends = list[tuple[Running, Exit]]


class Slow(Actor):
    """Takes its time to stop."""

    def __init__(self, seconds: float, log: list[str] | None = None) -> None:
        self.seconds = seconds
        self.log = [] if log is None else log

    async def on_stop(self, reason: str) -> None:
        await trio.sleep(self.seconds)
        self.log.append(f"{self.context.child_id} {reason}")


async def begin(nursery: trio.Nursery, spec: ChildSpec, ends: Ends, **options: Any) -> Running:
    return await start_instance(
        nursery, current_system(), spec, on_exit=lambda running, end: ends.append((running, end)), **options
    )


async def test_an_instance_tells_its_end_once() -> None:
    ends: Ends = []
    async with trio.open_nursery() as nursery:
        running = await begin(nursery, child("c", Counter), ends, metadata={"a": 1}, term=3)
        assert running.cell.context.metadata == {"a": 1}
        assert running.cell.context.term == 3
        assert "c <local#0.1>" in repr(running)
        ref = current_system().ref(running.pid)
        assert cell_of(ref) is running.cell
        with pytest.raises(ActorCrashed):
            await ref.call(Counter.fail, "x")
        await running.ended.wait()
        assert (await running.stop()).reason == "crash"
    assert [(r, end.reason) for r, end in ends] == [(running, "crash")]
    assert "ended: crash" in repr(running)


async def test_a_failed_start_tells_no_end() -> None:
    ends: Ends = []
    async with trio.open_nursery() as nursery:
        with pytest.raises(StartFailed, match=r"child 'c' .*TypeError") as caught:
            await begin(nursery, ChildSpec("c", Counter, (1, 2, 3)), ends)
    assert type(caught.value.__cause__) is TypeError
    assert ends == []


@pytest.mark.parametrize(
    ("shutdown", "within", "expected", "reason"),
    [
        (5.0, None, 3.0, "shutdown"),
        (2.0, None, 2.0, "killed"),
        (0, None, 0.0, "killed"),
        (math.inf, None, 3.0, "shutdown"),
        (5.0, 1.0, 1.0, "killed"),
        (5.0, 0, 0.0, "killed"),
        (1.0, math.inf, 1.0, "shutdown"),
    ],
)
async def test_a_stop_is_bounded(
    shutdown: float, within: float | None, expected: float, reason: str, autojump_clock: trio.testing.MockClock
) -> None:
    ends: Ends = []
    async with trio.open_nursery() as nursery:
        running = await begin(nursery, replace(child("c", Slow, 3.0), shutdown=shutdown), ends)
        began = trio.current_time()
        end = await running.stop(within=within)
        assert trio.current_time() - began == pytest.approx(expected)
    # The bound of on_stop and that of the stop are the same moment: either may be first.
    assert end.reason in {reason, "shutdown"} if shutdown == 2.0 else end.reason == reason
    assert len(ends) == 1


async def test_a_cancelled_stop_forces(autojump_clock: trio.testing.MockClock) -> None:
    ends: Ends = []
    async with trio.open_nursery() as nursery:
        running = await begin(nursery, replace(child("c", Slow, math.inf), shutdown=math.inf), ends)
        with trio.move_on_after(2) as scope:
            await running.stop()
        assert scope.cancelled_caught
        assert running.exit is not None
        assert running.exit.reason == "killed"


async def test_many_are_stopped_in_reverse_within_a_common_limit(autojump_clock: trio.testing.MockClock) -> None:
    ends: Ends = []
    log: list[str] = []
    async with trio.open_nursery() as nursery:
        specs = [replace(child(name, Slow, 1.5, log), shutdown=math.inf) for name in "abcd"]
        runnings = [await begin(nursery, spec, ends) for spec in specs]
        with trio.CancelScope() as scope:
            scope.cancel()
            began = trio.current_time()
            await stop_all(runnings, "shutdown: late", grace=2.0)
            assert trio.current_time() - began == pytest.approx(4.0)
        assert log == ["d shutdown: late", "c shutdown: late"]
        assert [running.cell.child_id for running, _ in ends] == ["d", "c", "b", "a"]
        with pytest.raises(ConfigurationError):
            await stop_all(runnings, grace="soon")  # type: ignore[arg-type]  # wrong on purpose
