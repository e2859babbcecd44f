"""Which hubs linked nodes have, and who is refused where their strategies differ."""

from __future__ import annotations

from typing import Any

import pytest

from hubkit.errors import ProtocolViolation
from hubkit.node.directory import ANSWERS, CLOSE, DENY, HUBS, OPEN, Directory

ONE, OTHER = ("A", "B", "C", "D", "E"), ("a", "B", "C", "D", "E")


class Driver:
    """What a directory needs of a hub."""

    def __init__(self, hub_id: str, agreement: tuple[str, ...] = ONE, *, live: bool = False) -> None:
        self.hub_id, self.agreement, self.live = hub_id, agreement, live
        self.labels = {"zone": "eu"}
        self.admitted = True
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.told: list[tuple[str, ...]] = []

    def link_up(self, peer: str) -> None:
        self.told.append(("up", peer))

    def link_down(self, peer: str) -> None:
        self.told.append(("down", peer))

    def differ(self, peer: str, agreement: tuple[str, ...], *, refused: bool) -> None:
        self.told.append(("refused" if refused else "apart", peer))

    def admits(self, peer: str, labels: dict[str, str]) -> bool:
        self.asked.append((peer, labels))
        return self.admitted

    def denied(self, peer: str) -> None:
        self.told.append(("denied", peer))

    def seeds_exhausted(self) -> None:
        self.told.append(("alone",))


class Node:
    """A node that is linked to ``b``, and whose messages are kept."""

    def __init__(self, *drivers: Driver, boot: int = 5) -> None:
        self.drivers: dict[str, Any] = {}
        self.sent: list[list[Any]] = []
        self.linked: tuple[str, ...] = ("b#3",)
        self.directory = Directory(
            lambda: f"a#{boot}", self.drivers, lambda: self.linked, lambda peer, message: self.sent.append(message)
        )
        for driver in drivers:
            self.open(driver)

    def open(self, driver: Driver) -> None:
        self.drivers[driver.hub_id] = driver
        self.directory.attach(driver)  # type: ignore[arg-type]  # it is all that is needed

    def hear(self, *message: Any) -> bool:
        return self.directory.receive("b#3", list(message))


def entry(hub_id: str, agreement: tuple[str, ...] = ONE, *, live: bool = True) -> list[Any]:
    return [hub_id, live, *agreement]


def test_those_of_equal_strategies_meet_and_part() -> None:
    driver = Driver("h")
    node = Node(driver)
    assert node.sent == [[OPEN, ["h", False, *ONE]]]
    node.directory.greet("b#3", ())
    assert node.sent[-1] == [HUBS, [["h", False, *ONE]]]
    assert node.hear(HUBS, [entry("h"), entry("other")])
    assert node.hear(CLOSE, "h")
    assert node.hear(OPEN, entry("h"))
    assert node.hear(OPEN, entry("h"))  # again: it has been away
    assert driver.told == [("up", "b#3"), ("down", "b#3"), ("alone",), ("up", "b#3"), ("down", "b#3"), ("up", "b#3")]
    node.directory.lost("b#3")
    assert driver.told[-1] == ("down", "b#3")
    node.directory.lost("b#3")
    node.directory.detach(driver)  # type: ignore[arg-type]  # it is all that is needed
    assert node.sent[-1] == [CLOSE, "h"]
    assert not node.hear(1, "something else")


def test_who_opens_later_meets_those_that_are_there() -> None:
    node = Node()
    node.hear(HUBS, [entry("h")])
    driver = Driver("h")
    node.open(driver)
    assert driver.told == [("up", "b#3")]
    lonely = Driver("lonely")
    node.open(lonely)
    assert lonely.told == [("alone",)]


@pytest.mark.parametrize(
    ("live", "theirs", "boot", "told"),
    [
        (False, True, 2, "refused"),  # it runs there
        (False, False, 5, "refused"),  # both join, and this one came later
        (False, False, 2, "apart"),
        (True, False, 5, "apart"),
        (True, True, 5, "apart"),
    ],
)
def test_where_strategies_differ_who_joins_is_refused(live: bool, theirs: bool, boot: int, told: str) -> None:
    driver = Driver("h", live=live)
    node = Node(driver, boot=boot)
    node.hear(HUBS, [entry("h", OTHER, live=theirs)])
    assert driver.told[0] == (told, "b#3")
    assert ("up", "b#3") not in driver.told
    answered = node.sent[1:] == [[OPEN, ["h", True, *ONE]]]
    assert answered is (live and not theirs)  # for it may have heard of this hub before that acted
    node.hear(CLOSE, "h")
    node.directory.lost("b#3")
    assert ("down", "b#3") not in driver.told


@pytest.mark.parametrize(
    "message",
    [
        [HUBS, ["h"]],
        [HUBS, [["h", True, *"abcd"]]],
        [HUBS, [["h", True, *"abcdef"]]],
        [HUBS, [["h", 1, *"abcde"]]],
        [HUBS, [[7, True, *"abcde"]]],
        [HUBS, [["h", True, "a", "b", "c", "d", 5]]],
        [OPEN, ["h" * 256, True, *"abcde"]],
        [OPEN, ["h", True, "a" * 1001, *"bcde"]],
        [OPEN, "h"],
        [HUBS, [[f"h{number}", True, *"abcde"] for number in range(4097)]],
    ],
    ids=lambda message: f"{message!r:.40}",
)
def test_nonsense_is_a_violation(message: list[Any]) -> None:
    with pytest.raises(ProtocolViolation):
        Node().hear(*message)


# -- who is admitted


def test_labels_are_told_to_those_that_understand_them() -> None:
    driver = Driver("h")
    node = Node(driver)
    node.directory.greet("b#3", (ANSWERS,))
    assert node.sent[-1] == [HUBS, [["h", False, *ONE, {"zone": "eu"}]]]
    node.open(Driver("i"))
    assert node.sent[-1] == [OPEN, ["i", False, *ONE, {"zone": "eu"}]]


@pytest.mark.parametrize("understands", [True, False])
def test_who_is_not_admitted_is_told_and_kept_apart(understands: bool) -> None:
    driver = Driver("h")
    driver.admitted = False
    node = Node(driver)
    node.directory.greet("b#3", (ANSWERS,) if understands else ())
    assert node.hear(HUBS, [[*entry("h"), {"zone": "us"}]])
    assert node.sent[-1] == ([DENY, "h"] if understands else [CLOSE, "h"])
    assert driver.told == [("alone",)]
    node.hear(OPEN, entry("other"))
    node.directory.look_for_company(driver)  # type: ignore[arg-type]  # it is all that is needed
    assert driver.asked == [("b#3", {"zone": "us"})]  # once, however often somebody looks
    node.hear(CLOSE, "h")
    assert ("down", "b#3") not in driver.told
    driver.admitted = True
    node.hear(OPEN, entry("h"))
    assert driver.told[-1] == ("up", "b#3")
    assert driver.asked[-1] == ("b#3", {})


def test_who_is_denied_stays_apart() -> None:
    driver = Driver("h")
    node = Node(driver)
    node.directory.greet("b#3", (ANSWERS,))
    node.hear(HUBS, [entry("h")])
    node.hear(DENY, "h")
    node.hear(DENY, "unknown")
    assert driver.told == [("up", "b#3"), ("down", "b#3"), ("denied", "b#3"), ("alone",)]
    node.hear(CLOSE, "h")
    node.hear(OPEN, entry("h"))  # it asks again
    assert driver.told[-1] == ("up", "b#3")


@pytest.mark.parametrize("labels", [5, {"zone": 5}, {"": "eu"}, {str(n): "x" for n in range(1000)}])
def test_labels_that_make_no_sense(labels: Any) -> None:
    with pytest.raises(ProtocolViolation):
        Node(Driver("h")).hear(HUBS, [[*entry("h"), labels]])


def test_what_a_later_release_adds_is_ignored() -> None:
    driver = Driver("h")
    node = Node(driver)
    assert node.hear(HUBS, [[*entry("h"), {}, "more"]], "more")
    assert driver.told == [("up", "b#3")]
