"""Several nodes in one process, over real sockets: placement, finding, calling, moving, leaving, dying."""

from __future__ import annotations

from collections import Counter as Tally
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import trio
from tests.hub.actors import Counter, Order, Refused, Slow, Unstartable
from tests.hub.clusters import LISTEN, agree, cluster, until

import hubkit
from hubkit import errors, events


def specs(count: int) -> list[hubkit.ChildSpec]:
    return [hubkit.child(f"c{i}", Counter, i) for i in range(count)]


async def test_children_are_spread_and_found_from_everywhere() -> None:
    async with cluster(3) as hubs:
        result = await hubs[0].start_children(specs(60))
        assert result.status == "ok"
        assert set(result.nodes()) == {"a", "b", "c"}
        await until(lambda: agree(hubs))
        tally = Tally(info.pids[0].node for info in hubs[1].children().values())
        assert min(tally.values()) >= 8
        for hub in hubs:
            assert len(hub.children("local")) == tally[hub.node.name]
            for i in (0, 7, 33):
                ref = hub.ref(f"c{i}", Counter)
                assert await ref.call(Counter.where) == hub.pid(f"c{i}").node  # type: ignore[union-attr]  # it runs
                await ref.cast(Counter.add, 1)
                ref.cast_nowait(Counter.add, 1)
        assert await hubs[2].ref("c7").call("add", 0) == 7 + 6


async def test_values_keep_their_types_between_nodes() -> None:
    async with cluster(2) as (a, b):
        await a.start_children(specs(8))
        there = next(id for id, info in a.children().items() if info.pids[0].node == "b")
        ref = a.ref(there, Counter)
        value: list[Any] = [
            None,
            True,
            3,
            2**80,
            1.5,
            "s",
            b"b",
            (1, (2,)),
            {"a": 1},
            {1: "x"},
            {1, 2},
            Decimal("1.10"),
        ]
        value += [datetime(2026, 1, 2, tzinfo=UTC), UUID(int=5), Order(3, ("x",)), a.pid(there), ref]
        answer = await ref.call(Counter.echo, value)
        assert answer == value
        assert [type(item) for item in answer] == [type(item) for item in value]
        with pytest.raises(errors.NotSerializable, match="object"):
            await ref.call(Counter.echo, object())
        with pytest.raises(errors.NotSerializable, match="handled"):
            await ref.call(Counter.give_up_value)
        assert b.pid(there) == a.pid(there)


async def test_errors_are_the_same_from_another_node(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(2) as (a, _):
        await a.start_children(specs(8))
        there = next(id for id, info in a.children().items() if info.pids[0].node == "b")
        ref = a.ref(there, Counter)
        with pytest.raises(Refused) as refused:
            await ref.call(Counter.refuse, "sold out", 3)
        assert refused.value.args == ("sold out", 3)
        with pytest.raises(errors.NoSuchMethod, match="nothing"):
            await ref.call("nothing")
        with pytest.raises(TypeError):
            await ref.call("add", 1, 2, 3)
        before = ref.pid
        with pytest.raises(errors.ActorCrashed) as crashed:
            await ref.call(Counter.fail, "far away")
        assert isinstance(crashed.value.__cause__, ValueError)
        assert str(crashed.value.__cause__) == "far away"
        await until(lambda: ref.pid not in (None, before))
        with trio.move_on_after(0.1) as scope:
            await ref.call(Counter.slow, 30)
        assert scope.cancelled_caught


async def test_a_chain_of_calls_that_comes_back_is_a_deadlock() -> None:
    async with cluster(2) as (a, _):
        await a.start_children(specs(8))
        by_node = {info.pids[0].node: a.ref(id, Counter) for id, info in a.children().items()}
        here, there = by_node["a"], by_node["b"]
        with trio.fail_after(5), pytest.raises(errors.ActorCrashed) as caught:
            await here.call(Counter.ask, there, "ask", here, "add")
        causes = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(type(error).__name__)
            error = error.__cause__
        assert "Deadlock" in causes or "Deadlock" in str(caught.value.__cause__)


async def test_down_arrives_once_from_another_node() -> None:
    async with cluster(2) as (a, _):
        await a.start_children(specs(8))
        by_node = {info.pids[0].node: id for id, info in sorted(a.children().items())}
        watcher, watched = a.ref(by_node["a"], Counter), a.ref(by_node["b"], Counter)
        pid = watched.pid
        await watcher.call(Counter.watch, watched)
        await a.stop_child(by_node["b"])  # from here: what b is told of last must not overtake the monitor
        with trio.fail_after(5):
            while not (heard := await watcher.call(Counter.heard)):
                await trio.sleep(0.01)
        assert heard == [(str(pid), "removed")]


async def test_failing_starts_on_other_nodes_carry_their_reason() -> None:
    async with cluster(3) as (a, b, c):
        bad = [hubkit.child(f"bad{i}", Unstartable, f"bad {i}") for i in range(9)]
        result = await a.start_children([*bad, *specs(9)])
        assert result.status == "partial"
        assert set(result.errors) == {spec.id for spec in bad}
        for i in range(9):
            cause = result.errors[f"bad{i}"].__cause__
            assert isinstance(cause, LookupError)
            assert str(cause) == f"bad {i}"
        await until(lambda: agree([a, b, c]))
        assert set(b.children()) == {spec.id for spec in specs(9)}


async def test_one_id_started_from_all_nodes_runs_once() -> None:
    async with cluster(3) as hubs:
        outcomes: list[str] = []

        async def begin(hub: hubkit.Hub) -> None:
            try:
                await hub.start_child(hubkit.child("same", Counter, 1))
            except errors.AlreadyStarted:
                outcomes.append("already")
            else:
                outcomes.append("ok")

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for hub in hubs:
                    nursery.start_soon(begin, hub)
        assert "ok" in outcomes
        await until(lambda: agree(hubs) and len(hubs[0].pids("same")) == 1)
        assert sum("same" in hub.children("local") for hub in hubs) == 1


async def test_a_node_that_joins_takes_its_share_and_one_that_leaves_gives_it_back() -> None:
    async with cluster(2) as (a, b):
        await a.start_children(specs(40))
        async with hubkit.Hub("shop", listen=LISTEN, name="c", join=[a.node.url or ""]) as c:
            await until(lambda: len(a.nodes()) == 2 and agree([a, b, c]))
            share = len(c.children("local"))
            assert 4 <= share <= 30
            assert all(info.pids for info in a.children().values())
        await until(lambda: a.nodes() == ("b",) and agree([a, b]))
        assert all(info.pids for info in a.children().values())
        assert len(a.children()) == 40


async def test_a_block_left_by_an_exception_lets_the_others_take_over_at_once() -> None:
    async with cluster(2) as (a, b):
        await a.start_children(specs(40))
        began = trio.current_time()
        with pytest.raises(KeyError):
            async with hubkit.Hub("shop", listen=LISTEN, name="c", join=[a.node.url or ""]) as c:
                await until(lambda: len(c.children("local")) > 3 and agree([a, b, c]))
                began = trio.current_time()
                raise KeyError
        await until(lambda: a.nodes() == ("b",) and agree([a, b]) and all(i.pids for i in a.children().values()))
        assert trio.current_time() - began < 2


async def test_a_child_is_moved_by_hand() -> None:
    async with cluster(2) as (a, b):
        await a.start_children(specs(10))
        child = next(id for id, info in sorted(a.children().items()) if info.pids[0].node == "a")
        ref = a.ref(child, Counter)
        term = (await ref.call(Counter.about))["term"]
        async with b.events(events.ChildMoved) as stream:
            with trio.fail_after(5):
                await a.move(child, "b")
                event = await anext(stream)
        assert (event.child, event.source, event.target) == (child, "a", "b")  # type: ignore[attr-defined]  # ChildMoved
        about = await ref.call(Counter.about)
        assert about["pid"].node == "b"
        assert about["reason"] == "migration"
        assert about["term"] > term
        await until(lambda: agree([a, b]))
        assert b.statistics().moves >= 1


async def test_calls_wait_for_a_child_that_moves() -> None:
    async with cluster(2) as (a, b):
        await a.start_children(specs(10))
        child = next(id for id, info in sorted(a.children().items()) if info.pids[0].node == "a")
        answers: list[str] = []

        async def client(hub: hubkit.Hub) -> None:
            answers.extend([await hub.ref(child, Counter).call(Counter.where) for _ in range(50)])

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client, a)
                nursery.start_soon(client, b)
                await a.move(child, "b")
        assert len(answers) == 100
        assert answers[-1] == "b"


async def test_children_run_only_where_their_actor_is_known() -> None:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(hubkit.Hub("shop", listen=LISTEN, name="a", actors=[Counter]))
        join = [a.node.url or ""]
        b = await stack.enter_async_context(
            hubkit.Hub("shop", listen=LISTEN, name="b", join=join, actors=[Counter, Slow])
        )
        await until(lambda: len(a.nodes()) == 1 and len(b.nodes()) == 1)
        result = await a.start_children([hubkit.child(f"s{i}", Slow, 0) for i in range(10)])
        assert result.nodes() == ("b",)
        with pytest.raises(errors.StartFailed, match="no node of hub 'shop' knows"):
            await a.start_child(hubkit.child("u", Unstartable))


async def test_several_hubs_share_a_node() -> None:
    async with (
        hubkit.Node(listen=LISTEN, name="a") as one,
        hubkit.Node(listen=LISTEN, name="b", join=[one.url or ""]) as two,
        hubkit.Hub("orders", node=one) as orders,
        hubkit.Hub("mail", node=one) as mail,
        hubkit.Hub("orders", node=two) as orders2,
    ):
        await until(lambda: orders.nodes() == ("b",) and orders2.nodes() == ("a",))
        assert mail.nodes() == ()
        await orders.start_children(specs(10))
        await mail.start_children(specs(5))
        await until(lambda: agree([orders, orders2]))
        assert len(orders2.children()) == 10
        assert len(mail.children("local")) == 5
        assert len(mail.statistics().links) == 1


async def test_a_stand_alone_node_is_put_on_the_network() -> None:
    async with hubkit.Node(name="a") as one, hubkit.Hub("shop", node=one) as a:
        await a.start_children(specs(20))
        with pytest.raises(errors.ConfigurationError):
            await one.promote(listen="nonsense")
        await one.promote(listen=LISTEN)
        assert one.url is not None
        assert one.name == "a"
        with pytest.raises(errors.ConfigurationError, match="already"):
            await one.promote(listen=LISTEN)
        async with hubkit.Hub("shop", listen=LISTEN, name="b", join=[one.url]) as b:
            await until(lambda: agree([a, b]) and len(b.children("local")) > 3)
            assert len(b.children()) == 20


async def test_declared_children_are_started_once_by_many() -> None:
    declared = specs(12)
    async with cluster(3, children=declared) as hubs:
        await until(lambda: agree(hubs) and all(info.pids for info in hubs[0].children().values()))
        assert sum(len(hub.children("local")) for hub in hubs) == 12


async def test_a_wrong_secret_is_refused_on_entry() -> None:
    async with hubkit.Hub("shop", listen=LISTEN, name="a", secret="right") as a:
        with trio.fail_after(5), pytest.raises(errors.HandshakeRefused) as caught:
            async with hubkit.Hub("shop", listen=LISTEN, name="b", secret="wrong", join=[a.node.url or ""]):
                pass
        assert caught.value.code == "secret"
        async with hubkit.Hub("shop", listen=LISTEN, name="b", secret=["right", "new"], join=[a.node.url or ""]) as b:
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",))


async def test_a_name_that_is_taken_is_refused_on_entry() -> None:
    async with cluster(2) as (a, _):
        with trio.fail_after(5), pytest.raises(errors.HandshakeRefused) as caught:
            async with hubkit.Hub("shop", listen=LISTEN, name="b", join=[a.node.url or ""]):
                pass
        assert caught.value.code == "name"
        assert a.nodes() == ("b",)


async def test_a_port_that_is_taken_is_a_clear_error() -> None:
    async with hubkit.Hub("shop", listen=LISTEN) as a:
        with pytest.raises(errors.ConfigurationError, match="in use"):
            async with hubkit.Hub("shop", listen=a.node.url):
                pass


async def test_one_hub_leaves_while_its_node_stays() -> None:
    async with (
        hubkit.Node(listen=LISTEN, name="a") as one,
        hubkit.Hub("shop", node=one) as a,
        hubkit.Node(listen=LISTEN, name="b", join=[one.url or ""]) as two,
    ):
        async with hubkit.Hub("shop", node=two) as b:
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",))
            await a.start_children(specs(10))
        await until(lambda: a.nodes() == () and all(info.pids for info in a.children().values()))
        async with hubkit.Hub("shop", node=two) as b:
            await until(lambda: agree([a, b]) and len(b.children("local")) > 0)
            assert len(a.children("local")) + len(b.children("local")) == 10


async def test_membership_is_told() -> None:
    seen: list[Any] = []
    async with hubkit.Hub("shop", listen=LISTEN, name="a", hooks=[(events.Event, seen.append)]) as a:
        async with hubkit.Hub("shop", listen=LISTEN, name="b", join=[a.node.url or ""]):
            await until(lambda: any(isinstance(e, events.NodeJoined) and e.node == "b" for e in seen))
        await until(lambda: any(isinstance(e, events.NodeLeft) and e.node == "b" for e in seen))
    kinds = [type(e).__name__ for e in seen if getattr(e, "node", "") == "b"]
    assert kinds.index("NodeJoining") < kinds.index("NodeJoined") < kinds.index("NodeLeaving") < kinds.index("NodeLeft")


@pytest.mark.parametrize(
    "boast", [[-1, [[f"h{i}", True, *"abcde"] for i in range(5000)]], [-2, ["h" * 1000, True, *"abcde"]]]
)
async def test_a_node_that_boasts_of_hubs_without_end_is_parted_with(boast: list[Any]) -> None:
    """What it has said is kept as long as its link lasts, so it must be bounded."""
    async with cluster(2) as (a, b):
        before = a.node._links()[b.node._id].since
        assert b.node.send(a.node._id, boast)
        await until(lambda: (link := a.node._links().get(b.node._id)) is not None and link.since > before)
        assert not any(len(hub) > 255 for hub in a.node._directory._hubs.get(b.node._id, ()))
        await until(lambda: a.nodes() == ("b",))
