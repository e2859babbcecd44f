"""The demo's last act finds what is wrong."""

from __future__ import annotations

from typing import Any

from hubkit.cli.demo.count import faults

NAMES = ["a", "b"]


def rows(**homes: list[str]) -> list[dict[str, Any]]:
    return [
        {"child": child, "nodes": nodes, "pids": [f"<{node}#1.1>" for node in nodes]} for child, nodes in homes.items()
    ]


def test_nothing_is_wrong_when_each_runs_once_and_all_agree() -> None:
    told = rows(a=["one"], b=["two"])
    assert faults(NAMES, {"one": told, "two": told}, {"one": 1, "two": 1}) == []


def test_a_child_that_runs_twice_or_nowhere_is_found() -> None:
    told = rows(a=["one", "two"], b=[])
    assert faults(NAMES, {"one": told, "two": told}, {"one": 1, "two": 1}) == [
        "a runs in 2 processes",
        "b runs in 0 processes",
    ]


def test_two_processes_that_each_claim_a_child_are_found() -> None:
    one, two = rows(a=["one"], b=["one"]), rows(a=["two"], b=["one"])
    assert faults(NAMES, {"one": one, "two": two}, {"one": 2, "two": 1}) == [
        "a runs in 2 processes",
        "two and one do not agree on where the children are",
    ]


def test_an_actor_that_no_registry_tells_of_is_found() -> None:
    told = rows(a=["one"], b=["two"])
    assert faults(NAMES, {"one": told, "two": told}, {"one": 2, "two": 1}) == ["one has 2 actors alive, and tells of 1"]
