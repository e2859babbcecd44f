"""Settings only grow, whatever the order in which they are heard of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubkit.cluster.policy import QuorumView
from hubkit.cluster.rows import Want
from hubkit.cluster.settings import Settings
from hubkit.cluster.stamps import HybridClock
from hubkit.cluster.store import Store


def absorbed(store: Store) -> Settings:
    settings = Settings()
    for key, row in store.rows.items():
        settings.absorb(key[1], row.value)  # type: ignore[arg-type]  # there are wants only
    return settings


def test_the_greatest_size_of_the_newest_epoch_counts() -> None:
    settings = Settings()
    assert (settings.view, settings.size, settings.voters) == (QuorumView(), None, None)
    for rank in ("0/3", "0/5", "0/4"):
        settings.absorb(f"@quorum/size/{rank}", Want("", b""))
    assert settings.view == QuorumView(5)
    settings.absorb("@quorum/size/1/2", Want("", b""))
    assert (settings.view, settings.size) == (QuorumView(2), (1, 2))
    settings.absorb("@quorum/size/1/2", None)
    settings.absorb("@quorum/size/1/2", None)
    assert settings.view == QuorumView(5)


def test_the_voters_of_the_greatest_term_count() -> None:
    settings = Settings()
    settings.absorb("@quorum/voters/2/1", Want("", b"a\nb\nc"))
    settings.absorb("@quorum/voters/1/7", Want("", b"a"))
    assert (settings.view.voters, settings.voters) == (frozenset("abc"), (2, 1))


def test_what_cannot_be_understood_is_left_alone() -> None:
    settings = Settings()
    for id in ("@quorum/size/1", "@quorum/size/1/2/3", "@quorum/color/1/2", "@quorum/size/-1/2", "@quorum/size/x/2"):
        settings.absorb(id, Want("", b""))
    assert settings.view == QuorumView()


def test_a_greater_one_takes_the_place_of_the_lesser_ones() -> None:
    store = Store(HybridClock("a#1"))
    settings = Settings()
    settings.set_size((0, 3), store, 1.0)
    settings = absorbed(store)
    settings.set_size((0, 4), store, 2.0)
    settings.set_voters((1, 0), frozenset("ba"), store, 3.0)
    assert {key[1]: row.value for key, row in store.rows.items()} == {
        "@quorum/size/0/3": None,
        "@quorum/size/0/4": Want("", b""),
        "@quorum/voters/1/0": Want("", b"a\nb"),
    }
    settings = absorbed(store)
    settings.set_size((0, 2), store, 4.0)  # one that does not count removes none
    assert store.get(("want", "@quorum/size/0/4")) is not None
    lesser = store.rows["want", "@quorum/size/0/3"].stamp
    assert store.rows["want", "@quorum/size/0/4"].stamp < lesser  # who has seen the removal has seen why


@given(st.permutations([(0, 3), (0, 5), (1, 2), (1, 4), (2, 1)]))
def test_the_order_does_not_matter(ranks: list[tuple[int, int]]) -> None:
    settings = Settings()
    for epoch, size in ranks:
        settings.absorb(f"@quorum/size/{epoch}/{size}", Want("", b""))
    assert settings.view.size == 1
