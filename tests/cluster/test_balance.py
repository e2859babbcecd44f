"""Who pins what, where the distribution gives each child its place once."""

from __future__ import annotations

from collections import Counter

from tests.cluster.crowd import Crowd, strategies

from hubkit import Placement
from hubkit.cluster.rows import NodeRow, Want
from hubkit.strategies import CentralizedLoadBalancer


class Two:
    """Two copies of each child, as far as pins go."""

    def copies(self, nodes: int) -> int:
        return 2


def crowd(*names: str, **others: object) -> Crowd:
    return Crowd(*names, strategies=strategies(distribution=CentralizedLoadBalancer(), **others))


def homes(crowd: Crowd, *children: str) -> dict[str, str]:
    found = {}
    for child in children:
        (found[child],) = crowd.where(child)
    return found


def ids(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{number:02}" for number in range(count)]


def test_whoever_starts_a_child_pins_it_where_there_is_least() -> None:
    three = crowd("a", "b", "c")
    three.want("b", *ids(9))
    assert Counter(homes(three, *ids(9)).values()) == {"a": 3, "b": 3, "c": 3}
    assert all(len(want.pins) == 1 for want in three.core("c").wants.values())


def test_a_want_with_pins_keeps_them_and_one_that_is_written_again_stays() -> None:
    two = crowd("a", "b")
    two.core("a").write_wants({"x": Want("A", b"", pins=("b",)), "y": Want("A", b"")}, two.now)
    two.settle()
    before = homes(two, "x", "y")
    assert before["x"] == "b"
    two.core("b").write_wants({"x": Want("A", b"new"), "y": Want("A", b"new")}, two.now)
    two.settle()
    assert homes(two, "x", "y") == before


def test_how_busy_a_node_is_counts() -> None:
    two = crowd("a", "b")
    two.core("a").set_load(2.0, two.now)
    two.settle()
    dirty = two.core("b").changed.copy()
    two.want("b", *ids(8))
    assert Counter(homes(two, *ids(8)).values()) == {"a": 2, "b": 6}
    two.core("b").changed.clear()
    two.core("a").set_load(1.0, two.now)
    two.settle()
    assert {row.load for row in two.core("b").nodes.values()} == {0.0, 1.0}
    assert two.core("b").changed == dirty == set()  # it concerns no child
    assert Counter(homes(two, *ids(8)).values()) == {"a": 2, "b": 6}


def test_what_a_dead_node_leaves_is_pinned_by_the_first_and_nothing_else_moves() -> None:
    four = crowd("a", "b", "c", "d")
    four.want("a", *ids(12))
    before = homes(four, *ids(12))
    for member in four.members.values():
        member.starts.clear()
        member.stops.clear()
    four.kill("b")
    four.tick()
    after = homes(four, *ids(12))
    assert Counter(after.values()) == {"a": 4, "c": 4, "d": 4}
    assert {child: home for child, home in before.items() if home != "b"}.items() <= after.items()
    assert sum(len(member.starts) for member in four.members.values()) == 3
    assert not any(member.stops for member in four.members.values())
    writers = {four.core("d")._store.rows["want", child].stamp.node for child in before if before[child] == "b"}
    assert writers == {"a#1"}


def test_when_the_first_dies_the_next_is_the_first() -> None:
    three = crowd("a", "b", "c")
    three.want("c", *ids(9))
    three.kill("a")
    three.tick()
    assert Counter(homes(three, *ids(9)).values()).keys() == {"b", "c"}
    three.kill("b")
    three.tick()
    assert set(homes(three, *ids(9)).values()) == {"c"}
    three.add("a", strategies=strategies(distribution=CentralizedLoadBalancer()))
    three.tick(3)
    assert set(homes(three, *ids(9)).values()) == {"c"}  # nothing is shuffled
    three.want("a", "new")
    assert homes(three, "new") == {"new": "a"}


def test_a_child_without_pins_is_pinned_where_it_runs() -> None:
    three = crowd("a", "b", "c")
    three.want("a", *ids(6))
    before = homes(three, *ids(6))
    for child in ids(6):
        three.core("c").pin(child, (), three.now)
    three.settle()
    assert homes(three, *ids(6)) == before
    assert {child: want.pins for child, want in three.core("b").wants.items()} == {
        child: (home,) for child, home in before.items()
    }


def test_two_copies_have_two_pins_and_what_is_missing_is_filled_up() -> None:
    three = crowd("a", "b", "c", redundancy=Two())
    core = three.core("a")
    three.want("a", *ids(6))
    assert all(len(set(want.pins)) == 2 for want in core.wants.values())
    assert Counter(name for want in core.wants.values() for name in want.pins) == {"a": 4, "b": 4, "c": 4}
    one = next(child for child, want in core.wants.items() if want.pins[0] == "b")
    other = next(name for name in core.wants[one].pins if name != "b")
    three.kill("b")
    three.tick()
    assert set(core.wants[one].pins) == {"a", "c"}
    assert core.wants[one].pins[0] == other


def test_labels_and_keys_and_what_nobody_can_start() -> None:
    two = Crowd("a", strategies=strategies(distribution=CentralizedLoadBalancer()), labels=(("zone", "eu"),))
    two.add("b", strategies=strategies(distribution=CentralizedLoadBalancer()))
    two.tick(3)
    eu, keyed = Placement(labels={"zone": "eu"}), Placement(together="k")
    wants = {f"e{n}": Want("A", b"", placement=eu) for n in range(4)}
    wants |= {f"k{n}": Want("A", b"", placement=keyed) for n in range(4)}
    wants["n"] = Want("nobody can", b"")
    two.core("b").write_wants(wants, two.now)
    two.settle()
    assert {homes(two, f"e{n}")[f"e{n}"] for n in range(4)} == {"a"}
    assert len({homes(two, f"k{n}")[f"k{n}"] for n in range(4)}) == 1
    assert two.core("a").wants["k0"].pins == two.core("a").wants["n"].pins == ()
    assert two.where("n") == {}


def test_what_would_be_is_imagined_without_a_word() -> None:
    three = crowd("a", "b", "c")
    three.want("a", *ids(9))
    core = three.core("c")
    version = dict(core._store.version)
    rows = [row for row in core.nodes.values() if row.name != "b"]
    places = core.imagined(rows)
    assert Counter(names[0] for names in places.values()).keys() == {"a", "c"}
    assert max(Counter(names[0] for names in places.values()).values()) == 5
    more = core.imagined([*core.nodes.values(), NodeRow("d", None, "ready", ("A",))])
    assert {child: names[0] for child, names in more.items()} == homes(three, *ids(9))
    assert dict(core._store.version) == version
