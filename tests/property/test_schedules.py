"""Seeded schedules: some of each kind, and every seed that has ever failed.

Many more are played by ``python -m tests.property.sweep``.
"""

from __future__ import annotations

import pytest
from tests.property.schedules import SCHEDULES, run

#: Seeds that found faults, and what was wrong then.
FOUND = [
    ("calm", 9, "the removal of a term arrived before the greater one"),
    ("calm", 13, "one who left waited for ever for a grantee who was gone"),
    ("calm", 20, "a newcomer claimed below a term that it was not told of with the acknowledgement"),
    ("calm", 88, "two newcomers met each other only, and believed to be all there is"),
    ("calm", 110, "two newcomers, unknown to each other, were acknowledged by the same node"),
    ("chaos", 1, "what a dead node wrote last was removed by one who had not seen it"),
    ("chaos", 17, "a claim was withdrawn, and with it the term that it had replaced"),
    ("silence", 18, "two who knew of different grants outbid each other for ever"),
    ("silence", 118, "rows about a want that was still on its way were cleared up"),
    ("silence", 2, "one who left waited for ever for a node that was cut off"),
    ("chaos", 40265, "one who was out of sight heard of a removal, and not of its reason"),
    ("chaos", 40642, "the same, after it had been cut off"),
    ("chaos", 40658, "the same, while it was dead for some"),
    ("chaos", 70000, "a newcomer learnt of removals by a whole map, and told others by a delta"),
    ("silence", 40139, "the same"),
    ("silence", 40365, "one who was out of sight heard of a removal, and not of its reason"),
    ("chaos", 61, "one who was forgotten while it left looked for the least of nobody"),
    (
        "pair silence",
        1042,
        "two had the same term, and one waited for the copy of the other, which said that it had let go",
    ),
    ("hot chaos", 137, "the last to leave kept a copy that nobody could have"),
    ("chaos", 84, "a creation met the removal of an older one whose tombstone had gone"),
    ("chaos", 1016, "a copy yielded to one whose node had let go of the child, and nobody knew the term any more"),
    ("gossip chaos", 17, "a removal came with its reason, but for what was passed over when that was forwarded"),
    ("gossip hot chaos", 2038, "the same"),
    (
        "hot chaos",
        3210,
        "a child ended by itself in the moment in which it was to be frozen: the world took that for a fault",
    ),
    ("pair deaths", 3226, "a claim of who had no state outbid one of who had the newest"),
    ("all calm", 4082, "the world wanted the state of a child that had been removed, which not everybody knew yet"),
    ("gossip chaos", 60009, "a whole map was not believed about writers whose words come by others only"),
    ("rumour chaos", 60014, "the same: two maps stayed different"),
    ("pair silence", 5014, "who left out a part of a whole map spoke of removals that it had not seen"),
    ("active chaos", 5031, "a child ended by itself as it was to stand by: the world took that for a fault"),
    ("all deaths", 5031, "the world wanted a state that none but the dead had had when its checkpoint was completed"),
    ("all deaths", 8235, "one who had handed a child over took its old state for the newest when the next had died"),
    ("all chaos", 8415, "one was granted what it ran already under a lesser term, and waited for a copy of the other"),
    ("all chaos", 8207, "a copy refused what it was offered so often that the next try came too late for the world"),
    ("gossip hot chaos", 20090, "who let go of a child was told of by a third, and who held it was not"),
    ("gossip hot silence", 20170, "a removal came with its reason, but that began too late to be taken"),
    ("all deaths", 6072, "one who left had let go of a child, and of its state before that was taken over"),
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_all_is_well_after_a_schedule(schedule: str, seed: int) -> None:
    run(seed, schedule)


@pytest.mark.parametrize(("schedule", "seed", "what"), FOUND)
def test_what_was_found_stays_mended(schedule: str, seed: int, what: str) -> None:
    run(seed, schedule)


def test_one_seed_is_one_history() -> None:
    """Twice the same schedule: the same rows, to the last stamp."""
    one, two = run(3, "chaos", 120), run(3, "chaos", 120)
    assert one.now == two.now
    assert [box.core._store.rows for box in one.boxes.values()] == [box.core._store.rows for box in two.boxes.values()]
    assert [box.events for box in one.boxes.values()] == [box.events for box in two.boxes.values()]
