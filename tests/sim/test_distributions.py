"""The distributions in whole hubs: where children are put, what moves when nodes come and go, and who must agree."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.actors import Counter
from tests.sim.stage import BEAT, DOWN_AFTER, PATIENCE, boot, counters, each_owner, pids, registries_agree, start
from tests.sim.test_plans import examples, seeds, tame

import hubkit
from hubkit.errors import ConfigurationError, StartFailed
from hubkit.strategies import CentralizedLoadBalancer, ConsistentHashing, Distribution, Guided, NodeView
from hubkit.testing import FaultPlan, Simulation, no_lost_child, registry_converges, simulated, single_owner
from hubkit.testing.strategies import fault_plans

TAKEN_OVER = DOWN_AFTER + BEAT + PATIENCE
PARTED = (no_lost_child(within=14.0), registry_converges(within=12.0))
EXACT = (*PARTED, single_owner(0.0))
BALANCED: dict[str, Any] = {"distribution": CentralizedLoadBalancer()}
GUIDED: dict[str, Any] = {"distribution": Guided()}


def load(hub: hubkit.Hub) -> Tally[str]:
    """How many children each node has."""
    return Tally(each_owner(hub).values())


# -- weights -----------------------------------------------------------------------------------------------------------


@simulated(seeds=2, checkers=EXACT)
async def test_a_node_of_twice_the_weight_gets_twice_the_children(sim: Simulation) -> None:
    for name, weight in (("a", 1), ("b", 1), ("c", 2)):
        await sim.start_hub("shop", node=name, weight=weight)
    await start(sim, sim.hub("a"), 1000)
    shares = load(sim.hub("b"))
    assert 420 < shares["c"] < 580
    assert shares["a"] + shares["b"] + shares["c"] == 1000
    before = each_owner(sim.hub("a"))
    planned = {move.child_id for move in sim.hub("b").plan(add=[NodeView("d", weight=4.0)])}
    await sim.start_hub("shop", node="d", weight=4.0)
    await sim.settled(within=5)
    after = each_owner(sim.hub("a"))
    moved = {child for child in after if after[child] != before[child]}
    assert {after[child] for child in moved} == {"d"}
    assert moved == planned
    assert 420 < len(moved) < 580
    sim.check()


@simulated(seeds=1, checkers=EXACT)
async def test_a_node_that_comes_back_with_another_weight_moves_only_its_share(sim: Simulation) -> None:
    a, b, _ = await boot(sim, "abc")
    await start(sim, a, 300)
    before = each_owner(a)
    planned = {(move.child_id, move.target) for move in b.plan(add=[NodeView("c", weight=3.0)])}
    await sim.stop("c")
    await sim.start_hub("shop", node="c", weight=3.0)
    await sim.settled(within=10)
    after = each_owner(a)
    assert {(child, "c") for child in after if after[child] != before[child]} == planned
    assert 60 < len(planned) < 140
    sim.check()


# -- labels, together, apart -------------------------------------------------------------------------------------------


@simulated(seeds=2, checkers=EXACT)
async def test_labels_choose_the_nodes_and_a_child_without_one_is_not_waited_for(sim: Simulation) -> None:
    for name, zone in (("a", "eu"), ("b", "eu"), ("c", "us")):
        await sim.start_hub("shop", node=name, labels={"zone": zone})
    a = sim.hub("a")
    eu, us, mars = (hubkit.Placement(labels={"zone": zone}) for zone in ("eu", "us", "mars"))
    assert (await a.start_children(counters(40), placement=eu)).status == "ok"
    assert set(each_owner(a).values()) == {"a", "b"}
    ref = await a.start_child(hubkit.child("u", Counter), placement=us)
    assert ref.pid is not None
    assert ref.pid.node == "c"
    with pytest.raises(StartFailed, match="no node of hub 'shop' that knows its actor has the labels zone=mars"):
        await a.start_child(hubkit.child("m", Counter), placement=mars)
    assert a.lookup("m") is None
    with pytest.raises(ConfigurationError, match="does not have the labels that child 'u' needs: zone=us"):
        await a.move("u", "a")
    assert [(m.child_id, m.source, m.target) for m in a.plan(remove=["c"])] == [("u", "c", None)]
    assert a.plan(add=[NodeView("d", labels={"zone": "us"})], remove=["c"]) == [hubkit.Move("u", "c", "d")]
    assert a.plan(add=["d"], remove=["c"]) == [hubkit.Move("u", "c", None)]
    assert a.explain("u").because == ("needs the labels zone=us",)
    sim.crash("c")
    await sim.sleep(TAKEN_OVER)
    explanation = a.explain("u")
    assert explanation.rule == "unplaced"
    assert explanation.text == "no ready node that knows its actor has the labels zone=us"
    assert a.pid("u") is None
    sim.restart("c")
    await sim.settled(within=10)
    assert each_owner(a)["u"] == "c"
    sim.check()


@simulated(seeds=2, checkers=EXACT)
@pytest.mark.parametrize("distribution", [ConsistentHashing(), CentralizedLoadBalancer()])
async def test_keys_hold_children_together_and_apart(sim: Simulation, distribution: Distribution) -> None:
    a, *_ = await boot(sim, "abcd", distribution=distribution)
    placement = {f"c{n}": hubkit.Placement(together=f"order-{n % 5}") for n in range(20)}
    placement |= {f"s{n}": hubkit.Placement(apart="shard", slot=n) for n in range(8)}
    specs = counters(20) + [hubkit.child(f"s{n}", Counter) for n in range(8)]
    assert (await a.start_children(specs, placement=placement)).status == "ok"

    def check() -> None:
        owners = each_owner(a)
        for key in range(5):
            assert len({owners[f"c{n}"] for n in range(20) if n % 5 == key}) == 1
        ready = len(a.nodes(include_local=True))
        assert len({owners[f"s{n}"] for n in range(ready)}) == ready

    check()
    sim.crash("c")
    await sim.settled(within=TAKEN_OVER)
    check()
    sim.restart("c")
    await sim.settled(within=10)
    check()
    sim.check()


@simulated(seeds=2, checkers=EXACT)
async def test_a_young_node_counts_the_slots_as_those_do_that_have_seen_others_leave(sim: Simulation) -> None:
    a, *_ = await boot(sim, "abcd")
    placement = {f"s{n}": hubkit.Placement(apart="shard", slot=n) for n in range(6)}
    assert (await a.start_children([hubkit.child(id, Counter) for id in placement], placement=placement)).status == "ok"
    await sim.stop("d")
    await sim.settled(within=10)
    await boot(sim, "e")  # it has never heard of d
    await sim.settled(within=10)
    assert set(each_owner(a).values()) == set("abce")
    sim.check()


# -- Guided ------------------------------------------------------------------------------------------------------------


@simulated(seeds=2, checkers=EXACT)
async def test_guided_children_stay_put_wait_for_their_node_and_come_back_with_it(sim: Simulation) -> None:
    a, _, c = await boot(sim, "abc", **GUIDED)
    nodes = {f"c{n}": ["abc"[n % 3]] for n in range(30)}
    assert (await c.start_children(counters(30), nodes=nodes)).status == "ok"
    await sim.settled(within=1)
    owners = each_owner(a)
    assert owners == {child: names[0] for child, names in nodes.items()}
    assert (await a.start_children([hubkit.child("x", Counter)], nodes=["b"])).node("x") == "b"
    await sim.start_hub("shop", node="d", **GUIDED)
    await sim.settled(within=5)
    assert {**each_owner(a), "x": "b"} == {**owners, "x": "b"}  # nothing moves to a newcomer
    sim.crash("b")
    await sim.sleep(60)
    assert a.pid("c1") is None
    assert a.explain("c1").text == "none of the nodes that it was put on (b) is a ready node that can start it"
    assert {child for child, found in pids(a).items() if not found} == {
        *(c for c, o in owners.items() if o == "b"),
        "x",
    }
    with pytest.raises(ConfigurationError, match="'b', which is no member"):
        await a.start_child(hubkit.child("y", Counter), nodes=["b"])  # it is proven dead, and so no member any more
    await a.move("c1", "d")
    sim.restart("b")
    await sim.settled(within=10)
    assert each_owner(a) == {**owners, "x": "b", "c1": "d"}
    await a.move("c1", "a")
    await sim.settled(within=1)
    assert each_owner(sim.hub("b"))["c1"] == "a"
    await sim.stop("c")
    await sim.sleep(5)
    assert a.pid("c2") is None
    sim.restart("c")
    await sim.settled(within=10)
    assert each_owner(a)["c2"] == "c"
    sim.check()


@simulated(seeds=1, checkers=PARTED)
async def test_a_guided_start_on_a_node_that_is_silent_fails_and_says_so(sim: Simulation) -> None:
    a, *_ = await boot(sim, "abc", **GUIDED)
    sim.pause("b")
    await sim.sleep(TAKEN_OVER)
    with pytest.raises(StartFailed, match=r"none of the nodes that it was put on \(b\) is a node of hub 'shop'"):
        await a.start_child(hubkit.child("x", Counter), nodes=["b"])
    sim.resume("b")
    await sim.settled(within=10)
    await a.start_child(hubkit.child("x", Counter), nodes=["b"])
    sim.check()


@simulated(seeds=1, checkers=EXACT)
async def test_guided_needs_nodes_that_are_right(sim: Simulation) -> None:
    a, _ = await boot(sim, "ab", **GUIDED)
    x, y = hubkit.child("x", Counter), hubkit.child("y", Counter)
    wrong: list[tuple[Any, str]] = [
        (None, "needs nodes=, the names of the one node"),
        ([], "must name one node"),
        (["a", "b"], "must name one node, as many as there are copies of a child; not 2"),
        (["a", "a"], "names a node twice"),
        (["z"], r"names 'z', which is no member of the hub \(a, b\)"),
        ("a", "must be a list of node names"),
        (7, "must be a list of node names"),
        ([7], "each of nodes must be a non-empty str"),
        ({"x": ["a"]}, "says nothing of child 'y'"),
        ({"x": ["a"], "y": ["b"], "z": ["a"]}, "names 'z', which is not among the specs"),
        ({"x": ["a"], "y": "b"}, "nodes of child 'y' must be a list"),
        ({"x": ["a"], "y": ["a", "b"]}, "nodes of child 'y' must name one node"),
    ]
    for nodes, text in wrong:
        with pytest.raises(ConfigurationError, match=text):
            await a.start_children([x, y], nodes=nodes)
        with pytest.raises(ConfigurationError, match=text):
            a.start_children_soon([x, y], nodes=nodes)
    with pytest.raises(ConfigurationError, match="together and apart mean nothing to Guided"):
        await a.start_child(x, nodes=["a"], placement=hubkit.Placement(together="k"))
    with pytest.raises(ConfigurationError, match="children= says nothing of nodes"):
        hubkit.Hub("other", children=[x], **GUIDED)
    assert a.children() == {}


# -- the balancer ------------------------------------------------------------------------------------------------------


@simulated(seeds=2, checkers=EXACT)
async def test_the_balancer_spreads_evenly_shuffles_nothing_and_redistributes_what_is_left(sim: Simulation) -> None:
    a, b, c = await boot(sim, "abc", **BALANCED)
    await start(sim, b, 90)
    assert load(a) == {"a": 30, "b": 30, "c": 30}
    before = each_owner(a)
    await sim.start_hub("shop", node="d", **BALANCED)
    await sim.settled(within=5)
    assert each_owner(c) == before
    more = [hubkit.child(f"m{n}", Counter) for n in range(30)]
    await start(sim, c, more)
    assert load(a) == {"a": 30, "b": 30, "c": 30, "d": 30}
    before = each_owner(a)
    planned = a.plan(remove=["b"])
    assert Tally(move.target for move in planned) == {"a": 10, "c": 10, "d": 10}
    sim.crash("b")
    await sim.settled(within=TAKEN_OVER)
    assert load(a) == {"a": 40, "c": 40, "d": 40}
    after = each_owner(a)
    assert {child: after[child] for child in after if before[child] != "b"} == {
        child: node for child, node in before.items() if node != "b"
    }
    sim.restart("b")
    await sim.settled(within=10)
    assert each_owner(a) == after
    await sim.stop("a")
    await sim.settled(within=10)
    assert load(c)["b"] > 35
    assert sum(load(c).values()) == 120
    sim.check()


@pytest.mark.parametrize("silent", [False, True])
@simulated(seeds=3, checkers=PARTED)
async def test_while_the_balancer_dies_children_that_start_lose_no_place(sim: Simulation, silent: bool) -> None:
    hubs = await boot(sim, "abcd", **BALANCED)
    outcomes: list[hubkit.StartResult] = []

    async def begin(hub: hubkit.Hub, prefix: str) -> None:
        specs = [hubkit.child(f"{prefix}{n}", Counter) for n in range(50)]
        outcomes.append(await hub.start_children(specs))

    async with trio.open_nursery() as nursery:
        for hub in hubs[1:]:
            nursery.start_soon(begin, hub, hub.node.name)
        await sim.sleep(sim.random.random() * 0.01)
        sim.crash("a", silent=silent)
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3
    await sim.settled(within=TAKEN_OVER)
    shares = load(hubs[1])
    assert sum(shares.values()) == 150
    assert max(shares.values()) <= 1.25 * 50
    sim.check()


@simulated(seeds=3, checkers=PARTED)
async def test_while_the_balancer_is_cut_off_children_start_on_both_sides(sim: Simulation) -> None:
    hubs = await boot(sim, "abcde", **BALANCED)
    await start(sim, hubs[4], 50)
    sim.partition({"a"}, {*"bcde"})
    await sim.sleep(sim.random.random() * TAKEN_OVER)
    specs = [hubkit.child(f"m{n}", Counter) for n in range(40)]
    with trio.fail_after(TAKEN_OVER + 5):
        assert (await hubs[2].start_children(specs)).status == "ok"
    await sim.sleep(TAKEN_OVER)
    shares = load(hubs[2])
    assert sum(shares.values()) == 90
    assert set(shares) == {*"bcde"}
    sim.heal()
    await sim.settled(within=10)
    assert len(registries_agree(sim)) == 90
    sim.check()


@simulated(seeds=2, checkers=PARTED)
async def test_a_child_that_was_moved_by_hand_stays_there_under_the_balancer(sim: Simulation) -> None:
    a, b, _ = await boot(sim, "abc", **BALANCED)
    await start(sim, a, 9)
    child = next(child for child, node in each_owner(a).items() if node == "a")
    await b.move(child, "c")
    await sim.settled(within=10)
    assert each_owner(a)[child] == "c"
    assert a.explain(child).because == ("put on c",)
    await sim.sleep(30)
    assert each_owner(a)[child] == "c"
    sim.check()


@simulated(seeds=1)
async def test_a_quiet_hub_with_a_balancer_stays_quiet(sim: Simulation) -> None:
    a, *_ = await boot(sim, "abc", **BALANCED)
    await start(sim, a, 30)
    await sim.sleep(30)
    version = dict(a._driver.core._store.version)
    await sim.sleep(120)
    assert dict(a._driver.core._store.version) == version
    assert {row.load for row in a._driver.core.nodes.values()} == {0.0}


@simulated(seeds=3, checkers=EXACT)
async def test_a_move_is_over_when_the_registry_names_the_new_node_alone(sim: Simulation) -> None:
    a, *_ = await boot(sim, "abc")
    await start(sim, a, 12)
    child = next(child for child, node in each_owner(a).items() if node == "b")
    sim.link("a", "b", latency=0.2)  # that it runs on c is known before that it has stopped on b
    await a.move(child, "c")
    assert [pid.node for pid in a.pids(child)] == ["c"]
    sim.check()


# -- all of them, under plans of disasters -----------------------------------------------------------------------------


@examples(8)
@given(
    plan=fault_plans(range(2, 5), 30.0, max_faults=6).map(tame),
    seed=seeds,
    distribution=st.sampled_from([ConsistentHashing(), CentralizedLoadBalancer(), Guided()]),
    weighted=st.booleans(),
)
def test_after_any_plan_nothing_is_lost_whatever_the_distribution(
    plan: FaultPlan, seed: int, distribution: Distribution, weighted: bool
) -> None:
    async def main(sim: Simulation) -> None:
        names = plan.founders
        for number, name in enumerate(names):
            sim.start_soon("shop", node=name, distribution=distribution, weight=1.0 + number * weighted)
        await sim.settled(within=30)
        nodes = {f"c{n}": [names[n % len(names)]] for n in range(12)}
        guided: dict[str, Any] = {"nodes": nodes} if isinstance(distribution, Guided) else {}
        assert (await sim.hub(names[0]).start_children(counters(12), **guided)).status == "ok"
        await sim.play()
        alive = [name for name in sim.nodes if sim.alive(name)]
        if not alive:
            return
        if not guided:
            await sim.settled(within=12.0)
        else:
            await sim.sleep(12.0)
            for name in alive:
                hub = sim.hub(name)
                for child, found in pids(hub).items():
                    there = nodes[child][0] in hub.nodes(include_local=True)
                    assert [pid.node for pid in found] == (nodes[child] if there else [])
        sim.check()

    Simulation.run(main, seed, plan=plan, checkers=PARTED, limit=20_000.0)


# -- hubs of other strategies do not mix -------------------------------------------------------------------------------


@simulated(seeds=2, checkers=EXACT)
async def test_a_node_with_another_strategy_is_refused_and_the_running_hub_is_unharmed(sim: Simulation) -> None:
    a, b = await boot(sim, "ab")
    await start(sim, a, 20)
    before = registries_agree(sim)
    with pytest.raises(ConfigurationError) as caught:
        await sim.start_hub("shop", node="c", **GUIDED)
    assert "distribution is ConsistentHashing() there and Guided() here" in str(caught.value)
    assert "hub 'shop' has other strategies on node" in str(caught.value)
    await sim.sleep(20)
    assert b.nodes(include_local=True) == ("a", "b")
    assert registries_agree(sim) == before
    await sim.start_hub("other", node="c", **GUIDED)  # it is the hub that was refused, not the node
    sim.check()


@simulated(seeds=3)
async def test_of_two_that_boot_with_different_strategies_one_is_refused(sim: Simulation) -> None:
    sim.start_soon("shop", node="a")
    sim.start_soon("shop", node="b", **BALANCED)
    refused = 0
    for name in "ab":
        try:
            await sim._world.hosts[name].life.opened("shop")  # type: ignore[union-attr]  # it lives
        except ConfigurationError:
            refused += 1
    assert refused == 1


@simulated(seeds=1)
async def test_two_hubs_of_different_strategies_that_run_already_stay_apart(sim: Simulation) -> None:
    await sim.start_hub("shop", node="a", join=[])
    await sim.start_hub("shop", node="b", join=[], **BALANCED)
    await sim.start_hub("mail", node="c")
    await sim.sleep(10)
    assert sim.hub("a").nodes() == ()
    assert sim.hub("b").nodes() == ()
