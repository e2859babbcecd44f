"""Where the original fails, measured: each failure (the numbers are those of the measurements) is a scenario here, in which
hubkit must not fail. Real hubs, virtual time, the original's sizes.

Bounds are sums of the defaults: a heartbeat each 1 s, silence of 4 s, half a beat of patience for a claim. What is noticed by
a broken link needs none of them.
"""

from __future__ import annotations

import pytest
import trio
from tests.sim.actors import Counter, Looping, Slow, Unstartable
from tests.sim.stage import BEAT, DOWN_AFTER, PATIENCE, boot, each_owner, pids, registries_agree, start
from tests.sim.test_copies import Ledger

import hubkit
from hubkit import events
from hubkit.errors import ActorCrashed, NoSuchActor, StartFailed
from hubkit.strategies import HotSwap, Replication
from hubkit.testing import (
    Simulation,
    no_acked_message_lost,
    no_lost_child,
    registry_converges,
    simulated,
    single_owner,
)

#: What a side, or whoever is left, needs until every child runs: silence shows in 4 s, at the latest with the next beat; then a
#: claim is acknowledged, or patience ends. (A dead process is refused at its port: that needs no silence, and no beat.)
TAKEN_OVER = DOWN_AFTER + BEAT + PATIENCE
#: After a heal, until all agree: the dialers wait at most 2 s between two tries.
HEALED = 2.0 + PATIENCE

PARTED = (no_lost_child(within=TAKEN_OVER), registry_converges(within=10.0))
#: Without cuts and pauses, no child may ever have two owners.
EXACT = (*PARTED, single_owner(0.0))


async def count_up(hub: hubkit.Hub, children: list[str], times: int = 1) -> None:
    """Give these children a state."""
    for child in children:
        for _ in range(times):
            await hub.ref(child, Counter).call(Counter.add)


async def values(hub: hubkit.Hub, children: list[str]) -> list[int]:
    """Their states."""
    return [(await hub.ref(child, Counter).call(Counter.about))["value"] for child in children]


@pytest.mark.parametrize("silent", [False, True])
@simulated(seeds=2, checkers=EXACT)
async def test_1_two_of_five_nodes_die_at_once_and_none_of_a_thousand_children_is_lost(
    sim: Simulation, silent: bool
) -> None:
    hubs = await boot(sim, "abcde")
    await start(sim, hubs[0], 1000)
    before = each_owner(hubs[2])
    sim.crash("a", silent=silent)
    sim.crash("d", silent=silent)
    await sim.settled(within=TAKEN_OVER if silent else PATIENCE)
    sim.check()
    assert len(registries_agree(sim)) == 1000
    after = each_owner(hubs[2])
    assert all(after[child] == node for child, node in before.items() if node in "bce")


@simulated(seeds=3, checkers=EXACT)
async def test_2_a_child_whose_start_raises_harms_no_sibling(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await start(sim, a, 100)
    children = sorted(pids(a))
    await count_up(a, children)
    before = registries_agree(sim)
    for hub in (a, b):
        for number in range(10):
            with pytest.raises(StartFailed) as caught:
                await hub.start_child(hubkit.child(f"bad{number}", Unstartable))
            assert isinstance(caught.value.__cause__, LookupError)
    await sim.settled(within=PATIENCE)
    assert registries_agree(sim) == before
    assert await values(b, children) == [1] * 100
    sim.check()


@simulated(seeds=3, checkers=EXACT)
async def test_3_a_temporary_child_that_crashes_is_gone_alone(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await start(sim, a, 100)
    children = sorted(pids(a))
    await count_up(a, children)
    before = registries_agree(sim)
    ref = await a.start_child(hubkit.ChildSpec("brief", Counter, restart="temporary"))
    with pytest.raises(ActorCrashed):
        await ref.call(Counter.fail)
    with pytest.raises(NoSuchActor):
        await ref.call(Counter.add)
    await sim.settled(within=PATIENCE)
    assert registries_agree(sim) == before
    await sim.sleep(30)
    assert registries_agree(sim) == before  # nobody has started it again
    assert await values(b, children) == [1] * 100
    sim.check()


@pytest.mark.parametrize("early", [False, True])
@simulated(seeds=3, checkers=EXACT)
async def test_4_a_crash_loop_of_one_child_leaves_its_siblings_state_and_pids_alone(
    sim: Simulation, early: bool
) -> None:
    a, b = await boot(sim, "ab", max_restarts=100, max_seconds=4.0)
    await start(sim, a, 100)
    children = sorted(pids(a))
    await count_up(a, children)
    before = pids(a)
    parked: list[str] = []
    for hub in (a, b):
        hub.on(events.ChildFailed, lambda event: parked.append(event.child))
    if early:  # it fails before anybody has heard of it, again and again
        for _ in range(100):
            with pytest.raises(StartFailed):
                await a.start_child(hubkit.child("loop", Unstartable))
    else:
        await b.start_child(hubkit.child("loop", Looping))
        await sim.sleep(10.0)
    assert set(parked) == {"loop"}  # not given up: it is tried again now and then
    after = pids(b)
    after.pop("loop", None)
    assert after == before
    assert await values(b, children) == [1] * 100
    await sim.settled(within=PATIENCE)
    sim.check()


@simulated(seeds=2, checkers=EXACT)
async def test_5_after_150_children_were_killed_at_once_all_registries_are_exact(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await start(sim, a, 1000)
    before = pids(a)
    killed = sim.random.sample(sorted(before), 150)
    for child in killed:
        a.ref(child, Counter).cast_nowait(Counter.fail)
    await sim.sleep(0.1)
    await sim.settled(within=0.4)
    after = registries_agree(sim)
    assert {child for child in before if before[child] != after[child]} == set(killed)
    assert pids(b) == after
    sim.check()


@simulated(seeds=3, checkers=PARTED)
async def test_6_and_7_each_side_of_a_split_runs_all_and_after_the_heal_all_agree(sim: Simulation) -> None:
    hubs = await boot(sim, "abcde")
    await start(sim, hubs[0], 500)
    before = each_owner(hubs[0])
    terms = {child: run.term for child, runs in sim._world.running("shop").items() for run in runs}
    sim.partition({*"abc"}, {*"de"})
    await sim.sleep(TAKEN_OVER)
    for side in ("abc", "de"):
        views = [each_owner(sim.hub(node)) for node in side]
        assert all(view == views[0] for view in views)
        assert len(views[0]) == 500
        assert set(views[0].values()) == set(side)
    await sim.settled(within=0.0)
    await sim.sleep(30)
    sim.heal()
    healed = sim.now
    await sim.settled(within=HEALED)
    sim.note(f"agreed {sim.now - healed:.3f} s after the heal")
    sim.check()
    registries_agree(sim)
    # Which node owns a child follows from its id and from who is there: the same as before, and with every seed.
    assert each_owner(hubs[0]) == before
    # And by the fencing token, each owner is a later one than before, unless it has been the owner all the time.
    for child, runs in sim._world.running("shop").items():
        assert len(runs) == 1
        assert runs[0].term >= terms[child]


def test_7_of_two_copies_that_meet_the_one_of_the_lesser_token_stops() -> None:
    """Whatever the seed: the rule is (term, node)."""
    losers = []

    async def main(sim: Simulation) -> None:
        hubs = await boot(sim, "abc")
        await start(sim, hubs[0], 30)
        sim.partition({"a"}, {"b", "c"})
        await sim.sleep(20)
        copies = {child: (sim.hub("a").pid(child), sim.hub("b").pid(child)) for child in sorted(pids(hubs[0]))}
        terms = {run.pid: run.term for runs in sim._world.running("shop").values() for run in runs}
        stopped: dict[str, str] = {}
        for hub in hubs:
            hub.on(
                events.ChildStopped,
                lambda event: stopped.setdefault(event.child, event.pid.node) if event.reason == "conflict" else None,
            )
        sim.heal()
        await sim.settled(within=10)
        for child, pair in copies.items():
            token, loser = min((terms[pid], pid.node) for pid in pair if pid is not None)
            assert stopped[child] == loser, (child, token)
        losers.append(sorted(stopped.items()))
        sim.check()

    for seed in range(3):
        Simulation.run(main, seed, checkers=PARTED)
    assert losers[0] == losers[1] == losers[2]


@pytest.mark.parametrize("handover", [False, True])
@simulated(seeds=2, checkers=EXACT)
async def test_8_after_a_hot_move_no_old_copy_is_left(sim: Simulation, handover: bool) -> None:
    """The original left 213 to 366 of the children running twice, where nothing was handed over."""
    hot = {"migration": HotSwap(handover=handover)}
    hubs = [await sim.start_hub("shop", node=name, **hot) for name in "ab"]
    await start(sim, hubs[0], 500)
    await sim.start_hub("shop", node="c", **hot)
    await sim.settled(within=5)
    sim.check()
    assert len(registries_agree(sim)) == 500
    households = [hub._household_ for hub in (*hubs, sim.hub("c"))]
    assert sum(0 if household is None else len(household.keepers) for household in households) == 500


@simulated(seeds=2, checkers=[*EXACT, no_acked_message_lost()])
async def test_9_a_confirmed_handover_costs_milliseconds_and_crashes_nobody(sim: Simulation) -> None:
    """The original took 5 s for each child, or crashed it."""
    hot = {"migration": HotSwap()}
    a = await sim.start_hub("shop", node="a", **hot)
    await start(sim, a, [hubkit.child(f"c{n}", Ledger) for n in range(100)])
    for child in a.children():
        await a.ref(child, Ledger).call(Ledger.add)
    restarts: list[events.ChildRestarted] = []
    a.on(events.ChildRestarted, restarts.append)
    sim.start_soon("shop", node="b", **hot)
    while not a.nodes():
        await sim.sleep(0.01)
    began = sim.now
    await sim.settled(within=10)
    assert sim.now - began < 2.5  # a newcomer is let in after a beat
    assert 0 < a.statistics().longest_pause < 0.1
    assert {(await a.ref(child, Ledger).call(Ledger.about))[0] for child in a.children()} == {1}
    assert not restarts


@simulated(seeds=2, checkers=[*PARTED, no_acked_message_lost()])
async def test_13_what_was_in_a_checkpoint_survives_a_kill_without_warning(sim: Simulation) -> None:
    hubs = {name: await sim.start_hub("shop", node=name, redundancy=Replication(2)) for name in "abc"}
    await start(sim, hubs["a"], [hubkit.child(f"c{n}", Ledger) for n in range(60)])
    await sim.settled(within=5)
    for child in hubs["a"].children():
        await hubs["a"].ref(child, Ledger).call(Ledger.keep)
    sim.crash("b")
    await sim.settled(within=TAKEN_OVER)
    about = [await hubs["a"].ref(child, Ledger).call(Ledger.about) for child in hubs["a"].children()]
    assert {value for value, *_ in about} == {1}


@simulated(seeds=2, checkers=EXACT)
async def test_10_a_stop_of_an_unknown_id_is_refused_at_once_and_says_why(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await start(sim, a, 10)
    began = sim.now
    with pytest.raises(NoSuchActor, match="no child 'nobody'"):
        await b.stop_child("nobody")
    result = await b.stop_children(["nobody", "no one"])
    assert isinstance(result.errors["no one"], NoSuchActor)
    assert sim.now == began
    sim.check()


@simulated(seeds=2, checkers=[registry_converges(within=10.0), single_owner(0.0)])
async def test_11_a_start_that_takes_seven_seconds_blocks_nobody_else(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    took: dict[str, float] = {}

    async def timed(child: hubkit.ChildSpec) -> None:
        began = sim.now
        await a.start_child(child)
        took[child.id] = sim.now - began

    async with trio.open_nursery() as nursery:
        for number in range(4):  # some of them on each node
            nursery.start_soon(timed, hubkit.child(f"slow{number}", Slow, 7.0))
        await sim.sleep(0.1)
        async with trio.open_nursery() as quick:
            for number in range(100):
                quick.start_soon(timed, hubkit.child(f"c{number}", Counter))
        await count_up(b, ["c0", "c1", "c99"])
    assert {node for (pid,) in pids(a).values() for node in [pid.node]} == {"a", "b"}
    assert max(seconds for child, seconds in took.items() if child.startswith("c")) < 0.3
    assert all(7.0 <= took[f"slow{number}"] < 7.5 for number in range(4))
    await sim.settled(within=PATIENCE)
    sim.check()


@simulated(seeds=4, checkers=PARTED)
async def test_12_a_silent_node_is_noticed_within_seconds(sim: Simulation) -> None:
    a, b, _ = await boot(sim, "abc")
    await start(sim, a, 100)
    noticed: dict[str, float] = {}
    await sim.sleep(sim.random.random() * BEAT)
    began = sim.now

    def notice(hub: hubkit.Hub) -> None:
        hub.on(events.NodeSuspected, lambda _: noticed.setdefault(hub.node.name, sim.now - began))

    notice(a)
    notice(b)
    sim.pause("c")
    # its last word may be a beat old when it stops; silence is looked for once a beat
    await sim.sleep(DOWN_AFTER + BEAT)
    assert set(noticed) == {"a", "b"}
    assert all(DOWN_AFTER - BEAT <= seconds <= DOWN_AFTER + BEAT for seconds in noticed.values())
    await sim.settled(within=PATIENCE)
    assert set(each_owner(a).values()) == {"a", "b"}
    sim.check()
    sim.resume("c")
    await sim.settled(within=5)
    assert set(each_owner(a).values()) == {"a", "b", "c"}
    sim.check()
