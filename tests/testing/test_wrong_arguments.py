"""Wrong arguments, anywhere on the face of `hubkit.testing`: refused at once, in words, and before anything has changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from tests.testing.scenarios import counters

from hubkit.errors import ConfigurationError
from hubkit.strategies import ConsistentHashing
from hubkit.testing import (
    SimulatedNetwork,
    Simulation,
    Stepper,
    Watcher,
    World,
    balance,
    down_exactly_once,
    monotonic_terms,
    no_lost_child,
    registry_converges,
    simulated,
    single_owner,
)

HUGE = 10**400


class Arrayish:
    """As an array of numbers: not hashable, equal to nothing and everything, and neither true nor false."""

    __hash__ = None  # type: ignore[assignment]  # that is the point

    def __eq__(self, other: object) -> Any:
        return self

    __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def __bool__(self) -> bool:
        msg = "the truth of an array is ambiguous"
        raise ValueError(msg)

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])

    def __repr__(self) -> str:
        return "array([1, 2])"


#: What is the name of no node, no number, no flag and no checker.
NONSENSE: list[Any] = [
    None, b"a", object(), Arrayish(), [["a"], ["b"]], {"a": {}}, lambda: 0, (name for name in "xy"), Simulation, 2j,
]  # fmt: skip
NO_NAMES = [*NONSENSE, "", "nobody", 3, True, {"a"}, ["a"]]
NO_NUMBERS = [*NONSENSE, "x", "1", True, math.nan, HUGE, -HUGE, [1.0]]
NO_SECONDS = [*NO_NUMBERS, -1, -math.inf]
NO_FLAGS = [*NONSENSE, "yes", 0, 1, [True]]
NO_CHECKERS = [*NONSENSE, "x", 3, single_owner, [[monotonic_terms()]], World, Watcher, Watcher()]


def expect_refused(said: str | tuple[str, ...], call: Callable[..., Any], *args: Any, **named: Any) -> None:
    """The call is refused, with all these words."""
    with pytest.raises(ConfigurationError) as caught:
        call(*args, **named)
    _look_at(str(caught.value), said)


async def expect_refused_later(said: str | tuple[str, ...], call: Callable[..., Any], *args: Any, **named: Any) -> None:
    """The same of a call that is awaited."""
    with pytest.raises(ConfigurationError) as caught:
        await call(*args, **named)
    _look_at(str(caught.value), said)


def _look_at(text: str, said: str | tuple[str, ...]) -> None:
    words = (said,) if isinstance(said, str) else said
    assert [word for word in words if word not in text] == [], text
    assert len(text) < 900


def state(sim: Simulation) -> object:
    """Whatever a call could have changed."""
    world: Any = sim._world
    board = world.network._board
    return (
        (sim.trace.hash, sim.now, sim.nodes, sim.random.getstate(), board._random.getstate(), list(world.watchers)),
        {name: (host.off, host.crashes) for name, host in board.hosts.items()},
        {pair: (path.cuts, path.held) for pair, path in board._paths.items()},
        {pair: (way.latency, way.jitter, way.bandwidth, way.break_rate) for pair, way in board._weathers.items()},
        {name: (host.life, host.paused, sorted(host.options)) for name, host in world.hosts.items()},
        {name: (host.machine.offset, host.machine.rate, host.machine.lives) for name, host in world.hosts.items()},
    )


def scene(main: Callable[[Simulation], Any]) -> Callable[[], None]:
    """A test in a simulation of two nodes; what it asks for must be refused, and change nothing."""

    async def scenario(sim: Simulation) -> None:
        a = await sim.start_hub("shop", node="a")
        await sim.start_hub("shop", node="b")
        await a.start_children(counters(3))
        await sim.settled(within=30)
        before = state(sim)
        await main(sim)
        assert state(sim) == before
        await sim.settled(within=0)
        sim.check()

    def test() -> None:
        Simulation.run(scenario, seed=3)

    test.__name__, test.__doc__ = main.__name__, main.__doc__
    return test


# -- names and numbers --------------------------------------------------------------------------------------------------

ONE_NODE = ("alive", "paused", "hub", "disk", "crash", "restart", "pause", "resume", "skew", "stop_soon", "break_links")
TWO_NODES = ("hold", "release", "link", "break_links")


@scene
async def test_a_node_must_be_one(sim: Simulation) -> None:
    for value in NO_NAMES:
        for name in ONE_NODE:
            expect_refused(("no node", "there are a, b"), getattr(sim, name), value)
        for name in TWO_NODES:
            if value is not None or name != "break_links":
                expect_refused(("no node", "there are a, b"), getattr(sim, name), "a", value)
            expect_refused(("no node", "there are a, b"), getattr(sim, name), value, "b")
        expect_refused(("no node", "there are a, b"), sim.clone_soon, value, "c")
        await expect_refused_later(("no node", "there are a, b"), sim.stop, value)
        if value is not None:
            expect_refused("hub", sim.hub, "a", value)
    for name in TWO_NODES:
        expect_refused("two different hosts", getattr(sim, name), "a", "a")


@scene
async def test_a_number_must_be_one(sim: Simulation) -> None:
    for value in NO_SECONDS:
        await expect_refused_later(("seconds", "zero or more"), sim.sleep, value)
        await expect_refused_later(("within", "zero or more"), sim.settled, value)
        for name in ("latency", "jitter", "bandwidth", "break_rate"):
            if value is not None:
                expect_refused((name, "must be a number"), sim.link, "a", "b", **{name: value})
                expect_refused(name, sim.link, "a", "b", **{"latency": 9, "jitter": 9, name: value})
    for value in NO_NUMBERS:
        for name in ("offset", "rate"):
            expect_refused((name, "must be a finite number"), sim.skew, "a", **{name: value})
    for value in (0.001, 101, -1):
        expect_refused(("rate", "from 0.01 to 100 (1 is true)", f"not {value}"), sim.skew, "a", rate=value)


@scene
async def test_a_flag_must_be_one(sim: Simulation) -> None:
    for value in NO_FLAGS:
        expect_refused("silent must be True or False", sim.crash, "a", silent=value)
        expect_refused("half_open must be True or False", sim.break_links, "a", "b", half_open=value)
        expect_refused("one_way must be True or False", sim.partition, "a", "b", one_way=value)


@scene
async def test_what_cannot_be_just_now(sim: Simulation) -> None:
    expect_refused("not paused", sim.resume, "a")
    expect_refused(("nothing is held", "hold() it first"), sim.release, "a", "b")
    expect_refused("nothing to heal", sim.heal)
    expect_refused("sim.restart('b')", sim.clone_soon, "a", "b")
    await expect_refused_later("there is no plan", sim.play)


# -- groups -------------------------------------------------------------------------------------------------------------


@scene
async def test_a_group_must_be_names(sim: Simulation) -> None:
    for value in (None, 3, True, 2.5, math.nan, HUGE, object(), lambda: 0, Simulation, b"ab", 2j):
        expect_refused("a group of a partition must be a set of names", sim.partition, value)
        expect_refused("a group of a partition must be a set of names", sim.partition, {"a"}, value)
    for nested in ([["a"], ["b"]], [{"a"}, {"b"}], (("a",), ("b",)), [Arrayish.__mro__, "b"]):
        expect_refused("give each group as an argument of its own", sim.partition, nested)
    for unknown in ("nobody", ["nobody"], (name for name in ("a", "nobody")), Arrayish(), {"a": 1, 3: 1}, [None]):
        expect_refused(("no node", "there are a, b"), sim.partition, {"b"}, unknown)
    expect_refused("sim.partition({'a'}, {'b', 'c'})", sim.partition)
    nobody: list[Any] = [(), "", [], set(), iter(())]
    for empty in nobody:
        expect_refused("", sim.partition, {"a"}, empty)
    expect_refused("one side of it is empty", sim.partition, {"a", "b"})
    expect_refused("'a' is in two groups", sim.partition, {"a"}, {"b", "a"})
    expect_refused("'a' is in two groups", sim.partition, "a", "a")


def test_groups_of_all_kinds() -> None:
    async def main(sim: Simulation) -> None:
        for name in "abc":
            await sim.start_hub("shop", node=name)
        for groups in (("a", "b"), ({"a"}, ["b"]), ((name for name in "a"), {"b": 1}), (("a",), iter("b"))):
            cut = sim.partition(*groups)
            assert not sim.network.reaches("a", "b")
            assert sim.network.reaches("a", "c")
            cut.heal()
        cut = sim.partition({"a"})  # alone, from all others
        assert not sim.network.reaches("a", "b")
        assert not sim.network.reaches("c", "a")
        assert sim.network.reaches("b", "c")
        cut.heal()

    Simulation.run(main, seed=1)


# -- options ------------------------------------------------------------------------------------------------------------

#: option -> what it cannot be, and what is said then
NO_OPTIONS: dict[str, tuple[list[Any], str]] = {
    "children": (
        [None, 3, "x", [3], object(), [monotonic_terms], counters(1) * 2],
        "child",
    ),
    "actors": ([3, "x", [3], object(), [monotonic_terms]], "actors"),
    "hooks": ([None, 3, "x", [3], [("x", print)], [(3,)]], "must be"),
    "max_restarts": ([None, "x", 1.5, -1, True], "max_restarts"),
    "max_seconds": (NO_SECONDS, "max_seconds"),
    "drain_timeout": (NO_SECONDS, "drain_timeout"),
    "cancel_grace": (NO_SECONDS, "cancel_grace"),
    "prepare": ([3, "x", [], object()], "prepare"),
    "beat": ([*NO_SECONDS, 0], "beat"),
    "down_after": ([*NO_SECONDS, 0, 1.5], "down_after"),
    "secret": ([3, "", [], [3], object()], "secret"),
    "join": ([None, 3, "x", [3], ["nowhere"]], "join"),
    **{
        name: ([None, 3, "x", object(), ConsistentHashing], "hubkit.strategies")
        for name in ("distribution", "redundancy", "migration", "synchronization", "partition_tolerance")
    },
    **{
        name: ([None, "x"], "is given by the simulation: leave it out")
        for name in ("name", "listen", "advertise", "transport", "environment", "tls")
    },
}


@scene
async def test_an_option_must_be_one(sim: Simulation) -> None:
    for name, (values, said) in NO_OPTIONS.items():
        for value in values:
            for node in ("c", "a"):
                if node == "c" or name not in ("beat", "down_after", "secret", "join"):
                    option = {name: value}
                    expect_refused(said, sim.start_soon, "bar", node=node, **option)
            await expect_refused_later(said, sim.start_hub, "bar", node="c", **option)
    for node in ("a", "c"):
        expect_refused("did you mean down_after=?", sim.start_soon, "bar", node=node, down_afer=3)
        expect_refused(("no option xyzzy=", "children", "beat"), sim.start_soon, "bar", node=node, xyzzy=3)
    expect_refused("'a' is running already", sim.start_soon, "bar", node="a", beat=1.0)
    expect_refused("has a hub 'shop' already", sim.start_soon, "shop", node="a")
    for value in [*NONSENSE, "", 3, "x" * 300, ["x"]]:
        expect_refused("hub_id must be", sim.start_soon, value, node="c")
        expect_refused("node must be", sim.start_soon, "bar", node=value)
        expect_refused("node must be", sim.clone_soon, "a", value)
    for value in ("x#1", "\n", "x" * 101):
        expect_refused("a node's name must be", sim.start_soon, "bar", node=value)
    assert "c" not in sim.nodes
    expect_refused("no host", sim.network.reaches, "a", "c")


def test_a_refused_start_leaves_a_dead_node_dead() -> None:
    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a")
        await sim.start_hub("shop", node="b")
        sim.crash("b", silent=True)
        before = state(sim)
        expect_refused("beat", sim.start_soon, "shop", node="b", beat="x")
        expect_refused("hooks", sim.start_soon, "shop", node="b", hooks=3)
        assert state(sim) == before

    Simulation.run(main, seed=1)


def test_what_can_be_read_once_is_there_after_a_restart() -> None:
    async def main(sim: Simulation) -> None:
        await sim.start_hub("shop", node="a", children=(spec for spec in counters(3)))
        sim.restart("a")
        await sim.settled(within=30)
        assert len(sim.hub("a").children()) == 3

    Simulation.run(main, seed=1)


# -- checkers -----------------------------------------------------------------------------------------------------------


class Silent:
    """A checker whose watch forgets to return its watcher."""

    def watch(self, world: World) -> None:
        """Return nothing."""


async def nothing(sim: Simulation) -> None:
    """A scenario."""


async def never(sim: Simulation) -> None:
    """A scenario that must not begin."""
    raise AssertionError("it has begun")


@scene
async def test_a_checker_must_be_one(sim: Simulation) -> None:
    for value in [*NO_CHECKERS, sim, sim._world]:
        expect_refused("the argument of watch must be", sim.watch, value)
        expect_refused("arguments of check[0] must be", sim.check, value)
        expect_refused("arguments of check[1] must be", sim.check, no_lost_child(9), value)
    for maker, said in (
        (single_owner, "call it, as in single_owner(overlap=...)"),
        (Silent, "call it, as in Silent()"),
    ):
        expect_refused(said, sim.check, maker)
        expect_refused(said, sim.watch, maker)
    expect_refused("one by one", sim.check, no_lost_child(9), [monotonic_terms()])
    several: Any = [monotonic_terms, down_exactly_once()]  # (more is taken than the types say)
    sim.check(several)  # what needs no arguments need not be called, and a list will do
    expect_refused("must return a hubkit.testing.Watcher", sim.watch, Silent())
    expect_refused("must return a hubkit.testing.Watcher", sim.check, Silent())


def test_checkers_must_be_a_list_of_them() -> None:
    no_lists = [None, "x", b"x", 3, True, math.nan, HUGE, object(), lambda: 0, monotonic_terms, {"a": 1}, Simulation]
    for value in no_lists:
        expect_refused("checkers must be a list", Simulation.run, never, 1, checkers=value)
        expect_refused("checkers must be a list", Stepper, 1, checkers=value)
    for value in NO_CHECKERS:
        expect_refused("checkers[0] must be", Simulation.run, never, 1, checkers=[value])
        expect_refused("checkers[1] must be", Stepper, 1, checkers=(balance(2), value))
        websocket = {"checkers": [value], "network": "websocket"}
        expect_refused("checkers[0] must be", Simulation.run, never, 1, **websocket)
    said = "checkers must be a list of checkers, not one: write [monotonic_terms()]"
    expect_refused(said, Simulation.run, never, 1, checkers=monotonic_terms())
    expect_refused("call it, as in Silent()", Simulation.run, never, 1, checkers=[Silent])
    uncalled: Any = monotonic_terms
    assert Simulation.run(nothing, 1, checkers=[uncalled]).steps == 0
    expect_refused("must return a hubkit.testing.Watcher", Simulation.run, never, 1, checkers=[Silent()])
    assert Simulation.run(nothing, 1, checkers=(checker for checker in [monotonic_terms()])).steps == 0


@pytest.mark.parametrize("maker", [single_owner, no_lost_child, registry_converges, balance])
def test_a_bound_must_be_a_number(maker: Callable[[Any], object]) -> None:
    for value in [*NO_SECONDS, *([] if maker is single_owner else [math.inf]), *([0, 0.9] if maker is balance else [])]:
        expect_refused("must be", maker, value)


# -- the plan, and the run ----------------------------------------------------------------------------------------------


@scene
async def test_a_plan_must_be_one(sim: Simulation) -> None:
    for value in [*NONSENSE[1:], "x", 3, [], ()]:
        await expect_refused_later("plan must be a FaultPlan", sim.play, value)
    await expect_refused_later("FaultPlan.parse", sim.play, "FaultPlan(...)")


def test_a_run_must_be_possible() -> None:
    for value in NONSENSE:
        if not callable(value):
            expect_refused("main must be an async function", Simulation.run, value, 1)
        for name in ("seed", "network", "limit", *(["plan"] if value is not None else [])):
            expect_refused(name, Simulation.run, never, **{"seed": 1, name: value})
            expect_refused(name, Stepper, **{"seed": 1, name: value})
    for wrong in ("x", "", 3, {"latency": "x"}, {"latency": HUGE}, {"speed": 1}, {3: 1}, [("latency", 1)]):
        expect_refused("must be", Simulation.run, never, 1, network=wrong)
        expect_refused("must be", Stepper, 1, network=wrong)
    for limit in (HUGE, 0, -1, math.nan, "x"):
        expect_refused("limit must be seconds", Simulation.run, never, 1, limit=limit)


def test_a_simulated_test_must_be_possible() -> None:
    for value in [*NONSENSE[1:], "x", 3, {"speed": 1}]:
        expect_refused("network must be", simulated, network=value)
    for value in NO_CHECKERS:
        expect_refused("checkers[0] must be", simulated, checkers=[value])
    for value in [*NO_SECONDS, 0]:
        expect_refused("limit must be", simulated, limit=value)
    for value in (None, 3, "x", monotonic_terms(), monotonic_terms):
        expect_refused("checkers must be a list", simulated, checkers=value)
    for value in [*NONSENSE, "x", 0, -1, True]:
        if value is not Simulation and not isinstance(value, Arrayish):
            expect_refused("", simulated, value)
    for value in [*NONSENSE, "x", True, 1.5]:
        expect_refused("first must be", simulated, first=value)


def test_work_for_a_stepper_must_be_possible() -> None:
    with Stepper(1) as stepper:
        for value in (None, "x", 3, Arrayish(), [nothing]):
            expect_refused("work must be an async function", stepper.run, value)
        assert stepper.sim.trace.count == 0


# -- the network --------------------------------------------------------------------------------------------------------


def test_a_network_must_be_possible() -> None:
    for value in [*NONSENSE[1:], "x", 2.5, Random]:
        expect_refused("seed must be an int, or a random.Random", SimulatedNetwork, value)
        expect_refused("scheduler must have the methods now()", SimulatedNetwork, scheduler=value)
        if not callable(value):
            expect_refused("observe must be a function", SimulatedNetwork, observe=value)
    for name in ("latency", "jitter", "bandwidth", "break_rate"):
        for value in NO_SECONDS:
            expect_refused(f"{name} must be a number", SimulatedNetwork, **{name: value})


def test_the_face_of_the_network() -> None:
    network = SimulatedNetwork(1)
    network.transport("a")
    network.transport("b")
    before = str(network.statistics()), network._board._random.getstate(), list(network._board.hosts)
    for value in [*NONSENSE, "", 3, True]:
        for name in ("transport", "address", "crash", "refuse", "silence", "answer", "break_links"):
            expect_refused("", getattr(network, name), value)
        if not isinstance(value, dict):
            expect_refused("", network.partition, value)
    for value in NO_NAMES:
        for name in ("hold", "release", "reaches", "link", *(["break_links"] if value is not None else [])):
            expect_refused("no host of this network", getattr(network, name), "a", value)
        if not isinstance(value, set | list):
            expect_refused("", network.partition, {"a"}, value)
    for value in NO_FLAGS:
        expect_refused("silent must be True or False", network.crash, "a", silent=value)
        expect_refused("half_open must be True or False", network.break_links, "a", half_open=value)
        expect_refused("one_way must be True or False", network.partition, {"a"}, {"b"}, one_way=value)
    for name in ("latency", "jitter", "bandwidth", "break_rate"):
        for value in NO_SECONDS:
            if value is not None:
                expect_refused(f"{name} must be", network.link, "a", "b", **{name: value})
    assert (str(network.statistics()), network._board._random.getstate(), list(network._board.hosts)) == before
    assert network.reaches("a", "b")
