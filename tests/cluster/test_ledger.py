"""The views of the map, by example."""

from __future__ import annotations

from dataclasses import replace

from hubkit.cluster.ledger import Ledger
from hubkit.cluster.rows import Want
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
