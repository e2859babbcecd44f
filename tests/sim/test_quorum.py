"""Whole hubs under a quorum: the side that has it goes on, the other stops everything and refuses; no child has two owners.

Bounds are made of the defaults of the strategies: a lease of 4 s, 5 s to stop, clocks right within one per cent.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.sim.actors import Counter
from tests.sim.stage import BEAT, each_owner, pids, registries_agree, start

import hubkit
from hubkit import events
from hubkit.errors import ConfigurationError, NoQuorum
from hubkit.strategies import DynamicQuorum, MajorityQuorum, StaticQuorum
from hubkit.testing import Simulation, simulated, single_owner

LEASE, STOP = 4.0, 5.0
WAIT = (LEASE + STOP) * 1.01 / 0.99
#: A new hub votes after `WAIT`; then a beat is acknowledged, and claims are.
FORMED = WAIT + 4 * BEAT
#: What a side needs that lost an owner: silence for `WAIT`, seen at a beat, and a claim.
TAKEN_OVER = WAIT + 3 * BEAT
EXACT = (single_owner(0.0),)
VOTERS = ("a", "b", "c")

EVERY = [
    StaticQuorum(3),
    MajorityQuorum(initial_size=5),
    MajorityQuorum(voters=VOTERS),
    MajorityQuorum(voters=tuple("abcde"), track_max_size=False),
]


async def form(sim: Simulation, names: str, tolerance: Any, **options: Any) -> list[hubkit.Hub]:
    """Boot these nodes, and wait until they have a quorum."""
    for name in names:
        sim.start_soon("shop", node=name, partition_tolerance=tolerance, **options)
    await sim.settled(within=20)
    hubs = [sim.hub(name, "shop") for name in names]
    with trio.fail_after(FORMED):
        while any(hub._driver.core.allowed is False for hub in hubs):
            await sim.sleep(0.5)
    return hubs


@pytest.mark.parametrize("tolerance", EVERY, ids=str)
@simulated(seeds=2, checkers=EXACT)
async def test_the_larger_side_goes_on_and_the_smaller_one_stops_everything(sim: Simulation, tolerance: Any) -> None:
    hubs = await form(sim, "abcde", tolerance)
    if isinstance(tolerance, MajorityQuorum) and tolerance.admits:
        await sim.sleep(4 * WAIT)  # d and e are made voters
    await start(sim, hubs[0], 40)
    seen: dict[str, list[events.Event]] = {hub.node.name: [] for hub in hubs}
    for hub in hubs:
        hub.on(events.QuorumLost, seen[hub.node.name].append)
        hub.on(events.QuorumRegained, seen[hub.node.name].append)
    sim.partition({"a", "b", "c"}, {"d", "e"})
    await sim.sleep(LEASE + STOP + BEAT)
    for hub in hubs[3:]:
        assert not hub.children("local")
        assert hub.is_partitioned
        with pytest.raises(NoQuorum, match="it takes"):
            await hub.start_child(hubkit.child("new", Counter))
        with pytest.raises(NoQuorum):
            await hub.stop_child("c0")
        with pytest.raises(NoQuorum):
            await hub.move("c0", "d")
        assert len(hub.children()) == 40  # reads go on
        assert hub.explain("c0").rule == "forbidden"
        assert any("it takes" in what for what in hub.explain("c0").in_flight)
    await sim.sleep(TAKEN_OVER)
    assert set(each_owner(hubs[0]).values()) <= {"a", "b", "c"}
    assert len(each_owner(hubs[0])) == 40
    await hubs[1].start_child(hubkit.child("new", Counter))
    sim.heal()
    await sim.settled(within=20)
    assert set(registries_agree(sim)) == {f"c{number}" for number in range(40)} | {"new"}
    both = [events.QuorumLost(hub="shop"), events.QuorumRegained(hub="shop")]
    assert seen["d"] == seen["e"] == both
    assert seen["a"] == seen["b"] == seen["c"] == []
    sim.check()


@pytest.mark.parametrize("tolerance", [EVERY[3], MajorityQuorum()], ids=["voters", "size"])
@simulated(seeds=6, checkers=EXACT)
async def test_6_and_7_with_a_majority_every_run_becomes_consistent(sim: Simulation, tolerance: Any) -> None:
    hubs = await form(sim, "abcde", tolerance)
    await start(sim, hubs[0], 500)
    sim.partition({"a", "b", "c"}, {"d", "e"})
    await sim.sleep(30)
    assert len(each_owner(hubs[0])) == 500
    assert not pids(hubs[4]) or all(not found for found in pids(hubs[4]).values())
    sim.heal()
    await sim.settled(within=20)
    assert len(registries_agree(sim)) == 500
    sim.check()


@pytest.mark.parametrize("rate", [0.99, 1.01])
@simulated(seeds=4, checkers=EXACT)
async def test_an_owner_that_stood_still_begins_nothing_when_it_goes_on(sim: Simulation, rate: float) -> None:
    hubs = await form(sim, "abc", StaticQuorum(2))
    sim.skew("a", offset=0.0, rate=rate)
    sim.skew("b", offset=0.0, rate=2 - rate)
    await start(sim, hubs[0], 12)
    child = next(child for child, node in sorted(each_owner(hubs[1]).items()) if node == "a")
    old = sim._world.running("shop")[child][0]
    sim.pause("a")
    await hubs[0].ref(child, Counter).cast(Counter.add)  # it waits in the mailbox of one who sleeps
    await sim.sleep(TAKEN_OVER + 2)
    assert each_owner(hubs[1])[child] != "a"
    assert (await hubs[1].ref(child, Counter).call(Counter.about))["value"] == 0
    life = sim._world.hosts["a"].life
    assert life is not None
    household = life.hubs["shop"]._household_
    assert household is not None
    handled = household.messages()
    sim.resume("a")
    await sim.sleep(0.0)
    assert old not in sim._world.ownership.owners("shop", child)
    await sim.sleep(10)
    assert sim.hub("a").statistics().messages == handled
    await sim.settled(within=20)
    assert sim.overlap == 0
    sim.check()


@simulated(seeds=4, checkers=EXACT)
async def test_a_voter_that_is_restarted_does_not_vote_at_once(sim: Simulation) -> None:
    hubs = await form(sim, "abc", MajorityQuorum(voters=VOTERS))
    await start(sim, hubs[0], 20)
    await sim.sleep(3)  # the voters stand in the map
    sim.partition({"a"}, {"b", "c"})
    sim.crash("c")
    await sim.sleep(0.5)
    sim.heal()
    sim.partition({"b"}, {"a", "c"})
    sim.restart("c")
    await sim.sleep(LEASE + STOP)
    assert not any(hub.children("local") for hub in hubs[:1])  # c does not vote yet: nobody has a majority
    await sim.sleep(3 * WAIT)
    assert set(each_owner(sim.hub("a")).values()) <= {"a", "c"}
    sim.heal()
    await sim.settled(within=20)
    registries_agree(sim)
    sim.check()


@simulated(seeds=2, checkers=EXACT)
async def test_voters_are_admitted_and_then_count(sim: Simulation) -> None:
    hubs = await form(sim, "abc", MajorityQuorum(voters=VOTERS))
    for name in "de":
        await sim.start_hub("shop", node=name, partition_tolerance=MajorityQuorum(voters=VOTERS))
    await start(sim, hubs[0], 30)
    await sim.sleep(5 * WAIT)
    view = hubs[2]._driver.core._ledger.settings.view
    assert view.voters == frozenset("abcde")
    assert "@quorum" not in hubs[0].children()
    sim.crash("a", silent=True)
    sim.crash("b", silent=True)  # two of the first three: three of five are left
    await sim.sleep(TAKEN_OVER + 5)
    assert set(each_owner(hubs[2]).values()) <= {"c", "d", "e"}
    assert len(each_owner(hubs[2])) == 30
    sim.check()


@simulated(seeds=2)
async def test_a_static_quorum_can_be_resized(sim: Simulation) -> None:
    hubs = await form(sim, "abc", StaticQuorum(2))
    await start(sim, hubs[0], 10)
    hubs[1].resize(3)
    await sim.sleep(1)
    sim.partition({"a", "b"}, {"c"})
    await sim.sleep(LEASE + STOP + BEAT)
    assert not any(hub.children("local") for hub in hubs)
    hubs[0].resize(2)  # whoever says so knows that c has ended
    await sim.sleep(TAKEN_OVER)
    assert set(each_owner(hubs[0]).values()) == {"a", "b"}
    with pytest.raises(ConfigurationError):
        hubs[0].resize(0)
    sim.heal()
    await sim.settled(within=20)
    sim.check()


@simulated(seeds=2)
async def test_the_largest_size_seen_counts_until_it_is_resized(sim: Simulation) -> None:
    a, *_ = await form(sim, "abcde", MajorityQuorum())
    await start(sim, a, 10)
    await sim.sleep(2)
    for name in "cde":
        sim.crash(name, silent=True)
    await sim.sleep(30)
    assert not a._driver.core.allowed  # two of five
    with pytest.raises(NoQuorum, match="3 nodes"):
        await a.start_child(hubkit.child("new", Counter))
    with pytest.raises(ConfigurationError, match="in sight"):
        a.resize(1)
    a.resize(2)
    await sim.sleep(TAKEN_OVER)
    assert len(each_owner(a)) == 10
    sim.check()


@simulated(seeds=2)
async def test_a_dynamic_quorum_forgets_its_losses(sim: Simulation) -> None:
    for name in "abcde":
        sim.start_soon("shop", node=name, partition_tolerance=DynamicQuorum(50, window=20.0))
    await sim.settled(within=20)
    hubs = [sim.hub(name) for name in "abcde"]
    await start(sim, hubs[0], 20)
    sim.partition({"a", "b", "c"}, {"d", "e"})
    await sim.sleep(12)
    assert len(each_owner(hubs[0])) == 20
    assert not hubs[3].children("local")
    with pytest.raises(NoQuorum, match="50 %"):
        await hubs[4].start_child(hubkit.child("new", Counter))
    await sim.sleep(20)
    assert len(each_owner(hubs[3])) == 20  # long enough ago
    sim.heal()
    await sim.settled(within=20)
    registries_agree(sim)
    sim.check()


@simulated(seeds=2)
async def test_entering_waits_for_the_quorum_or_says_what_is_missing(sim: Simulation) -> None:
    tolerance = StaticQuorum(2, startup_confirm=True)
    with pytest.raises(NoQuorum, match="2 nodes"):
        await sim.start_hub("shop", node="a", partition_tolerance=tolerance)
    assert sim.now < 2 * WAIT + 5
    sim.start_soon("shop", node="b", partition_tolerance=tolerance)
    await sim.start_hub("shop", node="c", partition_tolerance=tolerance)
    assert sim.hub("c")._driver.core.allowed
    await sim.hub("c").start_child(hubkit.child("one", Counter))


@simulated(seeds=1)
async def test_what_cannot_be_sure_to_have_stopped_is_refused(sim: Simulation) -> None:
    hub = await sim.start_hub("shop", node="a", partition_tolerance=StaticQuorum(1))
    await sim.sleep(FORMED)
    slow = hubkit.ChildSpec("slow", Counter, shutdown=5.1)
    with pytest.raises(ConfigurationError, match="lower shutdown"):
        await hub.start_child(slow)
    with pytest.raises(ConfigurationError, match="lower shutdown"):
        hubkit.Hub("other", children=[slow], partition_tolerance=MajorityQuorum())
    with pytest.raises(ConfigurationError, match="two beats"):
        await sim.start_hub("mail", node="a", partition_tolerance=StaticQuorum(1, lease=1.5))
    with pytest.raises(ConfigurationError, match="reserved"):
        await hub.start_child(hubkit.child("@quorum", Counter))


class Halfway:
    """Has a quorum, and not all that it takes."""

    lease = 4.0

    def allowed(self, view: object) -> bool:
        return True

    def is_quorum(self, names: object, view: object) -> bool:
        return True


def test_a_strategy_of_ones_own_must_have_all_that_a_lease_takes() -> None:
    with pytest.raises(ConfigurationError, match=r"must have \.stop"):
        hubkit.Hub("shop", partition_tolerance=Halfway())


@simulated(seeds=2, checkers=EXACT)
async def test_what_stops_for_another_reason_ends_with_the_lease_too(sim: Simulation) -> None:
    hubs = await form(sim, "ab", StaticQuorum(2))
    await start(sim, hubs[0], 6)
    household = hubs[0]._household_
    assert household is not None
    household.enforce()
    cells = [keeper.cell for keeper in household.keepers.values()]
    assert cells
    assert not any(cell is None or cell.scope.cancel_called for cell in cells)
    gates = [keeper.gate for keeper in household.keepers.values()]
    sim.partition({"a"}, {"b"})
    await sim.sleep(LEASE + 0.5)
    assert not any(gate is None or gate.is_open or gate.is_overdue for gate in gates)
    await sim.sleep(STOP)
    assert all(gate is not None and gate.is_overdue for gate in gates)


@pytest.mark.parametrize("dies", "abc")
@simulated(seeds=4, checkers=EXACT)
async def test_a_majority_is_enough_as_soon_as_anything_has_been_started(sim: Simulation, dies: str) -> None:
    """A new hub needs all of its first voters; it takes no orders before that is over."""
    hubs = {}
    for name in VOTERS:
        hubs[name] = await sim.start_hub("shop", node=name, partition_tolerance=MajorityQuorum(voters=VOTERS))
    assert all(hub.is_partitioned and not hub.is_settled for hub in hubs.values())
    for hub in hubs.values():
        await hub.settled()
        assert not hub.is_partitioned
    await hubs["a"].start_child(hubkit.child("c", Counter))
    sim.crash(dies)
    await sim.settled(within=TAKEN_OVER + FORMED)
    living = next(name for name in VOTERS if name != dies)
    assert await hubs[living].ref("c", Counter).call(Counter.add) == 1
