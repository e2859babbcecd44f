"""The views of the map, by example."""

from __future__ import annotations

from dataclasses import replace

from hubkit.cluster.ledger import Ledger
from hubkit.cluster.rows import Run, RunKey, Want
from hubkit.cluster.stamps import HybridClock
from hubkit.cluster.store import Store


def test_a_child_is_found_by_the_tag_that_it_has_now() -> None:
    store = Store(HybridClock("a#1"))
    ledger = Ledger(store)
    want = Want("A", b"")

    def write(child: str, value: Want | None) -> dict[str, list[str]]:
        store.put(("want", child), value, 1.0)
        assert ledger.absorb() == ([], [child])
        return {tag: list(children) for tag, children in ledger.tags.items()}

    assert write("x", replace(want, tag="red")) == {"red": ["x"]}
    assert write("y", replace(want, tag="red")) == {"red": ["x", "y"]}
    assert write("x", replace(want, tag="red", pins=("b",))) == {"red": ["x", "y"]}
    assert write("x", replace(want, tag="blue")) == {"red": ["y"], "blue": ["x"]}
    assert write("x", want) == {"red": ["y"]}
    assert write("y", None) == {}
    assert list(ledger.wants) == ["x"]


def test_a_term_is_kept_when_its_row_goes_before_a_greater_one_comes() -> None:
    store = Store(HybridClock("a#1"))
    ledger = Ledger(store)
    key: RunKey = ("run", "x", "b#1")

    def passed(key: RunKey, run: Run | None) -> int:
        store.put(key, run, 1.0)
        ledger.absorb()
        return ledger.passed.get("x", 0)

    store.put(("want", "x"), Want("A", b""), 1.0)
    assert passed(key, Run(2, "active")) == 0
    assert (
        passed(key, Run(0, "passive")) == 2
    )  # it has let go, and stands by again: of that in between nothing was heard
    assert passed(("run", "x", "c#1"), Run(3, "active")) == 0
    assert passed(("run", "x", "c#1"), None) == 3
