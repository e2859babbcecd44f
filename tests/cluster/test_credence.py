"""What is taken of a message, and what is not: pure decisions, each with its bound."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.crowd import Crowd

from hubkit.cluster import credence
from hubkit.cluster.bounds import HELLOS, MEMBERSHIPS, SIZE, WRITERS
from hubkit.cluster.credence import HEARSAY, LEAP, weigh
from hubkit.cluster.door import Door
from hubkit.cluster.effects import Refuse, Warn
from hubkit.cluster.groups import Groups
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.rows import Key, NodeRow, Row, Run, Want
from hubkit.cluster.settings import is_plausible
from hubkit.cluster.stamps import HybridClock, Moment, Stamp
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Kind, Sync
from hubkit.cluster.tidings import COUNTS, Ask, Change, Tell, Whole, following, is_near
from hubkit.errors import ProtocolViolation

WALL, DRIFT = 1_000_000, 100.0  # milliseconds; seconds
PEER, OTHER = "p#1", "o#1"


def sync(
    rows: dict[Key, Row] | None = None, *, kind: Kind = "delta", upto: dict[str, Moment] | None = None, **fields: Any
) -> Sync:
    found = rows or {}
    covered = {row.stamp.node: row.stamp[:2] for row in found.values()} | (upto or {})
    values: dict[str, Any] = {"since": {}, "have": {}, "more": False, "digest": 0} | fields
    return Sync(found, covered, kind=kind, **values)


def store_of(*rows: tuple[Key, Row]) -> Store:
    store = Store(HybridClock("me#1"))
    store.join(dict(rows), {row.stamp.node: row.stamp[:2] for _, row in rows}, {})
    return store


def wants(count: int, node: str = PEER, body: bytes = b"") -> dict[Key, Row]:
    return {("want", f"c{n}"): Row(Stamp(n, 0, node), Want("A", body)) for n in range(count)}


def weighed(
    said: Sync, store: Store | None = None, *, known: tuple[str, ...] = (PEER,), pending: int = 0
) -> Sync | str:
    return weigh(PEER, said, store or store_of(), {}, (known,), WALL, DRIFT, pending)


def at(seconds: float) -> Moment:
    return (WALL + int(seconds * 1000), 0)


# -- clocks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["upto", "have"])
def test_clocks_are_bounded_in_grades(field: str) -> None:
    def said(node: str, seconds: float) -> Sync:
        moments = {node: at(seconds), "x#1": at(0)}
        return sync(upto=moments) if field == "upto" else sync(have=moments)

    for node, seconds in ((PEER, DRIFT), (OTHER, DRIFT * HEARSAY)):
        found = said(node, seconds)
        assert weighed(found) is found  # the very same: nothing was copied
    assert "ahead of mine" in str(weighed(said(PEER, DRIFT + 1)))
    assert "ahead of mine" in str(weighed(said(OTHER, 2 * DRIFT + 1)))
    for seconds in (DRIFT * HEARSAY + 1, DRIFT + 1, 2 * DRIFT):  # an honest one may have been told so
        rest = weighed(said(OTHER, seconds))
        assert isinstance(rest, Sync)
        assert {**rest.upto, **rest.have} == {"x#1": at(0)}


def test_a_clock_follows_others_so_far_and_no_further() -> None:
    clock = HybridClock("me#1")
    clock.limit = (5000, 0)
    clock.witness((4000, 3))
    assert clock.next(1.0) == Stamp(4000, 4, "me#1")
    clock.witness((9000, 0))
    assert clock.next(1.0) == Stamp(5000, 1, "me#1")
    clock.witness((9000, 0))
    assert clock.next(1.0) == Stamp(5000, 2, "me#1")  # it does not go back
    store = Store(clock)
    store.join({("want", "x"): Row(Stamp(9000, 0, PEER), Want("A", b""))}, {PEER: (9000, 0)}, {})
    assert store.put(("want", "y"), Want("A", b""), 1.0)[:2] < (9000, 0)
    assert store.put(("want", "x"), None, 1.0)[:2] > (9000, 0)  # but what it replaces it outdoes
    assert store.get(("want", "x")) is None


def test_a_removal_of_what_will_be_written_is_refused() -> None:
    for seconds, fine in ((DRIFT, True), (DRIFT + 1, False)):
        said = sync({("run", "x", OTHER): Row(Stamp(1, 0, PEER), None, at(seconds))})
        assert (weighed(said) is said) is fine


def test_nobody_forgets_removals_that_it_has_not_seen() -> None:
    for since, fine in ((5, True), (6, False)):
        said = sync(kind="whole", upto={OTHER: (5, 0)}, since={OTHER: (since, 0)})
        assert (weighed(said) is said) is fine


def test_what_is_set_aside_is_asked_for_once_a_beat() -> None:
    """It may be true, and not told anew by itself: so it is asked for, and not at once, for it would be said again at once."""
    crowd = Crowd("a", "b", forget_after=1e6)
    ahead = {"x#1": (int((crowd.now + 250) * 1000), 0)}  # hearsay is taken up to 225 s ahead of my clock

    def asked() -> int:
        hellos = [said for _, said in crowd["a"].sent if said.kind == "hello"]
        crowd["a"].sent.clear()
        return len(hellos)

    asked()
    for _ in range(3):
        for _ in range(5):
            assert tell(crowd, "a", "b#1", sync(upto=ahead)) == []
            crowd.settle()
        assert asked() == 0
        crowd.tick()
        assert asked() == 1
    crowd.now += 30.0
    tell(crowd, "a", "b#1", sync(upto=ahead))
    crowd.tick()
    assert asked() == 0
    assert crowd.core("a")._store.version["x#1"] == ahead["x#1"]


# -- how much --------------------------------------------------------------------------------------------------------------


def test_too_many_rows_of_one_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credence, "ROWS_OF_ONE", 5)
    store = store_of(*wants(4).items())
    assert isinstance(weighed(sync(wants(5)), store), Sync)  # four of them are there
    assert "more rows than" in str(weighed(sync(wants(6)), store))
    six: dict[Key, Row] = {("want", f"o{key[1]}"): row for key, row in wants(6, OTHER).items()}
    six["want", "mine"] = Row(Stamp(9, 0, PEER), Want("A", b""))
    rest = weighed(sync(six), store)
    assert isinstance(rest, Sync)
    assert set(rest.rows) == {("want", "mine")}  # another's are set aside: the peer may not know how many there are


def test_too_many_bytes_of_one_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credence, "WEIGHT_OF_ONE", 10)
    store = store_of(*wants(2, body=b"1234").items())
    assert store.weight == {PEER: 8}
    more: dict[Key, Row] = {("want", "more"): Row(Stamp(9, 0, PEER), Want("A", b"123"))}
    assert "larger than" in str(weighed(sync(more), store))
    store.put(("want", "c0"), None, 1.0)
    assert store.weight[PEER] == 4
    assert isinstance(weighed(sync(more), store), Sync)


def test_too_many_rows_of_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credence, "ROWS", 3)
    said = sync({**wants(2, OTHER), ("want", "mine"): Row(Stamp(9, 0, PEER), Want("A", b""))})
    store = store_of(*wants(3, "x#1").items())
    rest = weighed(said, store)
    assert isinstance(rest, Sync)
    assert {row.stamp.node for row in rest.rows.values()} == {PEER}
    assert weighed(said, store, known=(PEER, OTHER)) is said
    assert "no hub has so many" in str(weighed(said, pending=5))


def test_too_many_writers() -> None:
    few = {f"w{n}#1": (1, 0) for n in range(WRITERS // 4)}
    assert isinstance(weighed(sync(upto=few)), Sync)
    assert "no hub has so many" in str(weighed(sync(upto=few | {"one#1": (1, 0)})))
    store = store_of()
    for part in range(4):
        store.join({}, {f"x{part}-{n}#1": (1, 0) for n in range(WRITERS // 4)}, {})
    rest = weighed(sync(upto=few | {"x0-0#1": (2, 0)}, have={}), store)
    assert isinstance(rest, Sync)
    assert rest.upto == {"x0-0#1": (2, 0)}  # of those that are known there is news


def test_writers_of_whom_nothing_is_left_are_forgotten_early_where_they_are_many() -> None:
    crowd = Crowd("a", "b")
    store = crowd.core("a")._store
    store.join({}, {f"w{n}#1": (n, 0) for n in range(WRITERS // 8)}, {})
    crowd.tick(2)
    assert len(store.version) <= WRITERS // 16 + 4
    held = crowd.core("a")._replication
    held._pruned.update({f"v{n}#1": (1, 0) for n in range(WRITERS + 1)})
    held.acked["b#1"]["v5#1"] = (1, 0)
    crowd.tick(1)
    assert held._pruned == {"v5#1": (1, 0)}


@pytest.mark.parametrize(
    ("id", "body", "fine"),
    [
        ("@quorum/size/3/5", b"", True),
        (f"@quorum/size/3/{SIZE + 1}", b"", False),
        (f"@quorum/size/{1 << 62}/5", b"", False),
        ("@quorum/size/3", b"", False),
        ("@quorum/size/x/5", b"", False),
        ("@quorum/voters/3/5", b"a\nb", True),
        ("@quorum/voters/3/5", b"a\n\nb", False),
        ("@quorum/voters/3/5", b"a" * 5000, False),
        ("@quorum/of a later release", b"", True),
    ],
)
def test_settings_that_a_hub_can_have(id: str, body: bytes, fine: bool) -> None:
    assert is_plausible(id, Want("", body)) is fine
    said = sync({("want", id): Row(Stamp(1, 0, PEER), Want("", body))})
    assert (weighed(said) is said) is fine


# -- who speaks for whom -----------------------------------------------------------------------------------------------------


def run_of(term: int) -> Run:
    return Run(term, "active", phase="running", serial=1)


def test_what_was_told_in_a_writers_name_goes_with_its_own_word() -> None:
    store = store_of((("run", "x", OTHER), Row(Stamp(5, 0, OTHER), run_of(1))))
    forged = Row(Stamp(9, 0, OTHER), run_of(1 << 20))
    store.join(
        {("run", "y", OTHER): forged, ("want", "z"): Row(Stamp(9, 1, OTHER), Want("A", b""))}, {OTHER: (9, 1)}, {}, PEER
    )
    assert store.rows["run", "y", OTHER] == forged
    store.join({}, {OTHER: (20, 0)}, {OTHER: (5, 0)}, OTHER)
    assert ("run", "y", OTHER) not in store.rows
    assert store.forged == [(("run", "y", OTHER), forged.stamp)]
    assert store.get(("run", "x", OTHER)) == run_of(1)  # it was told that before
    assert store.get(("want", "z")) is not None  # wants are anyone's


def test_what_a_writer_tells_as_others_did_stays() -> None:
    row = Row(Stamp(9, 0, OTHER), run_of(1))
    store = store_of()
    store.join({("run", "y", OTHER): row}, {OTHER: (9, 0)}, {}, PEER)
    store.join({("run", "y", OTHER): row}, {OTHER: (9, 0)}, {}, OTHER)
    assert store.rows["run", "y", OTHER] == row
    assert not store.forged


def tell(crowd: Crowd, to: str, by: str, said: Sync) -> list[str]:
    """What is refused, or complained of."""
    core = crowd.core(to)
    core.receive(by, said, crowd.now)
    effects = core.take(send=False)
    return [e.text if isinstance(e, Warn) else e.reason for e in effects if isinstance(e, Warn | Refuse)]


def test_a_removal_of_the_living_is_disputed() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("a")
    crowd.want("b", child)
    (term,) = {run.term for run in crowd.core("a").runs[child].values()}
    stamp = Stamp(int(crowd.now * 1000), 5, "c#1")
    removal: dict[Key, Row] = {("run", child, "a#1"): Row(stamp, None, stamp[:2])}
    (line,) = tell(crowd, "a", "c#1", sync(removal))
    assert "of what c#1 says: it removes the row of this node" in line
    assert crowd.core("a").runs[child]["a#1"].term == term  # it holds to it, and has written it anew
    tell(crowd, "b", "c#1", sync(removal))
    crowd.settle()
    assert [len(member.starts) for member in crowd.members.values()] == [1, 0, 0]
    assert crowd.core("b").runs[child]["a#1"].term == term


def test_who_might_claim_what_was_removed_of_the_living_waits_for_a_moment() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("b")
    crowd.want("a", child)
    # It runs on b; a is told that b's row, and b itself, were removed, and that c has gone.
    crowd.held |= {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")}
    stamp = Stamp(int(crowd.now * 1000), 5, "c#1")
    removal: dict[Key, Row] = {
        ("run", child, "b#1"): Row(stamp, None, stamp[:2]),
        ("node", "b#1"): Row(stamp, None, stamp[:2]),
        ("node", "c#1"): Row(Stamp(stamp.time_ms, 6, "c#1"), None),
    }
    tell(crowd, "a", "c#1", sync(removal))
    core = crowd.core("a")
    assert core._rules.decide(child).rule == "a removal may be disputed"
    assert "run" not in str(crowd["a"].starts)
    crowd.now += 2.0
    core.touch(crowd.now)
    assert core._rules._disputed(child) == ()
    assert core.runs[child]["a#1"].term == 2  # b has had the term before


def test_what_was_removed_again_is_disputed_again() -> None:
    crowd = Crowd("a", "b", "c")
    child = crowd.child_of("b")
    crowd.want("a", child)
    core = crowd.core("a")

    def removed() -> list[str]:
        stamp = core._store.clock.next(crowd.now)._replace(node="c#1")
        rows: dict[Key, Row] = {key: Row(stamp, None, stamp[:2]) for key in (("run", child, "b#1"), ("node", "b#1"))}
        return tell(crowd, "a", "c#1", sync({**rows, ("node", "c#1"): Row(stamp, None)}))

    removed()
    assert core._rules.decide(child).rule == "a removal may be disputed"
    crowd.settle()  # b hears of it, and objects
    crowd.tick(5)
    assert core.runs[child]["b#1"].term == 1
    crowd.held |= {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")}
    for _ in range(4):
        removed()
        assert core._rules.decide(child).rule == "a removal may be disputed"
        crowd.now += 0.4


def test_terms_that_were_removed_are_kept_while_the_child_is_wanted() -> None:
    store = store_of((("want", "x"), Row(Stamp(1, 0, PEER), Want("A", b""))))
    ledger = Ledger(store)

    def write(node: str, run: Run | None, now: float) -> dict[str, int]:
        store.put(("run", "x", node), run, now)
        ledger.absorb()
        return dict(ledger.passed)

    assert write(OTHER, run_of(5), 1.0) == {}
    assert write("z#1", run_of(7), 1.0) == {}
    assert write(OTHER, None, 1.0) == {}  # a greater one stands
    assert write("z#1", None, 1.0) == {"x": 7}
    assert write(OTHER, run_of(6), 1.0) == {"x": 7}
    assert write(OTHER, None, 1.0) == {"x": 7}
    assert write(OTHER, run_of(9)._replace(role="claiming"), 1.0) == {"x": 7}
    assert write(OTHER, None, 1.0) == {"x": 7}  # that was only claimed
    assert write(OTHER, Run(8, "released", OTHER), 1.0) == {}  # granted to itself after term 7
    assert write(OTHER, None, 1.0) == {"x": 7}
    store.put(("want", "x"), None, 2.0)
    ledger.absorb()
    assert ledger.passed == {}
    store.put(("want", "x"), Want("A", b""), 2.0)
    assert write(OTHER, run_of(1), 2.0) == {}
    assert write(OTHER, None, 2.0) == {"x": 1}


def test_no_term_that_was_removed_leads_beyond_what_others_believe() -> None:
    crowd = Crowd("a")
    rules, ledger = crowd.core("a")._rules, crowd.core("a")._ledger
    ledger.passed["x"] = LEAP
    assert rules._last("x", {}) + 1 <= LEAP
    assert rules._last("x", {PEER: run_of(LEAP + 3)}) == LEAP + 3


def test_nobody_else_writes_in_my_name() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{n}" for n in range(6)))
    before = {key: row.value for key, row in crowd.core("a")._store.rows.items()}
    later = int(crowd.now * 1000) + 500
    forged: dict[Key, Row] = {
        ("run", "c0", "a#1"): Row(Stamp(later, 1, "a#1"), Run(1 << 20, "released", "c#1")),
        ("run", "new", "a#1"): Row(Stamp(later, 2, "a#1"), run_of(7)),
        ("node", "a#1"): Row(Stamp(later, 3, "a#1"), NodeRow("a", None, "leaving", ("A",))),
    }
    (line,) = tell(crowd, "a", "c#1", sync(forged))
    assert "has not" in line
    assert tell(crowd, "a", "c#1", sync(forged)) == []  # said once in a while
    again = sync(upto={"a#1": (later + 10, 0)})
    tell(crowd, "a", "c#1", again)  # and it is outgrown at the next beat
    crowd.settle()
    crowd.tick(2)
    for name in "abc":
        rows = crowd.core(name)._store.rows
        assert {key: row.value for key, row in rows.items() if row.value is not None} == before
    assert crowd.core("a")._store.version["a#1"] > (later + 10, 0)


def test_a_whole_map_without_others_rows_removes_none_of_them() -> None:
    crowd = Crowd("a", "b", "c")
    crowd.want("a", *(f"c{n}" for n in range(6)))
    before = dict(crowd.core("a")._store.rows)
    starts = [len(member.starts) for member in crowd.members.values()]
    rows: dict[Key, Row] = {key: row for key, row in before.items() if key[0] == "want"}
    lie = sync(rows, kind="whole", upto={node: (int(crowd.now * 1000) + 200, 0) for node in ("a#1", "b#1")})
    tell(crowd, "a", "c#1", lie)
    for key, row in before.items():
        assert crowd.core("a")._store.get(key) == row.value, key
    crowd.settle()
    crowd.tick(3)
    assert [len(member.starts) for member in crowd.members.values()] == starts
    (line,) = tell(crowd, "b", "c#1", sync({}, kind="whole", upto=dict(crowd.core("b")._store.version)))
    assert "its whole map has no child 'c0' and 5 more any more" in line


def test_a_whole_map_removes_rows_of_the_reader_that_it_does_not_hold_to() -> None:
    """A row about a child that runs here stays; one that is left of a child that ran here goes, as somebody has cleared it."""
    crowd = Crowd("a", "b")
    here, gone = crowd.child_of("a"), "gone"
    crowd.want("a", here)
    store = crowd.core("a")._store
    store.put(("run", gone, "a#1"), Run(1, "released", "b#1"), crowd.now)
    rows: dict[Key, Row] = {key: row for key, row in store.rows.items() if key[0] != "run"}
    assert tell(crowd, "a", "b#1", sync(rows, kind="whole", upto=dict(store.version))) == []
    assert ("run", gone, "a#1") not in store.rows  # nor a tombstone
    assert store.get(("run", here, "a#1")) is not None


def test_hellos_are_answered_so_often_in_a_beat() -> None:
    crowd = Crowd("a", "b")
    crowd["a"].sent.clear()
    lines = []
    for _ in range(3 * HELLOS):
        lines += tell(crowd, "a", "b#1", sync(kind="hello"))
        crowd["a"].perform()
    assert len([said for _, said in crowd["a"].sent if said.kind != "hello"]) == HELLOS
    (line,) = lines
    assert "it has to wait" in line
    crowd.tick(1)
    assert len([said for _, said in crowd["a"].sent if said.kind != "hello"]) > HELLOS  # and it gets its answer


def test_the_door_remembers_no_more_names_than_it_must() -> None:
    store = store_of()
    crowd = Crowd("a")
    core = crowd.core("a")
    door = Door(store, core._ledger, core._replication, 1.0)
    for number in range(1500):
        door.found.append((f"n{number}#1", "it lies"))
    assert len(door.complaints(0.0)) == 1500
    assert len(door._said) == 1000
    door.found.append(("n1499#2", "it lies"))
    assert door.complaints(59.0) == []
    door.found.append(("n1499#3", "it lies"))
    assert [warning.text for warning in door.complaints(60.0)] == ["of what n1499#3 says: it lies"]


# -- groups ------------------------------------------------------------------------------------------------------------------


def test_versions_of_rosters_are_of_times_that_are_near() -> None:
    assert following((5, 7)) == (5, 8)
    assert following((5, 7), born=9) == (9, 8)
    assert following((5, COUNTS - 1)) == (6, 0)
    assert is_near(PEER, Change((0, 0), (100, 1), {}, {}), 100)
    assert not is_near(PEER, Change((0, 0), (101, 1), {}, {}), 100)
    assert not is_near(PEER, Whole(PEER, (101, 1), {}), 100)
    assert is_near(PEER, Whole(OTHER, (101, 1), {}), 100)  # it may have been told so
    assert not is_near(PEER, Tell({PEER: (101, 0)}), 100)
    assert is_near(PEER, Tell({OTHER: (101, 0)}), 100)
    assert is_near(PEER, Ask((OTHER,)), 100)


def test_nobody_speaks_for_a_linked_node_and_rosters_have_an_end() -> None:
    groups = Groups("a#1", 0)
    for peer in (PEER, OTHER):
        groups.link_up(peer)
    groups.see([PEER, OTHER])
    members = [PEER, OTHER, "z#1"]
    groups.receive(OTHER, Change((0, 0), (1, 1), {"g": frozenset({1})}, {}), members, 0)
    groups.receive(PEER, Whole(OTHER, (99, 9), {"g": frozenset({7})}), members, 0)
    groups.receive(PEER, Whole("z#1", (1 << 40, 9), {"g": frozenset({8})}), members, 0)
    assert groups.members("g") == [(OTHER, 1)]
    assert groups.writers() == {"a#1", OTHER}
    with pytest.raises(ProtocolViolation, match="who is in which group"):
        groups.receive(PEER, Change((0, 0), (1 << 40, 1), {}, {}), members, 0)
    many = frozenset(range(MEMBERSHIPS))
    with pytest.raises(ProtocolViolation, match="more than"):
        groups.receive(OTHER, Change((1, 1), (1, 2), {"h": many}, {}), members, 0)
    groups.receive(PEER, Tell({"y#1": (0, 0)}), members, 0)
    assert groups._told[PEER] == {}
    groups.take()
    for _ in range(9):
        groups.receive(PEER, Ask((OTHER, "y#1")), members, 0)
        given = [message for peer, message in groups.take() if peer == PEER]
    assert given == []  # it has had it four times since the last beat
