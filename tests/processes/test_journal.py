"""The journal is what the other tests believe, so it is tested itself."""

from __future__ import annotations

import os
from pathlib import Path

from tests.processes.journal import Journal


def test_a_life_ends_by_its_own_line_or_with_its_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.start("a", "shop", "x", "1.1", "start")
    journal.start("a", "shop", "y", "1.2", "start")
    assert {child: len(lives) for child, lives in journal.running().items()} == {"x": 1, "y": 1}
    journal.stop("a", "shop", "x", "1.1", "normal")
    assert [*journal.running()] == ["y"]
    journal.killed(os.getpid())
    assert journal.running() == {}
    assert journal.starts() == {"x": 1, "y": 1}
    journal.close()


def test_two_lives_at_once_are_seen_and_two_in_turn_are_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.start("a", "shop", "x", "1.1", "start")
    journal.start("b", "shop", "y", "2.1", "start")
    journal.start("b", "mail", "x", "2.2", "start")  # another hub's child
    journal.stop("a", "shop", "x", "1.1", "moved")
    journal.start("b", "shop", "x", "2.3", "migration")
    assert journal.overlaps() == []
    journal.start("c", "shop", "x", "3.1", "failover")
    assert [(one.instance, two.instance) for one, two in journal.overlaps()] == [("2.3", "3.1")]
    assert journal.overlaps(["y"]) == []
    journal.close()
