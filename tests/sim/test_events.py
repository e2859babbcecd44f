"""Every event, counted on every node of a hub of three: it is told at its moment, once, where it should be, nowhere else."""

from __future__ import annotations

from collections import Counter as Tally
from itertools import pairwise
from typing import Any

import pytest
from tests.sim.actors import Counter, Looping, Slow, Unstartable
from tests.sim.ears import LIFE, MEMBERSHIP, MOVES, NODES, REGISTRY, Ears, boot, on_each, pid_of

import hubkit
from hubkit import events
from hubkit.errors import StartFailed
from hubkit.strategies import Gossip, Guided
from hubkit.testing import Simulation, simulated

# -- nodes ------------------------------------------------------------------------------------------------------------------


@simulated(seeds=2)
async def test_a_node_that_joins_is_told_to_the_others_and_they_to_it(sim: Simulation) -> None:
    ears = Ears()
    await boot(sim, ears)
    for node in NODES:
        told = ears.all(*MEMBERSHIP)[node]
        for other in set(NODES) - {node}:
            assert [e for e in told if e.node == other] == [
                events.NodeJoining(other, hub="shop"),
                events.NodeJoined(other, hub="shop"),
            ]
        assert not [e for e in told if e.node == node]


@simulated(seeds=2)
async def test_a_node_that_leaves_is_told_twice_and_knows_itself(sim: Simulation) -> None:
    ears = Ears()
    await boot(sim, ears)
    ears.forget()
    await sim.stop("c")
    await sim.sleep(10)
    expected = [events.NodeLeaving("c", hub="shop"), events.NodeLeft("c", hub="shop")]
    assert ears.all(*MEMBERSHIP) == {"a": expected, "b": expected}
    assert ears.all(events.HubStopping) == {"c": [events.HubStopping("drain", hub="shop")]}


@pytest.mark.parametrize("silent", [False, True])
@simulated(seeds=2)
async def test_a_node_that_dies_is_suspected_and_gone_if_there_is_proof(sim: Simulation, silent: bool) -> None:
    ears = Ears()
    await boot(sim, ears)
    ears.forget()
    sim.crash("c", silent=silent)
    await sim.sleep(20)
    expected: list[events.Event] = [events.NodeSuspected("c", "silent" if silent else "dead", hub="shop")]
    if not silent:
        expected.append(events.NodeLeft("c", hub="shop"))
    assert {node: heard for node, heard in ears.all(*MEMBERSHIP).items() if node != "c"} == {
        "a": expected,
        "b": expected,
    }
    assert not ears.all(events.HubStopping)
    ears.forget()
    sim.restart("c")
    await sim.sleep(20)
    back = [events.NodeJoining("c", hub="shop"), events.NodeJoined("c", hub="shop")]
    again = [*([events.NodeLeft("c", hub="shop")] if silent else []), *back]
    for node in "ab":
        assert ears.all(*MEMBERSHIP)[node] == again


@simulated(seeds=2)
async def test_a_partition_is_told_on_both_sides_and_so_is_its_end(sim: Simulation) -> None:
    ears = Ears()
    await boot(sim, ears)
    ears.forget()
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(10)
    for node, others in (("a", "bc"), ("b", "a"), ("c", "a")):
        told = ears.all(*MEMBERSHIP)[node]
        assert sorted(told, key=lambda e: e.node) == [events.NodeSuspected(o, "silent", hub="shop") for o in others]
    ears.forget()
    sim.heal()
    await sim.settled(within=10)
    await sim.sleep(5)
    for node, others in (("a", "bc"), ("b", "a"), ("c", "a")):
        told = ears.all(*MEMBERSHIP)[node]
        assert sorted(told, key=lambda e: e.node) == [events.NodeJoined(o, hub="shop") for o in others]


@simulated(seeds=2)
async def test_every_change_of_the_ready_nodes_is_told_before_and_after_it_is_acted_on(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(12)])
    await sim.settled(within=5)
    ears.forget()
    before = {child: info.pids[0].node for child, info in hubs[0].children().items()}
    await sim.stop("c")
    await sim.settled(within=10)
    placement = ears.all(events.PlacementChanging, events.PlacementChanged)
    moved = tuple(sorted(child for child, node in before.items() if node == "c"))
    assert moved
    pair = [
        events.PlacementChanging(("a", "b"), hub="shop"),
        events.PlacementChanged(("a", "b"), moved, hub="shop"),
    ]
    assert placement == {"a": pair, "b": pair, "c": pair}


@simulated(seeds=2)
async def test_of_many_children_that_is_told_when_all_have_been_looked_at(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, "ab")
    await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(500)])
    await sim.settled(within=5)
    ears.forget()
    await sim.start_hub("shop", node="c", hooks=ears.on("c"))
    await sim.settled(within=10)
    for node in "abc":
        told = [e for e in ears.heard[node] if isinstance(e, events.PlacementChanging | events.PlacementChanged)]
        assert [type(e) for e in told[-2:]] == [events.PlacementChanging, events.PlacementChanged]
        assert all(type(one) is not type(other) for one, other in pairwise(told))
        assert told[-1].nodes == ("a", "b", "c")
    assert len(ears.all(events.PlacementChanged)["a"][-1].moved) == len(sim.hub("c").children("local"))


# -- children -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronization", [hubkit.strategies.PubSub(), Gossip(fanout=1)], ids=["PubSub", "Gossip"])
@simulated(seeds=2)
async def test_a_start_and_a_stop_are_told_where_it_runs_and_its_pid_everywhere(
    sim: Simulation, synchronization: Any
) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, synchronization=synchronization)
    ears.forget()
    await hubs[0].start_child(hubkit.child("x", Counter))
    await sim.settled(within=5)
    await sim.sleep(1)
    pid = pid_of(hubs[0])
    assert ears.all(*LIFE) == {
        pid.node: [
            events.ChildStarting("x", "start", hub="shop"),
            events.ChildStarted("x", pid, "start", hub="shop"),
        ]
    }
    assert ears.all(*REGISTRY) == on_each(events.ChildRegistered("x", pid, hub="shop"))
    assert ears.all(events.SettledChanged) == {
        node: [events.SettledChanged(False, hub="shop"), events.SettledChanged(True, hub="shop")] for node in NODES
    }
    ears.forget()
    await hubs[1].stop_child("x")
    await sim.settled(within=5)
    await sim.sleep(5)
    assert ears.all(*LIFE) == {pid.node: [events.ChildStopped("x", pid, "removed", hub="shop")]}
    assert ears.all(*REGISTRY) == on_each(events.ChildUnregistered("x", pid, hub="shop"))
    assert not ears.all(*MOVES, events.RoleChanged, events.ConflictResolved)


@simulated(seeds=2)
async def test_a_start_that_fails_is_told_where_it_failed(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    ears.forget()
    with pytest.raises(StartFailed):
        await hubs[0].start_child(hubkit.child("x", Unstartable))
    await sim.sleep(10)
    (told,) = ears.all(*LIFE).values()
    assert told[0] == events.ChildStarting("x", "start", hub="shop")
    assert [(type(e), e.child, e.error) for e in told[1:]] == [(events.ChildFailed, "x", "LookupError: no")]
    assert not ears.all(*REGISTRY)


@simulated(seeds=2)
async def test_a_failure_in_the_background_is_told_where_it_was_asked_for_too(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    ears.forget()
    hubs[0].start_children_soon([hubkit.child("x", Unstartable)])
    await sim.sleep(10)
    told = [(node, event.retry_in) for node, heard in ears.all(events.ChildFailed).items() for event in heard]
    assert len(told) == 2
    assert [node for node, retry_in in told if retry_in == float("inf")] == ["a"]


@simulated(seeds=2)
async def test_a_crash_is_told_where_it_ran_and_the_new_pid_everywhere(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    ref = await hubs[0].start_child(hubkit.child("x", Counter))
    await sim.settled(within=5)
    ears.forget()
    old = pid_of(hubs[0])
    await ref.cast(Counter.fail)
    await sim.sleep(2)
    new = pid_of(hubs[0])
    assert ears.all(*LIFE) == {
        old.node: [
            events.ChildStopped("x", old, "crash", hub="shop"),
            events.ChildStarting("x", "restart", hub="shop"),
            events.ChildRestarted("x", old, new, hub="shop"),
            events.ChildStarted("x", new, "restart", hub="shop"),
        ]
    }
    (restarted,) = ears.all(events.ChildRestarted)[old.node]
    assert isinstance(restarted.error, ValueError)
    changed = [events.ChildUnregistered("x", old, hub="shop"), events.ChildRegistered("x", new, hub="shop")]
    assert ears.all(*REGISTRY) == dict.fromkeys(NODES, changed)


@simulated(seeds=2)
async def test_each_parking_is_told_and_the_way_back_is_a_restart(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, max_restarts=2, max_seconds=5.0)
    await hubs[0].start_child(hubkit.child("x", Looping))
    await sim.sleep(6)
    await hubs[0].stop_child("x")
    (node,) = ears.all(*LIFE)
    tally = Tally(ears.names(node, *LIFE))
    assert tally["ChildFailed"] >= 2
    assert tally["ChildStarting"] == tally["ChildStarted"] == tally["ChildStopped"] == tally["ChildRestarted"] + 1
    story = ears.names(node, events.ChildStopped, events.ChildFailed, events.ChildStarting)
    for at, name in enumerate(story[:-1]):
        assert story[at + 1] == {"ChildFailed": "ChildStarting", "ChildStarting": "ChildStopped"}.get(
            name, story[at + 1]
        )
    pids = [event.pid for event in ears.heard[node] if isinstance(event, events.ChildStarted)]
    assert len(set(pids)) == len(pids)
    for other in NODES:
        told = ears.all(*REGISTRY)[other]
        registered = [e.pid for e in told if isinstance(e, events.ChildRegistered)]
        assert registered == [e.pid for e in told if isinstance(e, events.ChildUnregistered)]
        assert len(set(registered)) == len(registered)


@simulated(seeds=2)
async def test_what_has_failed_to_start_and_does_later_has_not_been_restarted(sim: Simulation) -> None:
    ears = Ears()
    gates = {"open": False}

    def prepare(spec: hubkit.ChildSpec, metadata: Any) -> Any:
        if not gates["open"]:
            raise LookupError("not now")
        return spec, metadata

    (hub,) = await boot(sim, ears, "a", prepare=prepare, children=[hubkit.child("x", Counter)])
    ears.forget()
    gates["open"] = True
    await sim.settled(within=10)
    await sim.sleep(10)
    assert ears.names("a", *LIFE) == ["ChildStarting", "ChildStarted"]
    assert ears.all(events.ChildStarted)["a"][0].reason == "start"
    assert (await hub.ref("x", Counter).call(Counter.about))["reason"] == "start"


@simulated(seeds=2)
async def test_a_failover_is_told_as_a_start_on_the_new_node_alone(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(9)])
    await sim.settled(within=5)
    child = next(child for child, info in hubs[0].children().items() if info.pids[0].node == "c")
    for other in hubs[0].children():
        if other != child:
            await hubs[0].stop_child(other)
    await sim.sleep(5)
    old = pid_of(hubs[0], child)
    ears.forget()
    sim.crash("c")
    await sim.settled(within=10)
    await sim.sleep(1)
    new = pid_of(hubs[0], child)
    assert ears.all(*LIFE) == {
        new.node: [
            events.ChildStarting(child, "failover", hub="shop"),
            events.ChildStarted(child, new, "failover", hub="shop"),
        ]
    }
    changed = [events.ChildUnregistered(child, old, hub="shop"), events.ChildRegistered(child, new, hub="shop")]
    assert ears.all(*REGISTRY) == {"a": changed, "b": changed}
    assert not ears.all(*MOVES)


# -- the hub ------------------------------------------------------------------------------------------------------------------


@simulated(seeds=2)
async def test_a_drain_by_hand_and_the_end_of_the_block_are_one_stop(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(9)])
    ears.forget()
    await hubs[2].drain()
    await hubs[2].drain()
    await sim.stop("c")
    await sim.settled(within=10)
    assert ears.all(events.HubStopping) == {"c": [events.HubStopping("drain", hub="shop")]}
    told = ears.all(*MOVES)
    assert {e.child for e in told["c"]} == {e.child for node in "ab" for e in told.get(node, ())}
    assert ears.names("c", events.HubStopping, events.ChildStopped)[0] == "HubStopping"


@simulated(seeds=2)
async def test_a_drain_that_takes_too_long_is_one_stop_as_well(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, "a", drain_timeout=1.0)
    await hubs[0].start_child(hubkit.child("x", Slow, 0.0))
    sim.start_soon("shop", node="b", hooks=ears.on("b"))
    await sim.sleep(0.0)
    await sim.stop("a")
    assert ears.all(events.HubStopping)["a"] == [events.HubStopping("drain", hub="shop")]


@simulated(seeds=2)
async def test_what_cannot_be_delivered_is_told_once(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears, distribution=Guided())
    ref = await hubs[0].start_child(hubkit.child("x", Unheeding), nodes=["b"])
    await sim.settled(within=5)
    ears.forget()
    await ref.send("hello")
    await sim.sleep(1)
    told = [(node, e.message) for node, heard in ears.all(events.DeadLetter).items() for e in heard]
    assert told == [("b", "hello")]


class Unheeding(hubkit.Actor):
    """Takes no plain messages."""


@simulated(seeds=2)
async def test_a_stream_that_is_read_slowly_marks_the_gap_on_its_node_alone(sim: Simulation) -> None:
    ears = Ears()
    hubs = await boot(sim, ears)
    async with hubs[0].events(events.ChildRegistered) as slow, hubs[1].events(events.ChildRegistered) as other:
        await hubs[0].start_children([hubkit.child(f"c{n}", Counter) for n in range(1100)])
        await sim.settled(within=5)
        first = [await anext(slow) for _ in range(1000)]
        assert not [e for e in first if isinstance(e, events.EventsLost)]
        assert await anext(slow) == events.EventsLost(100, hub="shop")
        await hubs[0].start_child(hubkit.child("late", Counter))
        event = await anext(slow)
        assert isinstance(event, events.ChildRegistered)
        assert event.child == "late"
        assert {type(await anext(other)) for _ in range(1000)} == {events.ChildRegistered}
    assert not ears.all(events.EventsLost)
