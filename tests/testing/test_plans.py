"""Plans of disasters: what a plan may be, how it reads, and what is played of it."""

from __future__ import annotations

import math
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

from hubkit.errors import ConfigurationError
from hubkit.testing.faults import (
    Break,
    Crash,
    Fault,
    Hold,
    Join,
    Leave,
    Partition,
    Pause,
    Restart,
    Skew,
    Slow,
    node_names,
)
from hubkit.testing.plans import FaultPlan
from hubkit.testing.playing import play
from hubkit.testing.simulation import Simulation
from hubkit.testing.strategies import fault_plans

ONE_OF_EACH: tuple[Fault, ...] = (
    Partition(at=3.0, until=10.5, groups=(("a",), ("b", "c"))),
    Partition(at=3.0, until=10.5, groups=(("a",), ("b", "c")), one_way=True),
    Hold(at=1.0, until=2.0, a="a", b="b"),
    Slow(at=1.0, until=2.0, a="a", b="b", latency=0.5),
    Slow(at=1.0, until=2.0, a="a", b="b", latency=0.5, jitter=0.25),
    Break(at=1.0, a="a", b="b"),
    Break(at=1.0, a="a", b="b", half_open=True),
    Crash(at=2.0, node="a"),
    Crash(at=2.0, node="a", until=3.0, silent=True),
    Pause(at=1.0, until=2.0, node="c"),
    Leave(at=1.0, node="a"),
    Leave(at=1.0, node="a", until=4.0),
    Restart(at=1.0, node="a"),
    Skew(at=1.0, node="a", offset=-5.0, rate=1.5),
    Skew(at=1.0, node="a", offset=3.0),
    Join(at=1.0, node="c"),
)


# -- a plan is a value ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ONE_OF_EACH, ids=repr)
def test_the_repr_of_a_plan_is_python_and_can_be_parsed(fault: Fault) -> None:
    plan = FaultPlan(nodes=("a", "b", "c"), duration=60.0, faults=(fault,))
    names = {cls.__name__: cls for cls in (FaultPlan, type(fault))}
    assert eval(repr(plan), names) == plan
    assert FaultPlan.parse(repr(plan)) == plan
    assert FaultPlan.parse(f"  hubkit.testing.{plan!r}\n") == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert hash(FaultPlan.parse(repr(plan))) == hash(plan)


def test_the_repr_leaves_out_what_is_as_usual() -> None:
    plan = FaultPlan(("a", "b"), 10, (Crash(1, "a"), Break(2.5, "a", "b"), Slow(1, 2, "a", "b", 0.25)))
    assert repr(plan) == (
        "FaultPlan(nodes=('a', 'b'), duration=10.0, faults=(Crash(at=1.0, node='a'), Break(at=2.5, a='a', b='b'),"
        " Slow(at=1.0, until=2.0, a='a', b='b', latency=0.25)))"
    )
    assert repr(FaultPlan(("a",), 5.0)) == "FaultPlan(nodes=('a',), duration=5.0)"
    assert repr(FaultPlan(("a",), 5.0, spare=0)) == "FaultPlan(nodes=('a',), duration=5.0, spare=0)"


def test_a_long_plan_is_printed_in_lines_and_still_python() -> None:
    plan = FaultPlan(nodes=("a", "b", "c"), duration=60.0, faults=ONE_OF_EACH[:12])
    text = pretty(plan)
    assert len(text.splitlines()) > 12
    assert max(map(len, text.splitlines())) < 90
    assert FaultPlan.parse(text) == plan
    assert "None" not in text
    assert pretty(Crash(at=1.0, node="a")) == "Crash(at=1.0, node='a')"


def test_groups_may_be_given_in_any_way_that_is_clear() -> None:
    assert Partition(1, 2, [{"n2", "n1"}, "n3"]).groups == (("n1", "n2"), ("n3",))  # type: ignore[arg-type]  # that is the point


def test_parse_reads_values_by_place_too() -> None:
    assert FaultPlan.parse("FaultPlan(['a', 'b'], 9, [Crash(1, 'a', None, silent=True)])") == FaultPlan(
        ("a", "b"), 9.0, (Crash(1.0, "a", silent=True),)
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no fault plan"),
        ("FaultPlan(", "no fault plan"),
        ("Crash(at=1.0, node='a')", r"no fault plan but Crash\(at=1.0"),
        ("__import__('os').system('true')", "__import__.*has no place in a plan"),
        ("FaultPlan(nodes=[x for x in 'ab'], duration=1.0)", "has no place in a plan"),
        ("FaultPlan(nodes=('a',), duration=1e999)", "duration of a FaultPlan must be a finite number"),
        ("FaultPlan(nodes=('a',), duration=1.0, **{})", "'dict' here"),
        ("FaultPlan(nodes=('a',), duration=1.0, nodes=('b',))", "no fault plan"),
        ("FaultPlan(('a',), 1.0, nodes=('b',))", "each once"),
        ("FaultPlan(('a',), 1.0, (), 1, 2)", "only 4 values"),
        ("FaultPlan(nodes=('a',), length=1.0)", "takes nodes, duration, faults, spare"),
        ("FaultPlan(nodes=('a',))", "duration"),
        ("FaultPlan(nodes=(*('a',),), duration=1.0)", "has no place in a plan"),
        ("FaultPlan(nodes=('a',), duration=1.0, faults=(Crash(at=3.0, node='a'),))", "not over when the plan is"),
        ("(" * 500 + ")" * 500, "no fault plan"),
        ("-" * 100_000 + "1", "no fault plan"),
        ("FaultPlan(nodes=('a\0',), duration=1.0)", "no fault plan"),
        ("FaultPlan(nodes=('a',), duration=True)", "duration of a FaultPlan must be a finite number above 0, not True"),
        ("FaultPlan(nodes=('a',), duration=b'1')", "has no place"),
    ],
)
def test_parse_takes_nothing_else(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        FaultPlan.parse(text)


def plan_of(
    *faults: Fault, nodes: tuple[str, ...] = ("a", "b", "c"), duration: float = 60.0, spare: int = 1
) -> FaultPlan:
    return FaultPlan(nodes=nodes, duration=duration, faults=faults, spare=spare)


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "unknown": (lambda: plan_of(Crash(at=1.0, node="x")), r"^Crash\(.* names x, but the nodes of the plan are a, b, c$"),
    "late": (lambda: plan_of(Pause(at=1.0, until=61.0, node="a")), "not over when the plan is, after 60 s"),
    "late point": (lambda: plan_of(Skew(at=61.0, node="a", offset=1.0)), "not over when the plan is"),
    "backwards": (lambda: Hold(at=2.0, until=2.0, a="a", b="b"), "must end after it begins: until=2.0 is not above at=2.0"),
    "negative": (lambda: Crash(at=-1.0, node="a"), "at of a Crash must be a finite number of at least 0, not -1.0"),
    "nan": (lambda: Crash(at=math.nan, node="a"), "finite"),
    "until": (lambda: Pause(at=1.0, until=math.inf, node="a"), "until of a Pause must be a finite number"),
    "twice": (lambda: Hold(at=1.0, until=2.0, a="a", b="a"), "two nodes, not 'a' twice"),
    "no name": (lambda: Restart(at=1.0, node=""), "node of a Restart must be the name of a node, not ''"),
    "one group": (lambda: Partition(1.0, 2.0, (("a",),)), "at least two groups"),
    "overlap": (lambda: Partition(1.0, 2.0, (("a", "b"), ("b",))), "names b more than once"),
    "empty group": (lambda: Partition(1.0, 2.0, (("a",), ())), "leave the empty ones out"),
    "no group": (lambda: Partition(1.0, 2.0, (("a",), 5)), "must be a tuple of names of nodes, not 5"),  # type: ignore[arg-type]  # the test
    "groups": (lambda: Partition(1.0, 2.0, "ab"), "tuple of tuples of names, not 'ab'"),  # type: ignore[arg-type]  # the test
    "group of numbers": (lambda: Partition(1.0, 2.0, ((1,), (2,))), "must be the name of a node, not 1"),  # type: ignore[arg-type]  # the test
    "latency": (lambda: Slow(1.0, 2.0, "a", "b", -0.5), "latency of a Slow must be a finite number of at least 0"),
    "rate": (lambda: Skew(1.0, "a", 0.0, 0.0), "rate of a Skew must be a finite number of at least 0.01, not 0.0"),
    "fast": (lambda: Skew(1.0, "a", 0.0, 101.0), "rate of a Skew must be at most 100"),
    "offset": (lambda: Skew(1.0, "a", math.nan), "offset of a Skew must be a finite number, not nan"),
    "joins twice": (lambda: plan_of(Join(1.0, "c"), Join(2.0, "c")), "c cannot join twice: use Leave"),
    "no fault": (lambda: plan_of("crash"), "must be faults as Crash.*, not 'crash'"),  # type: ignore[arg-type]  # the test
    "no nodes": (lambda: plan_of(nodes=()), r"different names, at least one, not \(\)"),
    "same nodes": (lambda: plan_of(nodes=("a", "a")), "different names"),
    "string": (lambda: plan_of(nodes="abc"), "must be a tuple of names, not 'abc'"),  # type: ignore[arg-type]  # the test
    "duration": (lambda: plan_of(duration=0.0), "duration of a FaultPlan must be a finite number above 0"),
    "spare": (lambda: plan_of(spare=-1), "at least 0, not -1"),
    "too many spared": (lambda: plan_of(spare=4), r"at 0 s only 3 of the 3 nodes are up \(a, b, c\).*say spare=3"),
    "nobody left": (
        lambda: plan_of(Crash(1.0, "a"), Leave(2.0, "b", 5.0), Restart(4.0, "c")),
        r"at 4 s only 0 of the 3 nodes are up \(none\), but the plan is to spare 1: take fewer down at once, or say spare=0",
    ),
    "nobody at first": (lambda: plan_of(Join(5.0, "a"), Join(6.0, "b"), Join(7.0, "c")), "at 0 s only 0 of the 3"),
    "names": (lambda: node_names(0), "at least 1, not 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_when_it_is_made(case: str) -> None:
    make, complaint = WRONG[case]
    with pytest.raises(ConfigurationError, match=complaint):
        make()


def test_all_may_go_down_if_the_plan_says_so() -> None:
    plan = plan_of(Crash(1.0, "a"), Crash(1.0, "b"), Crash(1.0, "c"), spare=0)
    assert plan.up(0.999) == ("a", "b", "c")
    assert plan.up(1.0) == ()


def test_founders_are_those_who_do_not_join() -> None:
    assert plan_of(Join(4.0, "b")).founders == ("a", "c")
    assert plan_of().founders == ("a", "b", "c")


def test_names_of_nodes_sort_as_they_count() -> None:
    assert node_names(3) == ("a", "b", "c")
    assert node_names(26)[-1] == "z"
    many = node_names(120)
    assert many[0] == "n001"
    assert many[-1] == "n120"
    assert list(many) == sorted(many)


def test_actions_are_in_order_and_ends_come_first() -> None:
    first, second = Pause(at=1.0, until=5.0, node="a"), Crash(at=5.0, node="a")
    third, forth = Hold(at=5.0, until=6.0, a="a", b="b"), Pause(at=0.0, until=5.0, node="b")
    assert plan_of(third, second, first, forth).actions() == (
        (0.0, "start", forth),
        (1.0, "start", first),
        (5.0, "end", first),
        (5.0, "end", forth),
        (5.0, "start", third),
        (5.0, "start", second),
        (6.0, "end", third),
    )


# -- what is played ---------------------------------------------------------------------------------------------------


@dataclass
class Speed:
    latency: float
    jitter: float


class Cut:
    def __init__(self, sim: Recorder, words: str) -> None:
        self.sim, self.words = sim, words

    def heal(self) -> None:
        self.sim.say(f"heal {self.words}")


class Recorder:
    """A simulation without hubs: it writes down what is done, and refuses what a real one refuses."""

    def __init__(self, *names: str) -> None:
        self.lines: list[str] = []
        self.now = 100.0
        self.states: dict[str, str] = dict.fromkeys(names, "up")
        self.held: set[tuple[str, str]] = set()
        self.speeds: defaultdict[tuple[str, str], Speed] = defaultdict(lambda: Speed(0.001, 0.002))
        self.linked = True

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(sorted(self.states))

    def say(self, text: str) -> None:
        self.lines.append(f"{self.now - 100.0:g} {text}")

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        await trio.lowlevel.checkpoint()
        self.now += seconds

    def _must(self, good: bool, why: str) -> None:
        if not good:
            raise ConfigurationError(why)

    def alive(self, node: str) -> bool:
        self._must(node in self.states, "unknown")
        return self.states[node] != "down"

    def paused(self, node: str) -> bool:
        return self.states[node] == "paused"

    def note(self, text: str) -> None:
        self.say(text)

    def partition(self, *groups: object, one_way: bool = False) -> Cut:
        names = [list(group) for group in groups]  # type: ignore[call-overload]  # groups are iterables
        self._must(all(name in self.states for group in names for name in group), "unknown")
        self._must(len(names) > 1 and all(names), "no partition")
        words = " | ".join("".join(group) for group in names) + (" one way" if one_way else "")
        self.say(f"cut {words}")
        return Cut(self, words)

    def hold(self, a: str, b: str) -> None:
        self._must((a, b) not in self.held, "is held")
        self.held.add((a, b))
        self.say(f"hold {a} {b}")

    def release(self, a: str, b: str) -> None:
        self._must((a, b) in self.held, "is not held")
        self.held.remove((a, b))
        self.say(f"release {a} {b}")

    def link(self, a: str, b: str, *, latency: float | None = None, jitter: float | None = None) -> Speed:
        before = self.speeds[a, b]
        assert latency is not None
        assert jitter is not None
        self.speeds[a, b] = Speed(latency, jitter)
        self.say(f"link {a} {b} {latency:g} {jitter:g}")
        return before

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        if self.linked:
            self.say(f"break {a} {b}{' half' if half_open else ''}")
        return int(self.linked)

    def crash(self, node: str, *, silent: bool = False) -> None:
        self._must(self.alive(node), "is not up")
        self.states[node] = "down"
        self.say(f"{'power' if silent else 'crash'} {node}")

    def restart(self, node: str) -> None:
        self._must(node in self.states, "unknown")
        self.states[node] = "up"
        self.say(f"restart {node}")

    def clone_soon(self, source: str, node: str) -> None:
        self._must(source in self.states and node not in self.states, "known")
        self.states[node] = "up"
        self.say(f"clone {source} {node}")

    def stop_soon(self, node: str) -> None:
        self._must(self.states[node] in ("up", "leaving"), "is not up")
        self.states[node] = "leaving"
        self.say(f"leave {node}")

    def pause(self, node: str) -> None:
        self._must(self.states[node] in ("up", "leaving"), "is not up")
        self.states[node] = "paused"
        self.say(f"pause {node}")

    def resume(self, node: str) -> None:
        self._must(self.states[node] == "paused", "is not paused")
        self.states[node] = "up"
        self.say(f"resume {node}")

    def skew(self, node: str, *, offset: float = 0.0, rate: float = 1.0) -> None:
        self._must(node in self.states, "unknown")
        self.say(f"skew {node} {offset:g} {rate:g}")


def played(plan: FaultPlan, sim: Recorder | None = None) -> list[str]:
    sim = sim or Recorder(*plan.founders)
    trio.run(play, sim, plan)
    assert sim.now == 100.0 + plan.duration
    return sim.lines


def test_everything_is_played_at_its_moment() -> None:
    plan = plan_of(
        Partition(at=1.0, until=9.0, groups=(("a",), ("b", "c")), one_way=True),
        Hold(at=2.0, until=8.0, a="b", b="a"),
        Slow(at=3.0, until=7.0, a="a", b="b", latency=0.5, jitter=0.1),
        Break(at=4.0, a="a", b="c", half_open=True),
        Pause(at=10.0, until=11.0, node="c"),
        Crash(at=12.0, node="a", until=13.0, silent=True),
        Restart(at=14.0, node="b"),
        Skew(at=15.0, node="a", offset=-2.0, rate=1.25),
        Leave(at=16.0, node="b", until=17.0),
        Join(at=18.0, node="d"),
        Crash(at=19.0, node="c"),
        nodes=("a", "b", "c", "d"),
    )
    assert played(plan) == [
        "1 cut a | bc one way",
        "2 hold a b",
        "3 link a b 0.5 0.1",
        "4 break a c half",
        "7 link a b 0.001 0.002",
        "8 release a b",
        "9 heal a | bc one way",
        "10 pause c",
        "11 resume c",
        "12 power a",
        "13 restart a",
        "14 restart b",
        "15 skew a -2 1.25",
        "16 leave b",
        "17 restart b",
        "18 clone a d",
        "19 crash c",
    ]


def test_a_plan_without_faults_only_takes_its_time() -> None:
    assert played(plan_of()) == []


def test_a_node_is_down_while_anything_holds_it_down() -> None:
    lines = played(plan_of(Crash(1.0, "a", 10.0), Crash(2.0, "a", 20.0), Leave(3.0, "a", 5.0), Restart(4.0, "a")))
    assert lines == [
        "1 crash a",
        "2 skipped Crash(at=2.0, node='a', until=20.0): a is not up",
        "3 skipped Leave(at=3.0, node='a', until=5.0): a is not up",
        "4 skipped Restart(at=4.0, node='a'): a is not up",
        "5 skipped Leave(at=3.0, node='a', until=5.0): a stays down for Crash(at=1.0, node='a', until=10.0)",
        "10 skipped Crash(at=1.0, node='a', until=10.0): a stays down for Crash(at=2.0, node='a', until=20.0)",
        "20 restart a",
    ]


def test_who_is_dead_for_good_stays_dead() -> None:
    lines = played(plan_of(Crash(1.0, "a"), Crash(2.0, "a", 3.0)))
    assert [line for line in lines if "skipped" not in line] == ["1 crash a"]


def test_the_last_pause_that_ends_ends_the_pause() -> None:
    assert played(plan_of(Pause(1.0, 5.0, "a"), Pause(2.0, 9.0, "a"), Pause(3.0, 4.0, "a"))) == [
        "1 pause a",
        "9 resume a",
    ]


def test_a_pause_of_a_dead_node_is_skipped_as_a_whole() -> None:
    lines = played(plan_of(Crash(1.0, "a", 3.0), Pause(2.0, 9.0, "a")))
    assert lines == ["1 crash a", "2 skipped Pause(at=2.0, until=9.0, node='a'): a is not up", "3 restart a"]


def test_a_node_that_crashes_while_paused_comes_back_unpaused() -> None:
    assert played(plan_of(Pause(1.0, 9.0, "a"), Crash(2.0, "a", 3.0))) == ["1 pause a", "2 crash a", "3 restart a"]
    lines = played(plan_of(Pause(1.0, 9.0, "a"), Crash(2.0, "a", 3.0), Pause(4.0, 12.0, "a")))
    assert lines == ["1 pause a", "2 crash a", "3 restart a", "4 pause a", "12 resume a"]
    assert played(plan_of(Pause(1.0, 9.0, "a"), Restart(2.0, "a"))) == ["1 pause a", "2 restart a"]


def test_a_paused_node_cannot_leave() -> None:
    lines = played(plan_of(Pause(1.0, 9.0, "a"), Leave(2.0, "a", 5.0)))
    assert lines == ["1 pause a", "2 skipped Leave(at=2.0, node='a', until=5.0): a is paused", "9 resume a"]


def test_a_leaving_node_can_be_paused_and_killed() -> None:
    assert played(plan_of(Leave(1.0, "a"), Pause(2.0, 3.0, "a"))) == ["1 leave a", "2 pause a", "3 resume a"]
    assert played(plan_of(Leave(1.0, "a", 9.0), Crash(2.0, "a", 3.0))) == [
        "1 leave a",
        "2 crash a",
        "3 skipped Crash(at=2.0, node='a', until=3.0): a stays down for Leave(at=1.0, node='a', until=9.0)",
        "9 restart a",
    ]
    lines = played(plan_of(Leave(1.0, "a", 9.0), Restart(2.0, "a")))
    assert lines == ["1 leave a", "2 skipped Restart(at=2.0, node='a'): a is leaving", "9 restart a"]


def test_the_last_hold_that_ends_releases() -> None:
    lines = played(plan_of(Hold(1.0, 5.0, "a", "b"), Hold(2.0, 9.0, "b", "a"), Hold(3.0, 4.0, "b", "c")))
    assert lines == ["1 hold a b", "3 hold b c", "4 release b c", "9 release a b"]


def test_the_slowness_that_began_last_is_felt() -> None:
    slow, slower, other = (
        Slow(1.0, 5.0, "a", "b", 1.0),
        Slow(2.0, 9.0, "b", "a", 2.0, 0.5),
        Slow(3.0, 4.0, "a", "b", 3.0),
    )
    assert played(plan_of(slow, slower, other)) == [
        "1 link a b 1 0",
        "2 link a b 2 0.5",
        "3 link a b 3 0",
        "4 link a b 2 0.5",
        "5 link a b 2 0.5",
        "9 link a b 0.001 0.002",
    ]


def test_partitions_add_up_and_heal_for_themselves() -> None:
    first, second = Partition(1.0, 5.0, (("a",), ("b", "c"))), Partition(2.0, 3.0, (("b",), ("c",)))
    assert played(plan_of(first, second)) == ["1 cut a | bc", "2 cut b | c", "3 heal b | c", "5 heal a | bc"]
    same = Partition(1.0, 5.0, (("a",), ("b",)))
    assert played(plan_of(same, same)) == ["1 cut a | b", "1 cut a | b", "5 heal a | b", "5 heal a | b"]


def test_no_link_to_break_is_noted() -> None:
    sim = Recorder("a", "b", "c")
    sim.linked = False
    assert played(plan_of(Break(1.0, "a", "b")), sim) == [
        "1 skipped Break(at=1.0, a='a', b='b'): no link is between them"
    ]


def test_who_has_not_joined_yet_is_not_touched() -> None:
    lines = played(
        plan_of(
            Join(10.0, "c"),
            Hold(1.0, 2.0, "a", "c"),
            Slow(2.0, 3.0, "c", "b", 1.0),
            Break(3.0, "a", "c"),
            Pause(4.0, 5.0, "c"),
            Skew(5.0, "c", 1.0),
            Restart(6.0, "c"),
            Partition(7.0, 8.0, (("a", "b"), ("c",))),
            Partition(7.5, 8.0, (("c",), ("a",), ("b",)), one_way=True),
        )
    )
    assert [line.partition(" skipped ")[0] for line in lines] == [
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "7.5",
        "10 clone a c",
    ]
    assert lines[0].endswith("c has not joined yet")
    assert lines[6].endswith("only one side of it has joined yet")


def test_who_joins_is_behind_the_partition_that_names_it() -> None:
    lines = played(
        plan_of(
            Join(2.0, "c"), Partition(1.0, 5.0, (("a",), ("b",), ("c",))), Partition(1.5, 4.0, (("a", "b"), ("c",)))
        )
    )
    assert lines == [
        "1 cut a | b",
        "1.5 skipped Partition(at=1.5, until=4.0, groups=(('a', 'b'), ('c',))): only one side of it has joined yet",
        "2 clone a c",
        "2 heal a | b",
        "2 cut a | b | c",
        "2 cut ab | c",
        "4 heal ab | c",
        "5 heal a | b | c",
    ]


def test_who_is_down_when_it_should_join_joins_later() -> None:
    lines = played(plan_of(Join(3.0, "c"), Crash(1.0, "c", 7.0)))
    assert [line for line in lines if "skipped" not in line] == ["7 clone a c"]


def test_who_is_there_already_does_not_join() -> None:
    plan = plan_of(Join(3.0, "c"), Crash(1.0, "c", 7.0))
    assert played(plan, Recorder("a", "b", "c")) == [
        "1 crash c",
        "3 skipped Join(at=3.0, node='c'): c was there from the start",
        "7 restart c",
    ]


def test_the_last_ones_are_spared_whoever_took_the_others_down() -> None:
    sim = Recorder("a", "b", "c")
    sim.states.update(b="down", c="down")
    assert played(plan_of(Crash(1.0, "a", 5.0), Pause(2.0, 3.0, "a")), sim) == [
        "1 skipped Crash(at=1.0, node='a', until=5.0): a is to be spared, for only nobody is up besides",
        "2 pause a",
        "3 resume a",
    ]
    sim = Recorder("a", "b", "c")
    sim.states.update(b="down", c="down")
    assert played(plan_of(Crash(1.0, "a", 5.0), spare=0), sim) == ["1 crash a", "5 restart a"]


def test_a_leaving_node_spares_nobody() -> None:
    sim = Recorder("a", "b", "c")
    sim.states["c"] = "down"
    lines = played(plan_of(Leave(1.0, "a", 5.0), Crash(2.0, "b", 3.0)), sim)
    assert lines[1].startswith("2 skipped Crash(at=2.0, node='b', until=3.0): b is to be spared")


def test_a_scenario_with_its_own_hands_does_no_harm() -> None:
    sim = Recorder("a", "b", "c")
    sim.held.add(("a", "b"))
    assert played(plan_of(Hold(1.0, 2.0, "a", "b")), sim) == [
        "1 skipped Hold(at=1.0, until=2.0, a='a', b='b'): is held"
    ]
    assert sim.held == {("a", "b")}


def test_a_plan_for_other_nodes_is_an_error_before_anything_happens() -> None:
    sim = Recorder("a", "x")
    with pytest.raises(ConfigurationError, match="about a, b, c, but nobody has started b, c"):
        trio.run(play, sim, plan_of(Crash(1.0, "a")))
    assert sim.lines == []


times = st.integers(0, 60).map(float)
names = st.sampled_from("abcd")


@st.composite
def any_fault(draw: st.DrawFn) -> Fault:
    """Any fault at all, without a thought for the others."""
    at = draw(st.integers(0, 59).map(float))
    until = draw(st.integers(int(at) + 1, 60).map(float))
    a, b = draw(st.permutations("abcd"))[:2]
    faults: list[Fault] = [
        Partition(at, until, ((a,), (b,))),
        Hold(at, until, a, b),
        Slow(at, until, a, b, 1.0),
        Break(at, a, b),
        Crash(at, a, until),
        Crash(at, a),
        Pause(at, until, a),
        Leave(at, a, until),
        Restart(at, a),
        Skew(at, a, 1.0),
    ]
    return draw(st.sampled_from(faults))


@given(st.lists(any_fault(), max_size=12), st.sets(names, max_size=3), st.integers(0, 2))
def test_any_plan_can_be_played_and_leaves_nothing_open(faults: list[Fault], joining: set[str], spare: int) -> None:
    joins = tuple(Join(at=20.0, node=name) for name in sorted(joining))
    try:
        plan = FaultPlan(nodes=("a", "b", "c", "d"), duration=60.0, faults=(*faults, *joins), spare=spare)
    except ConfigurationError:
        return
    sim = Recorder(*plan.founders)
    lines = played(plan, sim)
    assert not sim.held
    assert "paused" not in sim.states.values()
    assert set(map(str, sim.speeds.values())) <= {str(Speed(0.001, 0.002))}
    cuts = [line.split(" ", 2)[1] for line in lines]
    assert cuts.count("cut") == cuts.count("heal")
    gone = {fault.node for fault in faults if isinstance(fault, Crash | Leave) and fault.until is None}
    for name in plan.nodes:
        assert sim.states.get(name) == "up" or name in gone, lines


# -- on the real stage ------------------------------------------------------------------------------------------------


@pytest.mark.limit(120)
@settings(max_examples=25)
@given(plan=fault_plans(3, 20.0, survivors=0, max_faults=10), seed=st.integers(0, 100))
def test_any_plan_can_be_played_on_real_hubs_and_leaves_nothing_open(plan: FaultPlan, seed: int) -> None:
    async def main(sim: Simulation) -> None:
        for name in plan.founders:
            await sim.start_hub("shop", node=name)
        began = sim.now
        await sim.play(plan)
        assert sim.now == pytest.approx(began + 20.0)
        with pytest.raises(ConfigurationError, match=r"(?i)cut|partition"):
            sim.heal()
        gone = {fault.node for fault in plan.faults if isinstance(fault, Crash | Leave) and fault.until is None}
        for name in plan.nodes:
            assert not (name in sim.nodes and sim.paused(name))
            assert name in gone or sim.alive(name)

    report = Simulation.run(main, seed, plan=plan)
    assert report.trace_hash == Simulation.run(main, seed, plan=FaultPlan.parse(repr(plan))).trace_hash


def test_what_happens_is_in_the_trace() -> None:
    plan = plan_of(
        Partition(at=1.0, until=3.0, groups=(("a",), ("b",))),
        Crash(at=2.0, node="b", until=4.0),
        Pause(at=3.0, until=5.0, node="b"),
        Join(at=6.0, node="c"),
        duration=10.0,
    )

    async def main(sim: Simulation) -> None:
        for name in plan.founders:
            await sim.start_hub("shop", node=name)
        await sim.play()
        await sim.settled(within=60)
        assert sim.hub("a").nodes() == ("b", "c")
        sim.check()

    report = Simulation.run(main, 1, plan=plan)
    said = [f"{step.node} {step.text}".strip() for step in report.trace if step.kind in ("fault", "note")]
    assert said == [
        "partition {a} | {b}",
        "b crash",
        "heal partition {a} | {b}",
        "skipped Pause(at=3.0, until=5.0, node='b'): b is not up",
        "b restart",
    ]


def test_links_are_as_fast_afterwards_as_before() -> None:
    plan = plan_of(Slow(at=0.0, until=5.0, a="a", b="b", latency=2.0), nodes=("a", "b"), duration=6.0)

    async def main(sim: Simulation) -> None:
        for name in plan.founders:
            await sim.start_hub("shop", node=name)
        await sim.play(plan)

    for network, said in (
        ({}, "latency=0.001 jitter=0.001"),
        ({"latency": 0.25, "jitter": 0.5}, "latency=0.25 jitter=0.5"),
    ):
        report = Simulation.run(main, 1, network=network)
        assert [step.text for step in report.trace if step.kind == "fault"] == [
            "link latency=2 jitter=0",
            f"link {said}",
        ]
