"""The laws of strategies: those that come with hubkit keep them, and whoever breaks one is told which, and how."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest

from hubkit.errors import ConfigurationError
from hubkit.strategies import (
    CentralizedLoadBalancer,
    ChildView,
    ClusterView,
    ColdSwap,
    ConsistentHashing,
    Divergence,
    DynamicQuorum,
    Gossip,
    Guided,
    HotSwap,
    MajorityQuorum,
    NodeView,
    Placer,
    PubSub,
    QuorumView,
    Replication,
    Singularity,
    StaticQuorum,
)
from hubkit.testing.laws import (
    check_distribution,
    check_migration,
    check_partition_tolerance,
    check_redundancy,
    check_strategy,
    check_synchronization,
)


def stay_on_a(child: str, source: str, target: str) -> bool:
    return source == "a"


@pytest.mark.parametrize(
    "strategy",
    [
        ConsistentHashing(),
        Guided(),
        CentralizedLoadBalancer(),
        Singularity(),
        Replication(1),
        Replication(3, "active_active", 1.0),
        Replication("all"),
        ColdSwap(),
        HotSwap(max_moves=3, max_rate=0.5, veto=stay_on_a),
        HotSwap(handover=False, retention=0.0),
        PubSub(2.0),
        Gossip(),
        Gossip(fanout=1),
        Gossip(fanout=6),
        Divergence(),
        DynamicQuorum(30),
        DynamicQuorum(100, window=1.0),
        StaticQuorum(1),
        StaticQuorum(2),
        StaticQuorum(4, startup_confirm=True),
        MajorityQuorum(),
        MajorityQuorum(5, track_max_size=False),
        MajorityQuorum(voters=["a", "b", "w"]),
        MajorityQuorum(voters=list("abc"), track_max_size=False),
    ],
    ids=repr,
)
def test_those_that_come_with_hubkit_keep_them(strategy: Any) -> None:
    check_strategy(strategy, examples=100)


def expect_broken(check: Any, strategy: Any, law: str, **options: Any) -> str:
    """The law is broken, and the error says so."""
    with pytest.raises(AssertionError) as caught:
        check(strategy, **options)
    text = str(caught.value)
    assert law in text.partition("\n")[0], text
    return text


# -- values ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneCopy:
    extra: Any = None

    def copies(self, nodes: int) -> int:
        return 1


@dataclass
class Thawed:
    def copies(self, nodes: int) -> int:
        return 1

    def __hash__(self) -> int:
        return 1


class Secretive:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def copies(self, nodes: int) -> int:
        return self.factor


class Slotted(Secretive):
    __slots__ = ()


class Fickle(OneCopy):
    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 1


def test_a_strategy_is_a_value() -> None:
    law = "it is a value"
    assert "unhashable" in expect_broken(check_redundancy, OneCopy([]), law)
    assert "not frozen" in expect_broken(check_redundancy, Thawed(), law)
    assert "its copy is not equal" in expect_broken(check_redundancy, Fickle(), law)


def test_its_text_says_all_and_is_the_same_everywhere() -> None:
    law = "its text is the same in every process"
    assert "nothing of factor" in expect_broken(check_redundancy, Secretive(2), law)
    assert "nothing of factor" in expect_broken(check_redundancy, Slotted(2), law)
    assert "an address in memory" in expect_broken(check_redundancy, OneCopy(OneCopyOf(object())), law)


class OneCopyOf:
    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __repr__(self) -> str:
        return f"OneCopyOf({self._thing!r})"

    def copies(self, nodes: int) -> int:
        return 1


def test_the_order_of_a_set_is_no_text() -> None:
    assert "the order of the set" in expect_broken(check_redundancy, OneCopyOf({"one", "two"}), "its text is the same")


# -- distributions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """The first nodes by name."""

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [node.name for node in nodes][:copies]


class Raises(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        assert child.tag is not None, "no tag"
        return super().place(child, nodes, copies)


class OneName(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return nodes[0].name


class Views(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return nodes[:copies]


class Pinned(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return list(child.pins[:copies]) if len(child.pins) >= copies else super().place(child, nodes, copies)


class Twice(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [nodes[0].name] * copies


class TooMany(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [node.name for node in nodes]


class TooFew(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [nodes[0].name]


class Chance(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return random.sample([node.name for node in nodes], min(copies, len(nodes)))


class Ordered(Named):
    """It goes by the order of labels, which has no meaning."""

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [node.name for node in sorted(nodes, key=lambda node: next(iter(node.labels), ""))][:copies]


class Changes(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        dict.clear(nodes[0].labels)  # type: ignore[arg-type]  # it is a dict
        return super().place(child, nodes, copies)


class Modulo(Named):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        first = len(child.id) % len(nodes)
        return [node.name for node in (*nodes[first:], *nodes[:first])][:copies]


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Raises(), "it is total"),
        (OneName(), "a list or tuple of names"),
        (Views(), "a list or tuple of names"),
        (Pinned(), "only names of nodes that it was offered"),
        (Twice(), "copies are on different nodes"),
        (TooMany(), "no more than were asked for"),
        (TooFew(), "as many copies as were asked for"),
        (Chance(), "it is deterministic"),
        (Ordered(), "it is deterministic"),
        (Changes(), "it is pure"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_distribution_is_caught(strategy: Any, law: str) -> None:
    expect_broken(check_distribution, strategy, law)


def test_what_is_shown_is_small() -> None:
    text = expect_broken(check_distribution, TooFew(), "as many copies")
    assert "(NodeView('a'), NodeView('b')), 2) answered ['a'], and should have named 2" in text


def test_movement_is_minimal_where_that_is_promised() -> None:
    check_distribution(Named(), stable=True)
    check_distribution(Modulo())  # it promises nothing
    expect_broken(check_distribution, Modulo(), "only children move that it owned", stable=True)


class Jealous(Named):
    """Who is there shifts everybody, but one that leaves takes only its own along as long as h is not there."""

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        names = [node.name for node in nodes]
        return (list(reversed(names)) if "h" in names else names)[:copies]


def test_children_move_only_to_the_newcomer() -> None:
    expect_broken(check_distribution, Jealous(), "children", stable=True)


class OverriddenAlone(ConsistentHashing):
    """What its parent prepares does not speak for it, and a hub does not ask for that."""

    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return [node.name for node in nodes][:copies]


def test_who_overrides_place_alone_has_nothing_prepared() -> None:
    check_distribution(OverriddenAlone())


class Prepared(ConsistentHashing):
    def __init__(self, wrap: Any) -> None:
        object.__setattr__(self, "wrap", wrap)

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prepared)

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        return self.wrap(super().prepare(nodes), nodes)  # type: ignore[attr-defined, no-any-return]  # set above


@dataclass(frozen=True)
class Wrapper:
    placer: Placer
    nodes: Sequence[NodeView]

    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        return self.placer.place(child, copies)

    def movers(self, children: Any, owners: Any, joined: Any) -> Any:
        return self.placer.movers(children, owners, joined)


class OtherPlace(Wrapper):
    def place(self, child: ChildView, copies: int) -> Sequence[str]:
        return [node.name for node in self.nodes][:copies]


class NoMovers(Wrapper):
    def movers(self, children: Any, owners: Any, joined: Any) -> Any:
        return []


class WrongMovers(Wrapper):
    def movers(self, children: Any, owners: Any, joined: Any) -> Any:
        return [len(children)]


def needs_a_node(placer: Placer, nodes: Sequence[NodeView]) -> Placer:
    return Wrapper(placer, nodes[: len(nodes[0].name)])


@pytest.mark.parametrize(
    ("wrap", "law"),
    [
        (OtherPlace, "prepare(nodes).place answers what place does"),
        (NoMovers, "movers leaves out no child"),
        (WrongMovers, "movers leaves out no child"),
        (needs_a_node, "it is total"),
    ],
)
def test_a_broken_preparation_is_caught(wrap: Any, law: str) -> None:
    expect_broken(check_distribution, Prepared(wrap), law)


class Unbalanced(CentralizedLoadBalancer):
    def assign(self, children: Any, nodes: Any, counts: Any, copies: Any) -> Any:
        return super().assign(children, nodes, counts, copies)[1:]


class Crowded(CentralizedLoadBalancer):
    def assign(self, children: Any, nodes: Any, counts: Any, copies: Any) -> Any:
        return super().assign(children, nodes, counts, copies + 1)


class Counting(CentralizedLoadBalancer):
    def assign(self, children: Any, nodes: Any, counts: Any, copies: Any) -> Any:
        counts.clear()
        return super().assign(children, nodes, counts, copies)


class ByOrder(CentralizedLoadBalancer):
    def assign(self, children: Any, nodes: Any, counts: Any, copies: Any) -> Any:
        there = {node.name for node in nodes}
        return [[name for name in counts if name in there][:copies]] * children


class HashedInstead(CentralizedLoadBalancer):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Sequence[str]:
        return ConsistentHashing().place(child, nodes, copies)

    def prepare(self, nodes: Sequence[NodeView]) -> Placer:
        return ConsistentHashing().prepare(nodes)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Unbalanced, "assign names for each child"),
        (Crowded, "assign names for each child"),
        (Counting, "assign names for each child"),
        (ByOrder, "assign names for each child"),
        (HashedInstead, "the pinned nodes that are there"),
    ],
)
def test_a_broken_balance_is_caught(kind: Any, law: str) -> None:
    expect_broken(check_distribution, kind(), law)


def test_a_balance_needs_its_numbers() -> None:
    balance = CentralizedLoadBalancer()
    object.__setattr__(balance, "step", 0)
    expect_broken(check_distribution, balance, "half_life and step")


# -- redundancies, migrations, synchronizations --------------------------------------------------------------------------


@dataclass(frozen=True)
class Copies:
    answers: tuple[Any, ...]
    active: Any = "one"
    checkpoint: Any = "manual"

    def copies(self, nodes: int) -> Any:
        return self.answers[min(nodes, len(self.answers) - 1)]


class Few(Copies):
    def copies(self, nodes: int) -> Any:
        return 10 // nodes


class Sampled(Copies):
    def copies(self, nodes: int) -> Any:
        return random.randint(1, 9)


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Copies((0, 1)), "copies is an int"),
        (Copies((1, 2.0)), "copies is an int"),
        (Copies((True,)), "copies is an int"),
        (Copies((1, 3, 2)), "never falls"),
        (Few(()), "it is total"),
        (Sampled(()), "it is deterministic"),
        (Copies((1,), active="none"), "active is"),
        (Copies((1,), checkpoint=0), "checkpoint is"),
        (Copies((1,), checkpoint="often"), "checkpoint is"),
    ],
)
def test_a_broken_redundancy_is_caught(strategy: Any, law: str) -> None:
    expect_broken(check_redundancy, strategy, law)


@dataclass(frozen=True)
class Moving:
    warm: Any = True
    handover: Any = True
    retention: Any = 1.0
    max_moves: Any = None
    max_rate: Any = None
    veto: Any = None


def moody(child: str, source: str, target: str) -> bool:
    return random.random() < 0.8


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Moving(warm=1), "warm is True or False"),
        (Moving(handover=None), "and so is handover"),
        (Moving(retention=-1), "retention is seconds"),
        (Moving(max_moves=0), "max_moves and max_rate"),
        (Moving(max_rate=0.0), "max_moves and max_rate"),
        (Moving(veto="no"), "veto is None, or a pure function"),
        (Moving(veto=lambda child: False), "it is total"),
        (Moving(veto=lambda child, source, target: None), "veto is None, or a pure function"),
        (Moving(veto=moody), "veto is None, or a pure function"),
    ],
)
def test_a_broken_migration_is_caught(strategy: Any, law: str) -> None:
    expect_broken(check_migration, strategy, law)


@dataclass(frozen=True)
class Telling:
    answer: Any
    sync_interval: Any = 15.0
    forwards: Any = False

    def targets(self, peers: Sequence[str], round: int) -> Any:
        return self.answer(peers, round)


def in_turn(peers: Sequence[str], round: int) -> list[str]:
    return [peers[round % len(peers)]] if peers else []


def neighbour(peers: Sequence[str], round: int) -> list[str]:
    return list(peers[:1])


def emptied(peers: Any, round: int) -> list[str]:
    found = list(peers)
    peers.clear()
    return found


def test_some_at_a_time_are_enough() -> None:
    check_synchronization(Telling(in_turn))
    check_synchronization(Telling(neighbour, forwards=True))


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Telling(in_turn, sync_interval=0), "sync_interval is seconds"),
        (Telling(in_turn, forwards="yes"), "forwards is True or False"),
        (Telling(lambda peers, round: peers[round % len(peers)]), "it is total"),
        (Telling(lambda peers, round: "".join(peers)), "targets names peers"),
        (Telling(lambda peers, round: [*peers, *peers]), "targets names peers"),
        (Telling(lambda peers, round: ["somebody#1"]), "targets names peers"),
        (Telling(lambda peers, round: random.sample(peers, len(peers))), "it is deterministic"),
        (Telling(emptied), "it is pure"),
        (Telling(neighbour), "nobody starves: in enough rounds"),
        (Telling(lambda peers, round: peers[1:2], forwards=True), "nobody starves: what is forwarded"),
    ],
)
def test_a_broken_synchronization_is_caught(strategy: Any, law: str) -> None:
    expect_broken(check_synchronization, strategy, law)


# -- partition tolerances ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tolerating:
    answer: Any

    def allowed(self, view: ClusterView) -> Any:
        return self.answer(view)


@dataclass(frozen=True)
class Quorate(Tolerating):
    answer: Any = field(default=lambda view: True)
    quorum: Any = field(default=lambda names, view: "a" in names)
    lease: Any = 4.0
    stop: Any = 5.0
    drift: Any = 0.01
    text: Any = "the node a"

    def is_quorum(self, names: Collection[str], view: QuorumView) -> Any:
        return self.quorum(names, view)

    def needs(self, view: QuorumView) -> Any:
        return self.text


def seized(names: Any, view: QuorumView) -> bool:
    found = "a" in names
    if isinstance(names, set):
        names.discard("b")
    return found


def first_of(names: Any, view: QuorumView) -> bool:
    return next(iter(names), "") == "a"


def test_a_witness_is_a_quorum() -> None:
    check_partition_tolerance(Quorate())


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Tolerating(lambda view: len(view.alive)), "allowed answers True or False"),
        (Tolerating(lambda view: view.alive[5] == "f"), "it is total"),
        (Tolerating(lambda view: random.random() < 0.5), "it is deterministic"),
        (Tolerating(lambda view: len(view.alive) < 3), "what was allowed stays allowed"),
        (Quorate(lease=0), "lease is seconds above 0"),
        (Quorate(drift=1.0), "lease is seconds above 0"),
        (Quorate(stop=-1), "lease is seconds above 0"),
        (Quorate(quorum=lambda names, view: len(names)), "is_quorum answers True or False"),
        (Quorate(quorum=first_of), "is_quorum answers True or False"),
        (Quorate(quorum=seized), "it is pure"),
        (Quorate(quorum=lambda names, view: len(names) in (1, 3)), "more names never are less"),
        (Quorate(quorum=lambda names, view: len(names) >= 2), "have a name in common"),
        (Quorate(text=""), "needs says"),
    ],
)
def test_a_broken_tolerance_is_caught(strategy: Any, law: str) -> None:
    expect_broken(check_partition_tolerance, strategy, law)


@dataclass(frozen=True)
class Together(Quorate):
    """All nodes of one of its two groups are a quorum: nobody would find that out who did not ask about those names."""

    groups: tuple[tuple[str, ...], ...] = ()
    names: tuple[str, ...] = ("x1", "x2", "y1")

    def is_quorum(self, names: Collection[str], view: QuorumView) -> Any:
        return {"x1", "x2"} <= set(names) or "y1" in names


def test_names_that_a_strategy_has_itself_are_asked_about() -> None:
    text = expect_broken(check_partition_tolerance, Together(), "have a name in common")
    assert "x1" in text
    assert "y1" in text

    @dataclass(frozen=True)
    class NotWith(Named):
        rival: str

        def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
            names = [node.name for node in nodes]
            return [] if self.rival in names else names[:copies]

    assert "rival-7" in expect_broken(check_distribution, NotWith("rival-7"), "as many copies")


class Promising(StaticQuorum):
    def is_exact(self, names: int) -> bool:
        return True


def test_who_promises_too_much_is_caught() -> None:
    text = expect_broken(check_partition_tolerance, Promising(2), "have a name in common")
    assert "['a', 'b'] are a quorum" in text or "are a quorum, and so are" in text


# -- all of them -----------------------------------------------------------------------------------------------------------


class Both(OneCopy):
    def place(self, child: ChildView, nodes: Sequence[NodeView], copies: int) -> Any:
        return []


def test_families_are_found_by_their_methods() -> None:
    expect_broken(check_strategy, Both(), "as many copies as were asked for")
    expect_broken(check_strategy, Copies((0,)), "copies is an int")
    for wrong in (object(), Singularity, None):
        with pytest.raises(ConfigurationError, match="a strategy is a value"):
            check_strategy(wrong)
    with pytest.raises(ConfigurationError, match=r"a strategy of migrations is a value with \.warm"):
        check_migration(Singularity())
    with pytest.raises(ConfigurationError, match="examples must be an int"):
        check_redundancy(Singularity(), examples=0)


def test_as_many_cases_are_drawn_as_are_asked_for() -> None:
    asked: list[int] = []

    class Noting(OneCopy):
        def copies(self, nodes: int) -> int:
            asked.append(nodes)
            return 1

    check_redundancy(Noting(), examples=5)
    assert len(asked) <= 5 * 5
    asked.clear()
    check_redundancy(Noting(), settings=hypothesis.settings(max_examples=3, database=None))
    assert len(asked) <= 3 * 5


def test_who_changes_its_mind_from_case_to_case_is_caught() -> None:
    class Aging(OneCopy):
        def copies(self, nodes: int) -> int:
            calls.append(nodes)
            return 0 if len(calls) == 20 else 1

    calls: list[int] = []
    expect_broken(check_redundancy, Aging(), "it is deterministic")
