"""The story of a trace: what was owned, sent, lost and cut."""

from __future__ import annotations

import pytest

import hubkit
from hubkit.testing.lanes import Double, Life, Story, natural, read
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Trace


def story(*steps: tuple[float, str, str, str, str], until: float = 10.0) -> Story:
    trace = Trace()
    for step in steps:
        trace.add(*step)
    return read(trace.steps, until)


def begin(time: float, node: str, child: str = "c", serial: int = 1) -> tuple[float, str, str, str, str]:
    return (time, "begin", node, "", f"shop {child} term=1 serial={serial}")


def ending(time: float, node: str, child: str = "c", serial: int = 1) -> tuple[float, str, str, str, str]:
    return (time, "ending", node, "", f"shop {child} term=1 serial={serial}")


def end(time: float, node: str, child: str = "c", serial: int = 1) -> tuple[float, str, str, str, str]:
    return (time, "end", node, "", f"shop {child} term=1 serial={serial}")


def fault(time: float, text: str, node: str = "", peer: str = "") -> tuple[float, str, str, str, str]:
    return (time, "fault", node, peer, text)


def send(time: float, a: str, b: str, text: str = "1 40 aa") -> tuple[float, str, str, str, str]:
    return (time, "send", a, b, text)


def deliver(time: float, a: str, b: str, text: str = "1 40 aa") -> tuple[float, str, str, str, str]:
    return (time, "deliver", b, a, text)


def stretches(found: Story) -> list[tuple[str, float, float]]:
    return [(double.child, double.since, double.until) for double in found.doubles]


def test_nothing_is_a_story_too() -> None:
    assert read((), 0.0) == Story()
    assert read((), 3.0, ["n10", "n9"]).nodes == ["n9", "n10"]


def test_names_are_sorted_as_people_do() -> None:
    names = ["n10", "a", "n9", "n", "10", "9", "n9b", ""]
    assert sorted(names, key=natural) == ["", "a", "n", "n9", "n9b", "n10", "9", "10"]


# -- owners


def test_two_owners_are_a_double_from_the_later_beginning_to_the_earlier_ending() -> None:
    found = story(begin(1, "a"), begin(3, "b"), ending(5, "a"), end(6, "a"))
    assert found.doubles == [Double("shop", "c", 3, 5, (0, 1))]
    assert [(run.begin, run.ending, run.end) for run in found.runs] == [(1, 5, 6), (3, None, None)]


def test_an_owner_after_the_other_is_no_double_and_neither_is_a_moment() -> None:
    assert not story(begin(1, "a"), ending(2, "a"), begin(2, "b"), end(3, "a")).doubles
    assert not story(begin(1, "a"), begin(2, "b"), ending(2, "a")).doubles
    assert not story(begin(1, "a", "c1"), begin(1, "b", "c2")).doubles


def test_a_third_owner_belongs_to_the_same_stretch() -> None:
    found = story(begin(1, "a"), begin(2, "b"), begin(3, "c"), end(4, "a"), end(5, "b"))
    assert found.doubles == [Double("shop", "c", 2, 5, (0, 1, 2))]


def test_a_double_may_last_until_the_end() -> None:
    assert stretches(story(begin(1, "a"), begin(2, "b"))) == [("c", 2, 10)]


def test_what_stands_still_owns_nothing() -> None:
    found = story(begin(1, "a"), begin(2, "b"), fault(3, "pause", "a"), fault(5, "resume", "a"), end(6, "b"))
    assert stretches(found) == [("c", 2, 3), ("c", 5, 6)]
    found = story(fault(1, "pause", "a"), begin(2, "b"), begin(3, "a"), fault(4, "resume", "a"), until=5)
    assert stretches(found) == [("c", 4, 5)]
    found = story(begin(1, "a"), begin(2, "b"), fault(3, "pause", "a"), ending(4, "a"), fault(5, "resume", "a"))
    assert stretches(found) == [("c", 2, 3)]


@pytest.mark.parametrize("text", ["crash", "loses power"])
def test_a_crash_ends_what_ran_there(text: str) -> None:
    found = story((0, "node", "a", "", "started"), begin(1, "a"), begin(2, "b"), fault(4, text, "a"))
    assert stretches(found) == [("c", 2, 4)]
    assert found.runs[0].end == 4
    assert found.lives == [Life("a", "starting", 0, 4), Life("a", "crashed", 4, 10)]


def test_a_child_may_have_any_name() -> None:
    found = story((1, "begin", "a", "", "shop my child term=2 x term=3 serial=4"), (2, "begin", "a", "", "nonsense"))
    assert [(run.child, run.term, run.serial) for run in found.runs] == [("my child term=2 x", 3, 4)]


def test_a_trace_may_begin_in_the_middle() -> None:
    found = story((4, "note", "", "", "x"), end(5, "a"), deliver(6, "a", "b"), ending(7, "b"))
    assert [(run.node, run.begin, run.ending, run.end) for run in found.runs] == [("a", 4, 5, 5), ("b", 4, 7, None)]
    assert not found.messages


# -- processes and disasters


def test_the_life_of_a_process() -> None:
    states = [(0, "started"), (1, "open shop"), (2, "open bank"), (5, "leaving"), (6, "left"), (7, "started")]
    found = story(*[(time, "node", "a", "", text) for time, text in states], fault(8, "pause", "a"))
    assert [(life.state, life.since, life.until) for life in found.lives] == [
        ("starting", 0, 1),
        ("open", 1, 5),
        ("leaving", 5, 6),
        ("left", 6, 7),
        ("starting", 7, 8),
        ("paused", 8, 10),
    ]


def test_partitions_end_one_by_one_or_all_at_once() -> None:
    one, two = "partition {a} | {b, c}", "one-way partition {b} | {c}"
    found = story(fault(1, one), fault(2, two), fault(3, f"heal {two}"), fault(4, two), fault(6, "heal"))
    assert [(span.since, span.until, span.text) for span in found.spans] == [(1, 6, one), (2, 3, two), (4, 6, two)]
    assert found.spans[0].groups == (("a",), ("b", "c"))
    assert not any(span.is_open for span in found.spans)


def test_holds_end_for_their_own_pair() -> None:
    found = story(fault(1, "hold", "a", "b"), fault(2, "hold", "b", "c"), fault(3, "release", "b", "a"))
    assert [(span.kind, span.since, span.until, span.is_open) for span in found.spans] == [
        ("hold", 1, 3, False),
        ("hold", 2, 10, True),
    ]


def test_a_pause_ends_with_the_process() -> None:
    found = story(fault(1, "pause", "a"), fault(1, "pause", "b"), fault(3, "crash", "a"), fault(4, "resume", "b"))
    assert [(span.groups, span.until) for span in found.spans] == [((("a",),), 3), ((("b",),), 4)]


# -- messages


def test_messages_of_one_text_arrive_in_the_order_in_which_they_were_sent() -> None:
    found = story(send(1, "a", "b"), send(2, "a", "b"), send(2, "b", "a"), deliver(3, "a", "b"), deliver(4, "a", "b"))
    assert [(m.source, m.sent, m.at, m.state) for m in found.messages] == [
        ("a", 1, 3, "delivered"),
        ("a", 2, 4, "delivered"),
        ("b", 2, 10, "under way"),
    ]
    assert [(m.number, m.arrival) for m in found.messages] == [(0, 3), (1, 4), (2, -1)]


def test_what_does_not_arrive_before_its_link_breaks_is_lost() -> None:
    found = story(
        send(1, "a", "b"),
        deliver(2, "a", "b"),
        send(3, "a", "b", "1 40 bb"),
        send(3, "a", "b", "2 40 cc"),
        (5, "break", "b", "a", "link 1: reset"),
        (6, "break", "a", "b", "link 1: reset"),
    )
    assert [(m.state, m.at) for m in found.messages] == [("delivered", 2), ("lost", 5), ("under way", 10)]


def test_what_is_on_its_way_to_a_crash_is_lost() -> None:
    found = story(send(1, "a", "b"), fault(2, "crash", "b"))
    assert [(m.state, m.at) for m in found.messages] == [("lost", 2)]


def test_what_was_held_is_late() -> None:
    usual = [
        step for n in range(20) for step in (send(n, "a", "b", f"1 40 {n}"), deliver(n + 0.002, "a", "b", f"1 40 {n}"))
    ]
    found = story(*usual, send(20, "a", "b", "1 40 z"), deliver(20.15, "a", "b", "1 40 z"))
    assert [m.number for m in found.messages if m.is_late] == [40]


def test_what_is_sent_every_second_is_routine() -> None:
    beats = [send(n + 0.5, "a", "b", f"1 41 {n}") for n in range(8)]
    news = [send(3, "a", "b", "1 300 x"), send(4, "a", "b", "1 300 y"), send(4.1, "b", "a", "1 41 z")]
    found = story(*sorted([*beats, *news]))
    assert [m.text for m in found.messages if m.is_routine] == [step[4] for step in beats]


# -- a real run


class Counter(hubkit.Actor):
    """It is there."""


async def split(sim: Simulation) -> None:
    a, *_ = [await sim.start_hub("shop", node=name) for name in "abc"]
    await a.start_children([hubkit.child(f"c{n}", Counter) for n in range(6)])
    sim.partition({"a"}, {"b", "c"})
    await sim.sleep(20)
    sim.heal()
    await sim.settled(within=60)
    sim.crash("c")
    await sim.sleep(15)


def test_the_story_of_a_real_run_has_its_worst_overlap() -> None:
    report = Simulation.run(split, seed=3)
    found = read(report.trace, report.elapsed, report.nodes)
    assert max(double.until - double.since for double in found.doubles) == pytest.approx(report.overlap)
    assert found.nodes == ["a", "b", "c"]
    assert [span.kind for span in found.spans] == ["partition"]
    states = {message.state for message in found.messages}
    assert states >= {"delivered", "lost"}
    assert any(message.is_routine for message in found.messages)
    assert [life.state for life in found.lives if life.node == "c"] == ["starting", "open", "crashed"]
