"""Messages between processes: calls, casts, monitors, and how each of them ends when something is wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from tests.processes.harness import Cluster, Member, Reported, many, together, until
from tests.processes.journal import clock

IDS = many(24)


async def one_each(cluster: Cluster, **options: Any) -> list[str]:
    """A child on each of the members ``a``, ``b``, ``c``, in this order."""
    await cluster.started(cluster["a"], IDS, **options)
    await cluster.agreed(IDS)
    return [await cluster.one_on(cluster[name], IDS) for name in ("a", "b", "c")]


async def test_a_remote_call_is_like_a_local_one(three: Cluster) -> None:
    for id in await one_each(three):
        total = 0
        for member in three:
            total += 2
            assert await member.call(id, "add", 2) == total


async def test_messages_from_one_sender_keep_their_order(three: Cluster) -> None:
    _, there, _ = await one_each(three)
    for number in range(200):
        await three["a"].ask("send", ids=[there], message=number)
    assert await three["a"].call(there, "heard") == [str(number) for number in range(200)]


async def test_everything_that_may_travel_arrives_as_it_was(three: Cluster) -> None:
    for id in await one_each(three):
        assert await three["a"].ask("echo_everything", id=id) is True


async def test_an_actor_function_answers_through_the_ref_it_was_sent(three: Cluster) -> None:
    mine, _, _ = await one_each(three)
    echoers = many(12, "echoer")
    await three.started(three["a"], echoers, actor="echoer")
    pids = await three.pids(echoers)
    there = next(id for id, pid in pids.items() if "<b#" in pid)

    await three["c"].call(mine, "tell", there, "one")
    await three["c"].call(mine, "tell", there, "two")

    async def answered() -> bool:
        found: list[str] = await three["c"].call(mine, "heard")
        return found == ["[1, 'one']", "[2, 'two']"]

    await until(answered, "both answers arrive, in order")


async def test_a_refusal_arrives_as_its_own_type_and_the_actor_lives_on(three: Cluster) -> None:
    for id in await one_each(three):
        before = await three["a"].call(id, "about")
        error = await three["a"].error_of("call", id=id, method="refuse", args=["tea", 3])
        assert (error.type, error.details["args"]) == ("OutOfStock", ["tea", 3])
        assert await three["a"].call(id, "about") == before


@pytest.mark.parametrize(
    ("kind", "cause"), [("ValueError", "ValueError"), ("KeyError", "KeyError"), ("Broken", "RemoteFailure")]
)
async def test_a_crash_is_told_with_its_cause(three: Cluster, kind: str, cause: str) -> None:
    _, there, _ = await one_each(three)
    before = (await three.pids(IDS))[there]

    error = await three["a"].error_of("call", id=there, method="crash", args=[kind, "no room"])

    assert error.type == "ActorCrashed"
    assert error.cause is not None
    assert error.cause.type == cause
    assert "no room" in error.cause.text
    if cause == kind:
        assert error.cause.details["args"] == ["no room"]
    if cause == "RemoteFailure":
        assert error.cause.details["type_name"].endswith("Broken")
    await three.agreed(IDS, gone=[before])
    assert (await three["a"].call(there, "about"))["reason"] == "restart"


async def test_what_is_wrong_with_a_call_is_said_and_harms_nobody(three: Cluster) -> None:
    for id in await one_each(three):
        before = await three["a"].call(id, "about")
        assert (await three["a"].error_of("call", id=id, method="fly")).type == "NoSuchMethod"
        assert (await three["a"].error_of("call", id=id, method="_label")).type == "NoSuchMethod"
        assert (await three["a"].error_of("call", id=id, method="on_stop", args=["x"])).type == "NoSuchMethod"
        assert (await three["a"].error_of("call", id=id, method="add", args=[1, 2, 3])).type == "TypeError"
        assert await three["a"].call(id, "about") == before
    assert (await three["a"].error_of("call", id="nobody", method="get")).type == "NoSuchActor"


async def test_what_cannot_travel_is_refused_where_it_was_said(three: Cluster) -> None:
    _, there, _ = await one_each(three)
    before = await three["a"].call(there, "about")

    argument = await three["a"].error_of("call_with_lock", id=there)
    assert argument.type == "NotSerializable"
    assert "lock" in argument.text
    result = await three["a"].error_of("call", id=there, method="lock")
    assert result.type == "NotSerializable"
    assert "lock" in result.text

    assert await three["a"].call(there, "about") == before


async def test_a_call_that_would_wait_for_itself_is_a_deadlock(three: Cluster) -> None:
    x, y, z = await one_each(three)

    there_and_back = await three["a"].call(x, "ask", y, "outcome", x, "get")
    around = await three["c"].call(x, "ask", y, "ask", z, "outcome", x, "get")
    itself = await three["b"].call(x, "outcome", x, "get")

    assert [there_and_back[0], around[0], itself[0]] == ["Deadlock"] * 3
    assert await three["a"].call(x, "ask", y, "outcome", z, "get") == ["ok", 0]


async def test_a_call_that_is_given_up_before_it_began_is_withdrawn(three: Cluster) -> None:
    _, there, _ = await one_each(three)
    await three["a"].ask("cast", ids=[there], method="hold", args=["busy"])
    await three["b"].holding("busy")

    error = await three["a"].error_of("call", id=there, method="add", args=[1], patience=0.3)

    assert error.type == "TooSlowError"
    await three["b"].ask("open_gate", name="busy")
    assert await three["a"].call(there, "get") == 0


async def test_the_deadline_travels_with_the_call(cluster: Cluster) -> None:
    a, b, _c = await cluster.start("a", "b", "c")
    _, there, _ = await one_each(cluster)
    await cluster["c"].ask("cast", ids=[there], method="hold", args=["busy"])
    await b.holding("busy")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(a.error_of, "call", id=there, method="add", args=[1], patience=0.7))

        async def waits() -> bool:
            return (await a.ask("held")) == [] and trio.current_time() > soon

        soon = trio.current_time() + 0.3
        await until(waits, "the call is on its way")
        frozen = a.freeze()  # now it can tell nobody that it has given up
        await until(lambda: clock() > frozen + 1.0, "its deadline passes")
        await b.ask("open_gate", name="busy")
        assert await cluster["c"].call(there, "get") == 0
        a.thaw()
    assert await a.call(there, "get") == 0, "it was begun after its deadline"


async def downs_of(member: Member, watcher: str, count: int) -> list[list[str]]:
    """The `Down` messages that the watcher has got, once there are so many."""

    async def enough() -> bool:
        return len(await member.call(watcher, "downs")) >= count

    await until(enough, f"{watcher} gets {count} Down")
    found: list[list[str]] = await member.call(watcher, "downs")
    return found


async def test_a_monitor_tells_once_how_the_other_ended(three: Cluster) -> None:
    watchers = await one_each(three)
    for reason, restart, end in (
        ("crash", "permanent", "crash"),
        ("normal", "transient", "finish"),
        ("", "permanent", ""),
    ):
        target = f"target-{reason or 'stopped'}"
        await three.started(three["a"], [target], spec={"restart": restart})
        pid = (await three.pids([target]))[target]
        heard = [len(await three["c"].call(watcher, "downs")) for watcher in watchers]
        for watcher in watchers:
            assert await three["c"].call(watcher, "watch", target) == pid
            # A call on the same road comes after the watch: now it is known there.
            assert await three["c"].call(watcher, "ask", target, "get") is not None

        if end:
            await three["b"].ask("cast", ids=[target], method=end)
        else:
            await three["b"].ask("stop", ids=[target])

        for watcher, before in zip(watchers, heard, strict=True):
            found = (await downs_of(three["c"], watcher, before + 1))[before:]
            assert [down[0] for down in found] == [pid]
            assert reason in found[0][1]
    wanted = [*IDS, "target-crash"]
    await three.agreed(wanted)
    assert [len(await three["a"].call(watcher, "downs")) for watcher in watchers] == [3, 3, 3]


async def test_a_monitor_tells_once_that_the_node_of_the_other_was_killed(cluster: Cluster) -> None:
    a, b, _c = await cluster.start("a", "b", "c")
    mine, there, other = await one_each(cluster)
    pid = (await cluster.pids(IDS))[there]
    for watcher in (mine, other):
        assert await a.call(watcher, "watch", there) == pid
        assert await a.call(watcher, "watch", there) == pid  # a second monitor is another one

    b.kill()

    for watcher in (mine, other):
        assert [down[0] for down in await downs_of(a, watcher, 2)] == [pid, pid]
    await cluster.agreed(IDS)
    await cluster.restart(b)
    await cluster.met()
    await cluster.agreed(IDS)
    for watcher in (mine, other):
        assert len(await a.call(watcher, "downs")) == 2


async def test_calls_in_flight_end_when_the_node_is_killed(cluster: Cluster) -> None:
    a, b, _c = await cluster.start("a", "b", "c")
    await one_each(cluster)
    places = await cluster.places(IDS)
    there = [id for id in IDS if places[id] == b.name]
    errors: list[Reported] = []

    async def call(id: str) -> None:
        errors.append(await a.error_of("call", id=id, method="hold", args=[f"gate of {id}"]))

    async with trio.open_nursery() as nursery:
        for id in there:
            nursery.start_soon(call, id)
        for id in there:
            await b.holding(f"gate of {id}")
        killed = b.kill()
    took = clock() - killed

    assert took < 3
    assert [error.type for error in errors] == ["NodeDown"] * len(there)
    assert all(error.details["maybe_executed"] is True for error in errors)


async def test_a_call_in_a_failover_waits_for_its_child(cluster: Cluster) -> None:
    a, b, c = await cluster.start("a", "b", "c")
    _, there, _ = await one_each(cluster, actor="HeldAtFailover")

    b.kill()
    gate = f"failover of {there}"

    async def restarting() -> bool:
        held = await together(*(partial(member.ask, "held") for member in (a, c)))
        return any(gate in names for names in held)

    await until(restarting, "the child is started elsewhere")
    answers: list[Any] = []

    async def call(member: Member) -> None:
        answers.append(await member.call(there, "add", 5))

    async with trio.open_nursery() as nursery:
        for member in (a, c):
            nursery.start_soon(call, member)
        assert await a.ask("pidless", id=there) is not None
        assert answers == []
        for member in (a, c):
            for id in IDS:
                await member.ask("open_gate", name=f"failover of {id}")
    assert sorted(answers) == [5, 10]
    await cluster.agreed(IDS)
