"""A hub on one node, without a network: children, results, finding, restarting, parking, leaving."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import trio
from tests.hub.actors import Counter, Looping, SelfStopping, Slow, Stubborn, Unstartable, Wordless, brief, forwarder
from tests.hub.clusters import until

import hubkit
from hubkit import errors, events
from hubkit.cluster.rows import Want
from hubkit.specs import UnknownStart
from hubkit.strategies import NodeView


async def test_a_child_is_started_called_found_and_stopped() -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.child("c", Counter, 5), metadata={"k": 1}, tag="t")
        assert await ref.call(Counter.add, 2) == 7
        assert hub.pid("c") == ref.pid
        assert hub.pids("c") == (ref.pid,)
        info = hub.lookup("c")
        assert info is not None
        assert (info.spec.start, info.spec.args, info.metadata, info.tag) == (Counter, (5,), {"k": 1}, "t")
        assert info.pids == (ref.pid,)
        assert set(hub.children()) == set(hub.children("local")) == set(hub.tagged("t")) == {"c"}
        assert hub.tagged("other") == {}
        about = await hub.ref("c", Counter).call(Counter.about)
        assert about["child"] == "c"
        assert about["hub"] == "shop"
        assert about["metadata"] == {"k": 1}
        assert about["term"] >= 1
        assert about["reason"] == "start"
        result = await hub.stop_child("c")
        assert result.status == "ok"
        assert result.ids() == ("c",)
        assert hub.pid("c") is None
        assert hub.lookup("c") is None
        with pytest.raises(errors.NoSuchActor, match="no child 'c'"):
            hub.ref("c")
        with pytest.raises(errors.NoSuchActor):
            await ref.call(Counter.add)


async def test_a_result_says_what_became_of_each_child() -> None:
    async with hubkit.Hub("shop") as hub:
        specs = [hubkit.child("a", Counter), hubkit.child("b", Unstartable, "b says no"), hubkit.child("c", Counter)]
        result = await hub.start_children(specs)
        assert result.status == "partial"
        assert result.ids() == ("a", "c")
        assert set(result.errors) == {"b"}
        error = result.errors["b"]
        assert isinstance(error, errors.StartFailed)
        assert isinstance(error.__cause__, LookupError)
        assert str(error.__cause__) == "b says no"
        assert result.pid() == hub.pid("a")
        assert result.pid("c") == hub.pid("c")
        assert result.node("c") == hub.node.name
        assert result.nodes() == (hub.node.name,)
        assert result.first() == ("a", hub.pid("a"))
        assert result.pids() == (hub.pid("a"), hub.pid("c"))
        assert not result.rolled_back
        assert hub.lookup("b") is None


async def test_a_rollback_leaves_nothing() -> None:
    async with hubkit.Hub("shop") as hub:
        await hub.start_child(hubkit.child("old", Counter))
        specs = [hubkit.child("a", Counter), hubkit.child("b", Unstartable)]
        result = await hub.start_children(specs, on_failure="rollback")
        assert (result.status, result.rolled_back, dict(result.started)) == ("failed", True, {})
        assert set(hub.children()) == {"old"}
        assert hub.is_settled


async def test_an_existing_child_is_refused_or_adopted() -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.child("c", Counter))
        pid = ref.pid
        with pytest.raises(errors.AlreadyStarted, match="'c'"):
            await hub.start_child(hubkit.child("c", Counter))
        again = await hub.start_child(hubkit.child("c", Counter, 9), check_existing=False)
        assert (again, again.pid) == (ref, pid)


async def test_metadata_may_be_common_and_per_child() -> None:
    async with hubkit.Hub("shop") as hub:
        specs = [hubkit.child(id, Counter) for id in "ab"]
        await hub.start_children(specs, metadata="all", child_metadata={"b": "own"}, tag="t")
        assert {id: info.metadata for id, info in hub.children().items()} == {"a": "all", "b": "own"}
        with pytest.raises(errors.ConfigurationError, match="'z'"):
            await hub.start_children([hubkit.child("x", Counter)], child_metadata={"z": 1})


async def test_stopping_an_unknown_child_answers_at_once() -> None:
    async with hubkit.Hub("shop") as hub:
        await hub.start_child(hubkit.child("a", Counter))
        with trio.fail_after(1):
            with pytest.raises(errors.NoSuchActor, match="no child 'nobody'"):
                await hub.stop_child("nobody")
            result = await hub.stop_children(["a", "nobody"])
        assert result.status == "partial"
        assert result.ids() == ("a",)
        assert isinstance(result.errors["nobody"], errors.NoSuchActor)


async def test_the_same_id_can_be_started_again_after_a_failure() -> None:
    async with hubkit.Hub("shop") as hub:
        for _ in range(3):
            with pytest.raises(errors.StartFailed):
                await hub.start_child(hubkit.child("c", Unstartable))
        ref = await hub.start_child(hubkit.child("c", Counter))
        first = await ref.call(Counter.about)
        await hub.stop_child("c")
        ref = await hub.start_child(hubkit.child("c", Counter))
        assert (await ref.call(Counter.about))["pid"] != first["pid"]


async def test_futures_work_in_the_background() -> None:
    async with hubkit.Hub("shop") as hub:
        future = hub.start_children_soon([hubkit.child(f"c{i}", Counter) for i in range(10)])
        with trio.move_on_after(0):
            await future.wait()
        result = await future.wait()
        assert future.done
        assert result.status == "ok"
        assert len(result.ids()) == 10
        stopped = await hub.stop_children_soon(result.ids()).wait()
        assert stopped.status == "ok"
        assert hub.children() == {}
        with pytest.raises(errors.ConfigurationError):
            hub.start_children_soon("c")  # type: ignore[arg-type]  # wrong on purpose


async def test_a_failure_that_nobody_waits_for_is_an_event_and_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    async with hubkit.Hub("shop") as hub, hub.events(events.ChildFailed) as stream:
        hub.start_children_soon([hubkit.child("c", Unstartable, "nobody hears")])
        with trio.fail_after(5):
            async for event in stream:
                assert isinstance(event, events.ChildFailed)
                if event.retry_in == math.inf:
                    break
        assert "in the background, child c" in caplog.text


# -- crashes ------------------------------------------------------------------------------------------------------------


async def test_a_crashed_child_is_restarted_under_a_new_pid(caplog: pytest.LogCaptureFixture) -> None:
    async with hubkit.Hub("shop") as hub, hub.events(events.ChildRestarted) as stream:
        ref = await hub.start_child(hubkit.child("c", Counter))
        sibling = await hub.start_child(hubkit.child("s", Counter))
        await sibling.call(Counter.add, 3)
        before, beside = ref.pid, sibling.pid
        with pytest.raises(errors.ActorCrashed) as caught:
            await ref.call(Counter.fail, "boom")
        assert isinstance(caught.value.__cause__, ValueError)
        assert await ref.call(Counter.add) == 1
        assert ref.pid != before
        about = await ref.call(Counter.about)
        assert about["reason"] == "restart"
        assert sibling.pid == beside
        assert await sibling.call(Counter.add, 0) == 3
        event = await anext(stream)
        assert isinstance(event, events.ChildRestarted)
        assert (event.child, event.old, event.pid) == ("c", before, ref.pid)
        assert isinstance(event.error, ValueError)
        await hub.settled()


@pytest.mark.parametrize(
    ("restart", "reason", "comes_back"),
    [
        ("permanent", "normal", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("temporary", "normal", False),
    ],
)
async def test_a_child_that_ends_is_kept_or_withdrawn(restart: Any, reason: str, comes_back: bool) -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.ChildSpec("c", Counter, restart=restart))
        before = ref.pid
        await ref.call(Counter.finish, reason)
        if comes_back:
            await until(lambda: hub.pid("c") not in (None, before))
        else:
            await until(lambda: hub.lookup("c") is None)
            assert hub.is_settled


@pytest.mark.parametrize(("restart", "comes_back"), [("permanent", True), ("transient", True), ("temporary", False)])
async def test_a_child_that_crashes_is_kept_or_withdrawn(
    restart: Any, comes_back: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.ChildSpec("c", Counter, restart=restart))
        before = ref.pid
        with pytest.raises(errors.ActorCrashed):
            await ref.call(Counter.fail)
        if comes_back:
            await until(lambda: hub.pid("c") not in (None, before))
        else:
            await until(lambda: hub.lookup("c") is None)


async def test_a_crash_loop_parks_the_child_and_touches_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async with hubkit.Hub("shop", max_restarts=5, max_seconds=5) as hub, hub.events(events.ChildFailed) as stream:
        sibling = await hub.start_child(hubkit.child("s", Counter, 4))
        beside = sibling.pid
        await hub.start_child(hubkit.child("loop", Looping))
        with trio.fail_after(10):
            event = await anext(stream)
        assert isinstance(event, events.ChildFailed)
        assert event.child == "loop"
        assert "again" in event.error
        await hub.settled()
        assert hub.children()["loop"].pids == ()
        assert sibling.pid == beside
        assert await sibling.call(Counter.add, 0) == 4
        assert hub.statistics().parked == 1
        with trio.fail_after(5), pytest.raises(errors.NoSuchActor, match="parked"):
            await hub.ref("loop").call("anything")
        assert "failed" in hub.explain("loop").rule or "parked" in str(hub.explain("loop"))


async def test_a_slow_start_delays_nobody() -> None:
    async with hubkit.Hub("shop") as hub:
        future = hub.start_children_soon([hubkit.child("slow", Slow, 60)])
        with trio.fail_after(5):
            await hub.start_children([hubkit.child(f"c{i}", Counter) for i in range(20)])
            assert not future.done
            await hub.stop_child("slow")
            result = await future.wait()
        assert isinstance(result.errors["slow"], errors.StartFailed)


async def test_cancelling_a_start_leaves_the_child_wanted() -> None:
    async with hubkit.Hub("shop") as hub:
        with trio.move_on_after(0.05):
            await hub.start_child(hubkit.child("slow", Slow, 0.3))
        assert hub.lookup("slow") is not None
        await until(lambda: hub.pid("slow") is not None)


async def test_a_cancelled_rollback_leaves_nothing() -> None:
    async with hubkit.Hub("shop") as hub:
        with trio.move_on_after(0.05):
            await hub.start_children(
                [hubkit.child("slow", Slow, 60), hubkit.child("c", Counter)], on_failure="rollback"
            )
        await until(lambda: not hub.children() and hub.is_settled)
        assert hub.statistics().local_children == 0


@pytest.mark.parametrize("restart", ["temporary", "transient"])
async def test_a_child_that_has_done_its_work_by_the_time_it_is_looked_at_was_started(restart: Any) -> None:
    async with hubkit.Hub("shop") as hub:
        for number in range(20):
            await hub.start_child(hubkit.ChildSpec(f"q{number}", brief, restart=restart))
        await until(lambda: not hub.children() and hub.is_settled)
        assert hub.statistics().starts == 20


async def test_a_handler_that_would_wait_for_its_own_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.child("c", SelfStopping))
        other = await hub.start_child(hubkit.child("d", SelfStopping))
        with trio.fail_after(5):
            assert await ref.call(SelfStopping.end, "stop_child") == "Deadlock"
            assert await ref.call(SelfStopping.end, "move") == "Deadlock"
            assert await ref.call(SelfStopping.end, "drain") == "Deadlock"
            assert await ref.call(SelfStopping.end_other, "d") == "ok"
        with pytest.raises(errors.NoSuchActor):
            await other.call(SelfStopping.end, "drain")
        assert hub.statistics().messages == 4


# -- the block ----------------------------------------------------------------------------------------------------------


async def test_the_exception_of_the_body_is_the_same_object() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with hubkit.Hub("shop", listen="ws://127.0.0.1:0") as hub:
            await hub.start_child(hubkit.child("c", Counter))
            raise error
    assert caught.value is error


async def test_leaving_stops_the_children_and_closes_the_hub() -> None:
    stopped: list[str] = []
    async with hubkit.Hub("shop", children=[hubkit.child("c", Counter)]) as hub:
        await until(lambda: hub.pid("c") is not None)
        hub.on(events.ChildStopped, lambda event: stopped.append(event.child))
    assert stopped == ["c"]
    for use in (hub.nodes, hub.children, lambda: hub.pid("c"), lambda: hub.lookup("c")):
        with pytest.raises(errors.HubClosed):
            use()
    with pytest.raises(errors.HubClosed):
        async with hub:
            pass


async def test_a_hub_is_closed_before_it_is_opened() -> None:
    hub = hubkit.Hub("shop")
    with pytest.raises(errors.HubClosed, match="async with"):
        hub.nodes()


async def test_a_cancelled_block_ends_within_the_grace() -> None:
    began = trio.current_time()
    with trio.move_on_after(0.2):
        async with hubkit.Hub("shop", cancel_grace=0.2) as hub:
            await hub.start_children([hubkit.child(f"c{i}", Stubborn) for i in range(5)])
            await trio.sleep_forever()
    assert trio.current_time() - began < 2


async def test_stop_drains_and_closes() -> None:
    async with hubkit.Hub("shop") as hub:
        await hub.start_child(hubkit.child("c", Counter))
        await hub.stop()
        with pytest.raises(errors.HubClosed):
            hub.children()


async def test_prepare_may_alter_spec_and_metadata() -> None:
    def prepare(spec: hubkit.ChildSpec, metadata: Any) -> tuple[hubkit.ChildSpec, Any]:
        return hubkit.child(spec.id, Counter, 41), [metadata, "prepared"]

    async with hubkit.Hub("shop", prepare=prepare) as hub:
        ref = await hub.start_child(hubkit.child("c", Counter), metadata="m")
        assert await ref.call(Counter.add, 1) == 42
        assert (await ref.call(Counter.about))["metadata"] == ["m", "prepared"]


async def test_prepare_that_answers_nonsense_fails_the_start() -> None:
    async with hubkit.Hub("shop", prepare=lambda spec, metadata: None) as hub:
        with pytest.raises(errors.StartFailed) as caught:
            await hub.start_child(hubkit.child("c", Counter))
        assert isinstance(caught.value.__cause__, errors.ConfigurationError)


async def test_a_function_actor_is_a_child_too_and_refs_travel_in_arguments() -> None:
    async with hubkit.Hub("shop") as hub:
        counter = await hub.start_child(hubkit.child("c", Counter))
        ref = await hub.start_child(hubkit.child("f", forwarder, counter))
        await ref.send(5)
        with trio.fail_after(5):
            while await counter.call(Counter.add, 0) != 5:
                await trio.sleep(0.01)
        result = await hub.stop_child("f")
        assert result.status == "ok"


# -- events -------------------------------------------------------------------------------------------------------------


async def test_handlers_are_called_by_priority_and_one_that_raises_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    async def low(event: events.ChildStarted) -> None:
        seen.append(f"low {event.child}")

    def bad(event: events.Event) -> None:
        msg = "oops"
        raise RuntimeError(msg)

    def high(event: events.ChildStarted) -> None:
        seen.append(f"high {event.child}")

    async with hubkit.Hub("shop", hooks=[(events.ChildStarted, low)]) as hub:
        hub.on(events.ChildStarted, bad, priority=5)
        hook = hub.on(events.ChildStarted, high, priority=10)
        await hub.start_child(hubkit.child("a", Counter))
        await until(lambda: len(seen) == 2)
        hook.cancel()
        hook.cancel()
        await hub.start_child(hubkit.child("b", Counter))
        await until(lambda: len(seen) == 3)
    assert seen == ["high a", "low a", "low b"]
    assert "raised on ChildStarted" in caplog.text


async def test_a_slow_handler_is_bounded(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    from hubkit.hub.bulletin import Bulletin

    async def forever(event: events.Event) -> None:
        await trio.sleep_forever()

    seen: list[events.Event] = []
    bulletin = Bulletin("shop")
    bulletin.on(events.NodeLeft, forever, 1)
    bulletin.on(events.NodeLeft, seen.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulletin.run)
        bulletin.publish(events.NodeLeft("n"))
        await bulletin.flush(60)
        assert trio.current_time() == 5
        nursery.cancel_scope.cancel()
    assert seen == [events.NodeLeft("n")]
    assert "took more than 5 s" in caplog.text


async def test_a_stream_that_is_read_too_slowly_says_what_is_missing() -> None:
    from hubkit.hub.bulletin import STREAM, Bulletin

    bulletin = Bulletin("shop")
    async with bulletin.events(events.NodeLeft) as stream:
        for number in range(STREAM + 7):
            bulletin.publish(events.NodeLeft(str(number)))
        got = [await anext(stream) for _ in range(STREAM)]
        assert [event.node for event in got if isinstance(event, events.NodeLeft)] == [str(n) for n in range(STREAM)]
        bulletin.publish(events.NodeJoined("other type"))
        assert await anext(stream) == events.EventsLost(7, hub="shop")
        bulletin.publish(events.NodeLeft("last"))
        assert await anext(stream) == events.NodeLeft("last")


async def test_children_tell_their_story() -> None:
    async with hubkit.Hub("shop") as hub, hub.events() as stream:
        await hub.start_child(hubkit.child("c", Counter))
        await hub.stop_child("c")
        story = []
        with trio.fail_after(5):
            async for event in stream:
                story.append(type(event).__name__)
                if isinstance(event, events.ChildUnregistered):
                    break
    kept = [name for name in story if name.startswith("Child")]
    assert kept[:3] == ["ChildStarting", "ChildStarted", "ChildRegistered"]
    assert set(kept[3:]) == {"ChildStopped", "ChildUnregistered"}


# -- looking inside -------------------------------------------------------------------------------------------------------


async def test_explain_plan_and_statistics() -> None:
    async with hubkit.Hub("shop", name="first") as hub:  # (a name says where children belong)
        await hub.start_children([hubkit.child(f"c{i}", Counter) for i in range(20)])
        explanation = hub.explain("c3")
        assert explanation.child == "c3"
        assert explanation.where == (hub.node.name,)
        assert explanation.text
        with pytest.raises(errors.NoSuchActor):
            hub.explain("nobody")
        assert hub.plan() == []
        moves = hub.plan(add=["new"])
        assert 0 < len(moves) < 20
        assert {(move.source, move.target) for move in moves} == {(hub.node.name, "new")}
        assert all(move.target is None for move in hub.plan(remove=[hub.node.name]))
        with pytest.raises(errors.ConfigurationError, match="'ghost'"):
            hub.plan(remove=["ghost"])
        assert hub.plan(add=[hub.node.name]) == []  # it is there already
        more = hub.plan(add=[NodeView("new", weight=9.0)])
        assert len(moves) < len(more) < 20
        assert hub.plan(add=[NodeView("new", actors=("app:Other",))]) == []
        statistics = hub.statistics()
        assert (statistics.children, statistics.local_children, statistics.starts) == (20, 20, 20)
        assert statistics.members == (hub.node.name,)
        assert "shop" in repr(hub)


async def test_tags_are_found_without_a_look_at_all_children() -> None:
    async with hubkit.Hub("shop") as hub:
        await hub.start_children([hubkit.child(f"c{i}", Counter) for i in range(6)], tag="even")
        await hub.start_children([hubkit.child(f"d{i}", Counter) for i in range(3)], tag="odd")
        await hub.start_child(hubkit.child("e", Counter))
        assert list(hub.tagged("even")) == [f"c{i}" for i in range(6)]
        assert [info.tag for info in hub.tagged("odd").values()] == ["odd"] * 3
        await hub.stop_children([f"d{i}" for i in range(3)])
        await hub.start_child(hubkit.child("d0", Counter), tag="even")
        assert hub.tagged("odd") == {}
        assert set(hub._driver.core._ledger.tags) == {"even"}
        want = hub._driver.core.wants["d0"]
        hub._driver.write_wants({"d0": replace(want, tag=None)})
        assert len(hub.tagged("even")) == 6


async def test_weights_and_labels_of_the_node_and_of_the_hub() -> None:
    async with (
        hubkit.Node(name="n", weight=2, labels={"zone": "eu", "disk": "ssd"}) as node,
        hubkit.Hub("one", node=node) as one,
        hubkit.Hub("two", node=node, weight=3, labels={"zone": "us"}) as two,
    ):
        (first,), (second,) = one._driver.core.nodes.values(), two._driver.core.nodes.values()
        assert (first.weight, first.labels) == (2.0, (("disk", "ssd"), ("zone", "eu")))
        assert (second.weight, second.labels) == (3.0, (("disk", "ssd"), ("zone", "us")))


async def test_what_cannot_be_handled_is_a_dead_letter() -> None:
    async with hubkit.Hub("shop") as hub, hub.events(events.DeadLetter) as stream:
        ref = await hub.start_child(hubkit.child("c", Counter))
        await ref.cast(Counter.refuse, "no")
        event = await anext(stream)
        assert isinstance(event, events.DeadLetter)
        assert "reject" in event.reason


@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"\x01", b"\x81\x00"])
async def test_a_child_whose_spec_cannot_be_read_here_harms_only_itself(body: bytes) -> None:
    """Another node may have written it, whose classes this process does not know."""
    async with hubkit.Hub("shop") as hub:
        await hub.start_child(hubkit.child("good", Counter, 5))
        assert Counter.__hubkit_actor__ is not None
        hub._driver.write_wants({"bad": Want(Counter.__hubkit_actor__, body, "t")})
        with pytest.raises(errors.NoSuchActor, match="parked"), trio.fail_after(5):
            await hub.ref("bad").call("add", 1)
        assert list(hub.children()) == ["bad", "good"]
        shown = hub.lookup("bad")
        assert shown is not None
        assert isinstance(shown.spec.start, UnknownStart)
        assert (shown.spec.args, shown.pids, shown.metadata, shown.tag) == ((), (), None, "t")
        assert list(hub.tagged("t")) == ["bad"]
        assert await hub.ref("good", Counter).call(Counter.add, 1) == 6


logging.getLogger("hubkit").setLevel(logging.DEBUG)


async def test_an_error_that_cannot_be_printed_harms_only_its_child() -> None:
    async with hubkit.Hub("shop") as hub:
        ref = await hub.start_child(hubkit.child("c", Wordless))
        with trio.fail_after(5), pytest.raises(errors.ActorCrashed):
            await ref.call(Wordless.fail)
        with trio.fail_after(5), pytest.raises(errors.StartFailed):
            await hub.start_child(hubkit.child("early", Wordless, early=True))
        assert set(hub.children()) == {"c"}


async def test_a_failure_whose_waiter_was_cancelled_is_told() -> None:
    failed: list[Any] = []
    async with hubkit.Hub("shop", hooks=[(events.ChildFailed, failed.append)]) as hub:
        future = hub.start_children_soon([hubkit.child("s", Slow, 0.1), hubkit.child("u", Unstartable)])
        with trio.move_on_after(0.02):
            await future.wait()
        await until(lambda: future.done and any(event.retry_in == math.inf for event in failed))


async def test_after_a_drain_nothing_waits_for_ever() -> None:
    async with hubkit.Hub("shop") as hub:
        await hub.drain()
        with trio.fail_after(5):
            for wait in (hub.start_child(hubkit.child("c", Counter)), hub.stop_child("c"), hub.settled()):
                with pytest.raises(errors.HubClosed):
                    await wait
            await hub.drain()


async def test_streams_end_with_the_hub() -> None:
    async with hubkit.Hub("shop") as hub, hub.events() as stream:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hub.stop)
                async for _ in stream:
                    pass
    with pytest.raises(errors.HubClosed):
        hub.events()


async def test_a_hub_that_is_not_open_says_so() -> None:
    hub = hubkit.Hub("shop")
    with pytest.raises(errors.HubClosed):
        hub.statistics()
    with pytest.raises(errors.HubClosed):
        await hub.drain()
    with pytest.raises(errors.HubClosed):
        await hub.stop()
